"""Ages go on while the machine sleeps. No test can send it to sleep: what stands still meanwhile is held here."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from agavefs.inodes import Inode
from agavesh.client.storage import Entry
from agavesh.tree import clock
from agavesh.tree.listing import Listing, open_listings

NIGHT = 8 * 3600.0  # seconds


def a_night_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the clock that counts sleep; the other one has stood still."""
    real = time.clock_gettime

    def slept(which: int) -> float:
        return real(which) + (NIGHT if which == time.CLOCK_BOOTTIME else 0.0)

    monkeypatch.setattr(clock, "_time", SimpleNamespace(clock_gettime=slept))


async def test_what_was_known_before_the_machine_slept_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_listings() as listings:

        async def fetch() -> dict[str, int]:
            return {"a": 1}

        listing: Listing[int] = await listings.get("/k", fetch)
        inode = Inode(300, 0, None, "f", Entry("f", "file"), told=clock.monotonic())
        assert listings.kept("/k") is listing
        assert inode.age() < NIGHT
        a_night_passes(monkeypatch)
        assert listings.kept("/k") is None
        assert listing.age() >= NIGHT
        assert inode.age() >= NIGHT
