"""A module per service, a function per operation of the same name. See `context` for their form."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import cast

from agavesh.api.operation import Operation
from agavesh.tenant.context import Handler

SERVICES = (
    "actors", "apps", "clients", "files", "jobs", "meta", "monitors", "notifications", "postits", "profiles", "systems",
)  # fmt: skip
BESIDE = ("oauth", "about", "control")  # modules with routes only, for what is no service


def modules() -> list[ModuleType]:
    """All modules of handlers, for their routes and for what they do at a start."""
    return [importlib.import_module(f"{__name__}.{name}") for name in (*SERVICES, *BESIDE)]


def find(operation: Operation) -> Handler | None:
    """The function that answers an operation, or None."""
    if operation.service not in SERVICES:
        return None
    module = importlib.import_module(f"{__name__}.{operation.service}")
    return cast("Handler | None", vars(module).get(operation.name))
