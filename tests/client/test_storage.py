"""What storage makes of listings that no tenant of ours gives. All else about it: `tests/doors`."""

from __future__ import annotations

import pytest

from agavesh.client import Agave, errors
from agavesh.client.storage import SystemStorage
from tests.client.wire import answer, peer

LISTING = b"""{"status": "success", "result": [
    {"name": ".", "path": "/", "type": "dir", "length": 0},
    {"name": "a", "path": "/a", "type": "file", "length": "some"}]}"""


async def test_a_file_whose_size_is_no_number_is_a_bad_answer_and_no_size() -> None:
    async with peer(lambda seen: answer(200, LISTING)) as platform, Agave(platform.url, token="t") as agave:
        with pytest.raises(errors.BadAnswer, match=r"Expected `int.* at `\$\.length"):
            await SystemStorage(agave, "S").scan("/", lambda entries, last: None)
