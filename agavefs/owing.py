"""Owing: all that this user's mounts owe the platform, or have left unfinished, as the journals and `left` tell.

It looks and changes nothing: no journal is opened for writing, nor brought up to date. Of another host's the files are
copied and the copy is read, since SQLite's locks and shared memory reach no further than a host.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agavefs.journal import BYTELESS, REMOVALS, Row, lives, read
from agavefs.left import Left
from agavefs.places import Card, Places

_TRIES = 5  # at a copy of what somebody writes meanwhile

# what becomes of it, if a mount has it, and if none has
_STATES = {
    "writing": ("open, or written and never closed", "open when its mount died"),
    "sealed": ("to be sent", "to be sent"),
    "sending": ("on its way", "was on its way"),
    "beside": ("beside its place", "beside its place"),
    "aside": ("changing places with what it replaces", "changing places with what it replaces"),
    "emptied": ("a folder to be removed if it is empty", "a folder to be removed if it is empty"),
    "placed": ("there, but for a file beside it to be removed", "there, but for a file beside it to be removed"),
    "hidden": ("to be removed", "to be removed"),
}


@dataclass(frozen=True)
class Owing:
    """One thing owed. `where` is the cache folder whose journal says so, or `left`; `host` another host whose that is;
    `card` the mount that has it, if it is known, and `alive` says that one has, or may have. `bytes` is their file."""

    row: Row
    where: Path
    host: str
    alive: bool
    card: Card | None
    bytes: Path | None
    left: bool = False

    @property
    def number(self) -> str:
        return self.row.number

    @property
    def state(self) -> str:
        """What became of it, in words."""
        return _STATES[self.row.state][not self.alive or bool(self.host)]

    @property
    def size(self) -> int | None:
        """How many bytes there are here; None where it is not about bytes, or they are gone."""
        if self.bytes is not None:
            with suppress(OSError):
                return self.bytes.stat().st_size
        return None

    @property
    def since(self) -> float | None:
        """When it was begun, or closed; when it was written last, where nobody has noted that."""
        if self.row.since is None and self.bytes is not None:
            with suppress(OSError):
                return self.bytes.stat().st_mtime
        return self.row.since

    @property
    def whose(self) -> str:
        """The mount that has it, for people."""
        if self.host:
            return f"of the host {self.host}"
        if self.card is not None:
            return f"mounted at {self.card.mountpoint}"
        if self.alive:
            return "a mount has it"
        return ""

    def __str__(self) -> str:
        """A line for people."""
        size = "-" if self.row.state in BYTELESS else "gone" if self.size is None else f"{self.size} bytes"
        since = "-" if self.since is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        why = self.row.trouble or ""
        if why and self.row.request:
            why += f" (request {self.row.request})"
        words = [self.number, self.state, size, since, self.row.remote.uri, self.row.account.removeprefix("@")]
        return "  ".join([*words, *(word.replace("\n", " ") for word in (why, self.whose) if word)])


def everything(places: Places) -> tuple[list[Owing], list[OSError]]:
    """All that is owed, by what is known here; and what could not be read. The same under `left` and in a journal is
    the journal's."""
    found: dict[str, Owing] = {}
    troubles: list[OSError] = []
    cards = {card.owner: card for card in places.cards()}
    for folder in places.caches():
        try:
            rows, owners = read(folder / "journal.db")
        except OSError as trouble:
            troubles.append(trouble)
            continue
        alive = {owner: lives(folder, owner, owners.get(owner)) for owner in {row.owner for row in rows}}
        for row in rows:
            it = Owing(row, folder, "", alive[row.owner], cards.get(row.owner), _bytes(row))
            found.setdefault(it.number, it)
    left = Left(places.left)
    for row, file in left.rows():
        taken = left.taken(row)
        found.setdefault(row.number, Owing(row, places.left, "", taken, None, file, left=True))
    for folder, host in places.caches_of_others().items():
        try:
            rows = _copied(folder / "journal.db")
        except OSError as trouble:
            troubles.append(trouble)
            continue
        for row in rows:
            found.setdefault(row.number, Owing(row, folder, host, True, None, _bytes(row)))
    return list(found.values()), troubles


def of_account(places: Places, account: str) -> int:
    """How many files an account is owed on this host. OSError if a journal can't be read."""
    owing, troubles = everything(places)
    if troubles:
        raise troubles[0]
    return sum(it.row.account == account and not it.host and it.row.state not in REMOVALS for it in owing)


def _bytes(row: Row) -> Path | None:
    return Path(row.spool) if row.spool and row.state not in BYTELESS else None


def _copied(file: Path) -> list[Row]:
    """The rows of a journal that may be written elsewhere at this moment. OSError."""
    parts = [file, file.with_name(f"{file.name}-wal")]
    with tempfile.TemporaryDirectory(prefix="agavefs-") as folder:
        for _ in range(_TRIES):
            before = [_stamp(part) for part in parts]
            for part in parts:
                copy = Path(folder, part.name)
                copy.unlink(missing_ok=True)
                with suppress(FileNotFoundError):
                    shutil.copyfile(part, copy)
            if before == [_stamp(part) for part in parts]:
                break
        return read(Path(folder, file.name))[0]


def _stamp(path: Path) -> tuple[int, int] | None:
    with suppress(FileNotFoundError):
        about = path.stat()
        return about.st_size, about.st_mtime_ns
    return None
