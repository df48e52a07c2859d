"""Files and whole folders, put in place, copied and removed. These block: call them in a thread, one of trio's.

A copied file arrives by one rename, so that nobody reads a part of it, and a copy that was cut short is simply made
again. Pipes and devices are left out. A copy ends between two blocks when the task that waits for it is cancelled.

A job can leave folders in folders without end, deeper than any path may be. Such a tree is not copied or looked
through, which is said (400), but it can be removed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path

import trio

from agavesh.tenant.files import steady
from agavesh.tenant.files.disk import DEEPEST
from agavesh.tenant.refusal import Refusal

BLOCK = 1 << 20  # bytes

Wanted = Callable[[str], bool]  # of a path from the top of the copied tree, without a leading slash


def dress(temporary: Path, target: Path, *, like: int = 0o644) -> None:
    """Give `temporary` the mode of what is at `target`, else that of `like`."""
    try:
        mode = stat.S_IMODE(target.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        mode = stat.S_IMODE(like)
    temporary.chmod(mode | 0o600)


def sync(file: Path) -> int:
    """Have the bytes of a file on the disk. How many there are."""
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
        return os.fstat(fd).st_size
    finally:
        os.close(fd)


def copy_file(source: Path, target: Path, staging: Path, *, append: bool = False, faithful: bool = False) -> int:
    """Let `target` hold the bytes of `source`, or what it held and then those. Bytes copied.

    A faithful copy has the source's mode and time, any other is as new as it is, with the mode of what was there.
    """
    temporary = staging / secrets.token_hex(8)
    try:
        found = fill(temporary, source, after=target if append else None)
        if found is None:
            return 0
        if faithful:
            temporary.chmod(found.st_mode & 0o777 | 0o600)
            os.utime(temporary, ns=(found.st_atime_ns, found.st_mtime_ns))
        else:
            dress(temporary, target, like=found.st_mode)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return found.st_size


def fill(temporary: Path, source: Path, *, after: Path | None = None) -> os.stat_result | None:
    """Write the bytes of `source` to a new file, on the disk, behind those of `after` if that is there. What `source`
    is; None, and no file, if it is no plain one."""
    # a pipe put in the file's place meanwhile must not hold us up
    reading = steady.open_file(source, os.O_RDONLY | os.O_NONBLOCK)
    try:
        found = os.fstat(reading)
        if not stat.S_ISREG(found.st_mode):
            return None
        with temporary.open("wb", buffering=0) as writing:
            if after is not None and after.exists():
                there = steady.open_file(after, os.O_RDONLY | os.O_NONBLOCK)
                try:
                    _pour(there, writing)
                finally:
                    os.close(there)
            _pour(reading, writing)
            os.fsync(writing.fileno())
        return found
    finally:
        os.close(reading)


def _pour(reading: int, writing: FileIO) -> None:
    while block := os.read(reading, BLOCK):
        trio.from_thread.check_cancelled()
        view = memoryview(block)
        while view:
            view = view[writing.write(view) or 0 :]


def _all(path: str) -> bool:
    return True


def copy_tree(
    source: Path, target: Path, staging: Path, *, within: Path, wanted: Wanted = _all, faithful: bool = False
) -> int:
    """Copy all that is `wanted` below a folder into `target`, over what is there. Bytes copied.

    Links that lead out of `within` are left out. Of the others a faithful copy keeps the relative ones; any other has
    in their place the files that they lead to, and nothing for those that lead to folders.
    """
    total, within = 0, within.resolve()
    target.mkdir(parents=True, exist_ok=True)
    made = {target}
    for path, entry in _walk(source):
        trio.from_thread.check_cancelled()
        if not wanted(path):
            continue
        here, there = source / path, target / path
        if entry.is_dir(follow_symlinks=False):
            if not os.listdir(here):  # noqa: PTH208 - others come with what is wanted of them
                _make_folder(there, made)
            continue
        _make_folder(there.parent, made)
        if entry.is_file(follow_symlinks=False):
            total += copy_file(here, there, staging, faithful=faithful)
        elif entry.is_symlink() and (real := Path(os.path.realpath(here))).is_relative_to(within):
            if faithful:
                _copy_link(here, there)
            elif real.is_file():
                total += copy_file(real, there, staging)
    return total


def _make_folder(folder: Path, made: set[Path]) -> None:
    """Make a folder below those that are `made`. A link in its place goes: what is copied stays in the target."""
    if folder in made:
        return
    _make_folder(folder.parent, made)
    if folder.is_symlink():
        folder.unlink()
    folder.mkdir(exist_ok=True)
    made.add(folder)


def _walk(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """All that is below a folder, folders before what is in them. Refusal 400 where it is deeper than a path may be."""
    left = [""]
    while left:
        above = left.pop()
        if above.count("/") > DEEPEST:
            raise Refusal(400, f"In {folder.name} there are folders that lie more than {DEEPEST} names deep")
        with steady.folder(folder / above) as there, os.scandir(there) as entries:
            found = list(entries)
        for entry in found:
            yield above + entry.name, entry
            if entry.is_dir(follow_symlinks=False):
                left.append(f"{above}{entry.name}/")


def _copy_link(link: Path, target: Path) -> None:
    leads = link.readlink()
    if leads.is_absolute():
        return
    if target.is_symlink() or target.is_file():
        target.unlink()
    target.symlink_to(leads)


def paths_below(folder: Path) -> list[str]:
    """The paths of all that is in a folder, from there; none for what is no folder."""
    return [path for path, _ in _walk(folder)] if _is_folder(folder) else []


def in_the_way(tree: Path, target: Path) -> str | None:
    """A name in `tree` that cannot be put into the folder `target`: a file for a folder, or the other way round."""
    for path, entry in _walk(tree):
        there = target / path
        if os.path.lexists(there) and _is_folder(there) != entry.is_dir(follow_symlinks=False):
            return path
    return None


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def graft(tree: Path, target: Path) -> None:
    """Move what is in one folder into another, over what is there. It can be done again after it was cut short.

    The tree was made by a copy, so it is not too deep.
    """
    if not tree.is_dir():
        return  # all of it was moved before
    target.mkdir(parents=True, exist_ok=True)
    for entry in list(tree.iterdir()):
        there = target / entry.name
        if _is_folder(entry) and _is_folder(there):
            graft(entry, there)
            continue
        if not entry.is_dir():
            dress(entry, there, like=entry.stat().st_mode)
        entry.rename(there)
    tree.rmdir()


def erase(path: Path) -> None:
    """Remove a file, or a folder with all that is in it, as far as can be. What is left is taken up at the next start;
    what is gone already is no trouble."""
    with contextlib.suppress(OSError):
        if not path.is_dir() or path.is_symlink():
            path.unlink()
            return
        _empty(os.open(path, steady.DOWN))
        path.rmdir()


def _empty(here: int) -> None:
    """Remove what is in a folder that is open, and close it.

    One folder is open at a time, and no path is made: how deep it is does not matter. Whoever moves a folder away while
    we are in it ends the work: we leave a folder only for the one that we came from.
    """
    above: list[tuple[str, os.stat_result]] = []  # the folders that we are in, and what each was found in
    try:
        left = [_clear(here)]
        while True:
            if left[-1]:
                name = left[-1].pop()
                try:
                    below = os.open(name, steady.DOWN, dir_fd=here)
                except OSError:
                    continue
                above.append((name, os.fstat(here)))
                os.close(here)
                here = below
                left.append(_clear(here))
            elif above:
                left.pop()
                name, found_in = above.pop()
                up = os.open("..", steady.DOWN, dir_fd=here)
                os.close(here)
                here = up
                if not os.path.samestat(os.fstat(here), found_in):
                    return
                with contextlib.suppress(OSError):
                    os.rmdir(name, dir_fd=here)
            else:
                return
    finally:
        os.close(here)


def _clear(folder: int) -> list[str]:
    """Remove the files of a folder; the names of the folders in it."""
    folders = []
    with contextlib.suppress(OSError):
        if ~os.fstat(folder).st_mode & stat.S_IRWXU:  # jobs may leave some that not even their owner may look into
            Path(f"/proc/self/fd/{folder}").chmod(0o700)
        reading = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
        try:
            with os.scandir(reading) as entries:
                found = list(entries)
            for entry in found:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                else:
                    with contextlib.suppress(OSError):
                        os.unlink(entry.name, dir_fd=reading)
        finally:
            os.close(reading)
    return folders
