"""No path leads out: each hostile one through each operation that takes a path,
and nothing outside is read or written."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import quote, unquote_to_bytes

import pytest
import trio

from tests.conftest import SAID, Tenant
from tests.tenant.scene import CANARY, INSIDE, SPELLINGS, TRAPS, Answered, Scene, Wire
from tests.tenant.shop import field, record, shop_of

T = TypeVar("T")
Ask = Callable[[Wire, str], Any]  # a path as it stands in a URL; whoever puts it elsewhere decodes it

UPLOAD = b'--x\r\nContent-Disposition: form-data; name="fileToUpload"; filename="%b"\r\n\r\nuploaded\r\n--x--\r\n'
FORM = "multipart/form-data; boundary=x"
FINE = {200, 201, 202, 400, 401, 403, 404}  # what any of these operations may answer; others have more:
MORE = {
    "files.download": {501}, "files.downloadFromDefaultSystem": {501}, "jobs.downloadOutput": {501},
    "jobs.listOutputs": {500}, "jobs.downloadOutput top": {501},
}  # fmt: skip


def text(path: str) -> str:
    return unquote_to_bytes(path).decode(errors="replace")


def url(method: str, prefix: str, body: Any = None, kind: str = "application/json") -> Ask:
    """The path stands in the URL."""
    return lambda wire, path: wire(method, prefix + path, body, kind=kind)


def acting(action: str, at: str = "/files/v2/media/system/data.demo//alice/free") -> Ask:
    """The path stands in the body of an action."""
    return lambda wire, path: wire("PUT", at, {"action": action, "path": text(path)})


DEMO = "/system/data.demo/"
GRANT = {"username": "bob", "permission": "READ"}
MKDIR = {"action": "mkdir", "path": "made"}
# by operation, and where in it the path stands
READING: dict[str, Ask] = {
    "files.list": url("GET", "/files/v2/listings" + DEMO),
    "files.listOnDefaultSystem": url("GET", "/files/v2/listings/"),
    "files.download": url("GET", "/files/v2/media" + DEMO),
    "files.downloadFromDefaultSystem": url("GET", "/files/v2/media/"),
    "files.getHistory": url("GET", "/files/v2/history" + DEMO),
    "files.getHistoryOnDefaultSystem": url("GET", "/files/v2/history/"),
    "files.listPermissions": url("GET", "/files/v2/pems" + DEMO),
    "files.listPermissionsOnDefaultSystem": url("GET", "/files/v2/pems/"),
}
WRITING: dict[str, Ask] = {
    "files.importData": url("POST", "/files/v2/media" + DEMO, UPLOAD % b"new", FORM),
    "files.importToDefaultSystem": url("POST", "/files/v2/media/", UPLOAD % b"new", FORM),
    "files.importData name": lambda wire, path: wire(
        "POST", "/files/v2/media/system/data.demo//alice/h", UPLOAD % _quoted(path), kind=FORM
    ),
    "files.importData fileName": lambda wire, path: wire(
        "POST",
        "/files/v2/media/system/data.demo//alice/h",
        b'--x\r\nContent-Disposition: form-data; name="fileName"\r\n\r\n'
        + text(path).encode()
        + b"\r\n"
        + UPLOAD % b"n",
        kind=FORM,
    ),
    "files.manage": url("PUT", "/files/v2/media" + DEMO, MKDIR),
    "files.manageOnDefaultSystem": url("PUT", "/files/v2/media/", MKDIR),
    "files.manage mkdir": acting("mkdir", "/files/v2/media/system/data.demo//alice/h"),
    "files.manage rename": acting("rename", "/files/v2/media/system/data.demo//alice/h/file"),
    "files.manage copy": acting("copy", "/files/v2/media/system/data.demo//alice/h/file"),
    "files.manage copy folder": acting("copy", "/files/v2/media/system/data.demo//alice/h/real"),
    "files.manage move": acting("move", "/files/v2/media/system/data.demo//alice/h/file"),
    "files.manage from": url("PUT", "/files/v2/media" + DEMO, {"action": "copy", "path": "/alice/copy"}),
    "files.manage away": url("PUT", "/files/v2/media" + DEMO, {"action": "move", "path": "/alice/moved"}),
    "files.updatePermissions": url("POST", "/files/v2/pems" + DEMO, GRANT),
    "files.updatePermissionsOnDefaultSystem": url("POST", "/files/v2/pems/", GRANT),
    "files.deletePermissions": url("DELETE", "/files/v2/pems" + DEMO),
    "files.delete": url("DELETE", "/files/v2/media" + DEMO),
    "files.deleteFromDefaultSystem": url("DELETE", "/files/v2/media/"),
}


def _quoted(path: str) -> bytes:
    return text(path).replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A").encode()


IN_URL = {name for name in WRITING if " " not in name} | {"files.manage from", "files.manage away"}
DELETING = {"files.delete", "files.deleteFromDefaultSystem", "files.manage away"}
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
    for turn, (name, ask) in enumerate(READING.items()):
        above = ABOVE if "Default" not in name else ABOVE[1::2]
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
    for turn, (name, ask) in enumerate(WRITING.items()):
        start = ABOVE[0] if name in IN_URL else ""
        spellings = SPELLINGS[::5] if name.endswith("DefaultSystem") else SPELLINGS
        spelt = [start + each for each in spellings] + ["/" + each for each in SPELLINGS if "../.." in each]
        for path in share(spelt, one_of, turn) + [start + each for each in TRAPS]:
            if name in DELETING and not unquote_to_bytes(path).strip(b"./"):
                continue  # that is the home, or the root
            scene.set()
            free.mkdir(exist_ok=True)
            table.judge(name, path, await ask(wire, path))
    table.done()
    record_property(SAID, f"paths: {table.count} writings to hostile paths, none led out")


# paths in records ----------------------------------------------------------------------------------------------------

HOSTILE = [
    text(path) for path in [*SPELLINGS, *(f"/alice/h/{trap}" for trap in TRAPS), *(f"h/{trap}" for trap in TRAPS)]
]
STORE = {
    "name": "s", "type": "STORAGE", "site": "s",
    "storage": {"host": "h", "port": 22, "protocol": "SFTP", "auth": {"type": "PASSWORD", "username": "u",
    "password": "p"}},
}  # fmt: skip
HOST = {
    **STORE, "type": "EXECUTION", "executionType": "CLI", "scheduler": "FORK", "login": {**STORE["storage"],
    "protocol": "SSH"},
    "queues": [{"name": "normal", "default": True, "maxProcessorsPerNode": 1, "maxMemoryPerNode": "1GB",
    "maxNodes": 1}],
}  # fmt: skip


async def test_no_path_in_a_record_of_a_system_leads_out(scene: Scene, wire: Wire, record_property: Any) -> None:
    table, numbers = Table(scene), itertools.count()
    scene.set()
    for path in HOSTILE[::2]:
        store, host = f"store-{next(numbers)}", f"host-{next(numbers)}"
        for name, system in {
            "systems.add id": {**STORE, "id": path},
            "systems.add rootDir": {**STORE, "id": store, "storage": {**STORE["storage"], "rootDir": path}},
            "systems.add homeDir": {**STORE, "id": host, "storage": {**STORE["storage"], "homeDir": path}},
            "systems.add scratchDir": {**HOST, "id": f"x{host}", "scratchDir": path},
            "systems.add workDir": {**HOST, "id": f"y{host}", "workDir": path},
        }.items():
            answer = await wire("POST", "/systems/v2/", system)
            table.judge(name, path, answer)
            if answer.status < 300:
                for where in ("/", "", "/../.."):
                    target = f"/files/v2/listings/system/{quote(system['id'], safe='')}/{where}"
                    table.judge("files.list", path, await wire("GET", target))
    assert {each.name for each in (scene.tenant.root / "systems").iterdir()} >= {"data.demo", "run.demo"}
    table.done()
    record_property(SAID, f"paths: {table.count} of records of systems, none led out")


async def test_no_path_in_an_app_an_actor_or_an_import_leads_out(
    scene: Scene, wire: Wire, record_property: Any
) -> None:
    table, numbers = Table(scene), itertools.count()
    scene.set()
    got = scene.tenant.path("data.demo", "/alice/got")
    got.mkdir()
    for path in HOSTILE:
        number = next(numbers)
        for name, app in {
            "apps.add deploymentPath": record(f"a{number}", deploymentPath=path),
            "apps.add templatePath": record(f"b{number}", deploymentPath="/alice/h", templatePath=path),
            "apps.add testPath": record(f"c{number}", deploymentPath="/alice/h", templatePath="file", testPath=path),
            "apps.add name": record(path, deploymentPath="/alice/h", templatePath="file", testPath="file"),
        }.items():
            table.judge(name, path, await wire("POST", "/apps/v2/", app))
        table.judge("actors.add", path, await wire("POST", "/actors/v2", {"image": path}))
        for name, url in {
            "agave": f"agave://data.demo/{path}",
            "agave home": f"agave://data.demo//alice/h/{path}",
        }.items():
            answer = await wire("POST", "/files/v2/media/system/data.demo//alice/got", {"urlToIngest": url})
            table.judge(f"files.importData {name}", path, answer)
    with trio.fail_after(60):
        while scene.tenant.state.awake:
            await trio.sleep(0.02)
    assert {each.name for each in got.iterdir()}.isdisjoint({"pipe", "device", "socket", "folder-out", "file-out"})
    assert [each.name for each in got.iterdir() if CANARY in each.read_bytes() and each.name != "hard"] == []
    table.done()
    record_property(SAID, f"paths: {table.count} of apps, actors and imports, none led out")


@SHARES
async def test_no_path_of_a_job_leads_out(scene: Scene, wire: Wire, one_of: int, record_property: Any) -> None:
    table = Table(scene)
    scene.set()
    async with shop_of(scene.tenant) as shop:
        app = await shop.app("cat text > out || true\n", inputs=[field("text")])
        jobs = []
        for path in share([path for path in HOSTILE if ".." in path or "h/" in path], one_of, 0):
            for name, more in {
                "jobs.submit input": {"inputs": {"text": path}},
                "jobs.submit agave": {"inputs": {"text": f"agave://data.demo/{path}"}},
                "jobs.submit archivePath": {"archive": True, "archivePath": path, "inputs": {"text": "/alice/nothing"}},
            }.items():
                answer = await wire("POST", "/jobs/v2/", {"name": path[:60] or "x", "appId": app, **more})
                table.judge(name, path, answer)
                if answer.status < 300:
                    jobs.append(json.loads(answer.body)["result"]["id"])
        for job in [await shop.ended(each) for each in jobs]:
            read = await wire("GET", f"/jobs/v2/{job['id']}/outputs/media/out")
            table.judge("jobs.downloadOutput", "hard" if "hard" in job["name"] else job["name"], read)
        job = await shop.ran(app, inputs={"text": "/alice/h/file"})
        scene.lay(scene.tenant.path("run.demo", job["outputPath"]) / "h")
        for path in [*SPELLINGS, *(f"h/{each}" for each in [*SPELLINGS, *TRAPS])]:
            for what in ("listings", "media"):
                name = {"listings": "jobs.listOutputs", "media": "jobs.downloadOutput"}[what]
                table.judge(name, path, await wire("GET", f"/jobs/v2/{job['id']}/outputs/{what}/{path}"))
    table.done()
    record_property(SAID, f"paths: {table.count} of jobs, {len(jobs)} of which ran, none led out")


async def test_the_table_tells_what_lies_inside(scene: Scene, wire: Wire) -> None:
    scene.set()
    media = "/files/v2/media/system/data.demo//alice/h"
    assert (await wire("GET", f"{media}/in/x")).body == INSIDE
    assert (await wire("GET", f"{media}/../h/itself/itself/real/./x")).body == INSIDE
    assert scene.told(Answered(200, CANARY)) == ["canary"]
    names = {
        each["name"] for each in json.loads((await wire("GET", media.replace("media", "listings"))).body)["result"]
    }
    assert {"folder-out", "dangling", "pipe", "loop", "real"} <= names  # shown as they are, not followed
