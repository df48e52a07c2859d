"""The journal: which spool must reach which place on the platform, over which version, and how far that has come.

A row lives from the first change of a file until the platform has it:

    writing   changed here, not closed yet           after a crash: kept and shown, never sent behind the user's back
    sealed    closed and on the disk, to be sent     after a crash: sent
    sending   on its way, under `temporary` if that is set, else under its own name         … sent again
    beside    settled under `temporary`, to be copied over the target                       … copied
    aside     as `beside`, but it can't be copied: it changes names with its target         … finished
    placed    copied; `temporary` is to be removed                                          … removed
    hidden    no bytes of ours: `temporary` stands for an unlinked file still open          … removed
    emptied   no bytes of ours: `temporary` is a folder, to go if it is empty               … removed, or put back

It is one SQLite file for all mounts of this host (WAL, every commit on the disk). Each row has an owner, a mount that
holds the lock of its file as long as it lives; the rows of one that is provably dead may be taken over. It knows
nothing of the network or of how a spool is sent.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import socket
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import trio

from agavesh.client.path import RemotePath
from agavesh.client.storage import Version

State = Literal["writing", "sealed", "sending", "beside", "aside", "placed", "hidden", "emptied"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS owed (
    id INTEGER PRIMARY KEY, owner TEXT NOT NULL, account TEXT NOT NULL, system TEXT NOT NULL, path TEXT NOT NULL,
    spool TEXT NOT NULL, size INTEGER NOT NULL, base_size INTEGER, base_modified REAL, state TEXT NOT NULL,
    temporary TEXT, trouble TEXT);
CREATE TABLE IF NOT EXISTS owners (
    id TEXT PRIMARY KEY, host TEXT NOT NULL, boot TEXT NOT NULL, pid INTEGER NOT NULL, started INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS named (name TEXT NOT NULL);
INSERT INTO named SELECT lower(hex(randomblob(4))) WHERE NOT EXISTS (SELECT 1 FROM named);
"""
_COLUMNS = "id, owner, account, system, path, spool, size, base_size, base_modified, state, temporary, trouble"


@dataclass(frozen=True)
class Row:
    """One thing owed. `spool` is the path of its file; `account` says whose it is."""

    id: int
    owner: str
    account: str
    system: str
    path: str
    spool: str
    size: int
    base_size: int | None
    base_modified: float | None
    state: State
    temporary: str | None
    trouble: str | None

    @property
    def remote(self) -> RemotePath:
        return RemotePath("system", self.system, self.path)

    @property
    def base(self) -> Version | None:
        if self.base_size is None or self.base_modified is None:
            return None
        return (self.base_size, self.base_modified)


class Journal:
    """The journal as one mount, `owner`, writes it. Calls that write return when the disk has it; OSError."""

    def __init__(self, folder: Path, account: str) -> None:
        self.folder, self.account = folder, account
        self.owner = secrets.token_hex(8)
        self.also: dict[int, Callable[[], None]] = {}  # by row: what else goes as soon as it is done, in a thread
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "owners").mkdir(mode=0o700, exist_ok=True)
        self._guard = threading.Lock()  # the connection is used from several threads, one at a time
        file = folder / "journal.db"
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        self._connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None, timeout=10)
        self._lock = _locked(self._lock_of(self.owner))
        try:
            for pragma in ("busy_timeout=10000", "journal_mode=WAL", "synchronous=FULL"):
                self._connection.execute(f"PRAGMA {pragma}")
            self._connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
            # what is ours on the platform is known by it
            (self.name,) = self._connection.execute("SELECT name FROM named").fetchone()
            self._connection.execute(
                "INSERT INTO owners VALUES (?, ?, ?, ?, ?)",
                (self.owner, socket.gethostname(), _boot(), os.getpid(), _started(os.getpid())),
            )
        except sqlite3.Error as error:
            raise _trouble(error) from error

    def _lock_of(self, owner: str) -> Path:
        return self.folder / "owners" / owner

    @staticmethod
    def held(folder: Path, owner: str) -> bool:
        """Whether the mount that is called `owner` in the journal of `folder` holds its lock, and so lives."""
        path = folder / "owners" / owner
        if not path.exists():
            return False
        lock = _locked(path, wait=False)
        if lock is not None:
            os.close(lock)
        return lock is None

    def close(self) -> None:
        """Rows that are left stay; the next mount finds them without an owner alive."""
        with self._guard:
            if not self._connection.execute("SELECT 1 FROM owed WHERE owner = ?", (self.owner,)).fetchone():
                self._connection.execute("DELETE FROM owners WHERE id = ?", (self.owner,))
                self._lock_of(self.owner).unlink(missing_ok=True)
            self._connection.close()
        if self._lock is not None:
            os.close(self._lock)

    # what a mount writes ---------------------------------------------------------------------------------------------

    async def begin(self, remote: RemotePath, spool: Path, base: Version | None) -> int:
        """A row `writing`; its id."""
        return await self._run(
            "INSERT INTO owed (owner, account, system, path, spool, size, base_size, base_modified, state)"
            " VALUES (?, ?, ?, ?, ?, 0, ?, ?, 'writing')",
            self.owner, self.account, remote.owner, remote.path, str(spool), *(base or (None, None)),
        )  # fmt: skip

    async def hide(self, remote: RemotePath, temporary: str, state: State = "hidden") -> int:
        """A row without bytes: `temporary` is all that is left of `remote`, and goes when nobody needs it."""
        return await self._run(
            "INSERT INTO owed (owner, account, system, path, spool, size, temporary, state)"
            " VALUES (?, ?, ?, ?, '', 0, ?, ?)",
            self.owner, self.account, remote.owner, remote.path, temporary, state,
        )  # fmt: skip

    async def seal(self, row: int, path: str, size: int) -> None:
        """The spool is closed, of that size and on the disk."""
        await self._run("UPDATE owed SET state = 'sealed', path = ?, size = ? WHERE id = ?", path, size, row)

    async def reopen(self, row: int) -> None:
        """It is written again. What was sealed before is not to be sent any more: it is not there any more."""
        await self._run("UPDATE owed SET state = 'writing' WHERE id = ?", row)

    async def step(self, row: int, state: State, temporary: str | None) -> None:
        """It has come so far."""
        await self._run("UPDATE owed SET state = ?, temporary = ?, trouble = NULL WHERE id = ?", state, temporary, row)

    async def trouble(self, row: int, text: str) -> None:
        """Why it is not there yet."""
        await self._run("UPDATE owed SET trouble = ? WHERE id = ?", text, row)

    async def done(self, row: int) -> None:
        """Nothing is owed any more."""
        if (also := self.also.pop(row, None)) is not None:
            await trio.to_thread.run_sync(also)
        await self._run("DELETE FROM owed WHERE id = ?", row)

    async def moved(self, old: RemotePath, new: RemotePath) -> None:
        """A file or folder of ours has a new path, and so has what is in it."""
        length = len(old.path) + 1
        await self._run(
            "UPDATE owed SET path = ? || substr(path, ?),"
            " temporary = CASE WHEN substr(temporary, 1, ?) = ? THEN ? || substr(temporary, ?) ELSE temporary END"
            " WHERE owner = ? AND system = ? AND (path = ? OR substr(path, 1, ?) = ?)",
            new.path, length, length, old.path + "/", new.path, length,
            self.owner, old.owner, old.path, length, old.path + "/",
        )  # fmt: skip

    async def aim(self, row: int, path: str, base: Version | None) -> None:
        """It goes to that place, over that version."""
        await self._run(
            "UPDATE owed SET path = ?, base_size = ?, base_modified = ? WHERE id = ?",
            path,
            *(base or (None, None)),
            row,
        )

    # what others may ask ---------------------------------------------------------------------------------------------

    def rows(self) -> list[Row]:
        """All rows of all mounts of this host. Blocks for a moment."""
        with self._guard:
            return [Row(*row) for row in self._connection.execute(f"SELECT {_COLUMNS} FROM owed ORDER BY id")]

    def alive(self, owner: str) -> bool:
        """Whether a mount may still live. In doubt it does."""
        if owner == self.owner:
            return True
        with self._guard:
            found = self._connection.execute("SELECT host, boot, pid, started FROM owners WHERE id = ?", (owner,))
            row = found.fetchone()
        if row is not None:
            host, boot, pid, started = row
            if host != socket.gethostname() or (boot == _boot() and _started(pid) == started):
                return True
        # the lock speaks for processes that we can't see, in a container of their own
        return self.held(self.folder, owner)

    def take_over(self) -> list[Row]:
        """The rows that dead mounts of this account have left: ours from now on. Blocks for a moment."""
        orphans = {row.owner for row in self.rows() if row.account == self.account}
        for owner in orphans:
            if not self.alive(owner):
                with self._guard:
                    # one statement: of two mounts that start at once, one gets them
                    self._connection.execute(
                        "UPDATE owed SET owner = ? WHERE owner = ? AND account = ?", (self.owner, owner, self.account)
                    )
        self._sweep()
        return [row for row in self.rows() if row.owner == self.owner]

    def put(self, row: Row, spool: Path | None) -> int:
        """A row from elsewhere is ours, with its bytes in `spool`; its id. Blocks for a moment."""
        values = (self.owner, row.account, row.system, row.path, str(spool or ""), row.size, row.base_size)
        with self._guard:
            try:
                done = self._connection.execute(
                    "INSERT INTO owed (owner, account, system, path, spool, size, base_size, base_modified, state,"
                    " temporary, trouble) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (*values, row.base_modified, row.state, row.temporary, row.trouble),
                )
            except sqlite3.Error as error:
                raise _trouble(error) from error
        return done.lastrowid or 0

    def drop(self, row: int) -> None:
        """It is owed from elsewhere now. Blocks for a moment."""
        with self._guard:
            self._connection.execute("DELETE FROM owed WHERE id = ?", (row,))

    def _sweep(self) -> None:
        """Forget dead mounts that owe nothing."""
        with self._guard:
            idle = self._connection.execute("SELECT id FROM owners WHERE id NOT IN (SELECT owner FROM owed)").fetchall()
        for (owner,) in idle:
            if not self.alive(owner):
                with self._guard:
                    self._connection.execute("DELETE FROM owners WHERE id = ?", (owner,))
                self._lock_of(owner).unlink(missing_ok=True)

    async def _run(self, statement: str, *values: Any) -> int:
        """Run and commit; the id of a row that was put in. A thread that has begun is waited for, even if cancelled."""

        def work() -> int:
            with self._guard:
                return self._connection.execute(statement, values).lastrowid or 0

        try:
            return await trio.to_thread.run_sync(work)
        except sqlite3.Error as error:
            raise _trouble(error) from error


def _trouble(error: sqlite3.Error) -> OSError:
    full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return OSError(errno.ENOSPC if full else errno.EIO, f"the journal can't be written: {error}")


def count(folder: Path, owner: str) -> int:
    """How many files a mount of that journal owes. For who is no mount."""
    try:
        connection = sqlite3.connect(f"{(folder / 'journal.db').as_uri()}?mode=ro", uri=True, timeout=10)
    except sqlite3.Error as error:
        raise _trouble(error) from error
    with closing(connection):
        found = connection.execute("SELECT count(*) FROM owed WHERE owner = ? AND spool != ''", (owner,))
        return int(found.fetchone()[0])


def _locked(path: Path, *, wait: bool = True) -> int | None:
    """An open, locked file; None if somebody else holds the lock. Closing it lets go."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    return fd


def _boot() -> str:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def _started(pid: int) -> int:
    """When a process began, in ticks since boot; 0 if there is none, or one that has ended and is not reaped."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if state in "ZX" else int(fields[18])
