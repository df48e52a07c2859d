"""How fast bytes come."""

from __future__ import annotations

import pytest

from agavefs.rate import Rate


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
    come(rate, end + 60, 0.05, 1e7)
    assert rate.known == pytest.approx(1e7, rel=0.02)


def test_a_line_that_becomes_slower_is_seen() -> None:
    rate = Rate()
    end = come(rate, 0.0, 1.0, 1e8)
    come(rate, end, 5.0, 1e6)
    assert rate.known == pytest.approx(1e6, rel=0.02)
