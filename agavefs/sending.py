"""Sending: how one sealed spool gets to its place on the platform, step by step, each in the journal before the next.

What is new goes up under its own name. What replaces a file goes up beside it, and the platform copies it over that,
which keeps its uuid, grants, history and metadata; where copying is refused it is put in its place and the grants are
set again. If others have changed the place since we began, theirs stays, and ours goes beside it under a name that says
so. A crash between two steps is finished by the next mount. It knows nothing of queues, or of who waits.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from agavefs.journal import Journal, State
from agavefs.leftovers import Leftovers
from agavefs.owed import Counted, Owed
from agavefs.spool import Spool
from agavesh.client.errors import AlreadyThere, BadRequest, NotAllowed, NotFound, StagingFailed, Unsupported
from agavesh.client.path import RemotePath
from agavesh.client.storage import Entry, Version

_log = logging.getLogger(__name__)

_STAGING = 600.0  # seconds without news from the platform's staging, until it is sent again
_BESIDE: tuple[State, ...] = ("beside", "aside", "placed")


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
        if owed.superseded and not owed.past_recall:
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
        again = bool(owed.sizes)
        if not unchanged(spool, owed, await (now if again else self.now)(spool)):
            await self._turn_aside(spool, owed)
        await self._step(row, owed, "sending", None)
        owed.sizes.add(spool.size)
        with Counted(spool.path, owed, spool.size) as file:
            # what an earlier attempt has left to be settled might be taken for this one by its size
            size = None if again else spool.size
            entry = await spool.storage.put(spool.remote.path, file, patience=_STAGING, size=size)
        _check(entry, spool)
        return entry

    async def _over(self, spool: Spool, owed: Owed, row: int) -> Entry | None:
        """Send what replaces a file: beside it first, and then over it, if it is still what we know."""
        storage = spool.storage
        if owed.state not in _BESIDE:
            await self._beside(spool, owed, row)
        assert owed.temporary is not None
        if owed.state == "beside":
            there = await now(spool)
            if not unchanged(spool, owed, there):
                await self._turn_aside(spool, owed)
            owed.sizes.add(spool.size)
            if there is None or spool.base is None:
                return await self._put_in_place(spool, owed, row)
            try:
                await storage.copy(owed.temporary, spool.remote.path)
                await self._step(row, owed, "placed", owed.temporary)
            except NotFound:
                if there == spool.base:
                    await self._step(row, owed, "sealed", None)  # what went up is gone: it is sent again
                    raise
                return await self._put_in_place(spool, owed, row)  # an earlier attempt has done so
            except (NotAllowed, BadRequest, Unsupported) as refused:
                _log.info("%s can't be copied to, and is exchanged: %s", spool.remote.uri, refused)
                await self._step(row, owed, "aside", owed.temporary)
        if owed.state == "aside":
            return await self._exchange(spool, owed)
        return await self._in_place(spool, owed)

    async def _beside(self, spool: Spool, owed: Owed, row: int) -> None:
        await self._drop_temporary(spool, owed)
        temporary = (spool.remote.parent / self._leftovers.name()).path
        await self._step(row, owed, "sending", temporary)
        with Counted(spool.path, owed, spool.size) as file:
            entry = await spool.storage.put(temporary, file, patience=_STAGING, size=spool.size)
        _check(entry, spool)
        await self._step(row, owed, "beside", temporary)

    async def _put_in_place(self, spool: Spool, owed: Owed, row: int) -> Entry | None:
        """Give what is beside its own name, where nothing stands any more."""
        assert owed.temporary is not None
        try:
            await spool.storage.move(owed.temporary, spool.remote.path)
        except NotFound:
            there = await now(spool)
            if there is None or there[0] != spool.size:  # else an earlier attempt has done so
                await self._step(row, owed, "sealed", None)  # what went up is gone: it is sent again
                raise
        entry = await self._in_place(spool, owed)
        owed.temporary = None  # not sooner: until here it may have to be tried again
        return entry

    async def _in_place(self, spool: Spool, owed: Owed) -> Entry | None:
        """What is in its place, where it has been put; None if others have changed that since. StagingFailed if it may
        not be all there yet."""
        try:
            entry = await spool.storage.stat(spool.remote.path)
        except NotFound:
            return None
        if entry.size != spool.size:
            before, owed.instead = owed.instead, entry.version
            if before is None or before != entry.version:  # a platform that takes its time goes on with it
                _check(entry, spool)
            return None
        return entry

    async def _exchange(self, spool: Spool, owed: Owed) -> Entry | None:
        """Have what is beside and its place change names, as far as a crash has not found that done."""
        assert owed.temporary is not None
        storage, place = spool.storage, spool.remote.path
        old = f"{owed.temporary}-old"
        if await _is_there(spool, owed.temporary):
            if not await _is_there(spool, old):
                with suppress(NotFound):
                    await storage.move(place, old)
            try:
                await storage.move(owed.temporary, place)
            except AlreadyThere:  # others were quicker
                await self._turn_aside(spool, owed)
                place = spool.remote.path
                await storage.move(owed.temporary, place)
        with suppress(NotFound):
            await storage.grant(place, await storage.grants(old))
        entry = await self._in_place(spool, owed)
        owed.temporary = old  # not sooner: who tries again would exchange them once more
        return entry

    async def _turn_aside(self, spool: Spool, owed: Owed) -> None:
        """Others have changed its place: it goes beside that, under a name that says so."""
        name = f"{spool.remote.name}~conflict-{socket.gethostname()}-{time.strftime('%Y%m%dT%H%M%S')}-{spool.row}"
        _log.warning("others have changed %s: ours goes to %s beside it", spool.remote.uri, name)
        if owed.state not in _BESIDE:
            await self._drop_temporary(spool, owed)
        spool.beside = spool.remote
        spool.remote, owed.superseded, owed.sizes = spool.remote.parent / name, False, set()
        await self.rebase(spool, None)

    async def _drop_temporary(self, spool: Spool, owed: Owed) -> None:
        """What an earlier attempt has left is not to be used."""
        if owed.temporary is not None:
            row = await self._leftovers.hide(spool.remote, owed.temporary)
            self._leftovers.remove(row, spool.storage, owed.temporary)
            owed.temporary = None

    async def rebase(self, spool: Spool, base: Version | None) -> None:
        """What stands in its place, and will be replaced, is of that version now; None: there is nothing."""
        spool.base = base
        if spool.row is not None:
            await self._journal.aim(spool.row, spool.remote.path, base)

    async def _step(self, row: int, owed: Owed, state: State, temporary: str | None) -> None:
        await self._journal.step(row, state, temporary)
        owed.state, owed.temporary = state, temporary
        owed.tell()


async def now(spool: Spool) -> Version | None:
    """What stands in the place of a spool now; None if nothing."""
    with suppress(NotFound):
        return (await spool.storage.stat(spool.remote.path)).version
    return None


async def _is_there(spool: Spool, path: str) -> bool:
    with suppress(NotFound):
        await spool.storage.stat(path)
        return True
    return False


def unchanged(spool: Spool, owed: Owed, there: Version | None) -> bool:
    """Whether what is `there` now is what was when it was begun, or may come of an earlier attempt of ours."""
    return there is None or there == spool.base or there[0] in owed.sizes


def _check(entry: Entry, spool: Spool) -> None:
    if entry.size != spool.size:
        raise StagingFailed(f"{spool.remote.uri} has {entry.size} bytes on the platform in place of {spool.size}")


def moved(path: str, old: RemotePath, new: RemotePath) -> str:
    """Where something is when the folder `old` is at `new`."""
    return new.path + path[len(old.path) :] if path.startswith(f"{old.path}/") else path
