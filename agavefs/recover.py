"""`agavefs recover`: what could not be sent, or was never closed, shown, sent after all, saved elsewhere or discarded.

What a living mount has is that mount's: it is told to send it, and nobody else touches it. The rest is changed by
taking it over first, as a mount would, so that a mount that starts at the same moment gets it or we do. Another host's
is only touched where that host was named, and then brought to `left` to be sent: nobody here can tell whether it lives,
but for the locks of its mounts where the folder's filesystem has some.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import trio

from agavefs.journal import BYTELESS, Journal, Row
from agavefs.left import Left
from agavefs.owing import Owing, everything
from agavefs.places import Card, Places
from agavesh.client import mounts
from agavesh.client.errors import AgaveError

# sysexits.h
EX_USAGE, EX_NOINPUT, EX_OSERR, EX_CANTCREAT, EX_IOERR, EX_TEMPFAIL, EX_NOPERM = 64, 66, 71, 73, 74, 75, 77

_LEAST = 4  # letters of a number that are enough, if only one begins so

Say = Callable[[str], None]


class Refused(Exception):
    """It is not done, and why; with the exit status."""

    def __init__(self, text: str, status: int = EX_TEMPFAIL) -> None:
        super().__init__(text)
        self.status = status


def show(places: Places, say: Say) -> int:
    """Print a line for each thing owed."""
    owing, status = _all(places, say)
    for it in sorted(owing, key=lambda it: (it.host, it.since or 0.0)):
        print(it)
    if not owing and not status:
        say("nothing is owed: all that was written is at the platform")
    return status


def send(places: Places, numbers: Sequence[str], say: Say, *, host: str = "") -> int:
    """Have these sent, by a mount that lives or by the next one; say which."""
    return _each(places, numbers, say, host, lambda it: _send(places, it))


def save(places: Places, numbers: Sequence[str], folder: Path, say: Say, *, host: str = "") -> int:
    """Copy the bytes of these into a folder, beside what is there."""
    if not folder.is_dir():
        say(f"{folder} is no folder")
        return EX_CANTCREAT
    return _each(places, numbers, say, host, lambda it: _save(it, folder))


def discard(places: Places, numbers: Sequence[str], say: Say, *, host: str = "", sure: bool = False) -> int:
    """Throw these away for good, after a question."""
    owing, status = _named(places, numbers, say, host)
    for it in [it for it in owing if it.alive and not it.host]:
        say(f"{it.number} is not discarded: {_living(it)}")
        owing.remove(it)
        status = status or EX_TEMPFAIL
    if owing and not sure:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            say("nobody to ask whether they are to be thrown away: --yes says so")
            return EX_USAGE
        for it in owing:
            print(it, file=sys.stderr)
        print(f"throw away {_files(len(owing))} for good? Type yes: ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip() != "yes":
            say("nothing is discarded")
            return EX_NOPERM
    return _tell(owing, say, lambda it: _discard(places, it)) or status


def sealed(row: Row, size: int | None) -> Row:
    """A row as it is when somebody has said that its bytes, so many of them, are to be sent."""
    if size is None or row.state in BYTELESS or (row.state != "writing" and row.size == size):
        return row
    return dataclasses.replace(row, state="sealed", size=size, since=time.time(), trouble=None)


# one of them ---------------------------------------------------------------------------------------------------------


def _send(places: Places, it: Owing) -> str:
    if it.card is not None:
        return _asked(places, it.card, it)
    if it.alive and not it.host:
        raise Refused(_living(it))
    if it.row.state not in BYTELESS and it.size is None:
        raise Refused(f"its bytes are gone: {it.bytes}", EX_NOINPUT)
    card = next((card for card in places.cards() if card.account == it.row.account and not card.read_only), None)
    if it.left:
        if card is None and not Left(places.left).change(sealed(it.row, it.size)):
            raise Refused("a mount has it by now")
    elif it.host or (card is not None and card.cache != str(it.where)):
        _bring(places, it)
    elif card is None:
        with _taken(it) as (journal, row):
            _seal(journal, row)
    if card is not None:
        return _asked(places, card, it)
    if it.left or it.host:
        return f"is sent by the next mount of {_account(it)}"
    return f"is sent by the next mount of {_account(it)} that has its cache in {it.where}"


def _save(it: Owing, folder: Path) -> str:
    if it.bytes is None:
        raise Refused("there are no bytes of it here", EX_NOINPUT)
    try:
        source = it.bytes.open("rb")
    except OSError as error:
        raise Refused(f"its bytes can't be read: {error}", EX_NOINPUT) from error
    name = it.row.remote.name or it.number
    with source:
        for place in (folder / name, folder / f"{name}~{it.number}"):
            try:
                target = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            except FileExistsError:
                continue
            except OSError as error:
                raise Refused(f"{place} can't be made: {error.strerror}", EX_CANTCREAT) from error
            try:
                with os.fdopen(target, "wb") as out:
                    shutil.copyfileobj(source, out, 2**20)
                    out.flush()
                    os.fsync(out.fileno())
            except OSError as error:
                place.unlink(missing_ok=True)
                raise Refused(f"{place} can't be written: {error.strerror}", EX_IOERR) from error
            as_of = ", as it is at this moment" if it.alive and it.row.state == "writing" else ""
            return f"is saved as {place}{as_of}; it is still owed"
    raise Refused(f"{folder} has {name} and {name}~{it.number} already", EX_CANTCREAT)


def _discard(places: Places, it: Owing) -> str:
    if it.left:
        if not Left(places.left).drop(it.row):
            raise Refused("a mount has it by now")
        return "is discarded"
    with _taken(it) as (journal, row):
        if row.temporary is not None and row.state not in BYTELESS:
            # what of it has reached the platform is removed there, by the next mount
            trio.run(journal.leave, row.id, row.temporary)
        else:
            journal.drop(row.id)
        if row.spool:
            Path(row.spool).unlink(missing_ok=True)
    return "is discarded"


# how -----------------------------------------------------------------------------------------------------------------


@contextmanager
def _taken(it: Owing) -> Iterator[tuple[Journal, Row]]:
    """A row that is ours in this block, as if we were a mount; then, the next mount's. Refused if it has another."""
    with closing(Journal(it.where, it.row.account)) as journal:
        rows = journal.take({it.number}, elsewhere=bool(it.host))
        if not rows:
            raise Refused(f"a mount of {it.host or 'this host'} has it")
        yield journal, rows[0]


def _seal(journal: Journal, row: Row) -> Row:
    """Note that what there is of it is to be sent."""
    if row.state in BYTELESS:
        return row
    with Path(row.spool).open("rb") as file:
        os.fsync(file.fileno())
        now = sealed(row, os.fstat(file.fileno()).st_size)
    if now != row:
        trio.run(journal.seal, row.id, row.path, now.size)
    return now


def _bring(places: Places, it: Owing) -> None:
    """Bring it to what is left, where a mount with another cache, or on another host, finds it."""
    with _taken(it) as (journal, row):
        Left(places.left).put(_seal(journal, row))
        journal.drop(row.id)
        if row.spool:
            Path(row.spool).unlink(missing_ok=True)


def _asked(places: Places, card: Card, it: Owing) -> str:
    """Tell a mount to send it; what it says to that."""
    question = mounts.Ask("send", numbers=[it.number])
    try:
        answer = trio.run(functools.partial(mounts.ask, places.socket(card), question))
    except AgaveError as error:
        answer = mounts.Answer(error=str(error))
    if answer.error:
        raise Refused(f"the mount at {card.mountpoint}: {answer.error}")
    return f"{answer.text} by the mount at {card.mountpoint}"


def _each(places: Places, numbers: Sequence[str], say: Say, host: str, act: Callable[[Owing], str]) -> int:
    owing, status = _named(places, numbers, say, host)
    return _tell(owing, say, act) or status


def _tell(owing: list[Owing], say: Say, act: Callable[[Owing], str]) -> int:
    """Do it with each, and print what came of it; the first status that is none of success."""
    status = 0
    for it in owing:
        try:
            print(f"{it.number}  {it.row.remote.uri} {act(it)}", flush=True)
        except Refused as refused:
            say(f"{it.number}: {refused}")
            status = status or refused.status
        except OSError as error:
            say(f"{it.number}: {error}")
            status = status or EX_OSERR
    return status


def _named(places: Places, numbers: Sequence[str], say: Say, host: str) -> tuple[list[Owing], int]:
    """What these numbers mean, and a status if one means nothing, or another host's."""
    owing, status = _all(places, say)
    named: list[Owing] = []
    for number in dict.fromkeys(numbers):
        found = [it for it in owing if it.number == number]
        found = found or [it for it in owing if len(number) >= _LEAST and it.number.startswith(number)]
        if len(found) != 1:
            say(f"{number} is the number of {'several' if found else 'nothing'} that is owed")
            status = EX_NOINPUT
        elif found[0].host and found[0].host != host:
            say(f"{number} is of the host {found[0].host}, which may be sending it: --host {found[0].host} takes it")
            status = EX_NOPERM
        elif found[0] not in named:
            named += found
    return named, status


def _all(places: Places, say: Say) -> tuple[list[Owing], int]:
    owing, troubles = everything(places)
    for trouble in troubles:
        say(str(trouble.strerror or trouble))
    return owing, EX_OSERR if troubles else 0


def _living(it: Owing) -> str:
    return f"mounted at {it.card.mountpoint}: umount it first" if it.card is not None else "a mount has it"


def _account(it: Owing) -> str:
    return it.row.account.removeprefix("@")


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
