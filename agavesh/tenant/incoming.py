"""A request's body on its way in, from a client that may be slow, or never end.

It is read to its end before an answer goes out, wanted or not: a client that still sends does not hear. There are two
ends to that. Who sends too slowly is refused with 408, and of a body that nobody wants so much is read and no more; the
connection is closed after the answer.
"""

from __future__ import annotations

from typing import cast

import trio
from starlette.types import Message, Receive, Scope

from agavesh.tenant.bounds import Bounds
from agavesh.tenant.refusal import Refusal


class Incoming:
    """The body of one request. `given_up` says that its end was not waited for."""

    def __init__(self, scope: Scope, receive: Receive, bounds: Bounds) -> None:
        names = {name for name, _ in cast("list[tuple[bytes, bytes]]", scope["headers"])}
        self._receive, self._bounds = receive, bounds
        self._more = b"content-length" in names or b"transfer-encoding" in names
        self._size, self._waited = 0, 0.0
        self.given_up = False

    async def receive(self) -> Message:
        """The next message. Refusal 408 if it does not come in time; after the body there is no hurry."""
        if not self._more:
            return await self._receive()
        began = trio.current_time()
        patience = self._bounds.pause + self._size / self._bounds.slowest - self._waited
        with trio.move_on_after(max(min(patience, self._bounds.pause), 0)):
            message = await self._receive()
            self._waited += trio.current_time() - began
            self._size += len(message.get("body", b""))
            self._more = message["type"] == "http.request" and bool(message.get("more_body"))
            return message
        self._give_up()
        raise Refusal(408, "The request's body came too slowly")

    async def drain(self) -> None:
        """Read what is left. Refusal 408 as from `receive`."""
        most = self._size + self._bounds.unwanted
        while self._more:
            await self.receive()
            if self._size > most:
                self._give_up()

    def _give_up(self) -> None:
        self._more, self.given_up = False, True
