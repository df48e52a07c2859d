"""Subscriptions and deliveries, over real HTTP to a real receiver."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import trio

from tests.conftest import Tenant
from tests.tenant.hook import PATIENCE, Hook, hooked


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    async with hooked() as found:
        yield found


@pytest.fixture
async def alice(tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with tenant.http("alice") as http:
        yield http


async def uuid_of(http: httpx.AsyncClient, path: str = "/alice/notes.txt") -> str:
    """The uuid of a file in the demonstration, made if need be."""
    folder, _, name = path.rpartition("/")
    answer = await http.post(
        f"/files/v2/media/system/data.demo/{folder}", files={"fileToUpload": (name, b"text", "text/plain")}
    )
    assert answer.status_code == 202, answer.text
    return str(answer.json()["result"]["uuid"])


async def subscribed(http: httpx.AsyncClient, uuid: str, url: str, event: str = "*", **more: Any) -> dict[str, Any]:
    body = {"associatedUuid": uuid, "event": event, "url": url, **more}
    answer = await http.post("/notifications/v2/", json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json()["result"])


async def record(http: httpx.AsyncClient, id: str) -> dict[str, Any]:
    answer = await http.get(f"/notifications/v2/{id}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["result"])


async def reached(http: httpx.AsyncClient, id: str, **wanted: Any) -> dict[str, Any]:
    """Wait until a subscription's record says so."""
    with trio.fail_after(PATIENCE):
        while True:
            found = await record(http, id)
            if all(found[name] == value for name, value in wanted.items()):
                return found
            await trio.sleep(0.01)


async def test_a_hook_is_told_of_an_event_once(alice: httpx.AsyncClient, hook: Hook) -> None:
    """What came is the file's record, by POST, with the platform's headers."""
    uuid = await uuid_of(alice)
    made = await subscribed(alice, uuid, f"{hook.url}/here?event=${{EVENT}}&path=${{PATH}}")
    assert (made["status"], made["attempts"], made["lastSent"], made["success"]) == ("ACTIVE", 0, None, False)
    assert made["_links"]["file"]["href"].endswith("/files/v2/media/system/data.demo//alice/notes.txt")
    await uuid_of(alice)
    [told] = await hook.heard(1)
    assert (told.method, told.path) == ("POST", "/here")
    assert told.query == {"event": "OVERWRITTEN", "path": "/alice/notes.txt"}
    assert told.headers["content-type"] == "application/json"
    assert told.headers["user-agent"].startswith("Agave-Hookbot/")
    assert told.headers["x-agave-notification"] == made["id"]
    assert told.headers["x-agave-delivery"].endswith("-042")
    assert (told.json["uuid"], told.json["systemId"]) == (uuid, "data.demo")
    found = await reached(alice, made["id"], status="COMPLETE")
    assert (found["attempts"], found["success"], found["responseCode"]) == (1, True, 200)
    assert found["lastSent"] is not None
    await uuid_of(alice)
    assert len(hook.told) == 1


async def test_a_persistent_one_is_told_of_all_events_in_their_order(alice: httpx.AsyncClient, hook: Hook) -> None:
    uuid = await uuid_of(alice)
    made = await subscribed(alice, uuid, f"{hook.url}/?e=${{EVENT}}", persistent=True)
    await uuid_of(alice)
    await alice.get("/files/v2/media/system/data.demo//alice/notes.txt")
    history = (await alice.get("/files/v2/history/system/data.demo//alice/notes.txt")).json()["result"]
    expected = [event["status"] for event in history][-4:]
    told = await hook.heard(4)
    assert [each.query["e"] for each in told] == expected == [
        "OVERWRITTEN", "STAGING_QUEUED", "STAGING_COMPLETED", "DOWNLOAD"
    ]  # fmt: skip
    assert (await reached(alice, made["id"], attempts=4))["status"] == "ACTIVE"
