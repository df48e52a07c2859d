"""All pages of a list. A tenant caps pages without a word, so what arrived counts, not what was asked for.

The offset advances by what arrived. A page is the last when it is empty, or shorter than both its limit and a page
that this tenant has been seen to fill: the cap is no lower than that. A short answer to a large `limit` alone may be
the cap.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from agavesh.api.record import Page

T = TypeVar("T")

PAGE: Final = 250  # the largest page that a public build gives


class Paging:
    """What is known of one tenant's pages: the longest that each of its services has given."""

    def __init__(self) -> None:
        self.seen: dict[str, int] = {}

    def pages(
        self, call: Callable[..., Awaitable[Page[T]]], *, limit: int | None, offset: int, arguments: Mapping[str, Any]
    ) -> AsyncIterator[Page[T]]:
        """The pages of `call` from `offset` on."""
        return _Pages(self, call, PAGE if limit is None else limit, offset, arguments)


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
