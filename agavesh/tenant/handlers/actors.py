"""The actors service: actors, messages, executions, workers, nonces, permissions, aliases.

wire: it is another program than the rest of the platform, and tells a message with every answer. What it answers is
told by `records`, who may ask is decided in `access`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

import trio
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from agavesh.tenant.actors import aliases, images, nonces, records
from agavesh.tenant.actors.access import may, opened, signed_in
from agavesh.tenant.actors.levels import Level, grant, level_of, levels
from agavesh.tenant.actors.messages import received
from agavesh.tenant.actors.queue import BINARY, Execution
from agavesh.tenant.actors.records import ACTORS
from agavesh.tenant.actors.spec import checked
from agavesh.tenant.actors.spec import state as fitting_state
from agavesh.tenant.actors.workers import MOST_WORKERS, Worker, new_id
from agavesh.tenant.bodies import body_of, json_of, whole
from agavesh.tenant.context import Answer, Context, Record, Result, route
from agavesh.tenant.envelope import CORS, said
from agavesh.tenant.fields import number
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.state import Tenant
from agavesh.tenant.store import patiently

SYNCHRONOUS = "_abaco_synchronous"


async def resume(tenant: Tenant) -> None:
    """Go on with what an earlier run of the tenant left."""
    await patiently(tenant.actors.resume)


async def _object(ctx: Context) -> Record:
    """The body of a request, which may be missing."""
    kind = ctx.request.headers.get("content-type", "")
    content = await whole(ctx.request, ctx.tenant.bounds.body)
    if kind.startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(content.decode(errors="replace")))
    return _an_object(json_of(content, ctx.tenant.bounds)) if content.strip() else {}


def _an_object(body: Any) -> Record:
    if not isinstance(body, dict):
        raise Refusal(400, "Invalid JSON found. An object is wanted")
    return body


# actors --------------------------------------------------------------------------------------------------------------


async def list(ctx: Context, *, limit: int, offset: int) -> Result:
    signed_in(ctx)
    found: Iterable[Record] = ctx.store.all("actor")
    mine = [actor for actor in found if may(ctx, actor, Level.READ)]
    told = [records.actor(ctx, actor) for actor in mine[offset : offset + limit]]
    return Answer(told, message="Actors retrieved successfully.")


async def add(ctx: Context, *, body: Any) -> Result:
    owner, now = signed_in(ctx), time.time()
    fields = checked(body, admin=ctx.admin)
    images.find(ctx.tenant.root, fields["image"])
    actor = {
        "id": new_id(), "owner": owner, "status": "SUBMITTED", "statusMessage": None, "revision": 1,
        **fields, "_created": now, "_updated": now,
    }  # fmt: skip
    with ctx.store.together():
        grant(ctx.store, actor["id"], owner, Level.UPDATE)
        ctx.tenant.actors.put(actor)
    return Answer(records.actor(ctx, actor), message="Actor created successfully.")


async def get(ctx: Context, *, actorId: str) -> Result:
    return Answer(records.actor(ctx, opened(ctx, actorId, Level.READ)), message="Actor retrieved successfully.")


async def update(ctx: Context, *, actorId: str, body: Any) -> Result:
    old = opened(ctx, actorId, Level.UPDATE)
    fields = checked(body, admin=ctx.admin, old=old)
    images.find(ctx.tenant.root, fields["image"])
    anew = fields["image"] != old["image"] or str(body.get("force")).lower() == "true"
    changes = {"status": "SUBMITTED", "statusMessage": None, "revision": old["revision"] + 1} if anew else {}
    actor = {**old, **fields, **changes, "_updated": time.time()}
    ctx.tenant.actors.put(actor)
    if anew:
        ctx.tenant.actors.renew(actor["id"])
    return Answer(records.actor(ctx, actor), message="Actor updated successfully.")


async def delete(ctx: Context, *, actorId: str) -> Result:
    actor = opened(ctx, actorId, Level.UPDATE)
    done = await ctx.tenant.actors.delete(actor)
    more = "" if done else " Its workers are still being shut down."
    return Answer(None, message=f"Actor deleted successfully.{more}")


# messages ------------------------------------------------------------------------------------------------------------


async def getMessages(ctx: Context, *, actorId: str) -> Result:
    actor = opened(ctx, actorId, Level.READ)
    told = {
        "messages": ctx.tenant.actors.queue.waiting(actor["id"]),
        "_links": records.links(ctx, f"/{actor['id']}/messages", actor["owner"]),
    }
    return Answer(told, message="Actor messages retrieved successfully.")


async def deleteMessages(ctx: Context, *, actorId: str) -> Result:
    actor = opened(ctx, actorId, Level.UPDATE)
    ctx.tenant.actors.empty(actor["id"])
    told = {"msg": "Messages deleted.", "_links": records.links(ctx, f"/{actor['id']}/messages", actor["owner"])}
    return Answer(told, message="Actor mailbox cleared successfully.")


async def sendMessage(ctx: Context, *, actorId: str) -> Result:
    actor = opened(ctx, actorId, Level.EXECUTE)
    actors, id, execution_id = ctx.tenant.actors, actor["id"], new_id()
    process = actors.process(id, execution_id)
    try:
        message = await received(ctx.request, ctx.query, process.folder)
        _still(ctx, id)
        ctx.store.touched(process.folder, process.folder.parent, process.folder.parent.parent)
        actors.send(id, execution_id, message, ctx.user)
    except BaseException:
        process.discard()
        raise
    if said(ctx.query, SYNCHRONOUS):
        await _ended(ctx, id, execution_id)
        result = await trio.to_thread.run_sync(process.pop)
        told = result or (await trio.to_thread.run_sync(process.log)).encode()
        return Response(told, headers=CORS, media_type=BINARY if result else "text/plain; charset=utf-8")
    path = f"/{id}"
    links = records.links(ctx, f"{path}/executions/{execution_id}", ctx.user, messages=f"{path}/messages")
    shown = "binary - omitted" if message.kind == BINARY else message.text
    return Answer({"executionId": execution_id, "msg": shown, "_links": links}, message="The request was successful")


async def _ended(ctx: Context, actor_id: str, execution_id: str) -> None:
    """Wait for an execution, as long as the caller does."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_left, ctx, nursery.cancel_scope)
        await ctx.tenant.actors.ended(actor_id, execution_id)
        nursery.cancel_scope.cancel()
        return
    raise ClientDisconnect


async def _left(ctx: Context, waiting: trio.CancelScope) -> None:
    while (await ctx.request.receive())["type"] != "http.disconnect":
        pass
    waiting.cancel()


def _still(ctx: Context, actor_id: str) -> None:
    """The body of a request may take its time; the actor must be there when it is whole."""
    actor = ctx.store.get("actor", actor_id)
    if actor is None or actor["status"] == "SHUTTING_DOWN":
        raise Refusal(404, f"Actor not found: {actor_id}")


async def sendBinaryMessage(ctx: Context, *, actorId: str) -> Result:
    return await sendMessage(ctx, actorId=actorId)


# state ---------------------------------------------------------------------------------------------------------------


async def getState(ctx: Context, *, actorId: str) -> Result:
    actor = opened(ctx, actorId, Level.READ)
    told = {"state": actor["state"], "_links": records.links(ctx, f"/{actor['id']}/state", actor["owner"])}
    return Answer(told, message="Actor state retrieved successfully.")


async def updateState(ctx: Context, *, actorId: str) -> Result:
    id = opened(ctx, actorId, Level.UPDATE)["id"]
    value = fitting_state("state", json_of(await whole(ctx.request, ctx.tenant.bounds.body), ctx.tenant.bounds))
    _still(ctx, id)
    actor = ctx.tenant.actors.get(id) or {}
    if actor["stateless"]:
        raise Refusal(404, "The actor is stateless: it has no state to update")
    changed = {**actor, "state": value, "_updated": time.time()}
    ctx.store.put("actor", id, changed, owner=actor["owner"])
    return Answer(records.actor(ctx, changed), message="State updated successfully.")


# permissions ---------------------------------------------------------------------------------------------------------


async def getPermissions(ctx: Context, *, actorId: str) -> Result:
    actor = opened(ctx, actorId, Level.READ)
    return Answer(levels(ctx.store, actor["id"]), message="Permissions retrieved successfully.")


async def updatePermissions(ctx: Context, *, actorId: str, body: Any) -> Result:
    actor = opened(ctx, actorId, Level.UPDATE)
    asked = _an_object(body)
    username = asked.get("user")
    if not isinstance(username, str) or not username.strip() or len(username) > 128:
        raise Refusal(400, "No user given. It is required.")
    if asked.get("level") is None:
        raise Refusal(400, "No level given. It is required.")
    grant(ctx.store, actor["id"], username.strip(), level_of(asked["level"]))
    return Answer(levels(ctx.store, actor["id"]), message="Permission added successfully.")


# workers -------------------------------------------------------------------------------------------------------------


def _find_worker(ctx: Context, actor: Record, worker_id: str) -> Worker:
    for worker in ctx.tenant.actors.workers(actor["id"]):
        if worker.id == worker_id:
            return worker
    raise Refusal(404, f"Worker not found: {worker_id}")


async def listWorkers(ctx: Context, *, actorId: str) -> Result:
    actor = opened(ctx, actorId, Level.READ)
    told = [records.worker(ctx, actor, worker) for worker in ctx.tenant.actors.workers(actor["id"])]
    return Answer(told, message="Workers retrieved successfully.")


async def addWorker(ctx: Context, *, actorId: str) -> Result:
    id = opened(ctx, actorId, Level.UPDATE)["id"]
    wanted = number((await _object(ctx)).get("num", 1))
    _still(ctx, id)
    actor = ctx.tenant.actors.get(id) or {}
    if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 1:
        raise Refusal(400, "Invalid num: it is a whole number above zero")
    most = min(actor["maxWorkers"] or MOST_WORKERS, MOST_WORKERS) if actor["stateless"] else 1
    if wanted > most:
        kind = "a stateful actor" if not actor["stateless"] else "this actor"
        raise Refusal(400, f"Invalid num: {kind} has {most} worker(s) at most")
    more = ctx.tenant.actors.hire(id, wanted)
    said = f"Scheduled {more} new worker(s) to start." if more else f"There are {wanted} worker(s) or more already."
    return Answer(None, message=said)


async def getWorker(ctx: Context, *, actorId: str, workerId: str) -> Result:
    actor = opened(ctx, actorId, Level.READ)
    found = _find_worker(ctx, actor, workerId)
    return Answer(records.worker(ctx, actor, found), message="Worker retrieved successfully.")


async def deleteWorker(ctx: Context, *, actorId: str, workerId: str) -> Result:
    actor = opened(ctx, actorId, Level.UPDATE)
    ctx.tenant.actors.dismiss(_find_worker(ctx, actor, workerId))
    return Answer(None, message="Worker scheduled to be stopped.")


# nonces --------------------------------------------------------------------------------------------------------------


async def listNonces(ctx: Context, *, actorId: str) -> Result:
    actor = opened(ctx, actorId, Level.UPDATE)
    told = [records.nonce(ctx, nonce) for nonce in nonces.all_of(ctx.store, actor["id"])]
    return Answer(told, message="Actor nonces retrieved successfully.")


async def addNonce(ctx: Context, *, actorId: str) -> Result:
    actor = opened(ctx, actorId, Level.UPDATE)
    wanted = await _object(ctx)
    _still(ctx, actor["id"])
    nonce = nonces.make(ctx.store, actor["id"], ctx.user, wanted, ctx.tenant.name.upper())
    return Answer(records.nonce(ctx, nonce), message="Actor nonce created successfully.")


async def getNonce(ctx: Context, *, actorId: str, nonceId: str) -> Result:
    actor = opened(ctx, actorId, Level.UPDATE)
    found = nonces.get(ctx.store, actor["id"], nonceId)
    return Answer(records.nonce(ctx, found), message="Actor nonce retrieved successfully.")


async def deleteNonce(ctx: Context, *, actorId: str, nonceId: str) -> Result:
    actor = opened(ctx, actorId, Level.UPDATE)
    nonces.drop(ctx.store, nonces.get(ctx.store, actor["id"], nonceId))
    return Answer(None, message="Actor nonce deleted successfully.")


# executions ----------------------------------------------------------------------------------------------------------


def _execution(ctx: Context, actor: Record, execution_id: str) -> Execution:
    """wire: an unknown execution is 400."""
    execution = ctx.tenant.actors.queue.get(actor["id"], execution_id)
    if execution is None:
        raise Refusal(400, f"Execution not found: {execution_id}")
    return execution


async def listExecutions(ctx: Context, *, actorId: str, limit: int, offset: int) -> Result:
    actor = opened(ctx, actorId, Level.READ)
    queue = ctx.tenant.actors.queue
    told = records.summary(ctx, actor, queue.totals(actor["id"]), queue.page(actor["id"], limit, offset))
    return Answer(told, message="Actor executions retrieved successfully.")


async def getExecution(ctx: Context, *, actorId: str, executionId: str) -> Result:
    actor = opened(ctx, actorId, Level.READ)
    one = _execution(ctx, actor, executionId)
    told = records.execution(ctx, actor, one)
    return Answer(told, message="Actor execution retrieved successfully.")


@route("DELETE", f"{ACTORS}/{{actorId}}/executions/{{executionId}}")
async def end_execution(ctx: Context, *, actorId: str, executionId: str) -> Result:
    """End an execution that runs. AgavePy has no name for it."""
    actor = opened(ctx, actorId, Level.UPDATE)
    one = _execution(ctx, actor, executionId)
    if one.status != "RUNNING":
        raise Refusal(400, f"The execution is {one.status}: only one that is RUNNING can be ended")
    ctx.tenant.actors.quit(actor["id"], one.id)
    return Answer(None, message="Issued force quit command for execution.")


async def getOneExecutionResult(ctx: Context, *, actorId: str, executionId: str) -> Result:
    actor = opened(ctx, actorId, Level.READ)
    process = ctx.tenant.actors.process(actor["id"], _execution(ctx, actor, executionId).id)
    looking = ctx.request.method == "HEAD"
    return Response(await trio.to_thread.run_sync(lambda: process.pop(keep=looking)), headers=CORS, media_type=BINARY)


async def getExecutionLogs(ctx: Context, *, actorId: str, executionId: str) -> Result:
    actor = opened(ctx, actorId, Level.READ)
    one = _execution(ctx, actor, executionId)
    path = f"/{actor['id']}/executions/{one.id}"
    logs = await trio.to_thread.run_sync(ctx.tenant.actors.process(actor["id"], one.id).log) if one.over else ""
    told = {"logs": logs, "_links": records.links(ctx, f"{path}/logs", one.executor, execution=path)}
    return Answer(told, message="Logs retrieved successfully.")


# aliases -------------------------------------------------------------------------------------------------------------


async def listAliases(ctx: Context) -> Result:
    signed_in(ctx)
    visible = []
    for alias in aliases.all_of(ctx.store):
        actor = ctx.store.get("actor", alias.actor)
        if actor is not None and may(ctx, actor, Level.READ):
            visible.append(records.alias(ctx, alias))
    return Answer(visible, message="Aliases retrieved successfully.")


async def addAlias(ctx: Context, *, body: Any) -> Result:
    owner, asked = signed_in(ctx), _an_object(body)
    actor = opened(ctx, str(asked.get("actorId") or ""), Level.UPDATE)
    alias = aliases.make(ctx.store, asked.get("alias"), actor["id"], owner)
    return Answer(records.alias(ctx, alias), message="Actor alias created successfully.")


async def getAlias(ctx: Context, *, alias: str) -> Result:
    found = aliases.get(ctx.store, alias)
    opened(ctx, found.actor, Level.READ)
    return Answer(records.alias(ctx, found), message="Actor alias retrieved successfully.")


@route("PUT", f"{ACTORS}/aliases/{{alias}}")
async def move_alias(ctx: Context, *, alias: str) -> Result:
    """Let an alias stand for another actor. AgavePy has no name for it."""
    signed_in(ctx)
    asked = _an_object(await body_of(ctx.request))
    found = aliases.get(ctx.store, alias)
    opened(ctx, found.actor, Level.UPDATE)
    target = opened(ctx, str(asked.get("actorId") or ""), Level.UPDATE)
    moved = aliases.move(ctx.store, found, target["id"])
    return Answer(records.alias(ctx, moved), message="Actor alias updated successfully.")


async def deleteAlias(ctx: Context, *, alias: str) -> Result:
    found = aliases.get(ctx.store, alias)
    opened(ctx, found.actor, Level.UPDATE)
    aliases.drop(ctx.store, found)
    return Answer(None, message=f"Alias {alias} deleted successfully.")
