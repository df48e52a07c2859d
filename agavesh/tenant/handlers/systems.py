"""The systems service: records, actions, roles, credentials."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from typing import Any

import msgspec
import trio

from agavesh.tenant import search
from agavesh.tenant.context import Answer, Context, Record, Records, Refusal, Result, route
from agavesh.tenant.files import ROLES
from agavesh.tenant.systemspec import LOGIN_AUTH, STORAGE_AUTH, checked, shown
from agavesh.tenant.trees import erase
from agavesh.tenant.words import date, new_uuid

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
_MANAGES = "User does not have permission to manage this system"


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
            yield _full(ctx, system)


def _summary(system: Record) -> Record:
    return {name: system[name] for name in _SUMMARY}


def _full(ctx: Context, system: Record) -> Record:
    base = f"/systems/v2/{system['id']}"
    chosen = (ctx.store.get("defaults", ctx.user) or {}).get(system["type"])
    links = {
        "self": ctx.link(base),
        "roles": ctx.link(f"{base}/roles"),
        "credentials": ctx.link(f"{base}/credentials"),
        "owner": ctx.link(f"/profiles/v2/{system['owner']}"),
        "metadata": {"href": ctx.url("/meta/v2/data") + f"?q=%7B%22associationIds%22%3A%22{system['uuid']}%22%7D"},
    }
    default = chosen == system["id"] if chosen else bool(system["globalDefault"])
    return {**system, "lastUpdated": system["lastModified"], "default": default, "_links": links}


async def add(ctx: Context, *, body: Any) -> Result:
    record, secret = checked(body)
    old = ctx.store.get("system", record["id"])
    if old is None:
        _disk_paths(record)
        return Answer(_register(ctx, record, secret), status=201)
    _manage(ctx, old)
    return Answer(_replace(ctx, old, record, secret), status=201)


async def get(ctx: Context, *, systemId: str) -> Result:
    return _full(ctx, _system(ctx, systemId))


async def update(ctx: Context, *, systemId: str, body: Any) -> Result:
    old = _system(ctx, systemId)
    record, secret = checked(body)
    if record["id"] != systemId:
        raise Refusal(400, f"The id {record['id']} in the body is not that of the path")
    _manage(ctx, old)
    return _replace(ctx, old, record, secret)


async def delete(ctx: Context, *, systemId: str) -> Result:
    system = _system(ctx, systemId)
    if not ctx.tenant.files.has_role(system, ctx.user, "ADMIN"):
        raise Refusal(401, _MANAGES)
    _change(ctx, system, "DELETED", "System was deleted", {"available": False})
    return None


def _system(ctx: Context, system_id: str) -> Record:
    """A system that the caller may see. wire: unlike the files service, one without a role is 403 here."""
    system = ctx.store.get("system", system_id)
    if system is None:
        raise Refusal(404, f"No system found for user with system id {system_id}")
    if not ctx.tenant.files.has_role(system, ctx.user, "GUEST"):
        raise Refusal(403, f"User does not have permission to view the system {system_id}")
    if not system["available"] and not ctx.tenant.files.has_role(system, ctx.user, "USER"):
        raise Refusal(404, f"No system found for user with system id {system_id}")
    return system


def _manage(ctx: Context, system: Record) -> None:
    """Refusal unless the caller may change a system, and it may be changed at all."""
    if not ctx.tenant.files.has_role(system, ctx.user, "ADMIN"):
        raise Refusal(403, _MANAGES)
    if system["public"]:
        raise Refusal(403, "Public systems cannot be updated")
    if not system["available"]:
        raise Refusal(
            400, f"The system {system['id']} is disabled or was deleted; its id stays taken until it is erased"
        )


def _disk_paths(record: Record) -> None:
    for name in ("rootDir", "homeDir"):
        if ".." in record["storage"][name].split("/"):
            raise Refusal(400, f"Invalid storage.{name} value. It may not hold ..")


def _register(ctx: Context, record: Record, secret: dict[str, Record]) -> Record:
    now = date(time.time())
    system = {
        **record, "uuid": new_uuid("006"), "revision": 1, "public": False, "globalDefault": False, "owner": ctx.user,
        "created": now, "lastModified": now,
    }  # fmt: skip
    with ctx.store.together():
        ctx.store.put("system", system["id"], system, owner=ctx.user)
        ctx.store.event(system["uuid"], "CREATED", "System was registered", by=ctx.user)
        _keep_secrets(ctx, system["id"], secret)
    ctx.disk(system["id"]).make_folder(ctx.tenant.files.home(system))
    return _full(ctx, system)


def _replace(ctx: Context, old: Record, record: Record, secret: dict[str, Record]) -> Record:
    _disk_paths(record)
    with ctx.store.together():
        _keep_secrets(ctx, old["id"], secret)
        system = _change(ctx, old, "UPDATED", "System was updated", {**record, "revision": old["revision"] + 1})
    ctx.disk(system["id"]).make_folder(ctx.tenant.files.home(system))
    return _full(ctx, system)


def _change(ctx: Context, system: Record, event: str, description: str, fields: Record) -> Record:
    changed = {**system, **fields, "lastModified": date(time.time())}
    with ctx.store.together():
        ctx.store.put("system", system["id"], changed, owner=changed["owner"])
        ctx.store.event(system["uuid"], event, description, by=ctx.user)
    return changed


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
    return _full(ctx, _change(ctx, system, action, f"System was {action.lower()}ed", fields))


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
    return _full(ctx, system)


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
                _change(ctx, other, "UNSET_PUBLIC_DEFAULT", "Another system is the default", {"globalDefault": False})
        system = _change(ctx, system, event, "Global default changed", {"globalDefault": wanted})
    return _full(ctx, system)


def _clone(ctx: Context, system: Record, action: str, body: Record) -> Result:
    if not ctx.tenant.files.has_role(system, ctx.user, "GUEST"):
        raise Refusal(403, f"User does not have permission to view the system {system['id']}")
    if not body.get("id"):
        raise Refusal(400, "No id found. Please give the clone an id of its own")
    record, _ = checked({**system, "id": body["id"], "available": True})
    if ctx.store.get("system", record["id"]) is not None:
        raise Refusal(400, f"A system {record['id']} exists")
    return _register(ctx, record, {})  # without credentials: they were given to the owner of the other


def _enable(ctx: Context, system: Record, action: str, body: Record) -> Result:
    if not ctx.tenant.files.has_role(system, ctx.user, "ADMIN"):
        raise Refusal(403, _MANAGES)
    wanted = action == "ENABLE"
    return _full(ctx, _change(ctx, system, f"{action}D", f"System was {action.lower()}d", {"available": wanted}))


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
        for at, status, by, description, more in ctx.store.events(_system(ctx, systemId)["uuid"])
    ]
    start = search.offset_of(ctx.query.get("offset"))
    return events[start : start + search.limit_of(ctx.query.get("limit"))]


@route("GET", "/systems/v2/{systemId}/queues")
async def queues(ctx: Context, *, systemId: str) -> Result:
    """The queues of an execution system."""
    return _system(ctx, systemId).get("queues") or []


@route("GET", "/systems/v2/{systemId}/queues/{name}")
async def queue(ctx: Context, *, systemId: str, name: str) -> Result:
    """One queue."""
    for found in _system(ctx, systemId).get("queues") or []:
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
    system = _system(ctx, system_id)
    if system["public"]:
        raise Refusal(501, "Roles are not supported on public systems")
    if not ctx.tenant.files.has_role(system, ctx.user, "ADMIN"):
        raise Refusal(403, _MANAGES)
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
# An empty internal user stands for the default credential, that of the system's record.


async def listCredentials(ctx: Context, *, systemId: str, limit: int, offset: int) -> Result:
    return _credentials(ctx, systemId, None, None)[offset : offset + limit]


async def listCredentialsForInternalUser(
    ctx: Context, *, systemId: str, internalUsername: str, limit: int, offset: int
) -> Result:
    return _credentials(ctx, systemId, internalUsername, None)[offset : offset + limit]


async def listCredentialsForInternalUserByType(
    ctx: Context, *, systemId: str, internalUsername: str, credentialType: str, limit: int, offset: int
) -> Result:
    return _credentials(ctx, systemId, internalUsername, credentialType)[offset : offset + limit]


async def updateCredentials(ctx: Context, *, systemId: str, body: Any) -> Result:
    return _store_credential(ctx, systemId, None, None, body)


async def updateCredentialsForInternalUser(ctx: Context, *, systemId: str, internalUsername: str, body: Any) -> Result:
    return _store_credential(ctx, systemId, internalUsername, None, body)


async def updateCredentialsForInternalUserByType(
    ctx: Context, *, systemId: str, internalUsername: str, credentialType: str, body: Any
) -> Result:
    return _store_credential(ctx, systemId, internalUsername, credentialType, body)


async def deleteCredentials(ctx: Context, *, systemId: str) -> Result:
    return _clear_credentials(ctx, systemId, None, None)


async def deleteCredentialsForInternalUser(ctx: Context, *, systemId: str, internalUsername: str) -> Result:
    return _clear_credentials(ctx, systemId, internalUsername, None)


async def deleteCredentialsForInternalUserByType(
    ctx: Context, *, systemId: str, internalUsername: str, credentialType: str
) -> Result:
    return _clear_credentials(ctx, systemId, internalUsername, credentialType)


def _credentials(ctx: Context, system_id: str, internal: str | None, kind: str | None) -> Records:
    _credentialed(ctx, system_id)
    part = _part(kind)
    rows = ctx.store.sql(
        "select internal, kind, body, created from credentials where system = ?1 and (?2 is null or internal = ?2)"
        " and (?3 is null or kind = ?3) order by internal, kind desc",
        system_id, internal, part,
    )  # fmt: skip
    if internal is not None and not rows:
        raise Refusal(404, f"No credential of internal user {internal} found on {system_id}")
    return [_stored(name, which, msgspec.json.decode(body), at) for name, which, body, at in rows]


def _stored(internal: str, part: str, auth: Record, at: float) -> Record:
    return {
        "parentType": part, "default": not internal, "internalUsername": internal or None, "type": auth.get("type"),
        "created": date(at), "valid": True, "expirationDate": None, "server": auth.get("server"),
    }  # fmt: skip


def _store_credential(ctx: Context, system_id: str, internal: str | None, kind: str | None, body: Any) -> Result:
    """Keep a credential for each part of the system that its type fits: all parts, or the one named."""
    system = _credentialed(ctx, system_id)
    if not isinstance(body, dict):
        raise Refusal(400, "Invalid JSON found. A credential is an object")
    internal = internal if internal is not None else str(body.get("internalUsername") or "")
    word = str(body.get("type") or "").upper()
    wanted = _part(kind)
    if wanted == "execution" and system["type"] == "STORAGE":
        raise Refusal(400, "A storage system has no execution credential")
    fits = {"storage": STORAGE_AUTH[system["storage"]["protocol"]]}
    if system["type"] == "EXECUTION":
        fits["execution"] = LOGIN_AUTH[system["login"]["protocol"]]
    parts = [part for part, types in fits.items() if word in types and wanted in (None, part)]
    if not parts:
        choices = sorted({each for part, types in fits.items() if wanted in (None, part) for each in types})
        raise Refusal(400, f"Invalid type value {word}. The types that fit this system are: {', '.join(choices)}")
    auth = {**{key: value for key, value in body.items() if key != "internalUsername"}, "type": word}
    with ctx.store.together():
        _keep_secrets(ctx, system_id, dict.fromkeys(parts, auth), internal)
        if not internal:
            for part in parts:
                name = "login" if part == "execution" else "storage"
                system = _change(
                    ctx, system, "UPDATE_DEFAULT_CREDENTIAL", f"Default {part} credential changed",
                    {name: {**system[name], "auth": shown(auth)}},
                )  # fmt: skip
        else:
            ctx.store.event(system["uuid"], "UPDATE_CREDENTIAL", f"Credential of {internal} changed", by=ctx.user)
    now = time.time()
    return Answer([_stored(internal, part, auth, now) for part in parts], status=201)


def _clear_credentials(ctx: Context, system_id: str, internal: str | None, kind: str | None) -> Result:
    system = _credentialed(ctx, system_id)
    ctx.store.sql(
        "delete from credentials where system = ?1 and (?2 is null or internal = ?2) and (?3 is null or kind = ?3)",
        system_id, internal, _part(kind),
    )  # fmt: skip
    ctx.store.event(system["uuid"], "CLEAR_CREDENTIALS", "Credentials were cleared", by=ctx.user)
    return None


def _keep_secrets(ctx: Context, system_id: str, secret: dict[str, Record], internal: str = "") -> None:
    for part, auth in secret.items():
        ctx.store.sql(
            "insert or replace into credentials values (?, ?, ?, ?, ?)",
            system_id, internal, part, msgspec.json.encode(auth), time.time(),
        )  # fmt: skip


def _credentialed(ctx: Context, system_id: str) -> Record:
    system = _system(ctx, system_id)
    if not ctx.tenant.files.has_role(system, ctx.user, "ADMIN"):
        raise Refusal(403, "User does not have permission to manage the credentials of this system")
    return system


def _part(kind: str | None) -> str | None:
    """Which part of a system a credential type means. wire: the platform knows no LOGIN, AgavePy no EXECUTION."""
    if kind is None:
        return None
    found = {"storage": "storage", "login": "execution", "execution": "execution"}.get(kind.lower())
    if found is None:
        raise Refusal(400, f"Invalid credential type {kind}. Valid values are: STORAGE, EXECUTION, LOGIN")
    return found
