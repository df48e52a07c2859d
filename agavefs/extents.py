"""Extents: which bytes of a file are here, as a set of spans `[start, stop)`. Pure values; no file is touched.

Spans are kept sorted, apart and not empty, in two flat lists, so that a look is a bisection.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

Span = tuple[int, int]


class Extents:
    """A set of bytes by their places."""

    __slots__ = ("_starts", "_stops", "total")

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        self.total = 0  # bytes that are in
        for start, stop in spans:
            self.add(start, stop)

    def add(self, start: int, stop: int) -> None:
        """Put in `[start, stop)`; spans that touch become one."""
        if stop <= start:
            return
        # all spans from `first` to before `last` touch the new one
        first = bisect_left(self._stops, start)
        last = bisect_right(self._starts, stop)
        if first < last:
            start = min(start, self._starts[first])
            stop = max(stop, self._stops[last - 1])
            self.total -= sum(self._stops[first:last]) - sum(self._starts[first:last])
        self.total += stop - start
        self._starts[first:last] = [start]
        self._stops[first:last] = [stop]

    def remove(self, start: int, stop: int) -> None:
        """Take out `[start, stop)`."""
        if stop <= start:
            return
        first = bisect_right(self._stops, start)
        last = bisect_left(self._starts, stop)
        if first >= last:
            return
        left = (self._starts[first], start) if self._starts[first] < start else None
        right = (stop, self._stops[last - 1]) if self._stops[last - 1] > stop else None
        kept = [span for span in (left, right) if span is not None]
        self.total -= sum(self._stops[first:last]) - sum(self._starts[first:last])
        self.total += sum(end - begin for begin, end in kept)
        self._starts[first:last] = [span[0] for span in kept]
        self._stops[first:last] = [span[1] for span in kept]

    def missing(self, start: int, stop: int) -> list[Span]:
        """The spans of `[start, stop)` that are not in, in order."""
        gaps: list[Span] = []
        for at in range(bisect_right(self._stops, start), len(self._starts)):
            if self._starts[at] >= stop:
                break
            if self._starts[at] > start:
                gaps.append((start, self._starts[at]))
            start = self._stops[at]
        if start < stop:
            gaps.append((start, stop))
        return gaps

    def within(self, start: int, stop: int) -> list[Span]:
        """The spans of `[start, stop)` that are in, in order."""
        first, last = bisect_right(self._stops, start), bisect_left(self._starts, stop)
        spans = zip(self._starts[first:last], self._stops[first:last], strict=True)
        return [(max(begin, start), min(end, stop)) for begin, end in spans]

    def has(self, start: int, stop: int) -> bool:
        """Whether all of `[start, stop)` is in."""
        at = bisect_right(self._starts, start) - 1
        return stop <= start or (at >= 0 and self._stops[at] >= stop)

    def __iter__(self) -> Iterator[Span]:
        return iter(list(zip(self._starts, self._stops, strict=True)))

    def __repr__(self) -> str:
        return f"Extents({list(self)})"
