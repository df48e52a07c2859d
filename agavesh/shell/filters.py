"""`name=value` words: filters of lists, fields of requests, settings of jobs.

name=text    name:=JSON    name=@file (the text of a local file; @- is standard input)

The platform leaves out of a search what it does not know, and lists everything: so the names are checked here.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from agavesh.client.errors import BadArgument
from agavesh.shell.language import nearest

OPERATORS = (
    "eq", "neq", "lt", "lte", "gt", "gte", "in", "nin", "like", "nlike", "rlike", "on", "before", "after", "between",
)  # fmt: skip
# what can be searched by, in lower case as the platform compares it
_NAMES = {
    "job-fields": (
        "appid archive archivepath archivesystem batchqueue charge created endtime errormessage executionsystem id"
        " inputs lastmodified lastupdated localid maxruntime memorypernode name nodecount outputpath owner parameters"
        " processorspernode retries runtime starttime status submittime visible walltime"
    ),
    "app-fields": (
        "available checkpointable checksum created defaultmaxruntime defaultmemorypernode defaultnodes"
        " defaultprocessorspernode defaultqueue deploymentpath deploymentsystem executionsystem executiontype helpuri"
        " icon id inputs.id label lastupdated longdescription name ontology outputs.id owner parallelism parameters.id"
        " parameters.type privateonly public publiconly revision shortdescription tags templatepath testpath uuid"
        " version"
    ),
    "system-fields": (
        "available created default description environment executiontype globaldefault id lastmodified lastupdated"
        " login.host login.port login.protocol login.proxy.host login.proxy.name login.proxy.port maxsystemjobs"
        " maxsystemjobsperuser name owner public queues.default queues.maxjobs queues.maxmemorypernode queues.maxnodes"
        " queues.maxprocessorspernode queues.maxrequestedtime queues.maxuserjobs queues.name scheduler scratchdir site"
        " startupscript status storage.bucket storage.container storage.homedir storage.host storage.port"
        " storage.protocol storage.proxy.host storage.proxy.name storage.proxy.port storage.resource storage.rootdir"
        " storage.zone type uuid workdir"
    ),
}
FIELDS = {kind: tuple(names.split()) for kind, names in _NAMES.items()}


def pairs(words: Sequence[str]) -> list[tuple[str, Any, bool]]:
    """Name, value, and whether the value came as JSON, of each word. BadArgument for what is no pair."""
    found = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.rstrip(":"):
            raise BadArgument(f"{word!r} is not NAME=VALUE", hint="write name=text, name:=JSON or name=@file")
        is_json = name.endswith(":")
        name = name.removesuffix(":")
        text = _file(value[1:]) if value.startswith("@") else value
        found.append((name, _json(name, text) if is_json else text, is_json))
    return found


def search(words: Sequence[str], kind: str) -> dict[str, str]:
    """The filters of a list: `status=FAILED`, `created.gt=2020-01-01`, and `name~x` for `name.like=*x*`.

    `kind` is a key of FIELDS; `app` is short for a job's `appId`. BadArgument for a field that is none of them.
    """
    found = {}
    for word in words:
        name, tilde, value = word.partition("~")
        if tilde and name.replace(".", "").isalnum():
            found[f"{_field(name, kind)}.like"] = f"*{value}*"
            continue
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise BadArgument(f"{word!r} is no filter", hint="write FIELD=VALUE, FIELD.OPERATOR=VALUE or FIELD~TEXT")
        found[_field(name, kind)] = value
    return found


def _field(name: str, kind: str) -> str:
    """What the platform calls a field, with its operator. BadArgument if it knows none of the name."""
    known = FIELDS[kind]
    field, operator = name, ""
    if name.lower() not in known:
        field, dot, operator = name.rpartition(".")
        if not dot or operator.lower() not in OPERATORS:
            field, operator = name, ""
    if kind == "job-fields" and field.lower() == "app":
        field = "appId"
    if field.lower() not in known:
        beginning, _, end = name.rpartition(".")
        if beginning.lower() in known:
            raise BadArgument(
                f'"{end}" is no operator', hint=nearest(end.lower(), OPERATORS) or f"one of {', '.join(OPERATORS)}"
            )
        raise BadArgument(
            f'nothing can be searched by "{name}"', hint=nearest(name.lower(), known) or f"one of {', '.join(known)}"
        )
    return f"{field}.{operator}" if operator else field


def _json(name: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text.encode())
    except msgspec.DecodeError as reason:
        raise BadArgument(f"{name} is no JSON: {reason}", hint="texts in JSON stand in double quotes") from None


def _file(name: str) -> str:
    if name == "-":
        return sys.stdin.read()
    return Path(name).expanduser().read_text(encoding="utf-8", errors="surrogateescape")
