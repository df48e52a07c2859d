"""Trouble on this side: no login any more, no room, no cache. What was acknowledged is kept, and the mount lives."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from tests.agavefs.mounting import Mount, mounted
from tests.agavefs.test_writing import there
from tests.conftest import Tenant


async def login(mount: Mount, password: str) -> None:
    words = ("login", mount.tenant.url, "--user", "alice", "--password-stdin")
    done = await mount.run(sys.executable, "-m", "agavesh", *words, stdin=f"{password}\n".encode())
    assert done.returncode == 0, done.stderr


async def test_what_waits_for_a_login_is_sent_when_there_is_one(tenant: Tenant, tmp_path: Path) -> None:
    mount = Mount(tenant, tmp_path / "mount", ("--write-back",))
    for name in ("AGAVE_USERNAME", "AGAVE_PASSWORD"):  # what is saved is all that it has
        del mount.environ[name]
    await login(mount, tenant.users["alice"])
    await mount.start()
    try:
        await mount.sh("echo before > f; ls")
        await mount.all_sent()
        with tenant.faults.slow("files.importData"):
            await mount.sh("echo kept > g")
            await tenant.state.people.update("alice", {"password": "another-password"}, by="admin")
        await mount.until(lambda: _waits(mount))
        await login(mount, "another-password")
        await mount.all_sent()
        assert there(mount, "g") == b"kept\n"
    finally:
        await mount.umount()


async def _waits(mount: Mount) -> bool:
    queue = await (mount.path / ".agavefs/queue").read_text()
    return "alice/g" in queue and "agavesh login" in queue


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of four MiB."""
    place = tmp_path / "small"
    place.mkdir()
    if os.getuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", place], check=False).returncode:
        pytest.skip("only root can mount a small disk")
    yield place
    subprocess.run(["umount", "-l", place], check=False)


async def test_a_full_disk_is_enospc_at_write_and_nothing_acknowledged_is_lost(
    tenant: Tenant, tmp_path: Path, small: Path
) -> None:
    async with mounted(tenant, tmp_path / "mount", f"--cache-dir={small}", "--write-back") as mount:
        with tenant.faults.slow("files.importData"):
            await mount.sh("echo kept > f")
            done = await mount.run("dd", "if=/dev/zero", f"of={mount.home}/large", "bs=1M", "count=8")
            assert os.strerror(errno.ENOSPC) in done.stderr
            assert await mount.sh("cat f") == "kept\n"
            await mount.sh("rm large; echo more > g")
        await mount.all_sent()
        assert (there(mount, "f"), there(mount, "g")) == (b"kept\n", b"more\n")


async def test_a_cache_that_is_gone_is_an_error_of_the_program_and_not_the_end_of_the_mount(
    tenant: Tenant, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    async with mounted(tenant, tmp_path / "mount", f"--cache-dir={cache}") as mount:
        await mount.sh("echo there > f")
        await mount.all_sent()
        await trio.to_thread.run_sync(shutil.rmtree, cache)
        done = await mount.run("cp", "/etc/passwd", mount.home / "g")
        assert os.strerror(errno.EIO) in done.stderr
        assert "f\n" in await mount.sh("ls")
        assert there(mount, "f") == b"there\n"
