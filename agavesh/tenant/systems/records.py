"""Systems as records: found, registered, replaced, changed, each with its event; and as an answer shows them."""

from __future__ import annotations

import time

import msgspec

from agavesh.tenant.context import Context, Record
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


def system_of(ctx: Context, system_id: str) -> Record:
    """A system that the caller may see. wire: unlike the files service, one without a role is 403 here."""
    system = ctx.store.get("system", system_id)
    if system is None:
        raise Refusal(404, f"No system found for user with system id {system_id}")
    if not ctx.tenant.files.has_role(system, ctx.user, "GUEST"):
        raise Refusal(403, f"User does not have permission to view the system {system_id}")
    if not system["available"] and not ctx.tenant.files.has_role(system, ctx.user, "USER"):
        raise Refusal(404, f"No system found for user with system id {system_id}")
    return system


def require_change(ctx: Context, system: Record) -> None:
    """Refusal unless the caller may change a system, and it may be changed at all."""
    if not ctx.tenant.files.has_role(system, ctx.user, "ADMIN"):
        raise Refusal(403, NO_MANAGER)
    if system["public"]:
        raise Refusal(403, "Public systems cannot be updated")
    if not system["available"]:
        raise Refusal(
            400, f"The system {system['id']} is disabled or was deleted; its id stays taken until it is erased"
        )


def register(ctx: Context, record: Record, secret: dict[str, Record]) -> Record:
    """A new system of the caller's, with its home; as an answer shows it."""
    now = date(time.time())
    system = {
        **record, "uuid": new_uuid("006"), "revision": 1, "public": False, "globalDefault": False, "owner": ctx.user,
        "created": now, "lastModified": now,
    }  # fmt: skip
    with ctx.store.together():
        ctx.store.put("system", system["id"], system, owner=ctx.user)
        ctx.store.event(system["uuid"], "CREATED", "System was registered", by=ctx.user)
        keep_secrets(ctx, system["id"], secret)
    ctx.disk(system["id"]).make_folder(ctx.tenant.files.home(system))
    return full(ctx, system)


def replace(ctx: Context, old: Record, record: Record, secret: dict[str, Record]) -> Record:
    """The next revision of a system; as an answer shows it."""
    with ctx.store.together():
        keep_secrets(ctx, old["id"], secret)
        system = change(ctx, old, "UPDATED", "System was updated", {**record, "revision": old["revision"] + 1})
    ctx.disk(system["id"]).make_folder(ctx.tenant.files.home(system))
    return full(ctx, system)


def change(ctx: Context, system: Record, event: str, description: str, fields: Record) -> Record:
    """Change fields of a record and note it in the system's history; the new record."""
    changed = {**system, **fields, "lastModified": date(time.time())}
    with ctx.store.together():
        ctx.store.put("system", system["id"], changed, owner=changed["owner"])
        ctx.store.event(system["uuid"], event, description, by=ctx.user)
    return changed


def keep_secrets(ctx: Context, system_id: str, secret: dict[str, Record], internal: str = "") -> None:
    """Keep credentials by the part of the system that they open."""
    for part, auth in secret.items():
        ctx.store.sql(
            "insert or replace into credentials values (?, ?, ?, ?, ?)",
            system_id, internal, part, msgspec.json.encode(auth), time.time(),
        )  # fmt: skip
