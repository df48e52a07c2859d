"""The systems service: registration, actions, roles, credentials."""

from __future__ import annotations

import copy

import pytest

STORE = {
    "id": "store-1", "name": "Lab store", "type": "STORAGE", "site": "example.org",
    "storage": {"host": "data.example.org", "port": 22, "protocol": "SFTP", "rootDir": "/", "homeDir": "/home/lab",
                "auth": {"type": "PASSWORD", "username": "deploy", "password": "sesame"}},
}  # fmt: skip
HOST = {
    "id": "exec-1", "name": "Lab host", "type": "EXECUTION", "executionType": "CLI", "scheduler": "FORK",
    "scratchDir": "/s",
    "queues": [{"name": "normal", "default": True, "maxNodes": 1, "maxProcessorsPerNode": 8, "maxMemoryPerNode": "8GB",
                "maxRequestedTime": "24:00:00"}],
    "login": {"host": "h", "port": 22, "protocol": "SSH", "auth": {"type": "SSHKEYS", "privateKey": "k"}},
    "storage": {"host": "h", "port": 22, "protocol": "SFTP", "auth": {"type": "PASSWORD", "password": "sesame"}},
}  # fmt: skip


@pytest.fixture
async def alice(tenant):
    async with tenant.http("alice") as http:
        yield http


@pytest.fixture
async def bob(tenant):
    async with tenant.http("bob") as http:
        yield http


@pytest.fixture
async def admin(tenant):
    async with tenant.http("admin") as http:
        yield http


async def result(answer, status=200):
    answer = await answer
    assert answer.status_code == status, answer.text
    return answer.json().get("result")


async def test_a_registered_system_holds_files_and_no_secret_comes_back(tenant, alice):
    made = await alice.post("/systems/v2/", json=STORE)
    assert made.status_code == 201
    read = await alice.get("/systems/v2/store-1")
    listed = await alice.get("/systems/v2/", params={"filter": "*", "id": "store-1"})
    for answer in (made, read, listed):
        assert "sesame" not in answer.text
        assert "deploy" not in answer.text
    assert read.json()["result"]["storage"]["auth"] == {"type": "PASSWORD"}
    assert read.json()["result"]["owner"] == "alice"
    home = await result(alice.get("/files/v2/listings/system/store-1"))
    assert [(entry["name"], entry["path"]) for entry in home] == [(".", "/home/lab")]
    assert b"sesame" not in (tenant.root / "secrets.json").read_bytes()


async def test_a_private_system_is_unknown_to_files_and_forbidden_to_systems(alice, bob):
    await result(alice.post("/systems/v2/", json=STORE), 201)
    assert (await bob.get("/systems/v2/store-1")).status_code == 403
    assert (await bob.get("/files/v2/listings/system/store-1")).status_code == 404
    assert "store-1" not in [each["id"] for each in await result(bob.get("/systems/v2/"))]
    await result(alice.post("/systems/v2/store-1/roles", json={"username": "bob", "role": "USER"}), 201)
    assert await result(bob.get("/files/v2/listings/system/store-1"))
    pems = await result(bob.get("/files/v2/pems/system/store-1//home/lab"))
    assert {each["username"] for each in pems} >= {"bob"}


async def test_a_second_registration_updates_and_an_update_is_of_the_same_id(alice, bob):
    await result(alice.post("/systems/v2/", json=STORE), 201)
    again = await result(alice.post("/systems/v2/", json={**STORE, "name": "Other"}), 201)
    assert (again["name"], again["revision"]) == ("Other", 2)
    assert (await result(alice.post("/systems/v2/store-1", json=STORE)))["revision"] == 3
    assert (await alice.post("/systems/v2/store-1", json={**STORE, "id": "store-2"})).status_code == 400
    assert (await bob.post("/systems/v2/", json=STORE)).status_code == 403
    assert (await alice.post("/systems/v2/data.demo", json={**STORE, "id": "data.demo"})).status_code == 403


async def test_a_deleted_system_keeps_its_id_until_it_is_erased(alice, admin, bob):
    await result(alice.post("/systems/v2/", json=STORE), 201)
    assert (await bob.delete("/systems/v2/store-1")).status_code == 403
    assert await result(alice.delete("/systems/v2/store-1")) is None
    assert (await result(alice.get("/systems/v2/store-1")))["available"] is False
    assert "store-1" not in [each["id"] for each in await result(alice.get("/systems/v2/"))]
    assert (await alice.post("/systems/v2/", json=STORE)).status_code == 400
    assert (await alice.get("/files/v2/listings/system/store-1")).status_code == 400
    assert (await alice.put("/systems/v2/store-1", json={"action": "ERASE"})).status_code == 403
    await result(admin.put("/systems/v2/store-1", json={"action": "erase"}))
    assert (await alice.get("/systems/v2/store-1")).status_code == 404
    await result(alice.post("/systems/v2/", json=STORE), 201)


async def test_actions_do_what_they_say(alice, admin):
    async def act(http, action, status=200, system="store-1", **more):
        return await result(http.put(f"/systems/v2/{system}", json={"action": action, **more}), status)

    await result(alice.post("/systems/v2/", json=STORE), 201)
    assert (await act(alice, "DISABLE"))["available"] is False
    assert (await act(alice, "ENABLE"))["available"] is True
    assert (await act(alice, "SETDEFAULT"))["default"] is True
    assert (await result(alice.get("/files/v2/listings/")))[0]["system"] == "store-1"
    assert (await act(alice, "UNSETDEFAULT"))["default"] is False
    assert (await result(alice.get("/files/v2/listings/")))[0]["system"] == "data.demo"
    await act(alice, "PUBLISH", 403)
    await act(admin, "UNPUBLISH", 400)
    await act(admin, "SETGLOBALDEFAULT", 400)
    assert (await act(admin, "PUBLISH"))["public"] is True
    await act(admin, "PUBLISH", 400)
    assert (await act(admin, "SETGLOBALDEFAULT"))["globalDefault"] is True
    assert (await result(alice.get("/systems/v2/data.demo")))["globalDefault"] is False
    assert (await act(admin, "UNPUBLISH"))["public"] is False
    await act(alice, "CLONE", 400)
    clone = await act(alice, "CLONE", id="store-2")
    assert (clone["owner"], clone["revision"], clone["public"]) == ("alice", 1, False)
    await act(alice, "CLONE", 400, id="store-2")
    await act(alice, "DANCE", 400)
    await act(alice, "ENABLE", 404, system="nowhere")


async def test_lists_are_searched(alice):
    async def ids(**params):
        return [each["id"] for each in await result(alice.get("/systems/v2/", params=params))]

    await result(alice.post("/systems/v2/", json=STORE), 201)
    await result(alice.post("/systems/v2/", json=HOST), 201)
    assert await ids() == ["exec-1", "store-1", "run.demo", "data.demo"]
    assert await ids(type="STORAGE") == ["store-1", "data.demo"]
    assert await ids(public="true") == ["run.demo", "data.demo"]
    assert await ids(public="False", limit=1, offset=1) == ["store-1"]
    assert await ids(default="True") == ["run.demo", "data.demo"]
    assert await ids(**{"name.like": "lab*"}) == ["exec-1", "store-1"]
    assert await ids(**{"id.in": "exec-1,data.demo"}) == ["exec-1", "data.demo"]
    assert await ids(**{"storage.host.neq": "localhost"}) == ["exec-1", "store-1"]
    assert await ids(**{"queues.maxNodes.gte": "1"}) == ["exec-1", "run.demo"]
    assert await ids(**{"lastUpdated.after": "2020-01-01"}) == await ids(unknown="x")
    assert await ids(**{"lastUpdated.before": "2020-01-01"}) == []
    assert (await alice.get("/systems/v2/", params={"queues.maxNodes.gt": "x"})).status_code == 400
    kept = await result(
        alice.get("/systems/v2/", params={"filter": "id,storage.host,storage.port", "type": "EXECUTION", "limit": 1})
    )
    assert kept == [{"id": "exec-1", "storage": {"host": "h", "port": 22}}]
    naked = await alice.get("/systems/v2/", params={"naked": "true", "pretty": "true", "limit": 1})
    assert naked.json()[0]["id"] == "exec-1"
    assert naked.text.startswith("[\n")


async def test_roles_are_granted_shown_and_taken_away(alice, bob, tenant):
    await result(alice.post("/systems/v2/", json=STORE), 201)
    roles = "/systems/v2/store-1/roles"
    assert [each["role"] for each in await result(alice.get(roles))] == ["OWNER"]
    assert (await result(alice.post(f"{roles}/bob", json={"role": "publisher"}), 201))[0]["username"] == "bob"
    assert (await result(alice.get(f"{roles}/bob")))[0]["role"] == "USER"
    assert (await bob.get(roles)).status_code == 403
    for body, status in [({"username": "bob"}, 400),
                         ({"username": "bob", "role": "KING"}, 400), ({"role": "USER"}, 400),
                         ({"username": "nobody", "role": "USER"}, 404)]:  # fmt: skip
        assert (await alice.post(roles, json=body)).status_code == status, body
    assert (await alice.post(f"{roles}/bob", json={"username": "alice", "role": "USER"})).status_code == 400
    await result(alice.post(roles, json={"username": "bob", "role": "ADMIN"}), 201)
    assert len(await result(bob.get(roles))) == 2
    await result(alice.delete(f"{roles}/bob"))
    assert (await bob.get("/systems/v2/store-1")).status_code == 403
    await result(alice.post(roles, json={"username": "bob", "role": "USER"}), 201)
    await result(alice.delete(roles))
    assert [each["username"] for each in await result(alice.get(roles))] == ["alice"]
    assert (await alice.get("/systems/v2/data.demo/roles")).status_code == 501


async def test_credentials_are_kept_and_never_told(alice, bob):
    await result(alice.post("/systems/v2/", json=HOST), 201)
    path = "/systems/v2/exec-1/credentials"
    first = await result(alice.get(path))
    assert [(each["parentType"], each["default"], each["type"]) for each in first] == [
        ("storage", True, "PASSWORD"),
        ("execution", True, "SSHKEYS"),
    ]
    await result(alice.post(f"{path}/ann/LOGIN", json={"type": "PASSWORD", "username": "a", "password": "sesame"}), 201)
    await result(alice.post(f"{path}/ann", json={"type": "SSHKEYS", "privateKey": "sesame"}), 201)
    shown = await alice.get(f"{path}/ann")
    assert "sesame" not in shown.text
    assert {each["parentType"] for each in shown.json()["result"]} == {"storage", "execution"}
    assert len(await result(alice.get(f"{path}/ann/STORAGE"))) == 1
    assert (await alice.post(f"{path}/ann/OTHER", json={"type": "PASSWORD"})).status_code == 400
    assert (await alice.post(path, json={"type": "X509"})).status_code == 400
    assert (await bob.get(path)).status_code == 403
    await result(alice.delete(f"{path}/ann/LOGIN"))
    assert [each["parentType"] for each in await result(alice.get(f"{path}/ann"))] == ["storage"]
    await result(alice.delete(f"{path}/ann"))
    assert (await alice.get(f"{path}/ann")).status_code == 404
    await result(alice.delete(path))
    assert await result(alice.get(path)) == []


WRONG = [
    ("id", "x", STORE), ("id", "a b c", STORE), ("name", "", STORE), ("name", "n" * 65, STORE), ("type", "TAPE", STORE),
    ("status", "SO-SO", STORE), ("available", "maybe", STORE), ("storage", None, STORE), ("storage.host", None, STORE),
    ("storage.port", "x", STORE), ("storage.protocol", "FAX", STORE), ("storage.auth", None, STORE),
    ("storage.auth.type", "X509", STORE), ("storage.rootDir", "/../..", STORE), ("executionType", "GRID", HOST),
    ("scheduler", "SLURM", HOST), ("queues", [], HOST), ("queues", [{"name": "a b"}], HOST), ("login", None, HOST),
    ("queues", [{"name": "a", "maxNodes": 0}], HOST), ("queues", [{"name": "a", "maxRequestedTime": "1 day"}], HOST),
    ("queues", [{"name": "a", "default": True}, {"name": "b", "default": True}], HOST), ("maxSystemJobs", -1, HOST),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value", "record"), WRONG, ids=lambda value: str(value)[:20])
async def test_a_wrong_record_is_refused_by_the_fields_name(alice, field, value, record):
    body = copy.deepcopy(record)
    place, *names = body, *field.split(".")
    for name in names[:-1]:
        place = place[name]
    place[names[-1]] = value
    answer = await alice.post("/systems/v2/", json=body)
    assert answer.status_code == 400
    assert names[-1] in answer.json()["message"]
