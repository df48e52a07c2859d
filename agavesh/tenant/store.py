"""The tenant's records, in one SQLite file. It knows tables, not rules.

Its own tables serve all services; a room that needs more hands them in. `records` holds JSON documents by kind
(`system`, `app`, `job`, …) and id; `events` the history, `grants` the permissions and `roles` the system roles;
`files` gives paths their uuid and owner; `users`, `clients`, `tokens` and `credentials` hold what is secret, and
nothing of them is ever put into a document.

Calls are short and made in trio's thread. There is one connection, and between two awaits a task is alone with it;
`with store.together():` makes several writes one transaction. A commit goes to the write-ahead log without waiting for
the disk, which is all that a crash of the tenant asks for. For a crash of the machine `await store.flushed()`: all that
was committed, and every folder that was `touched`, is on the disk then, and who asks at the same time shares one flush.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cachetools
import msgspec
import trio

log = logging.getLogger(__name__)

TABLES = """
create table if not exists records (
    kind text not null, id text not null, owner text not null, created real not null, body blob not null,
    primary key (kind, id));
create index if not exists records_by_age on records (kind, created);
create index if not exists records_by_uuid on records (json_extract(cast(body as text), '$.uuid'))
    where kind in ('app', 'system');
create table if not exists events (
    number integer primary key, uuid text not null, at real not null, status text not null, by text not null,
    description text not null, more blob);
create index if not exists events_by_uuid on events (uuid);
create table if not exists grants (
    uuid text not null, username text not null, bits integer not null, recursive integer not null,
    primary key (uuid, username));
create table if not exists roles (
    system text not null, username text not null, role text not null, primary key (system, username));
create table if not exists files (
    system text not null, path text not null, uuid text not null unique, owner text not null, created real not null,
    primary key (system, path));
create table if not exists stagings (
    temporary text primary key, uuid text not null, username text not null, source text not null,
    fetched integer not null);
create table if not exists users (username text primary key, password text not null, admin integer not null);
create table if not exists clients (
    owner text not null, name text not null, key text not null unique, secret text not null, body blob not null,
    primary key (owner, name));
create table if not exists tokens (
    hash text primary key, refresh integer not null, grant_id text not null, username text not null,
    client text not null, expires real, revoked integer not null default 0);
create index if not exists tokens_by_grant on tokens (grant_id);
create table if not exists credentials (
    system text not null, internal text not null, kind text not null, body blob not null, created real not null,
    primary key (system, internal, kind));
"""

VERSION = 1  # of the tables: a file with others is refused rather than misread

_EVENT = "insert into events (uuid, at, status, by, description, more) values (?, ?, ?, ?, ?, ?)"

PAUSE = 5.0  # seconds before work that could not be written down is tried again

Record = dict[str, Any]


class OtherVersion(Exception):
    """The file was written by a program with other tables."""


class Damaged(Exception):
    """A file of the tenant's own cannot be read any more."""


def check(path: Path) -> None:
    """Raise OtherVersion or Damaged if there is a file at `path` that `Store` could not read."""
    if not path.exists():
        return
    try:
        with contextlib.closing(sqlite3.connect(path)) as db:
            (found,) = db.execute("pragma user_version").fetchone()
            tables = db.execute("select count(*) from sqlite_master").fetchone()[0]
    except sqlite3.Error as problem:
        raise Damaged(f"{path} cannot be read: {problem}") from None
    if tables and found != VERSION:
        raise OtherVersion(f"{path} is of version {found}, and this program reads version {VERSION}")


class Unwritable(OSError):
    """Records cannot be written, or read, now: the disk is full, most likely. Nothing of what was asked was done."""


def _unwritable(problem: sqlite3.OperationalError) -> Unwritable | None:
    """The same for those who know nothing of SQLite; None for a fault of ours."""
    # the low byte is the kind, the others say more of it
    number = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_IOERR: errno.EIO}.get(problem.sqlite_errorcode & 0xFF)
    return None if number is None else Unwritable(number, os.strerror(number))


def sync(path: Path) -> None:
    """Wait until the disk has a file's bytes, or what a folder holds."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


async def patiently(do: Callable[[], Awaitable[None]]) -> None:
    """Do what can be done again, until the records can be written: whoever has filled the disk may clear it."""
    while True:
        try:
            await do()
            return
        except Unwritable as trouble:
            log.warning("records cannot be written: %s; tried again in %.0f s", trouble.strerror, PAUSE)
            await trio.sleep(PAUSE)


@dataclass(frozen=True)
class Event:
    """What has just happened to the thing of a uuid."""

    uuid: str
    status: str
    by: str
    description: str
    told: Record | None = None  # what it brings besides, for those who are told of it
    about: str = ""  # the uuid of what it is about, where that is another thing: whoever may not see that hears nothing


class Store:
    """Records by kind and id, and what hangs on a uuid. Records that come out are shared: never change one in place."""

    def __init__(self, path: Path, *more: str) -> None:
        """`more`: statements that make the tables of single services, where they are not there yet."""
        self._path = path
        self.heard: Callable[[Event], None] | None = None
        self.listens: Callable[[str, str], bool] = lambda uuid, status: True
        self._at_end: list[Callable[[], None]] = []
        path.touch(mode=0o600)
        # the tenant's only thread for it is trio's, but tests look in from theirs when it is still
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = normal")
        self._db.execute("pragma secure_delete = on")  # what is deleted may have been a secret
        self._db.execute("pragma wal_autocheckpoint = 0")  # a commit must not wait for the disk: see `checkpoint`
        for tables in (TABLES, *more):
            self._db.executescript(tables)
        self._db.execute(f"pragma user_version = {VERSION}")
        self._kept: cachetools.LRUCache[tuple[str, str], Record] = cachetools.LRUCache(4096)
        self._roles: cachetools.LRUCache[str, dict[str, str]] = cachetools.LRUCache(1024)
        self._remembered: list[MutableMapping[Any, Any]] = [self._kept]
        self.remember("roles", self._roles)
        self._touched: set[Path] = set()
        self._asked = self._flushed = 0  # who waits for the disk has a number; all up to the second have been served
        self._flushing = trio.Lock()

    def checkpoint(self) -> None:
        """Bring what the write-ahead log holds into the file. It waits for the disk: call it in a thread."""
        try:
            with contextlib.closing(sqlite3.connect(self._path)) as db:
                db.execute("pragma wal_checkpoint(passive)")
        except sqlite3.OperationalError as problem:
            if (unwritable := _unwritable(problem)) is None:
                raise
            raise unwritable from problem

    def touched(self, *folders: Path) -> None:
        """Files were put into these folders, or taken out: `flushed` is to see to them too."""
        self._touched.update(folders)

    async def flushed(self) -> None:
        """Wait until what was committed and touched before is on the disk. Unwritable if it cannot be brought there."""
        self._asked += 1
        mine = self._asked
        async with self._flushing:
            if self._flushed >= mine:
                return  # one flush that began after we asked has served us
            upto, folders, self._touched = self._asked, self._touched, set()
            try:
                await trio.to_thread.run_sync(self._flush, folders)
            except BaseException:  # one that is cancelled before there is a thread for it, too
                self._touched |= folders  # others have changes there, and wait for the next flush
                raise
            self._flushed = upto

    def _flush(self, folders: Iterable[Path]) -> None:
        for path in (Path(f"{self._path}-wal"), *folders):
            try:
                sync(path)
            except (FileNotFoundError, NotADirectoryError):
                continue  # a folder that is gone again has nothing to lose
            except OSError as problem:
                raise Unwritable(problem.errno, problem.strerror) from None

    def close(self) -> None:
        self._db.close()

    @property
    def in_transaction(self) -> bool:
        """Whether a block of `together` is being run."""
        return self._db.in_transaction

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement; its rows. Unwritable if the disk does not let it."""
        try:
            return self._db.execute(statement, values).fetchall()
        except sqlite3.OperationalError as problem:
            if (unwritable := _unwritable(problem)) is None:
                raise
            raise unwritable from problem

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """All writes inside, or none. Hold it over no await."""
        if self.in_transaction:
            yield
            return
        self.sql("begin immediate")
        try:
            yield
            for do in self._at_end:
                do()
            self.sql("commit")
        except BaseException:
            try:
                if self._db.in_transaction:  # a full disk may have ended it already
                    self._db.execute("rollback")
            finally:
                for each in self._remembered:
                    each.clear()
            raise
        finally:
            self._at_end.clear()

    def remember(self, table: str, rows: MutableMapping[Any, Any]) -> None:
        """Rows of a table may be kept in `rows`: it is emptied whenever the table is written, by whatever statement,
        and when a write is taken back."""
        forget = f"forget_{table}"
        self._db.create_function(forget, 0, rows.clear)
        for act in ("insert", "update", "delete"):
            self._db.execute(
                f"create temp trigger {forget}_{act} after {act} on main.{table} begin select {forget}(); end"
            )
        self._remembered.append(rows)

    def at_end(self, do: Callable[[], None]) -> None:
        """Do something more in the transaction under way, when all else is done in it: it sees what has become of
        the disk. What it raises undoes everything."""
        self._at_end.append(do)

    # roles -----------------------------------------------------------------------------------------------------------

    def roles(self, system: str) -> Mapping[str, str]:
        """Who has which role on a system."""
        if (kept := self._roles.get(system)) is None:
            kept = dict(self.sql("select username, role from roles where system = ? order by username", system))
            self._roles[system] = kept
        return kept

    # records ---------------------------------------------------------------------------------------------------------

    def get(self, kind: str, id: str) -> Record | None:
        """One record, or None."""
        if (kept := self._kept.get((kind, id))) is not None:
            return kept
        rows = self.sql("select body from records where kind = ? and id = ?", kind, id)
        if not rows:
            return None
        record: Record = msgspec.json.decode(rows[0][0])
        self._kept[kind, id] = record
        return record

    def of_uuid(self, kind: str, uuid: str) -> Record | None:
        """The app or the system of a uuid, or None: these two are kept by an id that a person chose."""
        rows = self.sql(
            "select id from records where kind in ('app', 'system') and kind = ?"  # the first is what the index wants
            " and json_extract(cast(body as text), '$.uuid') = ?",
            kind, uuid,
        )  # fmt: skip
        return self.get(kind, rows[0][0]) if rows else None

    def put(self, kind: str, id: str, record: Record, *, owner: str) -> None:
        """Write one record, new or not; the time it was first written stays."""
        self.sql(
            "insert into records values (?, ?, ?, ?, ?)"
            " on conflict do update set owner = excluded.owner, body = excluded.body",
            kind, id, owner, time.time(), msgspec.json.encode(record),
        )  # fmt: skip
        self._kept[kind, id] = record

    def drop(self, kind: str, id: str) -> None:
        """Remove one record."""
        self.sql("delete from records where kind = ? and id = ?", kind, id)
        self._kept.pop((kind, id), None)

    def all(self, kind: str, *, owner: str | None = None) -> Iterator[Record]:
        """All records of a kind, newest first; with `owner` only theirs."""
        for (id,) in self.sql(
            "select id from records where kind = ?1 and (?2 is null or owner = ?2) order by created desc, rowid desc",
            kind, owner,
        ):  # fmt: skip
            if (record := self.get(kind, id)) is not None:
                yield record

    # what hangs on a uuid --------------------------------------------------------------------------------------------

    def event(
        self, uuid: str, status: str, description: str, *, by: str, more: Record | None = None,
        told: Record | None = None,
    ) -> None:  # fmt: skip
        """Add one event to the history of `uuid`; `more` is what else its entry shows, such as `progress`.

        Who listens by `heard` hears of it in the same transaction, and of what is `told` besides: who was granted
        what, or the values of an event of a job's own. `listens` may say beforehand that nobody does.
        """
        row = (uuid, time.time(), status, by, description, msgspec.json.encode(more) if more else None)
        if self.heard is None or not self.listens(uuid, status):
            self.sql(_EVENT, *row)
            return
        with self.together():
            self.sql(_EVENT, *row)
            self.heard(Event(uuid, status, by, description, told))

    def tell(self, uuid: str, status: str, description: str, *, by: str, about: str) -> None:
        """Something happened to the thing of `about` that those who listen to `uuid` may want to hear of.

        The history of `uuid` does not have it: that is read by others than may know of `about`.
        """
        if self.heard is not None:
            with self.together():
                self.heard(Event(uuid, status, by, description, about=about))

    def events(self, uuid: str) -> list[tuple[float, str, str, str, Record]]:
        """The history of `uuid`, oldest first: (at, status, by, description, more)."""
        rows = self.sql("select at, status, by, description, more from events where uuid = ? order by number", uuid)
        return [(*row[:4], msgspec.json.decode(row[4]) if row[4] else {}) for row in rows]

    def grant(self, uuid: str, username: str, bits: int, *, recursive: bool = False) -> None:
        """Let `username` do what `bits` say with `uuid`, in place of what was granted before; 0 takes it away."""
        if bits:
            self.sql("insert or replace into grants values (?, ?, ?, ?)", uuid, username, bits, recursive)
        else:
            self.sql("delete from grants where uuid = ? and username = ?", uuid, username)

    def grants(self, uuid: str) -> list[tuple[str, int, bool]]:
        """Who was granted what on `uuid`: (username, bits, recursive)."""
        rows = self.sql("select username, bits, recursive from grants where uuid = ? order by rowid", uuid)
        return [(username, bits, bool(recursive)) for username, bits, recursive in rows]

    def granted(self, uuid: str, *usernames: str) -> int:
        """The bits granted on `uuid` to any of `usernames`."""
        marks = ",".join("?" * len(usernames))
        rows = self.sql(f"select bits from grants where uuid = ? and username in ({marks})", uuid, *usernames)
        bits = 0
        for (more,) in rows:
            bits |= more
        return bits

    def forget(self, uuid: str) -> None:
        """Drop the history and the grants of `uuid`."""
        self.sql("delete from events where uuid = ?", uuid)
        self.sql("delete from grants where uuid = ?", uuid)
