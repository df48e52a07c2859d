"""Credentials of systems: kept sealed, listed by their kind, and never told.

An empty internal user stands for the default credential, that of the system's record. Internal users are those of the
system's owner. A row holds what may be told as it is, and all else sealed by the tenant's vault, so that lists need no
key; a credential whose key is missing is shown as not valid, and is refused where it would have to be good.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import msgspec

from agavesh.tenant.context import Answer, Context, Record, Records, Result
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.state import Tenant
from agavesh.tenant.systems import auths, stored
from agavesh.tenant.systems.records import change, require_manager, system_of
from agavesh.tenant.systems.stored import TOLD_AS
from agavesh.tenant.vault import Closed
from agavesh.tenant.words import date

log = logging.getLogger(__name__)

Auths = Mapping[str, Record]  # whole credentials, by the part of a system that they open


# kept and opened -----------------------------------------------------------------------------------------------------


def keep(tenant: Tenant, system: Record, given: Auths, *, by: str, internal: str = "") -> None:
    """Keep credentials of a system, in place of those there were."""
    for part, auth in given.items():
        try:
            body = _sealed(tenant, auth, _label(system["id"], internal, part))
        except Closed as closed:
            raise Refusal(500, f"The credential cannot be kept: {closed}") from None
        stored.put(tenant.store, system, internal, part, body, by=by)


def opened(tenant: Tenant, system_id: str, part: str, internal: str = "") -> Record | None:
    """A whole credential, or None where there is none. Refusal 412 if it cannot be opened."""
    rows = tenant.store.sql(
        "select body from credentials where system = ? and internal = ? and kind = ?", system_id, internal, part
    )
    if not rows:
        return None
    body = msgspec.json.decode(rows[0][0])
    try:
        return _opened(tenant, body, _label(system_id, internal, part))
    except Closed as closed:
        raise Refusal(
            412, f"The {TOLD_AS[part]} credential of {system_id} cannot be opened: {closed}. Put the key back, or give"
            " the credential anew",
        ) from None  # fmt: skip


def told(tenant: Tenant, system_id: str) -> dict[str, Record]:
    """What is told of a system's default credentials, by part."""
    rows = tenant.store.sql("select kind, body from credentials where system = ? and internal = ''", system_id)
    return {part: auths.shown(msgspec.json.decode(body)) for part, body in rows}


def _label(system_id: str, internal: str, part: str) -> str:
    return f"{system_id}/{internal}/{part}"


def _sealed(tenant: Tenant, auth: Record, label: str) -> bytes:
    told = auths.shown(auth)
    rest = {name: value for name, value in auth.items() if name not in told}
    return msgspec.json.encode(told | ({"sealed": tenant.vault.seal(msgspec.json.encode(rest), label)} if rest else {}))


def _opened(tenant: Tenant, body: Record, label: str) -> Record:
    auth = dict(body)
    if sealed := auth.pop("sealed", ""):
        auth |= msgspec.json.decode(tenant.vault.open(sealed, label))
    return auth


def mend(tenant: Tenant) -> None:
    """Seal what an earlier version kept plain, and leave no trace of it in the file; say which keys are not theirs."""
    plain, sealed = [], {}
    for system_id, internal, part, body in tenant.store.sql("select system, internal, kind, body from credentials"):
        auth = msgspec.json.decode(body)
        if "sealed" in auth:
            sealed[auth["sealed"].partition(":")[0]] = auth["sealed"], _label(system_id, internal, part)
        elif auth != auths.shown(auth):
            plain.append((system_id, internal, part, auth))
    for one_of_its in sealed.values():
        try:
            tenant.vault.note(*one_of_its)
        except Closed as closed:
            log.warning("credentials of systems cannot be opened, until the right key is put back: %s", closed)
    if not plain:
        return
    try:
        with tenant.store.together():
            for system_id, internal, part, auth in plain:
                tenant.store.sql(
                    "update credentials set body = ? where system = ? and internal = ? and kind = ?",
                    _sealed(tenant, auth, _label(system_id, internal, part)), system_id, internal, part,
                )  # fmt: skip
    except Closed as closed:
        log.warning("credentials of an earlier version stay as they are, not sealed: %s", closed)
        return
    tenant.store.sql("vacuum")  # the pages that held them are not in the file any more
    tenant.store.sql("pragma wal_checkpoint(truncate)")


# as the service does -------------------------------------------------------------------------------------------------


def stored_credentials(ctx: Context, system_id: str, internal: str | None, kind: str | None) -> Records:
    system = _credentialed(ctx, system_id)
    part = _part(kind, system)
    if internal:
        ctx.tenant.people.internal(system["owner"], internal)
    rows = ctx.store.sql(
        "select internal, kind, body, created from credentials where system = ?1 and (?2 is null or internal = ?2)"
        " and (?3 is null or kind = ?3) order by internal, kind desc",
        system_id, internal, part,
    )  # fmt: skip
    return [_stored(ctx, system, name, which, msgspec.json.decode(body), at) for name, which, body, at in rows]


def _stored(ctx: Context, system: Record, internal: str, part: str, body: Record, at: float) -> Record:
    base = f"/systems/v2/{system['id']}"
    links = {"parent": ctx.link(base), "self": ctx.link(f"{base}/credentials")}
    if internal:
        links["self"] = ctx.link(f"{base}/credentials/{internal}/{part}")
        links["internalUser"] = ctx.link(f"/profiles/v2/{system['owner']}/users/{internal}")
    return {
        "parentType": TOLD_AS[part], "default": not internal, "internalUsername": internal or None,
        "type": body.get("type"), "created": date(at), "valid": _is_valid(ctx, system, internal, part, body),
        "expirationDate": None, "server": body.get("server"), "_links": links,
    }  # fmt: skip


def _is_valid(ctx: Context, system: Record, internal: str, part: str, body: Record) -> bool:
    try:
        _opened(ctx.tenant, body, _label(system["id"], internal, part))
    except Closed:
        return False
    return True


def store_credential(ctx: Context, system_id: str, internal: str | None, kind: str | None, body: Any) -> Result:
    """Keep a credential for each part of the system that its type fits: all parts, or the one named."""
    system = _credentialed(ctx, system_id, to_change=True)
    wanted = _part(kind, system)
    if not isinstance(body, dict):
        raise Refusal(400, "Invalid JSON found. A credential is an object")
    named = body.get("internalUsername") or internal or ""
    if not isinstance(named, str) or (internal is not None and named != internal):
        raise Refusal(400, "Invalid internalUsername value. It is not the internal user of the path")
    if named:
        ctx.tenant.people.internal(system["owner"], named)
    fits = {"storage": auths.STORAGE[system["storage"]["protocol"]]}
    if system["type"] == "EXECUTION":
        fits["execution"] = auths.LOGIN[system["login"]["protocol"]]
    fits = {part: types for part, types in fits.items() if wanted in (None, part)}
    choices = tuple(sorted({each for types in fits.values() for each in types}))
    auth = auths.checked(body, choices, "credential")
    assert auth is not None  # there was no kept one to fall back on
    given = {part: auth for part, types in fits.items() if auth["type"] in types}
    with ctx.store.together():
        keep(ctx.tenant, system, given, by=ctx.user, internal=named)
        for part in given if not named else ():
            name = TOLD_AS[part]
            system = change(
                ctx, system, "UPDATE_DEFAULT_CREDENTIAL", f"The default {name} credential was changed",
                {name: {**system[name], "auth": auths.shown(auth)}},
            )  # fmt: skip
        if named:
            ctx.store.event(system["uuid"], "UPDATE_CREDENTIAL", f"The credential of {named} was changed", by=ctx.user)
    return Answer([each for part in given for each in stored_credentials(ctx, system_id, named, part)], status=201)


def clear_credentials(ctx: Context, system_id: str, internal: str | None, kind: str | None) -> Result:
    """Take away all credentials of a system, those of an internal user, or the one for a part."""
    system = _credentialed(ctx, system_id, to_change=True)
    part = _part(kind, system)
    if internal:
        ctx.tenant.people.internal(system["owner"], internal)
    with ctx.store.together():
        stored.drop(ctx.store, system, internal, part, by=ctx.user)
        if not internal:
            ctx.store.event(system["uuid"], "CLEAR_CREDENTIALS", "The credentials were cleared", by=ctx.user)
    return None


def _credentialed(ctx: Context, system_id: str, *, to_change: bool = False) -> Record:
    system = system_of(ctx, system_id)
    require_manager(ctx, system)
    if to_change and not system["available"]:
        raise Refusal(400, f"The system {system_id} is disabled")
    return system


def _part(kind: str | None, system: Record) -> str | None:
    """Which part of a system a credential type means. wire: the platform knows no LOGIN, AgavePy no EXECUTION."""
    if kind is None:
        return None
    found = {"storage": "storage", "login": "execution", "execution": "execution"}.get(kind.lower())
    if found is None:
        raise Refusal(400, f"Invalid credential type {kind}. Valid values are: STORAGE, EXECUTION, LOGIN")
    if found == "execution" and system["type"] == "STORAGE":
        raise Refusal(400, "A storage system has no execution credential")
    return found
