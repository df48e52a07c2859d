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
from contextlib import suppress
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agavesh.api import catalogue
from agavesh.api.operation import Operation
from agavesh.tenant import envelope, handlers, search
from agavesh.tenant.access import Asked, told
from agavesh.tenant.auth import Denied
from agavesh.tenant.bodies import body_of
from agavesh.tenant.context import Answer, Context, Handler, Result, Route, service_of
from agavesh.tenant.faults import Cut, Trouble
from agavesh.tenant.files.disk import storage_trouble
from agavesh.tenant.handlers import absent
from agavesh.tenant.incoming import Incoming
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
    path: str
    handler: Handler
    sign_in: str  # "token", "password", "owner" (whose proof is the handler's affair) or ""
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
            sign_in = "owner" if each.owner else "token" if each.token else ""
            found.add(each.method, each.path, Endpoint(each.path, each.path, each.handler, sign_in))
    for name, method, path in absent.ABSENT:
        found.add(method, path, Endpoint(name, path, absent.refuse, "token"))
    return found


def routes_in(module: ModuleType) -> list[Route]:
    """The routes that a module declares beside its operations."""
    return [each for value in vars(module).values() for each in getattr(value, "routes", ())]


def _endpoint(operation: Operation) -> Endpoint:
    handler = handlers.find(operation)
    if handler is None:
        raise Incomplete(f"{operation.key} has no handler")
    sign_in = "token" if operation.token else "password"
    queries = {
        param.name: _reader(param.name, param.type)
        for param in operation.params.values()
        if param.place == "query" and not param.word.spread
    }
    taken = set(inspect.signature(handler).parameters)
    has_body = any(param.place == "body" for param in operation.params.values()) and "body" in taken
    paths = {param.name for param in operation.params.values() if param.place == "path"}
    wanted = {"ctx", *paths, *queries, *(["body"] if has_body else [])}
    if wanted != taken:
        raise Incomplete(f"the handler of {operation.key} must take {', '.join(sorted(wanted))}")
    return Endpoint(operation.key, operation.path, handler, sign_in, queries, has_body)


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
        tenant.known = frozenset(endpoint.name for endpoint in self.routes.targets())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = Asked(scope["method"])
        self.tenant.busy += 1
        self.tenant.served += 1
        try:
            await self._answer(scope, receive, send, asked)
        except (ClientDisconnect, Cut):
            pass  # what has no end ends the connection
        finally:
            self.tenant.busy -= 1
            if self.tenant.access_log is not None:
                self.tenant.access_log.note(asked)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, asked: Asked) -> None:
        incoming = Incoming(scope, receive, self.tenant.bounds)
        request = Request(scope, incoming.receive)
        asked_for = scope["query_string"].decode("latin-1")
        query = dict(parse_qsl(asked_for, keep_blank_values=True)) if asked_for else {}
        faults: list[Trouble] = []
        try:
            response = await self._response(request, query, asked, faults)
        except Refusal as refusal:
            response = envelope.refused(refusal, query, asked.service)
        with suppress(Refusal):  # what is left comes too slowly: then no more of it is waited for
            await incoming.drain()

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                asked.status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", asked.id.encode())]
                if incoming.given_up:
                    message["headers"].append((b"connection", b"close"))
            elif scope["method"] != "HEAD":
                asked.size += len(message.get("body", b""))
            await send(message)

        try:
            await response(scope, incoming.receive, self.tenant.faults.after(faults, noting))
        except OSError:
            raise Cut from None

    async def _response(self, request: Request, query: dict[str, str], asked: Asked, faults: list[Trouble]) -> ASGIApp:
        """What is answered, by the operation, by the faults that it meets, or because there is none. Refusal."""
        scope, accept = request.scope, request.headers.get("accept", "")
        method = "GET" if asked.method == "HEAD" else asked.method
        raw_path = _path_of(scope["raw_path"].decode("latin-1"))
        asked.path = told(raw_path, None, {})
        if scope["http_version"] not in ("1.0", "1.1"):
            raise Refusal(505, "This tenant speaks HTTP/1.1")
        try:
            found = self.routes.find(method, raw_path)
            if found is None:
                return self._nowhere(method, raw_path, accept)
        except Unreadable as problem:
            raise Refusal(400, f"Invalid path: {problem}") from None
        endpoint, values = found
        asked.path, asked.service = told(raw_path, endpoint.path, values), service_of(endpoint.name)
        if endpoint.sign_in != "owner":
            if self.tenant.busy > self.tenant.bounds.requests:
                raise Refusal(503, "Too many requests are under way", headers={"Retry-After": "1"})
            faults += self.tenant.faults.of(endpoint.name)
        try:
            early = await self.tenant.faults.before(faults, accept) if faults else None
            return early or await self._ask(endpoint, values, request, query, asked)
        except (ClientDisconnect, Cut, Refusal):
            raise
        except Exception:  # the edge: nothing a handler does may end the server
            log.exception("request %s: %s failed", asked.id, endpoint.name)
            raise Refusal(500, f"The service failed; the log of the tenant says why, at {asked.id}") from None

    async def _ask(
        self, endpoint: Endpoint, values: dict[str, str], request: Request, query: dict[str, str], asked: Asked
    ) -> ASGIApp:
        ctx = Context(self.tenant, request, endpoint.name, query=query)
        if (
            endpoint.sign_in in ("token", "password")
            and (fault := await self._sign_in(endpoint.sign_in, ctx)) is not None
        ):
            return fault
        asked.user = ctx.user
        return await carry_out(endpoint, values, ctx)

    async def _sign_in(self, how: str, ctx: Context) -> Response | None:
        """Who is calling; a fault of the gateway if that is not to be known."""
        accept = ctx.request.headers.get("accept", "")
        scheme, _, given = ctx.request.headers.get("authorization", "").partition(" ")
        if how == "password":
            if scheme.lower() != "basic":
                return envelope.gateway_fault(900902, "Basic authentication is wanted", accept)
            try:
                ctx.user = await self.tenant.auth.check_password(*basic(given))
            except Denied:
                return envelope.refused(Refusal(401, "Login failed. Check the user name and the password"), ctx.query)
        else:
            if not given and ctx.service == "actors" and (nonce := ctx.query.get("x-nonce")):
                ctx.nonce = nonce
                return None
            if scheme.lower() != "bearer" or not given:
                return envelope.gateway_fault(
                    900902, "Required OAuth credentials not provided. Make sure your API invocation call has a header:"
                    " 'Authorization: Bearer ACCESS_TOKEN'", accept,
                )  # fmt: skip
            caller = self.tenant.auth.caller(given.strip(), ctx.operation)
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


async def carry_out(endpoint: Endpoint, values: Mapping[str, str], ctx: Context) -> ASGIApp:
    """What the handler of an endpoint answers to a caller who is known. Refusal."""
    arguments: dict[str, Any] = dict(values)
    for name, read in endpoint.queries.items():
        arguments[name] = read(ctx.query.get(name))
    if endpoint.has_body:
        arguments["body"] = await body_of(ctx.request, ctx.tenant.bounds)
    with storage_trouble():
        result = await endpoint.handler(ctx, **arguments)
        if ctx.request.method not in ("GET", "HEAD"):
            await ctx.tenant.store.flushed()  # what is answered is on the disk, should the machine go down
        return rendered(result, ctx.query, ctx.service)


def rendered(result: Result, query: Mapping[str, str], service: str) -> ASGIApp:
    """What a handler gave back, as a response."""
    if result is None:
        return envelope.success(Answer(), query, service)
    if isinstance(result, dict | list):
        return envelope.success(Answer(result), query, service)
    if isinstance(result, Answer):
        return envelope.success(result, query, service)
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
