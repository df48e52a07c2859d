"""What the shell makes of a platform that tells of what makes no sense."""

from __future__ import annotations

import pytest

from agavesh.client import Agave, errors
from agavesh.client.storage import Entry, SystemStorage
from agavesh.shell.commands.change import _copy, _Goal
from agavesh.tree.listing import open_listings
from agavesh.tree.storage import StorageDirectory
from tests.client.wire import answer, peer

LISTING = b"""{"status": "success", "result": [
    {"name": ".", "type": "dir"}, {"name": "../up", "type": "file"}, {"name": "a", "type": "file", "length": -1}]}"""


async def test_a_folder_of_which_not_all_can_be_told_is_not_moved_to_another_system() -> None:
    async with peer(lambda seen: answer(200, LISTING)) as there, Agave(there.url, token="t") as agave:
        async with open_listings() as listings:
            source, target = (
                StorageDirectory(f"/systems/{name}/d", Entry("d", "dir"), SystemStorage(agave, name), listings, "/d")
                for name in ("S", "T")
            )
            with pytest.raises(errors.BadAnswer, match="can't be copied whole"):
                await _copy(source, _Goal(target, "d"))
    assert {seen.method for seen in there.seen} == {"GET"}
