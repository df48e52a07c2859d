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

The file says its version (`user_version`). An older one is brought up to ours when it is opened, in one transaction;
only columns that may be empty are added, since a mount of an older agavefs may be writing it at that moment. One of a
newer version is refused, and not touched.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import trio

from agavesh.client.path import RemotePath
from agavesh.client.storage import TEMPORARY, Version

Owner = Sequence[Any]  # host, boot, pid and started of a mount
State = Literal["writing", "sealed", "sending", "beside", "aside", "placed", "hidden", "emptied"]

# What makes of each version the next, from an empty file on. Files from before there were versions say 0, and are 1.
_STEPS = (
    (
        "CREATE TABLE IF NOT EXISTS owed ("
        "id INTEGER PRIMARY KEY, owner TEXT NOT NULL, account TEXT NOT NULL, system TEXT NOT NULL, path TEXT NOT NULL,"
        " spool TEXT NOT NULL, size INTEGER NOT NULL, base_size INTEGER, base_modified REAL, state TEXT NOT NULL,"
        " temporary TEXT, trouble TEXT)",
        "CREATE TABLE IF NOT EXISTS owners ("
        "id TEXT PRIMARY KEY, host TEXT NOT NULL, boot TEXT NOT NULL, pid INTEGER NOT NULL, started INTEGER NOT NULL)",
    ),
    (
        "ALTER TABLE owed ADD COLUMN since REAL",
        "ALTER TABLE owed ADD COLUMN tried REAL",
        "ALTER TABLE owed ADD COLUMN request TEXT",
        "ALTER TABLE owed ADD COLUMN sent TEXT",
        "CREATE TABLE named (name TEXT NOT NULL)",
        "INSERT INTO named VALUES (lower(hex(randomblob(4))))",
    ),
)
VERSION = len(_STEPS)
_FIRST = ("id", "owner", "account", "system", "path", "spool", "size", "base_size", "base_modified", "state",
          "temporary", "trouble")  # fmt: skip
_ADDED = ("since", "tried", "request", "sent")
_COLUMNS = ", ".join((*_FIRST, *_ADDED))


REMOVALS = ("hidden", "emptied")  # states of what is only to go from the platform
BYTELESS = (*REMOVALS, "placed")  # states in which no bytes of ours are needed any more

_NUMBER = 8  # letters


@dataclass(frozen=True)
class Row:
    """One thing owed. `spool` is the path of its file; `account` says whose it is.

    `since` is when it was begun, or closed; `trouble` is what kept it from its place the last time that it was `tried`,
    and `request` names that request in the platform's log. `sent` are digests of what may be in its place by now. They
    are None where an older agavefs wrote the row.
    """

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
    since: float | None = None
    tried: float | None = None
    request: str | None = None
    sent: str | None = None

    @property
    def number(self) -> str:
        """What people call it by: the beginning of its spool's name, or of that of the file that is to be removed. It
        stays the same wherever the row goes."""
        return (Path(self.spool).name or Path(self.temporary or "").name.removeprefix(TEMPORARY))[:_NUMBER]

    @property
    def remote(self) -> RemotePath:
        return RemotePath("system", self.system, self.path)

    @property
    def base(self) -> Version | None:
        if self.base_size is None or self.base_modified is None:
            return None
        return (self.base_size, self.base_modified)


class Journal:
    """The journal as one mount, `owner`, writes it. Calls that write return when the disk has it; OSError, also for one
    of a newer version."""

    def __init__(self, folder: Path, account: str) -> None:
        self.folder, self.account = folder, account
        self.owner = secrets.token_hex(8)
        self.also: dict[int, Callable[[], None]] = {}  # by row: what else goes as soon as it is done, in a thread
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "owners").mkdir(mode=0o700, exist_ok=True)
        self._guard = threading.Lock()  # the connection is used from several threads, one at a time
        self._connection = opened(folder)
        self._lock = _locked(self._lock_of(self.owner))
        try:
            # what is ours on the platform is known by it
            (self.name,) = self._connection.execute("SELECT name FROM named").fetchone()
            self._connection.execute(
                "INSERT INTO owners (id, host, boot, pid, started) VALUES (?, ?, ?, ?, ?)",
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
            "INSERT INTO owed (owner, account, system, path, spool, size, base_size, base_modified, state, since)"
            " VALUES (?, ?, ?, ?, ?, 0, ?, ?, 'writing', ?)",
            self.owner, self.account, remote.owner, remote.path, str(spool), *(base or (None, None)), time.time(),
        )  # fmt: skip

    async def hide(self, remote: RemotePath, temporary: str, state: State = "hidden") -> int:
        """A row without bytes: `temporary` is all that is left of `remote`, and goes when nobody needs it."""
        return await self._run(
            "INSERT INTO owed (owner, account, system, path, spool, size, temporary, state, since)"
            " VALUES (?, ?, ?, ?, '', 0, ?, ?, ?)",
            self.owner, self.account, remote.owner, remote.path, temporary, state, time.time(),
        )  # fmt: skip

    async def seal(self, row: int, path: str, size: int, instead: int | None = None) -> None:
        """The spool is closed, of that size and on the disk. What was kept for it, the row `instead`, is not needed."""
        untried = "trouble = NULL, tried = NULL, request = NULL"
        statement = f"UPDATE owed SET state = 'sealed', path = ?, size = ?, since = ?, {untried} WHERE id = ?"
        sealed = (statement, (path, size, time.time(), row))
        await self._all([sealed, ("DELETE FROM owed WHERE id = ?", (instead,))] if instead is not None else [sealed])

    async def keep(self, row: int, spool: Path, kept: Path) -> int:
        """The `spool` is written again, and `kept` has its bytes as they were sealed: they are sent if the new ones
        don't come to be sealed. The id of a new row, `writing`."""
        return await self._all(
            [
                ("UPDATE owed SET spool = ?, state = 'sealed', temporary = NULL WHERE id = ?", (str(kept), row)),
                (
                    "INSERT INTO owed"
                    " (owner, account, system, path, spool, size, base_size, base_modified, sent, state, since)"
                    " SELECT owner, account, system, path, ?, 0, base_size, base_modified, sent, 'writing', ? FROM owed"
                    " WHERE id = ?",
                    (str(spool), time.time(), row),
                ),
            ]
        )

    async def reopen(self, row: int) -> None:
        """It is written again. What was sealed before is not to be sent any more: it is not there any more."""
        await self._run("UPDATE owed SET state = 'writing', since = ? WHERE id = ?", time.time(), row)

    async def step(self, row: int, state: State, temporary: str | None, sent: str | None = None) -> None:
        """It has come so far; and by the next step what was `sent` may be in its place."""
        statement = "UPDATE owed SET state = ?, temporary = ?, sent = coalesce(?, sent) WHERE id = ?"
        await self._run(statement, state, temporary, sent, row)

    async def leave(self, row: int, temporary: str) -> None:
        """The platform has it, and nothing is owed but that `temporary` goes."""
        if (also := self.also.pop(row, None)) is not None:
            await trio.to_thread.run_sync(also)
        await self._run("UPDATE owed SET state = 'hidden', spool = '', temporary = ? WHERE id = ?", temporary, row)

    async def trouble(self, row: int, text: str, request: str | None = None) -> None:
        """Why it is not there yet, and which request failed."""
        statement = "UPDATE owed SET trouble = ?, tried = ?, request = ? WHERE id = ?"
        await self._run(statement, text, time.time(), request, row)

    async def done(self, row: int) -> None:
        """Nothing is owed any more."""
        if (also := self.also.pop(row, None)) is not None:
            await trio.to_thread.run_sync(also)
        await self._run("DELETE FROM owed WHERE id = ?", row)

    async def moved(
        self,
        old: RemotePath,
        new: RemotePath,
        *,
        row: int | None = None,
        base: Version | None = None,
        over: Collection[tuple[int, str | None]] = (),
    ) -> None:
        """A file or folder of ours has a new path, and so has what is in it. The row of it goes over what is of version
        `base` there, and takes the place of the rows `over`, which are told with what is theirs on the platform."""
        length, below = len(old.path) + 1, old.path + "/"
        statements: list[tuple[str, Sequence[Any]]] = []
        for number, temporary in over:
            if temporary is None:
                statements.append(("DELETE FROM owed WHERE id = ?", (number,)))
            else:
                statements.append(("UPDATE owed SET state = 'hidden', spool = '' WHERE id = ?", (number,)))
        for column in ("path", "temporary"):
            statements.append((
                f"UPDATE owed SET {column} = ? || substr({column}, ?)"
                f" WHERE owner = ? AND system = ? AND ({column} = ? OR substr({column}, 1, ?) = ?)",
                (new.path, length, self.owner, old.owner, old.path, length, below),
            ))  # fmt: skip
        if row is not None:
            aim = "UPDATE owed SET base_size = ?, base_modified = ? WHERE id = ?"
            statements.append((aim, (*(base or (None, None)), row)))
        await self._all(statements)

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
            try:
                return [Row(*row) for row in self._connection.execute(f"SELECT {_COLUMNS} FROM owed ORDER BY id")]
            except sqlite3.Error as error:
                raise _trouble(error) from error

    def alive(self, owner: str) -> bool:
        """Whether a mount may still live. In doubt it does."""
        if owner == self.owner:
            return True
        with self._guard:
            found = self._connection.execute("SELECT host, boot, pid, started FROM owners WHERE id = ?", (owner,))
            row = found.fetchone()
        return lives(self.folder, owner, row)

    def take(self, numbers: Collection[str], *, elsewhere: bool = False) -> list[Row]:
        """These rows of dead mounts of this account are ours from now on; those of them that are. With `elsewhere` a
        mount of another host lives only if it is seen to hold its lock. Blocks for a moment."""
        for row in self.rows():
            if row.account != self.account or row.number not in numbers or row.owner == self.owner:
                continue
            if not (self.held(self.folder, row.owner) if elsewhere else self.alive(row.owner)):
                with self._guard:
                    self._connection.execute(
                        "UPDATE owed SET owner = ? WHERE id = ? AND owner = ?", (self.owner, row.id, row.owner)
                    )
        return [row for row in self.rows() if row.owner == self.owner and row.number in numbers]

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
        more = (row.base_modified, row.state, row.temporary, row.trouble, row.since, row.tried, row.request, row.sent)
        with self._guard:
            try:
                done = self._connection.execute(
                    "INSERT INTO owed (owner, account, system, path, spool, size, base_size, base_modified, state,"
                    f" temporary, trouble, since, tried, request, sent) VALUES ({', '.join('?' * 15)})",
                    (*values, *more),
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
        return await self._all([(statement, values)])

    async def _all(self, statements: Sequence[tuple[str, Sequence[Any]]]) -> int:
        """Run them all, or none, and commit; as `_run`."""

        def work() -> int:
            with self._guard:
                if len(statements) == 1:
                    return self._connection.execute(*statements[0]).lastrowid or 0
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    for statement, values in statements:
                        made = self._connection.execute(statement, values).lastrowid or 0
                    self._connection.execute("COMMIT")
                except BaseException:
                    self._connection.execute("ROLLBACK")
                    raise
                return made

        try:
            return await trio.to_thread.run_sync(work)
        except sqlite3.Error as error:
            raise _trouble(error) from error


def _trouble(error: sqlite3.Error) -> OSError:
    full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return OSError(errno.ENOSPC if full else errno.EIO, f"the journal can't be written: {error}")


def opened(folder: Path) -> sqlite3.Connection:
    """The journal of a folder, of our version from now on. OSError; if it is of a newer one, it is as it was."""
    file = folder / "journal.db"
    if file.exists():
        with _read_only(file) as connection:
            _version(connection, file)  # before anything is changed, and so that nothing is if it raises
    os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
    connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None, timeout=10)
    try:
        for pragma in ("busy_timeout=10000", "journal_mode=WAL", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}")
        if _version(connection, file) < VERSION:
            # the lock of who writes: of two that come at once, the second one finds it done
            connection.execute("BEGIN IMMEDIATE")
            # the first ones do no harm where they were done, and may have been cut in the middle
            for steps in (_STEPS[0], *_STEPS[max(1, _version(connection, file)) :]):
                for step in steps:
                    connection.execute(step)
            connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute("COMMIT")
    except sqlite3.Error as error:
        connection.close()
        raise _trouble(error) from error
    except OSError:
        connection.close()
        raise
    return connection


def _version(connection: sqlite3.Connection, file: Path) -> int:
    """Its version. OSError if that is newer than ours."""
    try:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if not version:
            version = int(connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'owed'").fetchone()[0])
    except sqlite3.Error as error:
        raise _trouble(error) from error
    if version > VERSION:
        known = f"it has version {version}, and this one knows {VERSION}"
        cure = "update it, or name another folder by --cache-dir"
        raise OSError(errno.EPROTONOSUPPORT, f"{file} was written by a newer agavefs; {known}: {cure}")
    return version


@contextmanager
def _read_only(file: Path) -> Iterator[sqlite3.Connection]:
    try:
        connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
    except sqlite3.Error as error:
        raise _trouble(error) from error
    with closing(connection):
        yield connection


def read(file: Path) -> tuple[list[Row], dict[str, Owner]]:
    """What a journal says, and who its owners are, for who only looks: nothing is changed, nor brought up to date.
    OSError, also if it is of a newer version."""
    with _read_only(file) as connection:
        _version(connection, file)
        try:
            there = {name for _, name, *_ in connection.execute("PRAGMA table_info(owed)")}
            columns = ", ".join((*_FIRST, *(name if name in there else "NULL" for name in _ADDED)))
            rows = [Row(*row) for row in connection.execute(f"SELECT {columns} FROM owed ORDER BY id")] if there else []
            owners = connection.execute("SELECT id, host, boot, pid, started FROM owners") if there else ()
            return rows, {owner: about for owner, *about in owners}
        except sqlite3.Error as error:
            raise _trouble(error) from error


def lives(folder: Path, owner: str, about: Owner | None) -> bool:
    """Whether a mount may still live, by what the journal has of it. In doubt it does."""
    if about is not None:
        host, boot, pid, started = about
        if host != socket.gethostname() or (boot == _boot() and _started(pid) == started):
            return True
    # the lock speaks for processes that we can't see, in a container of their own
    return Journal.held(folder, owner)


def count(folder: Path, owner: str) -> int:
    """How many files a mount of that journal owes. For who is no mount."""
    with _read_only(folder / "journal.db") as connection:
        found = connection.execute(
            "SELECT count(*) FROM owed WHERE owner = ? AND state NOT IN (?, ?)", (owner, *REMOVALS)
        )
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
