"""The OpenAPI 3.1 document of the platform, made from the catalogue. Pure: declarations in, a JSON object out.

What OpenAPI cannot say it does not say: a path parameter that holds slashes is an ordinary one here, and the keys that
every call takes (`filter`, `naked`, `pretty`, and searches by any field) are told in words. It has one operation for a
method and path, where the catalogue may have two that differ in their body: that one is called as the first, takes the
bodies of both, and `x-agave-operations` names all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, get_args

import msgspec

from agavesh import __version__
from agavesh.api import catalogue, statuses
from agavesh.api.operation import Operation, Param
from agavesh.api.wire import Fault

REF: Final = "#/components/schemas/{name}"
JSON: Final = "application/json"
XML: Final = "application/xml"
BINARY: Final = "application/octet-stream"
FORM: Final = "application/x-www-form-urlencoded"
PARTS: Final = "multipart/form-data"
REASONS: Final = {
    200: "Done", 201: "Made", 202: "Taken, and under way", 206: "The range that was asked for",
    400: "It makes no sense", 401: "No token, or one that is no longer good; of some records: not permitted",
    403: "Not permitted", 404: "No such thing", 412: "The system cannot be reached", 413: "The body is too large",
    416: "No such range", 429: "Throttled", 500: "The service failed", 501: "The platform does not do that",
    502: "The system refused", 503: "Too much at once; ask again later", 504: "The system did not answer",
}  # fmt: skip
WORDS: Final = (
    "Every JSON answer stands in an envelope of status, message, version and result; `naked=true` leaves it away,"
    " `pretty=true` indents it, `filter=a,b.c` keeps these fields of each record. Lists of apps, systems, jobs and"
    " histories are searched by any field, as in `status.in=FAILED,STOPPED`. Refusals before a service is reached are"
    " faults of the gateway, in XML unless the request accepts JSON by name."
)

Object = dict[str, Any]


def document(url: str = "/") -> Object:
    """The whole document, for a tenant at `url`."""
    places = _places(catalogue.operations())
    spoken_of = {kind for operation in catalogue.operations() for kind in _models(operation)}
    models = sorted(spoken_of, key=lambda kind: kind.__name__)
    _, schemas = msgspec.json.schema_components([*models, Fault], ref_template=REF)
    paths: dict[str, Object] = {}
    known: dict[str, str] = {}  # a path of each form: parameters at one place have one name
    for place in places:
        path = known.setdefault(_form(place[0].path), place[0].path)
        paths.setdefault(path, {})[place[0].method.lower()] = _operation(place, path)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Agave v2", "version": __version__, "description": WORDS},
        "servers": [{"url": url}],
        "tags": [
            {"name": service.__name__.lower(), "description": (service.__doc__ or "").strip()}
            for service in catalogue.SERVICES
        ],
        "paths": paths,
        "components": {
            "schemas": schemas | {"Refusal": _REFUSAL, "GatewayFault": _GATEWAY_FAULT},
            "responses": {str(status): _refusal(status) for status in REASONS if status >= 400},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "password": {"type": "http", "scheme": "basic"},
            },
        },
    }


_REFUSAL: Final[Object] = {
    "title": "Refusal",
    "description": "The envelope of what a service refuses.",
    "type": "object",
    "properties": {"status": {"const": "error"}, "message": {"type": "string"}, "version": {"type": "string"}},
    "required": ["status", "message", "version"],
}
_GATEWAY_FAULT: Final[Object] = {
    "title": "GatewayFault",
    "description": "What is refused before a service is reached.",
    "type": "object",
    "properties": {"fault": {"$ref": REF.format(name="Fault")}},
    "required": ["fault"],
}


def _places(operations: Iterable[Operation]) -> list[list[Operation]]:
    """Operations by method and path, those of one place together."""
    found: dict[tuple[str, str], list[Operation]] = {}
    for operation in operations:
        found.setdefault((operation.method, _form(operation.path)), []).append(operation)
    return [*found.values()]


def _form(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", path.rstrip("/"))


def _models(operation: Operation) -> Iterator[type[msgspec.Struct]]:
    """The Structs that an operation speaks of."""
    for kind in (operation.result, *(param.type for param in operation.params.values())):
        for option in (kind, *get_args(kind)):
            if isinstance(option, type) and issubclass(option, msgspec.Struct):
                yield option


def _operation(place: list[Operation], path: str) -> Object:
    """What stands at one method and path. The first of several counts, but for the bodies and the refusals."""
    first = place[0]
    names = dict(zip(re.findall(r"\{([^}]*)\}", first.path), re.findall(r"\{([^}]*)\}", path), strict=True))
    refusals = sorted({status for operation in place for status in statuses.refusals(operation)})
    described: Object = {
        "operationId": first.key,
        "x-agave-operations": [operation.key for operation in place],
        "summary": " ".join(operation.summary for operation in place),
        "tags": [first.service],
        "security": [{"token" if first.token else "password": []}],
        "responses": {str(status): _success(first, status) for status in statuses.successes(first)}
        | {str(status): {"$ref": f"#/components/responses/{status}"} for status in refusals},
    }
    params = first.params.values()
    if outside := [_parameter(param, names) for param in params if param.place in ("path", "query")]:
        described["parameters"] = outside
    if bodies := [body for operation in place if (body := _body(operation)) is not None]:
        content = {kind: schema for body in bodies for kind, schema in body["content"].items()}
        described["requestBody"] = {"required": all(body["required"] for body in bodies), "content": content}
    return described


def _parameter(param: Param, names: dict[str, str]) -> Object:
    if param.word.spread:
        # an object in the form that OpenAPI gives it by default: each of its items is a key of the query
        schema: Object = {"type": "object", "additionalProperties": {"type": "string"}}
    else:
        schema = _schema(param)
    return {
        "name": names.get(param.name, param.name),
        "in": param.place,
        "description": param.word.help,
        "required": param.place == "path" or param.required,
        "schema": schema,
    }


def _schema(param: Param) -> Object:
    if param.place == "file":
        return {"type": "string", "format": "binary"}
    schema = msgspec.json.schema(param.type)
    if param.word.choices:
        schema["enum"] = [*param.word.choices]
    if param.place == "path":
        schema["minLength"] = 1
    return schema


def _body(operation: Operation) -> Object | None:
    params = operation.params.values()
    for param in params:
        if param.place == "body" and param.type is bytes:
            return {"required": True, "content": {BINARY: {"schema": {"type": "string", "format": "binary"}}}}
        if param.place == "body":
            struct = isinstance(param.type, type) and issubclass(param.type, msgspec.Struct)
            schema: Object = {"$ref": REF.format(name=param.type.__name__)} if struct else {}
            return {"required": param.required, "content": {JSON: {"schema": schema}}}
    parts = {param.name: _schema(param) | {"description": param.word.help} for param in params
             if param.place in ("form", "file")}  # fmt: skip
    if not parts:
        return None
    fields = {name: schema for name, schema in parts.items() if schema.get("format") != "binary"}
    return {
        "required": True,
        "content": {
            PARTS: {"schema": {"type": "object", "properties": parts}},
            FORM: {"schema": {"type": "object", "properties": fields}},
        },
    }


def _success(operation: Operation, status: int) -> Object:
    described: Object = {"description": REASONS[status]}
    if operation.answer == "bytes":
        return described | {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}
    result = _result(operation)
    properties: Object = {"status": {"const": "success"}, "message": {"type": ["string", "null"]},
                          "version": {"type": "string"}}  # fmt: skip
    required = ["status", "message", "version"]
    if result is not None:
        properties["result"] = result
    if operation.answer == "page" or (operation.answer == "record" and type(None) not in get_args(operation.result)):
        required.append("result")
    return described | {
        "content": {JSON: {"schema": {"type": "object", "properties": properties, "required": required}}}
    }


def _result(operation: Operation) -> Object | None:
    """The schema of what stands in the envelope; None where it is not worth telling."""
    if operation.answer == "nothing":
        return None
    (schema,), _ = msgspec.json.schema_components([operation.result], ref_template=REF)
    return {"type": "array", "items": schema} if operation.answer == "page" else schema


def _refusal(status: int) -> Object:
    either = {"anyOf": [{"$ref": REF.format(name="Refusal")}, {"$ref": REF.format(name="GatewayFault")}]}
    return {"description": REASONS[status], "content": {JSON: {"schema": either}, XML: {}}}
