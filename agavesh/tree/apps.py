"""`/apps`: the apps that the user may see, each with its record."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec

from agavesh.api.models.apps import Application
from agavesh.api.record import decode_page
from agavesh.client.client import Agave
from agavesh.client.storage import EXECUTE, READ, Entry, seconds_of
from agavesh.tree.listing import ListingCache
from agavesh.tree.node import Directory, Node, TextFile, is_name

_FRESH = 60.0  # seconds


@dataclass(frozen=True)
class Apps(Directory):
    """`/apps`: all apps of the user by id."""

    agave: Agave
    listings: ListingCache

    async def records(self) -> dict[str, Application]:
        """The apps by id, as full records."""
        return (await self.listings.get(self.path, self._fetch, fresh=self.listings.life(_FRESH))).items

    async def _fetch(self) -> dict[str, Application]:
        found: dict[str, Application] = {}
        # wire: with a filter a list gives full records, not summaries
        async for page in self.agave.pages(self.agave.apps.list, filter="*"):
            for app in decode_page(page.json, Application):
                app.__dict__["_json"] = app.json  # its own bytes, so that the page need not be kept
                if is_name(app.id):
                    found[app.id] = app
        return found

    async def scan(self) -> AsyncIterator[Node]:
        for app in list((await self.records()).values()):
            yield self._child(app)

    async def lookup(self, name: str) -> Node:
        if (app := (await self.records()).get(name)) is None:
            raise self.missing(name)
        return self._child(app)

    def _child(self, app: Application) -> Node:
        changed = seconds_of(app.lastModified) if app.lastModified else None
        return AppDirectory(f"{self.path}/{app.id}", Entry(app.id, "dir", 0, changed, READ | EXECUTE), app)


@dataclass(frozen=True)
class AppDirectory(Directory):
    """`/apps/<id>`: `app.json`, the app as the platform tells of it."""

    app: Application

    async def scan(self) -> AsyncIterator[Node]:
        text = msgspec.json.format(self.app.json, indent=2) + b"\n"
        yield TextFile(f"{self.path}/app.json", Entry("app.json", "file", len(text), self.entry.modified), lambda: text)
