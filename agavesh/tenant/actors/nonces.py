"""Nonces: each opens one actor, to a level, for so many uses, to whoever has it and needs no token then.

It acts as the user who made it, and does what that user may still do: one that outlived a right would be a back door.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agavesh.tenant.actors.levels import Level, level_of
from agavesh.tenant.fields import number
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.store import Store

UNLIMITED = -1


@dataclass(frozen=True)
class Nonce:
    """One row."""

    id: str
    actor: str
    owner: str
    level: Level
    description: str | None
    most: int
    uses: int
    created: float
    used: float | None


_COLUMNS = "id, actor, owner, level, description, most, uses, created, used"


def _nonce(row: tuple[Any, ...]) -> Nonce:
    id, actor, owner, level, *rest = row
    return Nonce(id, actor, owner, Level(level), *rest)


def make(store: Store, actor: str, owner: str, wanted: Mapping[str, Any], tenant: str) -> Nonce:
    """A new nonce, as a request wants it. Refusal 400."""
    most = number(wanted.get("maxUses", UNLIMITED))
    if isinstance(most, bool) or not isinstance(most, int) or most == 0 or not UNLIMITED <= most < 2**53:
        raise Refusal(400, "Invalid maxUses: it is a whole number above zero, or -1 for any number of uses")
    level = level_of(wanted.get("level") or "EXECUTE")
    description = wanted.get("description")
    if description is not None and (not isinstance(description, str) or len(description) > 1024):
        raise Refusal(400, "Invalid description: it is a text of 1024 characters at most")
    nonce = Nonce(f"{tenant}_{secrets.token_hex(16)}", actor, owner, level, description, most, 0, time.time(), None)
    store.sql(
        f"insert into nonces ({_COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        nonce.id, actor, owner, int(level), description, most, 0, nonce.created, None,
    )  # fmt: skip
    return nonce


def all_of(store: Store, actor: str) -> list[Nonce]:
    """The nonces of an actor, oldest first."""
    return [_nonce(row) for row in store.sql(f"select {_COLUMNS} from nonces where actor = ? order by rowid", actor)]


def get(store: Store, actor: str, id: str) -> Nonce:
    """One of them. Refusal 404."""
    for nonce in all_of(store, actor):
        if hmac.compare_digest(nonce.id.encode(), id.encode(errors="surrogatepass")):
            return nonce
    raise Refusal(404, "Nonce not found.")


def drop(store: Store, nonce: Nonce) -> None:
    store.sql("delete from nonces where id = ?", nonce.id)


def redeem(store: Store, actor: str, id: str, needed: Level, lets: Callable[[str], bool]) -> str:
    """Use a nonce once, for what needs a level. Whose it is: somebody whom `lets` says may do that now. Refusal 400."""
    try:
        nonce = get(store, actor, id)
    except Refusal:
        raise Refusal(400, "Invalid nonce: no such nonce opens this actor.") from None
    if nonce.level < needed:
        raise Refusal(400, f"Not authorized: the nonce has the level {nonce.level.name}; {needed.name} is needed.")
    if not lets(nonce.owner):
        raise Refusal(400, f"Not authorized: who made the nonce has no longer the level {needed.name}.")
    if nonce.most != UNLIMITED and nonce.uses >= nonce.most:
        raise Refusal(400, "Invalid nonce: it has no remaining uses.")
    store.sql("update nonces set uses = uses + 1, used = ? where id = ?", time.time(), nonce.id)
    return nonce.owner
