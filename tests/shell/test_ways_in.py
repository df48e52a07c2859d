"""The ways in without a prompt, and what each ends with: `agavesh` as a program."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from agavesh.client.accounts import Account, Accounts
from agavesh.shell import exits
from agavesh.shell.main import main
from tests.shell.conftest import agavesh

ALICE = "/systems/data.demo/alice"


async def test_one_command_takes_its_words_as_they_are(account: Account, home: Path) -> None:
    (home / "a; b '\"#").write_text("odd")
    assert (await agavesh("cat", f"{ALICE}/a; b '\"#")).out == "odd"
    assert (await agavesh("-o", "csv", "ls", f"{ALICE}/docs/*.txt")).lines[1].startswith(f"{ALICE}/docs/a.txt,file,2,")


async def test_a_line_may_hold_several_commands_and_stops_at_the_first_that_fails(account: Account, home: Path) -> None:
    said = await agavesh("-c", f"cd {ALICE}; pwd; cat nothing; pwd")
    assert (said.status, said.lines) == (exits.MISSING, [ALICE])
    assert said.err.startswith("agavesh: ")


async def test_a_line_with_a_mistake_does_nothing(account: Account) -> None:
    said = await agavesh("-c", "pwd; lss")
    assert (said.status, said.out) == (exits.USAGE, "")
    assert 'did you mean "ls"?' in said.err


async def test_a_script_stops_at_its_first_error_and_names_the_line(
    account: Account, home: Path, own_folders: Path
) -> None:
    script = own_folders / "script"
    script.write_text(
        f"#!{sys.executable} -m agavesh\n# a comment\ncd {ALICE}\n\npwd\ncat 'docs/a.t'\\\nxt\ncat nothing\npwd\n"
    )
    said = await agavesh("./script")
    assert (said.status, said.lines) == (exits.MISSING, [ALICE, "a"])
    assert "./script:8: " in said.err


async def test_a_script_is_run_by_its_first_line(account: Account, own_folders: Path) -> None:
    program = own_folders / "agavesh"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m agavesh "$@"\n')
    script = own_folders / "script"
    script.write_text(f"#!{program}\npwd\n")
    for file in (program, script):
        file.chmod(0o700)
    with trio.fail_after(30):
        done = await trio.run_process([str(script)], capture_stdout=True)
    assert done.stdout == b"/\n"


async def test_standard_input_is_a_script_where_there_is_no_terminal(account: Account, home: Path) -> None:
    said = await agavesh(stdin=f"cd {ALICE}\nls; pwd\nexit 7\npwd\n".encode())
    assert (said.status, said.lines) == (7, ["README.txt", "docs", ALICE])
    assert (await agavesh(stdin=b"")).status == 0


async def test_a_missing_script_is_said_to_be_missing() -> None:
    assert (await agavesh("./none")).status == exits.MISSING


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["--no-such"], exits.USAGE),
        (["-c"], exits.USAGE),
        (["-c", "pwd", "more"], exits.USAGE),
        (["-o", "yaml", "pwd"], exits.USAGE),
        (["lss"], exits.USAGE),
        (["ls", "--help"], exits.OK),
        (["--version"], exits.OK),
        (["--help"], exits.OK),
        (["exit", "5"], 5),
        (["-c", "exit 5; pwd"], 5),
    ],
)
def test_the_status_of_a_command_line(words: list[str], status: int, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(words) == status
    said = capfd.readouterr()
    assert bool(said.err) is (status == exits.USAGE)


async def test_statuses_tell_failures_apart(tenant: Any, account: Account, home: Path) -> None:
    assert (await agavesh("ls", "/systems/none")).status == exits.MISSING
    assert (await agavesh("jobs", "submit", "crash-1.0", "--wait")).status == exits.JOB_FAILED
    assert (await agavesh("mkdir", "/jobs/x")).status == exits.NOT_ALLOWED
    with tenant.faults.malforming("files.list"):
        assert (await agavesh("ls", ALICE)).status == exits.PROTOCOL
    nobody = {"AGAVE_BASE_URL": "http://127.0.0.1:1", "AGAVE_TOKEN": "x"}
    assert (await agavesh("systems", **nobody)).status == exits.UNAVAILABLE
    stranger = {"AGAVE_BASE_URL": tenant.url, "AGAVE_TOKEN": "wrong"}
    assert (await agavesh("systems", **stranger)).status == exits.NOT_ALLOWED
    said = await agavesh("--url", "https://elsewhere.example.org", "systems")
    assert (said.status, "login https://elsewhere.example.org" in said.err) == (exits.NOT_ALLOWED, True)


async def test_ctrl_c_ends_a_command_with_130(account: Account) -> None:
    with trio.fail_after(40):
        async with trio.open_nursery() as nursery:
            start = [sys.executable, "-m", "agavesh", "jobs", "submit", "ticker-1.0", "lines=60", "delay=1", "--follow"]
            process: trio.Process = await nursery.start(
                lambda task_status: trio.run_process(
                    start, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, task_status=task_status
                )
            )
            assert process.stdout is not None
            assert await process.stdout.receive_some()
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            said = b"".join([part async for part in process.stderr])
            status = await process.wait()
            nursery.cancel_scope.cancel()
    assert status == exits.INTERRUPTED
    assert b"Traceback" not in said
    assert b"the job goes on" in said


async def test_a_reader_that_goes_away_is_no_error(account: Account, home: Path) -> None:
    (home / "large").write_bytes(b"line\n" * 1_000_000)
    command = f'"{sys.executable}" -m agavesh cat {ALICE}/large; echo $? >&2'
    with trio.fail_after(30):
        done = await trio.run_process(
            ["bash", "-c", f"({command}) | head -n 1"], capture_stdout=True, capture_stderr=True
        )
    assert (done.stdout, done.stderr) == (b"line\n", f"{exits.OUTPUT_CLOSED}\n".encode())


@pytest.mark.parametrize(
    ("place", "path", "status", "said"),
    [
        (">&-", "/systems", exits.IO, "agavesh: standard output: Bad file descriptor\n"),
        (">/dev/full", "/systems", exits.IO, "agavesh: standard output: No space left on device\n"),
        ("<&-", "/systems", 0, ""),
        ("2>&-", "/nothing", exits.MISSING, ""),
    ],
)
async def test_a_stream_that_is_closed_or_full_is_told_by_the_status(
    account: Account, place: str, path: str, status: int, said: str
) -> None:
    command = f'"{sys.executable}" -m agavesh ls {path} {place}'
    with trio.fail_after(30):
        done = await trio.run_process(["bash", "-c", command], capture_stdout=True, capture_stderr=True, check=False)
    assert (done.returncode, done.stderr.decode()) == (status, said)


async def test_debug_shows_where_an_error_comes_from_and_nothing_else_does(account: Account) -> None:
    plain = await agavesh("cat", "/systems/none/x")
    detailed = await agavesh("--debug", "cat", "/systems/none/x")
    assert "Traceback" not in plain.err
    assert "Traceback" in detailed.err
    assert account.access_token is not None
    assert account.access_token not in detailed.err


@pytest.mark.parametrize(("word", "loaded"), [("help", set()), ("ls", {"httpx", "trio", "msgspec"})])
def test_one_command_loads_what_it_needs_and_never_the_prompt_or_the_tenant(word: str, loaded: set[str]) -> None:
    code = (
        "import sys; from agavesh.shell.main import main; main(sys.argv[1:]);"
        "print(*({m.split('.')[0] for m in sys.modules} | {m for m in sys.modules if m == 'agavesh.tenant'}),"
        "file=sys.stderr)"
    )
    environment = {**os.environ, "AGAVE_BASE_URL": "http://127.0.0.1:1", "AGAVE_TOKEN": "x"}
    done = subprocess.run(
        [sys.executable, "-c", code, word], capture_output=True, text=True, env=environment, timeout=60, check=True
    )
    heavy = {"httpx", "trio", "msgspec", "prompt_toolkit", "starlette", "agavesh.tenant", "inspect"}
    found = heavy & set(done.stderr.split())
    assert found - {"inspect"} == loaded
    assert ("inspect" in found) <= bool(loaded)


# who one is


async def test_login_keeps_the_account_and_never_the_password(tenant: Any, tmp_path: Path) -> None:
    password = tenant.users["alice"]
    said = await agavesh("login", tenant.url, "--user", "alice", "--password-stdin", stdin=f"{password}\n".encode())
    assert said.status == 0, said.err
    assert (await agavesh("whoami")).out == f"alice at {tenant.url}\n"
    kept = [path for path in (tmp_path / "agave").iterdir() if path.is_file()]
    assert kept
    for path in kept:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert password not in path.read_text()
    await agavesh("logout")
    assert Accounts().all() == [] or all(not account.access_token for account in Accounts().all())


async def test_login_by_environment_and_a_wrong_password(tenant: Any) -> None:
    said = await agavesh("login", AGAVE_BASE_URL=tenant.url, AGAVE_USERNAME="bob", AGAVE_PASSWORD=tenant.users["bob"])
    assert said.status == 0, said.err
    said = await agavesh("login", tenant.url, "--user", "bob", "--password-stdin", stdin=b"wrong\n")
    assert (said.status, "wrong" in said.err) == (exits.NOT_ALLOWED, False)


async def test_nobody_is_asked_where_there_is_no_terminal(tenant: Any) -> None:
    said = await agavesh("login", tenant.url)
    assert (said.status, said.lines) == (exits.USAGE, [])
    assert said.err.splitlines() == ["agavesh: nobody to ask for: user", "  --user, or AGAVE_USERNAME"]
    said = await agavesh("login", tenant.url, "--user", "bob")
    assert ("nobody to ask for: password of bob" in said.err, "--password-stdin" in said.err) == (True, True)
