"""Without an account: the embedded tenant of this machine, started when needed."""

from __future__ import annotations

import os
import signal

import trio

from agavesh.client.local import holder, local_root, read_card
from tests.shell.conftest import agavesh
from tests.shell.terminal import terminal


async def test_without_an_account_the_embedded_tenant_is_started_used_and_stopped() -> None:
    assert (await agavesh("tenant", "status")).status != 0
    try:
        said = await agavesh("ls", "/systems/data.demo/alice")
        assert said.status == 0, said.err
        assert "README.txt" in said.lines
        assert said.err.count("no account") == 1
        again = await agavesh("-c", "whoami; systems; tenant start")
        assert "no account" not in again.err  # said once for each run of the tenant
        status = await agavesh("tenant")
        assert (status.status, status.lines[0]) == (0, again.lines[-1])
    finally:
        stopped = await agavesh("tenant", "stop")
    assert stopped.status == 0, stopped.err
    assert (await agavesh("tenant", "status")).status != 0


async def test_a_prompt_goes_on_where_it_was_when_the_embedded_tenant_was_killed() -> None:
    home = "/systems/data.demo/alice"
    try:
        async with terminal() as t:
            await t.prompts()
            await t.type("cd")
            await t.prompts(home)
            before = read_card(local_root()).pid
            os.kill(before, signal.SIGKILL)
            with trio.fail_after(30):
                while holder(local_root()) is not None:  # the kernel takes a moment to end it
                    await trio.sleep(0.01)
            await t.type("head -n 1 docs/../README.txt")
            await t.shows("This is alice")
            await t.prompts(home)
        assert read_card(local_root()).pid != before
    finally:
        await agavesh("tenant", "stop")
