"""Extents against the plainest model there is: a set of numbers."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from agavefs.extents import Extents, Span

spans = st.tuples(st.integers(0, 60), st.integers(0, 60))
acts = st.lists(st.tuples(st.booleans(), spans), max_size=25)


def covered(these: list[Span]) -> set[int]:
    return {place for start, stop in these for place in range(start, stop)}


def built(these: list[tuple[bool, Span]]) -> tuple[Extents, set[int]]:
    extents, model = Extents(), set[int]()
    for put, (start, stop) in these:
        if put:
            extents.add(start, stop)
            model |= covered([(start, stop)])
        else:
            extents.remove(start, stop)
            model -= covered([(start, stop)])
    return extents, model


@given(acts)
def test_what_was_put_in_and_not_taken_out_is_in(these: list[tuple[bool, Span]]) -> None:
    extents, model = built(these)
    assert (covered(list(extents)), extents.total) == (model, len(model))


@given(acts)
def test_spans_are_sorted_and_apart(these: list[tuple[bool, Span]]) -> None:
    flat = [place for span in built(these)[0] for place in span]
    assert flat == sorted(set(flat))


@given(acts, spans)
def test_missing_is_what_was_never_added(these: list[tuple[bool, Span]], asked: Span) -> None:
    extents, model = built(these)
    gaps = extents.missing(*asked)
    assert covered(gaps) == covered([asked]) - model
    assert extents.has(*asked) == (not gaps)
    assert all(left[1] < right[0] for left, right in itertools.pairwise(gaps))
