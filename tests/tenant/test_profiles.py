"""The profiles service: administrators add, change and remove users, and users keep internal users."""

from __future__ import annotations

import pytest

from tests.tenant.test_systems import result

ZOE = {"username": "zoe", "email": "zoe@example.org", "password": "long enough", "first_name": "Zoe",
       "lastName": "Zander", "phone": "1", "institution": "Arbor"}  # fmt: skip
ANN = {"username": "ann", "email": "ann@example.org", "firstName": "Ann", "gender": "female"}


@pytest.fixture
async def admin(tenant):
    async with tenant.http("admin") as http:
        yield http


@pytest.fixture
async def alice(tenant):
    async with tenant.http("alice") as http:
        yield http


@pytest.fixture
async def bob(tenant):
    async with tenant.http("bob") as http:
        yield http


async def test_a_user_is_added_found_changed_and_removed(tenant, admin, alice):
    answer = await admin.post("/profiles/v2", json=ZOE)
    assert (answer.status_code, ZOE["password"] in answer.text) == (201, False)
    made = answer.json()["result"]
    assert (made["full_name"], made["fullName"], made["last_name"], made["firstName"]) == (
        "Zoe Zander", "Zoe Zander", "Zander", "Zoe",
    )  # fmt: skip
    assert (made["admin"], made["status"], made["uuid"][-4:]) == (False, "ACTIVE", "-001")
    seen = (await result(alice.get("/profiles/v2", params={"email": "ZOE@example.org"})))[0]
    assert "admin" not in seen
    assert (seen["institution"], seen["position"]) == ("Arbor", "")
    changed = await result(admin.put("/profiles/v2/zoe", json={"firstName": "Zora", "city": "Aria"}))
    assert (changed["fullName"], changed["first_name"], changed["city"], changed["institution"]) == (
        "Zora Zander", "Zora", "Aria", "Arbor",
    )  # fmt: skip
    assert (await result(admin.put("/profiles/v2/zoe", json={"admin": True})))["admin"] is True
    async with tenant.http("zoe") as zoe:
        assert (await result(zoe.get("/profiles/v2/me")))["admin"] is True
        assert (await result(admin.put("/profiles/v2/zoe", json={"admin": False})))["admin"] is False
        assert (await zoe.post("/profiles/v2", json=ZOE)).status_code == 403
    assert (await result(admin.delete("/profiles/v2/zoe")))["username"] == "zoe"
    assert (await admin.get("/profiles/v2/zoe")).status_code == 404
    assert (await admin.delete("/profiles/v2/zoe")).status_code == 404
    events = [event[1] for event in tenant.state.store.events(made["uuid"])]
    assert events == ["CREATED", "UPDATED", "UPDATED", "UPDATED", "DELETED"]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"username": ""}, "username"), ({"username": "a b"}, "username"), ({"username": "world"}, "username"),
        ({"username": "Me"}, "username"), ({"username": "../x"}, "username"), ({"username": "n" * 65}, "username"),
        ({"username": "alice"}, "alice"), ({"username": "ALICE"}, "ALICE"), ({"username": 5}, "username"),
        ({"email": "nowhere"}, "email"), ({"email": None}, "email"), ({"email": "ALICE@example.org"}, "email"),
        ({"password": "short"}, "password"), ({"password": None}, "password"), ({"password": "x" * 1025}, "password"),
        ({"first_name": ["x"]}, "first_name"), ({"phone": "1" * 256}, "phone"), ({"admin": "perhaps"}, "admin"),
    ],
)  # fmt: skip
async def test_a_wrong_user_is_refused_by_the_fields_name(admin, more, field):
    answer = await admin.post("/profiles/v2", json={**ZOE, **more})
    assert (answer.status_code, field in answer.json()["message"]) == (400, True), answer.text
    assert ZOE["password"] not in answer.text
    assert len(await result(admin.get("/profiles/v2"))) == 3


async def test_the_tenants_own_users_stay(admin):
    for name in ("alice", "bob", "admin"):
        assert (await admin.delete(f"/profiles/v2/{name}")).status_code == 400
    assert (await admin.put("/profiles/v2/admin", json={"admin": False})).status_code == 400
    assert (await admin.put("/profiles/v2/alice", json={"username": "bob"})).status_code == 400
    assert (await admin.put("/profiles/v2/nobody", json={"city": "x"})).status_code == 404
    assert (await result(admin.get("/profiles/v2/me")))["admin"] is True


async def test_only_administrators_touch_users(alice):
    for call in (alice.post("/profiles/v2", json=ZOE), alice.put("/profiles/v2/alice", json={"admin": True}),
                 alice.put("/profiles/v2/bob", json={"password": "long enough"}),
                 alice.delete("/profiles/v2/bob")):  # fmt: skip
        assert (await call).status_code == 403


async def test_internal_users_are_their_owners_affair(tenant, alice, bob, admin):
    users = "/profiles/v2/alice/users"
    made = await result(alice.post(users, json=ANN), 201)
    assert (made["username"], made["status"], made["gender"], made["uuid"][-4:]) == ("ann", "ACTIVE", "female", "-003")
    await result(alice.post(users, json={**ANN, "username": "bea", "email": "bea@b.org", "city": "Aria"}), 201)
    assert [each["username"] for each in await result(alice.get(users))] == ["bea", "ann"]
    assert [each["username"] for each in await result(alice.get(users, params={"city": "aria"}))] == ["bea"]
    assert len(await result(admin.get(users, params={"limit": 1}))) == 1
    changed = await result(alice.post(f"{users}/ann", json={"city": "Aria", "status": "inactive"}))
    assert (changed["firstName"], changed["city"], changed["status"]) == ("Ann", "Aria", "INACTIVE")
    assert (await result(alice.get(f"{users}/ann")))["city"] == "Aria"
    for call, status in [
        (bob.get(users), 403), (bob.post(users, json=ANN), 403), (bob.get(f"{users}/ann"), 403),
        (bob.put(f"{users}/ann", json=ANN), 403), (bob.delete(f"{users}/ann"), 403), (alice.get(f"{users}/zoe"), 404),
        (alice.delete(f"{users}/zoe"), 404), (alice.post(users, json=ANN), 400), (alice.post(users, json=[1]), 400),
        (alice.post(users, json={"username": "zoe"}), 400), (alice.post(users, json={**ANN, "username": "a/b"}), 400),
        (alice.put(f"{users}/ann", json={"username": "bea"}), 400), (admin.get("/profiles/v2/nobody/users"), 404),
        (alice.post(f"{users}/ann", json={"status": "GONE"}), 400),
    ]:  # fmt: skip
        assert (await call).status_code == status
    assert await result(bob.get("/profiles/v2/bob/users")) == []
    await result(alice.delete(f"{users}/ann"))
    assert [each["username"] for each in await result(alice.get(users))] == ["bea"]
