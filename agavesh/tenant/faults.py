"""Trouble on purpose: a tenant that is slow, refuses, cuts, garbles, throttles or forgets, for as long as asked.

    with tenant.faults.refusing("files.importData", status=503, times=2) as trouble:
        ...
    assert trouble.hits == 2

What kinds there are is said in `agavesh.api.control`. Nothing is active unless someone in this process asks, or the
tenant's owner by the control call where `serve` was given `--control`.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio
from starlette.responses import Response
from starlette.types import Message, Send

from agavesh.api import control
from agavesh.api.control import Any_fault
from agavesh.tenant import envelope
from agavesh.tenant.refusal import Refusal

if TYPE_CHECKING:
    from agavesh.tenant.auth import Auth

_PAGE = "<html><head><title>{0}</title></head><body><h1>{0}</h1><p>The proxy server could not answer.</p></body></html>"

Asking = contextlib.AbstractContextManager["Trouble"]


@dataclass(eq=False)
class Trouble:
    """A fault that is active; `hits` counts whom it met. `name` is what it is cleared by."""

    name: str
    fault: Any_fault
    hits: int = 0
    over: trio.Event = field(default_factory=trio.Event)
    _news: trio.Event = field(default_factory=trio.Event)

    def meet(self, operation: str) -> bool:
        """Whether this request has the trouble too."""
        fault = self.fault
        if isinstance(fault, control.HoldStaging) or fault.operation not in (operation, "*"):
            return False
        if fault.times is not None and self.hits >= fault.times:
            return False
        self.hits += 1
        news, self._news = self._news, trio.Event()
        news.set()
        return True

    async def met(self, times: int = 1) -> None:
        """Wait until it has met so many."""
        while self.hits < times:
            await self._news.wait()


class Faults:
    """The troubles of one tenant. `requests` counts what came, by operation; `staging_held`: uploads wait."""

    def __init__(self, auth: Auth) -> None:
        self._auth = auth
        self._names = map(str, itertools.count(1))
        self.active: list[Trouble] = []
        self.requests: Counter[str] = Counter()
        self._released = trio.Event()
        self._released.set()

    # asking for trouble ----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def asked(self, fault: Any_fault) -> Iterator[Trouble]:
        """A fault, for as long as the block runs."""
        trouble = self.add(fault)
        try:
            yield trouble
        finally:
            self.remove(trouble)

    def slow(self, operation: str, seconds: float | None = None, *, times: int | None = None) -> Asking:
        """Each request waits so long before anything is done about it, at most until the block ends."""
        return self.asked(control.Slow(operation=operation, seconds=seconds, times=times))

    def refusing(
        self, operation: str, status: int = 500, *, times: int | None = None, message: str = "refused on purpose"
    ) -> Asking:
        """The error envelope with a status, and nothing done."""
        return self.asked(control.Refuse(operation=operation, status=status, message=message, times=times))

    def throttling(self, operation: str, retry_after: float | str | None = 1, *, times: int | None = None) -> Asking:
        """429 from the gateway with a Retry-After, or without one."""
        return self.asked(control.Throttle(operation=operation, retry_after=retry_after, times=times))

    def gateway(self, operation: str, code: int = 900904, *, times: int | None = None) -> Asking:
        """A fault of the gateway, by its code."""
        return self.asked(control.Gateway(operation=operation, code=code, times=times))

    def html(self, operation: str, status: int = 502, *, times: int | None = None) -> Asking:
        """A page as a proxy makes them."""
        return self.asked(control.Html(operation=operation, status=status, times=times))

    def cutting(self, operation: str, after: int = 0, *, times: int | None = None) -> Asking:
        """The connection ends after so many bytes of the body; the request itself is carried out."""
        return self.asked(control.Cut(operation=operation, after=after, times=times))

    def stalling(self, operation: str, after: int = 0, *, times: int | None = None) -> Asking:
        """The body stops after so many bytes and goes on when the block ends."""
        return self.asked(control.Stall(operation=operation, after=after, times=times))

    def malforming(self, operation: str, *, times: int | None = None) -> Asking:
        """JSON that is none; the request itself is carried out."""
        return self.asked(control.Malform(operation=operation, times=times))

    def losing(self, operation: str, *, times: int | None = None) -> Asking:
        """No answer at all; the request itself is carried out."""
        return self.asked(control.Lose(operation=operation, times=times))

    def holding_staging(self) -> Asking:
        """Uploads and imports stay STAGING_QUEUED until the block ends."""
        return self.asked(control.HoldStaging())

    def expire_tokens(self, username: str | None = None) -> None:
        """The access tokens of one user, or of all, are over now; refresh tokens are still good."""
        self._auth.expire_all(username)

    def add(self, fault: Any_fault) -> Trouble:
        """A fault until it is removed. Tokens expire at once: nothing of that stays."""
        trouble = Trouble(next(self._names), fault)
        if isinstance(fault, control.ExpireTokens):
            self.expire_tokens(fault.username)
            return trouble
        self.active.append(trouble)
        self._hold()
        return trouble

    def remove(self, trouble: Trouble) -> None:
        """The fault is over, for those too who wait in it."""
        trouble.over.set()
        if trouble in self.active:
            self.active.remove(trouble)
        self._hold()

    def clear(self) -> None:
        """No more trouble."""
        for trouble in list(self.active):
            self.remove(trouble)

    def _hold(self) -> None:
        if not any(isinstance(trouble.fault, control.HoldStaging) for trouble in self.active):
            self._released.set()
        elif self._released.is_set():
            self._released = trio.Event()

    @property
    def staging_held(self) -> bool:
        return not self._released.is_set()

    async def staging_released(self) -> None:
        """Returns when uploads may settle."""
        await self._released.wait()

    # meeting it ------------------------------------------------------------------------------------------------------

    def of(self, operation: str) -> list[Trouble]:
        """The faults that a request for this operation meets; counts the request."""
        self.requests[operation] += 1
        return [trouble for trouble in list(self.active) if trouble.meet(operation)]

    async def before(self, troubles: list[Trouble], accept: str) -> Response | None:
        """What comes before the operation: a wait, or an answer in its place."""
        for trouble in troubles:
            match trouble.fault:
                case control.Slow(seconds=seconds):
                    with trio.move_on_after(math.inf if seconds is None else seconds):
                        await trouble.over.wait()
                case control.Refuse(status=status, message=message):
                    return envelope.refused(Refusal(status, message), {})
                case control.Throttle(retry_after=after):
                    headers = {} if after is None else {"Retry-After": str(after)}
                    return envelope.gateway_fault(900800, "You have exceeded your quota", accept, headers=headers)
                case control.Gateway(code=code):
                    return envelope.gateway_fault(code, "asked for", accept)
                case control.Html(status=status):
                    return Response(_PAGE.format(status), status, media_type="text/html")
        return None

    def after(self, troubles: list[Trouble], send: Send) -> Send:
        """What happens to the answer on its way."""
        for trouble in troubles:
            match trouble.fault:
                case control.Malform():
                    send = _malforming(send)
                case control.Cut(after=after) | control.Stall(after=after):
                    send = _breaking(trouble, after, send)
                case control.Lose():
                    send = _losing
        return send


class Cut(Exception):
    """The connection ends here, on purpose."""


async def _losing(message: Message) -> None:
    raise Cut


def _breaking(trouble: Trouble, after: int, send: Send) -> Send:
    left: float = after

    async def broken(message: Message) -> None:
        nonlocal left
        if message["type"] != "http.response.body" or len(body := message.get("body", b"")) < left:
            left -= len(message.get("body", b"")) if message["type"] == "http.response.body" else 0
            await send(message)
            return
        at = int(left)
        await send({"type": "http.response.body", "body": body[:at], "more_body": True})
        if isinstance(trouble.fault, control.Cut):
            raise Cut
        await trouble.over.wait()
        await send({**message, "body": body[at:]})
        left = math.inf

    return broken


def _malforming(send: Send) -> Send:
    start: Message = {}

    async def malformed(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            start = message
            return
        body = message.get("body", b"")
        garbled = body[: len(body) // 2] + b'"]]}' if start else body
        if start:
            kept = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
            await send({**start, "headers": [*kept, (b"content-length", str(len(garbled)).encode())]})
            start = {}
        await send({**message, "body": garbled})

    return malformed
