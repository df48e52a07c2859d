"""Credentials of systems: kept, listed by their kind, and never told.

An empty internal user stands for the default credential, that of the system's record.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from agavesh.tenant.context import Answer, Context, Record, Records, Result
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.systems.records import change, keep_secrets, system_of
from agavesh.tenant.systems.spec import LOGIN_AUTH, STORAGE_AUTH, shown
from agavesh.tenant.words import date


def stored_credentials(ctx: Context, system_id: str, internal: str | None, kind: str | None) -> Records:
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


def store_credential(ctx: Context, system_id: str, internal: str | None, kind: str | None, body: Any) -> Result:
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
        keep_secrets(ctx, system_id, dict.fromkeys(parts, auth), internal)
        if not internal:
            for part in parts:
                name = "login" if part == "execution" else "storage"
                system = change(
                    ctx, system, "UPDATE_DEFAULT_CREDENTIAL", f"Default {part} credential changed",
                    {name: {**system[name], "auth": shown(auth)}},
                )  # fmt: skip
        else:
            ctx.store.event(system["uuid"], "UPDATE_CREDENTIAL", f"Credential of {internal} changed", by=ctx.user)
    now = time.time()
    return Answer([_stored(internal, part, auth, now) for part in parts], status=201)


def clear_credentials(ctx: Context, system_id: str, internal: str | None, kind: str | None) -> Result:
    system = _credentialed(ctx, system_id)
    ctx.store.sql(
        "delete from credentials where system = ?1 and (?2 is null or internal = ?2) and (?3 is null or kind = ?3)",
        system_id, internal, _part(kind),
    )  # fmt: skip
    ctx.store.event(system["uuid"], "CLEAR_CREDENTIALS", "Credentials were cleared", by=ctx.user)
    return None


def _credentialed(ctx: Context, system_id: str) -> Record:
    system = system_of(ctx, system_id)
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
