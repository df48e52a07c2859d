"""The calls that both clients make: for every operation of the catalogue, from its own parameters.

Each operation is called with all it takes (`full`), with what it must have (`least`), and, where its body is one of our
Structs, with that (`struct`). A few calls more show what `search=`, `filter=` and `nonce=` become, and where AgavePy
is known to stumble. The values hold blanks, plus signs, letters that are not ASCII, and leading slashes.
"""

from __future__ import annotations

import base64
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from agavesh.api import catalogue
from agavesh.api.operation import Operation, Param
from agavesh.api.record import Record

ODD = " a b+c é日ß,;=&@:!$'()*~"  # `#`, `?` and `%`, which AgavePy cannot send, have calls of their own
PATH = f"/folder one/{ODD}/ü+.txt"
TEXT = f"{ODD}/#?%41%"  # where quoting is the business of a library
QUOTED = 'say "ü".txt'
BYTES = b"\0\xff message\r\n"


@dataclass(frozen=True)
class Call:
    """One call of one operation. `theirs` are the arguments for AgavePy where they cannot be the same."""

    operation: Operation
    kind: str
    arguments: dict[str, Any]
    theirs: dict[str, Any] = field(default_factory=dict)

    @property
    def case(self) -> str:
        return f"{self.operation.key} {self.kind}"


def calls(file: Path) -> list[Call]:
    """All calls; `file` is what is uploaded; beside it stands one called `QUOTED`."""
    found = []
    for operation in catalogue.operations():
        sent = {name: param for name, param in operation.params.items() if param.place != "unsent"}
        if "fileToUpload" in sent:
            # one way in or the other: a URL to import from, described by a form, or a file
            form = {name: p for name, p in sent.items() if p.place in ("path", "form") and name != "notifications"}
            found.append(Call(operation, "full", samples(form)))
            paths = samples({name: p for name, p in form.items() if p.place == "path"})
            found.append(Call(operation, "upload", {**paths, "fileToUpload": file}))
            described = {**paths, "fileToUpload": file, "fileName": "other ü+.txt", "fileType": "raw"}
            found.append(Call(operation, "upload described", described))
            found.append(Call(operation, "upload quoted", {**paths, "fileToUpload": file.with_name(QUOTED)}))
            continue
        found.append(Call(operation, "full", samples(sent)))
        least = {name: param for name, param in sent.items() if param.required}
        if least != sent:
            found.append(Call(operation, "least", samples(least)))
        for name, param in sent.items():
            if param.place == "body" and _is_record(param.type):
                arguments = samples(sent)
                record = msgspec.convert(arguments[name], param.type)
                found.append(Call(operation, "struct", arguments | {name: record}, arguments))
    return found + list(_further())


def _further() -> typing.Iterator[Call]:
    jobs, actors = catalogue.find("jobs.list"), catalogue.find("actors.get")
    words = {"status.in": "FAILED,STOPPED", "name.like": f"*{TEXT}*"}
    yield Call(jobs, "search", {"search": words, "limit": 5})
    yield Call(jobs, "filter", {"filter": "id,appId,_links.self"})
    yield Call(jobs, "falsy", {"limit": 0, "offset": 0})
    yield Call(actors, "nonce", {"actorId": "Zl4z5jVK0JeKJ", "nonce": "TENANT_Vq0mR"})
    state = catalogue.find("actors.updateState")
    yield Call(state, "text", {"actorId": ODD, "body": '{"as": "it came, ü"}'})
    yield Call(state, "list", {"actorId": ODD, "body": ["a", "b"]})
    message = catalogue.find("actors.sendMessage")
    yield Call(
        message, "environment", {"actorId": ODD, "body": {"message": TEXT}, "environment": {"A b": "é +", "N": 1}}
    )
    binary = catalogue.find("actors.sendBinaryMessage")
    yield Call(binary, "environment", {"actorId": ODD, "message": BYTES, "environment": {"A b": "é +", "N": 1}})
    import_data = catalogue.find("files.importData")
    told = [{"url": "https://hook.example.org/?a=b", "event": "*"}]
    given = {"systemId": ODD, "filePath": PATH, "urlToIngest": "https://example.org/ü+ a", "notifications": told}
    yield Call(import_data, "notifications", given)
    listing = catalogue.find("files.list")
    for name in ("number#sign", "question?mark", "escape%41", "lone%", "dots/../and/./more"):
        yield Call(listing, name, {"systemId": "data.demo", "filePath": f"/ü {name}"})
    for kind, path in {
        "root": "/",
        "home": "",
        "from home": "a b/ü",
        "final slash": "/a/",
        "two slashes": "/a//b",
    }.items():
        yield Call(listing, kind, {"systemId": "data.demo", "filePath": path})
    search_schema = catalogue.find("meta.searchSchema")
    yield Call(search_schema, "uuid", {"uuid": "any", "limit": 7, "offset": 3})


def samples(params: dict[str, Param]) -> dict[str, Any]:
    return {name: _argument(param) for name, param in params.items()}


def _argument(param: Param) -> Any:
    if param.name in ("filePath", "sourcefilePath"):
        return PATH
    if param.name == "environment":
        return {}
    if param.name == "message":
        return BYTES
    if param.place == "body":
        return sample(param.type) if _is_record(param.type) else {"any": [1, 2.5, None, TEXT]}
    if param.type is str:
        return ODD if param.place == "path" else TEXT
    return sample(param.type)


def sample(kind: Any) -> Any:
    """A plain JSON value that fits a type; every field of a record is given."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return sample(next(option for option in typing.get_args(kind) if option is not type(None)))
    if _is_record(kind):
        return {one.encode_name: sample(one.type) for one in msgspec.structs.fields(kind)}
    if typing.get_origin(kind) is list:
        return [sample(typing.get_args(kind)[0])]
    if typing.get_origin(kind) is dict:
        return {ODD: sample(typing.get_args(kind)[1])}
    if typing.get_origin(kind) is typing.Annotated:
        return sample(typing.get_args(kind)[0])
    return {str: TEXT, int: 7, float: 2.5, bool: True, Any: {TEXT: [None, 1, TEXT]}}[kind]


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Record)


def as_json(given: Any) -> Any:
    """An argument as the program that drives AgavePy reads it."""
    if isinstance(given, bytes):
        return {"$bytes": base64.b64encode(given).decode()}
    if isinstance(given, Path):
        return {"$file": str(given)}
    return given
