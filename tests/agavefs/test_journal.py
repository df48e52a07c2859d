"""The journal: what it keeps, and whose it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agavefs.journal import Journal, count
from agavesh.client.path import RemotePath

HERE = RemotePath("system", "s", "/home/f")


async def test_rows_follow_a_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "alice@there")
    row = await journal.begin(HERE, tmp_path / "spool", (3, 1.5))
    (kept,) = journal.rows()
    assert (kept.id, kept.remote, kept.base, kept.state) == (row, HERE, (3, 1.5), "writing")
    await journal.seal(row, HERE.path, 10)
    await journal.step(row, "beside", "/home/.tmp")
    await journal.moved(HERE._replace(path="/home"), HERE._replace(path="/elsewhere"))
    (kept,) = journal.rows()
    assert (kept.size, kept.state, kept.temporary, kept.path) == (10, "beside", "/elsewhere/.tmp", "/elsewhere/f")
    assert count(tmp_path, journal.owner) == 1
    await journal.done(row)
    assert journal.rows() == []
    journal.close()
    assert list((tmp_path / "owners").iterdir()) == []


async def test_a_neighbour_with_the_same_beginning_does_not_move_along(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "alice@there")
    await journal.begin(HERE._replace(path="/home%/f"), tmp_path / "a", None)
    await journal.begin(HERE._replace(path="/home2/f"), tmp_path / "b", None)
    await journal.moved(HERE._replace(path="/home"), HERE._replace(path="/x"))
    assert [row.path for row in journal.rows()] == ["/home%/f", "/home2/f"]
    journal.close()


_OTHER = """
import os, sys, trio
from pathlib import Path
from agavefs.journal import Journal
from agavesh.client.path import RemotePath
journal = Journal(Path(sys.argv[1]), sys.argv[2])
row = trio.run(journal.begin, RemotePath("system", "s", "/f"), Path("/spool"), None)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("account", ["alice@there", "bob@there"])
async def test_rows_of_the_dead_are_taken_over_by_the_same_account(tmp_path: Path, account: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _OTHER, str(tmp_path), account], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"
        journal = Journal(tmp_path, "alice@there")
        assert journal.take_over() == []  # it lives
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # dead, and not reaped yet
        assert [row.path for row in journal.take_over()] == (["/f"] if account == "alice@there" else [])
        journal.close()


async def test_of_two_mounts_one_takes_over(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _OTHER, str(tmp_path), "alice@there"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        other.kill()
    first, second = Journal(tmp_path, "alice@there"), Journal(tmp_path, "alice@there")
    assert [len(first.take_over()), len(second.take_over())] == [1, 0]
    first.close()
    second.close()
