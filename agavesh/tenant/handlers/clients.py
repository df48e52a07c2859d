"""The clients service: OAuth clients of the caller, who comes with a name and a password instead of a token."""

from __future__ import annotations

from typing import Any

from agavesh.api import catalogue
from agavesh.tenant import fields
from agavesh.tenant.auth import Denied
from agavesh.tenant.context import Answer, Context, Record, Result
from agavesh.tenant.refusal import Refusal

TIERS = ("UNLIMITED", "GOLD", "SILVER", "BRONZE")
APIS = tuple(sorted(service.__name__ for service in catalogue.SERVICES))


async def list(ctx: Context) -> Result:
    return [_shown(ctx, client) for client in ctx.tenant.auth.clients(ctx.user)]


async def create(ctx: Context, *, body: Any) -> Result:
    if not isinstance(body, dict) or not (name := str(body.get("clientName") or body.get("name") or "").strip()):
        raise Refusal(400, "clientName is required")
    record = {
        "description": fields.text(body, "description", longest=4096),
        "tier": _tier(body.get("tier")),
        "callbackUrl": fields.text(body, "callbackUrl", longest=4096),
    }
    try:
        key, secret = ctx.tenant.auth.add_client(ctx.user, name, record)
    except Denied as denied:
        raise Refusal(400, str(denied)) from None
    shown = _shown(ctx, {"name": name, **record, "consumerKey": key})
    return Answer({**shown, "consumerSecret": secret}, status=201, message="Client created successfully.")


async def getClientByName(ctx: Context, *, clientName: str) -> Result:
    return _shown(ctx, _client(ctx, clientName))


async def delete(ctx: Context, *, clientName: str) -> Result:
    _client(ctx, clientName)
    ctx.tenant.auth.drop_client(ctx.user, clientName)
    return Answer(None, message="Client removed successfully.")


async def listSubscriptionsForClient(ctx: Context, *, clientName: str) -> Result:
    return [_subscription(api, tier) for api, tier in _apis(_client(ctx, clientName)).items()]


async def addSubscriptionForClient(ctx: Context, *, clientName: str, body: Any) -> Result:
    client = _client(ctx, clientName)
    name = str(body.get("apiName") or body.get("name") or "") if isinstance(body, dict) else ""
    apis = {api.lower(): api for api in APIS}
    if name != "*" and name.lower() not in apis:
        raise Refusal(400, f"No API {name} to subscribe to. There are: {', '.join(APIS)}")
    found = dict(_apis(client))
    found |= dict.fromkeys(APIS if name == "*" else [apis[name.lower()]], _tier(body.get("tier")))
    ctx.tenant.auth.change_client(ctx.user, clientName, {**client, "apis": found})
    return Answer([_subscription(api, tier) for api, tier in found.items()], status=201)


async def deleteSubscriptionsForClient(ctx: Context, *, clientName: str) -> Result:
    ctx.tenant.auth.change_client(ctx.user, clientName, {**_client(ctx, clientName), "apis": {}})
    return Answer(None)


def _client(ctx: Context, name: str) -> Record:
    for client in ctx.tenant.auth.clients(ctx.user):
        if client["name"] == name:
            return client
    raise Refusal(404, f"Application {name} not found")


def _shown(ctx: Context, client: Record) -> Record:
    base = f"/clients/v2/{client['name']}"
    links = {"self": ctx.link(base), "subscriber": ctx.link(f"/profiles/v2/{ctx.user}"),
             "subscriptions": ctx.link(f"{base}/subscriptions")}  # fmt: skip
    shown = {key: value for key, value in client.items() if key not in ("apis", "subscriptions")}
    return {"callbackUrl": "", "description": "", **shown, "_links": links}


def _apis(client: Record) -> dict[str, str]:
    """The services that a client is subscribed to, with their tiers: all, until it was said which."""
    found: dict[str, str] = client.get("apis", dict.fromkeys(APIS, "UNLIMITED"))
    return found


def _subscription(api: str, tier: str = "UNLIMITED") -> Record:
    return {"apiName": api, "apiVersion": "v2", "apiProvider": "admin", "apiContext": f"/{api.lower()}",
            "apiStatus": "PUBLISHED", "status": "PUBLISHED", "tier": tier}  # fmt: skip


def _tier(value: Any) -> str:
    return str(value).upper() if str(value).upper() in TIERS else "UNLIMITED"
