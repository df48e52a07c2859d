"""The bytes of one system: a folder of this machine, and no path that leads out of it.

A path here begins with a slash and is meant from the folder, as it is from a system's `rootDir`. It is normalised as
text first (`..` above the root is refused) and then checked on the disk, so that no symbolic link leads outside either.
What is checked may be changed by a job before it is used: whoever opens, scans or renames does it by `steady`. This
keeps requests in their place, it is no prison for programs.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from agavesh.tenant.refusal import Refusal

LONGEST_NAME = 255  # bytes
DEEPEST = 255  # names in a path: what is done for each folder above a path must not take long


@functools.lru_cache(256)  # the same few are asked for time and again, and may be long
def normal(path: str) -> str:
    """A path from the root without `.`, `..` and empty parts. Refusal if it climbs out, or is none of a file."""
    if "\0" in path:
        raise Refusal(400, "A path holds no NUL")
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if not parts:
                raise Refusal(403, f"The path {path} is above the root of the system")
            parts.pop()
        elif part not in ("", "."):
            if len(part.encode(errors="surrogateescape")) > LONGEST_NAME:
                raise Refusal(400, f"File name too long: {part[:40]}...")
            parts.append(part)
            if len(parts) > DEEPEST:
                raise Refusal(400, f"The path {path[:40]}... has more than {DEEPEST} names")
    return "/" + "/".join(parts)


def parent_of(path: str) -> str:
    """The folder that a normal path stands in; the root is its own."""
    return path.rpartition("/")[0] or "/"


def name_of(path: str) -> str:
    """The last part of a normal path; "" for the root."""
    return path.rpartition("/")[2]


def ancestors(path: str) -> list[str]:
    """A normal path and all folders above it, nearest first."""
    found = [path]
    while path != "/":
        path = parent_of(path)
        found.append(path)
    return found


_STATUS = {
    errno.ENOENT: 404, errno.ENOTDIR: 404, errno.EACCES: 403, errno.EPERM: 403, errno.ELOOP: 400,
    errno.ENAMETOOLONG: 400, errno.EEXIST: 400, errno.EISDIR: 400, errno.EINVAL: 400,
    errno.ENXIO: 400,  # a socket, or a device without a driver
}  # fmt: skip


@contextlib.contextmanager
def storage_trouble() -> Iterator[None]:
    """What the disk says, as the platform would: a Refusal for every OSError."""
    try:
        yield
    except OSError as problem:
        status = _STATUS.get(problem.errno or 0, 502)
        raise Refusal(status, f"The storage failed: {problem.strerror}") from None


def said(problem: Exception) -> str:
    """What went wrong, and with which file, but not where on this machine that lies: fit for a history."""
    if not isinstance(problem, OSError):
        return str(problem)
    return f"{problem.strerror}: {Path(problem.filename or '').name}".rstrip(": ")


def status(path: str) -> os.stat_result | None:
    """What is at a path of this machine; None for nothing."""
    try:
        return os.stat(path)  # noqa: PTH116 - at every listing; a Path costs as much as the look
    except (FileNotFoundError, NotADirectoryError):
        return None


def _real(path: str) -> str:
    """As `os.path.realpath`, which asks for every name in the path: the kernel says it of what is there in one go.

    It says it as the tree names it that the thing is in, which may be another one's (a job's own, by way of a link
    through /proc), and it adds " (deleted)" to what went meanwhile: so what it says must lead to the same thing.
    """
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            found = os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115 - at every request
            if os.path.samestat(os.fstat(fd), os.lstat(found)):
                return found
        finally:
            os.close(fd)
    except OSError:
        pass
    return os.path.realpath(path)


class Disk:
    """A folder, which need not be there yet, and what is below it."""

    def __init__(self, root: Path) -> None:
        self.root = os.path.realpath(root)

    def at(self, path: str, *, follow: bool = True) -> str:
        """Where on this machine `path` is. The last part may be a link that is not followed: `follow=False`.

        Refusal if the path leaves the folder. It need not exist.
        """
        path = normal(path)
        if path == "/":
            return self.root
        found = _real(self.root + path) if follow else f"{_real(self.root + parent_of(path))}/{name_of(path)}"
        if found != self.root and not found.startswith(self.root + "/"):
            raise Refusal(403, f"The path {path} leads out of the system")
        return found

    def real(self, path: str, *, follow: bool = True) -> str:
        """The path without links of what is at `path`, which is itself where they lead out of the folder."""
        try:
            return self.at(path, follow=follow).removeprefix(self.root) or "/"
        except Refusal:
            return path

    def stat(self, path: str) -> os.stat_result | None:
        """What is at `path`, links followed; None for nothing."""
        return status(self.at(path))

    def is_dir(self, path: str) -> bool:
        found = self.stat(path)
        return found is not None and stat.S_ISDIR(found.st_mode)

    def missing(self, path: str) -> list[str]:
        """Of `path` and the folders above it those that are not there, nearest first."""
        found, lacking = self.at(path), 0
        while found != self.root and not os.path.lexists(found):
            found, lacking = found.rpartition("/")[0], lacking + 1
        return ancestors(path)[:lacking]

    def make_folder(self, path: str) -> None:
        """Make a folder and those above it."""
        Path(self.at(path)).mkdir(parents=True, exist_ok=True)
