"""What files are like: modes, owners, times, and what is attached to them."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

from tests.agavefs.calls.steps import (
    ACCESS,
    LARGE,
    OLD,
    UTIME_NOW,
    UTIME_OMIT,
    Steps,
    case,
    folder,
    made,
    plant,
    system,
    utimens,
)


@case
def looking(steps: Steps, at: Path) -> None:
    made(at / "f", LARGE)
    plant(at, "d/x", "d/sub/")
    now = time.time()
    for name in ("f", "d"):
        found = (at / name).stat()
        steps(f"{name}: mode", lambda found=found: oct(found.st_mode))
        steps(f"{name}: links", lambda found=found: found.st_nlink)
        steps(f"{name}: owner", lambda found=found: (found.st_uid, found.st_gid) == (os.getuid(), os.getgid()))
        steps(f"{name}: the filesystem's", lambda found=found: found.st_dev == at.stat().st_dev)
        steps(f"{name}: number", lambda name=name, found=found: (at / name).stat().st_ino == found.st_ino != 0)
        for time_of in ("st_mtime", "st_ctime", "st_atime"):
            steps(f"{name}: {time_of}", lambda f=found, t=time_of: abs(getattr(f, t) - now) < 60)
        steps(f"{name}: by lstat", lambda name=name, found=found: (at / name).lstat().st_ino == found.st_ino)
    steps("size", lambda: (at / "f").stat().st_size)
    steps("blocks", lambda: (at / "f").stat().st_blocks * 512 >= len(LARGE))
    steps("size of a block", lambda: (at / "f").stat().st_blksize)
    steps("numbers differ", lambda: (at / "f").stat().st_ino != (at / "d").stat().st_ino)
    for name in ("f/", "f/.", "f/..", "no", "no/", "d/", "d/.", "d/x/", "d/x/y", "d/../f", ""):
        steps(f"stat {name!r}", lambda name=name: os.stat(f"{at}/{name}" if name else "").st_size >= 0)
    steps("realpath", lambda: os.path.realpath(at / "d/../f") == os.path.realpath(at) + "/f")


@case
def modes(steps: Steps, at: Path) -> None:
    plant(at, "f", "d/x")
    for name, mode in itertools.product(("f", "d"), (0o644, 0o600, 0o755, 0o700, 0o777, 0o444, 0o4755, 0o2755, 0o1777)):
        steps(f"{name} {mode:o}", os.chmod, at / name, mode)
        steps(f"{name} {mode:o}: mode", lambda name=name: oct((at / name).stat().st_mode))
        steps(f"{name} {mode:o}: size", lambda name=name: name == "d" or (at / name).stat().st_size)
    with steps.opened("open", at / "f", os.O_RDONLY) as fd:
        steps("fchmod", os.fchmod, fd, 0o640)
        steps("mode", lambda: oct(os.fstat(fd).st_mode))
    (at / "f").chmod(0o4755)
    with steps.opened("for writing", at / "f", os.O_WRONLY) as fd:
        steps("write", os.write, fd, b"x")
    steps("mode of a program that was written", lambda: oct((at / "f").stat().st_mode))
    steps("a missing name", os.chmod, at / "no", 0o644)
    steps("with a slash", os.chmod, f"{at}/f/", 0o644)
    steps("below a file", os.chmod, f"{at}/f/x", 0o644)
    os.utime(at / "f", ns=(OLD, OLD))
    steps("again", os.chmod, at / "f", 0o600)
    steps("modified is as it was", lambda: (at / "f").stat().st_mtime_ns)


@case
def what_modes_forbid(steps: Steps, at: Path) -> None:
    for mode in (0o000, 0o200, 0o400, 0o111):
        path = made(at / f"f{mode:o}", mode=mode)
        for way in ACCESS:
            with steps.opened(f"file {mode:o}: {way}", path, ACCESS[way]):
                pass
    for mode in (0o000, 0o300, 0o500, 0o400):
        path = folder(at / f"d{mode:o}", "x")
        folder(path / "sub")
        path.chmod(mode)
        steps(f"folder {mode:o}: list", lambda path=path: sorted(os.listdir(path)))
        steps(f"folder {mode:o}: go through", lambda path=path: os.stat(path / "x").st_size)
        steps(f"folder {mode:o}: make", lambda path=path: os.close(os.open(path / "y", os.O_CREAT | os.O_WRONLY)))
        steps(f"folder {mode:o}: remove", os.rmdir, path / "sub")
        path.chmod(0o700)


@case
def asking_for_access(steps: Steps, at: Path) -> None:
    asked = {"F": os.F_OK, "R": os.R_OK, "W": os.W_OK, "X": os.X_OK, "RW": os.R_OK | os.W_OK, "RX": os.R_OK | os.X_OK}
    plant(at, "f", "d/")
    for name in ("f", "d"):
        for mode in (0o644, 0o755, 0o700, 0o000, 0o444, 0o555, 0o200, 0o100):
            (at / name).chmod(mode)
            for what, value in asked.items():
                steps(f"{what} of {name} {mode:o}", os.access, at / name, value)
    (at / "d").chmod(0o755)
    for name in ("no", "f/x", "f/"):
        steps(f"of {name}", os.access, f"{at}/{name}", os.F_OK)
    steps("oddly", system, "access", os.fsencode(at / "f"), 99)


@case
def owners(steps: Steps, at: Path) -> None:
    own = os.getuid(), os.getgid()
    plant(at, "f", "d/")
    for name in ("f", "d"):
        steps(f"{name} to oneself", os.chown, at / name, *own)
        steps(f"{name} to nobody new", os.chown, at / name, -1, -1)
        steps(f"{name} to one's group", os.chown, at / name, -1, own[1])
        steps(f"{name} to others", os.chown, at / name, own[0] + 1, own[1])
        steps(f"{name} to others' group", os.chown, at / name, -1, own[1] + 12345)
        steps(f"{name} by lchown", os.lchown, at / name, *own)
        steps(f"{name} owner", lambda n=name: ((at / n).stat().st_uid, (at / n).stat().st_gid) == own)
    with steps.opened("open", at / "f", os.O_RDWR) as fd:
        steps("fchown to oneself", os.fchown, fd, *own)
        steps("fchown to others", os.fchown, fd, own[0] + 1, -1)
    (at / "f").chmod(0o4755)
    steps("a program to oneself", os.chown, at / "f", *own)
    steps("its mode", lambda: oct((at / "f").stat().st_mode))
    steps("a missing name", os.chown, at / "no", *own)


@case
def times(steps: Steps, at: Path) -> None:
    plant(at, "f", "d/")
    soon = time.time_ns() - 60 * 10**9

    def both(path: Path) -> tuple[int, int]:
        found = path.stat()
        return found.st_atime_ns, found.st_mtime_ns

    for name in ("f", "d"):
        for accessed, modified in ((OLD, OLD + 1), (0, 0), (1, 999_999_999), (4 * 10**18, 4 * 10**18), (-(10**9), -5)):
            step = f"{name} {accessed} {modified}"
            steps(step, os.utime, at / name, ns=(accessed, modified))
            steps(f"{step}: times", both, at / name)
        steps(f"{name} set", os.utime, at / name, ns=(OLD, OLD))
        steps(f"{name} changed now", lambda name=name: (at / name).stat().st_ctime_ns > soon)
        steps(f"{name} omit one", utimens, at / name, (0, UTIME_OMIT), (5, 6))
        steps(f"{name} omit one: times", both, at / name)
        steps(f"{name} omit the other", utimens, at / name, (7, 8), (0, UTIME_OMIT))
        steps(f"{name} omit the other: times", both, at / name)
        steps(f"{name} one now", utimens, at / name, (0, UTIME_NOW), (0, UTIME_OMIT))
        steps(f"{name} one now: times", lambda n=name: (both(at / n)[0] > soon, both(at / n)[1]))
        steps(f"{name} both now", os.utime, at / name)
        steps(f"{name} both now: times", lambda n=name: [one > soon for one in both(at / n)])
        steps(f"{name} oddly", utimens, at / name, (0, 2 * 10**9), (0, 0))
    steps("a missing name", os.utime, at / "no")
    with steps.opened("open", at / "f", os.O_RDWR) as fd:
        steps("of a descriptor", lambda: os.utime(fd, ns=(OLD, OLD)))
        steps("then", both, at / "f")
        steps("read", os.read, fd, 3)
        steps("reading does not modify", lambda: os.fstat(fd).st_mtime_ns)
        steps("write", os.write, fd, b"x")
        steps("writing does", lambda: os.fstat(fd).st_mtime_ns > soon)
        steps("set while it is written", lambda: os.utime(fd, ns=(OLD, OLD)))
    steps("after close", both, at / "f")
    for what, act in {
        "its first file": lambda: made(at / "e/f"),
        "its last file": lambda: os.unlink(at / "e/f"),
    }.items():
        (at / "e").mkdir(exist_ok=True)
        before = (at / "e").stat().st_mtime_ns
        time.sleep(0.02)  # clocks are coarse
        act()
        steps(f"{what} modifies a folder", lambda before=before: (at / "e").stat().st_mtime_ns > before)
    for what, act in {
        "a new file": lambda: made(at / "d/f"),
        "a file written": lambda: made(at / "d/f", b"other"),
        "a new folder": lambda: folder(at / "d/e"),
        "one file less": lambda: os.unlink(at / "d/f"),
        "one folder less": lambda: os.rmdir(at / "d/e"),
    }.items():
        os.utime(at / "d", ns=(OLD, OLD))
        act()
        steps(f"the folder is modified by {what}", lambda: (at / "d").stat().st_mtime_ns != OLD)


@case
def extended_attributes(steps: Steps, at: Path) -> None:
    plant(at, "f", "d/")
    for name in ("f", "d"):
        steps(f"{name} set", os.setxattr, at / name, "user.a", b"value")
        steps(f"{name} get", os.getxattr, at / name, "user.a")
        steps(f"{name} list", lambda n=name: "user.a" in os.listxattr(at / n))
        steps(f"{name} set anew only", os.setxattr, at / name, "user.a", b"v", os.XATTR_CREATE)
        steps(f"{name} replace", os.setxattr, at / name, "user.b", b"v", os.XATTR_REPLACE)
        steps(f"{name} get a missing one", os.getxattr, at / name, "user.no")
        steps(f"{name} remove", os.removexattr, at / name, "user.a")
    steps("of a missing name", os.getxattr, at / "no", "user.a")


@case
def access_lists(steps: Steps, at: Path) -> None:
    steps("get", os.getxattr, made(at / "f"), "system.posix_acl_access")
