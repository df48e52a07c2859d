"""The embedded tenant of a user: found, started, and asked for proof."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from agavesh.client import Agave, errors
from agavesh.client.accounts import Accounts
from agavesh.client.local import answering, local_account, local_root, read_card
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


async def test_a_card_left_by_a_dead_tenant_is_no_tenant(root: Path) -> None:
    card = {
        "url": "http://127.0.0.1:1",
        "pid": 2**22 + 1,
        "users": [],
        "client": {"key": "", "secret": ""},
        "key": "00",
    }
    write(root, card)
    assert await answering(root) is None


@pytest.mark.parametrize("said", [b'{"proof":"00"}', b'{"proof":7}', b"{}", b"[]", b"<html>", b'{"proof":"\xc3\xa4"}'])
async def test_a_stranger_on_its_port_gets_no_secret(root: Path, said: bytes) -> None:
    async with peer(lambda seen: answer(200, said)) as stranger:
        card = {
            "url": stranger.url,
            "pid": os.getpid(),
            "users": [{"username": "alice", "password": "wonderland"}],
            "client": {"key": "KEY", "secret": "SECRET"},
            "key": "ab" * 32,
        }
        write(root, card)
        with pytest.raises(errors.Untrusted, match="is not the tenant"):
            await local_account(root)
    assert len(stranger.seen) == 1
    assert stranger.seen[0].target.startswith("/prove?nonce=")
    assert "authorization" not in stranger.seen[0].headers


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


def write(root: Path, card: dict[str, Any], mode: int = 0o600) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / "tenant.json").write_text(json.dumps(card))
    (root / "tenant.json").chmod(mode)
