"""Walks tables of who may do what: a row is an operation, a column a kind of caller, a cell what they are answered.

A cell is a status, or `+` and `-` for a list that is answered with 200 and names the subject, or does not. Every row is
walked by those without a good token too. What is refused must have changed nothing: no record was written, no file is
another; `!` behind a status excepts what is refused for want of sense and leaves a trace. A subject (a system, an app,
a job, …) serves many cells, until a cell changes it.
"""

from __future__ import annotations

import base64
import contextlib
import os
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import trio

from agavesh.api import catalogue
from agavesh.tenant.jobs import index
from tests.conftest import Tenant

USERS = {"owner": "alice", "stranger": "bob", "administrator": "admin"}  # others are called as the kind of caller is
GRANTEE = "carol"  # whom grants are given, shown and taken away

# those without a good token, and what the answer tells each of them
NOT_SIGNED_IN = {"expired": "900903", "revoked": "900904", "unknown": "900901", "nobody": "900902"}

Subject = dict[str, str]  # by the names in a path or a body
Make = Callable[[str], Awaitable[Subject]]
Row = tuple[str, str, dict[str, Any], str]  # operation or route, state of the subject, arguments, cells


@dataclass(frozen=True)
class Table:
    """Who calls, and rows of as many cells."""

    callers: str
    rows: tuple[Row, ...]
    not_signed_in: Mapping[str, str] = field(default_factory=lambda: NOT_SIGNED_IN)

    @property
    def keys(self) -> set[str]:
        return {key for key, *_ in self.rows}


def address(key: str) -> tuple[str, str]:
    """Method and path of an operation's key, or of a route that is written so."""
    if " " in key:
        method, _, path = key.partition(" ")
        return method, path
    operation = catalogue.find(key)
    return operation.method, operation.path


def filled(value: Any, subject: Mapping[str, str]) -> Any:
    """A body or an argument with the subject's names in it."""
    if isinstance(value, str):
        return value.format_map(subject)
    if isinstance(value, Mapping):
        return {name: filled(each, subject) for name, each in value.items()}
    return [filled(each, subject) for each in value] if isinstance(value, list) else value


class Stage:
    """A tenant with a user for each kind of caller, and what each comes with. `cells` counts what was looked at."""

    def __init__(self, tenant: Tenant, http: httpx.AsyncClient, callers: Iterable[str]) -> None:
        self.tenant, self.state, self.http, self.cells = tenant, tenant.state, http, 0
        self._numbers = iter(range(10**6))
        self._records = sqlite3.connect(tenant.root / "tenant.db")
        self._before: Any = None
        for name in (*callers, GRANTEE):
            if name not in USERS:
                self.state.auth.add_user(name, "unknown")
                self.state.store.put("profile", name, {"username": name, "email": f"{name}@b.org"}, owner=name)
        expired, revoked = tenant.token(), tenant.token()
        self.state.auth.expire_all()
        revoked = tenant.token()
        self.state.auth.revoke(revoked, tenant.client[0])
        self.tokens = {name: tenant.token(name) for name in callers if name not in USERS}
        self.tokens |= {name: tenant.token(user) for name, user in USERS.items()}
        self.tokens |= {"expired": expired, "revoked": revoked, "unknown": "0" * 32, "nobody": ""}
        self.basics: dict[str, dict[str, str]] = {}  # where it is a password that is wanted

    def close(self) -> None:
        self._records.close()

    def number(self) -> int:
        """One that no other subject has."""
        return next(self._numbers)

    def headers(self, caller: str) -> dict[str, str]:
        if caller in self.basics:
            return self.basics[caller]
        token = self.tokens.get(caller)  # who comes with a nonce has none
        return {"Authorization": f"Bearer {token}"} if token else {}

    async def ask(
        self, caller: str, key: str, subject: Mapping[str, str], arguments: Mapping[str, Any]
    ) -> httpx.Response:
        """One call. `arguments` are names of the path, `query`, and `body`, `binary`, or `upload` (a file's name)."""
        whole = {"caller": USERS.get(caller, caller), "grantee": GRANTEE, **subject}
        given = filled(arguments, whole)
        method, path = address(key)
        url = path.format_map({**whole, **given})
        more: dict[str, Any] = {}
        headers = self.headers(caller)
        if "binary" in given:
            more["content"] = given["binary"].encode()
            headers["Content-Type"] = "application/octet-stream"
        elif "upload" in given:
            more["files"] = {"fileToUpload": (given["upload"], b"new bytes")}
        elif "body" in given:
            more["json"] = given["body"]
        query = {**given.get("query", {}), **({"x-nonce": subject[caller]} if caller.startswith("nonce_") else {})}
        return await self.http.request(method, url, params=query, headers=headers, **more)

    async def done(self, caller: str, key: str, subject: Mapping[str, str] | None = None, **arguments: Any) -> Any:
        """The result of a call that must be granted."""
        answer = await self.ask(caller, key, subject or {}, arguments)
        assert answer.is_success, (key, answer.text)
        return answer.json().get("result")

    # what there is ---------------------------------------------------------------------------------------------------

    def seen(self) -> Any:
        """A number that any write to the records changes, and every file with what tells it from another."""
        (version,) = self._records.execute("pragma data_version").fetchone()
        found = set()
        for folder, names, others in os.walk(self.tenant.root):
            for name in (*names, *others):
                if not name.startswith("tenant.db"):
                    path = os.path.join(folder, name)  # noqa: PTH118  (thousands of times: Path is slow)
                    with contextlib.suppress(FileNotFoundError):
                        each = os.lstat(path)
                        folder_or_file = () if name in names else (each.st_size, each.st_mtime_ns)
                        found.add((path, each.st_ino, each.st_mode, *folder_or_file))
        return version, found

    async def still(self) -> None:
        """Wait until nothing goes on that a call before this has begun."""
        state = self.state

        def busy() -> bool:
            actors = [*state.store.all("actor")]
            workers = [worker for actor in actors for worker in state.actors.workers(actor["id"])]
            return bool(
                state.awake  # jobs, arrivals, executions, deliveries
                or index.unfinished(state.store)
                or any(state.trash.iterdir())
                or any(actor["status"] in ("SUBMITTED", "SHUTTING_DOWN") for actor in actors)
                or any(worker.status != "READY" for worker in workers)
            )

        with trio.fail_after(60):
            while busy():
                await trio.sleep(0.01)
        self._before = None

    # walking ---------------------------------------------------------------------------------------------------------

    async def walk(self, table: Table, make: Make) -> list[str]:
        """All rows by all callers; what was not as the table says."""
        kept: dict[str, Subject] = {}
        wrong: list[str] = []
        for key, state, arguments, cells in table.rows:
            for caller, expected in zip(table.callers.split(), cells.split(), strict=True):
                reads, refused = address(key)[0] == "GET", expected >= "4" and expected.isdigit()
                if state not in kept or not (reads or refused):
                    kept[state] = await make(state)
                    await self.still()
                trouble = await self.cell(caller, key, kept[state], arguments, expected)
                wrong += [f"{key} {state} as {caller}: {each}" for each in trouble]
                if not reads and (trouble or not refused):
                    del kept[state]
                    await self.still()
            if state not in kept:
                kept[state] = await make(state)
                await self.still()
            wrong += await self.turned_away(table, key, kept[state], arguments)
        return wrong

    async def turned_away(self, table: Table, key: str, subject: Subject, arguments: Mapping[str, Any]) -> list[str]:
        """One row as all those who are not signed in; what is wrong with it."""
        wrong, before = [], self._before or self.seen()
        for caller, told in table.not_signed_in.items():
            self.cells += 1
            answer = await self.ask(caller, key, subject, arguments)
            if answer.status_code != 401 or told not in answer.text:
                wrong.append(f"{key} as {caller}: {answer.status_code}, {answer.text[:200]}")
        self._before = self.seen()
        return wrong if self._before == before else [*wrong, f"{key}: who is not signed in changed something"]

    async def cell(
        self, caller: str, key: str, subject: Subject, arguments: Mapping[str, Any], expected: str
    ) -> list[str]:
        """One cell; what is wrong with it."""
        self.cells += 1
        before = self._before or self.seen()
        answer = await self.ask(caller, key, subject, arguments)
        wrong = []
        if answer.status_code != int(expected.rstrip("!") if expected[0] not in "+-" else 200):
            wrong.append(f"{answer.status_code}, not {expected}: {answer.text[:200]}")
        elif expected in "+-" and (f'"{subject["named"]}"' in answer.text) != (expected == "+"):
            wrong.append(f"{expected} is not so: {answer.text[:200]}")
        self._before = None
        if answer.is_error:
            self._before = self.seen()
            if self._before != before and not expected.endswith("!"):
                wrong.append(f"it was refused and yet changed something: {self._before[1] ^ before[1] or 'records'}")
        return wrong

    async def alike(
        self, caller: str, key: str, arguments: Mapping[str, Any], there: Subject, nowhere: Subject
    ) -> list[str]:
        """Whether a caller is told the same of what is hidden from them and of what is not there at all."""
        self.cells += 1
        told = []
        for subject in (there, nowhere):
            answer = await self.ask(caller, key, subject, arguments)
            text = answer.text
            for name in sorted(set(subject.values()), key=len, reverse=True):
                text = text.replace(name, "<it>") if len(name) > 1 else text
            told.append((answer.status_code, text))
        if told[0] == told[1] and told[0][0] >= 400:
            return []
        return [f"{key} as {caller} tells what is there from what is not: {told[0]}, {told[1]}"]


def basic(username: str, password: str) -> dict[str, str]:
    """The header of those who come with a password."""
    return {"Authorization": "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()}
