"""Writeback: sealed spools go to the platform, each in order, tried again until they are there.

What is written is in a spool with a journal row, from before its first change until the platform has it. Sealing puts
both on the disk; then the spool is sent by a task of the nursery given here, one at a time for each file. Closing waits
for that task, and giving up waiting does not stop it. While a spool is being sent its writers wait: what arrives is
what one moment held. A file that replaces another goes up under a temporary name and is copied over it by the platform,
unless others have changed that since we began: then ours goes beside it.
"""

from __future__ import annotations

import errno
import io
import logging
import math
import secrets
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import trio

from agavefs.journal import Journal, Row, State
from agavefs.spool import Spool, Spools
from agavesh.client.errors import (
    AgaveError,
    BadAnswer,
    Busy,
    Changed,
    NotFound,
    ServerTrouble,
    StagingFailed,
    TimedOut,
    Unreachable,
)
from agavesh.client.path import RemotePath
from agavesh.client.storage import TEMPORARY, Entry, Storage, SystemStorage, Version

_log = logging.getLogger(__name__)

_AT_ONCE = 32  # uploads under way
_EVERY = 10.0  # seconds: a file that is closed again and again is sent no more often
_STAGING = 600.0  # seconds without news from the platform's staging, until it is sent again
_AGAIN_FIRST, _AGAIN_MOST = 1.0, 60.0  # seconds between attempts
# troubles that may be over soon: whoever waits goes on waiting
_PASSING = (Unreachable, Busy, ServerTrouble, BadAnswer, StagingFailed)

Trouble = AgaveError | OSError


class _Owed:
    """What is owed of one spool.

    `sending`: it is to be sent now, so its bytes must not change; `active`: that is under way; `past_recall`: the
    platform has been sent all that it needs, and does it whether we wait or not. While it is `held` by somebody who
    moves it, or removes it, nothing begins.
    """

    def __init__(self, state: State = "writing", temporary: str | None = None, *, recovered: bool = False) -> None:
        self.state, self.temporary, self.recovered = state, temporary, recovered
        self.superseded = False  # recovered, and its place has been written anew since
        self.since = time.time()
        self.detached = 0  # how often those who wait for it were sent away
        self.lock = trio.Lock()
        self.news = trio.Event()
        self.nudge = trio.Event()
        self.sending = self.active = self.running = self.past_recall = False
        self.held = 0
        self.trouble: Trouble | None = None
        self.attempt = trio.CancelScope()
        self.moved = 0  # bytes read for sending; counted in another thread

    def tell(self) -> None:
        self.news.set()
        self.news = trio.Event()

    def hurry(self) -> None:
        self.nudge.set()
        self.nudge = trio.Event()


class _Counted(io.FileIO):
    """A spool's file that counts what has been read of it: the sign that an upload goes on, and of when it is out."""

    def __init__(self, path: Path, owed: _Owed, size: int) -> None:
        super().__init__(path, "rb")
        self._owed, self._left = owed, size
        owed.past_recall = not size

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(-1 if size is None else size) or b""
        self._left -= len(data)
        self._owed.moved += len(data)
        self._owed.past_recall = self._left <= 0
        return data


class Writeback:
    """The way to the platform. `patience`: seconds that a waiter waits without any news of its upload."""

    def __init__(self, nursery: trio.Nursery, journal: Journal, spools: Spools, *, patience: float = 60) -> None:
        self._nursery, self._journal, self._spools, self._patience = nursery, journal, spools, patience
        self._limit = trio.CapacityLimiter(_AT_ONCE)
        self._owed: dict[Spool, _Owed] = {}
        self.leftovers = 0  # temporary files that are being removed
        self._left = trio.Event()
        self._inherited: list[Spool] = []  # from dead mounts
        self._until = math.inf  # of trio's time: so long it may be tried to send all, at the end
        self._waits: set[trio.CancelScope] = set()  # that end then at the latest
        self.stranded: list[Row] = []  # written by a mount that died, and never closed
        # what stands in the place of a spool, as the platform has told a moment ago or tells now
        self.now: Callable[[Spool], Awaitable[Version | None]] = _now
        self.on_settled: Callable[[Spool, RemotePath, Entry], None] = lambda spool, remote, entry: None

    # what writers ask ------------------------------------------------------------------------------------------------

    async def begin(self, spool: Spool) -> None:
        """Before a change: it has a row, and nobody is reading it. TimedOut if an upload of it does not get on."""
        while not spool.writing and not spool.orphan:
            owed = self._owed.setdefault(spool, _Owed())
            async with owed.lock:
                if spool.writing or self._owed.get(spool) is not owed:
                    continue
                if not owed.sending:
                    if spool.row is None:
                        row = await self._journal.begin(spool.remote, spool.path, spool.base)
                        if spool.orphan:  # unlinked meanwhile
                            await self._journal.done(row)
                            return
                        spool.row = row
                        self._supersede(spool.remote, spool)
                        self._spools.detach(spool)
                    else:
                        await self._journal.reopen(spool.row)
                    spool.writing, owed.state = True, "writing"
                    owed.hurry()  # an attempt that waits for its time is off
                    continue
            if not await self._news(owed, self._patience):
                raise self._too_late(spool)

    def _supersede(self, remote: RemotePath, by: Spool) -> None:
        """What dead mounts have left for that place goes beside it."""
        for spool in self._inherited:
            owed = self._owed.get(spool)
            if owed is not None and owed.recovered and spool is not by and spool.remote == remote:
                owed.superseded = True
                if owed.active and not owed.past_recall:
                    owed.attempt.cancel()

    async def seal(self, spool: Spool, *, now: bool = True) -> None:
        """Put it on the disk and send it: `now`, or when the last time is some seconds ago."""
        owed = self._owed.get(spool)
        if owed is None or spool.orphan:
            return
        async with owed.lock:
            if spool.writing and spool.row is not None:
                spool.writing = False  # from here on writers wait for the lock
                try:
                    await trio.to_thread.run_sync(spool.sync)
                    await self._journal.seal(spool.row, spool.remote.path, spool.size)
                except BaseException:
                    spool.writing = True
                    raise
                owed.state, owed.trouble = "sealed", None
            elif spool.row is None:
                return
            if now or trio.current_time() >= spool.sent_at + _EVERY:
                owed.sending = True  # no await since the seal: who waited for it gets what was sealed
                owed.hurry()
            if not owed.running:
                owed.running = True
                self._nursery.start_soon(self._run, spool, owed)

    async def settle(self, spool: Spool) -> None:
        """Return when the platform has all that was sealed. The trouble that keeps it from it; TimedOut."""
        troubled_since: float | None = None
        detached = self._owed[spool].detached if spool in self._owed else 0
        while not spool.orphan and (owed := self._owed.get(spool)) is not None:
            if owed.detached != detached:
                raise InterruptedError(errno.EINTR, "it was sent away; what it waited for is still being sent")
            trouble, patience = owed.trouble, self._patience
            if trouble is None:
                troubled_since = None
            elif not isinstance(trouble, _PASSING) or spool.writing:
                raise trouble
            else:
                troubled_since = troubled_since or trio.current_time()
                patience = max(0.0, troubled_since + patience - trio.current_time())
            if not await self._news(owed, patience):
                raise trouble or self._too_late(spool)
        if (beside := spool.beside) is not None:
            spool.beside = None  # it is told once
            raise Changed(
                f"others have changed {beside.uri} since it was opened", hint=f"ours is {spool.remote.uri} now"
            )

    def detach(self, concerned: Callable[[Spool], bool]) -> int:
        """Send away who waits for these, with EINTR: they are sent all the same. How many there are."""
        found = [owed for spool, owed in self._owed.items() if concerned(spool) and not spool.writing]
        for owed in found:
            owed.detached += 1
            owed.tell()
        return len(found)

    def wake(self) -> None:
        """Try again now what waits for its time: what kept it may be over."""
        for owed in self._owed.values():
            owed.hurry()

    async def _news(self, owed: _Owed, patience: float) -> bool:
        """Whether something happens within `patience` seconds; that bytes move on counts, without returning."""
        news = owed.news
        while True:
            moved = owed.moved
            with trio.move_on_at(min(trio.current_time() + patience, self._until)) as scope, self._bounded(scope):
                await news.wait()
                return True
            if owed.moved == moved or trio.current_time() >= self._until:
                return False

    def _too_late(self, spool: Spool) -> TimedOut:
        return TimedOut(
            f"the platform has not taken {spool.remote.uri} for {self._patience:.0f} s",
            hint="it is kept here and will be sent; .agavefs/status tells when",
        )

    @asynccontextmanager
    async def removing(self, spool: Spool) -> AsyncIterator[None]:
        """Nothing of it is sent in this block, nor after it unless it raises. Its handles go on. TimedOut.

        An upload that has been sent to its end is waited for: the platform might put it in place after the removal.
        """
        if (owed := self._owed.get(spool)) is not None and not owed.past_recall:
            owed.attempt.cancel()
        async with self.holding(lambda other: other is spool):
            yield
            self.forget(spool)

    def forget(self, spool: Spool) -> None:
        """It is unlinked: never send it. The caller is `holding` it, so that nothing is on its way."""
        spool.orphan = True
        if (owed := self._owed.get(spool)) is None:
            return
        owed.hurry()
        if not owed.running:
            owed.running = True
            self._nursery.start_soon(self._run, spool, owed)

    async def _rest(self, spool: Spool) -> None:
        """Return when nothing of it is on its way just now."""
        while (owed := self._owed.get(spool)) is not None and owed.active:
            if not await self._news(owed, self._patience):
                raise self._too_late(spool)

    @asynccontextmanager
    async def holding(self, concerned: Callable[[Spool], bool]) -> AsyncIterator[None]:
        """Nothing of the spools that are `concerned` is sent in this block: they are being moved, or removed."""
        held = {spool: owed for spool, owed in self._owed.items() if concerned(spool)}
        for owed in held.values():
            owed.held += 1
        try:
            for spool in held:
                await self._rest(spool)
            yield
        finally:
            for owed in held.values():
                owed.held -= 1
                owed.hurry()

    async def rebase(self, spool: Spool, base: Version | None) -> None:
        """What stands in its place, and will be replaced, is of that version now; None: there is nothing."""
        spool.base = base
        if spool.row is not None:
            await self._journal.aim(spool.row, spool.remote.path, base)

    async def hide(self, remote: RemotePath, temporary: str) -> int:
        """Note that `temporary` is to be removed, at the latest by the next mount."""
        return await self._journal.hide(remote, temporary)

    def remove_hidden(self, row: int, storage: Storage, temporary: str) -> None:
        """Remove it now, behind the caller's back."""
        self.leftovers += 1
        self._nursery.start_soon(self._remove_leftover, row, storage, temporary)

    async def moved(self, old: RemotePath, new: RemotePath) -> None:
        """A file or folder has a new path."""
        self._spools.moved(old, new)
        for spool, owed in self._owed.items():
            if owed.temporary is not None and spool.remote.owner == new.owner:
                owed.temporary = _moved(owed.temporary, old.path, new.path)
        await self._journal.moved(old, new)

    # sending ---------------------------------------------------------------------------------------------------------

    async def _run(self, spool: Spool, owed: _Owed) -> None:
        """See one spool to its end, or to where a writer has it again."""
        pause = _AGAIN_FIRST
        try:
            while not spool.writing and not spool.orphan:
                if owed.held:
                    await owed.nudge.wait()
                    continue
                if not owed.sending:
                    with trio.move_on_after(max(0.0, spool.sent_at + _EVERY - trio.current_time())):
                        await owed.nudge.wait()
                    owed.sending = not spool.writing and not spool.orphan
                    continue
                if (other := self._before(spool)) is not None:
                    await self._news(other, self._patience)
                    continue
                try:
                    owed.active = True
                    with trio.CancelScope() as owed.attempt:
                        async with self._limit:
                            await self._send(spool, owed)
                        return
                    owed.active = False  # called off
                    owed.tell()
                except Exception as error:  # noqa: BLE001  # an edge, as below
                    if isinstance(error, AgaveError | OSError):
                        trouble: Trouble = error
                    else:  # a fault of ours is told to those who wait: the mount goes on
                        _log.exception("%s can't be sent", spool.remote.uri)
                        trouble = OSError(errno.EIO, "a fault of the mount: see its log")
                    owed.trouble, owed.sending, owed.active = trouble, False, False
                    owed.tell()
                    _log.warning("%s is not there yet: %s", spool.remote.uri, trouble)
                    if spool.row is not None:
                        await self._journal.trouble(spool.row, str(trouble))
                    with trio.move_on_after(pause):
                        await owed.nudge.wait()
                    pause = min(pause * 2, _AGAIN_MOST)
                    owed.sending = not spool.writing and not spool.orphan
        finally:
            owed.running = owed.sending = owed.active = False
            owed.tell()
        if spool.orphan:
            await self._clear(spool, owed)

    def _before(self, spool: Spool) -> _Owed | None:
        """Another one that is just on its way to the same place: only what was left by others can have the same."""
        if self._inherited:
            for other, owed in self._owed.items():
                if owed.active and other is not spool and other.remote == spool.remote:
                    return owed
        return None

    async def _send(self, spool: Spool, owed: _Owed) -> None:
        assert spool.row is not None
        row, size = spool.row, spool.size
        owed.past_recall = owed.state in ("beside", "placed")
        if owed.superseded and not owed.past_recall:
            await self._turn_aside(spool, owed)
        if spool.base is None and owed.state not in ("beside", "placed"):
            entry = await self._send_new(spool, owed, row)
        else:
            entry = await self._send_over(spool, owed, row)
        _check(entry, size, spool.remote)
        if owed.temporary is None:
            await self._journal.done(row)
        else:  # nobody has to wait for that
            await self._journal.step(row, "hidden", owed.temporary)
            self.remove_hidden(row, spool.storage, owed.temporary)
        # no await from here: whoever looks sees it owed or settled
        spool.row, owed.temporary, owed.recovered = None, None, False
        spool.sent_at = trio.current_time()
        owed.trouble = None
        self._owed.pop(spool, None)
        self._spools.settled(spool, entry.version)
        self.on_settled(spool, spool.remote, entry)

    async def _send_new(self, spool: Spool, owed: _Owed, row: int) -> Entry:
        """Send what is new, under its own name."""
        again = owed.state == "sending"
        if not _unchanged(spool, await (_now if again else self.now)(spool), again):
            await self._turn_aside(spool, owed)
        await self._step(row, owed, "sending", None)
        with _Counted(spool.path, owed, spool.size) as file:
            # what an earlier attempt has left to be settled might be taken for this one by its size
            size = None if again else spool.size
            return await spool.storage.put(spool.remote.path, file, patience=_STAGING, size=size)

    async def _send_over(self, spool: Spool, owed: _Owed, row: int) -> Entry:
        """Send what replaces a file: beside it first, and then over it, if it is still what we know."""
        storage = spool.storage
        if first := owed.state not in ("beside", "placed"):
            await self._send_beside(spool, owed, row)
        assert owed.temporary is not None
        if owed.state == "beside":
            there = await _now(spool)
            if not _unchanged(spool, there, not first):
                await self._turn_aside(spool, owed)
            if there is None or spool.base is None:
                return await self._put_in_place(spool, owed)
            await storage.copy(owed.temporary, spool.remote.path)
            await self._step(row, owed, "placed", owed.temporary)
        return await storage.stat(spool.remote.path)

    async def _send_beside(self, spool: Spool, owed: _Owed, row: int) -> None:
        await self._drop_temporary(spool, owed)
        temporary = (spool.remote.parent / f"{TEMPORARY}{secrets.token_hex(8)}").path
        await self._step(row, owed, "sending", temporary)
        with _Counted(spool.path, owed, spool.size) as file:
            entry = await spool.storage.put(temporary, file, patience=_STAGING, size=spool.size)
        _check(entry, spool.size, spool.remote)
        await self._step(row, owed, "beside", temporary)

    async def _put_in_place(self, spool: Spool, owed: _Owed) -> Entry:
        """Give what is beside its own name, where nothing stands any more."""
        assert owed.temporary is not None
        with suppress(NotFound):  # we have done so before
            await spool.storage.move(owed.temporary, spool.remote.path)
        owed.temporary = None
        return await spool.storage.stat(spool.remote.path)

    async def _step(self, row: int, owed: _Owed, state: State, temporary: str | None) -> None:
        await self._journal.step(row, state, temporary)
        owed.state, owed.temporary = state, temporary
        owed.tell()

    async def _turn_aside(self, spool: Spool, owed: _Owed) -> None:
        """Others have changed its place: it goes beside that, under a name that says so."""
        name = f"{spool.remote.name}~conflict-{socket.gethostname()}-{time.strftime('%Y%m%dT%H%M%S')}-{spool.row}"
        _log.warning("others have changed %s: ours goes to %s beside it", spool.remote.uri, name)
        if owed.state != "beside":
            await self._drop_temporary(spool, owed)
        spool.beside = spool.remote
        spool.remote, owed.superseded = spool.remote.parent / name, False
        await self.rebase(spool, None)

    async def _drop_temporary(self, spool: Spool, owed: _Owed) -> None:
        """What an earlier attempt has left is not to be used."""
        if owed.temporary is not None:
            row = await self.hide(spool.remote, owed.temporary)
            self.remove_hidden(row, spool.storage, owed.temporary)
            owed.temporary = None

    async def _clear(self, spool: Spool, owed: _Owed) -> None:
        """Take back what an unlinked spool has on its way."""
        self._owed.pop(spool, None)
        row, spool.row = spool.row, None
        if row is not None:
            if owed.temporary is not None:
                self.leftovers += 1
                await self._remove_leftover(row, spool.storage, owed.temporary)
            else:
                await self._journal.done(row)
        spool.writing = False
        self._spools.rest(spool)

    async def _remove_leftover(self, row: int, storage: Storage, temporary: str) -> None:
        try:
            with suppress(NotFound):
                await storage.remove(temporary)
            await self._journal.done(row)
        except (AgaveError, OSError) as trouble:
            _log.warning("%s of %s is left: %s", temporary, storage.owner, trouble)  # its row stays for the next mount
        finally:
            self.leftovers -= 1
            self._left.set()
            self._left = trio.Event()

    # the ends of a mount ---------------------------------------------------------------------------------------------

    async def recover(self, storage: Callable[[str], SystemStorage]) -> None:
        """Take over what dead mounts have left. What was sealed is sent; what was not closed is kept, and named."""
        for row in await trio.to_thread.run_sync(self._journal.take_over):
            if row.state in ("hidden", "placed"):
                assert row.temporary is not None
                self.remove_hidden(row.id, storage(row.system), row.temporary)
            elif row.state == "writing":
                _log.warning("%s was written and not closed when its mount died: %s", row.remote.uri, row.spool)
                self.stranded.append(row)
            elif _size(row.spool) != row.size:
                _log.error("the spool of %s is not what was sealed: %s", row.remote.uri, row.spool)
                self.stranded.append(row)
            else:
                spool = self._spools.adopt(Path(row.spool), row.remote, storage(row.system), row.size)
                spool.present.add(0, row.size)
                self._spools.grown(row.size)
                spool.row, spool.base = row.id, row.base
                self._supersede(spool.remote, spool)
                self._inherited.append(spool)
                owed = self._owed[spool] = _Owed(row.state, row.temporary, recovered=True)
                owed.sending = owed.running = True
                self._nursery.start_soon(self._run, spool, owed)

    @property
    def owed(self) -> list[tuple[Spool, Trouble | None]]:
        """What is not there yet, and why."""
        return [(spool, owed.trouble) for spool, owed in self._owed.items() if spool.row is not None]

    async def drain(self) -> int:
        """Send all that is sealed. The number of those that could not be, for as long as patience goes."""
        with trio.CancelScope(deadline=self._until) as scope, self._bounded(scope):
            for spool in list(self._owed):
                if not spool.writing:  # what is still open nobody has said to be ready
                    with suppress(AgaveError, OSError):
                        await self.seal(spool)
                        await self.settle(spool)
            with trio.move_on_after(self._patience):
                while self.leftovers:
                    await self._left.wait()
        return sum(not spool.writing and not spool.orphan for spool, _ in self.owed)

    def end_within(self, seconds: float) -> None:
        """Somebody will not wait for longer: what is not sent by then is not sent by this mount."""
        self._until = min(self._until, trio.current_time() + seconds)
        for scope in self._waits:
            scope.deadline = min(scope.deadline, self._until)

    @contextmanager
    def _bounded(self, scope: trio.CancelScope) -> Iterator[None]:
        self._waits.add(scope)
        try:
            yield
        finally:
            self._waits.discard(scope)


async def _now(spool: Spool) -> Version | None:
    try:
        return (await spool.storage.stat(spool.remote.path)).version
    except NotFound:
        return None


def _moved(path: str, old: str, new: str) -> str:
    return new + path[len(old) :] if path.startswith(f"{old}/") else path


def _unchanged(spool: Spool, there: Version | None, again: bool) -> bool:
    """Whether what is `there` now is what was when it was begun, or may come of an earlier attempt of ours."""
    return there is None or there == spool.base or (again and there[0] == spool.size)


def _check(entry: Entry, size: int, remote: RemotePath) -> None:
    if entry.size != size:
        raise StagingFailed(f"{remote.uri} has {entry.size} bytes on the platform in place of {size}")


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return -1
