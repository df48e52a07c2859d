"""Many connections to one place that cost little: those that are idle are a stack, and a request takes the top of it.

httpx's own pool looks at every connection for every request, and for each idle one counts the idle ones again. How many
requests may be under way is not decided here (see `width`), nor is anything known of the platform, tokens or retries.
httpx's names stay: its URLs, its settings for TLS and for proxies, and its exceptions.
"""

from __future__ import annotations

import base64
import ssl
from typing import Any, Final

import h11
import trio

from agavesh.client.connection import PIECE, Answer, Body, Connection, Headers, Message, Wire, httpx

CONNECT: Final = 15.0  # seconds for one connection, TLS included

Stream = Wire | trio.SSLStream[Wire]


class Pool:
    """Connections to the host of `base`, by way of `proxy` if one is given."""

    def __init__(self, base: httpx.URL, context: ssl.SSLContext | None = None, proxy: str | None = None) -> None:
        self._base, self._context, self._proxy = base, context, httpx.Proxy(proxy) if proxy else None
        # the last used is the first to be used again, so that those that are not needed grow old
        self._idle: list[Connection] = []
        self._closed = False

    async def send(self, message: Message, *, patience: float | None = None) -> Answer:
        """Send, and answer with the head; the body streams, with a `patience` of its own.

        Cancelled, it leaves nothing behind but a closed line. httpx.TransportError of the kind that fits.
        """
        connection = self._warm() or await self._connected()
        try:
            head = await connection.ask(message)
        except BaseException:
            connection.close()
            raise
        body = Body(connection, self._take_back, message.patience if patience is None else patience)
        return Answer(head.status_code, Headers(head.headers), body)

    async def warm(self, number: int) -> None:
        """Open connections side by side until so many are idle. Trouble is for who needs one."""

        async def one() -> None:
            try:
                connection = await self._connected()
            except httpx.HTTPError:
                return
            self._keep(connection)

        async with trio.open_nursery() as nursery:
            for _ in range(number - len(self._idle)):
                nursery.start_soon(one)

    def _warm(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable():
                return connection
            connection.close()
        return None

    def _take_back(self, connection: Connection) -> None:
        """A request is over: keep its connection for the next, or close it if it cannot take one."""
        if connection.ready():
            self._keep(connection)
        else:
            connection.close()

    def _keep(self, connection: Connection) -> None:
        if self._closed:
            connection.close()
        else:
            self._idle.append(connection)

    async def aclose(self) -> None:
        """Close every idle connection; those in use follow when their bodies are closed."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()
        await trio.lowlevel.checkpoint()

    # new connections

    async def _connected(self) -> Connection:
        try:
            with trio.fail_after(CONNECT):
                if self._proxy is not None:
                    return await self._through(self._proxy)
                wire = await _opened(self._base)
                return Connection(wire, await self._secured(wire, self._base))
        except trio.TooSlowError as reason:
            raise httpx.ConnectTimeout(f"nothing for {CONNECT:g} s") from reason
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as reason:
            raise httpx.ConnectError(str(reason)) from reason

    async def _through(self, proxy: httpx.Proxy) -> Connection:
        """A connection by way of a proxy: a tunnel for https, else one that asks it for the whole address."""
        if proxy.url.scheme not in ("http", "https"):
            raise httpx.ProxyError(f"{proxy.url.scheme} proxies are not known here")
        url = self._base
        try:
            wire = await _opened(proxy.url)
            stream = await self._secured(wire, proxy.url)
        except (OSError, trio.BrokenResourceError) as reason:
            raise httpx.ProxyError(str(reason)) from reason
        auth = [("Proxy-Authorization", _basic(proxy.raw_auth))] if proxy.raw_auth else []
        if url.scheme == "http":
            return Connection(wire, stream, prefix=f"http://{url.netloc.decode()}", more=auth)
        try:
            await _tunnel(stream, f"{url.raw_host.decode()}:{url.port or 443}", auth)
            return Connection(wire, await self._secured(wire, url, stream))
        except BaseException:
            wire.close()
            raise

    async def _secured(self, wire: Wire, url: httpx.URL, within: Any = None) -> Any:
        """TLS on the wire, or on the stream `within` another on it, if `url` wants that."""
        stream = within or wire
        if url.scheme != "https":
            return stream
        assert self._context is not None, "a connection that is to be secure needs to know whom to trust"
        secure = trio.SSLStream(stream, self._context, server_hostname=url.raw_host.decode(), https_compatible=True)
        try:
            await secure.do_handshake()
        except BaseException:
            wire.close()
            raise
        return secure


async def _opened(url: httpx.URL) -> Wire:
    port = url.port or (443 if url.scheme == "https" else 80)
    return Wire(await trio.open_tcp_stream(url.raw_host.decode(), port))


async def _tunnel(stream: Stream, there: str, auth: list[tuple[str, str]]) -> None:
    """Ask a proxy for a line to `there`."""
    line = h11.Connection(h11.CLIENT)
    try:
        connect = h11.Request(method="CONNECT", target=there, headers=[("Host", there), *auth])
        await stream.send_all(line.send(connect) or b"")
        line.send(h11.EndOfMessage())
        while (head := line.next_event()) is h11.NEED_DATA:
            line.receive_data(bytes(await stream.receive_some(PIECE)))
    except h11.RemoteProtocolError as reason:
        raise httpx.RemoteProtocolError(str(reason)) from reason
    if not isinstance(head, h11.Response) or not 200 <= head.status_code < 300:
        said = head.reason.decode(errors="replace") if isinstance(head, h11.Response) else ""
        raise httpx.ProxyError(f"{getattr(head, 'status_code', 'no answer')} {said}".strip())


def _basic(auth: tuple[bytes, bytes]) -> str:
    return "Basic " + base64.b64encode(b":".join(auth)).decode()
