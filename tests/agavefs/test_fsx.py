"""Random I/O through the kernel, as fsx does it, for a while: what is read is what was written, here and there.

The seed is told when it fails, and FSX_SEED does the same again. FSX_SECONDS says for how long the soak goes on.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sys
from pathlib import Path

import pytest
import trio

from tests.agavefs.mounting import LONG, Mount

ROOT = Path(__file__).parents[2]
TOLD = 60  # lines of what was done, when something is wrong
LASTING = [
    pytest.param(9, id="short"),
    pytest.param(float(os.environ.get("FSX_SECONDS", "600")) / 2, id="long", marks=pytest.mark.soak),
]


async def exercise(mount: Mount, seconds: float, *words: str) -> None:
    """Files that are made and changed at random, for so long. Others' changes are made by the API, behind the mount."""
    seed = int(os.environ.get("FSX_SEED") or secrets.randbelow(10**9))
    folder, platform = mount.home / "fsx", mount.tenant.path("data.demo", "/alice/fsx")
    await folder.mkdir()
    with trio.fail_after(seconds + LONG):
        done = await trio.run_process(
            [sys.executable, "-m", "tests.agavefs.fsx", str(folder), str(platform), str(seed), str(seconds), *words],
            check=False, capture_stdout=True, capture_stderr=True, env=mount.environ, cwd=ROOT,
        )  # fmt: skip
    last = "\n".join(done.stderr.decode().splitlines()[-TOLD:])
    assert done.returncode == 0, f"with seed {seed}: {last}\n{mount.log[-3000:]}"
    told = json.loads(done.stdout)
    await mount.all_sent()
    there = {name: hashlib.sha256((platform / name).read_bytes()).hexdigest() for name in told["files"]}
    assert there == told["files"], f"with seed {seed}"
    assert told["done"]["write"], f"with seed {seed}"


@pytest.mark.parametrize("seconds", LASTING)
@pytest.mark.mount("--cache-ttl=0")
async def test_what_is_read_is_what_was_written_in_any_order(mount: Mount, seconds: float) -> None:
    await exercise(mount, seconds)


@pytest.mark.parametrize("seconds", LASTING)
@pytest.mark.mount("--cache-ttl=0", "--cache-size=1M")
async def test_it_is_so_too_where_nothing_fits_into_the_cache(mount: Mount, seconds: float) -> None:
    await exercise(mount, seconds, "alone")
