"""The control call: faults asked for, listed and cleared, by the tenant's owner. See `agavesh.api.control`."""

from __future__ import annotations

import msgspec
from msgspec import to_builtins

from agavesh.api.control import PATH, Active, Any_fault, ExpireTokens, Faults, Gateway
from agavesh.tenant.bodies import json_of, whole
from agavesh.tenant.context import Answer, Context, Result, route
from agavesh.tenant.envelope import FAULTS
from agavesh.tenant.faults import Trouble
from agavesh.tenant.refusal import Refusal

LARGEST = 64 * 1024  # bytes of a call


@route("GET", PATH, owner=True)
async def faults(ctx: Context) -> Result:
    """What is active, and what came."""
    await _owner(ctx)
    found = ctx.tenant.faults
    return Answer(to_builtins(Faults([_active(each) for each in found.active], dict(found.requests))))


@route("POST", PATH, owner=True)
async def add(ctx: Context) -> Result:
    """One more. Operations that the tenant does not know are refused: such a fault would meet nobody."""
    body = await _owner(ctx)
    try:
        fault = msgspec.convert(json_of(body), Any_fault)
    except msgspec.ValidationError as problem:
        raise Refusal(400, f"No such fault: {problem}") from None
    if fault.operation != "*" and fault.operation not in ctx.tenant.known:
        raise Refusal(400, f'The tenant has no operation "{fault.operation}"')
    if isinstance(fault, Gateway) and fault.code not in FAULTS:
        raise Refusal(400, f"The gateway has no fault {fault.code}: {', '.join(map(str, FAULTS))}")
    if isinstance(fault, ExpireTokens) and fault.username and not ctx.tenant.auth.exists(fault.username):
        raise Refusal(400, f"There is no user {fault.username}")
    trouble = ctx.tenant.faults.add(fault)
    return Answer(to_builtins(_active(trouble)), status=201)


@route("DELETE", PATH, owner=True)
async def clear(ctx: Context) -> Result:
    """No more trouble."""
    await _owner(ctx)
    ctx.tenant.faults.clear()
    return None


@route("DELETE", PATH + "/{name}", owner=True)
async def remove(ctx: Context, *, name: str) -> Result:
    """One is over."""
    await _owner(ctx)
    for trouble in ctx.tenant.faults.active:
        if trouble.name == name:
            ctx.tenant.faults.remove(trouble)
            return None
    raise Refusal(404, f'No fault is called "{name}"')


def _active(trouble: Trouble) -> Active:
    return Active(trouble.name, trouble.fault, trouble.hits)


async def _owner(ctx: Context) -> bytes:
    """The call's body, once it is known to be the owner's."""
    if ctx.tenant.control is None:
        raise Refusal(404, "This tenant was not started with --control")
    body = await whole(ctx.request, LARGEST)
    path = ctx.request.scope["raw_path"].decode("latin-1")
    ctx.tenant.control.require(ctx.request.headers.get("authorization", ""), ctx.request.method, path, body)
    return body
