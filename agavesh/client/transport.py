"""One request: sent with a token under a deadline, repeated where that is safe, and judged.

What stands on the wire is made in `arguments`, what an answer means is said in `answers`; here is the time between:
deadlines, retries with jitter, the one new token after a refused one, redirects. No request is repeated that may have
been carried out already, unless doing it twice does no harm.
"""

from __future__ import annotations

import contextvars
import itertools
import logging
import math
import secrets
import ssl
import time
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from random import uniform
from typing import Any, Final
from urllib.parse import SplitResult, quote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import trio

from agavesh import __version__
from agavesh.api.operation import Operation
from agavesh.client.accounts import USUAL_PORT, Account, Accounts
from agavesh.client.answers import Refusal, failure, is_page, refusal, result
from agavesh.client.arguments import QUOTED, Ask, ask
from agavesh.client.auth import Auth
from agavesh.client.connection import Message, httpx
from agavesh.client.download import Stream
from agavesh.client.errors import (
    AgaveError,
    BadAnswer,
    BadArgument,
    Busy,
    NotSignedIn,
    ServerTrouble,
    TimedOut,
    Unreachable,
    Untrusted,
)
from agavesh.client.health import Health
from agavesh.client.multipart import Upload
from agavesh.client.pool import Pool
from agavesh.client.reply import Reply
from agavesh.client.unreachable import explain
from agavesh.client.width import CONNECTIONS, Kind, Place, Width

log = logging.getLogger(__name__)

DEADLINE: Final = 60.0  # seconds for one call, retries included; for streams: until the headers, and without progress
ATTEMPTS: Final = 5
FIRST_PAUSE: Final = 0.25  # seconds; doubled for each attempt, and half of it is chance
LONGEST_PAUSE: Final = 8.0  # seconds, where the platform does not ask for more
REDIRECTS: Final = 3
PERHAPS_DONE: Final = "it may have been done all the same: look before you try again"
TOLD: Final = 1024 * 1024  # bytes of an error's body that are read

_names = (f"{secrets.randbits(20):05x}-{number:x}" for number in itertools.count(1))  # of requests, for the log

_within: contextvars.ContextVar[float] = contextvars.ContextVar("_within", default=math.inf)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Every call in the block must be done `seconds` from now. TimedOut where one is not."""
    at = min(_within.get(), trio.current_time() + seconds)
    token = _within.set(at)
    try:
        yield
    finally:
        _within.reset(token)


class Transport:
    """Requests to one tenant. Open with `async with`; closing ends every connection."""

    def __init__(
        self,
        account: Account,
        accounts: Accounts,
        *,
        deadline: float = DEADLINE,
        verify: bool | str = True,
        connections: int = CONNECTIONS,
    ) -> None:
        self.deadline = deadline  # seconds
        self._verify = account.ca_cert if verify is True and account.ca_cert else verify
        self._base = httpx.URL(account.url)
        if self._base.scheme == "http" and not is_loopback(self._base.host):
            log.warning("%s is spoken to without encryption: tokens and passwords can be read on the way", account.url)
        self._host = self._base.netloc.decode()
        self._prefix = self._base.raw_path.decode().rstrip("/")
        self._pool: Pool | None = None
        self._opening = trio.Lock()
        self.width, self.health = Width(connections), Health()
        self._usual = [("Host", self.host), ("User-Agent", f"agavesh/{__version__}")]
        self.auth = Auth(account, accounts, self._send_grant)

    @property
    def host(self) -> str:
        """The tenant's host, with its port if that is not the usual one."""
        return self._host

    async def aclose(self) -> None:
        """End every connection. Safe at any time."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.aclose()

    async def warm(self, number: int) -> None:
        """Have so many connections open and idle, as far as calls under way leave room for them."""
        try:
            await (self._pool or await self._opened()).warm(min(number, int(self.width.limit) - self.width.under_way))
        except AgaveError as trouble:
            log.debug("no connections ahead: %s", trouble)

    # the two kinds of call

    def __call__(self, operation: Operation, arguments: Mapping[str, Any]) -> Any:
        """Carry an operation out: a Download for bytes, else a coroutine of its result."""
        if operation.answer == "bytes":
            return self._download(ask(operation, arguments))
        return self.result(operation, arguments)

    async def result(self, operation: Operation, arguments: Mapping[str, Any], kind: Any = None) -> Any:
        """What a call answers, as the operation declares it; a page is of records of `kind` if one is given."""
        return (await self.told(operation, arguments, kind))[0]

    async def told(self, operation: Operation, arguments: Mapping[str, Any], kind: Any = None) -> tuple[Any, Reply]:
        """As `result`, and how it was told."""
        request = ask(operation, arguments)
        reply = await self.fetch(request, basic=not operation.token)
        try:
            answer = result(operation, request.what, reply.body, kind)
        except BadAnswer as trouble:
            trouble.status, trouble.request_id = reply.status, reply.request_id
            raise
        if operation.key == "clients.create" and answer.consumerKey and answer.consumerSecret:
            self.auth.adopt(answer.consumerKey, answer.consumerSecret, answer.name)
        return answer, reply

    def _download(self, request: Ask) -> Stream:
        # a listing may come compressed; of a file the bytes themselves are wanted, and their number
        request.headers.setdefault("Accept-Encoding", "identity")

        async def start() -> Reply:
            reply = await self._answered(request, basic=False, whole=False, judge=True)
            if is_page(request.what, reply.headers):
                reply.close()
                raise BadAnswer(
                    f"{request.what}: a web page came instead of the file",
                    hint="something between here and the platform answered; check the URL and the proxy",
                    request_id=reply.request_id,
                )
            return reply

        return Stream(request.what, start, lambda reason: explain(request.what, self.host, reason), _within.get())

    async def fetch(self, request: Ask, *, basic: bool = False, judge: bool = True) -> Reply:
        """The whole answer. With `judge` off, a refusal is an answer like others."""
        request.headers.setdefault("Accept-Encoding", "gzip")
        return await self._answered(request, basic=basic, whole=True, judge=judge)

    # one call: attempts under a deadline

    async def _answered(self, request: Ask, *, basic: bool, whole: bool, judge: bool) -> Reply:
        began = trio.current_time()
        upload = request.body if isinstance(request.body, Upload) else None
        # an upload takes as long as it takes: no progress for so long is what ends it, in `_send`
        ends = min(_within.get(), math.inf if upload else began + self.deadline)
        kind = Kind.BULK if request.bulk else Kind.CALL if whole or request.bulk is False else Kind.STREAM
        ticket = self.width.ticket()
        trouble: AgaveError | None = None
        waiting = False
        try:
            with trio.CancelScope(deadline=ends):
                for attempt in range(1, ATTEMPTS + 1):
                    await self.health.admit(request.what)
                    reply: Reply | None = None
                    waiting = True
                    place = await self.width.enter(kind, ticket)
                    waiting = kept = False
                    try:
                        reply = await self._signed(request, basic=basic, whole=whole)
                        reply.attempt = attempt
                        if reply.status < 300:
                            self.width.answered(place)
                            self.health.answered()
                            if not whole:
                                reply.place, kept = place, True
                            return reply
                        no = refusal(reply.status, reply.body)
                        trouble = failure(request.what, no, reply.headers, password=basic)
                        trouble.request_id = reply.request_id
                        again = _may_ask_again(request, no, trouble)
                        self._learn(request, place, no, trouble)
                    except NoAnswer as none:
                        trouble = none.error
                        again = none.worth_another and (none.unsent or request.safe)
                        if none.worth_another and not again:
                            trouble.hint = PERHAPS_DONE
                        if isinstance(trouble, Unreachable) and not isinstance(trouble, Untrusted):
                            self.health.failed(request.what, trouble, place.since)
                    finally:
                        if not kept:
                            place.give_back()
                    pause = _pause(attempt, trouble)
                    # an upload has no end of its own, but to wait is no progress
                    over = attempt == ATTEMPTS or pause >= min(ends - trio.current_time(), self.deadline)
                    if over or not again or (upload is not None and not upload.again):
                        if reply is not None and not judge:
                            return reply
                        raise trouble
                    log.debug("%s: %s; attempt %d in %.2f s", request.what, trouble.sentence, attempt + 1, pause)
                    await trio.sleep(pause)
            late = TimedOut(
                f"{request.what}: no answer from {self.host} in {max(ends - began, 0):.3g} s",
                hint="try again" if request.safe else PERHAPS_DONE,
            )
            if waiting:
                late.sentence = f"{request.what}: {self.width.under_way} requests are open, and none ends"
                late.hint = "try again, or close some downloads"
            else:
                self.health.failed(request.what, late, began)
            raise late from trouble
        finally:
            if upload is not None:
                await upload.close()

    def _learn(self, request: Ask, place: Place, no: Refusal, trouble: AgaveError) -> None:
        """What a refusal says of the platform as a whole: that it has too much to do, is not there, or lives."""
        asks_for_less = no.status == 429 or no.family != "service"  # a service's own 503 may be about one system
        if isinstance(trouble, Busy) and (asks_for_less or trouble.retry_after is not None):
            self.width.refused(place, trouble.retry_after)
        if no.status >= 500 and no.family == "page":
            self.health.failed(request.what, trouble, place.since)
        else:
            self.health.answered()

    async def _signed(self, request: Ask, *, basic: bool, whole: bool) -> Reply:
        """One attempt with a token, and another where a new token may be the cure."""
        if request.open:
            return await self._followed(request, None, whole)
        authorization = self.auth.basic() if basic else await self._token(self.auth.bearer())
        reply = await self._followed(request, authorization, whole)
        if basic or reply.status < 400:
            return reply
        no = refusal(reply.status, reply.body)
        if not no.token_refused:
            return reply
        other = await self._token(self.auth.instead(authorization, perhaps_permission=no.permission))
        if other is None:
            return reply
        if isinstance(request.body, Upload) and not request.body.again:
            raise NotSignedIn(
                f"{request.what}: the token had expired; there is a new one now, but what was sent is gone",
                hint="send it again",
                status=reply.status,
            )
        second = await self._followed(request, other, whole)
        if second.status == 401 and no.permission:
            self.auth.was_no_cure()
        return second

    @staticmethod
    async def _token(wanted: Awaitable[str | None]) -> str | None:
        """The header, or NoAnswer where /token has trouble that may pass: the call itself was not sent then."""
        try:
            return await wanted
        except (Unreachable, Busy, ServerTrouble) as trouble:
            raise NoAnswer(trouble, unsent=True) from trouble

    async def _followed(self, request: Ask, authorization: str | None, whole: bool) -> Reply:
        """Send, and follow redirects on the same host. A token never goes to another one."""
        target = self._prefix + request.target
        for _ in range(REDIRECTS + 1):
            reply = await self._send(request, target, authorization, whole)
            if reply.status not in (301, 302, 303, 307, 308) or "location" not in reply.headers:
                return reply
            here = str(self._base.copy_with(raw_path=target.encode("ascii")))
            there = urlsplit(urljoin(here, reply.headers["location"]))
            # not from http to https either: the token has then been seen already, and would be again
            if _origin(there) != _origin(urlsplit(here)):
                raise BadAnswer(
                    f"{request.what}: {self.host} sends us to {there.scheme}://{there.netloc}, and a token stays here",
                    hint="if that is where the tenant lives, sign in there",
                    status=reply.status,
                )
            if reply.status in (301, 302, 303) and request.method not in ("GET", "HEAD"):
                raise BadAnswer(
                    f"{request.what}: {self.host} has moved it to {there.path}",
                    hint="check the URL of the tenant",
                    status=reply.status,
                )
            target = quote(there.path, safe=QUOTED) + (f"?{quote(there.query, safe=QUOTED)}" if there.query else "")
        raise BadAnswer(f"{request.what}: {self.host} sends us in circles", hint="check the URL of the tenant")

    async def _send(self, request: Ask, target: str, authorization: str | None, whole: bool) -> Reply:
        """One request and its answer; the body is read if `whole`, or if it is no success. NoAnswer where none came."""
        name, began = next(_names), time.monotonic()
        unsent = True
        try:
            pool = self._pool or await self._opened()
            message = self._message(request, target, authorization)
            unsent = False
            # who waits for a head has a deadline, and so has who waits for all; a body takes as long as it moves
            answer = await pool.send(message, patience=message.patience if whole else self.deadline)
            reply = Reply(answer, answer.headers.get("x-request-id") or name)
            if reply.status >= 300:
                await reply.read(TOLD)
            elif whole:
                await reply.read()
        except httpx.DecodingError as reason:  # asked again it would say the same again
            raise BadAnswer(f"{request.what}: the answer can't be read: {reason}", request_id=name) from reason
        except httpx.HTTPError as reason:
            if isinstance(request.body, Upload) and request.body.trouble is not None:
                raise request.body.trouble from None
            unsent = isinstance(reason, (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError))
            log.debug("%s %s %s: %s", name, request.method, request.what, type(reason).__name__)
            error = explain(request.what, self.host, reason)
            error.request_id = name
            raise NoAnswer(error, unsent) from reason
        if log.isEnabledFor(logging.DEBUG):
            seconds = time.monotonic() - began
            log.debug("%s %s %s: %d in %.3f s", name, request.method, request.what, reply.status, seconds)
        return reply

    def _message(self, request: Ask, target: str, authorization: str | None) -> Message:
        headers = [*self._usual, *request.headers.items()]
        if authorization is not None:
            headers.append(("Authorization", authorization))
        body, patience = request.body, math.inf
        if isinstance(body, Upload):
            body.trouble, patience = None, self.deadline
            framing = ("Transfer-Encoding", "chunked") if body.size is None else ("Content-Length", str(body.size))
            headers.append(framing)
        elif body is not None or request.method in ("POST", "PUT", "PATCH"):
            headers.append(("Content-Length", str(len(body or b""))))
        for name, value in headers:
            if not (name.isascii() and value.isascii() and value.isprintable()):
                # not shown: it may be a token with a line's end in it
                raise BadArgument(f"the header {name!r} holds what no header can", hint="plain text on one line")
        return Message(request.method, target, headers, body, patience)

    async def _send_grant(self, request: Ask, authorization: str | None) -> tuple[int, bytes]:
        """A request to /token: its deadline and its meaning are the caller's."""
        try:
            reply = await self._followed(request, authorization, whole=True)
        except NoAnswer as none:
            raise none.error from none.__cause__
        return reply.status, reply.body

    async def _opened(self) -> Pool:
        if self._pool is None:
            async with self._opening:
                if self._pool is None:
                    proxy = _proxy(self._base)
                    secure = self._base.scheme == "https" or (proxy or "").startswith("https:")
                    context = await _context(self._verify) if secure else None
                    try:
                        self._pool = Pool(self._base, context, proxy)
                    except (ValueError, httpx.InvalidURL) as reason:
                        raise BadArgument("HTTPS_PROXY or HTTP_PROXY is no URL of a proxy") from reason
        return self._pool


class NoAnswer(Exception):
    """Internal: an attempt that ended without an answer. `unsent` if nothing of it can have reached the platform."""

    def __init__(self, error: AgaveError, unsent: bool) -> None:
        super().__init__(str(error))
        self.error, self.unsent = error, unsent

    @property
    def worth_another(self) -> bool:
        """Whether trying again can help: not with a bad certificate, nor with a name that does not exist."""
        return not isinstance(self.error, (Untrusted, BadArgument)) and "no host called" not in self.error.sentence


def _may_ask_again(request: Ask, no: Refusal, trouble: AgaveError) -> bool:
    """Whether asking again can help and does no harm.

    Throttled requests were not carried out. A service's own 5xx is its considered word; a gateway's may pass.
    """
    if isinstance(trouble, Busy):
        return request.safe or no.status == 429 or no.family == "gateway" or trouble.retry_after is not None
    return request.safe and no.status >= 500 and no.status != 501 and no.family != "service"


def _pause(attempt: int, trouble: AgaveError) -> float:
    """Seconds before the next attempt: what the platform asks for, else doubling, and up to half of it by chance."""
    if isinstance(trouble, Busy) and trouble.retry_after is not None:
        return trouble.retry_after + uniform(0, 0.2)
    pause: float = min(FIRST_PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE)
    return pause * uniform(0.5, 1.0)


async def _context(verify: bool | str) -> ssl.SSLContext:
    """What the connections trust. Reading the authorities takes some 50 ms, so it is done in a thread."""
    if verify is False:
        return httpx.create_ssl_context(verify=False)
    if isinstance(verify, str):
        try:
            return await trio.to_thread.run_sync(lambda: ssl.create_default_context(cafile=verify))
        except OSError as reason:
            why = "it holds no certificates" if isinstance(reason, ssl.SSLError) else reason.strerror
            raise BadArgument(
                f"there is no authority to trust in {verify}: {why}",
                hint="AGAVE_CA_CERT, or --ca-cert, names a file in PEM format",
            ) from reason

    def usual() -> ssl.SSLContext:
        context = httpx.create_ssl_context()
        context.load_default_certs()  # what this machine's owner trusts, beside the public authorities
        return context

    return await trio.to_thread.run_sync(usual)


def _origin(url: SplitResult) -> tuple[str, str | None, int | None]:
    """Scheme, host and port: what a token is for."""
    try:
        return url.scheme, url.hostname, url.port or USUAL_PORT.get(url.scheme)
    except ValueError:  # a port that is none
        return url.scheme, url.netloc, None


def _proxy(base: httpx.URL) -> str | None:
    """The proxy for the tenant, from HTTPS_PROXY, HTTP_PROXY and NO_PROXY. None to this machine itself."""
    if is_loopback(base.host) or proxy_bypass(base.host):
        return None
    proxies = getproxies()
    proxy = proxies.get(base.scheme) or proxies.get("all")
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


def is_loopback(host: str) -> bool:
    """Whether the name means this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
