"""Lists and searches of many jobs: what they find, who sees it, and how long it takes."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trio

from agavesh.tenant.jobs import index
from agavesh.tenant.store import Store
from agavesh.tenant.words import date, new_uuid
from tests.conftest import SAID
from tests.tenant.test_full_disk import full, refused_once

BEGIN = 1_700_000_000


def jobs(number: int) -> Iterator[dict[str, Any]]:
    """Records as a life of jobs leaves them: every tenth is bob's, some failed."""
    chance = random.Random(number)
    for n in range(number):
        at, id = date(BEGIN + n), new_uuid("007")
        status = chance.choice(["FINISHED", "FINISHED", "FINISHED", "FAILED", "STOPPED"])
        yield {
            "id": id, "name": f"Run {n} of series {n % 100}", "owner": "alice" if n % 10 else "bob",
            "appId": ("wordcount-1.0", "other-2.0", "third-3.0")[n % 3], "executionSystem": "run.demo",
            "batchQueue": "debug", "nodeCount": 1 + n % 4, "processorsPerNode": 1, "memoryPerNode": 0.5,
            "maxRunTime": "01:00:00", "archive": n % 2 == 0, "inputs": {"text": [f"agave://data.demo//in{n}.txt"]},
            "parameters": {"n": n}, "notifications": [], "retries": 0, "localId": str(n), "created": at,
            "submitTime": at, "startTime": at, "endTime": date(BEGIN + n + 60), "lastUpdated": at, "status": status,
            "outputPath": f"/scratch/alice/job-{id}", "message": "exit code 1" if status == "FAILED" else None,
            "archivePath": f"alice/{id}", "archiveSystem": "data.demo", "_archive": f"/alice/{id}",
            "_visible": n % 50 != 7, "_app": {"id": "x", "executionType": "CLI"}, "_request": {}, "_token": "t",
        }  # fmt: skip


def fill(store: Store, number: int) -> list[dict[str, Any]]:
    made = list(jobs(number))
    with store.together():
        for job in made:
            index.keep(store, job)
    return made


@contextmanager
def counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The ids of the jobs whose records are asked for."""
    asked: list[str] = []
    get = store.get

    def counting(kind: str, id: str) -> Any:
        asked.extend([id] if kind == "job" else [])
        return get(kind, id)

    monkeypatch.setattr(store, "get", counting)
    yield asked
    monkeypatch.setattr(store, "get", get)


async def test_a_search_finds_what_the_records_say(tenant) -> None:
    made = fill(tenant.state.store, 400)
    mine = [job for job in reversed(made) if job["owner"] == "alice" and job["_visible"]]
    ended = [job for job in reversed(made) if job["owner"] == "alice" and not job["_visible"]]
    everybody = [job for job in reversed(made) if job["_visible"]]
    cases: list[tuple[dict[str, str], Any]] = [
        ({}, mine),
        ({"offset": "200", "limit": "20"}, mine[200:220]),
        ({"status": "failed"}, [job for job in mine if job["status"] == "FAILED"]),
        ({"status.in": "FAILED,STOPPED"}, [job for job in mine if job["status"] in ("FAILED", "STOPPED")]),
        ({"name.like": "run *9 of*"}, [job for job in mine if job["name"].split()[1].endswith("9")]),
        ({"name.rlike": "series [12]$"}, [job for job in mine if job["name"].endswith(("series 1", "series 2"))]),
        ({"name.rlike": "^run 3", "nodeCount": "2"},
         [job for job in mine if job["name"].startswith("Run 3") and job["nodeCount"] == 2]),
        ({"created.after": str(BEGIN + 350)}, [job for job in mine if job["created"] > date(BEGIN + 350)]),
        ({"submitTime.between": f"{BEGIN + 5},{BEGIN + 9}"}, [job for job in mine if 5 <= int(job["localId"]) < 10]),
        ({"inputs.like": "*in33.txt*"}, [job for job in mine if job["localId"] == "33"]),
        ({"parameters.like": '*"n":44}'}, [job for job in mine if job["localId"] == "44"]),
        ({"archive": "true", "appId.neq": "other-2.0"},
         [job for job in mine if job["archive"] and job["appId"] != "other-2.0"]),
        ({"errorMessage.like": "*exit*"}, [job for job in mine if job["message"]]),
        ({"runtime": "60"}, mine), ({"runtime.gt": "60"}, []), ({"walltime.lte": "60", "maxRunTime": "3600"}, mine),
        ({"memoryPerNode.lt": "1", "retries": "0"}, mine), ({"charge.gt": "0"}, []), ({"charge.nin": "1,2"}, mine),
        ({"visible": "false"}, ended), ({"visible.neq": "true", "limit": "3"}, ended[:3]),
        ({"orderBy": "name", "order": "asc"}, sorted(mine, key=lambda job: (job["name"].lower(), int(job["localId"])))),
        ({"orderBy": "nodeCount", "limit": "5"}, [job for job in mine if job["nodeCount"] == 4][:5]),
        ({"order": "ASC", "limit": "3"}, mine[::-1][:3]),
        ({"owner": "bob"}, []), ({"nothing": "at all"}, mine),
    ]  # fmt: skip
    async with tenant.http() as http, tenant.http("admin") as admin:
        for query, wanted in cases:
            answer = await http.get("/jobs/v2/", params={"limit": "100", **query})
            assert answer.status_code == 200, (query, answer.text)
            ids = [job["id"] for job in answer.json()["result"]]
            assert ids == [job["id"] for job in wanted][: int(query.get("limit", "100"))], query
        everything = await admin.get("/jobs/v2/", params={"owner": "bob", "limit": "250"})
        assert [job["id"] for job in everything.json()["result"]] == [
            job["id"] for job in everybody if job["owner"] == "bob"
        ]
        for query in ({"created": "soon"}, {"nodeCount.in": "1,x"}, {"name.rlike": "("}, {"orderBy": "colour"},
                      {"order": "up"}, {"archive.gt": "1"}, {"id.in": ",".join("x" * 2000)}):  # fmt: skip
            assert (await http.get("/jobs/v2/", params=query)).status_code == 500, query


async def test_jobs_that_were_shared_stand_among_the_callers_own(tenant) -> None:
    made = fill(tenant.state.store, 60)
    store = tenant.state.store
    shared = [job["id"] for job in made if job["owner"] == "alice"][::7]
    store.grant(shared[0], "bob", 4)  # to run it is not to see it
    for n, id in enumerate(shared[1:]):
        store.grant(id, ("bob", "world", "public")[n % 3], 1)
    wanted = [job["id"] for job in reversed(made)
              if job["_visible"] and (job["owner"] == "bob" or job["id"] in shared[1:])]  # fmt: skip
    async with tenant.http("bob") as bob:
        assert [job["id"] for job in (await bob.get("/jobs/v2/")).json()["result"]] == wanted
        some = await bob.get("/jobs/v2/", params={"owner": "alice", "limit": "2"})
        assert [job["id"] for job in some.json()["result"]] == [id for id in wanted if id in shared][:2]


async def test_a_page_reads_its_own_records_and_no_others(tenant, monkeypatch) -> None:
    fill(tenant.state.store, 600)
    async with tenant.http() as http:
        for query in ({"offset": "400"}, {"name.like": "*series 5*"}, {"name.rlike": "s 5"}, {"orderBy": "endTime"}):
            with counted(tenant.state.store, monkeypatch) as asked:
                shown = (await http.get("/jobs/v2/", params={"limit": "5", **query})).json()["result"]
            assert len(shown) == len(asked) == 5


async def test_records_of_a_program_without_an_index_are_found_too(tenant_root) -> None:
    from agavesh.tenant import server
    from tests.conftest import Tenant

    async with server.running(tenant_root) as state:
        made = fill(state.store, 20)
        state.store.sql("delete from jobs")
    async with server.running(tenant_root) as state, Tenant(state).http() as http:
        with trio.fail_after(10):
            while not (shown := (await http.get("/jobs/v2/")).json()["result"]):
                await trio.sleep(0.01)
        wanted = [job["id"] for job in reversed(made) if job["owner"] == "alice" and job["_visible"]]
        assert [job["id"] for job in shown] == wanted


async def test_a_full_disk_at_the_start_ends_nothing(tenant, monkeypatch, caplog) -> None:
    monkeypatch.setattr("agavesh.tenant.store.PAUSE", 0.05)
    store = tenant.state.store
    made = fill(store, 200)
    store.sql("delete from jobs")
    async with trio.open_nursery() as nursery:
        with full(store):
            nursery.start_soon(tenant.state.jobs.resume)
            await refused_once(caplog)
            assert store.sql("select count(*) from jobs") == [(0,)]
    assert store.sql("select count(*) from jobs") == [(len(made),)]


@pytest.mark.soak
async def test_a_hundred_thousand_jobs_are_listed_and_searched_in_no_time(tenant, record_property) -> None:
    fill(tenant.state.store, 100_000)
    cases = (
        {}, {"offset": "80000", "limit": "250"}, {"status": "RUNNING"}, {"status.in": "FAILED,STOPPED", "limit": "10"},
        {"name.like": "*99 of*"}, {"name.rlike": "^run 99[0-9]"}, {"created.after": str(BEGIN + 99_950)},
        {"inputs.like": "*in777.txt*"}, {"orderBy": "name"}, {"runtime.gt": "1", "orderBy": "runtime"},
    )  # fmt: skip
    figures = []
    async with tenant.http() as http:
        for query in cases:
            took = []
            for _ in range(3):
                began = time.perf_counter()
                assert (await http.get("/jobs/v2/", params=query)).status_code == 200
                took.append(time.perf_counter() - began)
            figures.append(f"{query or 'newest'} {min(took) * 1000:.0f} ms")
    record_property(SAID, f"100,000 jobs: {', '.join(figures)}")
