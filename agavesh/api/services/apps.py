"""The apps service."""

from __future__ import annotations

from typing import Any, Unpack

from agavesh.api.models.apps import (
    Application,
    ApplicationOperationRequest,
    ApplicationPermission,
    ApplicationPermissionRequest,
    ApplicationRequest,
    ApplicationSummary,
    JobSubmissionForm,
)
from agavesh.api.operation import More, Service, operation
from agavesh.api.record import Page
from agavesh.api.words import (
    AppId,
    AppName,
    Limit,
    Offset,
    OnlyPrivate,
    OnlyPublic,
    OntologyTerm,
    SystemId,
    Tag,
    Username,
)


class Apps(Service):
    """Recipes for jobs."""

    @operation("GET", "/apps/v2/")
    async def list(
        self,
        *,
        publicOnly: OnlyPublic | None = None,
        privateOnly: OnlyPrivate | None = None,
        limit: Limit | None = None,
        offset: Offset | None = None,
        **more: Unpack[More],
    ) -> Page[ApplicationSummary]:
        """List apps visible to the caller."""
        ...

    @operation("POST", "/apps/v2/")
    async def add(self, *, body: ApplicationRequest | dict[str, Any], **more: Unpack[More]) -> Application:
        """Register a new app (or a new revision of an existing one)."""
        ...

    @operation("GET", "/apps/v2/{appId}")
    async def get(self, *, appId: AppId, **more: Unpack[More]) -> Application:
        """Fetch the full record of one app."""
        ...

    @operation("POST", "/apps/v2/{appId}")
    async def update(
        self, *, appId: AppId, body: ApplicationRequest | dict[str, Any], **more: Unpack[More]
    ) -> Application:
        """Replace the record of an app, raising its revision."""
        ...

    @operation("PUT", "/apps/v2/{appId}")
    async def manage(
        self, *, appId: AppId, body: ApplicationOperationRequest | dict[str, Any], **more: Unpack[More]
    ) -> Application | None:
        """Run an action on an app: publish, unpublish, clone, enable, disable, erase."""
        ...

    @operation("DELETE", "/apps/v2/{appId}")
    async def delete(self, *, appId: AppId, **more: Unpack[More]) -> None:
        """Remove (hide) an app."""
        ...

    @operation("GET", "/apps/v2/{appId}/pems")
    async def listPermissions(
        self, *, appId: AppId, limit: Limit | None = None, offset: Offset | None = None, **more: Unpack[More]
    ) -> Page[ApplicationPermission]:
        """List the user permissions on an app."""
        ...

    @operation("POST", "/apps/v2/{appId}/pems")
    async def updateApplicationPermissions(
        self, *, appId: AppId, body: ApplicationPermissionRequest | dict[str, Any], **more: Unpack[More]
    ) -> ApplicationPermission:
        """Grant or change one user permission on an app, user named in the body."""
        ...

    @operation("DELETE", "/apps/v2/{appId}/pems")
    async def deletePermissions(self, *, appId: AppId, **more: Unpack[More]) -> None:
        """Clear every user permission on an app."""
        ...

    @operation("GET", "/apps/v2/{appId}/pems/{username}")
    async def listPermissionsForUser(
        self,
        *,
        appId: AppId,
        username: Username,
        limit: Limit | None = None,
        offset: Offset | None = None,
        **more: Unpack[More],
    ) -> ApplicationPermission:
        """Fetch one user permission on an app."""
        ...

    @operation("POST", "/apps/v2/{appId}/pems/{username}")
    async def updatePermissionsForUser(
        self,
        *,
        appId: AppId,
        username: Username,
        body: ApplicationPermissionRequest | dict[str, Any],
        **more: Unpack[More],
    ) -> ApplicationPermission:
        """Grant or change the permission of the user named in the path."""
        ...

    @operation("DELETE", "/apps/v2/{appId}/pems/{username}")
    async def deletePermissionsForUser(self, *, appId: AppId, username: Username, **more: Unpack[More]) -> None:
        """Revoke the permission of one user on an app."""
        ...

    @operation("GET", "/apps/v2/name/{name}")
    async def listByName(
        self,
        *,
        name: AppName,
        publicOnly: OnlyPublic | None = None,
        privateOnly: OnlyPrivate | None = None,
        limit: Limit | None = None,
        offset: Offset | None = None,
        **more: Unpack[More],
    ) -> Page[ApplicationSummary]:
        """List apps with an exact name."""
        ...

    @operation("GET", "/apps/v2/tag/{tag}", documented=False)
    async def listByTag(
        self,
        *,
        tag: Tag,
        publicOnly: OnlyPublic | None = None,
        privateOnly: OnlyPrivate | None = None,
        limit: Limit | None = None,
        offset: Offset | None = None,
        **more: Unpack[More],
    ) -> Page[ApplicationSummary]:
        """List apps that carry a tag."""
        ...

    @operation("GET", "/apps/v2/ontology/{term}", documented=False)
    async def listByOntologyTerm(
        self,
        *,
        term: OntologyTerm,
        publicOnly: OnlyPublic | None = None,
        privateOnly: OnlyPrivate | None = None,
        limit: Limit | None = None,
        offset: Offset | None = None,
        **more: Unpack[More],
    ) -> Page[ApplicationSummary]:
        """List apps that bear a term of an ontology."""
        ...

    @operation("GET", "/apps/v2/{uniqueName}/form", documented=False)
    async def getJobSubmissionForm(self, *, uniqueName: AppId, **more: Unpack[More]) -> JobSubmissionForm:
        """Fetch a web form that submits jobs of an app."""
        ...

    @operation("GET", "/apps/v2/system/{systemId}")
    async def listBySystemId(
        self,
        *,
        systemId: SystemId,
        publicOnly: OnlyPublic | None = None,
        privateOnly: OnlyPrivate | None = None,
        limit: Limit | None = None,
        offset: Offset | None = None,
        **more: Unpack[More],
    ) -> Page[ApplicationSummary]:
        """List apps whose execution system is the given one."""
        ...
