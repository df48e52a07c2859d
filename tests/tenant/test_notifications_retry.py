"""Deliveries that fail: tried again by the policy, given up, kept; and nobody waits for a hook that does not answer."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable

import pytest
import trio

from agavesh.tenant.notifications import life, post
from agavesh.tenant.notifications.schedule import HOST_WIDTH
from tests.conftest import Tenant
from tests.tenant.hook import PATIENCE, Hook, Told, hooked
from tests.tenant.subscriber import NOTES, Subscriber, subscriber


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    async with hooked() as found:
        yield found


@pytest.fixture
async def alice(tenant: Tenant) -> AsyncIterator[Subscriber]:
    async with subscriber(tenant) as found:
        yield found


async def download(alice: Subscriber) -> None:
    (await alice.http.get(f"/files/v2/media/system/data.demo/{NOTES}")).raise_for_status()


def failing(times: int) -> Callable[[Told], int]:
    """Answers 500 so many times, then 200."""
    count = itertools.count(1)
    return lambda told: 500 if next(count) <= times else 200


async def test_at_once_and_up_to_the_limit_unless_asked_otherwise(alice: Subscriber, hook: Hook) -> None:
    """One delivery keeps its id over its attempts; nothing is kept of it in the end."""
    hook.status = lambda told: 503
    made = await alice.subscribe((await alice.upload())["uuid"], hook.url, "DOWNLOAD")
    await download(alice)
    found = await alice.reached(made["id"], status="FAILED")
    assert (found["attempts"], found["success"], found["responseCode"]) == (5, False, 503)
    assert len({told.headers["x-agave-delivery"] for told in hook.told}) == 1
    assert len(hook.told) == 5
    assert await alice.history(made["id"]) == ["CREATED", "SEND_ERROR", *["RETRY_ERROR"] * 3, "FAILURE"]
    assert await alice.get(f"{made['id']}/attempts") == []


async def test_a_success_ends_the_tries(alice: Subscriber, hook: Hook) -> None:
    hook.status = failing(2)
    made = await alice.subscribe((await alice.upload())["uuid"], hook.url, "DOWNLOAD")
    await download(alice)
    found = await alice.reached(made["id"], status="COMPLETE")
    assert (found["attempts"], found["success"], found["responseCode"]) == (3, True, 200)
    assert await alice.history(made["id"]) == ["CREATED", "SEND_ERROR", "RETRY_ERROR", "SUCCESS"]


async def test_none_is_one_attempt_and_what_failed_is_kept(alice: Subscriber, hook: Hook) -> None:
    hook.status = lambda told: 500
    uuid = (await alice.upload())["uuid"]
    policy = {"retryStrategy": "NONE", "saveOnFailure": True}
    made = await alice.subscribe(uuid, f"{hook.url}/?e=${{EVENT}}", "DOWNLOAD", persistent=True, policy=policy)
    for _ in range(2):
        await download(alice)
    found = await alice.reached(made["id"], attempts=2)
    assert (found["status"], found["success"]) == ("ACTIVE", False)
    newest, oldest = await alice.get(f"{made['id']}/attempts")
    assert (newest["response"], newest["event"], newest["associatedUuid"]) == (
        {"code": 500, "message": "well"}, "DOWNLOAD", uuid,
    )  # fmt: skip
    assert newest["url"] == f"{hook.url}/?e=DOWNLOAD"
    assert [hook.told[n].headers["x-agave-delivery"] for n in (0, 1)] == [oldest["id"], newest["id"]]
    path = f"/notifications/v2/{made['id']}/attempts"
    assert (await alice.get(f"{made['id']}/attempts/{oldest['id']}"))["id"] == oldest["id"]
    assert (await alice.http.delete(f"{path}/{oldest['id']}")).status_code == 200
    assert (await alice.http.delete(f"{path}/{oldest['id']}")).status_code == 404
    assert [each["id"] for each in await alice.get(f"{made['id']}/attempts")] == [newest["id"]]
    assert (await alice.http.delete(path)).status_code == 200
    assert await alice.get(f"{made['id']}/attempts") == []


async def test_delayed_waits_first_the_delay_then_the_rate(alice: Subscriber, hook: Hook) -> None:
    """And lets what happens meanwhile pass."""
    hook.status = lambda told: 500 if "OVERWRITTEN" in told.target else 200
    policy = {"retryStrategy": "DELAYED", "retryDelay": 1, "retryRate": 0, "retryLimit": 3}
    uuid = (await alice.upload())["uuid"]
    made = await alice.subscribe(uuid, f"{hook.url}/?${{EVENT}}", persistent=True, policy=policy)
    await alice.upload()
    told = await hook.heard(6)
    assert [each.target for each in told] == [
        "/?OVERWRITTEN", "/?STAGING_QUEUED", "/?UPLOAD", "/?STAGING_COMPLETED", "/?OVERWRITTEN", "/?OVERWRITTEN",
    ]  # fmt: skip
    assert hook.at[4] - hook.at[0] >= 0.99
    assert (await alice.reached(made["id"], attempts=6))["success"] is False


async def test_retries_at_once_keep_the_order_of_events(alice: Subscriber, hook: Hook) -> None:
    hook.status = failing(3)
    uuid = (await alice.upload())["uuid"]
    await alice.subscribe(uuid, f"{hook.url}/?${{EVENT}}", persistent=True)
    await alice.upload()
    told = await hook.heard(7)
    assert [each.target for each in told] == [
        *["/?OVERWRITTEN"] * 4, "/?STAGING_QUEUED", "/?UPLOAD", "/?STAGING_COMPLETED",
    ]  # fmt: skip


async def test_a_hook_that_is_not_there_is_a_failure_without_a_code(alice: Subscriber) -> None:
    async with hooked() as gone:
        url = gone.url
    policy = {"retryLimit": 2, "saveOnFailure": True}
    made = await alice.subscribe((await alice.upload())["uuid"], url, "DOWNLOAD", policy=policy)
    await download(alice)
    found = await alice.reached(made["id"], status="FAILED")
    assert (found["attempts"], found["responseCode"]) == (2, None)
    [kept] = await alice.get(f"{made['id']}/attempts")
    assert kept["response"]["code"] is None and kept["response"]["message"].startswith("ConnectError")


async def test_silent_hooks_hold_up_nobody_else(alice: Subscriber, hook: Hook) -> None:
    """Nor does one that is silent get more than its share of connections."""

    uuid = (await alice.upload())["uuid"]
    async with hooked() as dead:
        dead.status = lambda told: None
        for number in range(HOST_WIDTH * 3):
            await alice.subscribe(uuid, f"{dead.url}/{number}", "DOWNLOAD")
        made = await alice.subscribe(uuid, f"{hook.url}/well", persistent=True)
        for _ in range(3):
            await download(alice)
        await dead.heard(HOST_WIDTH)
        assert (await alice.reached(made["id"], attempts=3))["success"]
        assert (dead.most, len(dead.told)) == (HOST_WIDTH, HOST_WIDTH)


async def test_silence_has_an_end(alice: Subscriber, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post, "LONGEST", 0.2)
    hook.status = lambda told: None
    policy = {"retryStrategy": "NONE", "saveOnFailure": True}
    made = await alice.subscribe((await alice.upload())["uuid"], hook.url, "DOWNLOAD", policy=policy)
    await download(alice)
    await alice.reached(made["id"], status="FAILED")
    [kept] = await alice.get(f"{made['id']}/attempts")
    assert kept["response"] == {"code": None, "message": "No whole answer in 0 s"}


async def test_who_deletes_a_subscription_ends_what_is_under_way(alice: Subscriber, hook: Hook) -> None:
    hook.status = lambda told: None
    made = await alice.subscribe((await alice.upload())["uuid"], hook.url, persistent=True)
    await alice.upload()
    await hook.heard(1)
    assert (await alice.http.delete(f"/notifications/v2/{made['id']}")).status_code == 200
    hook.status = lambda told: 200
    other = await alice.subscribe((await alice.upload())["uuid"], f"{hook.url}/other", "DOWNLOAD")
    await download(alice)
    await alice.reached(other["id"], status="COMPLETE")
    assert [told.path for told in hook.told] == ["/", "/other"]


async def test_one_that_is_disabled_meanwhile_is_told_when_it_is_enabled(
    tenant: Tenant, alice: Subscriber, hook: Hook
) -> None:
    hook.status = lambda told: 500 if len(hook.told) == 1 else 200
    policy = {"retryStrategy": "DELAYED", "retryDelay": 1}
    made = await alice.subscribe((await alice.upload())["uuid"], hook.url, "DOWNLOAD", persistent=True, policy=policy)
    await download(alice)
    await alice.reached(made["id"], attempts=1)
    path = f"/notifications/v2/{made['id']}"
    (await alice.http.post(path, json={"status": "INACTIVE"})).raise_for_status()
    with trio.fail_after(PATIENCE):
        while tenant.state.notifications.expects(made["id"]):  # its time comes and goes
            await trio.sleep(0.01)
    assert len(hook.told) == 1
    (await alice.http.post(path, json={"status": "ACTIVE"})).raise_for_status()
    assert (await alice.reached(made["id"], attempts=2))["success"]


async def test_one_that_does_not_keep_up_hears_no_more(
    tenant: Tenant, alice: Subscriber, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waited for it already is delivered; then it can be taken up again."""
    monkeypatch.setattr(life, "MOST_WAITING", 5)
    let = trio.Event()
    hook.status = lambda told: 200 if let.is_set() else None
    uuid = (await alice.upload())["uuid"]
    made = await alice.subscribe(uuid, hook.url, "DOWNLOAD", persistent=True, policy={"retryLimit": 1440})
    monkeypatch.setattr(post, "LONGEST", 0.5)
    for _ in range(7):
        await download(alice)
    assert (await alice.get(made["id"]))["status"] == "FAILED"
    let.set()
    with trio.fail_after(PATIENCE):
        while tenant.state.notifications.kept.waiting(made["id"]):
            await trio.sleep(0.01)
    assert (await alice.get(made["id"]))["success"]
    assert len({told.headers["x-agave-delivery"] for told in hook.told}) == 5
    (await alice.http.post(f"/notifications/v2/{made['id']}", json={"status": "ACTIVE"})).raise_for_status()
    before = len(hook.told)
    await download(alice)
    await hook.heard(before + 1)
    assert (await alice.get(made["id"]))["status"] == "ACTIVE"


async def test_what_is_undone_is_not_told(tenant: Tenant, alice: Subscriber, hook: Hook) -> None:
    made = await alice.subscribe((uuid := (await alice.upload())["uuid"]), f"{hook.url}/?${{EVENT}}", persistent=True)
    store = tenant.state.store
    with pytest.raises(ZeroDivisionError), store.together():
        store.event(uuid, "NEVER", "", by="alice")
        assert 1 / 0
    await download(alice)
    await alice.reached(made["id"], attempts=1)
    assert [told.target for told in hook.told] == ["/?DOWNLOAD"]
