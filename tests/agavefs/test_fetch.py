"""Fetching into spools: once for all who wait, in blocks, ahead of who reads on, and never two versions in one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from agavefs.fetch import BLOCK, Fetcher, Flight, Turns
from agavefs.spool import Spool, Spools
from agavefs.tail import TailHandle
from agavefs.window import NEAR, Ahead
from agavesh.client.errors import BadAnswer, Changed, ServerTrouble, TimedOut
from agavesh.client.path import RemotePath
from agavesh.client.storage import Entry, Storage, Stream
from agavesh.tree.listing import open_listings
from agavesh.tree.storage import StorageFile

PLACE = RemotePath("system", "s", "/f")


class Shelf(Storage):
    """A storage of one file. It notes what it is asked for; `gate` holds bytes back, `ranges` may be unknown to it."""

    def __init__(self, content: bytes) -> None:
        self.content, self.owner = content, "s"
        self.asked: list[tuple[int, int | None]] = []
        self.gate = trio.Event()
        self.gate.set()
        self.ranges = True
        self.stamp: str | None = "monday"
        self.cut = len(content)
        self.trouble: Exception | None = None
        self.breaks: int | None = None  # bytes after which a connection breaks
        self.let = 0  # chunks before this byte come by the gate though it is closed

    async def scan(self, path: str) -> AsyncIterator[list[Entry]]:
        yield [await self.stat("/f")]

    async def stat(self, path: str) -> Entry:
        return Entry("f", "file", len(self.content), 1.0)

    def _download(self, path: str, headers: dict[str, str]) -> Any:
        raise AssertionError("its bytes come from `read`")

    @asynccontextmanager
    async def read(
        self, path: str, start: int = 0, stop: int | None = None, *, bulk: bool | None = None
    ) -> AsyncIterator[Stream]:
        self.asked.append((start, stop))
        if self.trouble is not None:
            raise self.trouble
        start, stop = (start, stop or len(self.content)) if self.ranges else (0, len(self.content))

        async def chunks() -> AsyncIterator[bytes]:
            for at in range(start, min(stop, self.cut), 65536):
                if self.breaks is not None and at - start >= self.breaks:
                    raise BadAnswer("the body was cut")
                if at >= self.let:
                    await self.gate.wait()
                yield self.content[at : min(at + 65536, stop, self.cut)]

        yield Stream(start, len(self.content), chunks(), self.stamp)


CONTENT = bytes(range(251)) * 100_000  # 25 MB, and no two blocks alike


@pytest.fixture
def shelf() -> Shelf:
    return Shelf(CONTENT)


@pytest.fixture
def spools(tmp_path: Path) -> Spools:
    return Spools(tmp_path / "spools", room=2**30)


def spool_of(shelf: Shelf, spools: Spools) -> Spool:
    spool = spools.make(PLACE, shelf, size=len(shelf.content), version=(len(shelf.content), 1.0))
    spools.take(spool)
    return spool


async def test_what_was_asked_is_there(shelf: Shelf, spools: Spools, nursery: trio.Nursery) -> None:
    spool, fetcher = spool_of(shelf, spools), Fetcher(nursery, spools)
    for start, stop in ((7_000_000, 7_000_010), (0, 5), (24_999_000, 30_000_000), (3_900_000, 4_500_000)):
        await fetcher.ensure(spool, start, stop)
        assert spool.read(start, stop) == CONTENT[start:stop]
    assert spool.present.total < 2_000_000  # and little else


async def test_one_fetch_serves_all_who_wait(shelf: Shelf, spools: Spools, nursery: trio.Nursery) -> None:
    spool, fetcher = spool_of(shelf, spools), Fetcher(nursery, spools)
    async with trio.open_nursery() as readers:
        for _ in range(10):
            readers.start_soon(fetcher.ensure, spool, 100, 200)
    assert shelf.asked == [(100, 100 + NEAR)]


async def test_who_gives_up_fails_nobody_else(shelf: Shelf, spools: Spools, nursery: trio.Nursery) -> None:
    spool, fetcher = spool_of(shelf, spools), Fetcher(nursery, spools)
    shelf.gate = trio.Event()
    async with trio.open_nursery() as readers:
        with trio.CancelScope() as impatient:
            readers.start_soon(fetcher.ensure, spool, 0, 10)
            readers.start_soon(cancel_later, impatient)
            await fetcher.ensure(spool, 0, 10)
        shelf.gate.set()
    assert spool.read(0, 10) == CONTENT[:10]
    assert len(shelf.asked) == 1


async def cancel_later(scope: trio.CancelScope) -> None:
    await trio.testing.wait_all_tasks_blocked()
    scope.cancel()


async def test_who_reads_on_finds_it_there(shelf: Shelf, spools: Spools, nursery: trio.Nursery) -> None:
    spool, fetcher, ahead = spool_of(shelf, spools), Fetcher(nursery, spools), Ahead()
    fetcher.rate.known = 1e9  # bytes a second: a fast line
    for start in range(0, len(CONTENT), 131072):
        await fetcher.read(spool, start, start + 131072, ahead=ahead)
        assert spool.read(start, start + 131072) == CONTENT[start : start + 131072]
    # far fewer requests than reads, and none larger than a block
    assert len(shelf.asked) < 191 / 8
    assert all((stop or len(CONTENT)) - start <= BLOCK for start, stop in shelf.asked)


async def test_who_jumps_about_gets_little_more_than_asked(shelf: Shelf, spools: Spools, nursery: trio.Nursery) -> None:
    spool, fetcher, ahead = spool_of(shelf, spools), Fetcher(nursery, spools), Ahead()
    for start in (20_000_000, 5_000_000, 15_000_000, 9_000_000):
        assert await fetcher.read(spool, start, start + 4096, ahead=ahead) == CONTENT[start : start + 4096]
    await trio.testing.wait_all_tasks_blocked()
    assert spool.present.total == NEAR + NEAR // 2 + NEAR // 4 + NEAR // 8


async def test_a_small_file_comes_whole_by_one_request(spools: Spools, nursery: trio.Nursery) -> None:
    shelf = Shelf(b"x" * 900_000)
    spool, fetcher = spool_of(shelf, spools), Fetcher(nursery, spools)
    await fetcher.read(spool, 500_000, 500_001, ahead=Ahead())
    assert (shelf.asked, spool.whole) == ([(0, None)], True)


async def test_without_ranges_the_whole_file_comes_once(shelf: Shelf, spools: Spools, nursery: trio.Nursery) -> None:
    shelf.ranges = False
    spool, fetcher = spool_of(shelf, spools), Fetcher(nursery, spools)
    await fetcher.ensure(spool, 20_000_000, 20_000_010)
    await fetcher.ensure(spool, 0, len(CONTENT))
    assert spool.read(0, 30_000_000) == CONTENT
    assert len(shelf.asked) == 1


async def test_two_versions_are_never_mixed(shelf: Shelf, spools: Spools, nursery: trio.Nursery) -> None:
    spool, fetcher = spool_of(shelf, spools), Fetcher(nursery, spools)
    await fetcher.ensure(spool, 0, 10)
    shelf.stamp = "tuesday"
    with pytest.raises(Changed):
        await fetcher.ensure(spool, 9_000_000, 9_000_010)
    assert spool.read(0, 10) == CONTENT[:10]
    shelf.stamp, shelf.content = "monday", CONTENT[:-1]
    with pytest.raises(Changed):
        await fetcher.ensure(spool, 9_000_000, 9_000_010)


async def test_a_short_answer_is_an_error_and_not_the_end(shelf: Shelf, spools: Spools, nursery: trio.Nursery) -> None:
    spool, fetcher = spool_of(shelf, spools), Fetcher(nursery, spools)
    shelf.cut = 1000
    with pytest.raises(BadAnswer):
        await fetcher.ensure(spool, 0, 5000)
    shelf.cut = len(CONTENT)
    await fetcher.ensure(spool, 0, 5000)
    assert spool.read(0, 5000) == CONTENT[:5000]


async def test_a_request_that_is_cut_goes_on_where_it_stopped(
    shelf: Shelf, spools: Spools, nursery: trio.Nursery
) -> None:
    spool, fetcher = spool_of(shelf, spools), Fetcher(nursery, spools)
    shelf.breaks = 500_000
    await fetcher.ensure(spool, 0, 2_000_000)
    assert spool.read(0, 2_000_000) == CONTENT[:2_000_000]
    asked = [place for place in shelf.asked if place[0] < BLOCK]
    assert len(asked) == len(set(asked)) == 4


async def test_the_first_bytes_of_a_block_are_handed_on_as_they_come(
    shelf: Shelf, spools: Spools, nursery: trio.Nursery
) -> None:
    spool, fetcher, ahead = spool_of(shelf, spools), Fetcher(nursery, spools), Ahead()
    shelf.gate, shelf.let = trio.Event(), 131072
    # a block of a MiB was asked for; two chunks of it, which are all that is read, have come
    assert await fetcher.read(spool, 0, 131072, ahead=ahead) == CONTENT[:131072]
    assert shelf.asked[0] == (0, 2**20)
    assert spool.present.total == 131072


async def test_a_single_place_waits_for_no_block_of_another_file(spools: Spools, nursery: trio.Nursery) -> None:
    shelf = Shelf(bytes(160 * 2**20))
    spool, fetcher = spool_of(shelf, spools), Fetcher(nursery, spools)
    fetcher.rate.known = 1e9  # bytes a second: a fast line
    shelf.gate = trio.Event()
    async with trio.open_nursery() as readers:
        for begin in (32 * 2**20, 96 * 2**20):
            ahead = Ahead()
            for at in range(begin - 32 * 2**20, begin, 131072):  # a reader who has come so far
                ahead.window(at, at + 131072)
            readers.start_soon(partial(fetcher.read, spool, begin, begin + 131072, ahead=ahead))
            await trio.testing.wait_all_tasks_blocked()
        begun = len(shelf.asked)
        assert begun == 16  # as many blocks as may be under way; more wait for their turn
        # a small place of another file has not to wait for any of them
        other = Shelf(CONTENT)
        far = spools.make(PLACE._replace(path="/other"), other, size=len(CONTENT), version=(len(CONTENT), 1.0))
        assert await fetcher.read(far, 9_000_000, 9_004_096, ahead=Ahead()) == CONTENT[9_000_000:9_004_096]
        shelf.gate.set()


async def test_of_those_that_wait_for_a_turn_the_one_that_is_wanted_is_next(nursery: trio.Nursery) -> None:
    turns, order = Turns(1), list[int]()

    async def fly(flight: Flight) -> None:
        await turns.begin(flight)
        order.append(flight.start)
        turns.end()

    flights = [Flight(number, number + 1) for number in range(4)]
    await turns.begin(Flight(9, 10))
    for flight in flights:
        nursery.start_soon(fly, flight)
        await trio.testing.wait_all_tasks_blocked()
    flights[2].wanted = True
    turns.end()
    await trio.testing.wait_all_tasks_blocked()
    assert order == [2, 0, 1, 3]


async def test_on_a_slow_line_little_is_asked_for_ahead(shelf: Shelf, spools: Spools, nursery: trio.Nursery) -> None:
    spool, fetcher, ahead = spool_of(shelf, spools), Fetcher(nursery, spools), Ahead()
    fetcher.rate.known = 4e6
    for at in range(0, 2**24, 131072):
        ahead.window(at, at + 131072)
    shelf.gate, shelf.let = trio.Event(), 2**24 + 131072
    await fetcher.read(spool, 2**24, 2**24 + 131072, ahead=ahead)
    await trio.testing.wait_all_tasks_blocked()
    assert max(stop or 0 for _, stop in shelf.asked) - 2**24 <= 2 * 2**20 + 131072  # half a second's worth


async def test_what_nobody_reads_any_more_is_given_up(shelf: Shelf, spools: Spools, nursery: trio.Nursery) -> None:
    spool, fetcher, ahead = spool_of(shelf, spools), Fetcher(nursery, spools), Ahead()
    shelf.gate, shelf.let = trio.Event(), 131072
    await fetcher.read(spool, 0, 131072, ahead=ahead)
    fetcher.leave(spool)
    spools.drop(spool)
    await trio.testing.wait_all_tasks_blocked()
    assert (spool.flights, spool.present.total) == (0, 131072)
    shelf.gate.set()
    assert await fetcher.read(spool, 200_000, 300_000) == CONTENT[200_000:300_000]


async def test_a_file_that_is_foreseen_comes_by_one_request_and_is_there(spools: Spools, nursery: trio.Nursery) -> None:
    shelf = Shelf(b"small" * 1000)
    fetcher, version = Fetcher(nursery, spools), (5000, 1.0)
    shelf.gate, ended = trio.Event(), list[Exception | None]()
    async with trio.open_nursery() as readers:
        assert fetcher.prefetch(PLACE, shelf, version, ended.append)
        await trio.testing.wait_all_tasks_blocked()
        spool = spools.find(PLACE, version)
        assert spool is not None
        spools.take(spool)
        readers.start_soon(fetcher.read, spool, 0, 5000)  # who opens it meanwhile waits for the same request
        await trio.testing.wait_all_tasks_blocked()
        assert ended == []
        shelf.gate.set()
    assert not fetcher.prefetch(PLACE, shelf, version, ended.append)  # it is here
    assert (shelf.asked, ended) == ([(0, None)], [None])
    assert spools.wasted == 0


async def test_trouble_with_a_file_that_is_foreseen_is_told_to_who_foresaw_it(
    shelf: Shelf, spools: Spools, nursery: trio.Nursery
) -> None:
    fetcher, ended = Fetcher(nursery, spools), list[Exception | None]()
    shelf.trouble = ServerTrouble("no")
    assert fetcher.prefetch(PLACE, shelf, (5000, 1.0), ended.append)
    await trio.testing.wait_all_tasks_blocked()
    assert ended == [shelf.trouble]


async def test_what_was_foreseen_for_nothing_is_counted(spools: Spools, nursery: trio.Nursery) -> None:
    fetcher = Fetcher(nursery, spools)
    for number in range(3):
        fetcher.prefetch(PLACE._replace(path=f"/{number}"), Shelf(b"small" * 1000), (5000, 1.0), lambda trouble: None)
    await trio.testing.wait_all_tasks_blocked()
    opened = spools.find(PLACE._replace(path="/1"), (5000, 1.0))
    assert opened is not None
    spools.take(opened)
    spools.drop(opened)
    assert spools.foreseen == 5000
    await spools.close()
    assert spools.wasted == 10_000


async def test_trouble_is_told_to_who_waits_and_then_over(shelf: Shelf, spools: Spools, nursery: trio.Nursery) -> None:
    spool, fetcher = spool_of(shelf, spools), Fetcher(nursery, spools)
    shelf.trouble = ServerTrouble("no")
    with pytest.raises(ServerTrouble):
        await fetcher.ensure(spool, 0, 10)
    shelf.trouble = None
    await fetcher.ensure(spool, 0, 10)


async def test_silence_ends_a_wait(
    shelf: Shelf, spools: Spools, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    spool, fetcher = spool_of(shelf, spools), Fetcher(nursery, spools, patience=20)
    shelf.gate = trio.Event()
    with pytest.raises(TimedOut):
        await fetcher.ensure(spool, 0, 10)
    assert trio.current_time() == 20
    shelf.gate.set()
    await fetcher.ensure(spool, 0, 10)


async def test_what_was_written_meanwhile_is_not_overwritten(
    shelf: Shelf, spools: Spools, nursery: trio.Nursery
) -> None:
    spool, fetcher = spool_of(shelf, spools), Fetcher(nursery, spools)
    shelf.gate = trio.Event()
    async with trio.open_nursery() as readers:
        readers.start_soon(fetcher.ensure, spool, 0, 200_000)
        await trio.testing.wait_all_tasks_blocked()
        spool.truncate(0)
        spool.write(100, b"ours")
        shelf.gate.set()
    assert spool.read(0, 1000) == bytes(100) + b"ours"


def test_spools_that_nobody_needs_make_room(spools: Spools) -> None:
    spools.room = 2500
    kept = []
    for number in range(5):
        spool = spools.make(PLACE._replace(path=f"/{number}"), Shelf(b""), size=1000, version=(1000, 1.0))
        spools.take(spool)
        spool.fill(0, bytes(1000))
        kept.append(spool)
        spool.pins.append((0, 1000))  # as somebody who is about to read it does
    assert spools.held == 5000
    for spool in kept:
        spools.drop(spool)
    assert spools.held <= 2500
    found = [number for number in range(5) if spools.find(PLACE._replace(path=f"/{number}"), (1000, 1.0))]
    assert found == [3, 4]  # those used last
    assert (spools.light, list(spools.folder.iterdir())) == (2000, [])


def test_a_small_file_has_no_file_here_until_it_is_changed(spools: Spools, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytes(range(250)) * 4
    monkeypatch.setattr("agavefs.spool._MEMORY", 2500)
    several = [spools.make(PLACE._replace(path=f"/{at}"), Shelf(b""), size=1000, version=(1000, 1.0)) for at in "abc"]
    for spool in several:
        spools.take(spool)
        spool.fill(0, content[:300], content[300:])
        assert spool.peek(10, 20) == spool.read(10, 20) == content[10:20]
        assert spool.whole
    assert [spool.path.exists() for spool in several] == [False, False, True]  # there is an end to the memory, too
    several[0].write(999, b"new")
    assert several[0].path.read_bytes() == content[:999] + b"new"
    assert spools.light == 1000
    assert several[1].drop(0, 500) == 1000
    assert several[1].present.missing(0, 1000) == [(0, 1000)]
    assert spools.light == 0


def test_a_spool_that_is_owed_is_never_evicted(spools: Spools) -> None:
    spools.room = 10
    spool = spools.make(PLACE, Shelf(b""))
    spools.take(spool)
    spool.write(0, bytes(1000))
    spool.row = 1
    spools.drop(spool)
    assert spool.path.stat().st_size == 1000
    spool.row = None
    spools.settled(spool, (1000, 1.0))
    assert not spool.path.exists()


@pytest.mark.parametrize("failing", [False, True])
async def test_what_a_job_begins_anew_is_read_anew_even_if_asking_for_its_size_fails_once(
    spools: Spools, nursery: trio.Nursery, failing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf, ask = Shelf(b"o" * 3_000_000), Shelf.stat

    async def stat(self: Shelf, path: str) -> Entry:
        await trio.lowlevel.checkpoint()
        if failing:
            raise ServerTrouble("not now")
        return await ask(self, path)

    monkeypatch.setattr(Shelf, "stat", stat)
    async with open_listings() as listings:
        node = StorageFile("/f", await ask(shelf, "/f"), shelf, listings, "/f", 1.0, True)
        tail = TailHandle(spools, Fetcher(nursery, spools), node, lambda: len(shelf.content))
        assert await tail.read(0, 10) == b"o" * 10
        shelf.content = b"n" * 2_000_000
        if failing:
            with pytest.raises(ServerTrouble):
                await tail.read(2_500_000, 10)
            failing = False
        with trio.fail_after(10):
            async with trio.open_nursery() as readers:
                for place in (2_400_000, 2_500_000, 2_600_000):
                    readers.start_soon(tail.read, place, 10)
            assert await tail.read(1_000_000, 10) == b"n" * 10
        await tail.release()
    assert not list(spools)
