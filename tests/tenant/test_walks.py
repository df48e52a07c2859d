"""Listings of folders that change while they are read page by page."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from agavesh.tenant.files import walks
from agavesh.tenant.files.disk import Disk
from agavesh.tenant.files.listing import Listings, Names
from agavesh.tenant.files.walks import Walk, Walks

FILES, PAGE = 400, 30


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    for number in range(FILES):
        (tmp_path / f"old-{number}").touch()
    os.utime(tmp_path, (1, 1))  # it changed long ago
    return Disk(tmp_path)


class Folder:
    """What changes a folder between two pages."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path, self.random, self.number = path, random.Random(seed), 0
        self.stayed = {each.name for each in path.iterdir()}

    def change(self) -> None:
        for name in self.random.sample(sorted(self.stayed), 5):
            (self.path / name).unlink()
            self.stayed.remove(name)
        for _ in range(self.random.randrange(10)):
            (self.path / f"new-{self.number}").touch()
            self.number += 1


class Reader:
    """Who reads a folder, one page after the other."""

    def __init__(self, listings: Listings, disk: Disk, caller: str = "alice") -> None:
        self.listings, self.disk, self.caller, self.names, self.over = listings, disk, caller, [], False

    async def page(self, limit: int = PAGE) -> None:
        found = await self.listings.page(self.disk, "/", len(self.names), limit, caller=self.caller)
        self.names: list[str] = [*self.names, *(name for name, _ in found)]
        self.over = len(found) < limit


@pytest.mark.parametrize("seed", range(10))
async def test_no_name_comes_twice_and_none_that_stays_is_left_out(disk: Disk, seed: int) -> None:
    folder, reader = Folder(Path(disk.root), seed), Reader(Listings(), disk)
    while not reader.over:
        await reader.page()
        folder.change()
    assert len(reader.names) == len(set(reader.names))
    assert folder.stayed <= set(reader.names)
    assert folder.number > 10
    assert not [name for name in reader.names if name.startswith("new-")]


@pytest.mark.parametrize("seed", range(10))
async def test_so_it_is_for_several_who_begin_at_different_times(disk: Disk, seed: int) -> None:
    """Two programs of one user, with pages of their own sizes, and another user."""
    folder, listings = Folder(Path(disk.root), seed), Listings()
    waiting = [Reader(listings, disk), Reader(listings, disk, "bob"), Reader(listings, disk)]
    sizes = dict(zip(map(id, waiting), (40, 30, 27), strict=True))
    readers: list[Reader] = []
    all_of_them = [*waiting]
    while waiting or not all(reader.over for reader in readers):
        if waiting:
            readers.append(waiting.pop())
        for reader in readers:
            if not reader.over:
                await reader.page(sizes[id(reader)])
                folder.change()
    for reader in all_of_them:
        assert len(reader.names) == len(set(reader.names))
        assert folder.stayed - set(reader.names) == set()


async def test_the_first_page_is_one_of_the_folder_as_it_is(disk: Disk) -> None:
    folder, reader = Folder(Path(disk.root), 0), Reader(Listings(), disk)
    await reader.page()
    folder.change()
    (Path(disk.root) / "new").touch()
    again = await reader.listings.page(disk, "/", 0, 1000, caller="alice")
    assert {name for name, _ in again} == {each.name for each in Path(disk.root).iterdir()}


async def test_a_page_that_is_asked_for_again_is_the_same(disk: Disk) -> None:
    folder, reader = Folder(Path(disk.root), 0), Reader(Listings(), disk)
    await reader.page()
    await reader.page()
    (Path(disk.root) / "new").touch()
    again = await reader.listings.page(disk, "/", PAGE, PAGE, caller="alice")
    assert [name for name, _ in again] == reader.names[PAGE:]
    assert folder.stayed >= set(reader.names)


async def test_another_folder_in_its_place_is_read_as_it_is(tmp_path: Path) -> None:
    disk, reader_of = Disk(tmp_path), Listings()
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        for number in range(10):
            (tmp_path / name / f"{name}-{number}").touch()
    await reader_of.page(disk, "/first", 0, 5, caller="alice")
    (tmp_path / "first").rename(tmp_path / "third")
    (tmp_path / "second").rename(tmp_path / "first")
    rest = await reader_of.page(disk, "/first", 5, 5, caller="alice")
    assert [name.partition("-")[0] for name, _ in rest] == ["second"] * 5


# how long ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def names() -> Iterator[Names]:
    yield Names(str(number) for number in range(1000))


def test_who_does_not_get_on_has_their_way_forgotten(names: Names) -> None:
    now = 0.0
    kept = Walks(clock=lambda: now)
    walk = Walk(names, 0, 0)
    for offset in range(0, 500, 100):
        assert walk.gone_on(offset, offset, 100, 100)
        kept.keep("alice", walk)
        now += walks.PATIENCE - 1
        assert kept.of("alice", offset + 100) is walk
    assert not walk.gone_on(400, 400, 100, 100)  # the last page again and again
    now += 2
    assert kept.of("alice", 500) is None


def test_names_are_not_kept_without_bound(names: Names) -> None:
    kept = Walks(names.size * 3)
    for caller in range(10):
        for _ in range(10):
            walk = Walk(Names(str(number) for number in range(1000)), 0, 0)
            assert walk.gone_on(0, 0, 100, 100)
            kept.keep(caller, walk)
    assert [caller for caller in range(10) if kept.of(caller, 100) is walk] == [9]
    assert kept.of(0, 100) is None
    small = Walks(names.size // 2)
    small.keep("alice", walk)
    assert small.of("alice", 100) is None
