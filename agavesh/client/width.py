"""How many requests may be under way for one tenant: as many as were asked for, fewer while it says that is too many.

Answers that are throttled (429, 503), or that come far more slowly than they could, halve the number, once for all that
were under way; each round without such an answer adds one again. While the platform asks to wait, nothing new is sent.
Of those that wait, whoever came first goes first, an attempt that is repeated in its old place. Transfers have a part
of the whole to themselves and no more, so that what is short never waits behind what is long.
"""

from __future__ import annotations

import heapq
import itertools
import math
import os
from enum import IntEnum
from typing import Final

import trio

from agavesh.client.errors import BadArgument

CONNECTIONS: Final = 64  # at 20 ms and more only requests in flight count, and gateways count them too
MOST: Final = 1024  # for who asks for more than the usual
LEAST: Final = 2.0
SHARE_LEAST: Final = 8  # for one of many programs that share what was asked for
LONGEST_HOLD: Final = 8.0  # seconds for which nothing is sent, however long one call was told to wait
FIRST_HOLD: Final = 0.1  # seconds, where the platform asks for none; doubled while it goes on throttling
SLOW: Final = 8.0  # times the quickest of the last answers: then more are under way than the platform takes
SLOW_LEAST: Final = 1.0  # seconds: what is quicker is not slow
SMOOTH: Final = 16  # answers over which their time is smoothed: a single slow one says nothing
SAMPLE: Final = 200  # answers after which the quickest is sought anew
KEPT_FREE: Final = 16  # one of so many places, and one more, is kept for calls: they do not wait for readers
BULK_PART: Final = 4  # one of so many places may have a large transfer


class Kind(IntEnum):
    """What a request may take of the whole. Each kind counts as the ones before it, too."""

    CALL = 0  # is over as soon as it is answered
    STREAM = 1  # stays open for as long as its reader likes: a few places are kept free of these
    BULK = 2  # a large transfer: a quarter of the places


class Place:
    """A request under way, from its turn until it is given back."""

    __slots__ = ("_held", "_width", "kind", "since")

    def __init__(self, width: Width, kind: Kind, since: float) -> None:
        self._width, self.kind, self.since = width, kind, since
        self._held = True

    def give_back(self) -> None:
        """Safe at any time."""
        if self._held:
            self._held = False
            self._width._left(self.kind)


class _Turn:
    """Somebody who waits. Oldest ticket first."""

    def __init__(self, ticket: int) -> None:
        self.ticket, self.given, self.news = ticket, False, trio.Event()

    def __lt__(self, other: _Turn) -> bool:
        return self.ticket < other.ticket

    def nudge(self) -> None:
        self.news.set()
        self.news = trio.Event()


class Width:
    """The places of one tenant, `most` at best."""

    def __init__(self, most: int = CONNECTIONS) -> None:
        self.most = self._asked = most
        self.limit = float(most)  # of this moment
        self.throttled = 0  # answers so far that said: too many
        self.total = 0  # requests so far
        self._least = min(LEAST, most)
        self._under_way = [0, 0, 0]  # by kind; each is counted in those before it
        self._waiting: list[list[_Turn]] = [[], [], []]  # by kind, heaps
        self._tickets = itertools.count()
        self._cut_at = -math.inf  # when the limit was lowered
        self._held_until, self._hold = -math.inf, FIRST_HOLD
        # seconds that an answer takes: at best, of late and of those before; and as it is, smoothed
        self._best, self._best_before, self._sampled, self._usual = math.inf, math.inf, 0, 0.0

    @property
    def under_way(self) -> int:
        """Requests under way at this moment."""
        return self._under_way[Kind.CALL]

    def ticket(self) -> int:
        """A place in the order of those who wait; kept by a call for all its attempts."""
        return next(self._tickets)

    async def enter(self, kind: Kind, ticket: int) -> Place:
        """A place, when there is one."""
        now = trio.current_time()
        if now >= self._held_until and not self._waiting[kind] and self._free(kind):
            self._enter(kind)
            return Place(self, kind, now)
        turn = _Turn(ticket)
        heapq.heappush(self._waiting[kind], turn)
        try:
            while not turn.given:
                held = self._held_until
                if held <= trio.current_time():
                    await turn.news.wait()
                    continue
                with trio.move_on_at(held):
                    await turn.news.wait()
                self._wake()
        except BaseException:
            if turn.given:
                self._left(kind)
            else:
                self._waiting[kind].remove(turn)
                heapq.heapify(self._waiting[kind])
            raise
        return Place(self, kind, trio.current_time())

    def share(self, parts: int) -> None:
        """So many programs have the number that was asked for together: the platform sees them as one."""
        most = max(self._asked // max(parts, 1), min(SHARE_LEAST, self._asked))
        free = self.limit >= self.most  # the platform has not asked for less
        self.most = most
        self.limit = float(most) if free else min(self.limit, float(most))
        self._wake()

    def answered(self, place: Place) -> None:
        """A request was answered, and not with a refusal to do so much."""
        if place.since <= self._cut_at:
            return  # sent before the last change: it tells nothing of it
        self._hold = FIRST_HOLD
        if self.limit < self.most and self.under_way >= int(self.limit) - 1:
            self.limit = min(self.limit + 1 / self.limit, float(self.most))
            self._wake()
        if place.kind is not Kind.BULK:
            self._timed(trio.current_time() - place.since)

    def refused(self, place: Place, retry_after: float | None) -> None:
        """A request was not carried out, because there were too many."""
        self.throttled += 1
        now = trio.current_time()
        if place.since > self._cut_at:  # one cut for all that were under way together
            self._cut(now)
            self._hold = min(self._hold * 2, LONGEST_HOLD)
        pause = self._hold if retry_after is None else min(retry_after, LONGEST_HOLD)
        self._held_until = max(self._held_until, now + pause)
        for waiting in self._waiting:
            for turn in waiting:
                turn.nudge()

    def _timed(self, seconds: float) -> None:
        self._best, self._sampled = min(self._best, seconds), self._sampled + 1
        if self._sampled >= SAMPLE:
            self._best, self._best_before, self._sampled = math.inf, self._best, 0
        self._usual += (seconds - self._usual) / SMOOTH
        if self._usual > SLOW_LEAST and self._usual > SLOW * min(self._best, self._best_before):
            self._usual = 0.0
            if self.under_way > self._least:
                self._cut(trio.current_time())

    def _cut(self, now: float) -> None:
        self._cut_at = now
        self.limit = max(min(self.limit, float(self.under_way)) / 2, self._least)

    def _free(self, kind: Kind) -> bool:
        calls, streams, bulk = self._under_way
        if calls + 1 > self.limit:
            return False
        if kind and streams + 1 > max(self.limit - self.limit // KEPT_FREE - 1, 1):
            return False
        return kind is not Kind.BULK or bulk + 1 <= max(self.limit // BULK_PART, 1)

    def __str__(self) -> str:
        waiting = sum(map(len, self._waiting))
        return (
            f"{self.under_way} under way of {int(self.limit)} (at most {self.most}), {waiting} waiting, {self.total} so"
            f" far, {self.throttled} throttled"
        )

    def _enter(self, kind: Kind) -> None:
        self.total += 1
        for each in range(kind + 1):
            self._under_way[each] += 1

    def _left(self, kind: Kind) -> None:
        for each in range(kind + 1):
            self._under_way[each] -= 1
        self._wake()

    def _wake(self) -> None:
        """Give what is free to those who wait, the oldest first."""
        while any(self._waiting) and trio.current_time() >= self._held_until:
            can = [kind for kind in Kind if self._waiting[kind] and self._free(kind)]
            if not can:
                return
            kind = min(can, key=lambda each: self._waiting[each][0])
            self._enter(kind)
            turn = heapq.heappop(self._waiting[kind])
            turn.given = True  # it is under way from now on, though its task does not run yet
            turn.news.set()


def chosen_connections() -> int:
    """What AGAVE_CONNECTIONS says, or the usual number. BadArgument for what is no number of connections."""
    said = os.environ.get("AGAVE_CONNECTIONS", "")
    if not said:
        return CONNECTIONS
    if not said.isdecimal() or not 1 <= int(said) <= MOST:
        raise BadArgument(f"AGAVE_CONNECTIONS is {said!r}", hint=f"a number from 1 to {MOST}")
    return int(said)
