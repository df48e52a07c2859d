"""Jobs and the end of the tenant: what runs goes on, what was on its way is finished, nothing is run twice."""

from __future__ import annotations

import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from agavesh.tenant import server
from agavesh.tenant.jobs import index
from agavesh.tenant.jobs.runs import Run
from tests.conftest import Tenant
from tests.tenant.shop import PATIENCE, Served, Shop


@pytest.fixture
async def served(tenant_root: Path) -> AsyncIterator[Served]:
    found = Served(tenant_root)
    await found.start()
    yield found
    with trio.CancelScope(shield=True):
        await found.kill()


HELD = "mkfifo go; echo > begun; read line < go; echo once >> result.txt"


async def held(served: Served) -> dict:
    """A job in the middle of its run."""
    async with served.http() as http:
        shop = Shop(served, http)
        job = await shop.submit(await shop.app(HELD))
        job = await shop.reached(job["id"], "RUNNING")
        with trio.fail_after(PATIENCE):
            while not (served.path("run.demo", job["outputPath"]) / "begun").exists():
                await trio.sleep(0.01)
        return job


def let_go(served: Served, job: dict) -> None:
    (served.path("run.demo", job["outputPath"]) / "go").write_text("go\n")


async def ended(served: Served, job: dict) -> tuple[dict, list[str]]:
    async with served.http() as http:
        shop = Shop(served, http)
        return await shop.ended(job["id"]), await shop.history(job["id"])


async def test_a_job_runs_on_through_a_restart(served: Served) -> None:
    job, before = await held(served), served.url
    await served.kill()
    await served.start()
    assert served.url == before, "the job kept the tenant's port"
    async with served.http() as http:
        assert (await Shop(served, http).job(job["id"]))["status"] == "RUNNING"
    await trio.to_thread.run_sync(let_go, served, job)
    job, history = await ended(served, job)
    assert (job["status"], history.count("RUNNING")) == ("FINISHED", 1)


async def test_a_job_that_ends_while_no_tenant_is_there_is_taken_up_from_there(served: Served) -> None:
    job = await held(served)
    await served.kill(signal.SIGTERM)
    await trio.to_thread.run_sync(let_go, served, job)
    await Run(served.root / "jobs" / job["id"]).wait()
    await served.start()
    job, history = await ended(served, job)
    assert (job["status"], history[-4:]) == (
        "FINISHED", ["CLEANING_UP", "ARCHIVING", "ARCHIVING_FINISHED", "FINISHED"],
    )  # fmt: skip
    assert served.path("data.demo", f"/{job['archivePath']}/result.txt").read_text() == "once\n"


async def test_a_job_that_died_with_the_machine_is_interrupted(served: Served) -> None:
    job = await held(served)
    await served.kill()
    runner = int(Path(f"/proc/{job['localId']}/stat").read_text().rpartition(")")[2].split()[1])
    for process in (runner, int(job["localId"])):
        with contextlib.suppress(ProcessLookupError):  # where jobs are confined they die with their runner
            os.kill(process, signal.SIGKILL)
    await served.start()
    job, history = await ended(served, job)
    assert (job["status"], history[-3:]) == ("FAILED", ["RUNNING", "UNKNOWN_TERMINATION", "FAILED"])
    assert "interrupted" in job["message"]


async def test_a_job_can_be_stopped_by_the_next_tenant(served: Served) -> None:
    job = await held(served)
    await served.kill()
    await served.start()
    async with served.http() as http:
        assert (await http.post(f"/jobs/v2/{job['id']}", json={"action": "stop"})).status_code == 200
        assert (await Shop(served, http).job(job["id"]))["status"] == "STOPPED"
    assert not Path(f"/proc/{job['localId']}").exists()


@pytest.mark.parametrize("rounds", [4, pytest.param(300, marks=pytest.mark.soak)])
async def test_jobs_survive_a_tenant_that_is_killed_again_and_again(served: Served, rounds: int) -> None:
    """Each kill meets jobs in other stages; in the end each has run once, and all are archived."""
    jobs: list[dict] = []
    chance = random.Random(rounds)
    served.path("data.demo", "/alice/in.txt").write_text("input\n")
    for round in range(rounds):
        async with served.http() as http:
            shop = Shop(served, http)
            app = await shop.app("cat ${text} >> count; sleep 0.05; echo done > done.txt",
                                 inputs=[{"id": "text"}], name=f"round{round}")  # fmt: skip
            jobs += [await shop.submit(app, inputs={"text": "in.txt"}) for _ in range(4)]
            await trio.sleep(chance.random() * 0.25)  # somewhere in the lives of these jobs
        await served.kill()
        await served.start()
    for job in jobs:
        job, history = await ended(served, job)
        assert job["status"] == "FINISHED", (job, history)
        told = [status for status in history if status != "STAGING_INPUTS"]
        assert len(told) == len(set(told))
        assert served.path("data.demo", f"/{job['archivePath']}/done.txt").exists()
        assert served.path("data.demo", f"/{job['archivePath']}/count").read_text() == "input\n", "it ran once"


EARLY = ["PENDING", "PROCESSING_INPUTS", "STAGING_INPUTS", "STAGED", "STAGING_JOB", "SUBMITTING", "QUEUED"]
LATE = ["RUNNING", "CLEANING_UP", "ARCHIVING", "ARCHIVING_FINISHED"]


async def test_every_stage_can_be_done_again(tenant_root: Path) -> None:
    """Jobs that were through are set back, each to a stage of its own, as a crash before its next status would."""
    async with server.running(tenant_root) as state, Tenant(state).http() as http:
        shop = Shop(Tenant(state), http)
        shop.tenant.path("data.demo", "/alice/in.txt").write_text("input\n")
        app = await shop.app("cat ${text} >> count", inputs=[{"id": "text"}])
        jobs = [await shop.submit(app, inputs={"text": "in.txt"}) for _ in [*EARLY, *LATE]]
        for job, stage in zip(jobs, [*EARLY, *LATE], strict=True):
            await shop.ended(job["id"])
            stored = state.store.get("job", job["id"]) or {}
            begun = {} if stage in LATE else {"startTime": None, "localId": None}
            index.keep(state.store, {**stored, **begun, "status": stage, "endTime": None})
    async with server.running(tenant_root) as state, Tenant(state).http() as http:
        shop = Shop(Tenant(state), http)
        for job in jobs:
            job = await shop.ended(job["id"])
            assert (job["status"], await shop.output(job["id"], "in.txt")) == ("FINISHED", "input\n")
            assert await shop.output(job["id"], "count") == "input\n", "it ran once"
