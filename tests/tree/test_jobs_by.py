"""`/jobs/by-name` and `/jobs/by-status`: the newest jobs once more, as links."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

from agavesh.client import Agave
from agavesh.client.errors import NotFound
from agavesh.tree.jobs_by import folder_name
from agavesh.tree.listing import open_listings
from agavesh.tree.node import Directory, Link
from agavesh.tree.root import make_root
from agavesh.tree.workspace import Workspace
from tests.conftest import Tenant


@pytest.fixture
async def workspace(agave: Agave) -> AsyncIterator[Workspace]:
    async with open_listings() as listings:
        yield Workspace(agave, listings, make_root(agave, listings))


async def links(workspace: Workspace, path: str) -> list[str]:
    """The targets of the links in a folder, which must hold nothing else."""
    found = [node async for node in (await workspace.directory(path)).scan()]
    assert all(isinstance(node, Link) and node.path == f"{path}/{node.name}" for node in found)
    return [node.target for node in found if isinstance(node, Link)]


async def names(folder: Directory) -> list[str]:
    return [node.name async for node in folder.scan()]


async def finished(agave: Agave, name: str) -> str:
    body = {"name": name, "appId": "ticker-1.0", "parameters": {"lines": 1, "delay": 0}, "archive": False}
    job = (await agave.jobs.submit(body=body)).id
    with trio.fail_after(30):
        while (await agave.jobs.getStatus(jobId=job)).status != "FINISHED":
            await trio.sleep(0.02)
    return job


async def test_jobs_are_found_by_what_they_have_in_common(tenant: Tenant, workspace: Workspace, agave: Agave) -> None:
    first, second, other = [await finished(agave, name) for name in ("run a", "run a", "b/../c")]
    tenant.faults.requests.clear()
    assert await names(await workspace.directory("/jobs/by-name")) == ["b_.._c", "run a"]
    assert await links(workspace, "/jobs/by-name/run a") == [f"/jobs/{second}", f"/jobs/{first}"]
    assert await names(await workspace.directory("/jobs/by-status")) == ["FINISHED"]
    assert len(await links(workspace, "/jobs/by-status/FINISHED")) == 3
    node = await workspace.find(f"/jobs/by-name/b_.._c/{other}/status")
    assert node.path == f"/jobs/{other}/status"
    assert tenant.faults.requests["jobs.list"] == sum(tenant.faults.requests.values())
    assert (await names(await workspace.directory("/jobs")))[:3] == ["by-name", "by-status", "latest"]


async def test_what_no_job_has_is_no_folder(workspace: Workspace, agave: Agave) -> None:
    job = await finished(agave, "one")
    for place in ("by-name/two", "by-status/RUNNING", "by-name/one/nothing", f"by-name/two/{job}"):
        with pytest.raises(NotFound):
            await workspace.find(f"/jobs/{place}")


@pytest.mark.parametrize(("name", "shown"), [("..", "_.."), ("", "_"), ("é" * 200, "é" * 127), ("a\0/", "a__")])
def test_any_name_makes_a_folder(name: str, shown: str) -> None:
    assert folder_name(name) == shown
