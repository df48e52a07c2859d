"""Many connections that cost little: an httpx transport of HTTP/1.1 on h11 and trio.

httpx's own pool looks at every connection for every request, and for each idle one counts the idle ones again; here an
idle connection is the top of a stack. A request costs half the CPU, a downloaded byte a third, and a body that is left
in the middle leaves no async generator behind. This module knows nothing of the platform, of tokens or of retries.
"""

from __future__ import annotations

import base64
import select
import ssl
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, Final

import h11
import trio

# httpx imports its command line (click, rich, pygments) where those are installed: 80 ms that nobody here needs
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
import httpx as httpx  # noqa: E402  (after the line above, on purpose; the others import it from here)

MOST: Final = 64  # requests under way; at 20 ms and more only requests in flight count, and gateways count them too
KEPT: Final = 90.0  # seconds an idle connection is kept; most gateways close theirs earlier, and that is noticed
PIECE: Final = 64 * 1024  # bytes fed to h11 at a time: larger ones make it slower

Stream = trio.SocketStream | trio.SSLStream[Any]


class Pool(httpx.AsyncBaseTransport):
    """At most `MOST` requests under way; the others wait their turn, first come, first served."""

    def __init__(self, context: ssl.SSLContext | None, proxy: str | None = None) -> None:
        self._context, self._proxy = context, httpx.Proxy(proxy) if proxy else None
        self._turn = trio.Semaphore(MOST)
        # the last used is the first to be used again, so that those that are not needed grow old
        self._idle: dict[tuple[bytes, bytes, int | None], list[Connection]] = {}
        self._closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send, and answer with the head; the body streams. Cancelled, it leaves nothing behind but a closed line."""
        await self._turn.acquire()
        connection: Connection | None = None
        try:
            connection = self._warm(request) or await self._connected(request)
            head = await connection.ask(request)
        except BaseException:
            if connection is not None:
                connection.close()
            self._turn.release()
            raise
        return httpx.Response(head.status_code, headers=head.headers.raw_items(), stream=_Body(self, connection))

    def _warm(self, request: httpx.Request) -> Connection | None:
        idle = self._idle.get(_place(request.url), [])
        while idle:
            connection = idle.pop()
            if connection.usable():
                return connection
            connection.close()
        return None

    async def _connected(self, request: httpx.Request) -> Connection:
        url, timeouts = request.url, request.extensions.get("timeout", {})
        with _timely(timeouts.get("connect"), httpx.ConnectTimeout), _translated(httpx.ConnectError):
            if self._proxy is None:
                stream = await _opened(url, self._context)
                return Connection(stream, url)
            return await self._through(self._proxy, url)

    async def _through(self, proxy: httpx.Proxy, url: httpx.URL) -> Connection:
        """A connection by way of a proxy: a tunnel for https, else one that asks it for the whole address."""
        if proxy.url.scheme not in ("http", "https"):
            raise httpx.ProxyError(f"{proxy.url.scheme} proxies are not known here")
        with _translated(httpx.ProxyError):
            stream = await _opened(proxy.url, self._context)
        auth = [(b"Proxy-Authorization", _basic(proxy.raw_auth))] if proxy.raw_auth else []
        if url.scheme == "http":
            return Connection(stream, url, prefix=f"http://{url.netloc.decode()}".encode(), more=auth)
        try:
            there = f"{url.raw_host.decode()}:{url.port or 443}".encode()
            line = h11.Connection(h11.CLIENT)
            connect = h11.Request(method=b"CONNECT", target=there, headers=[(b"Host", there), *auth])
            await stream.send_all(line.send(connect) or b"")
            line.send(h11.EndOfMessage())
            head = await _next_event(line, stream)
            if not isinstance(head, h11.Response) or not 200 <= head.status_code < 300:
                said = head.reason.decode(errors="replace") if isinstance(head, h11.Response) else ""
                raise httpx.ProxyError(f"{getattr(head, 'status_code', 'no answer')} {said}".strip())
            return Connection(await _secured(stream, url, self._context), url)
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise

    def take_back(self, connection: Connection) -> None:
        """A request is over: keep its connection for the next, or close it if it cannot take one."""
        self._turn.release()
        if connection.ready() and not self._closed:
            self._idle.setdefault(_place(connection.url), []).append(connection)
        else:
            connection.close()

    async def aclose(self) -> None:
        """Close every idle connection; those in use follow when their bodies are closed."""
        self._closed = True
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
        self._idle.clear()
        await trio.lowlevel.checkpoint()


class Connection:
    """One line to the platform, on which one request goes at a time."""

    def __init__(
        self, stream: Stream, url: httpx.URL, *, prefix: bytes = b"", more: list[tuple[bytes, bytes]] | None = None
    ) -> None:
        self.url = url
        self._stream, self._prefix, self._more = stream, prefix, more or []
        self._line = h11.Connection(h11.CLIENT)
        self._socket = _socket(stream)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._since = time.monotonic()
        self._read_timeout: float | None = None

    async def ask(self, request: httpx.Request) -> h11.Response:
        """Send a request; the head of its answer. httpx.TransportError of the kind that fits, if there is none."""
        timeouts = request.extensions.get("timeout", {})
        self._read_timeout = timeouts.get("read")
        with _translated(httpx.WriteError):
            head = h11.Request(
                method=request.method, target=self._prefix + request.url.raw_path,
                headers=[*request.headers.raw, *self._more],
            )  # fmt: skip
            await self._send(self._line.send(head) or b"", request.stream, timeouts.get("write"))
        with _translated(httpx.ReadError):
            while True:
                event = await self._event()
                if isinstance(event, h11.Response):
                    return event

    async def _send(self, head: bytes, body: Any, timeout: float | None) -> None:
        """Head and body; the head goes with the first piece. An answer may come before the body is through."""
        if isinstance(body, httpx.ByteStream):
            body = _Whole(body)
        waiting = head
        try:
            async for piece in body:
                with _timely(timeout, httpx.WriteTimeout):
                    await self._stream.send_all(waiting + (self._line.send(h11.Data(data=piece)) or b""))
                waiting = b""
            waiting += self._line.send(h11.EndOfMessage()) or b""
            if waiting:
                with _timely(timeout, httpx.WriteTimeout):
                    await self._stream.send_all(waiting)
        except trio.BrokenResourceError:
            # refused in the middle, perhaps with a reason: whoever reads next hears it, or that there is none
            self._line.send_failed()

    async def data(self) -> bytes:
        """The next bytes of the body; b"" at its end."""
        with _translated(httpx.ReadError):
            while isinstance(event := await self._event(), h11.Data):
                if event.data:
                    return bytes(event.data)
            return b""

    async def _event(self) -> Any:
        while (event := self._line.next_event()) is h11.NEED_DATA:
            with _timely(self._read_timeout, httpx.ReadTimeout):
                piece = await self._stream.receive_some(PIECE)
            if not piece and self._line.their_state is h11.SEND_RESPONSE:
                raise httpx.RemoteProtocolError("the connection was closed without an answer")
            self._line.receive_data(bytes(piece))
        return event

    def ready(self) -> bool:
        """Whether the exchange is over on both sides, and another may follow."""
        if self._line.our_state is not h11.DONE or self._line.their_state is not h11.DONE:
            return False
        self._line.start_next_cycle()
        self._since = time.monotonic()
        return True

    def usable(self) -> bool:
        """Whether an idle connection is fresh, and still open at the other end: that one has nothing to say to us."""
        return time.monotonic() - self._since < KEPT and not self._poll.poll(0)

    def close(self) -> None:
        """At once, without a goodbye."""
        self._socket.close()


class _Body(httpx.AsyncByteStream):
    """A response's bytes. Closing gives the connection back, or ends it if there were bytes left."""

    def __init__(self, pool: Pool, connection: Connection) -> None:
        self._pool, self._connection = pool, connection
        self._open = True

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._open and (piece := await self._connection.data()):
            return piece
        raise StopAsyncIteration

    async def aclose(self) -> None:
        if self._open:
            self._open = False
            self._pool.take_back(self._connection)


class _Whole:
    """A body in memory. httpx's own way to iterate it is an async generator, which a cancelled send would leave."""

    def __init__(self, body: httpx.ByteStream) -> None:
        self._pieces = iter(body)

    def __aiter__(self) -> _Whole:
        return self

    async def __anext__(self) -> bytes:
        for piece in self._pieces:
            if piece:
                return piece
        raise StopAsyncIteration


async def _opened(url: httpx.URL, context: ssl.SSLContext | None) -> Stream:
    port = url.port or (443 if url.scheme == "https" else 80)
    stream = await trio.open_tcp_stream(url.raw_host.decode(), port)
    return await _secured(stream, url, context) if url.scheme == "https" else stream


async def _secured(stream: Stream, url: httpx.URL, context: ssl.SSLContext | None) -> Stream:
    assert context is not None, "a connection that is to be secure needs to know whom to trust"
    secure = trio.SSLStream(stream, context, server_hostname=url.raw_host.decode(), https_compatible=True)
    try:
        await secure.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return secure


async def _next_event(line: h11.Connection, stream: Stream) -> Any:
    while (event := line.next_event()) is h11.NEED_DATA:
        line.receive_data(bytes(await stream.receive_some(PIECE)))
    return event


def _socket(stream: Any) -> Any:
    """The socket under layers of TLS."""
    while not isinstance(stream, trio.SocketStream):
        stream = stream.transport_stream
    return stream.socket


def _place(url: httpx.URL) -> tuple[bytes, bytes, int | None]:
    return url.raw_scheme, url.raw_host, url.port


def _basic(auth: tuple[bytes, bytes]) -> bytes:
    return b"Basic " + base64.b64encode(b":".join(auth))


@contextmanager
def _timely(seconds: float | None, late: type[httpx.TimeoutException]) -> Iterator[None]:
    if seconds is None:
        yield
        return
    try:
        with trio.fail_after(seconds):
            yield
    except trio.TooSlowError as reason:
        raise late(f"nothing for {seconds:g} s") from reason


@contextmanager
def _translated(broken: type[httpx.TransportError]) -> Iterator[None]:
    """The libraries' exceptions as httpx tells them."""
    try:
        yield
    except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as reason:
        raise broken(str(reason)) from reason
    except h11.RemoteProtocolError as reason:
        raise httpx.RemoteProtocolError(str(reason)) from reason
    except h11.LocalProtocolError as reason:
        raise httpx.LocalProtocolError(str(reason)) from reason
