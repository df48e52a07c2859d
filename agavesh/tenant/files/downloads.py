"""Bytes of a file as an answer: whole, or the one range that was asked for, with the platform's own rules for ranges.

wire: a range that goes past the end is 416, never shortened; of several only the first counts.
"""

from __future__ import annotations

import math
import mimetypes
import os
import re
import stat
from functools import lru_cache
from urllib.parse import quote

import trio
from starlette.types import Receive, Scope, Send

from agavesh.tenant.context import Context
from agavesh.tenant.envelope import CORS, said
from agavesh.tenant.faults import Cut
from agavesh.tenant.files import steady
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.words import http_date

AT_ONCE = 256 * 1024  # bytes that are read without a thread: a copy from the page cache
PIECE = 1024 * 1024  # bytes of one read and one send in a larger body

FARTHEST = 10**18  # bytes: no file is as large, and longer numbers need not be read

_RANGE = re.compile(r"\s*bytes\s*=\s*([0-9]*)\s*-\s*([0-9]*)\s*(?:,.*)?$", re.IGNORECASE)


@lru_cache(4096)
def mime_type(extension: str) -> str:
    """The type that goes with an extension such as `.txt`."""
    return mimetypes.types_map.get(extension.lower(), "application/octet-stream")


def mime_of(name: str) -> str:
    """The type of a file by its name."""
    return mime_type(f".{name.rpartition('.')[2]}")


def span(header: str | None, size: int) -> tuple[int, int] | None:
    """The bytes `[start, stop)` that a Range header asks for of a file of `size`; None for the whole.

    `stop` may lie beyond the end. Refusal 416 for what begins there, or ends before it begins.
    """
    if header is None or (match := _RANGE.match(header)) is None or match.group(1) + match.group(2) == "":
        return None
    first, last = match.groups()
    if not first:
        start, stop = size - _number(last), size
    else:
        start, stop = _number(first), _number(last) + 1 if last else size
    if start < 0 or start >= size or stop <= start:
        raise _unsatisfiable(size)
    return start, stop


def _number(digits: str) -> int:
    return int(digits) if len(digits) <= 18 else FARTHEST


def _unsatisfiable(size: int) -> Refusal:
    return Refusal(416, "The requested range is not within the file", headers={"Content-Range": f"bytes */{size}"})


def download(ctx: Context, path: str, name: str, *, send_past_end: bool = False) -> FileBody:
    """The answer for the file at `path` on this machine, called `name`. Refusals for what is no file, or no range.

    `send_past_end` is the jobs service's way with a range that ends past the file: 416, and the data all the same.
    """
    try:
        fd = steady.open_file(path, os.O_RDONLY | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        raise Refusal(404, "File/folder does not exist") from None
    try:
        found = os.fstat(fd)
        if stat.S_ISDIR(found.st_mode):
            raise Refusal(501, "Directory downloads not supported")
        if not stat.S_ISREG(found.st_mode):
            raise Refusal(400, "Only plain files can be downloaded")
        status, start, stop = 200, 0, found.st_size
        if (asked := span(ctx.request.headers.get("range"), found.st_size)) is not None:
            status, (start, stop) = 206, asked
            if stop > found.st_size:
                if not send_past_end:
                    raise _unsatisfiable(found.st_size)
                status, stop = 416, found.st_size
        headers = {
            "Content-Type": mime_of(name),
            "Content-Length": str(stop - start),
            "Last-Modified": http_date(math.floor(found.st_mtime)),
            "Content-Disposition": _disposition(name, attachment=said(ctx.query, "force")),
            "Accept-Ranges": "bytes",
            **CORS,
        }
    except BaseException:
        os.close(fd)
        raise
    if status != 200:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{found.st_size}"
    return FileBody(fd, status, headers, start, stop)


def _disposition(name: str, *, attachment: bool) -> str:
    plain = re.sub(r"[^ !#-\[\]-~]", "_", name)
    header = f'{"attachment" if attachment else "inline"}; filename="{plain}"'
    if plain != name:
        header += f"; filename*=UTF-8''{quote(name, safe='', errors='surrogateescape')}"
    return header


class FileBody:
    """An ASGI answer that reads an open file; it closes it in any case."""

    def __init__(self, fd: int, status: int, headers: dict[str, str], start: int, stop: int) -> None:
        self._fd, self.status, self.headers, self.start, self._stop = fd, status, headers, start, stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            lines = [(name.lower().encode(), value.encode("latin-1")) for name, value in self.headers.items()]
            await send({"type": "http.response.start", "status": self.status, "headers": lines})
            if scope["method"] == "HEAD" or self.start == self._stop:
                await send({"type": "http.response.body", "body": b""})
            elif self._stop - self.start <= AT_ONCE:
                await self._send_small(send)
            else:
                await self._send_large(receive, send)
        finally:
            os.close(self._fd)

    async def _send_small(self, send: Send) -> None:
        body = os.pread(self._fd, self._stop - self.start, self.start)
        short = len(body) < self._stop - self.start
        await send({"type": "http.response.body", "body": body, "more_body": short})
        if short:
            raise Cut  # the file was cut meanwhile; what was promised is not there

    async def _send_large(self, receive: Receive, send: Send) -> None:
        """Piece by piece, until all is sent or nobody is there to hear."""
        sent = False

        async def until_gone() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            nursery.cancel_scope.cancel()

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(until_gone)
                sent = await self._send_pieces(send)
                nursery.cancel_scope.cancel()
        except* (Cut, OSError):
            pass  # it was cut, or is not taken
        if not sent:
            raise Cut

    async def _send_pieces(self, send: Send) -> bool:
        at = self.start
        while at < self._stop:
            piece = await trio.to_thread.run_sync(os.pread, self._fd, min(PIECE, self._stop - at), at)
            if not piece:
                return False
            at += len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": at < self._stop})
        return True
