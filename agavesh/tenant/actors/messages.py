"""What a request to send a message brings: text, JSON, or bytes, and variables for the process that answers it.

Text and variables reach the process in its environment, so they are as long as the kernel lets a variable be, and hold
no NUL. What a sender may not set are the variables by which a program is led to other programs, libraries, servers or
settings: a sender may be a stranger with a nonce, and the actor is somebody else's.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import trio
from starlette.requests import Request

from agavesh.tenant.actors.queue import BINARY, JSON, TEXT, Message
from agavesh.tenant.actors.values import LARGEST_ENVIRONMENT, fitting
from agavesh.tenant.bodies import json_of, whole
from agavesh.tenant.fields import number
from agavesh.tenant.files.trees import sync
from agavesh.tenant.refusal import Refusal

LARGEST_BINARY = 500_000_000  # bytes, the platform's own figure
_OURS = frozenset({"message", "x-nonce", "_abaco_synchronous"})
_LEADING = re.compile(
    r"(MSG|_abaco_.*|AGAVE_.*|LD_.*|BASH.*|ENV|IFS|PS4|SHELL.*|PATH|HOME|PWD|TMPDIR|PYTHON.*|PERL.*|RUBY.*|NODE_.*"
    r"|_?JAVA.*|JDK_.*|GCONV_PATH|LOCPATH|NLSPATH|MALLOC_.*|GLIBC_.*|GIT_.*|SSL_.*|CURL_.*|REQUESTS_.*|.*_PROXY)",
    re.IGNORECASE,
)


async def received(request: Request, query: Mapping[str, str], folder: Path) -> Message:
    """The message of a request. The bytes of a binary one go to `message` in `folder`. Refusal 400."""
    environment = variables(query)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == BINARY:
        await _pour(request, folder)
        return Message(BINARY, "", environment)
    content = await whole(request)
    if kind == "application/x-www-form-urlencoded":
        form = dict(parse_qsl(content.decode(errors="replace"), keep_blank_values=True))
        return Message(TEXT, text(form.get("message", query.get("message"))), environment)
    if not content.strip():
        return Message(TEXT, text(query.get("message")), environment)
    value = json_of(content)
    if isinstance(value, dict) and value.get("message") is not None:
        return Message(TEXT, text(value["message"]), environment)
    return Message(JSON, text(value), environment)


def text(value: Any) -> str:
    """A message as its process reads it: objects and lists are literals of Python, as on the platform."""
    if value is None:
        raise Refusal(400, "No message given: send a field named message, JSON, or application/octet-stream")
    return fitting("The message", str(value))


def variables(query: Mapping[str, str]) -> dict[str, str]:
    """The variables that a message brings in its query. Refusal 400."""
    found = {name: fitting(f"The variable {name[:64]}", value) for name, value in query.items() if name not in _OURS}
    for name in found:
        if not name or "=" in name or "\0" in name or _LEADING.fullmatch(name):
            raise Refusal(400, f"A message cannot set the variable {name[:64]!r}")
    if sum(len(name.encode()) + len(value.encode()) for name, value in found.items()) > LARGEST_ENVIRONMENT:
        raise Refusal(400, f"The variables of a message have {LARGEST_ENVIRONMENT} bytes at most")
    return found


async def _pour(request: Request, folder: Path) -> None:
    length = number(request.headers.get("content-length"))
    if not isinstance(length, int) or length > LARGEST_BINARY:
        raise Refusal(400, f"A binary message needs a Content-Length, of {LARGEST_BINARY} at most")
    await trio.Path(folder).mkdir(parents=True, mode=0o700, exist_ok=True)
    async with await trio.open_file(folder / "message", "wb", buffering=1 << 20) as file:
        async with contextlib.aclosing(request.stream()) as chunks:
            async for chunk in chunks:
                await file.write(chunk)
    await trio.to_thread.run_sync(sync, folder / "message")
