"""ListingCache: the contents of folders, kept with their age.

One fetch serves all who wait, and runs in the cache's own nursery: who gives up waiting fails nobody else. A listing is
never dropped for its age alone (`peek` shows a stale one while a fresh one is on its way), only to make room. Own
changes are written into the listings that are kept, so that they show at once.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

import cachetools
import trio

from agavesh.api.record import BadField
from agavesh.client.errors import AgaveError, BadAnswer, Unreachable

T = TypeVar("T")

FRESH = 30.0  # seconds that a listing is believed without asking
ROOM = 256 * 2**20  # bytes of listings that are kept
_WEIGHT = 320  # bytes that one entry takes: measured, with its name and its place in the dict


class Listing(Generic[T]):
    """What a folder held: `items` by name, in the platform's order.

    `asked` (monotonic seconds) and `asked_wall` (epoch seconds) are from before the first request, so that a change
    during it counts as later.
    """

    __slots__ = ("asked", "asked_wall", "items")

    def __init__(self, items: dict[str, T], asked: float, asked_wall: float) -> None:
        self.items, self.asked, self.asked_wall = items, asked, asked_wall

    def age(self) -> float:
        """Seconds since it was asked for."""
        return time.monotonic() - self.asked


class _Flight:
    """One fetch under way. `changes` of our own that came meanwhile are made to what it brings."""

    def __init__(self) -> None:
        self.done = trio.Event()
        self.listing: Listing[Any] | None = None
        self.error: BaseException | None = None
        self.changes: list[Callable[[dict[str, Any]], object]] = []


class ListingCache:
    """Listings by key, which is the folder's tree path. Used from trio's thread; `peek` from any."""

    def __init__(self, nursery: trio.Nursery, *, room: int = ROOM) -> None:
        self._nursery = nursery
        self._kept: cachetools.LRUCache[str, Listing[Any]] = cachetools.LRUCache(
            room, getsizeof=lambda listing: 256 + _WEIGHT * len(listing.items)
        )
        self._flights: dict[str, _Flight] = {}

    async def get(self, key: str, fetch: Callable[[], Awaitable[dict[str, T]]], *, fresh: float = FRESH) -> Listing[T]:
        """The listing of `key`, at most `fresh` seconds old. The errors of `fetch` pass through."""
        kept = self._kept.get(key)
        if kept is not None and kept.age() <= fresh:
            return kept
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight()
            self._nursery.start_soon(self._fly, key, flight, fetch)  # ours, not the caller's: see above
        await flight.done.wait()
        if flight.error is not None:
            raise flight.error
        assert flight.listing is not None
        return flight.listing

    async def _fly(self, key: str, flight: _Flight, fetch: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        asked, asked_wall = time.monotonic(), time.time()
        try:
            items = await fetch()
            for change in flight.changes:
                change(items)
            flight.listing = Listing(items, asked, asked_wall)
            if self._flights.get(key) is flight:
                self._keep(key, flight.listing)
        except AgaveError as error:
            flight.error = error
            if self._flights.get(key) is flight:
                self._kept.pop(key, None)
        except BadField as misfit:
            flight.error = BadAnswer(str(misfit))
        except Exception as error:  # noqa: BLE001  # a fault of ours: theirs to tell who asked, not the end of all others
            flight.error = error
        finally:
            if self._flights.get(key) is flight:
                del self._flights[key]
            if flight.listing is None and flight.error is None:
                flight.error = Unreachable(f"{key} is not listed: its account was closed meanwhile", hint="try again")
            flight.done.set()

    def _keep(self, key: str, listing: Listing[Any]) -> None:
        try:
            self._kept[key] = listing
        except ValueError:
            pass  # larger than all the room there is: served, not kept

    def kept(self, key: str, *, fresh: float = FRESH) -> Listing[Any] | None:
        """The listing of `key` if it is here and fresh enough; asks nobody."""
        kept = self._kept.get(key)
        return kept if kept is not None and kept.age() <= fresh else None

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
        self._change(key, lambda items: items.__setitem__(name, item))

    def drop(self, key: str, name: str) -> None:
        """Note our own change: `name` is no longer in `key`, nor is what we knew of it as a folder."""
        self._change(key, lambda items: items.pop(name, None))
        self.forget(f"{key.rstrip('/')}/{name}", below=True)

    def _change(self, key: str, change: Callable[[dict[str, Any]], object]) -> None:
        # no await between the two: a fetch that is under way may or may not have seen the change, so it is told
        if (flight := self._flights.get(key)) is not None:
            flight.changes.append(change)
        if (listing := self._kept.get(key)) is not None:
            change(listing.items)

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
