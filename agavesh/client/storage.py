"""Storage: the bytes under one root, on a system or among the outputs of a job. The platform's quirks end here.

Above this module there are names, kinds, sizes and spans of bytes; below it operations, envelopes and staging. Paths
begin with a slash and are meant from the root; on a system, one without is meant from the home. Nothing is cached here.
"""

from __future__ import annotations

import operator
import re
import secrets
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import msgspec
import trio

from agavesh.api.models.files import LogicalFile
from agavesh.api.record import BadField
from agavesh.client.errors import (
    AlreadyThere,
    BadAnswer,
    BadArgument,
    BadRequest,
    Changed,
    NotAllowed,
    NotFound,
    ReadOnly,
    StagingFailed,
    TimedOut,
    WrongKind,
)

if TYPE_CHECKING:
    from agavesh.api.models.files import JobOutputFile, RemoteFile
    from agavesh.client.client import Agave

Kind = Literal["file", "dir"]
Version = tuple[int, float]

READ, WRITE, EXECUTE = 4, 2, 1
_ACCESS = {
    "NONE": 0,
    "READ": READ,
    "WRITE": WRITE,
    "EXECUTE": EXECUTE,
    "READ_WRITE": READ | WRITE,
    "READ_EXECUTE": READ | EXECUTE,
    "WRITE_EXECUTE": WRITE | EXECUTE,
    "ALL": READ | WRITE | EXECUTE,
}

_WORDS = {bits: word for word, bits in _ACCESS.items()}

# Asked for in one page; the platform gives fewer without a word, and `pages` goes on.
PAGE = 10_000
# A settling upload is looked at this often, in seconds: soon at first, since most are small.
_SETTLE_FIRST, _SETTLE_MOST = 0.05, 5.0
TEMPORARY = ".agavefs-tmp-"
_UNFIT = "\0"  # the first character of the name of what makes no sense: no file has it
_SIZE = msgspec.Meta(ge=0, le=2**63 - 1)  # bytes that a file can have


Take = Callable[[list["Entry"], bool], object]


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One name in a folder. `size` in bytes, None if only reading can tell; `modified` in seconds since the epoch."""

    name: str
    kind: Kind
    size: int | None = None
    modified: float | None = None
    access: int = READ

    @property
    def is_dir(self) -> bool:
        return self.kind == "dir"

    @property
    def version(self) -> Version | None:
        """Equal versions mean equal bytes, as far as anyone can tell. None if there is nothing to tell it by."""
        return None if self.size is None or self.modified is None else (self.size, self.modified)


class Begun(msgspec.Struct, frozen=True):
    """What came of a folder along with its own entry: its first `entries`, and whether they are `whole`. `page` is how
    they came, for who scans the others."""

    entries: list[Entry]
    whole: bool
    page: list[Any]


class Stream:
    """Bytes of a file on their way.

    `start` is where they begin, which may be earlier than asked; `size` is the whole file's, None if untold; `stamp`
    is what the platform says of the file's last change, None if nothing: two streams of unlike stamps don't fit.
    """

    def __init__(self, start: int, size: int | None, chunks: AsyncIterator[bytes], stamp: str | None = None) -> None:
        self.start, self.size, self.stamp, self._chunks = start, size, stamp, chunks

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks


class Reading:
    """A download as an `async with` that gives a Stream."""

    def __init__(self, download: Any, what: str, start: int) -> None:
        self._download, self._what, self._start = download, what, start

    async def __aenter__(self) -> Stream:
        try:
            download = await self._download.__aenter__()
        except BadRequest as refusal:
            if refusal.status != 416:
                raise
            raise Changed(f"{self._what} is shorter than it was", hint="list it and read anew") from None
        begins, size = 0, download.size
        if download.status == 206:
            begins, size = _content_range(download.headers.get("content-range", ""), self._start)
        return Stream(begins, size, download.chunks(), download.headers.get("last-modified"))

    async def __aexit__(self, *failure: object) -> None:
        await self._download.__aexit__(*failure)


class Storage(ABC):
    """What both kinds of storage can do. What only a system can do raises `ReadOnly` here."""

    agave: Agave
    owner: str  # id of the system or the job

    @abstractmethod
    async def scan(self, path: str, take: Take, begun: Begun | None = None) -> None:
        """Let `take` have the entries of a folder page by page, and whether a page is the last.

        With what has `begun` to come, only the others. NotFound; WrongKind for a file; NotAllowed. It may return a
        moment after the last page was taken. A line that makes no sense has an entry, with a name that no file has.
        """

    @abstractmethod
    async def stat(self, path: str) -> Entry:
        """One entry, by one request. NotFound; NotAllowed."""

    async def look(self, path: str) -> tuple[Entry, Begun | None]:
        """One entry, by one request, and if it is a folder what is in it, as far as that comes along. Errors as `stat`.

        Who looks for a folder is on the way into it, and spares the round trip of listing it.
        """
        return await self.stat(path), None

    @abstractmethod
    def _download(self, path: str, headers: dict[str, str], bulk: bool | None) -> Any:
        """The Download of a file."""

    def read(self, path: str, start: int = 0, stop: int | None = None, *, bulk: bool | None = None) -> Reading:
        """`async with` it: the Stream of the bytes from `start` to before `stop`, or to the end.

        wire: an end past the end of the file is refused (416), so callers ask for no more than the listed size;
        a refusal means that the file has become shorter: Changed. `bulk` says whether the whole is a large transfer.
        """
        headers = {}
        if start or stop is not None:
            headers["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        return Reading(self._download(path, headers, bulk), f"{path} on {self.owner}", start)

    async def put(self, path: str, source: Any, *, patience: float = 60, size: int | None = None) -> Entry:
        """Upload `source` (a local path, an open binary file, bytes, an async iterator); wait until it is settled.

        `size` in bytes says that nothing of that name was there: then it is settled as soon as all of it shows.
        """
        raise self._refusal(path)

    async def replace(self, path: str, source: Any) -> Entry:
        """Upload over what is there, if anything: a reader sees the old file or the new one, never a part."""
        raise self._refusal(path)

    async def mkdir(self, path: str) -> None:
        """Make a folder in one that exists. Quiet if it is there already; AlreadyThere for a file."""
        raise self._refusal(path)

    async def make(self, path: str) -> Entry:
        """Make a folder that is not there, by one request. AlreadyThere, for a folder too."""
        raise self._refusal(path)

    async def move(self, source: str, target: str) -> None:
        """Rename or move. Never replaces: AlreadyThere."""
        raise self._refusal(source)

    async def copy(self, source: str, target: str) -> None:
        """Copy on the platform. A file that is there is overwritten, and keeps its uuid, grants, history, metadata."""
        raise self._refusal(target)

    async def remove(self, path: str) -> None:
        """Delete; a folder with all that is in it. NotFound."""
        raise self._refusal(path)

    async def grants(self, path: str) -> dict[str, int]:
        """Who may do what with a path: bits of READ, WRITE and EXECUTE by user."""
        raise self._refusal(path)

    async def grant(self, path: str, grants: dict[str, int]) -> None:
        """Let others do that with a path. What the caller may do is as it is."""
        raise self._refusal(path)

    def _refusal(self, path: str) -> ReadOnly:
        return ReadOnly(
            f"{path} of {self.owner} can't be changed", hint="job outputs are read-only; copy them elsewhere"
        )


class SystemStorage(Storage):
    """The files of one system."""

    def __init__(self, agave: Agave, system: str) -> None:
        self.agave, self.owner = agave, system

    async def scan(self, path: str, take: Take, begun: Begun | None = None) -> None:
        first = begun is None

        def page(lines: list[_Line], last: bool) -> None:
            nonlocal first
            if first and lines and lines[0].name != ".":
                _must_fit(lines[0], f"{path} on {self.owner}")
                raise WrongKind(f"{path} on {self.owner} is no folder", directory_expected=True)
            # wire: the first entry of a listing is the folder itself, named "."
            take([line.entry() for line in (lines[1:] if first else lines)], last)
            first = False

        await self.agave.pages_ahead(
            self.agave.files.list, page, record=_Line, key=_name, limit=PAGE, first=begun.page if begun else None,
            likely=_likely, systemId=self.owner, filePath=path,
        )  # fmt: skip

    async def stat(self, path: str) -> Entry:
        return (await self.locate(path))[1]

    async def look(self, path: str) -> tuple[Entry, Begun | None]:
        files = self.agave.files
        try:
            page, whole = await self.agave.first_page(files.list, record=_Line, systemId=self.owner, filePath=path)
        except BadAnswer:  # one line that makes no sense must not hide the folder, nor what else is in it
            return await self.stat(path), None
        if not page:
            raise NotFound(f"no {path} on {self.owner}")
        _must_fit(page[0], f"{path} on {self.owner}")
        itself = msgspec.structs.replace(page[0].entry(), name=path.rstrip("/").rpartition("/")[2])
        if page[0].name != ".":
            return itself, None
        return itself, Begun([line.entry() for line in page[1:]], whole, page)

    async def locate(self, path: str) -> tuple[str, Entry]:
        """The path from the root, and the entry: for paths that are meant from the home."""
        page = await self.agave.files.list(systemId=self.owner, filePath=path, limit=1)
        if not page:
            raise NotFound(f"no {path} on {self.owner}")
        file = page[0]
        absolute = "/" + file.path.strip("/")
        name = absolute.rpartition("/")[2]
        return absolute, msgspec.structs.replace(_entry(file, file.permissions), name=name)

    def _download(self, path: str, headers: dict[str, str], bulk: bool | None) -> Any:
        return self.agave.files.download(systemId=self.owner, filePath=path, headers=headers, bulk=bulk)

    async def put(self, path: str, source: Any, *, patience: float = 60, size: int | None = None) -> Entry:
        folder, name = _split(path)
        answer = await self.agave.files.importData(
            systemId=self.owner, filePath=folder, fileName=name, fileToUpload=source
        )
        if answer.status == "STAGING_COMPLETED":
            # wire: a platform that has put it in place by now tells of it as its listings do
            if size is not None and answer.lastModified is not None:
                return Entry(name, "file", size, answer.lastModified.timestamp(), READ | WRITE)
            return await self.stat(path)
        return await self._settled(path, patience, size)

    async def _settled(self, path: str, patience: float, size: int | None) -> Entry:
        """The entry of the newest upload when it is in place: its history says so, or what was not there has its
        `size`. `patience`: seconds without any news."""
        pause, told = _SETTLE_FIRST, (0, -1)
        deadline = trio.current_time() + patience
        while True:
            here = -1
            if size is not None:
                with suppress(NotFound):
                    entry = await self.stat(path)
                    if (here := entry.size or 0) == size:
                        return entry
            # wire: the history of a name that has just been uploaded may not be there yet
            events: list[str] = []
            try:
                async for page in self.agave.pages(self.agave.files.getHistory, systemId=self.owner, filePath=path):
                    events += [event.status for event in page]
            except (NotFound, NotAllowed):
                events = []
            newest = max((at for at, event in enumerate(events) if event == "STAGING_QUEUED"), default=-1)
            if "STAGING_FAILED" in events[newest + 1 :]:
                raise StagingFailed(f"{self.owner} took {path} and could not put it in place", hint="send it again")
            if newest >= 0 and "STAGING_COMPLETED" in events[newest + 1 :]:
                return await self.stat(path)
            if (len(events), here) > told:
                told, deadline = (len(events), here), trio.current_time() + patience
            if trio.current_time() > deadline:
                raise TimedOut(f"{self.owner} took {path} but has not put it in place for {patience:.0f} s")
            await trio.sleep(pause)
            pause = min(pause * 2, _SETTLE_MOST)

    async def replace(self, path: str, source: Any) -> Entry:
        folder, _ = _split(path)
        try:
            await self.stat(path)
        except NotFound:
            return await self.put(path, source)
        beside = f"{folder.rstrip('/')}/" if folder else ""
        temporary = f"{beside}{TEMPORARY}{secrets.token_hex(8)}"
        try:
            await self.put(temporary, source)
            await self.copy(temporary, path)
        finally:
            with trio.move_on_after(15, shield=True):
                try:
                    await self.remove(temporary)
                except NotFound:
                    pass
        return await self.stat(path)

    async def mkdir(self, path: str) -> None:
        await self._made(path)

    async def make(self, path: str) -> Entry:
        file, there = await self._made(path)
        if there:
            raise AlreadyThere(f"{path} on {self.owner} is there already")
        try:
            modified = None if file.lastModified is None else file.lastModified.timestamp()
        except BadField:  # of a folder that we have just made, that is all there is to know
            modified = None
        return Entry(_split(path)[1], "dir", None, modified, READ | WRITE | EXECUTE)

    async def _made(self, path: str) -> tuple[LogicalFile, bool]:
        folder, name = _split(path)
        body = {"action": "mkdir", "path": name}
        try:
            return await self.agave.made(self.agave.files.manage, systemId=self.owner, filePath=folder, body=body)
        except BadRequest:
            if not (await self.stat(path)).is_dir:
                raise AlreadyThere(f"{path} on {self.owner} is there already, and is a file") from None
            return LogicalFile(), True

    async def move(self, source: str, target: str) -> None:
        (from_folder, _), (to_folder, name) = _split(source), _split(target)
        try:
            if from_folder == to_folder:
                await self._manage(source, "rename", name)
            else:
                await self._manage(source, "move", target)
        except BadRequest:
            # wire: that the target exists is told by a text alone
            try:
                await self.stat(target)
            except NotFound:
                pass
            else:
                raise AlreadyThere(f"{target} on {self.owner} is there already") from None
            raise

    async def copy(self, source: str, target: str) -> None:
        await self._manage(source, "copy", target)

    async def remove(self, path: str) -> None:
        if not path.strip("/"):
            raise BadArgument(f"the root of {self.owner} can't be removed", hint="name a file or folder in it")
        await self.agave.files.delete(systemId=self.owner, filePath=path)

    async def grants(self, path: str) -> dict[str, int]:
        found: dict[str, int] = {}
        async for page in self.agave.pages(self.agave.files.listPermissions, systemId=self.owner, filePath=path):
            for one in page:
                may = one.permission
                if one.username and may is not None:
                    bits = ((may.read, READ), (may.write, WRITE), (may.execute, EXECUTE))
                    found[one.username] = sum(bit for allowed, bit in bits if allowed)
        return found

    async def grant(self, path: str, grants: dict[str, int]) -> None:
        for user, bits in grants.items():
            if user != self.agave.username:
                await self.agave.files.updatePermissions(
                    systemId=self.owner, filePath=path, body={"username": user, "permission": _WORDS[bits]}
                )

    async def _manage(self, at: str, action: str, path: str) -> None:
        await self.agave.files.manage(systemId=self.owner, filePath=at, body={"action": action, "path": path})

    async def home(self) -> str:
        """The user's home, from the root. On a public system each user has one below the system's."""
        record = await self.agave.systems.get(systemId=self.owner)
        base = "/" + ((record.storage.homeDir if record.storage else None) or "").strip("/")
        if not record.public:
            return base
        user = self.agave.username or (await self.agave.profiles.get()).username
        return f"{base.rstrip('/')}/{user}"


class JobStorage(Storage):
    """The outputs of one job, wherever the platform keeps them now. Read-only."""

    def __init__(self, agave: Agave, job: str) -> None:
        self.agave, self.owner = agave, job

    async def scan(self, path: str, take: Take, begun: Begun | None = None) -> None:
        first = begun is None

        def page(lines: list[_Output], last: bool) -> None:
            nonlocal first
            if first and len(lines) == 1 and _is_itself(lines[0], path):
                raise WrongKind(f"{path} of job {self.owner} is no folder", directory_expected=True)
            take([line.entry() for line in lines], last)
            first = False

        await self.agave.pages_ahead(
            self.agave.jobs.listOutputs, page, record=_Output, key=_name, limit=PAGE,
            first=begun.page if begun else None, jobId=self.owner, filePath=path.strip("/"),
        )  # fmt: skip

    async def stat(self, path: str) -> Entry:
        name = path.rstrip("/").rpartition("/")[2]
        page = await self.agave.jobs.listOutputs(jobId=self.owner, filePath=path.strip("/"), limit=1)
        if page and _is_itself(page[0], path):
            return _entry(page[0], page[0].permission, READ)
        # wire: a folder of outputs does not tell of itself
        return Entry(name, "dir", 0, None, READ | EXECUTE)

    async def look(self, path: str) -> tuple[Entry, Begun | None]:
        outputs, name = self.agave.jobs.listOutputs, path.rstrip("/").rpartition("/")[2]
        where = {"jobId": self.owner, "filePath": path.strip("/")}
        try:
            page, whole = await self.agave.first_page(outputs, record=_Output, **where)
        except BadAnswer:
            return await self.stat(path), None
        if len(page) == 1 and _is_itself(page[0], path):
            return page[0].entry(), None
        return Entry(name, "dir", 0, None, READ | EXECUTE), Begun([line.entry() for line in page], whole, page)

    def _download(self, path: str, headers: dict[str, str], bulk: bool | None) -> Any:
        return self.agave.jobs.downloadOutput(jobId=self.owner, filePath=path.strip("/"), headers=headers, bulk=bulk)


class _Line(msgspec.Struct, gc=False):
    """What is read of a line of a listing: a folder may have a million."""

    name: str
    type: str
    length: Annotated[int, _SIZE] | None = None
    lastModified: datetime | None = None
    permissions: str | None = None

    @classmethod
    def unfit(cls, raw: bytes) -> Self:
        """In place of a line that makes no sense: the others count on its place. Its name is none, and its own."""
        return cls(f"{_UNFIT}{raw.decode(errors='replace')}", "unfit")

    def entry(self) -> Entry:
        modified = None if self.lastModified is None else seconds_of(self.lastModified)
        access = _ACCESS.get(self.permissions or "READ")
        if access is None:
            access = _ACCESS.get((self.permissions or "READ").upper(), READ)
        return Entry(self.name, "dir" if self.type == "dir" else "file", self.length or 0, modified, access)


class _Output(_Line, gc=False):
    """The same of an output. wire: they say NONE for what their reader may well read."""

    path: str = ""

    def entry(self) -> Entry:
        modified = None if self.lastModified is None else seconds_of(self.lastModified)
        is_dir = self.type == "dir"
        access = READ | EXECUTE if is_dir else READ
        return Entry(self.name, "dir" if is_dir else "file", self.length or 0, modified, access)


def _must_fit(line: _Line, what: str) -> None:
    """BadAnswer if the line makes no sense."""
    if line.name.startswith(_UNFIT):
        raise BadAnswer(f"what the platform tells of {what} makes no sense: {line.name[1:100]!r}")


_name = operator.attrgetter("name")
_COUNT = re.compile(r"[0-9]{1,19}")


def _likely(page: list[_Line]) -> int:
    """How many lines a folder may have, by its first page. wire: what it says of its own size is what its names take on
    the disk, where that has such a size: half of it filled, and some bytes beside each name."""
    return (page[0].length or 0) * len(page) // (2 * sum(len(line.name) + 8 for line in page))


def _is_itself(file: JobOutputFile | _Output, path: str) -> bool:
    return file.type != "dir" and file.path.strip("/") == path.strip("/") != ""


def _split(path: str) -> tuple[str, str]:
    """Folder and name. The folder keeps what the path is meant from."""
    folder, slash, name = path.rstrip("/").rpartition("/")
    if not name:
        raise BadArgument(f"{path!r} names no file")
    return folder or slash, name


def _entry(file: RemoteFile | JobOutputFile, permission: str | None, most: int = READ | WRITE | EXECUTE) -> Entry:
    """An Entry of a listing's line. `most` is what any permission is cut to. BadAnswer if the line makes no sense."""
    try:
        return _entry_of(file, permission, most)
    except BadField as misfit:
        raise BadAnswer(str(misfit)) from None


def _entry_of(file: RemoteFile | JobOutputFile, permission: str | None, most: int) -> Entry:
    is_dir = file.type == "dir"
    access = _ACCESS.get((permission or "READ").upper(), READ) or 0
    if most == READ:  # wire: job outputs say NONE for what their reader may well read
        access = READ | (EXECUTE if is_dir else 0)
    modified = seconds_of(file.lastModified) if file.lastModified else None
    if not 0 <= (file.length or 0) < 2**63:
        raise BadAnswer(f"{file.name!r} is said to have {file.length} bytes")
    return Entry(file.name, "dir" if is_dir else "file", file.length or 0, modified, access)


def seconds_of(moment: datetime) -> float | None:
    """A date in seconds since the epoch; None for one at an end of all time, without a zone to tell it by."""
    try:
        return moment.timestamp()
    except (ValueError, OverflowError):
        return None


def _content_range(header: str, asked: int) -> tuple[int, int | None]:
    """Where the bytes begin, and the size of the whole, from a header such as `bytes 0-9/100`."""
    span, _, total = header.removeprefix("bytes ").partition("/")
    begin, _, _ = span.partition("-")
    # a number of more digits is of no file, and Python would refuse to read some
    return (int(begin) if _COUNT.fullmatch(begin) else asked), (int(total) if _COUNT.fullmatch(total) else None)
