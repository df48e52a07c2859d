"""ListingCache: the contents of folders, kept with their age.

One fetch serves all who wait, and runs in the cache's own nursery: who gives up waiting fails nobody else. A large
folder can be read along while it comes. A listing is never dropped for its age alone (`peek` shows a stale one while a
fresh one is on its way), only to make room. Own changes are written into the listings that are kept, so that they show
at once.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

import cachetools
import trio

from agavesh.api.record import BadField
from agavesh.client.errors import AgaveError, BadAnswer, Unreachable

T = TypeVar("T")
Feed = Callable[["Listing[T]"], Awaitable[None]]

FRESH = 30.0  # seconds that a listing is believed without asking
ROOM = 256 * 2**20  # bytes of listings that are kept
_JOINED = 1.0  # seconds: who asks for what is there now is content with a fetch that began so lately
_WEIGHT = 240  # bytes that one entry takes: measured, with its name and its place in the dict


class Listing(Generic[T]):
    """What a folder holds: `items` by name, in the platform's order. It may be on its way still: they come by pages.

    `asked` (monotonic seconds) and `asked_wall` (epoch seconds) are from before the first request, so that a change
    during it counts as later; `took` is in seconds, until all had come.
    """

    __slots__ = ("_flight", "asked", "asked_wall", "items", "took")

    def __init__(self, items: dict[str, T], asked: float, asked_wall: float, flight: _Flight | None = None) -> None:
        self.items, self.asked, self.asked_wall, self._flight = items, asked, asked_wall, flight
        self.took = 0.0

    def age(self) -> float:
        """Seconds since it was asked for."""
        return time.monotonic() - self.asked

    @property
    def complete(self) -> bool:
        """Whether all has come."""
        return self._flight is None

    def names(self) -> list[str]:
        """All names, for who reads along: while it is on its way the list grows at its end, and nowhere else.

        A name that is no longer among the `items` was removed here meanwhile.
        """
        return list(self.items) if self._flight is None else self._flight.names

    async def reach(self, count: float = math.inf) -> None:
        """Wait until that many names have come, or all; raises what went wrong before."""
        while (flight := self._flight) is not None and len(flight.names) < count:
            if flight.trouble is not None:
                raise flight.trouble
            await flight.news.wait()

    def grow(self, found: Mapping[str, T], *, last: bool = False) -> None:
        """These have come, and are all if `last`. What we have changed meanwhile is newer than what was told."""
        flight = self._flight
        assert flight is not None
        if not flight.changes.isdisjoint(found):
            found = {name: item for name, item in found.items() if name not in flight.changes}
        flight.names += [name for name in found if name not in self.items]
        self.items.update(found)
        if last:
            self._flight, self.took = None, self.age()
            flight.landed()
        flight.tell()

    def change(self, name: str, item: T | None) -> None:
        """A change of our own: the item is there now, or there is none."""
        if (flight := self._flight) is not None and name not in flight.changes:
            flight.changes.add(name)
            if name not in self.items:
                flight.names.append(name)
        if item is None:
            self.items.pop(name, None)
        else:
            self.items[name] = item


class _Flight:
    """One fetch under way: who wants it, what has come, and which names we have changed meanwhile."""

    landed: Callable[[], None]  # called when all has come

    def __init__(self) -> None:
        self.listing: Listing[Any] = Listing({}, time.monotonic(), time.time(), self)
        self.names: list[str] = []
        self.changes: set[str] = set()
        self.news = trio.Event()
        self.trouble: BaseException | None = None
        self.scope = trio.CancelScope()
        self.readers = 0
        self.wanted_whole = False

    def tell(self) -> None:
        """Something has come: who waits looks again."""
        news, self.news = self.news, trio.Event()
        news.set()

    def fail(self, trouble: BaseException) -> None:
        """No more comes."""
        self.trouble = trouble
        self.tell()


class ListingCache:
    """Listings by key, which is the folder's tree path. Used from trio's thread; `peek` from any."""

    def __init__(self, nursery: trio.Nursery, *, room: int = ROOM) -> None:
        self._nursery = nursery
        self._kept: cachetools.LRUCache[str, Listing[Any]] = cachetools.LRUCache(
            room, getsizeof=lambda listing: 256 + _WEIGHT * len(listing.items)
        )
        self._flights: dict[str, _Flight] = {}

    async def get(self, key: str, fetch: Callable[[], Awaitable[dict[str, T]]], *, fresh: float = FRESH) -> Listing[T]:
        """The listing of `key`, at most `fresh` seconds old, whole. The errors of `fetch` pass through."""

        async def feed(listing: Listing[T]) -> None:
            listing.grow(await fetch(), last=True)

        return await self.whole(key, feed, fresh=fresh)

    async def whole(self, key: str, feed: Feed[T], *, fresh: float = FRESH) -> Listing[T]:
        """As `get`, for what comes by pages: `feed` lets the listing grow to its last; its errors pass through."""
        if (kept := self.kept(key, fresh=fresh)) is not None:
            return kept
        flight = self._fetched(key, feed, fresh)
        flight.wanted_whole = True  # who gives up waiting fails nobody else, and asks again in a moment
        await flight.listing.reach()
        return flight.listing

    async def stream(self, key: str, feed: Feed[T], *, fresh: float = FRESH) -> Listing[T]:
        """As `whole`, but as soon as anything has come. Who reads it says when it has `left`."""
        if (kept := self.kept(key, fresh=fresh)) is not None:
            return kept
        flight = self._fetched(key, feed, fresh)
        flight.readers += 1
        try:
            await flight.listing.reach(1)
        except BaseException:
            self.left(flight.listing)
            raise
        return flight.listing

    def left(self, listing: Listing[Any]) -> None:
        """Who read along does so no more. What nobody wants is not fetched to its end."""
        if (flight := listing._flight) is None:
            return
        flight.readers -= 1
        if not flight.readers and not flight.wanted_whole:
            for key in [key for key, known in self._flights.items() if known is flight]:
                del self._flights[key]
            flight.scope.cancel()

    def _fetched(self, key: str, feed: Feed[Any], fresh: float) -> _Flight:
        flight = self._flights.get(key)
        # who asks for what is there now is not served with what was told of it long ago
        if flight is None or (fresh <= 0 and flight.listing.age() > _JOINED):
            flight = self._flights[key] = _Flight()
            flight.landed = functools.partial(self._landed, key, flight)
            self._nursery.start_soon(self._fly, key, flight, feed)  # ours, not the caller's: see above
        return flight

    def _landed(self, key: str, flight: _Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
            self._keep(key, flight.listing)

    async def _fly(self, key: str, flight: _Flight, feed: Feed[Any]) -> None:
        ours: BaseException = Unreachable(f"{key} is not listed: its account was closed meanwhile", hint="try again")
        try:
            with flight.scope:
                await feed(flight.listing)
        except AgaveError as error:
            ours = error
            if self._flights.get(key) is flight:
                self._kept.pop(key, None)
        except BadField as misfit:
            ours = BadAnswer(str(misfit))
        except Exception as error:  # noqa: BLE001  # a fault of ours: theirs to tell who asked, not the end of all others
            ours = error
        finally:
            if self._flights.get(key) is flight:
                del self._flights[key]
            if not flight.listing.complete:
                flight.fail(ours)

    def _keep(self, key: str, listing: Listing[Any]) -> None:
        try:
            self._kept[key] = listing
        except ValueError:
            pass  # larger than all the room there is: served, not kept

    def kept(self, key: str, *, fresh: float = FRESH) -> Listing[Any] | None:
        """The listing of `key` if it is here and fresh enough; asks nobody.

        One that took longer than that is good for as long as it took: it would be too old before it is there.
        """
        kept = self._kept.get(key)
        return kept if kept is not None and kept.age() <= (fresh if fresh <= 0 else max(fresh, 2 * kept.took)) else None

    def under_way(self, key: str) -> Listing[Any] | None:
        """The listing of `key` that is on its way, with what has come of it."""
        flight = self._flights.get(key)
        return None if flight is None else flight.listing

    def peek(self, key: str) -> Mapping[str, Any] | None:
        """What is known of `key`, however old, or None. From any thread: reads, and counts as no use."""
        try:
            # LRUCache's own look reorders, which only trio's thread may do
            listing = cachetools.Cache.__getitem__(self._kept, key)
        except KeyError:
            return None
        items: dict[str, Any] = listing.items
        return items

    def begin(self, key: str) -> None:
        """Note our own change: `key` is a folder that we have just made, and so it is empty."""
        self.forget(key, below=True)
        self._keep(key, Listing({}, time.monotonic(), time.time()))

    def put(self, key: str, name: str, item: Any) -> None:
        """Note our own change: `name` is now in `key`."""
        self._change(key, name, item)

    def drop(self, key: str, name: str) -> None:
        """Note our own change: `name` is no longer in `key`, nor is what we knew of it as a folder."""
        self._change(key, name, None)
        self.forget(f"{key.rstrip('/')}/{name}", below=True)

    def _change(self, key: str, name: str, item: Any) -> None:
        # no await between the two: a fetch that is under way may or may not have seen the change, so it is told
        if (flight := self._flights.get(key)) is not None:
            flight.listing.change(name, item)
        if (listing := self._kept.get(key)) is not None:
            listing.change(name, item)

    def forget(self, key: str, *, below: bool = False) -> None:
        """Ask again at the next look; with `below`, for everything under it too."""
        self._kept.pop(key, None)
        self._flights.pop(key, None)  # who waits for it still gets it, but it is not kept
        if below:
            inside = key.rstrip("/") + "/"
            for known in [known for known in self._kept if known.startswith(inside)]:
                self._kept.pop(known, None)
            for known in [known for known in self._flights if known.startswith(inside)]:
                self._flights.pop(known, None)

    def forget_all(self) -> None:
        self.forget("/", below=True)


@asynccontextmanager
async def open_listings(*, room: int = ROOM) -> AsyncIterator[ListingCache]:
    """A ListingCache with its nursery; fetches under way are given up at the end."""
    async with trio.open_nursery() as nursery:
        try:
            yield ListingCache(nursery, room=room)
        finally:
            nursery.cancel_scope.cancel()
