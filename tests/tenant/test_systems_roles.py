"""Every operation of systems and profiles obeys roles: a table, walked as each kind of caller.

A row is an operation and what it answers to each: 2xx where it is done. Each cell has systems of its own, so that none
stands on what another left.
"""

from __future__ import annotations

import itertools
import re
from typing import Any

import httpx
import pytest

from agavesh.api import catalogue
from tests.tenant.test_systems import HOST

CALLERS = ("owner", "admin_role", "publisher", "user", "guest", "stranger", "administrator", "expired", "nobody")
USERS = {"owner": "alice", "stranger": "bob", "administrator": "admin"}
ROLES = {"admin_role": "ADMIN", "publisher": "PUBLISHER", "user": "USER", "guest": "GUEST"}
PRIVATE, PUBLIC, DISABLED = "private", "public", "disabled"

# statuses for: owner ADMIN PUBLISHER USER GUEST stranger administrator; without a good token it is 401, always
SYSTEMS: list[tuple[str, str, dict[str, Any], str]] = [
    ("systems.get", PRIVATE, {}, "200 200 200 200 200 403 200"),
    ("systems.get", PUBLIC, {}, "200 200 200 200 200 200 200"),
    ("systems.get", DISABLED, {}, "200 200 200 200 404 403 200"),
    ("systems.add", PRIVATE, {"body": "record"}, "201 201 403 403 403 403 201"),
    ("systems.add", PUBLIC, {"body": "record"}, "403 403 403 403 403 403 403"),
    ("systems.add", DISABLED, {"body": "record"}, "400 400 403 403 404 403 400"),
    ("systems.update", PRIVATE, {"body": "record"}, "200 200 403 403 403 403 200"),
    ("systems.update", PUBLIC, {"body": "record"}, "403 403 403 403 403 403 403"),
    ("systems.update", DISABLED, {"body": "record"}, "400 400 403 403 404 403 400"),
    ("systems.delete", PRIVATE, {}, "200 200 401 401 401 403 200"),
    ("systems.delete", PUBLIC, {}, "200 200 401 401 401 401 200"),
    ("systems.manage", PRIVATE, {"body": {"action": "PUBLISH"}}, "403 403 403 403 403 403 200"),
    ("systems.manage", PUBLIC, {"body": {"action": "UNPUBLISH"}}, "403 403 403 403 403 403 200"),
    ("systems.manage", PRIVATE, {"body": {"action": "SETDEFAULT"}}, "200 200 200 200 403 403 200"),
    ("systems.manage", PUBLIC, {"body": {"action": "SETDEFAULT"}}, "200 200 200 200 200 200 200"),
    ("systems.manage", DISABLED, {"body": {"action": "SETDEFAULT"}}, "400 400 400 400 404 403 400"),
    ("systems.manage", PRIVATE, {"body": {"action": "UNSETDEFAULT"}}, "200 200 200 200 403 403 200"),
    ("systems.manage", PUBLIC, {"body": {"action": "SETGLOBALDEFAULT"}}, "403 403 403 403 403 403 200"),
    ("systems.manage", PRIVATE, {"body": {"action": "SETGLOBALDEFAULT"}}, "403 403 403 403 403 403 400"),
    ("systems.manage", PUBLIC, {"body": {"action": "UNSETGLOBALDEFAULT"}}, "403 403 403 403 403 403 200"),
    ("systems.manage", PRIVATE, {"body": {"action": "CLONE", "id": "clone"}}, "200 200 200 200 200 403 200"),
    ("systems.manage", PUBLIC, {"body": {"action": "CLONE", "id": "clone"}}, "200 200 200 200 200 200 200"),
    ("systems.manage", PRIVATE, {"body": {"action": "DISABLE"}}, "200 200 403 403 403 403 200"),
    ("systems.manage", DISABLED, {"body": {"action": "ENABLE"}}, "200 200 403 403 404 403 200"),
    ("systems.manage", PRIVATE, {"body": {"action": "ERASE"}}, "403 403 403 403 403 403 200"),
    ("systems.listRoles", PRIVATE, {}, "200 200 403 403 403 403 200"),
    ("systems.listRoles", PUBLIC, {}, "501 501 501 501 501 501 501"),
    ("systems.listRoles", DISABLED, {}, "400 400 403 403 404 403 400"),
    ("systems.getRoleForUser", PRIVATE, {"username": "bob"}, "200 200 403 403 403 403 200"),
    ("systems.updateRole", PRIVATE, {"body": {"username": "bob", "role": "GUEST"}}, "201 201 403 403 403 403 201"),
    ("systems.updateRole", PUBLIC, {"body": {"username": "bob", "role": "GUEST"}}, "501 501 501 501 501 501 501"),
    ("systems.updateRoleForUser", PRIVATE, {"username": "bob", "body": {"role": "ADMIN"}},
     "201 201 403 403 403 403 201"),
    ("systems.updateRoleForUser", DISABLED, {"username": "bob", "body": {"role": "ADMIN"}},
     "400 400 403 403 404 403 400"),
    ("systems.deleteRoleForUser", PRIVATE, {"username": "bob"}, "200 200 403 403 403 403 200"),
    ("systems.deleteRoles", PRIVATE, {}, "200 200 403 403 403 403 200"),
    ("systems.deleteRoles", PUBLIC, {}, "501 501 501 501 501 501 501"),
    ("systems.listCredentials", PRIVATE, {}, "200 200 403 403 403 403 200"),
    ("systems.listCredentials", PUBLIC, {}, "200 200 403 403 403 403 200"),
    ("systems.updateCredentials", PRIVATE, {"body": "secret"}, "201 201 403 403 403 403 201"),
    ("systems.updateCredentials", DISABLED, {"body": "secret"}, "400 400 403 403 404 403 400"),
    ("systems.deleteCredentials", PRIVATE, {}, "200 200 403 403 403 403 200"),
    ("systems.listCredentialsForInternalUser", PRIVATE, {"internalUsername": "ann"}, "200 200 403 403 403 403 200"),
    ("systems.updateCredentialsForInternalUser", PRIVATE, {"internalUsername": "ann", "body": "secret"},
     "201 201 403 403 403 403 201"),
    ("systems.deleteCredentialsForInternalUser", PRIVATE, {"internalUsername": "ann"}, "200 200 403 403 403 403 200"),
    ("systems.listCredentialsForInternalUserByType", PRIVATE, {"internalUsername": "ann", "credentialType": "LOGIN"},
     "200 200 403 403 403 403 200"),
    ("systems.updateCredentialsForInternalUserByType", PRIVATE,
     {"internalUsername": "ann", "credentialType": "STORAGE", "body": "secret"}, "201 201 403 403 403 403 201"),
    ("systems.deleteCredentialsForInternalUserByType", PRIVATE, {"internalUsername": "ann", "credentialType": "LOGIN"},
     "200 200 403 403 403 403 200"),
]  # fmt: skip

# routes beside the catalogue: verb, path below the system, body
BESIDE: list[tuple[str, str, str, Any, str]] = [
    ("GET", "history", PRIVATE, None, "200 200 200 200 200 403 200"),
    ("GET", "queues", PRIVATE, None, "200 200 200 200 200 403 200"),
    ("GET", "queues", PUBLIC, None, "200 200 200 200 200 200 200"),
    ("GET", "queues/normal", DISABLED, None, "200 200 200 200 404 403 200"),
    ("POST", "queues", PRIVATE, {"name": "long"}, "201 201 403 403 403 403 201"),
    ("POST", "queues", PUBLIC, {"name": "long"}, "403 403 403 403 403 403 403"),
    ("PUT", "queues/normal", PRIVATE, {"name": "normal"}, "200 200 403 403 403 403 200"),
    ("DELETE", "queues/other", PRIVATE, None, "200 200 403 403 403 403 200"),
]

# statuses for: the user themselves, another user, an administrator
PROFILES: list[tuple[str, str, Any, str]] = [
    ("GET", "/profiles/v2", None, "200 200 200"),
    ("GET", "/profiles/v2/me", None, "200 200 200"),
    ("GET", "/profiles/v2/alice", None, "200 200 200"),
    ("POST", "/profiles/v2", {"username": "zoe", "email": "z@z.org", "password": "long enough"}, "403 403 201"),
    ("PUT", "/profiles/v2/alice", {"city": "Aria"}, "403 403 200"),
    ("DELETE", "/profiles/v2/max", None, "403 403 200"),
    ("GET", "/profiles/v2/alice/users", None, "200 403 200"),
    ("POST", "/profiles/v2/alice/users", {"username": "bea", "email": "b@b.org"}, "201 403 201"),
    ("GET", "/profiles/v2/alice/users/ann", None, "200 403 200"),
    ("POST", "/profiles/v2/alice/users/ann", {"city": "Aria"}, "200 403 200"),
    ("PUT", "/profiles/v2/alice/users/ann", {"city": "Aria"}, "200 403 200"),
    ("DELETE", "/profiles/v2/alice/users/ann", None, "200 403 200"),
]


class Stage:
    """A tenant with a user for each role, and a client for each caller."""

    def __init__(self, tenant: Any) -> None:
        self.tenant, self.state, self._numbers = tenant, tenant.state, itertools.count()
        for role in ROLES:
            self.state.auth.add_user(role, "unknown")
            self.state.store.put("profile", role, {"username": role, "email": f"{role}@b.org"}, owner=role)
        old = tenant.token("alice")
        self.tokens = {caller: self._token(caller) for caller in CALLERS if caller not in ("expired", "nobody")}
        self.state.auth.expire_all()
        self.tokens = {caller: self._token(caller) for caller in self.tokens} | {"expired": old, "nobody": ""}
        self.ann = {"username": "ann", "email": "a@b.org", "uuid": "1-003"}
        self.state.store.put("internal", "alice/ann", self.ann, owner="alice")

    def _token(self, caller: str) -> str:
        return str(self.tenant.token(USERS.get(caller, caller)))

    async def ask(self, caller: str, method: str, path: str, body: Any = None) -> int:
        headers = {"Authorization": f"Bearer {self.tokens[caller]}"} if self.tokens[caller] else {}
        return (await self.http.request(method, path, json=body, headers=headers)).status_code

    async def system(self, state: str) -> str:
        """The id of a fresh system of alice's, on which each caller has their role."""
        system_id = f"exec-{next(self._numbers)}"
        queues = [*HOST["queues"], {"name": "other"}]
        assert await self.ask("owner", "POST", "/systems/v2/", {**HOST, "id": system_id, "queues": queues}) == 201
        for user, role in ROLES.items():
            self.state.store.sql("insert into roles values (?, ?, ?)", system_id, user, role)
        action = {PUBLIC: "PUBLISH", DISABLED: "DISABLE"}.get(state)
        if action:
            done = await self.ask("administrator", "PUT", f"/systems/v2/{system_id}", {"action": action})
            assert done == 200
        return system_id


@pytest.fixture
async def stage(tenant):
    stage = Stage(tenant)
    async with httpx.AsyncClient(base_url=tenant.url, trust_env=False, timeout=60) as stage.http:
        yield stage


def table(statuses: str, callers: tuple[str, ...]) -> dict[str, int]:
    """The row of a table, by caller."""
    return dict(zip(callers, map(int, statuses.split()), strict=True))


def body_of(word: Any, system_id: str) -> Any:
    bodies = {"record": {**HOST, "id": system_id}, "secret": {"type": "PASSWORD", "username": "u", "password": "p"}}
    found = bodies.get(word, word) if isinstance(word, str) else word
    return {**found, "id": f"{system_id}-clone"} if isinstance(found, dict) and found.get("id") == "clone" else found


def test_every_operation_of_systems_and_profiles_is_in_the_table():
    systems = {operation.key for operation in catalogue.operations() if operation.service == "systems"}
    assert systems - {"systems.list"} == {key for key, *_ in SYSTEMS}  # the list has a test of its own
    profiles = {(op.method, op.path) for op in catalogue.operations() if op.service == "profiles"}
    walked = {(method, path) for method, path, *_ in PROFILES}
    assert profiles <= {(method, re.sub("/(alice|max)", "/{username}", path)) for method, path in walked}


@pytest.mark.parametrize(("key", "state", "arguments", "statuses"), SYSTEMS, ids=lambda value: str(value)[:40])
async def test_an_operation_on_a_system_obeys_roles(stage, key, state, arguments, statuses):
    operation, found = catalogue.find(key), {}
    for caller in CALLERS:
        system_id = await stage.system(state)
        path = operation.path.format(systemId=system_id, **arguments)
        found[caller] = await stage.ask(caller, operation.method, path, body_of(arguments.get("body"), system_id))
    assert found == table(f"{statuses} 401 401", CALLERS)


@pytest.mark.parametrize(("method", "path", "state", "body", "statuses"), BESIDE)
async def test_a_route_of_a_system_obeys_roles(stage, method, path, state, body, statuses):
    found = {}
    for caller in CALLERS:
        found[caller] = await stage.ask(caller, method, f"/systems/v2/{await stage.system(state)}/{path}", body)
    assert found == table(f"{statuses} 401 401", CALLERS)


async def test_a_list_shows_what_the_caller_may_see(stage):
    mine = {await stage.system(state): state for state in (PRIVATE, PUBLIC, DISABLED)}

    async def seen(caller: str, query: str) -> set[str]:
        headers = {"Authorization": f"Bearer {stage.tokens[caller]}"}
        answer = await stage.http.get(f"/systems/v2/{query}", headers=headers)
        return {mine[each["id"]] for each in answer.json()["result"] if each["id"] in mine}

    for caller in ("owner", "admin_role", "publisher", "user", "administrator"):
        assert await seen(caller, "") == {PRIVATE, PUBLIC}
        assert await seen(caller, "?available=false") == {DISABLED}
    assert await seen("guest", "") == {PRIVATE, PUBLIC}
    assert await seen("stranger", "") == {PUBLIC}
    for caller in ("guest", "stranger"):
        assert await seen(caller, "?available=false") == set()
    for caller in ("expired", "nobody"):
        assert await stage.ask(caller, "GET", "/systems/v2/") == 401


@pytest.mark.parametrize(("method", "path", "body", "statuses"), PROFILES)
async def test_an_operation_on_people_obeys_roles(stage, method, path, body, statuses):
    found = {}
    for caller in ("owner", "stranger", "administrator", "expired", "nobody"):
        stage.state.store.put("internal", "alice/ann", stage.ann, owner="alice")
        for name in ("alice/bea", "alice/ann") if method == "POST" else ():
            if not name.endswith("ann") or path.endswith("/users"):
                stage.state.store.drop("internal", name)
        stage.state.auth.add_user("max", "unknown")
        stage.state.store.put("profile", "max", {"username": "max", "email": "m@m.org", "uuid": "1-001"}, owner="max")
        found[caller] = await stage.ask(caller, method, path, body)
    assert found == table(f"{statuses} 401 401", ("owner", "stranger", "administrator", "expired", "nobody"))


async def test_what_is_not_there_is_so_for_everybody(stage):
    for caller in ("owner", "stranger", "administrator"):
        for method, path in [("GET", "nowhere"), ("POST", "nowhere/roles"), ("GET", "nowhere/credentials"),
                             ("DELETE", "nowhere"), ("GET", "nowhere/history")]:  # fmt: skip
            assert await stage.ask(caller, method, f"/systems/v2/{path}", {"role": "USER", "username": "bob"}) == 404
        assert await stage.ask(caller, "PUT", "/systems/v2/nowhere", {"action": "ERASE"}) == 404
