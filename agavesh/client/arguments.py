"""From an operation and its arguments to what goes over the wire. Pure: no network, no account.

Names are quoted here and nowhere else. The decoded path equals the raw values: `filePath="/a/b"` gives
`…/system/S//a/b`, which the platform reads as a path from the system's root. On the wire a request equals AgavePy's,
but where AgavePy cuts or re-reads a name (`#`, `?`, `%`) it arrives whole.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

import msgspec

from agavesh.api.operation import Operation, Param
from agavesh.client.errors import BadArgument
from agavesh.client.multipart import Upload, open_upload

EXTRAS: Final = ("search", "filter", "headers", "nonce", "bulk")
LARGE: Final = 1024 * 1024  # bytes: a transfer of more, or of nobody knows how much, is bulk
JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
BINARY: Final = "application/octet-stream"

QUOTED: Final = "/?%:@!$&'()*+,;=~[]"  # what is left alone where text may be quoted already

Body = bytes | Upload | None


class Ask(NamedTuple):
    """One request, ready but for base URL and credentials. `what` names it for people; `safe` ones may be repeated."""

    what: str
    method: str
    target: str  # quoted path and query
    headers: dict[str, str]
    body: Body
    safe: bool
    open: bool = False  # carries its own credential (a nonce), so no token is sent
    bulk: bool | None = None  # a large transfer, behind which calls do not wait; False if that is known not to be so


def ask(operation: Operation, arguments: Mapping[str, Any]) -> Ask:
    """The request for a call of `operation`. BadArgument for what is unknown, missing or of no use in its place."""
    given = _known(operation, arguments)
    path = operation.path
    query: list[tuple[str, str]] = []
    form: list[tuple[str, str]] = []
    body: Body = None
    headers = {"Accept": "*/*" if operation.answer == "bytes" else JSON}
    source: Any = None
    for param in operation.params.values():
        value = given.get(param.name)
        if value is None and param.place != "path":
            if param.required:
                raise BadArgument(f"{operation.key} needs {param.name}", hint=param.word.help)
            continue
        match param.place:
            case "path":
                path = path.replace(f"{{{param.name}}}", _path_part(operation, param, value))
            case "query" if param.word.spread and value is not None:
                query += [(str(key), _text(item)) for key, item in value.items()]
            case "query":
                query.append((param.name, _text(value)))
            case "form":
                form.append((param.name, _field(value)))
            case "file":
                source = (param.name, value)
            case "body":
                body, headers["Content-Type"] = _body(operation, value)
            case "unsent":
                pass
    if source is not None:
        name, value = source
        body = open_upload(name, value, dict(form))
        headers["Content-Type"] = body.content_type
    elif form:
        body, headers["Content-Type"] = urlencode(form).encode(), FORM
    query += _extras(given)
    headers |= {str(key): str(value) for key, value in (given.get("headers") or {}).items()}
    target = f"{path}?{urlencode(query)}" if query else path
    bulk = given.get("bulk")
    return Ask(
        _what(operation, given), operation.method, target, headers, body, _safe(operation, given), "nonce" in given,
        _bulk(operation, body, headers) or None if bulk is None else bool(bulk),
    )  # fmt: skip


def raw_ask(
    method: str,
    path: str,
    params: Mapping[str, Any] | None,
    json_body: Any,
    content: bytes | str | None,
    headers: Mapping[str, str] | None,
) -> Ask:
    """The request for any path of the platform. `path` may hold quoted names and a query; the rest of it is quoted."""
    if not path.startswith("/"):
        raise BadArgument(f"{path!r} is no path of the platform", hint="it begins with a slash, as in /files/v2/…")
    if json_body is not None and content is not None:
        raise BadArgument("a request has one body", hint="give json or content, not both")
    place, mark, inner = path.partition("?")
    query = "&".join(filter(None, [inner, urlencode([(key, _text(value)) for key, value in (params or {}).items()])]))
    target = quote(place, safe=QUOTED) + (f"?{quote(query, safe=QUOTED)}" if query or mark else "")
    out = {"Accept": "*/*"}
    body: Body = None
    if json_body is not None:
        body, out["Content-Type"] = _json(json_body), JSON
    elif content is not None:
        body = content.encode() if isinstance(content, str) else content
    out |= headers or {}
    method = method.upper()
    return Ask(shown(f"{method} {place}"), method, target, out, body, method in ("GET", "HEAD"))


def _known(operation: Operation, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by our names; None counts as not given."""
    given: dict[str, Any] = {}
    for name, value in arguments.items():
        if value is None:
            continue
        ours = operation.also.get(name, name)
        if ours not in operation.params and ours not in EXTRAS:
            names = [*operation.params, *operation.also, *EXTRAS]
            near = difflib.get_close_matches(name, names, 1, 0.5)
            hint = f'did you mean "{near[0]}"?' if near else f"it takes {', '.join(names)}"
            raise BadArgument(f'{operation.key} takes no "{name}"', hint=hint)
        if ours in given:
            raise BadArgument(f'"{ours}" and "{name}" are one parameter of {operation.key}', hint="give one of them")
        given[ours] = value
    return given


# A segment of dots would be resolved on the way; quoted, it reaches the platform, which has the say over it.
_DOTS = re.compile(r"(?<![^/])\.{1,2}(?![^/])")


def _path_part(operation: Operation, param: Param, value: Any) -> str:
    text = "" if value is None else _text(value)
    if value is None and param.required:
        raise BadArgument(f"{operation.key} needs {param.name}", hint=param.word.help)
    if "\0" in text:
        raise BadArgument(f"{param.name} holds a NUL character", hint="no name on the platform does")
    rest = operation.path.endswith(f"{{{param.name}}}") and param.name.endswith("ilePath")
    if not text and not rest:
        raise BadArgument(f"{param.name} of {operation.key} is empty", hint=param.word.help)
    # surrogateescape: names that are no UTF-8 travel as the bytes they are
    quoted = quote(text, safe="/~" if rest else "~", errors="surrogateescape")
    return _DOTS.sub(lambda dots: dots[0].replace(".", "%2E"), quoted)


def _text(value: Any) -> str:
    """A value as AgavePy writes it: lists with commas, booleans as Python does."""
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return str(value)


def _field(value: Any) -> str:
    """A form field: text, or a list of it with commas; what else there is (notifications) as JSON."""
    plain = isinstance(value, (str, int, float)) or (
        isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)
    )
    return _text(value) if plain else _json(value).decode()


def _body(operation: Operation, value: Any) -> tuple[bytes, str]:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value), BINARY
    if isinstance(value, str):
        return value.encode(), JSON
    try:
        return _json(value), JSON
    except (TypeError, ValueError, NotImplementedError) as reason:
        raise BadArgument(f"the body of {operation.key} cannot be written as JSON: {reason}") from None


def _json(value: Any) -> bytes:
    # the standard library's form, so that the bytes are AgavePy's; msgspec's part is Structs and dates
    return json.dumps(msgspec.to_builtins(value, str_keys=True), allow_nan=False).encode()


def _extras(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    query = [(str(key), _text(value)) for key, value in (given.get("search") or {}).items() if value is not None]
    if (kept := given.get("filter")) is not None:
        query.append(("filter", _text(kept)))
    if (nonce := given.get("nonce")) is not None:
        query.append(("x-nonce", str(nonce)))
    return query


def _what(operation: Operation, given: Mapping[str, Any]) -> str:
    """The call as a person would name it: the operation and what stands in its path."""
    if "systemId" in given and "filePath" in given:
        return shown(f"{operation.key} agave://{given['systemId']}/{given['filePath']}")
    named = [str(given[name]) for name, param in operation.params.items() if param.place == "path" and name in given]
    return shown(" ".join([operation.key, *named]))


def shown(text: str) -> str:
    """Text with odd names in it, on one line: what cannot be printed is written as Python would."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _safe(operation: Operation, given: Mapping[str, Any]) -> bool:
    if operation.method in ("GET", "HEAD"):
        # actors: reading a result takes it out of its queue
        return operation.key != "actors.getOneExecutionResult"
    body = given.get("body")
    action = body.get("action") if isinstance(body, dict) else getattr(body, "action", None)
    return operation.method == "PUT" and operation.service == "files" and str(action).lower() == "mkdir"


def _bulk(operation: Operation, body: Body, headers: Mapping[str, str]) -> bool:
    """Whether a call moves much, as far as can be told before it is made."""
    if isinstance(body, Upload):
        return body.size is None or body.size > LARGE
    if operation.answer != "bytes":
        return False
    span = re.fullmatch(r"bytes=(\d+)-(\d+)", headers.get("Range", ""))
    return span is None or int(span[2]) - int(span[1]) >= LARGE
