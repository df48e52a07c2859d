"""Many connections that cost little: an httpx transport that spreads requests over several small pools.

httpx's own pool looks at every connection for every request, and for each idle one counts the idle ones again: with 64
connections it manages 165 requests a second where eight pools of eight manage 1,100. This module knows nothing of the
platform, of tokens or of retries.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Final

import trio

# httpx imports its command line (click, rich, pygments) where those are installed: 80 ms that nobody here needs
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
import httpx as httpx  # noqa: E402  (after the line above, on purpose; the others import it from here)

POOLS: Final = 8
EACH: Final = 8  # connections a pool
KEPT: Final = 90.0  # seconds an idle connection is kept; most gateways close theirs earlier, and that is noticed


class Pool(httpx.AsyncBaseTransport):
    """At most `POOLS * EACH` requests under way; the others wait their turn, first come, first served."""

    def __init__(self, context: ssl.SSLContext, proxy: str | None = None) -> None:
        self._make: Callable[[], httpx.AsyncHTTPTransport] = lambda: httpx.AsyncHTTPTransport(
            verify=context,
            proxy=proxy,
            trust_env=False,
            limits=httpx.Limits(max_connections=EACH, max_keepalive_connections=EACH, keepalive_expiry=KEPT),
        )
        self._pools: list[_Small] = []
        self._turn = trio.Semaphore(POOLS * EACH)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send on the least busy pool; among equals on the first, whose connections are warm."""
        await self._turn.acquire()
        pool = self._least_busy()
        pool.busy += 1
        try:
            response = await pool.transport.handle_async_request(request)
        except BaseException:
            self._done(pool)
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Body(response.stream, lambda: self._done(pool))
        return response

    def _least_busy(self) -> _Small:
        best = min(self._pools, key=lambda pool: pool.busy, default=None)
        if best is None or (best.busy and len(self._pools) < POOLS):
            best = _Small(self._make())
            self._pools.append(best)
        return best

    def _done(self, pool: _Small) -> None:
        pool.busy -= 1
        self._turn.release()

    async def aclose(self) -> None:
        """Close every connection."""
        with trio.CancelScope(shield=True):
            for pool in self._pools:
                await pool.transport.aclose()
        self._pools.clear()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.aclose()


class _Small:
    """One of httpx's own transports, and how many requests are under way in it."""

    def __init__(self, transport: httpx.AsyncHTTPTransport) -> None:
        self.transport, self.busy = transport, 0


class _Body(httpx.AsyncByteStream):
    """A response's bytes. Closing gives the connection back, or ends it if there were bytes left."""

    def __init__(self, inner: httpx.AsyncByteStream, done: Callable[[], None]) -> None:
        self._inner, self._done, self._closed = inner, done, False
        self._pieces = aiter(inner)
        self._begun = self._ended = False

    def __aiter__(self) -> _Body:
        return self

    async def __anext__(self) -> bytes:
        self._begun = True
        try:
            return await anext(self._pieces)
        except BaseException:
            self._ended = True
            raise

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            if self._begun and not self._ended:
                await self._abandon()
            with trio.CancelScope(shield=True):
                await self._inner.aclose()
        finally:
            self._done()

    async def _abandon(self) -> None:
        """End the library's nested async generators in order, by a cancelled read: left alone, they would be
        finalized by the garbage collector, one by one and with a warning each."""
        with trio.CancelScope(shield=True) as scope:
            scope.cancel()
            with suppress(httpx.HTTPError):
                async for _ in self._pieces:
                    pass
