"""Files: listings, uploads, history, permissions."""

from datetime import datetime

from agavesh.api.models.shared import ACL, Progress
from agavesh.api.record import Record


class RemoteFile(Record, kw_only=True):
    """One line of a listing. The first of a folder is the folder itself, named "."."""

    name: str  # "." for the listed directory itself
    path: str  # absolute from the system root, leading slash (job outputs: from the output root)
    lastModified: datetime | None = None  # e.g. 2014-09-10T19:47:44.000-05:00
    length: int | None = None  # bytes; int64 (AgavePy says int32)
    permissions: str | None = None  # job outputs use the key permission
    format: str | None = None  # unknown only in job outputs
    mimeType: str | None = None  # text/directory for directories
    type: str  # file dir
    system: str | None = None  # system id; absent in job outputs


class JobOutputFile(Record, kw_only=True):
    """One line of a listing of job outputs; there is no "." among them."""

    name: str
    path: str  # relative to the job output root, leading slash
    lastModified: datetime | None = None
    length: int | None = None
    permission: str | None = None  # note the singular
    mimeType: str | None = None
    format: str | None = None  # folder unknown
    type: str  # file dir


class LogicalFile(Record, kw_only=True):
    """What upload, import, mkdir, rename, copy and move answer."""

    name: str | None = None
    uuid: str | None = None  # ...-002
    owner: str | None = None
    internalUsername: str | None = None
    lastModified: datetime | None = None
    source: str | None = None  # upload: http://<client address>/<file name>; import: the URL; "" or null otherwise
    path: str | None = None  # relative path on the system
    status: str | None = None  # STAGING_QUEUED STAGING STAGING_FAILED STAGING_COMPLETED
    systemId: str | None = None
    nativeFormat: str | None = None  # raw for files


class FileOperationRequest(Record, kw_only=True):
    """An action on a path."""

    action: str  # case-insensitive
    path: str | None = None  # needed by all four: name or path of the new item
    append: bool | None = None  # copy only: append to the target


class FileHistory(Record, kw_only=True):
    """One event of a path; `progress` tells of a transfer."""

    status: str  # event name
    created: datetime | None = None
    createdBy: str | None = None
    description: str | None = None
    progress: Progress | None = None


class FilePermission(Record, kw_only=True):
    """What one user may do with a path."""

    username: str | None = None
    internalUsername: str | None = None
    permission: ACL | None = None
    recursive: bool | None = None


class FilePermissionRequest(Record, kw_only=True):
    """A grant; it replaces what the user had."""

    username: str  # "*" with a removal means the caller
    permission: str  # OWNER, READ_PERMISSION, WRITE_PERMISSION, READ_WRITE_PERMISSION are accepted too
    recursive: bool | None = None  # directories only
