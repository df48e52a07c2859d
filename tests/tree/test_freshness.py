"""How old what a ListingCache gives may be: lives, refreshing behind readers, and what is old while nobody answers."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from agavesh.client.errors import NotFound, ServerTrouble, TimedOut, Unreachable
from agavesh.tree import listing as rules
from agavesh.tree.listing import Listing, open_listings


@pytest.fixture
def clock(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> MockClock:
    """Virtual time, for the ages of listings as well."""
    monkeypatch.setattr(rules, "time", SimpleNamespace(monotonic=trio.current_time, time=time.time))
    return autojump_clock


class Platform:
    """A folder over there: counts who asks, answers after `delay` seconds, or fails."""

    def __init__(self, *names: str) -> None:
        self.names, self.asked, self.delay = list(names), 0, 1.0
        self.trouble: Exception | None = None

    async def fetch(self) -> dict[str, str]:
        self.asked += 1
        seen = dict.fromkeys(self.names, "")
        await trio.sleep(self.delay)
        if self.trouble is not None:
            raise self.trouble
        return seen


async def test_what_is_used_after_half_its_life_is_asked_again_behind_its_readers_once(clock: MockClock) -> None:
    folder = Platform("old")
    async with open_listings(fresh=30) as listings:
        await listings.get("/f", folder.fetch)
        await trio.sleep(13)
        await listings.get("/f", folder.fetch)
        assert folder.asked == 1  # in the first half of its life
        folder.names = ["new"]
        await trio.sleep(3)
        before = trio.current_time()
        for _ in range(10):
            assert list((await listings.get("/f", folder.fetch)).items) == ["old"]
            assert listings.kept("/f") is not None
        assert trio.current_time() == before  # nobody has waited
        await trio.sleep(2)
        assert folder.asked == 2
        assert list((await listings.get("/f", folder.fetch)).items) == ["new"]
        await trio.sleep(14)
        assert listings.kept("/f") is not None  # it has a life of its own
        assert folder.asked == 2


async def test_what_nobody_uses_is_not_asked_for_again(clock: MockClock) -> None:
    folder = Platform("a")
    async with open_listings(fresh=30) as listings:
        await listings.get("/f", folder.fetch)
        await trio.sleep(1000)
        assert folder.asked == 1


async def test_what_is_not_answered_behind_is_asked_for_at_the_end_of_its_life(clock: MockClock) -> None:
    folder = Platform("a")
    async with open_listings(fresh=30) as listings:
        await listings.get("/f", folder.fetch)
        await trio.sleep(16)
        folder.trouble = ServerTrouble("a bad moment")
        for _ in range(6):
            assert list((await listings.get("/f", folder.fetch)).items) == ["a"]
            await trio.sleep(2)
        assert folder.asked == 2
        await trio.sleep(4)
        with pytest.raises(ServerTrouble):
            await listings.get("/f", folder.fetch)


async def test_a_folder_that_is_gone_is_known_as_such_from_behind(clock: MockClock) -> None:
    folder = Platform("a")
    async with open_listings(fresh=30) as listings:
        await listings.get("/f", folder.fetch)
        await trio.sleep(16)
        folder.trouble = NotFound("no such folder")
        await listings.get("/f", folder.fetch)
        await trio.sleep(2)
        assert listings.kept("/f") is None
        with pytest.raises(NotFound):
            await listings.get("/f", folder.fetch)


async def test_a_change_of_ours_shows_while_the_folder_is_asked_for_behind(clock: MockClock) -> None:
    folder = Platform("a")
    async with open_listings(fresh=30) as listings:
        await listings.get("/f", folder.fetch)
        await trio.sleep(16)
        await listings.get("/f", folder.fetch)
        await wait_all_tasks_blocked()
        listings.put("/f", "ours", "")
        listings.drop("/f", "a")
        assert list((await listings.get("/f", folder.fetch)).items) == ["ours"]
        await trio.sleep(2)
        assert list((await listings.get("/f", folder.fetch)).items) == ["ours"]
        assert folder.asked == 2


async def test_what_lives_shortly_is_not_asked_for_ahead(clock: MockClock) -> None:
    folder = Platform("a")
    async with open_listings() as listings:
        await listings.get("/jobs", folder.fetch, fresh=2)
        await trio.sleep(0.9)
        await listings.get("/jobs", folder.fetch, fresh=2)
        await trio.sleep(0.1)
        assert folder.asked == 1


async def test_with_no_life_at_all_everything_is_asked_for(clock: MockClock) -> None:
    folder = Platform("a")
    async with open_listings(fresh=0) as listings:
        for _ in range(3):
            await listings.get("/f", folder.fetch)
            await listings.get("/systems", folder.fetch, fresh=listings.life(300))
        assert folder.asked == 6


@pytest.mark.parametrize(("fresh", "lives"), [(30, (2, 60, 300)), (300, (2, 60, 300)), (3, (2, 6, 30)), (0, (0, 0, 0))])
async def test_a_shorter_life_is_shorter_for_all(fresh: float, lives: tuple[float, ...], clock: MockClock) -> None:
    async with open_listings(fresh=fresh) as listings:
        assert tuple(map(listings.life, (2, 60, 300))) == lives


async def test_what_is_old_stays_visible_while_nobody_answers_and_is_marked(clock: MockClock) -> None:
    folder = Platform("a")
    async with open_listings(fresh=30, offline_ok=True) as listings:
        await listings.get("/f", folder.fetch)
        folder.trouble = Unreachable("no route")
        await trio.sleep(3600)
        assert listings.offline_since is None
        for _ in range(100):
            assert list((await listings.get("/f", folder.fetch)).items) == ["a"]
            assert listings.offline_since is not None
        assert folder.asked == 2  # who comes next does not wait, and does not ask
        with pytest.raises(Unreachable, match="is not here"):
            await listings.get("/other", folder.fetch)
        folder.trouble, folder.names = None, ["b"]
        await trio.sleep(6)
        assert list((await listings.get("/f", folder.fetch)).items) == ["a"]  # one asks, and does not wait either
        await trio.sleep(2)
        assert list((await listings.get("/f", folder.fetch)).items) == ["b"]
        assert listings.offline_since is None


async def test_a_platform_that_does_not_answer_holds_who_has_something_old_for_a_moment_only(clock: MockClock) -> None:
    folder = Platform("a")
    async with open_listings(fresh=30, offline_ok=True) as listings:
        await listings.get("/f", folder.fetch)
        folder.delay = 60
        await trio.sleep(100)
        before = trio.current_time()
        for _ in range(100):
            assert list((await listings.get("/f", folder.fetch)).items) == ["a"]
        assert trio.current_time() - before == rules.PATIENCE

        async def feed(listing: Listing[str]) -> None:
            listing.grow(await folder.fetch(), last=True)

        folder.delay = 1
        await trio.sleep(6)
        reading = await listings.stream("/f", feed)
        assert list(reading.items) == ["a"]


async def test_a_listing_that_took_long_is_believed_for_twice_as_long_as_it_took(clock: MockClock) -> None:
    folder = Platform("a")
    folder.delay = 60
    async with open_listings(fresh=30) as listings:
        begun = trio.current_time()
        await listings.get("/f", folder.fetch)
        await trio.sleep_until(begun + 120)
        assert listings.kept("/f") is not None
        await trio.sleep_until(begun + 121)
        assert listings.kept("/f") is None


async def test_a_platform_that_answers_slowly_is_not_taken_for_one_that_does_not_answer(clock: MockClock) -> None:
    async def feed(listing: Listing[str]) -> None:
        for page in range(10):
            await trio.sleep(1)
            listing.grow({f"{page}": ""}, last=page == 9)

    async with open_listings(fresh=30, offline_ok=True) as listings:
        await listings.whole("/f", feed)
        await trio.sleep(3600)
        before = trio.current_time()
        await listings.whole("/f", feed)
        assert trio.current_time() - before == rules.PATIENCE  # who has something old still need not wait for all
        assert listings.offline_since is None


async def test_the_first_page_that_comes_says_that_the_platform_answers_again(clock: MockClock) -> None:
    never = trio.Event()

    async def feed(listing: Listing[str]) -> None:
        listing.grow({"a": ""})
        await never.wait()

    async with open_listings(fresh=30, offline_ok=True) as listings:
        listings.unanswered()
        await trio.sleep(6)
        reading = await listings.stream("/f", feed)
        assert listings.offline_since is None
        listings.left(reading)


async def test_what_is_not_here_fails_and_so_does_who_asks_for_what_is_there_now(clock: MockClock) -> None:
    folder = Platform("a")
    async with open_listings(fresh=30, offline_ok=True) as listings:
        await listings.get("/f", folder.fetch)
        folder.trouble = TimedOut("no answer")
        for key, fresh in (("/other", 30), ("/f", 0)):
            with pytest.raises(TimedOut):
                await listings.get(key, folder.fetch, fresh=fresh)


async def test_without_being_asked_to_nothing_old_is_shown(clock: MockClock) -> None:
    folder = Platform("a")
    async with open_listings(fresh=30) as listings:
        await listings.get("/f", folder.fetch)
        folder.trouble = Unreachable("no route")
        await trio.sleep(31)
        with pytest.raises(Unreachable):
            await listings.get("/f", folder.fetch)
        assert list(listings.peek("/f") or ()) == ["a"]  # completion may show it all the same


async def test_a_change_of_ours_is_told(clock: MockClock) -> None:
    async with open_listings() as listings:
        told: list[str] = []
        listings.on_change = told.append
        listings.put("/f", "a", "")
        listings.drop("/f", "a")
        listings.changed("/g")
        listings.forget("/h")
        assert told == ["/f/a", "/f/a", "/g"]


async def test_what_waited_for_somebody_to_want_it_did_not_take_long(clock: MockClock) -> None:
    async def rest(listing: Listing[str]) -> None:
        await trio.sleep(1)
        listing.grow({"b": ""}, last=True)

    async with open_listings(fresh=30) as listings:
        with listings.along("/f", rest, fresh=30) as listing:
            assert listing is not None
            listing.rest = rest
            await trio.sleep(1)
            listing.grow({"a": ""})
        await trio.sleep(20)
        assert list((await listings.whole("/f", rest)).items) == ["a", "b"]
        assert listing.took == 2
        await trio.sleep(8.5)  # it was asked for 30.5 s ago
        assert listings.kept("/f") is None
