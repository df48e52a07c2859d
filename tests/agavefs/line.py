"""A bad line to a tenant: a TCP proxy in this loop that passes bytes on, or does what a test has it do instead.

The long line of the benchmarks (`tests/bench/delay.py`) is a process of its own that measures; this one is for trouble.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial

import trio

PIECE = 64 * 1024  # bytes
TICK = 0.05  # seconds
BODY = 3  # bytes of a body that come through before it is cut

UP, DOWN = "up", "down"


@dataclass(frozen=True)
class Trouble:
    """What befalls a direction, UP (requests) or DOWN (answers), or both where `way` is None.

    `cut`: a body ends after some bytes, with everything; by a `reset`, or as if that were all. `hole`: nothing comes
    out until it is over, as of a line that is down for a while: TCP sends again. `lost`: what goes in is never heard of
    again, as where something between has forgotten the connection. `delay`: seconds that each piece is held up.
    `rate`: bytes a second, 20 or more.
    """

    way: str | None = None
    cut: bool = False
    reset: bool = False
    hole: bool = False
    lost: bool = False
    delay: float = 0.0
    rate: float = float("inf")


class BadLine:
    """Where the proxy listens, and what befalls what goes through it now."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.url = ""
        self.trouble = Trouble()
        self.hits = 0  # pieces that trouble has met
        self._news = trio.Event()

    @contextmanager
    def having(self, trouble: Trouble) -> Iterator[None]:
        """So it is in the block, for connections that are there too."""
        self._set(trouble)
        try:
            yield
        finally:
            self._set(Trouble())

    def _set(self, trouble: Trouble) -> None:
        self.trouble, news, self._news = trouble, self._news, trio.Event()
        news.set()

    async def serve(self, near: trio.SocketStream) -> None:
        """One connection."""
        try:
            far = await trio.open_tcp_stream("127.0.0.1", self._port)
        except OSError:
            await near.aclose()
            return
        async with near, far, trio.open_nursery() as nursery:
            over = partial(self._over, near, far, nursery.cancel_scope)
            nursery.start_soon(self._pass, UP, near, far, over)
            nursery.start_soon(self._pass, DOWN, far, near, over)

    @staticmethod
    def _over(near: trio.SocketStream, far: trio.SocketStream, scope: trio.CancelScope, reset: bool) -> None:
        if reset:
            for stream in (near, far):
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        scope.cancel()

    async def _pass(
        self, way: str, source: trio.SocketStream, sink: trio.SocketStream, over: Callable[[bool], None]
    ) -> None:
        try:
            while piece := await source.receive_some(PIECE):
                trouble = self.trouble if self.trouble.way in (way, None) else Trouble()
                if trouble != Trouble():
                    self.hits += 1
                if trouble.lost:
                    continue
                while self.trouble.hole and self.trouble.way in (way, None):
                    await self._news.wait()
                if trouble.cut and (end := piece.find(b"\r\n\r\n")) != len(piece) - 4:
                    # a piece with the end of a head, and more, or a piece of a body
                    await sink.send_all(piece[: end + 4 + BODY] if end >= 0 else piece[:BODY])
                    over(trouble.reset)
                    return
                if trouble.delay:
                    await trio.sleep(trouble.delay)
                while piece and self.trouble.rate < float("inf"):
                    drops, piece = piece[: int(self.trouble.rate * TICK)], piece[int(self.trouble.rate * TICK) :]
                    await sink.send_all(drops)
                    with trio.move_on_after(TICK):
                        await self._news.wait()
                await sink.send_all(piece)
            over(False)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            over(False)


@asynccontextmanager
async def bad_line(url: str) -> AsyncIterator[BadLine]:
    """A line to the tenant at `url`, good at first."""
    line = BadLine(int(url.rpartition(":")[2]))
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, line.serve, 0, host="127.0.0.1"))
        line.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        yield line
        nursery.cancel_scope.cancel()
