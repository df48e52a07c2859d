"""What a folder on disk holds, page by page, in an order that does not move between two pages.

The names of a folder are scanned once per version of the folder and kept, a million of them too; of a page only its own
files are looked at. The order is that of a checksum of the names: as on the platform nobody may count on it, but a file
that is replaced between two pages keeps its place. A first page is one of the folder as it is; those after it go on
with the names that the first one found (see `walks`), however the folder changes: no name comes twice, and none that
stays is left out.
"""

from __future__ import annotations

import itertools
import os
import stat
import sys
import time
import zlib
from collections.abc import Iterable, Iterator

import cachetools
import trio

from agavesh.tenant.files import steady
from agavesh.tenant.files.disk import Disk
from agavesh.tenant.files.walks import Walk, Walks

BIG = 16 * 1024  # bytes of a folder's own size: above it a scan may take milliseconds and goes to a thread
SETTLED = 0.05  # seconds: a folder that changed just before its scan may change again without showing it
KEPT = 64 * 2**20  # bytes of names that are remembered: a million names are some twenty
TOGETHER = 256  # names in one text

Version = tuple[int, int, int, int]
Item = tuple[str, os.stat_result]


class Names:
    """The names of one folder in their order, as texts of some hundred each: a million small objects would be large."""

    def __init__(self, names: Iterable[str]) -> None:
        """Sorted part by part, so that the other threads are not kept waiting."""
        parts: list[list[str]] = [[] for _ in range(256)]
        for name in names:
            parts[_mark(name) >> 24].append(name)
        self._texts: list[str] = []
        waiting: list[str] = []
        self.size = 0  # bytes
        for at in range(256):
            part, parts[at] = parts[at], []
            waiting += sorted(part, key=lambda name: (_mark(name), name))
            while len(waiting) >= TOGETHER or (at == 255 and waiting):
                self._texts.append("/".join(waiting[:TOGETHER]))  # no name holds a slash
                self.size += sys.getsizeof(self._texts[-1])
                del waiting[:TOGETHER]

    def after(self, offset: int) -> Iterator[str]:
        """The names from a place on."""
        first, skip = divmod(offset, TOGETHER)
        for text in itertools.islice(self._texts, first, None):
            yield from text.split("/")[skip:]
            skip = 0


def _mark(name: str) -> int:
    return zlib.crc32(os.fsencode(name))


class _Found:
    """A folder as it is now, before its names are scanned."""

    def __init__(self, folder: str) -> None:
        found = os.stat(folder)  # noqa: PTH116 - at every page; a Path costs as much as the look
        self.folder, self.size = folder, found.st_size
        self.version = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
        self.settled = time.time() - found.st_mtime > SETTLED


class Listings:
    """The names of folders, as they were last scanned."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept: cachetools.LRUCache[str, tuple[Version, Names]] = cachetools.LRUCache(
            kept, getsizeof=lambda entry: entry[1].size + 500
        )
        self._walks = Walks()
        self._scanning = trio.Lock()  # one large folder at a time: who waits for the same has what was found

    async def names(self, folder: str) -> Names:
        """All names in a folder of this machine, in their order. OSError as from the folder itself."""
        return await self._names(_Found(folder))

    async def _names(self, found: _Found) -> Names:
        folder = found.folder
        if (names := self._known(found)) is None:
            if found.size <= BIG:
                return self._keep(found, _scan(folder))
            async with self._scanning:
                if (names := self._known(found := _Found(folder))) is None:
                    names = self._keep(found, await trio.to_thread.run_sync(_scan, folder))
        return names

    def _known(self, found: _Found) -> Names | None:
        kept = self._kept.get(found.folder)
        return kept[1] if kept is not None and kept[0] == found.version else None

    def _keep(self, found: _Found, names: Names) -> Names:
        self._kept.pop(found.folder, None)
        if found.settled and names.size + 500 < self._kept.maxsize:
            self._kept[found.folder] = (found.version, names)
        return names

    async def page(
        self, disk: Disk, path: str, offset: int, limit: int, *, caller: str, folder: str = ""
    ) -> list[Item]:
        """`limit` files of a folder from `offset` on, with what they are; a name that is gone makes room for the next.

        A link that leads out of the disk, or nowhere, is shown as itself. `folder` is where it is on this machine, for
        whoever knows that already.
        """
        there = _Found(folder or disk.at(path))
        whose = (caller, there.folder, *there.version[:2])  # another folder in its place is another way
        if (walk := self._walks.of(whose, offset)) is None:
            walk = Walk(await self._names(there), offset, offset)
        items: list[Item] = []
        place, looked_at = walk.place_of(offset), 0
        fd = steady.opened(there.folder)
        try:
            for name in walk.names.after(place):
                if len(items) >= limit:
                    break
                looked_at += 1
                try:
                    item = os.stat(name, dir_fd=fd, follow_symlinks=False)
                except (FileNotFoundError, NotADirectoryError):
                    continue
                if stat.S_ISLNK(item.st_mode):
                    item = _led_to(disk, f"/proc/self/fd/{fd}/{name}") or item
                items.append((name, item))
        finally:
            os.close(fd)
        if walk.gone_on(offset, place, len(items), looked_at):
            self._walks.keep(whose, walk)
        return items


def _scan(folder: str) -> Names:
    with steady.folder(folder) as there, os.scandir(there) as entries:
        return Names(entry.name for entry in entries)


def _led_to(disk: Disk, link: str) -> os.stat_result | None:
    """What a link leads to; None where that is outside, or nothing, or a circle."""
    if not (real := os.path.realpath(link)).startswith(disk.root + "/"):
        return None
    try:
        return os.lstat(real)
    except OSError:
        return None


def shown(name: str) -> str:
    """A name as JSON can say it: bytes that are not UTF-8 become replacement characters, and have no address."""
    return name if name.isascii() else name.encode(errors="surrogateescape").decode(errors="replace")
