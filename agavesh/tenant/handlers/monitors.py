"""The monitors service: systems that are tried now and then."""

from __future__ import annotations

import time
from typing import Any

from agavesh.tenant import fields
from agavesh.tenant.context import Answer, Context, Record, Result, described, route
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.search import page
from agavesh.tenant.state import Tenant
from agavesh.tenant.words import date, moment, new_uuid

SHORTEST, LONGEST, USUAL = 5, 525_600, 720  # minutes
NAMES = frozenset(
    ("id", "owner", "frequency", "updatesystemstatus", "created", "lastupdated", "lastsuccess", "nextupdate")
)


async def resume(tenant: Tenant) -> None:
    """Check, from now on, and what became due while the tenant was down."""
    await tenant.monitors.run()


async def list(ctx: Context, *, target: str | None, active: bool | None, limit: int, offset: int) -> Result:
    found = (
        _full(ctx, monitor)
        for monitor in ctx.store.all("monitor", owner=ctx.user)
        if target in (None, "", monitor["target"]) and active in (None, monitor["active"])
    )
    return page(ctx, found, names=NAMES, summary=lambda monitor: monitor)


async def add(ctx: Context, *, body: Any) -> Result:
    now = time.time()
    monitor = {
        **_wanted(ctx, body), "id": new_uuid("014"), "owner": ctx.user, "created": now, "lastUpdated": now,
        "lastCheck": None, "lastSuccess": None,
    }  # fmt: skip
    monitor["next"] = now + monitor["frequency"] * ctx.tenant.monitors.minute
    with ctx.store.together():
        ctx.tenant.monitors.keep(monitor)
        ctx.store.event(monitor["id"], "CREATED", "Monitor was created", by=ctx.user)
    return Answer(_full(ctx, monitor), status=201)


async def get(ctx: Context, *, monitorId: str) -> Result:
    return _full(ctx, _monitor(ctx, monitorId))


async def update(ctx: Context, *, monitorId: str, body: Any) -> Result:
    """All of it anew, but for what it has seen; its next check is one interval from now."""
    old, now = _monitor(ctx, monitorId), time.time()
    monitor = {**old, **_wanted(ctx, body), "lastUpdated": now}
    monitor["next"] = now + monitor["frequency"] * ctx.tenant.monitors.minute
    if monitor["target"] != old["target"]:
        monitor |= {"lastCheck": None, "lastSuccess": None}
    with ctx.store.together():
        ctx.tenant.monitors.keep(monitor)
        ctx.store.event(monitorId, "UPDATED", "Monitor was updated", by=ctx.user)
        if monitor["active"] != old["active"]:
            status = "ENABLED" if monitor["active"] else "DISABLED"
            ctx.store.event(monitorId, status, f"Monitor was {status.lower()}", by=ctx.user)
    return _full(ctx, monitor)


async def delete(ctx: Context, *, monitorId: str) -> Result:
    monitor = _monitor(ctx, monitorId)
    with ctx.store.together():
        ctx.store.event(monitorId, "DELETED", "Monitor was deleted", by=ctx.user)
        ctx.tenant.monitors.drop(monitor)
    return None


# checks --------------------------------------------------------------------------------------------------------------


async def listChecks(
    ctx: Context, *, monitorId: str, startDate: str | None, endDate: str | None, result: str | None, limit: int,
    offset: int,
) -> Result:  # fmt: skip
    monitor = _monitor(ctx, monitorId)
    first, last = _date("startDate", startDate), _date("endDate", endDate)
    found = [
        check
        for check in ctx.tenant.monitors.checks(monitor["id"])
        if (first is None or check["at"] >= first)
        and (last is None or check["at"] <= last)
        and (not result or check["result"] == result.upper())
    ]
    return [_check(ctx, check) for check in found[offset : offset + limit]]


async def runCheck(ctx: Context, *, monitorId: str) -> Result:
    monitor = _monitor(ctx, monitorId)
    ctx.store.event(monitorId, "FORCED_CHECK_REQUESTED", "A check was asked for", by=ctx.user)
    return Answer(_check(ctx, await ctx.tenant.monitors.check(monitor)), status=201)


async def getCheck(ctx: Context, *, monitorId: str, checkId: str) -> Result:
    monitor = _monitor(ctx, monitorId)
    for check in ctx.tenant.monitors.checks(monitor["id"]):
        if check["id"] == checkId:
            return _check(ctx, check)
    raise Refusal(404, f"No check found with id {checkId}")


@route("GET", "/monitors/v2/{monitorId}/history")
async def history(ctx: Context, *, monitorId: str) -> Result:
    """The events of a monitor, oldest first."""
    _monitor(ctx, monitorId)
    return [
        {"status": status, "created": date(at), "createdBy": by, "description": description, **more}
        for at, status, by, description, more in ctx.store.events(monitorId)
    ]


# records -------------------------------------------------------------------------------------------------------------


def _monitor(ctx: Context, monitor_id: str) -> Record:
    """A monitor of the caller's. One of somebody else's looks unknown, but to administrators."""
    monitor = ctx.store.get("monitor", monitor_id)
    if monitor is None or (monitor["owner"] != ctx.user and not ctx.admin):
        raise Refusal(404, f"No monitor found with id {monitor_id}")
    return monitor


def _wanted(ctx: Context, body: Any) -> Record:
    """What a request asks for. Refusal where it makes no sense, or is not for the caller to ask."""
    if not isinstance(body, dict):
        raise Refusal(400, "Invalid JSON found. A monitor is an object.")
    target = fields.text(body, "target", longest=64, required=True)
    system = ctx.store.get("system", target)
    if system is None or not system["available"] or not ctx.tenant.files.has_role(system, ctx.user, "USER"):
        raise Refusal(400, f"Invalid value for target: there is no system {target} that you can use.")
    updates = fields.boolean(body, "updateSystemStatus", False)
    if updates and not ctx.tenant.files.has_role(system, ctx.user, "ADMIN"):
        raise Refusal(403, f"Only administrators of {target} can have its status updated")
    frequency = body.get("frequency", USUAL)
    if isinstance(frequency, bool) or not isinstance(frequency, int) or not SHORTEST <= frequency <= LONGEST:
        raise fields.wrong("frequency", f"is a number of minutes from {SHORTEST} to {LONGEST}")
    return {
        "target": target, "frequency": frequency, "active": fields.boolean(body, "active", True),
        "updateSystemStatus": updates, "internalUsername": fields.text(body, "internalUsername", longest=64) or None,
    }  # fmt: skip


def _date(name: str, text: str | None) -> float | None:
    if not text:
        return None
    try:
        return moment(text).timestamp()
    except (ValueError, OverflowError):
        raise fields.wrong(name, "is a date in ISO 8601") from None


def _check(ctx: Context, check: Record) -> Record:
    path = f"/monitors/v2/{check['monitor']}"
    return {
        "id": check["id"], "result": check["result"], "message": check["message"], "type": check["kind"],
        "created": date(check["at"]),
        "_links": {"self": ctx.link(f"{path}/checks/{check['id']}"), "monitor": ctx.link(path)},
    }  # fmt: skip


def _full(ctx: Context, monitor: Record) -> Record:
    path = f"/monitors/v2/{monitor['id']}"
    check, success = monitor["lastCheck"], monitor["lastSuccess"]
    return {
        "id": monitor["id"], "target": monitor["target"], "owner": monitor["owner"], "active": monitor["active"],
        "frequency": monitor["frequency"], "updateSystemStatus": monitor["updateSystemStatus"],
        "internalUsername": monitor["internalUsername"], "lastCheck": _check(ctx, check) if check else None,
        "lastSuccess": date(success) if success else None, "nextUpdate": date(monitor["next"]),
        "created": date(monitor["created"]), "lastUpdated": date(monitor["lastUpdated"]),
        "_links": {
            "self": ctx.link(path), "checks": ctx.link(f"{path}/checks"),
            "system": ctx.link(f"/systems/v2/{monitor['target']}"),
            "owner": ctx.link(f"/profiles/v2/{monitor['owner']}"),
            "notifications": {"href": ctx.url("/notifications/v2/") + f"?associatedUuid={monitor['id']}"},
        },
    }  # fmt: skip


@described("014", "monitor")
def told(ctx: Context, uuid: str) -> Record | None:
    """A monitor as those are told who subscribed to it."""
    return _full(ctx, _monitor(ctx, uuid)) if ctx.store.get("monitor", uuid) else None
