"""Files: what is open. Which bytes an open file means, and what becomes of them when they are written.

The version of a file is checked when it is opened, not while it is read: a changed file has a new spool, an old handle
keeps the one it has. The kernel's cache is the inode's, not the handle's: so what others put in the place of a file
that is being read is a new inode (`Inode.parts_from`); where that can't be told, it is read past the cache. What is
written is the same spool for all who have the file open, seen here at once, and is the platform's when close returns.
It knows no FUSE.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from agavefs.ahead import Walks
from agavefs.attributes import UNSETTLED
from agavefs.fetch import Fetcher
from agavefs.handles import Handle, SpoolHandle, TextHandle
from agavefs.inodes import Inode
from agavefs.looks import Look, Looks
from agavefs.sending import now, standing
from agavefs.spool import SMALL, YOUNG, Spool, Spools, Unkept
from agavefs.tail import TailHandle
from agavefs.writeback import Writeback
from agavesh.client.errors import BadArgument, Changed, NotAllowed, NotFound, WrongKind
from agavesh.client.path import RemotePath
from agavesh.client.storage import READ, Entry, Version
from agavesh.tree import clock as time  # what goes on while the machine sleeps
from agavesh.tree.listing import ListingCache
from agavesh.tree.node import File
from agavesh.tree.storage import StorageDirectory, StorageFile

_JUST_TOLD = 2.0  # seconds: what is changed must be known as well as that
MANY = 2000  # names: to list more costs more than to look for some
_PAGE = 250  # entries, as most tenants have it


@dataclass(frozen=True)
class Opened:
    """An open file. `keep`: what the kernel has cached of it is still true; `direct`: it must cache nothing."""

    handle: int
    keep: bool
    direct: bool


class Files:
    """A mount's open files. Inodes and handles go by number; errors are AgaveErrors, or this machine's OSErrors."""

    def __init__(
        self,
        looks: Looks,
        listings: ListingCache,
        spools: Spools,
        fetcher: Fetcher,
        writeback: Writeback,
        walks: Walks,
    ) -> None:
        self._looks, self._inodes = looks, looks.inodes
        self._listings, self._spools, self._fetcher, self._writeback = listings, spools, fetcher, writeback
        self._walks = walks
        self._handles: dict[int, tuple[Inode, Handle]] = {}
        self._numbers = itertools.count(1)
        self._writers: dict[Spool, Inode] = {}  # whose file it is that is written
        # called when what the kernel knows of an inode's attributes is old; set by the kernel's side
        self.on_changed: Callable[[Inode], None] = lambda inode: None
        writeback.on_settled = self._settled
        writeback.sender.now = self._now

    # opening ---------------------------------------------------------------------------------------------------------

    async def open(self, number: int, flags: int, who: int = 0) -> Opened:
        """Open a file, for the program of that number. NotAllowed and ReadOnly come here, not later."""
        inode = self._inodes[number]
        mode = flags & os.O_ACCMODE
        writable = mode != os.O_RDONLY or bool(flags & os.O_TRUNC)
        if inode.entry.is_dir:
            raise WrongKind(f"{inode.path} is a folder")
        if writable:
            self._looks.may_write(inode)
        if mode != os.O_WRONLY and not inode.entry.access & READ:
            raise NotAllowed(f"no permission to read {inode.path}")
        if who and not writable:
            self._walks.opens(inode, who)
        inode.uses += 1
        try:
            keep, handle = await self._open(inode, writable, flags)
        except BaseException:
            self.unused(inode)
            raise
        return self._opened(inode, handle, keep)

    async def _open(self, inode: Inode, writable: bool, flags: int) -> tuple[bool, Handle]:
        if not self._is_own(inode):
            await self._check(inode, most=_JUST_TOLD if writable else None)
            if inode.gone and isinstance(inode.node, StorageFile) and not self._is_own(inode):
                # the kernel looks again at such an answer, and finds what is there now
                raise Changed(f"{inode.path} is another file by now", hint="open it again")
        node = inode.node
        if not isinstance(node, StorageFile):
            if not isinstance(node, File):
                raise BadArgument(f"{inode.path} is no file")
            return False, TextHandle(await node.content(), direct=inode.entry.size is None)
        if node.growing:
            return False, TailHandle(self._spools, self._fetcher, node, lambda: inode.entry.size or 0)
        if not writable and not flags & os.O_TRUNC:
            node = await self._fetched(inode, node)
        keep, spool = self._spool(inode, node)
        handle = SpoolHandle(spool, self._fetcher, self._writeback, writable=writable, append=bool(flags & os.O_APPEND))
        if self._apart(inode, spool):
            handle.direct, keep, inode.shown = True, False, None
        inode.seen = inode.seen or keep  # by way of the kernel's cache
        self._spools.take(spool)
        try:
            if flags & os.O_TRUNC and (spool.size or spool.writing):
                await handle.empty()
                self._written(inode, spool)
                keep = False
        except BaseException:
            self._spools.drop(spool)
            raise
        return keep, handle

    def _apart(self, inode: Inode, spool: Spool) -> bool:
        """Whether a spool must not get into the kernel's cache, since somebody has that, or may have, from another."""
        if inode.uses == 1:
            return False  # nobody else has it open: the usual case, that need not look at all handles
        others = [it for other, it in self._handles.values() if other is inode and isinstance(it, SpoolHandle)]
        return any(it.writable if it.direct else it.spool is not spool for it in others)

    async def _fetched(self, inode: Inode, node: StorageFile) -> StorageFile:
        """Have a small file here before anybody sees its size, unless that was just told: it may be another by now."""
        if inode.age() <= _JUST_TOLD or not 0 < (inode.entry.size or 0) <= SMALL or self._spools.refusing:
            return node
        shown = inode.shown
        _, spool = self._spool(inode, node)
        inode.shown = shown  # it is not shown before it is opened
        if spool.dirty or spool.whole:
            return node
        self._spools.take(spool)
        try:
            await self._fetcher.ensure(spool, 0, spool.size)
        except Changed:
            self._doubt(inode)
            await self._check(inode)
            found = inode.node
            if not isinstance(found, StorageFile):
                raise WrongKind(f"{inode.path} is a folder by now") from None
            return found
        except Unkept:
            pass  # it is read past the spool
        finally:
            self._spools.drop(spool)
        return node

    def _doubt(self, inode: Inode) -> None:
        """What is known of a file is not so any more: whoever opens it next is to find what is there now."""
        inode.told = float("-inf")
        if inode.parent is not None:
            self._listings.forget(inode.parent.path)

    def _opened(self, inode: Inode, handle: Handle, keep: bool) -> Opened:
        number = next(self._numbers)
        self._handles[number] = (inode, handle)
        return Opened(number, keep, handle.direct)

    async def _check(self, inode: Inode, *, most: float | None = None) -> None:
        """Make sure that what we know of a file is not old, or no older than `most` seconds."""
        if inode.gone or inode.parent is None:
            return
        if inode.fixed is not None:
            await self._looks.fresh(inode)
            return
        node = inode.node
        if not isinstance(node, StorageFile):
            return
        folder, fresh = inode.parent.path, node.fresh if most is None else min(node.fresh, most)
        if (kept := self._listings.kept(folder, fresh=fresh)) is not None and kept.asked > inode.told:
            # told later than the kernel has asked
            if (entry := kept.items.get(inode.name)) is None or entry.is_dir:
                raise NotFound(f"no file {inode.path} any more")
            self._told(inode, entry, kept.asked, kept.asked_wall)
        young = inode.entry.modified is not None and inode.told_wall - inode.entry.modified < YOUNG
        if inode.age() <= fresh and not young and not node.growing:
            return
        listed = self._listings.peek(folder)
        # for the price of one file the whole folder is known anew
        whole = listed is not None and len(listed) <= _PAGE and fresh > 0 and not young and not node.growing

        async def ask() -> tuple[Entry, float, float]:
            assert inode.parent is not None
            if whole:
                return await self._looks.entry(inode.parent, inode.name, fresh=fresh)
            told, wall = time.monotonic(), time.time()
            entry = (await node.again()).entry
            self._listings.answered()
            return entry, told, wall

        try:
            found = await self._listings.answer(ask, old=self._listings.offline_ok)
        except (NotFound, WrongKind):
            self._listings.forget(folder)
            raise
        if found is None or (inode.spool is not None and inode.spool.dirty):
            return  # nobody answers; or somebody writes it by now
        if not whole:
            self._listings.put(folder, inode.name, found[0])
        self._told(inode, *found)

    def _told(self, inode: Inode, entry: Entry, told: float, wall: float) -> None:
        if inode.gone:
            return
        if inode.parts_from(entry.version):
            self._inodes.detach(inode)
            return
        before = inode.entry.version
        inode.tell(entry, None, told, wall)
        if entry.version != before:
            self.on_changed(inode)

    def _spool(self, inode: Inode, node: StorageFile) -> tuple[bool, Spool]:
        """The spool that an open of the file means, and whether the kernel's cache of it is true."""
        spool, version = inode.spool, inode.entry.version
        if spool is not None and (spool.dirty or spool.orphan):
            keep, inode.shown = inode.shown is not None, inode.shown or UNSETTLED
            return keep, spool
        keep = version is not None and inode.shown == version
        found = self._spools.fetched(node.remote, node.storage, version)
        if found is None or (found.young and self._listings.offline_since is None):
            fresh = self._spools.make(node.remote, node.storage, size=inode.entry.size or 0, version=version)
            fresh.looked = inode.told
            fresh.young = version is not None and time.time() - version[1] < YOUNG
            fresh.base = standing(inode.entry)
            if found is not None:
                keep = False
                self._spools.rest(found)  # nobody finds it any more
            found = fresh
        inode.spool, inode.shown = found, version
        return keep, found

    def create(self, inode: Inode, mode: int, looked: float) -> SpoolHandle:
        """The handle of a file that is new. The caller has looked that there is none, when that was `looked` (monotonic
        seconds), and calls `begin` next."""
        node = inode.node
        assert isinstance(node, StorageFile)
        spool = self._spools.make(node.remote, node.storage)
        spool.looked = looked
        self._spools.take(spool)
        inode.spool, inode.shown = spool, UNSETTLED
        inode.uses += 1
        self._looks.attributes.forget(inode.path)
        self._looks.attributes.note(inode.path, UNSETTLED, mode=mode & 0o7777)
        return SpoolHandle(spool, self._fetcher, self._writeback, writable=True)

    async def begin(self, inode: Inode, handle: SpoolHandle) -> Opened:
        """A new file is owed from now on, even if nothing is written."""
        try:
            await self._writeback.begin(handle.spool)
        except BaseException:
            self._spools.drop(handle.spool)
            self.unused(inode)
            raise
        self._written(inode, handle.spool)
        return self._opened(inode, handle, False)

    # using -----------------------------------------------------------------------------------------------------------

    def at_hand(self, handle: int, start: int, size: int) -> bytes | None:
        """What is asked for, if there is nothing to wait for; None if there may be."""
        inode, it = self._handles[handle]
        if not isinstance(it, SpoolHandle) or self._outrun(inode, it) or (data := it.at_hand(start, size)) is None:
            return None
        inode.seen = True
        return data

    async def read(self, handle: int, start: int, size: int) -> bytes:
        inode, it = self._handles[handle]
        spool = it.spool if isinstance(it, SpoolHandle) else None
        try:
            if isinstance(it, SpoolHandle) and self._outrun(inode, it):
                raise Changed(f"{inode.path} has changed since it was opened", hint="open it again")
            data = await it.read(start, size)
        except Changed:
            self._doubt(inode)
            if not isinstance(it, SpoolHandle) or spool is None or not await self._anew(inode, it, spool):
                raise
            data = await it.read(start, size)
        inode.seen = True
        return data

    @staticmethod
    def _outrun(inode: Inode, handle: SpoolHandle) -> bool:
        """Whether the platform has told of another version since the file was opened, and nobody has read any yet."""
        if inode.seen or inode.gone or handle.writable or handle.spool.dirty or handle.spool.orphan:
            return False
        return inode.entry.version != handle.spool.version

    async def _anew(self, inode: Inode, handle: SpoolHandle, spool: Spool) -> bool:
        """Have a handle read what is there now, if nobody has read any of what was; whether that could be done."""
        if handle.spool is not spool:
            return True
        others = any(other is inode and it is not handle for other, it in self._handles.values())
        if inode.seen or handle.writable or others or inode.gone:
            return False
        await self._check(inode)
        node = inode.node
        if handle.spool is not spool:
            return True
        if inode.seen or inode.gone or not isinstance(node, StorageFile):
            return False
        _, fresh = self._spool(inode, node)
        if fresh is spool or fresh.size < spool.size:
            return False  # of what is shorter the kernel would make up the rest
        self._spools.take(fresh)
        handle.turn_to(fresh)
        self._spools.drop(spool)
        self.on_changed(inode)
        return True

    async def write(self, handle: int, start: int, data: bytes) -> None:
        inode, it = self._handles[handle]
        self._unite(inode, it)
        await it.write(start, data)
        if isinstance(it, SpoolHandle):
            self._written(inode, it.spool)

    async def flush(self, handle: int) -> None:
        """close(2) of one descriptor: what was written is the platform's when this returns."""
        await self._handles[handle][1].flush()

    async def fsync(self, handle: int) -> None:
        """What was written is the platform's when this returns."""
        await self._handles[handle][1].sync()

    async def release(self, handle: int) -> None:
        """The last descriptor is gone."""
        inode, it = self._handles.pop(handle)
        try:
            await it.release()
        finally:
            if isinstance(it, SpoolHandle):
                self._spools.drop(it.spool)
            self.unused(inode)

    def inode_of(self, handle: int) -> Inode:
        """What an open file is."""
        return self._handles[handle][0]

    def handles(self, inode: Inode) -> list[Handle]:
        """All by which it is open."""
        return [it for other, it in self._handles.values() if other is inode]

    def unused(self, inode: Inode) -> None:
        """One use less."""
        inode.uses -= 1
        if not inode.uses:
            if inode.hidden is not None and inode.spool is not None:
                row, inode.hidden = inode.hidden, None
                self._writeback.leftovers.remove(row, inode.spool.storage, inode.spool.remote.path)
            inode.spool, inode.seen = None, False
            self._inodes.rest(inode)

    async def setattr(
        self,
        number: int,
        handle: int | None = None,
        *,
        size: int | None = None,
        mode: int | None = None,
        owner: tuple[int | None, int | None] = (None, None),
        modified: int | None = None,
        accessed: int | None = None,
    ) -> Look:
        """Change what is not None. Modes and times are remembered, since the platform can't keep them."""
        inode = self._inodes[number]
        it = self._handles[handle][1] if handle is not None else None
        if not (isinstance(it, SpoolHandle) and it.writable):
            self._looks.may_write(inode)
        if any(asked not in (None, own) for asked, own in zip(owner, (os.getuid(), os.getgid()), strict=True)):
            raise PermissionError(1, "files on the platform can't be given away")
        if size is not None:
            await self._truncate(inode, it, size)
        if not inode.gone and (mode, modified, accessed) != (None, None, None):
            look = self._looks.look(inode)
            version = UNSETTLED if self._is_own(inode) else None if look.entry.is_dir else look.entry.version
            bits = None if mode is None else mode & 0o7777
            self._looks.attributes.note(inode.path, version, mode=bits, modified=modified, accessed=accessed)
        return self._looks.look(inode)

    def _is_own(self, inode: Inode) -> bool:
        return inode.spool is not None and (inode.spool.dirty or inode.spool.orphan)

    async def _truncate(self, inode: Inode, handle: Handle | None, size: int) -> None:
        if isinstance(handle, SpoolHandle):
            self._unite(inode, handle)
            await handle.truncate(size)
            self._written(inode, handle.spool)
            return
        number = (await self.open(inode.number, os.O_WRONLY)).handle
        try:
            handle = self._handles[number][1]
            assert isinstance(handle, SpoolHandle)
            if handle.spool.size != size:
                await handle.truncate(size)
                self._written(inode, handle.spool)
                # no close comes that could tell of trouble
                await handle.sync()
        finally:
            await self.release(number)

    # writing ---------------------------------------------------------------------------------------------------------

    def _unite(self, inode: Inode, handle: Handle) -> None:
        """All who have a file open that is about to be written have one spool from now on: one that has changed so
        shortly before that nothing was certain may be here more than once."""
        if inode.uses == 1 or inode.gone or not isinstance(handle, SpoolHandle) or not handle.writable:
            return
        spool = inode.spool if inode.spool is not None and inode.spool.dirty else handle.spool
        for other, it in list(self._handles.values()):
            if other is inode and isinstance(it, SpoolHandle) and it.spool is not spool and not it.spool.orphan:
                before = it.spool
                self._spools.take(spool)
                it.turn_to(spool)
                self._spools.drop(before)

    def _written(self, inode: Inode, spool: Spool) -> None:
        """Something of it is owed now."""
        inode.spool = spool
        if not inode.gone and spool.row is not None:
            if self._writers.get(spool) is not inode:
                self._looks.attributes.written(inode.path, inode.entry.version)
                self._writers[spool] = inode
                self._looks.keep_own(inode)
            elif self._looks.attributes.of(inode.path, UNSETTLED):
                self._looks.attributes.written(inode.path, UNSETTLED)

    async def _now(self, spool: Spool) -> Version | None:
        """What the platform has in the place of a spool, as it has told a moment ago, or tells now."""
        if time.monotonic() - spool.looked <= _JUST_TOLD:
            return spool.base
        inode, listed = self._writers.get(spool), self._listings.peek(spool.remote.parent.tree_path)
        folder = inode.parent.node if inode is not None and inode.parent is not None else None
        if isinstance(folder, StorageDirectory) and listed is not None and len(listed) <= MANY:
            # for the price of one the others of the folder are known, too
            listing = await folder.listing(fresh=_JUST_TOLD)
            if listing.age() > _JUST_TOLD:  # it took long, and is believed for that
                return await now(spool)
            entry = listing.items.get(spool.remote.name)
        else:
            return await now(spool)
        return None if entry is None else standing(entry)

    def _settled(self, spool: Spool, remote: RemotePath, entry: Entry | None) -> None:
        """The platform has it; without an entry others have changed that by now."""
        inode = self._writers.pop(spool, None)
        if inode is not None and (spool.beside is not None or entry is None) and not inode.gone:
            self._looks.drop_own(inode)
            self._looks.attributes.forget(inode.path)
            self._inodes.detach(inode)  # in its place is what others have put there
        if entry is None or inode is None or inode.gone or inode.parent is None:
            self._listings.forget(remote.parent.tree_path)
            return
        inode.tell(entry, None, time.monotonic(), time.time())
        inode.shown = None if inode.shown is None else entry.version
        self._looks.attributes.settled(inode.path, UNSETTLED, entry.version)
        self._listings.put(inode.parent.path, inode.name, entry)
        self._looks.drop_own(inode)

    def renamed(self, inode: Inode, before: Version | None) -> None:
        """It has a new place, and maybe a new version: its bytes are the same."""
        node = inode.node
        if not isinstance(node, StorageFile) or inode.entry.version == before or self._is_own(inode):
            return
        spool = inode.spool
        if spool is None or spool.version != before:  # else it is of what stood there before others wrote
            spool = self._spools.find(node.remote, before)
        if spool is not None:
            self._spools.detach(spool)
            self._spools.settled(spool, inode.entry.version)
        inode.shown = inode.entry.version if inode.shown == before else None

    async def let_go(self, inode: Inode) -> None:
        """Take a file from its place on the platform. Who has it open keeps its bytes, and nothing of it is sent."""
        spool, node = inode.spool, inode.node
        assert isinstance(node, StorageFile)
        if spool is not None and spool.beside is not None:
            raise Changed(f"others have changed {inode.path}, and what was written here goes beside it")
        if spool is not None and spool.dirty:
            async with self._writeback.removing(spool):
                if spool.base is not None or self._writeback.tried(spool):
                    with suppress(NotFound):
                        await node.storage.remove(node.inner)
        elif spool is not None and spool.users and not spool.whole:
            await self._hide(inode, node, spool)
        else:
            await node.storage.remove(node.inner)
            if spool is None and (spool := self._spools.find(node.remote, inode.entry.version)) is not None:
                spool.orphan = True  # nobody will ask for it again
                self._spools.rest(spool)
        self.forget(inode)

    async def _hide(self, inode: Inode, node: StorageFile, spool: Spool) -> None:
        temporary = node.remote.parent / self._writeback.leftovers.name()
        row = await self._writeback.leftovers.hide(node.remote, temporary.path)
        await node.storage.move(node.inner, temporary.path)
        self._spools.moved(node.remote, temporary)
        inode.hidden = row

    def forget(self, inode: Inode) -> None:
        """Its place is somebody else's, or nobody's."""
        if (spool := inode.spool) is not None:
            spool.orphan = True
            self._writers.pop(spool, None)
            self._spools.rest(spool)
