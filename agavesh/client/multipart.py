"""Uploads: a multipart body that streams from a path, an open file, bytes or an async iterator, in constant memory.

The parts are the form's fields and then the file, as `requests_toolbelt` writes it for AgavePy: content type
text/plain, its name as browsers quote it. Where the size is known the body has a length, else it goes in chunks.
"""

from __future__ import annotations

import io
import os
import re
import secrets
import stat
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import trio

from agavesh.client.errors import BadArgument, Changed

CHUNK: Final = 256 * 1024  # bytes; a slow line must move one within the time that counts as no progress


class Source(Protocol):
    """Where the bytes come from. `size` is None when nobody knows; `again` says whether they can be read twice."""

    name: str
    size: int | None
    again: bool

    async def open(self) -> None: ...
    async def read(self) -> bytes: ...
    async def close(self) -> None: ...


class Upload:
    """One multipart body. Iterate it as often as `again` allows; `started` once its bytes have begun to go."""

    def __init__(self, source: Source, head: bytes, tail: bytes, boundary: str) -> None:
        self.source, self._head, self._tail = source, head, tail
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self.size = None if source.size is None else len(head) + source.size + len(tail)
        self.started = False
        self.trouble: Exception | None = None

    @property
    def again(self) -> bool:
        """Whether the body can be sent (once more)."""
        return self.source.again or not self.started

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Pieces(self, self._head, self._tail)

    async def close(self) -> None:
        """Let go of what is open. Safe at any time."""
        with trio.CancelScope(shield=True):
            await self.source.close()


class _Pieces:
    """The pieces of one pass over an Upload. A class: an async generator would wait for the garbage collector."""

    def __init__(self, upload: Upload, head: bytes, tail: bytes) -> None:
        self._upload, self._head, self._tail = upload, head, tail
        self._step = 0
        self._left = upload.source.size

    def __aiter__(self) -> _Pieces:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self._next()
        except StopAsyncIteration:
            raise
        except Exception as trouble:
            # whoever sends takes it for trouble on the line; the transport raises it as it was
            self._upload.trouble = trouble
            raise

    async def _next(self) -> bytes:
        source = self._upload.source
        if self._step == 0:
            self._upload.started = True
            await source.open()
            self._step = 1
            return self._head
        if self._step == 1:
            piece = await source.read()
            if piece and self._left is not None:
                self._left -= len(piece)
                if self._left < 0:
                    raise Changed(f"{source.name} grew while it was sent", hint="send it again when it is at rest")
            if piece:
                return piece
            if self._left:
                raise Changed(f"{source.name} shrank while it was sent", hint="send it again when it is at rest")
            self._step = 2
            await source.close()
            return self._tail
        raise StopAsyncIteration


def open_upload(field: str, value: Any, fields: Mapping[str, str]) -> Upload:
    """An Upload of `value` as the part `field`, after `fields`. BadArgument if there is no name or nothing to read."""
    source = _source(value, fields.get("fileName"))
    boundary = secrets.token_hex(16)
    out = dict(fields)
    if _AMBIGUOUS.search(source.name):
        # the part's header cannot say such a name for sure; a field of its own can
        out.setdefault("fileName", source.name)
    head = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"\r\n\r\n{text}\r\n'
        for name, text in out.items()
    )
    head += (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{_quoted(source.name)}"\r\n'
        "Content-Type: text/plain\r\n\r\n"
    )
    return Upload(source, os.fsencode(head), f"\r\n--{boundary}--\r\n".encode(), boundary)


_AMBIGUOUS = re.compile(r'["\r\n]|%(?:22|0[AaDd])')


def _quoted(text: str) -> str:
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _source(value: Any, name: str | None) -> Source:
    if isinstance(value, (str, os.PathLike)):
        return _PathSource(Path(os.fspath(value)))
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _FileSource(io.BytesIO(value), _needed(name))
    if hasattr(value, "read"):
        own = getattr(value, "name", None)
        found = Path(own).name if isinstance(own, str) else ""
        return _FileSource(value, found or _needed(name))
    if isinstance(value, AsyncIterable):
        return _StreamSource(value, _needed(name))
    raise BadArgument(
        f"{type(value).__name__} cannot be uploaded",
        hint="give a path, an open binary file, bytes or an async iterator",
    )


def _needed(name: str | None) -> str:
    if not name:
        raise BadArgument("what is uploaded has no name of its own", hint="give fileName as well")
    return name


class _FileSource:
    """An open file, synchronous or trio's. Read from where it stands; again, if it can seek back to there."""

    def __init__(self, file: Any, name: str) -> None:
        self.name = name
        self._file = getattr(file, "wrapped", file)  # trio's file objects wrap a plain one
        self._start, self.size = _extent(self._file)
        self.again = self._start is not None
        # bytes in memory need no thread
        self._in_memory = isinstance(self._file, io.BytesIO)

    async def open(self) -> None:
        if self._start is not None:
            self._file.seek(self._start)

    async def read(self) -> bytes:
        try:
            piece = self._file.read(CHUNK) if self._in_memory else await trio.to_thread.run_sync(self._file.read, CHUNK)
        except (OSError, ValueError) as reason:
            raise BadArgument(f"{self.name} cannot be read: {reason}") from reason
        if isinstance(piece, str):
            raise BadArgument(f"{self.name} is open as text", hint='open it with mode "rb"')
        return piece or b""

    async def close(self) -> None:
        """The file is the caller's: it stays open."""


class _PathSource:
    """A file by its path, opened for each pass."""

    def __init__(self, path: Path) -> None:
        self.name, self._path = path.name, path
        try:
            state = path.stat()
        except OSError as reason:
            raise BadArgument(f"{path} cannot be read: {reason.strerror or reason}") from reason
        if stat.S_ISDIR(state.st_mode):
            raise BadArgument(f"{path} is a folder", hint="upload the files in it one by one")
        self.again = stat.S_ISREG(state.st_mode)
        self.size = state.st_size if self.again else None
        self._open: _FileSource | None = None

    async def open(self) -> None:
        await self.close()
        try:
            file = await trio.to_thread.run_sync(lambda: self._path.open("rb", buffering=0))
        except OSError as reason:
            raise BadArgument(f"{self._path} cannot be read: {reason.strerror or reason}") from reason
        self._open = _FileSource(file, self.name)

    async def read(self) -> bytes:
        assert self._open is not None
        return await self._open.read()

    async def close(self) -> None:
        if self._open is not None:
            self._open._file.close()
            self._open = None


class _StreamSource:
    """An async iterator: only once. One that can be had again from an iterable may be sent again, too.

    Its size is unknown unless it says so in an attribute `size`.
    """

    def __init__(self, stream: AsyncIterable[bytes], name: str) -> None:
        self.name, self.again = name, not isinstance(stream, AsyncIterator)
        size = getattr(stream, "size", None)
        self.size: int | None = size if isinstance(size, int) else None
        self._stream, self._pieces = stream, aiter(stream)

    async def open(self) -> None:
        if self.again:
            self._pieces = aiter(self._stream)

    async def read(self) -> bytes:
        async for piece in self._pieces:
            if piece:  # an empty piece would read as the end
                return bytes(piece)
        return b""

    async def close(self) -> None:
        """The iterator may have been made for us alone; nobody else would end it."""
        if (end := getattr(self._pieces, "aclose", None)) is not None:
            await end()


def _extent(file: Any) -> tuple[int | None, int | None]:
    """Where the file stands and how much there is from there; None for what cannot be known."""
    try:
        if not file.seekable():
            return None, None
        start = int(file.tell())
        size = int(file.seek(0, os.SEEK_END)) - start
        file.seek(start)
    except (AttributeError, OSError, ValueError):
        return None, None
    return start, size if size >= 0 else None
