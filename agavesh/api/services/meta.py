"""The meta service."""

from __future__ import annotations

from typing import Any, Unpack

from agavesh.api.models.meta import (
    JsonSchema,
    Metadata,
    MetadataPermission,
    MetadataPermissionRequest,
    MetadataRequest,
    MetadataSchema,
)
from agavesh.api.operation import More, Service, operation
from agavesh.api.record import Page
from agavesh.api.words import Limit, Offset, Privileged, Query, Unsent, Username, Uuid


class Meta(Service):
    """Documents about anything, searchable, and schemas that they follow."""

    @operation("GET", "/meta/v2/data")
    async def listMetadata(
        self,
        *,
        q: Query | None = None,
        limit: Limit | None = None,
        offset: Offset | None = None,
        privileged: Privileged | None = None,
        **more: Unpack[More],
    ) -> Page[Metadata]:
        """List metadata records or search them with a Mongo query."""
        ...

    @operation("POST", "/meta/v2/data")
    async def addMetadata(self, *, body: MetadataRequest | dict[str, Any], **more: Unpack[More]) -> Metadata:
        """Create a metadata record."""
        ...

    @operation("GET", "/meta/v2/data/{uuid}")
    async def getMetadata(
        self, *, uuid: Uuid, limit: Limit | None = None, offset: Offset | None = None, **more: Unpack[More]
    ) -> Metadata:
        """Fetch one metadata record."""
        ...

    @operation("POST", "/meta/v2/data/{uuid}")
    async def updateMetadata(
        self, *, uuid: Uuid, body: MetadataRequest | dict[str, Any], **more: Unpack[More]
    ) -> Metadata:
        """Replace one metadata record."""
        ...

    @operation("DELETE", "/meta/v2/data/{uuid}")
    async def deleteMetadata(self, *, uuid: Uuid, **more: Unpack[More]) -> None:
        """Delete one metadata record."""
        ...

    @operation("GET", "/meta/v2/schemas")
    async def searchSchema(
        self,
        *,
        q: Query | None = None,
        limit: Limit | None = None,
        offset: Offset | None = None,
        uuid: Unsent | None = None,
        **more: Unpack[More],
    ) -> Page[MetadataSchema]:
        """List metadata schemata or search them with a Mongo query."""
        ...

    @operation("POST", "/meta/v2/schemas")
    async def addSchema(self, *, body: JsonSchema | dict[str, Any], **more: Unpack[More]) -> MetadataSchema:
        """Register a JSON schema."""
        ...

    @operation("GET", "/meta/v2/schemas/{uuid}")
    async def getSchema(
        self, *, uuid: Uuid, limit: Limit | None = None, offset: Offset | None = None, **more: Unpack[More]
    ) -> MetadataSchema:
        """Fetch one metadata schema."""
        ...

    @operation("POST", "/meta/v2/schemas/{uuid}")
    async def updateSchema(
        self, *, uuid: Uuid, body: JsonSchema | dict[str, Any], **more: Unpack[More]
    ) -> MetadataSchema:
        """Replace one metadata schema."""
        ...

    @operation("DELETE", "/meta/v2/schemas/{uuid}")
    async def deleteSchema(self, *, uuid: Uuid, **more: Unpack[More]) -> None:
        """Delete one metadata schema."""
        ...

    @operation("GET", "/meta/v2/data/{uuid}/pems")
    async def listMetadataPermissions(
        self, *, uuid: Uuid, limit: Limit | None = None, offset: Offset | None = None, **more: Unpack[More]
    ) -> Page[MetadataPermission]:
        """List the user permissions on a metadata record."""
        ...

    @operation("POST", "/meta/v2/data/{uuid}/pems")
    async def updateMetadataPermissions(
        self, *, uuid: Uuid, body: MetadataPermissionRequest | dict[str, Any], **more: Unpack[More]
    ) -> MetadataPermission:
        """Grant or change one user permission on a metadata record."""
        ...

    @operation("DELETE", "/meta/v2/data/{uuid}/pems")
    async def deleteMetadataPermission(self, *, uuid: Uuid, **more: Unpack[More]) -> None:
        """Clear every user permission on a metadata record."""
        ...

    @operation("GET", "/meta/v2/data/{uuid}/pems/{username}")
    async def listMetadataPermissionsForUser(
        self, *, uuid: Uuid, username: Username, **more: Unpack[More]
    ) -> MetadataPermission:
        """Fetch one user permission on a metadata record."""
        ...

    @operation("POST", "/meta/v2/data/{uuid}/pems/{username}")
    async def updateMetadataPermissionsForUser(
        self, *, uuid: Uuid, username: Username, body: MetadataPermissionRequest | dict[str, Any], **more: Unpack[More]
    ) -> MetadataPermission:
        """Grant or change the permission of the user named in the path."""
        ...

    @operation("DELETE", "/meta/v2/data/{uuid}/pems/{username}")
    async def deleteMetadataPermissionsForUser(self, *, uuid: Uuid, username: Username, **more: Unpack[More]) -> None:
        """Revoke the permission of one user on a metadata record."""
        ...

    @operation("GET", "/meta/v2/schemas/{uuid}/pems")
    async def listSchemaPermissions(
        self, *, uuid: Uuid, limit: Limit | None = None, offset: Offset | None = None, **more: Unpack[More]
    ) -> Page[MetadataPermission]:
        """List the user permissions on a schema."""
        ...

    @operation("POST", "/meta/v2/schemas/{uuid}/pems")
    async def updateSchemaPermissions(
        self, *, uuid: Uuid, body: MetadataPermissionRequest | dict[str, Any], **more: Unpack[More]
    ) -> MetadataPermission:
        """Grant or change one user permission on a schema."""
        ...

    @operation("DELETE", "/meta/v2/schemas/{uuid}/pems")
    async def deleteSchemaPermissions(self, *, uuid: Uuid, **more: Unpack[More]) -> None:
        """Clear every user permission on a schema."""
        ...

    @operation("GET", "/meta/v2/schemas/{uuid}/pems/{username}")
    async def listSchemaPermissionsForUser(
        self, *, uuid: Uuid, username: Username, **more: Unpack[More]
    ) -> MetadataPermission:
        """Fetch one user permission on a schema."""
        ...

    @operation("POST", "/meta/v2/schemas/{uuid}/pems/{username}")
    async def updateSchemaPermissionsForUser(
        self, *, uuid: Uuid, username: Username, body: MetadataPermissionRequest | dict[str, Any], **more: Unpack[More]
    ) -> MetadataPermission:
        """Grant or change the permission on a schema of the user named in the path."""
        ...

    @operation("DELETE", "/meta/v2/schemas/{uuid}/pems/{username}")
    async def deleteSchemaPermissionsForUser(self, *, uuid: Uuid, username: Username, **more: Unpack[More]) -> None:
        """Revoke the permission of one user on a schema."""
        ...
