"""The kernel's side: pyfuse3's handlers. Bytes become names, looks become attributes, errors become errnos; no more.

Every handler is guarded: it has a deadline, for a program that waits for us can't be stopped, not by SIGKILL, until we
answer; and no exception leaves it, for one would end the mount. Where a wait may go on as long as something moves
(close, fsync, truncate, write), those who wait below have the deadline.
"""

from __future__ import annotations

import errno
import functools
import inspect
import logging
import os
import stat
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

import pyfuse3
import trio
from pyfuse3 import EntryAttributes, FileInfo, FUSEError, InodeT, RequestContext, SetattrFields

from agavefs.files import Files, Opened
from agavefs.inodes import Inode
from agavefs.looks import Look, Looks
from agavefs.names import Names
from agavefs.scans import Scan
from agavesh.client.errors import AgaveError, NotFound

_log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_BLOCK = 4096  # bytes
_ROOM = 2**40 // _BLOCK  # blocks of a filesystem whose size nobody knows: a TiB, all of it free


@dataclass(frozen=True)
class Deadlines:
    """How long a program may have to wait, in seconds. `progress`: without any news of what it waits for."""

    metadata: float = 15.0
    read: float = 60.0
    progress: float = 60.0


Act = Callable[Concatenate["Kernel", P], Coroutine[Any, Any, T]]


def handler(deadline: str | None = "metadata") -> Callable[[Act[P, T]], Act[P, T]]:
    """The guard. `deadline` names one of Deadlines; None: it does not wait, or what it calls has a deadline."""

    def guard(act: Act[P, T]) -> Act[P, T]:
        name = act.__name__.lstrip("_")
        first = tuple(inspect.signature(act).parameters)[1:3]  # they say what it is about

        async def within(self: Kernel, seconds: float, args: Any, kwargs: Any) -> T:
            # one of trio's scopes is a good part of what a small request costs, so none is made without need
            with trio.CancelScope(relative_deadline=seconds):
                return await act(self, *args, **kwargs)
            raise trio.TooSlowError  # it has been cancelled by its scope

        @functools.wraps(act)
        async def guarded(self: Kernel, /, *args: P.args, **kwargs: P.kwargs) -> T:
            seconds = getattr(self.deadlines, deadline) if deadline else float("inf")
            try:
                return await (within(self, seconds, args, kwargs) if deadline else act(self, *args, **kwargs))
            except trio.TooSlowError:
                _log.warning("%s: no answer from the platform within %.0f s", name, seconds)
                self.on_late(name, trio.current_time() - seconds)
                self.failed(name, first, args, errno.ETIMEDOUT, f"no answer from the platform within {seconds:.0f} s")
                raise FUSEError(errno.ETIMEDOUT) from None
            except FUSEError:
                raise
            except AgaveError as error:
                if not isinstance(error, NotFound):
                    _log.info("%s: %s", name, error)
                self.failed(name, first, args, error.errno, error)
                raise FUSEError(error.errno) from error
            except OSError as error:
                _log.info("%s: %s", name, error)
                self.failed(name, first, args, error.errno or errno.EIO, error)
                raise FUSEError(error.errno or errno.EIO) from error
            except Exception as error:
                # a fault of ours: told in the log, and to the program as what it is; the mount goes on
                _log.exception("%s failed", name)
                self.failed(name, first, args, errno.EIO, f"a fault of the mount's own, see its log: {error!r}")
                raise FUSEError(errno.EIO) from error

        return guarded

    return guard


class Kernel(pyfuse3.Operations):
    """The handlers, as the kernel calls them."""

    # called when a handler's deadline is over, with its name and when it began, in trio's time
    on_late: Callable[[str, float], object] = staticmethod(lambda act, began: None)

    # called when something failed: its tree path, what was asked for, its errno and why
    on_failed: Callable[[str, str, int, BaseException | str], object] = staticmethod(lambda *failure: None)

    supports_dot_lookup = False
    enable_writeback_cache = False

    def __init__(self, looks: Looks, names: Names, files: Files, deadlines: Deadlines) -> None:
        super().__init__()
        self.looks, self.names, self.files, self.deadlines = looks, names, files, deadlines
        self._owner = os.getuid(), os.getgid()
        files.on_changed = self.changed

    def failed(
        self, act: str, first: tuple[str, ...], args: tuple[Any, ...], number: int, why: BaseException | str
    ) -> None:
        """Remember what failed, if its path is known. `first` are the names of the first arguments."""
        try:
            match dict(zip(first, args, strict=False)):
                case {"parent_inode": parent, "name": name} | {"parent_inode_old": parent, "name_old": name}:
                    path = f"{self.looks.inodes[parent].path.rstrip('/')}/{os.fsdecode(name)}"
                case {"inode": inode}:
                    path = self.looks.inodes[inode].path
                case {"fh": handle}:
                    path = (self.names if act in ("readdir", "scan") else self.files).inode_of(handle).path
                case _:
                    return
            self.on_failed(path, act, number, why)
        except (AgaveError, KeyError):
            pass  # it is not known any more
        except Exception:  # noqa: BLE001  # an edge, logged: a remark must not end the mount
            _log.exception("what failed can't be remembered")

    def changed(self, inode: Inode) -> None:
        try:
            # attributes only: pages are dropped by the next open, and asking for that here could wait for ourselves
            pyfuse3.invalidate_inode(InodeT(inode.number), attr_only=True)
        except OSError:
            pass  # the kernel does not know it, or is done with us

    def appeared(self, parent: int, name: str) -> None:
        """A name that was not there may be by now. Waits for what goes on in that folder: to be called in a thread."""
        try:
            pyfuse3.invalidate_entry(InodeT(parent), os.fsencode(name))
        except OSError:
            pass  # the kernel does not know it, or is done with us

    # names -----------------------------------------------------------------------------------------------------------

    @handler()
    async def lookup(self, parent_inode: int, name: bytes, ctx: RequestContext) -> EntryAttributes:
        try:
            return self._attributes(await self.names.lookup(parent_inode, os.fsdecode(name)))
        except NotFound:
            attributes = EntryAttributes()
            attributes.st_ino = InodeT(0)  # so the kernel keeps it that there is none
            attributes.entry_timeout = self.looks.negative(parent_inode, os.fsdecode(name))
            return attributes

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        # it has no answer, and so takes not even an errno: whatever leaves it ends the mount
        for number, times in inode_list:
            try:
                self.looks.inodes.forget(number, times)
            except Exception:  # noqa: BLE001  # an edge, logged: the mount goes on
                _log.exception("inode %d can't be forgotten", number)

    @handler()
    async def getattr(self, inode: int, ctx: RequestContext) -> EntryAttributes:
        known = self.looks.inodes[inode]
        before = known.gone
        look = await self.names.getattr(inode)
        if known.gone and not before and known.parent is not None:
            # another file has its name by now: who asks for that is to find it, as soon as the kernel has time
            pyfuse3.invalidate_entry_async(InodeT(known.parent.number), os.fsencode(known.name), ignore_enoent=True)
        return self._attributes(look)

    @handler(None)
    async def setattr(
        self, inode: int, attr: EntryAttributes, fields: SetattrFields, fh: int | None, ctx: RequestContext
    ) -> EntryAttributes:
        look = await self.files.setattr(
            inode,
            fh,
            size=attr.st_size if fields.update_size else None,
            mode=attr.st_mode if fields.update_mode else None,
            owner=(attr.st_uid if fields.update_uid else None, attr.st_gid if fields.update_gid else None),
            modified=attr.st_mtime_ns if fields.update_mtime else None,
            accessed=attr.st_atime_ns if fields.update_atime else None,
        )
        return self._attributes(look)

    @handler(None)
    async def readlink(self, inode: int, ctx: RequestContext) -> bytes:
        return os.fsencode(self.looks.readlink(self.looks.inodes[inode]))

    @handler(None)
    async def access(self, inode: int, mode: int, ctx: RequestContext) -> bool:
        self.looks.access(self.looks.inodes[inode], mode)
        return True

    @handler()
    async def mkdir(self, parent_inode: int, name: bytes, mode: int, ctx: RequestContext) -> EntryAttributes:
        return self._attributes(await self.names.mkdir(parent_inode, os.fsdecode(name), mode, ctx.pid))

    @handler()
    async def unlink(self, parent_inode: int, name: bytes, ctx: RequestContext) -> None:
        await self.names.unlink(parent_inode, os.fsdecode(name))

    @handler()
    async def rmdir(self, parent_inode: int, name: bytes, ctx: RequestContext) -> None:
        await self.names.rmdir(parent_inode, os.fsdecode(name))

    @handler(None)
    async def rename(
        self,
        parent_inode_old: int,
        name_old: bytes,
        parent_inode_new: int,
        name_new: bytes,
        flags: int,
        ctx: RequestContext,
    ) -> None:
        with trio.fail_after(self.deadlines.progress):  # it may have to wait for an upload, and for a copy
            await self.names.rename(
                parent_inode_old, os.fsdecode(name_old), parent_inode_new, os.fsdecode(name_new), flags
            )

    # folders ---------------------------------------------------------------------------------------------------------

    @handler(None)
    async def opendir(self, inode: int, ctx: RequestContext) -> pyfuse3.FileHandleT:
        return pyfuse3.FileHandleT(await self.names.opendir(inode, ctx.pid))

    @handler(None)
    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        place, told = start_id - _FIRST_ID if start_id else 0, False
        while not told:  # what has come is told without waiting for more
            scan = self.names.scan_at_hand(fh, place) or await self._scan(fh, place)
            if place >= scan.here:
                return
            while place < scan.here:
                look, place = scan.at(place), place + 1
                if look is None:
                    continue
                name, following = os.fsencode(look.inode.name), place + _FIRST_ID
                if not pyfuse3.readdir_reply(token, name, self._attributes(look), following):
                    self.names.leave(look)
                    return
                self.names.take(look)
                told = True

    @handler()
    async def _scan(self, fh: int, place: int) -> Scan:
        return await self.names.scan(fh, place)

    @handler(None)
    async def releasedir(self, fh: int) -> None:
        await self.names.releasedir(fh)

    @handler(None)
    async def fsyncdir(self, fh: int, datasync: bool) -> None:
        """Names are the platform's as soon as they are changed."""

    @handler(None)
    async def statfs(self, ctx: RequestContext) -> pyfuse3.StatvfsData:
        data = pyfuse3.StatvfsData()
        data.f_bsize = data.f_frsize = _BLOCK
        data.f_blocks = data.f_bfree = data.f_bavail = _ROOM
        data.f_files = data.f_ffree = data.f_favail = 2**31
        data.f_namemax = 255
        return data

    # files -----------------------------------------------------------------------------------------------------------

    @handler("progress")
    async def open(self, inode: int, flags: int, ctx: RequestContext) -> FileInfo:
        return _info(await self.files.open(inode, flags, ctx.pid))

    @handler()
    async def create(
        self, parent_inode: int, name: bytes, mode: int, flags: int, ctx: RequestContext
    ) -> tuple[FileInfo, EntryAttributes]:
        opened, look = await self.names.create(parent_inode, os.fsdecode(name), flags, mode, ctx.pid)
        return _info(opened), self._attributes(look)

    @handler()
    async def mknod(self, parent_inode: int, name: bytes, mode: int, rdev: int, ctx: RequestContext) -> EntryAttributes:
        if not stat.S_ISREG(mode):
            raise FUSEError(errno.EPERM)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
        opened, look = await self.names.create(parent_inode, os.fsdecode(name), flags, mode, ctx.pid)
        await self.files.release(opened.handle)
        return self._attributes(look)

    # POSIX's word for a filesystem that has no such thing; unanswered, it would be "function not implemented"
    @handler()
    async def symlink(self, parent_inode: int, name: bytes, target: bytes, ctx: RequestContext) -> EntryAttributes:
        raise FUSEError(errno.EPERM)

    @handler()
    async def link(self, inode: int, new_parent_inode: int, new_name: bytes, ctx: RequestContext) -> EntryAttributes:
        raise FUSEError(errno.EPERM)

    @handler(None)
    async def read(self, fh: int, off: int, size: int) -> bytes:
        data = self.files.at_hand(fh, off, size)
        return await self._read(fh, off, size) if data is None else data

    @handler("read")
    async def _read(self, fh: int, off: int, size: int) -> bytes:
        return await self.files.read(fh, off, size)

    @handler(None)
    async def write(self, fh: int, off: int, buf: bytes) -> int:
        await self.files.write(fh, off, buf)
        return len(buf)

    @handler(None)
    async def flush(self, fh: int) -> None:
        await self.files.flush(fh)

    @handler(None)
    async def fsync(self, fh: int, datasync: bool) -> None:
        await self.files.fsync(fh)

    @handler(None)
    async def release(self, fh: int) -> None:
        await self.files.release(fh)

    # attributes ------------------------------------------------------------------------------------------------------

    def _attributes(self, look: Look) -> EntryAttributes:
        inode, entry, noted = look.inode, look.entry, look.noted
        attributes = EntryAttributes()
        attributes.st_ino = InodeT(inode.number)
        attributes.generation = inode.generation
        attributes.entry_timeout = attributes.attr_timeout = look.valid
        attributes.st_mode = pyfuse3.ModeT(_mode(look))
        if inode.gone:
            attributes.st_nlink = 0  # else 1, of a folder as well: how many are in it is not known
        attributes.st_uid, attributes.st_gid = self._owner
        size = attributes.st_size = entry.size or 0
        attributes.st_blocks = (size + 511) // 512
        modified = attributes.st_ctime_ns = _nanoseconds(entry.modified)
        if noted is None:
            attributes.st_mtime_ns = attributes.st_atime_ns = modified
        else:
            modified = attributes.st_mtime_ns = modified if noted.modified is None else noted.modified
            attributes.st_atime_ns = modified if noted.accessed is None else noted.accessed
        return attributes


_FIRST_ID = 3  # of an entry in a folder: NFS servers keep the smaller ones for themselves
_STARTED = time.time()


def _nanoseconds(seconds: float | None) -> int:
    """The platform's times have milliseconds; a float is not exact below."""
    return round((_STARTED if seconds is None else seconds) * 1e6) * 1000


def _mode(look: Look) -> int:
    """The mode bits: what the platform lets its user do, the same for the group and others but to write."""
    entry = look.entry
    if entry.is_dir:
        kind, access = stat.S_IFDIR, entry.access
    elif look.link:
        return stat.S_IFLNK | 0o777
    else:
        # wire: ALL is what an owner may do with any file; it says nothing of programs
        kind, access = stat.S_IFREG, entry.access & 0o6
    bits = access << 6 | (access & 0o5) << 3 | access & 0o5
    if look.noted is not None and look.noted.mode is not None:
        bits = look.noted.mode
    return kind | (bits if look.writable else bits & ~0o222)


def _info(opened: Opened) -> FileInfo:
    return FileInfo(fh=pyfuse3.FileHandleT(opened.handle), keep_cache=opened.keep, direct_io=opened.direct)
