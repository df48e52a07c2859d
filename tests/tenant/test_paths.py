"""No path leads out: each hostile one through each operation that takes a path,
and nothing outside is read or written."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeVar
from urllib.parse import quote, unquote_to_bytes

import pytest
import trio

from agavesh.api import catalogue
from agavesh.tenant import handlers
from agavesh.tenant.app import routes_in
from agavesh.tenant.routes import REST
from tests.conftest import SAID, Tenant
from tests.tenant import path_tables as tables
from tests.tenant.path_tables import operation_of, text
from tests.tenant.scene import CANARY, INSIDE, SPELLINGS, TRAPS, Answered, Scene, Wire
from tests.tenant.shop import field, shop_of

T = TypeVar("T")

FINE = {200, 201, 202, 400, 401, 403, 404}  # what any of these operations may answer; others have more:
MORE = {
    "files.download": {501}, "files.downloadFromDefaultSystem": {501}, "jobs.downloadOutput": {501},
    "jobs.listOutputs": {500}, "jobs.downloadOutput: top": {501}, tables.PUBLIC: {501}, "postits.create": {501},
}  # fmt: skip
FOR_ALL = {"username": "public", "permission": "READ", "recursive": True}
ABOVE = ["//alice/h/", "alice/h/", "/", ""]  # what stands before a hostile name in a URL


@pytest.fixture
def scene(tenant: Tenant) -> Scene:
    return Scene(tenant)


@pytest.fixture
async def wire(tenant: Tenant) -> AsyncIterator[Wire]:
    wire = Wire(tenant)
    yield wire
    await wire.close()


class Table:
    """What was asked, and what was wrong with the answers."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.count = scene, 0
        self.wrong: list[object] = []

    def judge(self, name: str, path: str, answer: Answered, fine: set[int] | None = None) -> None:
        self.count += 1
        fine = fine or FINE | MORE.get(name, set())
        if answer.status not in fine or self.scene.told(answer, hard=path.endswith("hard")):
            told = self.scene.told(answer)
            self.wrong.append((name, path[:60], answer.status, told, answer.body[:120]))
        if (now := self.scene.seen()) != self.scene.was:
            self.wrong.append(
                (
                    name,
                    path[:60],
                    "changed what is outside",
                    [a for a, b in zip(now, self.scene.was, strict=False) if a != b],
                )
            )
            self.scene.was = now

    def done(self) -> None:
        assert not self.wrong, f"{len(self.wrong)} of {self.count}:\n" + "\n".join(map(str, self.wrong[:40]))


def test_every_operation_and_every_route_that_takes_a_path_is_in_a_table() -> None:
    operations = [*catalogue.operations()]
    routes = [route for module in handlers.modules() for route in routes_in(module) if not route.owner]
    urls = {operation.key: operation.path for operation in operations}
    urls |= {f"{route.method} {route.path}": route.path for route in routes}
    paths = REST - {"pairs"}  # of attributes and values
    in_url = {name for name, path in urls.items() if any(f"{{{each}}}" in path for each in paths)}
    bodies = {
        operation.key
        for operation in operations
        if {"body", "form", "file"} & {param.place for param in operation.params.values()}
    } | {f"{route.method} {route.path}" for route in routes if route.method in ("POST", "PUT")}
    assert bodies >= tables.PATHLESS
    assert {operation_of(name) for table in tables.TABLES for name in table} == in_url | bodies - tables.PATHLESS


# every spelling with every operation takes minutes: of three, each operation takes another one, and all traps
SHARES = pytest.mark.parametrize("one_of", [3, pytest.param(1, marks=pytest.mark.soak)])


def share(paths: Sequence[T], one_of: int, turn: int) -> list[T]:
    return [path for number, path in enumerate(paths) if (number + turn) % one_of == 0]


@SHARES
async def test_no_path_of_a_reading_operation_leads_out(
    scene: Scene, wire: Wire, one_of: int, record_property: Any
) -> None:
    table = Table(scene)
    scene.set()
    granted = await wire(
        "POST",
        "/files/v2/pems/system/data.demo//alice",
        {"username": "public", "permission": "READ", "recursive": True},
    )
    assert granted.status == 201
    for turn, (name, ask) in enumerate(tables.READING.items()):
        above = ABOVE[1::2] if tables.on_default(name) else ABOVE
        spelt = [start + path for start in above for path in SPELLINGS]
        for path in share(spelt, one_of, turn) + [ABOVE[0] + path for path in TRAPS]:
            table.judge(name, path, await ask(wire, path))
    table.done()
    record_property(SAID, f"paths: {table.count} readings of hostile paths, none led out")


@SHARES
async def test_no_path_of_a_writing_operation_leads_out(
    scene: Scene, wire: Wire, one_of: int, record_property: Any
) -> None:
    table = Table(scene)
    free = scene.tenant.path("data.demo", "/alice/free")
    for turn, (name, ask) in enumerate(tables.WRITING.items()):
        start = ABOVE[0] if name in tables.IN_URL else ""
        spellings = SPELLINGS[::5] if tables.on_default(name) else SPELLINGS
        spelt = [start + each for each in spellings] + ["/" + each for each in SPELLINGS if "../.." in each]
        for path in share(spelt, one_of, turn) + [start + each for each in TRAPS]:
            if name in tables.DELETING and not unquote_to_bytes(path).strip(b"./"):
                continue  # that is the home, or the root
            scene.set()
            free.mkdir(exist_ok=True)
            table.judge(name, path, await ask(wire, path))
    table.done()
    record_property(SAID, f"paths: {table.count} writings to hostile paths, none led out")


# paths in records ----------------------------------------------------------------------------------------------------

HOSTILE = [*SPELLINGS, *(f"/alice/h/{trap}" for trap in TRAPS), *(f"h/{trap}" for trap in TRAPS)]


@SHARES
async def test_no_path_in_a_record_of_a_system_leads_out(
    scene: Scene, wire: Wire, one_of: int, record_property: Any
) -> None:
    table = Table(scene)
    scene.set()
    for make in tables.SYSTEM_FIELDS.values():
        await wire("POST", "/systems/v2/", make(tables.OWN, "/"))
    for turn, (name, ask) in enumerate(tables.SYSTEMS.items()):
        for path in share(HOSTILE, one_of, turn):
            answer = await ask(wire, path)
            table.judge(name, path, answer)
            if answer.status < 300:
                known = json.loads(answer.body)["result"]["id"]
                for where in ("/", "", "/../.."):
                    target = f"/files/v2/listings/system/{quote(known, safe='')}/{where}"
                    table.judge("files.list", path, await wire("GET", target))
    assert {each.name for each in (scene.tenant.root / "systems").iterdir()} >= {"data.demo", "run.demo", tables.OWN}
    table.done()
    record_property(SAID, f"paths: {table.count} of records of systems, none led out")


@SHARES
async def test_no_path_in_an_app_an_actor_a_postit_or_an_import_leads_out(
    scene: Scene, wire: Wire, one_of: int, record_property: Any
) -> None:
    table = Table(scene)
    scene.set()
    got = scene.tenant.path("data.demo", "/alice/got")
    got.mkdir()
    async with shop_of(scene.tenant) as shop:
        await shop.app("true\n", name=tables.OWN)
    image = scene.tenant.root / "images" / tables.OWN
    image.parent.mkdir(exist_ok=True)
    image.touch(mode=0o700)
    actor = await wire("POST", "/actors/v2", {"image": image.name})
    alias = {"alias": tables.OWN, "actorId": json.loads(actor.body)["result"]["id"]}
    assert (await wire("POST", "/actors/v2/aliases", alias)).status == 200
    for turn, (name, ask) in enumerate((tables.APPS | tables.IMPORTS).items()):
        for path in HOSTILE if name in tables.IMPORTS else share(HOSTILE, one_of, turn):
            scene.set()
            table.judge(name, path, await ask(wire, path))
    with trio.fail_after(60):
        while scene.tenant.state.awake:
            await trio.sleep(0.02)
    assert {each.name for each in got.iterdir()}.isdisjoint({"pipe", "device", "socket", "folder-out", "file-out"})
    assert [each.name for each in got.iterdir() if CANARY in each.read_bytes() and each.name != "hard"] == []
    boss = Wire(scene.tenant, "admin")
    for turn, (name, ask) in enumerate(tables.BY_ADMINISTRATORS.items()):
        for path in share(HOSTILE, one_of, turn):
            scene.set()
            table.judge(name, path, await ask(boss, path))
    await boss.close()
    table.done()
    record_property(SAID, f"paths: {table.count} of apps, actors, postits and imports, none led out")


@SHARES
async def test_no_path_of_a_job_leads_out(scene: Scene, wire: Wire, one_of: int, record_property: Any) -> None:
    table = Table(scene)
    scene.set()
    async with shop_of(scene.tenant) as shop:
        app = await shop.app("cat text > out || true\n", inputs=[field("text")])
        jobs = []
        paths = [text(path) for path in HOSTILE]
        for path in share([path for path in paths if ".." in path or "h/" in path], one_of, 0):
            for name, more in tables.JOBS.items():
                answer = await wire("POST", "/jobs/v2/", {"name": path[:60] or "x", "appId": app, **more(path)})
                table.judge(name, path, answer)
                if answer.status < 300:
                    jobs.append(json.loads(answer.body)["result"]["id"])
        for job in [await shop.ended(each) for each in jobs]:
            read = await wire("GET", f"/jobs/v2/{job['id']}/outputs/media/out")
            table.judge("jobs.downloadOutput", "hard" if "hard" in job["name"] else job["name"], read)
        job = await shop.ran(app, inputs={"text": "/alice/h/file"})
        scene.lay(scene.tenant.path("run.demo", job["outputPath"]) / "h")
        for path in [*SPELLINGS, *(f"h/{each}" for each in [*SPELLINGS, *TRAPS])]:
            for name, what in tables.OUTPUTS.items():
                table.judge(name, path, await wire("GET", f"/jobs/v2/{job['id']}/outputs/{what}/{path}"))
    table.done()
    record_property(SAID, f"paths: {table.count} of jobs, {len(jobs)} of which ran, none led out")


async def test_the_table_tells_what_lies_inside(scene: Scene, wire: Wire) -> None:
    scene.set()
    media = "/files/v2/media/system/data.demo//alice/h"
    assert (await wire("GET", f"{media}/in/x")).body == INSIDE
    assert (await wire("GET", "/files/v2/download/alice/system/data.demo//alice/h/in/x")).status == 403
    assert (await wire("POST", "/files/v2/pems/system/data.demo//alice", FOR_ALL)).status == 201
    assert (await wire("GET", "/files/v2/download/alice/system/data.demo//alice/h/in/x")).body == INSIDE
    assert (await wire("GET", f"{media}/../h/itself/itself/real/./x")).body == INSIDE
    assert scene.told(Answered(200, CANARY)) == ["canary"]
    names = {
        each["name"] for each in json.loads((await wire("GET", media.replace("media", "listings"))).body)["result"]
    }
    assert {"folder-out", "dangling", "pipe", "loop", "real"} <= names  # shown as they are, not followed
