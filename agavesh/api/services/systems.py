"""The systems service."""

from __future__ import annotations

from typing import Any, Unpack

from agavesh.api.models.systems import (
    StoredCredential,
    System,
    SystemOperationRequest,
    SystemRequest,
    SystemRole,
    SystemSummary,
    UserCredential,
)
from agavesh.api.operation import More, Service, operation
from agavesh.api.record import Page
from agavesh.api.words import (
    CredentialType,
    InternalUsername,
    Limit,
    Offset,
    OnlyDefault,
    OnlyPublic,
    SystemId,
    SystemType,
    Username,
)


class Systems(Service):
    """Machines that hold files or run jobs, with their roles and credentials."""

    @operation("GET", "/systems/v2/")
    async def list(
        self,
        *,
        type: SystemType | None = None,
        default: OnlyDefault | None = None,
        public: OnlyPublic | None = None,
        limit: Limit | None = None,
        offset: Offset | None = None,
        **more: Unpack[More],
    ) -> Page[SystemSummary]:
        """List systems visible to the caller."""
        ...

    @operation("POST", "/systems/v2/")
    async def add(self, *, body: SystemRequest | dict[str, Any], **more: Unpack[More]) -> System:
        """Register a system (or update one of the same id)."""
        ...

    @operation("GET", "/systems/v2/{systemId}")
    async def get(self, *, systemId: SystemId, **more: Unpack[More]) -> System:
        """Fetch the full record of one system."""
        ...

    @operation("POST", "/systems/v2/{systemId}")
    async def update(self, *, systemId: SystemId, body: SystemRequest | dict[str, Any], **more: Unpack[More]) -> System:
        """Replace the record of a system."""
        ...

    @operation("PUT", "/systems/v2/{systemId}")
    async def manage(
        self, *, systemId: SystemId, body: SystemOperationRequest | dict[str, Any], **more: Unpack[More]
    ) -> System | None:
        """Run an action on a system: publish, clone, enable, set default and so on."""
        ...

    @operation("DELETE", "/systems/v2/{systemId}")
    async def delete(self, *, systemId: SystemId, **more: Unpack[More]) -> None:
        """Remove (disable and hide) a system."""
        ...

    @operation("GET", "/systems/v2/{systemId}/roles")
    async def listRoles(
        self, *, systemId: SystemId, limit: Limit | None = None, offset: Offset | None = None, **more: Unpack[More]
    ) -> Page[SystemRole]:
        """List the user roles on a system."""
        ...

    @operation("POST", "/systems/v2/{systemId}/roles")
    async def updateRole(
        self, *, systemId: SystemId, body: SystemRole | dict[str, Any], **more: Unpack[More]
    ) -> Page[SystemRole]:
        """Grant or change a user role on a system, user named in the body."""
        ...

    @operation("DELETE", "/systems/v2/{systemId}/roles")
    async def deleteRoles(self, *, systemId: SystemId, **more: Unpack[More]) -> None:
        """Clear every user role on a system."""
        ...

    @operation("GET", "/systems/v2/{systemId}/roles/{username}")
    async def getRoleForUser(
        self,
        *,
        systemId: SystemId,
        username: Username,
        limit: Limit | None = None,
        offset: Offset | None = None,
        **more: Unpack[More],
    ) -> Page[SystemRole]:
        """Fetch the role of one user on a system."""
        ...

    @operation("POST", "/systems/v2/{systemId}/roles/{username}")
    async def updateRoleForUser(
        self, *, systemId: SystemId, username: Username, body: SystemRole | dict[str, Any], **more: Unpack[More]
    ) -> Page[SystemRole]:
        """Grant or change the role of the user named in the path."""
        ...

    @operation("DELETE", "/systems/v2/{systemId}/roles/{username}")
    async def deleteRoleForUser(self, *, systemId: SystemId, username: Username, **more: Unpack[More]) -> None:
        """Revoke the role of one user on a system."""
        ...

    @operation("GET", "/systems/v2/{systemId}/credentials")
    async def listCredentials(
        self, *, systemId: SystemId, limit: Limit | None = None, offset: Offset | None = None, **more: Unpack[More]
    ) -> Page[StoredCredential]:
        """List the credentials stored for a system."""
        ...

    @operation("POST", "/systems/v2/{systemId}/credentials")
    async def updateCredentials(
        self, *, systemId: SystemId, body: UserCredential | dict[str, Any], **more: Unpack[More]
    ) -> Page[StoredCredential]:
        """Add or change a credential of a system."""
        ...

    @operation("DELETE", "/systems/v2/{systemId}/credentials")
    async def deleteCredentials(self, *, systemId: SystemId, **more: Unpack[More]) -> None:
        """Delete all credentials of a system."""
        ...

    @operation("GET", "/systems/v2/{systemId}/credentials/{internalUsername}")
    async def listCredentialsForInternalUser(
        self,
        *,
        systemId: SystemId,
        internalUsername: InternalUsername,
        limit: Limit | None = None,
        offset: Offset | None = None,
        **more: Unpack[More],
    ) -> Page[StoredCredential]:
        """List the credentials of one internal user on a system."""
        ...

    @operation("POST", "/systems/v2/{systemId}/credentials/{internalUsername}")
    async def updateCredentialsForInternalUser(
        self,
        *,
        systemId: SystemId,
        internalUsername: InternalUsername,
        body: UserCredential | dict[str, Any],
        **more: Unpack[More],
    ) -> Page[StoredCredential]:
        """Add or change a credential of one internal user."""
        ...

    @operation("DELETE", "/systems/v2/{systemId}/credentials/{internalUsername}")
    async def deleteCredentialsForInternalUser(
        self, *, systemId: SystemId, internalUsername: InternalUsername, **more: Unpack[More]
    ) -> None:
        """Delete the credentials of one internal user."""
        ...

    @operation("GET", "/systems/v2/{systemId}/credentials/{internalUsername}/{credentialType}")
    async def listCredentialsForInternalUserByType(
        self,
        *,
        systemId: SystemId,
        internalUsername: InternalUsername,
        credentialType: CredentialType,
        limit: Limit | None = None,
        offset: Offset | None = None,
        **more: Unpack[More],
    ) -> Page[StoredCredential]:
        """Fetch the credential of one internal user and config type."""
        ...

    @operation("POST", "/systems/v2/{systemId}/credentials/{internalUsername}/{credentialType}")
    async def updateCredentialsForInternalUserByType(
        self,
        *,
        systemId: SystemId,
        internalUsername: InternalUsername,
        credentialType: CredentialType,
        body: UserCredential | dict[str, Any],
        **more: Unpack[More],
    ) -> Page[StoredCredential]:
        """Add or change the credential of one internal user and config type."""
        ...

    @operation("DELETE", "/systems/v2/{systemId}/credentials/{internalUsername}/{credentialType}")
    async def deleteCredentialsForInternalUserByType(
        self,
        *,
        systemId: SystemId,
        internalUsername: InternalUsername,
        credentialType: CredentialType,
        **more: Unpack[More],
    ) -> None:
        """Delete the credential of one internal user and config type."""
        ...
