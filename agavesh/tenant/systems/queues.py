"""Queues of execution systems: listed, added, replaced, removed. A change of one is an event, and no new revision."""

from __future__ import annotations

from typing import Any

from agavesh.tenant.context import Context, Record, Records
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.systems import spec
from agavesh.tenant.systems.records import change, require_change, system_of


def queues_of(system: Record) -> Records:
    """The queues of a system, none for a storage system."""
    return [dict(queue) for queue in system.get("queues") or ()]


def queue_of(ctx: Context, system_id: str, name: str) -> Record:
    """One queue, or a Refusal."""
    return _named(queues_of(system_of(ctx, system_id)), system_id, name)


def _named(queues: Records, system_id: str, name: str) -> Record:
    for queue in queues:
        if queue["name"] == name:
            return queue
    raise Refusal(404, f"No queue {name} on {system_id}")


def put_queue(ctx: Context, system_id: str, name: str | None, body: Any) -> Record:
    """Add a queue, or replace the one of a name."""
    system = _execution(ctx, system_id)
    queue, rest = spec.checked_queue(body), queues_of(system)
    if name is not None:
        rest.remove(_named(rest, system_id, name))
    if queue["default"]:  # there is one default; the newest word holds
        rest = [{**other, "default": False} for other in rest]
    spec.agreeing([*rest, queue])
    event = "QUEUE_CREATE" if name is None else "QUEUE_UPDATE"
    change(ctx, system, event, f"Queue {queue['name']}", {"queues": [*rest, queue]})
    return queue


def drop_queue(ctx: Context, system_id: str, name: str) -> None:
    """Remove a queue; the last one stays."""
    system = _execution(ctx, system_id)
    rest = queues_of(system)
    rest.remove(_named(rest, system_id, name))
    if not rest:
        raise Refusal(400, f"{name} is the only queue of {system_id}. An execution system needs at least one queue")
    change(ctx, system, "QUEUE_DELETE", f"Queue {name}", {"queues": rest})


def _execution(ctx: Context, system_id: str) -> Record:
    system = system_of(ctx, system_id)
    require_change(ctx, system)
    if system["type"] != "EXECUTION":
        raise Refusal(400, f"{system_id} is a storage system, and has no queues")
    return system
