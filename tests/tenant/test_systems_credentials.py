"""Credentials of systems: kept sealed, with a key that lies elsewhere, and told to nobody."""

from __future__ import annotations

import hashlib
import logging
import shutil
import sqlite3
import stat

import httpx
import msgspec
import pytest

from agavesh.tenant import server
from tests.tenant.test_systems import HOST, STORE, events, result

SECRET = "open-sesame"  # in every secret field of these tests
AUTHS = [
    {"type": "PASSWORD", "username": SECRET, "password": SECRET},
    {"type": "SSHKEYS", "username": SECRET, "publicKey": SECRET, "privateKey": SECRET},
]
PATH = "/systems/v2/exec-1/credentials"
OTHER_KEY = "5a" * 32 + "\n"


@pytest.fixture
def keys(tmp_path):
    """The folder of a tenant's keys."""
    return tmp_path / "keys"


@pytest.fixture
async def tenant(tenant_root, keys):
    """A tenant with keys of its own, and an internal user of alice's."""
    async with served(tenant_root, keys) as tenant:
        async with signed_in(tenant) as alice:
            await result(alice.post("/profiles/v2/alice/users", json={"username": "ann", "email": "a@b.c"}), 201)
        yield tenant


def served(root, keys):
    (root / "port").unlink(missing_ok=True)
    return server.running(root, keys=keys)


def signed_in(tenant, username="alice"):
    token = tenant.auth.grant(username, tenant.secrets.client["key"]).access_token
    return httpx.AsyncClient(
        base_url=tenant.url, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=30
    )


@pytest.fixture
async def alice(tenant):
    async with signed_in(tenant) as http:
        yield http


@pytest.fixture
async def bob(tenant):
    async with signed_in(tenant, "bob") as http:
        yield http


def host(**storage):
    return {**HOST, "login": {**HOST["login"], "auth": AUTHS[1]}, "storage": {**HOST["storage"], "auth": AUTHS[0]}}


def kept(root):
    """All that lies in a tenant's folder."""
    return b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file())


async def test_a_secret_is_nowhere_but_under_seal(tenant, alice, keys, caplog):
    caplog.set_level(logging.DEBUG)
    ann = {"type": "SSHKEYS", "username": SECRET, "publicKey": SECRET, "privateKey": SECRET}
    wrong = {**HOST, "login": {**HOST["login"], "auth": {**AUTHS[1], "type": "PASSWORD", "username": SECRET * 9}}}
    said = [
        await alice.post("/systems/v2/", json=host()), await alice.get("/systems/v2/exec-1"),
        await alice.post("/systems/v2/exec-1", json=host()), await alice.get("/systems/v2/", params={"filter": "*"}),
        await alice.post(f"{PATH}/ann", json=ann), await alice.get(PATH), await alice.get(f"{PATH}/ann"),
        await alice.post(PATH, json=AUTHS[0]), await alice.get("/systems/v2/exec-1/history"),
        await alice.put("/systems/v2/exec-1", json={"action": "CLONE", "id": "exec-2"}),
        await alice.post("/systems/v2/", json=wrong), await alice.post(PATH, json={**ann, "privateKey": [SECRET]}),
        await alice.post(PATH, json={"type": SECRET}), await alice.get(f"{PATH}/{'x' * 9}"),
        await alice.put("/systems/v2/exec-1", json={"action": SECRET}),
        await alice.get("/systems/v2/", params={"storage.auth.password": SECRET}),
    ]  # fmt: skip
    assert [answer.status_code for answer in said] == [201, 200, 200, 200, 201, 200, 200, 201, 200, 200] + [400] * 3 + [
        404, 400, 200,
    ]  # fmt: skip
    for answer in said:
        assert SECRET not in answer.text, answer.request.url
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    assert SECRET not in "".join(ours)
    assert SECRET.encode() not in kept(tenant.root)
    found = tenant.store.sql("select body from credentials where system = 'exec-1'")
    assert len(found) == 4
    assert all(b"sealed" in body for (body,) in found)
    (key,) = keys.iterdir()
    assert (stat.S_IMODE(key.stat().st_mode), stat.S_IMODE(keys.stat().st_mode)) == (0o600, 0o700)
    assert key.read_text().strip().encode() not in kept(tenant.root)


async def test_each_credential_is_listed_by_its_kind(tenant, alice):
    await result(alice.post("/systems/v2/", json=host()), 201)
    first = await result(alice.get(PATH))
    assert [(each["parentType"], each["default"], each["type"], each["valid"]) for each in first] == [
        ("storage", True, "PASSWORD", True), ("login", True, "SSHKEYS", True),
    ]  # fmt: skip
    await result(alice.post(f"{PATH}/ann/LOGIN", json=AUTHS[0]), 201)
    assert [each["parentType"] for each in await result(alice.get(f"{PATH}/ann"))] == ["login"]
    made = await result(alice.post(f"{PATH}/ann", json={**AUTHS[1], "internalUsername": "ann"}), 201)
    assert [(each["parentType"], each["internalUsername"]) for each in made] == [("storage", "ann"), ("login", "ann")]
    assert {"self", "parent", "internalUser"} == set(made[0]["_links"])
    assert len(await result(alice.get(PATH, params={"limit": 3, "offset": 2}))) == 2
    assert len(await result(alice.get(f"{PATH}/ann/STORAGE"))) == 1
    by_body = await result(alice.post(PATH, json={**AUTHS[0], "internalUsername": "ann"}), 201)
    assert [each["type"] for each in by_body] == ["PASSWORD", "PASSWORD"]
    await result(alice.delete(f"{PATH}/ann/EXECUTION"))
    assert [each["parentType"] for each in await result(alice.get(f"{PATH}/ann"))] == ["storage"]
    await result(alice.delete(f"{PATH}/ann"))
    assert await result(alice.get(f"{PATH}/ann")) == []
    await result(alice.delete(PATH))
    assert await result(alice.get(PATH)) == []
    assert await events(alice, "exec-1") == [
        "CREATED", "AUTH_CONFIG_CREATE", "AUTH_CONFIG_CREATE",
        "AUTH_CONFIG_CREATE", "UPDATE_CREDENTIAL",
        "AUTH_CONFIG_CREATE", "AUTH_CONFIG_UPDATE", "UPDATE_CREDENTIAL",
        "AUTH_CONFIG_UPDATE", "AUTH_CONFIG_UPDATE", "UPDATE_CREDENTIAL",
        "AUTH_CONFIG_DELETE", "REMOVE_CREDENTIAL",
        "AUTH_CONFIG_DELETE", "REMOVE_CREDENTIAL",
        "AUTH_CONFIG_DELETE", "AUTH_CONFIG_DELETE", "REMOVE_DEFAULT_CREDENTIAL", "CLEAR_CREDENTIALS",
    ]  # fmt: skip


async def test_what_is_no_credential_of_the_system_is_refused(alice, bob):
    await result(alice.post("/systems/v2/", json=host()), 201)
    await result(alice.post("/systems/v2/", json=STORE), 201)
    store = "/systems/v2/store-1/credentials"
    for path, body, status in [
        (f"{PATH}/ann/OTHER", AUTHS[0], 400), (PATH, {"type": "X509", "credential": "c"}, 400), (PATH, [1], 400),
        (f"{PATH}/zoe", AUTHS[0], 404), (PATH, {**AUTHS[0], "internalUsername": "zoe"}, 404),
        (f"{PATH}/ann", {**AUTHS[0], "internalUsername": "bea"}, 400), (f"{PATH}/ann", {"type": "PASSWORD"}, 400),
        (f"{store}/ann/LOGIN", AUTHS[0], 400), (f"{store}/ann/EXECUTION", AUTHS[0], 400),
    ]:  # fmt: skip
        assert (await alice.post(path, json=body)).status_code == status, (path, body)
    for http in (alice.get, alice.delete):
        assert (await http(f"{PATH}/zoe")).status_code == 404
        assert (await http(f"{store}/ann/LOGIN")).status_code == 400
    assert (await bob.get(PATH)).status_code == 403
    await result(alice.delete("/systems/v2/exec-1"))
    assert (await alice.post(PATH, json=AUTHS[0])).status_code == 400


async def test_an_internal_user_goes_with_their_credentials(alice):
    await result(alice.post("/systems/v2/", json=host()), 201)
    await result(alice.post(f"{PATH}/ann", json=AUTHS[0]), 201)
    await result(alice.delete("/profiles/v2/alice/users/ann"))
    assert [each["default"] for each in await result(alice.get(PATH))] == [True, True]


async def test_a_record_that_is_sent_back_as_it_came_keeps_its_credentials(tenant, alice):
    await result(alice.post("/systems/v2/", json=host()), 201)
    before = tenant.store.sql("select * from credentials order by kind")
    record = await result(alice.get("/systems/v2/exec-1"))
    assert (await result(alice.post("/systems/v2/exec-1", json={**record, "name": "New"})))["name"] == "New"
    assert tenant.store.sql("select * from credentials order by kind") == before
    other = {**record, "storage": {**record["storage"], "auth": {"type": "SSHKEYS"}}}
    assert (await alice.post("/systems/v2/exec-1", json=other)).status_code == 400
    await result(alice.delete(PATH))
    assert (await alice.post("/systems/v2/exec-1", json=record)).status_code == 400


async def test_a_copy_of_the_folder_opens_nothing_without_the_key_and_all_with_it(tenant_root, keys, tmp_path, caplog):
    async with served(tenant_root, keys) as tenant, signed_in(tenant) as alice:
        await result(alice.post("/systems/v2/", json=host()), 201)
        local = {**STORE["storage"], "protocol": "LOCAL", "auth": {"type": "LOCAL"}}
        await result(alice.post("/systems/v2/", json={**STORE, "storage": local}), 201)
    backup, elsewhere = tmp_path / "backup", tmp_path / "elsewhere"
    shutil.copytree(tenant_root, backup, symlinks=True)
    (key,) = keys.iterdir()
    async with served(backup, elsewhere) as tenant, signed_in(tenant) as alice:
        assert [each["valid"] for each in await result(alice.get(PATH))] == [False, False]
        assert f"{elsewhere / key.name} is missing" in caplog.text
        record = await result(alice.get("/systems/v2/exec-1"))
        refused = await alice.post("/systems/v2/exec-1", json=record)
        assert (refused.status_code, str(elsewhere / key.name) in refused.json()["message"]) == (412, True)
        # all else goes on
        assert (await result(alice.get("/systems/v2/store-1/credentials")))[0]["valid"] is True
        assert await result(alice.get("/files/v2/listings/system/exec-1"))
        # and what is given anew is good again
        await result(alice.post(PATH, json=AUTHS[0]), 201)
        assert [each["valid"] for each in await result(alice.get(PATH))] == [True, True]
        await result(alice.post(PATH, json=AUTHS[1]), 201)
        assert len([*elsewhere.iterdir()]) == 1
    shutil.copy(key, elsewhere)
    (tmp_path / "again").mkdir()
    shutil.copytree(tenant_root, tmp_path / "again", symlinks=True, dirs_exist_ok=True)
    async with served(tmp_path / "again", elsewhere) as tenant, signed_in(tenant) as alice:
        assert [each["valid"] for each in await result(alice.get(PATH))] == [True, True]
        (elsewhere / key.name).chmod(0o640)
    async with served(tmp_path / "again", elsewhere) as tenant, signed_in(tenant) as alice:
        assert [each["valid"] for each in await result(alice.get(PATH))] == [False, False]


@pytest.mark.parametrize("harm", ["open to others", "empty", "no key", "another key", "a folder"])
async def test_where_the_key_is_of_no_use_what_is_given_anew_is_sealed_with_a_fresh_one(tenant_root, keys, harm):
    async with served(tenant_root, keys) as tenant, signed_in(tenant) as alice:
        await result(alice.post("/systems/v2/", json=host()), 201)
    (key,) = keys.iterdir()
    match harm:
        case "open to others":
            key.chmod(0o644)
        case "a folder":
            key.unlink()
            key.mkdir()
        case _:
            key.write_text({"empty": "", "another key": OTHER_KEY}.get(harm, "no key"))
    async with served(tenant_root, keys) as tenant, signed_in(tenant) as alice:
        assert [each["valid"] for each in await result(alice.get(PATH))] == [False, False]
        refused = await alice.post("/systems/v2/exec-1", json=await result(alice.get("/systems/v2/exec-1")))
        assert (refused.status_code, str(key) in refused.json()["message"]) == (412, True)
        await result(alice.post(PATH, json=AUTHS[0]), 201)
        assert [each["valid"] for each in await result(alice.get(PATH))] == [True, True]


async def test_a_key_that_was_replaced_is_told_at_the_start_and_at_once(tenant_root, keys, caplog):
    async with served(tenant_root, keys) as tenant, signed_in(tenant) as alice:
        await result(alice.post("/systems/v2/", json=host()), 201)
        record = await result(alice.get("/systems/v2/exec-1"))
        (key,) = keys.iterdir()
        right = key.read_bytes()
        key.write_text(OTHER_KEY)
        assert [each["valid"] for each in await result(alice.get(PATH))] == [False, False]  # while it runs, too
        refused = await alice.post("/systems/v2/exec-1", json=record)
        prints = [hashlib.sha256(each).hexdigest()[:16] for each in (OTHER_KEY.encode(), right)]
        told = f"{key} is another key: its fingerprint is {prints[0]}, and that of the right one {prints[1]}"
        assert (refused.status_code, told in refused.json()["message"]) == (412, True)
    caplog.clear()
    async with served(tenant_root, keys) as tenant, signed_in(tenant) as alice:
        assert [each["valid"] for each in await result(alice.get(PATH))] == [False, False]
        assert told in caplog.text
        key.write_bytes(right)
        assert [each["valid"] for each in await result(alice.get(PATH))] == [True, True]
    key.unlink()
    async with served(tenant_root, keys) as tenant, signed_in(tenant) as alice:
        assert [each["valid"] for each in await result(alice.get(PATH))] == [False, False]
        assert f"{key} is missing, of fingerprint {prints[1]}" in caplog.text
    assert right.strip() not in kept(tenant_root)


async def test_the_fingerprint_of_an_earlier_versions_key_is_noted_once_it_has_opened_something(tenant_root, keys):
    async with served(tenant_root, keys) as tenant, signed_in(tenant) as alice:
        await result(alice.post("/systems/v2/", json=host()), 201)
        noted = tenant.store.get("vault", "key")
        tenant.store.put("vault", "key", {"id": noted["id"]}, owner="")  # as it was kept before
    (key,) = keys.iterdir()
    right = key.read_bytes()
    key.write_text(OTHER_KEY)
    async with served(tenant_root, keys) as tenant, signed_in(tenant) as alice:
        assert [each["valid"] for each in await result(alice.get(PATH))] == [False, False]
        assert tenant.store.get("vault", "key") == {"id": noted["id"]}  # the wrong one's is not
    key.write_bytes(right)
    async with served(tenant_root, keys) as tenant, signed_in(tenant) as alice:
        assert [each["valid"] for each in await result(alice.get(PATH))] == [True, True]
        assert tenant.store.get("vault", "key") == noted


async def test_a_seal_is_good_for_its_own_credential_only(tenant, alice):
    await result(alice.post("/systems/v2/", json=host()), 201)
    await result(alice.post(PATH, json=AUTHS[0]), 201)
    rows = dict(tenant.store.sql("select kind, body from credentials"))
    tenant.store.sql("update credentials set body = ? where kind = 'storage'", rows["execution"])
    assert [each["valid"] for each in await result(alice.get(PATH))] == [False, True]


async def test_without_a_place_for_a_key_nothing_secret_is_kept(tenant_root, tmp_path):
    (tmp_path / "file").write_text("no folder")
    async with served(tenant_root, tmp_path / "file" / "keys") as tenant, signed_in(tenant) as alice:
        refused = await alice.post("/systems/v2/", json=host())
        assert (refused.status_code, "no key can be kept in" in refused.json()["message"]) == (500, True)
        assert (await alice.get("/systems/v2/exec-1")).status_code == 404


async def test_what_an_earlier_version_kept_plain_is_sealed_at_the_start(tenant_root, keys, tmp_path):
    async with served(tenant_root, keys) as tenant, signed_in(tenant) as alice:
        await result(alice.post("/systems/v2/", json=host()), 201)
    with sqlite3.connect(tenant_root / "tenant.db") as db:
        for kind, auth in (("storage", AUTHS[0]), ("execution", AUTHS[1])):
            db.execute("update credentials set body = ? where kind = ?", (msgspec.json.encode(auth), kind))
    db.close()
    assert SECRET.encode() in kept(tenant_root)
    blocked = tmp_path / "file" / "keys"
    (tmp_path / "file").write_text("no folder")
    async with served(tenant_root, blocked) as tenant, signed_in(tenant) as alice:
        assert [each["valid"] for each in await result(alice.get(PATH))] == [True, True]  # told of, and still plain
    async with served(tenant_root, keys) as tenant, signed_in(tenant) as alice:
        assert [each["type"] for each in await result(alice.get(PATH))] == ["PASSWORD", "SSHKEYS"]
        assert [each["valid"] for each in await result(alice.get(PATH))] == [True, True]
        assert SECRET.encode() not in kept(tenant_root)
        record = await result(alice.get("/systems/v2/exec-1"))
        await result(alice.post("/systems/v2/exec-1", json=record))
