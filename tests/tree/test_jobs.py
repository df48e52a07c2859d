"""What a job leaves is not what was seen of it while it ran, be it among the newest jobs or not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from agavesh.client import Agave
from agavesh.tree import jobs as rules
from agavesh.tree.listing import open_listings
from agavesh.tree.root import make_root
from agavesh.tree.workspace import Workspace
from tests.conftest import Tenant

FRESH = 300.0  # seconds


@pytest.fixture
async def workspace(agave: Agave, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Workspace]:
    monkeypatch.setattr(rules, "NEWEST", 1)
    monkeypatch.setattr(rules, "_LIST_FRESH", 0.0)  # each look asks what has become of a job
    monkeypatch.setitem(rules.Jobs.records.__kwdefaults__, "fresh", 0.0)
    monkeypatch.setattr(rules, "_GROWING_FRESH", FRESH)  # and its outputs are believed as long as nothing is said
    async with open_listings(fresh=FRESH) as listings:
        yield Workspace(agave, listings, make_root(agave, listings))


async def submitted(agave: Agave, tenant: Tenant) -> tuple[str, Path]:
    """A job that runs until it is stopped, and the folder it writes to."""
    body = {"name": "j", "appId": "ticker-1.0", "parameters": {"lines": 1, "delay": 1000}, "archive": False}
    job = (await agave.jobs.submit(body=body)).id
    with trio.fail_after(30):
        while not (found := [path.parent for path in tenant.root.rglob("*.out") if job in path.parent.name]):
            await trio.sleep(0.02)
    return job, found[0]


async def stopped(agave: Agave, job: str) -> None:
    await agave.jobs.manage(jobId=job, body={"action": "stop"})
    with trio.fail_after(30):
        while (await agave.jobs.getStatus(jobId=job)).status not in rules.FINAL:
            await trio.sleep(0.02)


async def sizes(workspace: Workspace, job: str) -> dict[str, int | None]:
    folder = await workspace.directory(f"/jobs/{job}/outputs")
    return {node.name: node.entry.size async for node in folder.scan() if node.name.startswith("log")}


@pytest.mark.parametrize("listed", ["among the newest", "by its id", "until a newer one came"])
async def test_what_an_ended_job_has_left_is_looked_at_anew(
    workspace: Workspace, agave: Agave, tenant: Tenant, listed: str
) -> None:
    job, folder = await submitted(agave, tenant)
    others = [] if listed == "among the newest" else [job]
    if listed == "by its id":
        others += [(await submitted(agave, tenant))[0]]
    (folder / "log").write_text("one")
    assert await sizes(workspace, job) == {"log": 3}
    (folder / "log").write_text("three")
    (folder / "log2").write_text("")
    assert await sizes(workspace, job) == {"log": 3}  # believed, as it is above for all of this test
    if listed == "until a newer one came":
        others += [(await submitted(agave, tenant))[0]]
        await (await workspace.directory("/jobs")).lookup(rules.LATEST)
    await stopped(agave, job)
    assert await sizes(workspace, job) == {"log": 5, "log2": 0}
    for other in others[1:]:
        await stopped(agave, other)
