"""Writeback: sealed spools go to the platform, each in order, tried again until they are there.

What is written is in a spool with a journal row, from before its first change until the platform has it. Sealing puts
both on the disk; then the spool is sent by a task of the nursery given here, one at a time for each file. Closing waits
for that task, and giving up waiting does not stop it; where it is `later`, only fsync waits. While a spool is being
sent its writers wait: what arrives is what one moment held. How one gets to its place is said in `sending`.
"""

from __future__ import annotations

import errno
import functools
import logging
import math
import operator
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import trio

from agavefs.journal import Journal, Row
from agavefs.leftovers import Leftovers
from agavefs.owed import Owed, Trouble
from agavefs.sending import Sender, moved, now, standing
from agavefs.spool import Spool, Spools
from agavesh.client.errors import (
    AgaveError,
    BadAnswer,
    Busy,
    Changed,
    ServerTrouble,
    StagingFailed,
    TimedOut,
    Unreachable,
)
from agavesh.client.path import RemotePath
from agavesh.client.storage import Entry, SystemStorage, Version

_log = logging.getLogger(__name__)

_AT_ONCE = 32  # uploads under way
_KEPT = 16 * 2**20  # bytes of a file that are kept while it is written again, at most
_EVERY = 10.0  # seconds: a file that is closed again and again is sent no more often
_PAUSE, _LINGER = 0.1, 5.0  # seconds between two files of one who writes many, and that he goes first
_AGAIN_FIRST, _AGAIN_MOST = 1.0, 60.0  # seconds between attempts
# troubles that may be over soon: whoever waits goes on waiting
_PASSING = (Unreachable, Busy, ServerTrouble, BadAnswer, StagingFailed)


class Writeback:
    """The way to the platform. `patience`: seconds that a waiter waits without any news of its upload. `later`: who
    closes a file does not wait for it."""

    def __init__(
        self,
        nursery: trio.Nursery,
        journal: Journal,
        spools: Spools,
        *,
        patience: float = 60,
        later: bool = False,
    ) -> None:
        self._nursery, self._journal, self._spools, self._patience = nursery, journal, spools, patience
        self.later = later
        self.leftovers = Leftovers(nursery, journal)
        self.sender = Sender(journal, self.leftovers)
        self._limit = trio.CapacityLimiter(_AT_ONCE)
        self._owed: dict[Spool, Owed] = {}
        self._arrived, self._turn = 0, trio.Event()  # how many the platform has; the next one, or trouble
        self._inherited: list[Spool] = []  # from dead mounts
        self._until = math.inf  # of trio's time: so long it may be tried to send all, at the end
        self._waits: set[trio.CancelScope] = set()  # that end then at the latest
        self._holders: list[Callable[[Spool], bool]] = []
        self._written_at = -math.inf  # when a file was begun last; trio's time
        self._lingering: set[Owed] = set()
        self.stranded: list[Row] = []  # written by a mount that died, and never closed
        self.on_settled: Callable[[Spool, RemotePath, Entry | None], None] = lambda spool, remote, entry: None
        self.on_trouble: Callable[[Spool, Trouble], None] = lambda spool, trouble: None

    # what writers ask ------------------------------------------------------------------------------------------------

    async def begin(self, spool: Spool) -> None:
        """Before a change: it has a row, and nobody is reading it. TimedOut if an upload of it does not get on."""
        self._written_at = trio.current_time()
        while not spool.writing and not spool.orphan:
            owed = self._owed.setdefault(spool, Owed())
            if await self._take(spool, owed):
                continue
            if self.later and not owed.wanted and not owed.past_recall and spool.size <= _KEPT:
                # nobody waits for it: it is sent as it is when it is closed again
                async with self.holding(functools.partial(operator.is_, spool), calling_off=True):
                    owed.sending = False
                    await self._take(spool, owed)
            elif not await self._news(owed, self._patience):
                raise self._too_late(spool)

    async def _take(self, spool: Spool, owed: Owed) -> bool:
        """Have it for writing, unless it is being sent; whether there is nothing to wait for."""
        async with owed.lock:
            if spool.writing or self._owed.get(spool) is not owed:
                return True
            if owed.sending or owed.active:
                return False
            mine = functools.partial(operator.is_, spool)
            self._holders.append(mine)  # nothing begins while the journal is told: what is there is to change
            try:
                if spool.row is None:
                    row = await self._journal.begin(spool.remote, spool.path, spool.base)
                    if spool.orphan:  # unlinked meanwhile
                        await self._journal.done(row)
                        return True
                    spool.row = row
                    self._supersede(spool.remote, spool)
                    self._spools.detach(spool)
                elif not await self._keep(spool, owed, spool.row):
                    await self._journal.reopen(spool.row)
                spool.writing, owed.state = True, "writing"
            finally:
                self._holders.remove(mine)
                owed.hurry()  # an attempt that waits for its time is off
            return True

    async def _keep(self, spool: Spool, owed: Owed, row: int) -> bool:
        """Keep what was sealed, and is not sent yet, until what is written now is sealed; whether that can be."""
        if spool.size > _KEPT:
            return False
        kept = spool.path.with_name(secrets.token_hex(12))
        try:
            await trio.to_thread.run_sync(_copy, spool.path, kept)
            await self.sender.drop_temporary(spool, owed)
            spool.row = await self._journal.keep(row, spool.path, kept)
        except OSError as trouble:
            _log.info("what was sealed of %s is not kept while it is written again: %s", spool.remote.uri, trouble)
            kept.unlink(missing_ok=True)
            return False
        owed.kept = row, kept
        return True

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
                    instead = owed.kept[0] if owed.kept is not None else None
                    await self._journal.seal(spool.row, spool.remote.path, spool.size, instead)
                except BaseException:
                    spool.writing = True
                    raise
                owed.state, owed.trouble = "sealed", None
                if owed.kept is not None:
                    owed.kept[1].unlink(missing_ok=True)
                    owed.kept = None
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
        if spool in self._owed:
            self._owed[spool].wanted = True
            self._owed[spool].hurry()
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

    async def _news(self, owed: Owed, patience: float) -> bool:
        """Whether something happens within `patience` seconds; that bytes move on counts, without returning."""
        news = owed.news
        while True:
            sent = owed.sent
            with trio.move_on_at(min(trio.current_time() + patience, self._until)) as scope, self._bounded(scope):
                await news.wait()
                return True
            if owed.sent == sent or trio.current_time() >= self._until:
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

    async def unchanged(self, spool: Spool) -> bool:
        """Whether what is in its place now is what it was begun from, or may come of us."""
        owed = self._owed.get(spool)
        return owed is None or await self.sender.is_free(spool, owed, await now(spool))

    def tried(self, spool: Spool) -> bool:
        """Whether some of it may have reached the platform."""
        return (owed := self._owed.get(spool)) is None or owed.tried

    def forget(self, spool: Spool) -> None:
        """It is unlinked: never send it. The caller is `holding` it, so that nothing is on its way."""
        spool.orphan = True
        if (owed := self._owed.get(spool)) is None:
            return
        owed.hurry()
        self._turned()
        if not owed.running:
            owed.running = True
            self._nursery.start_soon(self._run, spool, owed)

    async def _rest(self, spool: Spool) -> None:
        """Return when nothing of it is on its way just now."""
        while (owed := self._owed.get(spool)) is not None and owed.active:
            if not await self._news(owed, self._patience):
                raise self._too_late(spool)

    @asynccontextmanager
    async def holding(self, concerned: Callable[[Spool], bool], *, calling_off: bool = False) -> AsyncIterator[None]:
        """Nothing of the spools that are `concerned` is sent in this block: they are being moved, or removed. What is
        on its way is waited for, or called off."""
        self._holders.append(concerned)
        try:
            for spool, owed in list(self._owed.items()):
                if concerned(spool):
                    if calling_off and owed.active:
                        owed.attempt.cancel()
                    await self._rest(spool)
            yield
        finally:
            self._holders.remove(concerned)
            for spool, owed in self._owed.items():
                if concerned(spool):
                    owed.hurry()

    def _is_held(self, spool: Spool) -> bool:
        return any(concerned(spool) for concerned in self._holders)

    async def moved(
        self,
        old: RemotePath,
        new: RemotePath,
        spool: Spool | None = None,
        base: Version | None = None,
        over: Spool | None = None,
    ) -> None:
        """A file or folder has a new path. The `spool` of it goes over what is of version `base` there; what `over` has
        owed to that place is owed no more. The caller is `holding` all of them."""
        gone = self._owed.get(over) if over is not None else None
        rows: list[tuple[int, str | None]] = []
        if over is not None and over.row is not None and gone is not None:
            rows = [(over.row, gone.temporary), *([(gone.kept[0], None)] if gone.kept is not None else [])]
        self._spools.moved(old, new)
        row = spool.row if spool is not None else None
        if spool is not None and row is not None:
            spool.base, spool.looked = base, -math.inf
        await self._journal.moved(old, new, row=row, base=base, over=rows)
        for spool, owed in self._owed.items():
            if owed.temporary is not None and spool.remote.owner == new.owner:
                owed.temporary = moved(owed.temporary, old, new)
        if over is not None:
            if rows and gone is not None:
                if gone.kept is not None:
                    gone.kept[1].unlink(missing_ok=True)
                if gone.temporary is not None:
                    self.leftovers.remove(rows[0][0], over.storage, gone.temporary)
                over.row = gone.temporary = gone.kept = None
            self.forget(over)

    # sending ---------------------------------------------------------------------------------------------------------

    async def _run(self, spool: Spool, owed: Owed) -> None:
        """See one spool to its end, or to where a writer has it again."""
        pause = _AGAIN_FIRST
        try:
            while not spool.writing and not spool.orphan:
                if self._is_held(spool) or self._lingers(owed):
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
                    async with self._limit:
                        if not owed.sending or self._is_held(spool) or spool.orphan:
                            continue  # that has changed while it waited for its turn
                        owed.active = True
                        with trio.CancelScope() as owed.attempt:
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
                    _log.warning("%s is not there yet: %s", spool.remote.uri, trouble)
                    with suppress(OSError):  # a full disk must not end the mount
                        if spool.row is not None:
                            await self._journal.trouble(spool.row, str(trouble), getattr(trouble, "request_id", None))
                    owed.trouble, owed.sending, owed.active = trouble, False, False
                    owed.tell()
                    self._turned()
                    self.on_trouble(spool, trouble)
                    with trio.move_on_after(pause):
                        await owed.nudge.wait()
                    pause = min(pause * 2, _AGAIN_MOST)
                    owed.sending = not spool.writing and not spool.orphan
        finally:
            owed.running = owed.sending = owed.active = False
            owed.tell()
        if spool.orphan:
            await self._clear(spool, owed)

    def _before(self, spool: Spool) -> Owed | None:
        """Another one that is just on its way to the same place: only what was left by others can have the same."""
        if self._inherited:
            for other, owed in self._owed.items():
                if owed.active and other is not spool and other.remote == spool.remote:
                    return owed
        return None

    async def _send(self, spool: Spool, owed: Owed) -> None:
        entry = await self.sender.send(spool, owed)
        # no await from here: whoever looks sees it owed or settled
        if owed.recovered:
            self._inherited.remove(spool)
        spool.row, owed.temporary, owed.recovered, owed.wanted = None, None, False, False
        spool.sent_at = trio.current_time()
        owed.trouble = None
        self._owed.pop(spool, None)
        self._arrived += 1
        self._turned()
        self._spools.settled(spool, None if entry is None else entry.version)
        spool.base = None if entry is None else standing(entry)
        self.on_settled(spool, spool.remote, entry)

    def _lingers(self, owed: Owed) -> bool:
        """Whether it has time: with `later`, who writes one file after another goes first, for a while."""
        if not self.later or owed.wanted or trio.current_time() >= self._written_at + _PAUSE:
            return False
        self._lingering.add(owed)
        if len(self._lingering) == 1:
            self._nursery.start_soon(self._linger)
        return True

    async def _linger(self) -> None:
        with trio.move_on_after(_LINGER):
            # each file that is begun moves the end: there is no event for "none has been for a while"
            while (pause := self._written_at + _PAUSE - trio.current_time()) > 0:  # noqa: ASYNC110
                await trio.sleep(pause)
        self._written_at = -math.inf
        lingering, self._lingering = self._lingering, set()
        for owed in lingering:
            owed.hurry()

    def _turned(self) -> None:
        self._turn.set()
        self._turn = trio.Event()

    async def _clear(self, spool: Spool, owed: Owed) -> None:
        """Take back what an unlinked spool has on its way."""
        self._owed.pop(spool, None)
        row, spool.row = spool.row, None
        try:
            if owed.kept is not None:
                await self._journal.done(owed.kept[0])
                owed.kept[1].unlink(missing_ok=True)
            if row is not None and owed.temporary is not None:
                await self._journal.leave(row, owed.temporary)
                self.leftovers.remove(row, spool.storage, owed.temporary)
            elif row is not None:
                await self._journal.done(row)
        except OSError as trouble:  # as above; what is left of it is seen by the next mount
            _log.warning("%s: %s", spool.remote.uri, trouble)
        spool.writing = False
        self._spools.rest(spool)

    # the ends of a mount ---------------------------------------------------------------------------------------------

    async def recover(self, storage: Callable[[str], SystemStorage]) -> None:
        """Take over what dead mounts have left. What was sealed is sent; what was not closed is kept, and named."""
        for row in await trio.to_thread.run_sync(self._journal.take_over):
            self.inherit(row, storage(row.system))

    def inherit(self, row: Row, storage: SystemStorage) -> None:
        """A row that was another's is ours: send it if it was sealed, else keep and name it."""
        if row.temporary is not None and row.state in ("hidden", "placed"):
            self.leftovers.remove(row.id, storage, row.temporary)
        elif row.temporary is not None and row.state == "emptied":
            self.leftovers.remove_folder(row.id, storage, row.remote, row.temporary)
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
            owed = self._owed[spool] = Owed(row.state, row.temporary, recovered=True, sent=row.sent or "")
            owed.superseded = bool(ours)  # which was written later, and has its place
            owed.sending = owed.running = True
            self._nursery.start_soon(self._run, spool, owed)

    @property
    def owed(self) -> list[tuple[Spool, Owed]]:
        """What is not there yet."""
        return [(spool, owed) for spool, owed in self._owed.items() if spool.row is not None]

    async def drain(self) -> int:
        """Send all that is sealed, for as long as anything gets on. The number of those that could not be."""
        with trio.CancelScope(deadline=self._until) as scope, self._bounded(scope):
            for spool in list(self._owed):
                if not spool.writing:  # what is still open nobody has said to be ready
                    with suppress(AgaveError, OSError):
                        await self.seal(spool)
            while self._hopeful:
                before = self._got_on
                with trio.move_on_after(self._patience) as waited:
                    await self._turn.wait()
                if waited.cancelled_caught and self._got_on == before:
                    break
            with trio.move_on_after(self._patience):
                await self.leftovers.gone()
        return sum(not spool.writing and not spool.orphan for spool, _ in self.owed)

    @property
    def _hopeful(self) -> bool:
        """Whether something may arrive yet."""
        return any(
            not (spool.writing or spool.orphan) and (owed.trouble is None or isinstance(owed.trouble, _PASSING))
            for spool, owed in self.owed
        )

    @property
    def _got_on(self) -> tuple[int, int]:
        return self._arrived, sum(owed.furthest for _, owed in self.owed)

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


def _copy(source: Path, target: Path) -> None:
    """To the disk."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    shutil.copyfile(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return -1
