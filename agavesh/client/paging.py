"""All pages of a list. A tenant caps pages without a word, so what arrived counts, not what was asked for.

The offset advances by what arrived. A page is the last when it is empty, or shorter than both its limit and a page
that this tenant has been seen to fill: the cap is no lower than that. A short answer to a large `limit` alone may be
the cap.

No answer says how many there are, so who wants all of a long list guesses (`ahead`): after a full page the next ones
are asked for side by side, at the offsets at which they begin if they are full as well; as many as there probably are,
where a first page tells something of that. Offsets shift when something is
deleted meanwhile, and what lies at the border would be passed over: so each page begins with the last thing of the one
before. Where it does not, or a guess was wrong, it goes back to what was taken, and on one by one.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final, Generic, TypeVar

import trio

from agavesh.api.record import Page
from agavesh.client.errors import AgaveError, BadAnswer

T = TypeVar("T")
Take = Callable[[list[T], bool], object]

PAGE: Final = 250  # the largest page that a public build gives
AHEAD: Final = 16  # pages that are asked for side by side at most
SOON: Final = 8  # as many at first: beyond, no more than a quarter of what has come, since what is guessed may be waste
_RECENT: Final = 16  # pages that are remembered, to find the place again in a list that has moved
_WIDER: Final = 4  # times as many things are asked for once more in each page of a list that moves
LONGEST: Final = 2_000_000  # things that one list may have: with all of them a mount has 1 GiB
_STALE: Final = 4 * _RECENT  # pages in a row without anything new, after which a list is one that has no end
LIKELY: Final = 100  # things in a page that may well be a cut one: no build is known that gives fewer


class Paging:
    """What is known of one tenant's pages: the longest that each of its services has given."""

    def __init__(self) -> None:
        self.seen: dict[str, int] = {}

    def pages(
        self, call: Callable[..., Awaitable[Page[T]]], *, limit: int | None, offset: int, arguments: Mapping[str, Any]
    ) -> AsyncIterator[Page[T]]:
        """The pages of `call` from `offset` on."""
        return _Pages(self, call, PAGE if limit is None else limit, offset, arguments)

    async def ahead(
        self,
        call: Callable[..., Awaitable[list[T]]],
        take: Take[T],
        *,
        service: str,
        key: Callable[[T], object],
        limit: int,
        arguments: Mapping[str, Any],
        most: int = AHEAD,
        first: list[T] | None = None,
        likely: Callable[[list[T]], int] = len,
    ) -> None:
        """Let `take` have each page in its order, and whether it is the last. `key` tells two apart, and `likely`
        by a first page that may be cut how many there may be: so many are asked for side by side.

        It returns once no request is under way any more, which may be a moment after the last page was taken. What
        `take` raises ends it. A `first` page that came earlier, of PAGE at most, is not asked for again, nor taken.
        """
        limit = limit if first is None else PAGE  # what follows is to be of its size
        run = _Ahead(self, functools.partial(call, limit=limit, **arguments), take, service, key, limit, likely)
        if first is not None and run.ends_with(first):
            return
        if first is None and (service in self.seen or most < 2) and (first := await run.begin()) is None:
            return  # most lists are one page, and a nursery would be a good part of what one costs
        trouble: AgaveError | None = None
        async with trio.open_nursery() as nursery:
            try:
                await (run.all(nursery, most) if first is None else run.behind(nursery, most, first))
            except AgaveError as error:
                trouble = error
                nursery.cancel_scope.cancel()
        if trouble is not None:
            raise trouble

    def is_all(self, service: str, count: int, limit: int) -> bool:
        """Whether a first page of `count` things, of which `limit` were asked for, is known to be all there is."""
        longest = self.seen.get(service, 1)
        self.seen[service] = max(longest, count)
        return count < min(limit, longest)


class _Pages(AsyncIterator[Page[T]]):
    """A class, not a generator: a reader may stop in the middle and nothing is left to be finalized.

    Pages are given out as they came, bytes and all, so they do not overlap: what is deleted between two of them shifts
    the others. Who must miss nothing of a long list reads it `ahead`, as folders are.
    """

    def __init__(
        self,
        paging: Paging,
        call: Callable[..., Awaitable[Page[T]]],
        limit: int,
        offset: int,
        arguments: Mapping[str, Any],
    ) -> None:
        self._paging, self._call, self._arguments = paging, call, arguments
        self._limit, self._offset = limit, offset
        self._end = offset + LONGEST
        self._done = False
        self._before = b""  # the page before
        operation = getattr(call, "operation", None)  # services differ in their caps: each is known for itself
        self._service = operation.service if operation is not None else repr(call)
        # wire: a few lists, such as a user's OAuth clients, come whole
        self._whole = operation is not None and "offset" not in operation.params

    async def __anext__(self) -> Page[T]:
        if self._done:
            raise StopAsyncIteration
        if self._whole:
            self._done = True
            if page := await self._call(**self._arguments):
                return page
            raise StopAsyncIteration
        page = await self._call(limit=self._limit, offset=self._offset, **self._arguments)
        seen = self._paging.seen
        self._done = len(page) < min(self._limit, seen.get(self._service, 1))
        if not page or (self._offset and page.json == self._before):
            # the same page again: this list knows no offset, and has been given out whole
            self._done = True
            raise StopAsyncIteration
        if self._offset >= self._end:
            raise endless(self._service)
        self._before = page.json
        seen[self._service] = max(seen.get(self._service, 1), len(page))
        self._offset += len(page)
        return page


class _Asked(Generic[T]):
    """One page that was asked for: what came, once it `came`."""

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.came = trio.Event()
        self.scope = trio.CancelScope()
        self.page: list[T] = []
        self.trouble: AgaveError | None = None

    def shorter(self, size: int) -> bool:
        """Whether the end is in sight."""
        return self.came.is_set() and len(self.page) < size

    async def result(self) -> list[T]:
        await self.came.wait()
        if self.trouble is not None:
            raise self.trouble
        return self.page


class _Ahead(Generic[T]):
    """One list, read with several requests under way."""

    def __init__(
        self,
        paging: Paging,
        call: Callable[..., Awaitable[list[T]]],
        take: Take[T],
        service: str,
        key: Callable[[T], object],
        limit: int,
        likely: Callable[[list[T]], int],
    ) -> None:
        self._paging, self._seen = paging, paging.seen
        self._call, self._take, self._service, self._key = call, take, service, key
        self._limit, self._likely = limit, likely
        self._recent: deque[set[object]] = deque(maxlen=_RECENT)  # what was taken of late, by pages
        self._first: object = None  # the first thing of all, as a folder itself is in its listing
        self._last: object = None  # the last thing that was taken
        self._count = 0  # of what was taken

    async def begin(self) -> list[T] | None:
        """Take the first page: the caller goes on behind it, if it is not all there is."""
        page = await self._call(offset=0)
        if self._is_last(page):
            self._take(page, True)
            return None
        self._begun(page)
        return page

    async def all(self, nursery: trio.Nursery, most: int) -> None:
        """From the first page to the last, while nobody knows the cap of this service: the same without the first thing
        tells at once whether a short page was cut."""
        first, without = self._ask(nursery, 0), self._ask(nursery, 1)
        page = await first.result()
        if self._is_last(page) or await self._is_all(page, without):
            self._take(page, True)
            return
        self._begun(page)
        await self.behind(nursery, most, page)

    def ends_with(self, page: list[T]) -> bool:
        """Go on behind a first page that was taken elsewhere; whether there is nothing."""
        if self._is_last(page):
            self._take([], True)
            return True
        if page:
            keys = [*map(self._key, page)]
            self._first, self._last = keys[0], keys[-1]
            self._recent.append({*keys})
        return False

    def _begun(self, page: list[T]) -> None:
        if page:
            self._first = self._key(page[0])
        self._taken(page, page)

    async def behind(self, nursery: trio.Nursery, most: int, page: list[T]) -> None:
        """All behind a first page."""
        end = await self._side_by_side(nursery, page, most)
        if end is not None:
            await self._one_by_one(nursery, end)

    async def _side_by_side(self, nursery: trio.Nursery, page: list[T], most: int) -> int | None:
        """What is behind a first page of many. None if that was all, else where one by one has to go on."""
        size, end = len(page), len(page)
        likely = self._likely(page) if size >= LIKELY else 0
        ahead = min(most, max(2 if size >= LIKELY else 1, (likely - end) // size))
        under_way: deque[_Asked[T]] = deque()
        while size > 1:
            while len(under_way) < ahead and not any(asked.shorter(size) for asked in under_way):
                under_way.append(self._ask(nursery, end - 1 + (size - 1) * len(under_way)))
            asked = under_way.popleft()
            page = await asked.result()
            if not page or self._key(page[0]) != self._last:
                break
            end = asked.offset + len(page)
            if len(page) < size and await self._nothing_follows(nursery, page, end, under_way):
                self._take(page[1:], True)
                return None
            self._is_last(page)  # a longer one than any before tells of the cap
            self._taken(page, page[1:])
            if len(page) != size:
                break
            ahead = min(max(min(ahead + 1, SOON), end // size // 4, (likely - end) // size), most)
        # things came or went meanwhile, or the tenant cuts at odd places: what was guessed is worth nothing
        for asked in under_way:
            asked.scope.cancel()
        return end

    async def _one_by_one(self, nursery: trio.Nursery, end: int) -> None:
        """What is behind `end`, joined to what was taken, however the list moves meanwhile.

        Only silence says that there is no more, or the same page for another offset: this list knows none.
        """
        overlap, silence, stale = 1, False, 0
        before: tuple[int, list[object]] = (-1, [])
        while True:
            back = 0 if silence else min(overlap, self._seen[self._service] // 2, end)
            start = end - back
            page = await self._ask(nursery, start).result()
            keys = [*map(self._key, page)]
            if (not page and not back) or (start != before[0] and keys and keys == before[1]):
                self._take([], True)
                return
            before = (start, keys)
            if back and self._joint(page) is None:
                overlap *= _WIDER
                start, page = await self._back(nursery, start)
            joint = self._joint(page)
            silence = joint == len(page) - 1 and len(page) <= back
            end = start + len(page)
            self._is_last(page)
            new = page if joint is None else page[joint + 1 :]
            stale = 0 if new else stale + 1
            if stale > _STALE:
                raise endless(self._service)
            self._taken(page, new)
            if not page:
                self._take([], True)
                return

    async def _back(self, nursery: trio.Nursery, start: int) -> tuple[int, list[T]]:
        """Where before `start` the list has something that was taken, and the page from there; at worst all of it."""
        step = max(1, self._seen[self._service] // 2)
        while True:
            start = max(0, start - step)
            page = await self._ask(nursery, start).result()
            if not start or self._joint(page) is not None:
                return start, page
            step *= 2

    def _joint(self, page: list[T]) -> int | None:
        """Where in a page the last thing is that was taken already: what is behind it is new. None if there is none."""
        for at in range(len(page) - 1, -1, -1):
            key = self._key(page[at])
            if key == self._first or any(key in keys for keys in self._recent):
                return at
        return None

    def _taken(self, page: list[T], new: list[T]) -> None:
        """Hand on what of a page is new, and it is not the last."""
        if page:
            self._last = self._key(page[-1])
        if new:
            self._count += len(new)
            if self._count > LONGEST:
                raise endless(self._service)
            self._recent.append({self._key(thing) for thing in new})
            self._take(new, False)

    async def _nothing_follows(
        self, nursery: trio.Nursery, page: list[T], end: int, under_way: deque[_Asked[T]]
    ) -> bool:
        """Whether a short page was the last: the next one, if it was asked for, is empty.

        A guess that failed tells nothing, for it may have been one past the end; what begins with the end does.
        """
        if not under_way:
            return True
        await under_way[0].came.wait()
        if under_way[0].trouble is None:
            return not under_way[0].page
        again = await self._ask(nursery, end - 1).result()
        return [*map(self._key, again)] == [self._key(page[-1])]

    def _is_last(self, page: list[T]) -> bool:
        """Whether a page is shorter than both its limit and one that was seen, and so the last."""
        return self._paging.is_all(self._service, len(page), self._limit)

    async def _is_all(self, page: list[T], without: _Asked[T]) -> bool:
        await without.came.wait()
        return without.trouble is None and [*map(self._key, without.page)] == [*map(self._key, page[1:])]

    def _ask(self, nursery: trio.Nursery, offset: int) -> _Asked[T]:
        asked: _Asked[T] = _Asked(offset)
        nursery.start_soon(self._fetch, asked)
        return asked

    async def _fetch(self, asked: _Asked[T]) -> None:
        with asked.scope:
            try:
                asked.page = await self._call(offset=asked.offset)
            except AgaveError as trouble:
                asked.trouble = trouble
            asked.came.set()


def endless(service: str) -> BadAnswer:
    """The error for a list of a service that goes on and on."""
    return BadAnswer(f"a list of {service} does not end", hint="the platform tells of the same again, or makes it up")
