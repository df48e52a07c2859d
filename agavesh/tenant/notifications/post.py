"""HTTP POST to a hook: one client for all of them, which keeps nothing from one to the next.

Certificates are checked, redirects are not followed (a login in the URL, or what was told, would go where nobody sent
it), cookies are not kept, and every wait has its end. The client is made for the first hook: a tenant that tells nobody
starts without it, and without httpx.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import trio

from agavesh import __version__
from agavesh.tenant.notifications.schedule import WIDTH

if TYPE_CHECKING:
    import ssl

    import httpx

SILENCE, CONNECTING = 10.0, 20.0  # seconds without a byte, and for a connection, as on the platform
LONGEST = 60.0  # seconds for an answer that drips
ENOUGH = 2048  # bytes of an answer that are kept of a failure


@dataclass(frozen=True)
class Outcome:
    """How an attempt went: the status that was answered, None without an answer, and what was said."""

    code: int | None
    message: str

    @property
    def success(self) -> bool:
        return self.code is not None and 200 <= self.code < 300


class Hooks:
    """The client of all hooks. This machine is reached without a proxy."""

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None
        self._making = trio.Lock()

    async def post(self, url: str, body: bytes, *, delivery: str, subscription: str) -> Outcome:
        """Tell a hook. It never raises for what the other side does."""
        async with self._making:
            if self._client is None:
                self._client = await trio.to_thread.run_sync(_client)
        return await _post(self._client, url, body, delivery=delivery, subscription=subscription)

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()


@cache
def _trust() -> ssl.SSLContext:
    import httpx

    return httpx.create_ssl_context()  # reads hundreds of certificates


def _client() -> httpx.AsyncClient:
    """It takes a while: call it in a thread."""
    from http.cookiejar import CookieJar, DefaultCookiePolicy

    import httpx

    return httpx.AsyncClient(
        verify=_trust(),
        timeout=httpx.Timeout(SILENCE, connect=CONNECTING),
        follow_redirects=False,
        headers={"User-Agent": f"Agave-Hookbot/{__version__}"},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        limits=httpx.Limits(max_connections=WIDTH + 1, max_keepalive_connections=16),
        mounts={f"all://{host}": None for host in ("localhost", "127.0.0.1", "[::1]")},
    )


async def _post(http: httpx.AsyncClient, url: str, body: bytes, *, delivery: str, subscription: str) -> Outcome:
    import httpx

    headers = {
        "Content-Type": "application/json", "X-Agave-Delivery": delivery, "X-Agave-Notification": subscription,
    }  # fmt: skip
    code, said = None, bytearray()
    try:
        with trio.fail_after(LONGEST):
            async with http.stream("POST", url, content=body, headers=headers) as answer:
                code = answer.status_code
                async for piece in answer.aiter_bytes(ENOUGH):
                    said += piece
                    if len(said) >= ENOUGH:
                        break
    except trio.TooSlowError:
        return Outcome(code, f"No whole answer in {LONGEST:.0f} s")
    except (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, ValueError) as problem:
        # an answer whose status came is an answer, whatever becomes of its body
        return Outcome(code, _reason(problem))
    return Outcome(code, said[:ENOUGH].decode(errors="replace"))


def _reason(problem: BaseException) -> str:
    """What an error says; httpx often leaves that to the one behind it."""
    behind: BaseException | None = problem
    while behind is not None and not str(behind):
        behind = behind.__cause__ or behind.__context__
    return f"{type(problem).__name__}: {behind or ''}".rstrip(": ")
