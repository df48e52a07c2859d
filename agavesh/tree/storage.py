"""Folders and files over a Storage: those of systems and those of jobs alike."""

from __future__ import annotations

import functools
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from agavesh.client.errors import AgaveError, AlreadyThere, NotAllowed, NotFound, WrongKind
from agavesh.client.path import RemotePath
from agavesh.client.storage import TEMPORARY, Begun, Entry, JobStorage, Storage
from agavesh.tree.listing import Done, Listing, ListingCache
from agavesh.tree.node import Directory, File, Node, is_name

_log = logging.getLogger(__name__)
_SHOWN = 200  # characters of an odd line that are shown


@dataclass(frozen=True)
class StorageNode(Node):
    """What files and folders share. `inner` is the path on the storage; `life` says for how long (seconds) a listing is
    believed, if not as long as others; `growing` is true of what a job is still writing."""

    storage: Storage
    listings: ListingCache
    inner: str
    life: float | None = None
    growing: bool = False

    @property
    def fresh(self) -> float:
        """For how long (seconds) a listing is believed."""
        return self.listings.fresh if self.life is None else self.life

    @property
    def remote(self) -> RemotePath:
        return RemotePath("job" if isinstance(self.storage, JobStorage) else "system", self.storage.owner, self.inner)

    def child(self, entry: Entry) -> StorageNode:
        """The node of an entry of this folder."""
        kind = StorageDirectory if entry.is_dir else StorageFile
        return kind(
            f"{self.path.rstrip('/')}/{entry.name}", entry, self.storage, self.listings,
            f"{self.inner.rstrip('/')}/{entry.name}", self.life, self.growing,
        )  # fmt: skip


@dataclass(frozen=True)
class StorageFile(StorageNode, File):
    """A file that the platform keeps."""

    async def content(self) -> bytes:
        async with self.storage.read(self.inner) as stream:
            if stream.start:
                raise NotFound(f"{self.path} was not sent from its start")
            return b"".join([chunk async for chunk in stream])

    async def again(self) -> StorageFile:
        """The same file as the platform tells of it now. NotFound; WrongKind if it is a folder by now."""
        entry = await self.storage.stat(self.inner)
        if entry.is_dir:
            raise WrongKind(f"{self.path} is a folder by now")
        return replace(self, entry=entry)


@dataclass(frozen=True)
class StorageDirectory(StorageNode, Directory):
    """A folder that the platform keeps."""

    async def listing(self, *, fresh: float | None = None) -> Listing[Entry]:
        """All its entries by name; `fresh` overrides how old they may be (0: ask now)."""
        return await self.listings.whole(self.path, self._feed, fresh=self.fresh if fresh is None else fresh)

    async def stream(self) -> Listing[Entry]:
        """The same as it comes. Who reads it tells `listings` when it has `left`."""
        return await self.listings.stream(self.path, self._feed, fresh=self.fresh)

    def ahead(self, done: Done) -> Listing[Entry]:
        """The same before anybody wants it, without waiting: `done` is called when it is over, with its trouble."""
        return self.listings.ahead(self.path, self._feed, done, fresh=self.fresh)

    async def look(self, name: str) -> Entry:
        """The entry of a name, by one request. Of a folder what is in it is known then, too, as far as it came along.

        NotFound; NotAllowed.
        """
        child = self.child(Entry(name, "dir"))
        assert isinstance(child, StorageDirectory)
        with self.listings.along(child.path, child._feed, fresh=child.fresh) as listing:
            entry, begun = await self.storage.look(child.inner)
            if begun is not None and listing is not None:
                listing.rest = functools.partial(child._feed, begun=begun)
                child._grow(listing, begun.entries, last=begun.whole)
        return entry

    async def _feed(self, listing: Listing[Entry], begun: Begun | None = None) -> None:
        await self.storage.scan(self.inner, functools.partial(self._grow, listing), begun)

    def _grow(self, listing: Listing[Entry], entries: list[Entry], last: bool) -> None:
        # what stayed as it was is the same object: others hold it too
        known = self.listings.peek(self.path) or {}
        found: dict[str, Entry] = {}
        hidden: list[str] = []
        unfit: list[str] = []
        for entry in entries:
            # what a mount has on its way, or has unlinked while it is open, is nobody's business
            if entry.name.startswith(TEMPORARY):
                hidden.append(entry.name)
            elif not is_name(entry.name):
                unfit.append(entry.name)
            else:
                before = known.get(entry.name)
                found[entry.name] = before if before == entry else entry
        if unfit:
            listing.left_out += len(unfit)
            some = f"{unfit[0].lstrip(chr(0))[:_SHOWN]!r}"
            _log.warning("%s: %d lines that make no sense are left out, such as %s", self.path, len(unfit), some)
        listing.grow(found, last=last)
        if hidden:
            self.listings.on_hidden(self, hidden)

    async def scan(self) -> AsyncIterator[Node]:
        listing = await self.listing()
        for entry in list(listing.items.values()):
            yield self.child(entry)

    async def lookup(self, name: str) -> Node:
        try:
            entry = (await self.listing()).items.get(name)
        except NotAllowed:  # a folder that can't be read may hold one that can
            entry = await self.storage.stat(f"{self.inner.rstrip('/')}/{name}")
        if entry is None:
            raise self.missing(name)
        return self.child(entry)

    async def descend(self, names: list[str]) -> tuple[Node, list[str]]:
        """The node at the end of `names` for one request at most: from a listing that is kept, or by its own name."""
        parent = self
        for name in names[:-1]:
            # the folders on the way need no look: a wrong one shows when the last name is asked for
            node = parent.child(Entry(name, "dir"))
            assert isinstance(node, StorageDirectory)
            parent = node
        if not names:
            return self, []
        kept = self.listings.kept(parent.path, fresh=self.fresh)
        if kept is not None:
            if (entry := kept.items.get(names[-1])) is None:
                raise parent.missing(names[-1])
        else:
            try:
                entry = await parent.look(names[-1])
            except NotFound as missing:
                raise parent.missing(names[-1]) from missing  # the same words, listed or not
        return parent.child(entry), []

    async def mkdir(self, name: str) -> StorageNode:
        try:
            entry = await self.storage.make(f"{self.inner.rstrip('/')}/{name}")
        except AlreadyThere:
            self.listings.forget(self.path)
            raise AlreadyThere(f"{name!r} is in {self.path} already") from None
        self.listings.put(self.path, name, entry)
        made = self.child(entry)
        self.listings.begin(made.path)
        return made

    async def remove(self, name: str) -> None:
        try:
            await self.storage.remove(f"{self.inner.rstrip('/')}/{name}")
        except AgaveError:
            self.listings.forget(self.path)
            raise
        self.listings.drop(self.path, name)
