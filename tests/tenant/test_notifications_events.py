"""Every service tells of what happens to its records, by the platform's names: heard by an administrator of all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.conftest import Tenant
from tests.tenant.hook import Hook, hooked
from tests.tenant.shop import record, shop_of
from tests.tenant.subscriber import NOTES, Subscriber, subscriber

MEDIA = "/files/v2/media/system/data.demo"


class Heard:
    """What was told of, by the kind of thing it happened to."""

    def __init__(self, hook: Hook) -> None:
        self._hook = hook

    async def of(self, uuid: str, *expected: str) -> list[Any]:
        """Wait until these events of a thing were told, in this order; other ones may stand between them."""
        found: list[Any] = []
        await self._hook.heard(1, lambda told: self._all_are_there(uuid, expected))
        for told in self._hook.told:
            if told.query["u"] == uuid and len(found) < len(expected) and told.query["e"] == expected[len(found)]:
                found.append(told.json)
        return found

    def _all_are_there(self, uuid: str, expected: tuple[str, ...]) -> bool:
        wanted = list(expected)
        for told in self._hook.told:
            if wanted and told.query["u"] == uuid and told.query["e"] == wanted[0]:
                wanted.pop(0)
        return not wanted


@pytest.fixture
async def heard(tenant: Tenant) -> AsyncIterator[Heard]:
    async with hooked() as hook, subscriber(tenant, "admin") as admin:
        await admin.subscribe("*", f"{hook.url}/?u=${{UUID}}&e=${{EVENT}}", persistent=True)
        yield Heard(hook)


@pytest.fixture
async def alice(tenant: Tenant) -> AsyncIterator[Subscriber]:
    async with subscriber(tenant) as found:
        yield found


@pytest.fixture
async def admin(tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with tenant.http("admin") as found:
        yield found


async def done(answer: httpx.Response) -> Any:
    assert answer.status_code < 300, answer.text
    return answer.json().get("result")


async def test_files(alice: Subscriber, heard: Heard) -> None:
    http = alice.http
    uuid = (await alice.upload())["uuid"]
    await alice.upload()
    (await http.get(f"{MEDIA}/{NOTES}")).raise_for_status()
    pems = f"/files/v2/pems/system/data.demo/{NOTES}"
    for word in ("READ", "NONE"):
        await done(await http.post(pems, json={"username": "bob", "permission": word}))
    await done(await http.put(f"{MEDIA}/{NOTES}", json={"action": "rename", "path": "new.txt"}))
    folder = await done(await http.put(f"{MEDIA}//alice", json={"action": "mkdir", "path": "folder"}))
    await done(await http.put(f"{MEDIA}//alice/new.txt", json={"action": "move", "path": "/alice/folder/new.txt"}))
    await done(await http.put(f"{MEDIA}//alice/folder/new.txt", json={"action": "copy", "path": "/alice/copy.txt"}))
    await done(await http.put(f"{MEDIA}//alice/folder/new.txt", json={"action": "copy", "path": "/alice/copy.txt"}))
    copy = (await alice.upload("/alice/copy.txt"))["uuid"]
    told = await heard.of(
        uuid, "CREATED", "STAGING_QUEUED", "STAGING_COMPLETED", "OVERWRITTEN", "STAGING_QUEUED", "STAGING_COMPLETED",
        "DOWNLOAD", "PERMISSION_GRANT", "PERMISSION_REVOKE", "RENAME", "MOVED",
    )  # fmt: skip
    assert [each["path"] for each in told[-2:]] == ["/alice/new.txt", "/alice/folder/new.txt"]
    assert (told[-1]["length"], told[-1]["type"]) == (4, "file")
    await heard.of(copy, "CREATED", "OVERWRITTEN")
    [made, changed] = await heard.of(folder["uuid"], "CREATED", "CONTENT_CHANGE")
    assert (made["type"], changed["type"]) == ("dir", "dir")
    other = await alice.subscribe(uuid, "a@example.org", "DELETED")
    await alice.subscribe(uuid, "a@example.org", "DOWNLOAD", persistent=True)
    await done(await http.delete(f"{MEDIA}//alice/folder"))
    await heard.of(folder["uuid"], "DELETED")
    await alice.reached(other["id"], status="COMPLETE")
    assert await alice.get("", associatedUuid=uuid) == [], "who waited for a file that is gone waits no more"


async def test_jobs_and_apps(tenant: Tenant, alice: Subscriber, admin: httpx.AsyncClient, heard: Heard) -> None:
    async with shop_of(tenant) as shop:
        http, app = shop.http, await shop.app("echo one; ${AGAVE_JOB_CALLBACK_ALIVE}\n")
        known = await done(await http.get(f"/apps/v2/{app}"))
        job = await shop.ran(app, inputs={})
        for word in ("READ", "NONE"):
            grant = {"username": "bob", "permission": word}
            await done(await http.post(f"/jobs/v2/{job['id']}/pems", json=grant))
            await done(await http.post(f"/apps/v2/{app}/pems", json=grant))
        await done(await http.delete(f"/jobs/v2/{job['id']}"))
        await done(await http.post(f"/jobs/v2/{job['id']}", json={"action": "restore"}))
        await heard.of(
            job["id"], "PENDING", "PROCESSING_INPUTS", "STAGED", "STAGING_JOB", "SUBMITTING", "QUEUED", "RUNNING",
            "HEARTBEAT", "CLEANING_UP", "ARCHIVING", "ARCHIVING_FINISHED", "FINISHED", "PERMISSION_GRANT",
            "PERMISSION_REVOKE", "DELETED", "RESTORED",
        )  # fmt: skip
        await done(await http.post("/apps/v2/", json=record("test", label="again")))
        for action in ("disable", "enable"):
            await done(await http.put(f"/apps/v2/{app}", json={"action": action}))
        copy = await done(await http.put(f"/apps/v2/{app}", json={"action": "clone", "name": "copy"}))
        public = await done(await admin.put(f"/apps/v2/{app}", json={"action": "publish"}))
        await done(await http.delete(f"/apps/v2/{app}"))
        await done(await admin.delete(f"/apps/v2/{public['id']}"))
        await heard.of(
            known["uuid"], "CREATED", "PERMISSION_GRANT", "PERMISSION_REVOKE", "UPDATED", "DISABLED", "RESTORED",
            "CLONED", "PUBLISHED", "DELETED",
        )  # fmt: skip
        await heard.of(copy["uuid"], "CLONED")
        await heard.of(public["uuid"], "PUBLISHED", "DELETED")


async def test_systems(tenant: Tenant, alice: Subscriber, admin: httpx.AsyncClient, heard: Heard) -> None:
    http = alice.http
    auth = {"type": "PASSWORD", "username": "x", "password": "y"}
    system = {
        "id": "sys-1", "name": "S", "type": "STORAGE", "storage": {
            "host": "h.example.org", "port": 22, "protocol": "SFTP", "rootDir": "/", "homeDir": "/", "auth": auth,
        },
    }  # fmt: skip
    uuid = (await done(await http.post("/systems/v2/", json=system)))["uuid"]
    path = "/systems/v2/sys-1"
    await done(await http.post(path, json={**system, "name": "T"}))
    await done(await http.post(f"{path}/roles/bob", json={"role": "USER"}))
    await done(await http.delete(f"{path}/roles/bob"))
    for action in ("setDefault", "unsetDefault", "disable", "enable"):
        await done(await http.put(path, json={"action": action}))
    await done(await http.post(f"{path}/credentials", json=auth))
    await done(await http.delete(f"{path}/credentials"))
    for action in ("publish", "setGlobalDefault", "unsetGlobalDefault", "unpublish"):
        await done(await admin.put(path, json={"action": action}))
    await done(await http.delete(path))
    await done(await admin.put(path, json={"action": "erase"}))
    await heard.of(
        uuid, "CREATED", "UPDATED", "ROLES_GRANT", "ROLES_REVOKE", "SET_USER_DEFAULT", "UNSET_USER_DEFAULT", "DISABLED",
        "ENABLED", "UPDATE_DEFAULT_CREDENTIAL", "CLEAR_CREDENTIALS", "PUBLISH", "SET_PUBLIC_DEFAULT",
        "UNSET_PUBLIC_DEFAULT", "UNPUBLISH", "DELETED", "ERASED",
    )  # fmt: skip


async def test_metadata(alice: Subscriber, heard: Heard) -> None:
    http = alice.http
    file = (await alice.upload())["uuid"]
    body = {"name": "n", "value": {"a": 1}, "associationIds": [file]}
    uuid = (await done(await http.post("/meta/v2/data", json=body)))["uuid"]
    path = f"/meta/v2/data/{uuid}"
    await done(await http.post(path, json={**body, "value": 2}))
    for word in ("READ", "READ_WRITE", "NONE"):
        await done(await http.post(f"{path}/pems", json={"username": "bob", "permission": word}))
    await done(await http.delete(path))
    told = await heard.of(
        uuid, "CREATED", "UPDATED", "PERMISSION_GRANT", "PERMISSION_UPDATE", "PERMISSION_REVOKE", "DELETED"
    )
    assert (told[0]["value"], told[1]["value"]) == ({"a": 1}, 2)
    [*_, last] = await heard.of(file, "METADATA_CREATED", "METADATA_UPDATED", "METADATA_DELETED")
    assert last["path"] == NOTES
    schema = (await done(await http.post("/meta/v2/schemas", json={"type": "object"})))["uuid"]
    await done(await http.post(f"/meta/v2/schemas/{schema}", json={"type": "array"}))
    await done(await http.delete(f"/meta/v2/schemas/{schema}"))
    await heard.of(schema, "CREATED", "UPDATED", "DELETED")
