"""Two who write one file: what is written here goes beside what others have put there since; nobody loses anything."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from agavesh.client import Agave
from agavesh.client.storage import SystemStorage
from agavesh.tenant.files import actions
from tests.agavefs.mounting import Mount, mounted
from tests.agavefs.test_writing import rows
from tests.conftest import Tenant

BESIDE = re.compile(r"f~conflict-[\w.-]+-\d{8}T\d{6}-\d+")


@pytest.fixture
def theirs(agave: Agave) -> SystemStorage:
    """The same folder, for others, who come by another way."""
    return SystemStorage(agave, "data.demo")


async def contents(mount: Mount) -> dict[str, bytes]:
    """What is on the platform's disk, but for what was there from the beginning."""
    folder = trio.Path(mount.tenant.path("data.demo", "/alice"))
    found = {path.name: await path.read_bytes() for path in await folder.iterdir() if await path.is_file()}
    return {name: data for name, data in found.items() if name.startswith("f")}


async def in_thread(fd: int, act: str) -> int:
    """The errno that a call on a descriptor ends with, or 0."""
    try:
        await trio.to_thread.run_sync(getattr(os, act), fd)
    except OSError as trouble:
        return trouble.errno or -1
    return 0


async def opened(path: Path | trio.Path, flags: int) -> int:
    return await trio.to_thread.run_sync(os.open, str(path), flags, 0o600)


def one_beside(found: dict[str, bytes]) -> bytes:
    """What went beside, which must be one file."""
    ((_, data),) = [(name, data) for name, data in found.items() if BESIDE.fullmatch(name)]
    return data


async def test_what_others_wrote_since_it_was_opened_stays_and_ours_goes_beside(
    mount: Mount, theirs: SystemStorage
) -> None:
    await mount.sh("printf old > f")
    fd = await opened(mount.home / "f", os.O_RDWR)
    await trio.to_thread.run_sync(os.write, fd, b"ours")
    await theirs.replace("/alice/f", b"theirs, longer")
    assert await in_thread(fd, "close") == errno.ESTALE
    await mount.all_sent()
    found = await contents(mount)
    assert found["f"] == b"theirs, longer"
    assert one_beside(found) == b"ours"
    assert len(found) == 2
    assert "others have changed agave://data.demo//alice/f" in mount.log
    assert (await mount.sh("cat f; cat f~conflict*")) == "theirs, longerours"


async def test_a_handle_whose_file_went_beside_goes_on_there(mount: Mount, theirs: SystemStorage) -> None:
    await mount.sh("printf old > f")
    fd = await opened(mount.home / "f", os.O_RDWR)
    await trio.to_thread.run_sync(os.write, fd, b"ours")
    await theirs.replace("/alice/f", b"theirs")
    assert await in_thread(fd, "fsync") == errno.ESTALE
    await trio.to_thread.run_sync(os.write, fd, b", and more")
    assert await in_thread(fd, "fsync") == 0
    assert await in_thread(fd, "close") == 0
    found = await contents(mount)
    assert found["f"] == b"theirs" and one_beside(found) == b"ours, and more" and len(found) == 2


async def test_what_others_made_meanwhile_where_ours_is_new_stays(mount: Mount, theirs: SystemStorage) -> None:
    fd = await opened(mount.home / "f", os.O_WRONLY | os.O_CREAT)
    await trio.to_thread.run_sync(os.write, fd, b"ours")
    await theirs.put("/alice/f", b"theirs")
    await mount.grows_old(2.1)  # until then what was known when it was made is believed
    assert await in_thread(fd, "close") == errno.ESTALE
    found = await contents(mount)
    assert found["f"] == b"theirs" and one_beside(found) == b"ours"


async def test_what_others_removed_is_there_again(mount: Mount, theirs: SystemStorage) -> None:
    await mount.sh("printf old > f")
    fd = await opened(mount.home / "f", os.O_RDWR)
    await trio.to_thread.run_sync(os.write, fd, b"new")
    await theirs.remove("/alice/f")
    assert await in_thread(fd, "close") == 0
    await mount.all_sent()
    assert await contents(mount) == {"f": b"new"}


async def test_what_others_wrote_before_it_was_opened_is_no_conflict(mount: Mount, theirs: SystemStorage) -> None:
    await mount.sh("printf old > f; ls -l")
    await theirs.replace("/alice/f", b"theirs")
    await mount.grows_old(2.1)  # what is told is older by then than a writer believes
    await mount.sh("printf new > f")
    await mount.all_sent()
    assert await contents(mount) == {"f": b"new"}


async def test_what_others_wrote_while_ours_was_on_its_way_stays(mount: Mount, theirs: SystemStorage) -> None:
    await mount.sh("printf old > f")
    fd = await opened(mount.home / "f", os.O_WRONLY | os.O_TRUNC)
    await trio.to_thread.run_sync(os.write, fd, b"ours")
    ended: list[int] = []

    async def close() -> None:
        ended.append(await in_thread(fd, "close"))

    async with trio.open_nursery() as nursery:
        with mount.tenant.faults.holding_staging():
            before = mount.counted().get("files.importData", 0)
            nursery.start_soon(close)

            async def is_held() -> bool:
                return mount.counted().get("files.importData", 0) > before

            await mount.until(is_held)
            Path(mount.tenant.path("data.demo", "/alice/f")).write_bytes(b"theirs!")
    assert ended == [errno.ESTALE]
    await mount.all_sent()
    found = await contents(mount)
    assert found["f"] == b"theirs!" and one_beside(found) == b"ours"


async def test_two_mounts_that_write_one_file_keep_both(tenant: Tenant, tmp_path: Path) -> None:
    async with mounted(tenant, tmp_path / "one") as one, mounted(tenant, tmp_path / "two") as two:
        await one.sh("printf old > f")
        fds = [await opened(mount.home / "f", os.O_RDWR) for mount in (one, two)]
        for fd, data in zip(fds, (b"of the first", b"of the second"), strict=True):
            await trio.to_thread.run_sync(os.write, fd, data)
        ends = [await in_thread(fd, "close") for fd in fds]
        assert ends == [0, errno.ESTALE]
        for mount in (one, two):
            await mount.all_sent()
        found = await contents(one)
        assert found["f"] == b"of the first" and one_beside(found) == b"of the second"


@contextlib.contextmanager
def once(monkeypatch: pytest.MonkeyPatch, action: str, then: Callable[[], object]) -> Iterator[None]:
    """After the first act of that kind that brings something to `f`, something else happens."""
    act = actions.act
    done: list[str] = []

    async def meanwhile(ctx: Any, place: Any, body: Any) -> Any:
        answer = await act(ctx, place, body)
        if not done and (body["action"], body["path"].rpartition("/")[2]) == (action, "f"):
            done.append(place.path)
            then()
        return answer

    monkeypatch.setattr("agavesh.tenant.handlers.files.act", meanwhile)
    yield
    assert done


async def ours_is_not_known_to_be_there(mount: Mount) -> None:
    async def said() -> bool:
        return "f is not there yet" in mount.log

    await mount.until(said)


@pytest.mark.parametrize("theirs", [b"theirs, longer", None])
async def test_what_others_did_as_soon_as_ours_was_in_its_place_is_no_conflict(
    mount: Mount, monkeypatch: pytest.MonkeyPatch, theirs: bytes | None
) -> None:
    await mount.sh("printf old > f")
    place = Path(mount.tenant.path("data.demo", "/alice/f"))

    def change() -> None:
        if theirs is None:
            place.unlink()
        else:
            place.write_bytes(theirs)

    with once(monkeypatch, "copy", change):
        await mount.sh("printf ours > f")
    await mount.all_sent()
    assert rows(mount) == []
    assert await contents(mount) == ({"f": theirs} if theirs else {})
    assert await mount.sh("cat f || true") == (theirs or b"").decode()


async def test_what_was_put_in_the_place_of_what_others_removed_is_known_when_nobody_could_say(
    mount: Mount, theirs: SystemStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mount.sh("printf old > f")
    fd = await opened(mount.home / "f", os.O_RDWR)
    await trio.to_thread.run_sync(os.write, fd, b"ours, longer")
    await theirs.remove("/alice/f")
    silence, over = mount.tenant.faults.refusing("files.list"), contextlib.ExitStack()
    with over, once(monkeypatch, "rename", lambda: over.enter_context(silence)):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(in_thread, fd, "close")
            await ours_is_not_known_to_be_there(mount)
            over.close()
    await mount.all_sent()
    assert await contents(mount) == {"f": b"ours, longer"}
    assert rows(mount) == []
    assert "Traceback" not in mount.log


async def test_what_was_put_in_the_place_of_what_others_removed_is_known_by_the_next_mount(
    mount: Mount, theirs: SystemStorage
) -> None:
    await mount.sh("printf old > f")
    fd = await opened(mount.home / "f", os.O_RDWR)
    await trio.to_thread.run_sync(os.write, fd, b"ours, longer")
    await theirs.remove("/alice/f")
    mount.trouble_expected = True
    async with trio.open_nursery() as nursery:
        with mount.tenant.faults.stalling("files.manage") as stalled:
            nursery.start_soon(in_thread, fd, "close")
            await stalled.met()
            await mount.kill()
    await mount.start()
    await mount.all_sent()
    assert await contents(mount) == {"f": b"ours, longer"}
    assert rows(mount) == []


async def test_what_was_exchanged_is_not_exchanged_again_when_nobody_could_say_so(
    mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mount.sh("printf old > f")
    act = actions.act

    async def no_copy(ctx: Any, place: Any, body: Any) -> Any:
        if body["action"] == "copy":
            raise actions.Refusal(501, "copy is not done here")
        return await act(ctx, place, body)

    monkeypatch.setattr(actions, "act", no_copy)
    silence, over = mount.tenant.faults.refusing("files.list"), contextlib.ExitStack()
    with over, once(monkeypatch, "rename", lambda: over.enter_context(silence)):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mount.sh, "printf new > f")
            await ours_is_not_known_to_be_there(mount)
            over.close()
    await mount.all_sent()
    assert await contents(mount) == {"f": b"new"}
    assert rows(mount) == []


@pytest.mark.mount("--write-back")
async def test_what_others_wrote_of_the_same_size_while_ours_could_not_be_sent_stays(mount: Mount) -> None:
    with mount.tenant.faults.refusing("files.importData", 503) as refusal:
        await mount.sh("printf ours > f")
        await refusal.met()
        Path(mount.tenant.path("data.demo", "/alice/f")).write_bytes(b"them")
    await mount.all_sent()
    found = await contents(mount)
    assert found["f"] == b"them" and one_beside(found) == b"ours"


async def test_what_a_dead_mount_left_never_goes_over_what_was_written_after_it(mount: Mount) -> None:
    await mount.sh("printf old > f; cat f")
    mount.trouble_expected = True
    async with trio.open_nursery() as nursery:
        with mount.tenant.faults.slow("files.manage") as copy:
            nursery.start_soon(lambda: mount.run("sh", "-c", "printf before > f", cwd=mount.home))
            await copy.met()
            await mount.kill()
            nursery.cancel_scope.cancel()
    with mount.tenant.faults.refusing("files.manage", 503, times=1) as refusal:
        await mount.start()
        await refusal.met()  # it is to try again, while this is written
        await mount.sh("printf 'after!' > f")
    await mount.all_sent()
    found = await contents(mount)
    assert found["f"] == b"after!"
    assert len(found) == 1 or one_beside(found) == b"before"
