"""Subscriptions and what waits to be delivered to them, as rows. It knows tables, not rules.

A subscription is `hearing` while events become deliveries for it. A delivery is `waiting` while it has a time at which
it is due; one without is kept because it failed for good and its policy says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from agavesh.tenant.notifications.spec import STATUSES, hears
from agavesh.tenant.store import Record, Store

TABLES = """
create table if not exists subscriptions (
    id text primary key, owner text not null, resource text not null, event text not null, hearing integer not null,
    ended integer not null, waiting integer not null default 0, body blob not null);
create index if not exists subscriptions_hearing on subscriptions (resource) where hearing;
create index if not exists subscriptions_by_owner on subscriptions (owner, ended);
create table if not exists deliveries (
    number integer primary key, id text not null unique, subscription text not null, happened real not null,
    message blob not null, tries integer not null default 0, due real, failure blob);
create index if not exists deliveries_by_subscription on deliveries (subscription, due, number);
"""

KEPT = 1000  # failed deliveries of one subscription; older ones make room


class Message(msgspec.Struct, kw_only=True):
    """What a delivery tells: the event, and the record of what it happened to as it was then."""

    kind: str
    uuid: str
    event: str
    record: dict[str, Any]
    told: Any = None  # what the event itself brings, in place of the record or beside it


@dataclass(frozen=True)
class Delivery:
    """One event on its way to one subscriber. `due` is the time from which it may be tried."""

    id: str
    subscription: str
    happened: float
    message: Message
    tries: int
    due: float


class Subscriptions:
    """The rows of both tables."""

    def __init__(self, store: Store) -> None:
        self._store = store
        rows = store.sql("select distinct resource from subscriptions where hearing")
        self._heard = {resource for (resource,) in rows}  # and some of which nobody hears any more

    # subscriptions ---------------------------------------------------------------------------------------------------

    def get(self, id: str) -> Record | None:
        rows = self._store.sql("select body from subscriptions where id = ?", id)
        return msgspec.json.decode(rows[0][0]) if rows else None

    def put(self, record: Record, *, hearing: bool) -> None:
        """Write one, new or not."""
        if hearing:
            self._heard.add(record["associatedUuid"])
        self._store.sql(
            "insert into subscriptions (id, owner, resource, event, hearing, ended, body) values (?, ?, ?, ?, ?, ?, ?)"
            " on conflict do update set resource = excluded.resource, event = excluded.event,"
            " hearing = excluded.hearing, ended = excluded.ended, body = excluded.body",
            record["id"], record["owner"], record["associatedUuid"], record["event"], int(hearing),
            int(record["status"] not in STATUSES), msgspec.json.encode(record),
        )  # fmt: skip

    def drop(self, id: str) -> None:
        """Remove one, with all that waits for it."""
        self._store.sql("delete from deliveries where subscription = ?", id)
        self._store.sql("delete from subscriptions where id = ?", id)

    def of(self, owner: str, *, ended: bool) -> Iterator[Record]:
        """Those of one user, newest first; with `ended` those too that hear nothing any more."""
        for (body,) in self._store.sql(
            "select body from subscriptions where owner = ? and ended <= ? order by rowid desc", owner, int(ended)
        ):
            yield msgspec.json.decode(body)

    def on(self, resource: str) -> list[Record]:
        """Those that hear of a resource by its uuid."""
        rows = self._store.sql("select body from subscriptions where resource = ? and hearing", resource)
        return [msgspec.json.decode(body) for (body,) in rows]

    def maybe_hearing(self, resource: str) -> bool:
        """Whether somebody may hear of a resource; mostly nobody does, and this is no look at the rows."""
        return resource in self._heard or "*" in self._heard

    def hearing(self, resource: str, event: str, *, everything: bool) -> dict[str, list[Record]]:
        """Those that hear of an event of a resource, by owner; with `everything` those too that hear of all things."""
        rows = self._store.sql(
            "select event, owner, body from subscriptions where resource in (?, ?) and hearing order by rowid",
            resource, "*" if everything else resource,
        )  # fmt: skip
        found: dict[str, list[Record]] = {}
        for pattern, owner, body in rows:
            if hears(pattern, event):
                found.setdefault(owner, []).append(msgspec.json.decode(body))
        return found

    def heard_below(self, system: str, path: str) -> list[tuple[str, str]]:
        """The uuids and paths below a folder that somebody hears of by their uuids."""
        base = path.rstrip("/")
        return self._store.sql(
            "select distinct uuid, path from files join subscriptions on resource = uuid and hearing"
            " where system = ? and path > ? and path < ?",
            system, base + "/", base + "0",
        )  # fmt: skip

    def is_hearing(self, id: str) -> bool:
        return bool(self._store.sql("select 1 from subscriptions where id = ? and hearing", id))

    def waiting(self, id: str) -> int:
        """How many deliveries wait for one."""
        rows = self._store.sql("select waiting from subscriptions where id = ?", id)
        return int(rows[0][0]) if rows else 0

    # deliveries ------------------------------------------------------------------------------------------------------

    def queue(self, id: str, subscription: str, message: Message, now: float) -> None:
        """A new delivery, due at once."""
        self._store.sql(
            "insert into deliveries (id, subscription, happened, message, due) values (?, ?, ?, ?, ?)",
            id, subscription, now, msgspec.json.encode(message), now,
        )  # fmt: skip
        self._store.sql("update subscriptions set waiting = waiting + 1 where id = ?", subscription)

    def due(self) -> list[tuple[str, float]]:
        """All subscriptions that something waits for, each with the time of its first."""
        return self._store.sql("select subscription, min(due) from deliveries where due not null group by subscription")

    def first(self, subscription: str) -> Delivery | None:
        """What is to be delivered to a subscription next."""
        rows = self._store.sql(
            "select id, subscription, happened, message, tries, due from deliveries"
            " where subscription = ? and due not null order by due, number limit 1",
            subscription,
        )
        if not rows:
            return None
        id, subscription, happened, message, tries, due = rows[0]
        return Delivery(id, subscription, happened, msgspec.json.decode(message, type=Message), tries, due)

    def reword(self, deliveries: Sequence[str], message: Message) -> None:
        """They tell something else."""
        told = msgspec.json.encode(message)
        for delivery in deliveries:
            self._store.sql("update deliveries set message = ? where id = ?", told, delivery)

    def postpone(self, delivery: Delivery, due: float) -> None:
        """It failed, and is to be tried again."""
        self._store.sql("update deliveries set tries = tries + 1, due = ? where id = ?", due, delivery.id)

    def end(self, delivery: Delivery, failure: Record | None = None) -> None:
        """It was delivered or given up; `failure` is what is kept of it then."""
        if failure is None:
            self._store.sql("delete from deliveries where id = ?", delivery.id)
        else:
            self._store.sql(
                "update deliveries set tries = tries + 1, due = null, failure = ? where id = ?",
                msgspec.json.encode(failure), delivery.id,
            )  # fmt: skip
            self._store.sql(
                "delete from deliveries where number in (select number from deliveries"
                " where subscription = ? and due is null order by number desc limit -1 offset ?)",
                delivery.subscription, KEPT,
            )  # fmt: skip
        self._store.sql("update subscriptions set waiting = waiting - 1 where id = ?", delivery.subscription)

    def end_all(self, subscription: str) -> None:
        """Nothing waits for a subscription any more."""
        self._store.sql("delete from deliveries where subscription = ? and due not null", subscription)
        self._store.sql("update subscriptions set waiting = 0 where id = ?", subscription)

    def failures(self, subscription: str) -> list[Record]:
        """What is kept of deliveries that failed for good, newest first."""
        rows = self._store.sql(
            "select failure from deliveries where subscription = ? and due is null order by number desc", subscription
        )
        return [msgspec.json.decode(failure) for (failure,) in rows]

    def forget_failures(self, subscription: str, delivery: str | None = None) -> bool:
        """Drop them, or one of them; whether there was any."""
        return bool(
            self._store.sql(
                "delete from deliveries where subscription = ?1 and due is null and (?2 is null or id = ?2)"
                " returning id",
                subscription, delivery,
            )
        )  # fmt: skip
