"""Actions on a system: publish, default, clone, enable, erase, and their opposites."""

from __future__ import annotations

from typing import Any

from agavesh.tenant.context import Context, Record, Result
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.systems import spec, stored
from agavesh.tenant.systems.records import (
    change,
    discard,
    forget_defaults,
    full,
    register,
    require_manager,
    require_sight,
)


def act(ctx: Context, system_id: str, body: Any) -> Result:
    """Carry out the action that a request names."""
    action = str(body.get("action", "") if isinstance(body, dict) else "").upper()
    acts = {
        "PUBLISH": _publish, "UNPUBLISH": _publish, "SETDEFAULT": _set_default, "UNSETDEFAULT": _set_default,
        "SETGLOBALDEFAULT": _set_global_default, "UNSETGLOBALDEFAULT": _set_global_default, "CLONE": _clone,
        "ENABLE": _enable, "DISABLE": _enable, "ERASE": _erase,
    }  # fmt: skip
    if (found := acts.get(action)) is None:
        raise Refusal(400, f"Invalid action value. Valid values are: {', '.join(acts)}")
    if (system := ctx.store.get("system", system_id)) is None:
        raise Refusal(404, f"No system found for user with system id {system_id}")
    require_sight(ctx, system)
    return found(ctx, system, action, body)


def _publish(ctx: Context, system: Record, action: str, body: Record) -> Result:
    wanted = action == "PUBLISH"
    _administrators(ctx, "Publishing")
    if system["public"] == wanted:
        raise Refusal(400, f"System {system['id']} is {'already' if wanted else 'not'} public")
    fields = {"public": wanted} if wanted else {"public": False, "globalDefault": False}
    with ctx.store.together():
        changed = change(ctx, system, action, f"System was {action.lower()}ed", fields)
        if system["globalDefault"] and not wanted:
            ctx.store.event(system["uuid"], "UNSET_PUBLIC_DEFAULT", "It is not public any more", by=ctx.user)
        forget_defaults(ctx, changed)
    return full(ctx, changed)


def _set_default(ctx: Context, system: Record, action: str, body: Record) -> Result:
    if not ctx.tenant.files.has_role(system, ctx.user, "USER"):
        raise Refusal(403, f"User does not have a role on system {system['id']}")
    if action == "SETDEFAULT" and not system["available"]:
        raise Refusal(400, f"The system {system['id']} is disabled")
    before = dict(ctx.store.get("defaults", ctx.user) or {})
    chosen = {kind: found for kind, found in before.items() if (kind, found) != (system["type"], system["id"])}
    if action == "SETDEFAULT":
        chosen[system["type"]] = system["id"]
    if chosen != before:
        event = f"{action.removesuffix('DEFAULT')}_USER_DEFAULT"
        with ctx.store.together():
            ctx.store.put("defaults", ctx.user, chosen, owner=ctx.user)
            ctx.store.event(system["uuid"], event, f"Default of {ctx.user}", by=ctx.user)
    return full(ctx, system)


def _set_global_default(ctx: Context, system: Record, action: str, body: Record) -> Result:
    _administrators(ctx, "Setting global defaults")
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


# what a clone has of its own
_OF_ONE = ("id", "uuid", "revision", "public", "globalDefault", "owner", "created", "lastModified", "available")


def _clone(ctx: Context, system: Record, action: str, body: Record) -> Result:
    if not body.get("id"):
        raise Refusal(400, "No id found. Please give the clone an id of its own")
    clone_id = spec.checked_id(body["id"])
    if ctx.store.get("system", clone_id) is not None:
        raise Refusal(400, f"A system {clone_id} exists")
    record = {name: value for name, value in system.items() if name not in _OF_ONE}
    # without credentials: they were given to the owner of the other
    return full(ctx, register(ctx, {"id": clone_id, "available": True, **record}))


def _enable(ctx: Context, system: Record, action: str, body: Record) -> Result:
    require_manager(ctx, system)
    return full(
        ctx, change(ctx, system, f"{action}D", f"System was {action.lower()}d", {"available": action == "ENABLE"})
    )


def _erase(ctx: Context, system: Record, action: str, body: Record) -> Result:
    _administrators(ctx, "Erasing")
    system_id = system["id"]
    with ctx.store.together():
        forget_defaults(ctx, change(ctx, system, "ERASED", "System was erased", {"available": False}))
        ctx.store.drop("system", system_id)
        ctx.store.forget(system["uuid"])
        ctx.store.sql("delete from roles where system = ?", system_id)
        stored.forget(ctx.store, system_id)
        ctx.tenant.files.forget_system(system_id)
    discard(ctx, system_id)
    return None


def _administrators(ctx: Context, doing: str) -> None:
    if not ctx.admin:
        raise Refusal(403, f"{doing} is for administrators of the tenant")
