"""The spool: the local copy of one remote file, as far as we have it.

A spool is a sparse file and the extents present in it. Readers have it filled (`fetch`), writers seal it (`writeback`);
it does no network itself. A spool that has been written is always whole. Clean spools are evicted when there is no more
room, least recently used first; open or dirty ones never are. Spools of one mount stand in a folder of its own, and
none outlives it but what is owed to the platform.
"""

from __future__ import annotations

import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from agavefs.extents import Extents
from agavesh.client.path import RemotePath
from agavesh.client.storage import Storage, Version

YOUNG = 2.0  # seconds: a file changed so shortly before we asked may change again and show the same time


class Spool:
    """One file's bytes. `users` are the handles that have it open; `changes` counts what was written here.

    `base` is the version that it began from, None for a new file. `row` is its journal row while something is owed to
    the platform; `writing` says that it is not sealed.
    """

    def __init__(
        self, keeper: Spools, path: Path, remote: RemotePath, storage: Storage, size: int, version: Version | None
    ) -> None:
        self.path, self.remote, self.storage = path, remote, storage
        self.size, self.version, self.base = size, version, version
        self.present = Extents()
        self.young = False  # fetched so shortly after a change that the version proves nothing
        self.stamp: str | None = None  # what the platform said of the bytes when it first sent some
        self.users = 0
        self.changes = 0
        self.changed_at = time.time()
        self.row: int | None = None
        self.writing = False
        self.sent_at = float("-inf")  # trio's clock
        self.orphan = False  # unlinked: what is written will never be sent
        self._keeper = keeper
        self._fd: int | None = None

    @property
    def dirty(self) -> bool:
        """Whether something in it is owed to the platform."""
        return self.row is not None

    @property
    def whole(self) -> bool:
        return self.present.has(0, self.size)

    @property
    def fd(self) -> int:
        if self._fd is None:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._fd

    def read(self, start: int, stop: int) -> bytes:
        """The bytes of `[start, stop)`, which must be present, as far as the file goes."""
        return os.pread(self.fd, max(0, min(stop, self.size) - start), start)

    def fill(self, start: int, data: bytes | bytearray) -> None:
        """Take in bytes of the platform's. What is present is left alone: it may have been written meanwhile."""
        view = memoryview(data)
        for begin, end in self.present.missing(start, min(start + len(view), self.size)):
            self._put(begin, view[begin - start : end - start])

    def write(self, start: int, data: bytes | bytearray) -> None:
        """Change bytes. The spool is whole; what lies between its end and `start` reads as zeros."""
        stop = start + len(data)
        self._put(start, memoryview(data))
        if stop > self.size:
            self._grow(0, stop)
            self.size = stop
        self._changed()

    def truncate(self, size: int) -> None:
        """Cut, or lengthen with zeros. The spool is whole up to `size`."""
        os.ftruncate(self.fd, size)
        before = self.present.total
        self.present = Extents([(0, size)])
        self._keeper.grown(size - before)
        self.size = size
        self._changed()

    def sync(self) -> None:
        """To the disk. Blocks: call it from a thread."""
        os.fsync(self.fd)

    def _put(self, start: int, data: memoryview) -> None:
        at = start
        while data:
            written = os.pwrite(self.fd, data, at)
            data, at = data[written:], at + written
        self._grow(start, at)

    def _grow(self, start: int, stop: int) -> None:
        before = self.present.total
        self.present.add(start, stop)
        self._keeper.grown(self.present.total - before)

    def _changed(self) -> None:
        self.changes += 1
        self.changed_at = time.time()

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __repr__(self) -> str:
        return f"<Spool {self.path.name} of {self.remote}, {self.present.total} of {self.size}>"


class Spools:
    """All spools of a mount. `room` in bytes is what they may take together, as far as they can be evicted."""

    def __init__(self, folder: Path, *, room: int) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder, self.room = folder, room
        self.held = 0  # bytes
        self._all: dict[Path, Spool] = {}
        self._clean: OrderedDict[tuple[RemotePath, Version], Spool] = OrderedDict()

    def __iter__(self) -> Iterator[Spool]:
        return iter(list(self._all.values()))

    def find(self, remote: RemotePath, version: Version | None) -> Spool | None:
        """The clean spool of that version, if there is one."""
        if version is None or (spool := self._clean.get((remote, version))) is None:
            return None
        self._clean.move_to_end((remote, version))
        return spool

    def make(
        self, remote: RemotePath, storage: Storage, *, size: int = 0, version: Version | None = None, keep: bool = True
    ) -> Spool:
        """A new empty spool; found by its version from now on if it has one and `keep`."""
        spool = self.adopt(self.folder / secrets.token_hex(12), remote, storage, size, version)
        if version is not None and keep:
            self._clean[(remote, version)] = spool
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

    def drop(self, spool: Spool) -> None:
        """A handle has closed it. A spool that nobody can find again is gone with its last handle."""
        spool.users -= 1
        self.rest(spool)

    def rest(self, spool: Spool) -> None:
        """Nobody may need it just now: close it, or let it go if nobody can find it again."""
        if spool.users or spool.dirty:
            return
        spool.close()
        if spool.orphan or spool.version is None or self._clean.get((spool.remote, spool.version)) is not spool:
            self._remove(spool)
        else:
            self._make_room()

    def detach(self, spool: Spool) -> None:
        """It is not what its version says any more: it is about to be written."""
        if spool.version is not None and self._clean.get((spool.remote, spool.version)) is spool:
            del self._clean[(spool.remote, spool.version)]
        spool.version = None

    def settled(self, spool: Spool, version: Version | None) -> None:
        """The platform has it, as that version: it can be found by it."""
        spool.version = spool.base = version
        if version is not None and not spool.orphan:
            self._clean[(spool.remote, version)] = spool
        self.rest(spool)

    def moved(self, old: RemotePath, new: RemotePath) -> None:
        """A file or folder has a new path, and so has what is in it."""
        inside = old.path.rstrip("/") + "/"
        for spool in self:
            at = spool.remote
            if at[:2] != old[:2] or not (at.path == old.path or at.path.startswith(inside)):
                continue
            there = new._replace(path=new.path + at.path[len(old.path.rstrip("/")) :])
            if spool.version is not None and self._clean.get((at, spool.version)) is spool:
                del self._clean[(at, spool.version)]
                self._clean[(there, spool.version)] = spool
            spool.remote = there

    def grown(self, by: int) -> None:
        """So many more bytes are held."""
        self.held += by
        if by > 0 and self.held > self.room:
            self._make_room()

    def close(self) -> None:
        """The mount ends: only what is owed stays."""
        for spool in self:
            spool.users = 0
            if spool.dirty:
                spool.close()
            else:
                self._remove(spool)
        with suppress(OSError):
            self.folder.rmdir()

    def _make_room(self) -> None:
        if self.held <= self.room:
            return
        for spool in list(self._clean.values()):
            if not spool.users and not spool.dirty:
                self._remove(spool)
                if self.held <= self.room:
                    return

    def _remove(self, spool: Spool) -> None:
        if self._all.pop(spool.path, None) is None:
            return
        if spool.version is not None and self._clean.get((spool.remote, spool.version)) is spool:
            del self._clean[(spool.remote, spool.version)]
        spool.close()
        self.held -= spool.present.total
        spool.path.unlink(missing_ok=True)
