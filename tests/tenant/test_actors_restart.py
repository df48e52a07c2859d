"""Actors and the end of the tenant: what runs goes on, what waits is answered, nothing is run twice or forgotten."""

from __future__ import annotations

import random
import signal
import sqlite3

import pytest
import trio

from agavesh.tenant import server
from agavesh.tenant.actors.execution import Process
from agavesh.tenant.jobs.runs import sweep
from tests.conftest import Tenant
from tests.tenant.test_jobs_restart import Served
from tests.tenant.troupe import PATIENCE, Troupe

# tells that it began, once for each time it is run, and ends when it is let go
HELD = """
import os, time
open('begun', 'a').write('once ')
while not os.path.exists('go'):
    time.sleep(0.01)
print(open('begun').read(), os.environ['MSG'])
"""


@pytest.fixture
async def served(tenant_root):
    found = Served(tenant_root)
    await found.start()
    yield found
    with trio.CancelScope(shield=True):
        await found.kill()


async def held(served) -> tuple[str, str, list[str]]:
    """An actor in the midst of a message while others wait: (actor, execution, those that wait)."""
    async with served.http() as http:
        troupe = Troupe(served, http)
        actor = await troupe.actor(HELD)
        running = await troupe.send(actor, "first")
        await troupe.reached(actor, running, "RUNNING")
        with trio.fail_after(PATIENCE):
            while not (work(served, actor, running) / "begun").exists():
                await trio.sleep(0.01)
        return actor, running, [await troupe.send(actor, f"message {number}") for number in range(3)]


def work(served, actor: str, execution: str):
    return served.root / "actors" / actor / execution / "work"


async def let_go(served, actor: str, execution: str) -> None:
    with trio.fail_after(PATIENCE):
        while not work(served, actor, execution).exists():
            await trio.sleep(0.01)
    (work(served, actor, execution) / "go").touch()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_what_runs_goes_on_and_what_waits_is_answered_in_order(served, how):
    actor, running, waiting = await held(served)
    await served.kill(how)
    await served.start()
    async with served.http() as http:
        troupe = Troupe(served, http)
        assert (await troupe.execution(actor, running))["status"] == "RUNNING"
        assert (await troupe.ask("GET", f"/{actor}/messages"))["messages"] == 3
        await let_go(served, actor, running)
        assert (await troupe.ended(actor, running))["exitCode"] == 0
        assert await troupe.log(actor, running) == "once  first\n"
        for number, id in enumerate(waiting):
            await let_go(served, actor, id)
            assert (await troupe.ended(actor, id))["exitCode"] == 0
            assert await troupe.log(actor, id) == f"once  message {number}\n"
        assert (await troupe.ask("GET", f"/{actor}/executions"))["totalExecutions"] == 4


async def test_a_tenant_that_is_killed_again_and_again_has_each_message_answered_once(served):
    # who is answered twice finds the folder of results there already, and comes to no good end
    sent: dict[str, str] = {}
    moments = random.Random(5)
    async with served.http() as http:
        troupe = Troupe(served, http)
        actor = await troupe.actor("import os\nprint(os.environ['MSG'])")
        await troupe.ask("POST", f"/{actor}/workers", json={"num": 3})
    for turn in range(3):
        async with served.http() as http:
            troupe = Troupe(served, http)
            for number in range(6):
                sent[await troupe.send(actor, f"{turn} {number}")] = f"{turn} {number}\n"
            await trio.sleep(moments.uniform(0, 0.4))
            await served.kill()
        await served.start()
    async with served.http() as http:
        troupe = Troupe(served, http)
        for id, text in sent.items():
            execution = await troupe.ended(actor, id)
            assert (execution["status"], execution["exitCode"]) == ("COMPLETE", 0)
            assert await troupe.log(actor, id) == text
        assert (await troupe.ask("GET", f"/{actor}/executions"))["totalExecutions"] == len(sent)
        assert len(await troupe.ask("GET", f"/{actor}/workers")) == 3
        with trio.fail_after(PATIENCE):
            while not all(left(served, actor, id) <= {"log", "results"} for id in sent):
                await trio.sleep(0.02)


def left(served, actor: str, execution: str) -> set[str]:
    return {path.name for path in (served.root / "actors" / actor / execution).iterdir()}


async def test_what_ended_while_no_tenant_was_there_is_known_at_the_next_start(served):
    actor, running, _ = await held(served)
    await served.kill()
    await let_go(served, actor, running)
    outcome = served.root / "actors" / actor / running / "outcome.json"
    with trio.fail_after(PATIENCE):
        while not outcome.exists():
            await trio.sleep(0.01)
    await served.start()
    async with served.http() as http:
        troupe = Troupe(served, http)
        execution = await troupe.ended(actor, running)
        assert (execution["status"], execution["exitCode"]) == ("COMPLETE", 0)
        assert execution["cpu"] > 0
        assert await troupe.log(actor, running) == "once  first\n"
        await troupe.ask("DELETE", f"/{actor}")  # what waits would outlive this test


async def test_an_execution_whose_processes_died_with_the_machine_is_an_error(served):
    actor, running, waiting = await held(served)
    await served.kill()
    await trio.to_thread.run_sync(sweep, running)
    ended = served.root / "actors" / actor / running / "run" / "ended.json"
    with trio.fail_after(PATIENCE):  # the runner still could write down what happened; a machine would not let it
        while not ended.exists():
            await trio.sleep(0.01)
    ended.unlink()
    await served.start()
    async with served.http() as http:
        troupe = Troupe(served, http)
        execution = await troupe.ended(actor, running)
        assert (execution["status"], execution["exitCode"]) == ("ERROR", -1)
        assert "interrupted" in await troupe.log(actor, running)
        await let_go(served, actor, waiting[0])
        assert (await troupe.ended(actor, waiting[0]))["status"] == "COMPLETE"
        await troupe.ask("DELETE", f"/{actor}")


async def test_what_a_tenant_did_not_clear_the_next_one_clears_and_no_token_outlives_it(tenant_root, monkeypatch):
    """As a crash leaves it between the end of an execution and the clearing of its folder."""
    monkeypatch.setattr(Process, "clear", lambda process: trio.sleep_forever())
    async with server.running(tenant_root) as state:
        tenant = Tenant(state)
        async with tenant.http() as http:
            troupe = Troupe(tenant, http)
            actor = await troupe.actor("import os\nprint(os.environ['_abaco_access_token'])")
            execution = await troupe.send(actor)
            await troupe.ended(actor, execution)
            token = (await troupe.log(actor, execution)).strip()
            assert "task.json" in left(tenant, actor, execution)
            assert state.auth.caller(token).username == "alice"
    monkeypatch.undo()
    async with server.running(tenant_root) as state:
        tenant = Tenant(state)
        async with tenant.http() as http:
            troupe = Troupe(tenant, http)
            with trio.fail_after(PATIENCE):
                while state.actors.queue.uncleared():
                    await trio.sleep(0.01)
            assert left(tenant, actor, execution) <= {"log", "results"}
            assert state.auth.caller(token).fault == 900904
            assert await troupe.log(actor, execution) == f"{token}\n"
            assert (await troupe.ask("GET", f"/{actor}/executions"))["totalExecutions"] == 1


async def test_workers_nonces_state_and_results_are_there_after_a_restart(tenant_root):
    async with server.running(tenant_root) as state:
        tenant = Tenant(state)
        async with tenant.http() as http:
            troupe = Troupe(tenant, http)
            actor = await troupe.actor("print('x')", stateless=False)
            many = await troupe.actor("print('y')", image_name="many")
            await troupe.ask("POST", f"/{many}/workers", json={"num": 3})
            await troupe.ask("POST", f"/{actor}/state", json={"kept": True})
            nonce = await troupe.ask("POST", f"/{actor}/nonces", json={"level": "READ"})
            execution = await troupe.send(many)
            await troupe.ended(many, execution)
            workers = {worker["id"] for worker in await troupe.ask("GET", f"/{many}/workers")}
    async with server.running(tenant_root) as state:
        tenant = Tenant(state)
        async with tenant.http() as http:
            troupe = Troupe(tenant, http)
            assert {worker["id"] for worker in await troupe.ask("GET", f"/{many}/workers")} == workers
            assert (await troupe.ask("GET", f"/{actor}/state"))["state"] == {"kept": True}
            assert (await troupe.ask("GET", f"/{actor}/nonces")) == [nonce]
            assert await troupe.log(many, execution) == "y\n"
            assert await troupe.said(actor) == "x\n"


async def test_an_actor_that_was_being_deleted_is_deleted_at_the_next_start(served):
    actor, _, _ = await held(served)
    await served.kill()
    db = sqlite3.connect(served.root / "tenant.db")
    db.execute("update records set body = json_set(body, '$.status', 'SHUTTING_DOWN') where kind = 'actor'")
    db.commit()
    db.close()
    await served.start()
    async with served.http() as http:
        with trio.fail_after(PATIENCE):
            while (await http.get(f"/actors/v2/{actor}")).status_code != 404 or list(
                (served.root / "actors").iterdir()
            ):
                await trio.sleep(0.02)


async def test_a_tenant_with_work_for_actors_does_not_end_when_idle(tenant_root):
    async with server.running(tenant_root) as state:
        tenant = Tenant(state)
        async with tenant.http() as http:
            troupe = Troupe(tenant, http)
            actor = await troupe.actor(HELD)
            running, waiting = await troupe.send(actor), await troupe.send(actor)
            assert state.awake == {running, waiting}
            await let_go(troupe, actor, running)
            await troupe.ended(actor, running)
            await let_go(troupe, actor, waiting)
            await troupe.ended(actor, waiting)
            assert state.awake == set()
