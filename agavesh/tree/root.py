"""`/`: what the tree begins with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from agavesh.client.client import Agave
from agavesh.client.storage import EXECUTE, READ, Entry
from agavesh.tree.apps import Apps
from agavesh.tree.jobs import Jobs
from agavesh.tree.listing import ListingCache
from agavesh.tree.node import Directory, Node
from agavesh.tree.systems import Systems

_FOLDER = READ | EXECUTE


@dataclass(frozen=True)
class Root(Directory):
    """`/`: one folder for each kind of thing there is."""

    apps: Apps
    jobs: Jobs
    systems: Systems

    async def scan(self) -> AsyncIterator[Node]:
        for node in (self.apps, self.jobs, self.systems):
            yield node


def make_root(agave: Agave, listings: ListingCache) -> Root:
    """The tree of one account."""

    def entry(name: str) -> Entry:
        return Entry(name, "dir", 0, None, _FOLDER)

    return Root(
        "/", entry(""),
        Apps("/apps", entry("apps"), agave, listings),
        Jobs("/jobs", entry("jobs"), agave, listings),
        Systems("/systems", entry("systems"), agave, listings),
    )  # fmt: skip
