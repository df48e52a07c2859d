"""Large files pass in constant memory, either way."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

MIB = 1024 * 1024
MOST = 100  # MiB of the whole process, interpreter and libraries included

PROGRAM = """
import json, sys, trio
from agavesh.client import Agave

async def main(url, token, way, path):
    async with Agave(url, token=token) as agave:
        if way == "up":
            await agave.files.importData(systemId="data.demo", filePath="/alice", fileToUpload=path)
        if way == "up in pieces":
            async with await trio.open_file(path, "rb") as file:
                async def pieces():
                    while piece := await file.read(1000000):
                        yield piece
                await agave.files.importData(
                    systemId="data.demo", filePath="/alice", fileToUpload=pieces(), fileName="pieces"
                )
        got = 0
        if way == "down":
            async with agave.files.download(systemId="data.demo", filePath=path) as download:
                async for chunk in download.chunks():
                    got += len(chunk)
    # not getrusage: that counts what the parent had before it became us
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print(json.dumps({"got": got, "peak": int(peak.split()[1]) // 1024}))

trio.run(main, *sys.argv[1:])
"""


async def program(tenant: Any, way: str, path: str) -> dict[str, int]:
    """Run a client of its own, and tell what it got and how much memory (MiB) it took at most."""
    words = [sys.executable, "-c", PROGRAM, tenant.url, tenant.token("alice"), way, path]
    done = await trio.run_process(words, capture_stdout=True)
    told: dict[str, int] = json.loads(done.stdout)
    return told


SIZES = [256 * MIB, pytest.param(5 * 1024 * MIB, marks=pytest.mark.soak)]


@pytest.mark.parametrize("way", ["up", "up in pieces"])
@pytest.mark.parametrize("size", SIZES)
async def test_a_large_file_goes_up_in_constant_memory(tenant: Any, tmp_path: Path, size: int, way: str) -> None:
    file = tmp_path / "up"
    with file.open("wb") as opened:
        opened.truncate(size)
        opened.seek(size - 5)
        opened.write(b"there")
    told = await program(tenant, way, str(file))
    assert told["peak"] < MOST
    arrived = tenant.path("data.demo", "/alice/up" if way == "up" else "/alice/pieces")
    with trio.fail_after(60):  # staging may go on after the answer
        while not arrived.exists():
            await trio.sleep(0.05)
    assert arrived.stat().st_size == size
    with arrived.open("rb") as opened:
        opened.seek(-5, 2)
        assert opened.read() == b"there"
    arrived.unlink()


@pytest.mark.parametrize("size", SIZES)
async def test_a_large_file_comes_down_in_constant_memory(tenant: Any, size: int) -> None:
    with tenant.path("data.demo", "/alice/down").open("wb") as opened:
        opened.truncate(size)
    told = await program(tenant, "down", "/alice/down")
    assert told["got"] == size
    assert told["peak"] < MOST
