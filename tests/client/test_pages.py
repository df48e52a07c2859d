"""Pages: all that there is, whatever the tenant's cap, and not one request more than that takes."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from agavesh.api.record import Page
from agavesh.client import Agave
from agavesh.client.errors import ServerTrouble
from agavesh.client.paging import AHEAD, Paging
from agavesh.client.storage import Entry, SystemStorage


class Shelf:
    """A list of `size` things, of which one answer gives no more than `cap`."""

    def __init__(self, size: int, cap: int) -> None:
        self.size, self.cap, self.asked = size, cap, 0

    async def list(self, *, limit: int, offset: int) -> Page[int]:
        self.asked += 1
        things = list(range(self.size)[offset : offset + min(limit, self.cap)])
        return Page(things, msgspec.json.encode(things))


@pytest.mark.parametrize("cap", [1, 7, 100, 250])
@pytest.mark.parametrize("size", [0, 1, 6, 7, 8, 99, 100, 101, 250, 500])
@pytest.mark.parametrize("limit", [None, 5, 100])
async def test_all_things_come_once(size: int, cap: int, limit: int | None) -> None:
    if size > 50 * cap:
        return
    shelf, paging = Shelf(size, cap), Paging()
    for _ in range(2):
        pages = paging.pages(shelf.list, limit=limit, offset=0, arguments={})
        assert [thing async for page in pages for thing in page] == list(range(size))


async def test_a_short_page_is_the_last_once_a_longer_one_was_seen() -> None:
    shelf, paging = Shelf(230, 100), Paging()

    async def count() -> int:
        shelf.asked = 0
        async for _ in paging.pages(shelf.list, limit=None, offset=0, arguments={}):
            pass
        return shelf.asked

    assert await count() == 3  # 100, 100, 30: the cap is known by then
    shelf.size = 40
    assert await count() == 1
    shelf.size = 100
    assert await count() == 2  # a full page may not be the last


async def test_a_list_that_knows_no_offset_comes_once() -> None:
    async def fixed(*, limit: int, offset: int) -> Page[int]:
        return Page([1, 2, 3], b"[1,2,3]")

    pages = Paging().pages(fixed, limit=None, offset=0, arguments={})
    assert [thing async for page in pages for thing in page] == [1, 2, 3]


async def test_a_list_that_comes_whole_is_one_page(tenant: Any) -> None:
    async with Agave(tenant.url, username="alice", password=tenant.users["alice"]) as agave:
        for name in ("one", "two", "three"):
            await agave.clients.create(body={"clientName": name})
        pages = [page async for page in agave.pages(agave.clients.list, limit=2)]
    assert len(pages) == 1
    assert {"one", "two", "three"} <= {client.name for client in pages[0]}


async def test_a_folder_is_listed_whole_and_in_order(agave: Agave, tenant: Any) -> None:
    folder = tenant.path("data.demo", "/alice/many")
    folder.mkdir()
    for n in range(620):
        (folder / f"{n:03}").touch()
    names = []
    async for page in agave.pages(agave.files.list, systemId="data.demo", filePath="/alice/many", limit=10_000):
        names += [file.name for file in page]
    assert names[0] == "."
    assert sorted(names[1:]) == [f"{n:03}" for n in range(620)]
    assert tenant.faults.requests["files.list"] == 3


async def test_pages_may_be_left_in_the_middle(agave: Agave, tenant: Any) -> None:
    async for page in agave.pages(agave.files.list, systemId="data.demo", filePath="/alice", limit=1):
        assert len(page) == 1
        break
    gc.collect()


# several pages at once -----------------------------------------------------------------------------------------------


class Desk(Shelf):
    """A shelf whose answers are let go together, as a line far away does it: a round after the other."""

    def __init__(self, size: int, cap: int, *, cut: dict[int, int] | None = None) -> None:
        super().__init__(size, cap)
        self.cut = cut or {}  # by offset: how many things come instead
        self.rounds, self.most, self.waiting = 0, 0, 0
        self.offsets: list[int] = []
        self.gate = trio.Event()

    async def answer(self, *, limit: int, offset: int) -> list[int]:
        self.offsets.append(offset)
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        try:
            await self.gate.wait()
        finally:
            self.waiting -= 1
        things = await self.list(limit=limit, offset=offset)
        return list(things)[: self.cut.get(offset, len(things))]

    async def let_go(self) -> None:
        while True:
            await trio.testing.wait_all_tasks_blocked()
            if self.waiting:
                self.rounds += 1
                gate, self.gate = self.gate, trio.Event()
                gate.set()
            else:
                await trio.sleep(0.001)


async def read(desk: Desk, paging: Paging | None = None, *, limit: int = 10_000, **more: Any) -> list[int]:
    """All that the desk gives, in as many rounds as it takes; `more` is what else `ahead` is told."""
    found: list[int] = []
    ends: list[bool] = []

    def take(page: list[int], last: bool) -> None:
        found.extend(page)
        ends.append(last)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.let_go)
        await (paging or Paging()).ahead(
            desk.answer, take, service="files", key=lambda thing: thing, limit=limit, arguments={}, **more
        )
        nursery.cancel_scope.cancel()
    assert ends == [False] * (len(ends) - 1) + [True]
    return found


@pytest.mark.parametrize("cap", [1, 7, 100, 250])
@pytest.mark.parametrize("size", [0, 1, 6, 7, 8, 99, 100, 101, 250, 251, 500, 2001])
@pytest.mark.parametrize("limit", [5, 100, 10_000])
async def test_all_things_come_once_and_in_order_from_several_requests(size: int, cap: int, limit: int) -> None:
    if size > 100 * min(cap, limit):
        return
    paging = Paging()
    for _ in range(2):
        assert await read(Desk(size, cap), paging, limit=limit) == list(range(size))


async def test_five_thousand_files_come_in_five_rounds() -> None:
    desk = Desk(5001, 250)
    assert await read(desk) == list(range(5001))
    assert desk.rounds == 5
    assert desk.most <= AHEAD
    assert len(desk.offsets) == 24  # 21 pages, the one look at the cap, and two that were guessed past the end


async def test_as_many_pages_as_there_probably_are_come_at_once() -> None:
    desk = Desk(5001, 250)
    assert await read(desk, likely=lambda page: 4000) == list(range(5001))
    assert desk.rounds == 3
    assert desk.most <= AHEAD
    assert len(desk.offsets) <= 21 + 1 + 8


@pytest.mark.parametrize("likely", [0, 10**9])
@pytest.mark.parametrize("size", [0, 1, 99, 100, 250, 251, 2001])
async def test_a_wrong_guess_of_how_many_there_are_costs_little_and_hides_nothing(size: int, likely: int) -> None:
    desk = Desk(size, 250)
    assert await read(desk, likely=lambda page: likely) == list(range(size))
    assert len(desk.offsets) <= 2 + size // 250 + AHEAD


@pytest.mark.parametrize("cap", [7, 100, 250])
@pytest.mark.parametrize("size", [1, 6, 7, 8, 99, 100, 101, 250, 251, 500, 2001])
@pytest.mark.parametrize("seen", [1, 50, 250])
async def test_behind_a_first_page_only_the_others_come(size: int, cap: int, seen: int) -> None:
    desk, paging = Desk(size, cap), Paging()
    paging.seen["files"] = min(seen, cap)
    first = [*range(size)[:cap]]
    found = first if paging.is_all("files", len(first), 250) else first + await read(desk, paging, first=first)
    assert found == list(range(size))
    assert 0 not in desk.offsets[:1] or size == 1  # the last line of it is asked for once more


async def test_a_short_list_is_known_to_be_whole_in_one_round() -> None:
    desk, paging = Desk(40, 250), Paging()
    await read(desk, paging)
    assert (desk.rounds, sorted(desk.offsets)) == (1, [0, 1])  # the second of them shows that nothing was cut
    other = Desk(30, 250)
    await read(other, paging)
    assert (other.rounds, other.offsets) == (1, [0])


async def test_a_tenant_with_a_small_cap_loses_nothing() -> None:
    desk, paging = Desk(10, 10), Paging()
    await read(desk, paging)
    assert await read(Desk(95, 10), paging) == list(range(95))


async def test_after_a_short_page_in_the_middle_it_goes_on_one_by_one() -> None:
    desk = Desk(2000, 250, cut={747: 100})
    assert await read(desk) == list(range(2000))
    after = desk.offsets[desk.offsets.index(846) :]
    assert after == [846, 1095, 1344, 1593, 1842, 1999, 2000]  # each begins with the last thing of the one before


async def test_a_list_that_moves_while_it_is_read_loses_nothing_that_stays() -> None:
    class Moving(Desk):
        things = list(range(2000))  # noqa: RUF012  # one test makes one of it

        async def list(self, *, limit: int, offset: int) -> Page[int]:
            self.asked += 1
            if self.asked == 3:
                self.things.insert(0, -1)
            things = self.things[offset : offset + min(limit, self.cap)]
            return Page(things, msgspec.json.encode(things))

    assert set(range(2000)) <= set(await read(Moving(0, 250)))


class Shifting(Desk):
    """A desk at which something happens to the things after so many answers."""

    def __init__(self, size: int, cap: int, events: dict[int, Callable[[list[int]], object]]) -> None:
        super().__init__(size, cap)
        self.things, self.events = [*range(size)], events

    async def list(self, *, limit: int, offset: int) -> Page[int]:
        if event := self.events.get(self.asked):
            event(self.things)
        self.asked += 1
        return Page(self.things[offset : offset + min(limit, self.cap)], b"")


def gone(start: int, stop: int) -> Callable[[list[int]], object]:
    def delete(things: list[int]) -> None:
        things[:] = [thing for thing in things if not start <= thing < stop]

    return delete


@pytest.mark.parametrize("when", range(2, 13))
@pytest.mark.parametrize(
    ("start", "stop"), [(0, 1), (3, 203), (240, 260), (249, 250), (0, 250), (100, 700), (600, 1200), (0, 1750)]
)
async def test_what_stays_is_not_passed_over_when_something_is_deleted(start: int, stop: int, when: int) -> None:
    found = await read(Shifting(2000, 250, {when: gone(start, stop)}))
    assert set(found) >= {*range(2000)} - {*range(start, stop)}


@pytest.mark.parametrize("cap", [2, 3, 10, 250])
@pytest.mark.parametrize("each", [1, 3, 40])
async def test_who_deletes_while_a_list_is_read_hides_nothing(cap: int, each: int) -> None:
    size = 12 * cap
    events = {at: gone(each * at - each, each * at) for at in range(1, size // each // 2)}
    desk = Shifting(size, cap, events)
    found = await read(desk, limit=cap)
    assert set(found) >= set(desk.things)
    assert len(found) == len(set(found)) or each >= cap  # nor comes twice, unless all that was known is gone


async def test_what_is_deleted_behind_the_reader_costs_no_second_reading() -> None:
    desk = Shifting(10_000, 250, {10: gone(0, 5)})
    found = await read(desk)
    assert (len(found), set(found) >= {*range(5, 10_000)}) == (10_000, True)
    assert desk.asked <= 41 + 20


async def test_a_list_that_loses_all_but_its_end_is_read_from_its_beginning() -> None:
    desk = Shifting(9000, 250, {30: gone(1, 8990)})
    found = await read(desk)
    assert set(found) >= {0, *range(8990, 9000)}
    assert found.count(0) == 1  # the folder itself


async def test_overlapping_pages_cost_next_to_nothing() -> None:
    desk = Desk(100_000, 250)
    assert await read(desk) == list(range(100_000))
    assert len(desk.offsets) <= 402 + AHEAD


async def test_a_list_without_offset_comes_once_though_it_is_guessed_at() -> None:
    class Fixed(Desk):
        async def list(self, *, limit: int, offset: int) -> Page[int]:
            return Page(range(200), b"")

    assert await read(Fixed(0, 250)) == list(range(200))


async def test_what_goes_wrong_behind_the_last_page_is_nobodys_trouble() -> None:
    class Strict(Desk):
        async def list(self, *, limit: int, offset: int) -> Page[int]:
            if offset > self.size:
                raise ServerTrouble("no such offset")
            return await super().list(limit=limit, offset=offset)

    assert await read(Strict(1010, 250)) == list(range(1010))


async def test_a_page_that_fails_is_not_taken_for_the_end() -> None:
    class Odd(Desk):
        """Cuts a page in the middle, and fails the one behind it once."""

        async def list(self, *, limit: int, offset: int) -> Page[int]:
            if offset == 996 and 996 in self.cut:
                del self.cut[996]
                raise ServerTrouble("busy")
            return await super().list(limit=limit, offset=offset)

    assert await read(Odd(2000, 250, cut={747: 100, 996: 0})) == list(range(2000))


async def test_an_end_that_nobody_can_tell_of_is_an_error() -> None:
    class Ending(Desk):
        async def list(self, *, limit: int, offset: int) -> Page[int]:
            if offset > 750:
                raise ServerTrouble("gone")
            return await super().list(limit=limit, offset=offset)

    desk = Ending(2000, 250, cut={747: 100})
    with pytest.RaisesGroup(pytest.RaisesExc(ServerTrouble)):
        await read(desk)


async def test_what_goes_wrong_in_the_middle_is_told_once_the_pages_before_were_taken() -> None:
    class Broken(Desk):
        async def list(self, *, limit: int, offset: int) -> Page[int]:
            if offset == 498:
                raise ServerTrouble("broken")
            return await super().list(limit=limit, offset=offset)

    desk, found = Broken(3000, 250), list[int]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.let_go)
        with pytest.raises(ServerTrouble, match="broken"):
            await Paging().ahead(
                desk.answer, lambda page, last: found.extend(page), service="files", key=lambda thing: thing,
                limit=10_000, arguments={},
            )  # fmt: skip
        nursery.cancel_scope.cancel()
    assert found == list(range(499))
    assert not desk.waiting  # nothing goes on


async def test_who_goes_takes_the_requests_along() -> None:
    desk = Desk(5000, 250)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(desk.let_go)
            await Paging().ahead(
                desk.answer, lambda page, last: scope.cancel(), service="files", key=lambda thing: thing,
                limit=10_000, arguments={},
            )  # fmt: skip
    assert scope.cancelled_caught
    assert not desk.waiting


async def test_a_wide_folder_is_listed_whole_from_several_requests(agave: Agave, tenant: Any) -> None:
    folder = tenant.path("data.demo", "/alice/wide")
    folder.mkdir()
    for n in range(1500):
        (folder / f"{n:04}").write_bytes(b"x" * n)
    pages: list[list[Entry]] = []
    await SystemStorage(agave, "data.demo").scan("/alice/wide", lambda page, last: pages.append(page))
    entries = {entry.name: entry for page in pages for entry in page}
    assert sorted(entries) == [f"{n:04}" for n in range(1500)]
    assert all(entry.size == int(entry.name) and entry.modified for entry in entries.values())
    assert tenant.faults.requests["files.list"] <= 7 + 1 + 6
