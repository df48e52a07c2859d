"""Refresh: forgetting what is known of the platform, so that the next look asks. Nobody's bytes are touched.

What was learned of a place goes: its listing and those below, the one that it stands in, and what the kernel has kept
of attributes and of names that were not there. Names that are there stay with the kernel, for a second at a time:
taken away, they would take the ground from under who is in such a folder.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable

import trio

from agavefs.inodes import Inode
from agavefs.looks import Looks
from agavesh.client.mounts import Answer, Ask
from agavesh.tree.workspace import Workspace

_AT_ONCE = 200  # inodes


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
        self._looks, self._listings, self._health = looks, workspace.listings, workspace.agave.health
        self._changed, self._appeared = changed, appeared

    async def act(self, ask: Ask) -> Answer:
        """What the mount is asked from outside: to refresh, and that is all so far."""
        if ask.act != "refresh":
            return Answer(error=f"a mount knows no {ask.act!r}")
        root = self._looks.inodes.root.path.rstrip("/")
        await self([*ask.paths, *(f"{root}/{inside}" for inside in ask.inside)])
        return Answer(text="what is shown from now on is asked for anew")

    async def __call__(self, paths: Iterable[str]) -> None:
        """Forget what is at these tree paths, and below."""
        paths = sorted({posixpath.normpath(f"/{path.strip('/')}") for path in paths})
        for path in paths:
            self._listings.forget(path, below=True)
            self._listings.forget(posixpath.dirname(path))
        if paths == ["/"] or not paths:
            self._listings.forget_all()
        self._health.retry()
        known = [inode for path in paths if (inode := self._at(path)) is not None]
        for inode in known:
            self._forget(inode)
        if any(inode.entry.is_dir for inode in known):
            above = set(paths)
            for place, inode in enumerate(self._looks.inodes):
                if place % _AT_ONCE == _AT_ONCE - 1:
                    await trio.lowlevel.checkpoint()
                if not inode.gone and _within(inode.path, above):
                    self._forget(inode)
        await trio.to_thread.run_sync(self._appear, self._looks.missing(paths), abandon_on_cancel=True)

    def _forget(self, inode: Inode) -> None:
        inode.told = float("-inf")
        self._changed(inode)

    def _at(self, path: str) -> Inode | None:
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
