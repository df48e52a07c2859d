"""Every operation, asked by everybody who might: done for those who may, refused to all others, with nothing changed.

`rights_tables` says who may what. Here are the things that are asked for, made anew where a cell changed one.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from agavesh.api import catalogue
from agavesh.tenant import handlers
from agavesh.tenant.app import routes_in
from agavesh.tenant.jobs import index
from agavesh.tenant.words import Pem, new_uuid, pem
from tests.conftest import SAID, Tenant
from tests.tenant import rights_tables as tables
from tests.tenant.rights import GRANTEE, Stage, Subject, Table, address, basic
from tests.tenant.rights_tables import APP_ON, DISABLED, PRIVATE, PUBLIC, SHARED, Row
from tests.tenant.test_systems import HOST, STORE
from tests.tenant.troupe import troupe_of

ROLES = {"manager": "ADMIN", "publisher": "PUBLISHER", "user": "USER", "guest": "GUEST"}
WORDS = {"r": "READ", "x": "EXECUTE", "w": "WRITE", "rx": "READ_EXECUTE", "rw": "READ_WRITE", "all": "ALL"}


@asynccontextmanager
async def staged(tenant: Tenant, table: Table) -> AsyncIterator[Stage]:
    # a nonce is no user, and a kind of caller that the tenant knows already needs no making
    callers = [name for name in table.callers.split() if not name.startswith("nonce_")]
    bundle = tenant.path("data.demo", "/apps/bundle/wrapper.sh")
    bundle.parent.mkdir()
    bundle.write_text("echo done\n")
    for name in (*callers, "alice", "bob", "admin"):
        mine = tenant.path("data.demo", f"/{name}/mine.txt")
        mine.parent.mkdir(exist_ok=True)
        mine.touch()
    async with httpx.AsyncClient(base_url=tenant.url, trust_env=False, timeout=60) as http:
        stage = Stage(tenant, http, callers)
        try:
            yield stage
        finally:
            stage.close()


def grant(stage: Stage, uuid: str, names: Mapping[str, str], *, recursive: bool = False) -> None:
    """What was granted on a thing: words by user."""
    for name, word in names.items():
        stage.state.store.grant(uuid, name, int(pem(word) or 0), recursive=recursive)


# what is asked for ---------------------------------------------------------------------------------------------------


async def a_system(stage: Stage, state: str, record: dict[str, Any] = HOST) -> Subject:
    """A system of alice's, on which each caller has their role; with an app, if it is wanted, that all may run."""
    n = stage.number()
    subject = {"n": str(n), "systemId": f"sys-{n}", "named": f"sys-{n}", "appId": f"on-{n}-1.0"}
    if state == "none":
        return subject
    body = {**record, "id": subject["systemId"]}
    if "queues" in body:
        body["queues"] = [*body["queues"], {"name": "other"}]
    made = await stage.done("owner", "systems.add", body=body)
    if state == "with an app":
        await an_app(stage, SHARED, name=f"on-{n}", executionSystem=subject["systemId"])
    for name, role in ROLES.items():
        stage.state.store.sql("insert into roles values (?, ?, ?)", subject["systemId"], name, role)
    if state in tables.FOR_ALL:
        stage.state.store.sql("insert into roles values (?, 'world', ?)", subject["systemId"], tables.FOR_ALL[state])
    if (action := {PUBLIC: "PUBLISH", DISABLED: "DISABLE"}.get(state.split()[0])) is not None:
        await stage.done("administrator", "systems.manage", subject, body={"action": action})
    ann = {"username": "ann", "email": "a@b.org", "uuid": "1-003"}
    stage.state.store.put("internal", "alice/ann", ann, owner="alice")
    return {**subject, "uuid": made["uuid"]}


async def files_of(stage: Stage, system: str, folder: str) -> None:
    for name in ("a.txt", "b.txt"):
        path = stage.tenant.path(system, f"{folder}/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"bytes of alice's")


async def files_in_a_home(stage: Stage, state: str) -> Subject:
    """A folder in alice's home on the public storage, and grants on it, on one of its two files, and on the tree."""
    n, files, store = stage.number(), stage.state.files, stage.state.store
    folder, top = f"/alice/{state}/{n}", stage.tenant.path("data.demo", "/")
    for left in (*top.glob("*/new-*"), top / "alice" / state):  # what there is gets looked at often
        shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    await files_of(stage, "data.demo", folder)
    with store.together():
        whole = files.record(files.place("alice", "data.demo", folder), "alice")
        one = files.record(files.place("alice", "data.demo", f"{folder}/a.txt"), "alice")
        for name, word in tables.GRANTS.items():
            grant(stage, one if name.startswith("file") else whole, {name: word}, recursive=name.startswith("tree"))
        if state == SHARED:
            store.grant(whole, "world", int(Pem.READ), recursive=True)
    return {"n": str(n), "systemId": "data.demo", "folder": folder, "uuid": one}


async def files_by_role(stage: Stage, state: str) -> Subject:
    """A folder on a system of alice's."""
    subject = await a_system(stage, state, HOST if "execution" in state else STORE)
    folder = f"/box-{subject['n']}"
    await files_of(stage, subject["systemId"], folder)
    files, system = stage.state.files, stage.state.store.get("system", subject["systemId"])
    if system["available"]:
        files.record(files.place("admin", subject["systemId"], f"{folder}/a.txt"), "alice")
    return {**subject, "folder": folder}


async def an_app(stage: Stage, state: str, **more: Any) -> Subject:
    """An app of alice's, with a grant for each caller."""
    n, store = stage.number(), stage.state.store
    subject = {"n": str(n), "appId": f"app-{n}-1.0", "named": f"app-{n}-1.0"}
    if state == "none":
        return subject
    record = {**APP_ON, "name": f"app-{n}", "tags": [f"tag-{n}"], "ontology": [f"term-{n}"], **more}
    made = await stage.done("owner", "apps.add", body=record)
    changes = {
        PUBLIC: {"isPublic": True}, DISABLED: {"available": False}, "removed": {"isPublic": True, "_removed": True},
    }.get(state, {})  # fmt: skip
    store.put("app", made["id"], {**store.get("app", made["id"]), **changes}, owner="alice")
    if state != PUBLIC:  # a published app is a record of its own, which nobody was granted anything on
        grant(stage, made["uuid"], {**WORDS, GRANTEE: "READ"})
    if state == SHARED:
        grant(stage, made["uuid"], {"world": "READ_EXECUTE" if more else "READ"})
    return {**subject, "uuid": made["uuid"]}


async def a_job(stage: Stage, state: str) -> Subject:
    """A job of alice's that is over. One was run; others are made of its record."""
    store, n = stage.state.store, stage.number()
    if (ran := next(store.all("job"), None)) is None:
        await an_app(stage, SHARED, name="job")
        body = {"name": "j", "appId": "job-1.0", "archive": False}
        job_id = (await stage.done("owner", "jobs.submit", body=body))["id"]
        await stage.still()
        ran = store.get("job", job_id)
        assert ran["status"] == "FINISHED"
    uuid = new_uuid("007")
    job = {**ran, "id": uuid, "owner": "alice", "name": f"job-{n}", "_visible": state != "hidden"}
    index.keep(store, job)
    store.event(uuid, "FINISHED", "Job complete", by="alice")
    grant(stage, uuid, {name: WORDS[name] for name in ("r", "w", "rw", "x")} | {GRANTEE: "READ"})
    return {"n": str(n), "jobId": uuid, "named": uuid, "name": f"job-{n}"}


def of_meta(key: str, body: dict[str, Any]) -> Callable[[Stage, str], Awaitable[Subject]]:
    async def make(stage: Stage, state: str) -> Subject:
        uuid = (await stage.done("owner", key, body=body))["uuid"]
        grant(stage, uuid, {name: WORDS[name] for name in ("r", "w", "rw")} | {GRANTEE: "READ"})
        if state == SHARED:
            grant(stage, uuid, {"world": "READ"})
        return {"n": str(stage.number()), "uuid": uuid, "named": uuid}

    return make


async def a_subscription(stage: Stage, state: str) -> Subject:
    """A subscription of alice's to a document of hers, which one other may read."""
    about = (await of_meta("meta.addMetadata", tables.DOCUMENT)(stage, state))["uuid"]
    hook = {"associatedUuid": about, "event": "NEVER", "url": "http://127.0.0.1:9/", "persistent": True}
    uuid = (await stage.done("owner", "notifications.add", body=hook))["id"]
    return {"uuid": uuid, "named": uuid, "about": about}


async def a_monitor(stage: Stage, state: str) -> Subject:
    """A monitor of alice's, and one of its checks."""
    system = await files_by_role(stage, state)
    monitor = (await stage.done("owner", "monitors.add", body={"target": system["systemId"]}))["id"]
    check = (await stage.done("owner", "monitors.runCheck", {"monitorId": monitor}))["id"]
    return {"systemId": system["systemId"], "monitorId": monitor, "checkId": check, "named": monitor}


async def a_postit(stage: Stage, state: str) -> Subject:
    body = {"url": f"{stage.tenant.url}/profiles/v2/me"}
    uuid = (await stage.done("owner", "postits.create", body=body))["postit"]
    return {"uuid": uuid, "named": uuid, "url": stage.tenant.url}


async def a_person(stage: Stage, state: str) -> Subject:
    """Alice, with one internal user; and somebody who is not missed."""
    n, store = stage.number(), stage.state.store
    stage.state.auth.add_user(f"max-{n}", "unknown")
    store.put(
        "profile", f"max-{n}", {"username": f"max-{n}", "email": f"m{n}@m.org", "uuid": "1-001"}, owner=f"max-{n}"
    )
    store.put("internal", "alice/ann", {"username": "ann", "email": "a@b.org", "uuid": "1-003"}, owner="alice")
    store.drop("internal", "alice/bea")
    return {"n": str(n), "username": "alice", "other": f"max-{n}", "named": "alice"}


async def a_client(stage: Stage, state: str) -> Subject:
    n = stage.number()
    stage.state.auth.add_client("alice", f"client-{n}", {"description": "", "tier": "UNLIMITED", "callbackUrl": ""})
    return {"n": str(n), "clientName": f"client-{n}", "named": f"client-{n}"}


THINGS: tuple[tuple[str, Table, Callable[[Stage, str], Awaitable[Subject]]], ...] = (
    ("systems", tables.SYSTEMS, a_system),
    ("files in a home", tables.FILES, files_in_a_home),
    ("files by role", tables.FILES_BY_ROLE, files_by_role),
    ("apps", tables.APPS, an_app),
    ("jobs", tables.JOBS, a_job),
    ("documents", tables.DOCUMENTS, of_meta("meta.addMetadata", tables.DOCUMENT)),
    ("schemas", tables.SCHEMAS, of_meta("meta.addSchema", tables.SCHEMA)),
    ("notifications", tables.NOTIFICATIONS, a_subscription),
    ("monitors", tables.MONITORS, a_monitor),
    ("postits", tables.POSTITS, a_postit),
    ("profiles", tables.PROFILES, a_person),
)

# the tests -----------------------------------------------------------------------------------------------------------


def test_every_operation_and_every_route_is_in_a_table():
    operations = {operation.key for operation in catalogue.operations()}
    routes = {
        f"{route.method} {route.path}"
        for module in handlers.modules()
        for route in routes_in(module)
        if not route.owner  # whose proof is tested with the ways in that it opens
    }
    walked = set().union(tables.OPEN, *(table.keys for table in tables.TABLES))
    assert walked == operations | routes


@pytest.mark.parametrize(("table", "make"), [each[1:] for each in THINGS], ids=[each[0] for each in THINGS])
async def test_who_may_do_what(tenant, table, make, record_property):
    async with staged(tenant, table) as stage:
        wrong = await stage.walk(table, lambda state: make(stage, state))
    record_property(SAID, f"permissions: {stage.cells} cells of {len(table.rows)} rows")
    assert not wrong, "\n".join(wrong)


async def test_who_may_do_what_with_a_client(tenant, record_property):
    async with staged(tenant, tables.CLIENTS) as stage:
        users = {"owner": "alice", "stranger": "bob", "administrator": "admin"}
        stage.basics = {caller: basic(name, tenant.users[name]) for caller, name in users.items()}
        stage.basics["wrong"] = basic("alice", "wrong")
        wrong = await stage.walk(tables.CLIENTS, lambda state: a_client(stage, state))
    record_property(SAID, f"permissions: {stage.cells} cells of {len(tables.CLIENTS.rows)} rows")
    assert not wrong, "\n".join(wrong)


async def test_who_may_do_what_with_an_actor(tenant, record_property):
    """An actor for each caller, which they use from what changes least to its end."""
    table, wrong = tables.ACTORS, []
    async with staged(tenant, table) as stage, troupe_of(tenant) as troupe:
        for number, caller in enumerate(table.callers.split()):
            subject = await an_actor(stage, troupe, caller)
            for key, _, arguments, cells in table.rows:
                expected = cells.split()[number]
                trouble = await stage.cell(caller, key, subject, arguments, expected)
                wrong += [f"{key} as {caller}: {each}" for each in trouble]
                if address(key)[0] != "GET" and not expected.startswith("4"):
                    await stage.still()
                if caller == "stranger":
                    wrong += await stage.turned_away(table, key, subject, arguments)
    record_property(SAID, f"permissions: {stage.cells} cells of {len(table.rows)} rows")
    assert not wrong, "\n".join(wrong)


async def an_actor(stage: Stage, troupe: Any, caller: str) -> Subject:
    """A stateful actor with one of each, that the caller was granted their level of."""
    n = stage.number()
    actor = await troupe.actor("print('done')", stateless=False)
    execution = await troupe.send(actor)
    await troupe.ended(actor, execution)
    (worker,) = await troupe.until(f"/{actor}/workers", lambda found: found[0]["status"] == "READY")
    nonce = await troupe.ask("POST", f"/{actor}/nonces", json={"level": "NONE"})
    await troupe.ask("POST", "/aliases", json={"alias": f"alias-{n}", "actorId": actor})
    levels = {name: level for name, level in tables.LEVELS.items() if name == caller}
    levels |= {"ABACO_WORLD": "EXECUTE"} if caller == "everybody" else {}
    levels |= {"alice": "NONE"} if caller == "owner" else {}  # who has everything, whatever was granted
    for name, level in levels.items():
        await troupe.ask("POST", f"/{actor}/permissions", json={"user": name, "level": level})
    subject = {
        "n": str(n), "actorId": actor, "named": actor, "executionId": execution, "workerId": worker["id"],
        "nonceId": nonce["id"],
    }  # fmt: skip
    if caller in tables.NONCES:
        own = await troupe.ask("POST", f"/{actor}/nonces", json={"level": tables.NONCES[caller]})
        subject[caller] = own["id"]
    await stage.still()
    return subject


async def test_what_is_hidden_is_told_of_as_what_is_not_there(tenant, record_property):
    def rows(table: Table, state: str, naming: str) -> list[Row]:
        return [row for row in table.rows if row[1] == state and f"{{{naming}}}" in address(row[0])[1]]

    wrong = []
    async with staged(tenant, tables.SYSTEMS) as stage:
        hidden = await files_by_role(stage, PRIVATE)
        there, nowhere = ({"systemId": each, "folder": "/box", "n": "x"} for each in (hidden["systemId"], "nowhere"))
        for key, _, arguments, _ in rows(tables.FILES_BY_ROLE, PRIVATE, "systemId"):
            wrong += await stage.alike("stranger", key, arguments, there, nowhere)
        for key, arguments in tables.NAMING:
            wrong += await stage.alike("stranger", key, arguments, there, nowhere)
        disabled = await a_system(stage, DISABLED)
        there, nowhere = ({"systemId": each} for each in (disabled["systemId"], "nowhere"))
        for key, _, arguments, _ in rows(tables.SYSTEMS, DISABLED, "systemId"):
            for caller in ("stranger", "guest"):
                wrong += await stage.alike(caller, key, arguments, there, nowhere)
        monitor = await a_monitor(stage, PRIVATE)
        for key, _, arguments, _ in rows(tables.MONITORS, PRIVATE, "monitorId"):
            wrong += await stage.alike("stranger", key, arguments, monitor, {**monitor, "monitorId": "1-014"})
        await files_of(stage, "data.demo", "/alice/box")
        there, nowhere = ({"systemId": "data.demo", "folder": each, "n": "x"} for each in ("/alice/box", "/alice/none"))
        for key, _, arguments, _ in tables.FILES.rows:
            if key != "notifications.add":
                wrong += await stage.alike("stranger", key, arguments, there, nowhere)
        stage.basics = {"stranger": basic("bob", tenant.users["bob"])}
        client = await a_client(stage, PRIVATE)
        for key, _, arguments, _ in rows(tables.CLIENTS, PRIVATE, "clientName"):
            wrong += await stage.alike("stranger", key, arguments, client, {**client, "clientName": "none"})
    record_property(SAID, f"permissions: {stage.cells} pairs of what is hidden and what is not there")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("key", tables.OPEN)
async def test_what_wants_no_token_tells_nobody_more_than_it_must(tenant, key):
    arguments, status = tables.OPEN[key]
    async with httpx.AsyncClient(base_url=tenant.url, trust_env=False) as http:
        method, path = address(key)
        assert (await http.request(method, path.format_map(arguments))).status_code == status
