"""The jobs service."""

from __future__ import annotations

from typing import Any, Unpack

from agavesh.api.models.files import JobOutputFile
from agavesh.api.models.jobs import (
    Job,
    JobHistory,
    JobOperationRequest,
    JobPermission,
    JobPermissionRequest,
    JobRequest,
    JobStatus,
    JobSummary,
)
from agavesh.api.operation import Download, More, Service, operation
from agavesh.api.record import Page
from agavesh.api.words import Attribute, JobId, Limit, Offset, OutputPath, Username, Value


class Jobs(Service):
    """Runs of apps, and what they left."""

    @operation("GET", "/jobs/v2/")
    async def list(
        self, *, limit: Limit | None = None, offset: Offset | None = None, **more: Unpack[More]
    ) -> Page[JobSummary]:
        """List jobs visible to the caller."""
        ...

    @operation("POST", "/jobs/v2/")
    async def submit(self, *, body: JobRequest | dict[str, Any], **more: Unpack[More]) -> Job:
        """Submit a job."""
        ...

    @operation("GET", "/jobs/v2/{jobId}")
    async def get(self, *, jobId: JobId, **more: Unpack[More]) -> Job:
        """Fetch the full record of one job."""
        ...

    @operation("POST", "/jobs/v2/{jobId}")
    async def manage(
        self, *, jobId: JobId, body: JobOperationRequest | dict[str, Any], **more: Unpack[More]
    ) -> Job | None:
        """Run an action on a job: stop or resubmit (restore and others on the real server)."""
        ...

    @operation("DELETE", "/jobs/v2/{jobId}")
    async def delete(self, *, jobId: JobId, **more: Unpack[More]) -> None:
        """Hide a job from the caller's listings (stops it when running)."""
        ...

    @operation("GET", "/jobs/v2/{jobId}/history")
    async def getHistory(
        self, *, jobId: JobId, limit: Limit | None = None, offset: Offset | None = None, **more: Unpack[More]
    ) -> Page[JobHistory]:
        """List the events of a job."""
        ...

    @operation("GET", "/jobs/v2/{jobId}/pems")
    async def listPermissions(
        self, *, jobId: JobId, limit: Limit | None = None, offset: Offset | None = None, **more: Unpack[More]
    ) -> Page[JobPermission]:
        """List the user permissions on a job."""
        ...

    @operation("POST", "/jobs/v2/{jobId}/pems")
    async def updatePermissions(
        self, *, jobId: JobId, body: JobPermissionRequest | dict[str, Any], **more: Unpack[More]
    ) -> JobPermission:
        """Grant or change one user permission on a job, user named in the body."""
        ...

    @operation("DELETE", "/jobs/v2/{jobId}/pems")
    async def deletePermissions(self, *, jobId: JobId, **more: Unpack[More]) -> None:
        """Clear every user permission on a job."""
        ...

    @operation("GET", "/jobs/v2/{jobId}/pems/{username}")
    async def listPermissionsForUser(
        self,
        *,
        jobId: JobId,
        username: Username,
        limit: Limit | None = None,
        offset: Offset | None = None,
        **more: Unpack[More],
    ) -> JobPermission:
        """Fetch one user permission on a job."""
        ...

    @operation("POST", "/jobs/v2/{jobId}/pems/{username}")
    async def updatePermissionsForUser(
        self, *, jobId: JobId, username: Username, body: JobPermissionRequest | dict[str, Any], **more: Unpack[More]
    ) -> JobPermission:
        """Grant or change the permission of the user named in the path."""
        ...

    @operation("DELETE", "/jobs/v2/{jobId}/pems/{username}", also={"uniqueName": "jobId"})
    async def deletePermissionsForUser(self, *, jobId: JobId, username: Username, **more: Unpack[More]) -> None:
        """Revoke the permission of one user on a job."""
        ...

    @operation("GET", "/jobs/v2/{jobId}/status")
    async def getStatus(self, *, jobId: JobId, **more: Unpack[More]) -> JobStatus:
        """Fetch id and status of one job."""
        ...

    @operation("GET", "/jobs/v2/{jobId}/outputs/listings/{filePath}")
    async def listOutputs(
        self,
        *,
        jobId: JobId,
        filePath: OutputPath = "",
        limit: Limit | None = None,
        offset: Offset | None = None,
        **more: Unpack[More],
    ) -> Page[JobOutputFile]:
        """List a path of the output folder of a job."""
        ...

    @operation("GET", "/jobs/v2/{jobId}/outputs/media/{filePath}")
    def downloadOutput(self, *, jobId: JobId, filePath: OutputPath, **more: Unpack[More]) -> Download:
        """Download one output file of a job."""
        ...

    @operation("GET", "/jobs/v2/{attribute}/{value}")
    async def search(
        self,
        *,
        attribute: Attribute,
        value: Value,
        limit: Limit | None = None,
        offset: Offset | None = None,
        **more: Unpack[More],
    ) -> Page[JobSummary]:
        """List jobs whose attribute has a value."""
        ...
