"""Left: what the mounts of batch jobs could not send, where the user's next mount finds it, on whatever host that is.

    STATE/agavesh/left/<name>.json     a row of the journal, and which file has its bytes
                       <token>.bytes   what a spool held

A job's cache goes with the job. So what is owed when a mount of it ends is brought here: the bytes, on the disk, and
then the row by a rename, so it is here whole or not at all; only after that it leaves the journal. The way back is the
same. A mount whose own cache goes with a job leaves what it takes here until the platform has it.

There is no SQLite, since homes are on NFS. Who takes something locks it. Where there are no locks two might take the
same: then the second one finds the platform's version changed, and goes beside it. It knows nothing of how it is sent.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import secrets
import shutil
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from agavefs.journal import BYTELESS, Journal, Row

_log = logging.getLogger(__name__)

_DAY = 86400.0  # seconds: bytes without a row that are so old are those of a mount that died


class _Note(msgspec.Struct, frozen=True):
    """What stands in a .json: `file` is empty where there are no bytes to send."""

    row: Row
    file: str


@dataclass(frozen=True)
class _Held:
    """Something that is left, and nobody else's as long as `lock` is open."""

    path: Path
    note: _Note
    lock: int

    @property
    def bytes(self) -> Path | None:
        return self.path.parent / self.note.file if self.note.file else None

    def drop(self) -> None:
        """The platform has it, or a journal that lasts."""
        self.path.unlink(missing_ok=True)
        if self.bytes is not None:
            self.bytes.unlink(missing_ok=True)
        os.close(self.lock)


@dataclass(frozen=True)
class Left:
    """The folder. All of it blocks: call it from a thread."""

    folder: Path

    def bring(self, journal: Journal) -> int:
        """Bring here what the journal's own mount owes, and make the journal forget it; how many could not be."""
        failed = 0
        for row in journal.rows():
            if row.owner == journal.owner:
                try:
                    self._put(row)
                except OSError as error:
                    _log.error(
                        "%s can't be brought to %s, and stays in %s: %s", row.path, self.folder, row.spool, error
                    )
                    failed += 1
                    continue
                journal.drop(row.id)
                if row.spool:
                    Path(row.spool).unlink(missing_ok=True)
        return failed

    def take(self, journal: Journal, spools: Path, *, lasting: bool, only: Collection[str] | None = None) -> None:
        """What is here of the journal's account becomes that mount's; `only` the rows of these numbers. What is not
        possible now stays for the next."""
        there = {Path(row.spool).name: row for row in journal.rows() if row.spool}
        for held in self._held(journal.account, only):
            known = there.get(held.path.stem)
            if known is not None and journal.alive(known.owner):
                os.close(held.lock)
                continue
            number = known.id if known is not None else None
            if number is None:
                spool = spools / held.path.stem
                try:
                    if held.bytes is not None:
                        spools.mkdir(mode=0o700, parents=True, exist_ok=True)
                        _bring(held.bytes, spool, link=lasting)
                    number = journal.put(held.note.row, spool if held.note.row.spool else None)
                except OSError as error:
                    _log.warning("%s waits in %s: %s", held.note.row.path, self.folder, error)
                    spool.unlink(missing_ok=True)
                    os.close(held.lock)
                    continue
            if lasting:
                held.drop()
            else:
                journal.also[number] = held.drop
        self._sweep()

    def count(self, owner: str) -> int:
        """How many files a mount, by its name in the journal, has left here."""
        rows = [note.row for _, note in self._notes()]
        return sum(row.owner == owner and row.state not in BYTELESS for row in rows)

    def rows(self) -> list[tuple[Row, Path | None]]:
        """What is here, whosever it is, and where its bytes are. It may go at any moment."""
        return [(note.row, self.folder / note.file if note.file else None) for _, note in self._notes()]

    def taken(self, row: Row) -> bool:
        """Whether a mount has it just now."""
        for path, note in self._notes():
            if note.row.number == row.number:
                if (lock := _lock(path)) is None:
                    return path.exists()
                os.close(lock)
        return False

    def put(self, row: Row) -> None:
        """Bring a row here, with the bytes of its spool. OSError."""
        self._put(row)

    def drop(self, row: Row) -> bool:
        """Throw it away, and its bytes; False if a mount has it, or has had it meanwhile."""
        for held in self._held(row.account, {row.number}):
            held.drop()
            return True
        return False

    def change(self, row: Row) -> bool:
        """Have this row in place of the one of the same number; False if a mount has that, or has had it meanwhile."""
        for held in self._held(row.account, {row.number}):
            try:
                self._write(held.path, _Note(row, held.note.file))
            finally:
                os.close(held.lock)
            return True
        return False

    def _put(self, row: Row) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = Path(row.spool).name or secrets.token_hex(12)
        path = self.folder / f"{name}.json"
        before = _read(path)
        file = "" if row.state in BYTELESS else f"{secrets.token_hex(12)}.bytes"
        try:
            if file:
                _bring(Path(row.spool), self.folder / file, link=True)
            self._write(path, _Note(row, file))
        except OSError:
            if file:
                (self.folder / file).unlink(missing_ok=True)
            raise
        if before is not None and before.file:
            (self.folder / before.file).unlink(missing_ok=True)

    def _write(self, path: Path, note: _Note) -> None:
        """A note, in place of the one that may be there."""
        fresh = path.with_suffix(f".{secrets.token_hex(4)}.new")
        try:
            fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(fd, "wb") as out:
                out.write(msgspec.json.encode(note))
                out.flush()
                os.fsync(fd)
            fresh.replace(path)
            _sync(self.folder)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise

    def _notes(self) -> Iterator[tuple[Path, _Note]]:
        """In the order in which they came."""
        for path in sorted(self.folder.glob("*.json"), key=_came_at):
            if (note := _read(path)) is not None:
                yield path, note

    def _held(self, account: str, only: Collection[str] | None = None) -> Iterator[_Held]:
        for path, note in self._notes():
            if note.row.account != account or (only is not None and note.row.number not in only):
                continue
            if (lock := _lock(path)) is not None:
                again = _read(path)  # nobody else changes it from now on
                if again is None:
                    os.close(lock)
                else:
                    yield _Held(path, again, lock)

    def _sweep(self) -> None:
        used = {note.file for _, note in self._notes()}
        for path in [*self.folder.glob("*.bytes"), *self.folder.glob("*.new")]:
            with contextlib.suppress(OSError):
                if path.name not in used and path.stat().st_mtime < time.time() - _DAY:
                    path.unlink()


def rescue(folder: Path, account: str, left: Left) -> str:
    """Bring to what is left what mounts that died owe; in whose name. OSError."""
    journal = Journal(folder, account)
    try:
        journal.take_over()
        left.bring(journal)
    finally:
        journal.close()
    return journal.owner


def _read(path: Path) -> _Note | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Note)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        _log.warning("%s can't be read: %s", path, error)
        return None


def _came_at(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime_ns
    return 0


def _lock(path: Path) -> int | None:
    """The lock of what is there now; None if somebody has it, or it is gone."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            os.close(fd)
            return None  # otherwise there are no locks here
    with contextlib.suppress(OSError):
        if os.path.samestat(os.fstat(fd), path.stat()):
            return fd
    os.close(fd)
    return None


def _bring(source: Path, target: Path, *, link: bool) -> None:
    """The bytes of a file under another name, on the disk; as the same file where that is allowed and possible."""
    target.unlink(missing_ok=True)
    linked = False
    if link:
        with contextlib.suppress(OSError):  # another filesystem, or one without links
            target.hardlink_to(source)
            linked = True
    if not linked:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        shutil.copyfile(source, target)
    _sync(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
