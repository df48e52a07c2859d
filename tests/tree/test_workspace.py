"""The tree over a real tenant: paths and URIs to nodes, for as few requests as there can be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from agavesh.client import Agave
from agavesh.client.errors import AlreadyThere, NotFound, ReadOnly, WrongKind
from agavesh.client.storage import SystemStorage
from agavesh.tree.listing import open_listings
from agavesh.tree.node import Directory, File, Link, Node
from agavesh.tree.root import make_root
from agavesh.tree.storage import StorageDirectory
from agavesh.tree.workspace import Workspace


@pytest.fixture
async def workspace(agave: Agave) -> AsyncIterator[Workspace]:
    async with open_listings() as listings:
        yield Workspace(agave, listings, make_root(agave, listings))


async def names(node: Node) -> list[str]:
    assert isinstance(node, Directory)
    return [child.name async for child in node.scan()]


async def text(node: Node) -> bytes:
    assert isinstance(node, File)
    return await node.content()


@pytest.fixture
async def alice(agave: Agave) -> SystemStorage:
    storage = SystemStorage(agave, "data.demo")
    await storage.put("/alice/a b#?%.txt", b"one")
    await storage.mkdir("/alice/sub")
    await storage.put("/alice/sub/deep.txt", b"two")
    return storage


async def test_the_root_shows_one_folder_for_each_kind(workspace: Workspace) -> None:
    assert await names(workspace.root) == ["apps", "jobs", "systems"]
    assert sorted(await names(await workspace.find("/systems"))) == ["data.demo", "run.demo"]


async def test_a_path_and_its_uris_are_one_place(workspace: Workspace, alice: SystemStorage) -> None:
    path = "/systems/data.demo/alice/a b#?%.txt"
    for place in (path, "agave://data.demo//alice/a%20b%23%3F%25.txt", "agave://data.demo/alice/a%20b%23%3F%25.txt"):
        node = await workspace.find(place)
        assert (node.path, await text(node)) == (path, b"one")


async def test_a_path_is_read_from_the_folder_one_stands_in(workspace: Workspace, alice: SystemStorage) -> None:
    node = await workspace.find("../sub/./deep.txt", "/systems/data.demo/alice/sub")
    assert await text(node) == b"two"


async def test_the_home_is_a_link_that_is_not_listed(workspace: Workspace, alice: SystemStorage) -> None:
    assert "~" not in await names(await workspace.find("/systems/data.demo"))
    home = await workspace.find("/systems/data.demo/~", follow=False)
    assert isinstance(home, Link)
    assert home.target == "/systems/data.demo/alice"
    assert await text(await workspace.find("/systems/data.demo/~/sub/deep.txt")) == b"two"


async def test_the_link_to_the_home_stays_and_so_does_a_file_behind_it(workspace: Workspace, tenant: Any) -> None:
    behind = tenant.path("data.demo", "/~")
    behind.write_text("of the same name")
    root = await workspace.directory("/systems/data.demo")
    with pytest.raises(ReadOnly, match="is a link that is made here"):
        await root.remove("~")
    with pytest.raises(AlreadyThere):
        await root.mkdir("~")
    assert behind.exists()


async def test_what_is_not_there_is_told_in_the_same_words_listed_or_not(workspace: Workspace, alice: Any) -> None:
    said = []
    for _ in range(2):
        with pytest.raises(NotFound) as missing:
            await workspace.find("/systems/data.demo/alice/sub/nothing")
        said.append(missing.value.sentence)
        await names(await workspace.find("/systems/data.demo/alice/sub"))
    assert said == ["no 'nothing' in /systems/data.demo/alice/sub"] * 2


async def test_a_slash_at_the_end_wants_a_folder(workspace: Workspace, alice: SystemStorage) -> None:
    for place in ("/systems/data.demo/alice/sub/deep.txt/", "agave://data.demo/sub/deep.txt/"):
        with pytest.raises(WrongKind, match="is no folder"):
            await workspace.find(place, follow=False)
    assert isinstance(await workspace.find("/systems/data.demo/~/"), Directory)


async def test_a_root_that_may_not_be_listed_shows_the_way_home(workspace: Workspace, tenant: Any) -> None:
    root = await workspace.find("/systems/data.demo")
    with tenant.faults.refusing("files.list", status=403):
        assert await names(root) == ["alice"]


async def test_a_deep_path_costs_one_listing_of_the_systems_and_one_request(
    workspace: Workspace, alice: SystemStorage, tenant: Any
) -> None:
    tenant.faults.requests.clear()
    await workspace.find("/systems/data.demo/alice/sub/deep.txt")
    assert tenant.faults.requests["files.list"] == 1


async def test_a_listed_folder_answers_for_its_names_and_for_those_it_has_not(
    workspace: Workspace, alice: SystemStorage, tenant: Any
) -> None:
    folder = await workspace.find("/systems/data.demo/alice/sub")
    assert await names(folder) == ["deep.txt"]
    tenant.faults.requests.clear()
    assert (await workspace.find("/systems/data.demo/alice/sub/deep.txt")).entry.size == 3
    with pytest.raises(NotFound, match=r"'nothing' in /systems/data.demo/alice/sub"):
        await workspace.find("/systems/data.demo/alice/sub/nothing")
    assert not tenant.faults.requests


async def test_own_changes_show_at_once_without_a_new_listing(
    workspace: Workspace, alice: SystemStorage, tenant: Any
) -> None:
    folder = await workspace.directory("/systems/data.demo/alice")
    await names(folder)
    await folder.mkdir("new")
    await folder.remove("sub")
    tenant.faults.requests.clear()
    assert set(await names(folder)) == {"a b#?%.txt", "new"}
    assert not tenant.faults.requests


async def test_a_file_on_the_way_is_no_folder(workspace: Workspace, alice: SystemStorage) -> None:
    with pytest.raises((NotFound, WrongKind)):
        await workspace.find("/systems/data.demo/alice/sub/deep.txt/more")
    with pytest.raises(WrongKind, match="no folder"):
        await workspace.directory("/systems/data.demo/alice/sub/deep.txt")


@pytest.mark.parametrize("place", ["/nothing", "/systems/nothing", "/jobs/nothing", "/apps/nothing", "/jobs/latest"])
async def test_what_is_not_there_is_said_to_be_missing(workspace: Workspace, place: str) -> None:
    with pytest.raises(NotFound):
        await workspace.find(place)


async def test_an_app_shows_its_record(workspace: Workspace) -> None:
    apps = await names(await workspace.find("/apps"))
    assert "wordcount-1.0" in apps
    node = await workspace.find("/apps/wordcount-1.0/app.json")
    assert b'"id": "wordcount-1.0"' in (record := await text(node))
    assert len(record) == node.entry.size


async def test_what_is_made_here_can_not_be_changed(workspace: Workspace) -> None:
    with pytest.raises(ReadOnly):
        await workspace.root.mkdir("x")
    folder = await workspace.find("/systems/data.demo/alice")
    assert isinstance(folder, StorageDirectory)
