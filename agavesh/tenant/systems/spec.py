"""What a system's record must look like. Pure: a request in, a record and its secrets out, or a Refusal that names the
field.

The tenant keeps the bytes of every system in a folder of its own, whatever host and protocol the record names.
"""

from __future__ import annotations

import re
from typing import Any

from agavesh.tenant.context import Record
from agavesh.tenant.refusal import Refusal

TYPES = ("STORAGE", "EXECUTION")
STATUSES = ("UP", "DOWN", "MAINTENANCE", "UNKNOWN")
STORAGE_AUTH = {
    "GRIDFTP": ("X509",), "FTP": ("PASSWORD", "ANONYMOUS"), "SFTP": ("PASSWORD", "SSHKEYS"),
    "IRODS": ("PASSWORD", "PAM", "X509"), "IRODS4": ("PASSWORD", "PAM", "X509"), "LOCAL": ("LOCAL",),
    "AZURE": ("APIKEYS",), "S3": ("APIKEYS",), "SWIFT": ("APIKEYS", "PASSWORD"), "HTTP": ("PASSWORD", "ANONYMOUS"),
    "HTTPS": ("PASSWORD", "ANONYMOUS"),
}  # fmt: skip
LOGIN_AUTH = {
    "SSH": ("PASSWORD", "SSHKEYS"), "GSISSH": ("X509",), "LOCAL": ("LOCAL",), "API": ("PASSWORD", "TOKEN"),
}  # fmt: skip
_HPC = ("LSF", "LOADLEVELER", "PBS", "SGE", "TORQUE", "MOAB", "SLURM")
SCHEDULERS = {
    "CLI": ("FORK",),
    "CONDOR": ("CONDOR", "CUSTOM_CONDOR"),
    "HPC": (*_HPC, *(f"CUSTOM_{name}" for name in _HPC if name != "SGE"), "CUSTOM_GRIDENGINE"),
}
SHOWN_OF_AUTH = ("type", "server", "caCerts")  # all else of a credential is secret

_ID = re.compile(r"[A-Za-z0-9.\-]{3,64}")
_QUEUE = re.compile(r"[A-Za-z0-9.\-]{1,128}")
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*(EB|PB|TB|GB|MB)?", re.IGNORECASE)
_GIGABYTES = {"EB": 2.0**30, "PB": 2.0**20, "TB": 2.0**10, "GB": 1.0, "MB": 2.0**-10, "": 1.0}
_TIME = re.compile(r"\d{1,4}:[0-5]\d:[0-5]\d")


def checked(body: Any) -> tuple[Record, dict[str, Record]]:
    """The record that a request describes, and its secrets by part: `storage`, `execution`."""
    if not isinstance(body, dict):
        raise Refusal(400, "Invalid JSON found. A system is described by an object")
    kind = _choice(body, "type", TYPES)
    found: Record = {
        "id": _id(body.get("id")),
        "name": _text(body, "name", 64, required=True),
        "type": kind,
        "description": _text(body, "description", 4096),
        "site": _text(body, "site", 64),
        "status": _choice(body, "status", STATUSES, default="UP"),
        "available": _switch(body, "available", default=True),
        "environment": _text(body, "environment", 16384),
    }
    found["storage"], storage_secret = _storage(body.get("storage"))
    secrets = {"storage": storage_secret}
    if kind == "EXECUTION":
        found["login"], secrets["execution"] = _config(body.get("login"), "login", LOGIN_AUTH)
        found |= _execution(body)
    return found, secrets


def _storage(body: Any) -> tuple[Record, Record]:
    found, secret = _config(body, "storage", STORAGE_AUTH)
    for name in ("rootDir", "homeDir", "publicAppsDir"):
        found[name] = _text(body, name, 255)
        if ".." in (found[name] or "").split("/"):
            raise Refusal(400, f"Invalid storage.{name} value. A part of it may not be ..")
    found["rootDir"], found["homeDir"] = found["rootDir"] or "/", found["homeDir"] or "/"
    found["mirror"] = _switch(body, "mirror", default=False)
    needed = {
        "S3": ("container",),
        "AZURE": ("container",),
        "IRODS": ("zone", "resource"),
        "IRODS4": ("zone", "resource"),
    }
    for name in ("zone", "resource", "container"):
        found[name] = _text(body, name, 256, required=name in needed.get(found["protocol"], ()))
    return found, secret


def _config(body: Any, part: str, kinds: dict[str, tuple[str, ...]]) -> tuple[Record, Record]:
    """A `storage` or `login` part, its `auth` bare of secrets; and the whole `auth`."""
    if not isinstance(body, dict):
        raise Refusal(400, f"No {part} attribute found. Please provide a JSON object for {part}")
    protocol = _choice(body, "protocol", tuple(kinds), within=part)
    port = body.get("port")
    if isinstance(port, str) and port.isdigit():
        port = int(port)
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port < 65536:
        raise Refusal(400, f"Invalid {part}.port value. Please give the port as a number")
    auth = body.get("auth")
    if not isinstance(auth, dict):
        raise Refusal(400, f"No {part}.auth attribute found. Please provide a JSON object for {part}.auth")
    auth = {**auth, "type": _choice(auth, "type", kinds[protocol], within=f"{part}.auth")}
    proxy = body.get("proxy")
    if proxy is not None and not (isinstance(proxy, dict) and proxy.get("host")):
        raise Refusal(400, f"Invalid {part}.proxy value. A proxy is an object with name, host and port")
    found = {
        "host": _text(body, "host", 256, required=True, within=part),
        "port": port,
        "protocol": protocol,
        "proxy": proxy,
        "auth": shown(auth),
    }
    return found, auth


def shown(auth: Record) -> Record:
    """What may be told of a credential."""
    return {name: auth[name] for name in SHOWN_OF_AUTH if name in auth}


def _execution(body: Record) -> Record:
    how = _choice(body, "executionType", tuple(SCHEDULERS))
    queues = body.get("queues")
    if not isinstance(queues, list) or not queues:
        raise Refusal(400, "No queues found. An execution system needs at least one queue")
    found = [_queue(queue) for queue in queues]
    if sum(bool(queue["default"]) for queue in found) > 1:
        raise Refusal(400, "Invalid queues value. Only one queue may be the default")
    if len({queue["name"] for queue in found}) < len(found):
        raise Refusal(400, "Invalid queues value. Two queues have one name")
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


def _queue(body: Any) -> Record:
    if not isinstance(body, dict) or not _QUEUE.fullmatch(str(body.get("name", ""))):
        raise Refusal(400, "Invalid queues.name value. Queue names are letters, digits, periods and dashes, up to 128")
    time = body.get("maxRequestedTime")
    if time is not None and not _TIME.fullmatch(str(time)):
        raise Refusal(400, "Invalid queues.maxRequestedTime value. Please give it as hh:mm:ss")
    return {
        "name": body["name"],
        "default": _switch(body, "default", default=False),
        "description": _text(body, "description", 512),
        "mappedName": _text(body, "mappedName", 128),
        **{
            name: _count(body, name, within="queues")
            for name in ("maxJobs", "maxUserJobs", "maxNodes", "maxProcessorsPerNode")
        },
        "maxMemoryPerNode": _memory(body.get("maxMemoryPerNode")),
        "maxRequestedTime": time,
        "customDirectives": _text(body, "customDirectives", 16384),
    }


def _memory(value: Any) -> float | None:
    """Gigabytes, from a number of them or a text with its unit; -1 for no limit."""
    if value is None or value in (-1, "-1"):
        return None if value is None else -1.0
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        return float(value)
    match = _MEMORY.fullmatch(str(value).strip())
    if match is None or not float(match.group(1)):
        raise Refusal(400, "Invalid queues.maxMemoryPerNode value. Please give gigabytes, or a text such as 4GB")
    return float(match.group(1)) * _GIGABYTES[(match.group(2) or "").upper()]


def _id(value: Any) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise Refusal(400, "Invalid id value. A system id is 3 to 64 letters, digits, dots and dashes")
    return value


def _text(body: Record, name: str, longest: int, *, required: bool = False, within: str = "") -> str | None:
    value, called = body.get(name), f"{within}.{name}" if within else name
    if value in (None, ""):
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


def _switch(body: Record, name: str, *, default: bool) -> bool:
    value = body.get(name)
    if value is None:
        return default
    if str(value).lower() not in ("true", "false", "1", "0"):
        raise Refusal(400, f"Invalid {name} value. It is true or false")
    return str(value).lower() in ("true", "1")


def _count(body: Record, name: str, *, unlimited: bool = True, within: str = "") -> int | None:
    value, called = body.get(name), f"{within}.{name}" if within else name
    if isinstance(value, str) and value.lstrip("-").isdigit():
        value = int(value)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or (value < 1 and not (unlimited and value == -1)):
        raise Refusal(400, f"Invalid {called} value. It is a positive number" + (" or -1" if unlimited else ""))
    return value
