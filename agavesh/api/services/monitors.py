"""The monitors service."""

from __future__ import annotations

from typing import Any, Unpack

from agavesh.api.models.monitors import Monitor, MonitorCheck, MonitorRequest
from agavesh.api.operation import More, Service, operation
from agavesh.api.record import Page
from agavesh.api.words import Active, CheckId, CheckResult, EndDate, Limit, MonitorId, Offset, StartDate, SystemId


class Monitors(Service):
    """Systems that are tried now and then, and what came of it."""

    @operation("GET", "/monitors/v2/", documented=False)
    async def list(
        self,
        *,
        target: SystemId | None = None,
        active: Active | None = None,
        limit: Limit | None = None,
        offset: Offset | None = None,
        **more: Unpack[More],
    ) -> Page[Monitor]:
        """List the system monitors of the caller."""
        ...

    @operation("POST", "/monitors/v2/", documented=False)
    async def add(self, *, body: MonitorRequest | dict[str, Any], **more: Unpack[More]) -> Monitor:
        """Create a system monitor."""
        ...

    @operation("GET", "/monitors/v2/{monitorId}", documented=False)
    async def get(self, *, monitorId: MonitorId, **more: Unpack[More]) -> Monitor:
        """Fetch one monitor."""
        ...

    @operation("POST", "/monitors/v2/{monitorId}", documented=False)
    async def update(
        self, *, monitorId: MonitorId, body: MonitorRequest | dict[str, Any], **more: Unpack[More]
    ) -> Monitor:
        """Replace one monitor."""
        ...

    @operation("DELETE", "/monitors/v2/{monitorId}", documented=False)
    async def delete(self, *, monitorId: MonitorId, **more: Unpack[More]) -> None:
        """Delete one monitor."""
        ...

    @operation("GET", "/monitors/v2/{monitorId}/checks", documented=False)
    async def listChecks(
        self,
        *,
        monitorId: MonitorId,
        startDate: StartDate | None = None,
        endDate: EndDate | None = None,
        result: CheckResult | None = None,
        limit: Limit | None = None,
        offset: Offset | None = None,
        **more: Unpack[More],
    ) -> Page[MonitorCheck]:
        """List the checks that a monitor ran."""
        ...

    @operation("POST", "/monitors/v2/{monitorId}/checks", documented=False)
    async def runCheck(self, *, monitorId: MonitorId, **more: Unpack[More]) -> MonitorCheck:
        """Run a check of a monitor now."""
        ...

    @operation("GET", "/monitors/v2/{monitorId}/checks/{checkId}", documented=False)
    async def getCheck(self, *, monitorId: MonitorId, checkId: CheckId, **more: Unpack[More]) -> MonitorCheck:
        """Fetch one check of a monitor."""
        ...
