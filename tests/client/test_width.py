"""How many requests are under way: never too many, fewer for a platform that throttles, and nobody is forgotten."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from agavesh.client import Agave, errors
from agavesh.client.width import CONNECTIONS, LEAST, SHARE_LEAST, Kind, Place, Width, chosen_connections
from tests.client.wire import Seen, answer, peer

HOME = {"systemId": "data.demo", "filePath": "/alice"}


class Visitors:
    """Tasks that enter and stay until they are let go, one by one."""

    def __init__(self, width: Width, nursery: trio.Nursery) -> None:
        self.width, self._nursery = width, nursery
        self.inside: list[tuple[str, Place]] = []

    def come(self, name: str, kind: Kind = Kind.CALL, ticket: int | None = None) -> None:
        self._nursery.start_soon(self._enter, name, kind, self.width.ticket() if ticket is None else ticket)

    async def _enter(self, name: str, kind: Kind, ticket: int) -> None:
        self.inside.append((name, await self.width.enter(kind, ticket)))

    async def names(self) -> list[str]:
        await trio.testing.wait_all_tasks_blocked()
        return [name for name, _ in self.inside]

    async def let_go(self, name: str) -> None:
        (found,) = [each for each in self.inside if each[0] == name]
        self.inside.remove(found)
        found[1].give_back()
        await trio.testing.wait_all_tasks_blocked()


async def test_no_more_than_so_many_and_the_first_come_go_first(nursery: trio.Nursery) -> None:
    visitors = Visitors(Width(2), nursery)
    for name in "abcd":
        visitors.come(name)
        await trio.testing.wait_all_tasks_blocked()
    assert await visitors.names() == ["a", "b"]
    await visitors.let_go("b")
    assert await visitors.names() == ["a", "c"]
    await visitors.let_go("a")
    assert await visitors.names() == ["c", "d"]


async def test_it_tells_what_it_is_at(nursery: trio.Nursery) -> None:
    width = Width(2)
    visitors = Visitors(width, nursery)
    for name in "abc":
        visitors.come(name)
    inside = await visitors.names()
    assert str(width) == "2 under way of 2 (at most 2), 1 waiting, 2 so far, 0 throttled"
    await visitors.let_go(inside[0])
    assert str(width) == "2 under way of 2 (at most 2), 0 waiting, 3 so far, 0 throttled"


async def test_programs_that_share_have_a_part_each_and_all_of_it_when_they_are_alone_again(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    width = Width(20)
    visitors = Visitors(width, nursery)
    width.share(2)
    for number in range(15):
        visitors.come(str(number))
    assert len(await visitors.names()) == 10
    width.share(1)
    assert len(await visitors.names()) == 15
    width.share(50)
    assert (width.most, width.limit) == (SHARE_LEAST, SHARE_LEAST)
    await trio.sleep(1)
    width.refused(Place(width, Kind.CALL, trio.current_time()), None)
    assert width.limit < SHARE_LEAST
    lower = width.limit
    width.share(1)
    assert (width.most, width.limit) == (20, lower)  # what the platform asked for still holds


async def test_an_attempt_that_is_repeated_has_its_old_place_in_the_line(nursery: trio.Nursery) -> None:
    width = Width(1)
    visitors = Visitors(width, nursery)
    early = width.ticket()
    for name in "ab":
        visitors.come(name)
        await trio.testing.wait_all_tasks_blocked()
    visitors.come("again", ticket=early)
    await trio.testing.wait_all_tasks_blocked()
    await visitors.let_go("a")
    assert await visitors.names() == ["again"]


async def test_calls_never_wait_behind_transfers_and_transfers_have_a_part_of_their_own(nursery: trio.Nursery) -> None:
    visitors = Visitors(Width(8), nursery)
    for number in range(20):
        visitors.come(f"bulk {number}", Kind.BULK)
    assert len(await visitors.names()) == 2
    for number in range(20):
        visitors.come(f"stream {number}", Kind.STREAM)
    assert len(await visitors.names()) == 7
    visitors.come("call")
    assert (await visitors.names())[-1] == "call"
    # and a transfer has its turn among any number of calls
    for number in range(20):
        visitors.come(f"call {number}")
    await trio.testing.wait_all_tasks_blocked()
    first, second = [name for name in await visitors.names() if name.startswith("bulk")]
    await visitors.let_go(first)
    assert sum(name.startswith("bulk") for name in await visitors.names()) == 2
    assert second in await visitors.names()


async def test_who_gives_up_takes_no_place_with_him(nursery: trio.Nursery) -> None:
    width = Width(1)
    holder = await width.enter(Kind.CALL, 0)
    with trio.move_on_after(0):
        await width.enter(Kind.CALL, 1)
    given = trio.CancelScope()

    async def late() -> None:
        with given:
            await width.enter(Kind.CALL, 2)

    nursery.start_soon(late)
    await trio.testing.wait_all_tasks_blocked()
    given.cancel()
    holder.give_back()  # it would be late's now, who has just been told to give up
    await trio.testing.wait_all_tasks_blocked()
    assert width.under_way == 0
    holder.give_back()  # twice is once
    assert width.under_way == 0


async def test_all_that_were_refused_together_halve_the_number_once(autojump_clock: trio.testing.MockClock) -> None:
    width = Width(64)
    places = [await width.enter(Kind.CALL, number) for number in range(64)]
    await trio.sleep(0.05)
    for place in places:
        width.refused(place, None)
        place.give_back()
    assert width.limit == 32
    assert width.throttled == 64


async def test_while_the_platform_asks_to_wait_nothing_is_sent(autojump_clock: trio.testing.MockClock) -> None:
    width = Width(4)
    async with trio.open_nursery() as nursery:
        place = await width.enter(Kind.CALL, 0)
        visitors = Visitors(width, nursery)
        for name in "abcde":
            visitors.come(name)
        await trio.sleep(0.1)
        assert width.under_way == 4
        width.refused(place, 3.0)
        place.give_back()
        began = trio.current_time()
        for name, _ in list(visitors.inside):
            await visitors.let_go(name)
        assert visitors.inside == []
        while not visitors.inside:
            await trio.sleep(0.01)
        assert 3 <= trio.current_time() - began < 3.1
        assert len(visitors.inside) == 2
        while visitors.inside:
            await visitors.let_go(visitors.inside[0][0])


async def test_a_wait_of_one_call_does_not_stop_all_for_ever(autojump_clock: trio.testing.MockClock) -> None:
    width = Width(4)
    place = await width.enter(Kind.CALL, 0)
    width.refused(place, 600)
    place.give_back()
    with trio.fail_after(10):
        (await width.enter(Kind.CALL, 1)).give_back()


async def rounds(width: Width, number: int, seconds: Callable[[int], float]) -> None:
    """As many as may, side by side, so many times; an answer takes `seconds` of how many there are."""
    for _ in range(number):
        places = [await width.enter(Kind.CALL, width.ticket()) for _ in range(int(width.limit))]
        await trio.sleep(seconds(len(places)))
        for place in places:
            width.answered(place)
        for place in places:
            place.give_back()


async def test_each_round_without_a_refusal_adds_one(autojump_clock: trio.testing.MockClock) -> None:
    width = Width(16)
    for _ in range(8):
        place = await width.enter(Kind.CALL, 0)
        width.refused(place, None)
        place.give_back()
    assert width.limit == LEAST
    await rounds(width, 5, lambda _: 0.05)
    assert 5 <= width.limit <= 2 + 5
    await rounds(width, 20, lambda _: 0.05)
    assert width.limit == 16


async def test_a_platform_that_slows_down_is_asked_for_less(autojump_clock: trio.testing.MockClock) -> None:
    width = Width(64)
    await rounds(width, 4, lambda _: 0.05)
    assert width.limit == 64
    await rounds(width, 20, lambda many: 0.05 if many <= 16 else 0.2 * many)
    assert width.limit <= 34


async def test_a_single_slow_answer_says_nothing(autojump_clock: trio.testing.MockClock) -> None:
    width = Width(64)
    await rounds(width, 4, lambda _: 0.05)
    place = await width.enter(Kind.CALL, 0)
    await trio.sleep(10)
    width.answered(place)
    assert width.limit == 64


@pytest.mark.parametrize(("said", "number"), [("", CONNECTIONS), ("8", 8)])
def test_the_environment_may_say_how_many(monkeypatch: pytest.MonkeyPatch, said: str, number: int) -> None:
    monkeypatch.setenv("AGAVE_CONNECTIONS", said)
    assert chosen_connections() == number


@pytest.mark.parametrize("said", ["0", "many", "-1", "100000"])
def test_a_number_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("AGAVE_CONNECTIONS", said)
    with pytest.raises(errors.BadArgument, match="AGAVE_CONNECTIONS is"):
        Agave("http://127.0.0.1:1", token="t")


class Throttling:
    """A platform that takes so many requests at once, and refuses the others."""

    def __init__(self, takes: int) -> None:
        self.takes, self.now, self.most, self.refused = takes, 0, 0, 0

    async def __call__(self, seen: Seen) -> bytes:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            if self.now > self.takes:
                self.refused += 1
                return answer(429, b"")
            await trio.sleep(0.02)
            return answer()
        finally:
            self.now -= 1


async def test_a_platform_that_throttles_is_met_with_fewer_and_all_is_answered() -> None:
    there = Throttling(6)
    done = 0
    async with peer(there) as listening, Agave(listening.url, token="t") as agave:

        async def ask() -> None:
            nonlocal done
            assert await agave.systems.list() == []
            done += 1

        async with trio.open_nursery() as nursery:
            for _ in range(400):
                nursery.start_soon(ask)
    assert done == 400
    # a fixed width of 64 is refused some ten times for each that is taken
    assert there.refused < 200
    assert there.most <= CONNECTIONS


async def test_one_service_in_trouble_does_not_slow_the_others(agave: Agave, tenant: Any) -> None:
    with tenant.faults.refusing("systems.list", 503, times=3):
        await agave.systems.list()
    assert agave.width.limit == CONNECTIONS


async def test_listings_go_on_while_all_transfers_stall(agave: Agave, tenant: Any) -> None:
    tenant.path("data.demo", "/alice/big").write_bytes(bytes(2 * 2**20))
    with tenant.faults.stalling("files.download", 10):
        async with trio.open_nursery() as nursery:
            for _ in range(3 * CONNECTIONS):
                nursery.start_soon(agave.files.download(systemId="data.demo", filePath="/alice/big").read)
            await trio.sleep(0)
            with trio.fail_after(20):
                for _ in range(20):
                    assert await agave.files.list(**HOME)
            assert agave.width.under_way <= CONNECTIONS // 4
            nursery.cancel_scope.cancel()
    assert agave.width.under_way == 0
