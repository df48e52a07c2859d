"""A part of a file that was uploaded by itself: laid over what is at its place when it is put there, not when it came.

Laying it over takes time, in which others may change the file and be told that it is done. So it is done beside the
file, and whoever puts the outcome in place asks first whether it is still made of what is there. What a program on this
machine writes into the file itself meanwhile is not seen.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple

import trio

from agavesh.tenant.files import steady
from agavesh.tenant.files.trees import BLOCK, fill
from agavesh.tenant.refusal import Refusal

TABLES = """
create table if not exists patches (temporary text primary key, start integer not null);
"""


def start_of(header: str) -> int:
    """Where in its file an upload with this Range header begins. Refusal 416 for none, or one beyond all files."""
    first = header.lower().replace(" ", "").removeprefix("bytes=").partition("-")[0]
    if re.fullmatch("[0-9]{1,18}", first) is None:
        raise Refusal(416, f"Cannot upload into the range {header[:60]}")
    return int(first)


class Whole(NamedTuple):
    """A file as it is to be. `fits` says of a place whether it still has what the file was made of."""

    file: Path
    fits: Callable[[Path], bool]


@contextlib.asynccontextmanager
async def whole(temporary: Path, start: int | None, target: Path) -> AsyncIterator[Whole]:
    """What is to be put at `target` when a temporary has come for it: that itself, or all of the file with that from
    `start` on, for as long as the block. Where the file is shorter there are zeros before."""
    if start is None:
        yield Whole(temporary, lambda _: True)  # no await: who has looked at the place before need not look again
        return
    made, old = temporary.with_suffix(".whole"), temporary.with_suffix(".old")
    try:
        with contextlib.suppress(FileNotFoundError):
            steady.link(target, old)  # while it has this name too, no other file gets its number
        await trio.to_thread.run_sync(_lay, temporary, start, old, made)
        yield Whole(made, lambda place: _same(place, old))
    finally:
        for each in (made, old):
            each.unlink(missing_ok=True)


def _lay(part: Path, start: int, old: Path, made: Path) -> None:
    if not old.exists():
        made.touch(mode=0o600)
    elif fill(made, old) is None:
        raise Refusal(400, "Only a plain file can be changed in a part")
    with made.open("r+b") as out, part.open("rb") as new:
        out.seek(start)
        shutil.copyfileobj(new, out, BLOCK)
        out.flush()
        os.fsync(out.fileno())


def _same(one: Path, other: Path) -> bool:
    """Whether one file has both names, or none has either."""
    here, there = _look(one), _look(other)
    return here is there is None or (here is not None and there is not None and os.path.samestat(here, there))


def _look(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
