"""Finding documents: a query, in the order wanted, a page of it, for one who may see so much.

It runs in a thread with a connection of its own, so that the tenant answers others meanwhile, and for a bounded time: a
query that takes longer is refused. Few run at once. SQLite narrows (`narrow`) and sorts; what it cannot be sure of is
judged (`judge`) row by row until the page is full.
"""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
import trio

from agavesh.tenant.meta.documents import DOCUMENTS, SCHEMATA, Document, Schema, document_of, schema_of
from agavesh.tenant.meta.narrow import Sql, Table
from agavesh.tenant.meta.query import Query
from agavesh.tenant.patterns import Pattern, TooSlow, within

LONGEST = 10.0  # seconds for one query; a look at each of 100,000 documents takes less than one
AT_ONCE = 4  # queries; others wait for their turn
PATIENCE = 30.0  # seconds for one query, waiting included
LARGEST = 64 * 2**20  # bytes of one page
FEW = 1000  # documents of one owner, which are sorted sooner than found in order
STEPS = 10_000  # of SQLite's machine between two looks at the clock

T = TypeVar("T", Document, Schema)


class TooLarge(Exception):
    """A page of so many bytes is not given out."""


class Busy(Exception):
    """So many queries run and wait that this one was not answered in time."""


@dataclass(frozen=True)
class Order:
    """By which field, and which way. Those that are equal stand as they were made."""

    field: str = "lastUpdated"
    ascending: bool = False


@dataclass(frozen=True)
class Kind(Generic[T]):
    """What can be searched: its table, the columns of a row and the record made of it, and what it can be ordered by,
    each as SQL."""

    table: str
    places: Table
    columns: str
    made: Callable[..., T]
    orders: dict[str, tuple[str, ...]]


def _document(*row: Any) -> Document:
    return document_of(msgspec.json.decode(row[-1]), *row[:-1])


# kinds of JSON values as MongoDB sorts them
_BY_VALUE = (
    "case json_type(d.value) when 'null' then 0 when 'integer' then 1 when 'real' then 1 when 'text' then 2"
    " when 'object' then 3 when 'array' then 4 else 5 end",
    "json_extract(d.value, '$')",
)
_ORDERS: dict[str, tuple[str, ...]] = {
    "uuid": ("uuid",), "tenantId": (), "internalUsername": (), "lastUpdated": ("updated",), "created": ("created",),
    "owner": ("owner",),
}  # fmt: skip

KIND_DOCUMENT: Kind[Document] = Kind(
    "documents", DOCUMENTS,
    "uuid, name, owner, schema, created, updated, value, (select json_group_array(uuid) from"
    " (select uuid from associations where document = d.number order by place))",
    _document, {**_ORDERS, "schemaId": ("schema",), "name": ("name",), "value": _BY_VALUE},
)  # fmt: skip
KIND_SCHEMA: Kind[Schema] = Kind(
    "schemata", SCHEMATA, "uuid, owner, created, updated, value", schema_of, {**_ORDERS, "schema": _BY_VALUE}
)


class Library:
    """The documents and schemas of one tenant, as they can be searched."""

    def __init__(self, database: Path, *, longest: float = LONGEST, patience: float = PATIENCE) -> None:
        self._database = database
        self.longest, self.patience = longest, patience
        self._turns = trio.CapacityLimiter(AT_ONCE)

    @property
    def busy(self) -> int:
        """How many queries run now."""
        return self._turns.borrowed_tokens

    async def find(
        self, kind: Kind[T], text: str | None, *, reader: str | None, order: Order, limit: int, offset: int
    ) -> list[T]:
        """One page. `reader` sees what is theirs or was granted to them; None sees everything.

        Raises BadQuery, TooSlow, TooLarge, Busy. Given up, it ends soon after.
        """
        stop = threading.Event()

        def work() -> list[T]:
            clock = Clock(time.monotonic() + self.longest, stop)
            with (
                within(self.longest),
                contextlib.closing(sqlite3.connect(self._database, isolation_level=None)) as db,
                clock.watching(db),
            ):
                db.execute("pragma temp_store = memory")  # only numbers are sorted, and no disk need be full
                db.execute("begin")  # all that is read is of one moment
                return _within(_found(db, kind, Query.of(text), reader, order, limit, offset, clock))

        with trio.move_on_after(self.patience):
            try:
                return await trio.to_thread.run_sync(work, limiter=self._turns, abandon_on_cancel=True)
            finally:
                stop.set()
        raise Busy


@dataclass
class Clock:
    """When a query must end: at a time, or when nobody waits for it any more."""

    end: float  # by time.monotonic
    stop: threading.Event

    def over(self) -> bool:
        return self.stop.is_set() or time.monotonic() > self.end

    @contextlib.contextmanager
    def watching(self, db: sqlite3.Connection) -> Iterator[None]:
        """Let SQLite look at the clock. TooSlow if it is over."""
        db.set_progress_handler(self.over, STEPS)
        try:
            yield
        except sqlite3.OperationalError:
            if self.over():
                raise TooSlow("the query takes too long") from None
            raise


def _found(
    db: sqlite3.Connection, kind: Kind[T], query: Query, reader: str | None, order: Order, limit: int, offset: int,
    clock: Clock,
) -> Iterator[T]:  # fmt: skip
    narrowed = kind.places.narrowed(query.spec)
    # what is exact needs no judge, and SQLite itself skips to the page
    page = (limit, offset) if narrowed.exact else None
    rows = (
        kind.made(*db.execute(f"select {kind.columns} from {kind.table} as d where number = ?", (number,)).fetchone())
        for number in _numbers(db, kind, narrowed, reader, order, page)
    )
    if page:
        yield from rows
        return
    yield from itertools.islice(_judged(query, rows, clock), offset, offset + limit)


def _numbers(
    db: sqlite3.Connection, kind: Kind[T], narrowed: Sql, reader: str | None, order: Order,
    page: tuple[int, int] | None,
) -> Iterator[int]:  # fmt: skip
    """The numbers of the rows that may fit, in order. Rows themselves may be large, and sorting would move them."""
    patterns = [each for each in narrowed.values if isinstance(each, Pattern)]
    slow: list[TooSlow] = []

    def matches(number: int, text: str | None) -> bool:
        try:
            return isinstance(text, str) and patterns[number].search(text)
        except TooSlow as problem:
            slow.append(problem)
            raise

    db.create_function("matches", 2, matches, deterministic=True)
    seen: Sql = _seen(db, kind, reader)
    places = iter(range(len(patterns)))
    values: list[Any] = [next(places) if isinstance(each, Pattern) else each for each in narrowed.values]
    way = "asc" if order.ascending else "desc"
    by = ", ".join(f"{each} {way}" for each in (*kind.orders[order.field], "number"))
    statement = f"select number from {kind.table} as d where {narrowed.text} and {seen.text} order by {by}"
    if page:
        statement += f" limit {page[0]:d} offset {min(page[1], 2**62):d}"
    try:
        for (number,) in db.execute(statement, (*values, *seen.values)):
            yield number
    except sqlite3.OperationalError:
        if slow:
            raise slow[0] from None
        raise


def _seen(db: sqlite3.Connection, kind: Kind[T], reader: str | None) -> Sql:
    """A condition for what one may see.

    Who has much is best served in the order wanted, one row after the other; who has little, from the index of owners:
    the plus keeps SQLite from that.
    """
    if reader is None:
        return Sql("1")
    few = f"select count(*) from (select 1 from {kind.table} where owner = ? limit {FEW})"
    plus = "+" if db.execute(few, (reader,)).fetchone()[0] == FEW else ""
    granted = "select uuid from grants where username in (?, 'world', 'public') and bits & 1"
    return Sql(f"({plus}owner = ? or {plus}uuid in ({granted}))", (reader, reader))


def _judged(query: Query, rows: Iterable[T], clock: Clock) -> Iterator[T]:
    """Those of the rows that fit."""
    from agavesh.tenant.meta.judge import Judge  # with a library that takes a while to import

    judge = Judge(query.spec)
    for row in rows:
        if clock.over():
            raise TooSlow("the query takes too long")
        record = row.record()
        for name, value in record.items():
            if isinstance(value, msgspec.Raw):
                record[name] = msgspec.json.decode(value)
        if judge(record):
            yield row


def _within(rows: Iterable[T]) -> list[T]:
    found, size = [], 0
    for row in rows:
        size += len(row.value)
        if size > LARGEST:
            raise TooLarge
        found.append(row)
    return found
