"""Roles on private systems: shown, given, taken away. What a role lets its holder do is told in `files.places`."""

from __future__ import annotations

from typing import Any

from agavesh.tenant.context import Answer, Context, Record, Records, Result
from agavesh.tenant.files.places import ROLES
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.systems.records import forget_defaults, require_manager, system_of

EVERYBODY = "world"  # whose role all users have once the system is public


def roles(ctx: Context, system_id: str) -> Records:
    """All who have a role, the owner first."""
    system = _with_roles(ctx, system_id)
    given = ctx.store.roles(system_id)
    found = {system["owner"]: "OWNER"} | {name: role for name, role in given.items() if name != system["owner"]}
    return [_role(ctx, system_id, name, role) for name, role in found.items()]


def role_of(ctx: Context, system_id: str, username: str) -> Record:
    """The role of one user, NONE too."""
    system = _with_roles(ctx, system_id)
    _known(ctx, username)
    return _role(ctx, system_id, username, ctx.tenant.files.role(system, username))


def set_role(ctx: Context, system_id: str, username: str, body: Record) -> Result:
    """Give a role in place of the one there was; NONE, or an empty one, takes it away."""
    system = _with_roles(ctx, system_id)
    if "role" not in body:
        raise Refusal(400, "Missing role field.")
    role = str(body["role"] or "NONE").upper()
    if role not in ROLES:
        raise Refusal(400, f"Invalid role value. Valid values are: {', '.join(ROLES)}")
    _known(ctx, username)
    _grant(ctx, system, username, role)
    shown = _role(ctx, system_id, username, ctx.tenant.files.role(system, username))
    return Answer([shown], status=200 if role == "NONE" else 201)


def drop_role(ctx: Context, system_id: str, username: str) -> None:
    """Take one user's role away."""
    system = _with_roles(ctx, system_id)
    _known(ctx, username)
    _grant(ctx, system, username, "NONE")


def drop_roles(ctx: Context, system_id: str) -> None:
    """Take all roles away. The owner stays the owner."""
    system = _with_roles(ctx, system_id)
    with ctx.store.together():
        ctx.store.sql("delete from roles where system = ?", system_id)
        ctx.store.event(system["uuid"], "ROLES_REVOKE", "All roles were cleared", by=ctx.user)
        forget_defaults(ctx, system)


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
        told = {"username": username, "role": role}
        ctx.store.event(system["uuid"], event, f"{role} for {username}", by=ctx.user, told=told)
        forget_defaults(ctx, system)


def _with_roles(ctx: Context, system_id: str) -> Record:
    """A system whose roles the caller may see and change."""
    system = system_of(ctx, system_id)
    if system["public"]:
        raise Refusal(501, "Roles are not supported on public systems")
    require_manager(ctx, system)
    if not system["available"]:
        raise Refusal(400, f"The system {system_id} is disabled")
    return system


def _known(ctx: Context, username: str) -> None:
    if username != EVERYBODY and not ctx.tenant.auth.exists(username):
        raise Refusal(404, f"No user found matching {username}")


def _role(ctx: Context, system_id: str, username: str, role: str) -> Record:
    links = {
        "self": ctx.link(f"/systems/v2/{system_id}/roles/{username}"),
        "parent": ctx.link(f"/systems/v2/{system_id}"),
        "profile": ctx.link(f"/profiles/v2/{username}"),
    }
    return {"username": username, "role": role, "_links": links}


def body_of_role(body: Any, username: str | None) -> tuple[Record, str]:
    """What a request for a role says, and of whom; `username` is the one of the path."""
    if not isinstance(body, dict):
        raise Refusal(400, "Invalid JSON found. A role is described by an object")
    named = body.get("username") or username
    if not isinstance(named, str):
        raise Refusal(400, "Missing username field.")
    if username is not None and named != username:
        raise Refusal(400, "The user in the body is not the user of the path")
    return body, named
