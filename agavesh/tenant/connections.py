"""The tenant's connections: hypercorn speaks HTTP on each of them, behind bounds of our own.

hypercorn itself limits neither how many there are nor how long a client may take to read its answer, and keeps a
connection that its client has closed until the time for idle ones is over. Here one in excess takes the place of the
connection that has been idle longest, or hears 503 where all are busy; whoever does not finish the head of a request,
or does not take an answer, is let go. How long a body may take is the application's affair.
"""

from __future__ import annotations

import contextlib
import logging
import math
import ssl
from collections.abc import Iterator
from functools import partial
from typing import Any, cast

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Event, Updated
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import TrioSingleTask, WorkerContext
from hypercorn.typing import ASGIFramework, TaskGroup
from starlette.types import ASGIApp

from agavesh.tenant.bounds import Bounds
from agavesh.tenant.wire import Wire

log = logging.getLogger(__name__)

PIECE = 256 * 1024  # bytes: who takes less than so many in the time of a pause reads too slowly
TURNED_AWAY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

Stream = Wire | trio.SSLStream[Wire]


class Connection:
    """A stream as hypercorn uses it, with an end to each wait. `scope` is cancelled to close it.

    The application says by `asked` when a request is under way; between two requests the connection is idle. The head
    of an answer that is announced by `hold` goes out with what follows it, or by `flush`.
    """

    def __init__(self, wire: Wire, stream: Stream, bounds: Bounds) -> None:
        self._wire, self._stream, self._bounds = wire, stream, bounds
        self._asked, self._begun = 0, False
        self._hold, self._held = False, b""
        self.idle_since = trio.current_time()
        self.scope = trio.CancelScope(deadline=self.idle_since + bounds.idle)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)  # hypercorn also asks for the socket, and of TLS for the handshake

    @property
    def idle(self) -> bool:
        return not self._asked

    @contextlib.contextmanager
    def asked(self) -> Iterator[None]:
        """A request is under way in the block."""
        self._asked += 1
        self.scope.deadline, self._begun = math.inf, False
        try:
            yield
        finally:
            self._asked -= 1
            if self.idle:
                self.idle_since = trio.current_time()
                self.scope.deadline = self.idle_since + self._bounds.idle

    async def receive_some(self, most: int) -> bytes | bytearray:
        data = await self._stream.receive_some(most)
        if self.idle:
            if not data:
                self.scope.cancel()  # nobody is there any more
            elif not self._begun:  # of a head has come what may never go on
                self._begun, self.scope.deadline = True, trio.current_time() + self._bounds.head_time
        return data

    async def drop(self) -> None:
        """Close it as it is, in the middle of an answer or before one."""
        await trio.aclose_forcefully(self._stream)

    def hold(self) -> None:
        """What is sent next waits for what follows it."""
        self._hold = True

    async def flush(self) -> None:
        """Send what waits. That nobody is there to take it, whoever reads next will notice."""
        if self._held:
            with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self.send_all(b"")

    async def send_all(self, data: bytes) -> None:
        if self._hold:
            self._hold, self._held = False, data
            return
        if self._held:
            data, self._held = self._held + data, b""
        view = memoryview(data)
        for at in range(0, len(view), PIECE):
            piece = view[at : at + PIECE]
            if self._stream is self._wire:
                piece = piece[self._wire.send_at_once(piece) :]
            if piece:
                with trio.move_on_after(self._bounds.pause) as wait:
                    await self._stream.send_all(piece)
                if wait.cancelled_caught:
                    await trio.aclose_forcefully(self._stream)
                    raise trio.BrokenResourceError("the answer was not taken")


class Unhurried(TCPServer):
    """hypercorn's server of one connection without its timer, a task for each request: `Connection` has one."""

    async def protocol_send(self, event: Event) -> None:
        if not isinstance(event, Updated):
            await super().protocol_send(event)

    async def run(self) -> None:
        self.idle_task = NoTask()
        await super().run()


class NoTask(TrioSingleTask):
    """Nothing is to be done."""

    async def restart(self, task_group: TaskGroup, action: Any) -> None:
        pass

    async def stop(self) -> None:
        pass


class Serving:
    """Answers on all connections until `end` is set; then it takes no more, and has `ended` when the last is answered,
    or `grace` seconds are over."""

    def __init__(self, app: ASGIApp, config: Config, bounds: Bounds, *, grace: float) -> None:
        self._app = ASGIWrapper(cast(ASGIFramework, app))
        self._config, self._bounds, self._grace = config, bounds, grace
        self._context = WorkerContext(None)
        self._open: set[Connection] = set()
        self.end, self.ended = trio.Event(), trio.Event()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        listeners, tls = self._listeners(), self._config.create_ssl_context()
        async with trio.open_nursery() as answering:
            async with trio.open_nursery() as accepting:
                accepting.start_soon(
                    partial(trio.serve_listeners, partial(self._answer, tls), listeners, handler_nursery=answering)
                )
                task_status.started()
                await self.end.wait()
                accepting.cancel_scope.cancel()
            await self._context.terminated.set()  # what is under way is the last on its connection
            for each in self._open:
                if each.idle:
                    each.scope.cancel()
            answering.cancel_scope.deadline = trio.current_time() + self._grace
        self.ended.set()

    def _listeners(self) -> list[trio.SocketListener]:
        sockets = self._config.create_sockets()
        found = []
        for each in (*sockets.secure_sockets, *sockets.insecure_sockets):
            each.listen(self._config.backlog)
            found.append(trio.SocketListener(trio.socket.from_stdlib_socket(each)))
        return found

    async def _answer(self, tls: ssl.SSLContext | None, accepted: trio.SocketStream) -> None:
        wire = Wire(accepted)
        stream = wire if tls is None else trio.SSLStream(wire, tls, server_side=True, https_compatible=True)
        if len(self._open) >= self._bounds.connections and not self._make_room():
            await _turn_away(stream)
            return
        connection = Connection(wire, stream, self._bounds)
        self._open.add(connection)
        try:
            with connection.scope:
                state: Any = {"connection": connection}
                like_a_stream: Any = connection
                await Unhurried(self._app, self._config, self._context, state, like_a_stream)
        except* (trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError, OSError):
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


async def _turn_away(stream: Stream) -> None:
    """Say that there are too many, where that can be said without a handshake."""
    with trio.move_on_after(1), contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        if isinstance(stream, Wire):
            await stream.send_all(TURNED_AWAY)
            await stream.send_eof()
            while await stream.receive_some(PIECE):  # what it asked is read, or it would not hear
                pass
    await trio.aclose_forcefully(stream)
