"""What is no service: the list of tenants, the description of all that is offered, and the proof of who this is."""

from __future__ import annotations

import functools
import hashlib
import hmac

import msgspec
import trio
from starlette.responses import Response
from starlette.types import ASGIApp

from agavesh.tenant import envelope
from agavesh.tenant.context import Answer, Context, Result, route
from agavesh.tenant.refusal import Refusal


@route("GET", "/tenants", token=False)
async def tenants(ctx: Context) -> Result:
    """The one tenant there is."""
    name = ctx.tenant.name
    return [{"id": name, "code": name, "name": "Embedded tenant", "baseUrl": ctx.tenant.url + "/", "status": "LIVE",
             "contact": [], "_links": {"self": ctx.link("/tenants")}}]  # fmt: skip


@route("GET", "/openapi.json", token=False)
async def described(ctx: Context) -> ASGIApp:
    """The OpenAPI document of all operations, for this tenant."""
    body = await trio.to_thread.run_sync(_description, ctx.tenant.url)
    return Response(body, headers=envelope.CORS, media_type="application/json")


@functools.cache
def _description(url: str) -> bytes:
    from agavesh.api import openapi  # few ask

    return msgspec.json.encode(openapi.document(url))


@route("GET", "/prove", owner=True)
async def prove(ctx: Context) -> Result:
    """HMAC-SHA256 of the caller's nonce under the key of tenant.json: only the tenant that wrote it can answer so."""
    try:
        nonce = bytes.fromhex(ctx.query.get("nonce", ""))
    except ValueError:
        nonce = b""
    if not 16 <= len(nonce) <= 1024:
        raise Refusal(400, "nonce must be 16 to 1024 bytes, written in hex")
    key = bytes.fromhex(ctx.tenant.secrets.key)
    return Answer({"proof": hmac.new(key, nonce, hashlib.sha256).hexdigest()}, bare=True)
