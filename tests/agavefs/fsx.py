"""Random I/O on one file after another, as fsx does it, against bytes in memory. A program of its own:
`python -m tests.agavefs.fsx FOLDER PLATFORM SEED SECONDS [alone]`, since a page of a map may wait for the mount.

FOLDER is in a mount, PLATFORM the same folder on the tenant's own disk. All that is done follows from the seed, and
is told on stderr; the first that is wrong ends it. `alone`: a file that is open is not opened a second time.
"""

from __future__ import annotations

import collections
import functools
import hashlib
import json
import mmap
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

from agavesh.client import connect
from agavesh.client.blocking import Connection

NAMES = ("a", "b", "d/a")
SIZES = (5_000, 150_000, 1_500_000, 3_000_000)  # one page or two, about a small file's, and more than a block
PATIENCE = 20  # seconds
SYSTEM, HOME = "data.demo", "/alice"


class Wrong(Exception):
    """What was read is not what was written."""


class Exerciser:
    """Files by name, what they should hold, and one of them open for both, or none. `do` does one thing, any."""

    def __init__(self, folder: Path, platform: Path, seed: int, *, alone: bool) -> None:
        self.folder, self.platform, self.alone = folder, platform, alone
        self.random = random.Random(seed)
        self.most = self.random.choice(SIZES)
        self.files: dict[str, bytearray] = {}
        self.name, self.fd = NAMES[0], -1
        self.wrote = self.mapped = False  # by this descriptor
        self.counts: collections.Counter[str] = collections.Counter()
        (folder / "d").mkdir()

    @functools.cached_property
    def agave(self) -> Connection:
        return connect()

    @property
    def right(self) -> bytearray:
        return self.files[self.name]

    def note(self, what: str) -> None:
        self.counts[what.split()[0]] += 1
        # at once: a page of a map that can't be had ends us without a word
        size = len(self.files.get(self.name, b""))
        print(f"{self.counts.total()} {self.name} of {size}: {what}", file=sys.stderr, flush=True)

    def same(self, found: bytes, right: bytes, start: int = 0) -> None:
        if found != right:
            differing = (place for place, pair in enumerate(zip(found, right, strict=False)) if pair[0] != pair[1])
            place = next(differing, min(len(found), len(right)))
            raise Wrong(
                f"{len(found)} bytes, not {len(right)}; from {start + place} on"
                f" {bytes(found[place : place + 16])!r}, not {bytes(right[place : place + 16])!r}"
            )

    def span(self, most: int) -> tuple[int, int]:
        """A place and a size, anywhere below `most`; more often small, and at the borders of pages."""
        place = self.random.randrange(most + 1)
        if self.random.random() < 0.3:
            place = place // 4096 * 4096
        size = self.random.choice([1, 10, 4096, 20_000, most or 1])
        return place, min(self.random.randint(1, size), max(1, self.most - place))

    def bytes(self, size: int) -> bytes:
        return self.random.randbytes(size)

    # what is done ----------------------------------------------------------------------------------------------------

    def do(self) -> None:
        acts = self.WHEN_CLOSED if self.fd < 0 else self.WHEN_ALONE if self.alone else self.WHEN_OPEN
        self.random.choices(*acts)[0](self)

    def open(self) -> None:
        self.name = self.random.choice(NAMES)
        flags = os.O_RDWR | os.O_CREAT
        if self.random.random() < 0.1:
            flags |= os.O_TRUNC
            self.files[self.name] = bytearray()
        self.note(f"open {flags:#o}")
        self.fd = os.open(self.folder / self.name, flags)
        self.wrote = self.mapped = False
        self.files.setdefault(self.name, bytearray())
        self.look()

    def look(self) -> None:
        self.note("fstat")
        if (found := os.fstat(self.fd).st_size) != len(self.right):
            raise Wrong(f"a size of {found}, not {len(self.right)}")

    def read(self) -> None:
        place, size = self.span(len(self.right))
        self.note(f"read {size} at {place}")
        self.same(os.pread(self.fd, size, place), self.right[place : place + size], place)

    def read_by_another(self) -> None:
        self.note("read_by_another")
        self.same((self.folder / self.name).read_bytes(), self.right)

    def write(self) -> None:
        place, size = self.span(self.most)
        self.note(f"write {size} at {place}")
        self.put(place, os.pwrite, self.bytes(size))

    def put(self, place: int, act: Callable[[int, bytes, int], int], data: bytes) -> None:
        if (done := act(self.fd, data, place)) != len(data):
            raise Wrong(f"{done} bytes written, not {len(data)}")
        self.wrote = True
        if len(self.right) < place:
            self.right.extend(bytes(place - len(self.right)))
        self.right[place : place + len(data)] = data

    def append(self) -> None:
        data = self.bytes(self.random.choice([1, 100, 10_000]))
        if len(self.right) + len(data) > self.most:
            return
        self.note(f"append {len(data)}")
        other = os.open(self.folder / self.name, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(other, data)
            self.right.extend(data)
        finally:
            os.close(other)

    def truncate(self) -> None:
        size = self.random.choice([0, self.span(self.most)[0], self.span(len(self.right))[0]])
        by_name = not self.alone and self.random.random() < 0.5
        self.note(f"truncate to {size}{' by name' if by_name else ''}")
        os.truncate(self.folder / self.name if by_name else self.fd, size)
        self.wrote = self.wrote or not by_name
        self.set_size(size)

    def set_size(self, size: int) -> None:
        del self.right[size:]
        self.right.extend(bytes(size - len(self.right)))

    def map(self, access: int) -> mmap.mmap:
        self.mapped = True  # by a copy of the descriptor, whose close is the first
        return mmap.mmap(self.fd, 0, prot=access)

    def map_read(self) -> None:
        if not self.right:
            return
        place, size = self.span(len(self.right) - 1)
        self.note(f"map_read {size} at {place}")
        with self.map(mmap.PROT_READ) as shared:
            self.same(shared[place : place + size], self.right[place : place + size], place)

    def map_write(self) -> None:
        if not self.right:
            return
        place, size = self.span(len(self.right) - 1)
        data = self.bytes(min(size, len(self.right) - place))
        synced = self.random.random() < 0.5
        self.note(f"map_write {len(data)} at {place}{' and msync' if synced else ''}")
        with self.map(mmap.PROT_READ | mmap.PROT_WRITE) as shared:
            shared[place : place + len(data)] = data
            if synced:
                shared.flush()
        self.right[place : place + len(data)] = data

    def sync(self) -> None:
        self.note("sync")
        os.fsync(self.fd)
        self.arrived()

    def forget(self) -> None:
        """Have the kernel read it anew."""
        self.note("forget")
        os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def copy(self) -> None:
        if not self.right:
            return
        place, size = self.span(len(self.right) - 1)
        target = self.span(self.most)[0]
        size = min(size, len(self.right) - place, self.most - target)
        if size <= 0 or (place < target + size and target < place + size):
            return
        self.note(f"copy {size} from {place} to {target}")
        data = bytes(self.right[place : place + size])

        def act(fd: int, data: bytes, target: int) -> int:
            return os.copy_file_range(fd, fd, size, place, target)

        self.put(target, act, data)

    def rename(self) -> None:
        # what replaces another is as if it was changed just now: see `replace_behind`
        names = [name for name in NAMES if name != self.name and (self.alone or name not in self.files)]
        if not names:
            return
        name = self.random.choice(names)
        self.note(f"rename to {name}")
        (self.folder / self.name).rename(self.folder / name)
        self.files[name] = self.files.pop(self.name)
        self.name = name

    def close(self) -> None:
        self.note("close")
        fd, self.fd = self.fd, -1
        os.close(fd)
        # what is only emptied, or was closed before, is sent behind
        self.arrived(within=0 if self.wrote and not self.mapped else PATIENCE)

    def unlink(self) -> None:
        if self.name in self.files:
            self.note("unlink")
            (self.folder / self.name).unlink()
            del self.files[self.name]

    def truncate_closed(self) -> None:
        if self.name in self.files:
            size = self.random.choice([0, self.span(self.most)[0]])
            self.note(f"truncate_closed to {size}")
            os.truncate(self.folder / self.name, size)
            self.set_size(size)
            self.arrived()

    def rename_closed(self) -> None:
        if self.name in self.files:
            self.rename()

    def replace_behind(self) -> None:
        """Others put a file in its place, by the API."""
        if self.name not in self.files:
            return
        data = self.bytes(self.random.randrange(self.most))
        self.settled()  # what is still on its way is as good as being written
        self.note(f"replace_behind by {len(data)}")
        folder, _, name = self.name.rpartition("/")
        self.agave.files.importData(
            systemId=SYSTEM, filePath=f"{HOME}/{self.folder.name}/{folder}", fileName=name, fileToUpload=data
        )
        self.files[self.name] = bytearray(data)
        self.arrived(within=PATIENCE)
        # of what was changed within two seconds each descriptor has bytes of its own, which others' writes don't reach
        place = self.platform / self.name
        os.utime(place, (place.stat().st_atime, 1e9 + self.counts.total()))

    def read_whole(self) -> None:
        self.note("read_whole")
        for name, right in self.files.items():
            self.same((self.folder / name).read_bytes(), right)

    WHEN_CLOSED = (
        (open, unlink, truncate_closed, rename_closed, replace_behind, read_whole),
        (15, 2, 3, 3, 3, 2),
    )
    WHEN_OPEN = (
        (read, write, append, truncate, map_read, map_write, sync, forget, copy, rename, read_by_another, look, close),
        (20, 20, 5, 8, 8, 8, 2, 5, 5, 1, 3, 2, 6),
    )
    WHEN_ALONE = (
        (read, write, truncate, map_read, map_write, sync, forget, copy, rename, look, close),
        (20, 20, 8, 8, 8, 2, 5, 5, 1, 2, 6),
    )

    def arrived(self, within: float = 0) -> None:
        """The platform has it: at once, or in so many seconds."""
        end = time.monotonic() + within
        while (found := self.there()) != self.right and time.monotonic() < end:
            time.sleep(0.01)  # it is on its way
        self.note("seen by the platform")
        self.same(b"nothing" if found is None else found, self.right)

    def settled(self) -> None:
        """The mount owes nothing."""
        end = time.monotonic() + PATIENCE
        while "not sent    0\nto remove   0\n" not in (self.folder.parents[3] / ".agavefs/status").read_text():
            if time.monotonic() > end:
                raise Wrong("it is still owed")
            time.sleep(0.01)

    def there(self) -> bytes | None:
        try:
            return (self.platform / self.name).read_bytes()
        except FileNotFoundError:
            return None


def run(folder: Path, platform: Path, seed: int, seconds: float, *, alone: bool) -> None:
    it, end = Exerciser(folder, platform, seed, alone=alone), time.monotonic() + seconds
    while time.monotonic() < end:
        it.do()
    if it.fd >= 0:
        it.close()
    it.read_whole()
    told = {name: hashlib.sha256(right).hexdigest() for name, right in it.files.items()}
    print(json.dumps({"files": told, "most": it.most, "done": it.counts}))


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), alone=sys.argv[5:] == ["alone"])
