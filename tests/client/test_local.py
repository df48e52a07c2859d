"""The embedded tenant of a user: found, started, and asked for proof."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from agavesh.client import Agave, errors
from agavesh.client.accounts import Accounts
from agavesh.client.local import answering, current_account, local_account, local_root, read_card
from tests.client.wire import answer, peer


@pytest.fixture
def root(planted: Path, tmp_path: Path) -> Iterator[Path]:
    """A place for a tenant of this test's own; what was started there is ended."""
    root = tmp_path / "state" / "tenant"
    shutil.copytree(planted, root, symlinks=True)
    yield root
    card = root / "tenant.json"
    pid = json.loads(card.read_text()).get("pid", os.getpid()) if card.exists() else os.getpid()
    if pid != os.getpid():
        end(pid)


def end(pid: int) -> None:
    """Stop a child of ours, and wait until it is gone."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        assert select.select([handle], [], [], 30)[0], "the tenant did not end"
    finally:
        os.close(handle)


async def test_a_tenant_is_started_once_for_all_who_want_it_and_found_again(root: Path) -> None:
    found: list[Any] = []
    notices: list[str] = []

    async def want() -> None:
        found.append(await local_account(root, notice=notices.append))

    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(want)
    assert len({(account.url, account.username, account.access_token) for account in found}) == 1
    assert found[0].username == "alice"
    assert "using the tenant on this machine" in notices[0]
    async with Agave(account=found[0]) as agave:
        assert await agave.files.list(systemId="data.demo", filePath="/alice")
    pid = read_card(root).pid
    again = await local_account(root)
    assert read_card(root).pid == pid
    assert again.access_token == found[0].access_token
    assert Accounts().all() == []  # it is nobody's saved login


async def test_where_none_runs_none_is_found(root: Path) -> None:
    assert await answering(root.parent / "nowhere") is None


async def test_a_card_left_by_a_killed_tenant_is_no_tenant_whoever_has_its_number_and_its_port(root: Path) -> None:
    async with peer(lambda seen: answer(200, b"{}")) as stranger:
        write(root, card(stranger.url))
        assert await answering(root) is None
        account = await local_account(root)
        assert account.url != stranger.url
    assert stranger.seen == []


@pytest.mark.parametrize("said", [b'{"proof":"00"}', b'{"proof":7}', b"{}", b"[]", b"<html>", b'{"proof":"\xc3\xa4"}'])
async def test_a_stranger_on_its_port_gets_no_secret(root: Path, said: bytes) -> None:
    async with peer(lambda seen: answer(200, said)) as stranger:
        write(root, card(stranger.url))
        with served(root), pytest.raises(errors.Untrusted, match="is not the tenant"):
            await local_account(root)
    assert len(stranger.seen) == 1
    assert stranger.seen[0].target.startswith("/prove?nonce=")
    assert "authorization" not in stranger.seen[0].headers


async def test_a_tenant_that_does_not_answer_in_time_is_said_and_not_started_twice(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agavesh.client.local.PROVE", 0.5)
    first = await local_account(root)
    pid = read_card(root).pid
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(errors.TimedOut, match=f"process {pid}, does not answer"):
            await local_account(root)
    finally:
        os.kill(pid, signal.SIGCONT)
    monkeypatch.undo()
    assert (await local_account(root)).url == first.url
    assert read_card(root).pid == pid


async def test_one_that_is_just_ending_is_waited_for(root: Path) -> None:
    await local_account(root)
    before = read_card(root).pid
    os.kill(before, signal.SIGTERM)
    with trio.fail_after(30):
        while (root / "tenant.json").exists():  # until it has heard, it serves as ever
            await trio.sleep(0.01)
    await local_account(root)
    assert read_card(root).pid != before


async def test_many_programs_at_once_start_one_tenant_in_place_of_a_killed_one(root: Path) -> None:
    await local_account(root)
    killed = read_card(root).pid
    os.kill(killed, signal.SIGKILL)
    program = f"import trio; from pathlib import Path; from agavesh.client.local import local_account; \
print(trio.run(local_account, Path({str(root)!r})).url)"
    said: list[bytes] = []

    async def one() -> None:
        said.append((await trio.run_process([sys.executable, "-c", program], capture_stdout=True)).stdout)

    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(one)
    assert set(said) == {f"{read_card(root).url}\n".encode()}
    assert read_card(root).pid != killed


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"AGAVE_BASE_URL": "https://api.example.org"}, "no login for https://api.example.org"),
        ({"AGAVE_TOKEN": "abc"}, "AGAVE_TOKEN is set, but nothing says for which platform"),
        (
            {"AGAVE_USERNAME": "ann", "AGAVE_PASSWORD": "x"},
            "AGAVE_PASSWORD is set, but nothing says for which platform",
        ),
    ],
)
async def test_what_is_meant_for_another_platform_does_not_reach_the_one_on_this_machine(
    environment: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(errors.NotSignedIn, match=said):
        await current_account()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o644, 0o660])
async def test_a_card_that_others_may_read_is_not_trusted(root: Path, mode: int) -> None:
    write(root, {}, mode)
    with pytest.raises(errors.Untrusted, match="open to other users"):
        await local_account(root)


@pytest.mark.parametrize("held", [b"{", b"[]", b'{"url": "\xff"}'])
async def test_a_damaged_card_is_said(tmp_path: Path, held: bytes) -> None:
    (tmp_path / "tenant.json").write_bytes(held)
    (tmp_path / "tenant.json").chmod(0o600)
    with pytest.raises(errors.Untrusted, match="is damaged"):
        await local_account(tmp_path)


async def test_the_tenant_lives_in_the_state_folder_under_this_hosts_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere/state")
    assert local_root().parts[:4] == ("/", "somewhere", "state", "agavesh")
    assert local_root().name == "tenant"


def card(url: str) -> dict[str, Any]:
    """What a tenant at `url` would say, if it were this process."""
    return {
        "url": url,
        "pid": os.getpid(),
        "users": [{"username": "alice", "password": "wonderland"}],
        "client": {"key": "KEY", "secret": "SECRET"},
        "key": "ab" * 32,
    }


@contextmanager
def served(root: Path) -> Iterator[None]:
    """This process holds the folder as its tenant does."""
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def write(root: Path, card: dict[str, Any], mode: int = 0o600) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / "tenant.json").write_text(json.dumps(card))
    (root / "tenant.json").chmod(mode)
