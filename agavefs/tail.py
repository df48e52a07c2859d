"""TailHandle: an open file that a job is still writing.

It shows one moment's state to who reads through it: the size is asked when it is opened, and then at each end of the
file, but no sooner than the end has been told once, or somebody has seen that there is more; so `grep` comes to its
end, and `tail -f` goes on. What is read goes through a spool that grows with the file, so a large log comes by blocks
side by side as any large file does; the spool ends with the handle, since no version says what is in it. What a job
writes is taken to grow at its end: one that became shorter is begun anew.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from agavefs.fetch import Fetcher
from agavefs.spool import Spool, Spools
from agavefs.window import Ahead
from agavesh.client.errors import Changed, ReadOnly
from agavesh.tree.storage import StorageFile

_PAUSE = 0.5  # seconds: who looks at the end again and again is not let ask each time


class TailHandle:
    """One open of a growing file. The kernel keeps nothing of it: it would stop at the size it knows."""

    direct = True

    def __init__(self, spools: Spools, fetcher: Fetcher, node: StorageFile, seen: Callable[[], int]) -> None:
        self._spools, self._fetcher, self._node = spools, fetcher, node
        self._seen = seen  # the size that programs are told, who look at the file as this one is read
        self._told = -1  # the size at which its end was told
        self._asked = trio.current_time()
        self._begin(node.entry.size or 0)

    def _begin(self, size: int) -> None:
        self._spool = self._spools.make(self._node.remote, self._node.storage, size=size)
        self._spool.grow_to(size)
        self._ahead = Ahead()
        self._spool.readers.append(self._ahead)
        self._spools.take(self._spool)

    def _end(self) -> None:
        self._spool.readers.remove(self._ahead)
        self._fetcher.leave(self._spool)
        self._spools.drop(self._spool)

    async def read(self, start: int, size: int) -> bytes:
        if start >= self._spool.size:
            if self._told != self._spool.size >= self._seen():
                self._told = self._spool.size
                return b""
            await self._ask()
        spool: Spool = self._spool
        try:
            return await self._fetcher.read(spool, start, start + size, ahead=self._ahead)
        except Changed:  # shorter than it was
            if spool is self._spool:
                self._anew(spool, (await self._node.again()).entry.size or 0)
            return b""

    async def _ask(self) -> None:
        """How large it is now."""
        if trio.current_time() - self._asked < _PAUSE and self._seen() <= self._spool.size:
            return
        self._asked, spool = trio.current_time(), self._spool
        size = (await self._node.again()).entry.size or 0
        if size < spool.size:
            self._anew(spool, size)
        elif spool is self._spool and size > spool.size:
            spool.grow_to(size)

    def _anew(self, spool: Spool, size: int) -> None:
        """Read from a new spool: the size was asked for first, since that may fail, or others have done this by now."""
        if spool is self._spool:
            self._end()
            self._begin(size)

    async def write(self, start: int, data: bytes) -> None:
        raise ReadOnly("what a job writes can't be changed")

    async def flush(self) -> None: ...
    async def sync(self) -> None: ...

    async def release(self) -> None:
        self._end()
