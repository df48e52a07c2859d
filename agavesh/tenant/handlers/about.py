"""What is no service: the list of tenants, the proof of who this is, and faults asked for over HTTP."""

from __future__ import annotations

import hashlib
import hmac
import math
from typing import Any

from agavesh.tenant.bodies import body_of
from agavesh.tenant.context import Answer, Context, Result, route
from agavesh.tenant.refusal import Refusal


@route("GET", "/tenants", token=False)
async def tenants(ctx: Context) -> Result:
    """The one tenant there is."""
    name = ctx.tenant.name
    return [{"id": name, "code": name, "name": "Embedded tenant", "baseUrl": ctx.tenant.url + "/", "status": "LIVE",
             "contact": [], "_links": {"self": ctx.link("/tenants")}}]  # fmt: skip


@route("GET", "/prove", token=False)
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


@route("POST", "/faults")
async def ask_for_faults(ctx: Context) -> Result:
    """`{"kind": "slow", "operation": "files.list", "seconds": 2, "times": 1}`, or `{"kind": "clear"}`; the other kinds
    and their details are those of `faults`, and `hold_staging`, `release_staging`, `expire_tokens`."""
    _allowed(ctx)
    body: dict[str, Any] = await body_of(ctx.request)
    faults, kind = ctx.tenant.faults, body.pop("kind", "")
    match kind:
        case "clear":
            faults.clear()
        case "hold_staging":
            faults.hold_staging()
        case "release_staging":
            faults.release_staging()
        case "expire_tokens":
            faults.expire_tokens(body.get("username"))
        case "slow" | "refuse" | "throttle" | "gateway" | "html" | "cut" | "stall" | "malform":
            operation, times = body.pop("operation", "*"), body.pop("times", math.inf)
            faults.add(kind, operation, times=times, **(_DEFAULTS[kind] | body))
        case _:
            raise Refusal(400, f"no fault of kind {kind!r}")
    return None


_DEFAULTS: dict[str, dict[str, Any]] = {
    "slow": {"seconds": math.inf}, "refuse": {"status": 500, "message": "refused on purpose"},
    "throttle": {"retry_after": 1}, "gateway": {"code": 900904}, "html": {"status": 502}, "cut": {"after": 0},
    "stall": {"after": 0}, "malform": {},
}  # fmt: skip


@route("GET", "/faults")
async def counted(ctx: Context) -> Result:
    """How many requests came, by operation."""
    _allowed(ctx)
    return dict(ctx.tenant.faults.requests)


def _allowed(ctx: Context) -> None:
    if not ctx.tenant.control:
        raise Refusal(404, "This tenant was not started with --faults")
    if not ctx.admin:
        raise Refusal(403, "Faults are for administrators of the tenant")
