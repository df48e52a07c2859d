"""What is written and not sent yet: who waits for it, who need not, and what is told of it."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest
import trio

from agavesh.client import Agave
from agavesh.client.storage import SystemStorage
from tests.agavefs.mounting import Mount, mounted
from tests.agavefs.test_writing import rows, there
from tests.conftest import Tenant

later = pytest.mark.mount("--write-back")


async def queue(mount: Mount) -> list[str]:
    return (await (mount.path / ".agavefs/queue").read_text()).splitlines()


async def is_queued(mount: Mount, name: str, state: str) -> None:
    async def seen() -> bool:
        return any(line.startswith(state) and f"alice/{name}" in line for line in await queue(mount))

    await mount.until(seen)


async def test_the_queue_tells_what_is_on_its_way_and_how_far_it_has_come(mount: Mount) -> None:
    async with trio.open_nursery() as nursery:
        with mount.tenant.faults.holding_staging():
            nursery.start_soon(mount.sh, "head -c 5000000 /dev/zero > slow")
            await is_queued(mount, "slow", "on its way  5000000 of 5000000 bytes")
    assert await queue(mount) == []


@pytest.mark.mount(AGAVEFS_DEADLINES="progress=2")
async def test_the_queue_tells_what_keeps_a_file(mount: Mount) -> None:
    with mount.tenant.faults.refusing("files.importData", status=403, message="the project has ended"):
        await trio.Path(mount.folder / "f").write_bytes(b"1\n")
        done = await mount.run("cp", mount.folder / "f", mount.home)
        assert os.strerror(errno.EACCES) in done.stderr
        await is_queued(mount, "f", "tried again soon  2 of 2 bytes")
        assert "the project has ended" in "".join(await queue(mount))


async def test_who_waits_is_sent_away_and_what_he_waited_for_arrives(mount: Mount) -> None:
    ends: list[str] = []
    ended = trio.Event()

    async def copy() -> None:
        ends.append((await mount.run("cp", mount.folder / "f", mount.home)).stderr)
        ended.set()

    await trio.Path(mount.folder / "f").write_bytes(b"1" * 5_000_000)
    async with trio.open_nursery() as nursery:
        with mount.tenant.faults.holding_staging():
            nursery.start_soon(copy)
            await is_queued(mount, "f", "on its way")
            done = await mount.agavefs("detach", mount.home / "f")
            assert (done.returncode, done.stdout) == (0, f"{mount.path}: 1 sent away\n")
            await ended.wait()
            assert os.strerror(errno.EINTR) in ends[0]
    await mount.all_sent()
    assert there(mount, "f") == b"1" * 5_000_000


async def test_who_waits_elsewhere_goes_on_waiting(mount: Mount) -> None:
    async with trio.open_nursery() as nursery:
        with mount.tenant.faults.holding_staging():
            nursery.start_soon(mount.sh, "mkdir -p a && head -c 5000000 /dev/zero > a/f")
            await is_queued(mount, "a/f", "on its way")
            done = await mount.agavefs("detach", mount.home / "b")
            assert done.stdout == f"{mount.path}: 0 sent away\n"


@later
async def test_with_write_back_close_does_not_wait_and_the_platform_has_it_soon(mount: Mount) -> None:
    with mount.tenant.faults.slow("files.importData"):
        await mount.sh("printf 1 > one; printf 22 > two; cat one two")

        async def are_sent() -> bool:
            return [state for state, _ in rows(mount)] == ["sending", "sending"]

        await mount.until(are_sent)
    await mount.all_sent()
    assert (there(mount, "one"), there(mount, "two")) == (b"1", b"22")


@later
async def test_with_write_back_fsync_waits(mount: Mount) -> None:
    await mount.sh("dd if=/dev/zero of=f bs=1k count=1 conv=fsync 2>&1")
    assert there(mount, "f") == bytes(1024)
    assert rows(mount) == []


@later
async def test_with_write_back_what_is_closed_survives_a_kill(mount: Mount) -> None:
    with mount.tenant.faults.slow("files.importData"):
        await mount.sh("for n in 1 2 3; do echo $n > f$n; done")
        await mount.kill()
    await mount.start()
    await mount.all_sent()
    assert [there(mount, f"f{n}") for n in (1, 2, 3)] == [b"1\n", b"2\n", b"3\n"]


@later
async def test_with_write_back_umount_waits(mount: Mount) -> None:
    with mount.tenant.faults.slow("files.importData", 1.0):
        await mount.sh("echo 1 > f")
        assert (await mount.umount()).returncode == 0
    assert there(mount, "f") == b"1\n"


@later
async def test_with_write_back_what_is_written_again_on_its_way_arrives_as_it_was_last(mount: Mount) -> None:
    with mount.tenant.faults.slow("files.importData"):
        await mount.sh("echo 1 > f")
        await is_queued(mount, "f", "on its way")
    await mount.sh("for n in 2 3 4 5; do echo $n >> f; done; cat f")
    await mount.all_sent()
    assert there(mount, "f") == b"1\n2\n3\n4\n5\n"


_AGAIN = """
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[2])
for turn in range(100):
    with open(sys.argv[1], "wb", buffering=0) as file:
        file.write(b"%d\\n" % turn * 100)
    with open(sys.argv[1], "wb", buffering=0) as file:
        file.write(b"half")
        print(*(state for state, in db.execute("SELECT state FROM owed")))
        file.write(b" and half, of %d\\n" % turn)
"""


@later
async def test_with_write_back_nothing_is_sent_while_it_is_written_again(mount: Mount) -> None:
    (journal,) = mount.folder.glob("state/agavesh/*/mounts/cache/journal.db")
    done = await mount.run(sys.executable, "-c", _AGAIN, mount.home / "f", journal)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():  # what was closed before is kept, and stays where it is
        assert "writing" in line.split() and set(line.split()) <= {"writing", "sealed", "hidden"}
    await mount.all_sent()
    assert there(mount, "f") == b"half and half, of 99\n"


@later
async def test_with_write_back_names_follow_the_files_that_are_not_there_yet(mount: Mount) -> None:
    with mount.tenant.faults.refusing("files.importData", 503):
        await mount.sh("mkdir d; echo 1 > d/a; echo 2 > d/b; echo 3 > d/c")
        await mount.sh("mv d/a d/z; rm d/c; ls d")
    await mount.sh("mv d e; echo 4 > e/d; cat e/*")
    await mount.all_sent()
    folder = mount.tenant.path("data.demo", "/alice/e")
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"z": "1\n", "b": "2\n", "d": "4\n"}


@later
async def test_with_write_back_what_others_made_meanwhile_stays(mount: Mount, agave: Agave) -> None:
    with mount.tenant.faults.refusing("files.importData", 503):
        await mount.sh("printf ours > f")
        await is_queued(mount, "f", "tried again soon")
    # it comes again by itself, and finds theirs
    Path(mount.tenant.path("data.demo", "/alice/f")).write_bytes(b"theirs")
    await mount.all_sent()
    found = {path.name: path.read_bytes() for path in mount.tenant.path("data.demo", "/alice").glob("f*")}
    assert found.pop("f") == b"theirs" and list(found.values()) == [b"ours"]
    assert await SystemStorage(agave, "data.demo").stat("/alice/f")


@later
@pytest.mark.parametrize("over", [True, False])
async def test_with_write_back_what_others_made_meanwhile_stays_under_another_name(mount: Mount, over: bool) -> None:
    await mount.sh("printf old > f; [ $1 = False ] || printf other > g", str(over))
    await mount.all_sent()
    with mount.tenant.faults.refusing("files.importData", 503):
        await mount.sh("printf ours > f")
        await is_queued(mount, "f", "tried again soon")
        Path(mount.tenant.path("data.demo", "/alice/f")).write_bytes(b"theirs")
        await mount.sh("mv f g")
    await mount.all_sent()
    assert there(mount, "g") == b"theirs"
    (ours,) = mount.tenant.path("data.demo", "/alice").glob("g~conflict*")
    assert ours.read_bytes() == b"ours"


async def test_umount_gives_up_when_it_is_told_to(tenant: Tenant, tmp_path: Path) -> None:
    async with mounted(tenant, tmp_path, "--write-back") as mount:
        with tenant.faults.slow("files.importData"):
            await mount.sh("echo 1 > f")
            done = await mount.agavefs("umount", "--wait", "0", mount.path)
            assert done.returncode == 75
            assert "1 files could not be sent" in done.stderr
        await mount.start()
        await mount.all_sent()
        assert there(mount, "f") == b"1\n"
