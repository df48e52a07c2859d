"""One connection to the platform: HTTP/1.1 by h11 over a socket, with or without TLS. One request at a time goes on it.

A small file is a few hundred microseconds of Python, so what is done for each request is little: the socket is spoken
to directly (trio is asked only where there is something to wait for), no timer runs where the caller has a deadline,
and what has come already is handed out without waiting. This module knows nothing of other connections.
"""

from __future__ import annotations

import math
import select
import socket
import sys
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import h11
import trio

# httpx imports its command line (click, rich, pygments) where those are installed: 80 ms that nobody here needs
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # None: "not to be had"
import httpx as httpx  # noqa: E402  (after the line above, on purpose; the others import it from here)

PIECE: Final = 64 * 1024  # bytes fed to h11 at a time: larger ones make it slower
LARGE: Final = 256 * 1024  # bytes: a body of so many is read past h11, in pieces of as many
UNSTOPPED: Final = 8  # pieces that are taken in one go where there are always more, before others have their turn
INTERIM: Final = 100  # answers of 1xx before the true one
KEPT: Final = 90.0  # seconds an idle connection is kept; most gateways close theirs earlier, and that is noticed


class Message(NamedTuple):
    """A request as it is sent. `patience` is in seconds without any progress: inf where the caller has a deadline."""

    method: str
    target: str  # quoted path and query
    headers: list[tuple[str, str]]
    body: bytes | AsyncIterable[bytes] | None = None
    patience: float = math.inf


class Headers(Mapping[str, str]):
    """The headers of an answer; names in any case. Of one that is repeated, the values with commas between."""

    def __init__(self, raw: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self._values: dict[str, str] = {}
        for name, value in raw:
            key, text = name.decode("latin-1"), value.decode("latin-1")
            self._values[key] = f"{self._values[key]}, {text}" if key in self._values else text

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def get(self, name: str, default: Any = None) -> Any:
        """As of any mapping, without an error for each of the many that are not there."""
        return self._values.get(name.lower(), default)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Wire(trio.abc.Stream):
    """A connected socket. A send that fits into the kernel's buffer is done at once, without the scheduler.

    `patience`: seconds that one wait may take, TooSlowError after them. A timer for each piece of a large body would be
    a tenth of its CPU, and most pieces are not waited for.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self.socket = socket.socket(fileno=stream.socket.detach())
        self.socket.setblocking(False)
        self.patience = math.inf
        self._unstopped = 0

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """All of `data`. BrokenResourceError if the other side has gone."""
        try:
            if len(data) > PIECE:
                await trio.lowlevel.checkpoint()
            sent = self._sent(data)
            while sent < len(data):
                await self._until(trio.lowlevel.wait_writable)
                sent += self._sent(memoryview(data)[sent:])
        except OSError as reason:
            raise trio.BrokenResourceError(str(reason)) from reason

    def _sent(self, data: bytes | bytearray | memoryview) -> int:
        try:
            return self.socket.send(data)
        except BlockingIOError:
            return 0

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """What has come, as soon as there is something; b"" at the end."""
        most = max_bytes or PIECE
        try:
            if not 0 < self._unstopped < UNSTOPPED:
                await self._until(trio.lowlevel.wait_readable)
            while True:
                try:
                    piece = self.socket.recv(most)
                except BlockingIOError:
                    await self._until(trio.lowlevel.wait_readable)
                    continue
                # after a full piece there is probably another
                self._unstopped = self._unstopped % UNSTOPPED + 1 if len(piece) == most else 0
                return piece
        except OSError as reason:
            raise trio.BrokenResourceError(str(reason)) from reason

    async def _until(self, ready: Callable[[socket.socket], Awaitable[None]]) -> None:
        if self.patience == math.inf:
            await ready(self.socket)
            return
        with trio.CancelScope(relative_deadline=self.patience) as scope:
            await ready(self.socket)
        if scope.cancelled_caught:
            raise trio.TooSlowError

    async def wait_send_all_might_not_block(self) -> None:
        """Until the kernel's buffer has room."""
        await trio.lowlevel.wait_writable(self.socket)

    def close(self) -> None:
        """At once, without a goodbye."""
        if self.socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self.socket)
        self.socket.close()

    async def aclose(self) -> None:
        """As `close`."""
        self.close()
        await trio.lowlevel.checkpoint()


class Connection:
    """An HTTP connection over a `wire`; `stream` is that, or TLS on it."""

    def __init__(
        self,
        wire: Wire,
        stream: Wire | trio.SSLStream[Wire],
        *,
        prefix: str = "",
        more: list[tuple[str, str]] | None = None,
    ) -> None:
        self._wire, self._stream, self._prefix, self._more = wire, stream, prefix, more or []
        self._line = h11.Connection(h11.CLIENT)
        self._poll = select.poll()
        self._poll.register(wire.socket, select.POLLIN)
        self._since = time.monotonic()
        self._past: _Past | None = None

    def patience(self, seconds: float) -> None:
        """How long the other side may be silent from now on."""
        self._wire.patience = seconds

    async def ask(self, message: Message) -> h11.Response:
        """Send a request; the head of its answer. httpx.TransportError of the kind that fits, if there is none."""
        self.patience(message.patience)
        try:
            head = h11.Request(
                method=message.method, target=self._prefix + message.target, headers=[*message.headers, *self._more]
            )
            waiting = self._line.send(head) or b""
            if message.body is None or isinstance(message.body, bytes):
                if message.body:
                    waiting += self._line.send(h11.Data(data=message.body)) or b""
                await self._send(waiting + (self._line.send(h11.EndOfMessage()) or b""))
            else:
                await self._flow(waiting, message.body)
        except h11.LocalProtocolError as reason:
            raise httpx.LocalProtocolError(str(reason)) from reason
        for _ in range(INTERIM + 1):
            event = self._ready_event() or await self._event()
            if isinstance(event, h11.Response):
                self._past = None if message.method == "HEAD" else _past(event, self._line)
                return event
        raise httpx.RemoteProtocolError(f"more than {INTERIM} answers that are none yet")

    async def _flow(self, waiting: bytes, body: AsyncIterable[bytes]) -> None:
        """A body piece by piece; the head goes with the first. An answer may come before the body is through."""
        async for piece in body:
            if not await self._send(waiting + (self._line.send(h11.Data(data=piece)) or b"")):
                return
            waiting = b""
        if waiting := waiting + (self._line.send(h11.EndOfMessage()) or b""):
            await self._send(waiting)

    async def _send(self, data: bytes) -> bool:
        """Whether it could be sent."""
        try:
            await self._stream.send_all(data)
        except trio.TooSlowError as reason:
            raise httpx.WriteTimeout(f"nothing for {self._wire.patience:g} s") from reason
        except trio.BrokenResourceError:
            # refused in the middle, perhaps with a reason: whoever reads next hears it, or that there is none
            self._line.send_failed()
            return False
        except trio.ClosedResourceError as reason:
            raise httpx.WriteError(str(reason)) from reason
        return True

    async def data(self) -> bytes:
        """The next bytes of the body; b"" at its end."""
        if (past := self._past) is not None:
            if not past.come and past.left:
                past.come = await self._received(min(past.left, LARGE))
                past.left -= len(past.come)
                if not past.come:
                    raise httpx.RemoteProtocolError(f"the connection was closed {past.left} bytes before the end")
            come, past.come = past.come, b""
            return come
        while isinstance(event := self._ready_event() or await self._event(), h11.Data):
            if event.data:
                return bytes(event.data)
        return b""

    def _ready_event(self) -> Any:
        """What has come already; None if it has to be waited for."""
        try:
            event = self._line.next_event()
        except h11.RemoteProtocolError as reason:
            raise httpx.RemoteProtocolError(str(reason)) from reason
        return None if event is h11.NEED_DATA else event

    async def _event(self) -> Any:
        while True:
            piece = await self._received(PIECE)
            if not piece and self._line.their_state is h11.SEND_RESPONSE:
                raise httpx.RemoteProtocolError("the connection was closed without an answer")
            self._line.receive_data(piece)
            if (event := self._ready_event()) is not None:
                return event

    async def _received(self, most: int) -> bytes:
        try:
            return bytes(await self._stream.receive_some(most))
        except trio.TooSlowError as reason:
            raise httpx.ReadTimeout(f"nothing for {self._wire.patience:g} s") from reason
        except (trio.BrokenResourceError, trio.ClosedResourceError) as reason:
            raise httpx.ReadError(str(reason)) from reason

    def ready(self) -> bool:
        """Whether the exchange is over on both sides, and another may follow."""
        # h11 says by our state that the other side wants no more requests on this line
        if self._line.our_state is not h11.DONE:
            return False
        if (past := self._past) is not None:
            if past.left or past.come:
                return False
            self._line, self._past = h11.Connection(h11.CLIENT), None
        elif self._line.their_state is not h11.DONE:
            return False
        else:
            self._line.start_next_cycle()
        self._since = time.monotonic()
        return True

    def usable(self) -> bool:
        """Whether an idle connection is fresh, and still open at the other end: that one has nothing to say to us."""
        return time.monotonic() - self._since < KEPT and not self._poll.poll(0)

    def close(self) -> None:
        """At once, without a goodbye."""
        self._wire.close()


class _Past:
    """A body that is read past h11: what has come of it, and how much has not."""

    __slots__ = ("come", "left")

    def __init__(self, come: bytes, left: int) -> None:
        self.come, self.left = come, left


def _past(head: h11.Response, line: h11.Connection) -> _Past | None:
    """A large body of known length needs no library to be read, only to be counted; h11 would copy it three times, a
    quarter of its CPU. Some of it has come with its head, and is in the `line`. None for all other bodies."""
    length = 0
    for name, value in head.headers:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length":
            length = int(value)
    if length < LARGE or head.status_code in (204, 304):
        return None
    come = line.trailing_data[0]
    return _Past(come, length - len(come)) if len(come) <= length else None


class Body(AsyncIterator[bytes]):
    """The bytes of an answer. Closing hands the connection on, and says so; with bytes left it is of no more use.

    A class, not a generator: a reader may stop in the middle and nothing is left to be finalized.
    """

    def __init__(self, connection: Connection, over: Callable[[Connection], None], patience: float) -> None:
        self._connection, self._over = connection, over
        self._open = True
        connection.patience(patience)

    async def __anext__(self) -> bytes:
        if self._open and (piece := await self._connection.data()):
            return piece
        raise StopAsyncIteration

    def close(self) -> None:
        """Safe at any time."""
        if self._open:
            self._open = False
            self._over(self._connection)


class Answer:
    """The head of an answer, and its body as it comes."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Headers, body: Body) -> None:
        self.status, self.headers, self.body = status, headers, body
