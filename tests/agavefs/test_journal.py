"""The journal: what it keeps, and whose it is."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import trio

from agavefs.journal import VERSION, Journal, count, read
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


# as the first agavefs made it, when it had no version
_FIRST = """
CREATE TABLE IF NOT EXISTS owed (
    id INTEGER PRIMARY KEY, owner TEXT NOT NULL, account TEXT NOT NULL, system TEXT NOT NULL, path TEXT NOT NULL,
    spool TEXT NOT NULL, size INTEGER NOT NULL, base_size INTEGER, base_modified REAL, state TEXT NOT NULL,
    temporary TEXT, trouble TEXT);
CREATE TABLE IF NOT EXISTS owners (
    id TEXT PRIMARY KEY, host TEXT NOT NULL, boot TEXT NOT NULL, pid INTEGER NOT NULL, started INTEGER NOT NULL);
"""


def first_journal(folder: Path, account: str, *rows: tuple[str, Path, int, str], system: str = "s") -> None:
    """A journal of version 1 with rows of a mount that died: each a path, a spool, its size and its state."""
    folder.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(folder / "journal.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(_FIRST)
        connection.execute("INSERT INTO owners VALUES ('dead', ?, 'another boot', 1, 1)", (socket.gethostname(),))
        for path, spool, size, state in rows:
            connection.execute(
                "INSERT INTO owed (owner, account, system, path, spool, size, state) VALUES ('dead', ?, ?, ?, ?, ?, ?)",
                (account, system, path, str(spool), size, state),
            )


async def test_a_journal_of_version_1_becomes_one_of_ours_with_all_its_rows(tmp_path: Path) -> None:
    first_journal(tmp_path, "alice@there", ("/f", tmp_path / "spool", 3, "sealed"))
    assert [row.path for row in read(tmp_path / "journal.db")[0]] == ["/f"]  # who only looks needs no new one
    journal = Journal(tmp_path, "alice@there")
    (row,) = journal.take_over()
    assert (row.path, row.size, row.state, row.since, row.request) == ("/f", 3, "sealed", None, None)
    await journal.trouble(row.id, "no", "request-1")
    (row,) = journal.rows()
    assert (row.trouble, row.request, row.tried is not None) == ("no", "request-1", True)
    journal.close()
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)


async def test_an_older_mount_goes_on_writing_a_journal_that_was_brought_up_to_date(tmp_path: Path) -> None:
    first_journal(tmp_path, "alice@there")
    with closing(sqlite3.connect(tmp_path / "journal.db", isolation_level=None)) as older:
        Journal(tmp_path, "alice@there").close()
        older.execute("INSERT INTO owners VALUES ('old', 'h', 'b', 1, 1)")
        older.execute(
            "INSERT INTO owed (owner, account, system, path, spool, size, state)"
            " VALUES ('old', 'a', 's', '/f', '', 0, 'writing')"
        )
    assert [row.path for row in read(tmp_path / "journal.db")[0]] == ["/f"]


async def test_a_journal_that_can_not_be_brought_up_to_date_is_as_it_was(tmp_path: Path) -> None:
    first_journal(tmp_path, "alice@there", ("/f", tmp_path / "spool", 3, "sealed"))
    with closing(sqlite3.connect(tmp_path / "journal.db", isolation_level=None)) as connection:
        connection.execute("ALTER TABLE owed ADD COLUMN request TEXT")  # the last of our steps finds it there
    with pytest.raises(OSError, match="duplicate column"):
        Journal(tmp_path, "alice@there")
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
        columns = {name for _, name, *_ in connection.execute("PRAGMA table_info(owed)")}
        assert (connection.execute("PRAGMA user_version").fetchone(), "since" in columns) == ((0,), False)


async def test_a_first_journal_that_was_cut_while_it_was_made_is_made_whole(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
        connection.execute(_FIRST.partition(";")[0])
    Journal(tmp_path, "alice@there").close()
    assert read(tmp_path / "journal.db") == ([], {})


async def test_two_mounts_that_start_at_once_bring_a_journal_up_to_date_once(tmp_path: Path) -> None:
    first_journal(tmp_path, "alice@there", ("/f", tmp_path / "spool", 3, "sealed"))
    errors: list[Exception] = []

    async def start() -> None:
        try:
            (await trio.to_thread.run_sync(Journal, tmp_path, "alice@there")).close()
        except OSError as error:
            errors.append(error)

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(start)
    assert errors == []
    assert [row.path for row in read(tmp_path / "journal.db")[0]] == ["/f"]


async def test_a_journal_of_a_newer_version_is_refused_and_not_touched(tmp_path: Path) -> None:
    Journal(tmp_path, "alice@there").close()
    with closing(sqlite3.connect(tmp_path / "journal.db", isolation_level=None)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = (tmp_path / "journal.db").read_bytes()
    with pytest.raises(OSError, match=r"by a newer agavefs; it has version \d+, and this one knows \d+: update"):
        Journal(tmp_path, "alice@there")
    with pytest.raises(OSError, match="written by a newer agavefs"):
        read(tmp_path / "journal.db")
    assert (tmp_path / "journal.db").read_bytes() == before
    assert list((tmp_path / "owners").iterdir()) == []


async def test_a_row_of_a_dead_mount_is_taken_by_its_number_alone(tmp_path: Path) -> None:
    first_journal(
        tmp_path,
        "alice@there",
        ("/f", tmp_path / "aaaaaaaaaa", 3, "sealed"),
        ("/g", tmp_path / "bbbbbbbbbb", 3, "writing"),
    )
    journal = Journal(tmp_path, "alice@there")
    assert [row.path for row in journal.take({"bbbbbbbb"})] == ["/g"]
    assert {row.path: row.owner == journal.owner for row in journal.rows()} == {"/f": False, "/g": True}
    journal.close()
