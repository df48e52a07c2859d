"""What a system's record must look like. Pure: a request in, a record and its secrets out, or a Refusal that names the
field.

The tenant keeps the bytes of every system in a folder of its own, whatever host and protocol the record names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from agavesh.tenant.context import Record
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.systems import auths

TYPES = ("STORAGE", "EXECUTION")
STATUSES = ("UP", "DOWN", "MAINTENANCE", "UNKNOWN")
_HPC = ("LSF", "LOADLEVELER", "PBS", "SGE", "TORQUE", "MOAB", "SLURM")
SCHEDULERS = {
    "CLI": ("FORK",),
    "CONDOR": ("CONDOR", "CUSTOM_CONDOR"),
    "HPC": (*_HPC, *(f"CUSTOM_{name}" for name in _HPC if name != "SGE"), "CUSTOM_GRIDENGINE"),
}

_ID = re.compile(r"[A-Za-z0-9.\-]{3,64}")
_QUEUE = re.compile(r"[A-Za-z0-9.\-]{1,128}")
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*(EB|PB|TB|GB|MB)?", re.IGNORECASE)
_GIGABYTES = {"EB": 2.0**30, "PB": 2.0**20, "TB": 2.0**10, "GB": 1.0, "MB": 2.0**-10, "": 1.0}
_WHOLE = re.compile(r"-?[0-9]{1,10}")
_MOST = 2**31 - 1  # of anything that is counted, gigabytes too
_TIME = re.compile(r"\d{1,4}:[0-5]\d:[0-5]\d")


def checked(body: Any, kept: Mapping[str, Record] | None = None) -> tuple[Record, dict[str, Record]]:
    """The record that a request describes, and its credentials by part: `storage`, `execution`.

    `kept` is what is told of the credentials there are: a part whose `auth` says no more than that has none here.
    """
    kept = kept or {}
    if not isinstance(body, dict):
        raise Refusal(400, "Invalid JSON found. A system is described by an object")
    kind = _choice(body, "type", TYPES)
    found: Record = {
        "id": checked_id(body.get("id")),
        "name": _text(body, "name", 64, required=True),
        "type": kind,
        "description": _text(body, "description", 4096),
        "site": _text(body, "site", 64),
        "status": _choice(body, "status", STATUSES, default="UP"),
        "available": _switch(body, "available", default=True),
        "environment": _text(body, "environment", 16384),
    }
    given: dict[str, Record | None] = {}
    found["storage"], given["storage"] = _storage(body.get("storage"), kept.get("storage"))
    if kind == "EXECUTION":
        found["storage"]["publicAppsDir"] = None  # apps are published to storage systems
        found["login"], given["execution"] = _config(body.get("login"), "login", auths.LOGIN, kept.get("execution"))
        found |= _execution(body)
    return found, {part: auth for part, auth in given.items() if auth is not None}


def _storage(body: Any, kept: Record | None) -> tuple[Record, Record | None]:
    found, auth = _config(body, "storage", auths.STORAGE, kept)
    for name in ("rootDir", "homeDir", "publicAppsDir"):
        found[name] = _path(body, name)
    found["rootDir"], found["homeDir"] = found["rootDir"] or "/", found["homeDir"] or "/"
    found["mirror"] = _switch(body, "mirror", default=False, within="storage")
    needed = _NEEDED.get(found["protocol"], ())
    for name in ("zone", "resource", "container"):
        found[name] = _text(body, name, 256, required=name in needed, within="storage")
    return found, auth


_NEEDED = {"S3": ("container",), "AZURE": ("container",), "IRODS": ("zone", "resource"), "IRODS4": ("zone", "resource")}


def _config(
    body: Any, part: str, kinds: dict[str, tuple[str, ...]], kept: Record | None
) -> tuple[Record, Record | None]:
    """A `storage` or `login` part, its `auth` bare of secrets; and the whole `auth`."""
    if not isinstance(body, dict):
        raise Refusal(400, f"No {part} attribute found. Please provide a JSON object for {part}")
    protocol = _choice(body, "protocol", tuple(kinds), within=part)
    auth = auths.checked(body.get("auth"), kinds[protocol], f"{part}.auth", kept=kept)
    found = {
        "host": _text(body, "host", 256, required=True, within=part),
        "port": auths.port(body, part),
        "protocol": protocol,
        "proxy": _proxy(body.get("proxy"), f"{part}.proxy"),
        "auth": kept if auth is None else auths.shown(auth),
    }
    return found, auth


def _proxy(body: Any, place: str) -> Record | None:
    if body is None:
        return None
    if not isinstance(body, dict):
        raise Refusal(400, f"Invalid {place} value. A proxy is an object with name, host and port")
    return {
        "name": _text(body, "name", 64, within=place),
        "host": _text(body, "host", 256, required=True, within=place),
        "port": auths.port(body, place),
    }


def _path(body: Record, name: str) -> str | None:
    """A folder of the system, which must be one that can be made."""
    value = _text(body, name, 255, within="storage")
    for part in (value or "").split("/"):
        if part == ".." or len(part.encode("utf-8", "surrogatepass")) > 255 or not part.isprintable():
            raise Refusal(
                400, f"Invalid storage.{name} value. A part of it may not be .., over 255 bytes or unprintable"
            )
    return value


def _execution(body: Record) -> Record:
    how = _choice(body, "executionType", tuple(SCHEDULERS))
    queues = body.get("queues")
    if not isinstance(queues, list) or not queues:
        raise Refusal(400, "No queues found. An execution system needs at least one queue")
    found = [checked_queue(queue) for queue in queues]
    agreeing(found)
    return {
        "executionType": how,
        "scheduler": _choice(body, "scheduler", SCHEDULERS[how]),
        "queues": found,
        "startupScript": _text(body, "startupScript", 255),
        "workDir": _text(body, "workDir", 255) or "",
        "scratchDir": _text(body, "scratchDir", 255) or "",
        "maxSystemJobs": _count(body, "maxSystemJobs", unlimited=False),
        "maxSystemJobsPerUser": _count(body, "maxSystemJobsPerUser", unlimited=False),
    }


def agreeing(queues: list[Record]) -> None:
    """Refusal unless these queues can be those of one system."""
    if sum(bool(queue["default"]) for queue in queues) > 1:
        raise Refusal(400, "Invalid queues.default value. Only one queue may be the default")
    if len({queue["name"] for queue in queues}) < len(queues):
        raise Refusal(400, "Invalid queues.name value. Two queues have one name")


def checked_queue(body: Any) -> Record:
    """A queue that a request describes."""
    name = body.get("name") if isinstance(body, dict) else None
    if not isinstance(name, str) or not _QUEUE.fullmatch(name):
        raise Refusal(400, "Invalid queues.name value. Queue names are letters, digits, periods and dashes, up to 128")
    time = body.get("maxRequestedTime")
    if time is not None and not (isinstance(time, str) and _TIME.fullmatch(time)):
        raise Refusal(400, "Invalid queues.maxRequestedTime value. Please give it as hh:mm:ss")
    return {
        "name": name,
        "default": _switch(body, "default", default=False, within="queues"),
        "description": _text(body, "description", 512, within="queues"),
        "mappedName": _text(body, "mappedName", 128, within="queues"),
        **{
            name: _count(body, name, within="queues")
            for name in ("maxJobs", "maxUserJobs", "maxNodes", "maxProcessorsPerNode")
        },
        "maxMemoryPerNode": _memory(body.get("maxMemoryPerNode")),
        "maxRequestedTime": time,
        "customDirectives": _text(body, "customDirectives", 16384, within="queues"),
    }


def _memory(value: Any) -> float | None:
    """Gigabytes, from a number of them or a text with its unit; -1 for no limit."""
    if value is None or value in (-1, "-1"):
        return None if value is None else -1.0
    found = 0.0
    if isinstance(value, int | float) and not isinstance(value, bool):
        found = float(min(value, 2 * _MOST))
    elif isinstance(value, str) and (match := _MEMORY.fullmatch(value.strip())):
        found = float(match.group(1)) * _GIGABYTES[(match.group(2) or "").upper()]
    if not 0 < found <= _MOST:
        raise Refusal(400, "Invalid queues.maxMemoryPerNode value. Please give gigabytes, or a text such as 4GB")
    return found


def checked_id(value: Any) -> str:
    """An id that a system may have, or a Refusal."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise Refusal(400, "Invalid id value. A system id is 3 to 64 letters, digits, dots and dashes")
    return value


def _text(body: Record, name: str, longest: int, *, required: bool = False, within: str = "") -> str | None:
    value, called = body.get(name), f"{within}.{name}" if within else name
    if value is None or (isinstance(value, str) and not value.strip()):
        if required:
            raise Refusal(400, f"Invalid {called} value. Please provide a text for {called}")
        return None
    if not isinstance(value, str) or len(value) > longest:
        raise Refusal(400, f"Invalid {called} value. It is a text of at most {longest} characters")
    return value.strip()


def _choice(body: Record, name: str, choices: tuple[str, ...], *, default: str | None = None, within: str = "") -> str:
    value, called = body.get(name), f"{within}.{name}" if within else name
    if value is None and default is not None:
        return default
    if not isinstance(value, str) or value.upper() not in choices:
        raise Refusal(400, f"Invalid {called} value. Valid values are: {', '.join(choices)}")
    return value.upper()


def _switch(body: Record, name: str, *, default: bool, within: str = "") -> bool:
    value = body.get(name)
    if value is None:
        return default
    if str(value).lower() not in ("true", "false", "1", "0"):
        called = f"{within}.{name}" if within else name
        raise Refusal(400, f"Invalid {called} value. It is true or false")
    return str(value).lower() in ("true", "1")


def _count(body: Record, name: str, *, unlimited: bool = True, within: str = "") -> int | None:
    value, called = body.get(name), f"{within}.{name}" if within else name
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        value = int(value)
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and (0 < value <= _MOST or (unlimited and value == -1)):
        return value
    raise Refusal(400, f"Invalid {called} value. It is a positive number" + (" or -1" if unlimited else ""))
