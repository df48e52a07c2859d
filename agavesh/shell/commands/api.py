"""api: every operation of the platform by its documented name, and any path of it."""

from typing import TYPE_CHECKING, Annotated, Any

from agavesh.api.words import Word
from agavesh.client.errors import BadArgument, NotFound
from agavesh.shell.command import command
from agavesh.shell.language import nearest
from agavesh.shell.session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agavesh.api.operation import Operation, Param

ServiceName = Annotated[str, Word("a service, or a method such as GET", lists="services")]
OperationName = Annotated[str, Word("an operation of the service, or a path such as /jobs/v2/", lists="operations")]
Argument = Annotated[str, Word("name=text, name:=JSON, name=@file", lists="arguments")]

METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD")
EXTRAS = ("filter", "nonce")


@command(
    "api",
    examples=[
        "api",
        "api files",
        "api files list systemId=data.demo filePath=/alice limit=3",
        "api files manage systemId=data.demo filePath=/alice action=mkdir path=from-api",
        "api GET /systems/v2/ type=STORAGE",
    ],
)
async def api(here: Session, service: ServiceName = "", operation: OperationName = "", *arguments: Argument) -> int:
    """Call an operation by its documented name, or any path, and print the answer as the platform sent it.

    Alone it lists the services; with a service alone, the operations of that.

    A name that is no parameter of the operation is a field of its body, if it has one, and else a search key. Files to
    upload are named fileToUpload=@PATH. Downloads are written as they are.
    """
    if not service:
        return await _list_services(here)
    if service.upper() in METHODS:
        if not operation:
            raise BadArgument(f'"api {service}" needs a path', hint=f"such as: api {service} /jobs/v2/")
        return await _raw(here, service.upper(), operation, arguments)
    if not operation:
        return await _list_operations(here, service)
    found = _find(service, operation)
    given = _arguments(found, arguments)
    agave = await here.agave()
    call = getattr(getattr(agave, found.service), found.name)
    if found.answer == "bytes":
        async with call(**given) as download:
            async for part in download.chunks():
                await here.console.send(part)
        return 0
    await _show(here, found, await call(**given))
    return 0


async def _list_services(here: Session) -> int:
    from agavesh.api.catalogue import SERVICES
    from agavesh.shell.render import key, show_list

    rows = [
        {"service": service.__name__.lower(), "operations": len(service.operations), "summary": service.__doc__}
        for service in SERVICES
    ]
    await show_list(
        here, rows, [key("service"), key("operations")._replace(right=True), key("summary")._replace(narrows=True)]
    )
    return 0


async def _list_operations(here: Session, service: str) -> int:
    from agavesh.shell.render import key, show_list

    rows = [
        {
            "operation": operation.name,
            "method": operation.method,
            "path": operation.path,
            "parameters": list(operation.params),
            "summary": operation.summary,
        }
        for operation in _operations(service).values()
    ]
    await show_list(here, rows, [key("operation"), key("summary")._replace(narrows=True)])
    return 0


def _operations(service: str) -> "Mapping[str, Operation]":
    """The operations of a service by their names. NotFound says which services there are."""
    from agavesh.api.catalogue import SERVICES

    services = {found.__name__.lower(): found.operations for found in SERVICES}
    if service not in services:
        hint = nearest(service, services) or f"one of {', '.join(services)}"
        raise NotFound(f"no service {service!r}", hint=hint)
    return services[service]


def _find(service: str, name: str) -> "Operation":
    operations = _operations(service)
    if name not in operations:
        hint = nearest(name, operations) or f'"api {service}" lists them'
        raise NotFound(f"{service} has no operation {name!r}", hint=hint)
    return operations[name]


def _arguments(operation: "Operation", words: tuple[str, ...]) -> dict[str, Any]:
    """The keyword arguments of the call."""
    from pathlib import Path

    from agavesh.shell.filters import pairs

    body = next((name for name, parameter in operation.params.items() if parameter.place == "body"), None)
    given: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    search: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        known = operation.params.get(operation.also.get(name, name))
        if equals and known is not None and known.place == "file":
            given[name] = Path(value.removeprefix("@")).expanduser()
            continue
        ((name, value, is_json),) = pairs([word])
        known = operation.params.get(operation.also.get(name, name))
        if known is not None:
            given[name] = value if is_json else _typed(known, value)
        elif name in EXTRAS:
            given[name] = value
        elif body is not None:
            fields[name] = value
        else:
            search[name] = value
    if fields:
        whole = given.get(body or "", {})
        if not isinstance(whole, dict):
            raise BadArgument(f"{operation.key} has a body already", hint=f"leave out {', '.join(fields)}")
        given[str(body)] = whole | fields
    if search:
        given["search"] = search
    return given


def _typed(parameter: "Param", text: str) -> Any:
    """The value of a parameter from a text. BadArgument says what is expected."""
    from typing import get_origin

    import msgspec

    kind = get_origin(parameter.type) or parameter.type
    if kind is bool and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if kind is int and text.lstrip("-").isdigit():
        return int(text)
    if kind in (bool, int):
        raise BadArgument(f"{parameter.name} is {'true or false' if kind is bool else 'a whole number'}, not {text!r}")
    if parameter.place == "body" or kind in (dict, list):
        try:
            return msgspec.json.decode(text.encode())
        except msgspec.DecodeError:
            return text.split(",") if kind is list else text
    return text


async def _show(here: Session, operation: "Operation", answer: Any) -> None:
    """The answer: JSON as it came, unless a table or CSV was asked for by name."""
    from agavesh.shell import render

    if answer is None:
        return
    if here.output == "csv" and operation.answer == "page":
        import msgspec

        rows = msgspec.json.decode(answer.json)
        names = list(dict.fromkeys(name for row in rows for name in row if name != "_links"))
        columns = [render.key(name) for name in names]
        await here.console.show(render.comma_separated(rows, columns))
        return
    await here.console.show(render.indented(render.as_json(answer)))


def _is_json(headers: "Mapping[str, str]") -> bool:
    return "json" in headers.get("content-type", "")


async def _raw(here: Session, method: str, path: str, words: tuple[str, ...]) -> int:
    """Any path, with the pairs as its query or, where there is a body, as its JSON."""
    import msgspec

    from agavesh.shell import exits, render
    from agavesh.shell.filters import pairs

    given = {name: value for name, value, _ in pairs(words)}
    agave = await here.agave()
    if method in ("POST", "PUT"):
        answer = await agave.raw(method, path, json=given.get("body", given))
    else:
        answer = await agave.raw(method, path, params=given)
    body = answer.body
    try:
        body = render.indented(body) if body else body
    except msgspec.DecodeError:
        pass  # not JSON: as it is
    await (here.console.show(body) if _is_json(answer.headers) else here.console.send(body))
    if answer.status < 400:
        return 0
    here.console.note(f"agavesh: HTTP status {answer.status}")
    if answer.status in (401, 403):
        return exits.NOT_ALLOWED
    if answer.status == 404:
        return exits.MISSING
    return exits.DATA if answer.status < 500 else exits.UNAVAILABLE
