"""Every operation there is, by service and by name."""

from __future__ import annotations

from collections.abc import Iterator

from agavesh.api.operation import Operation, Service
from agavesh.api.services.actors import Actors
from agavesh.api.services.apps import Apps
from agavesh.api.services.clients import Clients
from agavesh.api.services.files import Files
from agavesh.api.services.jobs import Jobs
from agavesh.api.services.meta import Meta
from agavesh.api.services.monitors import Monitors
from agavesh.api.services.notifications import Notifications
from agavesh.api.services.postits import Postits
from agavesh.api.services.profiles import Profiles
from agavesh.api.services.systems import Systems

SERVICES: tuple[type[Service], ...] = (
    Actors, Apps, Files, Jobs, Meta, Notifications, Profiles, Systems, Clients, Monitors, Postits,
)  # fmt: skip


def operations() -> Iterator[Operation]:
    """All operations, service by service. Those of AgavePy's documentation are `documented`: 120."""
    for service in SERVICES:
        yield from service.operations.values()


def find(key: str) -> Operation:
    """The operation of a key such as `files.list`. KeyError if there is none."""
    service, _, name = key.partition(".")
    for known in SERVICES:
        if known.__name__.lower() == service and name in known.operations:
            return known.operations[name]
    raise KeyError(key)
