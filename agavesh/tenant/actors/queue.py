"""Messages and what becomes of them: a table of executions, which is the queue of each actor too.

A message that waits is an execution that is SUBMITTED; the oldest is taken first. It is RUNNING when a worker has it,
and COMPLETE or ERROR at its end. Nothing here starts a process.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from agavesh.tenant.refusal import Refusal
from agavesh.tenant.store import Store

TABLES = """
create table if not exists executions (
    number integer primary key, id text not null unique, actor text not null, executor text not null,
    status text not null, received real not null, kind text not null, message text not null,
    environment blob not null, worker text, started real, finished real, cpu integer not null default 0,
    io integer not null default 0, exit integer);
create index if not exists executions_by_actor on executions (actor, number);
create index if not exists executions_by_status on executions (status, actor, number);
create table if not exists workers (
    id text primary key, actor text not null, created real not null, used real);
create table if not exists nonces (
    id text primary key, actor text not null, owner text not null, level integer not null, description text,
    most integer not null, uses integer not null default 0, created real not null, used real);
create index if not exists nonces_by_actor on nonces (actor);
create table if not exists aliases (alias text primary key, actor text not null, owner text not null);
"""

MOST_WAITING = 10_000  # messages of one actor

BINARY = "application/octet-stream"
JSON = "application/json"
TEXT = "str"  # wire: what the platform calls a message that has no type


@dataclass(frozen=True)
class Message:
    """What an actor is sent. The bytes of a binary one lie in the folder of its execution."""

    kind: str
    text: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Execution:
    """One row. Moments are epoch seconds, `cpu` is nanoseconds, `io` bytes."""

    id: str
    actor: str
    executor: str
    status: str
    received: float
    message: Message
    worker: str | None
    started: float | None
    finished: float | None
    cpu: int
    io: int
    exit: int | None

    @property
    def over(self) -> bool:
        return self.status in ("COMPLETE", "ERROR")

    @property
    def runtime(self) -> int:
        """Whole seconds, as the platform counts."""
        return int((self.finished or 0) - (self.started or 0)) if self.started and self.finished else 0


_COLUMNS = "id, actor, executor, status, received, kind, message, environment, worker, started, finished, cpu, io, exit"


def _execution(row: tuple[Any, ...]) -> Execution:
    id, actor, executor, status, received, kind, text, environment, *rest = row
    return Execution(
        id, actor, executor, status, received, Message(kind, text, msgspec.json.decode(environment)), *rest
    )


@dataclass(frozen=True)
class Totals:
    """All executions of an actor together."""

    executions: int
    cpu: int
    io: int
    runtime: int


class Queue:
    """The executions of all actors."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, id: str, actor: str, executor: str, message: Message) -> None:
        """A message arrives. Refusal 503 if too many wait."""
        if self.waiting(actor) >= MOST_WAITING:
            raise Refusal(503, f"{MOST_WAITING} messages wait already; send again later", headers={"Retry-After": "60"})
        self._store.sql(
            "insert into executions (id, actor, executor, status, received, kind, message, environment)"
            " values (?, ?, ?, 'SUBMITTED', ?, ?, ?, ?)",
            id, actor, executor, time.time(), message.kind, message.text,
            msgspec.json.encode(dict(message.environment)),
        )  # fmt: skip

    def take(self, actor: str, worker: str) -> Execution | None:
        """The oldest message that waits; from now on it is this worker's."""
        now = time.time()
        with self._store.together():
            rows = self._store.sql(
                "update executions set status = 'RUNNING', worker = ?, started = ? where number = ("
                "select min(number) from executions where actor = ? and status = 'SUBMITTED')"
                f" returning {_COLUMNS}",
                worker, now, actor,
            )  # fmt: skip
            if rows:
                self._store.sql("update workers set used = ? where id = ?", now, worker)
        return _execution(rows[0]) if rows else None

    def finish(
        self, id: str, status: str, *, started: float, finished: float, exit: int | None, cpu: int = 0, io: int = 0
    ) -> None:
        """An execution is over; its message is not needed any more."""
        self._store.sql(
            "update executions set status = ?, started = ?, finished = ?, exit = ?, cpu = ?, io = ?, message = ''"
            " where id = ?",
            status, started, finished, exit, cpu, io, id,
        )  # fmt: skip

    def get(self, actor: str, id: str) -> Execution | None:
        """One execution of an actor."""
        rows = self._store.sql(f"select {_COLUMNS} from executions where id = ? and actor = ?", id, actor)
        return _execution(rows[0]) if rows else None

    def waiting(self, actor: str) -> int:
        """How many messages wait."""
        return int(
            self._store.sql("select count(*) from executions where actor = ? and status = 'SUBMITTED'", actor)[0][0]
        )

    def unfinished(self) -> list[Execution]:
        """All that wait or run, oldest first."""
        rows = self._store.sql(
            f"select {_COLUMNS} from executions where status in ('SUBMITTED', 'RUNNING') order by number"
        )
        return [_execution(row) for row in rows]

    def page(self, actor: str, limit: int, offset: int) -> list[Execution]:
        """Executions, newest first."""
        rows = self._store.sql(
            f"select {_COLUMNS} from executions where actor = ? order by number desc limit ? offset ?",
            actor, limit, offset,
        )  # fmt: skip
        return [_execution(row) for row in rows]

    def totals(self, actor: str) -> Totals:
        rows = self._store.sql(
            "select count(*), total(cpu), total(io), total(case when started and finished"
            " then cast(finished - started as integer) else 0 end) from executions where actor = ?",
            actor,
        )
        return Totals(*map(int, rows[0]))

    def empty(self, actor: str) -> list[str]:
        """Drop the messages that wait; the ids of their executions."""
        rows = self._store.sql("delete from executions where actor = ? and status = 'SUBMITTED' returning id", actor)
        return [id for (id,) in rows]

    def forget(self, actor: str) -> None:
        """Drop all executions of an actor."""
        self._store.sql("delete from executions where actor = ?", actor)
