"""A mount that dies is mounted again, with what it owed; one that is unmounted is not."""

from __future__ import annotations

import contextlib
import errno
import os
import signal

import pytest
import trio

from tests.agavefs.mounting import Mount, keeper
from tests.agavefs.test_writing import there


async def crash(mount: Mount) -> int:
    """Kill the mount alone; the process that has taken its place, when that answers."""
    before = mount.pid
    mount.trouble_expected = True
    os.kill(before, signal.SIGKILL)

    async def is_back() -> bool:
        pids = [card["pid"] for card in mount.cards]
        try:
            return pids not in ([before], []) and "not sent" in await mount.status()
        except OSError as trouble:
            assert trouble.errno in (errno.ENOTCONN, errno.ENOENT)
            return False

    await mount.until(is_back)
    return mount.pid


async def test_a_mount_that_dies_is_mounted_again_by_itself(mount: Mount) -> None:
    await mount.sh("echo 1 > f")
    parent = keeper(mount.pid)
    assert parent is not None
    again = await crash(mount)
    assert keeper(again) == parent
    assert await mount.sh("cat f") == "1\n"
    assert "the mount died (-9): mounting again" in mount.log


@pytest.mark.mount("--write-back")
async def test_what_it_owed_is_sent_by_the_one_in_its_place(mount: Mount) -> None:
    with mount.tenant.faults.slow("files.importData"):
        await mount.sh("echo 1 > f")
        await crash(mount)
    await mount.all_sent()
    assert there(mount, "f") == b"1\n"


async def test_what_was_open_when_it_died_is_to_be_opened_again(mount: Mount) -> None:
    await mount.sh("echo 1 > f")
    fd = await trio.to_thread.run_sync(os.open, str(mount.home / "f"), os.O_RDONLY)
    try:
        await crash(mount)
        with pytest.raises(OSError) as told:
            await trio.to_thread.run_sync(os.pread, fd, 10, 0)
        assert told.value.errno == errno.ENOTCONN
    finally:
        with contextlib.suppress(OSError):
            os.close(fd)
    assert await mount.sh("cat f") == "1\n"


async def test_nothing_lands_in_the_folder_beneath_while_it_is_dead(mount: Mount) -> None:
    parent = keeper(mount.pid)
    assert parent is not None
    mount.trouble_expected = True
    os.kill(parent, signal.SIGSTOP)
    try:
        process = os.pidfd_open(mount.pid)
        os.kill(mount.pid, signal.SIGKILL)
        await trio.lowlevel.wait_readable(process)
        os.close(process)
        with pytest.raises(OSError) as told:
            await (mount.path / "f").write_bytes(b"1")
        assert told.value.errno == errno.ENOTCONN
    finally:
        os.kill(parent, signal.SIGCONT)

    async def is_back() -> bool:
        with contextlib.suppress(OSError):
            return "not sent" in await mount.status()
        return False

    await mount.until(is_back)
    assert not await (mount.path / "f").exists()


async def test_a_mount_that_is_unmounted_stays_so(mount: Mount) -> None:
    pid, parent = mount.pid, keeper(mount.pid)
    assert parent is not None
    process = os.pidfd_open(parent)
    try:
        assert (await mount.umount()).returncode == 0
        await trio.lowlevel.wait_readable(process)
    finally:
        os.close(process)
    assert not mount.cards
    assert not os.path.ismount(mount.path)
    assert pid != parent


async def test_a_signal_to_the_one_that_keeps_it_ends_both(mount: Mount) -> None:
    parent = keeper(mount.pid)
    assert parent is not None
    process = os.pidfd_open(parent)
    try:
        os.kill(parent, signal.SIGTERM)
        await trio.lowlevel.wait_readable(process)
    finally:
        os.close(process)
    assert not mount.cards
    assert not os.path.ismount(mount.path)


async def test_a_mount_that_somebody_has_put_in_its_place_stays(mount: Mount) -> None:
    parent = keeper(mount.pid)
    assert parent is not None
    process = os.pidfd_open(parent)
    os.kill(parent, signal.SIGSTOP)
    os.kill(mount.pid, signal.SIGKILL)
    await mount.run("fusermount3", "-u", "-z", mount.path)
    await mount.start()
    pid = mount.pid
    try:
        os.kill(parent, signal.SIGCONT)
        await trio.lowlevel.wait_readable(process)
    finally:
        os.close(process)
    assert mount.pid == pid
    assert await mount.sh("echo 1 > f; cat f") == "1\n"
