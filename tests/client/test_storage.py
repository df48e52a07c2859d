"""What storage makes of listings that no tenant of ours gives. All else about it: `tests/doors`."""

from __future__ import annotations

import contextlib

import pytest
import trio

from agavesh.client import Agave, errors
from agavesh.client.storage import Entry, SystemStorage
from agavesh.tree.node import is_name
from tests.client.wire import answer, peer

LISTING = b"""{"status": "success", "result": [
    {"name": ".", "path": "/", "type": "dir", "length": 0},
    {"name": "a", "path": "/a", "type": "file", "length": "some"},
    {"name": "b", "path": "/b", "type": "file", "length": 5}]}"""
ALONE = b"""{"status": "success", "result": [{"name": "a", "path": "/a", "type": "file", "length": "some"}]}"""


@pytest.fixture
def storage(agave: Agave) -> SystemStorage:
    return SystemStorage(agave, "data.demo")


async def test_a_file_whose_size_is_no_number_is_a_bad_answer_and_no_size() -> None:
    found: list[Entry] = []
    async with peer(lambda seen: answer(200, LISTING)) as platform, Agave(platform.url, token="t") as agave:
        await SystemStorage(agave, "S").scan("/", lambda entries, last: found.extend(entries))
    assert [is_name(entry.name) for entry in found] == [False, True]
    async with peer(lambda seen: answer(200, ALONE)) as platform, Agave(platform.url, token="t") as agave:
        for ask in (SystemStorage(agave, "S").look, SystemStorage(agave, "S").stat):
            with pytest.raises(errors.BadAnswer):
                await ask("/a")


async def test_of_many_who_make_a_folder_at_once_one_is_told_that_it_has(storage: SystemStorage) -> None:
    made: list[str] = []

    async def make() -> None:
        with contextlib.suppress(errors.AlreadyThere):
            made.append((await storage.make("/alice/new")).name)

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(make)
    assert made == ["new"]


async def test_a_folder_is_no_folder_to_make_where_a_file_is(storage: SystemStorage) -> None:
    await storage.put("/alice/plain", b"1")
    with pytest.raises(errors.AlreadyThere, match="is a file"):
        await storage.make("/alice/plain")


async def test_what_an_upload_tells_of_itself_is_what_a_listing_tells(storage: SystemStorage) -> None:
    told = await storage.put("/alice/new", b"12345", size=5)
    assert told.version == (await storage.stat("/alice/new")).version
