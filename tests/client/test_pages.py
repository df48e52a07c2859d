"""Pages: all that there is, whatever the tenant's cap, and not one request more than that takes."""

from __future__ import annotations

import gc
from typing import Any

import msgspec
import pytest

from agavesh.api.record import Page
from agavesh.client import Agave
from agavesh.client.paging import Paging


class Shelf:
    """A list of `size` things, of which one answer gives no more than `cap`."""

    def __init__(self, size: int, cap: int) -> None:
        self.size, self.cap, self.asked = size, cap, 0

    async def list(self, *, limit: int, offset: int) -> Page[int]:
        self.asked += 1
        things = list(range(self.size)[offset : offset + min(limit, self.cap)])
        return Page(things, msgspec.json.encode(things))


@pytest.mark.parametrize("cap", [1, 7, 100, 250])
@pytest.mark.parametrize("size", [0, 1, 6, 7, 8, 99, 100, 101, 250, 500])
@pytest.mark.parametrize("limit", [None, 5, 100])
async def test_all_things_come_once(size: int, cap: int, limit: int | None) -> None:
    if size > 50 * cap:
        return
    shelf, paging = Shelf(size, cap), Paging()
    for _ in range(2):
        pages = paging.pages(shelf.list, limit=limit, offset=0, arguments={})
        assert [thing async for page in pages for thing in page] == list(range(size))


async def test_a_short_page_is_the_last_once_a_longer_one_was_seen() -> None:
    shelf, paging = Shelf(230, 100), Paging()

    async def count() -> int:
        shelf.asked = 0
        async for _ in paging.pages(shelf.list, limit=None, offset=0, arguments={}):
            pass
        return shelf.asked

    assert await count() == 3  # 100, 100, 30: the cap is known by then
    shelf.size = 40
    assert await count() == 1
    shelf.size = 100
    assert await count() == 2  # a full page may not be the last


async def test_a_list_that_knows_no_offset_comes_once() -> None:
    async def fixed(*, limit: int, offset: int) -> Page[int]:
        return Page([1, 2, 3], b"[1,2,3]")

    pages = Paging().pages(fixed, limit=None, offset=0, arguments={})
    assert [thing async for page in pages for thing in page] == [1, 2, 3]


async def test_a_list_that_comes_whole_is_one_page(tenant: Any) -> None:
    async with Agave(tenant.url, username="alice", password=tenant.users["alice"]) as agave:
        for name in ("one", "two", "three"):
            await agave.clients.create(body={"clientName": name})
        pages = [page async for page in agave.pages(agave.clients.list, limit=2)]
    assert len(pages) == 1
    assert {"one", "two", "three"} <= {client.name for client in pages[0]}


async def test_a_folder_is_listed_whole_and_in_order(agave: Agave, tenant: Any) -> None:
    folder = tenant.path("data.demo", "/alice/many")
    folder.mkdir()
    for n in range(620):
        (folder / f"{n:03}").touch()
    names = []
    async for page in agave.pages(agave.files.list, systemId="data.demo", filePath="/alice/many", limit=10_000):
        names += [file.name for file in page]
    assert names[0] == "."
    assert sorted(names[1:]) == [f"{n:03}" for n in range(620)]
    assert tenant.faults.requests["files.list"] == 3


async def test_pages_may_be_left_in_the_middle(agave: Agave, tenant: Any) -> None:
    async for page in agave.pages(agave.files.list, systemId="data.demo", filePath="/alice", limit=1):
        assert len(page) == 1
        break
    gc.collect()
