"""Queue: what the platform does not have yet, for people: how far it has come, since when, and what keeps it."""

from __future__ import annotations

import time

from agavefs.owed import Owed
from agavefs.spool import Spool
from agavefs.writeback import Writeback


def text(writeback: Writeback) -> str:
    """`.agavefs/queue`."""
    return "".join(f"{line}\n" for line in queue(writeback))


def queue(writeback: Writeback) -> list[str]:
    """A line for each file, the oldest first: `STATE  SENT of SIZE  AGE  URI  WHY`."""
    owed = sorted(writeback.owed, key=lambda each: each[1].since)
    return [_line(spool, each) for spool, each in owed]


def detach(writeback: Writeback, paths: list[str]) -> int:
    """Send away who waits for what is at these tree paths, or below, with EINTR. How many files that is."""
    return writeback.detach(lambda spool: any(_is_at(spool.remote.tree_path, path) for path in paths))


def _is_at(path: str, place: str) -> bool:
    return f"{path}/".startswith(f"{place.rstrip('/')}/")


def _line(spool: Spool, owed: Owed) -> str:
    age = f"{max(time.time() - owed.since, 0):.0f} s"
    words = [_state(spool, owed), f"{owed.sent} of {spool.size} bytes", age, spool.remote.uri]
    if spool.beside is not None:
        words.append(f"since others have changed {spool.beside.name}")
    return "  ".join([*words, *([str(owed.trouble)] if owed.trouble is not None else [])])


def _state(spool: Spool, owed: Owed) -> str:
    if spool.writing:
        return "being written"
    if owed.trouble is not None:
        return "tried again" if owed.active else "tried again soon"
    return "on its way" if owed.active else "waits"
