"""The apps service: recipes, their revisions, copies and publication."""

from __future__ import annotations

import contextlib
import fnmatch
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from agavesh.tenant.apps import bundles, form
from agavesh.tenant.apps.records import NOT_PUBLIC, app_of, check_system, erase, register, rights, write
from agavesh.tenant.apps.spec import application
from agavesh.tenant.context import Answer, Context, Record, Records, Result, described, route
from agavesh.tenant.files.disk import said
from agavesh.tenant.jobs.places import bundle_place, incoming, place_on
from agavesh.tenant.pems import Grants
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.search import page
from agavesh.tenant.words import Pem, date, new_uuid

_SEARCHED = (
    "available checkpointable checksum created defaultmaxruntime defaultmemorypernode defaultnodes"
    " defaultprocessorspernode defaultqueue deploymentpath deploymentsystem templatepath executionsystem executiontype"
    " helpuri icon id inputs.id label lastupdated longdescription name outputs.id ontology owner parallelism"
    " parameters.id parameters.type public publiconly privateonly revision shortdescription tags testpath uuid"
    " version"
)
NAMES = frozenset(_SEARCHED.split())
ALIASES = {
    "public": "ispublic", "lastupdated": "lastmodified", "defaultnodes": "defaultnodecount",
    "parameters.type": "parameters.value.type",
}  # fmt: skip
EVENT_NAMES = frozenset({"status", "created", "createdby", "description"})
SUMMARY = (
    "id", "name", "version", "revision", "executionSystem", "shortDescription", "isPublic", "label", "lastModified",
    "_links",
)  # fmt: skip
ACTIONS = "PUBLISH,ENABLE,DISABLE,CLONE,ERASE"


# reading -------------------------------------------------------------------------------------------------------------


def _full(ctx: Context, app: Mapping[str, Any]) -> Record:
    path = f"/apps/v2/{app['id']}"
    told = {name: value for name, value in app.items() if not name.startswith("_")}
    links = {
        "self": ctx.link(path),
        "executionSystem": ctx.link(f"/systems/v2/{app['executionSystem']}"),
        "storageSystem": ctx.link(f"/systems/v2/{app['deploymentSystem']}"),
        "history": ctx.link(f"{path}/history"),
        "owner": ctx.link(f"/profiles/v2/{app['owner']}"),
        "permissions": ctx.link(f"{path}/pems"),
    }
    return {**told, "_links": links}


@described("005", "app")
def told(ctx: Context, uuid: str) -> Record | None:
    """An app as those are told who subscribed to it; a removed one too."""
    app = ctx.store.of_uuid("app", uuid)
    if app is not None and Pem.READ & ~rights(ctx, app):
        raise Refusal(403, "Permission denied. You do not have permission to view this application")
    return _full(ctx, app) if app is not None else None


def _visible(ctx: Context, wanted: Callable[[Record], bool]) -> Iterator[Record]:
    for app in ctx.store.all("app"):
        may = rights(ctx, app)
        if Pem.READ & may and not app["_removed"] and (app["available"] or Pem.WRITE & may) and wanted(app):
            yield app


def _listing(
    ctx: Context, public: bool | None, private: bool | None, wanted: Callable[[Record], bool] = lambda app: True
) -> Records:
    def kept(app: Record) -> bool:
        return wanted(app) and not (public and not app["isPublic"]) and not (private and app["isPublic"])

    asked = {name: value for name, value in ctx.query.items() if name.lower() not in ("publiconly", "privateonly")}
    chosen = page(ctx, _visible(ctx, kept), names=NAMES, summary=lambda app: app, search=asked, aliases=ALIASES)
    records = [_full(ctx, app) for app in chosen]  # links are made for those that are shown
    return records if ctx.filtered else [{name: record[name] for name in SUMMARY} for record in records]


def _like(value: Any, pattern: str) -> bool:
    return fnmatch.fnmatchcase(str(value or "").lower(), pattern.lower().replace("[", "[[]").replace("?", "[?]"))


async def list(ctx: Context, *, publicOnly: bool | None, privateOnly: bool | None, limit: int, offset: int) -> Result:
    return _listing(ctx, publicOnly, privateOnly)


async def listByName(
    ctx: Context, *, name: str, publicOnly: bool | None, privateOnly: bool | None, limit: int, offset: int
) -> Result:
    """By the name, as documented; a pattern may also stand for the whole id, which is what the platform compares."""
    return _listing(ctx, publicOnly, privateOnly, lambda app: _like(app["name"], name) or _like(app["id"], name))


async def listByTag(
    ctx: Context, *, tag: str, publicOnly: bool | None, privateOnly: bool | None, limit: int, offset: int
) -> Result:
    return _listing(ctx, publicOnly, privateOnly, lambda app: any(_like(each, tag) for each in app["tags"]))


async def listBySystemId(
    ctx: Context, *, systemId: str, publicOnly: bool | None, privateOnly: bool | None, limit: int, offset: int
) -> Result:
    return _listing(ctx, publicOnly, privateOnly, lambda app: _like(app["executionSystem"], systemId))


async def listByOntologyTerm(
    ctx: Context, *, term: str, publicOnly: bool | None, privateOnly: bool | None, limit: int, offset: int
) -> Result:
    return _listing(ctx, publicOnly, privateOnly, lambda app: any(_like(each, term) for each in app["ontology"]))


async def get(ctx: Context, *, appId: str) -> Result:
    return _full(ctx, app_of(ctx, appId))


async def getJobSubmissionForm(ctx: Context, *, uniqueName: str) -> Result:
    app = app_of(ctx, uniqueName)
    system = ctx.store.get("system", app["executionSystem"]) or {}
    return {"submitForm": form.of(app, system.get("queues") or [], action=ctx.url("/jobs/v2/"))}


@route("GET", "/apps/v2/{appId}/history")
async def getHistory(ctx: Context, *, appId: str) -> Result:
    """The events of an app, oldest first."""
    app = app_of(ctx, appId)
    events: Records = [
        {"status": status, "created": date(at), "createdBy": by, "description": description, **more}
        for at, status, by, description, more in ctx.store.events(app["uuid"])
    ]
    return page(ctx, events, names=EVENT_NAMES, summary=lambda event: event)


# registering ---------------------------------------------------------------------------------------------------------


async def add(ctx: Context, *, body: Any) -> Result:
    # wire: 200 in the public build, other builds say 201
    return _full(ctx, register(ctx, body))


async def update(ctx: Context, *, appId: str, body: Any) -> Result:
    public = _is_public(ctx, appId)
    app_of(ctx, appId, Pem.READ if public else Pem.WRITE)
    if public:
        raise Refusal(403, "Permission denied. Public applications cannot be updated")
    if isinstance(body, dict) and f"{body.get('name')}-{body.get('version')}" != appId:
        raise Refusal(400, f"The name and version of the record are not those of {appId}")
    return Answer(_full(ctx, register(ctx, body)), status=201)


# actions -------------------------------------------------------------------------------------------------------------


async def manage(ctx: Context, *, appId: str, body: Any) -> Result:
    action = str(body.get("action") or "").upper() if isinstance(body, dict) else ""
    app = ctx.store.get("app", appId)
    if app is None or (app["_removed"] and not ctx.admin):
        raise Refusal(404, f"No software found matching {appId}")
    match action:
        case "PUBLISH":
            return Answer(_full(ctx, await _publish(ctx, app, body)), status=202)
        case "CLONE":
            return Answer(_full(ctx, await _clone(ctx, app_of(ctx, appId), body)), status=202)
        case "ENABLE":
            return _full(ctx, _enable(ctx, app, True))
        case "DISABLE":
            return _full(ctx, _enable(ctx, app, False))
        case "ERASE":
            _administrators(ctx, "erase")
            erase(ctx, app)
            return None
        case "":
            raise Refusal(400, f"No action specified. Valid actions are {ACTIONS}")
    raise Refusal(400, f"Invalid action {body['action']}. Valid actions are {ACTIONS}")


def _administrators(ctx: Context, doing: str) -> None:
    if not ctx.admin:
        raise Refusal(403, f"Permission denied. Only an administrator of the tenant can {doing} applications")


def _enable(ctx: Context, app: Record, available: bool) -> Record:
    if Pem.WRITE & ~rights(ctx, app):
        raise Refusal(403, "Permission denied. You do not have permission to change this application")
    event = "RESTORED" if available else "DISABLED"  # wire: the platform's only word for an app that is there again
    changed = {**app, "available": available, "_removed": app["_removed"] and not available}
    return write(ctx, changed, app["id"], event, f"App was {'enabled' if available else 'disabled'}")


async def _publish(ctx: Context, app: Record, body: Record) -> Record:
    """Make a public app of a private one: its files become a zip that nobody changes any more."""
    _administrators(ctx, "publish")
    if app["isPublic"]:
        raise Refusal(400, f"{app['id']} is public already")
    record = _renamed(app, body, "executionSystem")
    application(record)
    check_system(ctx, record)
    system = _up(ctx, ctx.tenant.files.default_system(ctx.user))
    folder = (system.get("storage", {}).get("publicAppsDir") or "/apps").strip("/")
    with _noted(ctx, app, "PUBLISHING_FAILED"):
        zipped, checksum = await bundles.pack(_folder(ctx, app), incoming(ctx.tenant))
        # no await until the record is written: the number would be another's, who publishes at the same time
        name, number = f"{record['name']}-{record['version']}", app["revision"]
        while ctx.store.get("app", f"{name}u{number}") is not None:
            number += 1
        target = place_on(ctx.tenant, system["id"], f"/{folder}/{name}u{number}.zip")
        _put(ctx, zipped, Path(target.disk.at(target.path)))
    changes = {
        "isPublic": True, "revision": number, "uuid": new_uuid("005"), "created": date(time.time()),
        "checksum": checksum,
        "deploymentSystem": system["id"], "deploymentPath": target.path, "_bundle": target.path, "_checksum": checksum,
        "available": True,
    }  # fmt: skip
    app_id = f"{name}u{number}"
    with ctx.store.together():  # who listens to the source hears of it too
        ctx.store.event(app["uuid"], "PUBLISHED", f"App was published as {app_id}", by=ctx.user)
        for earlier in [*ctx.store.all("app")]:
            if earlier["isPublic"] and f"{earlier['name']}-{earlier['version']}" == name:
                ctx.store.event(earlier["uuid"], "REPUBLISHED", f"App was published anew as {app_id}", by=ctx.user)
        return write(ctx, {**record, **changes}, app_id, "PUBLISHED", f"App was published from {app['id']}")


def _put(ctx: Context, zipped: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        zipped.replace(target)
        ctx.store.touched(target.parent)
    finally:
        zipped.unlink(missing_ok=True)


async def _clone(ctx: Context, app: Record, body: Record) -> Record:
    """A private copy of an app and its files, for the caller."""
    record = _renamed(app, body, "executionSystem")
    app_id = f"{record['name']}-{record['version']}"
    if ctx.store.get("app", app_id) is not None:
        raise Refusal(400, f"An app {app_id} exists: give the copy another name or version")
    wish = body.get("deploymentSystem") or body.get("storageSystem")  # AgavePy says storageSystem
    path = str(body.get("deploymentPath") or f"{ctx.user}/applications/{app_id}")
    target = ctx.tenant.files.place(ctx.user, str(wish) if wish else None, path)
    record |= {"deploymentSystem": _up(ctx, target.system)["id"], "deploymentPath": path}
    application(record)
    check_system(ctx, record)
    ctx.tenant.files.require(target, ctx.user, Pem.WRITE, "write to")
    source = _folder(ctx, app)
    if Path(target.disk.at(target.path)).is_relative_to(source):
        raise Refusal(400, "A copy cannot lie within the app's own folder")
    with _noted(ctx, app, "CLONING_FAILED"):
        await bundles.unpack(
            source, Path(target.disk.at(target.path)), incoming(ctx.tenant), None,
            checksum=app.get("_checksum"),
        )  # fmt: skip
    if ctx.store.get("app", app_id) is not None:  # made while the files were copied
        raise Refusal(400, f"An app {app_id} exists: give the copy another name or version")
    ctx.tenant.files.record(target, ctx.user)
    changes = {
        "owner": ctx.user, "isPublic": False, "revision": 1, "uuid": new_uuid("005"), "created": date(time.time()),
        "available": True, "_bundle": target.path, "_checksum": None,
    }  # fmt: skip
    copied = {name: value for name, value in {**record, **changes}.items() if name != "checksum"}
    with ctx.store.together():
        ctx.store.event(app["uuid"], "CLONED", f"App was cloned as {app_id}", by=ctx.user)
        return write(ctx, copied, app_id, "CLONED", f"App was cloned from {app['id']}")


@contextlib.contextmanager
def _noted(ctx: Context, app: Record, event: str) -> Iterator[None]:
    """Files of an app are copied: its history tells it if that fails, and so does the answer."""
    try:
        yield
    except (Refusal, OSError) as trouble:
        reason = f"The files of {app['id']} could not be copied: {said(trouble)}"
        ctx.store.event(app["uuid"], event, reason, by=ctx.user)
        raise Refusal(500, reason) from None


def _renamed(app: Record, body: Record, *also: str) -> Record:
    """The app's record with the name, version and more that an action asks for."""
    changes = {name: body[name] for name in ("name", "version", *also) if body.get(name)}
    return {**{name: value for name, value in app.items() if name != "id"}, **changes}


def _folder(ctx: Context, app: Mapping[str, Any]) -> Path:
    place = bundle_place(ctx.tenant, app)
    if place.disk.stat(place.path) is None:
        raise Refusal(400, f"The files of {app['id']} are not there: {place.path} on {place.system_id}")
    return Path(place.disk.at(place.path))


def _up(ctx: Context, system: Record) -> Record:
    if system.get("status", "UP") != "UP":
        raise Refusal(503, f"The system {system['id']} is not up")
    return system


async def delete(ctx: Context, *, appId: str) -> Result:
    app = app_of(ctx, appId, Pem.WRITE, status=401)
    if app["isPublic"]:
        with ctx.store.together():
            ctx.store.event(app["uuid"], "UNPUBLISHED", NOT_PUBLIC, by=ctx.user)
            write(ctx, {**app, "available": False, "_removed": True}, appId, "DELETED", "App was removed")
    else:
        erase(ctx, app)
    return None


# permissions ---------------------------------------------------------------------------------------------------------


def _grants(ctx: Context, app_id: str, needed: Pem) -> Grants:
    app = app_of(ctx, app_id, needed if not _is_public(ctx, app_id) else Pem.READ)
    if app["isPublic"]:
        raise Refusal(501, "Permissions are not supported on public applications")
    return Grants(ctx, app["uuid"], f"/apps/v2/{app_id}", app["owner"], Pem.ALL)


def _is_public(ctx: Context, app_id: str) -> bool:
    return bool((ctx.store.get("app", app_id) or {}).get("isPublic"))


async def listPermissions(ctx: Context, *, appId: str, limit: int, offset: int) -> Result:
    return _grants(ctx, appId, Pem.READ).all(limit, offset)


async def listPermissionsForUser(ctx: Context, *, appId: str, username: str, limit: int, offset: int) -> Result:
    return _grants(ctx, appId, Pem.READ).one(username)


async def updateApplicationPermissions(ctx: Context, *, appId: str, body: Any) -> Result:
    return _grants(ctx, appId, Pem.WRITE).change(body, None)


async def updatePermissionsForUser(ctx: Context, *, appId: str, username: str, body: Any) -> Result:
    return _grants(ctx, appId, Pem.WRITE).change(body, username)


async def deletePermissions(ctx: Context, *, appId: str) -> Result:
    _grants(ctx, appId, Pem.WRITE).clear()
    return None


async def deletePermissionsForUser(ctx: Context, *, appId: str, username: str) -> Result:
    _grants(ctx, appId, Pem.WRITE).revoke(username)
    return None
