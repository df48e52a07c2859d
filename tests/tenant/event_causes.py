"""For `test_events`: every act that the platform has an event for, done over HTTP as a program does it.

A cause is a function of a scene and a watch. It makes what it needs, tells the watch which thing is to be listened to,
and acts; it leaves in the watch where the history of the thing is read, where the platform has one.
"""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import trio

from tests.conftest import Tenant
from tests.tenant.hook import PATIENCE, Hook
from tests.tenant.shop import Shop, record
from tests.tenant.shop import field as app_field

MEDIA, PEMS = "/files/v2/media/system/data.demo", "/files/v2/pems/system/data.demo"
AUTH = {"type": "PASSWORD", "username": "x", "password": "y"}
WHO = {"username": "bob", "permission": "READ"}
_numbers = itertools.count(1)


@dataclass
class Scene:
    """A tenant and two who act in it: alice, and an administrator."""

    tenant: Tenant
    hook: Hook
    alice: httpx.AsyncClient
    admin: httpx.AsyncClient

    @property
    def shop(self) -> Shop:
        return Shop(self.tenant, self.alice)

    async def do(self, call: str, body: Any = None, *, admin: bool = False) -> Any:
        """What a call such as `PUT /apps/v2/x` answers."""
        method, _, path = call.partition(" ")
        answer = await (self.admin if admin else self.alice).request(method, path, json=body)
        assert answer.status_code < 300, f"{call}: {answer.text}"
        return answer.json().get("result") if answer.content else None

    async def upload(self, path: str) -> str:
        """Put a file; its uuid."""
        folder, _, name = path.rpartition("/")
        answer = await self.alice.post(f"{MEDIA}/{folder}", files={"fileToUpload": (name, b"text")})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["result"]["uuid"])

    async def system(self, kind: str = "STORAGE") -> tuple[str, str]:
        """A new private system of alice's: its path and its uuid."""
        return (made := await self.do("POST /systems/v2/", a_system(kind)))["_links"]["self"]["href"].removeprefix(
            self.tenant.url
        ), made["uuid"]

    async def app(self) -> tuple[str, str]:
        """A new app of alice's: its path and its uuid."""
        name = await self.shop.app("true", name=fresh("app"))
        return f"/apps/v2/{name}", (await self.do(f"GET /apps/v2/{name}"))["uuid"]

    async def subscription(self, uuid: str, event: str, **more: Any) -> str:
        body = {"associatedUuid": uuid, "event": event, "url": f"{self.hook.url}/?target", "persistent": True, **more}
        return str((await self.do("POST /notifications/v2/", body))["id"])


@dataclass
class Watch:
    """What is expected of a cause: that these events are told, each to a subscription to it alone."""

    scene: Scene
    events: tuple[str, ...]
    number: int = field(default_factory=lambda: next(_numbers))
    about: str = ""  # the uuid of the thing that they are to be told of
    history: str = ""  # where its history is read; "" where the platform has none, or it is gone with the thing

    def wanted(self) -> list[dict[str, Any]]:
        """A subscription to each event, for a request that makes the thing itself."""
        return [
            {"event": event, "persistent": True,
             "url": f"{self.scene.hook.url}/?w={self.number}&to={event}&e=${{EVENT}}&u=${{UUID}}"}
            for event in self.events
        ]  # fmt: skip

    async def on(self, uuid: str, history: str = "") -> None:
        """Subscribe alice to a thing."""
        self.about, self.history = uuid, history
        for body in self.wanted():
            await self.scene.do("POST /notifications/v2/", {**body, "associatedUuid": uuid})

    async def on_everything(self) -> None:
        """Subscribe an administrator to all things: of one that is not there yet."""
        for body in self.wanted():
            await self.scene.do("POST /notifications/v2/", {**body, "associatedUuid": "*"}, admin=True)

    async def on_file(self, path: str | None = None) -> str:
        """Make a file and listen to it; its path."""
        path = path or f"/alice/{fresh('file')}"
        await self.on(await self.scene.upload(path), f"/files/v2/history/system/data.demo/{path}")
        return path

    async def on_system(self, kind: str = "STORAGE") -> str:
        path, uuid = await self.scene.system(kind)
        await self.on(uuid, f"{path}/history")
        return path

    async def on_app(self) -> str:
        path, uuid = await self.scene.app()
        await self.on(uuid, f"{path}/history")
        return path


Cause = Callable[[Scene, Watch], Coroutine[Any, Any, None]]


def fresh(word: str) -> str:
    return f"{word}-{next(_numbers)}"


def a_system(kind: str = "STORAGE", **more: Any) -> dict[str, Any]:
    storage = {"host": "h.example.org", "port": 22, "protocol": "SFTP", "rootDir": "/", "homeDir": "/", "auth": AUTH}
    host: dict[str, Any] = {"id": fresh("sys"), "name": "S", "type": kind, "storage": storage, **more}
    if kind == "EXECUTION":
        login = {"host": "h.example.org", "port": 22, "protocol": "SSH", "auth": AUTH}
        queue = {"name": "normal", "default": True}
        host |= {"login": login, "executionType": "CLI", "scheduler": "FORK", "queues": [queue]}
    return host


# files ---------------------------------------------------------------------------------------------------------------


async def a_file_is_uploaded(scene: Scene, watch: Watch) -> None:
    path = f"/alice/{fresh('file')}"
    await watch.on_everything()
    watch.about, watch.history = await scene.upload(path), f"/files/v2/history/system/data.demo/{path}"


async def an_upload_waits(scene: Scene, watch: Watch) -> None:
    with scene.tenant.faults.holding_staging():
        await watch.on_file()


async def an_import_fails(scene: Scene, watch: Watch) -> None:
    path = await watch.on_file()
    body = {"urlToIngest": "http://127.0.0.1:9/nothing", "fileName": path.rpartition("/")[2]}
    await scene.do(f"POST {MEDIA}//alice", body)


async def a_file_is_uploaded_again(scene: Scene, watch: Watch) -> None:
    await scene.upload(await watch.on_file())


async def a_file_is_read(scene: Scene, watch: Watch) -> None:
    (await scene.alice.get(f"{MEDIA}/{await watch.on_file()}")).raise_for_status()


async def a_file_is_renamed(scene: Scene, watch: Watch) -> None:
    path, name = await watch.on_file(), fresh("new")
    await scene.do(f"PUT {MEDIA}/{path}", {"action": "rename", "path": name})
    watch.history = f"/files/v2/history/system/data.demo//alice/{name}"


async def a_file_is_moved(scene: Scene, watch: Watch) -> None:
    path, target = await watch.on_file(), f"/alice/{fresh('new')}"
    await scene.do(f"PUT {MEDIA}/{path}", {"action": "move", "path": target})
    watch.history = f"/files/v2/history/system/data.demo/{target}"


async def a_folder_gets_a_file(scene: Scene, watch: Watch) -> None:
    name = fresh("folder")
    made = await scene.do(f"PUT {MEDIA}//alice", {"action": "mkdir", "path": name})
    await watch.on(made["uuid"], f"/files/v2/history/system/data.demo//alice/{name}")
    await scene.upload(f"/alice/{name}/file")


async def a_file_is_shared(scene: Scene, watch: Watch) -> None:
    path = await watch.on_file()
    await scene.do(f"POST {PEMS}/{path}", WHO)
    await scene.do(f"POST {PEMS}/{path}", {**WHO, "permission": "NONE"})


async def a_file_is_deleted(scene: Scene, watch: Watch) -> None:
    path = await watch.on_file()
    await scene.do(f"DELETE {MEDIA}/{path}")
    watch.history = ""


# jobs ----------------------------------------------------------------------------------------------------------------


async def _submitted(scene: Scene, watch: Watch, wrapper: str, **more: Any) -> str:
    name = fresh("app")
    app = await scene.shop.app(wrapper, name=name, inputs=[app_field("text")])
    job = await scene.shop.submit(app, notifications=watch.wanted(), **more)
    watch.about, watch.history = job["id"], f"/jobs/v2/{job['id']}/history"
    return str(job["id"])


async def _running(scene: Scene, watch: Watch) -> dict[str, Any]:
    """A job in the middle of its run, which has two processes: its script, and the runner that stands over it."""
    job_id = await _submitted(scene, watch, "mkfifo go; echo > begun; read line < go", archivePath=fresh("out"))
    job = await scene.shop.reached(job_id, "RUNNING")
    with trio.fail_after(PATIENCE):
        while not await trio.Path(scene.tenant.path("run.demo", f"{job['outputPath']}/begun")).exists():
            await trio.sleep(0.01)
    return job


def _runner(job: dict[str, Any]) -> int:
    return int(Path(f"/proc/{job['localId']}/stat").read_text().rpartition(")")[2].split()[1])


async def a_job_runs(scene: Scene, watch: Watch) -> None:
    await scene.upload("/alice/input.txt")
    inputs = {"text": "agave://data.demo//alice/input.txt"}
    job_id = await _submitted(scene, watch, "${AGAVE_JOB_CALLBACK_ALIVE}; cat ${text}", inputs=inputs)
    assert (await scene.shop.ended(job_id))["status"] == "FINISHED"


async def an_archive_is_in_the_way(scene: Scene, watch: Watch) -> None:
    job = await _running(scene, watch)
    archive = scene.tenant.path("data.demo", f"/alice/{job['archivePath'].removeprefix('/alice/')}")
    archive.rmdir()
    archive.write_text("in the way")
    go = scene.tenant.path("run.demo", f"{job['outputPath']}/go")
    await trio.to_thread.run_sync(go.write_text, "go\n")


async def a_job_is_stopped(scene: Scene, watch: Watch) -> None:
    job = await _running(scene, watch)
    await scene.do(f"POST /jobs/v2/{job['id']}", {"action": "stop"})


async def a_job_loses_its_runner(scene: Scene, watch: Watch) -> None:
    os.kill(_runner(await _running(scene, watch)), signal.SIGKILL)


async def a_job_is_ended_from_outside(scene: Scene, watch: Watch) -> None:
    os.kill(_runner(await _running(scene, watch)), signal.SIGTERM)


async def a_job_is_shared_and_hidden(scene: Scene, watch: Watch) -> None:
    path = f"/jobs/v2/{await _submitted(scene, watch, 'true')}"
    await scene.shop.ended(watch.about)
    for word in ("READ", "NONE"):
        await scene.do(f"POST {path}/pems", {**WHO, "permission": word})
    await scene.do(f"DELETE {path}")
    await scene.do(f"POST {path}", {"action": "restore"})


# apps ----------------------------------------------------------------------------------------------------------------


async def an_app_is_registered(scene: Scene, watch: Watch) -> None:
    await watch.on_everything()
    path, watch.about = await scene.app()
    watch.history = f"{path}/history"


async def an_app_is_changed(scene: Scene, watch: Watch) -> None:
    name = (await watch.on_app()).removeprefix("/apps/v2/").removesuffix("-1.0")
    await scene.do("POST /apps/v2/", record(name, label="again"))


async def an_app_is_disabled_and_enabled(scene: Scene, watch: Watch) -> None:
    path = await watch.on_app()
    for action in ("disable", "enable"):
        await scene.do(f"PUT {path}", {"action": action})


async def an_app_is_shared(scene: Scene, watch: Watch) -> None:
    path = await watch.on_app()
    for word in ("READ", "NONE"):
        await scene.do(f"POST {path}/pems", {**WHO, "permission": word})


async def an_app_is_cloned_and_published(scene: Scene, watch: Watch) -> None:
    path = await watch.on_app()
    await scene.do(f"PUT {path}", {"action": "clone", "name": fresh("copy")})
    await scene.do(f"PUT {path}", {"action": "publish"}, admin=True)


async def an_app_is_published_anew(scene: Scene, watch: Watch) -> None:
    path, _ = await scene.app()
    public = await scene.do(f"PUT {path}", {"action": "publish"}, admin=True)
    await watch.on(public["uuid"], f"/apps/v2/{public['id']}/history")
    await scene.do(f"PUT {path}", {"action": "publish"}, admin=True)


async def a_public_app_is_removed(scene: Scene, watch: Watch) -> None:
    path, _ = await scene.app()
    public = await scene.do(f"PUT {path}", {"action": "publish"}, admin=True)
    await watch.on(public["uuid"])
    await scene.do(f"DELETE /apps/v2/{public['id']}", admin=True)


async def an_app_is_removed(scene: Scene, watch: Watch) -> None:
    path = await watch.on_app()
    await scene.do(f"DELETE {path}")
    watch.history = ""


async def an_app_cannot_be_copied(scene: Scene, watch: Watch) -> None:
    path = await watch.on_app()
    for http, action, where in ((scene.admin, "publish", "/apps"), (scene.alice, "clone", "/alice/applications")):
        folder = scene.tenant.path("data.demo", where)
        aside = folder.with_name(fresh("aside"))
        if folder.exists():
            folder.rename(aside)
        folder.write_text("in the way")
        assert (await http.put(path, json={"action": action, "name": fresh("copy")})).status_code == 500
        folder.unlink()
        if aside.exists():
            aside.rename(folder)


# systems -------------------------------------------------------------------------------------------------------------


async def a_system_is_registered(scene: Scene, watch: Watch) -> None:
    await watch.on_everything()
    path, watch.about = await scene.system()
    watch.history = f"{path}/history"


async def a_system_is_changed(scene: Scene, watch: Watch) -> None:
    path = await watch.on_system()
    name = path.rpartition("/")[2]
    await scene.do(f"POST {path}", {**a_system(), "id": name, "status": "MAINTENANCE"})


async def a_system_is_shared(scene: Scene, watch: Watch) -> None:
    path = await watch.on_system()
    await scene.do(f"POST {path}/roles/bob", {"role": "USER"})
    await scene.do(f"DELETE {path}/roles/bob")


async def a_system_is_ones_default(scene: Scene, watch: Watch) -> None:
    path = await watch.on_system()
    for action in ("setDefault", "unsetDefault", "disable", "enable"):
        await scene.do(f"PUT {path}", {"action": action})


async def a_system_is_public(scene: Scene, watch: Watch) -> None:
    path = await watch.on_system("EXECUTION")  # not of the type whose default the other causes live by
    for action in ("publish", "setGlobalDefault", "unsetGlobalDefault", "unpublish"):
        await scene.do(f"PUT {path}", {"action": action}, admin=True)


async def a_system_is_deleted(scene: Scene, watch: Watch) -> None:
    path = await watch.on_system()
    await scene.do(f"DELETE {path}")


async def a_system_is_erased(scene: Scene, watch: Watch) -> None:
    path = await watch.on_system()
    await scene.do(f"PUT {path}", {"action": "erase"}, admin=True)
    watch.history = ""


async def credentials_come_and_go(scene: Scene, watch: Watch) -> None:
    path = await watch.on_system()
    await scene.do(f"POST {path}/credentials", AUTH)
    name = await _internal_user(scene)
    await scene.do(f"POST {path}/credentials/{name}", AUTH)
    await scene.do(f"DELETE {path}/credentials/{name}")
    await scene.do(f"DELETE {path}/credentials")


async def an_internal_user_goes_with_a_credential(scene: Scene, watch: Watch) -> None:
    path, name = await watch.on_system(), await _internal_user(scene)
    await scene.do(f"POST {path}/credentials/{name}", AUTH)
    await scene.do(f"DELETE /profiles/v2/alice/users/{name}")


async def a_queue_comes_changes_and_goes(scene: Scene, watch: Watch) -> None:
    path = await watch.on_system("EXECUTION")
    await scene.do(f"POST {path}/queues", {"name": "long"})
    await scene.do(f"PUT {path}/queues/long", {"name": "long", "maxJobs": 2})
    await scene.do(f"DELETE {path}/queues/long")


async def an_app_lives_on_a_system(scene: Scene, watch: Watch) -> None:
    await watch.on((await scene.do("GET /systems/v2/run.demo"))["uuid"])
    path, _ = await scene.app()
    await scene.do("POST /apps/v2/", record(path.removeprefix("/apps/v2/").removesuffix("-1.0"), label="again"))
    await scene.do(f"DELETE {path}")


async def a_job_runs_on_a_system(scene: Scene, watch: Watch) -> None:
    await watch.on((await scene.do("GET /systems/v2/run.demo"))["uuid"])
    await scene.upload("/alice/input.txt")
    app = await scene.shop.app("true", name=fresh("app"), inputs=[app_field("text")])
    await scene.shop.ran(app, inputs={"text": "agave://data.demo//alice/input.txt"})


# metadata ------------------------------------------------------------------------------------------------------------


async def a_document_is_made(scene: Scene, watch: Watch) -> None:
    body = {"name": "n", "value": 1, "notifications": watch.wanted()}
    watch.about = (await scene.do("POST /meta/v2/data", body))["uuid"]


async def a_document_is_changed_shared_and_deleted(scene: Scene, watch: Watch) -> None:
    await _lives(scene, watch, "/meta/v2/data", {"name": "n", "value": 1})


async def a_document_is_about_a_file(scene: Scene, watch: Watch) -> None:
    await watch.on_file()
    body = {"name": "n", "value": 1, "associationIds": [watch.about]}
    path = f"/meta/v2/data/{(await scene.do('POST /meta/v2/data', body))['uuid']}"
    await scene.do(f"POST {path}", {**body, "value": 2})
    await scene.do(f"DELETE {path}")


async def a_schema_is_made(scene: Scene, watch: Watch) -> None:
    await watch.on_everything()
    watch.about = (await scene.do("POST /meta/v2/schemas", {"type": "object"}))["uuid"]


async def a_schema_is_changed_shared_and_deleted(scene: Scene, watch: Watch) -> None:
    await _lives(scene, watch, "/meta/v2/schemas", {"type": "object"})


async def _lives(scene: Scene, watch: Watch, base: str, body: dict[str, Any]) -> None:
    uuid = (await scene.do(f"POST {base}", body))["uuid"]
    await watch.on(uuid)
    await scene.do(f"POST {base}/{uuid}", body)
    for word in ("READ", "READ_WRITE", "NONE"):
        await scene.do(f"POST {base}/{uuid}/pems", {**WHO, "permission": word})
    await scene.do(f"DELETE {base}/{uuid}")


# notifications -------------------------------------------------------------------------------------------------------


async def _heeded(scene: Scene, watch: Watch, **more: Any) -> str:
    """A subscription that is listened to, to the downloads of a file; its path."""
    uuid = await scene.subscription(await scene.upload(f"/alice/{fresh('file')}"), "DOWNLOAD", **more)
    await watch.on(uuid, f"/notifications/v2/{uuid}/history")
    return f"/notifications/v2/{uuid}"


async def a_subscription_is_changed(scene: Scene, watch: Watch) -> None:
    path = await _heeded(scene, watch)
    for status in ("INACTIVE", "ACTIVE"):
        await scene.do(f"POST {path}", {"status": status})


async def a_subscription_is_tried(scene: Scene, watch: Watch) -> None:
    await scene.do(f"POST {await _heeded(scene, watch)}/attempts", {"event": "DOWNLOAD"})


async def a_hook_is_not_there(scene: Scene, watch: Watch) -> None:
    path = await _heeded(scene, watch, url="http://127.0.0.1:9/", policy={"retryLimit": 3})
    await scene.do(f"POST {path}/attempts", {"event": "DOWNLOAD"})


async def a_subscription_ends(scene: Scene, watch: Watch) -> None:
    await scene.do(f"DELETE {await _heeded(scene, watch)}")
    watch.history = ""


# people --------------------------------------------------------------------------------------------------------------


async def _internal_user(scene: Scene) -> str:
    name = fresh("ann").replace("-", "")
    await scene.do("POST /profiles/v2/alice/users", {"username": name, "email": f"{name}@example.org"})
    return name


async def a_user_comes_changes_and_goes(scene: Scene, watch: Watch) -> None:
    await watch.on_everything()
    name = fresh("user").replace("-", "")
    body = {"username": name, "email": f"{name}@example.org", "password": "long enough"}
    watch.about = (await scene.do("POST /profiles/v2/", body, admin=True))["uuid"]
    await scene.do(f"PUT /profiles/v2/{name}", {"email": f"{name}@example.com"}, admin=True)
    await scene.do(f"DELETE /profiles/v2/{name}", admin=True)


async def an_internal_user_comes_changes_and_goes(scene: Scene, watch: Watch) -> None:
    await watch.on_everything()
    path = f"/profiles/v2/alice/users/{await _internal_user(scene)}"
    watch.about = (await scene.do(f"GET {path}"))["uuid"]
    await scene.do(f"POST {path}", {"email": f"{fresh('new')}@example.com"})
    await scene.do(f"DELETE {path}")
