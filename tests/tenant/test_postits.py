"""Postits: one thing of the creator's, for whoever holds the URL, as often and as long as was said."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
import trio

from agavesh.client import Agave
from agavesh.client.errors import BadRequest, NotAllowed, NotFound

from ..conftest import Tenant

NOTE = "/files/v2/media/system/data.demo//alice/note.txt"


@pytest.fixture
def note(tenant: Tenant) -> str:
    """The URL of a file that only alice may read."""
    tenant.path("data.demo", "/alice/note.txt").write_text("for your eyes")
    return tenant.url + NOTE


async def redeemed(tenant: Tenant, postit: str, method: str = "GET", **more: Any) -> httpx.Response:
    """What somebody without an account gets."""
    async with httpx.AsyncClient(base_url=tenant.url, trust_env=False, timeout=30) as nobody:
        return await nobody.request(method, f"/postits/v2/{postit}", **more)


async def test_a_postit_opens_a_file_to_whoever_has_it(tenant: Tenant, agave: Agave, note: str) -> None:
    postit = await agave.postits.create(body={"url": note})
    assert (postit.creator, postit.method, postit.remainingUses, postit.status) == ("alice", "GET", 1, "ACTIVE")
    assert postit.url == note
    answer = await redeemed(tenant, postit.postit)
    assert (answer.status_code, answer.text) == (200, "for your eyes")


async def test_it_answers_what_its_creator_would_be_answered(tenant: Tenant, agave: Agave) -> None:
    postit = await agave.postits.create(body={"url": f"{tenant.url}/profiles/v2/me?filter=username", "maxUses": 2})
    answer = await redeemed(tenant, postit.postit, headers={"Authorization": f"Bearer {tenant.token('bob')}"})
    assert answer.json()["result"] == {"username": "alice"}


async def test_a_range_of_it_can_be_asked_for_and_a_download(tenant: Tenant, agave: Agave, note: str) -> None:
    postit = await agave.postits.create(body={"url": note, "maxUses": 2})
    part = await redeemed(tenant, postit.postit, headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.text) == (206, "your")
    whole = await redeemed(tenant, postit.postit, params={"force": "true"})
    assert whole.headers["Content-Disposition"].startswith("attachment")


async def test_its_uses_are_counted_even_when_many_come_at_once(tenant: Tenant, agave: Agave, note: str) -> None:
    postit = await agave.postits.create(body={"url": note, "maxUses": 3})
    statuses: list[int] = []

    async def one() -> None:
        statuses.append((await redeemed(tenant, postit.postit)).status_code)

    async with trio.open_nursery() as nursery:
        for _ in range(12):
            nursery.start_soon(one)
    assert sorted(statuses) == [200] * 3 + [410] * 9
    assert not await agave.postits.list()


async def test_one_without_a_limit_goes_on(tenant: Tenant, agave: Agave, note: str) -> None:
    for body in ({"unlimited": True}, {"maxUses": -1}):
        postit = await agave.postits.create(body={"url": note, **body})
        assert postit.remainingUses == -1
        assert [(await redeemed(tenant, postit.postit)).status_code for _ in range(3)] == [200] * 3
    unlimited, lasting = (await agave.postits.list())[::-1]
    assert (unlimited.expires, unlimited.numberUsed) == (None, 3)
    assert lasting.expires is not None


async def test_it_ends_with_its_lifetime(
    tenant: Tenant, agave: Agave, note: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    postit = await agave.postits.create(body={"url": note, "lifetime": 60})
    assert postit.created is not None
    assert postit.expires is not None
    assert (postit.expires - postit.created).total_seconds() == pytest.approx(60, abs=0.01)
    later = time.time() + 61
    monkeypatch.setattr("agavesh.tenant.handlers.postits.time.time", lambda: later)
    assert (await redeemed(tenant, postit.postit)).status_code == 410
    assert not await agave.postits.list()


async def test_it_gives_no_more_than_its_creator_has_at_that_moment(tenant: Tenant, agave: Agave, note: str) -> None:
    async with Agave(tenant.url, token=tenant.token("bob")) as bob:
        refused = await bob.postits.create(body={"url": note, "maxUses": 5})
        assert (await redeemed(tenant, refused.postit)).status_code == 403
        await agave.files.updatePermissions(
            systemId="data.demo", filePath="/alice/note.txt", body={"username": "bob", "permission": "READ"}
        )
        assert (await redeemed(tenant, refused.postit)).status_code == 200
        await agave.files.updatePermissions(
            systemId="data.demo", filePath="/alice/note.txt", body={"username": "bob", "permission": "NONE"}
        )
        assert (await redeemed(tenant, refused.postit)).status_code == 403


async def test_an_administrators_postit_has_no_more_rights_than_they_have_now(tenant: Tenant, note: str) -> None:
    tenant.state.auth.set_admin("bob", True)
    async with Agave(tenant.url, token=tenant.token("bob")) as bob:
        postit = await bob.postits.create(body={"url": note, "maxUses": 9})
    assert (await redeemed(tenant, postit.postit)).status_code == 200
    tenant.state.auth.set_admin("bob", False)
    assert (await redeemed(tenant, postit.postit)).status_code == 403
    tenant.state.auth.drop_user("bob")
    assert (await redeemed(tenant, postit.postit)).status_code == 410


async def test_noauth_brings_no_rights(tenant: Tenant, agave: Agave, note: str) -> None:
    postit = await agave.postits.create(body={"url": note, "noauth": True})
    assert (await redeemed(tenant, postit.postit)).status_code == 401
    public = await agave.postits.create(body={"url": f"{tenant.url}/tenants", "noauth": True})
    assert (await redeemed(tenant, public.postit)).json()["result"][0]["status"] == "LIVE"


async def test_the_method_that_was_said_is_called(tenant: Tenant, agave: Agave, note: str) -> None:
    postit = await agave.postits.create(body={"url": note, "method": "DELETE"})
    assert (await redeemed(tenant, postit.postit)).status_code == 200
    assert not tenant.path("data.demo", "/alice/note.txt").exists()


async def test_a_folder_can_be_opened_for_uploads(tenant: Tenant, agave: Agave) -> None:
    url = f"{tenant.url}/files/v2/media/system/data.demo//alice"
    postit = await agave.postits.create(body={"url": url, "method": "POST", "maxUses": 2})
    taken = await redeemed(tenant, postit.postit, "POST", files={"fileToUpload": ("given.txt", b"a gift")})
    assert taken.status_code == 202
    with trio.fail_after(30):
        while not tenant.path("data.demo", "/alice/given.txt").exists():
            await trio.sleep(0.01)
    assert tenant.bytes("data.demo", "/alice/given.txt") == b"a gift"
    wrong = await redeemed(tenant, postit.postit, "PUT", json={"action": "mkdir", "path": "x"})
    assert (wrong.status_code, wrong.headers["Allow"]) == (405, "GET, POST")


async def test_only_things_of_this_tenant_can_be_opened(tenant: Tenant, agave: Agave) -> None:
    mine = await agave.postits.create(body={"url": f"{tenant.url}/profiles/v2/me"})
    for url in (
        "https://example.org/files/v2/media/system/data.demo/x", "/profiles/v2/me", "http://[", "ftp://x/", "",
        tenant.url, f"{tenant.url}/nowhere", f"{tenant.url}.example.org/profiles/v2/me",
        f"{tenant.url}/postits/v2/{mine.postit}", f"{tenant.url}/postits/v2/", f"{tenant.url}/clients/v2/",
        f"{tenant.url}/control/faults",
    ):  # fmt: skip
        with pytest.raises(BadRequest):
            await agave.postits.create(body={"url": url})


@pytest.mark.parametrize(
    "wrong",
    [
        {"maxUses": 0},
        {"maxUses": "many"},
        {"maxUses": "--5"},
        {"internalUsername": [1]},
        {"lifetime": 0},
        {"lifetime": 1e3},
        {"method": "PATCH"},
        {"noauth": 7},
    ],
)
async def test_what_makes_no_sense_is_refused(tenant: Tenant, agave: Agave, note: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match=next(iter(wrong))):
        await agave.postits.create(body={"url": note, **wrong})


async def test_a_postit_can_be_made_by_a_form(tenant: Tenant, note: str) -> None:
    async with tenant.http() as http:
        answer = await http.post("/postits/v2/", data={"url": note, "maxUses": "3", "noauth": "false"})
    assert (answer.status_code, answer.json()["result"]["remainingUses"]) == (201, 3)


async def test_its_creator_revokes_it_and_nobody_else(tenant: Tenant, agave: Agave, note: str) -> None:
    postit = await agave.postits.create(body={"url": note})
    async with Agave(tenant.url, token=tenant.token("bob")) as bob:
        assert not await bob.postits.list()
        with pytest.raises(NotAllowed):
            await bob.postits.delete(uuid=postit.postit)
    await agave.postits.delete(uuid=postit.postit)
    assert (await redeemed(tenant, postit.postit)).status_code == 404
    with pytest.raises(NotFound):
        await agave.postits.delete(uuid=postit.postit)
    assert not await agave.postits.list()
