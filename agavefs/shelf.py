"""The shelf: clean spools at rest, on the disk, for all mounts of an account that have the same cache folder.

    kept/<account>/<key>           a whole file: taken by a link, so that several mounts may have it at once. It is
                                   never changed where others may have it: who wants to, takes it off, or copies it
    kept/<account>/<key>.part/     a file of which some spans are here, `data`, and what they are, `have`; taken by a
                                   rename, so that one mount has it

The key is made of the file's place and version, the folder of the tenant's URL and the user: what is found is what was
asked for, and another account's is never found. What is put here has been synced before it gets its name, so a crash
leaves it whole or not here. Least recently used goes first, whosever it is. There is no index to go wrong: the names
are all there is. It knows nothing of the network nor of who has a spool open.
"""

from __future__ import annotations

import ctypes
import hashlib
import heapq
import os
import shutil
import stat
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from agavefs.extents import Extents, Span
from agavesh.client.path import RemotePath
from agavesh.client.storage import Version

_EACH = 16  # files that are synced one by one; for more the whole filesystem is, once
_BLOCK = 4096  # bytes: the least that a file takes
_OLDEST = 2**14  # things of which one look tells that they go first: 64 MiB at the least
_MOVED = 2**14  # moves that are remembered one by one
COUNT = "count"  # the file that says how many bytes there were at the last look


class Have(msgspec.Struct, frozen=True):
    """What is there of a file, and the stamp that its bytes came with."""

    spans: list[Span]
    stamp: str | None = None


class _Kept(NamedTuple):
    """One thing on the shelf: when it was used last, the bytes that it takes, and where it is."""

    used: float
    held: int
    path: str


class Shelf:
    """The shelf of one account.

    `total`: the bytes on the shelves of all accounts in this folder and in the spools of other mounts, as last looked;
    what is put and taken here is counted at once. `going`: what is to go, for `clear`.
    """

    def __init__(self, folder: Path, account: str) -> None:
        self._all = folder
        self.folder = folder_of(folder, account)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._oldest_last: list[_Kept] = []  # some: a shelf may have millions
        self.going: list[_Kept] = []
        self._moves = 0
        self._moved: dict[tuple[str, str, str], int] = {}  # by which move it was when a place changed last
        self._put_after: dict[str, int] = {}  # what was put since: after which move
        self.total = 0

    @staticmethod
    def _key(remote: RemotePath, version: Version) -> str:
        text = "\0".join((*remote, repr(version)))
        return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=20).hexdigest()

    def moved(self, old: RemotePath, new: RemotePath) -> None:
        """What was put here of both places, and below, may not be what is there now though its version is the same."""
        self._moves += 1
        if len(self._moved) > _MOVED:
            self._moved = {(kind, owner, ""): self._moves for kind, owner, _ in self._moved}
        for kind, owner, path in (old, new):
            self._moved[kind, owner, path.rstrip("/")] = self._moves

    def _doubt(self, remote: RemotePath, key: str) -> int:
        """After which move it must have been put here; 0 if it is beyond doubt."""
        if not self._moved:
            return 0
        kind, owner, path = remote
        last = self._moved.get((kind, owner, ""), 0)
        while path := path.rstrip("/"):
            last = max(last, self._moved.get((kind, owner, path), 0))
            path = path.rpartition("/")[0]
        return last if last > self._put_after.get(key, 0) else 0

    # taking ----------------------------------------------------------------------------------------------------------

    def take(self, remote: RemotePath, version: Version, into: str) -> tuple[Have, bool] | None:
        """Have that file at `into`; what is there of it, and whether others may have it, too. None: it is not here."""
        key = self._key(remote, version)
        if self._doubt(remote, key):
            return None
        # no Paths: each small file that is opened is looked for here, and a Path costs as much as the look
        kept = f"{self.folder}/{key}"
        with suppress(OSError):
            os.link(kept, into)
            if os.stat(into).st_size == version[0]:  # noqa: PTH116 - as above
                with suppress(OSError):
                    os.utime(kept)
                return Have([(0, version[0])]), True
            os.unlink(into)  # noqa: PTH108 - as above
        try:
            os.rename(f"{kept}.part", f"{into}.part")  # noqa: PTH104 - as above
        except OSError:
            return None
        claimed = Path(f"{into}.part")
        try:
            have = msgspec.json.decode((claimed / "have").read_bytes(), type=Have)
            self.total -= _held(claimed)
            (claimed / "data").rename(into)
        except (OSError, msgspec.MsgspecError):
            return None
        finally:
            shutil.rmtree(claimed, ignore_errors=True)
        return have, False

    def has(self, remote: RemotePath, version: Version) -> bool:
        """Whether all of that file is here."""
        key = self._key(remote, version)
        return not self._doubt(remote, key) and os.access(f"{self.folder}/{key}", os.F_OK)

    def withdraw(self, remote: RemotePath, version: Version) -> None:
        """Nobody finds it from now on, not after a crash either. Blocks."""
        (self.folder / self._key(remote, version)).unlink(missing_ok=True)
        self.sync()

    def sync(self) -> None:
        """What was taken stays taken, after a crash, too. Blocks."""
        fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    # putting ---------------------------------------------------------------------------------------------------------

    @staticmethod
    def prepare(spools: Iterable[tuple[Path, Have | None]]) -> None:
        """Put files on the disk, and beside those that are not whole what there is of them. Blocks: for a thread."""
        files = []
        for path, have in spools:
            files.append(path)
            if have is not None:
                part = path.with_suffix(".part")
                part.mkdir(mode=0o700, exist_ok=True)
                (part / "have").write_bytes(msgspec.json.encode(have))
                files.append(part / "have")
        if len(files) > _EACH:
            files = [] if _sync_all(files[0]) else files
        for file in files:
            fd = os.open(file, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def put(self, path: Path, remote: RemotePath, version: Version, *, whole: bool) -> None:
        """A prepared file goes on the shelf; one that is there already stays. OSError."""
        key = self._key(remote, version)
        held = _held(path)
        kept, part = self.folder / key, self.folder / f"{key}.part"
        if after := self._doubt(remote, key):
            kept.unlink(missing_ok=True)
            shutil.rmtree(part, ignore_errors=True)
            if len(self._put_after) > _MOVED:
                self._put_after.clear()
            self._put_after[key] = after
        if whole:
            if kept.exists():
                path.unlink()
                return
            path.rename(kept)
            shutil.rmtree(part, ignore_errors=True)
        else:
            ours = path.with_suffix(".part")
            if kept.exists() or part.exists():
                shutil.rmtree(ours, ignore_errors=True)
                path.unlink()
                return
            path.rename(ours / "data")
            ours.rename(part)  # if another mount was quicker this fails, and what is left is swept
        self.total += held

    # room ------------------------------------------------------------------------------------------------------------

    def look(self, ours: Path, shared: Collection[str] = ()) -> None:
        """Count what is here and in the spools beside `ours`, and of ours what is `shared`. Blocks: for a thread."""
        several: set[int] = set()  # what has more than one name is counted once
        total = 0

        def resting() -> Iterator[_Kept]:
            nonlocal total
            for folder in _entries(self._all):
                for entry in _entries(folder.path):
                    with suppress(OSError):
                        about = entry.stat(follow_symlinks=False)
                        part = stat.S_ISDIR(about.st_mode)
                        held = _taken(Path(entry.path, "data").stat() if part else about)
                        total += held
                        if part or about.st_nlink == 1:
                            yield _Kept(about.st_mtime, held, entry.path)
                        else:
                            several.add(about.st_ino)  # somebody has it open: it would free nothing

        oldest = heapq.nsmallest(_OLDEST, resting())
        for folder in _entries(ours.parent):
            for entry in _entries(folder.path):
                with suppress(OSError):
                    about = entry.stat(follow_symlinks=False)
                    counted = about.st_ino in several or (folder.name == ours.name and entry.name not in shared)
                    if not counted and stat.S_ISREG(about.st_mode):
                        total += about.st_blocks * 512
                        several.add(about.st_ino)
        with suppress(OSError):
            (self._all / COUNT).write_text(str(total))
        going = {kept.path for kept in self.going}
        self._oldest_last = [kept for kept in reversed(oldest) if kept.path not in going]
        self.total = total - sum(kept.held for kept in self.going)

    @property
    def exhausted(self) -> bool:
        """Whether only a look could tell what may go next."""
        return not self._oldest_last

    def evict(self, need: int) -> int:
        """Choose what was used longest ago, `need` bytes of it, for `clear` to let go of; how many bytes that are."""
        freed = 0
        while freed < need and self._oldest_last:
            kept = self._oldest_last.pop()
            self.going.append(kept)
            freed += kept.held
        self.total = max(0, self.total - freed)
        return freed

    def clear(self) -> int:
        """Let go of what is to go; how many bytes of it stay after all. Blocks: for a thread."""
        stay = 0
        while self.going:
            kept = self.going.pop()
            with suppress(OSError):
                path = Path(kept.path)
                about = path.stat()
                if about.st_mtime > kept.used or (stat.S_ISREG(about.st_mode) and about.st_nlink > 1):
                    stay += kept.held  # used since: the next look finds its place
                elif stat.S_ISDIR(about.st_mode):
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()
        return stay


def _entries(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    """What is in a folder, if it is one and as far as it can be read."""
    with suppress(OSError), os.scandir(folder) as entries:
        yield from entries


def _taken(about: os.stat_result) -> int:
    return max(about.st_blocks * 512, _BLOCK)


def _held(path: Path) -> int:
    """The bytes of disk that something on the shelf takes."""
    if path.suffix:
        path /= "data"
    return _taken(path.stat())


def _sync_all(file: Path) -> bool:
    """Put all of a filesystem on the disk; whether there is such a call."""
    call = getattr(ctypes.CDLL(None), "syncfs", None)
    if call is None:
        return False
    fd = os.open(file, os.O_RDONLY)
    try:
        return bool(call(fd) == 0)
    finally:
        os.close(fd)


def folder_of(folder: Path, account: str) -> Path:
    """Where an account's part of a shelf is."""
    return folder / hashlib.blake2b(account.encode(), digest_size=12).hexdigest()


def extents(have: Have) -> Extents:
    """The spans that are there."""
    return Extents(have.spans)
