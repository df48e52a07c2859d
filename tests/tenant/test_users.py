"""Users and what they hold: passwords, tokens, clients, and how all of it ends."""

from __future__ import annotations

import hashlib
import json

import httpx
import pytest
import trio

from agavesh.tenant import passwords, server
from agavesh.tenant.auth import LOOKS, Denied

SYSTEMS = "/systems/v2/"
NEW = "a-new-password"


@pytest.fixture
async def http(tenant):
    async with httpx.AsyncClient(base_url=tenant.url, trust_env=False, timeout=60) as client:
        yield client


@pytest.fixture
async def admin(tenant):
    async with tenant.http("admin") as client:
        yield client


async def sign_in(http, tenant, user, password, **form):
    form = {"grant_type": "password", "username": user, "password": password, **form}
    return await http.post("/token", data=form, auth=tenant.client)


def bearer(answer):
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def kept(tenant, user):
    return tenant.state.store.sql("select password from users where username = ?", user)[0][0]


def test_a_hash_is_of_one_password_and_says_how_it_was_made():
    first, second = passwords.hashed("open sesame"), passwords.hashed("open sesame")
    assert first != second
    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    for password, is_it in [("open sesame", True), ("open sesame ", False), ("", False), ("\udcff", False)]:
        assert passwords.fits(password, first) is is_it
        assert not passwords.fits(password, passwords.NOBODY)
    assert not passwords.outdated(first)
    assert passwords.outdated(first.replace("t=2", "t=1"))


async def test_a_hash_of_before_is_read_and_made_anew_when_its_owner_signs_in(http, tenant):
    salt = b"0123456789abcdef"
    old = f"{salt.hex()}${hashlib.scrypt(b'sesame', salt=salt, n=2**14, r=8, p=1).hex()}"
    tenant.state.store.sql("update users set password = ? where username = 'alice'", old)
    assert (await sign_in(http, tenant, "alice", "wrong")).status_code == 400
    assert kept(tenant, "alice") == old
    assert (await sign_in(http, tenant, "alice", "sesame")).status_code == 200
    assert not passwords.outdated(kept(tenant, "alice"))
    assert (await sign_in(http, tenant, "alice", "sesame")).status_code == 200
    assert (await sign_in(http, tenant, "alice", "wrong")).status_code == 400


async def test_a_hundred_who_guess_leave_the_tenant_answering(http, tenant, admin):
    looked = tenant.state.auth._looks.statistics
    busiest = answered = 0
    async with trio.open_nursery() as nursery:
        done = trio.Event()

        async def guess():
            await sign_in(http, tenant, "alice", "wrong")

        async def guesses():
            async with trio.open_nursery() as many:
                for _ in range(100):
                    many.start_soon(guess)
            done.set()

        nursery.start_soon(guesses)
        while not done.is_set():
            assert (await admin.get("/profiles/v2/me")).status_code == 200
            answered += looked().tasks_waiting > 10
            busiest = max(busiest, looked().borrowed_tokens)
    assert answered >= 5  # between the looks at passwords, of which there are few at a time
    assert busiest <= LOOKS
    assert (await sign_in(http, tenant, "alice", tenant.users["alice"])).status_code == 200


async def test_a_new_password_ends_what_was_had_for_the_old(http, tenant, admin):
    first = await sign_in(http, tenant, "bob", tenant.users["bob"])
    assert (await http.get(SYSTEMS, headers=bearer(first))).status_code == 200
    changed = await admin.put("/profiles/v2/bob", json={"password": NEW})
    assert (changed.status_code, NEW in changed.text) == (200, False)
    over = await http.get(SYSTEMS, headers=bearer(first))
    assert (over.status_code, "900904" in over.text) == (401, True)
    refresh = {"grant_type": "refresh_token", "refresh_token": first.json()["refresh_token"]}
    assert (await http.post("/token", data=refresh, auth=tenant.client)).status_code == 400
    assert (await sign_in(http, tenant, "bob", tenant.users["bob"])).status_code == 400
    assert (await http.get(SYSTEMS, headers=bearer(await sign_in(http, tenant, "bob", NEW)))).status_code == 200
    # bob is one of the tenant's own: its programs sign in by secrets.json
    users = json.loads((tenant.root / "secrets.json").read_text())["users"]
    assert {user["username"]: user["password"] for user in users}["bob"] == NEW


async def test_who_is_removed_while_their_password_is_looked_at_gets_no_token(tenant, admin):
    body = {"username": "zoe", "email": "zoe@example.org", "password": NEW}
    assert (await admin.post("/profiles/v2", json=body)).status_code == 201
    auth = tenant.state.auth
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            for look in range(LOOKS):
                await auth._looks.acquire_on_behalf_of(look)  # so that it waits for its turn

            async def try_to():
                with pytest.raises(Denied):
                    await auth.check_password("zoe", NEW)

            nursery.start_soon(try_to)
            while not auth._looks.statistics().tasks_waiting:
                await trio.lowlevel.checkpoint()
            tenant.state.people.delete("zoe", by="admin")
            for look in range(LOOKS):
                auth._looks.release_on_behalf_of(look)
    with pytest.raises(Denied):
        auth.grant("zoe", tenant.client[0])


async def test_all_that_a_user_holds_goes_with_them_and_not_to_the_next_of_the_name(http, tenant, admin):
    body = {"username": "zoe", "email": "zoe@example.org", "password": NEW}
    assert (await admin.post("/profiles/v2", json=body)).status_code == 201
    made = await http.post("/clients/v2/", data={"clientName": "hers"}, auth=("zoe", NEW))
    hers = made.json()["result"]["consumerKey"], made.json()["result"]["consumerSecret"]
    through_hers = await http.post(
        "/token", data={"grant_type": "password", "username": "alice", "password": tenant.users["alice"]}, auth=hers
    )
    zoe = await sign_in(http, tenant, "zoe", NEW)
    async with tenant.http("alice") as alice:
        grant = {"username": "zoe", "permission": "READ"}
        pems = "/files/v2/pems/system/data.demo/alice"
        assert (await alice.post(pems, json=grant)).status_code == 201
        record = {"id": "store-1", "name": "s", "type": "STORAGE",
                  "storage": {"host": "h", "port": 1, "protocol": "LOCAL", "auth": {"type": "LOCAL"}}}  # fmt: skip
        assert (await alice.post(SYSTEMS, json=record)).status_code == 201
        role = {"username": "zoe", "role": "USER"}
        assert (await alice.post("/systems/v2/store-1/roles", json=role)).status_code == 201
        async with httpx.AsyncClient(base_url=tenant.url, trust_env=False, headers=bearer(zoe)) as her:
            assert (await her.get("/systems/v2/store-1")).status_code == 200
            assert (await her.put("/systems/v2/store-1", json={"action": "SETDEFAULT"})).status_code == 200
            ann = {"username": "ann", "email": "a@b.c"}
            assert (await her.post("/profiles/v2/zoe/users", json=ann)).status_code == 201
            assert (await admin.delete("/profiles/v2/zoe")).status_code == 200
            assert (await her.get(SYSTEMS)).status_code == 401
        assert (await http.get(SYSTEMS, headers=bearer(through_hers))).status_code == 401
        assert (await http.post("/token", data={"grant_type": "client_credentials"}, auth=hers)).status_code == 401
        assert (await alice.get("/profiles/v2/zoe")).status_code == 404
        assert (await admin.post("/profiles/v2", json=body)).status_code == 201
        assert "zoe" not in (await alice.get("/systems/v2/store-1/roles")).text
        assert '"zoe"' not in (await alice.get(pems)).text
    async with tenant.http("zoe") as her:
        assert (await her.get("/systems/v2/store-1")).status_code == 403
        assert (await her.get("/files/v2/listings/system/data.demo/alice")).status_code == 403
        assert (await her.get("/files/v2/listings/")).json()["result"][0]["system"] == "data.demo"
        assert (await her.get("/profiles/v2/zoe/users")).json()["result"] == []


async def test_an_administrator_may_act_as_somebody_else(http, tenant):
    as_alice = {"grant_type": "admin_password", "token_username": "alice"}
    got = await sign_in(http, tenant, "admin", tenant.users["admin"], **as_alice)
    assert (await http.get("/profiles/v2/me", headers=bearer(got))).json()["result"]["username"] == "alice"
    passwords_of = tenant.users
    for user, password, whose in [
        ("bob", passwords_of["bob"], "alice"), ("admin", "wrong", "alice"), ("admin", passwords_of["admin"], "nobody"),
        ("admin", passwords_of["admin"], ""),
    ]:  # fmt: skip
        refused = await sign_in(http, tenant, user, password, **as_alice | {"token_username": whose})
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


async def test_a_client_is_let_into_the_services_that_it_is_subscribed_to(http, tenant):
    alice = ("alice", tenant.users["alice"])
    made = (await http.post("/clients/v2/", data={"clientName": "mine"}, auth=alice)).json()["result"]
    form = {"grant_type": "password", "username": "bob", "password": tenant.users["bob"]}
    token = bearer(await http.post("/token", data=form, auth=(made["consumerKey"], made["consumerSecret"])))
    subscriptions = "/clients/v2/mine/subscriptions"
    assert (await http.get(SYSTEMS, headers=token)).status_code == 200
    assert (await http.delete(subscriptions, auth=alice)).status_code == 200
    refused = await http.get(SYSTEMS, headers=token)
    assert (refused.status_code, "900908" in refused.text) == (403, True)
    wanted = {"apiName": "Systems", "apiVersion": "v2", "apiProvider": "admin"}
    assert (await http.post(subscriptions, json=wanted, auth=alice)).status_code == 201
    assert (await http.get(SYSTEMS, headers=token)).status_code == 200
    assert (await http.get("/systems/v2/run.demo/queues", headers=token)).status_code == 200
    assert (await http.get("/profiles/v2/me", headers=token)).status_code == 403
    tenant.state.auth.reload()  # as at the next start
    assert (await http.get("/profiles/v2/me", headers=token)).status_code == 403
    assert (await http.post(subscriptions, json={"apiName": "*"}, auth=alice)).status_code == 201
    assert (await http.get("/profiles/v2/me", headers=token)).status_code == 200


@pytest.mark.parametrize("cut", ["before the records", "after the records"])
async def test_whatever_cuts_a_change_of_password_the_tenants_own_users_can_sign_in(tenant_root, cut, monkeypatch):
    secrets = tenant_root / "secrets.json"
    async with server.running(tenant_root) as state:
        before = next(user["password"] for user in state.secrets.users if user["username"] == "alice")
        keep, kept_at = state.people._keep, []

        def crashing():
            if kept_at:
                raise KeyboardInterrupt
            keep()
            kept_at.append(1)

        monkeypatch.setattr(state.people, "_keep", crashing)
        if cut == "before the records":
            monkeypatch.setattr(state.auth, "set_password", lambda *_: crashing())
        with pytest.raises(KeyboardInterrupt):
            await state.people.update("alice", {"password": NEW}, by="alice")
        assert NEW in secrets.read_text()
        state.secrets.users.clear()  # what this process knew is gone
    async with server.running(tenant_root) as state:
        user = next(user for user in json.loads(secrets.read_text())["users"] if user["username"] == "alice")
        assert user == {"username": "alice", "password": before if cut == "before the records" else NEW}
        assert await state.auth.check_password("alice", user["password"]) == "alice"
