"""Messages and what becomes of them: a table of executions, which is the queue of each actor too.

A message that waits is an execution that is SUBMITTED; the oldest is taken first. It is RUNNING when a worker has it,
and COMPLETE or ERROR at its end. Nothing here starts a process.

What an actor has used is summed up as its executions end, in the same transaction, so that nobody has to count; it
counts those, too, that ended so long ago that they are not kept.
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
create index if not exists executions_by_end on executions (actor, finished) where finished is not null;
create table if not exists actor_totals (
    actor text primary key, executions integer not null, ended integer not null, cpu integer not null,
    io integer not null, runtime integer not null);
-- of a file from before there were totals:
insert into actor_totals
    select actor, count(*), count(finished), total(cpu), total(io), total(cast(finished - started as integer))
    from executions where not exists (select 1 from actor_totals) group by actor;
create table if not exists uncleared (execution text primary key, actor text not null);
create table if not exists workers (
    id text primary key, actor text not null, created real not null, used real);
create table if not exists nonces (
    id text primary key, actor text not null, owner text not null, level integer not null, description text,
    most integer not null, uses integer not null default 0, created real not null, used real);
create index if not exists nonces_by_actor on nonces (actor);
create table if not exists aliases (alias text primary key, actor text not null, owner text not null);
"""

MOST_WAITING = 10_000  # messages of one actor
MOST_ENDED = 10_000  # executions of one actor that are kept when they are over
SLICE = 100  # executions that are dropped at a time

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
    """All executions of an actor together, those that are not kept any more included."""

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
        with self._store.together():
            self._store.sql(
                "insert into executions (id, actor, executor, status, received, kind, message, environment)"
                " values (?, ?, ?, 'SUBMITTED', ?, ?, ?, ?)",
                id, actor, executor, time.time(), message.kind, message.text,
                msgspec.json.encode(dict(message.environment)),
            )  # fmt: skip
            self._count(actor, executions=1)

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
        """An execution is over; its message is not needed any more, and its folder is to be `cleared`. Said twice, it
        counts once."""
        with self._store.together():
            rows = self._store.sql(
                "update executions set status = ?, started = ?, finished = ?, exit = ?, cpu = ?, io = ?, message = ''"
                " where id = ? and finished is null returning actor",
                status, started, finished, exit, cpu, io, id,
            )  # fmt: skip
            for (actor,) in rows:
                self._store.sql("insert into uncleared values (?, ?)", id, actor)
                self._count(actor, ended=1, cpu=cpu, io=io, runtime=int(finished - started))

    def uncleared(self) -> list[tuple[str, str]]:
        """Executions that are over and whose folders are not cleared yet: (id, actor)."""
        return [(id, actor) for id, actor in self._store.sql("select execution, actor from uncleared")]

    def cleared(self, id: str) -> None:
        """What nobody will ask for any more has been removed from an execution's folder."""
        self._store.sql("delete from uncleared where execution = ?", id)

    def _count(
        self, actor: str, *, executions: int = 0, ended: int = 0, cpu: int = 0, io: int = 0, runtime: int = 0
    ) -> None:
        self._store.sql(
            "insert into actor_totals values (?, ?, ?, ?, ?, ?) on conflict do update set"
            " executions = executions + excluded.executions, ended = ended + excluded.ended,"
            " cpu = cpu + excluded.cpu, io = io + excluded.io, runtime = runtime + excluded.runtime",
            actor, executions, ended, cpu, io, runtime,
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
        rows = self._store.sql("select executions, cpu, io, runtime from actor_totals where actor = ?", actor)
        return Totals(*rows[0]) if rows else Totals(0, 0, 0, 0)

    def empty(self, actor: str) -> list[str]:
        """Drop the messages that wait; the ids of their executions."""
        with self._store.together():
            rows = self._store.sql(
                "delete from executions where actor = ? and status = 'SUBMITTED' returning id", actor
            )
            self._count(actor, executions=-len(rows))
        return [id for (id,) in rows]

    def surplus(self, actor: str) -> list[str]:
        """Those of too many executions that ended longest ago, some at a time."""
        rows = self._store.sql("select ended from actor_totals where actor = ?", actor)
        more = rows[0][0] - MOST_ENDED if rows else 0
        if more <= 0:
            return []
        rows = self._store.sql(
            "select id from executions where actor = ? and finished is not null order by finished limit ?",
            actor, min(more, SLICE),
        )  # fmt: skip
        return [id for (id,) in rows]

    def drop(self, actor: str, ids: list[str]) -> None:
        """Drop executions that are over. What they have used stays in the totals."""
        marks = ",".join("?" * len(ids))
        with self._store.together():
            rows = self._store.sql(
                f"delete from executions where id in ({marks}) and actor = ? and finished is not null returning id",
                *ids, actor,
            )  # fmt: skip
            self._count(actor, ended=-len(rows))

    def forget(self, actor: str) -> bool:
        """Drop some executions of an actor. False if there are none left, and nothing of them."""
        rows = self._store.sql(
            "delete from executions where number in (select number from executions where actor = ? limit ?)"
            " returning id",
            actor, SLICE,
        )  # fmt: skip
        if not rows:
            for table in ("actor_totals", "uncleared"):
                self._store.sql(f"delete from {table} where actor = ?", actor)
        return bool(rows)
