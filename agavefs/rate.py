"""Rate: how fast bytes come, as far as can be told from their coming. Values in, values out.

Bytes are counted in short spans of time; the best of the last ones is the rate, for a span in which a reader paused
tells nothing of the line. That it pauses is told by who asks for the bytes: a silence alone is none, for on a long line
all that is under way comes in a burst, and then there is a round trip of nothing; that is part of the rate.
"""

from __future__ import annotations

from agavefs.window import FIRST

_SPAN = 0.1  # seconds at least
_AHEAD = 0.5  # seconds: no more is asked for ahead than comes in that time; it should be some round trips
_UNKNOWN = 4 * 2**20  # bytes ahead as long as nobody knows how fast they come
_FADES = 0.9  # what is left of an old rate after a span that was slower


class Rate:
    """`known`: bytes a second, None until enough has come."""

    def __init__(self) -> None:
        self.known: float | None = None
        self._since: float | None = None  # None in a pause
        self._idle: float | None = None  # since when nothing is under way
        self._come = 0

    def ahead(self, files: int) -> int:
        """Bytes to have on their way for each of so many files."""
        return _UNKNOWN if self.known is None else max(FIRST, int(self.known * _AHEAD)) // files

    def ended(self, now: float) -> None:
        """Nothing is under way any more, at that time."""
        self._idle = now

    def asked(self, now: float) -> None:
        """Something is under way again. After a pause, which is longer than a moment between two reads, the time since
        the last bytes tells nothing."""
        if self._idle is not None and now - self._idle > _SPAN:
            self._since = None
        self._idle = None

    def came(self, count: int, now: float) -> None:
        """So many bytes came at that time, in seconds."""
        if self._since is None:
            self._since, self._come = now, -count  # they began to come before: no part of this span
        self._come += count
        if now - self._since >= _SPAN:
            seen = self._come / (now - self._since)
            self.known = seen if self.known is None else max(seen, self.known * _FADES)
            self._since, self._come = now, 0
