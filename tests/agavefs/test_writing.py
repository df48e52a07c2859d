"""Writing through the kernel: when close returns the platform has it, and what is not there is never lost."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import trio

from agavesh.client import Agave
from agavesh.tenant.files.staging import Staging
from tests.agavefs.mounting import Mount

SOON = "metadata=2,read=2,progress=2"


def rows(mount: Mount) -> list[tuple[str, str]]:
    """What the journal says is owed: state and path."""
    (journal,) = mount.folder.glob("state/agavesh/*/mounts/cache/journal.db")
    with contextlib.closing(sqlite3.connect(journal)) as connection:
        return list(connection.execute("SELECT state, path FROM owed ORDER BY id"))


def there(mount: Mount, name: str) -> bytes:
    return mount.tenant.bytes("data.demo", f"/alice/{name}")


async def names_there(mount: Mount) -> list[str]:
    """All names in alice's folder on the platform's own disk, hidden ones too."""
    return sorted([path.name for path in await trio.Path(mount.tenant.path("data.demo", "/alice")).iterdir()])


async def test_when_close_returns_the_platform_has_it(mount: Mount) -> None:
    await mount.sh("printf 1,2 > r.csv")
    assert there(mount, "r.csv") == b"1,2"
    assert rows(mount) == []


async def test_a_replaced_file_keeps_its_history_and_leaves_nothing_beside_it(mount: Mount, agave: Agave) -> None:
    await mount.sh("echo one > f")
    before = {event.status for event in await agave.files.getHistory(systemId="data.demo", filePath="/alice/f")}
    names = await names_there(mount)
    await mount.sh("echo two > f")
    after = await agave.files.getHistory(systemId="data.demo", filePath="/alice/f")
    assert there(mount, "f") == b"two\n"
    assert before and before <= {event.status for event in after}
    assert await names_there(mount) == names


async def test_a_reader_on_the_platform_sees_the_old_file_or_the_new_one(mount: Mount) -> None:
    await mount.sh("head -c 8000000 /dev/zero | tr '\\0' a > f")
    seen: set[bytes] = set()
    async with trio.open_nursery() as nursery:

        async def look() -> None:
            while True:
                content = there(mount, "f")
                seen.add(content[:1] + content[-1:] + str(len(content)).encode())
                await trio.sleep(0)

        nursery.start_soon(look)
        await mount.sh("head -c 9000000 /dev/zero | tr '\\0' b > f")
        nursery.cancel_scope.cancel()
    assert seen <= {b"aa8000000", b"bb9000000"}


async def test_staging_that_takes_its_time_is_waited_for(mount: Mount) -> None:
    async with trio.open_nursery() as nursery:
        closed = trio.Event()

        async def write() -> None:
            await mount.sh("head -c 6000000 /dev/zero > slow")
            closed.set()

        with mount.tenant.faults.holding_staging():
            nursery.start_soon(write)

            async def on_its_way() -> bool:
                return bool(rows(mount)) and rows(mount)[0][0] == "sending"

            await mount.until(on_its_way)
            assert not closed.is_set()
        with trio.fail_after(20):
            await closed.wait()
    assert len(there(mount, "slow")) == 6_000_000


@pytest.mark.mount(AGAVEFS_DEADLINES=SOON)
async def test_an_error_from_close_means_not_there_yet(mount: Mount) -> None:
    with mount.tenant.faults.refusing("files.importData", status=500):
        done = await mount.run("sh", "-c", "echo kept | dd of=f status=none", cwd=mount.home)
        assert "closing output file 'f'" in done.stderr
        assert "on its way" not in await mount.status()
        assert "agave://data.demo//alice/f" in await mount.status()
        assert await mount.sh("cat f; ls") == "kept\nf\n"  # it is here all the same
    await mount.all_sent()
    assert there(mount, "f") == b"kept\n"
    assert rows(mount) == []


async def test_a_refusal_is_told_at_once(mount: Mount) -> None:
    with mount.tenant.faults.refusing("files.importData", status=403):
        with pytest.raises(PermissionError), trio.fail_after(10):
            await (mount.home / "f").write_bytes(b"kept")
    await (mount.home / "f").unlink()
    await mount.all_sent()


async def test_five_commands_into_one_file_arrive_whole(mount: Mount) -> None:
    await mount.sh("( for n in 1 2 3 4 5; do echo $n; sh -c 'echo by a child'; done ) > f")
    await mount.all_sent()
    assert there(mount, "f") == b"".join(b"%d\nby a child\n" % n for n in range(1, 6))


async def test_fsync_waits_for_the_platform(mount: Mount) -> None:
    def act() -> bytes:
        with (Path(mount.home) / "f").open("wb", buffering=0) as file:
            file.write(b"safe")
            os.fsync(file.fileno())
            found = there(mount, "f")
            file.write(b" and sound")
        return found

    assert await trio.to_thread.run_sync(act) == b"safe"
    assert there(mount, "f") == b"safe and sound"


async def test_an_empty_file_arrives(mount: Mount) -> None:
    await mount.sh("touch empty")
    await mount.all_sent()
    assert there(mount, "empty") == b""


async def test_what_was_owed_when_the_mount_was_killed_is_sent_by_the_next(mount: Mount) -> None:
    with mount.tenant.faults.slow("files.importData"):
        async with trio.open_nursery() as nursery:

            async def write() -> None:
                await mount.run("sh", "-c", "echo survivor > f", cwd=mount.home)

            nursery.start_soon(write)

            async def on_its_way() -> bool:
                return [state for state, _ in rows(mount)] == ["sending"]

            await mount.until(on_its_way)
            await mount.kill()
    await mount.start()
    await mount.all_sent()
    assert there(mount, "f") == b"survivor\n"
    assert rows(mount) == []


async def test_what_was_never_closed_is_kept_and_not_sent(mount: Mount) -> None:
    writer = await trio.to_thread.run_sync(lambda: (Path(mount.home) / "f").open("wb", buffering=0))
    await trio.to_thread.run_sync(writer.write, b"half")
    await mount.kill()
    with pytest.raises(OSError):
        writer.close()
    await mount.start()
    status = await mount.status()
    assert "never closed" in status
    spool = next(line.split()[-1] for line in status.splitlines() if "agave://data.demo//alice/f" in line)
    assert await trio.Path(spool).read_bytes() == b"half"
    (recovered,) = await (mount.path / ".agavefs/recovered").iterdir()
    assert await recovered.read_bytes() == b"half"
    assert "f" not in await names_there(mount)


async def test_what_a_dead_mount_left_goes_beside_what_others_wrote_since(mount: Mount, agave: Agave) -> None:
    await mount.sh("echo base > f")
    with mount.tenant.faults.slow("files.importData"):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: mount.run("sh", "-c", "echo ours > f", cwd=mount.home))

            async def on_its_way() -> bool:
                return [state for state, _ in rows(mount)] == ["sending"]

            await mount.until(on_its_way)
            await mount.kill()
    await agave.files.importData(systemId="data.demo", filePath="/alice", fileName="f", fileToUpload=b"theirs, longer")
    await mount.start()
    await mount.all_sent()
    names = await names_there(mount)
    (conflict,) = [name for name in names if name.startswith("f~conflict-")]
    assert (there(mount, "f"), there(mount, conflict)) == (b"theirs, longer", b"ours\n")
    assert not [name for name in names if name.startswith(".agavefs")]


async def test_umount_waits_for_what_is_on_its_way(mount: Mount) -> None:
    with mount.tenant.faults.refusing("files.importData", status=503, times=1):
        await mount.sh("touch f")  # sent after it is closed
        done = await mount.umount()
    assert done.returncode == 0, done.stderr
    assert there(mount, "f") == b""
    assert not mount.cards


@pytest.mark.mount(AGAVEFS_DEADLINES=SOON)
async def test_umount_says_what_could_not_be_sent(mount: Mount) -> None:
    with mount.tenant.faults.refusing("files.importData", status=500):
        await mount.run("sh", "-c", "echo kept > f", cwd=mount.home)
        done = await mount.umount()
        assert (done.returncode, "1 files could not be sent" in done.stderr) == (75, True)
    await mount.start()
    await mount.all_sent()
    assert there(mount, "f") == b"kept\n"


async def test_a_folder_that_others_have_filled_is_not_removed(mount: Mount, agave: Agave) -> None:
    await mount.sh("mkdir d; ls d")
    await agave.files.importData(systemId="data.demo", filePath="/alice/d", fileName="f", fileToUpload=b"x")
    with pytest.raises(OSError) as told:
        await (mount.home / "d").rmdir()
    assert told.value.errno == errno.ENOTEMPTY
    assert there(mount, "d/f") == b"x"


async def test_an_open_file_that_is_unlinked_can_still_be_read_to_its_end(mount: Mount) -> None:
    place = mount.tenant.path("data.demo", "/alice/large")
    place.write_bytes(b"0123456789abcdef" * 2**20)
    os.utime(place, (1e9, 1e9))
    async with await (mount.home / "large").open("rb", buffering=0) as file:
        assert await file.read(16) == b"0123456789abcdef"
        await (mount.home / "large").unlink()
        assert not await (mount.home / "large").exists()
        assert await mount.sh("ls -A") == ""
        await file.seek(-16, os.SEEK_END)
        assert await file.read() == b"0123456789abcdef"
    # what it was hidden as is gone with the last who had it open; the kernel tells of that after close has returned

    async def is_gone() -> bool:
        return await names_there(mount) == [] and rows(mount) == []

    await mount.until(is_gone)


async def test_what_is_unlinked_on_its_way_does_not_appear_afterwards(
    mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, taken = Staging.take, trio.Event()

    async def slow(self: Staging, *upload: Any, **options: Any) -> tuple[str, str]:
        await trio.sleep(0.5)  # in which a removal that waits for nobody overtakes it; no event tells of what waits
        done = await take(self, *upload, **options)
        taken.set()
        return done

    monkeypatch.setattr(Staging, "take", slow)

    def lock() -> None:
        """As git does: nothing is written, so that close waits for nothing, and the upload begins behind it."""
        os.close(os.open(mount.home / "lock", os.O_CREAT | os.O_EXCL | os.O_WRONLY))

    await trio.to_thread.run_sync(lock)

    async def begun() -> bool:
        return mount.tenant.faults.requests["files.importData"] == 1

    await mount.until(begun)
    await (mount.home / "lock").unlink()
    with trio.fail_after(20):
        await taken.wait()
    assert await names_there(mount) == []
    await trio.to_thread.run_sync(lock)


async def test_a_file_that_could_not_be_unlinked_is_sent_all_the_same(mount: Mount) -> None:
    await mount.sh("printf zero > f")

    def act() -> None:
        with (Path(mount.home) / "f").open("wb", buffering=0) as file:
            file.write(b"one")
            with mount.tenant.faults.refusing("files.delete", 403), pytest.raises(PermissionError):
                (Path(mount.home) / "f").unlink()
            file.write(b" two")

    await trio.to_thread.run_sync(act)
    assert there(mount, "f") == b"one two"
    await mount.sh("printf three >> f")
    assert there(mount, "f") == b"one twothree"


async def test_a_file_that_could_not_be_replaced_is_sent_all_the_same(mount: Mount) -> None:
    await mount.sh("echo new > new")

    def act() -> None:
        with (Path(mount.home) / "f").open("wb", buffering=0) as file:
            file.write(b"one")
            with mount.tenant.faults.refusing("files.manage", 403), pytest.raises(PermissionError):
                (Path(mount.home) / "new").rename(Path(mount.home) / "f")
            file.write(b" two")

    await trio.to_thread.run_sync(act)
    assert there(mount, "f") == b"one two"
    assert await names_there(mount) == ["f", "new"]


async def test_a_lock_that_others_hold_is_seen(mount: Mount, agave: Agave) -> None:
    await mount.sh("ls; test ! -e lock")
    await agave.files.importData(systemId="data.demo", filePath="/alice", fileName="lock", fileToUpload=b"theirs")
    with pytest.raises(FileExistsError):
        await trio.to_thread.run_sync(os.open, str(mount.home / "lock"), os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    assert await mount.sh("cat lock") == "theirs"


@pytest.mark.mount("--read-only")
async def test_a_read_only_mount_changes_nothing(mount: Mount) -> None:
    for line in ("echo x > f", "mkdir d", "touch f"):
        done = await mount.run("sh", "-c", line, cwd=mount.home)
        assert "Read-only file system" in done.stderr
    assert (await mount.home.stat()).st_mode & 0o222 == 0


async def test_two_writers_of_a_file_that_others_have_just_changed_lose_nothing(mount: Mount) -> None:
    place = mount.tenant.path("data.demo", "/alice/f")
    place.write_bytes(b"0123456789")
    os.utime(place, (4e9, 4e9))  # as if just now, for as long as the test takes

    def act() -> None:
        one, other = (os.open(mount.home / "f", os.O_RDWR) for _ in range(2))
        os.pwrite(one, b"a", 0)
        os.pwrite(other, b"b", 1)
        os.close(one)
        os.close(other)

    await trio.to_thread.run_sync(act)
    await mount.all_sent()
    assert there(mount, "f") == b"ab23456789"


@pytest.mark.mount("--cache-ttl=0")
async def test_what_others_have_put_in_the_place_of_ours_is_what_is_renamed(mount: Mount) -> None:
    await mount.sh("touch f; echo old > g")
    await mount.all_sent()
    mount.tenant.path("data.demo", "/alice/f").write_bytes(b"theirs\n")
    assert await mount.sh("mv f g; cat g") == "theirs\n"


@pytest.mark.mount("--cache-size=1M")
async def test_what_was_written_here_and_given_back_since_is_fetched_again(mount: Mount) -> None:
    for name in ("f", "g"):
        place = mount.tenant.path("data.demo", f"/alice/{name}")
        place.write_bytes(b"0123456789abcdef" * 200_000)
        os.utime(place, (1e9, 1e9))

    def act() -> bytes:
        with (Path(mount.home) / "f").open("r+b", buffering=0) as file:
            file.write(b"ours")
            os.fsync(file.fileno())
            (Path(mount.home) / "g").read_bytes()  # more than there is room for
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            file.seek(0)
            return file.read()

    assert await trio.to_thread.run_sync(act) == there(mount, "f")


async def test_what_is_new_has_the_mode_it_was_made_with(mount: Mount) -> None:
    program = "import os; os.mkdir('d', 0o1777); os.close(os.open('f', os.O_CREAT, 0o4755))"
    assert await mount.sh('umask 077; python3 -c "$1"; stat -c %a d f', program) == "1700\n4700\n"


async def test_a_name_that_is_too_long_is_told_as_that_also_when_it_is_looked_for(mount: Mount) -> None:
    for act in (Path.stat, Path.touch, Path.mkdir):
        with pytest.raises(OSError) as told:
            await trio.to_thread.run_sync(act, Path(mount.home) / ("x" * 256))
        assert told.value.errno == errno.ENAMETOOLONG


async def test_a_large_file_goes_up_and_comes_down_whole(mount: Mount) -> None:
    programs = "head -c 40000000 /dev/urandom > $1; cp $1 big; cmp $1 big; dd if=big of=again bs=3M; cmp big again"
    assert await mount.sh(programs, mount.folder / "big") == ""
    assert there(mount, "again") == (mount.folder / "big").read_bytes()
