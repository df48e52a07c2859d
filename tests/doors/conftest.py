"""The fixture `door`: a folder to work in, once on a plain disk and once through the kernel on the platform.

What the plain folder does is the answer. The mount here runs in the tests' own process: it is the same but for the
command around it, and starts in no time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
import trio

from agavefs.mount import Options, serve
from agavefs.places import Places
from agavesh.client.accounts import Account
from agavesh.tenant import server
from tests.agavefs.mounting import possible
from tests.conftest import Tenant

T = TypeVar("T")


@dataclass
class Door:
    """A folder to work in. `bytes` tells what has arrived on the other side, by name."""

    kind: str
    path: Path
    bytes: Callable[[str], bytes]

    async def do(self, act: Callable[[Path], T]) -> T:
        """Do something blocking in the folder: in a thread, since the other side may live in this loop."""
        with trio.fail_after(30):
            return await trio.to_thread.run_sync(act, self.path)


@pytest.fixture(params=["plain", "mount"])
async def door(
    request: pytest.FixtureRequest, tmp_path: Path, tenant_root: Path, nursery: trio.Nursery
) -> AsyncIterator[Door]:
    if request.param == "plain":
        folder = tmp_path / "plain"
        folder.mkdir()
        yield Door("plain", folder, lambda name: (folder / name).read_bytes())
        return
    if not possible:
        pytest.skip("there is no /dev/fuse here")
    async with server.running(tenant_root) as state, mounted_here(Tenant(state), tmp_path / "door") as there:
        yield there


@asynccontextmanager
async def mounted_here(tenant: Tenant, folder: Path) -> AsyncIterator[Door]:
    """Alice's folder `work`, through a mount that this process serves."""
    mountpoint = folder / "mnt"
    mountpoint.mkdir(parents=True)
    account = Account(tenant.url, "alice", access_token=tenant.token("alice"))
    options = Options(mountpoint, Places(folder / "state", folder / "cache"))
    ready, notices = trio.Event(), list[str]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(serve, options, ready=ready.set, notice=notices.append, account=account))
        await ready.wait()
        work = mountpoint / "systems/data.demo/alice/work"
        try:
            await trio.to_thread.run_sync(work.mkdir)
            yield Door("mount", work, lambda name: tenant.bytes("data.demo", f"/alice/work/{name}"))
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(30):
                await trio.run_process(["fusermount3", "-u", str(mountpoint)])
    assert not notices
