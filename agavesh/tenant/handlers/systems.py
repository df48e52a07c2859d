"""The systems service: records, actions, roles, credentials."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any

import trio

from agavesh.tenant import search
from agavesh.tenant.context import Answer, Context, Record, Result, described, route
from agavesh.tenant.files.places import ROLES
from agavesh.tenant.files.trees import erase
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.systems.credentials import clear_credentials, store_credential, stored_credentials
from agavesh.tenant.systems.records import NO_MANAGER, change, full, register, replace, require_change, system_of
from agavesh.tenant.systems.spec import checked
from agavesh.tenant.words import date

_SEARCHED = (
    "available created default description environment executiontype globaldefault id lastmodified lastupdated"
    " login.host login.port login.protocol login.proxy.name login.proxy.host login.proxy.port maxsystemjobs"
    " maxsystemjobsperuser name owner public queues.name queues.default queues.maxjobs queues.maxuserjobs"
    " queues.maxnodes queues.maxprocessorspernode queues.maxmemorypernode queues.maxrequestedtime scheduler"
    " scratchdir site startupscript status storage.host storage.port storage.protocol storage.rootdir"
    " storage.homedir storage.zone storage.resource storage.bucket storage.container storage.proxy.name"
    " storage.proxy.host storage.proxy.port type uuid workdir"
)
NAMES = frozenset(_SEARCHED.split())
_SUMMARY = ("id", "name", "type", "description", "status", "public", "lastUpdated", "default", "_links")


# records -------------------------------------------------------------------------------------------------------------


async def list(
    ctx: Context, *, type: str | None, default: bool | None, public: bool | None, limit: int, offset: int
) -> Result:
    return search.page(ctx, _visible(ctx), names=NAMES, summary=_summary)


def _visible(ctx: Context) -> Iterable[Record]:
    """The systems that the caller may see; those that were deleted or disabled only if they are asked for."""
    all_too = any(key.lower().partition(".")[0] == "available" for key in ctx.query)
    for system in ctx.store.all("system"):
        if (system["available"] or all_too) and ctx.tenant.files.has_role(system, ctx.user, "GUEST"):
            yield full(ctx, system)


@described("006", "system")
def told(ctx: Context, uuid: str) -> Record | None:
    """A system as those are told who subscribed to it; a disabled one too."""
    system = next((system for system in ctx.store.all("system") if system["uuid"] == uuid), None)
    if system is not None and not ctx.tenant.files.has_role(system, ctx.user, "GUEST"):
        raise Refusal(403, f"User does not have permission to view the system {system['id']}")
    return full(ctx, system) if system is not None else None


def _summary(system: Record) -> Record:
    return {name: system[name] for name in _SUMMARY}


async def add(ctx: Context, *, body: Any) -> Result:
    record, secret = checked(body)
    old = ctx.store.get("system", record["id"])
    if old is None:
        return Answer(register(ctx, record, secret), status=201)
    require_change(ctx, old)
    return Answer(replace(ctx, old, record, secret), status=201)


async def get(ctx: Context, *, systemId: str) -> Result:
    return full(ctx, system_of(ctx, systemId))


async def update(ctx: Context, *, systemId: str, body: Any) -> Result:
    old = system_of(ctx, systemId)
    record, secret = checked(body)
    if record["id"] != systemId:
        raise Refusal(400, f"The id {record['id']} in the body is not that of the path")
    require_change(ctx, old)
    return replace(ctx, old, record, secret)


async def delete(ctx: Context, *, systemId: str) -> Result:
    system = system_of(ctx, systemId)
    if not ctx.tenant.files.has_role(system, ctx.user, "ADMIN"):
        raise Refusal(401, NO_MANAGER)
    change(ctx, system, "DELETED", "System was deleted", {"available": False})
    return None


# actions -------------------------------------------------------------------------------------------------------------


async def manage(ctx: Context, *, systemId: str, body: Any) -> Result:
    action = str(body.get("action", "") if isinstance(body, dict) else "").upper()
    acts = {
        "PUBLISH": _publish, "UNPUBLISH": _publish, "SETDEFAULT": _set_default, "UNSETDEFAULT": _set_default,
        "SETGLOBALDEFAULT": _set_global_default, "UNSETGLOBALDEFAULT": _set_global_default, "CLONE": _clone,
        "ENABLE": _enable, "DISABLE": _enable, "ERASE": _erase,
    }  # fmt: skip
    if (act := acts.get(action)) is None:
        raise Refusal(400, f"Invalid action {action}. Valid actions are: {', '.join(acts)}")
    if (system := ctx.store.get("system", systemId)) is None:
        raise Refusal(404, f"No system found for user with system id {systemId}")
    return act(ctx, system, action, body)


def _publish(ctx: Context, system: Record, action: str, body: Record) -> Result:
    wanted = action == "PUBLISH"
    if not ctx.admin:
        raise Refusal(403, "Publishing is for administrators of the tenant")
    if system["public"] == wanted:
        raise Refusal(400, f"System {system['id']} is {'already' if wanted else 'not'} public")
    fields = {"public": wanted} if wanted else {"public": False, "globalDefault": False}
    return full(ctx, change(ctx, system, action, f"System was {action.lower()}ed", fields))


def _set_default(ctx: Context, system: Record, action: str, body: Record) -> Result:
    if not ctx.tenant.files.has_role(system, ctx.user, "USER"):
        raise Refusal(403, f"User does not have a role on system {system['id']}")
    chosen = dict(ctx.store.get("defaults", ctx.user) or {})
    if action == "SETDEFAULT":
        chosen[system["type"]] = system["id"]
    elif chosen.get(system["type"]) == system["id"]:
        del chosen[system["type"]]
    ctx.store.put("defaults", ctx.user, chosen, owner=ctx.user)
    word = action.removesuffix("DEFAULT")
    ctx.store.event(system["uuid"], f"{word}_USER_DEFAULT", f"Default of {ctx.user}", by=ctx.user)
    return full(ctx, system)


def _set_global_default(ctx: Context, system: Record, action: str, body: Record) -> Result:
    if not ctx.admin:
        raise Refusal(403, "Global defaults are for administrators of the tenant")
    if not system["public"]:
        raise Refusal(400, f"System {system['id']} is not public")
    wanted = action == "SETGLOBALDEFAULT"
    event = f"{action.removesuffix('GLOBALDEFAULT')}_PUBLIC_DEFAULT"
    with ctx.store.together():
        for other in [*ctx.store.all("system")] if wanted else []:
            if other["globalDefault"] and other["type"] == system["type"] and other["id"] != system["id"]:
                change(ctx, other, "UNSET_PUBLIC_DEFAULT", "Another system is the default", {"globalDefault": False})
        system = change(ctx, system, event, "Global default changed", {"globalDefault": wanted})
    return full(ctx, system)


def _clone(ctx: Context, system: Record, action: str, body: Record) -> Result:
    if not ctx.tenant.files.has_role(system, ctx.user, "GUEST"):
        raise Refusal(403, f"User does not have permission to view the system {system['id']}")
    if not body.get("id"):
        raise Refusal(400, "No id found. Please give the clone an id of its own")
    record, _ = checked({**system, "id": body["id"], "available": True})
    if ctx.store.get("system", record["id"]) is not None:
        raise Refusal(400, f"A system {record['id']} exists")
    return register(ctx, record, {})  # without credentials: they were given to the owner of the other


def _enable(ctx: Context, system: Record, action: str, body: Record) -> Result:
    if not ctx.tenant.files.has_role(system, ctx.user, "ADMIN"):
        raise Refusal(403, NO_MANAGER)
    wanted = action == "ENABLE"
    return full(ctx, change(ctx, system, f"{action}D", f"System was {action.lower()}d", {"available": wanted}))


def _erase(ctx: Context, system: Record, action: str, body: Record) -> Result:
    if not ctx.admin:
        raise Refusal(403, "Erasing is for administrators of the tenant")
    system_id, gone = system["id"], ctx.tenant.trash / secrets.token_hex(8)
    with ctx.store.together():
        ctx.store.drop("system", system_id)
        ctx.store.forget(system["uuid"])
        for table in ("roles", "credentials"):
            ctx.store.sql(f"delete from {table} where system = ?", system_id)
        ctx.tenant.files.forget_system(system_id)
    folder = ctx.tenant.root / "systems" / system_id
    if folder.exists():
        folder.rename(gone)
        ctx.tenant.nursery.start_soon(trio.to_thread.run_sync, erase, gone)
    return None


@route("GET", "/systems/v2/{systemId}/history")
async def history(ctx: Context, *, systemId: str) -> Result:
    """The events of a system."""
    events = [
        {"status": status, "created": date(at), "createdBy": by, "description": description, **more}
        for at, status, by, description, more in ctx.store.events(system_of(ctx, systemId)["uuid"])
    ]
    start = search.offset_of(ctx.query.get("offset"))
    return events[start : start + search.limit_of(ctx.query.get("limit"))]


@route("GET", "/systems/v2/{systemId}/queues")
async def queues(ctx: Context, *, systemId: str) -> Result:
    """The queues of an execution system."""
    return system_of(ctx, systemId).get("queues") or []


@route("GET", "/systems/v2/{systemId}/queues/{name}")
async def queue(ctx: Context, *, systemId: str, name: str) -> Result:
    """One queue."""
    for found in system_of(ctx, systemId).get("queues") or []:
        if found["name"] == name:
            return dict(found)
    raise Refusal(404, f"No queue {name} on {systemId}")


# roles ---------------------------------------------------------------------------------------------------------------


async def listRoles(ctx: Context, *, systemId: str, limit: int, offset: int) -> Result:
    system = _with_roles(ctx, systemId)
    rows = ctx.store.sql("select username, role from roles where system = ? order by username", systemId)
    found = {system["owner"]: "OWNER"} | {name: role for name, role in rows if name != system["owner"]}
    return [_role(ctx, systemId, name, role) for name, role in found.items()][offset : offset + limit]


async def getRoleForUser(ctx: Context, *, systemId: str, username: str, limit: int, offset: int) -> Result:
    system = _with_roles(ctx, systemId)
    _known(ctx, username)
    return [_role(ctx, systemId, username, ctx.tenant.files.role(system, username))]


async def updateRole(ctx: Context, *, systemId: str, body: Any) -> Result:
    if not isinstance(body, dict) or not body.get("username"):
        raise Refusal(400, "Missing username field.")
    return _set_role(ctx, systemId, str(body["username"]), body)


async def updateRoleForUser(ctx: Context, *, systemId: str, username: str, body: Any) -> Result:
    if not isinstance(body, dict) or (body.get("username") or username) != username:
        raise Refusal(400, "The user in the body is not the user of the path")
    return _set_role(ctx, systemId, username, body)


async def deleteRoles(ctx: Context, *, systemId: str) -> Result:
    system = _with_roles(ctx, systemId)
    ctx.store.sql("delete from roles where system = ?", systemId)
    ctx.store.event(system["uuid"], "ROLES_REVOKE", "All roles were cleared", by=ctx.user)
    return None


async def deleteRoleForUser(ctx: Context, *, systemId: str, username: str) -> Result:
    system = _with_roles(ctx, systemId)
    _known(ctx, username)
    _grant(ctx, system, username, "NONE")
    return None


def _set_role(ctx: Context, system_id: str, username: str, body: Record) -> Result:
    system = _with_roles(ctx, system_id)
    if "role" not in body:
        raise Refusal(400, "Missing role field.")
    role = str(body["role"] or "NONE").upper()
    if role not in ROLES:
        raise Refusal(400, f"Invalid role {role}. Valid values are: {', '.join(ROLES)}")
    _known(ctx, username)
    _grant(ctx, system, username, role)
    return Answer([_role(ctx, system_id, username, role)], status=200 if role == "NONE" else 201)


def _grant(ctx: Context, system: Record, username: str, role: str) -> None:
    if username == system["owner"]:
        return  # the owner has everything, always
    if role == "PUBLISHER" and system["type"] == "STORAGE":
        role = "USER"  # wire: there is nothing to publish on a storage system
    with ctx.store.together():
        ctx.store.sql("delete from roles where system = ? and username = ?", system["id"], username)
        if role != "NONE":
            ctx.store.sql("insert into roles values (?, ?, ?)", system["id"], username, role)
        event = "ROLES_REVOKE" if role == "NONE" else "ROLES_GRANT"
        ctx.store.event(system["uuid"], event, f"{role} for {username}", by=ctx.user)


def _with_roles(ctx: Context, system_id: str) -> Record:
    """A system whose roles the caller may see and change."""
    system = system_of(ctx, system_id)
    if system["public"]:
        raise Refusal(501, "Roles are not supported on public systems")
    if not ctx.tenant.files.has_role(system, ctx.user, "ADMIN"):
        raise Refusal(403, NO_MANAGER)
    if not system["available"]:
        raise Refusal(400, f"The system {system_id} is disabled")
    return system


def _known(ctx: Context, username: str) -> None:
    if not ctx.tenant.auth.exists(username):
        raise Refusal(404, f"No user found matching {username}")


def _role(ctx: Context, system_id: str, username: str, role: str) -> Record:
    links = {
        "self": ctx.link(f"/systems/v2/{system_id}/roles/{username}"),
        "parent": ctx.link(f"/systems/v2/{system_id}"),
        "profile": ctx.link(f"/profiles/v2/{username}"),
    }
    return {"username": username, "role": role, "_links": links}


# credentials ---------------------------------------------------------------------------------------------------------


async def listCredentials(ctx: Context, *, systemId: str, limit: int, offset: int) -> Result:
    return stored_credentials(ctx, systemId, None, None)[offset : offset + limit]


async def listCredentialsForInternalUser(
    ctx: Context, *, systemId: str, internalUsername: str, limit: int, offset: int
) -> Result:
    return stored_credentials(ctx, systemId, internalUsername, None)[offset : offset + limit]


async def listCredentialsForInternalUserByType(
    ctx: Context, *, systemId: str, internalUsername: str, credentialType: str, limit: int, offset: int
) -> Result:
    return stored_credentials(ctx, systemId, internalUsername, credentialType)[offset : offset + limit]


async def updateCredentials(ctx: Context, *, systemId: str, body: Any) -> Result:
    return store_credential(ctx, systemId, None, None, body)


async def updateCredentialsForInternalUser(ctx: Context, *, systemId: str, internalUsername: str, body: Any) -> Result:
    return store_credential(ctx, systemId, internalUsername, None, body)


async def updateCredentialsForInternalUserByType(
    ctx: Context, *, systemId: str, internalUsername: str, credentialType: str, body: Any
) -> Result:
    return store_credential(ctx, systemId, internalUsername, credentialType, body)


async def deleteCredentials(ctx: Context, *, systemId: str) -> Result:
    return clear_credentials(ctx, systemId, None, None)


async def deleteCredentialsForInternalUser(ctx: Context, *, systemId: str, internalUsername: str) -> Result:
    return clear_credentials(ctx, systemId, internalUsername, None)


async def deleteCredentialsForInternalUserByType(
    ctx: Context, *, systemId: str, internalUsername: str, credentialType: str
) -> Result:
    return clear_credentials(ctx, systemId, internalUsername, credentialType)
