"""The token endpoint: grants, refreshes, revocation. Its answers are bare objects, its errors those of OAuth2."""

from __future__ import annotations

from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request

from agavesh.tenant.app import basic
from agavesh.tenant.auth import Denied
from agavesh.tenant.bodies import whole
from agavesh.tenant.context import Answer, Context, Result, route
from agavesh.tenant.refusal import Refusal

LARGEST = 65536  # bytes of a form


class Trouble(Exception):
    """An error of OAuth2: a status, its code, a sentence."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(description)
        self.answer = Answer({"error": error, "error_description": description}, status, bare=True)


@route("POST", "/token", token=False)
async def token(ctx: Context) -> Result:
    """Tokens for a password, a refresh token, or a client on its own; for administrators, tokens of somebody else."""
    try:
        form = await _form(ctx.request)
        key, owner = _client(ctx, form)
        return Answer(await _granted(ctx, form, key, owner), bare=True, headers={"Cache-Control": "no-store"})
    except Trouble as trouble:
        return trouble.answer


@route("POST", "/revoke", token=False)
async def revoke(ctx: Context) -> Result:
    """End a token of the calling client, whether it was good or not."""
    try:
        form = await _form(ctx.request)
        key, _ = _client(ctx, form)
        ctx.tenant.auth.revoke(form.get("token", ""), key)
    except Trouble as trouble:
        return trouble.answer
    return Answer({}, bare=True)


async def _granted(ctx: Context, form: dict[str, str], key: str, owner: str) -> dict[str, object]:
    auth, scope = ctx.tenant.auth, form.get("scope", "PRODUCTION")
    try:
        match form.get("grant_type", ""):
            case "password":
                user = await auth.check_password(form.get("username", ""), form.get("password", ""))
                grant = auth.grant(user, key)
            case "refresh_token":
                grant = auth.refresh(form.get("refresh_token", ""), key)
            case "client_credentials":
                grant = auth.grant(owner, key, refreshable=False)
            case "admin_password":
                user = await auth.check_password(form.get("username", ""), form.get("password", ""))
                if not auth.is_admin(user):
                    raise Denied(f"{user} may not act as somebody else")
                grant = auth.grant(form.get("token_username", ""), key)
            case other:
                raise Trouble(400, "unsupported_grant_type", f"Unsupported grant_type value {other!r}")
    except Denied as denied:
        raise Trouble(400, "invalid_grant", str(denied)) from None
    answer = {
        "access_token": grant.access_token,
        "token_type": "bearer",
        "expires_in": grant.expires_in,
        "scope": scope,
    }
    return answer | ({"refresh_token": grant.refresh_token} if grant.refresh_token else {})


async def _form(request: Request) -> dict[str, str]:
    try:
        content = await whole(request, LARGEST)
    except Refusal as refusal:
        raise Trouble(refusal.status, "invalid_request", refusal.message) from None
    if request.headers.get("content-type", "").startswith("application/json"):
        try:
            return msgspec.json.decode(content, type=dict[str, str])
        except msgspec.DecodeError:
            raise Trouble(400, "invalid_request", "The request is no JSON object of texts") from None
    return dict(parse_qsl(content.decode(errors="replace"), keep_blank_values=True))


def _client(ctx: Context, form: dict[str, str]) -> tuple[str, str]:
    """The client's key and owner, from the header or, as OAuth2 allows, from the form."""
    scheme, _, given = ctx.request.headers.get("authorization", "").partition(" ")
    try:
        if scheme.lower() == "basic":
            key, secret = basic(given.strip())
        else:
            key, secret = form.get("client_id", ""), form.get("client_secret", "")
        return key, ctx.tenant.auth.check_client(key, secret)
    except Denied as denied:
        raise Trouble(401, "invalid_client", str(denied)) from None
