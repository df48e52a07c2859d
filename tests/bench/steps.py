"""What is measured: what a scientist does with a mount, each with the floor that no filesystem gets under.

A step is a line of shell that is run in the mounted folder. It writes a line for each bit of work where it can, so that
a run that was cut short can be drawn out. `{new}` is a folder of its own on the server, `{local}` one on local disk,
`{source}` what is copied in.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.bench import data

CONNECTIONS = 64  # requests at once that the floors take for granted
PAGE = 250  # entries: the most that the platform gives at once


class Floor(NamedTuple):
    """What cannot be done with less: round trips one after another with CONNECTIONS at once, requests, bytes."""

    rounds: int
    requests: int
    size: int = 0  # bytes of content


@dataclass(frozen=True)
class Step:
    """`before` prepares `{new}` on the server's disk; `after` says whether all has arrived there."""

    name: str
    title: str
    line: str
    least: Floor
    first: str = ""  # what is run before, and not timed
    mbit: float | None = None  # of the line
    warm: bool = False  # whether the same once more is measured too
    drawn: bool = True  # whether it writes lines as it goes on
    before: Callable[[Path], None] | None = None
    after: Callable[[Path], bool] | None = None

    @property
    def streams(self) -> bool:
        """Whether what came over the line tells how far it was."""
        return self.least.size > data.MIB and not self.drawn and not self.writes

    def command(self, new: str, local: Path, source: Path) -> str:
        """The line, with its places."""
        places = {"{new}": new, "{local}": str(local), "{source}": str(source)}
        return functools.reduce(lambda line, name: line.replace(name, places[name]), places, self.line)

    def floor(self, delay: float) -> float:
        """Seconds."""
        return self.least.rounds * delay / 1e3 + (self.least.size * 8 / self.mbit / 1e6 if self.mbit else 0)

    @property
    def writes(self) -> bool:
        return self.before is not None


def _at_once(count: int) -> int:
    return math.ceil(count / CONNECTIONS)


def _pages(count: int) -> int:
    return math.ceil((count + 1) / PAGE)  # a folder's first entry is itself


_TREE = Floor(1 + _at_once(10) + _at_once(50) + _at_once(340), data.FOLDERS)
_FILES = Floor(
    2 + _at_once(data.SMALL_FOLDERS + data.SMALL), 1 + data.SMALL_FOLDERS + data.SMALL, data.SMALL * data.SMALL_SIZE
)
_STREAM = "dd if=large/{0} of=/dev/null bs=1M status=none"
_FOUR = "for n in 0 1 2 3; do dd if=large/{0}$n of=/dev/null bs=1M status=none & done; wait"
_BLOCK = 4096
_EMPTIED = 50  # folders
_PACKED = 1 + data.PACKED_FOLDERS + data.PACKED
_RANDOM = f"""
$| = 1; srand 7; open F, "<", "large/big" or die; for (1 .. 200) {{
    sysseek F, {_BLOCK} * int(rand({data.BIG // _BLOCK})), 0; sysread(F, $b, {_BLOCK}) == {_BLOCK} or die; print ".\\n"
}}"""


def _stream(size: int) -> Floor:
    return Floor(3, math.ceil(size / 4 / data.MIB), size)  # in requests of 4 MiB


_SOME = data.deepest(20)
_AROUND = {Path(name).parents[1] for name in _SOME}  # what has to be listed, too: those that they stand in are in there


def _folder(new: Path) -> None:
    new.mkdir()


def _named(new: Path) -> None:
    new.mkdir()
    for number in range(data.WRITTEN):
        (new / f"old{number}").write_text("content\n")


def _tree(new: Path) -> None:
    for folder in range(_EMPTIED):
        (new / f"t/{folder}").mkdir(parents=True)
        for number in range(data.WRITTEN // _EMPTIED):
            (new / f"t/{folder}/{number}").write_text("content\n")


def _one_arrived(new: Path) -> bool:
    file = new / "m64"
    return file.exists() and file.stat().st_size == 64 * data.MIB


def _many_arrived(new: Path) -> bool:
    sizes = [file.stat().st_size for file in new.glob("files/*")]
    return len(sizes) == data.WRITTEN and set(sizes) == {data.SMALL_SIZE}


def _unpacked(new: Path) -> bool:
    sizes = [file.stat().st_size for file in new.glob("tree/*/*")]
    return len(sizes) == data.PACKED and set(sizes) == {data.SMALL_SIZE}


def _cloned(new: Path) -> bool:
    files = list(new.glob("work/*.txt"))
    whole = len(files) == 4 * data.COMMITS and all(file.stat().st_size == data.SMALL_SIZE for file in files)
    return whole and (new / "work/.git/index").exists() and not (new / "work/.git/index.lock").exists()


STEPS = (
    Step("first", "ls, the first", "ls", Floor(0, 0)),  # the root may be listed before
    Step("head", "head of a file", "head -c 4096 small/run-00/part-00.csv", Floor(2, 2, data.SMALL_SIZE), drawn=False),
    Step(
        "open", "cat of a file, its folder listed", "cat small/run-00/part-03.csv", Floor(1, 1, data.SMALL_SIZE),
        first="ls -l small/run-00",
    ),
    Step(
        "some", "ls of 20 folders here and there", f"for name in {' '.join(_SOME)}; do ls $name; done",
        Floor(1 + len(_AROUND) + len(_SOME), 1 + len(_AROUND) + len(_SOME)),
    ),
    Step("ls", "ls -l, 5,000 files", "ls -l wide", Floor(2, _pages(data.WIDE)), warm=True),
    Step(
        "huge", "ls -l, 100,000 files", "ls -l huge", Floor(1 + _at_once(_pages(data.HUGE)), _pages(data.HUGE)),
        warm=True,
    ),
    Step("find", "find, 401 folders", "find deep", _TREE, warm=True),
    Step("lsr", "ls -lR of the same", "ls -lR deep", _TREE),
    Step("du", "du of the same", "du -a deep", _TREE),
    Step("grep", "grep -r, 1,000 files", "grep -rc --line-buffered ^ small", _FILES, warm=True),
    Step("cat", "cat of every file", "cat small/*/*", _FILES),
    Step("cpout", "cp -r out", "stdbuf -oL cp -rv small {local}", _FILES),
    Step("tar", "tar c", "tar cf - small", _FILES),
    Step(
        "random", "200 random 4 KiB, 200 Mbit/s", f"perl -e '{_RANDOM}'", Floor(202, 202, 200 * _BLOCK), mbit=200
    ),
    Step("seq", "512 MiB, one reader", _STREAM.format("big"), _stream(data.BIG), warm=True, drawn=False),
    Step("four", "4 x 128 MiB, four readers", _FOUR.format("r"), _stream(data.BIG), drawn=False),
    Step("seq100", "64 MiB, 100 Mbit/s", _STREAM.format("m64"), _stream(64 * data.MIB), mbit=100, drawn=False),
    Step("seq1000", "128 MiB, 1 Gbit/s", _STREAM.format("r0"), _stream(128 * data.MIB), mbit=1000, drawn=False),
    Step("four100", "4 x 16 MiB, 100 Mbit/s", _FOUR.format("q"), _stream(64 * data.MIB), mbit=100, drawn=False),
    Step("four1000", "4 x 128 MiB, 1 Gbit/s", _FOUR.format("r"), _stream(data.BIG), mbit=1000, drawn=False),
    Step(
        "cpin", "cp of 64 MiB in", "cp {source}/m64 {new}", Floor(2, 1, 64 * data.MIB), drawn=False,
        before=_folder, after=_one_arrived,
    ),
    Step(
        "cprin", "cp -r of 1,000 files in", "stdbuf -oL cp -rv {source}/files {new}",
        Floor(2 + data.WRITTEN, 1 + data.WRITTEN, data.WRITTEN * data.SMALL_SIZE),
        before=_folder, after=_many_arrived,
    ),
    Step(
        "untar", "tar x of 1,000 files", "stdbuf -oL tar xvf {source}/tree.tar -C {new}",
        Floor(_PACKED, _PACKED, data.PACKED * data.SMALL_SIZE), before=_folder, after=_unpacked,
    ),
    Step(
        "clone", "git clone of 200 files", "git clone -q {source}/repository.git {new}/work",
        Floor(4 * data.COMMITS, 4 * data.COMMITS, 4 * data.COMMITS * data.SMALL_SIZE), drawn=False,
        before=_folder, after=_cloned,
    ),
    Step(
        "mkdir", "mkdir x 1,000", f"cd {{new}} && stdbuf -oL mkdir -v `seq {data.WRITTEN}`",
        Floor(data.WRITTEN, data.WRITTEN),
        before=_folder, after=lambda new: len(list(new.iterdir())) == data.WRITTEN,
    ),
    Step(
        "rename", "rename x 1,000",
        f"""cd {{new}} && perl -e '$|=1; for (1..{data.WRITTEN}) {{ $n = $_ - 1;
        rename "old$n", "new$n" or die $!; print ".\\n" }}'""",
        Floor(data.WRITTEN, data.WRITTEN),
        before=_named, after=lambda new: len(list(new.glob("new*"))) == data.WRITTEN,
    ),
    Step(
        "rm", "rm -r of 1,000 files in 50 folders", "stdbuf -oL rm -rv {new}/t",
        Floor(1 + _EMPTIED + data.WRITTEN, 2 * (1 + _EMPTIED) + data.WRITTEN),
        before=_tree, after=lambda new: not (new / "t").exists(),
    ),
)  # fmt: skip
