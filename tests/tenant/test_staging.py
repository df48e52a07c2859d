"""Uploads and imports on their way: what goes wrong in one ends that one alone, and none undoes what came before."""

from __future__ import annotations

import base64
import contextlib
import errno
import logging
import os
import stat
import threading
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
import trio.testing

from agavesh.api import control
from agavesh.tenant import server
from agavesh.tenant.files import patches, staging
from agavesh.tenant.files.fetching import anonymous
from agavesh.tenant.handlers import files
from tests.conftest import Tenant
from tests.tenant.hook import Hook, hooked

MEDIA = "/files/v2/media/system/data.demo//alice"
HISTORY = MEDIA.replace("media", "history")


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    async with hooked() as found:
        yield found


async def ingest(http: httpx.AsyncClient, url: str, name: str = "got") -> httpx.Response:
    return await http.post(MEDIA, json={"urlToIngest": url, "fileName": name})


async def put(http: httpx.AsyncClient, content: bytes, where: str = "", name: str = "a") -> httpx.Response:
    headers = {"Range": where} if where else {}
    return await http.post(MEDIA, files={"fileToUpload": (name, content)}, headers=headers)


async def events(http: httpx.AsyncClient, name: str) -> list[dict[str, Any]]:
    answer = await http.get(f"{HISTORY}/{name}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["result"]
    return found


async def ended(http: httpx.AsyncClient, name: str) -> dict[str, Any]:
    """How the staging of a file ended."""
    with trio.fail_after(10):
        while not (last := (await events(http, name))[-1])["status"].startswith(
            ("STAGING_COMPLETED", "STAGING_FAILED")
        ):
            await trio.sleep(0.01)
    return last


async def still(tenant: Tenant) -> None:
    """Wait until nothing is on its way."""
    with trio.fail_after(10):
        while tenant.state.awake or tenant.state.store.sql("select * from stagings"):
            await trio.sleep(0.01)


def left(tenant: Tenant) -> list[str]:
    return sorted(path.name for path in (tenant.root / "staging").iterdir())


@contextlib.contextmanager
def unforeseen(patch: pytest.MonkeyPatch, owner: object, name: str) -> Iterator[None]:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("nobody thought of it")

    with patch.context() as here:
        here.setattr(owner, name, fail)
        yield


# what goes wrong -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("port", ["99999999999999999999", "65536", "-1", "x", "9" * 5000])
async def test_an_address_with_a_port_that_cannot_be_is_refused(tenant: Tenant, port: str) -> None:
    async with tenant.http() as http:
        refused = await ingest(http, f"http://localhost:{port}/x")
        assert (refused.status_code, "is no address" in refused.json()["message"]) == (400, True)
        assert (await http.get(f"{HISTORY}/got")).status_code == 404
    assert tenant.state.store.sql("select * from stagings") == []


@pytest.mark.parametrize("address", ["http://localhost:99999999999999999999/", f"http://{'a' * 70}.example/"])
async def test_an_address_that_no_resolver_takes_fails_when_a_redirect_leads_there(
    tenant: Tenant, hook: Hook, address: str
) -> None:
    hook.status, hook.headers = lambda _: 302, [("Location", address)]
    async with tenant.http() as http:
        assert (await ingest(http, hook.url)).status_code == 202
        assert "could not be fetched" in (await ended(http, "got"))["description"]


async def test_an_import_that_fails_as_nobody_foresaw_fails_alone_and_once(
    tenant_root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with unforeseen(monkeypatch, staging, "fetch"):
        async with server.running(tenant_root) as state, Tenant(state).http() as http:
            assert (await ingest(http, "http://127.0.0.1:9/x")).status_code == 202
            assert (await ended(http, "got"))["status"] == "STAGING_FAILED"
            await still(Tenant(state))
            assert "nobody thought of it" in caplog.text  # with its traceback, for us
            assert "nobody thought of it" not in str(await events(http, "got"))
            assert (await put(http, b"x")).json()["result"]["status"] == "STAGING_COMPLETED"
        async with server.running(tenant_root) as state, Tenant(state).http() as http:
            assert [event["status"] for event in await events(http, "got")].count("STAGING") == 1


async def test_what_made_an_earlier_run_die_does_not_end_the_next_one(
    tenant_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an earlier version left it: the row of an import whose address is none."""
    async with server.running(tenant_root) as state, Tenant(state).http() as http:
        state.faults.add(control.HoldStaging())
        assert (await ingest(http, "http://127.0.0.1:9/x")).status_code == 202
        state.store.sql("update stagings set source = 'http://localhost:99999999999999999999/x'")
    async with server.running(tenant_root) as state, Tenant(state).http() as http:
        assert (await ended(http, "got"))["status"] == "STAGING_FAILED"
        await still(Tenant(state))


async def test_a_failure_that_cannot_even_be_told_is_not_tried_again(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with tenant.http() as http:
        with tenant.faults.holding_staging():
            assert (await put(http, b"x")).json()["result"]["status"] == "STAGING_QUEUED"
            monkeypatch.setattr(tenant.state.store, "listens", lambda *_: True)
            monkeypatch.setattr(tenant.state.store, "heard", lambda _: 1 // 0)
        await still(tenant)
        assert "cannot be told" in caplog.text
        monkeypatch.undo()
        assert (await put(http, b"y")).json()["result"]["status"] == "STAGING_COMPLETED"


async def test_the_rest_of_a_copy_that_nobody_foresaw_does_not_end_a_start(
    tenant_root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with server.running(tenant_root) as state:
        await trio.testing.wait_all_tasks_blocked()  # it has taken up what was left before
        state.store.sql("insert into stagings values ('tree', 'none', 'alice', '/alice/old', 0)")
        (state.staging / "tree").mkdir()
    with unforeseen(monkeypatch, staging.Staging, "_target"):
        async with server.running(tenant_root) as state, Tenant(state).http() as http:
            with trio.fail_after(10):
                while "the rest of a copy of /alice/old failed" not in caplog.text:
                    await trio.sleep(0.01)
            assert (await http.get("/tenants")).status_code == 200
            assert state.store.sql("select * from stagings") == []


async def test_a_start_goes_on_where_something_cannot_be_erased(
    tenant_root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tenant_root / "trash" / "stays").write_text("x")
    with unforeseen(monkeypatch, files, "erase"):
        async with server.running(tenant_root):
            with trio.fail_after(10):
                while "erasing stays failed" not in caplog.text:
                    await trio.sleep(0.01)


# what is left --------------------------------------------------------------------------------------------------------


async def test_an_import_that_is_cut_short_leaves_nothing(tenant: Tenant, nursery: trio.Nursery) -> None:
    async def half(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + bytes(50))
        await stream.aclose()

    listeners = await nursery.start(partial(trio.serve_tcp, half, 0, host="127.0.0.1"))
    async with tenant.http() as http:
        assert (await ingest(http, f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/x")).status_code == 202
        assert (await ended(http, "got"))["status"] == "STAGING_FAILED"
    await still(tenant)
    nursery.cancel_scope.cancel()
    assert left(tenant) == []


def full(temporary: Path, *_: object) -> None:
    temporary.write_bytes(b"as much as there was room for")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), temporary)


async def test_an_import_from_a_system_for_which_there_is_no_room_leaves_nothing(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "fill", full)
    tenant.path("data.demo", "/alice/a").write_bytes(b"x")
    async with tenant.http() as http:
        assert (await ingest(http, "agave://data.demo//alice/a")).status_code == 202
        assert (await ended(http, "got"))["description"].endswith("failed: No space left on device")
    await still(tenant)
    assert left(tenant) == []


@pytest.mark.parametrize("held", [False, True])
async def test_a_part_for_which_there_is_no_room_leaves_nothing(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch, held: bool
) -> None:
    monkeypatch.setattr(patches, "fill", full)
    tenant.path("data.demo", "/alice/a").write_bytes(b"x")
    async with tenant.http() as http:
        with tenant.faults.holding_staging() if held else contextlib.nullcontext():
            answer = await put(http, b"y", "bytes=0-")
        if held:
            assert (await ended(http, "a"))["status"] == "STAGING_FAILED"
        else:
            assert (answer.status_code, answer.json()["message"]) == (
                502,
                "The storage failed: No space left on device",
            )
    await still(tenant)
    assert (left(tenant), tenant.bytes("data.demo", "/alice/a")) == ([], b"x")


# parts of a file -----------------------------------------------------------------------------------------------------


async def test_two_parts_of_a_file_at_once_are_both_there(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    both, met, lay = threading.Barrier(2), list[int](), patches._lay

    def after_both_have_looked(*given: Any) -> None:
        lay(*given)
        met.append(1)
        if len(met) <= 2:
            both.wait(10)

    monkeypatch.setattr(patches, "_lay", after_both_have_looked)
    tenant.path("data.demo", "/alice/a").write_bytes(b"0123456789")
    async with tenant.http() as http, trio.open_nursery() as nursery:
        for content, where in ((b"abc", "bytes=1-3"), (b"xyz", "bytes=6-8")):
            nursery.start_soon(put, http, content, where)
    assert tenant.bytes("data.demo", "/alice/a") == b"0abc45xyz9"
    assert (left(tenant), len(met)) == ([], 3)


@pytest.mark.parametrize("other", ["upload", "copy"])
async def test_a_part_does_not_undo_what_comes_while_it_is_laid_over(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    laid, go, lay = threading.Event(), threading.Event(), patches._lay

    def held(*given: Any) -> None:
        lay(*given)
        laid.set()
        assert go.wait(10)

    monkeypatch.setattr(patches, "_lay", held)
    tenant.path("data.demo", "/alice/a").write_bytes(b"0123456789")
    tenant.path("data.demo", "/alice/b").write_bytes(b"abcdefghij")
    async with tenant.http() as http, trio.open_nursery() as nursery:
        nursery.start_soon(put, http, b"XY", "bytes=2-3")
        try:
            assert await trio.to_thread.run_sync(laid.wait, 10)
            if other == "upload":
                assert (await put(http, b"abcdefghij")).json()["result"]["status"] == "STAGING_COMPLETED"
            else:
                copied = await http.put(f"{MEDIA}/b", json={"action": "copy", "path": "/alice/a"})
                assert copied.status_code == 200
        finally:
            go.set()
    assert tenant.bytes("data.demo", "/alice/a") == b"abXYefghij"


async def test_parts_behind_a_file_that_is_still_on_its_way_change_that_file(tenant: Tenant) -> None:
    tenant.path("data.demo", "/alice/a").write_bytes(b"old")
    async with tenant.http() as http:
        for name in ("a", "new"):
            with tenant.faults.holding_staging():
                for content, where in ((b"0123456789", ""), (b"abc", "bytes=1-3"), (b"xyz", "bytes=9-11")):
                    answer = await put(http, content, where, name)
                    assert answer.json()["result"]["status"] == "STAGING_QUEUED"
                assert not tenant.path("data.demo", "/alice/new").exists()
            await still(tenant)
            assert tenant.bytes("data.demo", f"/alice/{name}") == b"0abc45678xyz"
    assert (left(tenant), tenant.state.store.sql("select * from patches")) == ([], [])


async def test_parts_that_wait_come_after_a_restart(tenant_root: Path) -> None:
    async with server.running(tenant_root) as state, Tenant(state).http() as http:
        state.faults.add(control.HoldStaging())
        for content, where in ((b"0123456789", ""), (b"abc", "bytes=1-3"), (b"xyz", "bytes=9-11")):
            assert (await put(http, content, where)).json()["result"]["status"] == "STAGING_QUEUED"
    async with server.running(tenant_root) as state:
        await still(Tenant(state))
        assert state.bytes("data.demo", "/alice/a") == b"0abc45678xyz"


async def test_two_parts_of_a_large_file_are_both_there(tenant: Tenant) -> None:
    tenant.path("data.demo", "/alice/a").write_bytes(bytes(5 << 20))
    async with tenant.http() as http:
        async with trio.open_nursery() as nursery:
            for start in (1 << 20, 3 << 20):
                nursery.start_soon(put, http, b"x" * 1000, f"bytes={start}-")
        await still(tenant)
    content = tenant.bytes("data.demo", "/alice/a")
    assert (len(content), content.count(b"x"), content[1 << 20], content[3 << 20]) == (5 << 20, 2000, 120, 120)


@pytest.mark.parametrize("digits", ["²", "1" + 20 * "0", 5000 * "9", "", "x", "-1", "٣"])
async def test_a_part_that_begins_nowhere_is_refused(tenant: Tenant, digits: str) -> None:
    tenant.path("data.demo", "/alice/a").write_bytes(b"x")
    async with tenant.http() as http:
        header = f"bytes={digits}-".encode("latin-1", errors="replace")
        refused = await http.post(MEDIA, files={"fileToUpload": ("a", b"y")}, headers={b"Range": header})
    assert (refused.status_code, tenant.bytes("data.demo", "/alice/a"), left(tenant)) == (416, b"x", [])


# what is told --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 404])
async def test_the_password_in_an_address_is_for_its_server_alone(
    tenant: Tenant, hook: Hook, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    hook.status = lambda _: status
    address = hook.url.replace("//", "//user:s3same@") + "/x"
    async with tenant.http() as http:
        with tenant.faults.holding_staging():
            answer = await ingest(http, address)
            # a restart needs it, so it is where only this user may read
            assert tenant.state.store.sql("select source from stagings") == [(address,)]
            for file in tenant.root.glob("tenant.db*"):
                assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert (await ended(http, "got"))["status"] == ("STAGING_COMPLETED" if status == 200 else "STAGING_FAILED")
        told = [answer.json(), await events(http, "got")]
    await still(tenant)
    assert answer.json()["result"]["source"] == f"{hook.url}/x"
    assert hook.told[0].headers["authorization"] == f"Basic {base64.b64encode(b'user:s3same').decode()}"
    assert "s3same" not in str(told) + caplog.text
    assert "s3same" not in str(tenant.state.store.sql("select * from events"))


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("http://u:p@h:8/a?b@c#d", "http://h:8/a?b@c#d"), ("http://u:p@q@h/", "http://h/"), ("HTTPS://u@h", "HTTPS://h"),
        ("http://u:a/b@h/", "http://u:a/b@h/"), (" http:/\n/u:p@h/", " http:/\n/h/"), ("http://h/a//b@c", "http://h/a//b@c"),
        ("agave://data.demo//a@b", "agave://data.demo//a@b"), ("/a@b", "/a@b"), ("", ""),
    ],
)  # fmt: skip
def test_an_address_is_told_without_who_signs_in(address: str, told: str) -> None:
    assert anonymous(address) == told
