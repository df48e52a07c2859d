"""The guard round every handler: nothing but an errno leaves it, and nobody waits for ever."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pyfuse3
import pytest
import trio

from agavefs import names
from agavefs.kernel import Deadlines, Kernel, handler
from agavesh.client.errors import AgaveError, Changed, NotAllowed, NotEmpty, ReadOnly
from agavesh.client.storage import Begun, SystemStorage, Take
from tests.conftest import Tenant
from tests.doors.conftest import mounted_here


class Guarded(Kernel):
    """Handlers that do what a test asks for."""

    def __init__(self) -> None:
        self.deadlines = Deadlines(metadata=15, read=60)

    @handler()
    async def fail(self, error: Exception) -> None:
        raise error

    @handler("read")
    async def sleep(self) -> None:
        await trio.sleep_forever()


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (ReadOnly("no"), errno.EROFS),
        (Changed("no"), errno.ESTALE),
        (NotEmpty("no"), errno.ENOTEMPTY),
        (AgaveError("no"), errno.EIO),
        (OSError(errno.ENOSPC, "full"), errno.ENOSPC),
        (OSError("no number"), errno.EIO),
        (KeyError("a fault of ours"), errno.EIO),
        (ExceptionGroup("several", [ValueError()]), errno.EIO),
        (pyfuse3.FUSEError(errno.EXDEV), errno.EXDEV),
    ],
)
async def test_any_error_becomes_a_number(error: Exception, number: int) -> None:
    with pytest.raises(pyfuse3.FUSEError) as told:
        await Guarded().fail(error)
    assert told.value.errno == number


async def test_a_handler_has_its_deadline(autojump_clock: trio.testing.MockClock) -> None:
    with pytest.raises(pyfuse3.FUSEError) as told:
        await Guarded().sleep()
    assert (told.value.errno, trio.current_time()) == (errno.ETIMEDOUT, 60)


def test_every_handler_is_guarded() -> None:
    own = {name for name, act in vars(Kernel).items() if name in dir(pyfuse3.Operations) and callable(act)}
    plain = {name for name in own if not name.startswith("_") and not hasattr(getattr(Kernel, name), "__wrapped__")}
    assert plain == {"forget"}  # which has no answer: the next test shows its own guard


async def test_a_fault_of_ours_does_not_end_the_mount(
    tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise KeyError("a fault of ours")

    async with mounted_here(tenant, tmp_path) as door:
        await door.do(lambda work: (work / "f").write_bytes(b"x"))
        with monkeypatch.context() as patch:
            patch.setattr(names.Names, "getattr", broken)
            patch.setattr(names.Names, "lookup", broken)
            patch.setattr("agavefs.spool.Spool.read", broken)
            patch.setattr("agavefs.fetch.Fetcher._fetch", broken)
            with pytest.raises(OSError) as told:
                await door.do(lambda work: (work / "another").stat())
            assert told.value.errno == errno.EIO
        assert await door.do(lambda work: (work / "f").read_bytes()) == b"x"


async def test_a_fault_in_forgetting_does_not_end_the_mount(
    tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    met = trio.Event()

    def broken(*_: object) -> None:
        met.set()
        raise KeyError("a fault of ours")

    async with mounted_here(tenant, tmp_path) as door:
        await door.do(lambda work: (work / "f").write_bytes(b"x"))
        await door.do(lambda work: (work / "g").write_bytes(b"y"))
        with monkeypatch.context() as patch:
            patch.setattr("agavefs.inodes.InodeTable.forget", broken)
            await door.do(lambda work: (work / "f").unlink())  # the kernel has no more use for it
            with trio.fail_after(30):
                await met.wait()
        assert await door.do(lambda work: (work / "g").read_bytes()) == b"y"
    assert "can't be forgotten" in caplog.text


async def test_a_fault_in_the_background_is_told_to_who_waits(
    tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise KeyError("a fault of ours")

    async with mounted_here(tenant, tmp_path) as door:
        tenant.path("data.demo", "/alice/g").write_bytes(b"y")
        for place in ("agavefs.fetch.Fetcher._fetch", "agavefs.sending.Sender._step"):
            with monkeypatch.context() as patch:
                patch.setattr(place, broken)
                with pytest.raises(OSError) as told:
                    await door.do(lambda work: (work / "new").write_bytes((work.parent / "g").read_bytes()))
                assert told.value.errno == errno.EIO
        assert await door.do(lambda work: sorted(os.listdir(work))) == ["new"]  # noqa: PTH208  # names alone
        await door.do(lambda work: (work / "new").unlink())


async def test_the_way_to_the_home_can_be_gone_though_not_looked_at(
    tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tenant.path("data.demo", "/alice/a/b")
    home.mkdir(parents=True)
    (home / "f").write_bytes(b"mine")
    look, scan, closed = SystemStorage.look, SystemStorage.scan, ("/", "/alice", "/alice/a", "/bob")

    async def own_home(self: SystemStorage) -> str:
        return "/alice/a/b"

    async def refusing_look(self: SystemStorage, path: str) -> Any:
        if path in closed:
            raise NotAllowed("no")
        return await look(self, path)

    async def refusing_scan(self: SystemStorage, path: str, take: Take, begun: Begun | None = None) -> None:
        if path in closed:
            raise NotAllowed("no")
        await scan(self, path, take, begun)

    async with mounted_here(tenant, tmp_path) as door:
        monkeypatch.setattr(SystemStorage, "home", own_home)
        monkeypatch.setattr(SystemStorage, "look", refusing_look)
        monkeypatch.setattr(SystemStorage, "scan", refusing_scan)
        data = door.path.parent.parent
        assert await trio.to_thread.run_sync((data / "~/f").read_bytes) == b"mine"
        assert str(await trio.to_thread.run_sync((data / "~").readlink)) == "alice/a/b"
        for closed_place in (data, data / "bob", data / "alice"):
            with pytest.raises(PermissionError):
                await trio.to_thread.run_sync(os.listdir, str(closed_place))
