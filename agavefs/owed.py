"""Owed: what is to be known of one spool that the platform does not have yet, for who sends it and who waits for it."""

from __future__ import annotations

import io
import time
from pathlib import Path

import trio

from agavefs.journal import State
from agavesh.client.errors import AgaveError
from agavesh.client.storage import Version

Trouble = AgaveError | OSError


class Owed:
    """What is owed of one spool.

    `sending`: it is to be sent now, so its bytes must not change; `active`: that is under way; `past_recall`: the
    platform has been sent all that it needs, and does it whether we wait or not. `sizes` are those of what has been
    sent and may be in its place by now, though no answer said so. While it is `held` by somebody who moves it, or
    removes it, nothing begins.
    """

    def __init__(
        self, state: State = "writing", temporary: str | None = None, *, recovered: bool = False, size: int = 0
    ) -> None:
        self.state, self.temporary, self.recovered = state, temporary, recovered
        self.sizes = {size} if state in ("sending", "beside", "aside") else set[int]()
        self.instead: Version | None = None  # what was in its place, after it had been put there, and is not it
        self.superseded = False  # recovered, and its place has been written anew since
        self.since = time.time()
        self.lock = trio.Lock()
        self.news = trio.Event()
        self.nudge = trio.Event()
        self.sending = self.active = self.running = self.past_recall = False
        self.held = 0
        self.detached = 0  # how often those who wait for it were sent away
        self.trouble: Trouble | None = None
        self.attempt = trio.CancelScope()
        self.sent = self.furthest = 0  # bytes read for sending in this attempt, and in any; counted in another thread

    def tell(self) -> None:
        """Something has happened: who waits looks again."""
        self.news.set()
        self.news = trio.Event()

    def hurry(self) -> None:
        """What waits for its time is to look again now."""
        self.nudge.set()
        self.nudge = trio.Event()


class Counted(io.FileIO):
    """A spool's file that counts what has been read of it: the sign that an upload goes on, and of when it is out."""

    def __init__(self, path: Path, owed: Owed, size: int) -> None:
        super().__init__(path, "rb")
        self._owed, self._size = owed, size
        owed.sent, owed.past_recall = 0, not size

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(-1 if size is None else size) or b""
        owed = self._owed
        owed.sent += len(data)
        owed.furthest = max(owed.furthest, owed.sent)
        owed.past_recall = owed.sent >= self._size
        return data
