"""How a reader's way is understood, and what it earns."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agavefs.window import FIRST, LARGE, MOST, NEAR, NEAR_LEAST, Ahead

PAGE = 4096


def test_who_reads_on_from_the_beginning_has_a_full_window_soon() -> None:
    ahead = Ahead()
    windows = [ahead.window(at, at + LARGE) for at in range(0, 32 * 2**20, LARGE)]
    assert windows[0] == FIRST
    assert windows == sorted(windows)
    assert windows[-1] == MOST
    # after what the first window brought the second is three times as large, and so on: few round trips in all
    assert windows[2**20 // LARGE - 1] >= 3 * 2**20


def test_a_small_look_at_the_beginning_earns_nothing() -> None:
    assert Ahead().window(0, 4 * PAGE) == 0


def test_who_jumps_about_earns_nothing() -> None:
    ahead = Ahead()
    assert [ahead.window(at * 10_000_000, at * 10_000_000 + PAGE) for at in (7, 3, 9, 1, 7, 5)] == [0] * 6


def test_who_never_looks_around_is_sent_less_and_less() -> None:
    ahead, near = Ahead(), list[int]()
    for at in (7, 3, 9, 1, 8, 5):
        ahead.window(at * 10_000_000, at * 10_000_000 + PAGE)
        near.append(ahead.near)
    assert near == [NEAR, NEAR // 2, NEAR // 4, NEAR_LEAST, NEAR_LEAST, NEAR_LEAST]
    ahead.window(20_000_000, 20_000_000 + PAGE, here=True)  # what came with another read was of use
    assert ahead.near == 2 * NEAR_LEAST
    ahead.window(20_000_000 + PAGE, 20_000_000 + 2 * PAGE)  # and it goes on from there
    assert ahead.near == NEAR


def test_two_reads_in_the_wrong_order_are_still_one_run() -> None:
    ahead = Ahead()
    for at in (1, 0, 3, 2, 5, 4, 7, 6):
        window = ahead.window(at * LARGE, (at + 1) * LARGE)
    assert window >= FIRST


def test_a_run_begun_in_the_middle_earns_what_it_has_read_until_that_is_much() -> None:
    ahead, begin = Ahead(), 50 * 2**20
    windows = [ahead.window(begin + at, begin + at + LARGE) for at in range(0, 2 * FIRST, LARGE)]
    assert windows[:3] == [0, 2 * LARGE, 3 * LARGE]
    assert windows[-1] == 3 * 2 * FIRST


def test_threads_that_share_a_descriptor_are_runs_of_their_own() -> None:
    ahead, begins = Ahead(), (0, 2**28, 2**29, 2**30)
    windows = {}
    for step in range(40):
        for begin in begins:
            at = begin + step * LARGE
            windows[begin] = ahead.window(at, at + LARGE)
    assert min(windows.values()) >= 3 * 40 * LARGE


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(1, 32)), max_size=60))
def test_never_much_more_is_fetched_in_vain_than_was_read(reads: list[tuple[int, int]]) -> None:
    ahead, read = Ahead(), 0
    for start, size in reads:
        window = ahead.window(start * PAGE, (start + size) * PAGE)
        read += size * PAGE
        # a read that is near may leave out twice its size
        assert window <= max(FIRST if read >= LARGE else 0, 3 * 3 * read)
