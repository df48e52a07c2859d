"""The body of a download, for who waits: a file to read, chunks to go through, or all of it at once.

It has the words of a file and of a `Response` of requests. The answer's head is there when it is made; the bytes come
as they are read. One that is let go unread gives its connection back.
"""

from __future__ import annotations

import functools
import io
import json
import os
import secrets
import weakref
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Self

from agavesh.client.background import Background
from agavesh.client.download import Stream
from agavesh.client.errors import BadAnswer, BadArgument, Unreachable

CHUNK = 256 * 1024  # bytes that are handed over at once


class Body:
    """Bytes of one download, which `stream` has begun in `background`."""

    def __init__(self, stream: Stream, background: Background) -> None:
        self._stream, self._background = stream, background
        self.status, self.headers, self.size = stream.status, stream.headers, stream.size
        self._chunks: AsyncIterator[bytes] | None = None
        self._come = io.BytesIO()  # what came, and is not read yet
        self._ended = False
        self._whole: bytes | None = None
        self._leave = functools.partial(stream.__aexit__, None, None, None)
        self._gone = weakref.finalize(self, background.leave, self._leave)
        self._gone.atexit = False

    # as a Response of requests

    @property
    def status_code(self) -> int:
        """The status, as requests calls it."""
        return self.status

    @property
    def content(self) -> bytes:
        """All of it, however often it is asked for."""
        if self._whole is None:
            if self._chunks is not None:
                raise BadArgument("part of this download has been read already", hint="read() gives the rest")
            self._whole = self.read()
        return self._whole

    @property
    def text(self) -> str:
        """All of it as text; what is not UTF-8 is replaced."""
        return self.content.decode(errors="replace")

    def json(self) -> Any:
        """All of it, decoded from JSON."""
        return json.loads(self.content)

    def iter_content(self, chunk_size: int | None = 1) -> Iterator[bytes]:
        """The bytes, so many at a time; with None as they come."""
        if self._whole is not None:
            self._come = io.BytesIO(self._whole)
        return iter(self) if chunk_size is None else iter(functools.partial(self.read, chunk_size), b"")

    def raise_for_status(self) -> None:
        """Nothing: a download that is refused has raised already."""

    # as a file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection, whatever was read."""
        self._gone()

    def __iter__(self) -> Iterator[bytes]:
        """The bytes as they come, some hundred KiB at a time. BadAnswer, Unreachable or TimedOut if they stop."""
        if came := self._come.read():
            yield came
        while more := self._more():
            yield more

    def read(self, size: int | None = -1) -> bytes:
        """So many bytes, fewer only at the end; all that are left, if no number is given."""
        if size is None or size < 0:
            return self._come.read() + self._rest()
        pieces = []
        while size > 0:
            if not (piece := self._come.read(size)):
                self._come = io.BytesIO(self._more())
                if not (piece := self._come.read(size)):
                    break
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all that is left to a file, which is there when it is whole and not before."""
        target = Path(path)
        beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        try:
            with beside.open("xb") as file:
                for chunk in self:
                    file.write(chunk)
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)

    def _more(self) -> bytes:
        """The next bytes; none at the end."""
        if self._ended:
            return b""
        if not self._gone.alive:
            raise ValueError("this download was closed before its end")
        try:
            more = self._background.call(self._some)
        except BaseException:
            self.close()  # what came before the trouble is lost, and must not be missed unseen
            raise
        if self._ended:
            self.close()
        return more

    def _rest(self) -> bytes:
        if self._chunks is not None or self._ended or not self._gone.alive:
            return b"".join(iter(self._more, b""))
        whole = self._background.call(self._all)
        self._ended = True
        self.close()
        return whole

    # in the background

    async def _some(self) -> bytes:
        if self._chunks is None:
            self._chunks = self._stream.chunks()
        pieces: list[bytes] = []
        size = 0
        async for piece in self._chunks:
            pieces.append(piece)
            size += len(piece)
            if size >= CHUNK:
                break
        else:
            self._ended = True
        return b"".join(pieces)

    async def _all(self) -> bytes:
        try:
            return await self._stream.read()
        except (BadAnswer, Unreachable):
            await self._leave()
            return await self._stream.read()  # not open any more, it asks anew, and again if it must
