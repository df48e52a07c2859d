"""The profiles service: the people of the tenant. Records hold both spellings that platforms use for a name."""

from __future__ import annotations

from agavesh.tenant.context import Context, Record, Result
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
    people = [profile for name in ctx.tenant.auth.usernames() if (profile := ctx.store.get("profile", name))]
    found = [profile for profile in people if _matches(profile, key, str(value).lower())]
    return [_shown(ctx, profile) for profile in found[offset : offset + limit]]


async def get(ctx: Context) -> Result:
    return await listByUsername(ctx, username=ctx.user)


async def listByUsername(ctx: Context, *, username: str) -> Result:
    if (profile := ctx.store.get("profile", username)) is None:
        raise Refusal(404, f"No user found matching {username}")
    return _shown(ctx, profile)


def _matches(profile: Record, key: str, value: str) -> bool:
    if key in _WHOLE:
        return bool(str(profile.get(key, "")).lower() == value)
    return key not in _BY_PART or value in str(profile.get(_BY_PART[key], "")).lower()


def _shown(ctx: Context, profile: Record) -> Record:
    base = f"/profiles/v2/{profile['username']}"
    return {**profile, "_links": {"self": ctx.link(base), "users": ctx.link(f"{base}/users")}}
