"""What nobody foresaw in work that outlives a request ends that piece of work; the tenant serves on, and starts again.

What goes wrong here is a bare exception out of the midst of it, for what cannot be foreseen has no other test.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
import trio.testing

from agavesh.client import Agave
from agavesh.tenant import background, server
from agavesh.tenant.actors.execution import Process
from agavesh.tenant.actors.queue import Queue
from agavesh.tenant.actors.workers import Actors
from agavesh.tenant.files import actions
from agavesh.tenant.handlers import files
from agavesh.tenant.jobs import index
from agavesh.tenant.jobs.places import incoming
from agavesh.tenant.jobs.steps import Steps
from agavesh.tenant.monitors import life as monitors
from agavesh.tenant.notifications.schedule import Schedule
from agavesh.tenant.notifications.subscriptions import Subscriptions
from agavesh.tenant.store import Store
from agavesh.tenant.systems import records
from tests.conftest import Tenant
from tests.tenant.depth import deep, removable  # noqa: F401  a fixture
from tests.tenant.hook import hooked
from tests.tenant.shop import Shop
from tests.tenant.subscriber import Subscriber
from tests.tenant.troupe import PATIENCE, Troupe, image, troupe_of

HOME = "/files/v2/media/system/data.demo/alice"
ECHO = "import os; print(os.environ['MSG'])"


class Unforeseen(Exception):
    pass


def failing(*_: Any, **__: Any) -> Any:
    raise Unforeseen


@pytest.fixture
async def troupe(tenant: Tenant) -> AsyncIterator[Troupe]:
    async with troupe_of(tenant) as found:
        yield found


async def answers(tenant: Tenant) -> bool:
    async with tenant.http() as http:
        return (await http.get("/files/v2/listings/system/data.demo/alice")).status_code == 200


async def told(caplog: pytest.LogCaptureFixture, text: str, times: int = 1) -> None:
    """Wait until the log says that something failed."""
    await until(lambda: caplog.text.count(f"{text} failed") >= times)
    assert "Unforeseen" in caplog.text


async def until(true: Callable[[], bool]) -> None:
    with trio.fail_after(PATIENCE):
        while not true():
            await trio.sleep(0.01)


async def again(root: Path, look: Callable[[Tenant], Awaitable[None]]) -> None:
    """The tenant's next start."""
    (root / "port").unlink(missing_ok=True)
    async with server.running(root) as state:
        await look(Tenant(state))


# what is removed -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("removable")
async def test_a_folder_deeper_than_any_path_is_deleted(tenant: Tenant) -> None:
    deep(tenant.path("data.demo", "/alice/deep"), 1500)
    async with tenant.http() as http:
        assert (await http.delete(f"{HOME}/deep")).is_success
    await until(lambda: not list(tenant.state.trash.iterdir()))
    assert await answers(tenant)


@pytest.mark.usefixtures("removable")
async def test_a_folder_deeper_than_any_path_is_not_copied(tenant: Tenant) -> None:
    top = deep(tenant.path("data.demo", "/alice/deep"), 1500)
    async with tenant.http() as http:
        answer = await http.put(f"{HOME}/deep", json={"action": "copy", "path": "/alice/other"})
        assert (answer.status_code, "255 names deep" in answer.json()["message"]) == (400, True)
        assert (await http.get(f"{HOME}/other")).status_code == 404
    actions.erase(top)


@pytest.mark.usefixtures("removable")
async def test_what_a_job_leaves_deeper_than_any_path_is_not_archived(tenant: Tenant) -> None:
    async with tenant.http() as http:
        shop = Shop(tenant, http)
        app = await shop.app("mkdir -p $(printf 'd/%.0s' $(seq 1500))", defaultArchive=True)
        job = await shop.ended((await shop.submit(app, archive=True))["id"])
        assert job["status"] == "FAILED"
        assert "more than 255 names deep" in (await http.get(f"/jobs/v2/{job['id']}/history")).text
    folder = tenant.path("run.demo", job["outputPath"])
    await trio.to_thread.run_sync(actions.erase, folder)
    assert not folder.exists()
    assert await answers(tenant)


async def test_what_cannot_be_erased_is_left_to_the_next_start(
    tenant_root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for module in (actions, records, files):
        monkeypatch.setattr(module, "erase", failing)

    async def delete(tenant: Tenant) -> None:
        tenant.path("data.demo", "/alice/folder").mkdir()
        async with tenant.http() as http:
            assert (await http.delete(f"{HOME}/folder")).is_success
        await told(caplog, f"erasing {next(tenant.state.trash.iterdir()).name}")
        assert await answers(tenant)

    async def look(tenant: Tenant) -> None:
        await told(caplog, f"erasing {next(tenant.state.trash.iterdir()).name}", times=2)
        assert await answers(tenant)

    await again(tenant_root, delete)
    await again(tenant_root, look)
    monkeypatch.undo()

    async def erased(tenant: Tenant) -> None:
        await until(lambda: not list(tenant.state.trash.iterdir()))

    await again(tenant_root, erased)


# actors --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["start", "wait"])
async def test_a_message_that_the_tenant_fails_at_is_an_error_and_the_worker_goes_on(
    troupe: Troupe, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    actor = await troupe.actor(ECHO)
    with monkeypatch.context() as patch:
        patch.setattr(Process, part, failing)
        with trio.fail_after(PATIENCE):
            answer = await troupe.http.post(
                f"/actors/v2/{actor}/messages?_abaco_synchronous=true", json={"message": "lost"}
            )
        assert "The tenant failed at this message" in answer.text
        (execution,) = (await troupe.ask("GET", f"/{actor}/executions"))["executions"]
        assert execution["status"] == "ERROR"
    assert await troupe.said(actor, "found") == "found\n"
    assert len(await troupe.ask("GET", f"/{actor}/workers")) == 1


async def test_what_cannot_be_cleared_is_left_to_the_next_start(
    tenant_root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found = {}

    async def send(tenant: Tenant) -> None:
        async with troupe_of(tenant) as troupe:
            found["actor"] = await troupe.actor(ECHO)
            for message in ("one", "two"):
                assert await troupe.said(found["actor"], message) == f"{message}\n"
        await told(caplog, f"of actor {found['actor']}", times=2)

    async def look(tenant: Tenant) -> None:
        await told(caplog, f"of actor {found['actor']}", times=4)
        assert await answers(tenant)
        assert len(tenant.state.actors.queue.uncleared()) == 2

    async def cleared(tenant: Tenant) -> None:
        await until(lambda: not tenant.state.actors.queue.uncleared())

    monkeypatch.setattr(Process, "clear", failing)
    await again(tenant_root, send)
    await again(tenant_root, look)
    monkeypatch.undo()
    await again(tenant_root, cleared)


async def test_a_worker_goes_on_though_old_executions_cannot_be_dropped(
    troupe: Troupe, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = await troupe.actor(ECHO)
    monkeypatch.setattr(Queue, "surplus", failing)
    assert await troupe.said(actor, "one") == "one\n"
    worker = (await troupe.ask("GET", f"/{actor}/workers"))[0]["id"]
    assert await troupe.said(actor, "two") == "two\n"
    assert [each["id"] for each in await troupe.ask("GET", f"/{actor}/workers")] == [worker]


@pytest.mark.parametrize(("part", "kind"), [("_look", "looking at"), ("_forget", "deleting"), ("_remove", "emptying")])
async def test_an_actor_in_trouble_is_in_trouble_alone(
    tenant_root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, part: str, kind: str
) -> None:
    found = {}

    async def trouble(tenant: Tenant) -> None:
        async with troupe_of(tenant) as troupe:
            if part == "_look":
                name = image(troupe.root, ECHO)
                found["actor"] = (await troupe.ask("POST", json={"image": name}))["id"]
            else:
                found["actor"] = await troupe.actor(ECHO)
            if part != "_look":
                await asked(troupe, found["actor"], part)
            await told(caplog, f"{kind} actor {found['actor']}")
            assert await answers(tenant)

    async def look(tenant: Tenant) -> None:
        if part != "_remove":  # nothing is left to do of that
            await told(caplog, f"{kind} actor {found['actor']}", times=2)
        assert await answers(tenant)

    monkeypatch.setattr(Actors, part, failing)
    await again(tenant_root, trouble)
    await again(tenant_root, look)


async def asked(troupe: Troupe, actor: str, part: str) -> None:
    """Nobody waits for the answer: deleting is waited for long."""
    path = f"/actors/v2/{actor}" + ("/messages" if part == "_remove" else "")
    with contextlib.suppress(httpx.ReadTimeout):
        await troupe.http.delete(path, timeout=httpx.Timeout(PATIENCE, read=0.2))


# jobs, monitors, notifications ---------------------------------------------------------------------------------------


async def test_a_job_whose_slots_cannot_be_found_holds_up_no_other(
    tenant_root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    jobs: list[dict[str, Any]] = []

    async def submit(tenant: Tenant) -> None:
        async with tenant.http() as http:
            shop = Shop(tenant, http)
            app = await shop.app("until [ -e go ]; do sleep 0.05; done")
            jobs.extend([await shop.submit(app) for _ in range(2)])
            for job in jobs:
                await shop.reached(job["id"], "RUNNING")
        folder = incoming(tenant.state) / "an app that was being unpacked"
        folder.mkdir()
        (folder / "program").touch()

    async def finish(tenant: Tenant) -> None:
        await told(caplog, f"the slots of job {jobs[0]['id']}")
        await until(lambda: not list(incoming(tenant.state).iterdir()))
        async with tenant.http() as http:
            shop = Shop(tenant, http)
            for job in jobs:
                record = (await http.get(f"/jobs/v2/{job['id']}")).json()["result"]
                (tenant.path("run.demo", record["outputPath"]) / "go").touch()
            assert (await shop.ended(jobs[1]["id"]))["status"] == "FINISHED"

    def claim(self: Steps, job: Any) -> Any:
        return failing() if job["id"] == jobs[0]["id"] else really(self, job)

    await again(tenant_root, submit)
    really = Steps.claim
    monkeypatch.setattr(Steps, "claim", claim)
    await again(tenant_root, finish)


async def test_a_monitor_in_trouble_waits_for_its_next_time_and_the_others_go_on(
    tenant_root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made: dict[str, str] = {}

    async def overdue(tenant: Tenant) -> None:
        async with Agave(tenant.url, token=tenant.token()) as agave:
            for target in ("run.demo", "data.demo"):
                monitor = await agave.monitors.add(body={"target": target})
                made[target] = monitor.id or ""
        for id in made.values():
            store = tenant.state.store
            store.put("monitor", id, {**(store.get("monitor", id) or {}), "next": 1.0}, owner="alice")

    async def checked(tenant: Tenant) -> None:
        def monitor(target: str) -> dict[str, Any]:
            return tenant.state.store.get("monitor", made[target]) or {}

        await until(lambda: monitor("data.demo")["lastCheck"] is not None)
        await until(lambda: monitor("run.demo")["next"] > time.time())
        assert monitor("run.demo")["lastCheck"] is None
        assert f"the check of monitor {made['run.demo']} failed" in caplog.text
        assert await answers(tenant)

    async def tries(tenant: Any, system: Any, user: str) -> Any:
        return failing() if system["id"] == "run.demo" else await really(tenant, system, user)

    await again(tenant_root, overdue)
    really = monitors.tries
    monkeypatch.setattr(monitors, "tries", tries)
    await again(tenant_root, checked)


async def test_deliveries_go_on_after_their_loop_has_failed(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(background, "PAUSE", 0.01)
    async with hooked() as hook, tenant.http() as http:
        alice = Subscriber(http)
        uuid = (await alice.upload())["uuid"]
        with monkeypatch.context() as patch:
            patch.setattr(Schedule, "take", failing)
            await alice.subscribe(uuid, hook.url, event="OVERWRITTEN")
            await alice.upload()
            await told(caplog, "delivering notifications")
        await hook.heard(1)
        await trio.testing.wait_all_tasks_blocked()  # whoever sent it is done with that
    assert await answers(tenant)


async def test_one_subscription_that_cannot_be_read_holds_up_no_other_at_the_next_start(
    tenant_root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[str] = []

    async with hooked() as hook:

        async def subscribe(tenant: Tenant) -> None:
            async with tenant.http() as http:
                alice = Subscriber(http)
                uuid = (await alice.upload())["uuid"]
                made.extend([(await alice.subscribe(uuid, hook.url, event="OVERWRITTEN"))["id"] for _ in range(2)])
                await alice.upload()

        async def deliver(tenant: Tenant) -> None:
            await told(caplog, f"looking at notification {made[0]}")
            (came,) = await hook.heard(1)
            await trio.testing.wait_all_tasks_blocked()  # whoever sent it is done with that
            assert came.headers["x-agave-notification"] == made[1]
            assert await answers(tenant)

        def get(self: Subscriptions, id: str) -> Any:
            return failing() if id == made[0] else really(self, id)

        with monkeypatch.context() as patch:
            patch.setattr(Schedule, "take", lambda *_: None)  # nothing is delivered yet
            await again(tenant_root, subscribe)
        really = Subscriptions.get
        monkeypatch.setattr(Subscriptions, "get", get)
        await again(tenant_root, deliver)


# the tenant itself ---------------------------------------------------------------------------------------------------


async def test_a_service_that_cannot_take_up_what_was_left_does_not_keep_the_others_from_serving(
    tenant_root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def look(tenant: Tenant) -> None:
        for service in ("jobs", "actors"):
            await told(caplog, f"agavesh.tenant.handlers.{service}.resume")
        assert await answers(tenant)

    monkeypatch.setattr(index, "unfinished", failing)
    monkeypatch.setattr(Queue, "unfinished", failing)
    await again(tenant_root, look)


async def test_a_checkpoint_that_fails_is_made_again(
    tenant_root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def look(tenant: Tenant) -> None:
        await told(caplog, "a checkpoint of the records", times=2)
        assert await answers(tenant)

    monkeypatch.setattr(server, "CHECKPOINTS", 0.01)
    monkeypatch.setattr(Store, "checkpoint", failing)
    await again(tenant_root, look)
