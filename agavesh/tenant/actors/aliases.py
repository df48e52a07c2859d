"""Aliases: other names for actors, each chosen by a user, each for one actor at a time."""

from __future__ import annotations

import re
from dataclasses import dataclass

from agavesh.tenant.refusal import Refusal
from agavesh.tenant.store import Store

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,63}")
_TAKEN = frozenset({"aliases", "executions", "messages", "nonces", "permissions", "search", "state", "workers"})


@dataclass(frozen=True)
class Alias:
    """One row."""

    alias: str
    actor: str
    owner: str


def make(store: Store, alias: object, actor: str, owner: str) -> Alias:
    """Another name for an actor. Refusal 400."""
    if not isinstance(alias, str) or not _NAME.fullmatch(alias) or alias in _TAKEN or store.get("actor", alias):
        raise Refusal(400, f"Invalid alias {alias!r:.80}: letters, digits, dots and dashes make one, 64 at most")
    if store.sql("select 1 from aliases where alias = ?", alias):
        raise Refusal(400, f"The alias {alias} already exists")
    store.sql("insert into aliases values (?, ?, ?)", alias, actor, owner)
    return Alias(alias, actor, owner)


def get(store: Store, alias: str) -> Alias:
    """One of them. Refusal 404."""
    rows = store.sql("select alias, actor, owner from aliases where alias = ?", alias)
    if not rows:
        raise Refusal(404, f"Alias not found: {alias}")
    return Alias(*rows[0])


def all_of(store: Store) -> list[Alias]:
    return [Alias(*row) for row in store.sql("select alias, actor, owner from aliases order by alias")]


def move(store: Store, alias: Alias, actor: str) -> Alias:
    """Let an alias stand for another actor."""
    store.sql("update aliases set actor = ? where alias = ?", actor, alias.alias)
    return Alias(alias.alias, actor, alias.owner)


def drop(store: Store, alias: Alias) -> None:
    store.sql("delete from aliases where alias = ?", alias.alias)
