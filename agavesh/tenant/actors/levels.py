"""What a user may do with an actor: NONE < READ < EXECUTE < UPDATE. Values in, values out, but for the grants.

A level is kept as a grant whose bits hold those of the levels below it, so that the grants of a user and of everybody
add up to the higher one.
"""

from __future__ import annotations

import enum
from typing import Any

from agavesh.tenant.refusal import Refusal
from agavesh.tenant.store import Store

WORLD = "ABACO_WORLD"  # stands for everybody


class Level(enum.IntEnum):
    """The levels in their order."""

    NONE = 0
    READ = 1
    EXECUTE = 2
    UPDATE = 3


_BITS = {Level.NONE: 8, Level.READ: 1, Level.EXECUTE: 3, Level.UPDATE: 7}  # NONE is told too, so it is kept


def _of(bits: int) -> Level:
    return max((level for level, held in _BITS.items() if level and held & ~bits == 0), default=Level.NONE)


def level_of(word: Any) -> Level:
    """The level that a request names. Refusal 400."""
    found = Level.__members__.get(word.upper()) if isinstance(word, str) else None
    if found is None:
        raise Refusal(400, f"Invalid permission level: {word}. Valid levels are {', '.join(Level.__members__)}")
    return found


def grant(store: Store, actor_id: str, username: str, level: Level) -> None:
    """Let a user do so much, in place of what they could before."""
    store.grant(actor_id, username, _BITS[level])


def level(store: Store, actor_id: str, username: str) -> Level:
    """What a user may do, by their own grant or everybody's."""
    return _of(store.granted(actor_id, username, WORLD))


def levels(store: Store, actor_id: str) -> dict[str, str]:
    """All grants, as answers tell them."""
    return {username: _of(bits).name for username, bits, _ in store.grants(actor_id)}
