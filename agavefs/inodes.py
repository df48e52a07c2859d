"""Inodes: the kernel's numbers for what it has looked up, and how often it has.

An inode stays as long as the kernel remembers it, a handle is open on it or something of it is owed; then it goes, so
that nothing grows for ever. Its number comes from its place in the tree, so it is the same at the next mount, unless
two claim it at once. Nodes are made from inodes when they are needed: a folder that is renamed carries all below along.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator

from agavefs.spool import Spool
from agavesh.client.errors import Changed
from agavesh.client.storage import Entry, Version
from agavesh.tree.node import Node
from agavesh.tree.storage import StorageDirectory

ROOT = 1


class Inode:
    """One thing that the kernel may know.

    `node` of a file or folder that the platform keeps is made from its parent's; others have a `fixed` one. `told` and
    `told_wall` say when the platform told of `entry`. `uses` counts open handles and what is owed. `spool` is the one
    that is written, or was opened last; `shown` is the version of the bytes that the kernel may have in its cache.
    `gone` is true of what was unlinked, and `hidden` then is where its bytes are, with the row that says so.
    """

    __slots__ = (
        "entry", "fixed", "generation", "gone", "hidden", "lookups", "name", "number", "parent", "shown", "spool",
        "told", "told_wall", "uses",
    )  # fmt: skip

    def __init__(self, number: int, generation: int, parent: Inode | None, name: str, entry: Entry) -> None:
        self.number, self.generation, self.parent, self.name, self.entry = number, generation, parent, name, entry
        self.fixed: Node | None = None
        self.lookups = self.uses = 0
        self.told = self.told_wall = float("-inf")
        self.spool: Spool | None = None
        self.shown: Version | None = None
        self.gone = False
        self.hidden: tuple[int, str] | None = None

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
            return "/"
        return f"{self.parent.path.rstrip('/')}/{self.name}"

    def tell(self, entry: Entry, node: Node | None, told: float, told_wall: float) -> None:
        """This is what the platform told of it, and when."""
        self.entry, self.fixed, self.told, self.told_wall = entry, node, told, told_wall

    def age(self) -> float:
        """Seconds since the platform told of it."""
        return time.monotonic() - self.told

    def __repr__(self) -> str:
        return f"<Inode {self.number} {self.path}>"


class InodeTable:
    """All inodes, by number and by place."""

    def __init__(self, root: Node) -> None:
        self._generation = 0
        self.root = Inode(ROOT, 0, None, "", root.entry)
        self.root.fixed = root
        self.root.lookups = 1
        self._by_number = {ROOT: self.root}
        self._by_place: dict[tuple[int, str], Inode] = {}

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
        return self._by_place.get((parent.number, name))

    def see(
        self, parent: Inode, name: str, entry: Entry, node: Node | None, told: float, told_wall: float = float("-inf")
    ) -> Inode:
        """The inode for what the platform tells of a place. A file that has become a folder is another inode."""
        inode = self.at(parent, name)
        if inode is not None and (inode.entry.is_dir != entry.is_dir or type(inode.fixed) is not type(node)):
            self.detach(inode)
            inode = None
        if inode is None:
            self._generation += 1
            inode = Inode(self._number(parent, name), self._generation, parent, name, entry)
            self._by_number[inode.number] = self._by_place[(parent.number, name)] = inode
        inode.tell(entry, node, told, told_wall)
        return inode

    def _number(self, parent: Inode, name: str) -> int:
        text = parent.number.to_bytes(8, "little") + os.fsencode(name)
        while True:
            number = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1
            if number > 255 and number not in self._by_number:
                return number
            text += b"/"  # taken, by something renamed or unlinked that is still open

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
        self.rest(inode)

    def move(self, inode: Inode, parent: Inode, name: str) -> None:
        """It has a new place, where there is nothing."""
        self._leave(inode)
        inode.parent, inode.name = parent, name
        self._by_place[(parent.number, name)] = inode

    def _leave(self, inode: Inode) -> None:
        place = (inode.parent.number if inode.parent else 0, inode.name)
        if self._by_place.get(place) is inode:
            del self._by_place[place]
