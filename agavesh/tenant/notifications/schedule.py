"""Whose turn it is: which subscriptions have something to deliver, when, and how many at a time.

Pure: it is told the time, and knows subscriptions by their ids and hosts only. A subscription has one delivery under
way at most, so that events arrive in their order; a host has few, and all of them together have some. So a host that
does not answer holds up nobody but itself until very many of its kind are waited for at once.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, deque
from math import inf

WIDTH = 128  # deliveries under way at once: each holds a socket
HOST_WIDTH = 4  # of these, to one host


class Schedule:
    """Subscriptions that wait for a time or a place, and those under way."""

    def __init__(self, width: int = WIDTH, host_width: int = HOST_WIDTH) -> None:
        self._width, self._host_width = width, host_width
        self._heap: list[tuple[float, int, str]] = []
        self._order = itertools.count()
        self._waiting: dict[str, tuple[float, str]] = {}  # by subscription: (when, host)
        self._parked: dict[str, deque[str]] = {}  # by host: those whose time has come, but whose host is busy
        self._under_way: dict[str, str] = {}  # by subscription: host
        self._busy: Counter[str] = Counter()  # by host

    def add(self, subscription: str, host: str, when: float) -> None:
        """It has something to deliver at `when`. One that is under way is asked again at its end: see `done`."""
        if subscription in self._under_way:
            return
        known = self._waiting.get(subscription)
        if known is None or when < known[0]:
            self._waiting[subscription] = (when, host)
            heapq.heappush(self._heap, (when, next(self._order), subscription))

    def drop(self, subscription: str) -> None:
        """It waits no more."""
        if (known := self._waiting.pop(subscription, None)) is not None:
            self._unpark(known[1])  # the place that it may have been given goes to the next

    def take(self, now: float) -> str | None:
        """The next whose time has come, under way from now on; None if there is none, or no place."""
        while self._heap and self._heap[0][0] <= now and len(self._under_way) < self._width:
            when, _, subscription = heapq.heappop(self._heap)
            known = self._waiting.get(subscription)
            if known is None or known[0] != when:
                continue  # dropped, or brought forward
            if self._busy[known[1]] >= self._host_width:
                self._parked.setdefault(known[1], deque()).append(subscription)
                continue
            del self._waiting[subscription]
            self._under_way[subscription] = known[1]
            self._busy[known[1]] += 1
            return subscription
        return None

    def done(self, subscription: str, again: float | None = None) -> None:
        """A delivery is over; there is more for it at `again`."""
        host = self._under_way.pop(subscription)
        self._busy[host] -= 1
        if not self._busy[host]:
            del self._busy[host]
        self._unpark(host)
        if again is not None:
            self.add(subscription, host, again)

    def _unpark(self, host: str) -> None:
        """Let one of those that wait for a host be looked at again."""
        parked = self._parked.get(host, deque())
        while parked:
            subscription = parked.popleft()
            if subscription in self._waiting:
                heapq.heappush(self._heap, (self._waiting[subscription][0], next(self._order), subscription))
                break
        if not parked:
            self._parked.pop(host, None)

    def next(self) -> float:
        """When to take again; inf if only an addition or an end can help."""
        return self._heap[0][0] if self._heap and len(self._under_way) < self._width else inf

    def __contains__(self, subscription: object) -> bool:
        return subscription in self._waiting or subscription in self._under_way

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._under_way
