"""The demonstration's files: 2,000 of alice's in 60 folders, a folder of 5,000 more, and something of bob's.

Always the same, so that what one reads about it is true. Among the names are those that break careless programs.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

FILES = 2000
FOLDERS = 60
RUNS = 54
RESULTS = 36  # files of one run
MANY = 5000
LARGE = 100 * 10**6  # bytes, as a sparse file

ODD_NAMES = (
    "with blank", " leading and trailing ", "#hash", "100%", "%41 is not A", "what?", "a&b=c;d", "a+b", "star*", "[x]",
    'double "quotes"', "it's", "dollar $HOME", "`tick`", "new\nline", "tab\there", "-rf", "~", "...", ".hidden",
    "n" * 255, "caf\u00e9 (NFC)", "cafe\u0301 (NFD)", "\u65e5\u672c\u8a9e", "\U0001f33b", "\u00fc" * 127,
)  # fmt: skip
_WORDS = (
    "agave", "desert", "flower", "leaf", "root", "rain", "dust", "morning", "river", "stone", "light", "shadow",
    "field", "station", "sample", "reading", "value", "cold", "warm", "slow", "quick", "bright", "early", "late",
    "north",
)  # fmt: skip


def plant(alice: Path, bob: Path) -> None:
    """Write everything; folders that are there already are filled."""
    made = random.Random(7)
    count = 0
    for path, content in _files(made):
        _write(alice / path, content)
        count += 1
    with (alice / "large" / "100MB.bin").open("wb") as large:
        large.write(b"the beginning\n")
        large.truncate(LARGE)
    for number in range(count + 1, FILES):
        _write(alice / "docs" / f"page-{number:04}.txt", _text(made, 40))
    (alice / "many").mkdir(exist_ok=True)
    for number in range(MANY):
        (alice / "many" / f"item-{number:04}.txt").write_text(f"{number}\n")
    _write(bob / "private.txt", "Only bob reads this.\n")
    _write(bob / "shared" / "from bob.txt", "Everybody may read this.\n")


def _files(made: random.Random) -> Iterator[tuple[str, str]]:
    """All of alice's files but the large one and what is left for `docs`."""
    yield "README.txt", _README
    yield "docs/words.txt", _text(made, 2000)
    yield "large/empty", ""
    for name in ODD_NAMES:
        yield f"odd/{name}", f"{name}\n"
    yield "odd/folder with blank/inside.txt", "inside\n"
    yield "odd/\u00e9t\u00e9/juillet.txt", "chaud\n"
    for run in range(1, RUNS + 1):
        for number in range(1, RESULTS + 1):
            rows = [f"{step},{made.gauss(20, 4):.3f}" for step in range(12)]
            yield f"runs/run-{run:02}/result-{number:02}.csv", "step,value\n" + "\n".join(rows) + "\n"


def _text(made: random.Random, words: int) -> str:
    return "\n".join(" ".join(made.choices(_WORDS, k=10)) for _ in range(words // 10)) + "\n"


def _write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


_README = """This is alice's home on the storage system data.demo.

docs    texts, words.txt among them: an input for the app wordcount-1.0
runs    results of 54 runs, as CSV
odd     names that break careless programs
large   a file of 100 MB (most of it a hole), and an empty one
many    a folder of 5,000 files
"""
