"""Why: what a mount knows of one path. It asks the platform nothing but where a link leads; what it does not know, it
says.

Kind, size and version as they were told, and for how long that is believed; how much of the bytes is here; what of it
is owed, and what keeps it; who has it open; and what failed there last, with the request that the platform can look up.
"""

from __future__ import annotations

import errno
import posixpath
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import trio

from agavefs.failures import Failures
from agavefs.files import Files
from agavefs.handles import SpoolHandle
from agavefs.inodes import Inode
from agavefs.journal import Journal, Row
from agavefs.looks import Looks, growing
from agavefs.owing import Owing
from agavefs.shelf import Shelf
from agavefs.spool import Spools
from agavesh.client.mounts import Answer, Ask
from agavesh.client.path import RemotePath
from agavesh.client.storage import Entry, Version
from agavesh.tree.listing import ListingCache
from agavesh.tree.node import Link
from agavesh.tree.storage import StorageFile

_KINDS = {"dir": "folder", "file": "file"}


@dataclass(frozen=True)
class Why:
    """Answers for one mount. `followed` tells where the links of a path lead, `at` which inode stands there."""

    looks: Looks
    listings: ListingCache
    files: Files
    spools: Spools
    shelf: Shelf
    journal: Journal
    failures: Failures
    followed: Callable[[str], Awaitable[str]]
    at: Callable[[str], Inode | None]

    async def act(self, ask: Ask) -> Answer:
        """Answer to `why`, about one path or several."""
        root = self.looks.inodes.root.path.rstrip("/")
        asked = [*ask.paths, *(f"{root}/{inside}" for inside in ask.inside)]
        texts = []
        for path in (posixpath.normpath(f"/{path.strip('/')}") for path in asked):
            if root and not f"{path}/".startswith(f"{root}/"):
                return Answer(error=f"{path} is not in this mount, which shows {root}")
            texts.append("".join(f"{line}\n" for line in await self._lines(path)))
        return Answer(text="\n".join(texts))

    async def _lines(self, asked: str) -> list[str]:
        path = await self.followed(asked)
        rows = await trio.to_thread.run_sync(self.journal.rows)
        # no await from here: what is told is of one moment
        lines = [f"path        {asked}", *([f"leads to    {path}"] if path != asked else [])]
        if (inode := self.at(path)) is not None:
            remote = inode.node.remote if isinstance(inode.node, StorageFile) else None
            lines += self._of_inode(inode, remote)
        else:
            remote = _remote(path)
            lines += self._of_name(path)
        lines += [line for row in rows if row.remote == remote for line in self._of_row(row)]
        if (failure := self.failures.of(path)) is not None:
            name = errno.errorcode.get(failure.errno, str(failure.errno))
            lines.append(f"failed      {failure.act} at {_at(failure.at)} with {name}: {failure.text}")
            lines += [f"request     {failure.request}"] if failure.request else []
        else:
            lines.append("failed      nothing that is remembered")
        return lines

    def _of_inode(self, inode: Inode, remote: RemotePath | None) -> Iterator[str]:
        look = self.looks.look(inode)
        kind = "link" if isinstance(inode.fixed, Link) else _KINDS[look.entry.kind]
        yield f"kind        {kind}{', a job may be writing it' if kind == 'file' and growing(inode) else ''}"
        yield from _about(look.entry)
        told, wall = inode.told, inode.told_wall
        if inode.parent is not None and (kept := self.listings.kept(inode.parent.path)) and kept.asked > told:
            told, wall = kept.asked, kept.asked_wall
        if inode.spool is not None and inode.spool.dirty:
            yield "told        by nobody: it is written here"
        elif wall > 0:
            left = self.looks.trust(inode) - max(0.0, time.time() - wall)
            yield f"told        at {_at(wall)}, {_believed(left)}"
        else:
            yield "told        by this mount itself, or before it looked anew"
        if remote is not None:
            yield from self._of_bytes(inode, remote, look.entry.version)
            yield f"open        {self._handles(inode)}"

    def _of_name(self, path: str) -> Iterator[str]:
        folder, name = posixpath.split(path)
        kept, listed = self.listings.kept(folder), self.listings.peek(folder)
        entry = (listed or {}).get(name)
        if isinstance(entry, Entry):
            yield f"kind        {_KINDS[entry.kind]}"
            yield from _about(entry)
            yield f"told        by the listing of {folder}" + (f" at {_at(kept.asked_wall)}" if kept else "")
        elif kept is not None and kept.complete:
            yield f"kind        no such name, by the listing of {folder} at {_at(kept.asked_wall)}"
        else:
            yield "kind        not known: nobody has looked there, or it was forgotten"

    def _of_bytes(self, inode: Inode, remote: RemotePath, version: Version | None) -> Iterator[str]:
        spool = inode.spool or self.spools.find(remote, version)
        if spool is None or not spool.present.total:
            yield "here        none of its bytes" if inode.entry.size else "here        all of it"
        elif spool.whole:
            yield f"here        all of its {spool.size} bytes"
        else:
            yield f"here        {spool.present.total} of its {spool.size} bytes"
        shelved = version is not None and self.shelf.has(remote, version)
        yield f"shelf       {'all of it is kept for later' if shelved else 'not there as a whole'}"

    def _of_row(self, row: Row) -> Iterator[str]:
        alive = self.journal.alive(row.owner)
        by = "" if row.owner == self.journal.owner else ", by another mount" if alive else ", by one that has died"
        it = Owing(row, Path(), "", alive, None, Path(row.spool) if row.spool else None)
        since = f" since {_at(it.since)}" if it.since is not None else ""
        yield f"owed        {it.state}{since}{by} (number {row.number})"
        if row.trouble:
            yield f"trouble     {_at(row.tried) + ': ' if row.tried else ''}{row.trouble}"
            if row.request:
                yield f"request     {row.request}"

    def _handles(self, inode: Inode) -> str:
        handles = self.files.handles(inode)
        writing = sum(isinstance(it, SpoolHandle) and it.writable for it in handles)
        return f"{len(handles) - writing} times for reading, {writing} for writing" if handles else "by nobody"


def _about(entry: Entry) -> Iterator[str]:
    if entry.kind == "dir":
        return
    yield f"size        {'not known before it is read' if entry.size is None else entry.size}"
    modified = "its platform does not say when" if entry.modified is None else _at(entry.modified)
    yield f"modified    {modified}"


def _believed(left: float) -> str:
    return f"believed for {left:.0f} s more" if left > 0 else "too long ago to be believed: the next look asks"


def _remote(path: str) -> RemotePath | None:
    _, systems, system, *names = [*path.split("/"), "", ""]
    return RemotePath("system", system, "/" + "/".join(filter(None, names))) if systems == "systems" else None


def _at(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
