"""Whether the platform answers: a circuit breaker, so that nobody waits again and again for one that is down.

When nothing but trouble has come for a while, calls fail at once with the trouble that is known. Now and then one of
them goes through to see, soon at first and then more seldom; those that come meanwhile wait a moment for what it finds.
One that comes through ends it. A first call finds nothing changed: it is tried as often as ever.
"""

from __future__ import annotations

import copy
import time
from typing import Final

import trio

from agavesh.client.errors import AgaveError

FAILURES: Final = 5  # attempts in a row without a sign of life
SPAN: Final = 2.0  # seconds since the first of them was sent: what is over sooner is left to retries
FIRST_PAUSE: Final = 0.5  # seconds until somebody tries; doubled each time
LONGEST_PAUSE: Final = 5.0  # seconds: so soon it is noticed that the platform is back
GLANCE: Final = 1.0  # seconds for which others wait for what one who tries finds out
PROBE: Final = 5.0  # seconds after which one who tries is no longer waited for


class Health:
    """What is known of one tenant. `trouble` is None while it answers."""

    def __init__(self) -> None:
        self.trouble: AgaveError | None = None
        self._said = ""  # its sentence, without what was asked
        self.since = time.time()  # of the last change, in seconds since the epoch
        self.answered_at: float | None = None  # the last sign of life, likewise
        self._failures, self._first_sent = 0, 0.0
        self._pause, self._next = FIRST_PAUSE, 0.0
        self._probe: trio.Event | None = None

    @property
    def up(self) -> bool:
        """Whether the platform answers, as far as anybody has asked."""
        return self.trouble is None

    def __str__(self) -> str:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"down since {at}: {self._said}" if self.trouble is not None else "answers"

    async def admit(self, what: str) -> None:
        """Return if a call is to be tried; the trouble that is known, if it is not."""
        if self.trouble is None:
            return
        if self._probe is not None and trio.current_time() < self._next:
            with trio.move_on_after(GLANCE):
                await self._probe.wait()
        if self.trouble is None:
            return
        now = trio.current_time()
        if now < self._next:
            raise self._known(what)
        # this one tries, and nobody else until it knows, or takes too long
        self._probe, self._next = trio.Event(), now + PROBE

    def answered(self) -> None:
        """A sign of life."""
        self._failures, self.answered_at = 0, time.time()
        if self.trouble is not None:
            self.trouble, self.since, self._pause = None, time.time(), FIRST_PAUSE
        self._told()

    def failed(self, what: str, trouble: AgaveError, sent: float) -> None:
        """An attempt at `what`, sent at `sent` of trio's time, ended without any."""
        self._first_sent = sent if not self._failures else min(self._first_sent, sent)
        self._failures += 1
        now = trio.current_time()
        if self.trouble is not None:
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
        elif self._failures >= FAILURES and now - self._first_sent >= SPAN:
            self.since = time.time()
        else:
            return
        self.trouble, self._said, self._next = trouble, trouble.sentence.removeprefix(f"{what}: "), now + self._pause
        self._told()

    def retry(self) -> None:
        """Somebody says that things have changed: the next call is tried."""
        self._next, self._pause = 0.0, FIRST_PAUSE

    def _told(self) -> None:
        if self._probe is not None:
            self._probe.set()
            self._probe = None

    def _known(self, what: str) -> AgaveError:
        assert self.trouble is not None
        known = copy.copy(self.trouble)
        known.sentence = f"{what}: {self._said}"
        known.args = (known.sentence,)
        known.__cause__ = known.__context__ = known.__traceback__ = None
        return known
