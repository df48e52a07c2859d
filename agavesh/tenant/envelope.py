"""How answers look on the wire: the envelope, `filter`, `naked`, `pretty`, and the gateway's faults.

Pure: values and query keys in, a Starlette Response out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

import msgspec
from starlette.responses import Response

from agavesh.tenant.context import ABSENT, Answer
from agavesh.tenant.refusal import Refusal

VERSION = "2.2.22-r7deb380"  # clients take a greater text on a job for the newer jobs service and its other records
ACTORS_VERSION = "1.9.0"  # the actors service is another program
JSON = "application/json; charset=UTF-8"
CORS = {"Access-Control-Allow-Origin": "*"}

_encode = msgspec.json.Encoder().encode


def said(query: Mapping[str, str], key: str) -> bool:
    """Whether a boolean query key is there and true."""
    return query.get(key, "").lower() == "true"


def _outer(status: str, message: str | None, service: str) -> dict[str, Any]:
    # wire: actors say null where others leave the result out
    own = {"version": ACTORS_VERSION, "result": None} if service == "actors" else {"version": VERSION}
    return {"status": status, "message": message, **own}


def success(answer: Answer, query: Mapping[str, str], service: str = "") -> Response:
    """An answer in its envelope, or without it where the caller or the endpoint wants none."""
    result = answer.result
    if result is not ABSENT and (wanted := query.get("filter")):
        result = filtered(result, wanted)
    if answer.bare or said(query, "naked"):
        if result is ABSENT:
            return Response(status_code=answer.empty, headers={**CORS, **answer.headers})
        return _json(result, answer.status, query, answer.headers)
    envelope = _outer("success", answer.message, service)
    if result is not ABSENT:
        envelope["result"] = result
    return _json(envelope, answer.status, query, answer.headers)


def refused(refusal: Refusal, query: Mapping[str, str], service: str = "") -> Response:
    """A refusal in its envelope."""
    if said(query, "naked"):
        return Response(status_code=refusal.status, headers={**CORS, **refusal.headers})
    envelope = _outer("error", refusal.message, service)
    return _json(envelope, refusal.status, query, refusal.headers)


def _json(value: Any, status: int, query: Mapping[str, str], headers: Mapping[str, str]) -> Response:
    body = _encode(value)
    if said(query, "pretty"):
        body = msgspec.json.format(body, indent=2)
    return Response(body, status, headers={**CORS, **headers}, media_type=JSON)


def filtered(result: Any, wanted: str) -> Any:
    """`result` with the fields that a comma list names: `a` or `a.b`, at most two levels; `*` keeps all.

    wire: of two paths below one parent the platform loses the second's value; here both are kept.
    """
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    if "*" in names:
        return result
    if isinstance(result, list):
        return [kept for item in result if (kept := filtered(item, wanted)) not in ({}, None)]
    if not isinstance(result, dict):
        return result
    found = {name: result[name] for name in names if name in result}
    whole = set(found)
    for name in names:
        head, dot, tail = name.partition(".")
        if dot and head in result and head not in whole and "." not in tail:
            inner = result[head]
            found.setdefault(head, {})[tail] = inner.get(tail) if isinstance(inner, dict) else None
    return found


FAULTS = {
    900900: (500, "Unclassified Authentication Failure"),
    900901: (401, "Invalid Credentials"),
    900902: (401, "Missing Credentials"),
    900903: (401, "Access Token Expired"),
    900904: (401, "Access Token Inactive"),
    900908: (403, "Resource forbidden"),
    900906: (404, "No matching resource found in the API for the given request"),
    900800: (429, "Message throttled out"),
}


def gateway_fault(
    code: int, description: str, accept: str, *, status: int | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """A fault from before a service is reached: XML, or JSON for a caller who asks for JSON by name."""
    usual, message = FAULTS[code]
    more = {**CORS, **(headers or {})}
    status = status or usual
    if status == 401:
        error = 'error="invalid token"' if code != 900902 else 'error="missing credentials"'
        more["WWW-Authenticate"] = f'OAuth2 realm="WSO2 API Manager", {error}, error_description="{message}"'
    if "application/json" in accept:
        fault = {"fault": {"code": code, "message": message, "description": description}}
        return Response(_encode(fault), status, headers=more, media_type=JSON)
    kind = {"9008": "amt"}.get(str(code)[:4], "am" if code == 900906 else "ams")
    space = {"ams": "security", "amt": "throttling", "am": ""}[kind]
    uri = f"http://wso2.org/apimanager/{space}".rstrip("/")
    body = (
        f'<{kind}:fault xmlns:{kind}="{uri}"><{kind}:code>{code}</{kind}:code>'
        f"<{kind}:message>{escape(message)}</{kind}:message>"
        f"<{kind}:description>{escape(description)}</{kind}:description></{kind}:fault>"
    )
    return Response(body, status, headers=more, media_type="application/xml; charset=UTF-8")
