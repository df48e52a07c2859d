"""An embedded tenant that somebody works on stays up, and comes back if it ends all the same."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from agavesh.client.accounts import Account
from agavesh.client.errors import Unreachable
from agavesh.client.local import Card, answering, local_root, stay_up


@pytest.fixture(autouse=True)
def own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


WORKING = """
import trio
from agavesh.client.local import local_account, stay_up

async def main():
    await stay_up(await local_account(), every=0.05)

trio.run(main)
"""


async def test_a_tenant_that_was_killed_is_back_for_who_works_on_it() -> None:
    first = await started_by_somebody()
    async with trio.open_nursery() as nursery:
        worker = await nursery.start(trio.run_process, [sys.executable, "-W", "ignore", "-c", WORKING])
        os.kill(first.pid, signal.SIGKILL)
        again = None
        with trio.fail_after(60):
            while again is None or again.pid == first.pid:
                await trio.sleep(0.05)
                with suppress(Unreachable):  # it has only just gone, or only just come
                    again = await answering(local_root())
        nursery.cancel_scope.cancel()
    assert worker.returncode is not None
    os.kill(again.pid, signal.SIGTERM)
    assert again.url == first.url  # a mount that stands on it finds it again


async def started_by_somebody() -> Card:
    await trio.run_process([sys.executable, "-m", "agavesh", "tenant", "start"], capture_stdout=True)
    card = await answering(local_root())
    assert card is not None
    return card


async def test_another_platform_is_left_alone() -> None:
    with trio.fail_after(5):
        await stay_up(Account("https://api.example.invalid", "alice", access_token="t"))
    assert not local_root().exists()
