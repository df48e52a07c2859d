"""Trouble on purpose: a tenant that is slow, refuses, cuts, garbles, throttles or forgets, for as long as asked.

    with tenant.faults.refusing("files.importData", status=503, times=2) as fault:
        ...
    assert fault.hits == 2

Each fault is for one operation by its key (`files.list`), for a route (`/token`), or for all: `"*"`. Nothing is
active unless someone in this process asks, or an administrator by `POST /faults` where `serve` was given `--faults`.
"""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import trio
from starlette.responses import Response
from starlette.types import Message, Send

from agavesh.tenant import envelope
from agavesh.tenant.refusal import Refusal

if TYPE_CHECKING:
    from agavesh.tenant.auth import Auth

_PAGE = "<html><head><title>{0}</title></head><body><h1>{0}</h1><p>The proxy server could not answer.</p></body></html>"


@dataclass
class Fault:
    """One kind of trouble; `hits` counts whom it met, `times` is how many it meets before it is over."""

    kind: str
    operation: str
    details: dict[str, Any]
    times: float = math.inf
    hits: int = 0
    over: trio.Event = field(default_factory=trio.Event)
    met: trio.Event = field(default_factory=trio.Event)

    def meet(self) -> bool:
        """Whether this request has the trouble too."""
        if self.hits >= self.times:
            return False
        self.hits += 1
        self.met.set()
        return True


class Faults:
    """The troubles of one tenant. `requests` counts what came, by operation; `staging_held`: uploads wait."""

    def __init__(self, auth: Auth) -> None:
        self._auth = auth
        self._active: list[Fault] = []
        self.requests: Counter[str] = Counter()
        self._released = trio.Event()
        self._released.set()

    # asking for trouble ----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def asked(self, kind: str, operation: str, *, times: float = math.inf, **details: Any) -> Iterator[Fault]:
        """A fault of a kind, for as long as the block runs."""
        fault = self.add(kind, operation, times=times, **details)
        try:
            yield fault
        finally:
            self.remove(fault)

    def slow(
        self, operation: str, seconds: float = math.inf, *, times: float = math.inf
    ) -> contextlib.AbstractContextManager[Fault]:
        """Each request waits so long before anything is done about it, at most until the block ends."""
        return self.asked("slow", operation, times=times, seconds=seconds)

    def refusing(
        self, operation: str, status: int = 500, *, times: float = math.inf, message: str = "refused on purpose"
    ) -> contextlib.AbstractContextManager[Fault]:
        """The error envelope with a status, and nothing done."""
        return self.asked("refuse", operation, times=times, status=status, message=message)

    def throttling(
        self, operation: str, retry_after: float | str | None = 1, *, times: float = math.inf
    ) -> contextlib.AbstractContextManager[Fault]:
        """429 from the gateway with a Retry-After, or without one."""
        return self.asked("throttle", operation, times=times, retry_after=retry_after)

    def gateway(
        self, operation: str, code: int = 900904, *, times: float = math.inf
    ) -> contextlib.AbstractContextManager[Fault]:
        """A fault of the gateway, by its code."""
        return self.asked("gateway", operation, times=times, code=code)

    def html(
        self, operation: str, status: int = 502, *, times: float = math.inf
    ) -> contextlib.AbstractContextManager[Fault]:
        """A page as a proxy makes them."""
        return self.asked("html", operation, times=times, status=status)

    def cutting(
        self, operation: str, after: int = 0, *, times: float = math.inf
    ) -> contextlib.AbstractContextManager[Fault]:
        """The connection ends after so many bytes of the body; the request itself is carried out."""
        return self.asked("cut", operation, times=times, after=after)

    def stalling(
        self, operation: str, after: int = 0, *, times: float = math.inf
    ) -> contextlib.AbstractContextManager[Fault]:
        """The body stops after so many bytes and goes on when the block ends."""
        return self.asked("stall", operation, times=times, after=after)

    def malforming(self, operation: str, *, times: float = math.inf) -> contextlib.AbstractContextManager[Fault]:
        """JSON that is none; the request itself is carried out."""
        return self.asked("malform", operation, times=times)

    @contextlib.contextmanager
    def holding_staging(self) -> Iterator[None]:
        """Uploads and imports stay STAGING_QUEUED until the block ends."""
        self.hold_staging()
        try:
            yield
        finally:
            self.release_staging()

    def expire_tokens(self, username: str | None = None) -> None:
        """The access tokens of one user, or of all, are over now; refresh tokens are still good."""
        self._auth.expire_all(username)

    # the parts that `POST /faults` uses too --------------------------------------------------------------------------

    def add(self, kind: str, operation: str, *, times: float = math.inf, **details: Any) -> Fault:
        fault = Fault(kind, operation, details, times)
        self._active.append(fault)
        return fault

    def remove(self, fault: Fault) -> None:
        fault.over.set()
        if fault in self._active:
            self._active.remove(fault)

    def clear(self) -> None:
        """No more trouble."""
        for fault in list(self._active):
            self.remove(fault)
        self.release_staging()

    def hold_staging(self) -> None:
        if self._released.is_set():
            self._released = trio.Event()

    def release_staging(self) -> None:
        self._released.set()

    @property
    def staging_held(self) -> bool:
        return not self._released.is_set()

    async def staging_released(self) -> None:
        """Returns when uploads may settle."""
        await self._released.wait()

    # meeting it ------------------------------------------------------------------------------------------------------

    def of(self, operation: str) -> list[Fault]:
        """The faults that a request for this operation meets; counts the request."""
        self.requests[operation] += 1
        if not self._active:
            return []
        return [fault for fault in list(self._active) if fault.operation in (operation, "*") and fault.meet()]

    async def before(self, faults: list[Fault], accept: str) -> Response | None:
        """What comes before the operation: a wait, or an answer in its place."""
        for fault in faults:
            details = fault.details
            match fault.kind:
                case "slow":
                    with trio.move_on_after(details["seconds"]):
                        await fault.over.wait()
                case "refuse":
                    return envelope.refused(Refusal(details["status"], details["message"]), {})
                case "throttle":
                    after = details["retry_after"]
                    headers = {} if after is None else {"Retry-After": str(after)}
                    return envelope.gateway_fault(900800, "You have exceeded your quota", accept, headers=headers)
                case "gateway":
                    return envelope.gateway_fault(details["code"], "asked for", accept)
                case "html":
                    return Response(_PAGE.format(details["status"]), details["status"], media_type="text/html")
        return None

    def after(self, faults: list[Fault], send: Send) -> Send:
        """What happens to the answer on its way."""
        for fault in faults:
            if fault.kind == "malform":
                send = _malforming(send)
            if fault.kind in ("cut", "stall"):
                send = _breaking(fault, send)
        return send


class Cut(Exception):
    """The connection ends here, on purpose."""


def _breaking(fault: Fault, send: Send) -> Send:
    left = fault.details["after"]

    async def broken(message: Message) -> None:
        nonlocal left
        if message["type"] != "http.response.body" or len(body := message.get("body", b"")) < left:
            left -= len(message.get("body", b"")) if message["type"] == "http.response.body" else 0
            await send(message)
            return
        await send({"type": "http.response.body", "body": body[:left], "more_body": True})
        if fault.kind == "cut":
            raise Cut
        await fault.over.wait()
        await send({**message, "body": body[left:]})
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
