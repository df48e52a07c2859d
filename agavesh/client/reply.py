"""A response as the transport handles it: the head, and the body once it is read."""

from __future__ import annotations

from collections.abc import Mapping

from agavesh.client.connection import Answer, httpx
from agavesh.client.width import Place


class Reply:
    """One answer. `body` is empty until `read`; `close` gives connection and place back, whatever was read.

    `attempt` is how often it was asked for: behind the first, what is told may be our own doing.
    """

    __slots__ = ("attempt", "body", "headers", "place", "request_id", "status", "stream")

    def __init__(self, answer: Answer, request_id: str, place: Place | None = None) -> None:
        self.status, self.request_id, self.place = answer.status, request_id, place
        self.headers: Mapping[str, str] = answer.headers
        self.attempt = 1
        self.body = b""
        self.stream = answer.body

    @property
    def coded(self) -> str:
        """How the body is compressed; "" if it is not."""
        coding = self.headers.get("content-encoding", "").strip().lower()
        return "" if coding == "identity" else coding

    async def read(self, most: int | None = None) -> None:
        """Read the body, or the first `most` bytes of it and a little, and close. httpx.HTTPError if it breaks off."""
        pieces: list[bytes] = []
        size = 0
        try:
            async for piece in self.stream:
                pieces.append(piece)
                size += len(piece)
                if most is not None and size >= most:
                    break
        finally:
            self.close()
        self.body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if self.coded:
            self.body = httpx.Response(self.status, headers={"Content-Encoding": self.coded}, content=self.body).content

    def close(self) -> None:
        """Let go of the connection. Safe at any time."""
        self.stream.close()
        if self.place is not None:
            self.place.give_back()
