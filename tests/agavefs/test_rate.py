"""How fast bytes come."""

from __future__ import annotations

from collections import deque

import pytest

from agavefs.rate import Rate
from agavefs.window import FIRST, MOST


def come(rate: Rate, begin: float, seconds: float, speed: float) -> float:
    """Bytes come at that speed in pieces, for so long; when that ends."""
    for step in range(1, int(seconds * 1000) + 1):
        rate.came(int(speed / 1000), begin + step / 1000)
    return begin + seconds


def test_nothing_is_known_before_something_came() -> None:
    rate = Rate()
    rate.came(1000, 0.0)
    assert rate.known is None


@pytest.mark.parametrize("speed", [1e6, 12.5e6, 1e9])
def test_the_rate_is_what_comes(speed: float) -> None:
    rate = Rate()
    come(rate, 0.0, 2.0, speed)
    assert rate.known == pytest.approx(speed, rel=0.02)


def test_a_pause_tells_nothing_of_the_line() -> None:
    rate = Rate()
    end = come(rate, 0.0, 1.0, 1e7)
    rate.ended(end)
    rate.asked(end + 60)
    come(rate, end + 60, 0.05, 1e7)
    assert rate.known == pytest.approx(1e7, rel=0.02)


def test_moments_between_reads_on_a_fast_line_are_no_pauses() -> None:
    rate, now = Rate(), 0.0
    for _ in range(100):  # all that was under way is here before the reader asks for more
        rate.asked(now)
        rate.came(2**20, now + 0.003)
        rate.ended(now + 0.003)
        now += 0.005
    assert rate.known == pytest.approx(2**20 / 0.005, rel=0.1)


def test_a_line_that_becomes_slower_is_seen() -> None:
    rate = Rate()
    end = come(rate, 0.0, 1.0, 1e8)
    come(rate, end, 5.0, 1e6)
    assert rate.known == pytest.approx(1e6, rel=0.02)


PIECE = 2**17


def read_on(rate: Rate, begin: float, seconds: float, delay: float, speed: float) -> int:
    """Somebody reads for so long, and has as much under way as the rate gives; how much that is at the end."""
    coming: deque[float] = deque()  # when each piece that is under way comes
    free = now = begin  # when the line is free
    rate.asked(begin)
    while now < begin + seconds:
        while (len(coming) + 1) * PIECE <= max(PIECE, min(rate.ahead(1), MOST)):
            free = max(free, now + delay) + PIECE / speed
            coming.append(free)
        now = coming.popleft()
        rate.came(PIECE, now)
    rate.ended(now)
    return min(rate.ahead(1), MOST)


@pytest.mark.parametrize("speed", [12.5e6, 125e6, 1.25e9])
@pytest.mark.parametrize("delay", [0.02, 0.05, 0.1, 0.2, 0.4])
def test_what_is_under_way_grows_to_what_the_line_holds(delay: float, speed: float) -> None:
    rate = Rate()
    under_way = read_on(rate, 0.0, max(4.0, 40 * delay), delay, speed)
    assert under_way >= min(delay * speed, MOST) * 0.99
    assert under_way <= max(0.55 * speed, FIRST)  # nor much more than half a second of it
    rate.asked(60.0)
    rate.came(PIECE, 60.0 + delay)  # a look at something else meanwhile, and a long time of nothing
    rate.ended(60.0 + delay)
    assert read_on(rate, 120.0, delay * 2, delay, speed) >= under_way * 0.5


def test_on_a_long_line_it_takes_a_few_round_trips() -> None:
    assert read_on(Rate(), 0.0, 5 * 0.2, 0.2, 125e6) >= 0.2 * 125e6
