"""What is registered as an actor: a request becomes the fields of a record, or a 400 that names the field. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from agavesh.tenant.actors.values import LARGEST_ENVIRONMENT, fitting
from agavesh.tenant.fields import number, wrong
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.store import Record

FRESH: Mapping[str, Any] = {
    "name": None, "description": None, "stateless": True, "token": True, "type": "none", "hints": [],
    "defaultEnvironment": {}, "state": {}, "privileged": False, "maxWorkers": None, "maxCpus": None, "memLimit": None,
    "useContainerUid": False, "queue": "default", "link": None, "webhook": None, "cronSchedule": None, "cronOn": False,
    "logEx": None, "mounts": [], "_memory": None,
}  # fmt: skip
PRIVILEGED = ("privileged", "maxWorkers", "maxCpus", "memLimit", "useContainerUid")
NOT_HERE = {  # what would have to happen, and does not: what to do instead
    "link": "let the program send what it has found to the other actor: POST"
    " $_abaco_api_server/actors/v2/OTHER/messages with $_abaco_access_token",
    "webhook": "let the program call the URL itself before it ends, or ask for the execution until it is over",
    "cronSchedule": "let cron, or a timer of systemd, run: agavesh api actors sendMessage actorId=ID message=TEXT",
}
_MEMORY = re.compile(r"(\d{1,15})\s*([bkmg]?)b?", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def checked(body: Any, *, admin: bool, old: Mapping[str, Any] | None = None) -> Record:
    """The fields of a new record, or of `old` as a request changes it. Refusal 400."""
    if not isinstance(body, dict):
        raise Refusal(400, "Invalid JSON found. An actor is an object")
    image = body.get("image")
    if not isinstance(image, str) or not image.strip():
        raise Refusal(400, "No image given. It is required: the name of the program that the actor is made of.")
    for name in PRIVILEGED:
        if body.get(name) not in (None, False, "", "false") and not admin:
            raise Refusal(400, f"Not authorized: {name} is for administrators of the tenant")
    for name, instead in NOT_HERE.items():
        if body.get(name):
            raise Refusal(400, f"{name} is not offered by this tenant, where actors only answer messages: {instead}")
    record = {name: (old or FRESH)[name] for name in FRESH} | {"image": image.strip()}
    for name, read in _READERS.items():
        if body.get(name) is not None:
            record[name] = read(name, body[name])
    record["_memory"] = _memory(record["memLimit"])
    if old is not None and not old["stateless"] and record["stateless"]:
        raise Refusal(400, "A stateful actor cannot be made stateless")
    if not record["stateless"] and (record["maxWorkers"] or 1) > 1:
        raise Refusal(400, "A stateful actor has one worker at most")
    if record["stateless"] and record["state"]:
        raise Refusal(400, "A stateless actor has no state")
    return record


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > 4096:
        raise wrong(name, "is a text of 4096 characters at most")
    return fitting(f"The {name}", value)


def _flag(name: str, value: Any) -> bool:
    if str(value).lower() in ("true", "false"):  # a form has texts only
        return str(value).lower() == "true"
    raise wrong(name, "is true or false")


def _count(name: str, value: Any) -> int:
    value = number(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**31:
        raise wrong(name, "is a whole number above zero")
    return value


def _kind(name: str, value: Any) -> str:
    if value not in ("none", "bin", "json"):
        raise wrong(name, "is none, bin or json")
    return str(value)


def _hints(name: str, value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str | int | float) and len(str(item)) <= 256 for item in values) or len(values) > 100:
        raise wrong(name, "is an array of short texts")
    return [str(item) for item in values]


def _environment(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise wrong(name, "is an object of variables")
    for variable, held in value.items():
        if not variable or "=" in variable or "\0" in variable or isinstance(held, dict | list):
            raise wrong(f"{name}.{variable[:64]}", "is a variable with a text")
    found = {variable: fitting(f"The variable {variable[:64]}", str(held)) for variable, held in value.items()}
    if sum(len(variable.encode()) + len(held.encode()) for variable, held in found.items()) > LARGEST_ENVIRONMENT:
        raise wrong(name, f"has {LARGEST_ENVIRONMENT} bytes at most")
    return found


def state(name: str, value: Any) -> Any:
    """A state: any JSON, as long as it can be handed to the actor."""
    fitting(f"The {name}", str(value))
    return value


def _memory_text(name: str, value: Any) -> str:
    if _memory(str(value)) is None:
        raise wrong(name, "is a number of bytes, or one with k, m or g behind it")
    return str(value)


def _memory(text: str | None) -> int | None:
    """`512m` as bytes."""
    found = _MEMORY.fullmatch(text.strip()) if text else None
    return int(found[1]) * _UNITS[found[2].lower()] or None if found else None


_READERS = {
    "name": _text, "description": _text, "stateless": _flag, "token": _flag, "type": _kind, "hints": _hints,
    "defaultEnvironment": _environment, "state": state, "privileged": _flag, "maxWorkers": _count, "maxCpus": _count,
    "memLimit": _memory_text, "useContainerUid": _flag, "queue": _text, "logEx": _count, "cronOn": _flag,
}  # fmt: skip
