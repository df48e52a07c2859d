"""Leftovers: names on the platform that are the mount's own, and are to go: what went up beside its place, and files
that are unlinked and still open.

Each is in the journal from before it is made until it is gone, so the next mount removes what this one can't. Names
tell the journal that they belong to: one that no row of that owns is of nobody, and is removed where it is seen.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable
from contextlib import suppress

import trio

from agavefs.journal import Journal
from agavesh.client.errors import AgaveError, NotFound
from agavesh.client.path import RemotePath
from agavesh.client.storage import TEMPORARY, Storage

_log = logging.getLogger(__name__)


class Leftovers:
    """What is to be removed behind everybody's back. `count` says how much that is just now."""

    def __init__(self, nursery: trio.Nursery, journal: Journal) -> None:
        self._nursery, self._journal = nursery, journal
        self._going: dict[str, int] = {}  # folders, by tree path, and how many go from there
        self._news = trio.Event()

    @property
    def count(self) -> int:
        return sum(self._going.values())

    def name(self) -> str:
        """A name that nobody else has."""
        return f"{TEMPORARY}{self._journal.name}-{secrets.token_hex(8)}"

    async def hide(self, remote: RemotePath, temporary: str) -> int:
        """Note that `temporary`, beside `remote`, is to be removed: at the latest by the next mount."""
        return await self._journal.hide(remote, temporary)

    def remove(self, row: int, storage: Storage, temporary: str) -> None:
        """Remove it now, behind the caller's back. Its row stays for the next mount if that can't be."""
        folder = RemotePath("system", storage.owner, temporary).parent.tree_path
        self._going[folder] = self._going.get(folder, 0) + 1
        self._nursery.start_soon(self._remove, row, storage, temporary, folder)

    async def _remove(self, row: int, storage: Storage, temporary: str, folder: str) -> None:
        try:
            with suppress(NotFound):
                await storage.remove(temporary)
            await self._journal.done(row)
        except (AgaveError, OSError) as trouble:
            _log.warning("%s of %s is left: %s", temporary, storage.owner, trouble)
        finally:
            self._going[folder] -= 1
            if not self._going[folder]:
                del self._going[folder]
            self._news.set()
            self._news = trio.Event()

    async def gone(self, below: str = "/") -> None:
        """Return when nothing is going from a folder, nor from those in it."""
        inside = f"{below.rstrip('/')}/"
        while any(f"{folder}/".startswith(inside) for folder in self._going):
            await self._news.wait()

    async def sweep(self, storage: Storage, folder: str, names: Iterable[str]) -> None:
        """Remove what is of our journal among these names in a folder, and of none of its rows."""
        ours = f"{TEMPORARY}{self._journal.name}-"
        if found := {f"{folder.rstrip('/')}/{name}" for name in names if name.startswith(ours)}:
            # one is in the journal before it is there, so what was seen before the journal is read is known by now
            known = {row.temporary for row in await trio.to_thread.run_sync(self._journal.rows)}
            for temporary in found - known:
                _log.info("%s of %s is nobody's", temporary, storage.owner)
                remote = RemotePath("system", storage.owner, temporary)
                self.remove(await self.hide(remote, temporary), storage, temporary)
