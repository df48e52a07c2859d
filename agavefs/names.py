"""Names: what `os` can do with them. Look, list, make, remove and rename, on the platform and here at once.

The kernel makes the changes in one folder one at a time; here, who moves a folder is alone, so that nobody finds the
way to a place that is just going elsewhere. It knows no FUSE.
"""

from __future__ import annotations

import errno
import itertools
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import cachetools
import msgspec
import trio

from agavefs.ahead import Walks
from agavefs.files import MANY, Files, Opened
from agavefs.inodes import Inode
from agavefs.looks import Look, Looks
from agavefs.scans import Scan
from agavefs.sending import standing
from agavefs.spool import Spool
from agavefs.writeback import Writeback
from agavesh.client.errors import AlreadyThere, BadArgument, Changed, NotEmpty, NotFound, WrongKind
from agavesh.client.path import RemotePath
from agavesh.client.storage import READ, TEMPORARY, WRITE, Entry, Version
from agavesh.tree import clock as time  # what goes on while the machine sleeps
from agavesh.tree.listing import UNANSWERED, Listing, ListingCache
from agavesh.tree.storage import StorageDirectory, StorageNode

_log = logging.getLogger(__name__)

_NAME_MOST = 255  # bytes
_NOREPLACE = 1  # rename(2)'s flag; there is no way to do the others
_LATELY = 1.0  # seconds: so old may be what a new file is made by, if it is no lock
_FOLDERS, _PAUSE = 1000, 2.0  # folders that are filled, and seconds between two files
_LEFTOVERS = 2.0  # seconds that who changes a folder waits for what goes from it
_BURST = 10.0  # seconds between two deletions that are not of one burst


class Fillers:
    """Who fills which folder that he has just made: one that copies a tree, or unpacks one, is known by that."""

    def __init__(self) -> None:
        self._filled: cachetools.TTLCache[str, tuple[int, set[str]]] = cachetools.TTLCache(_FOLDERS, _PAUSE)

    def makes(self, who: int, folder: str) -> None:
        """This program has made that folder."""
        self._filled[folder] = who, set()

    def fills(self, who: int, folder: str, name: str) -> bool:
        """Whether it goes on to fill it, with a file of a name that it has not made there before."""
        filler, names = self._filled.get(folder, (0, set[str]()))
        if filler != who or name in names:
            return False
        names.add(name)
        self._filled[folder] = filler, names  # there is time for the next one from now on
        return True


class Changing:
    """Many may change names at once; who moves a folder does so alone."""

    def __init__(self) -> None:
        self._turn = trio.Condition()
        self._many = self._waiting = 0
        self._alone = False

    @asynccontextmanager
    async def one_of_many(self) -> AsyncIterator[None]:
        async with self._turn:
            while self._alone or self._waiting:
                await self._turn.wait()
            self._many += 1
        try:
            yield
        finally:
            self._many -= 1
            await self._over()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        self._waiting += 1  # nobody begins any more
        try:
            async with self._turn:
                while self._alone or self._many:
                    await self._turn.wait()
                self._alone = True
        finally:
            self._waiting -= 1
            if not self._alone:
                await self._over()
        try:
            yield
        finally:
            self._alone = False
            await self._over()

    async def _over(self) -> None:
        with trio.CancelScope(shield=True):  # the lock is free in a moment: nobody keeps it
            async with self._turn:
                self._turn.notify_all()


class Names:
    """The verbs. Inodes and handles go by number; errors are AgaveErrors, or OSErrors where no other word fits."""

    def __init__(
        self,
        looks: Looks,
        listings: ListingCache,
        files: Files,
        writeback: Writeback,
        walks: Walks,
        *,
        delete_limit: int | None = None,
    ) -> None:
        self._looks, self._inodes = looks, looks.inodes
        self._listings, self._files, self._writeback = listings, files, writeback
        self._walks = walks
        self._scans: dict[int, tuple[Inode, Scan | None]] = {}
        self._readers: dict[int, int] = {}  # which program has a folder open
        self._numbers = itertools.count(1)
        self._changing = Changing()
        self._fillers = Fillers()
        self._delete_limit = delete_limit
        self._deleted, self._deleted_at = 0, float("-inf")  # in this burst, and when the last of it was

    # looking ---------------------------------------------------------------------------------------------------------

    async def lookup(self, parent: int, name: str) -> Look:
        """What is at a name; the kernel knows it once more. NotFound."""
        _must_fit(name)
        inode = await self._looks.child(self._inodes[parent], name)
        self._inodes.looked_up(inode)
        return self._looks.look(inode)

    async def getattr(self, number: int) -> Look:
        """What an inode is like now."""
        inode = self._inodes[number]
        try:
            found = await self._looks.fresh(inode)
        except NotFound:
            if not inode.uses:
                raise
            found = inode
        # what is open is what it was, even if others have put something else in its place
        return self._looks.look(found if found is inode else inode)

    async def opendir(self, number: int, who: int) -> int:
        inode = self._inodes[number]
        if not inode.entry.is_dir:
            raise WrongKind(f"{inode.path} is no folder", directory_expected=True)
        inode.uses += 1
        handle = next(self._numbers)
        self._scans[handle] = (inode, None)
        self._readers[handle] = who
        return handle

    def scan_at_hand(self, handle: int, place: int) -> Scan | None:
        """As `scan`, at once; None if there may be something to wait for."""
        inode, scan = self._scans[handle]
        if place and scan is not None:
            return scan if scan.at_hand(place) else None
        fresh = Scan(self._looks, self._listings, inode)
        if not fresh.begin_now():
            return None
        if scan is not None:
            scan.end()
        self._scans[handle] = (inode, fresh)
        self._walks.reads(inode, self._readers[handle])
        self._walks.listed(self._readers[handle])
        return fresh

    async def scan(self, handle: int, place: int) -> Scan:
        """What the folder shows, as it was read for this handle, or is from now on where it is read from its first
        place; once there is something at `place`, or nothing more. Each look is then `take`n, or `leave`d."""
        inode, scan = self._scans[handle]
        if scan is None or not place:
            if scan is not None:
                self._scans[handle] = (inode, None)
                scan.end()
            scan = Scan(self._looks, self._listings, inode)
            self._walks.reads(inode, self._readers[handle])
            await scan.begin()
            self._walks.listed(self._readers[handle])
            self._scans[handle] = (inode, scan)
        await scan.reach(place)
        return scan

    def take(self, look: Look) -> None:
        """The kernel knows it once more."""
        self._inodes.looked_up(look.inode)

    def leave(self, look: Look) -> None:
        """The kernel does not."""
        self._inodes.rest(look.inode)

    def inode_of(self, handle: int) -> Inode:
        """What an open folder is."""
        return self._scans[handle][0]

    async def releasedir(self, handle: int) -> None:
        inode, scan = self._scans.pop(handle)
        del self._readers[handle]
        if scan is not None:
            scan.end()
        self._files.unused(inode)

    # making ----------------------------------------------------------------------------------------------------------

    async def mkdir(self, parent: int, name: str, mode: int, who: int = 0) -> Look:
        """Make a folder, for the program of that number. AlreadyThere."""
        async with self._changing.one_of_many():
            folder = self._folder(parent, name)
            entry = (await folder.mkdir(name)).entry
            inode = self._inodes.see(self._inodes[parent], name, entry, None, time.monotonic(), time.time())
            self._looks.attributes.forget(inode.path)
            self._looks.attributes.note(inode.path, None, mode=mode & 0o7777)
            self._inodes.looked_up(inode)
            self._fillers.makes(who, inode.path)
            return self._looks.look(inode)

    async def create(self, parent: int, name: str, flags: int, mode: int, who: int = 0) -> tuple[Opened, Look]:
        """Make a file, if there is none, and open it, for the program of that number. AlreadyThere with O_EXCL, as the
        platform sees it now."""
        async with self._changing.one_of_many():
            folder = self._folder(parent, name)
            exclusive = bool(flags & os.O_EXCL)
            # one who fills a folder of his own is no one who locks
            sure = exclusive and not self._fillers.fills(who, folder.path, name)
            inode, looked = await self._there(folder, self._inodes[parent], name, sure=sure)
            if inode is not None and exclusive:
                raise AlreadyThere(f"{inode.path} is there already")
            if inode is None:
                now = time.time()
                entry = Entry(name, "file", 0, now, READ | WRITE)
                inode = self._inodes.see(self._inodes[parent], name, entry, None, time.monotonic(), now)
                opened = await self._files.begin(inode, self._files.create(inode, mode, looked))
            else:
                opened = await self._files.open(inode.number, flags)
            self._inodes.looked_up(inode)
            return opened, self._looks.look(inode)

    async def _there(
        self, folder: StorageDirectory, parent: Inode, name: str, *, sure: bool
    ) -> tuple[Inode | None, float]:
        """What is at a name, or None, and when (monotonic seconds) that was so: now if it has to be `sure`, else a
        moment ago at most."""
        if (own := self._looks.own(parent, name)) is not None:
            return own, time.monotonic()
        told, wall = time.monotonic(), time.time()
        if (listing := None if sure else await self._lately(folder)) is not None:
            entry, told, wall = listing.items.get(name), listing.asked, listing.asked_wall
        else:
            # asked for this one name: the listing that is kept learns of it, and need not be asked for again
            try:
                entry = await folder.storage.stat(f"{folder.inner.rstrip('/')}/{name}")
                self._listings.put(folder.path, name, entry)
            except NotFound:
                entry = None
                self._listings.drop(folder.path, name)
        if entry is not None:
            return self._inodes.see(parent, name, entry, None, told, wall), told
        if (known := self._inodes.at(parent, name)) is not None:
            self._inodes.detach(known)
        return None, told

    async def _lately(self, folder: StorageDirectory) -> Listing[Entry] | None:
        """What is in a folder, as it was a moment ago at most. None where one name costs less than all of them."""
        # who does not wait for what is sent does not wait for this either: it is looked for again before it is sent
        fresh = folder.fresh if self._writeback.later else min(_LATELY, folder.fresh)
        known = self._listings.peek(folder.path)
        if fresh <= 0 or known is None or len(known) > MANY:
            return self._listings.kept(folder.path, fresh=fresh) if fresh > 0 else None
        try:
            return await folder.listing(fresh=fresh)
        except UNANSWERED:
            # a platform that is away for a moment need not keep anybody from beginning: it is asked before all is sent
            if (kept := self._listings.kept(folder.path, fresh=folder.fresh)) is None:
                raise
            return kept

    # removing --------------------------------------------------------------------------------------------------------

    async def unlink(self, parent: int, name: str) -> None:
        """Remove a file. Who has it open keeps its bytes."""
        async with self._changing.one_of_many():
            folder = self._folder(parent, name)
            inode = await self._looks.child(self._inodes[parent], name)
            if inode.entry.is_dir:
                raise WrongKind(f"{inode.path} is a folder", hint="remove it with rmdir")
            self._looks.may_write(inode)
            self._delete(inode)
            try:
                await self._files.let_go(inode)
            except NotFound:
                self._gone(inode, folder)
                raise
            self._gone(inode, folder)

    async def rmdir(self, parent: int, name: str) -> None:
        """Remove an empty folder. NotEmpty, as the platform sees it now: its own delete takes everything along."""
        async with self._changing.one_of_many():
            folder = self._folder(parent, name)
            inode = await self._looks.child(self._inodes[parent], name)
            self._delete(inode)
            await self._take_folder(inode)
            self._gone(inode, folder)

    async def _take_folder(self, inode: Inode) -> None:
        """Have an empty folder go from the platform. NotEmpty."""
        node, leftovers = inode.node, self._writeback.leftovers
        if not isinstance(node, StorageDirectory):
            raise WrongKind(f"{inode.path} is no folder", directory_expected=True)
        own = [own.name for own in self._looks.all_own(inode)]
        listing = self._listings.kept(node.path, fresh=node.fresh)
        if listing is None or listing.items:  # where there is nothing it is asked for all the same, when it has gone
            listing = await node.listing(fresh=0)
        own += [spool.remote.name for spool, _ in self._writeback.owed if spool.remote.parent == node.remote]
        if names := [*listing.items, *own]:
            raise NotEmpty(f"{inode.path} still holds {names[0]!r}")
        if listing.left_out:
            raise NotEmpty(f"{inode.path} still holds what is not shown, since it makes no sense")
        with trio.move_on_after(_LEFTOVERS):
            await leftovers.gone(node.path)
        try:
            await leftovers.take_folder(node.storage, node.remote)
        except NotEmpty:
            self._listings.forget(node.path)
            raise

    def _delete(self, inode: Inode) -> None:
        """Something is to be deleted. NotAllowed where that is more at once than there may be."""
        now = time.monotonic()
        if now - self._deleted_at > _BURST:
            self._deleted = 0
        self._deleted_at, self._deleted = now, self._deleted + 1
        if self._delete_limit is not None and self._deleted > self._delete_limit:
            _log.warning(
                "%s is not deleted: --delete-limit allows %d at once. Wait for %.0f s, or mount anew with a larger one",
                inode.path, self._delete_limit, _BURST,
            )  # fmt: skip
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    def _gone(self, inode: Inode, folder: StorageDirectory) -> None:
        self._listings.drop(folder.path, inode.name)
        self._looks.attributes.forget(inode.path)
        self._files.forget(inode)
        self._looks.drop_own(inode)
        self._inodes.detach(inode)

    # renaming --------------------------------------------------------------------------------------------------------

    async def rename(self, old_parent: int, old_name: str, new_parent: int, new_name: str, flags: int = 0) -> None:
        """Give a file or folder a new place, over a file or an empty folder that is there, unless told not to."""
        if flags & ~_NOREPLACE:
            raise BadArgument("the platform can't exchange two names")
        inode = await self._looks.child(self._inodes[old_parent], old_name)
        if inode.entry.is_dir:
            with trio.move_on_after(_LEFTOVERS):  # what goes from there is not to be taken along
                await self._writeback.leftovers.gone(inode.path)
        async with self._changing.alone() if inode.entry.is_dir else self._changing.one_of_many():
            source, target = self._folder(old_parent, old_name), self._folder(new_parent, new_name)
            if source.storage.owner != target.storage.owner:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))  # so that mv copies
            self._looks.may_write(inode)
            there = await self._target(inode, self._inodes[new_parent], new_name, noreplace=bool(flags & _NOREPLACE))
            if there is inode:
                return
            for it in (inode, there):
                if it is not None and it.spool is not None and it.spool.beside is not None:
                    raise Changed(f"others have changed {it.path}, and what was written here goes beside it")
            async with self._held(inode, there):
                entry = await self._move(inode, target, there, new_name, noreplace=bool(flags & _NOREPLACE))
                self._moved(inode, entry, source, target, self._inodes[new_parent], there)

    async def _target(self, inode: Inode, parent: Inode, name: str, *, noreplace: bool) -> Inode | None:
        """What stands where `inode` is to go. AlreadyThere; WrongKind; NotEmpty."""
        try:
            there = await self._looks.child(parent, name)
        except NotFound:
            return None
        if noreplace:
            raise AlreadyThere(f"{there.path} is there already")
        if there is not inode and there.entry.is_dir != inode.entry.is_dir:
            what = "a folder" if there.entry.is_dir else "no folder"
            raise WrongKind(f"{there.path} is {what}", directory_expected=inode.entry.is_dir)
        return there

    @asynccontextmanager
    async def _held(self, inode: Inode, there: Inode | None) -> AsyncIterator[None]:
        """Nothing of them, or below, is sent meanwhile."""
        places = [it.node.remote for it in (inode, there) if it is not None and it.node.remote is not None]

        def concerned(spool: Spool) -> bool:
            at = spool.remote
            return any(at[:2] == place[:2] and f"{at.path}/".startswith(f"{place.path}/") for place in places)

        async with self._writeback.holding(concerned):
            yield

    async def _move(
        self, inode: Inode, target: StorageDirectory, there: Inode | None, name: str, *, noreplace: bool
    ) -> Entry:
        """Move on the platform, and in the journal; what it is like now."""
        node, spool, entry = inode.node, inode.spool, inode.entry
        assert isinstance(node, StorageNode)
        new = RemotePath("system", target.storage.owner, f"{target.inner.rstrip('/')}/{name}")
        only_here = spool is not None and spool.dirty and spool.base is None
        replaced = standing(there.entry) if there is not None else None
        if there is not None and there.spool is not None and there.spool.dirty:
            replaced = there.spool.base
        over = there is not None and not inode.entry.is_dir
        # else what is moved is others', and ours is not to replace it
        known = spool is None or not spool.dirty or only_here or not over or await self._writeback.unchanged(spool)
        if not only_here:
            if there is not None and inode.entry.is_dir:
                await self._take_folder(there)
                self._listings.drop(target.path, name)
            try:
                entry = await self._move_there(node, new, over=replaced if over else None)
            except AlreadyThere:  # others have put something there since we looked
                self._listings.forget(target.path)
                if noreplace:
                    raise
                if inode.entry.is_dir:
                    raise NotEmpty(f"{new.tree_path} is there already") from None
                raise Changed(f"others have made {new.tree_path} meanwhile", hint="look at it, and try again") from None
            except Changed:
                self._listings.forget(target.path)
                raise
        base = replaced if only_here else standing(entry) if spool is None or (over and known) else spool.base
        await self._writeback.moved(
            node.remote, new, spool if spool is not None and spool.dirty else None, base,
            over=there.spool if there is not None else None,
        )  # fmt: skip
        return msgspec.structs.replace(entry, name=name)

    async def _move_there(self, node: StorageNode, new: RemotePath, *, over: Version | None) -> Entry:
        """Move on the platform: `over` what is of that version. AlreadyThere; Changed."""
        if over is None:
            await node.storage.move(node.inner, new.path)
            return node.entry
        if standing(await node.storage.stat(new.path)) != over:
            raise Changed(f"others have changed {new.tree_path} meanwhile", hint="look at it, and try again")
        # wire: copy overwrites, rename never does; the file that is replaced keeps its grants and its history
        await node.storage.copy(node.inner, new.path)
        await node.storage.remove(node.inner)
        return await node.storage.stat(new.path)

    def _moved(
        self, inode: Inode, entry: Entry, source: StorageDirectory, target: StorageDirectory, parent: Inode,
        there: Inode | None,
    ) -> None:  # fmt: skip
        """Everything here follows."""
        assert inode.parent is not None
        if there is not None:
            self._gone(there, target)
        old, own = inode.path, self._looks.own(inode.parent, inode.name) is inode
        before = inode.entry.version
        if own:
            self._looks.drop_own(inode)
        self._inodes.move(inode, parent, entry.name)
        inode.tell(entry, None, time.monotonic(), time.time())
        self._listings.drop(source.path, old.rpartition("/")[2])
        self._listings.forget(inode.path, below=True)
        if own:
            self._looks.keep_own(inode)
        else:
            self._listings.put(target.path, entry.name, entry)
        self._looks.attributes.moved(old, inode.path)
        self._looks.attributes.settled(inode.path, before, entry.version)
        self._files.renamed(inode, before)

    def _folder(self, parent: int, name: str) -> StorageDirectory:
        """The folder in which a name is to be changed. ReadOnly; NotAllowed; BadArgument."""
        inode = self._inodes[parent]
        self._looks.may_write(inode)
        node = inode.node
        if not isinstance(node, StorageDirectory):
            raise WrongKind(f"{inode.path} is no folder", directory_expected=True)
        _must_fit(name)
        try:
            name.encode()
        except UnicodeEncodeError:
            # wire: names go as JSON and in UTF-8; there is no way to say other bytes
            raise OSError(errno.EILSEQ, os.strerror(errno.EILSEQ)) from None
        if "\\" in name:
            # wire: the platform takes a backslash for a slash, and would put the file elsewhere
            raise BadArgument(f"{name!r} can't be used", hint="the platform knows no backslash in names")
        if name.startswith(TEMPORARY):
            raise BadArgument(f"{name!r} can't be used", hint=f"names that begin with {TEMPORARY} are the mount's own")
        return node


def _must_fit(name: str) -> None:
    # the kernel would let 1,024 bytes pass
    if len(os.fsencode(name)) > _NAME_MOST:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
