"""What is no service: the list of tenants, and the proof of who this is."""

from __future__ import annotations

import hashlib
import hmac

from agavesh.tenant.context import Answer, Context, Result, route
from agavesh.tenant.refusal import Refusal


@route("GET", "/tenants", token=False)
async def tenants(ctx: Context) -> Result:
    """The one tenant there is."""
    name = ctx.tenant.name
    return [{"id": name, "code": name, "name": "Embedded tenant", "baseUrl": ctx.tenant.url + "/", "status": "LIVE",
             "contact": [], "_links": {"self": ctx.link("/tenants")}}]  # fmt: skip


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
