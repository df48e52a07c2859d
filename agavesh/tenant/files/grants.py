"""Grants on paths: shown, given, taken away."""

from __future__ import annotations

import stat
from typing import Any
from urllib.parse import quote

from agavesh.tenant.context import Answer, Context, Record, Records, Result
from agavesh.tenant.files.actions import look, require_whole
from agavesh.tenant.files.places import Place
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.words import PEMS, Pem, pem, pem_word


def permissions(ctx: Context, place: Place) -> Records:
    """Who may do what at a place: the owner first; on a private system all who have a role."""
    files = ctx.tenant.files
    files.require(place, ctx.user, Pem.READ, "view")
    look(ctx, place)
    uuid = files.looked_at(place, ctx.user) or ""
    owner = (files.find(place) or ("", files.owner_of(place)))[1]
    granted: dict[str, tuple[int, bool]] = {owner: (Pem.ALL, True)}
    if not place.system.get("public"):
        holders = ctx.store.roles(place.system_id)
        granted |= {name: (Pem.ALL, True) for name, role in holders.items() if role != "NONE"}
    for name, bits, recursive in ctx.store.grants(uuid):
        granted.setdefault(name, (bits, recursive))
    found = [_permission(ctx, place, name, bits, recursive) for name, (bits, recursive) in granted.items()]
    return [entry for entry in found if _asked_for(ctx, entry)]


def _asked_for(ctx: Context, entry: Record) -> bool:
    for key, value in ctx.query.items():
        name = key.partition(".")[0]
        if name == "username" and entry["username"] != value:
            return False
        if name == "permission":
            bits = sum(bit for word, bit in _BITS.items() if entry["permission"][word])
            if pem(value) != bits:
                return False
    return True


_BITS = {"read": Pem.READ, "write": Pem.WRITE, "execute": Pem.EXECUTE}


def _permission(ctx: Context, place: Place, username: str, bits: int, recursive: bool) -> Record:
    address = f"/system/{place.system_id}/{place.path}"
    return {
        "username": username,
        "internalUsername": None,
        "permission": {word: bool(bits & bit) for word, bit in _BITS.items()},
        "recursive": recursive,
        "_links": {
            "self": {"href": ctx.url(f"/files/v2/pems{address}") + f"?username.eq={quote(username)}"},
            "file": ctx.link(f"/files/v2/media{address}"),
            "profile": ctx.link(f"/profiles/v2/{username}"),
        },
    }


async def permit(ctx: Context, place: Place, body: Any) -> Result:
    """A grant replaces what the user had; a recursive one also what they had below."""
    files = ctx.tenant.files
    if not isinstance(body, dict) or not (username := str(body.get("username") or "")):
        raise Refusal(400, "No username specified")
    files.require(place, ctx.user, Pem.WRITE, "change the permissions of")
    found = look(ctx, place)
    bits = _wanted(body)
    if username == "*" and not bits:
        username = ctx.user
    recursive = str(body.get("recursive")).lower() == "true" and stat.S_ISDIR(found.st_mode)
    if recursive:
        await require_whole(ctx, place, Pem.WRITE, "change the permissions of")
    uuid = files.seen(place, ctx.user)
    owner = (files.find(place) or ("", ""))[1]
    if username != owner:
        with ctx.store.together():
            if recursive:
                files.forget_grants(place, username)
            ctx.store.grant(uuid, username, bits, recursive=recursive)
            event = "PERMISSION_GRANT" if bits else "PERMISSION_REVOKE"
            told = _permission(ctx, place, username, bits, recursive)
            ctx.store.event(uuid, event, f"{pem_word(bits)} for {username}", by=ctx.user, told=told)
    return Answer([_permission(ctx, place, username, bits, recursive)], status=201 if bits else 200)


def _wanted(body: Record) -> Pem:
    if (word := body.get("permission")) is not None:
        if not isinstance(word, str) or (bits := pem(word)) is None:
            raise Refusal(400, f"Invalid permission {word}. Valid values are: {', '.join(PEMS)}")  # fmt: skip
        return bits
    switches = {"canRead": Pem.READ, "canWrite": Pem.WRITE, "all": Pem.ALL, **_BITS}
    bits = Pem.NONE
    for name, bit in switches.items():
        if str(body.get(name)).lower() in ("true", "1"):
            bits |= bit
    return bits


async def forbid(ctx: Context, place: Place) -> Result:
    """Take all grants away, with `recursive=true` those below too."""
    files = ctx.tenant.files
    files.require(place, ctx.user, Pem.WRITE, "change the permissions of")
    look(ctx, place)
    recursive = ctx.query.get("recursive", "").lower() == "true"
    if recursive:
        await require_whole(ctx, place, Pem.WRITE, "change the permissions of")
    uuid = files.seen(place, ctx.user)
    with ctx.store.together():
        for username, _, _ in ctx.store.grants(uuid):
            ctx.store.grant(uuid, username, 0)
        if recursive:
            files.forget_grants(place)
        ctx.store.event(uuid, "PERMISSION_REVOKE", "All permissions were cleared", by=ctx.user)
    return None
