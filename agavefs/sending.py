"""Sending: how one sealed spool gets to its place on the platform, step by step, each in the journal before the next.

What is new goes up under its own name. What replaces a file goes up beside it, and the platform copies it over that,
which keeps its uuid, grants, history and metadata; where copying is refused the two change names and the grants are set
again. If others have changed the place since we began, theirs stays, and ours goes beside it under a name that says so.
What an attempt without an answer may have put there is told from theirs by its bytes. A crash between two steps is
finished by the next mount. It knows nothing of queues, or of who waits.
"""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import trio

from agavefs.journal import Journal, State
from agavefs.leftovers import Leftovers
from agavefs.owed import Counted, Owed
from agavefs.spool import SMALL, Spool
from agavesh.client.errors import AlreadyThere, BadRequest, NotAllowed, NotFound, StagingFailed, Unsupported
from agavesh.client.path import RemotePath
from agavesh.client.storage import Entry, Version

_log = logging.getLogger(__name__)

_STAGING = 600.0  # seconds without news from the platform's staging, until it is sent again
_NAME_MOST = 255  # bytes
_LARGE = "large"  # in place of the digest of what is not small
_PIECE = 2**20  # bytes
_BESIDE: tuple[State, ...] = ("beside", "aside", "placed")
_REFUSED = (NotAllowed, BadRequest, Unsupported)


class Sender:
    """Sends one spool at a time for each who asks."""

    def __init__(self, journal: Journal, leftovers: Leftovers) -> None:
        self._journal, self._leftovers = journal, leftovers
        # what stands in the place of a spool, as the platform has told a moment ago or tells now
        self.now: Callable[[Spool], Awaitable[Version | None]] = now

    async def send(self, spool: Spool, owed: Owed) -> Entry | None:
        """Bring it to its place; what the platform tells of it there, None if others have changed that since.

        AgaveError or OSError if it is not there yet.
        """
        assert spool.row is not None
        owed.past_recall = owed.state in _BESIDE
        if owed.superseded and owed.state not in _BESIDE:
            await self._turn_aside(spool, owed)
        if spool.base is None and owed.state not in _BESIDE:
            entry: Entry | None = await self._new(spool, owed, spool.row)
        else:
            entry = await self._over(spool, owed, spool.row)
        if owed.temporary is None:
            await self._journal.done(spool.row)
        else:  # nobody has to wait for that
            await self._journal.leave(spool.row, owed.temporary)
            self._leftovers.remove(spool.row, spool.storage, owed.temporary)
        return entry

    async def _new(self, spool: Spool, owed: Owed, row: int) -> Entry:
        """Send what is new, under its own name."""
        again = owed.tried
        if not await self.is_free(spool, owed, await (now if again else self.now)(spool)):
            await self._turn_aside(spool, owed)
        await _remember(spool, owed)
        await self._step(row, owed, "sending", None)
        with Counted(spool.path, owed, spool.size) as file:
            # what an earlier attempt has left to be settled might be taken for this one by its size
            size = None if again else spool.size
            entry = await spool.storage.put(spool.remote.path, file, patience=_STAGING, size=size)
        _check(entry, spool)
        return entry

    async def _over(self, spool: Spool, owed: Owed, row: int) -> Entry | None:
        """Send what replaces a file: beside it first, and then over it, if it is still what we know."""
        if owed.state not in _BESIDE:
            await self._send_beside(spool, owed, row)
        try:
            if owed.state == "beside":
                await self._copy_in(spool, owed, row)
            if owed.state == "aside":
                await self._exchange(spool, owed, row)
        except NotFound:
            assert owed.temporary is not None
            if await _is_there(spool, owed.temporary):
                raise
            await self._step(row, owed, "sealed", None)
            raise StagingFailed(f"what was to be {spool.remote.uri} is gone: it is sent again") from None
        with suppress(NotFound):
            entry = await spool.storage.stat(spool.remote.path)
            if entry.size == spool.size and not entry.is_dir:
                return entry
        return None

    async def _send_beside(self, spool: Spool, owed: Owed, row: int) -> None:
        await self.drop_temporary(spool, owed)
        temporary = (spool.remote.parent / self._leftovers.name()).path
        await self._step(row, owed, "sending", temporary)
        with Counted(spool.path, owed, spool.size) as file:
            entry = await spool.storage.put(temporary, file, patience=_STAGING, size=spool.size)
        _check(entry, spool)
        await _remember(spool, owed)
        await self._step(row, owed, "beside", temporary)

    async def _copy_in(self, spool: Spool, owed: Owed, row: int) -> None:
        """Put what is beside in its place."""
        assert owed.temporary is not None
        there = await now(spool)
        if owed.superseded or not await self.is_free(spool, owed, there):
            await self._turn_aside(spool, owed)
            there = None
        if there is None:
            await spool.storage.move(owed.temporary, spool.remote.path)
            await self._step(row, owed, "placed", None)
            return
        try:
            await spool.storage.copy(owed.temporary, spool.remote.path)
            await self._step(row, owed, "placed", owed.temporary)
        except _REFUSED as refused:
            _log.info("%s can't be copied to, and is exchanged: %s", spool.remote.uri, refused)
            await self._step(row, owed, "aside", owed.temporary)

    async def _exchange(self, spool: Spool, owed: Owed, row: int) -> None:
        """Have what is beside and its place change names, as far as that is not done yet."""
        assert owed.temporary is not None
        storage, place, old = spool.storage, spool.remote.path, f"{owed.temporary}-old"
        if await _is_there(spool, owed.temporary):
            if not await _is_there(spool, old):
                if owed.superseded or not await self.is_free(spool, owed, await now(spool)):
                    await self._turn_aside(spool, owed)
                    await storage.move(owed.temporary, spool.remote.path)
                    await self._step(row, owed, "placed", None)
                    return
                with suppress(NotFound):
                    await storage.move(place, old)
            try:
                await storage.move(owed.temporary, place)
            except AlreadyThere:  # others were quicker
                await self._turn_aside(spool, owed)
                await storage.move(owed.temporary, spool.remote.path)
        try:
            await storage.grant(spool.remote.path, await storage.grants(old))
        except NotFound:
            pass  # there was nothing to change names with
        except _REFUSED as refused:
            _log.warning("the grants of %s could not be set again: %s", spool.remote.uri, refused)
        await self._step(row, owed, "placed", old)

    async def _turn_aside(self, spool: Spool, owed: Owed) -> None:
        """Others have changed its place: it goes beside that, under a name that says so."""
        sign = f"~conflict-{socket.gethostname()}-{time.strftime('%Y%m%dT%H%M%S')}-{spool.row}"
        name = os.fsdecode(os.fsencode(spool.remote.name)[: _NAME_MOST - len(os.fsencode(sign))])
        name = name.encode(errors="ignore").decode() + sign
        _log.warning("others have changed %s: ours goes to %s beside it", spool.remote.uri, name)
        if owed.state not in _BESIDE:
            await self.drop_temporary(spool, owed)
        spool.beside = spool.remote
        spool.remote, owed.superseded, owed.digests = spool.remote.parent / name, False, set()
        await self.rebase(spool, None)

    async def drop_temporary(self, spool: Spool, owed: Owed) -> None:
        """What an earlier attempt has left is not to be used."""
        if owed.temporary is not None:
            row = await self._leftovers.hide(spool.remote, owed.temporary)
            self._leftovers.remove(row, spool.storage, owed.temporary)
            owed.temporary = None

    async def rebase(self, spool: Spool, base: Version | None) -> None:
        """What stands in its place, and will be replaced, is of that version now; None: there is nothing."""
        spool.base, spool.looked = base, float("-inf")
        if spool.row is not None:
            await self._journal.aim(spool.row, spool.remote.path, base)

    async def _step(self, row: int, owed: Owed, state: State, temporary: str | None) -> None:
        await self._journal.step(row, state, temporary, " ".join(sorted(owed.digests)) or None)
        owed.state, owed.temporary = state, temporary
        owed.tell()

    @staticmethod
    async def is_free(spool: Spool, owed: Owed, there: Version | None) -> bool:
        """Whether what is `there` now is what was when it was begun, or what an earlier attempt of ours has put."""
        if there is None or there == spool.base:
            return True
        if not owed.tried:
            return False
        found = hashlib.blake2b()
        with suppress(NotFound):
            async with spool.storage.read(spool.remote.path) as stream:
                async for piece in stream:
                    found.update(piece)
        return found.hexdigest() in owed.digests or found.hexdigest() == await trio.to_thread.run_sync(_digest, spool)


async def now(spool: Spool) -> Version | None:
    """What stands in the place of a spool now; None if nothing."""
    with suppress(NotFound):
        return standing(await spool.storage.stat(spool.remote.path))
    return None


def standing(entry: Entry) -> Version:
    """What a place is known by, whatever the platform tells of it."""
    return (-1, -1.0) if entry.is_dir else entry.version or (entry.size or 0, -1.0)


async def _is_there(spool: Spool, path: str) -> bool:
    with suppress(NotFound):
        await spool.storage.stat(path)
        return True
    return False


async def _remember(spool: Spool, owed: Owed) -> None:
    """From here on its bytes may be in its place, whatever is answered. They may be written anew before that is known:
    of small ones it is remembered what they were."""
    owed.digests.add(await trio.to_thread.run_sync(_digest, spool) if spool.size <= SMALL else _LARGE)


def _digest(spool: Spool) -> str:
    """Of all its bytes. Blocks."""
    found = hashlib.blake2b()
    for start in range(0, spool.size, _PIECE):
        found.update(spool.read(start, min(start + _PIECE, spool.size)))
    return found.hexdigest()


def _check(entry: Entry, spool: Spool) -> None:
    if entry.size != spool.size:
        raise StagingFailed(f"{spool.remote.uri} has {entry.size} bytes on the platform in place of {spool.size}")


def moved(path: str, old: RemotePath, new: RemotePath) -> str:
    """Where something is when the folder `old` is at `new`."""
    return new.path + path[len(old.path) :] if path.startswith(f"{old.path}/") else path
