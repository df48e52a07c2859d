"""Workspace: an open account. The client, the listings and the tree over them, and the way from a text to a node."""

from __future__ import annotations

import posixpath
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agavesh.client.accounts import Account
from agavesh.client.client import Agave
from agavesh.client.errors import BadArgument, NotFound, WrongKind
from agavesh.client.local import current_account
from agavesh.client.path import RemotePath, parse_uri
from agavesh.client.storage import SystemStorage
from agavesh.tree.listing import FRESH, ListingCache, open_listings
from agavesh.tree.node import Directory, File, Link, Node
from agavesh.tree.root import Root, make_root

_MOST_LINKS = 8


@dataclass(frozen=True)
class Workspace:
    """What a shell or a mount works on."""

    agave: Agave
    listings: ListingCache
    root: Root

    async def tree_path(self, text: str, cwd: str = "/") -> str:
        """The tree path that `text` means: a path, absolute or from `cwd`, or a URI. Asks only for `agave://S/a`."""
        if "://" in text or text.startswith("job:"):
            remote = parse_uri(text)
            if remote.root == "system" and not remote.path.startswith("/"):
                remote = await self._from_home(remote)
            return remote.tree_path or "/"
        path = posixpath.normpath(posixpath.join(cwd, text))
        return "/" + path.lstrip("/")

    async def _from_home(self, remote: RemotePath) -> RemotePath:
        """The same place from the root. Where there is nothing yet, its folder tells."""
        storage = SystemStorage(self.agave, remote.owner)
        try:
            absolute, _ = await storage.locate(remote.path)
        except NotFound:
            if not remote.path.strip("/"):
                raise
            folder, _ = await storage.locate(remote.parent.path)
            absolute = f"{folder.rstrip('/')}/{remote.name}"
        return remote._replace(path=absolute)

    async def find(self, text: str, cwd: str = "/", *, follow: bool = True) -> Node:
        """The node at `text`. Links on the way are followed, one at the end if `follow`. NotFound; WrongKind."""
        path = await self.tree_path(text, cwd)
        for _ in range(_MOST_LINKS):
            node, rest = await self.root.descend([name for name in path.split("/") if name])
            if not isinstance(node, Link) or (not rest and not follow):
                if text.endswith("/") and isinstance(node, File):
                    raise WrongKind(f"{node.path} is no folder", directory_expected=True)
                return node
            path = posixpath.join(node.target, *rest)
        raise BadArgument(f"{text} goes through too many links")

    async def directory(self, text: str, cwd: str = "/") -> Directory:
        """The folder at `text`. WrongKind for a file."""
        node = await self.find(text, cwd)
        if not isinstance(node, Directory):
            raise WrongKind(f"{node.path} is no folder", directory_expected=True)
        return node


@asynccontextmanager
async def open_workspace(
    account: Account | None = None,
    *,
    notice: Callable[[str], None] | None = None,
    fresh: float = FRESH,
    offline_ok: bool = False,
) -> AsyncIterator[Workspace]:
    """The workspace of `account`, or of the one that is configured, or of the embedded tenant, as `notice` is told.

    `fresh` and `offline_ok` are the ListingCache's.
    """
    if account is None:
        account = await current_account(notice=notice)
    async with Agave(account=account) as agave, open_listings(fresh=fresh, offline_ok=offline_ok) as listings:
        yield Workspace(agave, listings, make_root(agave, listings))
