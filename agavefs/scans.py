"""Scans: what one open folder shows, from its first name to its last.

A scan begins with what is written here; then come the platform's names, while their listing comes. A place in it stays
a place, whatever is removed meanwhile: programs that delete as they read rely on it. Reading from the start again is a
new scan. It knows no FUSE.
"""

from __future__ import annotations

from agavefs.inodes import Inode
from agavefs.looks import Common, Look, Looks
from agavesh.client.storage import Entry
from agavesh.tree import clock as time  # what goes on while the machine sleeps
from agavesh.tree.listing import Listing, ListingCache
from agavesh.tree.node import Directory, Node
from agavesh.tree.storage import StorageDirectory


class Scan:
    """One reading of a folder."""

    def __init__(self, looks: Looks, listings: ListingCache, parent: Inode) -> None:
        self._looks, self._listings, self._parent = looks, listings, parent
        self._own = looks.all_own(parent)
        self._own_names = frozenset(inode.name for inode in self._own)
        self._listing: Listing[Entry] | None = None
        self._names: list[str] = []
        self._nodes: dict[str, Node] = {}  # where they are the tree's own
        self._told = 0.0
        self._common: Common | None = None  # what holds of all that is listed

    def begin_now(self) -> bool:
        """Begin with a listing that is here; False if there may be something to wait for."""
        parent = self._parent
        if parent.gone or parent.fixed is not None or not isinstance(folder := parent.node, StorageDirectory):
            return False
        if (kept := self._listings.kept(folder.path, fresh=folder.fresh)) is None:
            return False
        self._reads(kept)
        return True

    async def begin(self) -> None:
        """Ask for what is in the folder, and wait for the first of it."""
        if self._parent.gone:
            return
        folder = (await self._looks.fresh(self._parent)).node
        if isinstance(folder, StorageDirectory):
            self._reads(await folder.stream())
        elif isinstance(folder, Directory):
            self._told = time.monotonic()
            self._nodes = {node.name: node async for node in folder.scan()}
            self._names = list(self._nodes)

    def _reads(self, listing: Listing[Entry]) -> None:
        self._listing, self._names = listing, listing.names()
        self._believe()

    def _believe(self) -> None:
        """For how long what is told next may be believed: who reads a wide folder takes some seconds."""
        if self._listing is not None:
            self._common = self._looks.common(self._parent, self._listing.asked)

    def end(self) -> None:
        """Nobody reads it any more."""
        if self._listing is not None:
            self._listings.left(self._listing)
            self._listing = None

    @property
    def here(self) -> int:
        """How many places can be told of now."""
        return len(self._own) + len(self._names)

    def at_hand(self, place: int) -> bool:
        """As `reach`, without waiting; whether there is nothing to wait for."""
        self._believe()
        return place < self.here or self._listing is None or self._listing.complete

    async def reach(self, place: int) -> bool:
        """Wait until a place can be told of; False if the folder ends before it."""
        if self._listing is not None and place >= self.here:
            await self._listing.reach(place + 1 - len(self._own))
        self._believe()
        return place < self.here

    def at(self, place: int) -> Look | None:
        """What is at a place; None if it has been removed meanwhile."""
        mine = len(self._own)
        if place < mine:
            inode = self._own[place]
            return None if inode.gone or inode.parent is not self._parent else self._looks.look(inode)
        name = self._names[place - mine]
        if name in self._own_names or self._looks.covered(self._parent, name):
            return None
        if (own := self._looks.own(self._parent, name)) is not None:
            return self._looks.look(own)
        see = self._looks.inodes.see
        if (listing := self._listing) is None or (common := self._common) is None:
            node = self._nodes[name]
            return self._looks.look(see(self._parent, name, node.entry, node, self._told, 0))
        if (entry := listing.items.get(name)) is None:
            return None
        inode = see(self._parent, name, entry, None, listing.asked, listing.asked_wall)
        return self._looks.look_of_many(inode, common)
