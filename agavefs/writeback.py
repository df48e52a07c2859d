"""Writeback: sealed spools go to the platform, each in order, tried again until they are there.

What is written is in a spool with a journal row, from before its first change until the platform has it. Sealing puts
both on the disk; then the spool is sent by a task of the nursery given here, one at a time for each file. Closing waits
for that task, and giving up waiting does not stop it. While a spool is being sent its writers wait: what arrives is
what one moment held. A file that replaces another goes up under a temporary name and is copied over it by the platform.
"""

from __future__ import annotations

import errno
import io
import logging
import math
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import trio

from agavefs.journal import Journal, Row, State
from agavefs.spool import Spool, Spools
from agavesh.client.errors import (
    AgaveError,
    BadAnswer,
    Busy,
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
        self.on_settled: Callable[[Spool, RemotePath, Entry], None] = lambda spool, remote, entry: None
        self.on_trouble: Callable[[Spool, Trouble], None] = lambda spool, trouble: None

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
        while not spool.orphan and (owed := self._owed.get(spool)) is not None:
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
                    self.on_trouble(spool, trouble)
                    _log.warning("%s is not there yet: %s", spool.remote.uri, trouble)
                    if spool.row is not None:
                        await self._journal.trouble(spool.row, str(trouble), getattr(trouble, "request_id", None))
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
        row, storage, size, remote = spool.row, spool.storage, spool.size, spool.remote
        owed.past_recall = owed.state in ("beside", "placed")
        if owed.recovered:
            remote = await self._target(spool, owed)
        if spool.base is None:
            await self._step(row, owed, "sending", None)
            with _Counted(spool.path, owed, size) as file:
                entry = await storage.put(remote.path, file, patience=_STAGING)
        else:
            if owed.state not in ("beside", "placed"):
                temporary = owed.temporary or (remote.parent / f"{TEMPORARY}{secrets.token_hex(8)}").path
                await self._step(row, owed, "sending", temporary)
                with _Counted(spool.path, owed, size) as file:
                    _check(await storage.put(temporary, file, patience=_STAGING), size, remote)
                await self._step(row, owed, "beside", temporary)
            assert owed.temporary is not None
            if owed.state == "beside":
                await storage.copy(owed.temporary, remote.path)
                await self._step(row, owed, "placed", owed.temporary)
            with suppress(NotFound):
                await storage.remove(owed.temporary)
            entry = await storage.stat(remote.path)
        _check(entry, size, remote)
        await self._journal.done(row)
        # no await from here: whoever looks sees it owed or settled
        spool.row, owed.temporary, owed.recovered = None, None, False
        spool.sent_at = trio.current_time()
        owed.trouble = None
        self._owed.pop(spool, None)
        self._spools.settled(spool, entry.version)
        self.on_settled(spool, remote, entry)

    async def _step(self, row: int, owed: _Owed, state: State, temporary: str | None) -> None:
        await self._journal.step(row, state, temporary)
        owed.state, owed.temporary = state, temporary
        owed.tell()

    async def _target(self, spool: Spool, owed: _Owed) -> RemotePath:
        """Where what a dead mount left is to go: to its place, or beside it if somebody else has written that since."""
        name = f"{spool.remote.name}~conflict-{socket.gethostname()}-{time.strftime('%Y%m%dT%H%M%S')}"
        if owed.superseded and owed.state not in ("beside", "placed"):
            name += f"-{spool.row}"  # there may be several
        elif owed.state in ("beside", "placed") or (owed.state == "sending" and owed.temporary is None):
            return spool.remote  # we were at it: what is there is ours
        else:
            try:
                version = (await spool.storage.stat(spool.remote.path)).version
            except NotFound:
                version = None
            if version in (spool.base, None):
                return spool.remote
        _log.warning("%s was written anew meanwhile: what was left goes to %s beside it", spool.remote.uri, name)
        if owed.temporary is not None:
            row = await self.hide(spool.remote, owed.temporary)
            self.remove_hidden(row, spool.storage, owed.temporary)
        spool.remote, owed.recovered = spool.remote.parent / name, False
        await self.rebase(spool, None)
        return spool.remote

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
            self.inherit(row, storage(row.system))

    def inherit(self, row: Row, storage: SystemStorage) -> None:
        """A row that was another's is ours: send it if it was sealed, else keep and name it."""
        if row.state in ("hidden", "placed"):
            assert row.temporary is not None
            self.remove_hidden(row.id, storage, row.temporary)
        elif row.state == "writing":
            _log.warning("%s was written and not closed when its mount died: %s", row.remote.uri, row.spool)
            self.stranded.append(row)
        elif _size(row.spool) != row.size:
            _log.error("the spool of %s is not what was sealed: %s", row.remote.uri, row.spool)
            self.stranded.append(row)
        else:
            spool = self._spools.adopt(Path(row.spool), row.remote, storage, row.size)
            spool.present.add(0, row.size)
            self._spools.grown(row.size)
            spool.row, spool.base = row.id, row.base
            self._supersede(spool.remote, spool)
            ours = [it for it in self._owed if it not in self._inherited and it.dirty and it.remote == spool.remote]
            self._inherited.append(spool)
            owed = self._owed[spool] = _Owed(row.state, row.temporary, recovered=True)
            owed.superseded = bool(ours)  # which was written later, and has its place
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


def _check(entry: Entry, size: int, remote: RemotePath) -> None:
    if entry.size != size:
        raise StagingFailed(f"{remote.uri} has {entry.size} bytes on the platform in place of {size}")


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return -1
