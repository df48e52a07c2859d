"""What a request brings: JSON, a form, or parts of one, as one value. Files of uploads are not read here."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from agavesh.tenant.bounds import Bounds
from agavesh.tenant.refusal import Refusal

BOUNDS = Bounds()


async def body_of(request: Request, bounds: Bounds = BOUNDS) -> Any:
    """The body: never empty, whatever it came as. Refusal 400 with the platform's words, 413 if it is too long."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    content = await whole(request, bounds.body)
    if not kind or not content.strip():
        raise Refusal(400, "No content found. Please provide a request body.")
    if kind == "multipart/form-data":
        return await _parts(request, content, bounds)
    if kind == "application/x-www-form-urlencoded":
        return dict(parse_qsl(content.decode(errors="replace"), keep_blank_values=True))
    if kind.endswith(("/json", "+json")):
        return _document(content, bounds)
    raise Refusal(400, f"Unsupported content type. {kind} is not understood here")


async def whole(request: Request, largest: int = BOUNDS.body) -> bytes:
    """The bytes of a body. Refusal 413 if there are more than `largest`."""
    pieces, size = [], 0
    async with contextlib.aclosing(request.stream()) as chunks:
        async for piece in chunks:
            size += len(piece)
            if size > largest:
                raise Refusal(413, f"The request body is over {largest} bytes")
            pieces.append(piece)
    return b"".join(pieces)


def json_of(content: bytes | str, bounds: Bounds = BOUNDS) -> Any:
    """JSON as a value, for whatever comes from outside. Refusal 400 if it is none, or nested too deeply.

    What is nested deeply would break whoever works on it later: each that goes down into it calls itself.
    """
    try:
        value = msgspec.json.decode(content)
        content = content.encode() if isinstance(content, str) else content
        if content.count(b"{") + content.count(b"[") > bounds.depth and _is_deeper(value, bounds.depth):
            raise RecursionError
    except RecursionError:
        raise Refusal(400, f"Invalid JSON found. It is nested more than {bounds.depth} deep") from None
    except (msgspec.DecodeError, UnicodeError, ValueError) as problem:
        raise Refusal(400, f"Invalid JSON found. {problem}") from None
    return value


def _is_deeper(value: Any, most: int) -> bool:
    level = [value]
    for _ in range(most):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _document(content: bytes | str, bounds: Bounds) -> Any:
    value = json_of(content, bounds)
    if value in ({}, None):
        raise Refusal(400, "No content found. The JSON object is empty")
    return value


async def _parts(request: Request, content: bytes, bounds: Bounds) -> Any:
    """A part named `fileToUpload` holds the JSON document; without it the parts are its fields."""

    async def once() -> AsyncGenerator[bytes, None]:
        yield content

    try:
        async with contextlib.aclosing(once()) as pieces:
            form = await MultiPartParser(request.headers, pieces, max_part_size=bounds.body).parse()
    except (MultiPartException, KeyError, ValueError) as problem:
        raise Refusal(400, f"Malformed multipart request: {getattr(problem, 'message', problem)}") from None
    try:
        document = form.get("fileToUpload")
        if document is not None:
            return _document(document.encode() if isinstance(document, str) else await document.read(), bounds)
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
    finally:
        await form.close()
    if not fields:
        raise Refusal(400, "No content found. The form is empty")
    return fields
