"""The postits service: short URLs that open one thing of their creator's to whoever holds them.

A redemption is carried out with the rights that the creator has at that moment. It counts as a use, whatever comes of
it: a use is written down before the target is asked.
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.types import ASGIApp

from agavesh.tenant import behalf, fields
from agavesh.tenant.context import Answer, Context, Record, Result, described, route
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.words import date, new_uuid

METHODS = ("GET", "PUT", "POST", "DELETE")
LIFETIME = 30 * 24 * 3600  # seconds, where the creator does not say
LONGEST = 100 * 365 * 24 * 3600  # seconds
MOST = 2**31 - 1  # uses
ANY = -1  # uses
QUOTED = "/%:@!$&'()*+,;=~[]"  # stays as it is in a path that may be quoted already


async def list(ctx: Context, *, limit: int, offset: int) -> Result:
    """The caller's that can still be redeemed."""
    found = [_full(ctx, postit) for postit in ctx.store.all("postit", owner=ctx.user) if _holds(postit)]
    return found[offset : offset + limit]


async def create(ctx: Context, *, body: Any) -> Result:
    if not isinstance(body, dict):
        raise Refusal(400, "Invalid JSON found. A postit is an object.")
    method = fields.choice({"method": body.get("method") or "GET"}, "method", METHODS)
    unlimited = _flag(body, "unlimited")
    uses = ANY if unlimited else _number(body, "maxUses", 1, least=ANY, most=MOST)
    if uses == 0:
        raise fields.wrong("maxUses", "is 1 or more, or -1 for any number")
    lifetime = _number(body, "lifetime", LIFETIME, least=1, most=LONGEST)
    now = time.time()
    postit: Record = {
        "postit": new_uuid("010"), "creator": ctx.user, "method": method, "noauth": _flag(body, "noauth"),
        "internalUsername": fields.text(body, "internalUsername", longest=64) or None,
        "target": _target(ctx, method, body), "uses": uses, "used": 0, "created": now,
        "ends": None if unlimited else now + lifetime,
    }  # fmt: skip
    with ctx.store.together():
        for old in [*ctx.store.all("postit", owner=ctx.user)]:
            if not _holds(old):
                ctx.store.drop("postit", old["postit"])
                ctx.store.forget(old["postit"])
        ctx.store.put("postit", postit["postit"], postit, owner=ctx.user)
        ctx.store.event(postit["postit"], "CREATED", "Postit was created", by=ctx.user)
    return Answer(_full(ctx, postit), status=201)


async def delete(ctx: Context, *, uuid: str) -> Result:
    postit = _known(ctx, uuid)
    if postit["creator"] != ctx.user and not ctx.admin:
        raise Refusal(403, "A postit is revoked by its creator")
    with ctx.store.together():
        ctx.store.event(uuid, "DELETED", "Postit was revoked", by=ctx.user)
        ctx.store.drop("postit", uuid)
        ctx.store.forget(uuid)
    return None


# redemption ----------------------------------------------------------------------------------------------------------


@route("GET", "/postits/v2/{postitId}", token=False)
async def redeem(ctx: Context, *, postitId: str) -> ASGIApp:
    """The target's answer to the postit's method."""
    return await _redeemed(ctx, _known(ctx, postitId))


@route("POST", "/postits/v2/{postitId}", token=False)
@route("PUT", "/postits/v2/{postitId}", token=False)
async def send(ctx: Context, *, postitId: str) -> ASGIApp:
    """The same for what takes a body: only a postit of that method."""
    postit = _known(ctx, postitId)
    if postit["method"] != ctx.request.method:
        raise Refusal(405, f"This postit calls {postit['method']}", headers={"Allow": "GET, " + postit["method"]})
    return await _redeemed(ctx, postit)


async def _redeemed(ctx: Context, postit: Record) -> ASGIApp:
    if not _holds(postit) or not ctx.tenant.auth.exists(postit["creator"]):
        raise Refusal(410, "This postit has expired, or was redeemed as often as it may be")
    postit_id = postit["postit"]
    with ctx.store.together():  # no await since it was looked at: nobody else has taken the last use
        ctx.store.put("postit", postit_id, {**postit, "used": postit["used"] + 1}, owner=postit["creator"])
        ctx.store.event(postit_id, "REDEEMED", "Postit was redeemed", by=postit["creator"])
    await ctx.store.flushed()
    target = postit["target"]
    if ctx.query.get("force", "").lower() == "true":
        target += ("&" if "?" in target else "?") + "force=true"
    method = "HEAD" if ctx.request.method == "HEAD" and postit["method"] == "GET" else postit["method"]
    return await behalf.call(ctx, method, target, user=None if postit["noauth"] else postit["creator"])


# records -------------------------------------------------------------------------------------------------------------


def _known(ctx: Context, postit_id: str) -> Record:
    if (postit := ctx.store.get("postit", postit_id)) is None:
        raise Refusal(404, "No such postit")
    return postit


def _holds(postit: Record) -> bool:
    """Whether it can be redeemed once more."""
    left = postit["uses"] == ANY or postit["used"] < postit["uses"]
    return left and (postit["ends"] is None or postit["ends"] > time.time())


def _target(ctx: Context, method: str, body: Record) -> str:
    """Path and query of the URL: something of this tenant that wants a token, or none at all. Refusal."""
    url = fields.text(body, "url", longest=8000, required=True)
    try:
        parts = urlsplit(url)
        here = f"{parts.scheme}://{parts.netloc}"
    except ValueError:
        raise fields.wrong("url", "is a URL") from None
    ours = urlsplit(ctx.tenant.url)
    if here not in (ctx.tenant.url, f"{ours.scheme}://{ctx.request.headers.get('host', '')}"):
        raise fields.wrong("url", f"begins with {ctx.tenant.url}/")
    path = quote(parts.path, safe=QUOTED)
    found = behalf.endpoint_at(method, path)
    if found is None or found[0].sign_in not in ("token", "") or found[0].path.startswith("/postits/"):
        raise fields.wrong("url", f"names something that a postit can {method}")
    query = quote(parts.query, safe=QUOTED + "?")
    return f"{path}?{query}" if query else path


def _flag(body: Record, name: str) -> bool:
    """A boolean; a form says it in text."""
    value = body.get(name)
    return fields.boolean({name: {"true": True, "false": False}.get(str(value).lower(), value)}, name, False)


def _number(body: Record, name: str, default: int, *, least: int, most: int) -> int:
    value = fields.number(body.get(name))
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise fields.wrong(name, f"is a whole number from {least} to {most}")
    return int(value)


def _full(ctx: Context, postit: Record) -> Record:
    """A postit as its creator sees it, with the names of older tenants too."""
    created, ends = date(postit["created"]), None if postit["ends"] is None else date(postit["ends"])
    return {
        "postit": postit["postit"], "creator": postit["creator"], "internalUsername": postit["internalUsername"],
        "url": ctx.tenant.url + postit["target"], "method": postit["method"], "noauth": postit["noauth"],
        "remainingUses": ANY if postit["uses"] == ANY else postit["uses"] - postit["used"],
        "numberUsed": postit["used"], "created": created, "createdAt": created, "expires": ends, "expiresAt": ends,
        "status": "ACTIVE" if _holds(postit) else "EXPIRED", "tenantId": ctx.tenant.name,
        "_links": {
            "self": ctx.link(f"/postits/v2/{postit['postit']}"),
            "profile": ctx.link(f"/profiles/v2/{postit['creator']}"),
            "file": {"href": ctx.tenant.url + postit["target"]},
        },
    }  # fmt: skip


@described("010", "postit")
def told(ctx: Context, uuid: str) -> Record | None:
    """A postit as those are told who subscribed to it: its creator alone, as the id is the key."""
    postit = ctx.store.get("postit", uuid)
    if postit is None:
        return None
    if postit["creator"] != ctx.user:
        raise Refusal(403, "Only its creator may know of a postit")
    return _full(ctx, postit)
