"""Inodes: the kernel's numbers for what it has looked up, and how often it has.

An inode stays as long as the kernel remembers it, a handle is open on it or something of it is owed; then it goes, so
that nothing grows for ever. Its number comes from its place in the tree, so it is the same at the next mount, unless
two claim it at once. Nodes are made from inodes when they are needed: a folder that is renamed carries all below along.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec

from agavefs.spool import Spool
from agavesh.client.errors import Changed
from agavesh.client.storage import Entry, Version
from agavesh.tree import clock as time  # what goes on while the machine sleeps
from agavesh.tree.node import Node
from agavesh.tree.storage import StorageDirectory

ROOT = 1
_MOST = 2**63 - 1


class Inode(msgspec.Struct, eq=False, gc=False):
    """One thing that the kernel may know. There may be a million: it has no dict, and the garbage collector skips it.

    `node` of a file or folder that the platform keeps is made from its parent's; others have a `fixed` one. `told` and
    `told_wall` say when the platform told of `entry`. `uses` counts open handles and what is owed. `spool` is the one
    that is written, or was opened last; `shown` is the version of the bytes that the kernel may have in its cache, and
    `seen` says that programs may have read some of what is open now. `gone` is true of what was unlinked or replaced,
    and `hidden` is the journal's row of where its bytes are then.
    """

    number: int
    generation: int
    parent: Inode | None
    name: str
    entry: Entry
    fixed: Node | None = None
    lookups: int = 0
    uses: int = 0
    told: float = float("-inf")
    told_wall: float = float("-inf")
    spool: Spool | None = None
    shown: Version | None = None
    seen: bool = False
    gone: bool = False
    hidden: int | None = None

    @property
    def node(self) -> Node:
        if self.fixed is not None:
            return self.fixed
        assert self.parent is not None
        folder = self.parent.node
        assert isinstance(folder, StorageDirectory)
        return folder.child(self.entry)

    @property
    def anchor(self) -> Node:
        """Its own fixed node, or that of the nearest folder above that has one: what they are all kept by."""
        inode = self
        while inode.fixed is None:
            assert inode.parent is not None
            inode = inode.parent
        return inode.fixed

    @property
    def path(self) -> str:
        """Its tree path."""
        if self.parent is None:
            assert self.fixed is not None
            return self.fixed.path  # of a mount that shows one folder, this one's
        return f"{self.parent.path.rstrip('/')}/{self.name}"

    def tell(self, entry: Entry, node: Node | None, told: float, told_wall: float) -> None:
        """This is what the platform told of it, and when."""
        self.entry, self.fixed, self.told, self.told_wall = entry, node, told, told_wall

    def parts_from(self, version: Version | None) -> bool:
        """Whether what programs have open, and have begun to read, is another version than this one.

        The kernel has one cache and one size for all who have an inode open. So what others put in the place of a file
        that is being read is another inode, as if it had been renamed over the old one: nobody sees a mix.
        """
        spool = self.spool
        if not self.seen or spool is None or spool.dirty or spool.orphan:
            return False
        return spool.version != version

    def age(self) -> float:
        """Seconds since the platform told of it."""
        return time.monotonic() - self.told

    def __repr__(self) -> str:
        return f"<Inode {self.number} {self.path}>"


class InodeTable:
    """All inodes, by number. The number tells the place, but for those that were moved, or had to take another."""

    def __init__(self, root: Node) -> None:
        self._generation = 0
        self.root = Inode(ROOT, 0, None, "", root.entry, root)
        self.root.lookups = 1
        self._by_number = {ROOT: self.root}
        self._elsewhere: dict[tuple[int, str], Inode] = {}

    def __len__(self) -> int:
        return len(self._by_number)

    def __iter__(self) -> Iterator[Inode]:
        return iter(list(self._by_number.values()))

    def __getitem__(self, number: int) -> Inode:
        try:
            return self._by_number[number]
        except KeyError:
            raise Changed(f"inode {number} is not known any more") from None

    def at(self, parent: Inode, name: str) -> Inode | None:
        """The inode at a place, if there is one."""
        return self._at(parent, name, _number(parent, name))

    def _at(self, parent: Inode, name: str, number: int) -> Inode | None:
        inode = self._by_number.get(number)
        if inode is not None and not inode.gone and inode.name == name and _in(inode, parent):
            return inode
        return self._elsewhere.get((parent.number, name)) if self._elsewhere else None

    def see(
        self, parent: Inode, name: str, entry: Entry, node: Node | None, told: float, told_wall: float = float("-inf")
    ) -> Inode:
        """The inode for what the platform tells of a place. A file that has become a folder is another inode, and so is
        a new version of one that somebody is reading."""
        number = _number(parent, name)
        inode = self._at(parent, name, number)
        if inode is not None and (
            inode.entry.is_dir != entry.is_dir
            or type(inode.fixed) is not type(node)
            or (inode.seen and told >= inode.told and inode.parts_from(entry.version))
        ):
            self.detach(inode)
            inode = None
        if inode is None:
            inode = self._made(parent, name, entry, number)
        inode.entry, inode.fixed, inode.told, inode.told_wall = entry, node, told, told_wall
        return inode

    def _made(self, parent: Inode, name: str, entry: Entry, number: int) -> Inode:
        wanted = number
        while number < 256 or number in self._by_number:
            # taken, by something renamed or unlinked that is still open
            number = hash((number, wanted)) & _MOST
        inode = self._by_number[number] = Inode(number, self._generation, parent, name, entry)
        if number != wanted:
            self._elsewhere[(parent.number, name)] = inode
        return inode

    def looked_up(self, inode: Inode) -> None:
        """The kernel is told of it once more."""
        inode.lookups += 1

    def forget(self, number: int, times: int) -> None:
        """The kernel forgets so many of its lookups."""
        if (inode := self._by_number.get(number)) is not None and inode is not self.root:
            inode.lookups = max(0, inode.lookups - times)
            self.rest(inode)

    def rest(self, inode: Inode) -> None:
        """Let go of it if nobody needs it."""
        if inode.lookups or inode.uses or inode is self.root:
            return
        if self._by_number.get(inode.number) is inode:
            del self._by_number[inode.number]
        self._leave(inode)

    def detach(self, inode: Inode) -> None:
        """It is not in its place any more: unlinked, or replaced."""
        self._leave(inode)
        inode.gone = True
        self._generation += 1  # what comes to its place, and perhaps to its number, is another
        self.rest(inode)

    def move(self, inode: Inode, parent: Inode, name: str) -> None:
        """It has a new place, where there is nothing."""
        self._leave(inode)
        inode.parent, inode.name = parent, name
        if inode.number != _number(parent, name):
            self._elsewhere[(parent.number, name)] = inode

    def _leave(self, inode: Inode) -> None:
        place = (inode.parent.number if inode.parent else 0, inode.name)
        if self._elsewhere.get(place) is inode:
            del self._elsewhere[place]


def _in(inode: Inode, parent: Inode) -> bool:
    # perhaps in another object for the same: the parent may have been forgotten meanwhile, and looked up again
    return inode.parent is parent or (inode.parent is not None and inode.parent.number == parent.number)


def _number(parent: Inode, name: str) -> int:
    return number_in(parent.number, name)


def number_in(parent: int, name: str) -> int:
    """The number of a place, unless it is taken: the same in every process, since hashes of numbers are."""
    return hash((parent, int.from_bytes(os.fsencode(name), "big"))) & _MOST
