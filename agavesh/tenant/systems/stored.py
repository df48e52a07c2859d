"""The rows of credentials, and what the history of a system tells of them: an AUTH_CONFIG event for each row that
comes, changes or goes. It knows whose a row is and for which part of a system, and nothing of what is in it."""

from __future__ import annotations

import time

from agavesh.tenant.store import Record, Store

TOLD_AS = {"storage": "storage", "execution": "login"}  # wire: the part is called otherwise than the path calls it


def put(store: Store, system: Record, internal: str, part: str, body: bytes, *, by: str) -> None:
    """Write one, in place of the one there was."""
    there = _where(store, system["id"], internal, part)
    store.sql(
        "insert or replace into credentials values (?, ?, ?, ?, ?)", system["id"], internal, part, body, time.time()
    )
    _event(store, system, "UPDATE" if there else "CREATE", internal, part, by=by)


def drop(store: Store, system: Record, internal: str | None = None, part: str | None = None, *, by: str) -> None:
    """Drop those of a system, of an internal user there, or the one for a part."""
    rows = _where(store, system["id"], internal, part)
    for name, which in rows:
        store.sql("delete from credentials where system = ? and internal = ? and kind = ?", system["id"], name, which)
        _event(store, system, "DELETE", name, which, by=by)
    if any(not name for name, _ in rows):
        store.event(system["uuid"], "REMOVE_DEFAULT_CREDENTIAL", "The default credentials were removed", by=by)
    for gone in dict.fromkeys(name for name, _ in rows if name):
        store.event(system["uuid"], "REMOVE_CREDENTIAL", f"The credential of {gone} was removed", by=by)


def drop_internal(store: Store, owner: str, internal: str, *, by: str) -> None:
    """Drop those of an internal user on all systems of a user."""
    for system in [*store.all("system", owner=owner)]:
        drop(store, system, internal, by=by)


def forget(store: Store, system_id: str) -> None:
    """Drop those of a system that is gone, and so has no history."""
    store.sql("delete from credentials where system = ?", system_id)


def _where(store: Store, system_id: str, internal: str | None, part: str | None) -> list[tuple[str, str]]:
    return store.sql(
        "select internal, kind from credentials where system = ?1 and (?2 is null or internal = ?2)"
        " and (?3 is null or kind = ?3) order by internal, kind desc",
        system_id, internal, part,
    )  # fmt: skip


def _event(store: Store, system: Record, what: str, internal: str, part: str, *, by: str) -> None:
    whose = f"of {internal}" if internal else "by default"
    store.event(system["uuid"], f"AUTH_CONFIG_{what}", f"Authentication {whose}, for {TOLD_AS[part]}", by=by)
