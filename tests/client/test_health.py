"""A platform that is down is not waited for again and again, and is found when it is back."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from agavesh.client import Agave, errors
from agavesh.client.health import FAILURES, LONGEST_PAUSE, SPAN, Health
from agavesh.client.local import local_account, read_card
from tests.client.wire import answer, peer

DOWN = errors.Unreachable("files.list /a: nobody is there", hint="try again")


async def broken(health: Health) -> None:
    """The platform has been down for a while."""
    sent = trio.current_time()
    await trio.sleep(SPAN)
    for _ in range(FAILURES):
        health.failed("files.list /a", DOWN, sent)
    assert not health.up


async def test_the_time_of_the_last_answer_is_known(autojump_clock: trio.testing.MockClock) -> None:
    health = Health()
    assert health.answered_at is None
    health.answered()
    first = health.answered_at
    assert first is not None
    await broken(health)
    assert health.answered_at == first


async def test_what_is_over_soon_is_left_to_retries(autojump_clock: trio.testing.MockClock) -> None:
    health = Health()
    for _ in range(100):
        health.failed("files.list /a", DOWN, trio.current_time())
    assert health.up
    await trio.sleep(SPAN)
    health.answered()
    health.failed("files.list /a", DOWN, trio.current_time())
    assert health.up
    await health.admit("files.list /a")


async def test_who_asks_one_that_is_down_is_told_at_once_about_his_own_call(
    autojump_clock: trio.testing.MockClock,
) -> None:
    health = Health()
    await broken(health)
    began = trio.current_time()
    with pytest.raises(errors.Unreachable) as told:
        await health.admit("systems.list")
    assert str(told.value) == "systems.list: nobody is there: try again"
    assert trio.current_time() == began
    assert "nobody is there" in str(health)


async def test_one_at_a_time_tries_again_and_the_others_hear_of_it(autojump_clock: trio.testing.MockClock) -> None:
    health = Health()
    await broken(health)
    await trio.sleep(LONGEST_PAUSE)
    tried: list[str] = []

    async def call(name: str) -> None:
        await health.admit(name)
        tried.append(name)

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(call, f"call {number}")
        await trio.testing.wait_all_tasks_blocked()
        assert len(tried) == 1
        health.answered()
    assert len(tried) == 10
    assert health.up


async def test_a_try_that_fails_is_followed_by_a_longer_pause_but_not_a_long_one(
    autojump_clock: trio.testing.MockClock,
) -> None:
    health = Health()
    await broken(health)
    tries, began = 0, trio.current_time()
    while trio.current_time() < began + 60:
        with suppress(errors.Unreachable):
            await health.admit("x")
            tries += 1
            health.failed("x", DOWN, trio.current_time())
        await trio.sleep(0.01)
    assert 60 / LONGEST_PAUSE <= tries <= 60 / LONGEST_PAUSE + 5


async def test_a_try_that_hangs_does_not_keep_others_from_trying(autojump_clock: trio.testing.MockClock) -> None:
    health = Health()
    await broken(health)
    await trio.sleep(LONGEST_PAUSE)
    await health.admit("one that never ends")
    with pytest.raises(errors.Unreachable):
        await health.admit("x")
    await trio.sleep(LONGEST_PAUSE)
    await health.admit("x")


async def test_a_first_call_is_tried_as_often_as_ever_and_those_after_it_fail_at_once() -> None:
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
    await listener.aclose()
    async with Agave(url, token="t") as agave:
        with pytest.raises(errors.Unreachable, match=r"systems\.list: .* refuses connections"):
            await agave.systems.list()
        assert agave.health._failures == FAILURES
        agave.health.failed("systems.list", agave.health.trouble or DOWN, trio.current_time() - SPAN)
        attempts = agave.health._failures
        with pytest.raises(errors.Unreachable, match=r"jobs\.list: .* refuses connections"):
            await agave.jobs.list()
        assert agave.health._failures == attempts


async def test_a_platform_that_is_back_is_found_by_the_next_who_asks_after_the_pause() -> None:
    down = True
    async with peer(lambda seen: answer(502, b"<html>") if down else answer()) as there:
        async with Agave(there.url, token="t") as agave:
            with trio.fail_after(30):
                while agave.health.up:
                    with suppress(errors.AgaveError):
                        await agave.systems.list()
                asked = len(there.seen)
                with pytest.raises(errors.ServerTrouble):
                    await agave.systems.list()
                assert len(there.seen) <= asked + 1
                down = False
                while not agave.health.up:
                    with suppress(errors.AgaveError):
                        assert await agave.systems.list() == []
                    await trio.sleep(0.01)
            assert await agave.systems.list() == []


async def test_a_service_that_refuses_lives(agave: Agave, tenant: Any) -> None:
    with tenant.faults.refusing("systems.list", 500):
        for _ in range(2 * FAILURES):
            with pytest.raises(errors.ServerTrouble):
                await agave.systems.list()
    assert agave.health._failures == 0


@pytest.fixture
def root(planted: Path, tmp_path: Path) -> Iterator[Path]:
    """A place for a tenant that is a process of its own; it is ended."""
    root = tmp_path / "state" / "tenant"
    shutil.copytree(planted, root, symlinks=True)
    yield root
    if (root / "tenant.json").exists():
        os.kill(read_card(root).pid, signal.SIGTERM)


async def test_a_frozen_platform_lets_every_call_end_in_its_time_and_is_found_when_it_wakes(root: Path) -> None:
    account = await local_account(root)
    pid = read_card(root).pid
    ends: list[type[BaseException] | None] = []

    async def ask(agave: Agave) -> None:
        try:
            await agave.systems.list()
            ends.append(None)
        except errors.AgaveError as error:
            ends.append(type(error))

    async with Agave(account=account, deadline=1) as agave:
        await agave.systems.list()
        os.kill(pid, signal.SIGSTOP)
        try:
            with trio.fail_after(60):
                while agave.health.up:
                    async with trio.open_nursery() as nursery:
                        for _ in range(100):  # more than may be under way: those that wait for a turn end as well
                            nursery.start_soon(ask, agave)
            assert set(ends) == {errors.TimedOut}
            with pytest.raises(errors.TimedOut):
                await agave.files.download(systemId="data.demo", filePath="/alice/x").read()
        finally:
            os.kill(pid, signal.SIGCONT)
        with trio.fail_after(60):
            while not agave.health.up:
                await ask(agave)
                await trio.sleep(0.05)
        assert await agave.systems.list()
        assert agave.width.under_way == 0
