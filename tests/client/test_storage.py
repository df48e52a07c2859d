"""What storage makes of listings that no tenant of ours gives. All else about it: `tests/doors`."""

from __future__ import annotations

import pytest

from agavesh.client import Agave, errors
from agavesh.client.storage import Entry, SystemStorage
from agavesh.tree.node import is_name
from tests.client.wire import answer, peer

LISTING = b"""{"status": "success", "result": [
    {"name": ".", "path": "/", "type": "dir", "length": 0},
    {"name": "a", "path": "/a", "type": "file", "length": "some"},
    {"name": "b", "path": "/b", "type": "file", "length": 5}]}"""
ALONE = b"""{"status": "success", "result": [{"name": "a", "path": "/a", "type": "file", "length": "some"}]}"""


async def test_a_file_whose_size_is_no_number_is_a_bad_answer_and_no_size() -> None:
    found: list[Entry] = []
    async with peer(lambda seen: answer(200, LISTING)) as platform, Agave(platform.url, token="t") as agave:
        await SystemStorage(agave, "S").scan("/", lambda entries, last: found.extend(entries))
    assert [is_name(entry.name) for entry in found] == [False, True]
    async with peer(lambda seen: answer(200, ALONE)) as platform, Agave(platform.url, token="t") as agave:
        for ask in (SystemStorage(agave, "S").look, SystemStorage(agave, "S").stat):
            with pytest.raises(errors.BadAnswer):
                await ask("/a")
