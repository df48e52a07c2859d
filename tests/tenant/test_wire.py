"""What the wire may bring: clients that vanish, bodies in odd pieces, targets in odd forms."""

from __future__ import annotations

import contextlib
import itertools
import re
from urllib.parse import quote

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from agavesh.api import control
from agavesh.tenant import server
from agavesh.tenant.app import routes
from agavesh.tenant.files import uploads
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.words import http_date
from tests.conftest import Tenant

ROUTES = routes()
ALICE = "/files/v2/media/system/data.demo//alice"
MKDIR = b'{"action": "mkdir", "path": "made"}'


class Wire:
    """One connection without a library in between."""

    def __init__(self, tenant, stream):
        self.token, self.stream = tenant.token(), stream

    async def send(self, method, target, *headers, body=b"", length=None):
        size = len(body) if length is None else length
        lines = [f"{method} {target} HTTP/1.1", "Host: x", f"Authorization: Bearer {self.token}", *headers]
        await self.stream.send_all("\r\n".join([*lines, f"Content-Length: {size}", "", ""]).encode() + body)

    async def status(self):
        with trio.fail_after(10):
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += await self.stream.receive_some()
        return int(answer.split()[1])


@pytest.fixture
async def wire(tenant):
    host, port = tenant.url.removeprefix("http://").split(":")
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        yield Wire(tenant, stream)


async def quiet(tenant):
    with trio.fail_after(10):
        while tenant.state.busy:
            await trio.sleep(0.01)


async def test_an_upload_whose_client_vanishes_leaves_nothing(tenant, wire):
    head = b'--X\r\nContent-Disposition: form-data; name="fileToUpload"; filename="a"\r\n\r\n'
    await wire.send(
        "POST", ALICE, "Content-Type: multipart/form-data; boundary=X", body=head + bytes(3_000_000), length=10**9
    )
    with trio.fail_after(10):
        while not list((tenant.root / "staging").iterdir()):
            await trio.sleep(0.01)
    await wire.stream.aclose()
    await quiet(tenant)
    assert list((tenant.root / "staging").iterdir()) == []
    assert not tenant.path("data.demo", "/alice/a").exists()


async def test_who_asks_whether_to_send_a_body_is_told_so(tenant, wire):
    headers = ("Content-Type: application/json", "Expect: 100-continue")
    await wire.send("PUT", ALICE, *headers, length=len(MKDIR))
    assert await wire.stream.receive_some(65536) == b"HTTP/1.1 100 \r\n\r\n"
    await wire.stream.send_all(MKDIR)
    assert await wire.status() == 201
    await wire.send("PUT", "/nowhere", *headers, length=len(MKDIR))
    assert await wire.status() == 100
    await wire.stream.send_all(MKDIR)
    assert await wire.status() == 404


async def test_requests_that_come_at_once_are_answered_in_their_order(tenant, wire):
    names = [f"file{number}" for number in range(40)]
    for name in names:
        tenant.path("data.demo", f"/alice/{name}").write_text(name)
    lines = [f"GET {ALICE}/{name} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {wire.token}\r\n\r\n" for name in names]
    await wire.stream.send_all("".join(lines).encode())
    answer = b""
    with trio.fail_after(20):
        while not answer.endswith(names[-1].encode()):
            answer += await wire.stream.receive_some()
    assert re.findall(rb"\r\n\r\n(file\d+)", answer) == [name.encode() for name in names]


@pytest.mark.parametrize("body", [b"zz\r\n", b"5\r\nabcdefgh\r\n"])
async def test_a_body_that_is_no_http_is_refused_and_ends_the_connection(tenant, wire, body):
    lines = ["Content-Type: application/json", "Transfer-Encoding: chunked"]
    head = "\r\n".join([f"PUT {ALICE} HTTP/1.1", "Host: x", f"Authorization: Bearer {wire.token}", *lines, "", ""])
    await wire.stream.send_all(head.encode() + body)
    answer = b""
    with trio.fail_after(10), contextlib.suppress(trio.BrokenResourceError):
        while piece := await wire.stream.receive_some():
            answer += piece
    assert answer[:12] == b"HTTP/1.1 400"


async def test_at_the_end_what_is_under_way_is_answered_and_nothing_more(tenant_root):
    said = b""

    async def ask(wire):
        nonlocal said
        await wire.send("GET", "/systems/v2/")
        await wire.send("GET", "/jobs/v2/")
        async for piece in wire.stream:
            said += piece

    async with trio.open_nursery() as nursery:
        async with server.running(tenant_root, grace=10) as state:
            host, port = state.url.removeprefix("http://").split(":")
            idle, busy = [await trio.open_tcp_stream(host, int(port)) for _ in range(2)]
            fault = state.faults.add(control.Slow(operation="systems.list", seconds=0.5))
            nursery.start_soon(ask, Wire(Tenant(state), busy))
            await fault.met()
        with trio.fail_after(5):
            assert await idle.receive_some() == b""
        await idle.aclose()
    await busy.aclose()
    assert said.count(b"HTTP/1.1 200") == 1


async def test_head_and_body_of_a_small_answer_come_in_one_piece(tenant, wire):
    tenant.path("data.demo", "/alice/small").write_bytes(b"x" * 2000)
    for _ in range(3):
        await wire.send("GET", f"{ALICE}/small")
        head, body = (await wire.stream.receive_some(65536)).split(b"\r\n\r\n")
        assert (head[:13], body) == (b"HTTP/1.1 200 ", b"x" * 2000)
    await wire.send("HEAD", f"{ALICE}/small")
    assert (await wire.stream.receive_some(65536)).endswith(b"\r\n\r\n")


async def test_a_head_does_not_wait_for_a_body_that_is_slow(tenant, wire):
    tenant.path("data.demo", "/alice/small").write_bytes(b"x" * 2000)
    with tenant.faults.stalling("files.download"):
        await wire.send("GET", f"{ALICE}/small")
        assert await wire.status() == 200
    with trio.fail_after(10):
        assert await wire.stream.receive_some(65536) == b"x" * 2000


async def test_a_download_whose_client_vanishes_ends(tenant, wire):
    with tenant.path("data.demo", "/alice/huge").open("wb") as huge:
        huge.truncate(2**43)
    await wire.send("GET", f"{ALICE}/huge")
    assert await wire.status() == 200
    await wire.stream.aclose()
    await quiet(tenant)


async def test_an_upload_that_stops_in_the_middle_of_a_part_is_refused(tenant):
    body = b'--X\r\nContent-Disposition: form-data; name="fileToUpload"; filename="a"\r\n\r\nhalf'
    async with tenant.http() as http:
        answer = await http.post(ALICE, content=body, headers={"Content-Type": "multipart/form-data; boundary=X"})
        assert answer.status_code == 400
        for kind in ("multipart/form-data", "multipart/form-data; boundary=" + "x" * 300):
            assert (await http.post(ALICE, content=body, headers={"Content-Type": kind})).status_code == 400
        nothing = await http.post(ALICE, files={"other": (None, b"x")})
        assert (nothing.status_code, "No file uploaded" in nothing.text) == (400, True)
        assert (await http.post(ALICE)).json()["message"] == "No post entity"
        tenant.path("data.demo", "/alice/folder").mkdir()
        assert (await http.post(ALICE, files={"fileToUpload": ("folder", b"x")})).status_code == 400
    assert list((tenant.root / "staging").iterdir()) == []


async def test_a_body_in_chunks_is_taken(tenant):
    async def pieces():
        yield b'--X\r\nContent-Disposition: form-data; name="fileToUpload"; filename="a"\r\n\r\n'
        for _ in range(50):
            yield b"0123456789" * 1000
        yield b"\r\n--X--\r\n"

    async with tenant.http() as http:
        headers = {"Content-Type": "multipart/form-data; boundary=X"}
        assert (await http.post(ALICE, content=pieces(), headers=headers)).status_code == 202
    assert tenant.bytes("data.demo", "/alice/a") == b"0123456789" * 50_000


async def test_a_part_of_a_file_is_changed_by_an_upload_with_a_range(tenant):
    tenant.path("data.demo", "/alice/a").write_bytes(b"0123456789")
    async with tenant.http() as http:
        for where, new, content in [("bytes=2-4", b"abc", b"01abc56789"), ("bytes=9-12", b"wxyz", b"01abc5678wxyz")]:
            answer = await http.post(ALICE, files={"fileToUpload": ("a", new)}, headers={"Range": where})
            assert answer.status_code == 202
            assert tenant.bytes("data.demo", "/alice/a") == content
        assert (
            await http.post(ALICE, files={"fileToUpload": ("a", b"")}, headers={"Range": "bytes=-2"})
        ).status_code == 416


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('filename="plain"', "plain"), ("filename=bare", "bare"), ('filename="a;b=c.txt"', "a;b=c.txt"),
        ('filename="q%22uote"', 'q"uote'), ('filename="100%.txt"', "100%.txt"), (r'filename="q\"uote"', 'q"uote'),
        ("filename*=utf-8''caf%C3%A9", "café"), ('filename="x"; filename*=UTF-8\'\'y', "y"),
        ('filename="/etc/passwd"', "passwd"), ('filename="café"', "café"), (r'filename="C:\dir\file"', "file"),
    ],
)  # fmt: skip
async def test_the_name_of_a_part_as_clients_write_it(tenant, disposition, name):
    part = f'--X\r\nContent-Disposition: form-data; name="fileToUpload"; {disposition}\r\n\r\nx\r\n--X--\r\n'
    async with tenant.http() as http:
        headers = {"Content-Type": "multipart/form-data; boundary=X"}
        answer = await http.post(ALICE, content=part.encode(), headers=headers)
    assert answer.json()["result"]["name"] == name


@pytest.mark.parametrize("name", ["", "/", "..", ".", "a/.."])
async def test_a_name_that_is_none_is_refused(tenant, name):
    async with tenant.http() as http:
        files = {"fileToUpload": ("x", b""), "fileName": (None, name)}
        assert (await http.post(ALICE, files=files)).status_code in ({202} if name == "" else {400})


async def test_targets_in_odd_forms(tenant, wire):
    await wire.send("GET", f"http://x{ALICE.replace('media', 'listings')}")
    assert await wire.status() == 200
    async with tenant.http() as http:
        for path in (
            "/files/v2/listings/system/data.demo//" + "a/" * 3000,
            "/files/v2/media/system/data.demo//" + "a" * 300,
        ):
            assert (await http.get(path)).status_code in (400, 403, 404)


async def test_an_upload_through_a_link_changes_what_it_leads_to(tenant):
    tenant.path("data.demo", "/alice/real").write_bytes(b"old")
    tenant.path("data.demo", "/alice/link").symlink_to("real")
    async with tenant.http() as http:
        assert (await http.post(ALICE, files={"fileToUpload": ("link", b"new")})).status_code == 202
    assert tenant.bytes("data.demo", "/alice/real") == b"new"
    assert tenant.path("data.demo", "/alice/link").is_symlink()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=3000)
    | st.lists(st.sampled_from([b"\r\n--X", b"\r\n", b"--X--", b"\r", b"-", b"a"])).map(b"".join),
    cuts=st.lists(st.integers(0, 3200)),
    fields=st.dictionaries(st.sampled_from(["fileName", "fileType", "x"]), st.text(max_size=30)),
)
def test_the_pieces_of_a_body_do_not_matter(tmp_path, content, cuts, fields):
    head = "".join(
        f'--XY\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n' for name, text in fields.items()
    )
    head += '--XY\r\nContent-Disposition: form-data; name="fileToUpload"; filename="f"\r\n\r\n'
    body = head.encode() + content + b"\r\n--XY--\r\n"
    edges = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    messages = [
        {"type": "http.request", "body": body[start:stop], "more_body": stop < len(body)}
        for start, stop in itertools.pairwise(edges)
    ]
    waiting = iter(messages)

    async def receive():
        return next(waiting)

    scope = {"type": "http", "headers": [(b"content-type", b"multipart/form-data; boundary=XY")]}
    received = trio.run(uploads.receive, Request(scope, receive), tmp_path)
    assert (received.fields, received.file_name, received.size) == (fields, "f", len(content))
    assert received.temporary.read_bytes() == content
    received.drop()
    assert list(tmp_path.iterdir()) == []


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_any_path_comes_through_the_routes_as_it_was(path):
    endpoint, values = ROUTES.find("GET", f"/files/v2/media/system/S/{quote(path)}")
    assert (endpoint.name, values) == ("files.download", {"systemId": "S", "filePath": path})


def test_a_field_that_is_too_large_is_refused(tmp_path):
    body = b'--X\r\nContent-Disposition: form-data; name="fileName"\r\n\r\n' + b"a" * 70_000 + b"\r\n--X--\r\n"

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"type": "http", "headers": [(b"content-type", b"multipart/form-data; boundary=X")]}
    with pytest.raises(Refusal, match="over 65536 bytes"):
        trio.run(uploads.receive, Request(scope, receive), tmp_path)


async def through(tenant, before):
    """Wait, without reading, until the tenant is through with one download more: it rests, or has begun the next."""
    with trio.fail_after(10):
        while (begun := tenant.faults.requests["files.download"] - before) < 1 or (begun == 1 and tenant.state.busy):
            await trio.sleep(0.01)


async def test_after_an_answer_that_was_cut_nothing_follows_that_would_be_taken_for_the_rest(tenant, wire):
    content = bytes(range(256)) * 4000  # of one piece, and more than a socket takes at once
    tenant.path("data.demo", "/alice/a").write_bytes(content)
    tenant.path("data.demo", "/alice/b").write_bytes(b"b" * 100)
    for _ in range(10):
        before = tenant.faults.requests["files.download"]
        host, port = tenant.url.removeprefix("http://").split(":")
        async with await trio.open_tcp_stream(host, int(port)) as stream:
            both = Wire(tenant, stream)
            await both.send("GET", f"{ALICE}/a")
            await both.send("GET", f"{ALICE}/b")
            await stream.send_eof()
            await through(tenant, before)
            answer = b""
            with trio.fail_after(10), contextlib.suppress(trio.BrokenResourceError):
                while piece := await stream.receive_some():
                    answer += piece
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert content.startswith(body[: len(content)])


def test_a_year_that_no_header_can_say_is_the_last_that_one_can():
    assert http_date(10**12) == "Fri, 31 Dec 9999 23:59:59 GMT"
