"""The files service."""

from __future__ import annotations

from typing import Any, Unpack

from agavesh.api.models.files import (
    FileHistory,
    FileOperationRequest,
    FilePermission,
    FilePermissionRequest,
    LogicalFile,
    RemoteFile,
)
from agavesh.api.operation import Download, More, Service, operation
from agavesh.api.record import Page
from agavesh.api.words import (
    CallbackUrl,
    FileName,
    FilePath,
    FileToUpload,
    FileType,
    Limit,
    Notifications,
    Offset,
    SystemId,
    UrlToIngest,
)


class Files(Service):
    """Bytes on storage systems. A path with a leading slash is meant from the root, one without from the home."""

    @operation("GET", "/files/v2/media/{sourcefilePath}")
    def downloadFromDefaultSystem(self, *, sourcefilePath: FilePath, **more: Unpack[More]) -> Download:
        """Download a file of the caller's default storage system."""
        ...

    @operation("POST", "/files/v2/media/{sourcefilePath}")
    async def importToDefaultSystem(
        self,
        *,
        sourcefilePath: FilePath,
        fileType: FileType | None = None,
        callbackURL: CallbackUrl | None = None,
        fileName: FileName | None = None,
        urlToIngest: UrlToIngest | None = None,
        fileToUpload: FileToUpload | None = None,
        **more: Unpack[More],
    ) -> LogicalFile:
        """Upload a file, or start a URL import, on the default storage system."""
        ...

    @operation("PUT", "/files/v2/media/{sourcefilePath}")
    async def manageOnDefaultSystem(
        self, *, sourcefilePath: FilePath, body: FileOperationRequest | dict[str, Any], **more: Unpack[More]
    ) -> LogicalFile:
        """Mkdir, rename, copy or move on the default storage system."""
        ...

    @operation("DELETE", "/files/v2/media/{sourcefilePath}")
    async def deleteFromDefaultSystem(self, *, sourcefilePath: FilePath, **more: Unpack[More]) -> None:
        """Delete a file or folder (recursive) on the default storage system."""
        ...

    @operation("GET", "/files/v2/media/system/{systemId}/{filePath}")
    def download(self, *, systemId: SystemId, filePath: FilePath, **more: Unpack[More]) -> Download:
        """Download a file of a named system."""
        ...

    @operation("POST", "/files/v2/media/system/{systemId}/{filePath}")
    async def importData(
        self,
        *,
        systemId: SystemId,
        filePath: FilePath,
        fileType: FileType | None = None,
        callbackURL: CallbackUrl | None = None,
        fileName: FileName | None = None,
        urlToIngest: UrlToIngest | None = None,
        fileToUpload: FileToUpload | None = None,
        notifications: Notifications | None = None,
        **more: Unpack[More],
    ) -> LogicalFile:
        """Upload a file, or start a URL import, on a named system."""
        ...

    @operation("PUT", "/files/v2/media/system/{systemId}/{filePath}")
    async def manage(
        self,
        *,
        systemId: SystemId,
        filePath: FilePath,
        body: FileOperationRequest | dict[str, Any],
        **more: Unpack[More],
    ) -> LogicalFile:
        """Mkdir, rename, copy or move on a named system."""
        ...

    @operation("DELETE", "/files/v2/media/system/{systemId}/{filePath}")
    async def delete(self, *, systemId: SystemId, filePath: FilePath, **more: Unpack[More]) -> None:
        """Delete a file or folder (recursive) on a named system."""
        ...

    @operation("GET", "/files/v2/listings/{filePath}")
    async def listOnDefaultSystem(
        self, *, filePath: FilePath, limit: Limit | None = None, offset: Offset | None = None, **more: Unpack[More]
    ) -> Page[RemoteFile]:
        """List a path of the default storage system."""
        ...

    @operation("GET", "/files/v2/listings/system/{systemId}/{filePath}")
    async def list(
        self,
        *,
        systemId: SystemId,
        filePath: FilePath,
        limit: Limit | None = None,
        offset: Offset | None = None,
        **more: Unpack[More],
    ) -> Page[RemoteFile]:
        """List a path of a named system."""
        ...

    @operation("GET", "/files/v2/history/{filePath}")
    async def getHistoryOnDefaultSystem(
        self, *, filePath: FilePath, limit: Limit | None = None, offset: Offset | None = None, **more: Unpack[More]
    ) -> Page[FileHistory]:
        """List the API events of a path on the default storage system."""
        ...

    @operation("GET", "/files/v2/history/system/{systemId}/{filePath}")
    async def getHistory(
        self,
        *,
        systemId: SystemId,
        filePath: FilePath,
        limit: Limit | None = None,
        offset: Offset | None = None,
        **more: Unpack[More],
    ) -> Page[FileHistory]:
        """List the API events of a path on a named system."""
        ...

    @operation("GET", "/files/v2/pems/{filePath}", documented=False)
    async def listPermissionsOnDefaultSystem(
        self, *, filePath: FilePath, limit: Limit | None = None, offset: Offset | None = None, **more: Unpack[More]
    ) -> Page[FilePermission]:
        """List the user permissions of a path on the default storage system."""
        ...

    @operation("POST", "/files/v2/pems/{filePath}")
    async def updatePermissionsOnDefaultSystem(
        self, *, filePath: FilePath, body: FilePermissionRequest | dict[str, Any], **more: Unpack[More]
    ) -> Page[FilePermission]:
        """Set one user permission of a path on the default storage system."""
        ...

    @operation("GET", "/files/v2/pems/system/{systemId}/{filePath}", documented=False)
    async def listPermissions(
        self,
        *,
        filePath: FilePath,
        systemId: SystemId,
        limit: Limit | None = None,
        offset: Offset | None = None,
        **more: Unpack[More],
    ) -> Page[FilePermission]:
        """List the user permissions of a path on a named system."""
        ...

    @operation("POST", "/files/v2/pems/system/{systemId}/{filePath}")
    async def updatePermissions(
        self,
        *,
        filePath: FilePath,
        systemId: SystemId,
        body: FilePermissionRequest | dict[str, Any],
        **more: Unpack[More],
    ) -> Page[FilePermission]:
        """Set one user permission of a path on a named system."""
        ...

    @operation("DELETE", "/files/v2/pems/system/{systemId}/{filePath}")
    async def deletePermissions(self, *, filePath: FilePath, systemId: SystemId, **more: Unpack[More]) -> None:
        """Clear all user permissions of a path except those of the owner."""
        ...
