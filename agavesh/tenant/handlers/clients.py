"""The clients service: OAuth clients of the caller, who comes with a name and a password instead of a token."""

from __future__ import annotations

from typing import Any

from agavesh.tenant.auth import Denied
from agavesh.tenant.context import Answer, Context, Record, Records, Result
from agavesh.tenant.refusal import Refusal

TIERS = ("UNLIMITED", "GOLD", "SILVER", "BRONZE")
APIS = ("Apps", "Clients", "Files", "Jobs", "Meta", "Notifications", "Profiles", "Systems")


async def list(ctx: Context) -> Result:
    return [_shown(ctx, client) for client in ctx.tenant.auth.clients(ctx.user)]


async def create(ctx: Context, *, body: Any) -> Result:
    if not isinstance(body, dict) or not (name := str(body.get("clientName") or body.get("name") or "").strip()):
        raise Refusal(400, "clientName is required")
    record = {
        "description": body.get("description") or "",
        "tier": _tier(body.get("tier")),
        "callbackUrl": body.get("callbackUrl") or "",
        "subscriptions": [_subscription(api) for api in APIS],
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
    return _subscriptions(_client(ctx, clientName))


async def addSubscriptionForClient(ctx: Context, *, clientName: str, body: Any) -> Result:
    client = _client(ctx, clientName)
    name = str(body.get("apiName") or body.get("name") or "") if isinstance(body, dict) else ""
    apis = {api.lower(): api for api in APIS}
    if name != "*" and name.lower() not in apis:
        raise Refusal(400, f"No API {name} to subscribe to. There are: {', '.join(APIS)}")
    found = {each["apiName"]: each for each in _subscriptions(client)}
    for api in APIS if name == "*" else (apis[name.lower()],):
        found[api] = _subscription(api, _tier(body.get("tier")))
    ctx.tenant.auth.change_client(ctx.user, clientName, {**client, "subscriptions": [*found.values()]})
    return Answer([*found.values()], status=201)


async def deleteSubscriptionsForClient(ctx: Context, *, clientName: str) -> Result:
    client = _client(ctx, clientName)
    ctx.tenant.auth.change_client(ctx.user, clientName, {**client, "subscriptions": []})
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
    shown = {key: value for key, value in client.items() if key != "subscriptions"}
    return {"callbackUrl": "", "description": "", **shown, "_links": links}


def _subscriptions(client: Record) -> Records:
    return [*client.get("subscriptions", [_subscription(api) for api in APIS])]


def _subscription(api: str, tier: str = "UNLIMITED") -> Record:
    return {"apiName": api, "apiVersion": "v2", "apiProvider": "admin", "apiContext": f"/{api.lower()}",
            "apiStatus": "PUBLISHED", "status": "PUBLISHED", "tier": tier}  # fmt: skip


def _tier(value: Any) -> str:
    return str(value).upper() if str(value).upper() in TIERS else "UNLIMITED"
