"""The command: what it mounts, for whom, and what it says when it can't."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from agavefs import cli
from tests.agavefs.mounting import Mount, kill_keeper
from tests.agavefs.test_reading import plant
from tests.conftest import Tenant

SOON = "metadata=1,read=1,progress=1"


async def test_a_mount_answers_when_the_command_returns_and_is_gone_after_umount(mount: Mount) -> None:
    assert await mount.path.is_mount()
    told = await mount.agavefs("status")
    assert str(mount.path) in told.stdout
    assert f"alice@{mount.tenant.url}" in told.stdout
    pid = mount.pid
    assert (await mount.umount()).returncode == 0
    assert not await mount.path.is_mount()
    assert not await trio.Path(f"/proc/{pid}/exe").exists()
    assert (await mount.agavefs("status")).stdout == ""
    again = await mount.umount()
    assert (again.returncode, again.stderr) == (cli.EX_OSERR, f"agavefs: nothing is mounted on {mount.path}\n")


async def test_status_tells_of_the_platform_and_of_what_is_not_sent(mount: Mount) -> None:
    mount.environ["AGAVEFS_DEADLINES"] = SOON
    await mount.umount()
    await mount.start()
    with mount.tenant.faults.refusing("files.importData", status=503):
        await mount.run("sh", "-c", "echo x > f", cwd=mount.home)
        told = (await mount.agavefs("status")).stdout
    lines = dict(line.strip().split(maxsplit=1) for line in told.splitlines())
    assert "1 files not sent yet" in told
    assert lines["platform"] == "answers"
    assert lines["answered"].endswith(" s ago")
    assert lines["offline"] == "not allowed"
    assert lines["not"] == "sent    1"
    assert "agave://data.demo//alice/f  files.importData" in told
    found = re.fullmatch(
        r"(\d+) under way of (\d+) \(at most 64\), 0 waiting, (\d+) so far, (\d+) throttled", lines["requests"]
    )
    assert found is not None
    assert int(found[3]) >= mount.counted()["files.importData"]
    await mount.all_sent()


async def test_mounts_of_one_tenant_share_its_connections(mount: Mount) -> None:
    async def most(number: int) -> bool:
        return f"(at most {number})" in await mount.status()

    await mount.until(lambda: most(64))
    second = mount.folder / "second"
    second.mkdir()
    assert (await mount.agavefs("mount", second)).returncode == 0
    try:
        await mount.until(lambda: most(32))
    finally:
        assert (await mount.agavefs("umount", second)).returncode == 0
    await mount.until(lambda: most(64))


async def test_what_keeps_a_mount_from_starting_is_told(mount: Mount) -> None:
    again = await mount.agavefs("mount", mount.path)
    assert (again.returncode, "already" in again.stderr) == (cli.EX_OSERR, True)
    nowhere = await mount.agavefs("mount", mount.folder / "nowhere")
    assert (nowhere.returncode, "No such file" in nowhere.stderr) == (cli.EX_OSERR, True)
    wrong = await mount.agavefs("mount", "--no-such-option", mount.folder)
    assert wrong.returncode == cli.EX_USAGE


@pytest.mark.skipif(os.getuid() != 0, reason="only root has a capability to drop")
async def test_a_container_that_may_not_mount_is_told(mount: Mount) -> None:
    await mount.umount()
    mount.prefix = ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")
    done = await mount.agavefs("mount", mount.path)
    assert (done.returncode, "--cap-add SYS_ADMIN" in done.stderr) == (cli.EX_UNAVAILABLE, True)


async def test_a_busy_mount_stays(mount: Mount) -> None:
    async with await (mount.path / "apps/wordcount-1.0/app.json").open():
        done = await mount.umount()
        assert (done.returncode, "busy" in done.stderr) == (cli.EX_OSERR, True)
        assert await mount.path.is_mount()


@pytest.mark.mount("-o", "ro,nosuid,_netdev,x-systemd.automount", "-o", "wonderful")
async def test_options_of_mount_are_taken(mount: Mount) -> None:
    with pytest.raises(OSError) as told:
        await (mount.home / "f").touch()
    assert told.value.errno == errno.EROFS
    mounts = await trio.Path("/proc/self/mounts").read_text()
    (line,) = [line for line in mounts.splitlines() if str(mount.path) in line]
    assert "fuse.agavefs ro,nosuid" in line


async def test_sigterm_sends_what_is_sealed_and_unmounts(mount: Mount) -> None:
    await mount.sh("touch f")
    process = os.pidfd_open(mount.pid)
    os.kill(mount.pid, signal.SIGTERM)
    with trio.fail_after(30):
        await trio.lowlevel.wait_readable(process)
    os.close(process)
    assert not await mount.path.is_mount()
    assert mount.tenant.bytes("data.demo", "/alice/f") == b""


async def test_sigterm_ends_a_busy_mount_too(mount: Mount) -> None:
    file = await trio.to_thread.run_sync((Path(mount.home) / "f").open, "wb")
    process = os.pidfd_open(mount.pid)
    os.kill(mount.pid, signal.SIGTERM)
    with trio.fail_after(30):
        await trio.lowlevel.wait_readable(process)
    os.close(process)
    assert not await mount.path.is_mount()
    with pytest.raises(OSError):
        file.close()


async def test_a_mount_that_was_killed_makes_room_for_the_next(mount: Mount) -> None:
    pid = mount.pid
    process = os.pidfd_open(pid)
    kill_keeper(pid)
    os.kill(pid, signal.SIGKILL)
    await trio.lowlevel.wait_readable(process)
    os.close(process)
    with pytest.raises(OSError) as told:
        await mount.path.stat()
    assert told.value.errno == errno.ENOTCONN
    await mount.start()
    assert await (mount.path / "systems").is_dir()


async def test_control_tells_of_the_mount_and_is_not_listed(mount: Mount) -> None:
    assert ".agavefs" not in [path.name for path in await mount.path.iterdir()]
    assert f"account     alice@{mount.tenant.url}" in await mount.status()
    assert await (mount.path / ".agavefs/errors").read_text() == ""


@pytest.mark.mount(AGAVEFS_DEADLINES=SOON)
async def test_a_platform_that_does_not_answer_holds_a_program_for_its_deadline_only(mount: Mount) -> None:
    await mount.sh("echo old > f; touch -d 2001-01-01 f")
    await plant(mount, {"g": b"large\n", "h": b"h\n"})  # not by the mount, which would keep their bytes
    await mount.umount()
    await mount.start()
    with mount.tenant.faults.slow("*"):
        for act in (
            mount.home.stat,
            lambda: trio.to_thread.run_sync(os.listdir, str(mount.path / "systems/data.demo")),
            (mount.path / "jobs/latest").readlink,
        ):
            with pytest.raises(TimeoutError):
                await act()
    assert await mount.sh("cat f") == "old\n"
    with mount.tenant.faults.slow("files.download"), pytest.raises(TimeoutError):
        await (mount.home / "g").read_bytes()
    with mount.tenant.faults.slow("files.importData"), pytest.raises(TimeoutError):
        await (mount.home / "new").write_bytes(b"x")
    with mount.tenant.faults.slow("files.download"), pytest.raises(TimeoutError):
        await trio.to_thread.run_sync(os.truncate, str(mount.home / "h"), 1)
    assert "no answer from the platform" in await (mount.path / ".agavefs/errors").read_text()
    assert await mount.sh("cat g") == "large\n"


async def test_errors_of_the_platform_are_told_as_what_they_are(mount: Mount) -> None:
    await mount.sh("echo x > f")
    await mount.umount()
    await mount.start()
    faults = mount.tenant.faults
    await mount.home.stat()
    for fault, number in (
        (faults.refusing("files.list", status=403), errno.EACCES),
        (faults.malforming("files.list"), errno.EIO),
        (faults.html("files.list", status=500), errno.EIO),
    ):
        with fault, pytest.raises(OSError) as told:
            await trio.to_thread.run_sync(os.listdir, str(mount.home))
        assert told.value.errno == number

    async def back() -> bool:  # a platform that was in trouble for so long is tried again after a moment
        return (await mount.run("ls", mount.home)).stdout == "f\n"

    await mount.until(back)


async def test_expired_tokens_are_renewed_without_a_word(mount: Mount) -> None:
    await mount.sh("echo one > f")
    mount.tenant.faults.expire_tokens()
    assert await mount.sh("echo two > g; cat f; ls") == "one\nf\ng\n"


def test_without_pyfuse3_the_command_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "pyfuse3.py").write_text("raise ImportError")
    done = subprocess.run(
        [sys.executable, "-m", "agavefs", "mount", str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == cli.EX_UNAVAILABLE
    assert "pip install pyfuse3" in done.stderr
    assert "apt install libfuse3-dev fuse3 pkg-config gcc" in done.stderr


def test_mounting_loads_no_shell_and_no_tenant() -> None:
    heavy = "prompt_toolkit", "starlette", "agavesh.tenant", "agavesh.shell"
    program = f"import sys, agavefs.mount; print(*[name for name in sys.modules if name.startswith({heavy})])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


async def test_an_ordinary_user_mounts_and_works(tenant: Tenant, ordinary_user: str) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as place:  # pytest's folders are closed to others
        mount = Mount(tenant, Path(place) / "user")
        subprocess.run(["chown", "-R", ordinary_user, place], check=True)
        # the interpreter may stand in root's home: read there, and nothing more
        mount.prefix = ("setpriv", f"--reuid={ordinary_user}", "--regid=nogroup", "--clear-groups")
        mount.prefix += ("--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search", "--")
        await mount.start()
        try:
            assert (await mount.run("stat", "-f", "-c", "%T", mount.path)).stdout == "fuseblk\n"
            line = ["sh", "-c", 'cd "$1" && echo mine > f && cat f && stat -c %U f && id -un', "sh", mount.home]
            assert (await mount.run(*line)).stdout == f"mine\n{ordinary_user}\n{ordinary_user}\n"
            with pytest.raises(PermissionError):
                await mount.home.stat()  # nobody else's, not even root's
        finally:
            done = await mount.umount()
        assert done.returncode == 0, done.stderr
        assert tenant.bytes("data.demo", "/alice/f") == b"mine\n"


@pytest.fixture
def ordinary_user() -> Iterator[str]:
    """A user who is nobody special, on a machine where such users may mount."""
    if os.getuid() != 0 or shutil.which("useradd") is None or shutil.which("setpriv") is None:
        pytest.skip("only root can make a user")
    name = f"agavefs{os.getpid()}"
    device = Path("/dev/fuse")
    mode = device.stat().st_mode
    subprocess.run(["useradd", "--no-create-home", name], check=True)
    try:
        device.chmod(0o666)  # as udev has it; there may be none in a container
        yield name
    finally:
        device.chmod(stat.S_IMODE(mode))
        subprocess.run(["userdel", name], check=True)


@pytest.mark.mount("--cache-ttl=0.5")
async def test_status_counts_only_what_would_be_shown_and_says_how_old_that_may_be(mount: Mount) -> None:
    await mount.sh("ls")
    await mount.grows_old(1)  # than it is believed
    lines = dict(line.split(maxsplit=1) for line in (await mount.status()).splitlines())
    kept, shown = int(lines["listings"].split()[0]), int(lines["shown"].split()[0])
    assert 0 <= shown < kept
    found = re.fullmatch(r"\d+ of them, the oldest of (\d+) s, no older than (\d+) s", lines["shown"])
    assert found is not None
    assert int(found[1]) <= int(found[2])


async def test_a_folder_that_holds_its_own_cache_is_not_mounted_on(mount: Mount) -> None:
    done = await mount.agavefs("mount", mount.folder / "state")
    assert (done.returncode, "the mount's own state is in there" in done.stderr) == (71, True)
    await (trio.Path(mount.folder) / "here/cache").mkdir(parents=True)
    done = await mount.agavefs("mount", "--cache-dir", mount.folder / "here/cache", mount.folder / "here")
    assert (done.returncode, "the mount's own cache is in there" in done.stderr) == (71, True)
