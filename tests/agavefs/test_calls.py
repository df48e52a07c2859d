"""Every call of a program, on the mount and on a plain folder: what the plain one gives is right.

The cases are in `calls`. They are run on tmpfs and on the mount in one run, by a program that has no privileges, and
compared step by step: values and errnos. Where the mount differs on purpose there is a row below, with what it gives
and why; docs/posix.md has the same rows.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import trio

from agavesh.tenant import server
from tests.agavefs.calls import CASES
from tests.agavefs.mounting import mounted, possible
from tests.conftest import Tenant

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/posix.md"
SHM = Path("/dev/shm")
PATIENCE = 120  # seconds for all cases on one filesystem; twelve are needed
ABSENT = "not reached"

pytestmark = pytest.mark.skipif(not possible or not SHM.is_dir(), reason="there is no /dev/fuse or no /dev/shm here")


@dataclass(frozen=True)
class Difference:
    """What the mount gives in place of what a plain folder gives. `steps` are patterns of `case: step`, each with a
    pattern of what the mount answers; the first that fits holds. What follows from that has any answer, `*`. `since` is
    the Linux whose tmpfs does it."""

    what: str
    answer: str
    why: str
    steps: Mapping[str, str]
    since: tuple[int, int] = (2, 6)

    def explains(self, step: str, answer: str) -> bool:
        like = next((like for of, like in self.steps.items() if fnmatchcase(step, of)), None)
        return like is not None and fnmatchcase(answer, like)


def refused(name: str, answer: str) -> dict[str, str]:
    """A name that can't be made, and is not there then."""
    made = {f"names: {name}: {step}": answer for step in ("make", "mkdir", "rename to it")}
    looked = {f"names: {name}: {step}": "ENOENT" for step in ("size", "remove", "rmdir")}
    return made | looked | {f"names: {name}: {step}": "*" for step in ("write", "list", "then")}


DIFFERENCES = [
    Difference(
        "symbolic and hard links",
        "EPERM",
        "Agave v2 keeps files and folders, and has no call that makes a link",
        {"links: symbolic": "EPERM", "links: hard": "EPERM", "links: names": "*"},
    ),
    Difference(
        "fifos, sockets, devices",
        "EPERM",
        "the platform keeps bytes; a socket's or fifo's two ends are on one machine",
        {"devices: a fifo": "EPERM", "devices: a socket": "EPERM", "devices: bind": "EPERM", "devices: names": "*"},
    ),
    Difference(
        "extended attributes",
        "EOPNOTSUPP",
        "the platform has no place for them; its metadata service is another thing",
        {"extended attributes: *": "ENOTSUP"},
        since=(6, 6),
    ),
    Difference(
        "mode bits that are to forbid something",
        "they are shown, and forbid nothing but to run a program",
        "the platform decides who may do what, by permissions that chmod does not change; modes and times are"
        " remembered by the mount, as long as it lives and the file's version stays",
        {
            "opening a read-only file: *: *": "*",
            "opening a read-only file: RDWR*": "opened",
            "opening a read-only file: WRONLY*": "opened",
            "opening a read-only file: RDONLY*TRUNC*": "opened",
            "creating: in a folder without w": "opened",
            "cutting and lengthening: a read-only file": "None",
            "unlinking: in a folder without w": "None",
            "unlinking: after": "*",
            "what modes forbid: file *": "opened",
            "what modes forbid: folder *: list": "?'sub', 'x'?",
            "what modes forbid: folder *: go through": "10",
            "what modes forbid: folder *": "None",
            "asking for access: W of *": "True",
            "asking for access: RW of *": "True",
        },
    ),
    Difference(
        "what is set of a file that has no name any more",
        "it is taken, and not shown",
        "modes and times are remembered by path",
        {"unlinking what is open: mode": "'0o100644'", "unlinking what is open: modified": "*"},
    ),
    Difference(
        "times of a folder in which names are changed",
        "as they were, until it is listed anew",
        "the platform tells them with the listing of the folder above, which is believed for --cache-ttl seconds; a"
        " time that was set of a folder stays as long as the mount lives",
        {
            "times: * modifies a folder": "False",
            "times: the folder is modified by *": "False",
            "renaming sets no times of the file: the folder is modified": "False",
        },
    ),
    Difference(
        "links of a folder",
        "1",
        "how many folders are in it is not known without listing it; programs take 1 for that",
        {"looking: d: links": "1"},
    ),
    Difference(
        "`.` and `..` in a listing",
        "they are left out",
        "POSIX leaves it open; as names in a path they work",
        {"reading folders: with its dots": "*"},
    ),
    Difference(
        "exchange of two names (RENAME_EXCHANGE)",
        "EINVAL",
        "the platform has no call for it, and three moves are not one",
        {"renaming EXCHANGE: * over *folder": "EINVAL", "renaming EXCHANGE: * over a file": "EINVAL"}
        | {"renaming EXCHANGE: *: after": "*"},
    ),
    Difference(
        "files without a name (O_TMPFILE)",
        "EOPNOTSUPP",
        "what gets no name is nothing to send; programs make a file and remove its name, which works",
        {"a file without a name: O_TMPFILE*": "ENOTSUP"},
    ),
    Difference(
        "room ahead (fallocate)",
        "EOPNOTSUPP",
        "the platform has no such call; posix_fallocate works, since the C library then writes",
        {
            "room ahead: fallocate plainly": "ENOTSUP",
            "room ahead: fallocate keeping the size": "ENOTSUP",
            "room ahead: fallocate a hole": "ENOTSUP",
            "room ahead: bytes": "b'0123456789'",
        },
    ),
    Difference(
        "holes (SEEK_HOLE, SEEK_DATA)",
        "all of a file is data",
        "the platform does not know holes; they are read as zeros, and sent as zeros",
        {"holes: first data": "0", "holes: first hole": "1052672", "holes: blocks are fewer than bytes": "False"},
    ),
    Difference(
        "a backslash in names",
        "EINVAL",
        "the platform takes it for a slash, and would put the file elsewhere",
        {**refused("a backslash", "EINVAL")},
    ),
    Difference(
        "names that are not UTF-8",
        "EILSEQ",
        "the platform takes names as JSON, which is UTF-8",
        {**refused("no UTF-8", "EILSEQ"), **refused("half a character", "EILSEQ"), **refused("a surrogate", "EILSEQ")},
    ),
    Difference(
        "names that begin with `.agavefs-tmp-`",
        "EINVAL",
        "what is on its way to the platform has such names; they are not shown",
        {**refused("the mount's own", "EINVAL")},
    ),
    Difference(
        "paths of more than 4,096 bytes on the platform",
        "EINVAL",
        "a path is one word for the platform, and step by step it does not get longer",
        {"long paths: mkdir 1[5-9]": "EINVAL", "long paths: chdir 1[5-9]": "ENOENT", "long paths: getcwd": "*"},
    ),
]

Answers = dict[str, dict[str, str]]


async def ask(folder: Path, printed: Path) -> Answers:
    """What all cases give in a folder. One that does not end is stopped, and what it has said so far is told."""
    privileges = ["setpriv", "--bounding-set=-all"] if os.getuid() == 0 else []
    with printed.open("wb") as out, trio.move_on_after(PATIENCE):
        await trio.run_process(
            [*privileges, sys.executable, "-m", "tests.agavefs.calls", str(folder)], stdout=out, cwd=ROOT, check=False
        )
    found, begun = Answers(), {}
    for line in map(json.loads, printed.read_text().splitlines()):
        if "begun" in line:
            begun = {"it did not end": str(folder)}
            found[line["begun"]] = begun
        else:
            found[line["case"]] = line["told"]
    return found


@pytest.fixture(scope="module")
def answers(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Answers, Answers]]:
    """What the plain folder gives, and what the mount does: one run of each for all tests."""
    top = tmp_path_factory.mktemp("calls")
    shutil.copytree(planted, top / "tenant", symlinks=True)
    (top / "tenant/port").unlink(missing_ok=True)
    plain = Path(tempfile.mkdtemp(dir=SHM))

    async def both() -> tuple[Answers, Answers]:
        right = await ask(plain, top / "plain.json")
        async with server.running(top / "tenant") as state, mounted(Tenant(state), top / "mount") as mount:
            return right, await ask(Path(mount.home), top / "mount.json")

    try:
        yield trio.run(both)
    finally:
        shutil.rmtree(plain)


def differing(case: str, answers: tuple[Answers, Answers]) -> dict[str, tuple[str, str]]:
    """The steps of a case in which they differ, with what each gives."""
    right, ours = (there.get(case, {}) for there in answers)
    both = {f"{case}: {step}": (right.get(step, ABSENT), ours.get(step, ABSENT)) for step in {**right, **ours}}
    return {step: (one, other) for step, (one, other) in both.items() if one != other}


@pytest.mark.parametrize("case", CASES)
def test_a_call_gives_what_it_gives_in_a_plain_folder(case: str, answers: tuple[Answers, Answers]) -> None:
    assert answers[0][case] and "it did not end" not in answers[0][case]
    found = differing(case, answers).items()
    assert {
        step: told for step, told in found if not any(row.explains(step, told[1]) for row in DIFFERENCES)
    } == {}  # plainly, on the mount


@pytest.mark.parametrize("row", DIFFERENCES, ids=lambda row: row.what)
def test_what_differs_on_purpose_still_does(row: Difference, answers: tuple[Answers, Answers]) -> None:
    if tuple(int(part) for part in os.uname().release.split(".")[:2]) < row.since:
        pytest.skip(f"before Linux {'.'.join(map(str, row.since))} tmpfs does not do it either: nothing differs")
    found = {step: told for case in CASES for step, told in differing(case, answers).items()}
    assert [
        step
        for step, like in row.steps.items()
        if not any(fnmatchcase(it, step) and fnmatchcase(ours, like) for it, (_, ours) in found.items())
    ] == []


def test_the_page_has_each_row_and_no_other() -> None:
    lines = PAGE.read_text().splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    assert rows[1:] == [f"| {row.what} | {row.answer} | {row.why} |" for row in DIFFERENCES]
