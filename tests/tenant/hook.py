"""A receiver of notifications: a real HTTP server on loopback. It keeps what it was told and answers as it is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import h11
import msgspec
import trio

PATIENCE = 60  # seconds for anything that a test waits for


@dataclass(frozen=True)
class Told:
    """One request that came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Hook:
    """What a test sees of the receiver. `status` says what it answers to a request; None keeps it silent."""

    def __init__(self) -> None:
        self.url = ""
        self.told: list[Told] = []
        self.at: list[float] = []  # when, by trio's clock
        self.headers: list[tuple[str, str]] = []
        self.status: Callable[[Told], int | None] = lambda told: 200
        self.most = self._now = 0  # requests at the same time
        self._changed = trio.Event()

    async def heard(self, count: int, where: Callable[[Told], bool] = lambda told: True) -> list[Told]:
        """Wait until so many requests came."""
        with trio.fail_after(PATIENCE):
            while len(found := [told for told in self.told if where(told)]) < count:
                await self._changed.wait()
        return found

    async def serve(self, stream: trio.abc.Stream) -> None:
        try:
            await self._serve(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
            pass
        finally:
            await trio.aclose_forcefully(stream)

    async def _serve(self, stream: trio.abc.Stream) -> None:
        connection = h11.Connection(h11.SERVER)
        request: h11.Request | None = None
        body = b""
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await stream.receive_some())
            elif isinstance(event, h11.Request):
                request, body = event, b""
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert request is not None
                headers = {name.decode().lower(): value.decode() for name, value in request.headers}
                told = Told(request.method.decode(), request.target.decode(), headers, body)
                if not await self._answer(told, connection, stream):
                    return
            else:
                return

    async def _answer(self, told: Told, connection: h11.Connection, stream: trio.abc.Stream) -> bool:
        self.told.append(told)
        self.at.append(trio.current_time())
        self._now += 1
        self.most = max(self.most, self._now)
        self._changed.set()
        self._changed = trio.Event()
        try:
            status = self.status(told)
            if status is None:
                await trio.sleep_forever()
            head = h11.Response(status_code=status, headers=[("Content-Length", "4"), *self.headers])
            await stream.send_all(connection.send(head) or b"")
            await stream.send_all(connection.send(h11.Data(data=b"well")) or b"")
            await stream.send_all(connection.send(h11.EndOfMessage()) or b"")
        finally:
            self._now -= 1
        if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
            return False
        connection.start_next_cycle()
        return True


@asynccontextmanager
async def hooked(**tls: Any) -> AsyncIterator[Hook]:
    """A receiver for as long as the block lasts."""
    hook = Hook()
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        hook.url = f"http://127.0.0.1:{port}"
        served: list[Any] = listeners
        if tls:
            served = [trio.SSLListener(listener, tls["context"]) for listener in listeners]
            hook.url = f"https://localhost:{port}"
        nursery.start_soon(trio.serve_listeners, hook.serve, served)
        try:
            yield hook
        finally:
            nursery.cancel_scope.cancel()
