"""Salvage: a living mount sends what its user has told it to, of what is owed or was left unfinished by the dead.

What is its own already is hurried, or, where it was never closed, taken as it is. What dead mounts have in the same
journal, or in `left`, is taken over first. One thing at a time: of two that ask for the same, the second one finds it
on its way.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
from collections.abc import Callable
from pathlib import Path

import trio

from agavefs.journal import BYTELESS, Journal, Row
from agavefs.writeback import Writeback
from agavesh.client.errors import AgaveError
from agavesh.client.mounts import Answer, Ask
from agavesh.client.storage import SystemStorage

_log = logging.getLogger(__name__)


class Salvage:
    """Sends for one mount. `take` brings what is left under a number into its journal, and blocks."""

    def __init__(
        self,
        journal: Journal,
        writeback: Writeback,
        storage: Callable[[str], SystemStorage],
        take: Callable[..., None],
    ) -> None:
        self._journal, self._writeback, self._storage, self._take = journal, writeback, storage, take
        self._lock = trio.Lock()

    async def act(self, ask: Ask) -> Answer:
        """Answer to `send`."""
        said = []
        async with self._lock:
            for number in ask.numbers:
                try:
                    said.append(await self._send(number))
                except (AgaveError, OSError) as trouble:
                    return Answer(error=f"{number}: {trouble}")
        return Answer(text=", ".join(said))

    async def _send(self, number: str) -> str:
        known = {row.id for row in self._ours(number)}
        if not known:
            await trio.to_thread.run_sync(self._journal.take, {number})
        if not known and not self._ours(number):
            await trio.to_thread.run_sync(functools.partial(self._take, only={number}))
        for row in self._ours(number):
            if row.id in known and row.id not in {other.id for other in self._writeback.stranded}:
                return await self._hurry(row)
            return await self._resume(row)
        raise FileNotFoundError("it is not here, or another mount has it")

    def _ours(self, number: str) -> list[Row]:
        return [row for row in self._journal.rows() if row.owner == self._journal.owner and row.number == number]

    async def _hurry(self, row: Row) -> str:
        for spool, _ in self._writeback.owed:
            if spool.row == row.id:
                if spool.writing:
                    raise OSError("it is open, and sent when it is closed")
                await self._writeback.seal(spool)
                return "is on its way"
        return "is being removed"

    async def _resume(self, row: Row) -> str:
        if row.state not in BYTELESS:
            size = await trio.to_thread.run_sync(_on_disk, Path(row.spool))
            if row.state == "writing" or size != row.size:
                await self._journal.seal(row.id, row.path, size)
                row = dataclasses.replace(row, state="sealed", size=size)
            _log.info("%s is sent as it was left: its user has asked for that", row.remote.uri)
        # no await from here: it is stranded, or on its way
        stranded = self._writeback.stranded
        stranded[:] = [other for other in stranded if other.id != row.id]
        self._writeback.inherit(row, self._storage(row.system))
        return "is being removed" if row.state in BYTELESS else "is on its way"


def _on_disk(path: Path) -> int:
    """Put a file on the disk; its size. Blocks."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return os.fstat(file.fileno()).st_size
