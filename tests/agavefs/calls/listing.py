"""Folders that are read."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

from tests.agavefs.calls.steps import Steps, case, folder, libc, made

libc.opendir.restype = libc.readdir.restype = ctypes.c_void_p
libc.telldir.restype = ctypes.c_long


class Stream:
    """opendir(3) and its kin: `os` has no seekdir."""

    def __init__(self, path: Path) -> None:
        ctypes.set_errno(0)
        found = libc.opendir(os.fsencode(path))
        if not found:
            raise OSError(ctypes.get_errno(), "opendir")
        self._stream = ctypes.c_void_p(found)

    def next(self) -> tuple[str, int, int] | None:
        """Name, number and kind, or None at the end."""
        ctypes.set_errno(0)
        found = libc.readdir(self._stream)
        if not found:
            if ctypes.get_errno():
                raise OSError(ctypes.get_errno(), "readdir")
            return None
        number, _, _, kind = struct.unpack("QqHB", ctypes.string_at(found, 19))
        return os.fsdecode(ctypes.string_at(found + 19)), number, kind

    def rest(self) -> list[str]:
        """The names that are left, without those of the folder itself and of the one above."""
        found = [entry[0] for entry in iter(self.next, None)]
        return [name for name in found if name not in (".", "..")]

    def tell(self) -> int:
        place: int = libc.telldir(self._stream)
        return place

    def seek(self, place: int) -> None:
        libc.seekdir(self._stream, ctypes.c_long(place))

    def rewind(self) -> None:
        libc.rewinddir(self._stream)

    def close(self) -> None:
        libc.closedir(self._stream)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Stream]:
    stream = Stream(path)
    try:
        yield stream
    finally:
        stream.close()


@case
def reading_folders(steps: Steps, at: Path) -> None:
    here = folder(at / "d", *(f"n{number:03}" for number in range(30)))
    folder(here / "sub")
    with reading(here) as stream:
        entries = [entry for entry in iter(stream.next, None) if entry[0] not in (".", "..")]
        steps("names", lambda: sorted(name for name, _, _ in entries))
        steps("kinds", lambda: sorted(kind for _, _, kind in entries))
        steps("numbers", lambda: all((here / name).stat().st_ino == number for name, number, _ in entries))
        steps("after the end", stream.next)
        made(here / "new")
        stream.rewind()
        steps("from the start again", lambda: sorted(stream.rest()))
        stream.rewind()
        for _ in range(10):
            stream.next()
        place = stream.tell()
        rest = stream.rest()
        stream.seek(place)
        steps("back to a place", lambda: stream.rest() == rest)
        stream.seek(place)
        steps("and again", lambda: stream.rest() == rest)
    with reading(folder(at / "empty")) as stream:
        steps("an empty one", stream.rest)
    steps("with its dots", lambda: sorted(dots(here)))
    steps("a file", Stream, made(at / "f"))
    steps("a missing one", Stream, at / "no")


def dots(path: Path) -> list[str]:
    with reading(path) as stream:
        return [entry[0] for entry in iter(stream.next, None)]


@case
def changing_a_folder_while_it_is_read(steps: Steps, at: Path) -> None:
    names = [f"n{number:03}" for number in range(60)]
    here = folder(at / "d", *names)
    with reading(here) as stream:
        seen = []
        while (entry := stream.next()) is not None:
            if entry[0] not in (".", ".."):
                seen.append(entry[0])
                os.unlink(here / entry[0])
        steps("each is seen once though it is deleted then", lambda: sorted(seen))
    steps("what is left", os.listdir, here)
    here = folder(at / "e", *names[:20])
    with reading(here) as stream:
        seen = []
        while (entry := stream.next()) is not None:
            if entry[0].startswith("n"):
                seen.append(entry[0])
                if len(seen) == 5:
                    made(here / "later")
        steps("each is seen once though one is made", lambda: sorted(seen))
    steps("rmtree", shutil.rmtree, here)
    steps("gone", here.exists)
