"""The control call: who started a tenant may ask it for trouble, and nobody else; every kind by its word."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from agavesh.api import control
from agavesh.api.control import PATH, sign
from agavesh.client.control import Control
from agavesh.client.errors import BadArgument, NotAllowed, NotFound, Unsupported
from agavesh.client.local import Card
from agavesh.shell.commands import faults as commands
from agavesh.tenant import server
from agavesh.tenant.control import Owner
from agavesh.tenant.refusal import Refusal
from tests.conftest import Tenant

LIST = "/systems/v2/"


def card_of(tenant: Tenant, key: str = "") -> Card:
    return msgspec.convert(
        {
            "url": tenant.url, "pid": 1, "users": [], "client": {"key": "", "secret": ""}, "key": key or tenant.key,
            "run": tenant.run,
        }, Card,
    )  # fmt: skip


@pytest.fixture
async def rehearsed(tenant_root: Path) -> AsyncIterator[Tenant]:
    """A tenant with `--control`."""
    (tenant_root / "port").unlink(missing_ok=True)
    async with server.running(tenant_root, control=True) as state:
        yield Tenant(state)


@pytest.fixture
def owner(rehearsed: Tenant) -> Control:
    return Control(card_of(rehearsed), rehearsed.root)


@pytest.fixture
async def http(rehearsed: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with rehearsed.http() as http:
        yield http


async def test_faults_are_asked_for_listed_and_cleared(owner: Control, http: httpx.AsyncClient) -> None:
    first = await owner.add(control.Refuse(operation="systems.list", status=503, times=2))
    second = await owner.add(control.Html(operation="jobs.list"))
    assert [(await http.get(LIST)).status_code for _ in range(3)] == [503, 503, 200]
    assert [(await http.get("/jobs/v2/")).status_code for _ in range(2)] == [502, 502]
    found = await owner.faults()
    assert [(each.name, each.hits) for each in found.faults] == [(first.name, 2), (second.name, 2)]
    assert found.faults[0].fault == control.Refuse(operation="systems.list", status=503, times=2)
    assert (found.requests["systems.list"], found.requests["jobs.list"]) == (3, 2)
    await owner.clear(second.name)
    assert (await http.get("/jobs/v2/")).status_code == 200
    await owner.clear()
    assert (await owner.faults()).faults == []
    with pytest.raises(NotFound):
        await owner.clear(second.name)


async def met(http: httpx.AsyncClient, method: str = "GET", path: str = LIST, **more: Any) -> object:
    """What a request meets: a status, or that there was no whole answer."""
    try:
        answer = await http.request(method, path, **more)
        msgspec.json.decode(answer.content)
    except msgspec.DecodeError:
        return f"{answer.status_code} garbled"
    except httpx.ReadTimeout:
        return "slow"
    except httpx.TransportError:
        return "cut"
    return answer.status_code


MET: dict[control.Any_fault, object] = {
    control.Slow(): "slow",
    control.Slow(seconds=0.01): 200,
    control.Refuse(): 500,
    control.Refuse(status=404): 404,
    control.Throttle(): "429 garbled",  # XML
    control.Gateway(code=900906): "404 garbled",
    control.Html(): "502 garbled",
    control.Cut(after=10): "cut",
    control.Stall(after=10): "slow",
    control.Malform(): "200 garbled",
    control.Lose(): "cut",
    control.ExpireTokens(): "401 garbled",
    control.ExpireTokens(username="bob"): 200,
}


@pytest.mark.parametrize("fault", MET, ids=lambda fault: str(fault)[:40])
async def test_each_kind_does_what_it_says(rehearsed: Tenant, owner: Control, fault: control.Any_fault) -> None:
    async with rehearsed.http() as http:
        http.timeout = httpx.Timeout(10, read=0.5 if MET[fault] == "slow" else 10)
        await owner.add(fault)
        assert await met(http) == MET[fault]
        await owner.clear()
        if not isinstance(fault, control.ExpireTokens):
            http.timeout = httpx.Timeout(10)
            assert await met(http) == 200


async def test_uploads_wait_while_staging_is_held(rehearsed: Tenant, owner: Control, http: httpx.AsyncClient) -> None:
    await owner.add(control.HoldStaging())
    sent = await http.post("/files/v2/media/system/data.demo//alice", files={"fileToUpload": ("a", b"x")})
    assert sent.json()["result"]["status"] == "STAGING_QUEUED"
    await owner.clear()
    assert not rehearsed.faults.staging_held


def test_the_kinds_are_those_of_the_shell_and_each_is_tried() -> None:
    words = [control.kind_of(kind) for kind in control.KINDS]
    assert tuple(words) == commands.KINDS
    assert {type(fault) for fault in MET} | {control.HoldStaging} == set(control.KINDS)


@pytest.mark.parametrize(
    "fault",
    [
        control.Slow(operation="files.lst"), control.Slow(operation=""), control.Gateway(code=1),
        control.ExpireTokens(username="nobody"), control.Refuse(status=200), control.Slow(times=0),
        control.Slow(seconds=-1), control.Cut(after=-1),
    ],
    ids=str,
)  # fmt: skip
async def test_a_fault_that_would_meet_nobody_is_refused(owner: Control, fault: control.Any_fault) -> None:
    with pytest.raises(BadArgument):
        await owner.add(fault)
    assert (await owner.faults()).faults == []


async def test_nobody_else_is_let_in(rehearsed: Tenant, owner: Control) -> None:
    with pytest.raises(NotAllowed):
        await Control(card_of(rehearsed, "00" * 32), rehearsed.root).faults()
    body = msgspec.json.encode(control.Refuse())
    good = sign(rehearsed.key, rehearsed.run, "POST", PATH, body)
    async with rehearsed.http("admin") as http:

        async def answer(method: str, path: str, content: bytes, authorization: str | None) -> int:
            headers = {"Content-Type": "application/json"}
            headers |= {"Authorization": authorization} if authorization is not None else {}
            return (await http.request(method, path, content=content, headers=headers)).status_code

        for wrong in (
            None, "", "Owner", "Owner ..", "Owner 1.2.3", "Owner x.y.z", good[:-1], good.replace("Owner", "Bearer"),
            good + "0", f"Owner {rehearsed.key}", f"Bearer {rehearsed.key}", good.upper(), "Owner ¹.a.b", "Owner é.é.é",
        ):  # fmt: skip
            assert await answer("POST", PATH, body, wrong and wrong.encode()) == 401, wrong  # type: ignore[arg-type]  # on purpose
        assert await answer("POST", PATH, body + b" ", good) == 401
        assert await answer("DELETE", PATH, body, good) == 401
        assert await answer("POST", PATH + "/", body, good) == 401
        assert await answer("POST", PATH, body, good) == 201
        assert await answer("POST", PATH, body, good) == 401  # once
    assert len((await owner.faults()).faults) == 1


def test_a_call_is_good_for_a_minute() -> None:
    key, run, now = "ab" * 32, "cd", time.time()
    late, early = Owner(key, run, clock=lambda: now + 62), Owner(key, run, clock=lambda: now - 62)
    for judge in (late, early):
        with pytest.raises(Refusal):
            judge.require(sign(key, run, "GET", PATH, b""), "GET", PATH, b"")
    Owner(key, run, clock=lambda: now + 58).require(sign(key, run, "GET", PATH, b""), "GET", PATH, b"")


async def test_what_was_said_to_a_tenant_is_not_heard_by_the_next_one_in_its_folder(tenant_root: Path) -> None:
    (tenant_root / "port").unlink(missing_ok=True)
    said, heard = "", []
    for _ in range(2):
        async with server.running(tenant_root, control=True) as state, Tenant(state).http() as http:
            said = said or sign(state.secrets.key, state.run, "GET", PATH, b"")
            heard.append((await http.get(PATH, headers={"Authorization": said})).status_code)
            fresh = sign(state.secrets.key, state.run, "GET", PATH, b"")
            assert (await http.get(PATH, headers={"Authorization": fresh})).status_code == 200
    assert heard == [200, 401]


async def test_it_is_closed_unless_serve_was_asked(tenant: Tenant) -> None:
    with pytest.raises(Unsupported) as caught:
        await Control(card_of(tenant), tenant.root).faults()
    assert "--control" in caught.value.hint
