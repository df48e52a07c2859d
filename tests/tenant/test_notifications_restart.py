"""Deliveries and the end of the tenant: what was heard is told, wherever it was killed, and nothing else."""

from __future__ import annotations

import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio

from agavesh.tenant import server
from tests.conftest import Tenant
from tests.tenant.hook import PATIENCE, Hook, hooked
from tests.tenant.subscriber import NOTES, Subscriber, subscriber
from tests.tenant.test_jobs_restart import Served

FILE = f"/files/v2/media/system/data.demo/{NOTES}"
PEMS = f"/files/v2/pems/system/data.demo/{NOTES}"
HISTORY = f"/files/v2/history/system/data.demo/{NOTES}"


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    async with hooked() as found:
        yield found


@pytest.fixture
async def served(tenant_root: Path) -> AsyncIterator[Served]:
    found = Served(tenant_root)
    await found.start()
    yield found
    with trio.CancelScope(shield=True):
        await found.kill()


@asynccontextmanager
async def alice_at(served: Served) -> AsyncIterator[Subscriber]:
    async with served.http() as http:
        yield Subscriber(http)


def events(hook: Hook) -> list[str]:
    """The events that were told, each once, in the order they came."""
    first = {told.headers["x-agave-delivery"]: told.query["e"] for told in hook.told}
    return list(first.values())


async def test_what_was_not_answered_when_the_tenant_was_killed_is_told_again(served: Served, hook: Hook) -> None:
    """With the same id, so that a hook can know it; what waited behind it comes after it."""
    hook.status = lambda told: None
    async with alice_at(served) as alice:
        uuid = (await alice.upload())["uuid"]
        made = await alice.subscribe(uuid, f"{hook.url}/?e=${{EVENT}}", persistent=True)
        await alice.upload()
        await hook.heard(1)
    await served.kill(signal.SIGKILL)
    hook.status = lambda told: 200
    await served.start()
    await hook.heard(5)
    assert events(hook) == ["OVERWRITTEN", "STAGING_QUEUED", "UPLOAD", "STAGING_COMPLETED"]
    assert hook.told[0].headers["x-agave-delivery"] == hook.told[1].headers["x-agave-delivery"]
    async with alice_at(served) as alice:
        found = await alice.reached(made["id"], attempts=4)
        assert (found["success"], found["status"]) == (True, "ACTIVE")


async def test_a_retry_that_waits_outlives_a_restart(tenant_root: Path, hook: Hook) -> None:
    """And so does what ended: neither is told again."""
    policy = {"retryStrategy": "DELAYED", "retryDelay": 1, "retryRate": 0}
    hook.status = lambda told: 500 if told.query["e"] == "DOWNLOAD" else 200
    async with server.running(tenant_root) as state, subscriber(Tenant(state)) as alice:
        uuid = (await alice.upload())["uuid"]
        waits = await alice.subscribe(uuid, f"{hook.url}/?e=${{EVENT}}", "DOWNLOAD", policy=policy)
        over = await alice.subscribe(uuid, f"{hook.url}/?e=${{EVENT}}", "OVERWRITTEN")
        gone = await alice.subscribe(uuid, f"{hook.url}/?e=never&x=${{EVENT}}", "DOWNLOAD", policy=policy)
        hook.status = lambda told: 500 if told.query["e"] != "OVERWRITTEN" else 200
        await alice.http.get(FILE)
        await alice.upload()
        await alice.reached(waits["id"], attempts=1)
        await alice.reached(gone["id"], attempts=1)
        await alice.reached(over["id"], status="COMPLETE")
        (await alice.http.delete(f"/notifications/v2/{gone['id']}")).raise_for_status()
    hook.status = lambda told: 200
    async with server.running(tenant_root) as state, subscriber(Tenant(state)) as alice:
        found = await alice.reached(waits["id"], status="COMPLETE")
        assert (found["attempts"], found["success"]) == (2, True)
    assert sorted(told.query["e"] for told in hook.told) == ["DOWNLOAD", "DOWNLOAD", "OVERWRITTEN", "never"]


async def test_whenever_the_tenant_is_killed_all_that_happened_is_told(served: Served, hook: Hook) -> None:
    """Eight kills while a file is read and a hook now and then fails: each event of the history arrives, in order."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    hook.status = lambda told: dice.choice((200, 200, 200, 500))
    async with alice_at(served) as alice:
        uuid = (await alice.upload())["uuid"]
        before = len((await alice.http.get(HISTORY)).json()["result"])
        await alice.subscribe(uuid, f"{hook.url}/?e=${{EVENT}}", persistent=True, policy={"retryLimit": 1000})
    for _ in range(8):
        async with alice_at(served) as alice, trio.open_nursery() as nursery:

            async def read(alice: Subscriber = alice) -> None:
                while True:
                    try:
                        await alice.http.get(FILE)
                        for word in ("READ", "NONE"):
                            await alice.http.post(PEMS, json={"username": "bob", "permission": word})
                    except httpx.TimeoutException:
                        continue  # a busy machine
                    except httpx.HTTPError:
                        return  # it was killed

            nursery.start_soon(read)
            await hook.heard(len(hook.told) + dice.randrange(1, 12))
            await served.kill(signal.SIGKILL)
        await served.start()
    async with alice_at(served) as alice:
        happened: list[str] = []
        while page := (await alice.http.get(HISTORY, params={"offset": before + len(happened)})).json()["result"]:
            happened += [event["status"] for event in page]
        with trio.fail_after(PATIENCE):
            while len(events(hook)) < len(happened):
                await trio.sleep(0.01)
        assert events(hook) == happened
