"""Who may do what with documents and schemas: both obey the same rules, so that each test asks both."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

DATA, SCHEMAS = "/meta/v2/data", "/meta/v2/schemas"
BODIES = {DATA: {"name": "plant", "value": 1}, SCHEMAS: {"type": "object", "title": "plant"}}

BOTH = pytest.mark.parametrize("path", [DATA, SCHEMAS])


async def made(http: httpx.AsyncClient, path: str) -> str:
    answer = await http.post(path, json=BODIES[path])
    assert answer.status_code == 201, answer.text
    return f"{path}/{answer.json()['result']['uuid']}"


async def listed(http: httpx.AsyncClient, path: str, **params: Any) -> int:
    return len((await http.get(path, params=params)).json()["result"])


Call = Callable[[httpx.AsyncClient, str, str], Awaitable[httpx.Response]]
READS: dict[str, Call] = {
    "get": lambda http, path, it: http.get(it),
    "pems": lambda http, path, it: http.get(f"{it}/pems"),
    "pem": lambda http, path, it: http.get(f"{it}/pems/alice"),
}
WRITES: dict[str, Call] = {
    "update": lambda http, path, it: http.post(it, json=BODIES[path]),
    "grant": lambda http, path, it: http.post(f"{it}/pems", json={"username": "admin", "permission": "READ"}),
    "grant to": lambda http, path, it: http.post(f"{it}/pems/admin", json={"permission": "READ"}),
    "revoke": lambda http, path, it: http.delete(f"{it}/pems/admin"),
    "clear": lambda http, path, it: http.delete(f"{it}/pems"),
    "delete": lambda http, path, it: http.delete(it),
}
RIGHTS = {
    "": (False, False), "READ": (True, False), "WRITE": (False, True), "READ_WRITE": (True, True), "ALL": (True, True),
    "NONE": (False, False), "read": (True, False), "READ_PERMISSION": (True, False), "READ_EXECUTE": (True, False),
}  # fmt: skip


@BOTH
@pytest.mark.parametrize("word", RIGHTS)
async def test_a_user_may_do_what_was_granted_and_nothing_else(tenant, path, word):
    reads, writes = RIGHTS[word]
    async with tenant.http() as alice, tenant.http("bob") as bob:
        for name, call in (READS | WRITES).items():
            it = await made(alice, path)
            if word:
                await alice.post(f"{it}/pems", json={"username": "bob", "permission": word})
            allowed = reads if name in READS else writes
            answer = await call(bob, path, it)
            assert answer.status_code in ((200, 201) if allowed else (403,)), (name, answer.text)
            assert "message" in answer.json()
            if not allowed and name in WRITES:
                assert (await alice.get(it)).status_code == 200
            await alice.delete(it)


@BOTH
async def test_lists_have_what_one_may_read(tenant, path):
    async with tenant.http() as alice, tenant.http("bob") as bob, tenant.http("admin") as admin:
        its = [await made(alice, path) for _ in range(3)]
        await made(bob, path)
        await alice.post(f"{its[0]}/pems", json={"username": "bob", "permission": "READ"})
        await alice.post(f"{its[1]}/pems", json={"username": "bob", "permission": "WRITE"})
        assert (await listed(alice, path), await listed(bob, path)) == (3, 2)
        every = {"q": json.dumps({"$or": [{"owner": "alice"}, {"uuid": {"$exists": True}}]})}
        assert (await listed(alice, path, **every), await listed(bob, path, **every)) == (3, 2)
        judged = {"q": json.dumps({"value": {"$ne": 7}, "nowhere": None})}
        assert (await listed(alice, path, **judged), await listed(bob, path, **judged)) == (3, 2)
        # an administrator sees all, and may ask for less; for others that changes nothing
        assert await listed(admin, path) == 4
        assert await listed(admin, path, privileged="True") == 4
        assert await listed(admin, path, privileged="False") == 0
        assert await listed(bob, path, privileged="true") == 2
        await alice.delete(f"{its[0]}/pems/bob")
        assert await listed(bob, path) == 1


@BOTH
async def test_an_administrator_may_do_everything(tenant, path):
    async with tenant.http() as alice, tenant.http("admin") as admin:
        for name, call in (READS | WRITES).items():
            it = await made(alice, path)
            assert (await call(admin, path, it)).is_success, name


@BOTH
@pytest.mark.parametrize("everybody", ["world", "public"])
async def test_only_an_administrator_shows_something_to_everybody(tenant, path, everybody):
    async with tenant.http() as alice, tenant.http("bob") as bob, tenant.http("admin") as admin:
        it = await made(alice, path)
        grant = {"username": everybody, "permission": "READ"}
        assert (await alice.post(f"{it}/pems", json=grant)).status_code == 403
        assert (await bob.get(it)).status_code == 403
        assert (await admin.post(f"{it}/pems", json=grant)).status_code == 201
        assert ((await bob.get(it)).status_code, await listed(bob, path)) == (200, 1)
        assert (await bob.post(it, json=BODIES[path])).status_code == 403


@BOTH
async def test_permissions_are_told_as_the_platform_tells_them(tenant, path):
    async with tenant.http() as alice:
        it = await made(alice, path)
        answer = await alice.post(f"{it}/pems", json={"username": "bob", "permission": "read_write"})
        assert answer.status_code == 201
        told = answer.json()["result"]
        assert (told["username"], told["permission"]) == ("bob", {"read": True, "write": True})
        assert told["_links"]["self"]["href"] == f"{tenant.url}{it}/pems/bob"
        assert (await alice.get(f"{it}/pems/bob")).json()["result"] == told
        found = (await alice.get(f"{it}/pems")).json()["result"]
        assert [(each["username"], each["permission"]["write"]) for each in found] == [("alice", True), ("bob", True)]
        # a grant replaces what there was; NONE and nothing take it away
        answer = await alice.post(f"{it}/pems/bob", json={"permission": "READ"})
        assert (answer.status_code, answer.json()["result"]["permission"]) == (201, {"read": True, "write": False})
        for nothing in ("NONE", None, ""):
            await alice.post(f"{it}/pems/bob", json={"permission": "READ"})
            answer = await alice.post(f"{it}/pems/bob", json={"permission": nothing})
            assert (answer.status_code, answer.json()["result"]["permission"]["read"]) == (200, False)
            assert (await alice.get(f"{it}/pems/bob")).status_code == 404
        await alice.post(f"{it}/pems/bob", json={"permission": "READ"})
        assert "result" not in (await alice.delete(f"{it}/pems")).json()
        assert [each["username"] for each in (await alice.get(f"{it}/pems")).json()["result"]] == ["alice"]
        # the owner has everything, always, as administrators have
        assert (await alice.post(f"{it}/pems/alice", json={"permission": "READ"})).status_code == 201
        assert (await alice.post(it, json=BODIES[path])).status_code == 200
        for name in ("alice", "admin"):
            assert (await alice.get(f"{it}/pems/{name}")).json()["result"]["permission"]["write"] is True


@BOTH
async def test_a_grant_that_makes_no_sense_is_refused_with_a_reason(tenant, path):
    async with tenant.http() as alice:
        it = await made(alice, path)
        for where, body, status, told in (
            ("pems", {"permission": "READ"}, 400, "No username specified."),
            ("pems", {"username": 5, "permission": "READ"}, 400, "No username specified."),
            ("pems", {"username": "bob"}, 400, "Missing permission field."),
            ("pems/bob", {"username": "alice", "permission": "READ"}, 400, "does not match the username in the URL"),
            ("pems/bob", {"permission": "FLY"}, 400, "Invalid permission value."),
            ("pems/bob", {"permission": 5}, 400, "Invalid permission value."),
            ("pems/bob", {"permission": "EXECUTE"}, 400, "Invalid permission value."),
            ("pems/bob", [1], 400, "Missing permission field."),
            ("pems/nobody", {"permission": "READ"}, 404, "No user found matching nobody"),
        ):
            refused = await alice.post(f"{it}/{where}", json=body)
            assert (refused.status_code, told in refused.json()["message"]) == (status, True), refused.text


async def test_permissions_can_come_with_the_document(tenant):
    async with tenant.http() as alice, tenant.http("bob") as bob:
        pems = [{"username": "bob", "permission": "WRITE"}]
        answer = await alice.post(DATA, json={**BODIES[DATA], "permissions": pems})
        it = f"{DATA}/{answer.json()['result']['uuid']}"
        assert (await bob.get(it)).status_code == 403
        answer = await bob.post(it, json={"name": "his", "permissions": [{"username": "bob", "permission": "ALL"}]})
        assert (answer.status_code, answer.json()["result"]["owner"]) == (200, "alice")
        assert (await bob.get(it)).json()["result"]["name"] == "his"


@BOTH
async def test_without_a_token_nobody_is_let_in(tenant, path):
    async with tenant.http() as alice:
        it = await made(alice, path)
    async with httpx.AsyncClient(base_url=tenant.url, trust_env=False) as nobody:
        for method, where in (("GET", path), ("POST", path), ("GET", it), ("DELETE", it), ("GET", f"{it}/pems")):
            assert (await nobody.request(method, where)).status_code == 401
