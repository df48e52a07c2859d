"""The tenant's connections: HTTP/1.1 by h11 on each of them, and the application called in the connection's own task.

A small answer is a millisecond of Python, so little is done for each request: nothing is spawned, nothing is passed
through channels, one deadline a connection is moved as it goes from idle to busy, and head and body go out together.

All is bounded: a connection in excess takes the place of the one that has been idle longest, or hears 503 where all are
busy; whoever does not finish the head of a request, or does not take an answer, is let go. How long a body may take is
the application's affair. What else than HTTP/1.1 is asked for is not taken up, and a websocket is refused.
"""

from __future__ import annotations

import contextlib
import logging
import math
import socket
import ssl
import time
from functools import partial
from urllib.parse import unquote

import h11
import trio
from starlette.types import ASGIApp, Message, Scope

from agavesh.tenant.bounds import Bounds
from agavesh.tenant.wire import Wire
from agavesh.tenant.words import http_date

log = logging.getLogger(__name__)

PIECE = 256 * 1024  # bytes: who takes less than so many in the time of a pause reads too slowly
AHEAD = 64 * 1024  # bytes of further requests that are taken while one is answered, to see whether its client is there
BACKLOG = 512  # connections that wait to be taken
TURNED_AWAY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

Stream = Wire | trio.SSLStream[Wire]
Address = tuple[str, int]


class Gone(OSError):
    """Nobody is there any more to take the answer, or they do not take it."""


class Connection:
    """One connection from its first byte to its last. `scope` is cancelled to close it, and has its deadlines."""

    def __init__(self, wire: Wire, tls: ssl.SSLContext | None, app: ASGIApp, bounds: Bounds) -> None:
        self._wire, self._app, self._bounds = wire, app, bounds
        self._stream: Stream = wire
        if tls is not None:
            self._stream = trio.SSLStream(wire, tls, server_side=True, https_compatible=True)
        self._line = h11.Connection(h11.SERVER, max_incomplete_event_size=bounds.head)
        self._held = b""  # the head of an answer, until its body begins
        self._bodiless = self._whole = self._last = False
        self.idle_since = trio.current_time()
        self.scope = trio.CancelScope(deadline=self.idle_since + bounds.idle)

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        return self.scope.deadline != math.inf

    async def run(self) -> None:
        """Answer all that is asked, until either side has enough."""
        if isinstance(self._stream, trio.SSLStream):
            self.scope.deadline = trio.current_time() + self._bounds.head_time
            await self._stream.do_handshake()
            self.scope.deadline = trio.current_time() + self._bounds.idle
        client, server = _address(self._wire.socket.getpeername()), _address(self._wire.socket.getsockname())
        while not self._last and (request := await self._request()) is not None:
            if self.scope.cancel_called:
                return  # it came too late: what is begun now would be cut
            self.scope.deadline = math.inf
            await self._answer(request, client, server)
            self.idle_since = trio.current_time()
            self.scope.deadline = self.idle_since + self._bounds.idle
            if self._line.our_state is not h11.DONE or self._line.their_state is not h11.DONE:
                return
            self._line.start_next_cycle()

    def end(self) -> None:
        """Close it, after the answer that is under way."""
        self._last = True
        if self.idle:
            self.scope.cancel()

    async def close(self) -> None:
        """Close it, with a goodbye where there is one."""
        try:
            if isinstance(self._stream, trio.SSLStream):
                with trio.move_on_after(1):
                    await self._stream.aclose()
            else:
                await self._wire.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self._wire.close()

    # requests --------------------------------------------------------------------------------------------------------

    async def _request(self) -> h11.Request | None:
        """The head of the next request; None if there is none, or none that can be read."""
        begun = waited = False
        while True:
            try:
                event = self._line.next_event()
            except h11.RemoteProtocolError as problem:
                await self._refuse(problem.error_status_hint)
                return None
            if isinstance(event, h11.Request):
                if not waited:
                    await trio.lowlevel.checkpoint()  # one of many that came at once: others have their turn, too
                return event
            if event is not h11.NEED_DATA:
                return None
            if not begun and self._line.trailing_data[0]:  # of a head has come what may never go on
                begun, self.scope.deadline = True, trio.current_time() + self._bounds.head_time
            if not (data := await self._stream.receive_some(AHEAD)):
                return None
            self._line.receive_data(bytes(data))
            waited = True

    async def _answer(self, request: h11.Request, client: Address, server: Address) -> None:
        """Have the application answer. What it leaves without an end is cut."""
        headers = list(request.headers)
        named = dict(headers)
        self._whole, self._bodiless = False, request.method == b"HEAD"
        if named.get(b"upgrade", b"").lower() == b"websocket":
            await self._refuse(403)
            return
        raw_path, _, query = request.target.partition(b"?")
        scope: Scope = {
            "type": "http", "asgi": {"spec_version": "2.1", "version": "3.0"}, "root_path": "", "extensions": {},
            "http_version": request.http_version.decode(), "method": request.method.decode("ascii").upper(),
            "scheme": "http" if self._stream is self._wire else "https", "path": unquote(raw_path.decode("ascii")),
            "raw_path": raw_path, "query_string": query, "headers": headers, "client": client, "server": server,
        }  # fmt: skip
        try:
            await self._app(scope, self._receive, self._send)
        except Exception:  # the edge: nothing that the application does may end the others
            log.exception("the application failed")
            await self._refuse(500)
        if not (self._whole or b"content-length" in named or b"transfer-encoding" in named):
            self._line.next_event()  # the end of the body that there is none of, which nobody asked for
        if self._held:  # the body was cut before it began
            await self._out(b"")

    async def _receive(self) -> Message:
        """ASGI: the next piece of the body; after its end, when the client has gone."""
        pieces: list[bytes] = []
        while not self._whole:
            try:
                event = self._line.next_event()
            except h11.RemoteProtocolError as problem:
                await self._refuse(problem.error_status_hint)
                return {"type": "http.disconnect"}
            if isinstance(event, h11.Data):
                pieces.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                self._whole = True
                return {"type": "http.request", "body": b"".join(pieces), "more_body": False}
            elif pieces:  # all that has come
                return {"type": "http.request", "body": b"".join(pieces), "more_body": True}
            elif event is not h11.NEED_DATA:
                return {"type": "http.disconnect"}
            else:
                self._line.receive_data(await self._piece())
        while len(self._line.trailing_data[0]) < AHEAD:
            if not (data := await self._piece()):
                return {"type": "http.disconnect"}
            self._line.receive_data(data)
        await trio.sleep_forever()  # who sends so much ahead is there
        raise AssertionError

    async def _piece(self) -> bytes:
        try:
            if self._line.they_are_waiting_for_100_continue:
                await self._out(self._line.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
            return bytes(await self._stream.receive_some(AHEAD))
        except (Gone, trio.BrokenResourceError, trio.ClosedResourceError):
            return b""

    # answers ---------------------------------------------------------------------------------------------------------

    async def _send(self, message: Message) -> None:
        """ASGI: the head of the answer, which waits for what follows it, or a piece of its body. Gone."""
        try:
            if message["type"] == "http.response.start":
                headers = [*message["headers"], _date()]
                self._bodiless = self._bodiless or message["status"] in (204, 304)
                self._held = self._line.send(h11.Response(status_code=message["status"], headers=headers)) or b""
                return
            body = b"" if self._bodiless else message.get("body", b"")
            data = (self._line.send(h11.Data(data=body)) or b"") if body else b""
            if not message.get("more_body", False):
                data += self._line.send(h11.EndOfMessage()) or b""
        except h11.LocalProtocolError:
            if self._line.their_state is h11.ERROR or self._line.our_state in (h11.ERROR, h11.CLOSED):
                raise Gone from None
            raise
        await self._out(data)

    async def _refuse(self, status: int) -> None:
        """Answer in the application's place, if it has not begun to, and close after it."""
        if self._line.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            close = [(b"content-length", b"0"), (b"connection", b"close"), _date()]
            data = self._line.send(h11.Response(status_code=status, headers=close)) or b""
            with contextlib.suppress(Gone):
                await self._out(data + (self._line.send(h11.EndOfMessage()) or b""))

    async def _out(self, data: bytes) -> None:
        """Send it, after what is held. Gone."""
        if self._held:
            data, self._held = self._held + data, b""
        view = memoryview(data)
        try:
            for at in range(0, len(view), PIECE):
                piece = view[at : at + PIECE]
                if self._stream is self._wire:
                    piece = piece[self._wire.send_at_once(piece) :]
                if piece:
                    with trio.fail_after(self._bounds.pause):
                        await self._stream.send_all(piece)
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError) as problem:
            self._line.send_failed()
            raise Gone(str(problem)) from None
        except BaseException:
            self._line.send_failed()  # a part may have gone out: nothing may follow that would be taken for the rest
            raise


def _address(found: tuple[str, int, int, int] | Address) -> Address:
    return found[0], found[1]


def _date() -> tuple[bytes, bytes]:
    return b"date", http_date(int(time.time())).encode()


class Serving:
    """Answers on all connections until `end` is set; then it takes no more, and has `ended` when the last is answered,
    or `grace` seconds are over."""

    def __init__(
        self, app: ASGIApp, listening: socket.socket, tls: ssl.SSLContext | None, bounds: Bounds, *, grace: float
    ) -> None:
        self._app, self._socket, self._tls, self._bounds, self._grace = app, listening, tls, bounds, grace
        self._open: set[Connection] = set()
        self.end, self.ended = trio.Event(), trio.Event()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        self._socket.listen(BACKLOG)
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(self._socket))
        async with trio.open_nursery() as answering:
            async with trio.open_nursery() as accepting:
                serve = partial(trio.serve_listeners, self._serve, [listener], handler_nursery=answering)
                await accepting.start(serve)
                task_status.started()
                await self.end.wait()
                accepting.cancel_scope.cancel()
            for each in self._open:
                each.end()
            answering.cancel_scope.deadline = trio.current_time() + self._grace
        self.ended.set()

    async def _serve(self, accepted: trio.SocketStream) -> None:
        wire = Wire(accepted)
        if len(self._open) >= self._bounds.connections and not self._make_room():
            await _turn_away(wire, tell=self._tls is None)
            return
        connection = Connection(wire, self._tls, self._app, self._bounds)
        self._open.add(connection)
        try:
            with connection.scope:
                await connection.run()
                await connection.close()
        except* (Gone, trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            log.debug("a connection broke off")
        except* Exception:  # the edge: the trouble of one connection must not end the others
            log.exception("a connection ended by a fault")
        finally:
            self._open.discard(connection)
            wire.close()

    def _make_room(self) -> bool:
        """Close the connection that has been idle longest; False if all are busy."""
        longest = min((each for each in self._open if each.idle), key=lambda each: each.idle_since, default=None)
        if longest is None:
            return False
        longest.scope.cancel()
        self._open.discard(longest)
        return True


async def _turn_away(wire: Wire, *, tell: bool) -> None:
    """Say that there are too many, where that can be said without a handshake."""
    try:
        with trio.move_on_after(1), contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            if tell:
                await wire.send_all(TURNED_AWAY)
                await wire.send_eof()
                while await wire.receive_some(PIECE):  # what it asked is read, or it would not hear
                    pass
    finally:
        wire.close()
