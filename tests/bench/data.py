"""The data set that all contenders serve: one folder of this disk, always the same.

deep/       401 folders, four levels of them, and 1,600 small files
small/      1,000 files of 2 KiB in 40 folders
wide/       5,000 files in one folder
huge/       100,000 files in one folder
large/      what is read and written as a stream
in/         where runs write; each has a folder of its own
"""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

MIB = 2**20
FOLDERS, FILES_OF_DEEP = 401, 1600
SMALL, SMALL_FOLDERS, SMALL_SIZE = 1000, 40, 2048
WIDE, HUGE = 5000, 100_000
BIG = 512 * MIB
LARGE = {"big": BIG, "m64": 64 * MIB} | {f"r{n}": 128 * MIB for n in range(4)} | {f"q{n}": 16 * MIB for n in range(4)}
WRITTEN = 1000  # small files that are copied in, and folders made and names given
PACKED, PACKED_FOLDERS = 1000, 50  # small files of an archive
COMMITS = 50  # of a repository


def deepest(count: int) -> list[str]:
    """Some folders of `deep/`, four levels down, here and there."""
    folders = [str(folder) for folder in _deep(Path("deep")) if folder.name.startswith("c")]
    return random.Random(3).sample(folders, count)


def make(root: Path, *, large: bool = True) -> None:
    """Write it into a folder that has nothing of it."""
    made = random.Random(5)
    for name, size in LARGE.items() if large else ():
        path = root / "large" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for _ in range(size // MIB):
                file.write(made.randbytes(MIB))
    number = 0
    for folder in _deep(root / "deep"):
        folder.mkdir()
        for _ in range(4 if number < FILES_OF_DEEP else 0):
            (folder / f"file-{number:04}").write_text(f"{number}\n")
            number += 1
    for number in range(SMALL):
        path = root / "small" / f"run-{number % SMALL_FOLDERS:02}" / f"part-{number // SMALL_FOLDERS:02}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(lines(made, SMALL_SIZE))
    for name, count in (("wide", WIDE), ("huge", HUGE)):
        (root / name).mkdir()
        for number in range(count):
            (root / name / f"item-{number:06}").touch()
    (root / "in").mkdir()


def make_sources(local: Path) -> None:
    """What is copied in: small files, an archive, and a repository."""
    made = random.Random(6)
    (local / "files").mkdir(parents=True)
    for number in range(WRITTEN):
        (local / f"files/{number:03}").write_text(lines(made, SMALL_SIZE))
    tree, work = local / "tree", local / "work"
    for number in range(PACKED):
        path = tree / f"{number % PACKED_FOLDERS:02}/{number:03}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(lines(made, SMALL_SIZE))
    subprocess.run(["tar", "-cf", "tree.tar", "tree"], cwd=local, check=True)
    work.mkdir()
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run([*git, "init", "-q"], cwd=work, check=True)
    for number in range(COMMITS):
        for file in range(4):
            (work / f"{file + 4 * number:03}.txt").write_text(lines(made, SMALL_SIZE))
        subprocess.run([*git, "add", "."], cwd=work, check=True)
        subprocess.run([*git, "commit", "-q", "-m", str(number)], cwd=work, check=True)
    subprocess.run(["git", "clone", "-q", "--bare", "work", "repository.git"], cwd=local, check=True)


def _deep(top: Path) -> list[Path]:
    """1 + 10 + 50 + 340 folders, each after the one that it is in."""
    tens = [top / f"a{n}" for n in range(10)]
    fifties = [ten / f"b{n}" for ten in tens for n in range(5)]
    rest = [fifties[n % 50] / f"c{n // 50}" for n in range(FOLDERS - 61)]
    return [top, *tens, *fifties, *rest]


def lines(made: random.Random, size: int) -> str:
    """Text of `size` bytes, in lines of 32."""
    return "".join(f"{made.getrandbits(120):031d}"[:31] + "\n" for _ in range(size // 32))
