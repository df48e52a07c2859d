"""What comes is bounded: how much, how deep, how many at once, how slowly; and who is honest notices nothing."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio

from agavesh.api import catalogue
from agavesh.tenant import server
from agavesh.tenant.bounds import Bounds
from tests.conftest import Tenant

MEDIA = "/files/v2/media/system/data.demo//alice"
DEEP = 100_000
BODIED = [
    operation
    for operation in catalogue.operations()
    if any(param.place == "body" for param in operation.params.values())
]

Bounded = Callable[..., AbstractAsyncContextManager[Tenant]]


@pytest.fixture
def bounded(tenant_root: Path) -> Bounded:
    """A tenant with bounds of the test's own."""

    @asynccontextmanager
    async def run(**bounds: Any) -> AsyncIterator[Tenant]:
        (tenant_root / "port").unlink(missing_ok=True)
        async with server.running(tenant_root, bounds=Bounds(**bounds)) as state:
            yield Tenant(state)

    return run


async def connected(tenant: Tenant) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", urlsplit(tenant.url).port or 0)


async def heard(stream: trio.SocketStream) -> bytes:
    """All that the tenant says until it closes the connection."""
    said = b""
    with trio.fail_after(20), contextlib.suppress(trio.BrokenResourceError):
        while piece := await stream.receive_some():
            said += piece
    return said


def open_files() -> list[Path]:
    return list(Path("/proc/self/fd").iterdir())


async def until(true: Callable[[], bool | Awaitable[bool]]) -> None:
    with trio.fail_after(20):
        while not true():
            await trio.sleep(0.01)


def head(tenant: Tenant, method: str, path: str, *lines: str) -> bytes:
    given = [f"{method} {path} HTTP/1.1", "Host: here", f"Authorization: Bearer {tenant.token()}", *lines]
    return "".join(f"{line}\r\n" for line in given).encode() + b"\r\n"


# size and depth ------------------------------------------------------------------------------------------------------


@pytest.fixture
async def small(bounded: Bounded) -> AsyncIterator[Tenant]:
    async with bounded(body=1 << 20) as tenant:
        yield tenant


async def test_no_operation_takes_json_that_is_too_long_or_too_deep(small: Tenant) -> None:
    wrong = []
    async with small.http("alice") as http:
        for operation in BODIED:
            path = operation.path.replace("{systemId}", "data.demo").replace("{jobId}", "1-007").replace("{", "")
            auth = None if operation.token else ("alice", small.users["alice"])
            for content, status in [  # or 404, where what it is for is looked for first
                (b"[" * DEEP, 400),
                (b'{"a":' * DEEP + b"1" + b"}" * DEEP, 400),
                (b"[" * 101 + b"]" * 101, 400),
                (b'{"a": "' + b"x" * (1 << 20) + b'"}', 413),
            ]:
                answer = await http.request(
                    operation.method,
                    path.replace("}", ""),
                    content=content,
                    headers={"Content-Type": "application/json"},
                    **({"auth": auth} if auth else {}),
                )
                if answer.status_code not in (status, 404) or not answer.json()["message"]:
                    wrong.append((operation.key, content[:9], answer.status_code, answer.text[:80]))
    assert wrong == []
    assert len(BODIED) > 15


async def test_json_in_a_part_of_a_form_is_bounded_too(small: Tenant) -> None:
    async with small.http() as http:
        for content, status in [(b"[" * DEEP, 400), (b'"' + b"x" * (1 << 20) + b'"', 413), (b"{nothing", 400)]:
            answer = await http.post("/apps/v2/", files={"fileToUpload": ("app.json", content)})
            assert (answer.status_code, answer.json()["status"]) == (status, "error")
        broken = {"Content-Type": "multipart/form-data; boundary=x"}
        for content in (b"--x\r\nnothing", b"--y\r\n\r\n--y--", b"--x\r\n\r\nno header\r\n--x--\r\n"):
            answer = await http.post("/apps/v2/", content=content, headers=broken)
            assert answer.status_code == 400, content
        answer = await http.post("/apps/v2/", content=b"x", headers={"Content-Type": "multipart/form-data"})
        assert answer.status_code == 400


@pytest.mark.parametrize("content", [b"9" * 5000, b"1e999", b'"\\ud800"', b'{"a": NaN}', b'"\xff"', b"\xef\xbb\xbf{}"])
async def test_json_that_is_none_is_refused(tenant: Tenant, content: bytes) -> None:
    async with tenant.http() as http:
        answer = await http.post("/jobs/v2/", content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["message"][:18]) == (400, "Invalid JSON found")


async def test_who_is_refused_for_a_long_body_hears_it_and_may_ask_again(small: Tenant) -> None:
    async with small.http() as http:
        answer = await http.post("/jobs/v2/", content=b" " * (4 << 20), headers={"Content-Type": "application/json"})
        first = answer.extensions["network_stream"].get_extra_info("client_addr")
        assert (answer.status_code, "over 1048576 bytes" in answer.json()["message"]) == (413, True)
        answer = await http.get("/jobs/v2/")
        assert answer.extensions["network_stream"].get_extra_info("client_addr") == first


async def test_a_body_that_nobody_wants_is_not_read_for_ever(bounded: Bounded) -> None:
    async with bounded(body=1000, unwanted=1 << 20) as tenant, await connected(tenant) as stream:
        await stream.send_all(
            head(tenant, "POST", "/jobs/v2/", "Content-Type: application/json", "Transfer-Encoding: chunked")
        )
        sent = 0
        with trio.fail_after(20), pytest.raises(trio.BrokenResourceError):
            while True:
                await stream.send_all(b"10000\r\n" + b" " * 65536 + b"\r\n")
                sent += 65536
        assert sent > 1 << 20
        await until(lambda: tenant.state.busy == 0)


async def test_a_head_that_is_too_long_is_told_so(tenant: Tenant) -> None:
    for line in (f"X-Long: {'x' * 200_000}", *["\r\n".join(f"X-{n}: {'y' * 1000}" for n in range(200))]):
        async with await connected(tenant) as stream:
            with contextlib.suppress(trio.BrokenResourceError):
                await stream.send_all(head(tenant, "GET", "/jobs/v2/", line))
            assert (await heard(stream))[:12] in (b"HTTP/1.1 431", b"")  # a reset may overtake it
    async with await connected(tenant) as stream:
        await stream.send_all(b"GET /" + b"x" * 131_072)  # all of it is read, and it is not done
        assert (await heard(stream))[:12] == b"HTTP/1.1 431"


async def test_a_page_has_no_more_than_the_platform_gives(tenant: Tenant) -> None:
    folder = tenant.path("data.demo", "/alice/many")
    folder.mkdir()
    for number in range(300):
        (folder / f"{number}").touch()
    async with tenant.http() as http:
        for limit in ("251", "1000000000", "9" * 30):
            answer = await http.get(f"/files/v2/listings/system/data.demo//alice/many?limit={limit}")
            assert len(answer.json()["result"]) <= 250


# how many ------------------------------------------------------------------------------------------------------------


async def test_requests_above_the_bound_are_told_to_come_again(bounded: Bounded) -> None:
    async with bounded(requests=3) as tenant, tenant.http() as http, trio.open_nursery() as nursery:
        answers: list[int] = []

        async def ask() -> None:
            answers.append((await http.get("/systems/v2/")).status_code)

        with tenant.faults.slow("systems.list") as fault:
            for _ in range(3):
                nursery.start_soon(ask)
            await until(lambda: fault.hits == 3)
            refused = await http.get("/jobs/v2/")
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert refused.json()["status"] == "error"
        await until(lambda: len(answers) == 3)
        assert answers == [200, 200, 200]
        assert (await http.get("/jobs/v2/")).status_code == 200


async def test_the_connection_that_is_idle_longest_makes_room(bounded: Bounded) -> None:
    async with bounded(connections=3) as tenant:
        async with tenant.http() as first, tenant.http() as second, tenant.http() as third, tenant.http() as fourth:
            streams = []
            for http in (first, second, third, fourth):
                answer = await http.get("/systems/v2/")
                assert answer.status_code == 200
                streams.append(answer.extensions["network_stream"])
            with trio.fail_after(20):
                assert await streams[0].read(1) == b""
            answer = await second.get("/systems/v2/")
            assert (answer.status_code, answer.extensions["network_stream"]) == (200, streams[1])


async def test_where_all_connections_are_busy_the_next_is_turned_away(bounded: Bounded) -> None:
    async with bounded(connections=2) as tenant, trio.open_nursery() as nursery:
        with tenant.faults.slow("systems.list") as fault:
            async with tenant.http() as http:
                for _ in range(2):
                    nursery.start_soon(http.get, "/systems/v2/")
                await until(lambda: fault.hits == 2)
                async with await connected(tenant) as stream:
                    await stream.send_all(head(tenant, "GET", "/jobs/v2/"))
                    said = await heard(stream)
                    assert said.startswith(b"HTTP/1.1 503")
                    assert b"Retry-After: 1\r\n" in said
                nursery.cancel_scope.cancel()


async def test_a_connection_that_its_client_closed_is_closed(tenant: Tenant) -> None:
    async with await connected(tenant) as stream:
        await stream.send_all(b"GET /tenants HTTP/1.1\r\nHost: here\r\n\r\n")
        await stream.receive_some()
        await stream.send_eof()
        await heard(stream)


def test_connections_leave_files_for_what_is_sent_over_them() -> None:
    assert Bounds().within(1024).connections == 256
    assert Bounds().within(1_000_000).connections == Bounds().connections
    assert Bounds().within(10).connections == 1


# how slowly ----------------------------------------------------------------------------------------------------------


async def test_a_head_that_does_not_end_is_not_waited_for(bounded: Bounded) -> None:
    async with bounded(head_time=0.3) as tenant, await connected(tenant) as stream, trio.open_nursery() as nursery:

        async def dribble() -> None:
            await stream.send_all(b"GET /tenants HTTP/1.1\r\n")
            with contextlib.suppress(trio.BrokenResourceError):
                while True:
                    await stream.send_all(b"X-More: x\r\n")
                    await trio.sleep(0.01)

        nursery.start_soon(dribble)
        assert b"200" not in await heard(stream)
        nursery.cancel_scope.cancel()


async def test_a_long_request_on_a_connection_with_a_bound_for_heads_is_answered(bounded: Bounded) -> None:
    async with bounded(head_time=0.2) as tenant, tenant.http() as http:
        with tenant.faults.slow("systems.list", 1):
            for _ in range(2):
                assert (await http.get("/systems/v2/")).status_code == 200


async def test_a_connection_that_nobody_uses_is_closed(bounded: Bounded) -> None:
    async with bounded(idle=0.2) as tenant:
        async with await connected(tenant) as never:
            assert await heard(never) == b""
        async with await connected(tenant) as used:
            await used.send_all(head(tenant, "GET", "/systems/v2/") * 2)
            assert (await heard(used)).count(b"HTTP/1.1 200") == 2
        async with tenant.http() as http:
            with tenant.faults.slow("systems.list", 0.6):  # who waits for an answer is not idle
                assert (await http.get("/systems/v2/")).status_code == 200


@pytest.mark.parametrize("path", ["/jobs/v2/", MEDIA, "/nowhere", "/systems/v2/x/roles"])
async def test_a_body_that_stops_coming_is_given_up(bounded: Bounded, path: str) -> None:
    async with bounded(pause=0.3) as tenant, await connected(tenant) as stream:
        kind = "multipart/form-data; boundary=x" if path == MEDIA else "application/json"
        await stream.send_all(head(tenant, "POST", path, f"Content-Type: {kind}", "Content-Length: 100") + b"--x")
        said = await heard(stream)
        assert said[9:12] == {"/nowhere": b"404"}.get(path, b"408")
        assert b"connection: close" in said.lower()
        await until(lambda: tenant.state.busy == 0)
        assert list(tenant.state.staging.iterdir()) == []


async def test_a_body_that_comes_too_slowly_is_given_up(bounded: Bounded) -> None:
    async with bounded(pause=0.3, slowest=1 << 20) as tenant, await connected(tenant) as stream:
        await stream.send_all(
            head(tenant, "POST", "/jobs/v2/", "Content-Type: application/json", "Content-Length: 99999")
        )
        async with trio.open_nursery() as nursery:

            async def dribble() -> None:
                with contextlib.suppress(trio.BrokenResourceError):
                    while True:
                        await stream.send_all(b" ")
                        await trio.sleep(0.02)

            nursery.start_soon(dribble)
            assert (await heard(stream))[9:12] in (b"408", b"")
            nursery.cancel_scope.cancel()
        await until(lambda: tenant.state.busy == 0)


async def test_who_does_not_take_the_answer_is_let_go(bounded: Bounded) -> None:
    async with bounded(pause=0.3) as tenant:
        with tenant.path("data.demo", "/alice/large").open("wb") as large:
            large.truncate(1 << 28)
        before = len(open_files())
        stream = await connected(tenant)
        await stream.send_all(head(tenant, "GET", f"{MEDIA}/large"))
        await until(lambda: tenant.state.busy == 1)
        await until(lambda: tenant.state.busy == 0)
        await stream.aclose()
        await until(lambda: len(open_files()) <= before)


async def test_who_takes_the_answer_in_pieces_gets_it_all(bounded: Bounded) -> None:
    async with bounded(pause=0.5) as tenant:
        with tenant.path("data.demo", "/alice/large").open("wb") as large:
            large.truncate(1 << 25)
        async with tenant.http() as http, http.stream("GET", f"{MEDIA}/large") as answer:
            size = 0
            async for piece in answer.aiter_bytes():
                if size < 1 << 20:
                    await trio.sleep(0.005)
                size += len(piece)
        assert size == 1 << 25


# other protocols -----------------------------------------------------------------------------------------------------


async def test_other_protocols_are_not_taken_up(tenant: Tenant, caplog: pytest.LogCaptureFixture) -> None:
    websocket = ["Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {'A' * 22}=="]
    async with await connected(tenant) as stream:
        await stream.send_all(head(tenant, "GET", "/systems/v2/", "Connection: Upgrade", *websocket))
        said = await heard(stream)
        assert (said[:12], b"run.demo" in said) == (b"HTTP/1.1 403", False)
    later = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"]
    async with await connected(tenant) as stream:  # who would like to speak HTTP/2, as `curl --http2`, can do without
        for _ in range(2):
            await stream.send_all(head(tenant, "GET", "/systems/v2/", *later))
            assert (await stream.receive_some(65536))[:12] == b"HTTP/1.1 200"
    async with await connected(tenant) as stream:
        await stream.send_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert (await heard(stream))[:12] == b"HTTP/1.1 505"
    assert "Traceback" not in caplog.text


def test_the_bounds_are_those_that_are_described() -> None:
    page = (Path(__file__).parents[2] / "docs" / "tenant.md").read_text()
    told = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", page, re.MULTILINE))
    assert {name: float(value) for name, value in told.items()} == asdict(Bounds())
