"""Bytes from elsewhere: what is at an http(s) address, written to a file. The tenant's one client of other servers."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import trio

from agavesh.tenant.refusal import Refusal

BLOCK = 1 << 20  # bytes
CONNECTING, SILENCE = 30.0, 60.0  # seconds for a connection, and without a byte


_SIGN_IN = re.compile(r"^([^/?#]*/[\t\r\n]*/)[^/?#]*@")  # line ends and tabs in an address count for nothing


def parts(url: str) -> SplitResult:
    """An address in its parts. Refusal 400 for one that is none."""
    try:
        found = urlsplit(url)
        _ = found.port  # ValueError for one that there cannot be
    except ValueError as problem:
        raise Refusal(400, f"{anonymous(url)} is no address: {problem}") from None
    return found


def anonymous(url: str) -> str:
    """An address without the user and password in it: as it may be told to others."""
    return _SIGN_IN.sub(r"\1", url)


async def fetch(url: str, file: Path) -> int:
    """Fetch what is at a URL, as the user in it if there is one; bytes fetched. Refusal that names the URL, or OSError
    of the file.

    Until it returns the file may hold a part.
    """
    await trio.to_thread.run_sync(importlib.import_module, "httpx")  # a tenth of a second that a start need not spend
    import httpx

    total, told = 0, anonymous(url)
    patience = httpx.Timeout(CONNECTING, read=SILENCE)
    by_proxy = parts(url).hostname not in ("localhost", "127.0.0.1", "::1")
    try:
        address = httpx.URL(url)
        sign_in = (address.username, address.password) if address.userinfo else None
        async with (
            httpx.AsyncClient(auth=sign_in, timeout=patience, follow_redirects=True, trust_env=by_proxy) as client,
            # httpx logs the address that it is given
            client.stream("GET", address.copy_with(userinfo=b""), headers={"Accept-Encoding": "identity"}) as answer,
        ):
            if answer.status_code != 200:
                raise Refusal(400, f"{told} answered {answer.status_code} {answer.reason_phrase}")
            async with await trio.open_file(file, "wb") as writing:
                async for block in answer.aiter_bytes(BLOCK):
                    await writing.write(block)
                    total += len(block)
    except (httpx.HTTPError, httpx.InvalidURL, OverflowError, UnicodeError) as problem:
        # the last two are of names and ports that no resolver takes, to which a redirect may lead
        raise Refusal(400, f"{told} could not be fetched: {problem or type(problem).__name__}") from None
    return total
