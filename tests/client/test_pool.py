"""Connections: kept, counted, given back, and let go."""

from __future__ import annotations

import gc
import itertools
import math
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from agavesh.client.connection import Message
from agavesh.client.pool import Pool, httpx
from tests.client.wire import certificate, peer

BULK = bytes(range(256)) * 4096  # large enough to be read past h11
SMALL = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Counts connections and requests under way; `said` answers each request."""

    def __init__(self, said: Callable[[], bytes]) -> None:
        self.said, self.url = said, ""
        self.opened = self.under_way = self.most = 0
        self.held: trio.Event | None = None

    async def __call__(self, stream: trio.abc.Stream) -> None:
        self.opened += 1
        async with stream:
            try:
                while (await stream.receive_some(65536)).endswith(b"\r\n\r\n"):
                    self.under_way += 1
                    self.most = max(self.most, self.under_way)
                    if self.held is not None:
                        await self.held.wait()
                    self.under_way -= 1
                    await stream.send_all(self.said())
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return


@asynccontextmanager
async def serving(
    said: Callable[[], bytes] = lambda: SMALL, context: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    server = Server(said)
    async with trio.open_nursery() as nursery:
        if context is None:
            (plain,) = await nursery.start(partial(trio.serve_tcp, server, 0, host="127.0.0.1"))
            server.url = f"http://127.0.0.1:{plain.socket.getsockname()[1]}/"
        else:
            (secure,) = await nursery.start(partial(trio.serve_ssl_over_tcp, server, 0, context, host="127.0.0.1"))
            server.url = f"https://localhost:{secure.transport_listener.socket.getsockname()[1]}/"
        yield server
        nursery.cancel_scope.cancel()


def pool_of(url: str, context: ssl.SSLContext | None = None) -> Any:
    return aclosing(Pool(httpx.URL(url), context))


async def get(pool: Pool, patience: float = math.inf) -> bytes:
    answer = await pool.send(Message("GET", "/", [("Host", "here")], None, patience))
    try:
        return b"".join([piece async for piece in answer.body])
    finally:
        answer.body.close()


async def test_one_connection_serves_many_requests() -> None:
    async with serving() as server, pool_of(server.url) as pool:
        for _ in range(20):
            assert await get(pool) == b"ok"
    assert server.opened == 1


async def test_a_secure_connection_serves_many_requests_too(tmp_path: Path) -> None:
    context, shown = certificate(tmp_path)
    trusted = ssl.create_default_context(cafile=str(shown))
    answers = (SMALL, large(BULK))
    said = itertools.cycle(answers)
    async with serving(lambda: next(said), context) as server, pool_of(server.url, trusted) as pool:
        for number in range(20):
            assert await get(pool) == (b"ok", BULK)[number % 2]
    assert server.opened == 1


def large(body: bytes, length: int = len(BULK), *, version: str = "1.1", more: str = "") -> bytes:
    return f"HTTP/{version} 200 OK\r\nContent-Length: {length}\r\n{more}\r\n".encode() + body


async def test_large_bodies_come_whole_and_leave_the_connection_for_the_next() -> None:
    said = itertools.cycle([large(BULK), SMALL, large(BULK)])
    async with serving(lambda: next(said)) as server, pool_of(server.url) as pool:
        for body in (BULK, b"ok", BULK, BULK, b"ok", BULK):
            assert await get(pool) == body
    assert server.opened == 1


@pytest.mark.parametrize("said", [large(BULK, more="Connection: close\r\n"), large(BULK, version="1.0")])
async def test_after_a_large_body_a_connection_that_is_not_to_be_kept_is_not(said: bytes) -> None:
    async with serving(lambda: said) as server, pool_of(server.url) as pool:
        for _ in range(3):
            assert await get(pool) == BULK
    assert server.opened == 3


async def test_a_large_body_that_is_left_in_the_middle_leaves_no_connection() -> None:
    async with serving(lambda: large(BULK)) as server, pool_of(server.url) as pool:
        for _ in range(3):
            answer = await pool.send(Message("GET", "/", [("Host", "here")], None, math.inf))
            await anext(answer.body)
            answer.body.close()
        assert await get(pool) == BULK
    assert server.opened == 4


@pytest.mark.parametrize("more", [b"", b"x" * 70_000])
async def test_of_more_than_was_announced_nothing_is_taken(more: bytes) -> None:
    async with serving(lambda: large(BULK + more)) as server, pool_of(server.url) as pool:
        assert [await get(pool), await get(pool)] == [BULK, BULK]
    assert server.opened == (2 if more else 1)


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
)
async def test_a_connection_that_is_not_to_be_kept_is_not(said: bytes) -> None:
    async with serving(lambda: said) as server, pool_of(server.url) as pool:
        for _ in range(3):
            assert await get(pool) == b"ok"
    assert server.opened == 3


@pytest.mark.parametrize(
    ("said", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n3\r\nay!\r\n0\r\n\r\n", b"okay!"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + SMALL, b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
async def test_bodies_come_in_their_framings(said: bytes, body: bytes) -> None:
    async with serving(lambda: said) as server, pool_of(server.url) as pool:
        assert [await get(pool), await get(pool)] == [body, body]
    assert server.opened == 1


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"", httpx.RemoteProtocolError),
        (b"SSH-2.0-x\r\n\r\n", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", httpx.RemoteProtocolError),
        (large(BULK[:-1]), httpx.RemoteProtocolError),
        (large(b""), httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, httpx.RemoteProtocolError),
    ],
)
async def test_what_is_cut_or_no_http_is_an_error(said: bytes, error: type[Exception]) -> None:
    async with peer(lambda seen: said) as there, pool_of(there.url) as pool:
        with pytest.raises(error):
            await get(pool)


async def test_a_connection_that_the_other_side_has_closed_is_not_used_again() -> None:
    async with AsyncExitStack() as stack:
        async with serving() as server:
            pool = await stack.enter_async_context(pool_of(server.url))
            await get(pool)
            (idle,) = pool._idle
            assert idle.usable()
        with trio.fail_after(10):
            while idle.usable():  # until the news is here
                await trio.sleep(0.01)


async def test_connections_are_opened_before_they_are_needed_and_then_used() -> None:
    async with serving() as server, pool_of(server.url) as pool:
        await pool.warm(5)
        await pool.warm(5)
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(get, pool)
        with trio.fail_after(10):
            while server.opened < 5:
                await trio.sleep(0.01)
        assert server.opened == 5


async def test_where_nothing_can_be_opened_ahead_nobody_is_troubled() -> None:
    async with serving() as server:
        url = server.url
    async with pool_of(url) as pool:
        await pool.warm(3)
        with pytest.raises(httpx.ConnectError):
            await get(pool)


async def test_silence_times_out() -> None:
    async with serving() as server, pool_of(server.url) as pool:
        server.held = trio.Event()
        with trio.fail_after(10), pytest.raises(httpx.ReadTimeout):
            await get(pool, 0.1)


async def test_a_request_that_is_cancelled_leaves_the_others_alone() -> None:
    async with serving() as server, pool_of(server.url) as pool:
        server.held = trio.Event()
        for _ in range(20):
            with trio.move_on_after(0.001):
                await get(pool)
        server.held.set()
        with trio.fail_after(10):
            assert await get(pool) == b"ok"
    gc.collect()
