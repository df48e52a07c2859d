"""A bad line to the platform: calls end in time and tell a true errno, what was acknowledged is there, all goes on.

A platform that stands still is in `test_frozen.py`; here what is between does harm, to bodies on their way, in either
direction, and then is good again.
"""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import trio

from tests.agavefs.line import DOWN, UP, BadLine, Trouble, bad_line
from tests.agavefs.mounting import LONG, Mount, mounted, possible
from tests.conftest import Tenant

DEADLINES = "metadata=2,read=2,progress=3"
MIB = 2**20
TRUE = {errno.EIO, errno.ETIMEDOUT, errno.EHOSTUNREACH}

BAD = {
    "answers are cut": Trouble(DOWN, cut=True),
    "answers are reset": Trouble(DOWN, cut=True, reset=True),
    "requests are cut": Trouble(UP, cut=True),
    "requests are reset": Trouble(UP, cut=True, reset=True),
    "nothing comes through": Trouble(hole=True),
    "no answer comes through": Trouble(DOWN, hole=True),
    "no request comes through": Trouble(UP, hole=True),
    "almost nothing comes through": Trouble(rate=20),
}
SLOW = {
    "a delay": Trouble(delay=0.05),
    "little at a time": Trouble(rate=2 * MIB),
}


@pytest.fixture
async def far(tenant: Tenant, tmp_path: Path) -> AsyncIterator[tuple[BadLine, Mount]]:
    """The tenant at the other end of a line, and a mount here."""
    if not possible:
        pytest.skip("there is no /dev/fuse here")
    home = tenant.path("data.demo", "/alice")
    for name in ("looked/f", "listed/f", "small", "old", "gone", "cut", "synced", "over", "wells/f"):
        await trio.to_thread.run_sync(_plant, home / name, b"hello")
    await trio.to_thread.run_sync(_plant, home / "large", bytes(range(256)) * (3 * MIB // 256))
    async with bad_line(tenant.url) as line:
        there = SimpleNamespace(url=line.url, users=tenant.users, client=tenant.client, faults=tenant.faults)
        options = {"AGAVEFS_DEADLINES": DEADLINES}
        async with mounted(cast(Tenant, there), tmp_path / "mount", "--cache-ttl", "1", **options) as mount:
            mount.tenant = tenant
            yield line, mount


def _plant(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (1e9, 1e9))


def calls(home: Path, large: int) -> dict[str, Callable[[], object]]:
    """System calls, each on names of its own."""

    def synced() -> None:
        file = os.open(home / "synced", os.O_WRONLY | os.O_TRUNC)
        try:
            os.write(file, b"synced")
            os.fsync(file)
        finally:
            os.close(file)

    return {
        "stat": lambda: (home / "looked/f").stat(),
        "readdir": lambda: os.listdir(home / "listed"),  # noqa: PTH208  # names alone
        "read": lambda: (home / "small").read_bytes(),
        "read on": lambda: os.pread(large, 4096, 2 * MIB),
        "write": lambda: (home / "new").write_bytes(b"written"),
        "write over": lambda: (home / "over").write_bytes(b"written over"),
        "mkdir": lambda: (home / "made").mkdir(),
        "rename": lambda: (home / "old").rename(home / "moved"),
        "unlink": lambda: (home / "gone").unlink(),
        "truncate": lambda: os.truncate(home / "cut", 2),
        "fsync": synced,
    }


RIGHT: dict[str, object] = {"readdir": ["f"], "read": b"hello", "read on": bytes(range(256)) * 16}


def acknowledged(call: str, home: Path) -> bool:
    """Whether the platform has what a call promises that has returned without an error."""

    def holds(name: str, content: bytes) -> bool:
        return (home / name).exists() and (home / name).read_bytes() == content

    return {
        "write": lambda: holds("new", b"written"),
        "write over": lambda: holds("over", b"written over"),
        "mkdir": (home / "made").is_dir,
        "rename": lambda: holds("moved", b"hello") and not (home / "old").exists(),
        "unlink": lambda: not (home / "gone").exists(),
        "truncate": lambda: holds("cut", b"he"),
        "fsync": lambda: holds("synced", b"synced"),
    }.get(call, lambda: True)()


async def all_at_once(acts: dict[str, Callable[[], object]]) -> tuple[dict[str, object], dict[str, int]]:
    """What each gives, or its errno. None takes longer than any of its deadlines allow."""
    given: dict[str, object] = {}
    failed: dict[str, int] = {}

    async def one(name: str, act: Callable[[], object]) -> None:
        try:
            given[name] = await trio.to_thread.run_sync(act)
        except OSError as error:
            failed[name] = error.errno or 0

    with trio.fail_after(LONG):
        async with trio.open_nursery() as nursery:
            for name, act in acts.items():
                nursery.start_soon(one, name, act)
    return given, failed


def shown(folder: Path) -> dict[str, bytes | None]:
    """What is in a folder: bytes by name, None for a folder."""
    return {path.name: path.read_bytes() if path.is_file() else None for path in folder.iterdir()}


async def is_good_again(mount: Mount, patience: float = LONG) -> None:
    """The mount recovers by itself: all that is owed arrives, and what it shows is what the platform has."""
    here, there = Path(str(mount.home)), mount.tenant.path("data.demo", "/alice")

    async def seen() -> bool:
        try:
            # a thread: the tenant is in this loop
            return await trio.to_thread.run_sync(shown, here) == await trio.to_thread.run_sync(shown, there)
        except OSError:
            return False

    with trio.fail_after(patience):
        while not await seen():
            await trio.sleep(0.1)  # nobody tells when a folder of another process changes
    await mount.all_sent()
    await mount.until(seen)
    left = [path.name for path in there.iterdir() if path.name.startswith(".agavefs")]
    assert not left


@pytest.mark.parametrize("what", BAD)
async def test_on_a_bad_line_calls_end_in_a_true_errno_and_all_that_was_acknowledged_is_there(
    far: tuple[BadLine, Mount], what: str
) -> None:
    line, mount = far
    home, there = Path(str(mount.home)), mount.tenant.path("data.demo", "/alice")
    large = await trio.to_thread.run_sync(os.open, home / "large", os.O_RDONLY)
    try:
        await trio.to_thread.run_sync(os.listdir, home)
        with line.having(BAD[what]):
            given, failed = await all_at_once(calls(home, large))
            assert line.hits
        assert set(failed.values()) <= TRUE, failed
        if BAD[what].way != UP or BAD[what].hole:
            assert {"stat", "readdir", "read"} <= failed.keys(), given  # else it was no trouble
        assert {name: given[name] for name in RIGHT if name in given} == {
            name: right for name, right in RIGHT.items() if name in given
        }
        await is_good_again(mount)
        for name in given:
            assert acknowledged(name, there), name
        again, _ = await all_at_once(calls(home, large))
        assert {name: again[name] for name in RIGHT} == RIGHT
    finally:
        os.close(large)


@pytest.mark.soak  # those who come share what was asked for, and the client waits 60 s for that
async def test_connections_that_died_unheard_are_given_up_and_all_goes_on(far: tuple[BadLine, Mount]) -> None:
    line, mount = far
    home = Path(str(mount.home))
    large = await trio.to_thread.run_sync(os.open, home / "large", os.O_RDONLY)
    try:
        await trio.to_thread.run_sync(os.listdir, home)
        with line.having(Trouble(lost=True)):
            given, failed = await all_at_once(calls(home, large))
        assert not given
        assert set(failed.values()) <= TRUE, failed
        await is_good_again(mount, 120)
    finally:
        os.close(large)


@pytest.mark.parametrize("what", SLOW)
async def test_on_a_slow_line_everything_works(far: tuple[BadLine, Mount], what: str) -> None:
    line, mount = far
    home, there = Path(str(mount.home)), mount.tenant.path("data.demo", "/alice")
    large = await trio.to_thread.run_sync(os.open, home / "large", os.O_RDONLY)
    try:
        with line.having(SLOW[what]):
            given, failed = await all_at_once(calls(home, large))
            assert line.hits
        assert not failed
        assert {name: given[name] for name in RIGHT} == RIGHT
        for name in given:
            assert acknowledged(name, there), name
    finally:
        os.close(large)
