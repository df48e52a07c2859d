"""A module per service, a function per operation of the same name. See `context` for their form."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType
from typing import Any, cast

from agavesh.api.operation import Operation
from agavesh.tenant.context import Context, Handler, Refusal, Result

SERVICES = ("apps", "clients", "files", "jobs", "profiles", "systems")
BESIDE = ("oauth", "about")  # modules with routes only, for what is no service
UNAVAILABLE = frozenset({"actors", "meta", "notifications"})  # these answer 501


def modules() -> list[ModuleType]:
    """All modules of handlers, for their routes and for what they do at a start."""
    return [module for name in (*SERVICES, *BESIDE) if (module := _module(name)) is not None]


def _module(name: str) -> ModuleType | None:
    if importlib.util.find_spec(f"{__name__}.{name}") is None:
        return None
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ImportError:  # while apps and jobs are being written
        return None


def find(operation: Operation) -> Handler | None:
    """The function that answers an operation, or None."""
    if operation.service in UNAVAILABLE or (module := _module(operation.service)) is None:
        return unavailable
    return cast("Handler | None", vars(module).get(operation.name))


async def unavailable(ctx: Context, **arguments: Any) -> Result:
    """For the services of `UNAVAILABLE`."""
    raise Refusal(501, f"The embedded tenant has no {ctx.operation.partition('.')[0]} service yet")
