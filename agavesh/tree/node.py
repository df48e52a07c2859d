"""What the tree is made of: Directory, File, Link, each with its Entry.

Nodes are cheap, hold what they need, and are made anew at every look; inodes, handles and caches live elsewhere.
Everything is read-only unless its class says otherwise.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from agavesh.client.errors import NotFound, ReadOnly, WrongKind
from agavesh.client.path import RemotePath
from agavesh.client.storage import Entry

LONGEST: Final = 255  # bytes of a name


def is_name(text: str) -> bool:
    """Whether a file here can have that name. A platform may tell of others, out of order or to do harm."""
    if "/" in text or "\0" in text or text in ("", ".", ".."):
        return False
    return len(text) < LONGEST // 4 or len(os.fsencode(text)) <= LONGEST


@dataclass(frozen=True)
class Node(ABC):
    """A thing in the tree. `path` is its tree path; `entry` is what it looks like."""

    path: str
    entry: Entry

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def remote(self) -> RemotePath | None:
        """The address of its bytes, if the platform keeps them as a file or folder."""
        return None


@dataclass(frozen=True)
class Directory(Node):
    """A folder."""

    @abstractmethod
    def scan(self) -> AsyncIterator[Node]:
        """The nodes in it, in a stable order."""

    async def lookup(self, name: str) -> Node:
        """The node of that name. NotFound."""
        nodes = {node.name: node async for node in self.scan()}
        if name not in nodes:
            raise self.missing(name)
        return nodes[name]

    async def descend(self, names: list[str]) -> tuple[Node, list[str]]:
        """The node at the end of `names`, or the link that stands in the way with the names behind it."""
        node: Node = self
        for place, name in enumerate(names):
            if isinstance(node, Link):
                return node, names[place:]
            if not isinstance(node, Directory):
                raise WrongKind(f"{node.path} is no folder", directory_expected=True)
            if type(node).descend is not Directory.descend and node is not self:
                return await node.descend(names[place:])
            node = await node.lookup(name)
        return node, []

    async def mkdir(self, name: str) -> Node:
        """Make a folder in it, and give its node. AlreadyThere; ReadOnly."""
        raise ReadOnly(f"{self.path} can't be changed")

    async def remove(self, name: str) -> None:
        """Remove a file, or a folder with all that is in it. NotFound; ReadOnly."""
        raise ReadOnly(f"{self.path} can't be changed")

    def missing(self, name: str) -> NotFound:
        return NotFound(f"no {name!r} in {self.path}")


@dataclass(frozen=True)
class File(Node):
    """Something with bytes. An entry without size must be read to its end to know it."""

    @abstractmethod
    async def content(self) -> bytes:
        """All its bytes: meant for small files."""


@dataclass(frozen=True)
class TextFile(File):
    """A file made here from a record. `make` gives its bytes, which the entry's size counts if they are settled."""

    make: Callable[[], object]

    async def content(self) -> bytes:
        made = self.make()
        if hasattr(made, "__await__"):
            made = await made
        assert isinstance(made, bytes)
        return made


@dataclass(frozen=True)
class Link(Node):
    """A name for another place. `target` is a tree path."""

    target: str
