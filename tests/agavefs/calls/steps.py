"""What the cases are made of: steps that are noted, and calls that `os` does not know."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
import random
import signal
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100
NOREPLACE, EXCHANGE = 1, 2  # renameat2(2)
KEEP_SIZE, PUNCH_HOLE, COLLAPSE, ZERO = 1, 2, 8, 16  # fallocate(2)
ACCESS = {"RDONLY": os.O_RDONLY, "WRONLY": os.O_WRONLY, "RDWR": os.O_RDWR}
UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2  # utimensat(2)
OLD = 1_000_000_000_123_456_789  # nanoseconds: a time that no clock shows any more
TEN = b"0123456789"
LARGE = random.Random(1).randbytes(300_001)  # more than a page, more than a request of the kernel's


def name_of(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, str(error.errno))


class Steps:
    """What each step of a case gave: its value, or the name of its errno."""

    def __init__(self) -> None:
        self.told: dict[str, str] = {}

    def __call__(self, step: str, act: Callable[..., Any], *words: Any, **options: Any) -> Any:
        """Note what a call gives; that is returned, or None where it failed."""
        value = None
        try:
            value = act(*words, **options)
            told = repr(value)
        except OSError as error:
            told = name_of(error)
        self.note(step, told)
        return value

    def quietly(self, step: str, act: Callable[..., Any], *words: Any) -> None:
        """Note a call only if it fails."""
        try:
            act(*words)
        except OSError as error:
            self.note(step, name_of(error))

    def note(self, step: str, told: str) -> None:
        assert step not in self.told, f"two steps are called {step!r}"
        self.told[step] = told if len(told) < 2_000 else f"{len(told)} characters, {hash_of(told)}"

    @contextlib.contextmanager
    def opened(self, step: str, path: Path | str | bytes, flags: int, mode: int = 0o666, **more: Any) -> Iterator[int]:
        """A descriptor, or -1: what is done with that fails as well."""
        try:
            fd = os.open(path, flags, mode, **more)
            self.note(step, "opened")
        except OSError as error:
            fd = -1
            self.note(step, name_of(error))
        try:
            yield fd
        finally:
            if fd >= 0:
                self.quietly(f"{step}: close", os.close, fd)


Case = Callable[[Steps, Path], None]
CASES: dict[str, Case] = {}


def case(act: Case) -> Case:
    CASES[act.__name__.replace("_", " ")] = act
    return act


def hash_of(text: str | bytes) -> str:
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()[:16]


def system(name: str, *words: Any) -> int:
    """A call that `os` does not know."""
    ctypes.set_errno(0)
    done: int = getattr(libc, name)(*words)
    if done == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return done


def rename(old: Path, new: Path, flags: int) -> None:
    system("renameat2", AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags)


def fallocate(fd: int, mode: int, start: int, size: int) -> None:
    system("fallocate", fd, mode, ctypes.c_long(start), ctypes.c_long(size))


def utimens(path: Path, accessed: tuple[int, int], modified: tuple[int, int]) -> None:
    system("utimensat", AT_FDCWD, os.fsencode(path), struct.pack("4q", *accessed, *modified), 0)


def picture(root: Path) -> dict[str, Any]:
    """All that is below a folder: None for a folder, else the bytes."""
    return {
        str(path.relative_to(root)): None if path.is_dir() else short(path.read_bytes())
        for path in sorted(root.rglob("*"))
    }


def short(content: bytes) -> bytes | str:
    return content if len(content) < 100 else f"{len(content)} bytes, {hash_of(content)}"


def made(path: Path, content: bytes = TEN, mode: int = 0o644) -> Path:
    path.write_bytes(content)
    if mode != 0o644:
        path.chmod(mode)
    return path


def plant(at: Path, *names: str) -> None:
    """Files, and folders whose names end in a slash."""
    for name in names:
        (at / name if name.endswith("/") else (at / name).parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            made(at / name)


def folder(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        made(path / name)
    return path


def in_a_child(act: Callable[[], object]) -> str:
    """What becomes of a process that does it."""
    child = os.fork()
    if not child:
        try:
            act()
            os._exit(0)
        except OSError as error:
            os._exit(error.errno or 1)
        finally:
            os._exit(250)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    code = os.WEXITSTATUS(status)
    return errno.errorcode.get(code, "unknown") if code else "done"


def with_fd(path: Path, act: Callable[[int], Any], flags: int = os.O_RDONLY) -> Any:
    fd = os.open(path, flags)
    try:
        return act(fd)
    finally:
        os.close(fd)
