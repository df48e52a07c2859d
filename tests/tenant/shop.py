"""For tests of apps and jobs: apps made of a few lines of shell, jobs of them, and how to wait for those."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import trio

from agavesh.tenant.jobs.runner import MARK

FINAL = {"FINISHED", "FAILED", "STOPPED", "KILLED"}
PATIENCE = 90  # seconds for any job or start of these tests: many are side by side, and a busy machine is no fault


class Shop:
    """What a user does with apps and jobs, over HTTP. `tenant` is only asked for paths of this machine."""

    def __init__(self, tenant: Any, http: httpx.AsyncClient) -> None:
        self.tenant, self.http = tenant, http

    async def app(self, wrapper: str, *, name: str = "test", files: dict[str, str] | None = None, **more: Any) -> str:
        """Register an app with this wrapper. Its id."""
        folder = self.tenant.path("data.demo", f"/alice/apps/{name}")
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in {"wrapper.sh": wrapper, "test.sh": "true\n", **(files or {})}.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        answer = await self.http.post("/apps/v2/", json=record(name, **more))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["result"]["id"])

    async def submit(self, app: str, **more: Any) -> dict[str, Any]:
        """Submit a job. Its record."""
        answer = await self.http.post("/jobs/v2/", json={"name": "a test", "appId": app, **more})
        assert answer.status_code == 201, answer.text
        return dict(answer.json()["result"])

    async def job(self, job_id: str) -> dict[str, Any]:
        answer = await self.http.get(f"/jobs/v2/{job_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json()["result"])

    async def reached(self, job_id: str, *statuses: str) -> dict[str, Any]:
        """Wait until a job has one of these statuses, or is at its end. Its record."""
        with trio.fail_after(PATIENCE):
            while True:
                job = await self.job(job_id)
                if job["status"] in {*statuses, *FINAL}:
                    return job
                await trio.sleep(0.02)

    async def ended(self, job_id: str) -> dict[str, Any]:
        return await self.reached(job_id)

    async def ran(self, app: str, **more: Any) -> dict[str, Any]:
        """Submit a job and wait for its end."""
        return await self.ended((await self.submit(app, **more))["id"])

    async def history(self, job_id: str) -> list[str]:
        answer = await self.http.get(f"/jobs/v2/{job_id}/history")
        return [event["status"] for event in answer.json()["result"]]

    async def outputs(self, job_id: str, path: str = "") -> dict[str, dict[str, Any]]:
        """A listing of outputs by name."""
        answer = await self.http.get(f"/jobs/v2/{job_id}/outputs/listings/{path}")
        assert answer.status_code == 200, answer.text
        return {entry["name"]: entry for entry in answer.json()["result"]}

    async def output(self, job_id: str, path: str) -> str:
        answer = await self.http.get(f"/jobs/v2/{job_id}/outputs/media/{path}")
        assert answer.status_code == 200, answer.text
        return answer.text


@asynccontextmanager
async def shop_of(tenant: Any, username: str = "alice") -> AsyncIterator[Shop]:
    async with tenant.http(username) as http:
        yield Shop(tenant, http)


class Served:
    """A tenant in a process of its own, which can be killed and started again. It has what a `Shop` needs."""

    def __init__(self, root: Path, *options: str) -> None:
        self.root, self._options = root, options
        self.process: trio.Process | None = None
        self.url = ""

    async def start(self) -> None:
        (self.root / "tenant.json").unlink(missing_ok=True)
        command = [sys.executable, "-m", "agavesh", "tenant", "serve", "--root", str(self.root), *self._options]
        self.process = await trio.lowlevel.open_process(command, stdin=-3)
        try:
            with trio.fail_after(PATIENCE):
                while not (self.root / "tenant.json").exists():
                    assert self.process.poll() is None
                    await trio.sleep(0.02)
        except BaseException:  # a fixture that fails here is not ended: nobody else would
            with trio.CancelScope(shield=True):
                await self.kill()
            raise
        self.url = msgspec.json.decode((self.root / "tenant.json").read_bytes())["url"]

    async def kill(self, number: int = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            await self.process.wait()

    @asynccontextmanager
    async def http(self, username: str = "alice") -> AsyncIterator[httpx.AsyncClient]:
        facts = msgspec.json.decode((self.root / "tenant.json").read_bytes())
        password = next(user["password"] for user in facts["users"] if user["username"] == username)
        async with httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=30) as http:
            form = {"grant_type": "password", "username": username, "password": password}
            client = (facts["client"]["key"], facts["client"]["secret"])
            token = (await http.post("/token", data=form, auth=client)).json()["access_token"]
            http.headers["Authorization"] = f"Bearer {token}"
            yield http

    def path(self, system: str, path: str) -> Path:
        return self.root / "systems" / system / path.lstrip("/")


def processes_of(mark: str) -> list[str]:
    """The processes of this machine that have inherited a job's mark, which is its id."""
    wanted, found = f"{MARK}={mark}".encode(), []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(folder.name)
        except OSError:
            continue
    return found


def record(name: str = "test", **more: Any) -> dict[str, Any]:
    """What is registered, for a bundle in /alice/apps."""
    return {
        "name": name, "version": "1.0", "executionSystem": "run.demo", "executionType": "CLI", "parallelism": "SERIAL",
        "deploymentSystem": "data.demo", "deploymentPath": f"/alice/apps/{name}", "templatePath": "wrapper.sh",
        "testPath": "test.sh", **more,
    }  # fmt: skip


def field(id: str, *, kind: str | None = None, value: dict[str, Any] | None = None, **parts: Any) -> dict[str, Any]:
    """An input, or, with a `kind`, a parameter."""
    return {"id": id, "value": {**({"type": kind} if kind else {}), **(value or {})}, **parts}
