"""The kernel's numbers: counted exactly, and let go."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from agavefs import mount as mount_module
from agavefs.inodes import InodeTable
from agavefs.looks import Looks
from agavesh.client.errors import Changed
from agavesh.client.storage import Entry
from agavesh.tree.node import Directory, Node
from tests.conftest import Tenant
from tests.doors.conftest import mounted_here

FILE, FOLDER = Entry("f", "file", 1, 1.0), Entry("f", "dir")


class Empty(Directory):
    """A folder with nothing in it."""

    async def scan(self) -> AsyncIterator[Node]:
        for nothing in ():
            yield nothing


@pytest.fixture
def table() -> InodeTable:
    return InodeTable(Empty("/", Entry("", "dir")))


def test_an_inode_stays_as_long_as_the_kernel_knows_it(table: InodeTable) -> None:
    inode = table.see(table.root, "f", FILE, None, 0)
    for _ in range(3):
        table.looked_up(inode)
    table.forget(inode.number, 2)
    assert table[inode.number] is inode
    table.forget(inode.number, 1)
    with pytest.raises(Changed):
        table[inode.number]
    assert len(table) == 1


def test_an_open_inode_stays_though_the_kernel_forgets_it(table: InodeTable) -> None:
    inode = table.see(table.root, "f", FILE, None, 0)
    table.looked_up(inode)
    inode.uses += 1
    table.forget(inode.number, 1)
    assert table[inode.number] is inode
    inode.uses -= 1
    table.rest(inode)
    assert len(table) == 1


def test_a_number_is_the_same_again_and_never_two_at_once(table: InodeTable) -> None:
    first = table.see(table.root, "f", FILE, None, 0)
    number = first.number
    table.looked_up(first)
    table.detach(first)  # unlinked, and still open somewhere
    second = table.see(table.root, "f", FILE, None, 0)
    assert second.number != number
    table.forget(number, 1)
    table.rest(second)
    assert table.see(table.root, "f", FILE, None, 0).number == number


def test_a_file_that_has_become_a_folder_is_another_inode(table: InodeTable) -> None:
    file = table.see(table.root, "f", FILE, None, 0)
    table.looked_up(file)
    folder = table.see(table.root, "f", FOLDER, None, 0)
    assert folder is not file
    assert (file.gone, folder.gone, table[file.number]) == (True, False, file)


async def test_after_an_unmount_nothing_is_left_over(
    tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables: list[Looks] = []

    class Watched(Looks):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            tables.append(self)

    monkeypatch.setattr(mount_module, "Looks", Watched)

    def work_hard(work: Path) -> None:
        for number in range(20):
            (work / f"d{number}").mkdir()
            (work / f"d{number}/f").write_bytes(b"x" * number)
            (work / f"d{number}/f").rename(work / f"d{number}/g")
            list(work.rglob("*"))
        for number in range(0, 20, 2):
            shutil.rmtree(work / f"d{number}")
        with (work / "open").open("wb") as file:
            file.write(b"x")
            (work / "open").unlink()

    def forget(work: Path) -> None:
        # the kernel lets go of what it knows when it is asked to make room
        Path("/proc/sys/vm/drop_caches").write_text("2")

    async with mounted_here(tenant, tmp_path) as door:
        await door.do(work_hard)
        (looks,) = tables
        with trio.fail_after(10):
            while any(inode.uses for inode in looks.inodes):  # close(2) does not wait for the release that follows it
                await trio.sleep(0.01)
        known = {inode.number: inode for inode in looks.inodes}
        assert all(inode.lookups > 0 for inode in known.values())
        assert 20 < len(known) < 200
        try:
            await door.do(forget)
        except PermissionError:
            pytest.skip("only root can make the kernel forget")
        assert len(looks.inodes) < 15  # the way to the folder, and what is being looked at
