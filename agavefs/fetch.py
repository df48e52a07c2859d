"""Fetch: fill the missing ranges of spools from the platform.

Asked ranges are widened by a read-ahead that doubles as long as a reader goes on where it stopped. What is missing is
fetched in blocks side by side, each once for all who wait for it. Fetches run in the nursery given here: a reader that
gives up fails nobody else. A platform that knows no ranges sends the whole file, and all of it is kept.
"""

from __future__ import annotations

import errno
import logging
from dataclasses import dataclass

import trio

from agavefs.extents import Extents, Span
from agavefs.spool import Spool
from agavesh.client.errors import AgaveError, BadAnswer, Changed, NotFound, TimedOut

_log = logging.getLogger(__name__)

BLOCK = 4 * 2**20  # bytes of one request at most
SMALL = 2**20  # bytes: a file up to this size is fetched whole, by one request
_AHEAD_FIRST, _AHEAD_MOST = 2**20, 16 * 2**20  # bytes
_AFTER_SEEK = 128 * 2**10  # bytes: what the kernel asks for at once
_AT_ONCE = 12  # requests for ranges under way
_PUT = 256 * 2**10  # bytes that are written to the spool at once


class Ahead:
    """How one reader goes through a file: how much to fetch beyond what it asks for."""

    def __init__(self) -> None:
        self._next = 0
        self._window = _AHEAD_FIRST

    def window(self, start: int, stop: int) -> int:
        """Bytes to have beyond `stop`, for a read of `[start, stop)`. 0 right after a seek."""
        # the kernel has two reads under way, in any order: a little to either side is still a sequence
        if abs(start - self._next) <= 2 * (stop - start):
            self._next = max(self._next, stop)
            self._window = self._window or _AHEAD_FIRST
            return self._window
        self._next, self._window = stop, 0
        return 0

    def used(self) -> None:
        """A window was asked for: the next is twice as large."""
        self._window = min(self._window * 2, _AHEAD_MOST)


@dataclass(eq=False)
class _Flight:
    """One request under way."""

    start: int
    stop: int
    error: AgaveError | OSError | None = None


class _Filling:
    """The requests for one spool that are under way. `news` is set, and replaced, when bytes came or one ended."""

    def __init__(self) -> None:
        self.flights: list[_Flight] = []
        self.news = trio.Event()
        self.everything: _Flight | None = None  # the one that is sent the whole file, unasked

    def tell(self) -> None:
        self.news.set()
        self.news = trio.Event()

    def over(self, gaps: list[Span]) -> list[_Flight]:
        """The flights that bring something of `gaps`."""
        return [
            flight
            for flight in self.flights
            if any(flight.start < stop and start < flight.stop for start, stop in gaps)
        ]


class Fetcher:
    """Fetches for all spools of a mount, within one limit of requests. `patience`: seconds without any news."""

    def __init__(self, nursery: trio.Nursery, *, patience: float = 60) -> None:
        self._nursery = nursery
        self._patience = patience
        self._limit = trio.CapacityLimiter(_AT_ONCE)
        self._fillings: dict[Spool, _Filling] = {}

    async def ensure(self, spool: Spool, start: int, stop: int, *, ahead: Ahead | None = None) -> None:
        """Return when `[start, stop)` is present, as far as the file goes.

        Changed if the platform has another version by now; TimedOut; any error of the request. Giving up leaves the
        requests to those who wait for them still, and to the spool.
        """
        if spool.size <= SMALL:
            start, stop = 0, spool.size
        reach = self._reach(spool, start, min(stop, spool.size), ahead)
        while gaps := spool.present.missing(start, min(stop, spool.size)):
            watched = self._start(spool, start, reach, gaps)
            with trio.move_on_after(self._patience) as waiting:
                await self._fillings[spool].news.wait()
            if waiting.cancelled_caught:
                raise TimedOut(f"no bytes of {spool.remote.uri} for {self._patience:.0f} s", hint="try again later")
            for flight in watched:
                if flight.error is not None:
                    raise flight.error
            reach = stop
        if not spool.present.has(start, reach):
            self._start(spool, start, reach, [])

    def _reach(self, spool: Spool, start: int, stop: int, ahead: Ahead | None) -> int:
        """Where fetching is to end for a read of `[start, stop)`."""
        if ahead is None:
            return stop
        if not (window := ahead.window(start, stop)):
            return min(max(stop, start + _AFTER_SEEK), spool.size)
        if not self._uncovered(spool, start, min(stop + window // 2, spool.size)):
            return stop  # half a window is here or coming: the next request shall be large, not one for each read
        ahead.used()
        return min(stop + window, spool.size)

    def _uncovered(self, spool: Spool, start: int, stop: int) -> list[Span]:
        """What of `[start, stop)` is neither present nor on its way."""
        gaps = spool.present.missing(start, stop)
        if not gaps or (filling := self._fillings.get(spool)) is None:
            return gaps
        coming = Extents((flight.start, flight.stop) for flight in filling.flights)
        return [span for gap in gaps for span in coming.missing(*gap)]

    def _start(self, spool: Spool, start: int, reach: int, gaps: list[Span]) -> list[_Flight]:
        """Ask for what is missing up to `reach` and not on its way yet; the flights that bring something of `gaps`."""
        filling = self._fillings.setdefault(spool, _Filling())
        coming = Extents((flight.start, flight.stop) for flight in filling.flights)
        for gap in [*spool.present.missing(start, min(reach, spool.size)), *gaps]:
            for begin, end in coming.missing(*gap):
                for at in range(begin, end, BLOCK):
                    flight = _Flight(at, min(at + BLOCK, end))
                    filling.flights.append(flight)
                    self._nursery.start_soon(self._fly, spool, filling, flight)
                coming.add(begin, end)
        if not filling.flights:
            del self._fillings[spool]
        return filling.over(gaps)

    async def _fly(self, spool: Spool, filling: _Filling, flight: _Flight) -> None:
        place = spool.remote
        try:
            async with self._limit:
                await self._fetch(spool, filling, flight)
        except (AgaveError, OSError) as error:
            # if it was moved meanwhile, who still waits asks at the new place
            if not isinstance(error, NotFound) or spool.remote == place:
                flight.error = error
        except Exception:  # noqa: BLE001  # an edge: a fault of ours is told to those who wait, and the mount goes on
            _log.exception("%s can't be fetched", spool.remote.uri)
            flight.error = OSError(errno.EIO, "a fault of the mount: see its log")
        finally:
            filling.flights.remove(flight)
            if filling.everything is flight:
                filling.everything = None
            if not filling.flights and self._fillings.get(spool) is filling:
                del self._fillings[spool]
            filling.tell()

    async def _fetch(self, spool: Spool, filling: _Filling, flight: _Flight) -> None:
        start, stop = flight.start, flight.stop
        every = start == 0 and stop >= spool.size
        async with spool.storage.read(spool.remote.path, start, None if every else stop) as stream:
            _check(spool, stream.size, stream.stamp)
            if stream.start != start:  # no ranges here: the whole file comes, once
                while filling.everything is not None and not spool.present.has(start, min(stop, spool.size)):
                    await filling.news.wait()
                if spool.present.has(start, min(stop, spool.size)):
                    return
                filling.everything = flight
                flight.start, flight.stop = stream.start, stop = stream.start, spool.size
            at, pending = stream.start, bytearray()
            async for chunk in stream:
                if at + len(pending) >= stop:
                    break  # more than was asked for
                pending += chunk
                if len(pending) >= _PUT:
                    spool.fill(at, pending)
                    at, pending = at + len(pending), bytearray()
                    filling.tell()
            spool.fill(at, pending)
        if not spool.present.has(flight.start, min(flight.stop, spool.size)):
            raise BadAnswer(f"{spool.remote.uri} ended before its end", hint="try again")


def _check(spool: Spool, size: int | None, stamp: str | None) -> None:
    """Never mix two versions: all that comes must be of the size we know, and carry the stamp that came first."""
    if size is not None and spool.base is not None and size != spool.base[0]:
        raise Changed(f"{spool.remote.uri} has changed: {size} bytes in place of {spool.base[0]}", hint="open it again")
    if stamp is not None and spool.stamp is None:
        spool.stamp = stamp
    if stamp is not None and spool.stamp != stamp:
        raise Changed(f"{spool.remote.uri} has changed since it was opened", hint="open it again")
