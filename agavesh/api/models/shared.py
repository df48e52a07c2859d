"""What several services share."""

from agavesh.api.record import Record


class ACL(Record, kw_only=True):
    """What a user may do. `execute` is told of apps and files only."""

    read: bool = False
    write: bool = False
    execute: bool | None = None


class Progress(Record, kw_only=True):
    """How far a transfer is; sizes in bytes, rate in bytes a second."""

    uuid: str | None = None
    source: str | None = None
    totalActiveTransfers: int | None = None
    totalFiles: int | None = None
    totalBytesTransferred: int | None = None
    totalBytes: int | None = None
    averageRate: float | None = None
