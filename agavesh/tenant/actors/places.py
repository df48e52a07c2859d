"""Places: how many executions run at once, and whose turn it is when one ends. In memory only.

There are so many for all, and beyond those one for each user who has none: nobody waits for the long executions of
others, however many workers these have. A place that comes free goes to the user who has the fewest, of theirs to the
actor that has the fewest, and then to who came first. The user is the actor's owner, whoever sent the message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

SHARED = 32  # executions of all actors: each is some processes of this machine
AT_ONCE = 128  # executions, those of users who have no other included


@dataclass(eq=False)
class Claim:
    """What a worker of an actor waits for, or has."""

    owner: str
    actor: str
    given: trio.Event = field(default_factory=trio.Event)


class Places:
    """Who has a place, and who waits for one."""

    def __init__(self, shared: int = SHARED, at_once: int = AT_ONCE) -> None:
        self._shared, self._at_once = shared, at_once
        self._held: list[Claim] = []
        self._waiting: list[Claim] = []

    @contextmanager
    def claim(self, owner: str, actor: str, *, runs: bool = False) -> Iterator[Claim]:
        """Stand in the queue for a place, or have it, until the block ends. What `runs` already has one at once."""
        claim = Claim(owner, actor)
        self._waiting.append(claim)
        if runs:
            self._give(claim)
        self._serve()
        try:
            yield claim
        finally:
            (self._held if claim.given.is_set() else self._waiting).remove(claim)
            self._serve()

    def _serve(self) -> None:
        while self._waiting and len(self._held) < self._at_once:
            owners = Counter(claim.owner for claim in self._held)
            actors = Counter(claim.actor for claim in self._held)
            first = min(self._waiting, key=lambda claim: (owners[claim.owner], actors[claim.actor]))
            if len(self._held) >= self._shared and owners[first.owner]:
                return
            self._give(first)

    def _give(self, claim: Claim) -> None:
        self._waiting.remove(claim)
        self._held.append(claim)
        claim.given.set()
