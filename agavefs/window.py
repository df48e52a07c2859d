"""Ahead: how one reader goes through a file, and so how much to have beyond what it asks for. Pure; it fetches nothing.

A reader may follow several runs at once (threads that share a descriptor, columns that are read side by side). Nothing
is read ahead for a read that continues no run; a run earns as much as it has read, and once that is much, three times
as much: so what is fetched in vain is never much more than what was used, and the window is full after three round
trips. A reader that begins at the beginning with a large read means the whole file, and is believed at once.
"""

from __future__ import annotations

from agavefs.extents import Span

FIRST = 2**20  # bytes ahead of a run that is believed
MOST = 64 * 2**20  # bytes: 100 ms of a link of 5 Gbit/s
LARGE = 128 * 2**10  # bytes: what the kernel asks for when a program reads on
_RUNS = 4
_EARNED = 3


class _Run:
    """Consecutive reads, `[begin, next)` so far."""

    __slots__ = ("begin", "next", "window")

    def __init__(self, begin: int, stop: int) -> None:
        self.begin, self.next, self.window = begin, stop, 0

    def near(self, start: int, size: int) -> bool:
        """The kernel has two reads under way, in any order: a little to either side is still the same run."""
        return abs(start - self.next) <= 2 * size

    def read(self, start: int, stop: int) -> int:
        """Go on; what is earned by that."""
        if self.begin <= start and stop <= self.next:
            return self.window  # once more the same
        self.begin, self.next = min(self.begin, start), max(self.next, stop)
        seen = self.next - self.begin
        return max(_EARNED * seen, FIRST) if seen >= (LARGE if self.begin == 0 else FIRST) else seen


class Ahead:
    """One reader's runs, the latest first."""

    def __init__(self) -> None:
        self._runs: list[_Run] = []

    def window(self, start: int, stop: int) -> int:
        """Bytes to have beyond `stop`, now that `[start, stop)` is read; 0 right after a seek."""
        size = stop - start
        for run in self._runs:
            if run.near(start, size):
                self._runs.remove(run)
                earned = run.read(start, stop)
                break
        else:
            run = _Run(start, stop)
            earned = FIRST if start == 0 and size >= LARGE else 0
        self._runs = [run, *self._runs[: _RUNS - 1]]
        run.window = min(earned, MOST)
        return run.window

    def spans(self, behind: int) -> list[Span]:
        """What its runs may still want: `behind` bytes before where each is, and its window."""
        return [(max(0, run.next - behind), run.next + run.window) for run in self._runs]
