"""The notifications service: subscriptions to events, and what became of their deliveries."""

from __future__ import annotations

from typing import Any

from agavesh.tenant.bodies import body_of
from agavesh.tenant.context import Answer, Context, Record, Records, Result, described, route
from agavesh.tenant.notifications import spec
from agavesh.tenant.notifications.resources import NOTIFICATION, find, type_of
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.search import page
from agavesh.tenant.state import Tenant
from agavesh.tenant.words import date

_SEARCHED = (
    "associateduuid url created event id lastupdated owner persistent policy.retrystrategy policy.retrylimit"
    " policy.retryrate policy.retrydelay policy.saveonfailure status visible"
)
NAMES = frozenset(_SEARCHED.split())
EVENT_NAMES = frozenset({"status", "created", "createdby", "description"})
ATTEMPT_NAMES = frozenset({"id", "url", "event", "associateduuid", "starttime", "endtime", "response.code"})
SUMMARY = ("id", "url", "associatedUuid", "event", "_links")


async def resume(tenant: Tenant) -> None:
    """Deliver what is to be delivered, an earlier run's too."""
    await tenant.notifications.run()


# subscriptions -------------------------------------------------------------------------------------------------------


async def add(ctx: Context, *, body: Any) -> Result:
    wanted = spec.subscription(body)
    if not wanted.get("associatedUuid"):
        raise Refusal(400, "No associatedUuid given. It is required.")
    _check_resource(ctx, wanted["associatedUuid"])
    return Answer(_full(ctx, ctx.tenant.notifications.add(wanted, ctx.user)), status=201)


async def list(ctx: Context, *, associatedUuid: str | None, limit: int, offset: int) -> Result:
    """The caller's, without those that have ended unless a `status` is asked for."""
    all_too = any(key.lower().partition(".")[0] == "status" for key in ctx.query)
    found = (
        {**_full(ctx, record), "visible": True} for record in ctx.tenant.notifications.kept.of(ctx.user, ended=all_too)
    )
    return page(ctx, found, names=NAMES, summary=lambda record: {name: record[name] for name in SUMMARY})


async def get(ctx: Context, *, uuid: str) -> Result:
    return _full(ctx, _subscription(ctx, uuid))


async def update(ctx: Context, *, uuid: str, body: Any) -> Result:
    old = _subscription(ctx, uuid)
    wanted = spec.subscription(body, old)
    if wanted["associatedUuid"] != old["associatedUuid"]:
        _check_resource(ctx, wanted["associatedUuid"])
    return _full(ctx, ctx.tenant.notifications.change(old, wanted, ctx.user))


async def delete(ctx: Context, *, uuid: str) -> Result:
    ctx.tenant.notifications.drop(_subscription(ctx, uuid), ctx.user)
    return None


def _subscription(ctx: Context, uuid: str) -> Record:
    """A subscription of the caller's. Refusal 404, 403."""
    record = ctx.tenant.notifications.kept.get(uuid)
    if record is None:
        raise Refusal(404, f"No notification found with id {uuid}.")
    if record["owner"] != ctx.user and not ctx.admin:
        raise Refusal(403, "User does not have permission to view or change this notification.")
    return record


def _check_resource(ctx: Context, uuid: str) -> None:
    """Refusal unless the caller may hear of the events of a resource."""
    if uuid == "*":
        if not ctx.admin:
            raise Refusal(403, "Only an administrator of the tenant can subscribe to the events of all resources.")
        return
    try:
        found = find(ctx.tenant, uuid, ctx.user)
    except Refusal as refusal:
        if refusal.status != 404:
            raise
        found = None  # it looks unknown to the caller, and is told as what is unknown
    if found is None:
        raise Refusal(400, f"Invalid value for associatedUuid: there is no resource {uuid}.")
    if found.kind == "notification" and type_of(found.record["associatedUuid"]) == NOTIFICATION:
        raise Refusal(400, f"Invalid value for associatedUuid: {uuid} is about a notification itself.")


def _full(ctx: Context, record: Record) -> Record:
    path = f"/notifications/v2/{record['id']}"
    links = {
        "self": ctx.link(path),
        "history": ctx.link(f"{path}/history"),
        "attempts": ctx.link(f"{path}/attempts"),
        "owner": ctx.link(f"/profiles/v2/{record['owner']}"),
    }
    links |= {kind: ctx.link(about) for kind, about in record["_about"].items()}
    told = {name: value for name, value in record.items() if not name.startswith("_")}
    return {**told, "_links": links}


@described(NOTIFICATION, "notification")
def told(ctx: Context, uuid: str) -> Record | None:
    """A subscription as those are told who subscribed to it."""
    if ctx.tenant.notifications.kept.get(uuid) is None:
        return None
    return _full(ctx, _subscription(ctx, uuid))


# what became of them -------------------------------------------------------------------------------------------------


@route("GET", "/notifications/v2/{uuid}/history")
async def history(ctx: Context, *, uuid: str) -> Result:
    """The events of a subscription itself, oldest first."""
    record = _subscription(ctx, uuid)
    events: Records = [
        {"status": status, "created": date(at), "createdBy": by, "description": description, **more}
        for at, status, by, description, more in ctx.store.events(record["id"])
    ]
    return page(ctx, events, names=EVENT_NAMES, summary=lambda event: event)


@route("GET", "/notifications/v2/{uuid}/attempts")
async def attempts(ctx: Context, *, uuid: str) -> Result:
    """Deliveries that failed for good, newest first, where the policy keeps them."""
    record = _subscription(ctx, uuid)
    failures = [_attempt(ctx, record, failure) for failure in ctx.tenant.notifications.kept.failures(uuid)]
    return page(ctx, failures, names=ATTEMPT_NAMES, summary=lambda failure: failure)


@route("POST", "/notifications/v2/{uuid}/attempts")
async def force(ctx: Context, *, uuid: str) -> Result:
    """Tell a subscription of an event that did not happen, to see what comes of it."""
    record = _subscription(ctx, uuid)
    event, about = spec.attempt(await body_of(ctx.request, ctx.tenant.bounds), record)
    record = _subscription(ctx, uuid)  # it may be another, or gone, after the waiting
    if about != record["associatedUuid"]:
        _check_resource(ctx, about)
    return Answer(_attempt(ctx, record, ctx.tenant.notifications.force(record, about, event, ctx.user)), status=202)


@route("DELETE", "/notifications/v2/{uuid}/attempts")
async def delete_attempts(ctx: Context, *, uuid: str) -> Result:
    _subscription(ctx, uuid)
    ctx.tenant.notifications.kept.forget_failures(uuid)
    return None


@route("GET", "/notifications/v2/{uuid}/attempts/{attemptId}")
async def attempt(ctx: Context, *, uuid: str, attemptId: str) -> Result:
    record = _subscription(ctx, uuid)
    for failure in ctx.tenant.notifications.kept.failures(uuid):
        if failure["id"] == attemptId:
            return _attempt(ctx, record, failure)
    raise Refusal(404, f"No failed attempt {attemptId} is kept for notification {uuid}.")


@route("DELETE", "/notifications/v2/{uuid}/attempts/{attemptId}")
async def delete_attempt(ctx: Context, *, uuid: str, attemptId: str) -> Result:
    _subscription(ctx, uuid)
    if not ctx.tenant.notifications.kept.forget_failures(uuid, attemptId):
        raise Refusal(404, f"No failed attempt {attemptId} is kept for notification {uuid}.")
    return None


def _attempt(ctx: Context, record: Record, failure: Record) -> Record:
    path = f"/notifications/v2/{record['id']}"
    links = {
        "self": ctx.link(f"{path}/attempts/{failure['id']}"),
        "notification": ctx.link(path),
        "profile": ctx.link(f"/profiles/v2/{record['owner']}"),
    }
    return {**failure, "_links": links}
