"""How actors, and what they have, are told.

wire: links are plain texts, times are UTC, and an actor's fields that are null are left out.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime

from agavesh.tenant.actors.aliases import Alias
from agavesh.tenant.actors.nonces import UNLIMITED, Nonce
from agavesh.tenant.actors.queue import Execution, Totals
from agavesh.tenant.actors.workers import Worker
from agavesh.tenant.context import Context, Record

ACTORS = "/actors/v2"


def at(moment: float | None) -> str:
    """wire: UTC, and for a time not yet known a word."""
    if moment is None:
        return "None"
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def links(ctx: Context, path: str, owner: str, **more: str) -> Record:
    """Links of something below `path`, which is below the service."""
    return {
        "self": ctx.url(f"{ACTORS}{path}"),
        "owner": ctx.url(f"/profiles/v2/{owner}"),
        **{name: ctx.url(f"{ACTORS}{other}") for name, other in more.items()},
    }


def actor(ctx: Context, actor: Record) -> Record:
    """An actor; what is null is left out."""
    told = {name: value for name, value in actor.items() if not name.startswith("_") and value is not None}
    path = f"/{actor['id']}"
    return {
        **told,
        "tenant": ctx.tenant.name,
        "createTime": at(actor["_created"]),
        "lastUpdateTime": at(actor["_updated"]),
        "_links": links(ctx, path, actor["owner"], executions=f"{path}/executions"),
    }


def worker(ctx: Context, actor: Record, worker: Worker) -> Record:
    """A worker."""
    path = f"/{actor['id']}/workers/{worker.id}"
    return {
        "id": worker.id, "actorId": actor["id"], "tenant": ctx.tenant.name, "status": worker.status,
        "image": actor["image"], "location": "local", "hostId": "0", "hostIp": "127.0.0.1",
        "createTime": at(worker.created), "lastExecutionTime": at(worker.used),
        "lastHealthCheckTime": at(time.time()), "_links": links(ctx, path, actor["owner"]),
    }  # fmt: skip


def nonce(ctx: Context, nonce: Nonce) -> Record:
    """A nonce, itself included: who sees one can use it."""
    path = f"/{nonce.actor}/nonces/{nonce.id}"
    unlimited = nonce.most == UNLIMITED
    return {
        "id": nonce.id, "actorId": nonce.actor, "owner": nonce.owner, "roles": [], "apiServer": ctx.tenant.url,
        "level": nonce.level.name, "description": nonce.description or "", "maxUses": nonce.most,
        "currentUses": nonce.uses, "remainingUses": UNLIMITED if unlimited else nonce.most - nonce.uses,
        "createTime": at(nonce.created), "lastUseTime": at(nonce.used),
        "_links": links(ctx, path, nonce.owner, actor=f"/{nonce.actor}"),
    }  # fmt: skip


def summary(ctx: Context, actor: Record, totals: Totals, page: Iterable[Execution]) -> Record:
    """Some executions of an actor, and what all of them have used."""
    path = f"/{actor['id']}/executions"
    lines = [
        {
            "id": one.id, "status": one.status, "startTime": at(one.started), "finishTime": at(one.finished),
            "messageReceivedTime": at(one.received),
        }
        for one in page
    ]  # fmt: skip
    return {
        "actorId": actor["id"], "apiServer": ctx.tenant.url, "owner": actor["owner"], "executions": lines,
        "totalExecutions": totals.executions, "totalCpu": totals.cpu, "totalIo": totals.io,
        "totalRuntime": totals.runtime, "_links": links(ctx, path, actor["owner"]),
    }  # fmt: skip


def execution(ctx: Context, actor: Record, one: Execution) -> Record:
    """One execution, whole."""
    path = f"/{actor['id']}/executions/{one.id}"
    told = {
        "id": one.id, "actorId": actor["id"], "apiServer": ctx.tenant.url, "executor": one.executor,
        "status": one.status, "messageReceivedTime": at(one.received), "startTime": at(one.started),
        "finishTime": at(one.finished), "runtime": one.runtime, "cpu": one.cpu, "io": one.io,
        "_links": links(ctx, path, one.executor, logs=f"{path}/logs"),
    }  # fmt: skip
    if one.worker is not None:
        told["workerId"] = one.worker
    if one.over:
        told["exitCode"] = -1 if one.exit is None else one.exit
        told["finalState"] = _final_state(one)
    return told


def _final_state(one: Execution) -> Record:
    """The state of a container that has ended, as those who made containers tell it."""
    return {
        "Status": "exited", "Running": False, "Paused": False, "Restarting": False, "OOMKilled": False, "Dead": False,
        "Pid": 0, "ExitCode": -1 if one.exit is None else one.exit,
        "Error": "" if one.status == "COMPLETE" else "the execution failed; its log says why",
        "StartedAt": at(one.started), "FinishedAt": at(one.finished),
    }  # fmt: skip


def alias(ctx: Context, alias: Alias) -> Record:
    """Another name of an actor."""
    return {
        "alias": alias.alias, "actorId": alias.actor, "owner": alias.owner,
        "_links": links(ctx, f"/aliases/{alias.alias}", alias.owner, actor=f"/{alias.actor}"),
    }  # fmt: skip
