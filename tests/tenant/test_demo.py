"""The demonstration holds what its description says, and all of it can be reached."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from agavesh.tenant import server
from agavesh.tenant.demo import files as planted
from agavesh.tenant.demo.seed import DEMO, PEOPLE, SMALL

LISTINGS = "/files/v2/listings/system/data.demo"
MEDIA = "/files/v2/media/system/data.demo"


@pytest.fixture
async def demonstration(tmp_path: Path):
    async with server.running(tmp_path / "tenant", seed=PEOPLE):
        pass
    async with server.running(tmp_path / "tenant", seed=DEMO) as state:  # people first, the rest later: all the same
        yield state


def signed_in(state, user):
    token = state.auth.grant(user, state.secrets.client["key"]).access_token
    return httpx.AsyncClient(base_url=state.url, headers={"Authorization": f"Bearer {token}"}, trust_env=False)


async def listed(http, path):
    found = []
    while page := (await http.get(f"{LISTINGS}/{quote(path)}", params={"limit": 250, "offset": len(found)})).json()[
        "result"
    ]:
        found += page
    return found[1:]


async def test_two_thousand_files_in_sixty_folders_and_five_thousand_in_one(demonstration):
    async with signed_in(demonstration, "alice") as http:
        files, folders, waiting = [], [], ["/alice"]
        while waiting:
            for entry in await listed(http, waiting.pop()):
                (folders if entry["type"] == "dir" else files).append(entry)
                if entry["type"] == "dir" and entry["name"] != "many":
                    waiting.append(entry["path"])
        assert (len(files), len(folders) - 1) == (planted.FILES, planted.FOLDERS)
        assert len(await listed(http, "/alice/many")) == planted.MANY
        sizes = {entry["path"]: entry["length"] for entry in files}
        assert (sizes["/alice/large/100MB.bin"], sizes["/alice/large/empty"]) == (10**8, 0)
        for name in planted.ODD_NAMES:
            assert (await http.get(f"{MEDIA}//alice/odd/{quote(name)}")).text == f"{name}\n"


async def test_bob_shows_what_he_shares_and_nothing_else(demonstration):
    async with signed_in(demonstration, "alice") as http:
        assert {entry["name"] for entry in await listed(http, "/")} == {"alice", "bob", "apps"}
        assert (await http.get(f"{LISTINGS}//bob")).status_code == 403
        assert (await http.get(f"{MEDIA}//bob/private.txt")).status_code == 403
        assert [entry["name"] for entry in await listed(http, "/bob/shared")] == ["from bob.txt"]
        assert (await http.delete(f"{MEDIA}//bob/shared/from%20bob.txt")).status_code in (401, 403)


async def test_a_second_start_plants_nothing_again(tmp_path: Path):
    for _ in range(2):
        async with server.running(tmp_path / "tenant", seed=SMALL) as state:
            store, users = state.store, state.secrets.users
            planted = store.get("planted", "systems"), [each["uuid"] for each in store.all("system")]
            if _ == 0:
                first = planted, users
    assert (planted, users) == first
