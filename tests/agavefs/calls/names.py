"""Names: made, removed, renamed, long and odd."""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.agavefs.calls.steps import (
    CASES,
    EXCHANGE,
    NOREPLACE,
    OLD,
    TEN,
    Steps,
    case,
    folder,
    made,
    picture,
    plant,
    rename,
)


@case
def making_folders(steps: Steps, at: Path) -> None:
    plant(at, "f", "d/")
    for name in ("new", "new/", "d", "d/", "f", "f/", "f/x", "no/x", ".", "..", "d/.", "d/..", "d/new", "new/./x", ""):
        steps(f"mkdir {name!r}", os.mkdir, f"{at}/{name}" if name else "")
    steps("after", picture, at)


@case
def modes_of_new_folders(steps: Steps, at: Path) -> None:
    for mask in (0o022, 0o077, 0):
        os.umask(mask)
        for mode in (0o777, 0o700, 0o755, 0o1777):
            name = f"{mode:o} under {mask:o}"
            steps(name, os.mkdir, at / name, mode)
            steps(f"{name}: mode", lambda name=name: oct((at / name).stat().st_mode))
    os.umask(0o022)


@case
def removing_folders(steps: Steps, at: Path) -> None:
    plant(at, "f", "full/x", "e/")
    for name in ("", ".", "..", "e/.", "e/..", "f", "f/", "f/x", "no", "no/x", "full", "full/", "e/", "e"):
        steps(f"rmdir {name!r}", os.rmdir, f"{at}/{name}" if name else "")
    folder(at / "open")
    with steps.opened("open", at / "open", os.O_RDONLY) as fd:
        steps("rmdir of an open one", os.rmdir, at / "open")
        steps("what is in it", os.listdir, fd)
        steps("a file in it", os.open, "x", os.O_CREAT | os.O_WRONLY, dir_fd=fd)
        steps("a folder in it", os.mkdir, "x", dir_fd=fd)
        steps("itself", lambda: stat.S_ISDIR(os.stat(".", dir_fd=fd).st_mode))
        steps("its links", lambda: os.fstat(fd).st_nlink)
        steps("made again", os.mkdir, at / "open")
        steps("another one", lambda: os.fstat(fd).st_ino == (at / "open").stat().st_ino)
    steps("after", picture, at)


@case
def a_current_folder_that_is_removed(steps: Steps, at: Path) -> None:
    folder(at / "here")
    before = os.open(".", os.O_RDONLY)
    try:
        os.chdir(at / "here")
        steps("rmdir", os.rmdir, at / "here")
        steps("getcwd", os.getcwd)
        steps("list", os.listdir, ".")
        steps("make a file", os.open, "x", os.O_CREAT | os.O_WRONLY)
        steps("make a folder", os.mkdir, "x")
        steps("stat", lambda: stat.S_ISDIR(os.stat(".").st_mode))
        steps("up", lambda: sorted(os.listdir("..")))
    finally:
        os.fchdir(before)
        os.close(before)


@case
def unlinking(steps: Steps, at: Path) -> None:
    plant(at, "f", "d/x")
    made(at / "read-only", mode=0o444)
    for name in ("", ".", "..", "d", "d/", "d/.", "f/", "f/x", "no", "no/x", "f", "f", "read-only", "d/x"):
        step = f"unlink {name!r}"
        steps(step + " again" if step in steps.told else step, os.unlink, f"{at}/{name}" if name else "")
    folder(at / "closed", "x").chmod(0o555)
    steps("in a folder without w", os.unlink, at / "closed/x")
    (at / "closed").chmod(0o755)
    steps("after", picture, at)


@case
def unlinking_what_is_open(steps: Steps, at: Path) -> None:
    made(at / "f")
    with steps.opened("open", at / "f", os.O_RDWR) as fd:
        steps("unlink", os.unlink, at / "f")
        steps("names", lambda: sorted(os.listdir(at)))
        steps("links", lambda: os.fstat(fd).st_nlink)
        steps("read", os.read, fd, 3)
        steps("write", os.write, fd, b"abc")
        steps("size", lambda: os.fstat(fd).st_size)
        steps("lengthen", os.ftruncate, fd, 20)
        steps("chmod", os.fchmod, fd, 0o600)
        steps("times", lambda: os.utime(fd, ns=(OLD, OLD)))
        steps("mode", lambda: oct(os.fstat(fd).st_mode))
        steps("modified", lambda: os.fstat(fd).st_mtime_ns)
        steps("sync", os.fsync, fd)
        made(at / "f", b"another")
        steps("another", (at / "f").read_bytes)
        steps("it", os.pread, fd, 100, 0)
        steps("the same", lambda: os.fstat(fd).st_ino == (at / "f").stat().st_ino)
        steps("by way of /proc", lambda: Path(f"/proc/self/fd/{fd}").read_bytes())
    steps("after", picture, at)


SOURCES: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: None,
    "a file": made,
    "an empty folder": folder,
    "a full folder": lambda path: folder(path, "inside"),
}
PLACES: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda at: None, "new"),
    "a file": (lambda at: made(at / "new", b"other"), "new"),
    "an empty folder": (lambda at: folder(at / "new"), "new"),
    "a full folder": (lambda at: folder(at / "new", "other"), "new"),
    "itself": (lambda at: None, "old"),
    "its own child": (lambda at: None, "old/child"),
    "what is in it": (lambda at: None, "old/inside"),
    "a missing folder": (lambda at: None, "no/new"),
    "below a file": (lambda at: made(at / "file"), "file/new"),
    "another folder": (lambda at: folder(at / "beside"), "beside/new"),
}
HOW = {"plainly": 0, "NOREPLACE": NOREPLACE, "EXCHANGE": EXCHANGE}


def renaming(how: str, steps: Steps, at: Path) -> None:
    for number, (source, place) in enumerate(itertools.product(SOURCES, PLACES)):
        here = folder(at / str(number))
        SOURCES[source](here / "old")
        make, name = PLACES[place]
        make(here)
        step = f"{source} over {place}"
        steps(step, rename, here / "old", here / name, HOW[how])
        steps(f"{step}: after", picture, here)


for _how in HOW:
    CASES[f"renaming {_how}"] = partial(renaming, _how)


@case
def renaming_oddly(steps: Steps, at: Path) -> None:
    plant(at, "f", "d/x", "up/down/y")
    words = [
        ("f", "g/"), ("f/", "g"), ("d", "e/"), ("e/", "d"), ("d/.", "e"), ("d", "e/."), (".", "e"), ("d", "."),
        ("d", ".."), ("up/down", "up"), ("up", "up/down"), ("up", "up/down/x"), ("f", "d/x"), ("d/x", "f"), ("f", ""),
        ("", "f"), ("f", "f/f"), ("f", "d"), ("d", "f"), ("d", "./d"), ("f", "d/../f"),
    ]  # fmt: skip
    for old, new in words:
        steps(f"{old!r} to {new!r}", os.rename, f"{at}/{old}" if old else "", f"{at}/{new}" if new else "")
    for flags in (NOREPLACE | EXCHANGE, 8, 1 << 20):
        steps(f"with flags {flags}", rename, at / "f", at / "g", flags)
    steps("after", picture, at)


@case
def renaming_what_is_open(steps: Steps, at: Path) -> None:
    plant(at, "f")
    made(at / "g", b"other")
    with (
        steps.opened("open", at / "f", os.O_RDWR) as fd,
        steps.opened("open the target", at / "g", os.O_RDONLY) as over,
    ):
        before = os.fstat(fd).st_ino
        steps("write", os.write, fd, b"ab")
        steps("rename", os.rename, at / "f", at / "g")
        steps("write on", os.write, fd, b"cd")
        steps("it", os.pread, fd, 100, 0)
        steps("the target", os.pread, over, 100, 0)
        steps("links of the target", lambda: os.fstat(over).st_nlink)
        steps("under the new name", (at / "g").read_bytes)
        steps("its number", lambda: (at / "g").stat().st_ino == before)
    folder(at / "d", "x")
    with steps.opened("a folder", at / "d", os.O_RDONLY) as fd, steps.opened("in it", at / "d/x", os.O_RDWR) as inside:
        steps("rename the folder", os.rename, at / "d", at / "e")
        steps("write in it", os.write, inside, b"xyz")
        steps("its names", os.listdir, fd)
        steps("a new one", lambda: os.close(os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=fd)))
        steps("where it is", lambda: os.readlink(f"/proc/self/fd/{inside}").removeprefix(str(at)))
    steps("after", picture, at)


@case
def renaming_sets_no_times_of_the_file(steps: Steps, at: Path) -> None:
    plant(at, "g")
    made(at / "f", mode=0o640)
    os.utime(at / "f", ns=(OLD, OLD))
    os.utime(at, ns=(OLD, OLD))
    for new in ("h", "g"):
        steps(f"rename to {new}", os.rename, at / ("f" if new == "h" else "h"), at / new)
        steps(f"modified as {new}", lambda new=new: (at / new).stat().st_mtime_ns)
        steps(f"mode as {new}", lambda new=new: oct((at / new).stat().st_mode))
    steps("the folder is modified", lambda: at.stat().st_mtime_ns > OLD)


NAMES = {
    "255 bytes": b"x" * 255,
    "256 bytes": b"x" * 256,
    "255 bytes of UTF-8": "é".encode() * 127 + b"x",
    "256 bytes of UTF-8": "é".encode() * 128,
    "a blank": b"a b",
    "a blank at its end": b"a ",
    "only a blank": b" ",
    "a line's end": b"a\nb",
    "a tab": b"a\tb",
    "a control character": b"a\x01b",
    "a delete character": b"a\x7fb",
    "quotes": b"'a\"`",
    "a hyphen first": b"-rf",
    "a tilde": b"~",
    "percent": b"%2F%00%",
    "a question mark": b"a?b=c&d",
    "a hash": b"a#b",
    "a plus": b"a+b",
    "a colon": b"c:d",
    "a semicolon": b"a;b",
    "stars and brackets": b"*[a]{b}",
    "a dollar": b"$HOME",
    "less and greater": b"<a>|b",
    "three dots": b"...",
    "a dot first": b".hidden",
    "a dot at its end": b"a.",
    "letters of one language": "Messwert-ä-ß".encode(),
    "letters of another": "測定値".encode(),
    "a picture": "🌵".encode(),
    "letters put together": "é".encode(),
    "a mark behind its letter": "e\u0301".encode(),
    "no UTF-8": b"\xff\xfe",
    "half a character": b"a\xc3",
    "a surrogate": b"\xed\xa0\x80",
    "a backslash": b"a\\b",
    "the mount's own": b".agavefs-tmp-x",
    "the mount's own folder": b".agavefs",
    "what git has": b".git",
    "what NFS has": b".nfs0001",
    "a device of Windows": b"CON",
}


@case
def names(steps: Steps, at: Path) -> None:
    for what, name in NAMES.items():
        here = os.fsencode(folder(at / what.replace(" ", "-"))) + b"/"
        path = here + name
        steps(f"{what}: look", os.stat, path)
        with steps.opened(f"{what}: make", path, os.O_CREAT | os.O_EXCL | os.O_WRONLY) as fd:
            steps(f"{what}: write", os.write, fd, TEN)
        steps(f"{what}: list", os.listdir, here)
        steps(f"{what}: size", lambda path=path: os.stat(path).st_size)
        steps(f"{what}: remove", os.unlink, path)
        steps(f"{what}: mkdir", os.mkdir, path)
        steps(f"{what}: rmdir", os.rmdir, path)
        made(Path(os.fsdecode(here)) / "f")
        steps(f"{what}: rename to it", os.rename, here + b"f", path)
        steps(f"{what}: then", os.listdir, here)


@case
def names_that_differ_by_case(steps: Steps, at: Path) -> None:
    for name in ("name", "Name", "NAME"):
        made(at / name, name.encode())
    steps("after", picture, at)


@case
def long_paths(steps: Steps, at: Path) -> None:
    made(at / "f")
    for size in (4094, 4095, 4096, 5000):
        path = f"{at}{'/' * (size - len(str(at)) - 1)}f"
        steps(f"{size} bytes", lambda path=path: os.stat(path).st_size)
    before = os.open(".", os.O_RDONLY)
    try:
        os.chdir(at)
        for number in range(20):  # deeper than one path can say
            name = f"{number:03}" + "x" * 247
            steps(f"mkdir {number}", os.mkdir, name)
            steps(f"chdir {number}", os.chdir, name)
        with steps.opened("a file at the bottom", "f", os.O_CREAT | os.O_WRONLY) as fd:
            steps("write", os.write, fd, TEN)
        steps("names at the bottom", os.listdir, ".")
        steps("its size", lambda: os.stat("f").st_size)
        steps("getcwd", lambda: os.getcwd().removeprefix(str(at)))
    finally:
        os.fchdir(before)
        os.close(before)


@case
def descriptors_of_folders(steps: Steps, at: Path) -> None:
    plant(at, "d/x", "d/e/")
    with steps.opened("open", at / "d", os.O_RDONLY) as fd:
        os.rename(at / "d", at / "moved")
        steps("stat", lambda: os.stat("x", dir_fd=fd).st_size)
        steps("mkdir", os.mkdir, "new", dir_fd=fd)
        steps("rename", os.rename, "x", "new/x", src_dir_fd=fd, dst_dir_fd=fd)
        steps("unlink", os.unlink, "new/x", dir_fd=fd)
        steps("rmdir", os.rmdir, "new", dir_fd=fd)
        steps("up and down", lambda: os.stat("../moved/e/..", dir_fd=fd).st_ino == os.fstat(fd).st_ino)
        steps("read", os.read, fd, 10)
        steps("write", os.write, fd, b"x")
        steps("ftruncate", os.ftruncate, fd, 0)
        steps("fsync", os.fsync, fd)
        steps("seek", os.lseek, fd, 0, os.SEEK_SET)
    with steps.opened("a file", made(at / "f"), os.O_RDONLY) as fd:
        steps("below a file", os.stat, "x", dir_fd=fd)
        steps("fchdir to a file", os.fchdir, fd)
