"""What a request for a job asks for: its fields checked against the app and the system it shall run on.

Pure: whether apps, systems and files are there, and may be used, is the handler's to ask. Every refusal is a 400 that
names the field, but for another execution system than the app's, which is a 403 on the platform.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agavesh.tenant.apps.values import check_values, texts
from agavesh.tenant.fields import text, wrong
from agavesh.tenant.limits import gigabytes, run_time, seconds
from agavesh.tenant.notifications.spec import wanted
from agavesh.tenant.refusal import Refusal

SCHEMES = ("agave", "http", "https")
OTHER_NAMES = {
    "jobName": "name", "softwareName": "appId", "executionHost": "executionSystem", "queue": "batchQueue",
    "processorCount": "processorsPerNode", "maxMemory": "memoryPerNode", "requestedTime": "maxRunTime",
}  # fmt: skip
_PLACE = re.compile(r"\$\{([A-Za-z_]+)\}")


def flat(body: Mapping[str, Any]) -> dict[str, Any]:
    """The request as one table: fields inside any object stand beside the others, old names become today's."""
    found: dict[str, Any] = {}
    for name, value in body.items():
        for inner, given in value.items() if isinstance(value, dict) else [(name, value)]:
            if given is not None:
                found[OTHER_NAMES.get(inner, inner)] = given
    return found


def head(asked: Mapping[str, Any]) -> tuple[str, str]:
    """The name of the job and the id of its app."""
    name = text(asked, "name", longest=64, required=True)
    app = text(asked, "appId", longest=80, required=True)
    if "-" not in app.rstrip("-") or app.endswith("-"):
        raise wrong("appId", "is the name of an app, a dash, and its version")
    return name, app


def job(asked: Mapping[str, Any], app: Mapping[str, Any], system: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the job's record that the request decides, in the record's form."""
    if asked.get("executionSystem", app["executionSystem"]) != app["executionSystem"]:
        raise Refusal(403, f"The app {app['id']} runs on {app['executionSystem']}, not on {asked['executionSystem']}.")
    if asked.get("dependencies"):
        raise Refusal(400, "Job dependencies are not supported.")
    nodes = _count(asked, "nodeCount", app["defaultNodeCount"])
    processors = _count(asked, "processorsPerNode", app["defaultProcessorsPerNode"])
    memory = gigabytes(asked.get("memoryPerNode", app["defaultMemoryPerNode"]))
    time = asked.get("maxRunTime", app["defaultMaxRunTime"])
    if time is not None and seconds(time) is None:
        raise wrong("maxRunTime", "is hh:mm:ss, and more than nothing")
    queue = _queue(asked, app, system, nodes, processors, memory, seconds(time))
    # an app has a default, a guess of ours, where its owner said nothing: only what the job itself asks for is kept to
    limited = memory if memory is not None and asked.get("memoryPerNode") is not None else 0
    memory = memory if memory is not None else gigabytes(queue.get("maxMemoryPerNode")) or 1.0
    limit = seconds(time) or seconds(queue.get("maxRequestedTime")) or 24 * 3600
    return {
        "appId": app["id"], "executionSystem": app["executionSystem"], "batchQueue": queue["name"],
        "nodeCount": nodes, "processorsPerNode": processors, "memoryPerNode": memory, "_memory": limited,
        "maxRunTime": run_time(limit),
        "archive": asked.get("archive", True) in (True, "true", "True", "1", 1),
        "inputs": dict(_inputs(asked, app)), "parameters": dict(_parameters(asked, app)),
        "notifications": notifications(asked),
    }  # fmt: skip


def _count(asked: Mapping[str, Any], field: str, default: int) -> int:
    value = asked.get(field, default)
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise wrong(field, "is a whole number above zero")
    return int(value)


def _queue(
    asked: Mapping[str, Any], app: Mapping[str, Any], system: Mapping[str, Any],
    nodes: int, processors: int, memory: float | None, time: int | None,
) -> Mapping[str, Any]:  # fmt: skip
    """The queue that was named, by the request or by the app, or else the first that fits, the default one before."""
    queues: Sequence[Mapping[str, Any]] = system["queues"]

    def excess(queue: Mapping[str, Any]) -> str | None:
        wanted = {
            "nodeCount": (nodes, queue.get("maxNodes")),
            "processorsPerNode": (processors, queue.get("maxProcessorsPerNode")),
            "memoryPerNode": (memory, gigabytes(queue.get("maxMemoryPerNode"))),
            "maxRunTime": (time, seconds(queue.get("maxRequestedTime"))),
        }
        over = (name for name, (value, most) in wanted.items() if value and most and 0 < most < value)
        return next(over, None)

    name = asked.get("batchQueue") or app["defaultQueue"]
    if name:
        for queue in queues:
            if queue["name"] == name:
                if field := excess(queue):
                    raise wrong(field, f'is more than the queue "{name}" of {system["id"]} allows')
                return queue
        raise wrong("batchQueue", f'names no queue of {system["id"]}: "{name}"')
    by_default = sorted(queues, key=lambda queue: not queue.get("default"))
    if not by_default:
        raise Refusal(400, f"The system {system['id']} has no queue.")
    for queue in by_default:
        if excess(queue) is None:
            return queue
    raise wrong(excess(by_default[0]) or "batchQueue", f"is more than any queue of {system['id']} allows")


def _inputs(asked: Mapping[str, Any], app: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    for field in app["inputs"]:
        name = field["id"]
        if (given := _given(asked, field, "input")) is None:
            continue
        values = texts(given)
        if values is None:
            raise wrong(f"input {name}", "is text or an array of texts")
        for uri in check_values(field, values, ""):
            if (scheme := _scheme(uri)) and scheme not in SCHEMES:
                raise Refusal(400, f'Invalid value for input {name}: "{uri}". Known schemes are {", ".join(SCHEMES)}.')
        if values:
            yield name, values


def _parameters(asked: Mapping[str, Any], app: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for field in app["parameters"]:
        if (given := _given(asked, field, "parameter")) is None:
            continue
        if isinstance(given, str) and ";" in given:
            given = texts(given)
        values = check_values(field, given if isinstance(given, list) else [given], "")
        if values:
            yield field["id"], values[0] if len(values) == 1 else values


def _given(asked: Mapping[str, Any], field: Mapping[str, Any], what: str) -> Any:
    """What the request gives for a field, or its default if it is hidden; None for an optional one not given."""
    name, value = field["id"], field["value"]
    given = asked.get(name)
    empty = given in (None, "", [])
    if not value["visible"]:
        if not empty:
            raise Refusal(400, f"Invalid value for {what} {name}: it is fixed by the app and cannot be given.")
        return value["default"]
    if empty and value["required"]:
        raise Refusal(400, f"No value for {what} {name} given. It is required.")
    return None if empty else given


def _scheme(uri: str) -> str:
    """The scheme of an input, in lower case; "" for a path."""
    head, mark, _ = uri.partition("://")
    return head.lower() if mark and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.\-]*", head) else ""


def notifications(asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Who is to be told of what, as the request says it; `callbackUrl` is told of the end, whichever it is."""
    field = "callbackUrl" if asked.get("callbackUrl") else "notifications"
    return wanted(asked.get(field), field, "FINISHED", "FAILED", "STOPPED")


def expanded(path: str, macros: Mapping[str, str]) -> str:
    """An archivePath with its `${MACROS}` replaced; unknown ones stay."""
    return _PLACE.sub(lambda place: macros.get(place[1].upper(), place[0]), path)
