"""Who is let in: tokens, their end and their renewal, clients, profiles, and what the gateway says to the others."""

from __future__ import annotations

import contextlib
import re
import resource
import stat

import httpx
import pytest
import trio

from agavesh.api import catalogue
from agavesh.tenant import server
from agavesh.tenant.store import Unwritable

SYSTEMS = "/systems/v2/"


@pytest.fixture
async def http(tenant):
    async with httpx.AsyncClient(base_url=tenant.url, trust_env=False) as client:
        yield client


async def grant(http, tenant, user="alice", client=None, **form):
    form = form or {"grant_type": "password", "username": user, "password": tenant.users[user], "scope": "PRODUCTION"}
    return await http.post("/token", data=form, auth=client or tenant.client)


def bearer(answer):
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def test_a_refresh_gives_new_tokens_and_ends_the_old(http, tenant):
    first = await grant(http, tenant)
    assert first.json()["expires_in"] == 14400
    assert (await http.get(SYSTEMS, headers=bearer(first))).status_code == 200
    refresh = {"grant_type": "refresh_token", "refresh_token": first.json()["refresh_token"]}
    second = await grant(http, tenant, **refresh)
    assert (await http.get(SYSTEMS, headers=bearer(second))).status_code == 200
    old = await http.get(SYSTEMS, headers=bearer(first))
    assert (old.status_code, "900904" in old.text) == (401, True)
    again = await grant(http, tenant, **refresh)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"grant_type": "password", "username": "alice", "password": "wrong"}, 400, "invalid_grant"),
        ({"grant_type": "password", "username": "nobody", "password": ""}, 400, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, 400, "invalid_grant"),
        ({"grant_type": "magic"}, 400, "unsupported_grant_type"),
        ({"scope": "x"}, 400, "unsupported_grant_type"),
    ],
)
async def test_a_bad_grant_is_refused_as_oauth_says(http, tenant, form, status, error):
    answer = await grant(http, tenant, **form)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


async def test_a_bad_client_is_refused(http, tenant):
    for client in [("x", "y"), (tenant.client[0], "y"), ("", "")]:
        answer = await grant(http, tenant, client=client)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    none = await http.post("/token", data={"grant_type": "password"})
    assert none.status_code == 401


async def test_client_credentials_act_as_the_owner_and_cannot_be_refreshed(http, tenant):
    answer = await grant(http, tenant, grant_type="client_credentials")
    assert "refresh_token" not in answer.json()
    assert (await http.get("/profiles/v2/me", headers=bearer(answer))).json()["result"]["username"] == "alice"


async def test_a_revoked_token_is_over_with_all_that_came_with_it(http, tenant):
    answer = await grant(http, tenant)
    revoked = await http.post("/revoke", data={"token": answer.json()["refresh_token"]}, auth=tenant.client)
    assert revoked.status_code == 200
    assert (await http.get(SYSTEMS, headers=bearer(answer))).status_code == 401
    refresh = {"grant_type": "refresh_token", "refresh_token": answer.json()["refresh_token"]}
    assert (await grant(http, tenant, **refresh)).status_code == 400


async def test_an_expired_token_says_so_and_its_refresh_is_still_good(http, tenant):
    first = await grant(http, tenant)
    tenant.faults.expire_tokens("bob")
    assert (await http.get(SYSTEMS, headers=bearer(first))).status_code == 200
    tenant.faults.expire_tokens()
    answer = await http.get(SYSTEMS, headers=bearer(first))
    assert (answer.status_code, "<ams:code>900903</ams:code>" in answer.text) == (401, True)
    assert "Access Token Expired" in answer.headers["www-authenticate"]
    refresh = {"grant_type": "refresh_token", "refresh_token": first.json()["refresh_token"]}
    assert (await http.get(SYSTEMS, headers=bearer(await grant(http, tenant, **refresh)))).status_code == 200


async def test_the_gateway_faults_in_xml_and_on_request_in_json(http):
    xml = await http.get(SYSTEMS)
    assert (xml.status_code, xml.headers["content-type"]) == (401, "application/xml; charset=UTF-8")
    assert re.search(r"<ams:fault .*<ams:code>900902</ams:code>", xml.text)
    headers = {"Accept": "application/json", "Authorization": "Bearer x"}
    json = await http.get(SYSTEMS, headers=headers)
    assert (json.status_code, json.json()["fault"]["code"], json.json()["fault"]["message"]) == (
        401,
        900901,
        "Invalid Credentials",
    )
    nowhere = await http.get("/nowhere/v2")
    assert (nowhere.status_code, "900906" in nowhere.text) == (404, True)
    assert (await http.patch(SYSTEMS)).status_code == 405
    options = await http.options(SYSTEMS)
    assert (options.status_code, options.headers["allow"]) == (200, "GET, POST, OPTIONS")


async def test_a_lifetime_of_its_own(tenant_root):
    async with server.running(tenant_root, lifetime=0) as state:
        key = state.secrets.client["key"]
        token = state.auth.grant("alice", key)
        assert (token.expires_in, state.auth.caller(token.access_token).fault) == (0, 900903)


async def test_nothing_secret_lies_open(tenant, http):
    answer = (await grant(http, tenant)).json()
    files = [path for path in tenant.root.rglob("*") if path.is_file() and path.name not in ("lock", "port")]
    kept = [path for path in files if not {"systems", "images"} & {*path.relative_to(tenant.root).parts}]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in kept), kept
    database = b"".join(path.read_bytes() for path in kept if path.name.startswith("tenant.db"))
    for secret in (answer["access_token"], answer["refresh_token"], tenant.users["alice"], tenant.client[1]):
        assert secret.encode() not in database


async def test_clients_are_made_with_a_password_and_their_secret_is_told_once(http, tenant):
    alice = ("alice", tenant.users["alice"])
    made = await http.post("/clients/v2/", data={"clientName": "mine"}, auth=alice)
    assert made.status_code == 201
    key, secret = made.json()["result"]["consumerKey"], made.json()["result"]["consumerSecret"]
    assert (await grant(http, tenant, client=(key, secret))).status_code == 200
    assert (await http.post("/clients/v2/", json={"name": "mine"}, auth=alice)).status_code == 400
    listed = await http.get("/clients/v2/", auth=alice)
    assert {each["name"] for each in listed.json()["result"]} == {"agavesh", "mine"}
    assert secret not in listed.text
    one = await http.get("/clients/v2/mine", auth=alice)
    assert one.json()["result"]["consumerKey"] == key
    subscriptions = "/clients/v2/mine/subscriptions"
    assert len((await http.get(subscriptions, auth=alice)).json()["result"]) == len(catalogue.SERVICES)
    assert (await http.delete(subscriptions, auth=alice)).json()["result"] is None
    files = {"apiName": "Files", "apiVersion": "v2", "apiProvider": "admin"}
    assert [each["apiName"] for each in (await http.post(subscriptions, json=files, auth=alice)).json()["result"]] == [
        "Files"
    ]
    token = bearer(await grant(http, tenant, client=(key, secret)))
    assert (await http.delete("/clients/v2/mine", auth=alice)).json()["result"] is None
    assert (await http.get(SYSTEMS, headers=token)).status_code == 401
    assert (await http.get("/clients/v2/mine", auth=alice)).status_code == 404
    assert (await http.get("/clients/v2/", auth=("alice", "wrong"))).status_code == 401
    assert (await http.get("/clients/v2/", headers=token)).status_code == 401


@pytest.mark.parametrize("remove", ["client", "user"])
async def test_a_client_that_could_not_be_removed_is_let_into_no_more_than_before(http, tenant, remove):
    if remove == "user":
        async with tenant.http("admin") as admin:
            new = {"username": "carol", "email": "carol@example.org", "password": "carols own"}
            assert (await admin.post("/profiles/v2/", json=new)).status_code == 201
        tenant.users["carol"] = "carols own"
    user = {"client": "alice", "user": "carol"}[remove]
    signed = (user, tenant.users[user])
    made = (await http.post("/clients/v2", json={"clientName": "narrow"}, auth=signed)).json()["result"]
    assert (await http.delete("/clients/v2/narrow/subscriptions", auth=signed)).status_code == 200
    token = bearer(await grant(http, tenant, user, client=(made["consumerKey"], made["consumerSecret"])))
    auth = tenant.state.auth
    with pytest.raises(Unwritable), unwritable():
        auth.drop_client(user, "narrow") if remove == "client" else auth.drop_user(user)
    refused = await http.get(SYSTEMS, headers=token)
    assert (refused.status_code, "900908" in refused.text) == (403, True)
    assert auth.exists(user)
    assert (await http.get("/clients/v2/narrow", auth=signed)).status_code == 200


@contextlib.contextmanager
def unwritable():
    """No file of this process takes another byte in the block: a commit fails as on a full disk, when all else is
    done."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_people_are_found_by_their_names(tenant):
    async def found(**params):
        return [each["username"] for each in (await http.get("/profiles/v2", params=params)).json()["result"]]

    async with tenant.http() as http:
        assert await found() == ["alice", "bob", "admin"]
        assert await found(username="bob") == ["bob"]
        assert await found(name="ar") == ["alice"]
        assert await found(last_name="BIRCH") == await found(lastName="birch") == ["bob"]
        assert await found(email="admin@example.org") == ["admin"]
        assert await found(limit=1, offset=1) == ["bob"]
        me = (await http.get("/profiles/v2/me")).json()["result"]
        assert (me["username"], me["first_name"], me["firstName"]) == ("alice", "Alice", "Alice")
        assert (await http.get("/profiles/v2/nobody")).status_code == 404


async def test_bodies_are_refused_in_the_platforms_words(tenant):
    async with tenant.http() as http:
        for body, words in [
            ({}, "No content found"), ({"json": {}}, "No content found"),
            ({"content": b"{", "headers": {"Content-Type": "application/json"}}, "Invalid JSON found."),
            ({"content": b"\xff", "headers": {"Content-Type": "application/json; charset=utf-8"}}, "Invalid JSON"),
            ({"content": b"x", "headers": {"Content-Type": "text/plain"}}, "Unsupported content type."),
            ({"content": b"x"}, "No content found"), ({"json": [1]}, "Invalid JSON found."),
        ]:  # fmt: skip
            answer = await http.post(SYSTEMS, **body)
            assert answer.status_code == 400
            assert answer.json()["message"].startswith(words), answer.text


async def test_a_refused_upload_is_read_to_its_end_and_the_connection_lives(tenant, http):
    content = bytes(8 * 2**20)
    with trio.fail_after(20):
        answer = await http.post("/files/v2/media/system/data.demo", files={"fileToUpload": ("a", content)})
        assert answer.status_code == 401
        assert (await http.get("/tenants")).status_code == 200
