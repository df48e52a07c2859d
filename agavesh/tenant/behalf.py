"""Calls made for another: an endpoint of this tenant, carried out with the rights of a user who is not asking.

Whether that user has allowed it, the caller must know. The rights are those of the moment, checked by the endpoint's
own handler as for any call.
"""

from __future__ import annotations

import functools
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.types import ASGIApp

from agavesh.tenant import app, envelope
from agavesh.tenant.context import Context
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.routes import Routes, Unreadable

DROPPED = (b"authorization", b"cookie")  # who asks is of no account


@functools.cache
def _routes() -> Routes[app.Endpoint]:
    return app.routes()


def endpoint_at(method: str, path: str) -> tuple[app.Endpoint, dict[str, str]] | None:
    """What stands at a quoted path, and the path's parameters; None if nothing does."""
    try:
        return _routes().find(method, path)
    except Unreadable:
        return None


async def call(ctx: Context, method: str, target: str, *, user: str | None) -> ASGIApp:
    """What `target`, a quoted path with its query, answers to `user`, or to a caller without a token.

    The body and the headers, a Range for example, are those of the request in `ctx`. Refusal.
    """
    path, _, query = target.partition("?")
    if (found := endpoint_at(method, path)) is None:
        raise Refusal(404, f"No resource at {path}")
    endpoint, values = found
    scope = {
        **ctx.request.scope, "method": method, "path": path, "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "headers": [pair for pair in ctx.request.scope["headers"] if pair[0] not in DROPPED],
    }  # fmt: skip
    other = Context(ctx.tenant, Request(scope, ctx.request.receive), endpoint.name)
    other.query = dict(parse_qsl(query, keep_blank_values=True))
    if user is not None:
        other.user, other.admin = user, ctx.tenant.auth.is_admin(user)
    elif endpoint.sign_in and not (other.service == "actors" and other.query.get("x-nonce")):
        return envelope.gateway_fault(
            900902, "This postit brings no credentials", ctx.request.headers.get("accept", "")
        )
    else:
        other.nonce = other.query.get("x-nonce", "")
    return await app.carry_out(endpoint, values, other)
