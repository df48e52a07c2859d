"""What was fetched is kept: for the next mount, for the others, under a cap, and never wrong."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import pytest
import trio

from tests.agavefs.mounting import Mount, mounted
from tests.agavefs.test_reading import plant
from tests.conftest import Tenant

MIB = 2**20
LARGE = b"".join(number.to_bytes(8, "big") for number in range(6 * 2**17))  # 6 MiB


def downloads(mount: Mount) -> int:
    return mount.tenant.faults.requests["files.download"]


def on_disk(mount: Mount) -> int:
    """The bytes that all spools of this cache take."""
    cache = next(mount.folder.glob("state/agavesh/*/mounts/cache"))
    found = [path for part in ("spools", "kept") for path in (cache / part).rglob("*")]
    total = 0
    for path in found:
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_blocks * 512 if path.is_file() else 0
    return total


async def kept(mount: Mount, cache: Path | None = None) -> None:
    """Until something is on the shelf."""

    async def there() -> bool:
        return any(
            mount.folder.glob("state/agavesh/*/mounts/cache/kept/*/*") if cache is None else cache.glob("*/kept/*/*")
        )

    await mount.until(there)


async def test_what_was_read_is_there_for_the_next_mount(mount: Mount) -> None:
    await plant(mount, {"small": b"text" * 1000, "large": LARGE})
    await mount.sh("cat small large > /dev/null")
    await mount.umount()
    await mount.start()
    before = downloads(mount)
    assert await (mount.home / "small").read_bytes() == b"text" * 1000
    assert await (mount.home / "large").read_bytes() == LARGE
    assert downloads(mount) == before


async def test_a_part_that_was_read_is_there_for_the_next_mount(mount: Mount) -> None:
    await plant(mount, {"large": LARGE})
    part = "dd if=large bs=4k skip=1000 count=4 status=none"
    await mount.sh(f"{part} > /dev/null")
    await mount.umount()
    await mount.start()
    before = downloads(mount)
    assert (await mount.sh(f"{part} | cksum")).split()[1] == "16384"
    assert downloads(mount) == before
    assert await (mount.home / "large").read_bytes() == LARGE  # and the rest comes beside it


async def test_what_was_written_is_there_for_the_next_mount(mount: Mount) -> None:
    await (mount.home / "w").write_bytes(LARGE)
    await mount.umount()
    await mount.start()
    before = downloads(mount)
    assert await (mount.home / "w").read_bytes() == LARGE
    assert downloads(mount) == before


async def test_what_was_changed_since_is_fetched_anew(mount: Mount) -> None:
    await plant(mount, {"f": b"one"})
    await mount.sh("cat f")
    await mount.umount()
    await plant(mount, {"f": b"two"}, at=1e9 + 5)
    await mount.start()
    assert await mount.sh("cat f") == "two"


async def test_after_a_kill_nothing_wrong_is_served(mount: Mount) -> None:
    await plant(mount, {"a": b"whole" * 1000, "large": LARGE})
    await mount.sh("cat a; head -c 3000000 large | cksum")
    await kept(mount)
    fd = await trio.to_thread.run_sync(os.open, str(mount.home / "large"), os.O_RDONLY)
    try:
        await trio.to_thread.run_sync(os.pread, fd, 4096, 0)  # taken from the shelf, and in use when it ends
        await mount.kill()
    finally:
        with contextlib.suppress(OSError):
            os.close(fd)
    await mount.start()
    assert await (mount.home / "a").read_bytes() == b"whole" * 1000
    assert await (mount.home / "large").read_bytes() == LARGE


async def test_mounts_side_by_side_share_what_is_closed(mount: Mount, tenant: Tenant, tmp_path: Path) -> None:
    cache = f"--cache-dir={tmp_path / 'shared'}"
    await plant(mount, {"f": LARGE})
    async with mounted(tenant, tmp_path / "one", cache) as one, mounted(tenant, tmp_path / "two", cache) as two:
        assert await (one.home / "f").read_bytes() == LARGE
        await kept(one, tmp_path / "shared")
        before = downloads(one)
        assert await (two.home / "f").read_bytes() == LARGE
        assert await (one.home / "f").read_bytes() == LARGE
        assert downloads(one) == before
        # both have it, and one writes: what the other reads is what it has opened
        async with await (two.home / "f").open("rb") as open_there:
            await one.sh("printf XXXX | dd of=f conv=notrunc status=none")
            assert await open_there.read() == LARGE
        assert (await (one.home / "f").read_bytes())[:8] == b"XXXX" + LARGE[4:8]


async def test_what_another_account_has_fetched_is_never_served(mount: Mount, tenant: Tenant, tmp_path: Path) -> None:
    cache = f"--cache-dir={tmp_path / 'shared'}"
    await plant(mount, {"f": b"for alice alone"})
    async with mounted(tenant, tmp_path / "one", cache) as one:
        await one.sh("cat f")
    assert any((tmp_path / "shared").glob("*/kept/*/*"))
    before = downloads(mount)
    login = {"AGAVE_USERNAME": "admin", "AGAVE_PASSWORD": tenant.users["admin"]}
    async with mounted(tenant, tmp_path / "two", cache, **login) as two:
        assert await two.sh("cat f") == "for alice alone"  # as its own request brought it
    assert downloads(mount) == before + 1


@pytest.mark.mount("--cache-size=2M")
async def test_the_cap_holds_while_a_file_is_open(mount: Mount) -> None:
    size = 24 * MIB
    content = LARGE * 4
    await plant(mount, {"huge": content})
    most = 0
    async with await (mount.home / "huge").open("rb", buffering=0) as file:
        for at in range(0, size, MIB // 4):
            assert await file.read(MIB // 4) == content[at : at + MIB // 4]
            most = max(most, on_disk(mount))
        assert most <= 2 * MIB + MIB // 4  # a file's last block, and what SQLite has beside
        await file.seek(0)
        # what has gone is fetched again; past the kernel's own cache
        os.posix_fadvise(file.wrapped.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        assert await file.read(100) == content[:100]


@pytest.mark.mount("--cache-size=2M")
async def test_the_cap_holds_for_what_is_kept(mount: Mount) -> None:
    await plant(mount, {f"many/{number}": bytes([number]) * 100_000 for number in range(60)})
    await mount.sh("cat many/* | cksum")
    await mount.umount()
    assert 0 < on_disk(mount) <= 2 * MIB
    await mount.start()
    assert await mount.sh("cat many/7 | head -c 3") == "\x07\x07\x07"


async def test_a_file_that_is_larger_than_the_cap_can_be_changed(tenant: Tenant, tmp_path: Path) -> None:
    async with mounted(tenant, tmp_path / "m", "--cache-size=1M") as mount:
        await plant(mount, {"f": LARGE})
        await mount.sh("printf END >> f")
        assert mount.tenant.bytes("data.demo", "/alice/f") == LARGE + b"END"


async def test_a_full_disk_is_no_error_to_a_reader(tenant: Tenant, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    done = await trio.run_process(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(disk)], check=False, capture_stderr=True
    )
    if done.returncode:
        pytest.skip("only root can make a disk that is full")
    try:
        async with mounted(tenant, tmp_path / "m", f"--cache-dir={disk}", "--cache-size=1G") as mount:
            await plant(mount, {"large": LARGE, "other": LARGE[::-1], "third": LARGE[100:]})
            assert await (mount.home / "large").read_bytes() == LARGE
            assert await (mount.home / "other").read_bytes() == LARGE[::-1]
            (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free))
            assert await (mount.home / "third").read_bytes() == LARGE[100:]
    finally:
        await trio.run_process(["umount", "-l", str(disk)], check=False)
