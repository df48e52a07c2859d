"""Monitors: systems that are really tried, when they are asked and when it is time."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from agavesh.api.models.monitors import Monitor
from agavesh.client import Agave
from agavesh.client.errors import BadRequest, NotAllowed, NotFound
from agavesh.tenant import server
from agavesh.tenant.monitors import life

from ..conftest import Tenant

STORE = {
    "id": "alice.store", "name": "Alice's store", "type": "STORAGE",
    "storage": {
        "host": "localhost", "port": 22, "protocol": "LOCAL", "rootDir": "/", "homeDir": "/",
        "auth": {"type": "LOCAL"},
    },
}  # fmt: skip


@pytest.fixture
async def monitor(agave: Agave) -> Monitor:
    """Alice's, of a storage system of her own, whose status it keeps."""
    await agave.systems.add(body=STORE)
    return await agave.monitors.add(body={"target": "alice.store", "updateSystemStatus": True})


def broken(tenant: Tenant) -> None:
    """A storage system whose disk is gone."""
    shutil.rmtree(tenant.path("alice.store", "/"))


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    with trio.fail_after(30):
        while not await true():
            await trio.sleep(0.01)


async def test_a_monitor_is_as_it_was_asked_for(agave: Agave, monitor: Monitor) -> None:
    assert (monitor.target, monitor.owner, monitor.active, monitor.frequency) == ("alice.store", "alice", True, 720)
    assert monitor.created is not None
    assert monitor.nextUpdate is not None
    assert monitor.nextUpdate - monitor.created == timedelta(minutes=720)
    assert (monitor.lastCheck, monitor.lastSuccess) == (None, None)
    assert await agave.monitors.get(monitorId=monitor.id) == monitor
    assert await agave.monitors.list(target="alice.store", active=True) == [monitor]
    assert not await agave.monitors.list(target="data.demo")
    assert not await agave.monitors.list(active=False)


async def test_a_storage_system_passes_while_its_disk_is_there(tenant: Tenant, agave: Agave, monitor: Monitor) -> None:
    check = await agave.monitors.runCheck(monitorId=monitor.id)
    assert (check.type, check.result, check.message) == ("STORAGE", "PASSED", None)
    broken(tenant)
    check = await agave.monitors.runCheck(monitorId=monitor.id)
    assert (check.type, check.result) == ("STORAGE", "FAILED")
    assert check.message is not None
    assert "No such file" in check.message
    now = await agave.monitors.get(monitorId=monitor.id)
    assert now.lastCheck == check
    assert now.lastSuccess is not None
    assert now.lastSuccess < check.created


async def test_a_home_that_leads_out_of_the_system_is_a_failed_check(
    tenant: Tenant, agave: Agave, monitor: Monitor
) -> None:
    home = tenant.path("alice.store", "/away")
    await agave.systems.update(
        systemId="alice.store", body={**STORE, "storage": {**STORE["storage"], "homeDir": "/away"}}
    )
    home.rmdir()
    home.symlink_to(tenant.root)
    check = await agave.monitors.runCheck(monitorId=monitor.id)
    assert (check.type, check.result) == ("STORAGE", "FAILED")
    assert check.message == "/away cannot be listed: The path /away leads out of the system"


async def test_a_disk_too_full_for_a_command_is_a_failed_check(tenant: Tenant, agave: Agave) -> None:
    monitor = await agave.monitors.add(body={"target": "run.demo"})
    tenant.state.trash = tenant.root / "tenant.db"  # as little can be made in it
    check = await agave.monitors.runCheck(monitorId=monitor.id)
    assert (check.type, check.result, check.message) == ("LOGIN", "FAILED", "No command can be run: Not a directory")


async def test_an_execution_system_passes_if_a_command_runs_there(tenant: Tenant, agave: Agave) -> None:
    monitor = await agave.monitors.add(body={"target": "run.demo", "frequency": 5})
    check = await agave.monitors.runCheck(monitorId=monitor.id)
    assert (check.type, check.result) == ("LOGIN", "PASSED")
    assert [one.type for one in await agave.monitors.listChecks(monitorId=monitor.id)] == ["LOGIN", "STORAGE"]
    assert not list(tenant.state.trash.iterdir())


async def test_a_command_that_does_not_run_is_a_failed_check(tenant: Tenant, agave: Agave) -> None:
    monitor = await agave.monitors.add(body={"target": "run.demo"})
    tenant.state.confinement = dataclasses.replace(tenant.state.confinement, bwrap="/bin/false")
    check = await agave.monitors.runCheck(monitorId=monitor.id)
    assert (check.type, check.result, check.message) == ("LOGIN", "FAILED", "A command ended with code 1")


async def test_the_systems_status_follows_where_that_was_wanted(tenant: Tenant, agave: Agave, monitor: Monitor) -> None:
    async def status() -> str | None:
        return (await agave.systems.get(systemId="alice.store")).status

    broken(tenant)
    await agave.monitors.runCheck(monitorId=monitor.id)
    assert await status() == "DOWN"
    tenant.state._disks.clear()
    (tenant.root / "systems" / "alice.store").mkdir(exist_ok=True)
    await agave.monitors.runCheck(monitorId=monitor.id)
    assert await status() == "UP"
    await agave.monitors.update(monitorId=monitor.id, body={"target": "alice.store"})
    broken(tenant)
    await agave.monitors.runCheck(monitorId=monitor.id)
    assert await status() == "UP"


async def test_checks_are_found_by_result_and_date(tenant: Tenant, agave: Agave, monitor: Monitor) -> None:
    first = await agave.monitors.runCheck(monitorId=monitor.id)
    broken(tenant)
    second = await agave.monitors.runCheck(monitorId=monitor.id)
    listed = await agave.monitors.listChecks(monitorId=monitor.id)
    assert listed == [second, first]
    assert await agave.monitors.listChecks(monitorId=monitor.id, limit=1, offset=1) == [first]
    assert await agave.monitors.listChecks(monitorId=monitor.id, result="FAILED") == [second]
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert not await agave.monitors.listChecks(monitorId=monitor.id, startDate=tomorrow)
    assert await agave.monitors.listChecks(monitorId=monitor.id, endDate=tomorrow) == listed
    assert first.id is not None
    assert await agave.monitors.getCheck(monitorId=monitor.id, checkId=first.id) == first
    with pytest.raises(NotFound):
        await agave.monitors.getCheck(monitorId=monitor.id, checkId="nothing")
    with pytest.raises(BadRequest, match="startDate"):
        await agave.monitors.listChecks(monitorId=monitor.id, startDate="soon")


async def test_it_checks_when_it_is_time_and_not_while_it_is_off(tenant: Tenant, agave: Agave) -> None:
    tenant.state.monitors.minute = 0.01

    async def checked() -> bool:
        return len(await agave.monitors.listChecks(monitorId=monitor.id)) >= 3

    monitor = await agave.monitors.add(body={"target": "data.demo", "frequency": 5})
    await until(checked)
    await agave.monitors.update(monitorId=monitor.id, body={"target": "data.demo", "frequency": 5, "active": False})
    await until(lambda: still(tenant))
    before = await agave.monitors.listChecks(monitorId=monitor.id)
    other = await agave.monitors.add(body={"target": "data.demo", "frequency": 5})

    async def other_checked() -> bool:
        return len(await agave.monitors.listChecks(monitorId=other.id)) >= 3

    await until(other_checked)
    assert await agave.monitors.listChecks(monitorId=monitor.id) == before


async def still(tenant: Tenant) -> bool:
    return not tenant.state.monitors._under_way


async def test_what_became_due_while_the_tenant_was_down_is_checked_when_it_is_up(tenant_root: Path) -> None:
    (tenant_root / "port").unlink(missing_ok=True)
    async with server.running(tenant_root) as state:
        async with Agave(state.url, token=Tenant(state).token()) as agave:
            monitor = await agave.monitors.add(body={"target": "data.demo"})
        overdue = {**(state.store.get("monitor", monitor.id) or {}), "next": 1.0}
        state.store.put("monitor", monitor.id, overdue, owner="alice")
    async with server.running(tenant_root) as state, Agave(state.url, token=Tenant(state).token()) as agave:

        async def checked() -> bool:
            return (await agave.monitors.get(monitorId=monitor.id)).lastCheck is not None

        await until(checked)


async def test_its_events_are_told(tenant: Tenant, agave: Agave, monitor: Monitor) -> None:
    await agave.monitors.runCheck(monitorId=monitor.id)
    broken(tenant)
    await agave.monitors.runCheck(monitorId=monitor.id)
    await agave.monitors.update(monitorId=monitor.id, body={"target": "alice.store", "active": False})
    assert [status for _, status, *_ in tenant.state.store.events(monitor.id)] == [
        "CREATED", "FORCED_CHECK_REQUESTED", "CHECK_PASSED", "STATUS_CHANGE", "FORCED_CHECK_REQUESTED", "CHECK_FAILED",
        "STATUS_CHANGE", "UPDATED", "DISABLED",
    ]  # fmt: skip


async def test_a_monitor_is_its_owners_alone(tenant: Tenant, agave: Agave, monitor: Monitor) -> None:
    async with Agave(tenant.url, token=tenant.token("bob")) as bob:
        assert not await bob.monitors.list()
        for call in (bob.monitors.get, bob.monitors.delete, bob.monitors.runCheck, bob.monitors.listChecks):
            with pytest.raises(NotFound):
                await call(monitorId=monitor.id)
        with pytest.raises(BadRequest, match="no system alice"):
            await bob.monitors.add(body={"target": "alice.store"})
        with pytest.raises(NotAllowed, match="administrators"):
            await bob.monitors.add(body={"target": "data.demo", "updateSystemStatus": True})
        await agave.systems.updateRole(systemId="alice.store", body={"username": "bob", "role": "USER"})
        his = await bob.monitors.add(body={"target": "alice.store"})
        await agave.systems.deleteRoles(systemId="alice.store")
        assert (await bob.monitors.runCheck(monitorId=his.id)).result == "UNKNOWN"


@pytest.mark.parametrize(
    "wrong", [{"target": "nowhere"}, {"frequency": 4}, {"frequency": "often"}, {"active": "yes"}, {"target": None}]
)
async def test_what_makes_no_sense_is_refused(agave: Agave, wrong: dict[str, object]) -> None:
    with pytest.raises(BadRequest, match=next(iter(wrong))):
        await agave.monitors.add(body={"target": "data.demo", **wrong})


async def test_a_few_checks_run_at_once_however_many_ask(
    agave: Agave, monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each may start a process."""
    running, most, full = 0, 0, trio.Event()
    really = life.tries

    async def counted(*args: Any) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == life.AT_ONCE:
            full.set()
        await full.wait()
        await trio.testing.wait_all_tasks_blocked()
        try:
            return await really(*args)
        finally:
            running -= 1

    monkeypatch.setattr(life, "tries", counted)
    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.deadline = trio.current_time() + 30
        for _ in range(3 * life.AT_ONCE):
            nursery.start_soon(lambda: agave.monitors.runCheck(monitorId=monitor.id or ""))
    assert most == life.AT_ONCE
    assert len(await agave.monitors.listChecks(monitorId=monitor.id or "")) == 3 * life.AT_ONCE


async def test_a_deleted_monitor_is_gone_with_its_checks(tenant: Tenant, agave: Agave, monitor: Monitor) -> None:
    await agave.monitors.runCheck(monitorId=monitor.id)
    await agave.monitors.delete(monitorId=monitor.id)
    with pytest.raises(NotFound):
        await agave.monitors.listChecks(monitorId=monitor.id)
    assert not tenant.state.store.sql("select * from checks")
    assert not tenant.state.store.events(monitor.id)
