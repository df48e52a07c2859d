"""Looks: what is at a name, what it is like, and for how long that may be believed.

A name is answered from what is known: own changes first, then a listing that is fresh. The first look into a folder
that is not listed asks for that one name, the second lists it, so that nothing costs a request for each file; while
a long listing is on its way, names that have not come yet are asked for one by one. It changes nothing on the platform,
and knows no FUSE.
"""

from __future__ import annotations

import functools
import os
import posixpath
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import cachetools
import msgspec

from agavefs.attributes import UNSETTLED, Attributes, Noted
from agavefs.inodes import Inode, InodeTable
from agavesh.client.errors import AgaveError, BadArgument, NotAllowed, NotFound, ReadOnly, WrongKind
from agavesh.client.storage import EXECUTE, TEMPORARY, WRITE, Entry, JobStorage
from agavesh.tree import clock as time  # what goes on while the machine sleeps
from agavesh.tree.listing import Listing, ListingCache
from agavesh.tree.node import Directory, Link, Node
from agavesh.tree.storage import StorageDirectory, StorageNode
from agavesh.tree.systems import HOME, SystemRoot

_VALID = 5.0  # seconds that the kernel may keep a name or attributes at most
_OWN_VALID = 1.0  # the same for what is written here: the kernel does the writing, and knows
_FIXED_FRESH = 2.0  # seconds: the tree's own listings know for how long jobs, systems and the like are believed
_NEGATIVE = 1.0  # seconds that a name which one request did not find is not asked for again
_GROUNDS = 1000  # fixed nodes that are remembered: systems, and the outputs of jobs
_LISTED_NEXT = 30.0  # seconds in which a second look into a folder is the one that lists it
_LONG = 500  # names: who asks for one does not wait for the listing of a folder that has more
_LISTS = 1.0  # seconds that a listing must be good for, if it is to be fetched for one name
_ON_THE_WAY = 1.0  # seconds that a folder is believed at least when something in it is asked for

# Names that file managers, shells and version control look for in every folder, and hardly ever find: that one is not
# there is remembered for as long as a listing would be.
_PROBED = re.compile(
    r"\.(git|hg|svn|bzr|jj|hidden|directory|DS_Store|xdg-volume-info|_.*|Trash(-.*)?)"
    r"|autorun\.inf|desktop\.ini|Thumbs\.db|_darcs|CVS"
)


class Look(msgspec.Struct, frozen=True, gc=False):
    """What a look has found: the inode, what it is like now, and for how many seconds the kernel may believe it."""

    inode: Inode
    entry: Entry
    noted: Noted | None
    writable: bool
    link: bool
    valid: float


class Ground(msgspec.Struct, frozen=True, gc=False):
    """What holds of all below a fixed node: how long they are believed, whether they can be changed, or may grow."""

    node: Node
    trust: float
    changeable: bool
    growing: bool


class Common(msgspec.Struct, frozen=True, gc=False):
    """What holds of all that one listing has told: their ground, and for how many seconds they are believed now."""

    ground: Ground
    valid: float


@dataclass(frozen=True)
class Outside(Link):
    """A name for a file of this machine: the target is no tree path."""


class Looks:
    """Finds inodes. `extra` are names in the root that are not the tree's, and not listed; they go before its own.

    `find_root` tells what the root is now, if that may change.
    """

    def __init__(
        self,
        root: Node,
        listings: ListingCache,
        *,
        read_only: bool = False,
        extra: Mapping[str, Node] | None = None,
        find_root: Callable[[], Awaitable[Node]] | None = None,
    ) -> None:
        self.inodes = InodeTable(root)
        self.attributes = Attributes()
        self.read_only = read_only
        self._listings = listings
        self._extra = extra or {}
        self._find_root = find_root
        self._said_no: cachetools.TTLCache[tuple[int, str], str] = cachetools.TTLCache(10_000, _VALID + 1)
        self._fixed_fresh = min(_FIXED_FRESH, listings.fresh)
        self._asked: cachetools.TTLCache[str, bool] = cachetools.TTLCache(10_000, _LISTED_NEXT)
        self._own: dict[int, dict[str, Inode]] = {}  # by folder
        self._grounds: dict[int, Ground] = {}

    # what is written here --------------------------------------------------------------------------------------------

    def own(self, parent: Inode, name: str) -> Inode | None:
        """The inode at a place if it is written here, and not settled: the platform can't tell of it."""
        return self._own.get(parent.number, {}).get(name) if self._own else None

    def all_own(self, parent: Inode) -> list[Inode]:
        """What is written here in a folder."""
        return list(self._own.get(parent.number, {}).values())

    def keep_own(self, inode: Inode) -> None:
        """It is written here. It stays until `drop_own`."""
        assert inode.parent is not None
        names = self._own.setdefault(inode.parent.number, {})
        if inode.name not in names:
            names[inode.name] = inode
            inode.uses += 1

    def drop_own(self, inode: Inode) -> None:
        """The platform can tell of it now, or it is gone."""
        assert inode.parent is not None
        names = self._own.get(inode.parent.number, {})
        if names.get(inode.name) is inode:
            del names[inode.name]
            if not names:
                del self._own[inode.parent.number]
            inode.uses -= 1
            self.inodes.rest(inode)

    # finding ---------------------------------------------------------------------------------------------------------

    async def child(self, parent: Inode, name: str) -> Inode:
        """What is at a name. NotFound; WrongKind; NotAllowed."""
        if own := self.own(parent, name):
            return own
        if self.covered(parent, name):
            return self.inodes.see(parent, name, self._extra[name].entry, self._extra[name], time.monotonic())
        if name.startswith(TEMPORARY):
            raise NotFound(f"no {name!r} in {parent.path}")
        folder = (await self.fresh(parent, at_least=_ON_THE_WAY)).node
        if not isinstance(folder, Directory):
            raise WrongKind(f"{parent.path} is no folder", directory_expected=True)
        try:
            if isinstance(folder, StorageDirectory) and not (isinstance(folder, SystemRoot) and name == HOME):
                known = self.inodes.at(parent, name) if self._listings.offline_ok else None
                ask = functools.partial(self._entry, parent, folder, name)
                if (found := await (ask() if known is None else self._listings.answer(ask, old=True))) is None:
                    assert known is not None
                    return known
                entry, told, wall = found
                # no await from here: a file of ours may have appeared meanwhile
                return self.own(parent, name) or self.inodes.see(parent, name, entry, None, told, wall)
            node = await folder.lookup(name)
            return self.inodes.see(parent, name, node.entry, node, time.monotonic())
        except NotFound:
            if own := self.own(parent, name):
                return own
            if (known := self.inodes.at(parent, name)) is not None:
                self.inodes.detach(known)
            raise

    def covered(self, parent: Inode, name: str) -> bool:
        """Whether a name is the mount's own, whatever the platform has there."""
        return parent is self.inodes.root and name in self._extra

    async def _entry(self, parent: Inode, folder: StorageDirectory, name: str) -> tuple[Entry, float, float]:
        """The entry of a name, and when it was told."""
        told, wall = time.monotonic(), time.time()
        kept = self._listings.kept(folder.path, fresh=folder.fresh)
        if kept is None and (coming := self._listings.under_way(folder.path)) is not None and name in coming.items:
            kept = coming
        try:
            if kept is None and (folder.path not in self._asked or folder.fresh < _LISTS):
                self._asked[folder.path] = True
                if (entry := await self._by_name(folder, name)) is not None:
                    return entry, told, wall
                kept = self._listings.old(folder.path)
            if kept is None:
                kept = await self._begun(folder)
                if not kept.complete and name not in kept.items:
                    # a long one: the name alone is here sooner than all of it
                    if (entry := await self._by_name(folder, name)) is not None:
                        return entry, told, wall
                    await kept.reach()
        except NotAllowed:
            return await self._on_the_way(parent, folder, name), told, wall
        if (entry := kept.items.get(name)) is None:
            raise folder.missing(name)
        return entry, kept.asked, kept.asked_wall

    async def _begun(self, folder: StorageDirectory) -> Listing[Entry]:
        """The listing of a folder, whole or with its first names; then the others come behind."""
        listing = await folder.stream()
        self._listings.wanted(listing)
        try:
            await listing.reach(_LONG)
        finally:
            self._listings.left(listing)
        return listing

    async def _by_name(self, folder: StorageDirectory, name: str) -> Entry | None:
        """The entry of one name. None where nobody answers, and an old listing is here."""
        if self._listings.missed(folder.path, name, fresh=folder.fresh):
            raise folder.missing(name)

        async def ask() -> Entry:
            entry = await folder.look(name)
            self._listings.answered()
            return entry

        try:
            return await self._listings.answer(ask, old=self._listings.old(folder.path) is not None)
        except NotFound:
            if _PROBED.fullmatch(name):
                self._listings.miss(folder.path, name)
            raise

    async def entry(self, parent: Inode, name: str, *, fresh: float) -> tuple[Entry, float, float]:
        """The entry of a name from a listing that is not older than `fresh` seconds, and when it was told."""
        folder = parent.node
        assert isinstance(folder, StorageDirectory)
        listing = await folder.listing(fresh=fresh)
        if (entry := listing.items.get(name)) is None:
            raise folder.missing(name)
        return entry, listing.asked, listing.asked_wall

    async def _on_the_way(self, parent: Inode, folder: StorageDirectory, name: str) -> Entry:
        """A folder that may not be listed can be gone through all the same if the user's home is below it."""
        system = parent.anchor
        place = f"{folder.path.rstrip('/')}/{name}"
        if isinstance(system, SystemRoot) and (await system.home()).target.startswith(place + "/"):
            return Entry(name, "dir", 0, None, EXECUTE)
        return await folder.storage.stat(_inside(folder, name))

    async def fresh(self, inode: Inode, *, at_least: float = 0.0) -> Inode:
        """The inode, told of not too long ago; for how long, `at_least`, it is believed. NotFound if it is no more."""
        parent = inode.parent
        if parent is None:
            return await self._fresh_root(inode)
        if inode.gone or self.own(parent, inode.name) is inode or inode.age() <= max(self.trust(inode), at_least):
            return inode
        if inode.entry.is_dir and inode.fixed is None and self._listings.kept(inode.path) is not None:
            return inode  # its own listing shows that it is there
        return await self.child(parent, inode.name)

    async def _fresh_root(self, root: Inode) -> Inode:
        if self._find_root is None or root.age() <= self.trust(root):
            return root
        node = root.node
        settled = isinstance(node, StorageDirectory) and not isinstance(node.storage, JobStorage)
        if settled and self._listings.kept(root.path) is not None:
            return root
        told, wall = time.monotonic(), time.time()
        try:
            node = await self._find_root()
        except (NotFound, WrongKind, NotAllowed):
            raise
        except AgaveError:
            if root.told == float("-inf"):
                raise
            return root  # what is asked for below it tells of the trouble itself, or is here
        root.tell(node.entry, node, told, wall)
        return root

    def trust(self, inode: Inode) -> float:
        """For how many seconds what we were told of an inode is believed."""
        if inode.fixed is not None and inode.parent is not None:
            return self._fixed_fresh
        return self._ground(inode).trust

    def _ground(self, inode: Inode) -> Ground:
        # a wide folder asks for each of its entries, and what holds of one holds of all
        while inode.fixed is None:
            assert inode.parent is not None
            inode = inode.parent
        node = inode.fixed
        ground = self._grounds.get(inode.number)
        if ground is None or ground.node is not node:
            if len(self._grounds) >= _GROUNDS:
                self._grounds.clear()
            settled = isinstance(node, StorageNode) and not isinstance(node.storage, JobStorage)
            fresh = node.fresh if isinstance(node, StorageNode) else self._fixed_fresh
            ground = self._grounds[inode.number] = Ground(
                node,
                fresh if settled else min(fresh, self._fixed_fresh),  # a job may have ended meanwhile
                settled and not self.read_only,
                isinstance(node, StorageNode) and node.growing,
            )
        return ground

    def missing(self, paths: list[str]) -> list[tuple[int, str]]:
        """Names at or below these paths that the kernel may believe are not there, each with its folder's number."""
        found = []
        for (number, name), path in list(self._said_no.items()):
            if any(path == above or path.startswith(f"{above.rstrip('/')}/") for above in paths):
                found.append((number, name))
                del self._said_no[(number, name)]
        return found

    def negative(self, number: int, name: str) -> float:
        """For how many seconds the kernel may believe that a name is not in that folder."""
        parent = self.inodes[number]
        folder = parent.node
        self._said_no[(number, name)] = f"{parent.path.rstrip('/')}/{name}"
        if not isinstance(folder, StorageDirectory):
            return 0.0
        if (kept := self._listings.kept(folder.path, fresh=folder.fresh)) is None:
            return min(_NEGATIVE, folder.fresh)
        return min(_VALID, max(0.0, folder.fresh - kept.age()))

    # what it is like -------------------------------------------------------------------------------------------------

    def look(self, inode: Inode) -> Look:
        """What an inode is like, as far as is known."""
        spool, entry, ground = inode.spool, inode.entry, self._ground(inode)
        mine = spool is not None and (spool.dirty or spool.orphan)
        link = inode.fixed is not None and isinstance(inode.fixed, Link)
        if spool is not None and mine:
            entry = msgspec.structs.replace(entry, size=spool.size, modified=spool.changed_at)
            valid = _OWN_VALID
        else:
            valid = self._valid(ground.trust if inode.fixed is None else self._fixed_fresh, inode.told)
            if link:
                entry = msgspec.structs.replace(entry, size=len(os.fsencode(self.readlink(inode))))
            elif entry.kind != "dir" and (ground.growing or entry.size is None):
                valid = 0.0
        noted = None
        if self.attributes and not inode.gone:
            version = UNSETTLED if mine else None if entry.is_dir else entry.version
            noted = self.attributes.of(inode.path, version)
        return Look(inode, entry, noted, ground.changeable and inode.entry.access & WRITE != 0, link, valid)

    def common(self, folder: Inode, told: float) -> Common:
        """What holds of all in a folder whose listing was told at that time."""
        ground = self._ground(folder)
        return Common(ground, self._valid(ground.trust, told))

    def look_of_many(self, inode: Inode, common: Common) -> Look:
        """As `look`, for what a listing has told: a wide folder is mostly this."""
        if inode.spool is not None or self.attributes:
            return self.look(inode)
        entry, ground = inode.entry, common.ground
        valid = 0.0 if entry.kind != "dir" and (ground.growing or entry.size is None) else common.valid
        return Look(inode, entry, None, ground.changeable and entry.access & WRITE != 0, False, valid)

    @staticmethod
    def _valid(trust: float, told: float) -> float:
        return min(_VALID, max(0.0, trust - time.monotonic() + told))

    def may_write(self, inode: Inode) -> None:
        """Whether it may be changed: quiet if so. ReadOnly; NotAllowed."""
        if not self._changeable(inode):
            raise ReadOnly(f"{inode.path} can't be changed", hint="copy it elsewhere to work on it")
        if not inode.entry.access & WRITE:
            raise NotAllowed(f"no permission to write {inode.path}")

    def _changeable(self, inode: Inode) -> bool:
        return self._ground(inode).changeable

    def access(self, inode: Inode, wanted: int) -> None:
        """Whether os.R_OK, os.W_OK, os.X_OK in `wanted` are all allowed: quiet if so. ReadOnly; NotAllowed."""
        if wanted & os.W_OK:
            self.may_write(inode)
        look = self.look(inode)
        allowed = look.entry.access
        if look.noted is not None and look.noted.mode is not None:
            allowed = look.noted.mode >> 6 & 7
        elif not look.entry.is_dir:
            allowed &= ~EXECUTE
        if wanted & ~os.W_OK & ~allowed:
            raise NotAllowed(f"no permission for {inode.path}")

    def readlink(self, inode: Inode) -> str:
        """The target, as a path from where the link stands."""
        if not isinstance(inode.node, Link):
            raise BadArgument(f"{inode.path} is no link")
        if isinstance(inode.node, Outside):
            return inode.node.target
        return posixpath.relpath(inode.node.target, posixpath.dirname(inode.node.path))


def growing(inode: Inode) -> bool:
    """Whether a job may still be writing it."""
    node = inode.anchor
    return isinstance(node, StorageNode) and node.growing


def _inside(folder: StorageDirectory, name: str) -> str:
    return f"{folder.inner.rstrip('/')}/{name}"
