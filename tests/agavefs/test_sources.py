"""A mount of one system, one folder or one job: all that a mount of the whole tree does, from there."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from agavefs import cli
from agavesh.client import Agave
from tests.agavefs.mounting import Mount, mounted, possible
from tests.agavefs.test_jobs import reached, submitted
from tests.agavefs.test_reading import plant as put
from tests.conftest import Tenant

ALICE = "agave://data.demo//alice"

pytestmark = pytest.mark.skipif(not possible, reason="there is no /dev/fuse here")


@pytest.fixture
def source() -> str:
    """What `mount` shows, unless a test says otherwise."""
    return ALICE


@pytest.fixture
async def mount(tenant: Tenant, tmp_path: Path, source: str) -> AsyncIterator[Mount]:
    async with mounted(tenant, tmp_path / "mount", source=source) as there:
        yield there


async def plant(mount: Mount, files: dict[str, bytes]) -> None:
    """Put files there, and have the mount look anew, if it is there: it has listed its root as it came up."""
    await put(mount, files)
    if mount.cards:
        assert (await mount.agavefs("refresh", mount.path)).returncode == 0


async def test_a_folder_is_the_root(mount: Mount) -> None:
    await plant(mount, {"f": b"bytes\n", "sub/g": b"more\n"})
    assert sorted([path.name for path in await mount.path.iterdir()]) == ["f", "sub"]
    assert await mount.sh("cat f sub/g") == "bytes\nmore\n"
    told = await mount.agavefs("status")
    assert f"{mount.path}  alice@{mount.tenant.url}  {ALICE}  since" in told.stdout
    assert f"source      {ALICE}\n" in await mount.status()
    assert f"{ALICE} {mount.path} fuse.agavefs" in await trio.Path("/proc/self/mounts").read_text()
    assert os.statvfs(mount.path).f_namemax == 255


async def test_what_is_written_at_the_root_arrives(mount: Mount) -> None:
    await mount.sh("echo one > f; mkdir d; echo two > d/g; mv d/g .; rmdir d; chmod 600 f; rm -f nothing; mv f h")
    assert mount.tenant.bytes("data.demo", "/alice/h") == b"one\n"
    assert mount.tenant.bytes("data.demo", "/alice/g") == b"two\n"
    assert await mount.sh("ls") == "g\nh\n"
    assert await mount.sh("stat -c %a h") == "600\n"


async def test_numbers_of_inodes_stay_at_the_next_mount(mount: Mount) -> None:
    await mount.sh("mkdir d; touch d/f g")
    line = "stat -c '%i %n' . d d/f g"
    before = await mount.sh(line)
    await mount.umount()
    await mount.start()
    assert await mount.sh(line) == before


async def test_a_name_of_the_mounts_own_goes_before_one_of_the_platform(mount: Mount) -> None:
    await plant(mount, {".agavefs": b"theirs\n", "f": b"\n"})
    assert await mount.sh("ls -A") == "f\n"
    assert "account" in await mount.status()
    assert await mount.sh("ls -A") == "f\n"
    assert "account" in await mount.status()


async def test_what_a_crash_left_is_sent_by_any_mount_of_the_account(mount: Mount, tmp_path: Path) -> None:
    with mount.tenant.faults.slow("files.importData"):
        process = await trio.lowlevel.open_process(["sh", "-c", 'echo mine > "$1/f"', "sh", str(mount.path)])

        async def is_owed() -> bool:
            return any(f"{ALICE}/f" in line and "on its way" in line for line in (await mount.status()).splitlines())

        await mount.until(is_owed)
        await mount.kill()
        await process.wait()
    mount.source = ""  # the whole tree
    await mount.start()
    await mount.all_sent()
    assert mount.tenant.bytes("data.demo", "/alice/f") == b"mine\n"


async def test_the_first_look_costs_no_more_than_was_asked_for_as_the_mount_came_up(
    tenant: Tenant, tmp_path: Path
) -> None:
    tenant.path("data.demo", "/alice/f").write_bytes(b"1")
    tenant.faults.requests.clear()
    async with mounted(tenant, tmp_path / "mount", source=ALICE) as mount:
        assert await mount.sh("ls") == "f\n"
        assert mount.counted()["files.list"] <= 2  # the folder, and whether that was all of it


@pytest.mark.parametrize("source", ["agave://data.demo"])
async def test_a_home_by_its_uri_is_the_root(mount: Mount) -> None:
    await plant(mount, {"f": b"1"})
    assert await mount.sh("ls") == "f\n"


@pytest.mark.parametrize("source", ["/systems/data.demo"])
async def test_a_system_is_the_root(mount: Mount) -> None:
    await plant(mount, {"f": b"bytes\n"})
    assert await (mount.path / "alice/f").read_bytes() == b"bytes\n"
    assert str(await (mount.path / "~").readlink()) == "alice"
    assert await (mount.path / "~/f").read_bytes() == b"bytes\n"


@pytest.mark.parametrize("source", ["job:{}", "/jobs/{}", "/jobs/latest"])
async def test_a_job_is_the_root(tenant: Tenant, agave: Agave, tmp_path: Path, source: str) -> None:
    job = await submitted(agave, appId="ticker-1.0", parameters={"lines": 1000, "delay": 0.05})
    await reached(agave, job, "RUNNING")
    async with mounted(tenant, tmp_path / "mount", source=source.format(job)) as mount:
        outputs = mount.path if source.startswith("job:") else mount.path / "outputs"

        async def has_grown() -> bool:
            done = await mount.run("sh", "-c", "cat ./*.out", cwd=outputs)
            return done.stdout.count("\n") > 3

        await mount.until(has_grown)
        with pytest.raises(OSError) as told:
            await (outputs / "new").touch()
        assert told.value.errno == errno.EROFS
        await agave.jobs.manage(jobId=job, body={"action": "stop"})
        await reached(agave, job, "STOPPED", "KILLED", "FAILED")
        if outputs is not mount.path:

            async def has_ended() -> bool:
                return await (mount.path / "status").read_text() != "RUNNING\n"

            await mount.until(has_ended)
        (out,) = [path for path in await outputs.iterdir() if path.name.endswith(".out")]

        async def is_whole() -> bool:  # the mount has heard that the job has ended, and keeps the bytes from now on
            await out.read_bytes()
            tenant.faults.requests.clear()
            await out.read_bytes()
            return not tenant.faults.requests["jobs.downloadOutput"]

        await mount.until(is_whole)
        assert (await out.stat()).st_size == len(await out.read_bytes())


@pytest.mark.parametrize(
    ("source", "status", "words"),
    [
        (f"{ALICE}/nothing", cli.EX_NOINPUT, "nothing"),
        (f"{ALICE}/file", cli.EX_NOINPUT, "no folder"),
        ("/nothing", cli.EX_NOINPUT, "nothing"),
        ("job:0001-007", cli.EX_NOINPUT, "0001-007"),
        ("agave:///x", cli.EX_NOINPUT, "names no system"),
    ],
)
async def test_a_source_that_is_no_folder_is_told_before_anything_is_mounted(
    tenant: Tenant, tmp_path: Path, source: str, status: int, words: str
) -> None:
    mount = Mount(tenant, tmp_path / "mount")
    await plant(mount, {"file": b"\n"})
    done = await mount.agavefs("mount", source, mount.path)
    assert (done.returncode, "can't be mounted" in done.stderr, words in done.stderr) == (status, True, True)
    assert not await mount.path.is_mount()
    assert not mount.cards


async def test_a_folder_that_may_not_be_seen_is_told(tenant: Tenant, tmp_path: Path) -> None:
    mount = Mount(tenant, tmp_path / "mount")
    with tenant.faults.refusing("files.list", status=403):
        done = await mount.agavefs("mount", ALICE, mount.path)
    assert (done.returncode, "can't be mounted" in done.stderr) == (cli.EX_NOPERM, True)


async def test_a_platform_that_is_down_is_mounted_and_found_later(tenant: Tenant, tmp_path: Path) -> None:
    mount = Mount(tenant, tmp_path / "mount", AGAVEFS_DEADLINES="metadata=1,read=1,progress=1")
    await plant(mount, {"f": b"bytes\n"})
    with tenant.faults.refusing("*", status=503):
        done = await mount.agavefs("mount", ALICE, mount.path)
        assert done.returncode == 0, done.stderr
        try:
            with pytest.raises(OSError):
                await trio.to_thread.run_sync(os.listdir, str(mount.path))
        except BaseException:
            await mount.umount()
            raise
    try:

        async def is_there() -> bool:
            done = await mount.run("cat", mount.path / "f")
            return done.stdout == "bytes\n"

        await mount.until(is_there)
    finally:
        await mount.umount()


@pytest.mark.parametrize("words", [("-r", ALICE, "{}"), (ALICE, "-r", "{}"), (ALICE, "{}", "-r")])
async def test_options_may_stand_anywhere(tenant: Tenant, tmp_path: Path, words: tuple[str, ...]) -> None:
    mount = Mount(tenant, tmp_path / "mount")
    done = await mount.agavefs("mount", *(word.format(mount.path) for word in words))
    assert done.returncode == 0, done.stderr
    try:
        with pytest.raises(OSError) as told:
            await (mount.path / "f").touch()
        assert told.value.errno == errno.EROFS
    finally:
        await mount.umount()


async def test_a_folder_that_others_remove_and_make_again_is_seen(tenant: Tenant, tmp_path: Path, agave: Agave) -> None:
    make = {"systemId": "data.demo", "filePath": "/alice", "body": {"action": "mkdir", "path": "sub"}}
    await agave.files.manage(**make)
    async with mounted(tenant, tmp_path / "mount", "--cache-ttl=0.2", source=f"{ALICE}/sub") as mount:
        await agave.files.delete(systemId="data.demo", filePath="/alice/sub")

        async def is_gone() -> bool:
            return (await mount.run("ls", mount.path)).returncode != 0

        await mount.until(is_gone)
        await agave.files.manage(**make)

        async def is_back() -> bool:
            return (await mount.run("ls", mount.path)).returncode == 0

        await mount.until(is_back)
