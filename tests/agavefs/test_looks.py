"""Looks for single names in a folder whose listing is long: a scripted storage, so that pages come when told to."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from agavefs.looks import Looks
from agavesh.client.errors import NotFound
from agavesh.client.storage import Begun, Entry, Storage, Take
from agavesh.tree.listing import open_listings
from agavesh.tree.storage import StorageDirectory

PAGE = 250


class Wide(Storage):
    """One folder of so many files, of which the listing comes page by page, each when it is `let`."""

    owner = "data.demo"

    def __init__(self, size: int) -> None:
        self.files = [f"{n:05}" for n in range(size)]
        self.asked: list[str] = []
        self.let = trio.Semaphore(0)
        self.pages = 0

    async def scan(self, path: str, take: Take, begun: Begun | None = None) -> None:
        for begin in range(0, len(self.files), PAGE):
            await self.let.acquire()
            self.pages += 1
            take([self._line(name) for name in self.files[begin : begin + PAGE]], begin + PAGE >= len(self.files))

    async def stat(self, path: str) -> Entry:
        name = path.rpartition("/")[2]
        self.asked.append(name)
        if name not in self.files:
            raise NotFound(f"no {path}")
        return self._line(name)

    def _download(self, path: str, headers: dict[str, str], bulk: bool | None) -> Any:
        raise AssertionError("nothing is read here")

    def _line(self, name: str) -> Entry:
        return Entry(name, "file", 1, 1.0)

    def come(self, pages: int) -> None:
        for _ in range(pages):
            self.let.release()


async def test_a_name_in_a_long_folder_does_not_wait_for_the_whole_listing() -> None:
    storage = Wide(10_000)
    async with open_listings() as listings:
        folder = StorageDirectory("/f", Entry("f", "dir"), storage, listings, "/f")
        looks = Looks(folder, listings)
        root = looks.inodes.root
        storage.come(3)
        with trio.fail_after(10):
            await looks.child(root, "00007")  # the first is asked for alone
            await looks.child(root, "09000")
            await trio.testing.wait_all_tasks_blocked()
            await looks.child(root, "00700")  # it has come by then
            with pytest.raises(NotFound):
                await looks.child(root, "there is no such name")
        assert storage.asked == ["00007", "09000", "there is no such name"]
        storage.come(100)
        await trio.testing.wait_all_tasks_blocked()
        assert storage.pages == 40  # all of it has come behind, once
        await looks.child(root, "09999")
        assert len(storage.asked) == 3


async def test_in_a_folder_of_few_pages_the_second_name_waits_for_the_listing() -> None:
    storage = Wide(400)
    async with open_listings() as listings:
        looks = Looks(StorageDirectory("/f", Entry("f", "dir"), storage, listings, "/f"), listings)
        storage.come(2)
        for name in storage.files:
            await looks.child(looks.inodes.root, name)
        assert storage.asked == ["00000"]


async def test_a_listing_that_fails_on_its_way_is_an_error_to_who_wants_a_name() -> None:
    class Broken(Wide):
        async def scan(self, path: str, take: Take, begun: Begun | None = None) -> None:
            take([self._line("00000")], False)
            raise NotFound("gone meanwhile")

    storage = Broken(10_000)
    async with open_listings() as listings:
        looks = Looks(StorageDirectory("/f", Entry("f", "dir"), storage, listings, "/f"), listings)
        await looks.child(looks.inodes.root, "00007")
        with pytest.raises(NotFound, match="gone"):
            await looks.child(looks.inodes.root, "00008")
