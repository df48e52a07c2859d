"""ListingCache: the contents of folders, kept with their age.

One fetch serves all who wait, and runs in the cache's own nursery: who gives up waiting fails nobody else. A large
folder can be read along while it comes. A listing that is used in the second half of its life is asked for again behind
its readers, once. A listing is never dropped for its age alone (`peek` shows a stale one while a fresh one is on its
way; offline, a stale one is all there is), only to make room. Own changes are written into the listings that are kept,
so that they show at once.
"""

from __future__ import annotations

import contextvars
import functools
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Generic, TypeVar

import cachetools
import trio

from agavesh.api.record import BadField
from agavesh.client.errors import (
    AgaveError,
    BadAnswer,
    Busy,
    NotAllowed,
    NotFound,
    ServerTrouble,
    Unreachable,
    WrongKind,
)
from agavesh.tree import clock as time  # what goes on while the machine sleeps

T = TypeVar("T")
Feed = Callable[["Listing[T]"], Awaitable[None]]
Done = Callable[[Exception | None], object]

FRESH = 30.0  # seconds that a listing is believed without asking, if nothing else is said
BEHIND = 5.0  # seconds: what lives no longer than this is not asked for ahead of its end
ROOM = 256 * 2**20  # bytes of listings that are kept
PATIENCE = 2.0  # seconds that who has something old, and may use it, waits for something new
_TRIED = 5.0  # seconds after which that is tried again
_ABSENT = 10_000  # folders of which single names are known that are not there
_NAMES = 32  # such names of one folder
_trying: contextvars.ContextVar[bool] = contextvars.ContextVar("_trying", default=False)
UNANSWERED = (Unreachable, Busy, ServerTrouble)  # these say nothing of what was asked for
_JOINED = 1.0  # seconds: who asks for what is there now is content with a fetch that began so lately
_BEGUN = 100  # listings of which a first page is kept, 60 KiB at most
_WEIGH = 100  # names by which a listing may have grown or shrunk by own changes before it is weighed anew
_WEIGHT = 240  # bytes that one entry takes: measured, with its name and its place in the dict


class Listing(Generic[T]):
    """What a folder holds: `items` by name, in the platform's order. It may be on its way still: they come by pages.

    `asked` (monotonic seconds) and `asked_wall` (epoch seconds) are from before the first request, so that a change
    during it counts as later; `took` is in seconds, until all had come. `again` is how to ask for it again, `tried`
    when that was done last (monotonic seconds), and `rest` how to ask for what is left of it. `left_out` counts lines
    of which nothing is known but that they are there.
    """

    __slots__ = ("_flight", "again", "asked", "asked_wall", "believed", "items", "left_out", "rest", "took", "tried")

    def __init__(self, items: dict[str, T], asked: float, asked_wall: float, flight: _Flight | None = None) -> None:
        self.items, self.asked, self.asked_wall, self._flight = items, asked, asked_wall, flight
        self.took = 0.0
        self.believed = 0.0  # seconds
        self.again: Feed[T] | None = None
        self.rest: Feed[T] | None = None
        self.tried = -math.inf
        self.left_out = 0

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
        flight.heard()
        if last:
            self._flight, self.rest, self.took = None, None, self.age() - flight.idle
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


def _life(listing: Listing[Any], believed: float | None = None) -> float:
    """For how long it is shown: what took long to come is good for as long as it took."""
    life = listing.believed if believed is None else believed
    return max(life, 2 * listing.took) if life > 0 else life


class _Flight:
    """One fetch under way: who wants it, what has come, and which names we have changed meanwhile."""

    heard: Callable[[], None]  # called when anything has come
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
        self.paused, self.idle = 0.0, 0.0  # since when nothing is asked for, and how long nothing was
        self.done: list[Done] = []

    def tell(self) -> None:
        """Something has come: who waits looks again."""
        news, self.news = self.news, trio.Event()
        news.set()

    def fail(self, trouble: BaseException) -> None:
        """No more comes."""
        self.trouble = trouble
        self.tell()


class ListingCache:
    """Listings by key, which is the folder's tree path. Used from trio's thread; `peek` from any.

    `fresh` is for how long (seconds) a listing is believed where nothing else is said. With `offline_ok`, an old one is
    given where the platform does not answer, and `offline_since` (epoch seconds) says since when. `on_change` is told
    of each path at which we have changed something.
    """

    def __init__(
        self, nursery: trio.Nursery, *, room: int = ROOM, fresh: float = FRESH, offline_ok: bool = False
    ) -> None:
        self._nursery = nursery
        self.fresh, self.offline_ok = fresh, offline_ok
        self.offline_since: float | None = None
        self._tried = -math.inf  # when somebody asked in vain
        self._heard = -math.inf  # when the platform answered last
        self._absent: cachetools.LRUCache[str, dict[str, float]] = cachetools.LRUCache(_ABSENT)
        self.on_change: Callable[[str], object] = lambda path: None
        # told of names that are not shown, and of the node of the folder that has them
        self.on_hidden: Callable[[Any, list[str]], object] = lambda folder, names: None
        self._kept: cachetools.LRUCache[str, Listing[Any]] = cachetools.LRUCache(
            room, getsizeof=lambda listing: 256 + _WEIGHT * len(listing.items)
        )
        self._flights: dict[str, _Flight] = {}
        # of which some has come along with something else, and nobody has asked for the others
        self._begun: cachetools.LRUCache[str, _Flight] = cachetools.LRUCache(_BEGUN)

    async def get(
        self, key: str, fetch: Callable[[], Awaitable[dict[str, T]]], *, fresh: float | None = None
    ) -> Listing[T]:
        """The listing of `key`, at most `fresh` seconds old, whole. The errors of `fetch` pass through."""

        async def feed(listing: Listing[T]) -> None:
            listing.grow(await fetch(), last=True)

        return await self.whole(key, feed, fresh=fresh)

    async def whole(self, key: str, feed: Feed[T], *, fresh: float | None = None) -> Listing[T]:
        """As `get`, for what comes by pages: `feed` lets the listing grow to its last; its errors pass through."""
        if (kept := self.kept(key, fresh=fresh)) is not None:
            return kept

        async def come() -> Listing[T]:
            flight = self._fetched(key, feed, fresh)
            flight.wanted_whole = True  # who gives up waiting fails nobody else, and asks again in a moment
            await flight.listing.reach()
            return flight.listing

        return await self._or_old(key, feed, fresh, come)

    async def stream(self, key: str, feed: Feed[T], *, fresh: float | None = None) -> Listing[T]:
        """As `whole`, but as soon as anything has come. Who reads it says when it has `left`."""
        if (kept := self.kept(key, fresh=fresh)) is not None:
            return kept

        async def begin() -> Listing[T]:
            flight = self._fetched(key, feed, fresh)
            flight.readers += 1
            try:
                await flight.listing.reach(1)
            except BaseException:
                self.left(flight.listing)
                raise
            return flight.listing

        return await self._or_old(key, feed, fresh, begin)

    async def _or_old(
        self, key: str, feed: Feed[T], fresh: float | None, ask: Callable[[], Awaitable[Listing[T]]]
    ) -> Listing[T]:
        """What is asked for; where that does not come, and it may be old, what we have."""
        old = self.old(key) if fresh is None or fresh > 0 else None
        if old is not None and self.offline_since is not None and not _trying.get():
            if self._due():
                self._fetched(key, feed, fresh).wanted_whole = True
            return old
        found = await self.answer(ask, old=old is not None)
        if found is None:
            assert old is not None
            return old
        return found

    async def answer(self, ask: Callable[[], Awaitable[T]], *, old: bool) -> T | None:
        """What is asked for. None where it does not come, and the caller has something `old` that may be shown.

        While nobody answers, most are told so at once, and one in a while asks. Within `ask` there may be another one;
        that the platform has `answered` is said by who has heard it.
        """
        if self.offline_since is not None and not _trying.get() and not self._due():
            if old:
                return None
            raise Unreachable("the platform does not answer, and this is not here", hint="try again later")
        token, since, failed = _trying.set(True), time.monotonic(), False
        try:
            with trio.move_on_after(PATIENCE if old else math.inf):
                return await ask()
        except UNANSWERED:
            if not old:
                raise
            failed = True
        finally:
            _trying.reset(token)
        if failed or self._heard < since:  # what is slow is not dead
            self.unanswered()
        return None

    def _due(self) -> bool:
        """Whether it is time to try whether the platform answers again; if so, that is the caller's to do."""
        now = time.monotonic()
        if now - self._tried < _TRIED:
            return False
        self._tried = now
        return True

    def life(self, usual: float) -> float:
        """For how long (seconds) something is believed that lives so long where the others live for FRESH."""
        return min(usual, self.fresh * max(1.0, usual / FRESH))

    def old(self, key: str) -> Listing[Any] | None:
        """The listing of `key` however old, if that is better than nothing."""
        return self._kept.get(key) if self.offline_ok else None

    def unanswered(self) -> None:
        """Something old was shown, since the platform does not answer."""
        self._tried = time.monotonic()
        if self.offline_since is None:
            self.offline_since = time.time()

    def answered(self) -> None:
        """The platform does answer."""
        self.offline_since, self._heard = None, time.monotonic()

    def wanted(self, listing: Listing[Any]) -> None:
        """It is to come to its end, whoever reads along."""
        if (flight := listing._flight) is not None:
            flight.wanted_whole = True

    def left(self, listing: Listing[Any]) -> None:
        """Who read along does so no more. What nobody wants is not fetched to its end."""
        if (flight := listing._flight) is None:
            return
        flight.readers -= 1
        if not flight.readers and not flight.wanted_whole:
            for key in [key for key, known in self._flights.items() if known is flight]:
                del self._flights[key]
            flight.scope.cancel()

    def ahead(self, key: str, feed: Feed[T], done: Done, *, fresh: float) -> Listing[T]:
        """As `stream`, but nobody waits: `done` is called when it is over, with its trouble if there was any."""
        flight = self._fetched(key, feed, fresh)
        flight.readers += 1
        flight.done.append(done)
        return flight.listing

    def _fetched(self, key: str, feed: Feed[Any], fresh: float | None) -> _Flight:
        flight, believed = self._flights.get(key), self.fresh if fresh is None else fresh
        # who asks for what is there now is not served with what was told of it long ago
        if flight is None or (believed <= 0 and flight.listing.age() > _JOINED):
            flight = self._begun.pop(key, None)
            if flight is None or flight.listing.rest is None or flight.listing.age() > believed:
                flight = self._prepared(key, feed, believed)
            else:
                flight.idle = time.monotonic() - flight.paused
            self._flights[key] = flight
            self._nursery.start_soon(self._fly, key, flight, flight.listing.rest or feed)  # ours, not the caller's
        return flight

    def _prepared(self, key: str, feed: Feed[Any], believed: float) -> _Flight:
        flight = _Flight()
        flight.listing.again, flight.listing.believed = feed, believed
        flight.heard = self.answered
        flight.landed = functools.partial(self._landed, key, flight)
        return flight

    @contextmanager
    def along(self, key: str, feed: Feed[T], *, fresh: float) -> Iterator[Listing[T] | None]:
        """The listing of `key` may come along with something else that is asked for in the block: it is to `grow` by
        what comes, with `rest` to ask for the others when somebody wants them. None: it is here, or on its way."""
        if fresh <= 0 or key in self._flights or self.kept(key, fresh=fresh) is not None:
            yield None
            return
        flight = self._begun[key] = self._prepared(key, feed, fresh)
        try:
            yield flight.listing
        finally:
            flight.paused = time.monotonic()
            if flight.listing.rest is None and self._begun.get(key) is flight:
                del self._begun[key]

    def _landed(self, key: str, flight: _Flight) -> None:
        for known in (self._flights, self._begun):
            if known.get(key) is flight:
                del known[key]
                self._keep(key, flight.listing)

    async def _fly(self, key: str, flight: _Flight, feed: Feed[Any]) -> None:
        trouble: Exception | None = None
        try:
            with flight.scope:
                await feed(flight.listing)
        except AgaveError as error:
            trouble = error
            # what the platform said of the folder, not of itself
            if isinstance(error, NotFound | NotAllowed | WrongKind) and self._flights.get(key) is flight:
                self._kept.pop(key, None)
        except BadField as misfit:
            trouble = BadAnswer(str(misfit))
        except Exception as error:  # noqa: BLE001  # a fault of ours: theirs to tell who asked, not the end of all others
            trouble = error
        finally:
            if self._flights.get(key) is flight:
                del self._flights[key]
            if not flight.listing.complete:
                closed = f"{key} is not listed: its account was closed meanwhile"
                flight.fail(trouble or Unreachable(closed, hint="try again"))
            for done in flight.done:
                done(trouble)

    def _keep(self, key: str, listing: Listing[Any]) -> None:
        try:
            self._kept[key] = listing
        except ValueError:  # larger than all the room there is: served, not kept
            self._kept.pop(key, None)

    def kept(self, key: str, *, fresh: float | None = None) -> Listing[Any] | None:
        """The listing of `key` if it is here and fresh enough. Nobody waits: what is to be asked for is so behind."""
        if (kept := self._kept.get(key)) is None:
            return None
        life, age = _life(kept, self.fresh if fresh is None else fresh), kept.age()
        if age > life:
            return None
        if age > life / 2 and life > BEHIND and kept.again is not None and kept.tried == -math.inf:
            kept.tried = time.monotonic()  # once: what does not come behind is asked for at the end of its life
            self._fetched(key, kept.again, fresh).wanted_whole = True
        return kept

    def under_way(self, key: str) -> Listing[Any] | None:
        """The listing of `key` that is on its way, or has begun to come, with what has come of it."""
        if (flight := self._flights.get(key)) is not None:
            return flight.listing
        begun = self._begun.get(key)
        return begun.listing if begun is not None and begun.listing.age() <= begun.listing.believed else None

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

    def changed(self, key: str) -> None:
        """Note our own change, of which no more is known: something in `key`, or below."""
        self.forget(key, below=True)
        self.on_change(key)

    def put(self, key: str, name: str, item: Any) -> None:
        """Note our own change: `name` is now in `key`."""
        self._change(key, name, item)

    def drop(self, key: str, name: str) -> None:
        """Note our own change: `name` is no longer in `key`, nor is what we knew of it as a folder."""
        self._change(key, name, None)
        self.forget(f"{key.rstrip('/')}/{name}", below=True)

    def miss(self, key: str, name: str) -> None:
        """Note that there is no such name in `key`, of which no more is known."""
        names = self._absent.setdefault(key, {})
        if name not in names and len(names) >= _NAMES:
            del names[next(iter(names))]
        names[name] = time.monotonic()

    def missed(self, key: str, name: str, *, fresh: float) -> bool:
        """Whether the platform has said so not too long ago, and we have put nothing there since."""
        told = self._absent.get(key, {}).get(name)
        return told is not None and time.monotonic() - told <= fresh

    def _change(self, key: str, name: str, item: Any) -> None:
        self._absent.get(key, {}).pop(name, None)
        # no await between the two: a fetch that is under way may or may not have seen the change, so it is told
        for known in (self._flights, self._begun):
            if (flight := known.get(key)) is not None:
                flight.listing.change(name, item)
        if (listing := self._kept.get(key)) is not None:
            before = len(listing.items)
            listing.change(name, item)
            if before // _WEIGH != len(listing.items) // _WEIGH:
                self._keep(key, listing)  # it is weighed anew
        self.on_change(f"{key.rstrip('/')}/{name}")

    def forget(self, key: str, *, below: bool = False) -> None:
        """Ask again at the next look; with `below`, for everything under it too."""
        self._kept.pop(key, None)
        self._absent.pop(key, None)
        self._begun.pop(key, None)
        self._flights.pop(key, None)  # who waits for it still gets it, but it is not kept
        if below:
            inside = key.rstrip("/") + "/"
            for all_known in (self._kept, self._absent, self._begun, self._flights):
                for known in [known for known in all_known if known.startswith(inside)]:
                    all_known.pop(known, None)

    def forget_all(self) -> None:
        self.forget("/", below=True)

    @property
    def count(self) -> int:
        """How many are kept."""
        return len(self._kept)

    def ages(self) -> list[tuple[float, float]]:
        """How old (seconds) each of those is that may be shown, and how old it may become: inf while offline."""
        offline = self.offline_since is not None
        lives = [(listing.age(), math.inf if offline else _life(listing)) for listing in self._kept.values()]
        return [(age, life) for age, life in lives if age <= life]


@asynccontextmanager
async def open_listings(
    *, room: int = ROOM, fresh: float = FRESH, offline_ok: bool = False
) -> AsyncIterator[ListingCache]:
    """A ListingCache with its nursery; fetches under way are given up at the end."""
    async with trio.open_nursery() as nursery:
        try:
            yield ListingCache(nursery, room=room, fresh=fresh, offline_ok=offline_ok)
        finally:
            nursery.cancel_scope.cancel()
