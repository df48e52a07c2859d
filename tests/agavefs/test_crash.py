"""kill -9 at any moment: whatever a close has promised is at the platform, and nothing is half there."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
import trio

from tests.agavefs.mounting import Mount

# Writes files over and over, each with its round in it, and notes what close has promised on the local disk.
_WRITER = """
import os, sys
folder, manifest, seed = sys.argv[1], open(sys.argv[2], "a"), int(sys.argv[3])
for number in range(10_000):
    name = f"f{(number * 7 + seed) % 12}"
    content = f"{name} {seed + number} ".encode() * (1 + number % 5 * 900)
    print("begun", name, seed + number, len(content), file=manifest, flush=True)
    if number % 3:
        with open(f"{folder}/{name}", "wb") as file:
            file.write(content)
    else:
        with open(f"{folder}/.new-{name}", "wb") as file:
            file.write(content)
        os.rename(f"{folder}/.new-{name}", f"{folder}/{name}")
    print("closed", name, seed + number, len(content), file=manifest, flush=True)
"""


def allowed(manifest: Path) -> dict[str, set[bytes]]:
    """What each file may hold: the last that was closed, or what was begun after that."""
    may: dict[str, set[bytes]] = {}
    for line in manifest.read_text().splitlines():
        state, name, number, size = line.split()
        part = f"{name} {number} ".encode()
        content = part * (int(size) // len(part))
        if state == "closed":
            may[name] = {content}
        else:
            may.setdefault(name, {b"never was"}).add(content)
    return may


async def crash(mount: Mount, chance: random.Random, seed: int) -> None:
    folder, manifest = mount.home / f"work{seed}", mount.folder / f"manifest-{seed}"
    await folder.mkdir()
    async with trio.open_nursery() as nursery:
        command = [sys.executable, "-c", _WRITER, folder, manifest, str(seed)]
        nursery.start_soon(lambda: mount.run(*command))
        enough = chance.randrange(40)

        async def far_enough() -> bool:
            return manifest.exists() and manifest.read_text().count("closed") >= enough

        await mount.until(far_enough)
        for _ in range(chance.randrange(30)):  # at no moment in particular
            await trio.lowlevel.checkpoint()
        await mount.kill()
    await mount.start()
    await mount.all_sent()
    for name, contents in allowed(manifest).items():
        place = mount.tenant.path("data.demo", f"/alice/work{seed}/{name}")
        found = place.read_bytes() if place.exists() else b"never was"
        # a rename that was under way may have left what was closed under the other name
        aside = place.with_name(f".new-{name}")
        assert found in contents or (aside.exists() and aside.read_bytes() in contents), (name, found[:40], contents)
    left = [path.name for path in mount.tenant.path("data.demo", f"/alice/work{seed}").iterdir()]
    assert not [name for name in left if name.startswith(".agavefs")]


async def test_what_close_promised_survives_kill_9(mount: Mount) -> None:
    chance = random.Random(3)
    for turn in range(3):
        await crash(mount, chance, seed=turn * 10_000)


@pytest.mark.soak
async def test_what_close_promised_survives_kill_9_a_hundred_times(mount: Mount) -> None:
    chance = random.Random()
    for turn in range(100):
        await crash(mount, chance, seed=turn * 10_000)
