"""Subscriptions: what can be subscribed to, by whom, and what a hook is told. Over real HTTP to a real receiver."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from email import policy
from email.parser import BytesParser
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
import trio
import trustme

from agavesh.client import Agave
from tests.conftest import Tenant
from tests.tenant.hook import Hook, hooked
from tests.tenant.shop import shop_of
from tests.tenant.subscriber import NOTES, Subscriber, subscriber


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    async with hooked() as found:
        yield found


@pytest.fixture
async def alice(tenant: Tenant) -> AsyncIterator[Subscriber]:
    async with subscriber(tenant) as found:
        yield found


async def test_a_hook_is_told_of_an_event_once(alice: Subscriber, hook: Hook) -> None:
    """By POST, with the platform's headers, and the file's record as the body."""
    uuid = (await alice.upload())["uuid"]
    made = await alice.subscribe(uuid, f"{hook.url}/here?event=${{EVENT}}&path=${{PATH}}")
    assert (made["status"], made["attempts"], made["lastSent"], made["success"]) == ("ACTIVE", 0, None, False)
    assert made["_links"]["file"]["href"].endswith("/files/v2/media/system/data.demo//alice/notes.txt")
    await alice.upload()
    [told] = await hook.heard(1)
    assert (told.method, told.path) == ("POST", "/here")
    assert told.query == {"event": "OVERWRITTEN", "path": NOTES}
    assert told.headers["content-type"] == "application/json"
    assert told.headers["user-agent"].startswith("Agave-Hookbot/")
    assert told.headers["x-agave-notification"] == made["id"]
    assert told.headers["x-agave-delivery"].endswith("-042")
    assert (told.json["uuid"], told.json["systemId"], told.json["length"]) == (uuid, "data.demo", 4)
    found = await alice.reached(made["id"], status="COMPLETE")
    assert (found["attempts"], found["success"], found["responseCode"]) == (1, True, 200)
    assert found["lastSent"] is not None
    assert await alice.history(made["id"]) == ["CREATED", "SUCCESS"]
    assert await alice.get("") == [], "one that has fired is listed no more"
    assert [each["id"] for each in await alice.get("", status="COMPLETE")] == [made["id"]]
    again = await alice.http.post(f"/notifications/v2/{made['id']}", json={"event": "DOWNLOAD"})
    assert again.status_code == 412
    await alice.upload()
    assert len(hook.told) == 1


async def test_a_persistent_one_is_told_of_all_events_in_their_order(alice: Subscriber, hook: Hook) -> None:
    uuid = (await alice.upload())["uuid"]
    made = await alice.subscribe(uuid, f"{hook.url}/?e=${{EVENT}}", persistent=True)
    await alice.upload(content=b"longer text")
    await alice.http.get(f"/files/v2/media/system/data.demo/{NOTES}")
    told = await hook.heard(5)
    assert [each.query["e"] for each in told] == [
        "OVERWRITTEN", "STAGING_QUEUED", "UPLOAD", "STAGING_COMPLETED", "DOWNLOAD",
    ]  # fmt: skip
    assert [each.json["length"] for each in told[2:]] == [11, 11, 11]
    assert (await alice.reached(made["id"], attempts=5))["status"] == "ACTIVE"


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ("STAGING_*", ["STAGING_QUEUED", "STAGING_COMPLETED"]),
        ("*ED", ["STAGING_QUEUED", "STAGING_COMPLETED"]),
        ("staging_completed", ["STAGING_COMPLETED"]),
    ],
)
async def test_a_wildcard_stands_for_any_letters(
    alice: Subscriber, hook: Hook, event: str, expected: list[str]
) -> None:
    uuid = (await alice.upload())["uuid"]
    await alice.subscribe(uuid, f"{hook.url}/?e=${{EVENT}}", event, persistent=True)
    await alice.subscribe(uuid, f"{hook.url}/?e=${{EVENT}}", "DOWNLOAD")
    await alice.upload()
    await alice.http.get(f"/files/v2/media/system/data.demo/{NOTES}")
    told = await hook.heard(len(expected) + 1)
    assert sorted(each.query["e"] for each in told) == sorted([*expected, "DOWNLOAD"])


async def test_macros_are_quoted_wherever_they_stand(alice: Subscriber, hook: Hook) -> None:
    """A name with the letters that end a query, a path or a URL arrives whole; an unknown macro stays."""
    odd = "/alice/a&b=c?d#e%41 f+g/ü’${X}.txt"
    made = await alice.http.put(
        "/files/v2/media/system/data.demo//alice", json={"action": "mkdir", "path": odd.removeprefix("/alice/")}
    )
    uuid = made.json()["result"]["uuid"]
    url = f"{hook.url}/${{NAME}}/x?p=${{PATH}}&file=${{FILE_PATH}}&u=${{UUID}}&none=${{NOTHING}}&t=${{FILE_SYSTEMID}}"
    await alice.subscribe(uuid, url)
    grant = {"username": "bob", "permission": "READ"}
    (await alice.http.post(f"/files/v2/pems/system/data.demo/{quote(odd)}", json=grant)).raise_for_status()
    [told] = await hook.heard(1)
    assert told.query == {"p": odd, "file": odd, "u": uuid, "none": "${NOTHING}", "t": "data.demo"}
    assert told.path == "/" + quote(odd.rpartition("/")[2]) + "/x"


# who may ------------------------------------------------------------------------------------------------------------


async def test_nobody_hears_of_what_they_may_not_see(tenant: Tenant, alice: Subscriber, hook: Hook) -> None:
    uuid = (await alice.upload())["uuid"]
    async with subscriber(tenant, "bob") as bob:
        assert (await bob.refused(url=hook.url, event="*", associatedUuid=uuid))[0] == 403
        pems = f"/files/v2/pems/system/data.demo/{NOTES}"
        (await alice.http.post(pems, json={"username": "bob", "permission": "READ"})).raise_for_status()
        made = await bob.subscribe(uuid, f"{hook.url}/?e=${{EVENT}}", persistent=True)
        await alice.upload()
        await hook.heard(4)
        (await alice.http.post(pems, json={"username": "bob", "permission": "NONE"})).raise_for_status()
        await alice.upload()
        mine = await alice.subscribe(uuid, f"{hook.url}/?alice", "DOWNLOAD")
        await alice.http.get(f"/files/v2/media/system/data.demo/{NOTES}")
        await alice.reached(mine["id"], status="COMPLETE")
        assert [told.query.get("e") for told in hook.told if "e" in told.query] == [
            "OVERWRITTEN", "STAGING_QUEUED", "UPLOAD", "STAGING_COMPLETED"
        ]  # fmt: skip
        assert (await bob.get(made["id"]))["attempts"] == 4


async def test_a_subscription_is_its_owners(tenant: Tenant, alice: Subscriber, hook: Hook) -> None:
    uuid = (await alice.upload())["uuid"]
    made = await alice.subscribe(uuid, hook.url)
    path = f"/notifications/v2/{made['id']}"
    async with tenant.http("bob") as bob, tenant.http("admin") as admin:
        for call in ("GET", "DELETE"):
            assert (await bob.request(call, path)).status_code == 403
            assert (await bob.request(call, f"{path}/attempts")).status_code == 403
        assert (await bob.post(path, json={"event": "*"})).status_code == 403
        assert (await bob.get("/notifications/v2/")).json()["result"] == []
        assert (await admin.get(path)).status_code == 200
    assert (await alice.http.get("/notifications/v2/1-0-0001-011")).status_code == 404
    assert (await alice.http.get(path, headers={"Authorization": ""})).status_code == 401


async def test_only_administrators_hear_of_everything(tenant: Tenant, alice: Subscriber, hook: Hook) -> None:
    """What happens to subscriptions they do not hear of: the tale would have no end."""
    status, message = await alice.refused(url=hook.url, event="*", associatedUuid="*")
    assert (status, "administrator" in message) == (403, True)
    async with subscriber(tenant, "admin") as admin:
        made = await admin.subscribe("*", f"{hook.url}/?e=${{EVENT}}&u=${{UUID}}", persistent=True)
        uuid = (await alice.upload())["uuid"]
        await alice.subscribe(uuid, f"{hook.url}/?x=1", "DELETED")
        told = await hook.heard(4)
        assert {each.query["u"] for each in told} == {uuid}
        await admin.reached(made["id"], attempts=4)
        assert (await admin.http.delete(f"/notifications/v2/{made['id']}")).status_code == 200
    assert [each.query["e"] for each in hook.told] == ["CREATED", "STAGING_QUEUED", "UPLOAD", "STAGING_COMPLETED"]


async def test_a_subscription_can_be_subscribed_to_and_no_deeper(alice: Subscriber, hook: Hook) -> None:
    uuid = (await alice.upload())["uuid"]
    first = await alice.subscribe(uuid, f"{hook.url}/?first=${{EVENT}}", "DOWNLOAD", persistent=True)
    second = await alice.subscribe(first["id"], f"{hook.url}/?second=${{EVENT}}", persistent=True)
    status, message = await alice.refused(url=hook.url, event="*", associatedUuid=second["id"])
    assert (status, "notification itself" in message) == (400, True)
    await alice.http.get(f"/files/v2/media/system/data.demo/{NOTES}")
    told = await hook.heard(2)
    assert {**told[0].query, **told[1].query} == {"first": "DOWNLOAD", "second": "SUCCESS"}


# requests ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"url": None}, "No url given"),
        ({"url": "abc"}, "4 characters at least"),
        ({"url": "http://x.org/" + "a" * 1024}, "1024 characters at most"),
        ({"url": "ftp://x.org/"}, "http or https URL or an e-mail address"),
        ({"url": "http:///nohost"}, "http or https URL or an e-mail address"),
        ({"url": "http://x.org:99999/"}, "http or https URL or an e-mail address"),
        ({"url": "http://x.org/a b"}, "http or https URL or an e-mail address"),
        ({"url": "a@b\r\nBcc: c@d"}, "http or https URL or an e-mail address"),
        ({"url": "+1 512 555 0100"}, "sends no text messages"),
        ({"url": "sms:5125550100"}, "sends no text messages"),
        ({"url": "agave://data.demo//alice/x"}, "writes no notifications into files"),
        ({"url": 7}, "is text"),
        ({"event": None}, "No event given"),
        ({"event": "x" * 129}, "128 characters at most"),
        ({"associatedUuid": None}, "No associatedUuid given"),
        ({"associatedUuid": "1-0-0001-007"}, "there is no resource"),
        ({"associatedUuid": "nothing"}, "there is no resource"),
        ({"persistent": "maybe"}, "is true or false"),
        ({"status": "COMPLETE"}, "is one of ACTIVE, INACTIVE"),
        ({"policy": 7}, "policy: it is an object"),
        ({"policy": {"retryStrategy": "OFTEN"}}, "policy.retryStrategy"),
        ({"policy": {"retryLimit": 1441}}, "from 0 to 1440"),
        ({"policy": {"retryLimit": "1" * 5000}}, "from 0 to 1440"),
        ({"policy": {"retryRate": -1}}, "from 0 to 86400"),
        ({"policy": {"retryLimits": 1}}, "Unknown property retryLimits. Did you mean retryLimit?"),
        ({"uri": "x"}, "Unknown property uri. Did you mean url?"),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused_by_its_field(
    alice: Subscriber, more: dict[str, Any], said: str
) -> None:
    uuid = (await alice.upload())["uuid"]
    status, message = await alice.refused(**{"url": "http://x.org/", "event": "*", "associatedUuid": uuid, **more})
    assert (status, said in message) == (400, True), message


async def test_names_are_read_in_any_case_and_a_form_will_do(alice: Subscriber) -> None:
    uuid = (await alice.upload())["uuid"]
    form = {
        "URL": "a@example.org", "Event": "*", "ASSOCIATEDUUID": uuid, "persistent": "true",
        "policy": '{"RetryStrategy": "delayed", "retryLimit": "7"}',
    }  # fmt: skip
    answer = await alice.http.post("/notifications/v2/", data=form)
    made = answer.json()["result"]
    assert (answer.status_code, made["persistent"], made["policy"]) == (
        201, True,
        {"retryStrategy": "DELAYED", "retryLimit": 7, "retryRate": 5, "retryDelay": 0, "saveOnFailure": False},
    )  # fmt: skip
    document = msgspec.json.encode({"url": "b@example.org", "event": "*", "associatedUuid": uuid})
    answer = await alice.http.post("/notifications/v2/", files={"fileToUpload": ("n.json", document)})
    assert (answer.status_code, answer.json()["result"]["url"]) == (201, "b@example.org")


async def test_an_update_changes_what_it_names(alice: Subscriber, hook: Hook) -> None:
    """A whole record can be sent back; one that is made inactive hears nothing until it is active again."""
    uuid = (await alice.upload())["uuid"]
    made = await alice.subscribe(uuid, f"{hook.url}/old", "DOWNLOAD", persistent=True)
    path = f"/notifications/v2/{made['id']}"
    whole = await alice.http.post(path, json={**made, "url": f"{hook.url}/new"})
    assert (whole.status_code, whole.json()["result"]["url"]) == (200, f"{hook.url}/new")
    off = (await alice.http.post(path, json={"status": "INACTIVE"})).json()["result"]
    assert (off["status"], off["event"], off["persistent"]) == ("INACTIVE", "DOWNLOAD", True)
    await alice.http.get(f"/files/v2/media/system/data.demo/{NOTES}")
    (await alice.http.post(path, json={"status": "ACTIVE"})).raise_for_status()
    await alice.http.get(f"/files/v2/media/system/data.demo/{NOTES}")
    found = await alice.reached(made["id"], attempts=1)
    assert ([told.path for told in hook.told], found["success"]) == (["/new"], True)
    assert await alice.history(made["id"]) == [
        "CREATED", "UPDATED", "UPDATED", "DISABLED", "UPDATED", "ENABLED", "SUCCESS",
    ]  # fmt: skip


async def test_a_list_is_searched_and_paged(alice: Subscriber) -> None:
    one, two = (await alice.upload())["uuid"], (await alice.upload("/alice/other.txt"))["uuid"]
    made = [await alice.subscribe(uuid, f"a{n}@example.org", f"E{n}") for n, uuid in enumerate((one, two, one))]
    assert [each["event"] for each in await alice.get("")] == ["E2", "E1", "E0"]
    assert [each["event"] for each in await alice.get("", associatedUuid=one)] == ["E2", "E0"]
    assert [each["event"] for each in await alice.get("", **{"event.in": "e0,e1"})] == ["E1", "E0"]
    assert [each["event"] for each in await alice.get("", limit="1", offset="1")] == ["E1"]
    assert [each["event"] for each in await alice.get("", **{"policy.retryLimit.gt": "5"})] == []
    summary = (await alice.get(""))[0]
    assert set(summary) == {"id", "url", "associatedUuid", "event", "_links"}
    assert (await alice.http.delete(f"/notifications/v2/{made[0]['id']}")).status_code == 200
    assert (await alice.http.get(f"/notifications/v2/{made[0]['id']}")).status_code == 404


async def test_our_client_has_all_five_operations(agave: Agave, hook: Hook, alice: Subscriber) -> None:
    uuid = (await alice.upload())["uuid"]
    made = await agave.notifications.add(body={"url": hook.url, "event": "*", "associatedUuid": uuid})
    assert (made.status, made.policy and made.policy.retryLimit) == ("ACTIVE", 5)
    changed = await agave.notifications.update(
        uuid=made.id, body={"url": hook.url, "event": "DOWNLOAD", "associatedUuid": uuid}
    )
    assert changed.event == "DOWNLOAD"
    assert [each.id for each in await agave.notifications.list(associatedUuid=uuid)] == [made.id]
    assert (await agave.notifications.get(uuid=made.id)).event == "DOWNLOAD"
    assert await agave.notifications.delete(uuid=made.id) is None
    assert await agave.notifications.list() == []


# other services' requests --------------------------------------------------------------------------------------------


async def test_an_upload_tells_once_how_it_ended(alice: Subscriber, hook: Hook) -> None:
    made = await alice.upload(callbackURL=f"{hook.url}/?${{STATUS}}&n=${{NAME}}")
    links = made["_links"]["notification"]
    assert [link["title"] for link in links] == ["STAGING_COMPLETED", "STAGING_FAILED"]
    [told] = await hook.heard(1)
    assert told.target == "/?STAGING_COMPLETED&n=notes.txt"
    assert (told.json["status"], told.json["length"]) == ("STAGING_COMPLETED", 4)
    await alice.reached(links[0]["href"].rpartition("/")[2], status="COMPLETE")
    assert await alice.get("") == [], "neither of the two waits any more"


async def test_an_import_tells_whom_it_names(tenant: Tenant, alice: Subscriber, hook: Hook) -> None:
    hook.status = lambda told: 404 if told.method == "GET" else 200
    body = {
        "urlToIngest": f"{hook.url}/nothing.txt",
        "notifications": [{"url": f"{hook.url}/?e=${{EVENT}}", "event": "STAGING*", "persistent": True}],
    }
    answer = await alice.http.post("/files/v2/media/system/data.demo//alice", json=body)
    assert answer.status_code == 202, answer.text
    told = await hook.heard(3, lambda told: told.method == "POST")
    assert [each.query["e"] for each in told] == ["STAGING_QUEUED", "STAGING", "STAGING_FAILED"]
    body["notifications"] = [{"event": "X"}]
    answer = await alice.http.post("/files/v2/media/system/data.demo//alice", json=body)
    assert (answer.status_code, "notifications[0].url" in answer.json()["message"]) == (400, True)


async def test_a_job_tells_whom_its_request_names(tenant: Tenant, hook: Hook) -> None:
    async with shop_of(tenant) as shop, subscriber(tenant) as alice:
        app = await shop.app("echo done\n")
        everything = {"url": f"{hook.url}/all?e=${{JOB_STATUS}}", "event": "*", "persistent": True}
        once = {"url": f"{hook.url}/once?j=${{JOB_ID}}&m=${{JOB_MAX_RUNTIME_MILLISECONDS}}", "event": "FINISHED"}
        never = {"url": f"{hook.url}/never", "event": "FAILED"}
        job = await shop.submit(app, maxRunTime="00:01:00", notifications=[everything, once, never])
        assert [link["title"] for link in job["_links"]["notification"]] == ["*", "FINISHED", "FAILED"]
        await shop.ended(job["id"])
        history = await shop.history(job["id"])
        told = await hook.heard(len(history), lambda told: told.path == "/all")
        assert [each.query["e"] for each in told] == history
        [ended] = await hook.heard(1, lambda told: told.path == "/once")
        assert ended.query == {"j": job["id"], "m": "60000"}
        assert ended.json == {**ended.json, "id": job["id"], "status": "FINISHED", "appId": app}
        with trio.fail_after(10):
            while [each["event"] for each in await alice.get("", associatedUuid=job["id"])] != ["*"]:
                await trio.sleep(0.01)
        assert not [told for told in hook.told if told.path == "/never"]


async def test_a_jobs_own_event_tells_what_the_job_sent(tenant: Tenant, hook: Hook) -> None:
    async with shop_of(tenant) as shop:
        app = await shop.app("N=7\n${AGAVE_JOB_CALLBACK_NOTIFICATION|STEP|N}\n")
        own = {"url": f"{hook.url}/?e=${{EVENT}}", "event": "STEP"}
        await shop.submit(app, notifications=[own])
        [told] = await hook.heard(1)
        assert (told.query["e"], told.json["N"]) == ("STEP", "7")


async def test_a_callback_of_a_job_is_told_of_its_end_whichever(tenant: Tenant, hook: Hook) -> None:
    async with shop_of(tenant) as shop, subscriber(tenant) as alice:
        job = await shop.submit(
            await shop.app("exit 3\n"), callbackUrl=f"{hook.url}/?s=${{JOB_STATUS}}&e=${{JOB_ERROR}}"
        )
        [told] = await hook.heard(1)
        assert (told.query["s"], "exit code 3" in told.query["e"]) == ("FAILED", True)
        for link in job["_links"]["notification"]:
            await alice.reached(link["href"].rpartition("/")[2], status="COMPLETE")
        assert len(hook.told) == 1


# the way there -------------------------------------------------------------------------------------------------------


async def test_mail_is_a_message_in_a_folder(tenant: Tenant, alice: Subscriber) -> None:
    uuid = (await alice.upload("/alice/ü <&> \n notes.txt"))["uuid"]
    made = await alice.subscribe(uuid, "mailto:alice@example.org", "STAGING_COMPLETED")
    await alice.upload("/alice/ü <&> \n notes.txt")
    found = await alice.reached(made["id"], status="COMPLETE")
    assert (found["responseCode"], found["attempts"]) == (200, 1)
    [file] = (tenant.root / "mail").iterdir()
    assert (file.suffix, file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (".eml", 0o600, 0o700)
    message = BytesParser(policy=policy.default).parsebytes(file.read_bytes())
    assert (message["To"], message["Subject"]) == ("alice@example.org", "file ü <&> notes.txt: STAGING_COMPLETED")
    text, web = (message.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None and uuid in text.get_content()
    assert web is not None and uuid in web.get_content() and "<&>" not in web.get_content()


async def test_a_login_in_the_url_is_sent_and_a_redirect_is_not_followed(alice: Subscriber, hook: Hook) -> None:
    hook.headers = [("Location", f"{hook.url}/elsewhere"), ("Set-Cookie", "a=b")]
    hook.status = lambda told: 302
    uuid = (await alice.upload())["uuid"]
    url = hook.url.replace("://", "://me:p%40ss@")
    made = await alice.subscribe(uuid, f"{url}/hook", "DOWNLOAD", policy={"retryLimit": 2})
    await alice.http.get(f"/files/v2/media/system/data.demo/{NOTES}")
    await alice.reached(made["id"], status="FAILED", responseCode=302, attempts=2)
    assert [told.path for told in hook.told] == ["/hook", "/hook"]
    assert {told.headers["authorization"] for told in hook.told} == {"Basic bWU6cEBzcw=="}
    assert not any("cookie" in told.headers for told in hook.told)


async def test_a_certificate_that_nobody_trusts_is_no_success(alice: Subscriber, tenant: Tenant) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    async with hooked(context=context) as hook:
        uuid = (await alice.upload())["uuid"]
        once = {"retryStrategy": "NONE", "saveOnFailure": True}
        made = await alice.subscribe(uuid, f"{hook.url}/", "DOWNLOAD", policy=once)
        await alice.http.get(f"/files/v2/media/system/data.demo/{NOTES}")
        found = await alice.reached(made["id"], status="FAILED")
        assert (found["responseCode"], hook.told) == (None, [])
        [kept] = await alice.get(f"{made['id']}/attempts")
        assert "certificate" in kept["response"]["message"].lower()


async def test_for_a_user_who_was_removed_nothing_is_told(tenant: Tenant, hook: Hook) -> None:
    """Though what they own stays, and others change it."""
    person = {"username": "zoe", "password": "a password of zoe's", "email": "zoe@example.org"}
    async with tenant.http("admin") as admin:
        assert (await admin.post("/profiles/v2", json=person)).status_code == 201
        tenant.users["zoe"] = person["password"]
        async with tenant.http("zoe") as zoe:
            uuid = (await zoe.post("/meta/v2/data", json={"name": "n", "value": 1})).json()["result"]["uuid"]
            made = await Subscriber(zoe).subscribe(uuid, hook.url)
        assert (await admin.delete("/profiles/v2/zoe")).status_code == 200
        assert (await admin.post(f"/meta/v2/data/{uuid}", json={"name": "n", "value": 2})).status_code == 200
    assert tenant.state.notifications.kept.is_hearing(made["id"]), "it has not fired"
    assert hook.told == []
