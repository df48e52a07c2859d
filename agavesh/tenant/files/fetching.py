"""Bytes from elsewhere: what is at an http(s) address, written to a file. The tenant's one client of other servers."""

from __future__ import annotations

import importlib
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import trio

from agavesh.tenant.refusal import Refusal

BLOCK = 1 << 20  # bytes
CONNECTING, SILENCE = 30.0, 60.0  # seconds for a connection, and without a byte


def parts(url: str) -> SplitResult:
    """An address in its parts. Refusal 400 for one that is none."""
    try:
        return urlsplit(url)
    except ValueError as problem:
        raise Refusal(400, f"{url} is no address: {problem}") from None


async def fetch(url: str, file: Path) -> int:
    """Fetch what is at a URL; bytes fetched. Refusal that names the URL, or OSError of the file.

    Until it returns the file may hold a part.
    """
    await trio.to_thread.run_sync(importlib.import_module, "httpx")  # a tenth of a second that a start need not spend
    import httpx

    total = 0
    patience = httpx.Timeout(CONNECTING, read=SILENCE)
    by_proxy = parts(url).hostname not in ("localhost", "127.0.0.1", "::1")
    try:
        async with (
            httpx.AsyncClient(timeout=patience, follow_redirects=True, trust_env=by_proxy) as client,
            client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as answer,
        ):
            if answer.status_code != 200:
                raise Refusal(400, f"{url} answered {answer.status_code} {answer.reason_phrase}")
            async with await trio.open_file(file, "wb") as writing:
                async for block in answer.aiter_bytes(BLOCK):
                    await writing.write(block)
                    total += len(block)
    except (httpx.HTTPError, httpx.InvalidURL) as problem:
        raise Refusal(400, f"{url} could not be fetched: {problem or type(problem).__name__}") from None
    return total
