"""Handles: what an open file is. A SpoolHandle has remote bytes, a TextHandle made ones; growing ones are `tail`'s.

Reading makes sure that the bytes are here; writing, that the file is whole and the journal knows. Whose file it is, and
whether it may be opened at all, is settled before (`files`).
"""

from __future__ import annotations

import logging
from typing import Protocol

from agavefs.fetch import Fetcher
from agavefs.spool import SMALL, Spool
from agavefs.window import Ahead
from agavefs.writeback import Writeback
from agavesh.client.errors import AgaveError, ReadOnly

_log = logging.getLogger(__name__)


class Handle(Protocol):
    """One open of a file. `direct` says that the kernel must keep nothing of it."""

    direct: bool

    async def read(self, start: int, size: int) -> bytes: ...
    async def write(self, start: int, data: bytes) -> None: ...
    async def flush(self) -> None: ...
    async def sync(self) -> None: ...
    async def release(self) -> None: ...


class TextHandle:
    """A file made here: its bytes as they were when it was opened."""

    def __init__(self, text: bytes, *, direct: bool) -> None:
        self._text, self.direct = text, direct

    async def read(self, start: int, size: int) -> bytes:
        return self._text[start : start + size]

    async def write(self, start: int, data: bytes) -> None:
        raise ReadOnly("this file can't be changed")

    async def flush(self) -> None: ...
    async def sync(self) -> None: ...
    async def release(self) -> None: ...


class SpoolHandle:
    """Remote bytes, through their spool. Others may have the same spool open, and see what is written here."""

    direct = False  # unless others have begun to read something else through the kernel's cache

    def __init__(
        self, spool: Spool, fetcher: Fetcher, writeback: Writeback, *, writable: bool = False, append: bool = False
    ) -> None:
        self.spool, self._fetcher, self._writeback = spool, fetcher, writeback
        self.writable, self._append = writable, append
        self._ahead = Ahead()
        self.wrote = False  # since it was flushed last
        self._flushed = False

    async def read(self, start: int, size: int) -> bytes:
        while True:
            spool = self.spool
            if self._ahead not in spool.readers:
                spool.readers.append(self._ahead)
            data = await self._fetcher.read(spool, start, start + size, ahead=self._ahead)
            if spool is self.spool:  # else another version has taken its place meanwhile
                return data

    def at_hand(self, start: int, size: int) -> bytes | None:
        """The bytes, if they are here and nothing has to be waited for; else None."""
        spool = self.spool
        if spool.size > SMALL and self._ahead not in spool.readers:
            return None
        return self._fetcher.at_hand(spool, start, start + size, ahead=self._ahead)

    def turn_to(self, spool: Spool) -> None:
        """Read another version, as long as nobody has seen anything of the one before."""
        if self._ahead in self.spool.readers:
            self.spool.readers.remove(self._ahead)
        self.spool = spool

    async def write(self, start: int, data: bytes) -> None:
        spool = self.spool
        await self.change(spool.size)
        # no await until it is written: what `change` has made sure of must hold
        spool.write(spool.size if self._append else start, data)

    async def truncate(self, size: int) -> None:
        await self.change(min(size, self.spool.size))
        self.spool.truncate(size)

    async def empty(self) -> None:
        """Cut it to nothing, as opening it anew does. That alone is not sent by the first close: a shell that redirects
        closes a descriptor before anything is written."""
        await self.truncate(0)
        self.wrote = False

    async def change(self, needed: int) -> None:
        """Make ready for a change that leaves the first `needed` bytes as they are."""
        if not self.writable:
            raise ReadOnly("the file is not open for writing")
        spool = self.spool
        if not spool.writing:
            # v2 takes whole files only: what stays has to be here, to be sent again
            with spool.pinned(0, needed):
                await self._fetcher.ensure(spool, 0, needed)
                await spool.keeper.own(spool, needed)
                await self._writeback.begin(spool)
        self.wrote = True

    async def flush(self) -> None:
        """close(2), for each descriptor of the handle. The first with something to send waits until it is there."""
        if not self.wrote:
            return
        if self._writeback.later:
            await self._writeback.seal(self.spool)
        elif self._flushed:
            await self._writeback.seal(self.spool, now=False)
        else:
            await self.sync()
            self._flushed = True
        self.wrote = False

    async def sync(self) -> None:
        await self._writeback.seal(self.spool)
        await self._writeback.settle(self.spool)

    async def release(self) -> None:
        """The last descriptor is closed: nobody hears of trouble now, but the journal has it."""
        if self._ahead in self.spool.readers:
            self.spool.readers.remove(self._ahead)
        if not self.spool.readers:
            self._fetcher.leave(self.spool)
        if self.writable:
            try:
                await self._writeback.seal(self.spool)
            except (AgaveError, OSError) as trouble:
                _log.error("%s can't be sealed: %s", self.spool.remote.uri, trouble)
