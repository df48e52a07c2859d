"""Ahead: how one reader goes through a file, and so how much to have beyond what it asks for. Pure; it fetches nothing.

A reader may follow several runs at once (threads that share a descriptor, columns that are read side by side). Nothing
is read ahead for a read that continues no run; a run earns as much as it has read, and once that is much, three times
as much: so what is fetched in vain is never much more than what was used, and the window is full after three round
trips. A reader that begins at the beginning with a large read means the whole file, and is believed at once.

A seek brings what is near as well, since many look around where they land. Who never does is soon sent less: on a line
of 200 Mbit/s the rest of 128 KiB takes 5 ms, and the next read waits behind it.
"""

from __future__ import annotations

from agavefs.extents import Span

FIRST = 2**20  # bytes ahead of a run that is believed
MOST = 64 * 2**20  # bytes: 100 ms of a link of 5 Gbit/s
LARGE = 128 * 2**10  # bytes: what the kernel asks for when a program reads on
NEAR = 128 * 2**10  # bytes that a seek brings, at first and at most
NEAR_LEAST = 16 * 2**10
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
        self.near = NEAR  # bytes that the next request is to bring, at least

    def window(self, start: int, stop: int, *, here: bool = False) -> int:
        """Bytes to have beyond `stop`, now that `[start, stop)` is read; 0 right after a seek. `here`: it has come
        before, so what was near there was of use."""
        size = stop - start
        for run in self._runs:
            if run.near(start, size):
                self._runs.remove(run)
                earned, self.near = run.read(start, stop), NEAR
                break
        else:
            if self._runs:
                self.near = min(self.near * 2, NEAR) if here else max(self.near // 2, NEAR_LEAST)
            run = _Run(start, stop)
            earned = FIRST if start == 0 and size >= LARGE else 0
        self._runs = [run, *self._runs[: _RUNS - 1]]
        run.window = min(earned, MOST)
        return run.window

    def spans(self, behind: int) -> list[Span]:
        """What its runs may still want: `behind` bytes before where each is, and its window."""
        return [(max(0, run.next - behind), run.next + run.window) for run in self._runs]
