"""Mounts: how programs of this user on this machine speak with the mounts that live here.

A mount listens on a socket beside its card. What it is asked is a line of JSON, and so is what it answers. `ask` is for
who wants to know; `tell` is a courtesy to mounts that show what was just changed, and waits for none of them for long.
What a mount does when asked is its own business.
"""

from __future__ import annotations

import os
import posixpath
import re
import socket
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec
import trio
from platformdirs import user_state_path

from agavesh.client.errors import BadAnswer, TimedOut, Unreachable

PATIENCE: Final = 10.0  # seconds that a mount has for its answer
COURTESY: Final = 0.25  # seconds that are spent on telling mounts
_LINE: Final = 2**20  # bytes of what is asked or answered, at most
_MOST: Final = 1000  # paths that a mount is told of singly


class Ask(msgspec.Struct, omit_defaults=True):
    """What a mount is asked: `act` says what to do, with these tree paths, and these below where it is mounted, or with
    what it owes under these numbers."""

    act: str
    paths: list[str] = []
    inside: list[str] = []
    numbers: list[str] = []

    def within(self, root: str) -> list[str]:
        """All of it as tree paths, for a mount whose root is that one."""
        return [*self.paths, *(posixpath.normpath(f"{root.rstrip('/')}/{inside}") for inside in self.inside)]


class Answer(msgspec.Struct, omit_defaults=True):
    """What it answers: `error` if it could not be done, else `text`, for people."""

    text: str = ""
    error: str = ""


class _Card(msgspec.Struct):
    """What is read here of a mount's card."""

    owner: str
    account: str


Act = Callable[[Ask], Awaitable[Answer]]


def state_folder() -> Path:
    """Where the mounts of this user on this host keep what they tell others: homes are shared on clusters."""
    host = re.sub(r"[^A-Za-z0-9.-]+", "-", socket.gethostname()) or "here"
    return user_state_path("agavesh") / host / "mounts"


def socket_of(owner: str, state: Path) -> Path:
    """Where a mount listens."""
    return state / "mounts" / f"{owner}.sock"


async def ask(path: Path, question: Ask, *, patience: float = PATIENCE) -> Answer:
    """Ask the mount that listens there. Unreachable if none does, TimedOut, BadAnswer."""
    with trio.move_on_after(patience):
        try:
            with _short(path) as place:  # no more than an open
                stream = await trio.open_unix_socket(place)
            async with stream:
                await stream.send_all(msgspec.json.encode(question) + b"\n")
                return msgspec.json.decode(await _line(stream), type=Answer)
        except (OSError, RuntimeError, trio.BrokenResourceError) as trouble:
            raise Unreachable("the mount does not listen", hint="is it from before an update?") from trouble
        except msgspec.MsgspecError as trouble:
            raise BadAnswer("the mount answered something else") from trouble
    raise TimedOut(f"the mount did not answer within {patience:g} s")


async def tell(url: str, paths: Collection[str]) -> None:
    """Tell the mounts of a tenant that something was changed at these tree paths. Quiet, whatever happens."""
    if paths:
        await _tell(url, Ask("refresh", sorted(paths) if len(paths) <= _MOST else ["/"]))


async def wake(url: str) -> None:
    """Tell the mounts of a tenant that what kept them from sending may be over: there are new tokens. Quiet."""
    await _tell(url, Ask("wake"))


async def recount(url: str) -> None:
    """Tell the mounts of a tenant that one of them has come or gone. Quiet, whatever happens."""
    await _tell(url, Ask("recount"))


async def _tell(url: str, question: Ask) -> None:
    found = [path for account, path in _listening() if account.endswith(f"@{url}")]

    async def one(path: Path) -> None:
        with suppress(Unreachable, BadAnswer):
            await ask(path, question, patience=COURTESY)

    async with trio.open_nursery() as nursery:
        for path in found:
            nursery.start_soon(one, path)


def _listening() -> Iterator[tuple[str, Path]]:
    """The account and the socket of each mount that has a card."""
    with suppress(OSError):
        state = state_folder()
        for path in (state / "mounts").glob("*.json"):
            with suppress(OSError, msgspec.MsgspecError):
                card = msgspec.json.decode(path.read_bytes(), type=_Card)
                yield card.account, socket_of(card.owner, state)


@contextmanager
def bound(path: Path) -> Iterator[socket.socket]:
    """A socket at that place, for the user's own programs. It is gone after the block."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as plain:
        with _short(path) as place:
            plain.bind(place)
        try:
            path.chmod(0o600)
            plain.listen()
            yield plain
        finally:
            path.unlink(missing_ok=True)


async def listen(plain: socket.socket, act: Act) -> None:
    """Answer who asks there, until cancelled."""

    async def serve(stream: trio.SocketStream) -> None:
        await _serve(stream, act)

    listener = trio.SocketListener(trio.socket.from_stdlib_socket(plain))
    await trio.serve_listeners(serve, [listener])


async def _serve(stream: trio.SocketStream, act: Act) -> None:
    with suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError), trio.move_on_after(PATIENCE):
        async with stream:
            try:
                answer = await act(msgspec.json.decode(await _line(stream), type=Ask))
            except msgspec.MsgspecError as misfit:
                answer = Answer(error=f"this is no question: {misfit}")
            await stream.send_all(msgspec.json.encode(answer) + b"\n")


async def _line(stream: trio.SocketStream) -> bytes:
    got = bytearray()
    while not got.endswith(b"\n") and len(got) < _LINE:
        if not (more := await stream.receive_some()):
            break
        got += more
    return bytes(got)


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name for it that fits in a socket's address, which takes no more than 107 bytes."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
