"""Deleting: nothing goes that was not seen, however the platform deletes; and nothing of the mount's own stays."""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import trio

from agavesh.client import Agave
from agavesh.client.storage import SystemStorage
from agavesh.tenant.files import actions
from tests.agavefs.mounting import Mount
from tests.agavefs.test_writing import names_there, rows


@pytest.fixture
def theirs(agave: Agave) -> SystemStorage:
    return SystemStorage(agave, "data.demo")


async def rmdir(mount: Mount, name: str) -> int:
    try:
        await (mount.home / name).rmdir()
    except OSError as trouble:
        return trouble.errno or -1
    return 0


async def test_what_others_put_into_a_folder_while_it_goes_is_put_back_with_it(
    mount: Mount, theirs: SystemStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mount.sh("mkdir d; ls d")
    act = actions.act
    filled: list[str] = []

    async def meanwhile(ctx: Any, place: Any, body: Any) -> Any:
        if not filled and place.path == "/alice/d":  # after the mount has looked, and before the folder has gone
            filled.append(place.path)
            Path(mount.tenant.path("data.demo", "/alice/d/theirs")).write_bytes(b"precious")
        return await act(ctx, place, body)

    monkeypatch.setattr("agavesh.tenant.handlers.files.act", meanwhile)
    assert await rmdir(mount, "d") == errno.ENOTEMPTY
    assert filled
    assert mount.tenant.bytes("data.demo", "/alice/d/theirs") == b"precious"
    assert await mount.sh("ls d") == "theirs\n"
    assert not rows(mount)


async def test_a_folder_that_is_removed_leaves_nothing(mount: Mount) -> None:
    before = await names_there(mount)
    await mount.sh("mkdir -p d/e/f; touch d/e/g; rm -r d")
    await mount.all_sent()
    assert await names_there(mount) == before
    assert not rows(mount)


@pytest.mark.parametrize("filled", [False, True])
async def test_a_folder_that_was_going_when_the_mount_died_goes_or_is_put_back(mount: Mount, filled: bool) -> None:
    await mount.sh("mkdir d; ls d")
    gone = trio.Path(mount.tenant.path("data.demo", "/alice/d"))
    with mount.tenant.faults.slow("files.list"):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rmdir, mount, "d")

            async def is_aside() -> bool:
                return not await gone.exists()

            await mount.until(is_aside)
            (aside,) = [name for name in await names_there(mount) if name.startswith(".agavefs-tmp-")]
            if filled:
                await (gone.parent / aside / "theirs").write_bytes(b"precious")
            await mount.kill()
    await mount.start()
    await mount.all_sent()
    assert [name for name in await names_there(mount) if name.startswith(".agavefs-tmp-")] == []
    assert await gone.exists() is filled
    assert not filled or await (gone / "theirs").read_bytes() == b"precious"


async def test_what_is_of_nobody_is_swept_where_it_is_seen(mount: Mount, theirs: SystemStorage) -> None:
    (journal,) = mount.folder.glob("state/agavesh/*/mounts/cache/journal.db")
    with contextlib.closing(sqlite3.connect(journal)) as connection:
        ((name,),) = connection.execute("SELECT name FROM named")
    await theirs.put(f"/alice/.agavefs-tmp-{name}-0123456789abcdef", b"half of something")
    await theirs.put("/alice/.agavefs-tmp-another-0123456789abcdef", b"of another machine")
    assert ".agavefs-tmp" not in await mount.sh("ls -a")

    async def is_swept() -> bool:
        return [it for it in await names_there(mount) if "tmp" in it] == [".agavefs-tmp-another-0123456789abcdef"]

    await mount.until(is_swept)


@pytest.mark.mount("--delete-limit", "5")
async def test_more_than_so_many_are_not_deleted_at_once(mount: Mount) -> None:
    await mount.sh("for n in 1 2 3 4 5 6 7 8; do touch f$n; done")
    done = await mount.run("sh", "-c", "rm f1 f2 f3 f4 f5 f6 f7 f8", cwd=mount.home)
    assert "Operation not permitted" in done.stderr
    assert await mount.sh("ls -d f?") == "f6\nf7\nf8\n"
    assert "f6 is not deleted: --delete-limit allows 5 at once" in mount.log


async def test_a_file_that_can_not_be_copied_to_is_exchanged_and_keeps_its_grants(
    mount: Mount, agave: Agave, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mount.sh("echo old > f")
    await agave.files.updatePermissions(
        systemId="data.demo", filePath="/alice/f", body={"username": "bob", "permission": "READ"}
    )
    act = actions.act
    refused: list[str] = []

    async def refuse(ctx: Any, place: Any, body: Any) -> Any:
        if body["action"] == "copy":
            refused.append(place.path)
            raise actions.Refusal(501, "copy is not done here")
        return await act(ctx, place, body)

    monkeypatch.setattr("agavesh.tenant.handlers.files.act", refuse)
    before = await names_there(mount)
    await mount.sh("echo new > f")
    await mount.all_sent()
    assert refused
    assert mount.tenant.bytes("data.demo", "/alice/f") == b"new\n"
    assert await names_there(mount) == before
    grants = await SystemStorage(agave, "data.demo").grants("/alice/f")
    assert grants["bob"] == 4
