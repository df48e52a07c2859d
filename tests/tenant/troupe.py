"""For tests of actors: images made of a few lines, actors of them, and how to wait for their executions."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import trio

PATIENCE = 30  # seconds for any execution of these tests
ACTORS = "/actors/v2"


def image(root: Path, text: str, name: str = "test") -> str:
    """Put a program into the images of a tenant. Its name. Without a `#!` it is Python."""
    path = root / "images" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if text.startswith("#!") else f"#!{sys.executable} -IS\n{text}")
    path.chmod(0o755)
    return name


class Troupe:
    """What a user does with actors, over HTTP. `tenant` is only asked for its root."""

    def __init__(self, tenant: Any, http: httpx.AsyncClient) -> None:
        self.root: Path = tenant.root
        self.http = http

    async def ask(self, method: str, path: str = "", status: int = 200, **more: Any) -> Any:
        """One call; its result. `path` is below the service."""
        answer = await self.http.request(method, f"{ACTORS}{path}", **more)
        assert answer.status_code == status, answer.text
        found = answer.json()
        assert isinstance(found["message"], str)
        assert found["version"] == "1.9.0"
        return found["result"]

    async def refused(self, method: str, path: str, status: int, **more: Any) -> str:
        """A call that is refused; what was said."""
        answer = await self.http.request(method, f"{ACTORS}{path}", **more)
        assert answer.status_code == status, answer.text
        found = answer.json()
        assert (found["status"], found["result"], found["version"]) == ("error", None, "1.9.0")
        return str(found["message"])

    async def actor(self, program: str, *, image_name: str = "test", **more: Any) -> str:
        """Register an actor with this program. Its id, once it is ready."""
        name = image(self.root, program, image_name)
        id = str((await self.ask("POST", json={"image": name, **more}))["id"])
        await self.until(f"/{id}", lambda actor: actor["status"] == "READY")
        return id

    async def until(self, path: str, true: Any) -> Any:
        """Ask until the result is as wanted."""
        with trio.fail_after(PATIENCE):
            while not true(found := await self.ask("GET", path)):
                await trio.sleep(0.02)
        return found

    async def send(self, actor: str, sent: Any = "hello", /, **query: str) -> str:
        """Send a text. The id of the execution."""
        more = {"json": {"message": sent}, "params": query}
        return str((await self.ask("POST", f"/{actor}/messages", **more))["executionId"])

    async def execution(self, actor: str, id: str) -> dict[str, Any]:
        return dict(await self.ask("GET", f"/{actor}/executions/{id}"))

    async def reached(self, actor: str, id: str, status: str) -> dict[str, Any]:
        return dict(await self.until(f"/{actor}/executions/{id}", lambda found: found["status"] == status))

    async def ended(self, actor: str, id: str) -> dict[str, Any]:
        """Wait for the end of an execution. Its record."""
        return dict(
            await self.until(f"/{actor}/executions/{id}", lambda found: found["status"] in ("COMPLETE", "ERROR"))
        )

    async def log(self, actor: str, id: str) -> str:
        return str((await self.ask("GET", f"/{actor}/executions/{id}/logs"))["logs"])

    async def said(self, actor: str, sent: Any = "hello", /, **query: str) -> str:
        """Send a text and wait for the answer's log."""
        id = await self.send(actor, sent, **query)
        assert (await self.ended(actor, id))["status"] == "COMPLETE"
        return await self.log(actor, id)

    async def result(self, actor: str, id: str) -> bytes:
        answer = await self.http.get(f"{ACTORS}/{actor}/executions/{id}/results")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/octet-stream")
        return answer.content


@asynccontextmanager
async def troupe_of(tenant: Any, username: str = "alice") -> AsyncIterator[Troupe]:
    async with tenant.http(username) as http:
        yield Troupe(tenant, http)
