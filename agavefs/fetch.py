"""Fetch: fill the missing ranges of spools from the platform.

What a reader asks for is widened by what it is known to go on with (`window`). What is missing is fetched in blocks
side by side, each once for all who wait for it, and handed on as it comes: who waits for the first bytes of a block
does not wait for the rest. A block that somebody waits for goes before one that is fetched ahead, and large ranges have
a limit of their own, so that a small file or a single place never waits behind them.

Fetches run in the nursery given here: a reader that gives up fails nobody else. A request that was cut goes on where it
stopped. A platform that knows no ranges sends the whole file, and all of it is kept. Where the disk of the cache takes
nothing, what is read is fetched for this reader alone.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import trio

from agavefs.extents import Extents, Span
from agavefs.rate import Rate
from agavefs.spool import SMALL, Spool, Spools, Unkept
from agavefs.window import LARGE, NEAR, Ahead
from agavesh.client.errors import AgaveError, BadAnswer, Changed, NotFound, TimedOut, Unreachable
from agavesh.client.path import RemotePath
from agavesh.client.storage import Storage, Stream, Version

_log = logging.getLogger(__name__)

BLOCK_LEAST, BLOCK = 2**20, 4 * 2**20  # bytes of one request of those that run ahead
_RANGES, _SINGLES = 16, 64  # requests under way: for blocks; for small files and single places
_PUT = 256 * 2**10  # bytes that are written to the spool at once, if nobody waits for them
_SPARE = 2**19  # bytes: a request that nobody wants any more is given up if more than this is still to come


Done = Callable[[AgaveError | OSError | None], object]


class Flight:
    """One request under way, for `[start, stop)`; it has come to `at`. `wanted`: somebody waits for some of it; `done`
    is called when it is over. One that is small is never given up, so it has no `scope`: that costs too much."""

    def __init__(self, start: int, stop: int) -> None:
        self.start, self.stop, self.at = start, stop, start
        self.wanted = False
        self.done: Done | None = None
        self.error: AgaveError | OSError | None = None
        self.scope = trio.CancelScope() if stop - start > _SPARE else None


class _Waiter:
    """Somebody who waits for `[start, stop)`."""

    def __init__(self, start: int, stop: int) -> None:
        self.start, self.stop = start, stop
        self.news = trio.Event()


class _Filling:
    """The requests for one spool that are under way, and who waits for them."""

    def __init__(self) -> None:
        self.flights: list[Flight] = []
        self.waiters: list[_Waiter] = []
        self.everything: Flight | None = None  # the one that is sent the whole file, unasked
        self.moved = 0  # bytes that have come

    @contextmanager
    def waiting(self, start: int, stop: int) -> Iterator[_Waiter]:
        waiter = _Waiter(start, stop)
        self.waiters.append(waiter)
        try:
            yield waiter
        finally:
            self.waiters.remove(waiter)

    def over(self, gaps: list[Span]) -> list[Flight]:
        """The flights that bring something of `gaps`."""
        return [
            flight
            for flight in self.flights
            if any(flight.start < stop and start < flight.stop for start, stop in gaps)
        ]

    def due(self, flight: Flight, start: int, stop: int) -> bool:
        """Whether somebody can go on, or get on, when the flight hands on `[start, stop)`."""
        return any(
            waiter.start < stop and start < waiter.stop and stop >= min(waiter.stop, flight.stop)
            for waiter in self.waiters
        )

    def hand_on(self, spool: Spool) -> None:
        """Something came: wake those who have all they wait for."""
        for waiter in self.waiters:
            if spool.present.has(waiter.start, waiter.stop):
                waiter.news.set()

    def ended(self, flight: Flight) -> None:
        """A flight is over: all who had hopes of it look again."""
        self.flights.remove(flight)
        if self.everything is flight:
            self.everything = None
        for waiter in self.waiters:
            waiter.news.set()


class Turns:
    """So many requests at once; of those that wait for their turn, one that somebody waits for goes first."""

    def __init__(self, number: int) -> None:
        self._free = number
        self._waiting: list[tuple[Flight, trio.Event]] = []

    async def begin(self, flight: Flight) -> None:
        """Wait for a turn, which is over with `end`."""
        if self._free:
            self._free -= 1
            return
        place = (flight, trio.Event())
        self._waiting.append(place)
        try:
            await place[1].wait()
        except BaseException:
            if place in self._waiting:
                self._waiting.remove(place)
            else:  # it was given to us all the same
                self.end()
            raise

    def end(self) -> None:
        if not self._waiting:
            self._free += 1
            return
        first = next((at for at, (flight, _) in enumerate(self._waiting) if flight.wanted), 0)
        self._waiting.pop(first)[1].set()


class Fetcher:
    """Fetches for all spools of a mount, within limits of requests. `patience`: seconds without any news."""

    def __init__(self, nursery: trio.Nursery, spools: Spools, *, patience: float = 60) -> None:
        self._nursery, self._spools = nursery, spools
        self._patience = patience
        self._ranges, self._singles = Turns(_RANGES), Turns(_SINGLES)
        self.rate = Rate()
        self._fillings: dict[Spool, _Filling] = {}

    # what readers ask ------------------------------------------------------------------------------------------------

    async def read(self, spool: Spool, start: int, stop: int, *, ahead: Ahead | None = None) -> bytes:
        """The bytes of `[start, stop)`, as far as the file goes. Errors as of `ensure`."""
        stop = min(stop, spool.size)
        if start >= stop:
            return b""
        window = ahead.window(start, stop, here=spool.present.has(start, stop)) if ahead is not None else 0
        near = ahead.near if ahead is not None else NEAR
        if not (self._spools.refusing and spool.present.missing(start, stop)):
            try:
                with spool.pinned(*((start, stop) if spool.size > SMALL else (0, spool.size))):
                    await self._ensure(spool, start, stop, window, near)
                    if (data := spool.peek(start, stop)) is None:  # it is on the disk, and no more in memory
                        data = await trio.to_thread.run_sync(spool.read, start, stop)
                    return data
            except Unkept:
                if spool.dirty:
                    raise
        return await self._past_the_spool(spool, start, stop)

    def at_hand(self, spool: Spool, start: int, stop: int, *, ahead: Ahead) -> bytes | None:
        """As `read`, without waiting: None where there is something to wait for. What comes next is asked for."""
        stop = min(stop, spool.size)
        if start >= stop:
            return b""
        if not spool.present.has(start, stop):
            return None
        if spool.size > SMALL:
            window = ahead.window(start, stop, here=True)
            self._go_ahead(spool, start, stop, window, ahead.near)
        return spool.peek(start, stop)

    async def ensure(self, spool: Spool, start: int, stop: int) -> None:
        """Return when `[start, stop)` is present, as far as the file goes.

        Changed if the platform has another version by now; TimedOut; any error of the request. Giving up leaves the
        requests to those who wait for them still, and to the spool.
        """
        await self._ensure(spool, start, min(stop, spool.size), 0, NEAR)

    def prefetch(self, remote: RemotePath, storage: Storage, version: Version, done: Done) -> bool:
        """Have a small file asked for before anybody opens it; whether a request was needed. `done` is then called with
        its trouble, if it has any, which is nobody's error.

        Whoever opens it meanwhile shares the request, and then it goes before others.
        """
        if self._spools.refusing or (spool := self._spools.expect(remote, storage, version)) is None:
            return False
        (flight,) = self._start(spool, 0, spool.size, [(0, spool.size)], BLOCK, wanted=False)
        flight.done = done
        return True

    def leave(self, spool: Spool) -> None:
        """Its last handle is being closed: what was fetched for it alone, and is far from its end, is given up."""
        if (filling := self._fillings.get(spool)) is not None and not filling.waiters:
            for flight in filling.flights:
                if flight.scope and flight.stop - flight.at > _SPARE and filling.everything is not flight:
                    flight.scope.cancel()

    async def _ensure(self, spool: Spool, start: int, stop: int, window: int, near: int) -> None:
        if spool.size <= SMALL:
            start, stop, window = 0, spool.size, 0
        while gaps := spool.present.missing(start, min(stop, spool.size)):
            if spool.gone:
                raise Changed(f"{spool.remote.uri} has changed since it was opened", hint="open it again")
            reach, block = self._reach(spool, start, stop, window, near)
            watched = self._start(spool, gaps[0][0], reach, gaps, block)
            filling = self._fillings[spool]
            with filling.waiting(gaps[0][0], gaps[-1][1]) as waiter:
                await self._news(spool, filling, waiter)
            if spool.present.missing(start, min(stop, spool.size)):
                for flight in watched:
                    if flight.error is not None:
                        raise flight.error
        self._go_ahead(spool, start, stop, window, near)

    def _go_ahead(self, spool: Spool, start: int, stop: int, window: int, near: int) -> None:
        if window and not spool.whole:
            reach, block = self._reach(spool, start, stop, window, near)
            self._start(spool, stop, reach, [], block)

    async def _news(self, spool: Spool, filling: _Filling, waiter: _Waiter) -> None:
        while True:
            moved = filling.moved
            with trio.move_on_after(self._patience):
                await waiter.news.wait()
                return
            if filling.moved == moved:
                text = f"no bytes of {spool.remote.uri} for {self._patience:.0f} s"
                raise TimedOut(text, hint="try again later")

    def _reach(self, spool: Spool, start: int, stop: int, window: int, near: int) -> tuple[int, int]:
        """Where fetching is to end for a read of `[start, stop)`, and the size of its requests."""
        files = max(1, len(self._fillings))
        window = min(window, self.rate.ahead(files), self._spools.share(files))
        block = BLOCK_LEAST
        while block < BLOCK and block * 8 <= window:
            block *= 2
        # to a border between blocks, so that what is asked for ahead is not a crumb for each read
        border = block if window >= block else near
        reach = max(start + near, (stop + window) // border * border)
        return min(max(stop, reach), spool.size), block

    # requests --------------------------------------------------------------------------------------------------------

    def _start(
        self, spool: Spool, start: int, reach: int, gaps: list[Span], block: int, *, wanted: bool = True
    ) -> list[Flight]:
        """Ask for what is missing up to `reach` and not on its way yet; the flights that bring something of `gaps`."""
        missing = spool.present.missing(start, reach)
        if (filling := self._fillings.get(spool)) is not None:
            coming = Extents((flight.start, flight.stop) for flight in filling.flights)
            missing = [span for gap in missing for span in coming.missing(*gap)]
        elif missing:
            if not self._fillings:
                self.rate.asked(trio.current_time())
            filling = self._fillings[spool] = _Filling()
        if filling is None:
            return []
        for begin, end in missing:
            while begin < end:
                border = min(-(-(begin + 1) // block) * block, end)
                if border + NEAR >= end:  # no request for a crumb
                    border = end
                flight = Flight(begin, border)
                filling.flights.append(flight)
                spool.flights += 1
                self._nursery.start_soon(self._fly, spool, filling, flight)
                begin = border
        watched = filling.over(gaps)
        for flight in watched:
            flight.wanted = flight.wanted or wanted
        return watched

    async def _fly(self, spool: Spool, filling: _Filling, flight: Flight) -> None:
        place = spool.remote
        turns = self._ranges if _is_bulk(spool, flight) else self._singles
        try:
            with flight.scope or nullcontext():
                await turns.begin(flight)
                try:
                    await self._fetch(spool, filling, flight)
                finally:
                    turns.end()
        except (AgaveError, OSError) as error:
            # if it was moved meanwhile, who still waits asks at the new place
            if not isinstance(error, NotFound) or spool.remote == place:
                flight.error = error
        except Exception:  # noqa: BLE001  # an edge: a fault of ours is told to those who wait, and the mount goes on
            _log.exception("%s can't be fetched", spool.remote.uri)
            flight.error = OSError(errno.EIO, "a fault of the mount: see its log")
        finally:
            filling.ended(flight)
            if not filling.flights and self._fillings.get(spool) is filling:
                del self._fillings[spool]
            if not self._fillings:
                self.rate.ended(trio.current_time())
            spool.flights -= 1
            if not spool.flights and not spool.users:
                self._spools.rest(spool)
            if flight.done is not None:
                flight.done(flight.error)

    async def _fetch(self, spool: Spool, filling: _Filling, flight: Flight) -> None:
        """All of a flight. A request that is cut on the way is followed by another, as long as they bring something."""
        while flight.at < flight.stop:
            before = flight.at
            try:
                await self._request(spool, filling, flight)
            except (BadAnswer, Unreachable) as trouble:
                if flight.at == before:
                    raise
                _log.info("%s was cut at %d: %s", spool.remote.uri, flight.at, trouble)
            if flight.at == before:
                raise BadAnswer(f"{spool.remote.uri} ended before its end", hint="try again")

    async def _request(self, spool: Spool, filling: _Filling, flight: Flight) -> None:
        start, stop = flight.at, flight.stop
        every = start == 0 and stop >= spool.size and not spool.growing
        bulk = _is_bulk(spool, flight)
        async with spool.storage.read(spool.remote.path, start, None if every else stop, bulk=bulk) as stream:
            check(spool, stream)
            if stream.start > start:
                raise BadAnswer(f"of {spool.remote.uri} other bytes came than were asked for", hint="try again")
            if stream.start != start:  # no ranges here: the whole file comes, once
                while filling.everything is not None and not spool.present.has(start, min(stop, spool.size)):
                    with filling.waiting(start, min(stop, spool.size)) as waiter:
                        await waiter.news.wait()
                if spool.present.has(start, min(stop, spool.size)):
                    flight.at = stop
                    return
                filling.everything = flight
                flight.start = flight.at = stream.start
                flight.stop = stop = spool.size
            pieces: list[bytes] = []
            come = flight.at
            async for chunk in stream:
                if every and come + len(chunk) > stop:
                    raise Changed(f"{spool.remote.uri} has become longer", hint="open it again")
                if come >= stop:
                    break  # more than was asked for
                pieces.append(chunk)
                come += len(chunk)
                filling.moved += len(chunk)
                self.rate.came(len(chunk), trio.current_time())
                if come - flight.at >= _PUT or filling.due(flight, flight.at, come):
                    self._put(spool, filling, flight, pieces, come)
                    pieces = []
            self._put(spool, filling, flight, pieces, come)

    def _put(self, spool: Spool, filling: _Filling, flight: Flight, pieces: list[bytes], come: int) -> None:
        if pieces:
            spool.fill(flight.at, *pieces)
            flight.at = come
            filling.hand_on(spool)

    async def _past_the_spool(self, spool: Spool, start: int, stop: int) -> bytes:
        """What the cache can't take, for this reader alone."""
        got = bytearray()
        async with spool.storage.read(spool.remote.path, start, stop) as stream:
            check(spool, stream)
            if stream.start > start:
                raise BadAnswer(f"of {spool.remote.uri} other bytes came than were asked for", hint="try again")
            skip = start - stream.start
            async for chunk in stream:
                got += chunk[max(0, skip) :]
                skip -= min(len(chunk), max(0, skip))
                if len(got) >= stop - start:
                    break
        if len(got) < stop - start:
            raise BadAnswer(f"{spool.remote.uri} ended before its end", hint="try again")
        return bytes(got[: stop - start])


def _is_bulk(spool: Spool, flight: Flight) -> bool:
    """Whether a request is a large one, which has to leave room for others."""
    return flight.stop - flight.start > LARGE and spool.size > SMALL


def check(spool: Spool, stream: Stream) -> None:
    """Never mix two versions: all that comes must be of the size we know, and carry the stamp that came first.

    Of what grows at its end only the size can be judged.
    """
    size, stamp = stream.size, stream.stamp
    if spool.growing:
        if size is not None and size < spool.size:
            raise Changed(f"{spool.remote.uri} has become shorter", hint="open it again")
        return
    if size is not None and spool.base is not None and size != spool.base[0]:
        raise Changed(f"{spool.remote.uri} has changed: {size} bytes in place of {spool.base[0]}", hint="open it again")
    if stamp is not None and spool.stamp is None:
        spool.stamp = stamp
    if stamp is not None and spool.stamp != stamp:
        raise Changed(f"{spool.remote.uri} has changed since it was opened", hint="open it again")
