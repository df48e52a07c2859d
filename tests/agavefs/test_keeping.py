"""What was fetched is kept: for the next mount, for the others, under a cap, and never wrong."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import pytest
import trio

from agavefs.shelf import Have, Shelf
from agavefs.spool import Spool, Spools
from agavesh.client.path import RemotePath
from tests.agavefs.mounting import Mount, mounted
from tests.agavefs.test_fetch import Shelf as Bytes
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


PLACE = RemotePath("system", "s", "/a")
VERSION = (5000, 1e9)


def spools_of(folder: Path, mount: str) -> Spools:
    return Spools(folder / "spools" / mount, room=2**30, shelf=Shelf(folder / "kept", "alice"))


def resting(spools: Spools, remote: RemotePath, content: bytes) -> Spool:
    spool = spools.make(remote, Bytes(b""), size=len(content), version=(len(content), 1e9))
    spools.take(spool)
    spool.fill(0, content)
    spools.drop(spool)
    return spool


def look(spools: Spools) -> Shelf:
    assert spools.shelf is not None
    spools.shelf.look(spools.folder)
    return spools.shelf


async def test_for_one_file_nobody_looks_at_all_of_the_shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spools = spools_of(tmp_path, "one")
    monkeypatch.setattr("agavefs.shelf._entries", None)
    resting(spools, PLACE, bytes(5000))
    await spools.put_away()
    assert spools.shelf is not None
    assert (spools.held, spools.shelf.total) == (0, 8192)


async def test_what_other_mounts_have_counts_once_and_what_is_open_is_not_let_go(tmp_path: Path) -> None:
    one, two = spools_of(tmp_path, "one"), spools_of(tmp_path, "two")
    resting(one, PLACE, bytes(5000))
    await one.put_away()
    assert look(two).total == 8192
    taken = two.fetched(PLACE, Bytes(b""), VERSION)
    assert taken is not None
    assert look(one).total == 8192  # the same bytes by another name
    assert one.shelf is not None
    assert one.shelf.evict(1) == 0
    held = resting(two, PLACE._replace(path="/b"), bytes(2**20))
    assert held.path.exists()
    assert look(one).total == 8192 + 2**20
    two.detach(taken)
    two.rest(taken)
    assert look(one).evict(1) == 8192
    assert one.shelf.clear() == 0
    assert look(one).total == 2**20


async def test_what_came_and_went_while_it_was_put_on_the_disk_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spools = spools_of(tmp_path, "one")
    spool = resting(spools, PLACE, bytes(2**20))

    def prepare(files: list[tuple[Path, Have | None]]) -> None:
        spool.drop(0, 4096)
        spool.fill(0, bytes(4096))

    monkeypatch.setattr(spools.shelf, "prepare", prepare)
    await spools.put_away()
    assert spools.find(PLACE, (2**20, 1e9)) is spool


async def test_what_cannot_be_put_on_the_shelf_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spools = spools_of(tmp_path, "one")
    resting(spools, PLACE, bytes(2**20))

    def put(*_: object, **__: object) -> None:
        raise OSError(28, "full")

    monkeypatch.setattr(spools.shelf, "put", put)
    await spools.put_away()
    assert (spools.held, list(spools.folder.iterdir())) == (0, [])


@pytest.mark.parametrize("below", ["", "/deep/f"])
async def test_what_is_moved_leaves_no_bytes_under_its_old_name(tmp_path: Path, below: str) -> None:
    spools = spools_of(tmp_path, "one")
    a, b, x = (RemotePath("system", "s", f"/{name}{below}") for name in "abx")
    tops = {name: RemotePath("system", "s", f"/{name}") for name in "abx"}
    resting(spools, a, b"a" * 5000)
    resting(spools, b, b"b" * 5000)
    await spools.put_away()
    spools.moved(tops["a"], tops["x"])
    spools.moved(tops["b"], tops["a"])
    assert spools.fetched(a, Bytes(b""), VERSION) is None
    resting(spools, a, b"b" * 5000)
    await spools.put_away()
    for found in (spools, spools_of(tmp_path, "two")):  # and what is put there from now on is found
        spool = found.fetched(a, Bytes(b""), VERSION)
        assert spool is not None
        assert spool.read(0, 1) == b"b"
    assert spools.fetched(x, Bytes(b""), VERSION) is None


def test_what_is_replaced_by_a_move_is_found_no_more(tmp_path: Path) -> None:
    spools = spools_of(tmp_path, "one")
    resting(spools, PLACE, b"a" * 5000)
    spools.moved(PLACE._replace(path="/b"), PLACE)
    assert spools.fetched(PLACE, Bytes(b""), VERSION) is None


@pytest.mark.parametrize("size", [5000, 2**20])
def test_what_somebody_is_about_to_read_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    def punch(fd: int, start: int, stop: int) -> None:
        raise OSError(95, "no holes here")

    monkeypatch.setattr("agavefs.spool.punch", punch)
    spool = resting(spools_of(tmp_path, "one"), PLACE, b"a" * size)
    with spool.pinned(0, 10):
        spool.drop(4096, size)
        assert spool.present.has(0, 10)
        assert spool.read(0, 10) == b"a" * 10
