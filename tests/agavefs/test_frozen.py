"""A platform that stands still: each call of a program ends within its deadline, and all goes on when it wakes."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio

from tests.agavefs.mounting import LONG, Mount, mounted, possible
from tests.conftest import Tenant
from tests.outside.processes import served

DEADLINES = "metadata=1,read=1,progress=2"
BLOCK = 4 * 2**20
LATE = (errno.ETIMEDOUT, errno.EHOSTUNREACH)


class Frozen(Mount):
    """A mount of a tenant in a process of its own, that can be stopped."""

    process = 0

    @contextmanager
    def standing_still(self) -> Any:
        os.kill(self.process, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process, signal.SIGCONT)


@pytest.fixture
async def frozen(tmp_path: Path) -> AsyncIterator[Frozen]:
    if not possible:
        pytest.skip("there is no /dev/fuse here")
    with served(tmp_path / "tenant") as told:
        client, users = told["client"], {user["username"]: user["password"] for user in told["users"]}
        tenant = SimpleNamespace(url=told["url"], users=users, client=(client["key"], client["secret"]))
        folder = tmp_path / "tenant/systems/data.demo/alice"
        for name, size in {"small": 5, "other": 5, "huge": 12 * BLOCK, "d/f": 1, "listed/f": 1}.items():
            await trio.to_thread.run_sync(_plant, folder / name, size)
        options = {"AGAVEFS_DEADLINES": DEADLINES}
        async with mounted(cast(Tenant, tenant), tmp_path / "mount", kind=Frozen, **options) as mount:
            assert isinstance(mount, Frozen)
            mount.process = told["pid"]
            yield mount


def _plant(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (1e9, 1e9))


async def test_each_call_ends_when_the_platform_stands_still_and_works_when_it_wakes(frozen: Frozen) -> None:
    home = Path(str(frozen.home))
    await frozen.sh("ls . listed; cat small")

    def place(name: str) -> str:
        return str(home / name)

    huge = await trio.to_thread.run_sync(os.open, place("huge"), os.O_RDONLY)
    new = await trio.to_thread.run_sync(os.open, place("new"), os.O_CREAT | os.O_WRONLY)
    late: dict[str, Callable[[], object]] = {
        "stat": lambda: os.stat(place("d/nothing")),  # noqa: PTH116  # as the table has it: by the call's name
        "readdir": lambda: os.listdir(place("d")),  # noqa: PTH208  # what the kernel is asked
        "open": lambda: Path(place("other")).read_bytes(),
        "read": lambda: os.pread(huge, 4096, 11 * BLOCK),
        "mkdir": lambda: Path(place("made")).mkdir(),
        "rmdir": lambda: Path(place("listed")).rmdir(),
        "unlink": lambda: Path(place("other")).unlink(),
        "rename": lambda: Path(place("other")).rename(place("moved")),
        "create": lambda: os.close(os.open(place("lock"), os.O_CREAT | os.O_EXCL | os.O_WRONLY)),
        "truncate": lambda: os.truncate(place("other"), 2),
        "fsync": lambda: os.fsync(new),
        "close": lambda: os.close(new),
    }
    local: dict[str, Callable[[], object]] = {
        "fstat": lambda: os.fstat(huge),
        "statfs": lambda: os.statvfs(place("")),
        "stat": lambda: Path(place("small")).stat(),
        "read": lambda: Path(place("small")).read_bytes(),
        "readdir": lambda: os.listdir(place("listed")),  # noqa: PTH208  # as above
        "write": lambda: os.write(new, b"kept"),
    }
    with frozen.standing_still():
        for name, call in [*local.items(), *late.items()]:
            with trio.fail_after(LONG):
                try:
                    await trio.to_thread.run_sync(call)
                except OSError as error:
                    assert name in late, name
                    assert error.errno in LATE, (name, error)
                else:
                    assert name in local, name
        assert "down since" in await frozen.status()
    await frozen.until(lambda: _works(frozen))
    await frozen.all_sent()
    assert await (frozen.home / "new").read_bytes() == b"kept"
    assert await trio.to_thread.run_sync(os.pread, huge, 3, 11 * BLOCK) == b"xxx"
    os.close(huge)


async def _works(frozen: Frozen) -> bool:
    try:
        return await (frozen.home / "d/f").read_text() == "x"
    except OSError:
        return False


async def test_what_stands_still_can_be_unmounted(frozen: Frozen) -> None:
    await frozen.sh("ls; cat small")
    with frozen.standing_still():
        with pytest.raises(OSError):
            await (frozen.home / "other").read_bytes()
        done = await frozen.umount()
        assert done.returncode == 0, done.stderr
    assert not frozen.cards
