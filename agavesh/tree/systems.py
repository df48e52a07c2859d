"""`/systems`: the systems that the user may see, each from its root."""

from __future__ import annotations

import posixpath
from collections.abc import AsyncIterator
from dataclasses import dataclass

from agavesh.api.models.systems import SystemSummary
from agavesh.client.client import Agave
from agavesh.client.errors import AlreadyThere, NotAllowed, ReadOnly
from agavesh.client.storage import EXECUTE, READ, WRITE, Entry, SystemStorage, seconds_of
from agavesh.tree.listing import ListingCache
from agavesh.tree.node import Directory, Link, Node, is_name
from agavesh.tree.storage import StorageDirectory, StorageNode

HOME = "~"
_SYSTEMS_FRESH = 300.0  # seconds: systems come and go by the month


@dataclass(frozen=True)
class Systems(Directory):
    """`/systems`: all systems of the user by id."""

    agave: Agave
    listings: ListingCache

    async def records(self) -> dict[str, SystemSummary]:
        """The systems by id."""
        listing = await self.listings.get(self.path, self._fetch, fresh=self.listings.life(_SYSTEMS_FRESH))
        return listing.items

    async def _fetch(self) -> dict[str, SystemSummary]:
        found: dict[str, SystemSummary] = {}
        async for page in self.agave.pages(self.agave.systems.list):
            found.update((system.id, system) for system in page if is_name(system.id))
        return found

    async def scan(self) -> AsyncIterator[Node]:
        for system in list((await self.records()).values()):
            yield self.child(system)

    async def lookup(self, name: str) -> Node:
        if (system := (await self.records()).get(name)) is None:
            raise self.missing(name)
        return self.child(system)

    def child(self, system: SystemSummary) -> Node:
        changed = seconds_of(system.lastUpdated) if system.lastUpdated else None
        entry = Entry(system.id, "dir", 0, changed, READ | WRITE | EXECUTE)
        path = f"{self.path}/{system.id}"
        storage = SystemStorage(self.agave, system.id)
        return SystemRoot(path, entry, storage, self.listings, "/")


@dataclass(frozen=True)
class SystemRoot(StorageDirectory):
    """`/systems/<id>`: a system from its root. `~`, which is not listed, is a link to the user's home."""

    async def scan(self) -> AsyncIterator[Node]:
        try:
            await self.listing()
        except NotAllowed:
            # wire: on a public system only the homes open; the way to one's own is there all the same
            first = (await self.home()).target.removeprefix(self.path).strip("/").partition("/")[0]
            if not first:
                raise
            yield self.child(Entry(first, "dir", 0, None, READ | EXECUTE))
            return
        async for node in super().scan():
            yield node

    async def lookup(self, name: str) -> Node:
        return await self.home() if name == HOME else await super().lookup(name)

    async def descend(self, names: list[str]) -> tuple[Node, list[str]]:
        return (await self.home(), names[1:]) if names[:1] == [HOME] else await super().descend(names)

    async def mkdir(self, name: str) -> StorageNode:
        if name == HOME:
            raise AlreadyThere(f"{name!r} is in {self.path} already")
        return await super().mkdir(name)

    async def remove(self, name: str) -> None:
        if name == HOME:  # a file of this name may lie behind the link: it is not what is meant
            raise ReadOnly(f"{self.path}/{HOME} is a link that is made here", hint="it leads to your home, and stays")
        await super().remove(name)

    async def home(self) -> Link:
        """The link to the user's home."""
        key = f"{self.path}/{HOME}"
        listing = await self.listings.get(key, self._find_home, fresh=3600)
        return Link(key, Entry(HOME, "file", None, None, READ), f"{self.path}{listing.items[HOME]}".rstrip("/"))

    async def _find_home(self) -> dict[str, str]:
        assert isinstance(self.storage, SystemStorage)
        # dots would lead out of the system, and where this is the root of a mount, out of the mount
        return {HOME: posixpath.normpath(f"/{(await self.storage.home()).lstrip('/')}")}
