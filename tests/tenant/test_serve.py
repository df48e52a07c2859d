"""The tenant as a program: its state file, its ends, its second start, one to a folder."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import ssl
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import trio

from agavesh.api.control import HoldStaging
from agavesh.client.control import control_of
from tests.tenant.shop import PATIENCE

FILES = "/files/v2/media/system/data.demo//alice"


class Program:
    """`serve` in a process of its own."""

    def __init__(self, process: trio.Process, root: Path) -> None:
        self.process, self.root = process, root
        self.state = json.loads((root / "tenant.json").read_text())

    def http(self, token: str) -> httpx.AsyncClient:
        trust = ssl.create_default_context(cafile=self.state["ca_cert"]) if self.state["ca_cert"] else True
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.AsyncClient(base_url=self.state["url"], headers=headers, verify=trust, trust_env=False)

    async def token(self) -> str:
        user = self.state["users"][0]
        client = (self.state["client"]["key"], self.state["client"]["secret"])
        async with self.http("") as http:
            answer = await http.post("/token", data={"grant_type": "password", **user}, auth=client)
        return answer.json()["access_token"]

    async def end(self, how: int = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        with trio.fail_after(40):  # less than what a client that does not read is granted
            return await self.process.wait()


@pytest.fixture
async def serve(tenant_root: Path, nursery: trio.Nursery):
    started = []

    async def start(*words: str) -> Program:
        (tenant_root / "tenant.json").unlink(missing_ok=True)
        command = [sys.executable, "-m", "agavesh", "tenant", "serve", "--root", str(tenant_root), *words]
        process = await trio.lowlevel.open_process(command, stderr=subprocess.PIPE)
        started.append(process)
        with trio.fail_after(PATIENCE):
            while not (tenant_root / "tenant.json").exists():
                assert process.poll() is None, (await process.stderr.receive_some()).decode()
                await trio.sleep(0.02)
        return Program(process, tenant_root)

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        await process.wait()
        await process.stderr.aclose()


async def test_the_state_file_is_private_and_gone_after_a_clean_end(serve):
    program = await serve()
    assert stat.S_IMODE((program.root / "tenant.json").stat().st_mode) == 0o600
    assert set(program.state) == {"url", "pid", "tenant", "users", "client", "ca_cert", "key", "run"}
    assert (program.state["pid"], program.state["ca_cert"]) == (program.process.pid, None)
    assert [user["username"] for user in program.state["users"]] == ["alice", "bob", "admin"]
    assert await program.end() == 0
    assert not (program.root / "tenant.json").exists()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
async def test_a_restart_finds_everything_again(serve, how):
    first = await serve()
    token = await first.token()
    async with first.http(token) as http:
        await http.post(FILES, files={"fileToUpload": ("a.txt", b"kept")})
    await first.end(how)
    again = await serve()
    assert again.state["users"] == first.state["users"]
    assert again.state["url"] == first.state["url"]
    async with again.http(token) as http:
        assert (await http.get(f"{FILES}/a.txt")).content == b"kept"


async def test_an_upload_that_was_taken_survives_kill_9(serve):
    first = await serve("--control")
    token = await first.token()
    content = os.urandom(5 * 2**20)
    async with first.http(token) as http:
        await (await control_of(first.root)).add(HoldStaging())
        for name, part in [("small", b"small"), ("large", content)]:
            answer = await http.post(FILES, files={"fileToUpload": (name, part)})
            assert answer.json()["result"]["status"] == "STAGING_QUEUED"
        assert (await http.get(f"{FILES}/small")).status_code == 404
    (first.root / "staging" / "left over").touch()
    await first.end(signal.SIGKILL)
    again = await serve()
    async with again.http(token) as http:
        with trio.fail_after(PATIENCE):
            while (await http.get(f"{FILES}/large")).content != content:
                await trio.sleep(0.02)
        assert (await http.get(f"{FILES}/small")).content == b"small"
        history = (await http.get(FILES.replace("media", "history") + "/large")).json()["result"]
    assert [event["status"] for event in history if event["status"] != "DOWNLOAD"][-1] == "STAGING_COMPLETED"
    assert list((again.root / "staging").iterdir()) == []


async def refused(root: Path, *words: str) -> tuple[int, str]:
    """What a `serve` that cannot serve ends with, and says."""
    command = [sys.executable, "-m", "agavesh", "tenant", "serve", "--root", str(root), *words]
    with trio.fail_after(PATIENCE):
        ended = await trio.run_process(command, check=False, capture_stderr=True)
    assert b"a fault of agavesh" not in ended.stderr
    return ended.returncode, ended.stderr.decode()


async def test_only_one_serves_a_folder(serve):
    program = await serve()
    status, said = await refused(program.root)
    assert (status, "another process serves" in said, "tenant status --root" in said) == (75, True, True)
    assert (program.root / "tenant.json").exists()


async def test_records_of_another_version_are_not_misread(serve):
    program = await serve()
    await program.end()
    with contextlib.closing(sqlite3.connect(program.root / "tenant.db")) as db:
        db.execute("pragma user_version = 99")
    status, said = await refused(program.root)
    assert (status, "is of version 99" in said, "another folder" in said) == (78, True, True)


@pytest.mark.parametrize("name", ["tenant.db", "secrets.json"])
async def test_a_damaged_folder_is_said_to_be_damaged(tmp_path, name):
    (tmp_path / name).write_text("junk")
    status, said = await refused(tmp_path)
    assert (status, f"{name} cannot be read" in said) == (78, True)


async def test_a_port_in_use_is_no_fault(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        status, said = await refused(tmp_path, "--port", str(taken.getsockname()[1]))
    assert (status, "Address already in use" in said) == (69, True)


async def test_the_port_of_the_last_time_is_only_a_wish(serve, tenant_root):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        tenant_root.mkdir(exist_ok=True)
        (tenant_root / "port").write_text(str(taken.getsockname()[1]))
        program = await serve()
        assert not program.state["url"].endswith(f":{taken.getsockname()[1]}")


async def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").touch()
    status, said = await refused(tmp_path / "file" / "tenant")
    assert (status, "Not a directory" in said, "--root" in said) == (74, True, True)


@pytest.mark.parametrize("words", [("--port", "70000"), ("--idle", "-1"), ("--token-lifetime", "-1")])
async def test_numbers_without_a_meaning_are_refused(tmp_path, words):
    assert (await refused(tmp_path, *words))[0] == 64


async def test_a_certificate_that_is_damaged_is_made_anew(serve):
    program = await serve("--tls")
    await program.end()
    (program.root / "tls" / "server.pem").write_text("junk")
    again = await serve("--tls")
    async with again.http(await again.token()) as http:
        assert (await http.get("/profiles/v2/me")).status_code == 200


async def test_tls_shows_a_certificate_that_its_own_authority_made(serve):
    program = await serve("--tls")
    assert program.state["url"].startswith("https://127.0.0.1:")
    assert stat.S_IMODE((program.root / "tls" / "key.pem").stat().st_mode) == 0o600
    async with program.http(await program.token()) as http:
        assert (await http.get("/profiles/v2/me")).json()["result"]["username"] == "alice"
        named = program.state["url"].replace("127.0.0.1", "localhost")
        assert (await http.get(f"{named}/tenants")).status_code == 200
    async with httpx.AsyncClient(trust_env=False) as http:
        with pytest.raises(httpx.ConnectError):  # nobody else has signed it
            await http.get(program.state["url"])


async def test_it_ends_itself_when_idle(serve):
    program = await serve("--idle", "1")
    with trio.fail_after(PATIENCE):
        assert await program.process.wait() == 0


async def test_it_says_where_it_serves_and_no_secret(serve):
    program = await serve()
    with trio.fail_after(PATIENCE):
        said = (await program.process.stderr.receive_some()).decode()
    assert said.startswith(f"agavesh: serving {program.root} at {program.state['url']}; ")
    assert program.state["users"][0]["password"] not in said


async def test_an_address_for_others_comes_with_a_warning(serve):
    program = await serve("--host", "0.0.0.0")
    warning = (await program.process.stderr.receive_some()).decode()
    assert "warning: serving on 0.0.0.0" in warning


async def test_a_stuck_reader_does_not_hold_the_end(serve):
    """A client that stops reading in the middle of a download must not keep the program from ending."""
    program = await serve()
    token = await program.token()
    with (program.root / "systems/data.demo/alice/big").open("wb") as big:
        big.truncate(200_000_000)
    host, port = program.state["url"].removeprefix("http://").split(":")
    stream = await trio.open_tcp_stream(host, int(port))
    async with stream:
        await stream.send_all(f"GET {FILES}/big HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        assert await stream.receive_some(100)
        assert await program.end() == 0
