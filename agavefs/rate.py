"""Rate: how fast bytes come, as far as can be told from their coming. Values in, values out.

Bytes are counted in short spans of time; the best of the last ones is the rate, for a span in which a reader paused
tells nothing of the line. A silence longer than a span is a pause.
"""

from __future__ import annotations

_SPAN = 0.1  # seconds
_FADES = 0.9  # what is left of an old rate after a span that was slower


class Rate:
    """`known`: bytes a second, None until enough has come."""

    def __init__(self) -> None:
        self.known: float | None = None
        self._since = self._last = float("-inf")
        self._come = 0

    def came(self, count: int, now: float) -> None:
        """So many bytes came at that time, in seconds."""
        if now - self._last > _SPAN:
            self._since, self._come = now, -count  # they began to come before: no part of this span
        self._last = now
        self._come += count
        if now - self._since >= _SPAN:
            seen = self._come / (now - self._since)
            self.known = seen if self.known is None else max(seen, self.known * _FADES)
            self._since, self._come = now, 0
