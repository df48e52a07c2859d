"""open(2), by every way, of anything."""

from __future__ import annotations

import fcntl
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.agavefs.calls.steps import ACCESS, CASES, TEN, Steps, case, folder, made, picture, plant

FLAGS = {"CREAT": os.O_CREAT, "EXCL": os.O_EXCL, "TRUNC": os.O_TRUNC, "APPEND": os.O_APPEND}

TARGETS: dict[str, Callable[[Path], object]] = {
    "a missing name": lambda path: None,
    "a file": made,
    "a folder": folder,
    "a read-only file": partial(made, mode=0o444),
}


def ways_to_open() -> Iterator[tuple[str, int]]:
    for access, value in ACCESS.items():
        for count in range(len(FLAGS) + 1):
            for flags in itertools.combinations(FLAGS, count):
                yield "|".join([access, *flags]), value | sum(FLAGS[flag] for flag in flags)


def opening(target: str, steps: Steps, at: Path) -> None:
    for way, flags in ways_to_open():
        path = at / way.replace("|", "-")
        TARGETS[target](path)
        with steps.opened(way, path, flags) as fd:
            if fd >= 0:
                steps(f"{way}: read", os.read, fd, 2)
                steps(f"{way}: write", os.write, fd, b"ab")
                steps(f"{way}: place", os.lseek, fd, 0, os.SEEK_CUR)
        steps(f"{way}: after", lambda path=path: path.is_dir() or path.read_bytes())


for _target in TARGETS:
    CASES[f"opening {_target}"] = partial(opening, _target)


@case
def opening_odd_paths(steps: Steps, at: Path) -> None:
    plant(at, "f", "d/g")
    for name in ("f/", "f/x", "no/x", "no/", "d/", "d/.", "d/..", "f/.", "f/..", ".", "..", "d//g", "d/./g", "d/../f"):
        for way in ("RDONLY", "WRONLY|CREAT", "RDWR|CREAT|EXCL", "RDONLY|DIRECTORY", "RDONLY|CREAT|DIRECTORY"):
            flags = 0
            for word in way.split("|"):
                flags |= getattr(os, f"O_{word}")
            with steps.opened(f"{name} {way}", f"{at}/{name}", flags):
                pass
    steps("nothing at all", os.open, "", os.O_RDONLY)
    steps("after", picture, at)


@case
def opening_with_flags_that_say_how(steps: Steps, at: Path) -> None:
    plant(at, "f", "d/")
    for name in ("f", "d"):
        for flag in ("NOFOLLOW", "DIRECTORY", "PATH", "NONBLOCK", "CLOEXEC", "NOATIME", "SYNC", "DSYNC"):
            with steps.opened(f"{name} {flag}", at / name, os.O_RDONLY | getattr(os, f"O_{flag}")) as fd:
                steps(f"{name} {flag}: read", os.read, fd, 3)
    with steps.opened("for both, at once on the disk", at / "f", os.O_RDWR | os.O_SYNC) as fd:
        steps("write", os.write, fd, b"ab")
        steps("flags", lambda: fcntl.fcntl(fd, fcntl.F_GETFL) & (os.O_ACCMODE | os.O_SYNC | os.O_APPEND))
        steps("append from now on", fcntl.fcntl, fd, fcntl.F_SETFL, os.O_APPEND)
        steps("write at the end", os.write, fd, b"cd")
    steps("after", (at / "f").read_bytes)


@case
def creating(steps: Steps, at: Path) -> None:
    for mask in (0o022, 0o077, 0):
        os.umask(mask)
        for mode in (0o666, 0o600, 0o444, 0o755, 0, 0o4755, 0o2755):
            name = f"{mode:o} under {mask:o}"
            with steps.opened(name, at / name, os.O_CREAT | os.O_RDWR, mode) as fd:
                steps(f"{name}: write", os.write, fd, b"x")
                steps(f"{name}: mode while open", lambda fd=fd: oct(os.fstat(fd).st_mode))
            steps(f"{name}: mode", lambda name=name: oct((at / name).stat().st_mode))
    os.umask(0o022)
    folder(at / "closed").chmod(0o555)
    with steps.opened("in a folder without w", at / "closed/f", os.O_CREAT | os.O_WRONLY):
        pass
    (at / "closed").chmod(0o755)


@case
def a_file_without_a_name(steps: Steps, at: Path) -> None:
    with steps.opened("O_TMPFILE", at, os.O_TMPFILE | os.O_RDWR):
        pass
    with steps.opened("O_TMPFILE|O_EXCL", at, os.O_TMPFILE | os.O_RDWR | os.O_EXCL):
        pass
    steps("what python makes of it", temporary, at)
    steps("after", picture, at)


def temporary(at: Path) -> bytes:
    with tempfile.TemporaryFile(dir=at) as file:
        file.write(TEN)
        file.seek(3)
        return file.read()
