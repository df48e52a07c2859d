"""The application: a request comes in, an operation's handler is found and asked, an answer goes out.

Routes are made from the catalogue, and a tenant with an operation that nothing answers does not start. What goes wrong
in a handler ends here: a `Refusal` becomes the error envelope, anything else is logged and becomes a 500.
"""

from __future__ import annotations

import base64
import binascii
import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, cast
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agavesh.api import catalogue
from agavesh.api.operation import Operation
from agavesh.tenant import envelope, handlers, search
from agavesh.tenant.auth import Denied
from agavesh.tenant.bodies import body_of
from agavesh.tenant.context import Answer, Context, Handler, Result, Route
from agavesh.tenant.faults import Cut
from agavesh.tenant.files.disk import storage_trouble
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.routes import Routes, Unreadable
from agavesh.tenant.state import Tenant

log = logging.getLogger(__name__)


class Incomplete(Exception):
    """An operation of the catalogue that nothing answers, or a handler with other words than its operation."""


@dataclass
class Endpoint:
    """What stands at a method and a path."""

    name: str
    handler: Handler
    sign_in: str  # "token", "password" or ""
    queries: dict[str, Callable[[str | None], Any]] = field(default_factory=dict)
    has_body: bool = False
    operations: list[Operation] = field(default_factory=list)


def routes() -> Routes[Endpoint]:
    """All that a tenant answers to. Raises Incomplete."""
    found: Routes[Endpoint] = Routes()
    for operation in catalogue.operations():
        found.add(operation.method, operation.path, _endpoint(operation)).operations.append(operation)
    for module in handlers.modules():
        for each in routes_in(module):
            found.add(each.method, each.path, Endpoint(each.path, each.handler, "token" if each.token else ""))
    return found


def routes_in(module: ModuleType) -> list[Route]:
    """The routes that a module declares beside its operations."""
    return [each for value in vars(module).values() for each in getattr(value, "routes", ())]


def _endpoint(operation: Operation) -> Endpoint:
    handler = handlers.find(operation)
    if handler is None:
        raise Incomplete(f"{operation.key} has no handler")
    sign_in = "token" if operation.token else "password"
    if handler is handlers.unavailable:
        return Endpoint(operation.key, handler, sign_in)
    queries = {
        param.name: _reader(param.name, param.type) for param in operation.params.values() if param.place == "query"
    }
    has_body = any(param.place == "body" for param in operation.params.values())
    paths = {param.name for param in operation.params.values() if param.place == "path"}
    wanted = {"ctx", *paths, *queries, *(["body"] if has_body else [])}
    if wanted != set(inspect.signature(handler).parameters):
        raise Incomplete(f"the handler of {operation.key} must take {', '.join(sorted(wanted))}")
    return Endpoint(operation.key, handler, sign_in, queries, has_body)


def _reader(name: str, kind: Any) -> Callable[[str | None], Any]:
    """How a query value becomes the word's type."""
    if name == "limit":
        return search.limit_of
    if name == "offset":
        return search.offset_of
    if kind is bool:
        return lambda text: None if text is None else text.lower() == "true"
    return lambda text: text


class App:
    """The ASGI application of one tenant."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.routes = routes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        self.tenant.busy += 1
        self.tenant.served += 1
        try:
            await self._answer(scope, receive, send)
        except (ClientDisconnect, Cut):
            return  # hypercorn ends the connection of a request that was not answered to its end
        finally:
            self.tenant.busy -= 1

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        incoming = Incoming(scope, receive)
        request = Request(scope, incoming.receive)
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        outward: Send = noting
        try:
            accept = request.headers.get("accept", "")
            method = "GET" if scope["method"] == "HEAD" else scope["method"]
            raw_path = _path_of(scope["raw_path"].decode("latin-1"))
            response: ASGIApp
            if (found := self.routes.find(method, raw_path)) is None:
                response = self._nowhere(method, raw_path, accept)
            else:
                endpoint, values = found
                faults = self.tenant.faults.of(endpoint.name)
                outward = self.tenant.faults.after(faults, noting) if faults else noting
                early = await self.tenant.faults.before(faults, accept) if faults else None
                response = early or await self._ask(endpoint, values, request, query, accept)
        except Refusal as refusal:
            response = envelope.refused(refusal, query)
        except Unreadable as problem:
            response = envelope.refused(Refusal(400, f"Invalid path: {problem}"), query)
        except (ClientDisconnect, Cut):
            raise
        except Exception:  # the edge: nothing a handler does may end the server
            log.exception("%s %s", scope["method"], scope["path"])
            response = envelope.refused(Refusal(500, "The service failed; the log of the tenant says why"), query)
        await incoming.drain()
        try:
            await response(scope, incoming.receive, outward)
        except (ClientDisconnect, Cut, OSError):
            if not started:
                raise
            raise Cut from None

    async def _ask(
        self, endpoint: Endpoint, values: dict[str, str], request: Request, query: dict[str, str], accept: str
    ) -> ASGIApp:
        ctx = Context(self.tenant, request, endpoint.name, query=query)
        if endpoint.sign_in and (fault := await self._sign_in(endpoint.sign_in, ctx, accept)) is not None:
            return fault
        arguments: dict[str, Any] = values
        for name, read in endpoint.queries.items():
            arguments[name] = read(query.get(name))
        if endpoint.has_body:
            arguments["body"] = await body_of(request)
        with storage_trouble():
            return rendered(await endpoint.handler(ctx, **arguments), query)

    async def _sign_in(self, how: str, ctx: Context, accept: str) -> Response | None:
        """Who is calling; a fault of the gateway if that is not to be known."""
        scheme, _, given = ctx.request.headers.get("authorization", "").partition(" ")
        if how == "password":
            if scheme.lower() != "basic":
                return envelope.gateway_fault(900902, "Basic authentication is wanted", accept)
            try:
                ctx.user = await self.tenant.auth.check_password(*basic(given))
            except Denied:
                return envelope.refused(Refusal(401, "Login failed. Check the user name and the password"), ctx.query)
        else:
            if scheme.lower() != "bearer" or not given:
                return envelope.gateway_fault(
                    900902, "Required OAuth credentials not provided. Make sure your API invocation call has a header:"
                    " 'Authorization: Bearer ACCESS_TOKEN'", accept,
                )  # fmt: skip
            caller = self.tenant.auth.caller(given.strip())
            if caller.fault:
                return envelope.gateway_fault(caller.fault, "Access failure: the access token is not valid", accept)
            ctx.user = caller.username
        ctx.admin = self.tenant.auth.is_admin(ctx.user)
        return None

    def _nowhere(self, method: str, raw_path: str, accept: str) -> Response:
        methods = self.routes.methods(raw_path)
        allow = {"Allow": ", ".join([*methods, "OPTIONS"])}
        if method == "OPTIONS":
            more = {"Access-Control-Allow-Methods": allow["Allow"], "Access-Control-Allow-Headers": "Authorization, *"}
            return Response(status_code=200, headers={**envelope.CORS, **allow, **more})
        if methods:
            return envelope.refused(Refusal(405, f"Method {method} is not offered here", headers=allow), {})
        return envelope.gateway_fault(900906, f"No resource at {raw_path}", accept)


def _path_of(target: str) -> str:
    """The path in a request's target, which a proxy may be told as a whole URL."""
    if target.startswith(("http://", "https://")):
        return "/" + target.split("/", 3)[3] if target.count("/") > 2 else "/"
    return target


def rendered(result: Result, query: Mapping[str, str]) -> ASGIApp:
    """What a handler gave back, as a response."""
    if result is None:
        return envelope.success(Answer(), query)
    if isinstance(result, dict | list):
        return envelope.success(Answer(result), query)
    if isinstance(result, Answer):
        return envelope.success(result, query)
    return result


def basic(given: str) -> tuple[str, str]:
    """Name and password of a Basic header; Denied if it is none."""
    try:
        name, colon, password = base64.b64decode(given, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise Denied("malformed credentials") from None
    if not colon:
        raise Denied("malformed credentials")
    return name, password


class Incoming:
    """A request's body, read to its end before an answer goes out: a client that still sends does not hear."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        names = {name for name, _ in cast("list[tuple[bytes, bytes]]", scope["headers"])}
        self._receive = receive
        self._more = b"content-length" in names or b"transfer-encoding" in names

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            self._more = False
        return message

    async def drain(self) -> None:
        while self._more:
            await self.receive()


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
