"""The postits service."""

from __future__ import annotations

from typing import Any, Unpack

from agavesh.api.models.postits import PostIt, PostItRequest
from agavesh.api.operation import More, Service, operation
from agavesh.api.record import Page
from agavesh.api.words import Limit, Offset, PostItId


class Postits(Service):
    """URLs that open one thing of their creator's to whoever holds them. `GET /postits/v2/{postit}` redeems one."""

    @operation("GET", "/postits/v2/", documented=False)
    async def list(
        self, *, limit: Limit | None = None, offset: Offset | None = None, **more: Unpack[More]
    ) -> Page[PostIt]:
        """List the pre-authorized URLs of the caller."""
        ...

    @operation("POST", "/postits/v2/", documented=False)
    async def create(self, *, body: PostItRequest | dict[str, Any], **more: Unpack[More]) -> PostIt:
        """Create a pre-authorized short URL."""
        ...

    @operation("DELETE", "/postits/v2/{uuid}", documented=False)
    async def delete(self, *, uuid: PostItId, **more: Unpack[More]) -> None:
        """Revoke a pre-authorized URL."""
        ...
