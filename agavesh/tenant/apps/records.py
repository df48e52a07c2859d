"""Apps as records: found, with the rights on them; registered, written with an event, erased."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from agavesh.tenant.apps.spec import EXECUTION_TYPES, application, check_queue
from agavesh.tenant.context import Context, Record
from agavesh.tenant.files.places import EVERYBODY, Place
from agavesh.tenant.jobs import index
from agavesh.tenant.jobs.places import bundle_place
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.words import Pem, date, new_uuid

# what those hear who listen to the execution system, if it is not APP_UPDATE
ON_SYSTEM = {
    "CREATED": "APP_CREATE", "CLONED": "APP_CREATE", "PUBLISHED": "APP_CREATE", "DELETED": "APP_DELETE",
}  # fmt: skip
NOT_PUBLIC = "App is not for public use any more"


def rights(ctx: Context, app: Mapping[str, Any]) -> Pem:
    """What the caller may do with an app. A public one is for all to see and to run."""
    if ctx.admin or (app["owner"] == ctx.user and not app["isPublic"]):
        return Pem.ALL
    shared = Pem.READ | Pem.EXECUTE if app["isPublic"] else Pem.NONE
    return shared | Pem(ctx.store.granted(app["uuid"], ctx.user, *EVERYBODY))


def app_of(ctx: Context, app_id: str, needed: Pem = Pem.READ, *, status: int = 403) -> Record:
    """An app that the caller has the right `needed` on. Refusal 404 for none, `status` for no permission."""
    app = ctx.store.get("app", app_id)
    if app is None or app["_removed"]:
        raise Refusal(404, f"No software found matching {app_id}")
    if needed & ~rights(ctx, app):
        doing = {Pem.READ: "view", Pem.EXECUTE: "run"}.get(needed, "change")
        raise Refusal(status, f"Permission denied. You do not have permission to {doing} this application")
    return app


def runnable(ctx: Context, app_id: str) -> tuple[Record, Record]:
    """An app that the caller may run now, and its execution system. Refusal 400 for none, 403 for no permission."""
    app = ctx.store.get("app", app_id)
    if app is None or app["_removed"]:
        raise Refusal(400, f"No software found matching {app_id}")
    if Pem.EXECUTE & ~rights(ctx, app):
        raise Refusal(403, f"Permission denied. You do not have permission to run {app_id}")
    if not app["available"]:
        raise Refusal(400, f"The app {app_id} is disabled")
    system = _execution_system(ctx, app["executionSystem"], "executionSystem")
    if not ctx.tenant.files.has_role(system, ctx.user, "USER"):
        raise Refusal(403, f"Permission denied. You do not have permission to run jobs on {system['id']}")
    bundle = bundle_place(ctx.tenant, app)
    wrapper = (
        bundle.on(f"{bundle.path}/{app['templatePath'].lstrip('/')}") if bundle.disk.is_dir(bundle.path) else bundle
    )
    if wrapper.disk.stat(wrapper.path) is None:
        raise Refusal(400, f"The wrapper of {app_id} is not there: {wrapper.path} on {wrapper.system_id}")
    return app, system


def _execution_system(ctx: Context, system_id: str, field: str) -> Record:
    try:
        system = ctx.tenant.files.system(system_id, ctx.user)
    except Refusal as refusal:
        raise Refusal(400, f"Invalid {field}: {refusal.message}") from None
    if system["type"] != "EXECUTION":
        raise Refusal(400, f"Invalid {field}: {system_id} is no execution system")
    return system


def register(ctx: Context, body: Any) -> Record:
    """Check a request and write its record: a new one, or the next revision of one."""
    if not isinstance(body, dict):
        raise Refusal(400, "Invalid JSON found. An app is an object")
    wanted = application(body)
    app_id = f"{wanted['name']}-{wanted['version']}"
    old = ctx.store.get("app", app_id)
    if old is not None and (old["isPublic"] or Pem.WRITE & ~rights(ctx, old)):
        raise Refusal(403, f"Permission denied. You do not have permission to update {app_id}")
    check_system(ctx, wanted)
    bundle = _bundle(ctx, wanted)
    record = {**wanted, "deploymentSystem": bundle.system_id, "isPublic": False, "_bundle": bundle.path}
    if old is None:
        return write(ctx, {**record, "owner": ctx.user}, app_id, "CREATED", "App was created")
    same = {"uuid": old["uuid"], "owner": old["owner"], "created": old["created"], "revision": old["revision"] + 1}
    return write(ctx, {**record, **same}, app_id, "UPDATED", f"App was updated to revision {same['revision']}")


def check_system(ctx: Context, record: Mapping[str, Any]) -> Record:
    system = _execution_system(ctx, record["executionSystem"], "executionSystem")
    if not ctx.tenant.files.has_role(system, ctx.user, "PUBLISHER"):
        raise Refusal(403, "Permission denied. You do not have permission to register applications")
    known = EXECUTION_TYPES.get(system.get("executionType", ""), ())
    if record["executionType"] not in known:
        raise Refusal(
            400, f"Invalid executionType {record['executionType']}: {system['id']} takes {', '.join(known) or 'none'}"
        )
    check_queue(record, system.get("queues") or [])
    return system


def _bundle(ctx: Context, record: Mapping[str, Any]) -> Place:
    """Where the app's files are. Refusal 400 for what is not there, naming it."""
    try:
        place = ctx.tenant.files.place(ctx.user, record["deploymentSystem"], record["deploymentPath"])
    except Refusal as refusal:
        raise Refusal(400, f"Invalid deploymentSystem or deploymentPath: {refusal.message}") from None
    if place.system["type"] != "STORAGE":
        raise Refusal(400, f"Invalid deploymentSystem: {place.system_id} is no storage system")
    ctx.tenant.files.require(place, ctx.user, Pem.READ, "read")
    if not place.disk.is_dir(place.path):
        raise Refusal(400, f"Invalid deploymentPath: there is no folder {place.path} on {place.system_id}")
    for field in ("templatePath", "testPath"):
        path = f"{place.path}/{record[field].lstrip('/')}"
        if place.disk.stat(path) is None:
            raise Refusal(400, f"Invalid {field}: there is no file {path} on {place.system_id}")
    return place


def write(ctx: Context, record: Record, app_id: str, event: str, description: str) -> Record:
    now = date(time.time())
    fresh = {"uuid": new_uuid("005"), "revision": 1, "created": now, "_removed": False}
    whole = {"id": app_id, **fresh, **record, "lastModified": now}
    with ctx.store.together():
        ctx.store.put("app", app_id, whole, owner=whole["owner"])
        ctx.store.event(whole["uuid"], event, description, by=ctx.user)
        _tell_system(ctx, whole, ON_SYSTEM.get(event, "APP_UPDATE"))
    return whole


def _tell_system(ctx: Context, app: Record, event: str) -> None:
    if (system := ctx.store.get("system", app["executionSystem"])) is not None:  # it may have been erased
        ctx.store.tell(system["uuid"], event, f"App {app['id']}", by=ctx.user, about=app["uuid"])


def erase(ctx: Context, app: Record) -> None:
    """Drop a record for good; the jobs that ran it are hidden."""
    with ctx.store.together():
        # whoever listens hears of it, though the history goes with the record
        if app["isPublic"] and not app["_removed"]:
            ctx.store.event(app["uuid"], "UNPUBLISHED", NOT_PUBLIC, by=ctx.user)
        ctx.store.event(app["uuid"], "DELETED", "App was removed", by=ctx.user)
        if not app["_removed"]:
            _tell_system(ctx, app, "APP_DELETE")
        ctx.store.drop("app", app["id"])
        ctx.store.forget(app["uuid"])
        for job_id in index.of_app(ctx.store, app["id"]):
            if (job := ctx.store.get("job", job_id)) is not None:
                index.keep(ctx.store, {**job, "_visible": False})
                ctx.store.event(job["id"], "DELETED", f"Its app {app['id']} was removed", by=ctx.user)
