"""kill -9 at any moment, of the mount, of the tenant, or of both: whatever a close has promised is at the platform, and
nothing is half there."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import trio

from tests.agavefs.mounting import Mount, kill_keeper, mounted, possible
from tests.agavefs.test_writing import rows
from tests.conftest import SAID, Tenant
from tests.tenant.crash import Fold, fold

# Writes files over and over, each with its round in it, and notes what close has promised on the local disk.
_WRITER = """
import errno, os, signal, sys
told = []  # to end, when what is under way is done
signal.signal(signal.SIGTERM, lambda *_: told.append(1))
folder, manifest, seed = sys.argv[1], open(sys.argv[2], "a"), int(sys.argv[3])
for number in range(10_000):
    if told:
        break
    name = f"f{(number * 7 + seed) % 12}"
    content = f"{name} {seed + number} ".encode() * (1 + number % 5 * 900)
    print("begun", name, seed + number, len(content), file=manifest, flush=True)
    try:
        if number % 3:
            with open(f"{folder}/{name}", "wb") as file:
                file.write(content)
        else:
            with open(f"{folder}/.new-{name}", "wb") as file:
                file.write(content)
            os.rename(f"{folder}/.new-{name}", f"{folder}/{name}")
        print("closed", name, seed + number, len(content), file=manifest, flush=True)
    except OSError as trouble:
        if trouble.errno == errno.ENOTCONN:
            break
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


class Away(Tenant):
    """A tenant in a process of its own, that may be killed, and is back at the same place a moment later."""

    def __init__(self, root: Path) -> None:
        secrets = json.loads((root / "secrets.json").read_text())
        self.root = root
        self.users = {user["username"]: user["password"] for user in secrets["users"]}
        self.client = (secrets["client"]["key"], secrets["client"]["secret"])
        self.pid = 0
        self.up = trio.Event()
        self._down = trio.Event()

    def path(self, system: str, path: str) -> Path:
        return self.root / "systems" / system / path.lstrip("/")

    async def run(self, oven: Fold) -> None:
        while True:
            self._down = trio.Event()
            async with oven.serving(self.root) as served:
                self.url, self.pid = served.url, served.pid
                self.up.set()
                await self._down.wait()

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.up = trio.Event()
        self._down.set()


@pytest.fixture
async def away(tenant_root: Path) -> AsyncIterator[Away]:
    (tenant_root / "port").unlink(missing_ok=True)
    there = Away(tenant_root)
    async with fold() as oven, trio.open_nursery() as nursery:
        nursery.start_soon(there.run, oven)
        await there.up.wait()
        yield there
        nursery.cancel_scope.cancel()


KINDS = ("mount", "mount and its keeper", "tenant", "both")


async def die(mount: Mount, away: Away, chance: random.Random) -> str:
    """Kill something, and have it back; what that was."""
    who = chance.choice(KINDS)
    await strike(who, mount, away)
    return who


async def strike(who: str, mount: Mount, away: Away) -> None:
    """Kill one of KINDS, and have it back."""
    if who != "tenant":
        before = mount.pid
        if who == "mount and its keeper":
            kill_keeper(before)
        os.kill(before, signal.SIGKILL)
    if who in ("tenant", "both"):
        away.kill()
        await away.up.wait()
    if who == "mount and its keeper":
        await mount.run("fusermount3", "-u", "-z", mount.path)
        await mount.start()
    elif who != "tenant":

        async def is_back() -> bool:
            with contextlib.suppress(OSError):
                return [card["pid"] for card in mount.cards] not in ([], [before]) and bool(await mount.status())
            return False

        await mount.until(is_back)


async def crash(mount: Mount, away: Away, chance: random.Random, seed: int) -> str:
    mount.trouble_expected = True
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
        who = await die(mount, away, chance)
        nursery.cancel_scope.cancel()
    await mount.all_sent()
    home = away.path("data.demo", f"/alice/work{seed}")
    for name, contents in allowed(manifest).items():
        place = home / name
        found = place.read_bytes() if place.exists() else b"never was"
        # a rename that was under way may have left what was closed under the other name
        aside = place.with_name(f".new-{name}")
        assert found in contents or (aside.exists() and aside.read_bytes() in contents), (who, name, found[:40])
    left = [path.name for path in home.iterdir()]
    assert not [name for name in left if name.startswith(".agavefs") or "~conflict" in name], (who, left)
    return who


async def crashes(away: Away, folder: Path, count: int, *, write_back: bool) -> dict[str, int]:
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")
    chance, met = random.Random(seed), dict[str, int]()
    async with mounted(away, folder, *(["--write-back"] if write_back else [])) as mount:
        mount.trouble_expected = True
        for turn in range(count):
            who = await crash(mount, away, chance, seed=turn * 10_000)
            met[who] = met.get(who, 0) + 1
    return met


needs_fuse = pytest.mark.skipif(not possible, reason="there is no /dev/fuse here")


@needs_fuse
@pytest.mark.parametrize("write_back", [False, True])
async def test_what_close_promised_survives_kill_9(
    away: Away, tmp_path: Path, write_back: bool, record_property: Callable[[str, object], None]
) -> None:
    met = await crashes(away, tmp_path / "mount", 15, write_back=write_back)
    record_property(SAID, f"killed while files were written{', with --write-back' * write_back}: {met}")


@needs_fuse
@pytest.mark.soak
@pytest.mark.parametrize("write_back", [False, True])
async def test_what_close_promised_survives_kill_9_a_thousand_times(
    away: Away, tmp_path: Path, write_back: bool, record_property: Callable[[str, object], None]
) -> None:
    met = await crashes(away, tmp_path / "mount", 500, write_back=write_back)
    record_property(SAID, f"killed while files were written{', with --write-back' * write_back}: {met}")


@contextlib.asynccontextmanager
async def at_it(mount: Mount, line: str) -> AsyncIterator[Callable[[str], Awaitable[None]]]:
    """A shell is at that line in the block, and gone after it; what is given waits for a state of the journal."""
    mount.trouble_expected = True

    async def until(state: str) -> None:
        async def seen() -> bool:
            return [found for found, _ in rows(mount)] == [state]

        await mount.until(seen)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: mount.run("sh", "-c", line, cwd=mount.home))
        yield until
        await mount.kill()
        nursery.cancel_scope.cancel()


# what the tenant holds, whether before it does it or after, and what the journal says then
STEPS = [
    ("files.importData", "slow", "sending"),
    ("files.importData", "stalling", "sending"),
    ("files.manage", "slow", "beside"),
    ("files.manage", "stalling", "beside"),
    ("files.delete", "slow", "hidden"),
    ("files.delete", "stalling", "hidden"),
]


async def is_whole(mount: Mount) -> None:
    assert mount.tenant.bytes("data.demo", "/alice/f") in (b"old", b"longer")
    await mount.start()
    await mount.all_sent()
    assert mount.tenant.bytes("data.demo", "/alice/f") == b"longer"
    left = [path.name for path in mount.tenant.path("data.demo", "/alice").iterdir()]
    assert not [name for name in left if ".agavefs" in name or "conflict" in name]


@pytest.mark.parametrize(("operation", "how", "state"), STEPS)
async def test_a_file_that_is_replaced_is_the_old_one_or_the_new_one_at_each_step(
    mount: Mount, operation: str, how: str, state: str
) -> None:
    await mount.sh("printf old > f; cat f")
    with getattr(mount.tenant.faults, how)(operation):
        async with at_it(mount, "printf longer > f") as until:
            await until(state)
    await is_whole(mount)


@pytest.mark.parametrize("held", ["files.importData", "files.manage"])
async def test_so_it_is_between_two_steps(mount: Mount, held: str) -> None:
    await mount.sh("printf old > f; cat f")
    faults = mount.tenant.faults
    async with contextlib.AsyncExitStack() as stack:
        first = stack.enter_context(faults.slow(held))
        until = await stack.enter_async_context(at_it(mount, "printf longer > f"))
        await first.met()
        # what comes after it is held in its place: a look at what is to be replaced, or at what is there now
        stack.enter_context(faults.slow("files.list"))
        faults.remove(first)
        await until("beside" if held == "files.importData" else "placed")
    await is_whole(mount)


@pytest.mark.parametrize("how", ["slow", "stalling"])
async def test_a_new_file_is_there_or_not_at_each_step(mount: Mount, how: str) -> None:
    with getattr(mount.tenant.faults, how)("files.importData"):
        async with at_it(mount, "printf longer > f") as until:
            await until("sending")
    place = mount.tenant.path("data.demo", "/alice/f")
    assert not place.exists() or place.read_bytes() == b"longer"
    await mount.start()
    await mount.all_sent()
    assert place.read_bytes() == b"longer"
    assert not [path.name for path in place.parent.iterdir() if ".agavefs" in path.name or "conflict" in path.name]


async def test_what_was_being_written_is_kept_and_shown(mount: Mount) -> None:
    async with at_it(mount, "(printf written; sleep 60) > f") as until:
        await until("writing")
    await mount.start()
    (kept,) = await (mount.path / ".agavefs/recovered").iterdir()
    assert await kept.read_bytes() == b"written"
    assert not mount.tenant.path("data.demo", "/alice/f").exists()
