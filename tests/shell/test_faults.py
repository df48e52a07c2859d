"""tenant fault: trouble is asked of a tenant of one's own, listed and cleared, as a user does it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import trio

from agavesh.client.local import read_card
from tests.shell.conftest import agavesh


@pytest.fixture
async def rehearsal(tenant_root: Path) -> AsyncIterator[Path]:
    """The folder of a tenant that was started with --control."""
    (tenant_root / "port").unlink(missing_ok=True)
    words = ["tenant", "serve", "--root", str(tenant_root), "--control"]
    process = await trio.lowlevel.open_process([sys.executable, "-m", "agavesh", *words], stderr=subprocess.DEVNULL)
    try:
        with trio.fail_after(30):
            while not (tenant_root / "tenant.json").exists():
                assert process.poll() is None
                await trio.sleep(0.02)
        yield tenant_root
    finally:
        process.kill()
        await process.wait()


async def test_a_user_asks_for_trouble_lists_it_and_ends_it(rehearsal: Path) -> None:
    root = ("--root", str(rehearsal))
    words = ("refuse", "--operation", "/tenants", "--status", "503", "--times", "2")
    added = await agavesh("tenant", "fault", "add", *words, *root)
    assert (added.status, added.lines) == (0, ["1"]), added.err
    async with httpx.AsyncClient(base_url=read_card(rehearsal).url, trust_env=False) as http:
        assert (await http.get("/tenants")).status_code == 503
        listed = await agavesh("tenant", "fault", *root, "-o", "json")
        assert listed.json == [
            {"name": "1", "kind": "refuse", "operation": "/tenants", "hits": 1, "times": 2, "details": "status=503"}
        ]
        assert (await agavesh("tenant", "fault", "clear", "1", *root)).status == 0
        assert (await http.get("/tenants")).status_code == 200
    assert (await agavesh("tenant", "fault", "list", *root)).lines == []


async def test_what_makes_no_sense_is_told(rehearsal: Path) -> None:
    root = ("--root", str(rehearsal))
    for words, why in {
        ("add", "slow", "--status", "500"): "slow has no --status",
        ("add", "refuse", "--status", "200"): "--status: expected int >= 400",
        ("add", "cut", "--after", "-1"): "--after: expected int >= 0",
        ("add", "slow", "--operation", "files.lst"): 'did you mean "files.list"?',
        ("add", "gateway", "--code", "1"): "900904",
        ("clear", "7"): '"tenant fault" lists them',
        ("add", "dance"): "hold-staging",
    }.items():
        said = await agavesh("tenant", "fault", *words, *root)
        assert said.status != 0, words
        assert why in said.err, said.err


async def test_without_a_tenant_or_its_leave_it_is_told_what_to_do(tmp_path: Path) -> None:
    said = await agavesh("tenant", "fault", "--root", str(tmp_path / "none"))
    assert said.status != 0
    assert "--control" in said.err
