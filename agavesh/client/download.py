"""A download: bytes that stream in as they are read, and are known to be complete when they end.

Made by `agave.files.download(…)` and its like without asking anything yet: the request goes out on entering. A body
that ends before its announced size raises BadAnswer; nobody takes half a file for a whole one.
"""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final

import trio

from agavesh.client.connection import httpx
from agavesh.client.errors import AgaveError, BadAnswer, TimedOut, Unreachable
from agavesh.client.reply import Reply

Start = Callable[[], Awaitable[Reply]]
Explain = Callable[[Exception], AgaveError]

ATTEMPTS: Final = 3  # of read(), when the body is cut


class Stream:
    """The body of one download. `chunks()` once; `read()` asks anew on a cut and needs no `async with`."""

    def __init__(self, what: str, start: Start, explain: Explain, ends: float) -> None:
        self._what, self._start, self._explain = what, start, explain
        self._ends = ends  # trio's time by which all of it must be here; inf where it may take as long as it moves
        self._reply: Reply | None = None

    @property
    def _open(self) -> Reply:
        if self._reply is None:
            raise RuntimeError("a download is open inside `async with` only")
        return self._reply

    @property
    def status(self) -> int:
        """200, or 206 for a range."""
        return self._open.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The answer's headers; names in any case."""
        return self._open.headers

    @property
    def size(self) -> int | None:
        """How many bytes will come; None if the platform does not say."""
        if self._open.coded:
            return None
        text = self._open.headers.get("content-length", "")
        if re.fullmatch(r"[0-9]{1,19}", text):
            return int(text)
        span = self._span
        return span[1] - span[0] + 1 if span is not None else None

    @property
    def start(self) -> int:
        """Where in the file the first byte stands: 0 if the platform ignored the range."""
        span = self._span
        return span[0] if span is not None else 0

    @property
    def _span(self) -> tuple[int, int] | None:
        if self._open.status != 206:
            return None
        found = re.match(r"bytes ([0-9]{1,19})-([0-9]{1,19})/", self._open.headers.get("content-range", ""))
        return (int(found[1]), int(found[2])) if found else None

    async def __aenter__(self) -> Stream:
        self._reply = await self._start()
        return self

    async def __aexit__(self, *failure: object) -> None:
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.close()

    def chunks(self) -> AsyncIterator[bytes]:
        """The bytes as they come, some tens of KiB at a time. BadAnswer, Unreachable or TimedOut if they stop."""
        return _Chunks(self)

    async def read(self) -> bytes:
        """The whole body at once. Asks again if it is cut."""
        if self._reply is not None:
            return b"".join([chunk async for chunk in self.chunks()])
        attempt = 1
        while True:
            async with self:  # asking has its own attempts
                try:
                    return b"".join([chunk async for chunk in self.chunks()])
                except (BadAnswer, Unreachable):
                    if attempt == ATTEMPTS or trio.current_time() >= self._ends:
                        raise
            await trio.sleep(0.1 * 2**attempt)
            attempt += 1


class _Chunks:
    """A class, not a generator: a reader may stop in the middle and nothing is left to be finalized."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._expected = stream.size
        self._got = 0
        reply = stream._open
        if reply.coded:
            raise BadAnswer(f"{stream._what}: the body came compressed ({reply.coded}), which was not asked for")
        self._pieces = reply.stream

    def __aiter__(self) -> _Chunks:
        return self

    async def __anext__(self) -> bytes:
        stream = self._stream
        try:
            if stream._ends == math.inf:
                piece = await self._pieces.__anext__()
            else:
                with trio.fail_at(stream._ends):
                    piece = await self._pieces.__anext__()
        except trio.TooSlowError:
            raise TimedOut(f"{stream._what}: {self._got} bytes came in the time there was", hint="try again") from None
        except StopAsyncIteration:
            if self._expected is not None and self._got != self._expected:
                raise self._cut() from None
            raise
        except httpx.RemoteProtocolError:
            raise self._cut() from None
        except httpx.HTTPError as reason:
            raise stream._explain(reason) from reason
        self._got += len(piece)
        return piece

    def _cut(self) -> BadAnswer:
        of = "" if self._expected is None else f" of {self._expected}"
        return BadAnswer(f"{self._stream._what}: the body was cut after {self._got}{of} bytes", hint="try again")
