"""All pages of a list. A tenant caps pages without a word, so what arrived counts, not what was asked for.

The offset advances by what arrived. A page is the last when it is empty, or shorter than both its limit and a page
that this tenant has been seen to fill: the cap is no lower than that. A short answer to a large `limit` alone may be
the cap.

No answer says how many there are, so who wants all of a long list guesses (`ahead`): after a full page the next ones
are asked for side by side, at the offsets at which they begin if they are full as well. Where a guess was wrong, it
goes on one by one.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final, Generic, TypeVar

import trio

from agavesh.api.record import Page
from agavesh.client.errors import AgaveError

T = TypeVar("T")
Take = Callable[[list[T], bool], object]

PAGE: Final = 250  # the largest page that a public build gives
AHEAD: Final = 16  # pages that are asked for side by side at most
SOON: Final = 8  # as many at first: beyond, no more than a quarter of what has come, since what is guessed may be waste
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
    ) -> None:
        """Let `take` have each page in its order, and whether it is the last. `key` tells two things apart.

        It returns once no request is under way any more, which may be a moment after the last page was taken. What
        `take` raises ends it.
        """
        run = _Ahead(self, functools.partial(call, limit=limit, **arguments), take, service, key, limit)
        trouble: AgaveError | None = None
        async with trio.open_nursery() as nursery:
            try:
                await run.all(nursery, most)
            except AgaveError as error:
                trouble = error
                nursery.cancel_scope.cancel()
        if trouble is not None:
            raise trouble


class _Pages(AsyncIterator[Page[T]]):
    """A class, not a generator: a reader may stop in the middle and nothing is left to be finalized."""

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
    ) -> None:
        self._seen, self._call, self._take, self._service, self._key = paging.seen, call, take, service, key
        self._limit = limit
        self._under_way: deque[_Asked[T]] = deque()

    async def all(self, nursery: trio.Nursery, most: int) -> None:
        """From the first page to the last."""
        first = self._ask(nursery, 0)
        # as long as no page of this service was seen, nobody knows its cap: the same without the first thing tells at
        # once whether a short page was cut
        without = None if self._service in self._seen or most < 2 else self._ask(nursery, 1)
        page = await first.result()
        self._under_way.clear()
        if self._is_last(page) or (without is not None and await self._is_all(page, without)):
            self._take(page, True)
            return
        self._take(page, False)
        await self._follow(nursery, page, most)

    async def _follow(self, nursery: trio.Nursery, page: list[T], most: int) -> None:
        """What is behind a page that may not be the last."""
        size, offset = len(page), len(page)
        ahead, regular = min(most, 2 if size >= LIKELY else 1), True
        while True:
            while len(self._under_way) < ahead and not any(asked.shorter(size) for asked in self._under_way):
                self._ask(nursery, offset + size * len(self._under_way))
            before, page = page, await self._under_way.popleft().result()
            moved = not {self._key(thing) for thing in before}.isdisjoint(self._key(thing) for thing in page)
            if moved and len(page) == len(before) and [*map(self._key, page)] == [*map(self._key, before)]:
                page = []  # the same page again: this list knows no offset, and has been given out whole
            offset += len(page)
            if not page or (regular and len(page) < size and not moved and await self._nothing_follows()):
                self._take(page, True)
                return
            self._is_last(page)  # a longer one than any before tells of the cap
            self._take(page, False)
            if regular and len(page) == size and not moved:
                ahead = min(max(min(ahead + 1, SOON), offset // size // 4), most)
                continue
            # things came or went meanwhile, or the tenant cuts at odd places: what was guessed is worth nothing, and
            # only silence says that there is no more
            for asked in self._under_way:
                asked.scope.cancel()
            self._under_way.clear()
            size, ahead, regular = len(page), 1, False

    async def _nothing_follows(self) -> bool:
        """Whether a short page was the last: the next one, if it was asked for, is empty, or an error."""
        if not self._under_way:
            return True
        await self._under_way[0].came.wait()
        return not self._under_way[0].page

    def _is_last(self, page: list[T]) -> bool:
        """Whether a page is shorter than both its limit and one that was seen, and so the last."""
        longest = self._seen.get(self._service, 1)
        self._seen[self._service] = max(longest, len(page))
        return len(page) < min(self._limit, longest)

    async def _is_all(self, page: list[T], without: _Asked[T]) -> bool:
        await without.came.wait()
        return without.trouble is None and [*map(self._key, without.page)] == [*map(self._key, page[1:])]

    def _ask(self, nursery: trio.Nursery, offset: int) -> _Asked[T]:
        asked: _Asked[T] = _Asked(offset)
        self._under_way.append(asked)
        nursery.start_soon(self._fetch, asked)
        return asked

    async def _fetch(self, asked: _Asked[T]) -> None:
        with asked.scope:
            try:
                asked.page = await self._call(offset=asked.offset)
            except AgaveError as trouble:
                asked.trouble = trouble
            asked.came.set()
