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
    assert (await bob.delete("/systems/v2/store-1")).status_code == 401
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


WRONG = [
    ("id", "x", STORE), ("id", "a b c", STORE), ("name", "", STORE), ("name", "n" * 65, STORE), ("type", "TAPE", STORE),
    ("status", "SO-SO", STORE), ("available", "maybe", STORE), ("storage", None, STORE), ("storage.host", None, STORE),
    ("storage.port", "x", STORE), ("storage.protocol", "FAX", STORE), ("storage.auth", None, STORE),
    ("storage.auth.type", "X509", STORE), ("storage.rootDir", "/../..", STORE), ("executionType", "GRID", HOST),
    ("scheduler", "SLURM", HOST), ("queues", [], HOST), ("queues", [{"name": "a b"}], HOST), ("login", None, HOST),
    ("queues", [{"name": "a", "maxNodes": 0}], HOST), ("queues", [{"name": "a", "maxRequestedTime": "1 day"}], HOST),
    ("queues", [{"name": "a", "default": True}, {"name": "b", "default": True}], HOST), ("maxSystemJobs", -1, HOST),
    ("description", "d" * 4097, STORE), ("site", ["x"], STORE), ("environment", "e" * 16385, STORE),
    ("storage.port", 65536, STORE), ("storage.port", True, STORE), ("storage.host", " ", STORE),
    ("storage.host", "h" * 257, STORE), ("storage.mirror", "no", STORE), ("storage.homeDir", "a\0b", STORE),
    ("storage.rootDir", "/" + "\N{HIRAGANA LETTER A}" * 100, STORE), ("storage.proxy", "here", STORE),
    ("storage.proxy", {"name": "p", "port": 1}, STORE), ("storage.proxy", {"host": "p", "port": "x"}, STORE),
    ("storage.auth.type", "KERBEROSE", STORE), ("storage.auth.password", "", STORE),
    ("storage.auth.username", "u" * 33, STORE), ("storage.auth.password", ["x"], STORE),
    ("storage.auth.server", "here", STORE), ("storage.auth.server", {"endpoint": "e", "port": 1}, STORE),
    ("storage.auth.server", {"endpoint": "e", "port": "-", "protocol": "MYPROXY"}, STORE),
    ("storage.auth.server", {"port": 1, "protocol": "MYPROXY"}, STORE), ("login.auth.privateKey", "", HOST),
    ("login.auth.publicKey", "p" * 8193, HOST), ("login.auth.privateKey", "p" * 16385, HOST),
    ("login.host", None, HOST),
    ("startupScript", "s" * 256, HOST), ("workDir", 5, HOST), ("scratchDir", "s" * 256, HOST),
    ("maxSystemJobs", 10**12, HOST), ("maxSystemJobsPerUser", "many", HOST),
    ("queues", [{"name": 5}], HOST), ("queues", ["normal"], HOST), ("queues", "normal", HOST),
    ("queues", [{"name": "a"}, {"name": "a"}], HOST), ("queues", [{"name": "a", "maxMemoryPerNode": "x"}], HOST),
    ("queues", [{"name": "a", "maxMemoryPerNode": 0}], HOST), ("queues", [{"name": "a", "maxJobs": -2}], HOST),
    ("queues", [{"name": "a", "description": "d" * 513}], HOST), ("queues", [{"name": "a", "default": 7}], HOST),
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
    assert "sesame" not in answer.text


@pytest.mark.parametrize(
    ("protocol", "auth", "more", "lacking"),
    [
        ("SFTP", {"type": "SSHKEYS", "username": "u", "publicKey": "p", "privateKey": "k"}, {}, "auth.privateKey"),
        ("GRIDFTP", {"type": "X509", "credential": "c"}, {}, "auth.credential"),
        ("FTP", {"type": "ANONYMOUS"}, {}, "auth.type"),
        ("IRODS", {"type": "PAM", "password": "p"}, {"zone": "z", "resource": "r"}, "resource"),
        ("S3", {"type": "APIKEYS", "publicKey": "p", "privateKey": "k"}, {"container": "c"}, "container"),
        ("SWIFT", {"type": "APIKEYS", "publicKey": "p", "privateKey": "k"}, {}, "auth.publicKey"),
        ("LOCAL", {"type": "LOCAL"}, {}, "auth.type"),
    ],
)
async def test_each_protocol_has_credentials_and_fields_of_its_own(alice, protocol, auth, more, lacking):
    storage = {"host": "h", "port": 1, "protocol": protocol, "auth": auth, **more}
    made = await result(alice.post("/systems/v2/", json={**STORE, "storage": storage}), 201)
    assert made["storage"]["auth"]["type"] == auth["type"]
    short = copy.deepcopy(storage)
    place, *rest = lacking.split(".")
    del (short[place] if rest else short)[rest[0] if rest else place]
    answer = await alice.post("/systems/v2/", json={**STORE, "id": "other", "storage": short})
    assert (answer.status_code, lacking.split(".")[-1] in answer.json()["message"]) == (400, True)
    strange = {**storage, "auth": {"type": "TOKEN", "credential": "sesame"}}
    refused = await alice.post("/systems/v2/", json={**STORE, "id": "other", "storage": strange})
    assert (refused.status_code, "storage.auth.type" in refused.json()["message"]) == (400, True)


async def test_every_field_of_a_record_comes_back(alice):
    storage = {**STORE["storage"], "publicAppsDir": "/apps", "mirror": True,
               "proxy": {"name": "gate", "host": "gate.example.org", "port": "8022"}}  # fmt: skip
    store = await result(alice.post("/systems/v2/", json={**STORE, "description": "d", "storage": storage}), 201)
    assert store["storage"] == {
        **storage, "proxy": {"name": "gate", "host": "gate.example.org", "port": 8022}, "auth": {"type": "PASSWORD"},
        "zone": None, "resource": None, "container": None,
    }  # fmt: skip
    queue = {"name": "big", "default": True, "description": "d", "mappedName": "m", "maxJobs": -1, "maxUserJobs": 2,
             "maxNodes": 3, "maxProcessorsPerNode": 4, "maxMemoryPerNode": "0.5TB", "maxRequestedTime": "01:00:00",
             "customDirectives": "#x"}  # fmt: skip
    record = {**HOST, "queues": [queue], "startupScript": "s", "workDir": "/w", "environment": "A=1",
              "maxSystemJobs": 9, "maxSystemJobsPerUser": "8", "status": "maintenance"}  # fmt: skip
    host = await result(alice.post("/systems/v2/", json=record), 201)
    assert host["queues"] == [{**queue, "maxMemoryPerNode": 512.0}]
    shown = {name: host[name] for name in ("startupScript", "workDir", "environment", "maxSystemJobs", "status",
                                           "maxSystemJobsPerUser", "executionType", "scheduler")}  # fmt: skip
    assert shown == {"startupScript": "s", "workDir": "/w", "environment": "A=1", "maxSystemJobs": 9,
                     "status": "MAINTENANCE", "maxSystemJobsPerUser": 8, "executionType": "CLI",
                     "scheduler": "FORK"}  # fmt: skip


async def events(http, system):
    return [event["status"] for event in await result(http.get(f"/systems/v2/{system}/history"))]


async def test_every_change_is_in_the_history(alice, admin):
    async def act(http, action):
        await result(http.put("/systems/v2/exec-1", json={"action": action}))

    await result(alice.post("/systems/v2/", json=HOST), 201)
    await result(alice.post("/systems/v2/exec-1", json={**HOST, "status": "DOWN"}))
    queue = "/systems/v2/exec-1/queues"
    await result(alice.post(queue, json={"name": "long", "maxJobs": 2}), 201)
    await result(alice.put(f"{queue}/long", json={"name": "long", "default": True}))
    await result(alice.delete(f"{queue}/long"))
    await result(alice.post("/systems/v2/exec-1/roles", json={"username": "bob", "role": "USER"}), 201)
    await result(alice.delete("/systems/v2/exec-1/roles/bob"))
    for action in ("DISABLE", "ENABLE", "SETDEFAULT", "SETDEFAULT", "UNSETDEFAULT"):
        await act(alice, action)
    for action in ("PUBLISH", "SETGLOBALDEFAULT", "UNPUBLISH"):
        await act(admin, action)
    await result(alice.delete("/systems/v2/exec-1"))
    assert await events(alice, "exec-1") == [
        "CREATED", "AUTH_CONFIG_CREATE", "AUTH_CONFIG_CREATE", "UPDATED", "STATUS_UPDATE", "AUTH_CONFIG_UPDATE",
        "AUTH_CONFIG_UPDATE", "QUEUE_CREATE", "QUEUE_UPDATE", "QUEUE_DELETE", "ROLES_GRANT",
        "ROLES_REVOKE", "DISABLED", "ENABLED", "SET_USER_DEFAULT", "UNSET_USER_DEFAULT", "PUBLISH",
        "SET_PUBLIC_DEFAULT", "UNPUBLISH", "UNSET_PUBLIC_DEFAULT", "DELETED",
    ]  # fmt: skip
    found = await result(alice.get("/systems/v2/exec-1/history", params={"status.like": "QUEUE*", "limit": 2}))
    assert [event["status"] for event in found] == ["QUEUE_CREATE", "QUEUE_UPDATE"]
    assert {event["createdBy"] for event in found} == {"alice"}
    assert len({event["id"] for event in await result(alice.get("/systems/v2/exec-1/history"))}) == 21


async def test_queues_are_added_replaced_and_removed_but_the_last(alice, bob):
    await result(alice.post("/systems/v2/", json=HOST), 201)
    queues = "/systems/v2/exec-1/queues"
    for body in ({"name": "normal"}, {"name": "a b"}, {"name": "x", "maxJobs": 0}):
        assert (await alice.post(queues, json=body)).status_code == 400
    await result(alice.post(queues, json={"name": "quick", "default": True}), 201)
    names = {each["name"]: each["default"] for each in await result(alice.get(queues))}
    assert names == {"normal": False, "quick": True}
    assert (await result(alice.get(f"{queues}/quick")))["name"] == "quick"
    assert (await alice.get(f"{queues}/slow")).status_code == 404
    assert (await alice.post(f"{queues}/slow", json={"name": "slow"})).status_code == 404
    assert (await alice.delete(f"{queues}/slow")).status_code == 404
    assert (await bob.get(queues)).status_code == 403
    await result(alice.delete(f"{queues}/normal"))
    assert (await alice.delete(f"{queues}/quick")).status_code == 400
    await result(alice.post("/systems/v2/", json=STORE), 201)
    assert await result(alice.get("/systems/v2/store-1/queues")) == []
    assert (await alice.post("/systems/v2/store-1/queues", json={"name": "x"})).status_code == 400


async def test_a_default_ends_with_the_right_to_use_it(alice, bob, admin):
    async def default():
        found = await result(bob.get("/systems/v2/", params={"default": "true", "type": "STORAGE"}))
        return [each["id"] for each in found]

    async def make_default():
        await result(alice.post("/systems/v2/store-1/roles", json={"username": "bob", "role": "USER"}), 201)
        await result(bob.put("/systems/v2/store-1", json={"action": "SETDEFAULT"}))
        assert await default() == ["store-1"]

    await result(alice.post("/systems/v2/", json=STORE), 201)
    await make_default()
    await result(alice.delete("/systems/v2/store-1/roles/bob"))
    assert await default() == ["data.demo"]
    await make_default()
    await result(alice.delete("/systems/v2/store-1/roles"))
    assert await default() == ["data.demo"]
    await make_default()
    await result(alice.delete("/systems/v2/store-1"))
    assert await default() == ["data.demo"]
    assert (await alice.put("/systems/v2/store-1", json={"action": "SETDEFAULT"})).status_code == 400
    assert await result(bob.get("/files/v2/listings/"))


async def test_a_system_stays_of_its_type(alice):
    await result(alice.post("/systems/v2/", json=STORE), 201)
    assert (await alice.post("/systems/v2/", json={**HOST, "id": "store-1"})).status_code == 400
    assert (await result(alice.get("/systems/v2/store-1")))["type"] == "STORAGE"


async def test_who_gets_an_id_again_gets_no_bytes_with_it(alice, bob, admin, tenant):
    await result(alice.post("/systems/v2/", json=STORE), 201)
    await result(alice.post("/files/v2/media/system/store-1//home/lab", files={"fileToUpload": ("a", b"x")}), 202)
    left = tenant.root / "systems" / "store-1"
    with_bytes = left.rename(tenant.root / "systems" / "kept")
    await result(admin.put("/systems/v2/store-1", json={"action": "ERASE"}))
    with_bytes.rename(left)  # as if the tenant had been killed before it removed them
    await result(bob.post("/systems/v2/", json=STORE), 201)
    home = await result(bob.get("/files/v2/listings/system/store-1"))
    assert [entry["name"] for entry in home] == ["."]
