"""Holes: give the disk back what lies under a part of a file. The file's size stays, and the part reads as zeros."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable

_KEEP_SIZE, _PUNCH_HOLE = 1, 2  # linux/falloc.h


@functools.cache
def _fallocate() -> Callable[[int, int, int, int], int]:
    call = ctypes.CDLL(None, use_errno=True).fallocate
    call.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    call.restype = ctypes.c_int
    punch: Callable[[int, int, int, int], int] = call
    return punch


def punch(fd: int, start: int, stop: int) -> None:
    """Make a hole of `[start, stop)`. OSError where the filesystem can't: EOPNOTSUPP."""
    if _fallocate()(fd, _KEEP_SIZE | _PUNCH_HOLE, start, stop - start):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
