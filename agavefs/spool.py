"""The spool: the local copy of one remote file, as far as we have it.

A spool is a sparse file and the extents present in it. Readers have it filled (`fetch`), writers seal it (`writeback`);
it does no network itself. A spool that has been written is always whole. A small one that was only read stays in memory
for as long as it is fresh here: making its file costs more than fetching it. A clean spool that nobody has open waits a
moment for who may want it again, and goes on the shelf (`shelf`), where this mount finds it, another one, or the next.

There is a cap, and it holds while files are open, too: what lies behind its readers goes out of a large file first,
then what is on the shelf, then what rests here, then all that no reader is about to read. What is owed to the platform
never goes. Spools of one mount stand in a folder of its own, and none outlives it there but what is owed.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import shutil
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import trio

from agavefs.extents import Extents, Span
from agavefs.holes import punch
from agavefs.shelf import Have, Shelf
from agavefs.window import Ahead
from agavesh.client.path import RemotePath
from agavesh.client.storage import Storage, Version

_log = logging.getLogger(__name__)

SMALL = 2**20  # bytes: a file up to this size is fetched whole, by one request
YOUNG = 2.0  # seconds: a file changed so shortly before we asked may change again and show the same time
_REST = 5.0  # seconds between two times that spools go on the shelf: what was just closed may be opened or renamed
_QUIET = 1.0  # seconds without any bytes before that: while a program walks it would only slow it
_PUT_LATE = 60.0  # seconds after which that is not waited for any more
_LOOK = 180.0  # seconds between two looks at all of the shelf, while there is room
_BEHIND = 2**20  # bytes behind a reader that are kept
_SLACK = 64 * 2**20  # bytes that are freed at once, at most
_HOLE = 4096  # bytes: the disk gives back no less
_LIGHT = 128 * 2**10  # bytes of a file that may stay in memory
_MEMORY = 64 * 2**20  # bytes of all those together
_FULL = 10.0  # seconds that a full disk is left alone
_CLOSING = 15.0  # seconds that the end of a mount waits for the disk

Bytes = bytes | bytearray | memoryview


class Unkept(OSError):
    """The cache's disk does not take it: full, over quota, or broken."""


class Spool:
    """One file's bytes. `users` are the handles that have it open; `changes` counts what was written here.

    `base` is the version that it began from, None for a new file. `row` is its journal row while something is owed to
    the platform; `writing` says that it is not sealed. `flights` are the requests that fill it, `pins` the spans that
    somebody is about to read, `readers` how the open handles go through it. A `shared` one is whole, and is on the
    shelf as well: it must not be changed in place.
    """

    def __init__(
        self, keeper: Spools, path: Path, remote: RemotePath, storage: Storage, size: int, version: Version | None
    ) -> None:
        self.path, self.remote, self.storage = path, remote, storage
        self.size, self.version, self.base = size, version, version
        self.present = Extents()
        self.growing = False  # others write it still, at its end: what is here is true, but there may be more by now
        self.young = False  # fetched so shortly after a change that the version proves nothing
        self.stamp: str | None = None  # what the platform said of the bytes when it first sent some
        self.users = 0
        self.flights = 0
        self.pins: list[Span] = []
        self.readers: list[Ahead] = []
        self.shared = False
        self.taken = False  # from the shelf, and not changed since
        self.unasked = False  # fetched before anybody has opened it
        self.gone = False  # not ours any more
        self.changes = 0
        self.stirred = 0  # how often bytes have come or gone
        self.changed_at = time.time()
        self.row: int | None = None
        self.writing = False
        self.sent_at = float("-inf")  # trio's clock
        self.orphan = False  # unlinked: what is written will never be sent
        self.looked = float("-inf")  # when the platform told of `base`, or that there is none: monotonic seconds
        self.beside: RemotePath | None = None  # where it would be, had others not changed that
        self.keeper = keeper
        self.light: bytes | None = None  # all of it, as long as it has no file
        self.filed = False  # whether there may be a file of it
        self._fd: int | None = None

    @property
    def dirty(self) -> bool:
        """Whether something in it is owed to the platform."""
        return self.row is not None

    @property
    def whole(self) -> bool:
        return self.present.has(0, self.size)

    @property
    def held(self) -> int:
        """The bytes that are here on its account alone."""
        return 0 if self.shared else self.present.total

    @property
    def fd(self) -> int:
        if self._fd is None:
            self.filed = True
            create = 0 if self.present.total and self.light is None else os.O_CREAT
            try:
                self._fd = os.open(self.path, os.O_RDWR | create | os.O_CLOEXEC, 0o600)
            except FileNotFoundError as trouble:
                raise Unkept(errno.EIO, f"{self.path} is gone") from trouble
        if self.light is not None:
            self._write_kept(0, [memoryview(self.light)], self._fd)
            self.lighten()
        return self._fd

    def lighten(self) -> None:
        """It is in memory no more."""
        if self.light is not None:
            self.keeper.light -= len(self.light)
            self.light = None

    def peek(self, start: int, stop: int) -> bytes | None:
        """As `read`, without waiting for the disk: None if that has to be asked."""
        if self.light is not None:
            return self.light[start:stop]
        size = max(0, min(stop, self.size) - start)
        data = bytearray(size)
        try:
            got = os.preadv(self.fd, [data], start, os.RWF_NOWAIT)
        except BlockingIOError:
            return None
        except OSError:  # the filesystem can't tell: it is memory, or so far away that nothing helps
            return self.read(start, stop)
        return bytes(data) if got == size else None

    def read(self, start: int, stop: int) -> bytes:
        """The bytes of `[start, stop)`, which must be present, as far as the file goes. Blocks, if it is not light."""
        if (light := self.light) is not None:
            return light[start:stop]
        size = max(0, min(stop, self.size) - start)
        if len(data := os.pread(self.fd, size, start)) != size:
            raise OSError(errno.EIO, f"{self.path} was cut behind our back")
        return data

    def fill(self, start: int, *pieces: Bytes) -> None:
        """Take in bytes of the platform's. What is present is left alone: it may have been written meanwhile."""
        stop = min(start + sum(map(len, pieces)), self.size)
        if self.gone or start >= stop:
            return
        if self.present.missing(start, stop) == [(start, start + sum(map(len, pieces)))]:
            if stop - start == self.size <= _LIGHT and not self.filed and self.keeper.light + self.size <= _MEMORY:
                self.keeper.reserve(self.size)
                self.keeper.light += self.size
                self.light = b"".join(pieces)
                self._grow(start, stop)
            else:
                self._put(start, pieces)
            return
        view = memoryview(b"".join(pieces))
        for begin, end in self.present.missing(start, stop):
            self._put(begin, [view[begin - start : end - start]])

    def write(self, start: int, data: bytes | bytearray) -> None:
        """Change bytes. The spool is whole; what lies between its end and `start` reads as zeros."""
        stop = start + len(data)
        self._put(start, [data])
        if stop > self.size:
            self._grow(0, stop)
            self.size = stop
        self._changed()

    def truncate(self, size: int) -> None:
        """Cut, or lengthen with zeros. The spool is whole up to `size`."""
        os.ftruncate(self.fd, size)
        self.stirred += 1
        before = self.present.total
        self.present = Extents([(0, size)])
        self.keeper.grown(size - before)
        self.size = size
        self._changed()

    def grow_to(self, size: int) -> None:
        """Others have made it so large by now."""
        self.growing, self.size, self.base = True, size, (size, 0.0)

    def sync(self) -> None:
        """To the disk. Blocks: call it from a thread."""
        os.fsync(self.fd)

    def drop(self, start: int, stop: int) -> int:
        """Give back what lies in `[start, stop)`, as far as it is present and the disk can; the bytes that are gone."""
        before = self.present.total
        self.stirred += 1
        if self.light is not None:
            if self.pins:
                return 0  # it goes as a whole, and somebody is about to read some of it
            self.lighten()
            self.present = Extents()
        for begin, end in self.present.within(start, stop):
            # in whole blocks: the rest of one is zeroed without being given back
            begin = -(-begin // _HOLE) * _HOLE
            end = end if end == self.size else end // _HOLE * _HOLE
            if begin >= end:
                continue
            try:
                punch(self.fd, begin, end)
            except OSError:  # the filesystem makes no holes: then all of it goes, unless somebody is about to read some
                if self.pins:
                    break
                os.ftruncate(self.fd, 0)
                self.present = Extents()
                break
            self.present.remove(begin, end)
        self.keeper.grown(self.present.total - before)
        return before - self.present.total

    @contextmanager
    def pinned(self, start: int, stop: int) -> Iterator[None]:
        """What is in `[start, stop)`, or comes there, stays in this block."""
        span = (start, stop)
        self.pins.append(span)
        try:
            yield
        finally:
            self.pins.remove(span)

    def _put(self, start: int, pieces: Sequence[Bytes]) -> None:
        views = [memoryview(piece) for piece in pieces]
        stop = start + sum(map(len, views))
        self.keeper.reserve(sum(end - begin for begin, end in self.present.missing(start, stop)))
        self._write_kept(start, views, self.fd)
        self._grow(start, stop)

    def _write_kept(self, start: int, views: list[memoryview], fd: int) -> None:
        try:
            self._write(start, views, fd)
        except OSError as trouble:
            if trouble.errno in (errno.ENOSPC, errno.EDQUOT):
                self.keeper.full()
            try:
                self._write(start, views, fd)
            except OSError as again:
                self.keeper.refused(again)
                raise Unkept(again.errno, f"the cache takes no more: {again.strerror}") from again

    @staticmethod
    def _write(start: int, views: list[memoryview], fd: int) -> None:
        at, views = start, [*views]
        while views:
            written = os.pwritev(fd, views[:1000], at)
            at += written
            while views and written >= len(views[0]):
                written -= len(views.pop(0))
            if views:
                views[0] = views[0][written:]

    def _grow(self, start: int, stop: int) -> None:
        self.stirred += 1
        before = self.present.total
        self.present.add(start, stop)
        self.keeper.grown(self.present.total - before)

    def _changed(self) -> None:
        self.changes += 1
        self.changed_at = time.time()

    def reopen(self) -> None:
        """Another file stands at its path, and is it from now on. A thread that is reading has the old one or this."""
        if (old := self._fd) is not None:
            self._fd = None
            os.dup2(self.fd, old, inheritable=False)
            os.close(self.fd)
            self._fd = old

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __repr__(self) -> str:
        return f"<Spool {self.path.name} of {self.remote}, {self.present.total} of {self.size}>"


class Spools:
    """All spools of a mount. `room`: bytes of disk for what could be fetched again, here and on the shelf."""

    def __init__(self, folder: Path, *, room: int, shelf: Shelf | None = None) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder, self.room, self.shelf = folder, room, shelf
        self.held = 0  # bytes, without the shelf
        self.light = 0  # bytes of them that are in memory
        self.wasted = self.foreseen = 0  # bytes fetched before anybody opened the file: never opened, and opened
        self._come = 0  # how often bytes have come
        self._full_until = float("-inf")
        self._called = trio.Event()  # `run` is to tidy up
        self._unsynced: list[Spool] = []  # taken from the shelf, which might not be known after a crash
        self._putting = trio.Lock()
        self._looked_at, self._look_took = float("-inf"), 0.0  # trio's clock, seconds
        self._all: dict[Path, Spool] = {}
        self._clean: OrderedDict[tuple[RemotePath, Version], Spool] = OrderedDict()

    def __iter__(self) -> Iterator[Spool]:
        return iter(list(self._all.values()))

    def find(self, remote: RemotePath, version: Version | None) -> Spool | None:
        """The clean spool of that version, if there is one, here or on the shelf."""
        if version is None:
            return None
        if (spool := self._clean.get((remote, version))) is not None:
            self._clean.move_to_end((remote, version))
        return spool

    def fetched(self, remote: RemotePath, storage: Storage, version: Version | None) -> Spool | None:
        """As `find`, and on the shelf as well: what is found there is ours to use from now on."""
        if (spool := self.find(remote, version)) is not None or version is None or self.shelf is None:
            return spool
        path = f"{self.folder}/{secrets.token_hex(12)}"
        if (taken := self.shelf.take(remote, version, path)) is None:
            return None
        have, shared = taken
        spool = self._clean[(remote, version)] = self.adopt(Path(path), remote, storage, version[0], version)
        spool.present, spool.stamp, spool.shared, spool.taken = Extents(have.spans), have.stamp, shared, True
        spool.filed = True
        self.held += spool.held
        if not shared:
            self._unsynced.append(spool)
            self._called.set()
        return spool

    def make(
        self, remote: RemotePath, storage: Storage, *, size: int = 0, version: Version | None = None, keep: bool = True
    ) -> Spool:
        """A new empty spool; found by its version from now on if it has one and `keep`."""
        spool = self.adopt(self.folder / secrets.token_hex(12), remote, storage, size, version)
        if version is not None and keep:
            self._clean[(remote, version)] = spool
        return spool

    def expect(self, remote: RemotePath, storage: Storage, version: Version) -> Spool | None:
        """A spool to fetch into before anybody opens the file. None if it is here already, or too young to be kept."""
        if time.time() - version[1] < YOUNG or self.find(remote, version) is not None:
            return None
        if self.shelf is not None and self.shelf.has(remote, version):
            return None  # who opens it takes it from there: that needs no round trip
        spool = self.make(remote, storage, size=version[0], version=version)
        spool.unasked = True
        return spool

    def adopt(
        self, path: Path, remote: RemotePath, storage: Storage, size: int, version: Version | None = None
    ) -> Spool:
        """A spool over a file that is there already, or will be."""
        spool = self._all[path] = Spool(self, path, remote, storage, size, version)
        return spool

    def take(self, spool: Spool) -> None:
        """A handle has it open now."""
        spool.users += 1
        if spool.unasked:
            spool.unasked = False
            self.foreseen += spool.present.total

    def drop(self, spool: Spool) -> None:
        """A handle has closed it. A spool that nobody can find again is gone with its last handle."""
        spool.users -= 1
        self.rest(spool)

    def rest(self, spool: Spool) -> None:
        """Nobody may need it just now: close it, or let it go if nobody can find it again."""
        if spool.users or spool.dirty or spool.flights:
            return
        spool.close()
        if spool.orphan or spool.version is None or self._clean.get((spool.remote, spool.version)) is not spool:
            self._remove(spool)
        else:
            self.reserve(0)

    async def own(self, spool: Spool, needed: int) -> None:
        """Before it is changed, but for its first `needed` bytes: it is on no shelf, and no other mount has it."""
        if spool.light is not None:
            _ = spool.fd  # what is owed has a file
        if spool.version is None or self.shelf is None or not (spool.shared or spool.taken):
            return
        if not needed:
            self.held -= spool.held
            spool.path.unlink(missing_ok=True)
            spool.present, spool.shared, spool.taken = Extents(), False, False
            spool.reopen()
            return
        shelf, remote, version = self.shelf, spool.remote, spool.version
        copy = spool.path.with_suffix(".own")

        def part() -> bool:
            shelf.withdraw(remote, version)  # nobody can link it any more, so the number of links only falls
            if not spool.shared or spool.path.stat().st_nlink == 1:
                return False
            shutil.copyfile(spool.path, copy)
            copy.chmod(0o600)
            return True

        copied = await trio.to_thread.run_sync(part)
        # no await from here: another writer may have been quicker, and have written
        if spool.shared:
            if copied:
                copy.replace(spool.path)
                spool.reopen()
            spool.shared = False
            self.grown(spool.held)
        elif copied:
            copy.unlink(missing_ok=True)
        spool.taken = False

    def detach(self, spool: Spool) -> None:
        """It is not what its version says any more: it is about to be written."""
        if spool.version is not None and self._clean.get((spool.remote, spool.version)) is spool:
            del self._clean[(spool.remote, spool.version)]
        spool.version = None

    def settled(self, spool: Spool, version: Version | None) -> None:
        """The platform has it, as that version: it can be found by it."""
        spool.version = spool.base = version
        spool.stamp = None  # that was of what was there before
        if version is not None and not spool.orphan and not spool.gone:
            self._clean[(spool.remote, version)] = spool
        self.rest(spool)

    def moved(self, old: RemotePath, new: RemotePath) -> None:
        """A file or folder has a new path, and so has what is in it."""
        if self.shelf is not None:
            self.shelf.moved(old, new)
        for spool in self:
            if _is_at(spool.remote, new) and not _is_at(spool.remote, old):
                # what was there is so no more, though what is there now may have its version
                if spool.version is not None and self._clean.get((spool.remote, spool.version)) is spool:
                    del self._clean[(spool.remote, spool.version)]
                self.rest(spool)
        for spool in self:
            at = spool.remote
            if not _is_at(at, old):
                continue
            there = new._replace(path=new.path + at.path[len(old.path.rstrip("/")) :])
            if spool.version is not None and self._clean.get((at, spool.version)) is spool:
                del self._clean[(at, spool.version)]
                self._clean[(there, spool.version)] = spool
            spool.remote = there

    # the shelf -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Put on the shelf what rests, from time to time; for a nursery."""
        if self.shelf is None:
            return
        await self._look()
        due, late, seen = trio.current_time() + _REST, trio.current_time() + _PUT_LATE, self._come
        while True:
            with trio.move_on_at(due):
                await self._called.wait()
            self._called = trio.Event()
            if (now := trio.current_time()) >= due:
                busy, seen = self._come != seen, self._come
                if busy and now < late:
                    due = now + _QUIET
                else:
                    await self._safely(self.put_away)
                    due, late = trio.current_time() + _REST, trio.current_time() + _PUT_LATE
            await self._safely(self._tidy)

    @staticmethod
    async def _safely(act: Callable[[], Awaitable[None]]) -> None:
        try:
            await act()
        except OSError as trouble:
            _log.warning("the cache can't be kept for later: %s", trouble)

    async def _tidy(self) -> None:
        """What the disk has to be asked for, for a while, behind all others' backs."""
        assert self.shelf is not None
        if taken := [*self._unsynced]:
            await trio.to_thread.run_sync(self.shelf.sync)
            del self._unsynced[: len(taken)]
            for spool in taken:
                spool.taken = False
        if self.shelf.going:
            self.shelf.total += await trio.to_thread.run_sync(self.shelf.clear)
        if self._look_due():
            await self._look()
            self.reserve(0)

    def _look_due(self) -> bool:
        assert self.shelf is not None
        short = self.shelf.exhausted and self._over(self.room // 16) > 0
        wait = max(_REST, 4 * self._look_took) if short else max(_LOOK, 20 * self._look_took)
        return trio.current_time() >= self._looked_at + wait

    async def _look(self) -> None:
        """Count what is on the shelf, and what other mounts have. It reads the names of all that is there."""
        assert self.shelf is not None
        shared = {spool.path.name for spool in self if spool.shared}
        began = trio.current_time()
        await trio.to_thread.run_sync(self.shelf.look, self.folder, shared, abandon_on_cancel=True)
        self._looked_at = trio.current_time()
        self._look_took = self._looked_at - began

    async def put_away(self) -> None:
        """Put on the shelf what rests."""
        async with self._putting:
            await self._put_away()

    async def _put_away(self) -> None:
        assert self.shelf is not None
        for number, spool in enumerate(list(self._clean.values())):
            if not (spool.users or spool.dirty or spool.flights) and (spool.shared or not spool.present.total):
                self._remove(spool)  # it is there already, or there is nothing of it
            if number % 32 == 31:
                await trio.lowlevel.checkpoint()
        ready: list[tuple[Spool, Have | None]] = []
        for spool in list(self._clean.values()):
            if spool.users or spool.dirty or spool.flights or spool.orphan or spool.shared:
                continue
            if spool.present.total and not spool.young:
                ready.append((spool, None if spool.whole else Have(list(spool.present), spool.stamp)))
        if not ready:
            return
        before = [(spool.stirred, spool.light) for spool, _ in ready]
        paths = [spool.path if spool.light is None else self.folder / secrets.token_hex(12) for spool, _ in ready]
        await trio.to_thread.run_sync(self._prepare, ready, paths, abandon_on_cancel=True)
        for number, (spool, have) in enumerate(ready):
            # no await until it is put: nobody opens it in between
            resting = not (spool.users or spool.dirty or spool.flights or spool.orphan or spool.gone)
            if resting and spool.version is not None and (spool.stirred, spool.light) == before[number]:
                remote, version = spool.remote, spool.version
                self._forget(spool)
                try:
                    self.shelf.put(paths[number], remote, version, whole=have is None)
                except OSError:  # what nobody counts must not stay
                    paths[number].unlink(missing_ok=True)
                    shutil.rmtree(paths[number].with_suffix(".part"), ignore_errors=True)
            elif have is not None:
                shutil.rmtree(spool.path.with_suffix(".part"), ignore_errors=True)
            elif paths[number] != spool.path:
                paths[number].unlink(missing_ok=True)
            if number % 32 == 31:
                await trio.lowlevel.checkpoint()
        self.reserve(0)

    def _prepare(self, ready: list[tuple[Spool, Have | None]], paths: list[Path]) -> None:
        """Have all of them on the disk. Blocks: for a thread."""
        assert self.shelf is not None
        made = []
        try:
            for (spool, _), path in zip(ready, paths, strict=True):
                if path != spool.path:
                    made.append(path)
                    path.touch(0o600)
                    path.write_bytes(spool.light or b"")
            self.shelf.prepare((path, have) for (_, have), path in zip(ready, paths, strict=True))
        except OSError:
            for path in made:
                path.unlink(missing_ok=True)
            raise

    async def close(self) -> None:
        """The mount ends: what is owed stays, and on the shelf what can be used again."""
        for spool in self:
            spool.users = spool.flights = 0
        if self.shelf is not None:
            with trio.move_on_after(_CLOSING), suppress(OSError):
                await self.put_away()
            with suppress(OSError):
                await trio.to_thread.run_sync(self.shelf.clear)
        for spool in self:
            if spool.dirty:
                spool.close()
            else:
                self._remove(spool)
        with suppress(OSError):
            self.folder.rmdir()

    # room ------------------------------------------------------------------------------------------------------------

    def grown(self, by: int) -> None:
        """So many more bytes are held."""
        self.held += by
        self._come += 1

    def reserve(self, need: int) -> None:
        """Make room for so many more bytes."""
        if self._over(need) > 0:
            slack = min(_SLACK, self.room // 16)
            for way in (self._behind_large, self._on_shelf, self._resting, self._unneeded, self._unpinned):
                way(lambda: self._over(need) + slack)
                if self._over(need) <= 0:
                    return

    def share(self, readers: int) -> int:
        """The bytes that one of so many readers may have ahead of it."""
        return 0 if self.refusing else self.room // 2 // max(1, readers)

    @property
    def refusing(self) -> bool:
        """Whether the disk has lately refused to take anything: what is read is not kept then."""
        return time.monotonic() < self._full_until

    def full(self) -> None:
        """The disk is full though we are within our room: be content with half of what there is."""
        there = self.held + self._shelved
        self.room = min(self.room, max(there // 2, _HOLE))
        _log.warning("the disk of the cache is full: it has %d bytes from now on", self.room)
        self.reserve(0)
        if self.shelf is not None:
            self.shelf.total += self.shelf.clear()  # who writes can't wait for `run`

    def refused(self, trouble: OSError) -> None:
        """Not even that helps."""
        if not self.refusing:
            _log.warning("%s takes no more, so what is read is not kept: %s", self.folder, trouble.strerror)
        self._full_until = time.monotonic() + _FULL

    @property
    def _shelved(self) -> int:
        return self.shelf.total if self.shelf is not None else 0

    def _over(self, need: int) -> int:
        return self.held + self._shelved + need - self.room

    def _behind_large(self, over: Callable[[], int]) -> None:
        """A file that takes more than half of the room makes way for itself: what else is here may be wanted again."""
        for spool in self:
            if spool.users and spool.held > self.room // 2:
                self._thin(spool, self._wanted(spool), over)

    def _on_shelf(self, over: Callable[[], int]) -> None:
        if self.shelf is not None:
            self.shelf.evict(over())
            if self.shelf.going or (over() > 0 and self._look_due()):
                self._called.set()

    def _resting(self, over: Callable[[], int]) -> None:
        for spool in list(self._clean.values()):
            if over() <= 0:
                return
            if not (spool.users or spool.dirty or spool.flights):
                self._remove(spool)

    def _unneeded(self, over: Callable[[], int]) -> None:
        for spool in self:
            self._thin(spool, self._wanted(spool), over)

    def _unpinned(self, over: Callable[[], int]) -> None:
        for spool in self:
            self._thin(spool, spool.pins, over)

    @staticmethod
    def _wanted(spool: Spool) -> list[Span]:
        if spool.users and spool.size <= SMALL:
            return [(0, spool.size)]
        return [*spool.pins, *(span for reader in spool.readers for span in reader.spans(_BEHIND))]

    def _thin(self, spool: Spool, keep: list[Span], over: Callable[[], int]) -> None:
        """Drop what is not to be kept, from the beginning on. Only what could be fetched again."""
        if over() <= 0 or spool.shared or spool.dirty or spool.writing or spool.orphan or spool.base is None:
            return
        spare = Extents(spool.present)
        for span in keep:
            spare.remove(*span)
        if spool.taken:
            self._called.set()  # a crash could put it back there, as it was: the disk is asked to forget that first
            return
        for start, stop in spare:
            while start < stop and over() > 0:
                end = min(stop, start + max(over(), _BEHIND))
                spool.drop(start, end)
                start = end

    def _forget(self, spool: Spool) -> bool:
        """It is not ours any more; whether it was."""
        if self._all.pop(spool.path, None) is None:
            return False
        if spool.version is not None and self._clean.get((spool.remote, spool.version)) is spool:
            del self._clean[(spool.remote, spool.version)]
        spool.close()
        spool.lighten()
        spool.gone = True
        if spool.unasked:
            self.wasted += spool.present.total
        self.held -= spool.held
        return True

    def _remove(self, spool: Spool) -> None:
        if self._forget(spool):
            spool.path.unlink(missing_ok=True)


def _is_at(remote: RemotePath, place: RemotePath) -> bool:
    """Whether it is that place, or below it."""
    return remote[:2] == place[:2] and f"{remote.path.rstrip('/')}/".startswith(f"{place.path.rstrip('/')}/")
