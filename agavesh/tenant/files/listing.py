"""What a folder on disk holds, page by page, in an order that does not move between two pages.

The names of a folder are scanned once per version of the folder and kept; of a page only its own files are looked at.
The order is that of a checksum of the names: as on the platform nobody may count on it, but a file that is replaced
between two pages keeps its place.
"""

from __future__ import annotations

import os
import stat
import time
import zlib
from pathlib import Path

import cachetools
import trio

from agavesh.tenant.files.disk import Disk

BIG = 16 * 1024  # bytes of a folder's own size: above it a scan may take milliseconds and goes to a thread
SETTLED = 0.05  # seconds: a folder that changed just before its scan may change again without showing it

Version = tuple[int, int, int, int]
Item = tuple[str, os.stat_result]


class Listings:
    """The names of folders, as they were last scanned. At most `kept` names are remembered."""

    def __init__(self, kept: int = 200_000) -> None:
        self._kept: cachetools.LRUCache[str, tuple[Version, list[str]]] = cachetools.LRUCache(
            kept, getsizeof=lambda entry: len(entry[1]) + 1
        )

    async def names(self, folder: str) -> list[str]:
        """All names in a folder of this machine, in their order. OSError as from the folder itself."""
        found, version = _version(folder)
        if (kept := self._kept.get(folder)) is not None and kept[0] == version:
            return kept[1]
        started = time.time()
        names = await trio.to_thread.run_sync(_scan, folder) if found.st_size > BIG else _scan(folder)
        self._kept.pop(folder, None)
        if started - found.st_mtime > SETTLED and len(names) < self._kept.maxsize:
            self._kept[folder] = (version, names)
        return names

    async def page(self, disk: Disk, path: str, offset: int, limit: int) -> list[Item]:
        """`limit` files of a folder from `offset` on, with what they are; a name that is gone makes room for the next.

        A link that leads out of the disk, or nowhere, is shown as itself.
        """
        folder = disk.at(path)
        found: list[Item] = []
        for name in (await self.names(folder))[offset:]:
            if len(found) >= limit:
                break
            if (item := _look(disk, folder, name)) is not None:
                found.append((name, item))
        return found


def _version(folder: str) -> tuple[os.stat_result, Version]:
    found = Path(folder).stat()
    return found, (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)


def _scan(folder: str) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted((entry.name for entry in entries), key=lambda name: (zlib.crc32(os.fsencode(name)), name))


def _look(disk: Disk, folder: str, name: str) -> os.stat_result | None:
    path = f"{folder}/{name}"
    try:
        itself = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISLNK(itself.st_mode) or not os.path.realpath(path).startswith(disk.root + "/"):
        return itself
    try:
        return Path(path).stat()
    except OSError:  # it leads nowhere, or in a circle
        return itself


def shown(name: str) -> str:
    """A name as JSON can say it: bytes that are not UTF-8 become replacement characters, and have no address."""
    return name if name.isascii() else name.encode(errors="surrogateescape").decode(errors="replace")
