"""An upload on its way in: the parts of a multipart body, the file among them written to a temporary as it comes.

It never holds more than a piece of the file in memory, whatever its size. It knows neither systems nor rights.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import trio
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from agavesh.tenant.refusal import Refusal

PIECE = 1024 * 1024  # bytes gathered before a write goes to a thread
LARGEST_FIELD = 64 * 1024  # bytes of a form field
FILE_PARTS = ("fileToUpload", "file")

_NAME = re.compile(rb'[;\s]name\s*=\s*(?:"((?:\\.|[^"\\])*)"|([^;\s]+))', re.IGNORECASE)
_FILE_NAME = re.compile(rb'[;\s]filename\s*=\s*(?:"((?:\\.|[^"\\])*)"|([^;\s]+))', re.IGNORECASE)
_FILE_NAME_EXTENDED = re.compile(rb"[;\s]filename\*\s*=\s*utf-8''([^;\s]+)", re.IGNORECASE)


@dataclass
class Received:
    """What came: form fields, and the file if there was one, in `temporary`. Whoever gets it moves or drops that."""

    fields: dict[str, str] = field(default_factory=dict)
    file_name: str = ""
    temporary: Path | None = None
    size: int = 0

    def drop(self) -> None:
        """Forget the file."""
        if self.temporary is not None:
            self.temporary.unlink(missing_ok=True)


async def receive(request: Request, folder: Path) -> Received:
    """Read a multipart request; its file goes into a new file below `folder`. Refusal 400 for a malformed body."""
    _, options = parse_options_header(request.headers.get("content-type"))
    if not (boundary := options.get(b"boundary")):
        raise Refusal(400, "No boundary in the content type of the multipart request")
    parts = _Parts(folder)
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": parts.begin,
                "on_header_field": parts.header_name,
                "on_header_value": parts.header_value,
                "on_header_end": parts.header_end,
                "on_headers_finished": parts.headers_end,
                "on_part_data": parts.data,
                "on_part_end": parts.end,
                "on_end": parts.whole,
            },
        )
        async with contextlib.aclosing(request.stream()) as chunks:
            async for chunk in chunks:
                parser.write(chunk)
                if parts.waiting >= PIECE:
                    await trio.to_thread.run_sync(parts.flush)
        if not parts.complete:
            raise Refusal(400, "The multipart request ended before its last part")
        parts.flush()
    except BaseException as problem:
        parts.drop()
        if isinstance(problem, FormParserError):
            raise Refusal(400, f"Malformed multipart request: {problem}") from None
        raise
    parts.close()
    return parts.received


class _Parts:
    """What the parser tells, part by part."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.received = Received()
        self.complete = False
        self.waiting = 0
        self._fd = -1
        self._pieces: list[bytes] = []
        self._header = [b"", b""]
        self._headers: dict[bytes, bytes] = {}
        self._name = ""
        self._value = b""
        self._is_file = False

    def begin(self) -> None:
        self._headers, self._value = {}, b""

    def header_name(self, data: bytes, start: int, stop: int) -> None:
        self._header[0] += data[start:stop]

    def header_value(self, data: bytes, start: int, stop: int) -> None:
        self._header[1] += data[start:stop]

    def header_end(self) -> None:
        self._headers[self._header[0].lower()] = self._header[1]
        self._header = [b"", b""]

    def headers_end(self) -> None:
        disposition = self._headers.get(b"content-disposition", b"")
        self._name = _text(_first(_NAME, disposition) or b"")
        self._is_file = self._name in FILE_PARTS and self._fd < 0
        if not self._is_file:
            return
        self.received.file_name = _file_name(disposition)
        self.received.temporary = self._folder / secrets.token_hex(8)
        self._fd = os.open(self.received.temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def data(self, data: bytes, start: int, stop: int) -> None:
        if self._is_file:
            self._pieces.append(data[start:stop])
            self.waiting += stop - start
        elif len(self._value) + stop - start > LARGEST_FIELD:
            raise Refusal(413, f"The field {self._name} is over {LARGEST_FIELD} bytes")
        else:
            self._value += data[start:stop]

    def end(self) -> None:
        if not self._is_file:
            self.received.fields[self._name] = _text(self._value)
        self._is_file = False

    def whole(self) -> None:
        self.complete = True

    def flush(self) -> None:
        """Write what waits."""
        pieces, self._pieces, self.waiting = self._pieces, [], 0
        for piece in pieces:
            view = memoryview(piece)
            while view:
                written = os.write(self._fd, view)
                self.received.size += written
                view = view[written:]

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def drop(self) -> None:
        self.close()
        self.received.drop()


def _first(pattern: re.Pattern[bytes], header: bytes) -> bytes | None:
    match = pattern.search(b";" + header)
    return next((group for group in match.groups() if group is not None), None) if match else None


def _file_name(disposition: bytes) -> str:
    """The name of the file part, as browsers, curl and urllib3 write it."""
    if (extended := _first(_FILE_NAME_EXTENDED, disposition)) is not None:
        return unquote(extended.decode("latin-1"))
    plain = _text(_first(_FILE_NAME, disposition) or b"").replace('\\"', '"')
    # the HTML standard escapes these three in a header, and nothing else
    return plain.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Refusal(400, "A part of the multipart request is not UTF-8") from None
