"""Grants and nonces of actors: how they add up, end and are refused. Who may what is in `rights_tables`."""

from __future__ import annotations

import httpx
import pytest

from tests.tenant.troupe import ACTORS, image, troupe_of

ECHO = "import os\nprint(os.environ['_abaco_username'], os.environ['MSG'])\n"


@pytest.fixture
async def troupe(tenant):
    async with troupe_of(tenant) as found:
        yield found


async def test_a_users_own_grant_and_everybodys_add_up(tenant, troupe):
    actor = await troupe.actor(ECHO)
    for user, level in (("bob", "NONE"), ("ABACO_WORLD", "READ")):
        await troupe.ask("POST", f"/{actor}/permissions", json={"user": user, "level": level})
    async with troupe_of(tenant, "bob") as bob:
        await bob.ask("GET", f"/{actor}")
        await bob.refused("POST", f"/{actor}/messages", 400, json={"message": "x"})
        await troupe.ask("POST", f"/{actor}/permissions", json={"user": "bob", "level": "EXECUTE"})
        assert await bob.said(actor, "x") == "bob x\n"
    assert await troupe.ask("GET", f"/{actor}/permissions") == {
        "alice": "UPDATE", "bob": "EXECUTE", "ABACO_WORLD": "READ",
    }  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        {}, [], {"user": "bob"}, {"level": "READ"}, {"user": "", "level": "READ"}, {"user": 7, "level": "READ"},
        {"user": "bob", "level": "WRITE"}, {"user": "bob", "level": 1}, {"user": "bob", "level": None},
    ],
)  # fmt: skip
async def test_a_grant_that_makes_no_sense_is_refused(troupe, body):
    actor = await troupe.actor(ECHO)
    await troupe.refused("POST", f"/{actor}/permissions", 400, json=body)
    assert await troupe.ask("GET", f"/{actor}/permissions") == {"alice": "UPDATE"}


async def test_a_nonce_counts_its_uses_and_ends_with_them(tenant, troupe):
    actor = await troupe.actor(ECHO)
    nonce = await troupe.ask("POST", f"/{actor}/nonces", json={"maxUses": 2, "description": "for the door"})
    assert nonce["id"].startswith("EMBEDDED_")
    expected = {
        "actorId": actor, "owner": "alice", "level": "EXECUTE", "maxUses": 2, "currentUses": 0, "remainingUses": 2,
        "description": "for the door", "lastUseTime": "None",
    }  # fmt: skip
    assert {key: nonce[key] for key in expected} == expected
    async with httpx.AsyncClient(base_url=tenant.url, trust_env=False) as http:
        key = {"x-nonce": nonce["id"]}
        for _ in range(2):
            assert (await http.get(f"{ACTORS}/{actor}", params=key)).status_code == 200
            refused = await http.put(f"{ACTORS}/{actor}", params=key, json={"image": "test"})  # no use: it is refused
            assert refused.status_code == 400
        used_up = await http.get(f"{ACTORS}/{actor}", params=key)
        assert (used_up.status_code, used_up.json()["result"]) == (400, None)
        assert "no remaining uses" in used_up.json()["message"]
    told = await troupe.ask("GET", f"/{actor}/nonces/{nonce['id']}")
    assert (told["currentUses"], told["remainingUses"]) == (2, 0)
    assert told["lastUseTime"] != "None"
    assert [one["id"] for one in await troupe.ask("GET", f"/{actor}/nonces")] == [nonce["id"]]
    await troupe.ask("DELETE", f"/{actor}/nonces/{nonce['id']}")
    assert await troupe.ask("GET", f"/{actor}/nonces") == []


async def test_who_comes_with_a_nonce_acts_as_the_one_who_made_it(tenant, troupe):
    actor = await troupe.actor(ECHO)
    await troupe.ask("POST", f"/{actor}/permissions", json={"user": "bob", "level": "UPDATE"})
    async with troupe_of(tenant, "bob") as bob:
        nonce = (await bob.ask("POST", f"/{actor}/nonces"))["id"]
    async with httpx.AsyncClient(base_url=tenant.url, trust_env=False) as http:
        answer = await http.post(f"{ACTORS}/{actor}/messages", params={"x-nonce": nonce}, json={"message": "knock"})
    id = answer.json()["result"]["executionId"]
    assert (await troupe.ended(actor, id))["executor"] == "bob"
    assert await troupe.log(actor, id) == "bob knock\n"


async def test_a_nonce_opens_what_the_one_who_made_it_may_still_do(tenant, troupe):
    actor = await troupe.actor(ECHO)
    await troupe.ask("POST", f"/{actor}/permissions", json={"user": "bob", "level": "UPDATE"})
    async with (
        troupe_of(tenant, "bob") as bob, httpx.AsyncClient(base_url=f"{tenant.url}{ACTORS}", trust_env=False) as http,
    ):  # fmt: skip
        key = {"x-nonce": (await bob.ask("POST", f"/{actor}/nonces", json={"maxUses": 2}))["id"]}
        await troupe.ask("POST", f"/{actor}/permissions", json={"user": "bob", "level": "READ"})
        refused = await http.post(f"/{actor}/messages", params=key, json={"message": "knock"})
        assert (refused.status_code, "no longer the level EXECUTE" in refused.text) == (400, True)
        assert (await http.get(f"/{actor}", params=key)).status_code == 200
        await troupe.ask("POST", f"/{actor}/permissions", json={"user": "bob", "level": "NONE"})
        assert (await http.get(f"/{actor}", params=key)).status_code == 400
    assert (await troupe.ask("GET", f"/{actor}/nonces"))[0]["currentUses"] == 1


async def test_what_a_user_gave_away_is_no_key_any_more_when_they_are_removed(tenant, troupe):
    """Nor is it one to what a later user of the same name has."""
    person = {"username": "zoe", "password": "a password of zoe's", "email": "zoe@example.org"}
    actor = await troupe.actor(ECHO)
    async with (
        tenant.http("admin") as admin, httpx.AsyncClient(base_url=tenant.url, trust_env=False) as http,
    ):  # fmt: skip
        assert (await admin.post("/profiles/v2", json=person)).status_code == 201
        tenant.users["zoe"] = person["password"]
        await troupe.ask("POST", f"/{actor}/permissions", json={"user": "zoe", "level": "UPDATE"})
        async with troupe_of(tenant, "zoe") as zoe:
            key = {"x-nonce": (await zoe.ask("POST", f"/{actor}/nonces"))["id"]}
            wanted = {"url": f"{tenant.url}/profiles/v2/me", "unlimited": True}
            postit = (await zoe.http.post("/postits/v2/", json=wanted)).json()["result"]["postit"]
        assert (await http.get(f"{ACTORS}/{actor}", params=key)).status_code == 200
        assert (await http.get(f"/postits/v2/{postit}")).json()["result"]["username"] == "zoe"
        assert (await admin.delete("/profiles/v2/zoe")).status_code == 200
        for _ in range(2):
            assert (await http.get(f"{ACTORS}/{actor}", params=key)).status_code == 400
            assert (await http.get(f"/postits/v2/{postit}")).status_code == 404
            await admin.post("/profiles/v2", json=person)
            await troupe.ask("POST", f"/{actor}/permissions", json={"user": "zoe", "level": "UPDATE"})


@pytest.mark.parametrize("wanted", [{"maxUses": 0}, {"maxUses": -2}, {"maxUses": "many"}, {"maxUses": True},
                                    {"level": "ALL"}, {"description": 7}, {"maxUses": 1.5}])  # fmt: skip
async def test_a_nonce_that_makes_no_sense_is_refused(troupe, wanted):
    actor = await troupe.actor(ECHO)
    await troupe.refused("POST", f"/{actor}/nonces", 400, json=wanted)
    assert await troupe.ask("GET", f"/{actor}/nonces") == []


async def test_a_nonce_opens_nothing_else(tenant, troupe):
    actor, other = await troupe.actor(ECHO), await troupe.actor(ECHO)
    nonce = (await troupe.ask("POST", f"/{actor}/nonces", json={"level": "UPDATE"}))["id"]
    key = {"x-nonce": nonce}
    async with httpx.AsyncClient(base_url=tenant.url, trust_env=False) as http:
        for method, path in (
            ("GET", ""),
            ("POST", ""),
            ("GET", f"/{other}"),
            ("GET", "/aliases"),
            ("POST", "/aliases"),
        ):
            answer = await http.request(
                method, f"{ACTORS}{path}", params=key, json={"image": "test", "alias": "x", "actorId": other}
            )
            assert answer.status_code == 400, (method, path, answer.text)
        for path in ("/profiles/v2/me", "/systems/v2/", "/jobs/v2/", "/files/v2/listings/system/data.demo/"):
            assert (await http.get(path, params=key)).status_code == 401
        for wrong in ("", "EMBEDDED_", nonce[:-1], nonce + "0", "\ud83d\ude00", "x" * 5000):
            params = {"x-nonce": wrong.encode("utf-16", "surrogatepass").decode("utf-16")}
            assert (await http.get(f"{ACTORS}/{actor}", params=params)).status_code == (400 if wrong else 401)
        refused = await http.get(f"{ACTORS}/{actor}", params=key, headers={"Authorization": "Bearer wrong"})
        assert refused.status_code == 401
        assert (await http.get(f"{ACTORS}/{actor}")).status_code == 401
    assert (await troupe.ask("GET", f"/{actor}/nonces"))[0]["currentUses"] == 0


async def test_bobs_actors_are_not_alices(tenant, troupe):
    image(tenant.root, ECHO)
    async with troupe_of(tenant, "bob") as bob:
        actor = await bob.actor(ECHO)
        execution = await bob.send(actor)
        await bob.ended(actor, execution)
        mine = await troupe.actor(ECHO, image_name="mine")
        for path in (f"/executions/{execution}", f"/executions/{execution}/logs"):
            await troupe.refused("GET", f"/{mine}{path}", 400)
            await troupe.refused("GET", f"/{actor}{path}", 400)
