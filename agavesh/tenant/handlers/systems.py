"""The systems service: records, actions, roles, credentials."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agavesh.tenant import search
from agavesh.tenant.bodies import body_of
from agavesh.tenant.context import Answer, Context, Record, Result, described, route
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.state import Tenant
from agavesh.tenant.systems import credentials, queues, roles
from agavesh.tenant.systems.actions import act
from agavesh.tenant.systems.records import (
    NO_MANAGER,
    change,
    forget_defaults,
    full,
    register,
    replace,
    require_change,
    system_of,
)
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
        least = "GUEST" if system["available"] else "USER"
        if (system["available"] or all_too) and ctx.tenant.files.has_role(system, ctx.user, least):
            yield full(ctx, system)


@described("006", "system")
def told(ctx: Context, uuid: str) -> Record | None:
    """A system as those are told who subscribed to it; a disabled one too."""
    system = ctx.store.of_uuid("system", uuid)
    if system is not None and not ctx.tenant.files.has_role(system, ctx.user, "GUEST"):
        raise Refusal(403, f"User does not have permission to view the system {system['id']}")
    return full(ctx, system) if system is not None else None


def _summary(system: Record) -> Record:
    return {name: system[name] for name in _SUMMARY}


async def add(ctx: Context, *, body: Any) -> Result:
    old = ctx.store.get("system", str(body.get("id"))) if isinstance(body, dict) else None
    if old is not None:
        return Answer(_replaced(ctx, old, body), status=201)
    record, given = checked(body)
    with ctx.store.together():
        system = register(ctx, record)
        credentials.keep(ctx.tenant, system, given, by=ctx.user)
    return Answer(full(ctx, system), status=201)


def _replaced(ctx: Context, old: Record, body: Any) -> Record:
    """The next revision of a system; where the request says no more of a credential than its type, that one stays."""
    require_change(ctx, old)
    kept = credentials.told(ctx.tenant, old["id"])
    record, given = checked(body, kept)
    for part in kept.keys() - given.keys():
        credentials.opened(ctx.tenant, old["id"], part)
    with ctx.store.together():
        system = replace(ctx, old, record)
        credentials.keep(ctx.tenant, system, given, by=ctx.user)
    return full(ctx, system)


async def get(ctx: Context, *, systemId: str) -> Result:
    return full(ctx, system_of(ctx, systemId))


async def update(ctx: Context, *, systemId: str, body: Any) -> Result:
    old = system_of(ctx, systemId)
    if isinstance(body, dict) and body.get("id", systemId) != systemId:
        raise Refusal(400, "Invalid id value. The id in the body is not that of the path")
    return _replaced(ctx, old, body)


async def manage(ctx: Context, *, systemId: str, body: Any) -> Result:
    return act(ctx, systemId, body)


async def delete(ctx: Context, *, systemId: str) -> Result:
    system = system_of(ctx, systemId, status=401)
    if not ctx.tenant.files.has_role(system, ctx.user, "ADMIN"):
        raise Refusal(401, NO_MANAGER)
    with ctx.store.together():
        if system["globalDefault"]:
            ctx.store.event(system["uuid"], "UNSET_PUBLIC_DEFAULT", "The system is deleted", by=ctx.user)
        system = change(ctx, system, "DELETED", "System was deleted", {"available": False, "globalDefault": False})
        forget_defaults(ctx, system)
    return None


async def resume(tenant: Tenant) -> None:
    """Bring up to date how an earlier version kept credentials."""
    credentials.mend(tenant)


# beside what AgavePy describes ---------------------------------------------------------------------------------------

_EVENT = frozenset({"id", "status", "created", "createdby", "description"})


@route("GET", "/systems/v2/{systemId}/history")
async def history(ctx: Context, *, systemId: str) -> Result:
    """The events of a system, oldest first, searched by any field."""
    uuid = system_of(ctx, systemId)["uuid"]
    middle = uuid.split("-")[1]
    events = (
        {"id": f"{at * 1e6:.0f}-{middle}-0001-027", "status": status, "created": date(at), "createdBy": by,
         "description": description, **more}
        for at, status, by, description, more in ctx.store.events(uuid)
    )  # fmt: skip
    return search.page(ctx, events, names=_EVENT, summary=lambda event: event)


@route("GET", "/systems/v2/{systemId}/queues")
async def list_queues(ctx: Context, *, systemId: str) -> Result:
    """The queues of an execution system."""
    return queues.queues_of(system_of(ctx, systemId))


@route("POST", "/systems/v2/{systemId}/queues")
async def add_queue(ctx: Context, *, systemId: str) -> Result:
    """Add a queue."""
    body = await body_of(ctx.request, ctx.tenant.bounds)
    return Answer(queues.put_queue(ctx, systemId, None, body), status=201)


@route("GET", "/systems/v2/{systemId}/queues/{name}")
async def get_queue(ctx: Context, *, systemId: str, name: str) -> Result:
    """One queue."""
    return queues.queue_of(ctx, systemId, name)


@route("POST", "/systems/v2/{systemId}/queues/{name}")
@route("PUT", "/systems/v2/{systemId}/queues/{name}")
async def replace_queue(ctx: Context, *, systemId: str, name: str) -> Result:
    """Replace a queue."""
    return queues.put_queue(ctx, systemId, name, await body_of(ctx.request, ctx.tenant.bounds))


@route("DELETE", "/systems/v2/{systemId}/queues/{name}")
async def delete_queue(ctx: Context, *, systemId: str, name: str) -> Result:
    """Remove a queue."""
    queues.drop_queue(ctx, systemId, name)
    return None


# roles ---------------------------------------------------------------------------------------------------------------


async def listRoles(ctx: Context, *, systemId: str, limit: int, offset: int) -> Result:
    return roles.roles(ctx, systemId)[offset : offset + limit]


async def getRoleForUser(ctx: Context, *, systemId: str, username: str, limit: int, offset: int) -> Result:
    return [roles.role_of(ctx, systemId, username)][offset : offset + limit]


async def updateRole(ctx: Context, *, systemId: str, body: Any) -> Result:
    body, username = roles.body_of_role(body, None)
    return roles.set_role(ctx, systemId, username, body)


async def updateRoleForUser(ctx: Context, *, systemId: str, username: str, body: Any) -> Result:
    body, username = roles.body_of_role(body, username)
    return roles.set_role(ctx, systemId, username, body)


async def deleteRoles(ctx: Context, *, systemId: str) -> Result:
    roles.drop_roles(ctx, systemId)
    return None


async def deleteRoleForUser(ctx: Context, *, systemId: str, username: str) -> Result:
    roles.drop_role(ctx, systemId, username)
    return None


# credentials ---------------------------------------------------------------------------------------------------------


async def listCredentials(ctx: Context, *, systemId: str, limit: int, offset: int) -> Result:
    return credentials.stored_credentials(ctx, systemId, None, None)[offset : offset + limit]


async def listCredentialsForInternalUser(
    ctx: Context, *, systemId: str, internalUsername: str, limit: int, offset: int
) -> Result:
    return credentials.stored_credentials(ctx, systemId, internalUsername, None)[offset : offset + limit]


async def listCredentialsForInternalUserByType(
    ctx: Context, *, systemId: str, internalUsername: str, credentialType: str, limit: int, offset: int
) -> Result:
    return credentials.stored_credentials(ctx, systemId, internalUsername, credentialType)[offset : offset + limit]


async def updateCredentials(ctx: Context, *, systemId: str, body: Any) -> Result:
    return credentials.store_credential(ctx, systemId, None, None, body)


async def updateCredentialsForInternalUser(ctx: Context, *, systemId: str, internalUsername: str, body: Any) -> Result:
    return credentials.store_credential(ctx, systemId, internalUsername, None, body)


async def updateCredentialsForInternalUserByType(
    ctx: Context, *, systemId: str, internalUsername: str, credentialType: str, body: Any
) -> Result:
    return credentials.store_credential(ctx, systemId, internalUsername, credentialType, body)


async def deleteCredentials(ctx: Context, *, systemId: str) -> Result:
    return credentials.clear_credentials(ctx, systemId, None, None)


async def deleteCredentialsForInternalUser(ctx: Context, *, systemId: str, internalUsername: str) -> Result:
    return credentials.clear_credentials(ctx, systemId, internalUsername, None)


async def deleteCredentialsForInternalUserByType(
    ctx: Context, *, systemId: str, internalUsername: str, credentialType: str
) -> Result:
    return credentials.clear_credentials(ctx, systemId, internalUsername, credentialType)
