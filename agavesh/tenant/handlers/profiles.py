"""The profiles service: the people of the tenant, and the internal users that they keep for people of their own.

Everybody sees who there is; administrators add, change and remove. An `admin` in a request makes an administrator, and
administrators are shown who is one.
"""

from __future__ import annotations

from typing import Any

from agavesh.tenant import search
from agavesh.tenant.bodies import body_of
from agavesh.tenant.context import Answer, Context, Record, Result, route
from agavesh.tenant.refusal import Refusal

# the first of these that is in the query decides; names match by part, the others whole
_BY_PART = {"name": "fullName", "full_name": "fullName", "first_name": "firstName", "last_name": "lastName"}
_WHOLE = ("username", "email", "status")


async def list(
    ctx: Context, *, limit: int, offset: int, name: str | None, email: str | None, first_name: str | None,
    last_name: str | None, full_name: str | None, status: str | None, username: str | None,
) -> Result:  # fmt: skip
    """All people where nothing is asked for, as the other profile service does; AgavePy describes no empty answer."""
    asked = {"username": username, "email": email, "name": name, "first_name": first_name, "last_name": last_name,
             "full_name": full_name, "status": status}  # fmt: skip
    for key, spelling in (("first_name", "firstName"), ("last_name", "lastName"), ("full_name", "fullName")):
        asked[key] = asked[key] or ctx.query.get(spelling)
    key, value = next(((key, value) for key, value in asked.items() if value), ("", ""))
    found = [each for each in ctx.tenant.people.profiles() if _matches(each, key, str(value).lower())]
    return [_shown(ctx, profile) for profile in found[offset : offset + limit]]


async def get(ctx: Context) -> Result:
    return await listByUsername(ctx, username=ctx.user)


async def listByUsername(ctx: Context, *, username: str) -> Result:
    return _shown(ctx, ctx.tenant.people.profile(username))


async def create(ctx: Context, *, body: Any) -> Result:
    _administrators(ctx)
    return Answer(_shown(ctx, await ctx.tenant.people.create(body, by=ctx.user)), status=201)


async def update(ctx: Context, *, username: str, body: Any) -> Result:
    _administrators(ctx)
    return _shown(ctx, await ctx.tenant.people.update(username, body, by=ctx.user))


async def delete(ctx: Context, *, username: str) -> Result:
    _administrators(ctx)
    return _shown(ctx, ctx.tenant.people.delete(username, by=ctx.user))


def _administrators(ctx: Context) -> None:
    if not ctx.admin:
        raise Refusal(403, "Users are added, changed and removed by administrators of the tenant")


def _matches(profile: Record, key: str, value: str) -> bool:
    if key in _WHOLE:
        return bool(str(profile.get(key, "")).lower() == value)
    return key not in _BY_PART or value in str(profile.get(_BY_PART[key], "")).lower()


def _shown(ctx: Context, profile: Record) -> Record:
    base = f"/profiles/v2/{profile['username']}"
    more = {"admin": ctx.tenant.auth.is_admin(profile["username"])} if ctx.admin else {}
    return {**profile, **more, "_links": {"self": ctx.link(base), "users": ctx.link(f"{base}/users")}}


# internal users ------------------------------------------------------------------------------------------------------

_INTERNAL = frozenset({
    "username", "email", "firstname", "lastname", "fullname", "position", "institution", "phone", "fax",
    "researcharea", "department", "city", "state", "country", "gender", "status", "uuid", "created",
})  # fmt: skip


@route("GET", "/profiles/v2/{username}/users")
async def internal_users(ctx: Context, *, username: str) -> Result:
    """The internal users of a user, searched by any field."""
    found = ctx.tenant.people.internal_users(_owner(ctx, username))
    return search.page(ctx, (_internal(ctx, username, each) for each in found), names=_INTERNAL, summary=lambda it: it)


@route("POST", "/profiles/v2/{username}/users")
async def add_internal_user(ctx: Context, *, username: str) -> Result:
    """Add an internal user."""
    owner, body = _owner(ctx, username), await _object(ctx)
    record = ctx.tenant.people.put_internal(owner, body, None, by=ctx.user)
    return Answer(_internal(ctx, username, record), status=201)


@route("GET", "/profiles/v2/{username}/users/{internalUsername}")
async def internal_user(ctx: Context, *, username: str, internalUsername: str) -> Result:
    """One internal user."""
    return _internal(ctx, username, ctx.tenant.people.internal(_owner(ctx, username), internalUsername))


@route("POST", "/profiles/v2/{username}/users/{internalUsername}")
@route("PUT", "/profiles/v2/{username}/users/{internalUsername}")
async def change_internal_user(ctx: Context, *, username: str, internalUsername: str) -> Result:
    """Change an internal user."""
    owner, body = _owner(ctx, username), await _object(ctx)
    if body.get("username", internalUsername) != internalUsername:
        raise Refusal(400, "Invalid value for username: the one in the body is not that of the path.")
    old = ctx.tenant.people.internal(owner, internalUsername)
    return _internal(ctx, username, ctx.tenant.people.put_internal(owner, body, old, by=ctx.user))


@route("DELETE", "/profiles/v2/{username}/users/{internalUsername}")
async def delete_internal_user(ctx: Context, *, username: str, internalUsername: str) -> Result:
    """Remove an internal user, with their credentials."""
    ctx.tenant.people.drop_internal(_owner(ctx, username), internalUsername, by=ctx.user)
    return None


def _owner(ctx: Context, username: str) -> str:
    """Whose internal users are meant; a Refusal for others than themselves and administrators."""
    if ctx.user != username and not ctx.admin:
        raise Refusal(403, f"User does not have permission to see the internal users of {username}")
    ctx.tenant.people.profile(username)
    return username


async def _object(ctx: Context) -> Record:
    body = await body_of(ctx.request, ctx.tenant.bounds)
    if not isinstance(body, dict):
        raise Refusal(400, "Invalid JSON found. An internal user is described by an object")
    return body


def _internal(ctx: Context, owner: str, record: Record) -> Record:
    links = {
        "self": ctx.link(f"/profiles/v2/{owner}/users/{record['username']}"),
        "profile": ctx.link(f"/profiles/v2/{owner}"),
    }
    return {**record, "_links": links}
