"""ListingCache: one fetch for all who wait, own changes at once, room that is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from agavesh.api.models.systems import SystemSummary
from agavesh.api.record import decode
from agavesh.client.errors import BadAnswer, NotFound
from agavesh.tree.listing import Listing, ListingCache, open_listings


@pytest.fixture
async def listings() -> AsyncIterator[ListingCache]:
    async with open_listings() as cache:
        yield cache


class Folder:
    """A folder to fetch: counts how often it was asked for, and answers when told to."""

    def __init__(self, *names: str) -> None:
        self.names, self.asked, self.answer = list(names), 0, trio.Event()
        self.answer.set()

    async def fetch(self) -> dict[str, str]:
        self.asked += 1
        seen = dict.fromkeys(self.names, "")
        await self.answer.wait()
        return seen


async def test_one_fetch_serves_all_who_wait(listings: ListingCache) -> None:
    folder, found = Folder("a"), []
    folder.answer = trio.Event()

    async def ask() -> None:
        found.append(await listings.get("/f", folder.fetch))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        folder.answer.set()
    assert folder.asked == 1
    assert {tuple(listing.items) for listing in found} == {("a",)}


async def test_who_gives_up_waiting_fails_nobody_else(listings: ListingCache) -> None:
    folder, found = Folder("a"), []
    folder.answer = trio.Event()

    async def impatient(scope: trio.CancelScope) -> None:
        with scope:
            await listings.get("/f", folder.fetch)

    async def patient() -> None:
        found.append(await listings.get("/f", folder.fetch))

    scope = trio.CancelScope()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(impatient, scope)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(patient)
        await trio.testing.wait_all_tasks_blocked()
        scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        folder.answer.set()
    assert list(found[0].items) == ["a"]


async def test_a_fresh_listing_asks_nobody_and_a_stale_one_asks_again(listings: ListingCache) -> None:
    folder = Folder("a")
    await listings.get("/f", folder.fetch)
    await listings.get("/f", folder.fetch)
    assert folder.asked == 1
    await listings.get("/f", folder.fetch, fresh=-1)
    assert folder.asked == 2


async def test_a_stale_listing_can_still_be_peeked_at(listings: ListingCache) -> None:
    folder = Folder("a")
    listing = await listings.get("/f", folder.fetch)
    listing.asked -= 10_000
    assert list(listings.peek("/f") or ()) == ["a"]
    assert listings.peek("/other") is None
    assert listings.kept("/f") is None


async def test_an_error_reaches_all_who_wait_and_is_not_kept(listings: ListingCache) -> None:
    async def fails() -> dict[str, str]:
        raise NotFound("no such folder")

    with pytest.raises(NotFound, match="no such folder"):
        await listings.get("/f", fails)
    assert list((await listings.get("/f", Folder("a").fetch)).items) == ["a"]


@pytest.mark.parametrize("act", ["put", "drop"])
async def test_a_change_of_ours_during_a_fetch_is_in_what_it_brings(listings: ListingCache, act: str) -> None:
    folder = Folder("old")
    folder.answer = trio.Event()
    found: list[Listing[str]] = []

    async def ask() -> None:
        found.append(await listings.get("/f", folder.fetch))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        if act == "put":
            listings.put("/f", "new", "")
        else:
            listings.drop("/f", "old")
        folder.answer.set()
    names = ["old", "new"] if act == "put" else []
    assert sorted(found[0].items) == sorted(names)
    assert sorted(listings.peek("/f") or ()) == sorted(names)


async def test_dropping_a_folder_forgets_what_is_below_it(listings: ListingCache) -> None:
    for key in ("/f", "/f/sub", "/f/sub/deep", "/f/subway"):
        await listings.get(key, Folder("x").fetch)
    listings.drop("/f", "sub")
    assert [listings.peek(key) is None for key in ("/f", "/f/sub", "/f/sub/deep", "/f/subway")] == [
        False, True, True, False,
    ]  # fmt: skip


async def test_what_was_forgotten_during_its_fetch_is_served_but_not_kept(listings: ListingCache) -> None:
    folder, found = Folder("a"), []
    folder.answer = trio.Event()

    async def ask() -> None:
        found.append(await listings.get("/f", folder.fetch))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        listings.forget("/f")
        folder.answer.set()
    assert list(found[0].items) == ["a"]
    assert listings.peek("/f") is None


async def test_old_listings_make_room_for_new_ones() -> None:
    async with open_listings(room=15_000) as cache:
        for number in range(20):
            await cache.get(f"/{number}", Folder(*map(str, range(10))).fetch)
        kept = [number for number in range(20) if cache.peek(f"/{number}") is not None]
        assert kept == [15, 16, 17, 18, 19]
        assert (await cache.get("/huge", Folder(*map(str, range(1000))).fetch)).items.keys() >= {"0", "999"}
        assert cache.peek("/huge") is None


async def test_a_record_that_makes_no_sense_is_a_bad_answer(listings: ListingCache) -> None:
    system = decode(b'{"id": 7}', SystemSummary)

    async def fetch() -> dict[str, SystemSummary]:
        return {system.id: system}

    with pytest.raises(BadAnswer, match=r"SystemSummary\.id: Expected `str`"):
        await listings.get("/systems", fetch)


# reading along -------------------------------------------------------------------------------------------------------


class Paged:
    """A folder that comes by pages, each when it is let go."""

    def __init__(self, *pages: str) -> None:
        self.pages, self.gates, self.asked = pages, [trio.Event() for _ in pages], 0
        self.given_up = False

    async def feed(self, listing: Listing[str]) -> None:
        self.asked += 1
        try:
            for page, gate in zip(self.pages, self.gates, strict=True):
                await gate.wait()
                listing.grow(dict.fromkeys(page.split(), ""), last=gate is self.gates[-1])
        except trio.Cancelled:
            self.given_up = True
            raise

    async def go(self, *pages: int) -> None:
        for page in pages:
            self.gates[page].set()
        await trio.testing.wait_all_tasks_blocked()


async def test_a_folder_is_read_while_it_comes(listings: ListingCache) -> None:
    folder = Paged("a b", "c", "d")
    await folder.go(0)
    listing = await listings.stream("/f", folder.feed)
    names = listing.names()
    assert (names, listing.complete) == (["a", "b"], False)
    assert listings.kept("/f") is None
    assert listings.under_way("/f") is listing
    await folder.go(1)
    await listing.reach(3)
    assert names == ["a", "b", "c"]
    await folder.go(2)
    await listing.reach()
    assert (names, listing.complete) == (["a", "b", "c", "d"], True)
    assert (listings.kept("/f"), listings.under_way("/f")) == (listing, None)
    listings.left(listing)
    assert folder.asked == 1


async def test_who_wants_all_of_it_waits_for_what_another_reads_along(listings: ListingCache) -> None:
    folder, whole = Paged("a", "b"), []
    await folder.go(0)
    listing = await listings.stream("/f", folder.feed)

    async def ask() -> None:
        whole.append(await listings.whole("/f", folder.feed))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        listings.left(listing)  # the reader goes; the other goes on waiting
        assert not whole
        await folder.go(1)
    assert (list(whole[0].items), folder.asked) == (["a", "b"], 1)


async def test_what_nobody_reads_any_more_is_not_fetched_to_its_end(listings: ListingCache) -> None:
    folder = Paged("a", "b")
    await folder.go(0)
    first, second = await listings.stream("/f", folder.feed), await listings.stream("/f", folder.feed)
    assert first is second
    listings.left(first)
    await trio.testing.wait_all_tasks_blocked()
    assert not folder.given_up
    listings.left(second)
    await trio.testing.wait_all_tasks_blocked()
    assert folder.given_up
    assert (listings.kept("/f"), listings.under_way("/f")) == (None, None)


async def test_what_is_removed_here_while_a_folder_comes_does_not_come_back(listings: ListingCache) -> None:
    folder = Paged("a b", "c d")
    await folder.go(0)
    listing = await listings.stream("/f", folder.feed)
    for name in ("a", "d"):
        listings.drop("/f", name)
    listings.put("/f", "new", "")
    listings.drop("/f", "c")
    listings.put("/f", "c", "ours")
    await folder.go(1)
    await listing.reach()
    assert listing.items == {"b": "", "new": "", "c": "ours"}
    assert listings.kept("/f") is listing


async def test_each_name_is_read_once_whatever_happens_to_it_meanwhile(listings: ListingCache) -> None:
    folder = Paged("a b", "c b a", "d")
    await folder.go(0)
    listing = await listings.stream("/f", folder.feed)
    names = listing.names()
    listings.drop("/f", "a")
    listings.put("/f", "a", "")
    listings.put("/f", "d", "")
    listings.drop("/f", "d")
    listings.put("/f", "d", "")
    await folder.go(1, 2)
    await listing.reach()
    assert sorted(names) == ["a", "b", "c", "d"]


async def test_an_error_after_the_first_page_reaches_who_reads_along(listings: ListingCache) -> None:
    gate = trio.Event()

    async def breaks(listing: Listing[str]) -> None:
        listing.grow({"a": ""})
        await gate.wait()
        raise NotFound("gone meanwhile")

    listing = await listings.stream("/f", breaks)
    await listing.reach(1)
    gate.set()
    with pytest.raises(NotFound, match="gone meanwhile"):
        await listing.reach(2)
    assert not listing.complete
    assert listings.kept("/f") is None


async def test_who_asks_for_what_is_there_now_does_not_join_an_old_fetch(listings: ListingCache) -> None:
    folder, later = Paged("a", "b"), Paged("c")
    await folder.go(0)
    await later.go(0)
    old = await listings.stream("/f", folder.feed)
    assert await listings.stream("/f", later.feed, fresh=0) is old  # begun just now
    old.asked -= 60
    new = await listings.whole("/f", later.feed, fresh=0)
    assert list(new.items) == ["c"]
    await folder.go(1)
    await old.reach()  # who reads it goes on, and what it brings is not kept
    assert (list(old.items), listings.kept("/f")) == (["a", "b"], new)


async def test_a_folder_that_takes_longer_to_list_than_a_listing_lives_is_not_listed_for_ever(
    listings: ListingCache,
) -> None:
    folder = Paged("a", "b")
    await folder.go(0)
    listing = await listings.stream("/f", folder.feed, fresh=30)
    listing.asked -= 60  # the first page has taken a minute
    await folder.go(1)
    assert listings.kept("/f", fresh=30) is listing
    assert listings.kept("/f", fresh=0) is None
    listing.asked -= 61
    assert listings.kept("/f", fresh=30) is None


async def test_a_folder_that_own_changes_have_filled_makes_room_as_any_other() -> None:
    async with open_listings(room=300_000) as listings:
        for key in ("/a", "/b"):
            listings.begin(key)
        for n in range(1000):
            listings.put("/b", f"{n}", "")
        assert (listings.peek("/a"), len(listings.peek("/b") or ())) == ({}, 1000)
        for n in range(500):
            listings.put("/a", f"{n}", "")
        assert (len(listings.peek("/a") or ()), listings.peek("/b")) == (500, None)


async def test_a_folder_that_has_outgrown_all_room_is_not_kept() -> None:
    async with open_listings(room=100_000) as listings:
        listings.begin("/a")
        for n in range(1000):
            listings.put("/a", f"{n}", "")
        assert listings.peek("/a") is None


async def test_of_the_names_that_are_not_there_the_latest_are_remembered(listings: ListingCache) -> None:
    for n in range(1000):
        listings.miss("/a", f"._{n}")
    known = [n for n in range(1000) if listings.missed("/a", f"._{n}", fresh=60)]
    assert known == [*range(1000 - len(known), 1000)]
    assert 0 < len(known) < 100


# what comes along with something else --------------------------------------------------------------------------------


async def test_what_came_along_whole_is_kept(listings: ListingCache) -> None:
    folder = Paged("never asked for")
    with listings.along("/f", folder.feed, fresh=30) as listing:
        assert listing is not None
        listing.grow({"a": ""}, last=True)
    assert listings.kept("/f") is listing
    assert (await listings.whole("/f", folder.feed)) is listing
    assert folder.asked == 0


async def test_of_what_came_along_in_part_the_others_are_asked_for_when_somebody_wants_them(
    listings: ListingCache,
) -> None:
    begun, rest = Paged("never asked for"), Paged("b", "c")
    with listings.along("/f", begun.feed, fresh=30) as listing:
        assert listing is not None
        listing.rest = rest.feed
        listing.grow({"a": ""})
    assert (listings.kept("/f"), listings.under_way("/f")) == (None, listing)
    await rest.go(0, 1)
    assert rest.asked == 0
    assert list((await listings.whole("/f", begun.feed)).items) == ["a", "b", "c"]
    assert listings.kept("/f") is listing
    assert (begun.asked, rest.asked) == (0, 1)


async def test_own_changes_hold_of_what_has_begun_to_come(listings: ListingCache) -> None:
    rest = Paged("b c")
    with listings.along("/f", rest.feed, fresh=30) as listing:
        assert listing is not None
        listing.rest = rest.feed
        listings.drop("/f", "a")  # before it is told of
        listing.grow({"a": "", "d": ""})
    listings.put("/f", "new", "ours")
    listings.drop("/f", "b")
    await rest.go(0)
    assert (await listings.whole("/f", rest.feed)).items == {"d": "", "new": "ours", "c": ""}


async def test_what_has_begun_to_come_is_forgotten_like_all_else(listings: ListingCache) -> None:
    for forget in (
        lambda: listings.forget("/f"),
        lambda: listings.forget("/", below=True),
        lambda: listings.begin("/f"),
    ):
        folder = Folder("x")
        with listings.along("/f", Paged().feed, fresh=30) as listing:
            assert listing is not None
            listing.rest = Paged("never asked for").feed
            listing.grow({"a": ""})
        forget()
        assert listings.under_way("/f") is None
        assert "a" not in (await listings.get("/f", folder.fetch)).items
        listings.forget("/f")


async def test_nothing_comes_along_of_what_is_here_nor_of_what_must_be_asked_for_anew(listings: ListingCache) -> None:
    await listings.get("/f", Folder("a").fetch)
    for key, fresh in (("/f", 30), ("/g", 0)):
        with listings.along(key, Paged().feed, fresh=fresh) as listing:
            assert listing is None


async def test_a_look_that_finds_no_folder_leaves_nothing_behind(listings: ListingCache) -> None:
    with pytest.raises(NotFound), listings.along("/f", Paged().feed, fresh=30):
        raise NotFound("none")
    assert listings.under_way("/f") is None
