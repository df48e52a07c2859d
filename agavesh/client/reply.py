"""A response as the transport handles it: the head, and the body once it is read."""

from __future__ import annotations

from collections.abc import Mapping

from agavesh.client.pool import httpx


class Reply:
    """One answer. `body` is empty until `read`; `close` gives the connection back, whatever was read."""

    def __init__(self, response: httpx.Response, request_id: str) -> None:
        self.status, self.request_id = response.status_code, request_id
        self.headers: Mapping[str, str] = response.headers
        self.body = b""
        assert isinstance(response.stream, httpx.AsyncByteStream)
        self.stream = response.stream

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
            await self.stream.aclose()
        self.body = b"".join(pieces)
        if self.coded:
            self.body = httpx.Response(self.status, headers={"Content-Encoding": self.coded}, content=self.body).content

    async def close(self) -> None:
        """Let go of the connection. Safe at any time."""
        await self.stream.aclose()
