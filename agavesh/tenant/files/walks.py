"""Ways through a folder that is read page by page: what the first page found is gone on with by those after it.

A caller names no way, only an offset. So the newest way of theirs through that folder is meant whose last page ended at
the offset, else the newest at all, as for pages that are asked for side by side. (Two at the same offset at once, in a
folder that changed between their beginnings, may be taken for each other.) A way that does not get on for a while is
forgotten: then a page is one of the folder as it is. It knows names and offsets, no disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cachetools

if TYPE_CHECKING:
    from agavesh.tenant.files.listing import Names

PATIENCE = 60.0  # seconds
KEPT = 64 * 2**20  # bytes of names, for all ways
AT_ONCE = 4  # ways of one caller through one folder


@dataclass
class Walk:
    """One way: the names as they were at its beginning, and where in them the page after the last begins.

    That is further on than its offset where names were gone when their page was made: they took no place in it.
    """

    names: Names
    offset: int
    place: int
    passed: dict[int, int] = field(default_factory=dict)  # where the last pages began, for one that is asked for again

    def place_of(self, offset: int) -> int:
        """Where in the names the page of an offset begins, as far as that is known."""
        if offset >= self.offset:
            return self.place + offset - self.offset
        return self.passed.get(offset, offset)

    def gone_on(self, offset: int, place: int, shown: int, looked_at: int) -> bool:
        """A page was made; whether it was one further on."""
        self.passed[offset] = place
        while len(self.passed) > AT_ONCE:
            del self.passed[next(iter(self.passed))]
        if offset + shown <= self.offset:
            return False
        self.offset, self.place = offset + shown, place + looked_at
        return True


class Walks:
    """The ways that are being gone, by caller and folder."""

    def __init__(self, kept: int = KEPT, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._kept: cachetools.TTLCache[Hashable, tuple[Walk, ...]] = cachetools.TTLCache(
            kept, ttl=PATIENCE, timer=clock, getsizeof=_weight
        )

    def of(self, whose: Hashable, offset: int) -> Walk | None:
        """The way that a page at an offset goes on with. The first page never does."""
        walks = self._kept.get(whose, ())
        if not offset or not walks:
            return None
        return next((walk for walk in reversed(walks) if walk.offset == offset), walks[-1])

    def keep(self, whose: Hashable, walk: Walk) -> None:
        """Remember a way that has just begun, or got on."""
        others = tuple(each for each in self._kept.get(whose, ()) if each is not walk)
        here = (*others, walk)[-AT_ONCE:]
        if _weight(here) > self._kept.maxsize:
            here = (walk,)
        if _weight(here) <= self._kept.maxsize:
            self._kept[whose] = here


def _weight(walks: tuple[Walk, ...]) -> int:
    return sum({id(walk.names): walk.names.size for walk in walks}.values()) + 1000 * len(walks)
