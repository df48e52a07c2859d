"""A response as the transport handles it: the head, and the body once it is read."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Final

from agavesh.client.connection import Answer, httpx
from agavesh.client.width import Place

WHOLE: Final = 32 * 1024 * 1024  # bytes of a whole answer: a page of 10,000 lines, with links in each, has 6 MiB


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
        """Read the body, or the first `most` bytes of it and a little, and close.

        httpx.HTTPError if it breaks off, or does not end within what any answer takes, compressed or not.
        """
        pieces: list[bytes] = []
        size = 0
        room = WHOLE if most is None else most
        try:
            unpack = self._unpack() if self.coded else None
            async for came in self.stream:
                piece = came if unpack is None else unpack(came, room - size + 1)
                pieces.append(piece)
                size += len(piece)
                if most is not None and size >= most:
                    break
                if size > room:
                    raise httpx.DecodingError(f"it has more than {WHOLE // 2**20} MiB")
        except zlib.error as reason:
            raise httpx.DecodingError(str(reason)) from reason
        finally:
            self.close()
        self.body = pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _unpack(self) -> Callable[[bytes, int], bytes]:
        """What makes bytes of compressed ones, no more than so many at once: a few KiB may be made to become GiBs."""
        if self.coded not in ("gzip", "x-gzip", "deflate"):
            raise httpx.DecodingError(f"it is compressed by {self.coded}, which was not asked for")
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress

    def close(self) -> None:
        """Let go of the connection. Safe at any time."""
        self.stream.close()
        if self.place is not None:
            self.place.give_back()
