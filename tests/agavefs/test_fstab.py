"""Lines of /etc/fstab, by mount(8) itself, and the unit for systemd."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from agavefs import fstab
from tests.agavefs.mounting import LONG, Mount, possible
from tests.agavefs.test_mounting import ordinary_user
from tests.agavefs.test_reading import plant
from tests.conftest import Tenant

__all__ = ["ordinary_user"]  # a fixture

UNIT = Path(__file__).parents[2] / "agavefs/agavefs@.service"
ALICE = "agave://data.demo//alice"
HELPER = Path(sys.executable).parent / "mount.agavefs"

mounting = pytest.mark.skipif(not possible, reason="there is no /dev/fuse here")


@pytest.fixture
def kind() -> Iterator[str]:
    """A type of filesystem whose helper is ours. mount(8) looks for helpers in /sbin alone."""
    if os.getuid() != 0:
        pytest.skip("only root can link a helper into /sbin")
    if not HELPER.exists():
        pytest.skip(f"{HELPER} is not installed")
    name = f"agavefs{os.getpid()}"
    link = Path(f"/sbin/mount.{name}")
    link.symlink_to(HELPER)
    try:
        yield name
    finally:
        link.unlink()


def table(mount: Mount, *lines: str) -> Path:
    file = mount.folder / "fstab"
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


@mounting
async def test_lines_of_fstab_mount_once(tenant: Tenant, tmp_path: Path, kind: str) -> None:
    mount = Mount(tenant, tmp_path / "mount")
    other = mount.folder / "other"
    other.mkdir()
    await plant(mount, {"f": b"bytes\n"})
    file = table(
        mount,
        f"{ALICE} {mount.path} {kind} ro,_netdev,x-systemd.automount,cache-ttl=20 0 0",
        f"agave:// {other} {kind} noauto,cache-size=100M 0 0",
    )
    try:
        done = await mount.run("mount", "-a", "-T", file)
        assert (done.returncode, done.stderr) == (0, "")
        assert (await mount.run("cat", mount.path / "f")).stdout == "bytes\n"
        again = await mount.run("mount", "-a", "-T", file)
        assert (again.returncode, again.stderr) == (0, "")
        done = await mount.run("mount", "-T", file, other)
        assert (done.returncode, done.stderr) == (0, "")
        assert sorted(path.name for path in await trio.Path(other).iterdir()) == ["apps", "jobs", "systems"]
        mounts = [
            line.split()[:4] for line in Path("/proc/self/mounts").read_text().splitlines() if str(tmp_path) in line
        ]
        assert [line[:3] for line in mounts] == [
            [ALICE, str(mount.path), "fuse.agavefs"],
            ["agave://", str(other), "fuse.agavefs"],
        ]
        assert mounts[0][3].startswith("ro,")
    finally:
        assert (await mount.umount()).returncode == 0
        assert (await mount.agavefs("umount", other)).returncode == 0


@mounting
async def test_what_keeps_a_line_from_being_mounted_is_told(tenant: Tenant, tmp_path: Path, kind: str) -> None:
    mount = Mount(tenant, tmp_path / "mount")
    file = table(mount, f"{ALICE}/nothing {mount.path} {kind} defaults 0 0")
    done = await mount.run("mount", "-T", file, mount.path)
    assert (done.returncode, "nothing" in done.stderr) == (fstab.FAILED, True)


# in a space of its own: the table is the machine's, and an interpreter in root's home can be read by all
ALONE = """
set -e
python=$1 place=$2 user=$3 by=$4 mountpoint=$5 agavefs=$6 private=~root
case "$python" in "$private"/*)
    mkdir "$place/python"
    mount --bind "$python" "$place/python"
    mount -t tmpfs -o mode=755 none "$private"
    mkdir -p "$python"
    mount --bind "$place/python" "$python"
esac
mount --bind "$place/user/fstab" /etc/fstab
mount -t tmpfs -o mode=755 none /home
mkdir "/home/$user"
chown "$user" "/home/$user"
unset XDG_STATE_HOME
as="env HOME=/home/$user setpriv --reuid=$user --regid=$(id -g "$user") --clear-groups --inh-caps=-all --"
trap 'umount -l "$mountpoint" 2>/dev/null || :' EXIT
if [ "$by" = user ]; then $as mount "$mountpoint"; else mount "$mountpoint"; fi
$as sh -c 'echo mine > "$1/f"; stat -c %U "$1/f"' sh "$mountpoint"
$as "$agavefs" umount "$mountpoint"
"""


@mounting
@pytest.mark.parametrize("by", ["user", "setuid"])
async def test_an_ordinary_user_has_a_line_too(tenant: Tenant, kind: str, ordinary_user: str, by: str) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as place:  # pytest's folders are closed to others
        mount = Mount(tenant, Path(place) / "user")
        table(mount, f"{ALICE} {mount.path} {kind} noauto,{'user' if by == 'user' else f'setuid={ordinary_user}'} 0 0")
        subprocess.run(["chown", "-R", ordinary_user, place], check=True)
        words = [sys.base_prefix, place, ordinary_user, by, mount.path, HELPER.with_name("agavefs")]
        done = await mount.run("unshare", "--mount", "sh", "-c", ALONE, "sh", *words)
        assert (done.returncode, done.stdout) == (0, f"{ordinary_user}\n"), done.stderr
        assert tenant.bytes("data.demo", "/alice/f") == b"mine\n"


def test_the_options_that_a_line_may_have_are_those_of_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "agavefs", "mount", "--help"], capture_output=True, text=True, check=True
    )
    for name in fstab.LONG:
        assert f"--{name}" in done.stdout


def test_mounting_for_others_and_for_nobody_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert fstab.main([ALICE, str(tmp_path), "-o", "setuid=nobody-of-this-name"]) == fstab.WRONG
    assert "no user nobody-of-this-name" in capsys.readouterr().err
    assert fstab.main([ALICE]) == fstab.WRONG
    assert fstab.main([ALICE, str(tmp_path), "-f"]) == 0


@mounting
async def test_a_service_manager_is_told_when_the_mount_answers(tenant: Tenant, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as place, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{place}/notify")
        mount = Mount(tenant, tmp_path / "mount", NOTIFY_SOCKET=f"{place}/notify")
        async with trio.open_nursery() as nursery:
            words = [sys.executable, "-m", "agavefs", "mount", "--foreground", ALICE, str(mount.path)]
            process = await nursery.start(
                lambda task_status: trio.run_process(words, env=mount.environ, task_status=task_status)
            )
            with trio.fail_after(LONG):
                await trio.lowlevel.wait_readable(manager)
                assert manager.recv(100) == b"READY=1"
                assert await mount.path.is_mount()
                process.terminate()
                await process.wait()
    assert process.returncode == 0


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    program = tmp_path / ".local/bin/agavefs"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "agavefs@home-alice-agave.service"
    unit.write_text(UNIT.read_text())
    environ = os.environ | {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(
        ["systemd-analyze", "--user", "verify", str(unit)], env=environ, capture_output=True, text=True, check=False
    )
    told = [line for line in (done.stdout + done.stderr).splitlines() if "agavefs" in line]
    assert (done.returncode, told) == (0, [])
    program.unlink()
    done = subprocess.run(
        ["systemd-analyze", "--user", "verify", str(unit)], env=environ, capture_output=True, text=True, check=False
    )
    assert "is not executable" in done.stdout + done.stderr  # so it has been looked at
