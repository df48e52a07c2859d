"""For tests of notifications: a subscriber, as a program is one, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import trio

from tests.tenant.hook import PATIENCE

NOTES = "/alice/notes.txt"


class Subscriber:
    """What one user does with notifications and with a file that they are about."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def upload(self, path: str = NOTES, content: bytes = b"text", **fields: str) -> dict[str, Any]:
        """Put a file; events of an existing one: OVERWRITTEN, STAGING_QUEUED, UPLOAD, STAGING_COMPLETED."""
        folder, _, name = path.rpartition("/")
        answer = await self.http.post(
            f"/files/v2/media/system/data.demo/{folder}", files={"fileToUpload": (name, content)}, data=fields
        )
        assert answer.status_code == 202, answer.text
        return dict(answer.json()["result"])

    async def subscribe(self, uuid: str, url: str, event: str = "*", **more: Any) -> dict[str, Any]:
        body = {"associatedUuid": uuid, "event": event, "url": url, **more}
        answer = await self.http.post("/notifications/v2/", json=body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json()["result"])

    async def refused(self, **body: Any) -> tuple[int, str]:
        """Subscribe in vain: the status and the message."""
        answer = await self.http.post("/notifications/v2/", json=body)
        assert answer.status_code >= 400, answer.text
        return answer.status_code, answer.json()["message"]

    async def get(self, path: str, **query: str) -> Any:
        """What the service answers below /notifications/v2/."""
        answer = await self.http.get(f"/notifications/v2/{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]

    async def reached(self, id: str, **wanted: Any) -> dict[str, Any]:
        """Wait until a subscription's record says so."""
        found: dict[str, Any] = {}
        try:
            with trio.fail_after(PATIENCE):
                while True:
                    found = await self.get(id)
                    if all(found[name] == value for name, value in wanted.items()):
                        return found
                    await trio.sleep(0.01)
        except trio.TooSlowError:
            raise AssertionError(f"{wanted} never came: {found}") from None

    async def history(self, id: str) -> list[str]:
        return [event["status"] for event in await self.get(f"{id}/history")]


@asynccontextmanager
async def subscriber(tenant: Any, username: str = "alice") -> AsyncIterator[Subscriber]:
    async with tenant.http(username) as http:
        yield Subscriber(http)
