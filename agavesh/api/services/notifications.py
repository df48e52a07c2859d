"""The notifications service."""

from __future__ import annotations

from typing import Any, Unpack

from agavesh.api.models.notifications import Notification, NotificationRequest, NotificationSummary
from agavesh.api.operation import More, Service, operation
from agavesh.api.record import Page
from agavesh.api.words import AssociatedUuid, Limit, Offset, Uuid


class Notifications(Service):
    """Who is told when something happens."""

    @operation("POST", "/notifications/v2/")
    async def add(self, *, body: NotificationRequest | dict[str, Any], **more: Unpack[More]) -> Notification:
        """Subscribe a callback to an event of a resource."""
        ...

    @operation("GET", "/notifications/v2/")
    async def list(
        self,
        *,
        associatedUuid: AssociatedUuid | None = None,
        limit: Limit | None = None,
        offset: Offset | None = None,
        **more: Unpack[More],
    ) -> Page[NotificationSummary]:
        """List notifications of the caller, or those of one resource."""
        ...

    @operation("GET", "/notifications/v2/{uuid}")
    async def get(self, *, uuid: Uuid, **more: Unpack[More]) -> Notification:
        """Fetch one notification."""
        ...

    @operation("POST", "/notifications/v2/{uuid}")
    async def update(
        self, *, uuid: Uuid, body: NotificationRequest | dict[str, Any], **more: Unpack[More]
    ) -> Notification:
        """Replace one notification."""
        ...

    @operation("DELETE", "/notifications/v2/{uuid}")
    async def delete(self, *, uuid: Uuid, **more: Unpack[More]) -> None:
        """Delete one notification."""
        ...
