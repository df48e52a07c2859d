"""The access log: who asked for what and what came of it, by a request id; never what is secret."""

from __future__ import annotations

import json
import logging
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from agavesh.client import Agave
from agavesh.client.errors import AgaveError
from agavesh.tenant import server
from agavesh.tenant.access import told
from tests.conftest import Tenant

MEDIA = "/files/v2/media/system/data.demo//alice"


@pytest.fixture
async def logged(tenant_root: Path, tmp_path: Path) -> AsyncIterator[tuple[Tenant, Path]]:
    (tenant_root / "port").unlink(missing_ok=True)
    log = tmp_path / "access.log"
    async with server.running(tenant_root, access_log=str(log)) as state:
        yield Tenant(state), log


async def lines(log: Path, count: int) -> list[dict[str, Any]]:
    """The lines, once there are so many: a line is written when its answer has gone out."""
    with trio.fail_after(10):
        while len(found := log.read_text().splitlines()) < count:
            await trio.sleep(0.01)
    return [json.loads(line) for line in found]


async def test_each_request_is_a_line(logged: tuple[Tenant, Path]) -> None:
    tenant, log = logged
    async with tenant.http() as http:
        sent = await http.post(MEDIA, files={"fileToUpload": ("a b", b"some bytes")})
        read = await http.get(f"{MEDIA}/a%20b")
        head = await http.head(f"{MEDIA}/a%20b")
        missing = await http.get("/systems/v2/nowhere")
    async with httpx.AsyncClient(base_url=tenant.url, trust_env=False) as stranger:
        refused = await stranger.get("/jobs/v2/")
    found = await lines(log, 5)
    assert [(line["method"], line["path"], line["status"], line["user"]) for line in found] == [
        ("POST", MEDIA, 202, "alice"),
        ("GET", f"{MEDIA}/a%20b", 200, "alice"),
        ("HEAD", f"{MEDIA}/a%20b", 200, "alice"),
        ("GET", "/systems/v2/nowhere", 404, "alice"),
        ("GET", "/jobs/v2/", 401, ""),
    ]
    answers = (sent, read, head, missing, refused)
    assert [line["bytes"] for line in found] == [len(answer.content) for answer in answers]
    assert [line["id"] for line in found] == [answer.headers["x-request-id"] for answer in answers]
    assert len({line["id"] for line in found}) == 5
    assert all(line["ms"] >= 0 and line["time"].endswith("Z") for line in found)
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


async def test_nothing_secret_is_in_it(logged: tuple[Tenant, Path]) -> None:
    tenant, log = logged
    secret = "c0ffee" * 4
    async with tenant.http() as http:
        token = http.headers["authorization"].partition(" ")[2]
        for target in (
            f"/systems/v2/?x-nonce={secret}", f"/jobs/v2/trigger/job/1/token/{secret}/status/FAILED",
            f"/jobs/v2/trigger/job/1/token/{secret}", f"/nowhere/a/{secret}", f"/systems/v2/%00{secret}",
        ):  # fmt: skip
            await http.get(target)
        await http.post("/token", data={"username": "alice", "password": secret}, auth=("key", secret))
        await http.post("/systems/v2/", json={"id": secret})
    assert len(await lines(log, 7)) == 7
    assert secret not in log.read_text()
    assert token not in log.read_text()


async def test_an_answer_that_never_came_is_told_so(logged: tuple[Tenant, Path]) -> None:
    tenant, log = logged
    async with tenant.http() as http:
        with tenant.faults.losing("systems.list"), pytest.raises(httpx.TransportError):
            await http.get("/systems/v2/")
        assert (await http.get("/systems/v2/")).status_code == 200
    assert [line["status"] for line in await lines(log, 2)] == [0, 200]


async def test_the_log_names_a_failure_as_the_answer_does(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    monkeypatch.setattr(tenant.state.files, "place", None)  # so that a handler fails
    async with tenant.http() as http:
        answer = await http.get(MEDIA)
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] in caplog.text
    assert answer.headers["x-request-id"] in answer.json()["message"]


async def test_the_client_tells_the_id_that_the_platform_gave(tenant: Tenant) -> None:
    async with Agave(tenant.url, token=tenant.token()) as agave:
        with tenant.faults.refusing("systems.get", 400), pytest.raises(AgaveError) as caught:
            await agave.systems.get(systemId="x")
        answer = await agave.raw("GET", "/systems/v2/")
    assert len(caught.value.request_id or "") == len(answer.headers["x-request-id"]) == 16


async def test_a_log_that_cannot_be_written_keeps_nobody_from_an_answer(
    tenant_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with server.running(tenant_root, access_log="/dev/full") as state, Tenant(state).http() as http:
        assert [(await http.get("/systems/v2/")).status_code for _ in range(3)] == [200] * 3
    assert caplog.text.count("the access log /dev/full cannot be written: No space left on device") == 1


def test_a_path_is_told_without_what_lets_in() -> None:
    assert told("/a/b%2Fc/d", "/a/{x}/d", {"x": "b/c"}) == "/a/b%2Fc/d"
    assert told("/a/1/token/ab/x", "/a/{id}/token/{token}/x", {"id": "1", "token": "ab"}) == "/a/1/token/*/x"
    assert [told(path, None, {}) for path in ("/", "/a", "/a/b", "/a/b/c", "//a/b")] == [
        "/",
        "/a",
        "/a/b",
        "/a/b/*",
        "//a/*",
    ]
