"""What a request brings: JSON, a form, or parts of one, as one value. Files of uploads are not read here."""

from __future__ import annotations

import contextlib
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request

from agavesh.tenant.refusal import Refusal

LARGEST = 16 * 2**20  # bytes; records are small, and they are the only bodies that are read whole


async def body_of(request: Request) -> Any:
    """The body: never empty, whatever it came as. Refusal 400 with the platform's words."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _parts(request)
    content = await whole(request)
    if not kind or not content.strip():
        raise Refusal(400, "No content found. Please provide a request body.")
    if kind == "application/x-www-form-urlencoded":
        return dict(parse_qsl(content.decode(errors="replace"), keep_blank_values=True))
    if kind.endswith(("/json", "+json")):
        return _json(content)
    raise Refusal(400, f"Unsupported content type. {kind} is not understood here")


async def whole(request: Request, largest: int = LARGEST) -> bytes:
    """The bytes of a body. Refusal 413 if there are more than `largest`."""
    pieces, size = [], 0
    async with contextlib.aclosing(request.stream()) as chunks:
        async for piece in chunks:
            size += len(piece)
            if size > largest:
                raise Refusal(413, f"The request body is over {largest} bytes")
            pieces.append(piece)
    return b"".join(pieces)


def _json(content: bytes) -> Any:
    try:
        value = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise Refusal(400, f"Invalid JSON found. {problem}") from None
    if value in ({}, None):
        raise Refusal(400, "No content found. The JSON object is empty")
    return value


async def _parts(request: Request) -> Any:
    """A part named `fileToUpload` holds the JSON document; without it the parts are its fields."""
    async with request.form(max_part_size=LARGEST) as form:
        document = form.get("fileToUpload")
        if document is not None:
            return _json(document.encode() if isinstance(document, str) else await document.read())
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
    if not fields:
        raise Refusal(400, "No content found. The form is empty")
    return fields
