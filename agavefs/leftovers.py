"""Leftovers: names on the platform that are the mount's own, and are to go: what went up beside its place, and files
that are unlinked and still open.

Each is in the journal from before it is made until it is gone, so the next mount removes what this one can't. Names
tell the journal that they belong to: one that no row of that owns is of nobody, and is removed where it is seen.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import trio

from agavefs.journal import Journal, State
from agavesh.client.errors import AgaveError, AlreadyThere, BadRequest, NotAllowed, NotEmpty, NotFound
from agavesh.client.path import RemotePath
from agavesh.client.storage import TEMPORARY, Entry, Storage
from agavesh.tree.storage import StorageDirectory

_log = logging.getLogger(__name__)

_AGAIN_FIRST, _AGAIN_MOST = 1.0, 60.0  # seconds between attempts
_OLD = 7 * 86400.0  # seconds: what another mount has had on its way, or unlinked and open, for so long is nobody's


class Leftovers:
    """What is to be removed behind everybody's back. `count` says how much that is just now."""

    def __init__(self, nursery: trio.Nursery, journal: Journal) -> None:
        self._nursery, self._journal = nursery, journal
        self._going: dict[str, int] = {}  # folders, by tree path, and how many go from there
        self._news = trio.Event()

    @property
    def count(self) -> int:
        return sum(self._going.values())

    def name(self) -> str:
        """A name that nobody else has."""
        return f"{TEMPORARY}{self._journal.name}-{secrets.token_hex(8)}"

    async def hide(self, remote: RemotePath, temporary: str, state: State = "hidden") -> int:
        """Note that `temporary`, beside `remote`, is to be removed: at the latest by the next mount."""
        return await self._journal.hide(remote, temporary, state)

    def remove(self, row: int, storage: Storage, temporary: str) -> None:
        """Remove it behind the caller's back, as soon as that can be: by the next mount at the latest."""
        folder = RemotePath("system", storage.owner, temporary).parent.tree_path
        self._begin(self._remove, row, storage, temporary, folder=folder)

    async def take_folder(self, storage: Storage, remote: RemotePath) -> None:
        """Take a folder away if it is empty. NotEmpty; NotFound.

        wire: a delete takes along whatever others have put there a moment ago. So it is given another name first, and
        looked at under that: nobody can put anything there any more.
        """
        temporary = (remote.parent / self.name()).path
        row = await self.hide(remote, temporary, "emptied")
        try:
            await storage.move(remote.path, temporary)
            if (name := await _held(storage, temporary)) is None:
                self.remove(row, storage, temporary)
                return
        except BaseException:  # wherever it is by now, it is not left there
            self.remove_folder(row, storage, remote, temporary)
            raise
        await self._put_back(row, storage, remote, temporary)
        raise NotEmpty(f"{remote.tree_path} still holds {name!r}")

    def remove_folder(self, row: int, storage: Storage, remote: RemotePath, temporary: str) -> None:
        """Bring to its end what was begun: to take a folder away."""
        self._begin(self._remove_folder, row, storage, remote, temporary, folder=remote.parent.tree_path)

    async def _remove_folder(self, row: int, storage: Storage, remote: RemotePath, temporary: str) -> None:
        try:
            if await _held(storage, temporary) is not None:
                await self._put_back(row, storage, remote, temporary)
                return
        except NotFound:  # it had not come so far, or is gone
            await self._journal.done(row)
            return
        await self._remove(row, storage, temporary)

    async def _put_back(self, row: int, storage: Storage, remote: RemotePath, temporary: str) -> None:
        try:
            await storage.move(temporary, remote.path)
        except AlreadyThere:  # others have made a new one
            beside = remote.parent / f"{remote.name}~conflict-{row}"
            _log.warning("what was in %s is in %s now", remote.uri, beside.name)
            await storage.move(temporary, beside.path)
        await self._journal.done(row)

    async def _remove(self, row: int, storage: Storage, temporary: str) -> None:
        with suppress(NotFound):
            await storage.remove(temporary)
        await self._journal.done(row)

    def _begin(self, act: Callable[..., Awaitable[None]], *arguments: Any, folder: str) -> None:
        self._going[folder] = self._going.get(folder, 0) + 1
        self._nursery.start_soon(self._act, act, arguments, folder)

    async def _act(self, act: Callable[..., Awaitable[None]], arguments: tuple[Any, ...], folder: str) -> None:
        pause = _AGAIN_FIRST
        try:
            while True:
                try:
                    await act(*arguments)
                    return
                except (NotAllowed, BadRequest) as trouble:
                    _log.warning("something is left in %s: %s", folder, trouble)
                    return
                except (AgaveError, OSError) as trouble:
                    _log.info("something has to go from %s yet: %s", folder, trouble)
                await trio.sleep(pause)
                pause = min(pause * 2, _AGAIN_MOST)
        finally:
            self._going[folder] -= 1
            if not self._going[folder]:
                del self._going[folder]
            self._news.set()
            self._news = trio.Event()

    async def gone(self, below: str = "/") -> None:
        """Return when nothing is going from a folder, nor from those in it."""
        inside = f"{below.rstrip('/')}/"
        while any(f"{folder}/".startswith(inside) for folder in self._going):
            await self._news.wait()

    def seen(self, folder: StorageDirectory, names: list[str]) -> None:
        """These are in a folder. What is of our journal, and of none of its rows, is of nobody: it is removed."""
        ours = f"{TEMPORARY}{self._journal.name}-"
        if found := {f"{folder.inner.rstrip('/')}/{name}" for name in names if name.startswith(ours)}:
            self._nursery.start_soon(self._sweep, folder.storage, found)

    async def _sweep(self, storage: Storage, found: set[str]) -> None:
        try:
            # each is in the journal before it is there, so what was seen before the journal is read is known by now;
            # by its name alone, since a place may be reached by more paths than one
            rows = await trio.to_thread.run_sync(self._journal.rows)
            known = {(row.temporary or "").rpartition("/")[2] for row in rows}
            for temporary in found:
                if temporary.rpartition("/")[2].removesuffix("-old") not in known:
                    _log.info("%s of %s is nobody's", temporary, storage.owner)
                    remote = RemotePath("system", storage.owner, temporary)
                    if await _is_file(storage, temporary):  # what is in a folder may be somebody's
                        self.remove(await self.hide(remote, temporary), storage, temporary)
        except (AgaveError, OSError) as trouble:
            _log.warning("what is nobody's stays for now: %s", trouble)


async def _is_file(storage: Storage, path: str) -> bool:
    with suppress(NotFound):
        return not (await storage.stat(path)).is_dir
    return False


async def _held(storage: Storage, path: str) -> str | None:
    """Something that is in a folder now, if there is anything."""
    found: list[Entry] = []

    def take(entries: list[Entry], last: bool) -> None:
        found.extend(entries)

    await storage.scan(path, take)
    for entry in found:
        if not entry.name.startswith(TEMPORARY) or (entry.modified or 0) > time.time() - _OLD:
            return entry.name
    return None
