"""Files and folders of ours used so that nobody can put a link in the way between the look and the use.

What `Disk.at` gives holds no link when it is given. A job may swap a folder for a link a moment later, to have the
tenant read or write outside for it. So what opens, scans or renames goes down to the place from the top, one folder
after the other, and follows no link; where there is one now, it fails as for a path that is no folder's (NotADirectory)
or, of a file, as for a circle of links (ELOOP).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

DOWN = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC  # to open a folder on the way, and no link


def opened(path: str) -> int:
    """A folder, opened to look in and to name what is below; the caller closes it."""
    fd = os.open("/", DOWN)
    try:
        for name in path.split("/"):
            if name:
                below = os.open(name, DOWN, dir_fd=fd)
                os.close(fd)
                fd = below
    except BaseException:
        os.close(fd)
        raise
    return fd


@contextlib.contextmanager
def folder(path: str | Path) -> Iterator[str]:
    """A folder as a path that stays the same folder's in the block, wherever its own path leads by then."""
    fd = opened(os.fspath(path))
    try:
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def open_file(path: str | Path, flags: int) -> int:
    """Open what is at a path; it is no link."""
    above, _, name = os.fspath(path).rpartition("/")
    fd = opened(above)
    try:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    finally:
        os.close(fd)


def rename(source: Path, target: Path) -> None:
    """Rename a file or a folder, over a file that is at the target."""
    with folder(source.parent) as old, folder(target.parent) as new:
        Path(f"{old}/{source.name}").rename(f"{new}/{target.name}")


def link(source: Path, target: Path) -> None:
    """Give a file a second name."""
    with folder(source.parent) as old, folder(target.parent) as new:
        os.link(f"{old}/{source.name}", f"{new}/{target.name}", follow_symlinks=False)
