"""A module per service, a function per operation of the same name. See `context` for their form."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any, cast

from agavesh.api.operation import Operation
from agavesh.tenant.context import Context, Handler, Result
from agavesh.tenant.refusal import Refusal

SERVICES = (
    "actors", "apps", "clients", "files", "jobs", "meta", "monitors", "notifications", "postits", "profiles", "systems",
)  # fmt: skip
BESIDE = ("oauth", "about", "control")  # modules with routes only, for what is no service
UNAVAILABLE: frozenset[str] = frozenset()  # these answer 501


def modules() -> list[ModuleType]:
    """All modules of handlers, for their routes and for what they do at a start."""
    return [importlib.import_module(f"{__name__}.{name}") for name in (*SERVICES, *BESIDE)]


def find(operation: Operation) -> Handler | None:
    """The function that answers an operation, or None."""
    if operation.service in UNAVAILABLE:
        return unavailable
    if operation.service not in SERVICES:
        return None
    module = importlib.import_module(f"{__name__}.{operation.service}")
    return cast("Handler | None", vars(module).get(operation.name))


async def unavailable(ctx: Context, **arguments: Any) -> Result:
    """For the services of `UNAVAILABLE`."""
    raise Refusal(501, f"The embedded tenant has no {ctx.operation.partition('.')[0]} service yet")
