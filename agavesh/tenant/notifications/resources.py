"""What a uuid stands for, and what one of its subscribers may know of it.

Each service says that of its own things: a function of its handlers' module that is declared by `described` in
`context`. So a subscriber is told exactly what a GET would answer, and refused where a GET would be.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from agavesh.tenant import handlers
from agavesh.tenant.context import Context, Describe

if TYPE_CHECKING:
    from agavesh.tenant.state import Tenant

NOTIFICATION = "011"
_TYPE = re.compile(r".*-(\d{3})")


@dataclass(frozen=True)
class Resource:
    """A thing with a uuid, and its record as its service answers it."""

    kind: str  # file, job, app, system, …
    uuid: str
    record: dict[str, Any]


def type_of(uuid: str) -> str:
    """The digits at the end of a uuid, which say what it names; "" for no uuid."""
    match = _TYPE.fullmatch(uuid)
    return match[1] if match else ""


def find(tenant: Tenant, uuid: str, user: str) -> Resource | None:
    """The thing of a uuid as a user may see it; None if there is none. Refusal where the user may not."""
    found = _describers().get(type_of(uuid))
    if found is None:
        return None
    kind, describe = found
    request = Request({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []})
    ctx = Context(tenant, request, "notifications", user=user, admin=tenant.auth.is_admin(user))
    record = describe(ctx, uuid)
    return Resource(kind, uuid, record) if record is not None else None


@cache
def _describers() -> dict[str, tuple[str, Describe]]:
    """By type: the kind's name, and who describes it."""
    return {
        code: (kind, value)
        for module in handlers.modules()
        for value in vars(module).values()
        for code, kind in getattr(value, "describes", {}).items()
    }
