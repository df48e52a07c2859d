"""Systems as records: found, registered, replaced, changed, each with its event; and as an answer shows them.

What becomes of the credentials that came with a record is not told here: see `credentials`.
"""

from __future__ import annotations

import secrets
import time
from functools import partial

import trio

from agavesh.tenant import background
from agavesh.tenant.context import Context, Record
from agavesh.tenant.files.trees import erase
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.words import date, new_uuid

NO_MANAGER = "User does not have permission to manage this system"


def full(ctx: Context, system: Record) -> Record:
    """A record as its answer shows it: with links, and whether it is the caller's default of its type."""
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


def system_of(ctx: Context, system_id: str, *, status: int = 403) -> Record:
    """A system that the caller may see; `status` without a role. wire: the files service says 404 there."""
    system = ctx.store.get("system", system_id)
    if system is None:
        raise Refusal(404, f"No system found for user with system id {system_id}")
    require_sight(ctx, system, status=status)
    return system


def require_sight(ctx: Context, system: Record, *, status: int = 403) -> None:
    """Refusal unless the caller may see a system. One that is disabled looks unknown to all who could not use it."""
    if not system["available"] and not ctx.tenant.files.has_role(system, ctx.user, "USER"):
        raise Refusal(404, f"No system found for user with system id {system['id']}")
    if not ctx.tenant.files.has_role(system, ctx.user, "GUEST"):
        raise Refusal(status, f"User does not have permission to view the system {system['id']}")


def require_manager(ctx: Context, system: Record) -> None:
    """Refusal unless the caller may change a system."""
    if not ctx.tenant.files.has_role(system, ctx.user, "ADMIN"):
        raise Refusal(403, NO_MANAGER)


def require_change(ctx: Context, system: Record) -> None:
    """Refusal unless the caller may change a system, and it may be changed at all."""
    require_manager(ctx, system)
    if system["public"]:
        raise Refusal(403, "Public systems cannot be updated")
    if not system["available"]:
        raise Refusal(
            400, f"The system {system['id']} is disabled or was deleted; its id stays taken until it is erased"
        )


def register(ctx: Context, record: Record) -> Record:
    """A new system of the caller's, with its home."""
    now = date(time.time())
    system = {
        **record, "uuid": new_uuid("006"), "revision": 1, "public": False, "globalDefault": False, "owner": ctx.user,
        "created": now, "lastModified": now,
    }  # fmt: skip
    discard(ctx, system["id"])  # the bytes of an erased one, if the tenant was killed before it removed them
    with ctx.store.together():
        ctx.store.put("system", system["id"], system, owner=ctx.user)
        ctx.store.event(system["uuid"], "CREATED", "System was registered", by=ctx.user)
        _home(ctx, system)
    return system


def replace(ctx: Context, old: Record, record: Record) -> Record:
    """The next revision of a system."""
    if record["type"] != old["type"]:
        raise Refusal(400, f"Invalid type value. The system {old['id']} is of type {old['type']}, and stays so")
    with ctx.store.together():
        system = change(ctx, old, "UPDATED", "System was updated", {**record, "revision": old["revision"] + 1})
        if system["status"] != old["status"]:
            ctx.store.event(system["uuid"], "STATUS_UPDATE", f"Status is {system['status']}", by=ctx.user)
        if not system["available"]:
            ctx.store.event(system["uuid"], "DISABLED", "System was disabled", by=ctx.user)
        _home(ctx, system)
    return system


def _home(ctx: Context, system: Record) -> None:
    ctx.disk(system["id"]).make_folder(ctx.tenant.files.home(system))


def discard(ctx: Context, system_id: str) -> None:
    """Take the bytes of a system away: out of sight at once, and then off the disk."""
    folder, gone = ctx.tenant.root / "systems" / system_id, ctx.tenant.trash / secrets.token_hex(8)
    if folder.exists():
        folder.rename(gone)
        erasing = partial(trio.to_thread.run_sync, erase, gone)
        ctx.tenant.nursery.start_soon(background.work, f"erasing {gone.name}", erasing)


def change(ctx: Context, system: Record, event: str, description: str, fields: Record) -> Record:
    """Change fields of a record and note it in the system's history; the new record."""
    changed = {**system, **fields, "lastModified": date(time.time())}
    with ctx.store.together():
        ctx.store.put("system", system["id"], changed, owner=changed["owner"])
        ctx.store.event(system["uuid"], event, description, by=ctx.user)
    return changed


def forget_defaults(ctx: Context, system: Record) -> None:
    """Take a system from those whose default it is, and who may use it no more."""
    for (name,) in ctx.store.sql("select id from records where kind = 'defaults'"):
        chosen = ctx.store.get("defaults", name) or {}
        if chosen.get(system["type"]) == system["id"] and not (
            system["available"] and ctx.tenant.files.has_role(system, name, "USER")
        ):
            rest = {kind: found for kind, found in chosen.items() if kind != system["type"]}
            ctx.store.put("defaults", name, rest, owner=name)
            ctx.store.event(system["uuid"], "UNSET_USER_DEFAULT", f"No default of {name} any more", by=ctx.user)
