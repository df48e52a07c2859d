"""Refresh: forgetting what is known of the platform, so that the next look asks. Nobody's bytes are touched.

What was learned of a place goes: its listing and those below, the one that it stands in, and what the kernel has kept
of attributes and of names that were not there. Names that are there stay with the kernel, for a second at a time:
taken away, they would take the ground from under who is in such a folder.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable
from contextlib import suppress

import trio

from agavefs.inodes import Inode
from agavefs.looks import Looks
from agavesh.client.errors import AgaveError
from agavesh.client.mounts import Answer, Ask
from agavesh.tree.jobs import BY_NAME, BY_STATUS, LATEST
from agavesh.tree.node import Directory, Link, Node
from agavesh.tree.storage import StorageDirectory
from agavesh.tree.systems import HOME, SystemRoot
from agavesh.tree.workspace import Workspace

_AT_ONCE = 200  # inodes
_LINKS = frozenset({HOME, LATEST, BY_NAME, BY_STATUS})  # a path without any of these goes by no link
_MOST_LINKS = 8
_PATIENCE = 3.0  # seconds that it may take to learn where links lead


class Refresh:
    """Forgets for one mount. `changed` tells the kernel that an inode's attributes are old, `appeared` that a name may
    be there by now; that one may block, and is called in a thread."""

    def __init__(
        self,
        looks: Looks,
        workspace: Workspace,
        changed: Callable[[Inode], None],
        appeared: Callable[[int, str], None],
    ) -> None:
        self._root = workspace.root
        self._looks, self._listings, self._health = looks, workspace.listings, workspace.agave.health
        self._changed, self._appeared = changed, appeared
        self._read: list[tuple[int, str]] = []  # names of files that are being read: they may be of others by now

    async def act(self, ask: Ask) -> Answer:
        """What the mount is asked from outside, if that is to refresh."""
        if ask.act != "refresh":
            return Answer(error=f"a mount knows no {ask.act!r}")
        paths = ask.within(self._looks.inodes.root.path)
        await self([*paths, *[await self.followed(path) for path in paths]])
        return Answer(text="what is shown from now on is asked for anew")

    async def followed(self, path: str) -> str:
        """The tree path that a path means, by way of links; the path itself where the platform does not tell."""
        rest, links = [name for name in posixpath.normpath(path).split("/") if name], 0
        node: Node = self._root
        if _LINKS.isdisjoint(rest):
            return path
        with trio.move_on_after(_PATIENCE), suppress(AgaveError):
            # below a system's home, or a job's outputs, there are no links
            while rest and links < _MOST_LINKS and isinstance(node, Directory):
                if isinstance(node, StorageDirectory) and not (isinstance(node, SystemRoot) and rest[0] == HOME):
                    break
                node = await node.lookup(rest[0])
                rest = rest[1:]
                if isinstance(node, Link):
                    rest = [*node.target.strip("/").split("/"), *rest]
                    node, links = self._root, links + 1
            return posixpath.join(node.path, *rest)
        return path

    async def __call__(self, paths: Iterable[str]) -> None:
        """Forget what is at these tree paths, and below."""
        paths = sorted({posixpath.normpath(f"/{path.strip('/')}") for path in paths})
        for path in paths:
            self._listings.forget(path, below=True)
            self._listings.forget(posixpath.dirname(path))
        if paths == ["/"] or not paths:
            self._listings.forget_all()
        self._health.retry()
        known = [inode for path in paths if (inode := self.at(path)) is not None]
        for inode in known:
            self._forget(inode)
        if any(inode.entry.is_dir for inode in known):
            above = set(paths)
            for place, inode in enumerate(self._looks.inodes):
                if place % _AT_ONCE == _AT_ONCE - 1:
                    await trio.lowlevel.checkpoint()
                if not inode.gone and _within(inode.path, above):
                    self._forget(inode)
        names = self._looks.missing(paths) + self._read
        self._read = []
        await trio.to_thread.run_sync(self._appear, names, abandon_on_cancel=True)

    def _forget(self, inode: Inode) -> None:
        inode.told = float("-inf")
        if inode.seen and inode.parent is not None:
            self._read.append((inode.parent.number, inode.name))
        self._changed(inode)

    def at(self, path: str) -> Inode | None:
        """The inode at a tree path, if it is known; the root's for what is above it."""
        inodes = self._looks.inodes
        inode: Inode | None = inodes.root
        if not path.startswith(f"{inodes.root.path.rstrip('/')}/"):
            return inode if _within(inodes.root.path, {path}) else None
        for name in path.removeprefix(inodes.root.path).strip("/").split("/"):
            if inode is not None and name:
                inode = inodes.at(inode, name)
        return inode

    def _appear(self, names: list[tuple[int, str]]) -> None:
        for parent, name in names:
            self._appeared(parent, name)


def _within(path: str, above: set[str]) -> bool:
    """Whether a path, or one that it is below, is among them."""
    while path not in above:
        if path == "/":
            return False
        path = posixpath.dirname(path)
    return True
