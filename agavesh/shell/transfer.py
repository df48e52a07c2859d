"""Many files between this machine and the tree: several at once, each whole or not at all, with progress.

A file that comes is written beside its place and put there in one step; one that goes is settled before it counts.
A file that fails stops none of the others: what failed is told at the end.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from agavesh.client.errors import AgaveError, BadAnswer, WrongKind
from agavesh.shell import exits
from agavesh.shell.content import chunks
from agavesh.shell.render import human
from agavesh.tree.node import Directory, Link, Node
from agavesh.tree.storage import StorageDirectory, StorageFile

if TYPE_CHECKING:
    from agavesh.shell.console import Console

AT_ONCE = 8
_SHOWN_EVERY = 0.2  # seconds
_WRITTEN_AT_ONCE = 1 << 20  # bytes gathered for one visit to a thread


class Transfer:
    """One `get` or `put`: what is to be moved, and how far it is."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._limit = trio.CapacityLimiter(AT_ONCE)
        self.files = self.bytes = 0
        self.failures: list[tuple[str, AgaveError | OSError]] = []
        self._began, self._shown = time.monotonic(), 0.0

    async def fetch(self, nursery: trio.Nursery, node: Node, target: Path) -> None:
        """Bring a file or a folder here."""
        if isinstance(node, Directory):
            await trio.to_thread.run_sync(_make_folder, target)
            async for child in node.scan():
                if not isinstance(child, Link):  # would bring the same a second time
                    await self.fetch(nursery, child, target / _local_name(child.name))
        else:
            await self._start(nursery, node.path, self._fetch, node, target)

    async def send(self, nursery: trio.Nursery, source: Path, folder: StorageDirectory, name: str) -> None:
        """Take a file or a folder there."""
        if not await trio.to_thread.run_sync(source.is_dir):
            await self._start(nursery, str(source), self._send, source, folder, name)
            return
        inner = f"{folder.inner.rstrip('/')}/{name}"
        await folder.storage.mkdir(inner)
        below = folder.child(await folder.storage.stat(inner))
        assert isinstance(below, StorageDirectory)
        folder.listings.put(folder.path, name, below.entry)
        for child, is_loop in await trio.to_thread.run_sync(_inside, source):
            if is_loop:
                self._console.note(f"agavesh: {child} is a link to a folder, and is left out")
            else:
                await self.send(nursery, child, below, child.name)

    async def _start(
        self, nursery: trio.Nursery, name: str, move: Callable[..., Awaitable[None]], *what: object
    ) -> None:
        """Begin with one file when there is room, so that a tree of a million files is no million tasks."""
        holder = object()
        await self._limit.acquire_on_behalf_of(holder)

        async def task() -> None:
            try:
                await move(*what)
                self.files += 1
            except (AgaveError, OSError) as error:
                self.failures.append((name, error))
            finally:
                self._limit.release_on_behalf_of(holder)

        nursery.start_soon(task)

    async def _fetch(self, node: Node, target: Path) -> None:
        if await trio.to_thread.run_sync(target.is_dir):
            raise WrongKind(f"{target} is a folder here", hint="name another place for the file")
        beside = target.with_name(f".{_beginning(target.name)}.{secrets.token_hex(4)}.part")
        try:
            file = await trio.to_thread.run_sync(lambda: beside.open("xb"))
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(target)) from None  # not a name that nobody has given
        try:
            with file:
                got = 0
                async with aclosing(_gathered(chunks(node))) as parts:
                    async for part in parts:
                        await trio.to_thread.run_sync(file.write, part)
                        got += len(part)
                        self._moved(len(part))
            expected = node.entry.size if isinstance(node, StorageFile) and not node.growing else got
            if expected != got and (await self._size_now(node)) != got:
                raise BadAnswer(f"{node.path} should have {expected} bytes, and {got} came", hint="try again")
            await trio.to_thread.run_sync(os.replace, beside, target)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise

    async def _size_now(self, node: Node) -> int | None:
        assert isinstance(node, StorageFile)
        return (await node.again()).entry.size

    async def _send(self, source: Path, folder: StorageDirectory, name: str) -> None:
        state = await trio.to_thread.run_sync(source.stat)
        if not stat.S_ISREG(state.st_mode):
            raise OSError(errno.EINVAL, "neither file nor folder", str(source))
        entry = await folder.storage.replace(f"{folder.inner.rstrip('/')}/{name}", source)
        folder.listings.put(folder.path, name, entry)
        self._moved(state.st_size)

    def _moved(self, count: int) -> None:
        self.bytes += count
        now = time.monotonic()
        if now - self._shown > _SHOWN_EVERY:
            self._shown = now
            rate = self.bytes / max(now - self._began, 0.001)
            self._console.progress(f"{self.files} files, {human(self.bytes)}, {human(int(rate))}/s")

    def close(self) -> int:
        """Tell what failed; what to end with."""
        if self._shown:
            self._console.progress("")
        worst = 0
        for name, error in self.failures:
            # an error of this machine names the file that it is about itself
            self._console.complain(error, at="" if isinstance(error, OSError) and error.filename else f"{name}: ")
            worst = worst or exits.exit_code(error)
        if len(self.failures) > 1 or (self.failures and self.files):
            self._console.note(f"agavesh: {len(self.failures)} of {len(self.failures) + self.files} files failed")
        return worst


async def _gathered(parts: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The same bytes in larger pieces."""
    held: list[bytes] = []
    size = 0
    async with aclosing(parts):
        async for part in parts:
            held.append(part)
            size += len(part)
            if size >= _WRITTEN_AT_ONCE:
                yield b"".join(held)
                held, size = [], 0
    if held:
        yield b"".join(held)


def _inside(folder: Path) -> list[tuple[Path, bool]]:
    """What is in a folder, and whether it is a link to another, which may lead in circles."""
    return [(path, path.is_symlink() and path.is_dir()) for path in sorted(folder.iterdir())]


def _beginning(name: str) -> str:
    """As much of a name as leaves room for more: a name has 255 bytes at most."""
    return os.fsdecode(os.fsencode(name)[:200])


def _make_folder(path: Path) -> None:
    path.mkdir(exist_ok=True)


def _local_name(name: str) -> str:
    """A remote name as one here. The platform is not trusted with where files go."""
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise BadAnswer(f"the platform lists a file named {name!r}", hint="no file here can have that name")
    return name
