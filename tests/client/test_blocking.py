"""connect(): the services for plain scripts, called from threads, notebooks and programs, against a real tenant."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio

from agavesh.client import Agave, connect
from agavesh.client.accounts import Account, Accounts
from agavesh.client.blocking import Connection
from agavesh.client.errors import BadAnswer, BadArgument, NotFound, NotSignedIn

from ..conftest import Tenant

T = TypeVar("T")
HOME = {"systemId": "data.demo", "filePath": "/alice"}
DRAFT = {"systemId": "data.demo", "filePath": "/alice/draft.txt"}


@pytest.fixture
async def agave(tenant: Tenant) -> AsyncIterator[Connection]:
    """A connection of alice. The tenant lives in this thread's loop: call it in another, by `plainly`."""
    connection = connect(tenant.url, token=tenant.token())
    yield connection
    await trio.to_thread.run_sync(connection.close)


async def plainly(script: Callable[[], T]) -> T:
    """Run a plain script in a thread of its own."""
    with trio.fail_after(60):
        return await trio.to_thread.run_sync(script, abandon_on_cancel=True)


def put(agave: Connection, content: bytes, name: str = "draft.txt") -> None:
    """A file, and its settling."""
    agave.files.importData(**HOME, fileName=name, fileToUpload=content)
    while True:
        with suppress(NotFound):
            if agave.files.list(systemId="data.demo", filePath=f"/alice/{name}")[0].length == len(content):
                return


def test_it_takes_all_that_the_client_takes() -> None:
    assert not set(inspect.signature(Agave).parameters) - set(inspect.signature(connect).parameters)


async def test_a_call_gives_its_answer(agave: Connection) -> None:
    files = await plainly(lambda: agave.files.list(**HOME))
    assert files[0].name == "."
    assert (files[0]["name"], files[0]["_links"]["system"]["href"]) == (".", f"{agave.url}/systems/v2/data.demo")


async def test_any_thread_may_call(agave: Connection) -> None:
    found: list[str] = []

    async def one() -> None:
        found.append((await plainly(lambda: agave.profiles.get())).username)

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(one)
    assert found == ["alice"] * 20


async def test_a_loop_of_the_callers_own_does_not_matter(agave: Connection) -> None:
    async def cell() -> Any:
        return agave.profiles.get()

    def notebook() -> Any:
        return asyncio.run(cell())

    assert (await plainly(notebook)).username == "alice"


async def test_uploads_come_from_bytes_paths_and_files(agave: Connection, tmp_path: Path, tenant: Tenant) -> None:
    place = tmp_path / "local.txt"
    place.write_bytes(b"from a path")

    def script() -> None:
        put(agave, b"from bytes", "bytes.txt")
        agave.files.importData(**HOME, fileToUpload=str(place))
        with place.open("rb") as file:
            agave.files.importData(**HOME, fileName="file.txt", fileToUpload=file)

    await plainly(script)
    with trio.fail_after(30):
        for name in ("local.txt", "file.txt"):
            while not tenant.path("data.demo", f"/alice/{name}").exists():
                await trio.sleep(0.01)
            assert tenant.bytes("data.demo", f"/alice/{name}") == b"from a path"
    assert tenant.bytes("data.demo", "/alice/bytes.txt") == b"from bytes"


async def test_a_download_is_a_file_chunks_and_a_response(agave: Connection, tmp_path: Path) -> None:
    content = os.urandom(1_000_000)

    def script() -> None:
        put(agave, content)
        with agave.files.download(**DRAFT) as body:
            assert (body.status, body.status_code, body.size) == (200, 200, len(content))
            assert (body.read(10), body.read(0), body.read()) == (content[:10], b"", content[10:])
            assert (body.read(), body.read(5)) == (b"", b"")
        assert b"".join(agave.files.download(**DRAFT)) == content
        assert b"".join(agave.files.download(**DRAFT).iter_content(1000)) == content
        body = agave.files.download(**DRAFT)
        assert body.content is body.content
        assert b"".join(body.iter_content(None)) == b"".join(body.iter_content(7001)) == content
        agave.files.download(**DRAFT).save(tmp_path / "saved")
        assert (tmp_path / "saved").read_bytes() == content
        part = agave.files.download(**DRAFT, headers={"Range": "bytes=5-9"})
        assert (part.status, part.read()) == (206, content[5:10])

    await plainly(script)
    assert [path.name for path in tmp_path.iterdir() if "saved" in path.name] == ["saved"]


async def test_a_download_can_be_uploaded(agave: Connection, tenant: Tenant) -> None:
    def script() -> None:
        put(agave, b"there and back")
        agave.files.importData(**HOME, fileName="copy.txt", fileToUpload=agave.files.download(**DRAFT))

    await plainly(script)
    with trio.fail_after(30):
        while not tenant.path("data.demo", "/alice/copy.txt").exists():
            await trio.sleep(0.01)
    assert tenant.bytes("data.demo", "/alice/copy.txt") == b"there and back"


async def test_a_download_that_is_cut_is_asked_for_anew_where_all_of_it_is_wanted(
    agave: Connection, tenant: Tenant, tmp_path: Path
) -> None:
    await plainly(lambda: put(agave, b"x" * 300_000))
    with tenant.faults.cutting("files.download", after=1000, times=1):
        assert await plainly(lambda: agave.files.download(**DRAFT).content) == b"x" * 300_000
    with tenant.faults.cutting("files.download", after=1000, times=1), pytest.raises(BadAnswer, match="cut after"):
        await plainly(lambda: agave.files.download(**DRAFT).save(tmp_path / "saved"))
    assert not [path for path in tmp_path.iterdir() if "saved" in path.name]


async def test_downloads_that_are_let_go_give_their_connections_back(agave: Connection) -> None:
    def script() -> None:
        put(agave, b"x" * 2_000_000)
        for _ in range(200):  # many more than may be open at once
            agave.files.download(**DRAFT)
        closed = agave.files.download(**DRAFT)
        closed.close()
        with pytest.raises(ValueError, match="closed"):
            closed.read()

    await plainly(script)


async def test_pages_go_through_a_list(agave: Connection) -> None:
    def script() -> list[str]:
        return [file.name for page in agave.pages(agave.files.list, **HOME, limit=1) for file in page]

    names = await plainly(script)
    assert names == [file.name for file in await plainly(lambda: agave.files.list(**HOME))]
    with pytest.raises(BadArgument, match="only lists have pages"):
        await plainly(lambda: next(agave.pages(agave.files.download, **DRAFT)))  # type: ignore[arg-type]  # on purpose


async def test_a_job_is_followed_to_its_end(agave: Connection) -> None:
    def script() -> list[str]:
        job = agave.jobs.submit(body={"name": "count", "appId": "crash-1.0", "archive": False})
        return [event.status for event in agave.follow(job["id"], soonest=0.05, latest=0.2)]

    assert (await plainly(script))[-1] == "FAILED"


async def test_any_path_can_be_called(agave: Connection) -> None:
    answer = await plainly(lambda: agave.raw("GET", "/profiles/v2/me", params={"naked": True}))
    assert (answer.status, b"alice" in answer.body) == (200, True)


async def test_an_error_shows_the_callers_lines_and_no_machinery(agave: Connection) -> None:
    def script() -> None:
        agave.systems.get(systemId="nowhere")

    with pytest.raises(NotFound) as caught:
        await plainly(script)
    frames = traceback.extract_tb(caught.value.__traceback__)
    mine = next(place for place, frame in enumerate(frames) if frame.name == "script")
    assert [Path(frame.filename).name for frame in frames[mine + 1 :]] == [
        "operation.py",
        "blocking.py",
        "background.py",
    ]
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


async def test_a_closed_connection_says_so_and_tells_those_who_wait(agave: Connection, tenant: Tenant) -> None:
    await plainly(agave.profiles.get)
    waiting: list[str] = []

    async def wait() -> None:
        with pytest.raises(BadArgument, match="closed"):
            await plainly(agave.profiles.get)
        waiting.append("told")

    with tenant.faults.slow("profiles.get"):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            while tenant.faults.requests["profiles.get"] < 2:
                await trio.sleep(0.01)
            await plainly(agave.close)
    assert waiting == ["told"]
    with pytest.raises(BadArgument, match="closed"):
        await plainly(agave.profiles.get)
    await plainly(agave.close)


async def test_a_connection_ends_its_thread_when_it_is_closed_or_forgotten(tenant: Tenant) -> None:
    def behind() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "agave"]

    def closed() -> None:
        with connect(tenant.url, token=tenant.token()) as agave:
            agave.profiles.get()

    def forgotten() -> None:
        connect(tenant.url, token=tenant.token()).profiles.get()

    await plainly(closed)
    assert not behind()
    await plainly(forgotten)
    gc.collect()
    for thread in behind():
        await plainly(functools.partial(thread.join, 30))
    assert not behind()


# whole programs: their main thread, their end, their children

BEGIN = "import os, sys\nfrom agavesh.client import connect\nagave = connect(sys.argv[1], token=sys.argv[2])\n"


async def ran(tenant: Tenant, text: str) -> str:
    """What a program says; it must end well, without a word of complaint."""
    command = [sys.executable, "-W", "error", "-c", BEGIN + text, tenant.url, tenant.token()]
    with trio.fail_after(60):
        done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
    assert (done.returncode, done.stderr.decode()) == (0, "")
    return done.stdout.decode()


async def test_a_program_ends_with_a_connection_open(tenant: Tenant) -> None:
    assert await ran(tenant, "print(agave.profiles.get().username)") == "alice\n"


async def test_a_program_ends_while_another_thread_waits(tenant: Tenant) -> None:
    text = """
import threading
def wait():
    try:
        agave.profiles.get()
    except Exception:
        pass
threading.Thread(target=wait, daemon=True).start()
agave.files.list(systemId="data.demo", filePath="/alice")
"""

    async def until_both_are_here() -> None:
        while not tenant.faults.requests["profiles.get"]:
            await trio.sleep(0.01)
        tenant.faults.remove(listing)

    with tenant.faults.slow("profiles.get"), tenant.faults.slow("files.list") as listing:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(until_both_are_here)
            await ran(tenant, text)


async def test_ctrl_c_cancels_the_call_and_is_heard_at_once(tenant: Tenant) -> None:
    text = """
try:
    agave.profiles.get()
except KeyboardInterrupt:
    print("heard;", len(agave.systems.list()) > 0)
"""
    command = [sys.executable, "-c", BEGIN + text, tenant.url, tenant.token()]
    with tenant.faults.slow("profiles.get"), trio.fail_after(60):
        process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        while not tenant.faults.requests["profiles.get"]:
            await trio.sleep(0.01)
        process.send_signal(signal.SIGINT)
        async with process.stdout:
            said = b"".join([chunk async for chunk in process.stdout])
        assert (await process.wait(), said) == (0, b"heard; True\n")


async def test_a_forked_child_has_a_connection_of_its_own(tenant: Tenant) -> None:
    text = """
import multiprocessing
def name(number):
    return agave.profiles.get().username + str(number)
if __name__ == "__main__":
    print(name(0), flush=True)
    with multiprocessing.get_context("fork").Pool(3) as pool:
        print(*pool.map(name, range(1, 7)), flush=True)
    child = os.fork()
    if not child:
        print(name(7), flush=True)
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
    print(name(8))
"""
    assert await ran(tenant, text) == "alice0\nalice1 alice2 alice3 alice4 alice5 alice6\nalice7\nalice8\n"


# who one is


async def test_the_words_of_agavepys_constructor_are_understood(tenant: Tenant) -> None:
    key, secret = tenant.client

    def script() -> str | None:
        with connect(
            api_server=tenant.url, username="bob", password=tenant.users["bob"], api_key=key, api_secret=secret,
            client_name="script", tenant_id="embedded", verify=True, resources=None,
        ) as agave:  # fmt: skip
            return agave.profiles.get()["username"]  # type: ignore[no-any-return]  # as AgavePy gives it

    assert await plainly(script) == "bob"


def test_a_saved_account_is_chosen_by_its_tenant_or_its_client(accounts: Accounts) -> None:
    accounts.save(Account("https://a.example.org", "ann", access_token="1", tenant_id="a", client_name="one"))
    accounts.save(Account("https://b.example.org", "bea", access_token="2", tenant_id="b", client_name="two"))
    assert connect(tenant_id="a").url == "https://a.example.org"
    assert connect(client_name="two").username == "bea"
    with pytest.raises(NotSignedIn, match="no saved account of three"):
        connect(client_name="three")


def test_without_a_word_it_is_the_account_that_is_configured(accounts: Accounts) -> None:
    accounts.save(Account("https://a.example.org", "ann", access_token="1"))
    with connect() as agave:
        assert (agave.url, agave.username) == ("https://a.example.org", "ann")
