"""Jobs: requests, records, history, permissions."""

from datetime import datetime
from typing import Any

from agavesh.api.models.notifications import NotificationPolicy
from agavesh.api.models.shared import ACL, Progress
from agavesh.api.record import Record


class JobSummary(Record, kw_only=True):
    """One line of the list of jobs."""

    id: str  # uuid ...-007
    name: str | None = None
    owner: str | None = None
    executionSystem: str | None = None
    appId: str | None = None
    created: datetime | None = None
    status: str | None = None
    startTime: datetime | None = None  # or null
    endTime: datetime | None = None  # or null


class Job(Record, kw_only=True):
    """A job."""

    id: str  # uuid ...-007
    name: str | None = None
    owner: str | None = None
    appId: str | None = None
    executionSystem: str | None = None
    batchQueue: str | None = None
    nodeCount: int | None = None
    processorsPerNode: int | None = None
    memoryPerNode: float | None = None  # GB
    maxRunTime: str | None = None  # hh:mm:ss
    archive: bool | None = None
    retries: int | None = None
    localId: str | None = None  # scheduler id or process id
    created: datetime | None = None
    lastUpdated: datetime | None = None  # the submit answer says lastModified instead
    archivePath: str | None = None  # only if archive
    archiveSystem: str | None = None  # only if archive
    outputPath: str | None = None  # work directory, null until set
    status: str
    message: str | None = None  # only when FAILED
    submitTime: datetime | None = None
    startTime: datetime | None = None  # or null
    endTime: datetime | None = None  # or null
    inputs: dict[str, Any] | None = None  # each value an array of strings (a string given is wrapped)
    parameters: dict[str, Any] | None = None  # value or array of values by id
    executionType: str | None = None  # submit answer only
    schedulerType: str | None = None  # submit answer only


class JobNotificationRequest(Record, kw_only=True):
    """Who is told of which event of the job."""

    url: str
    event: str  # status name, other event, or *
    persistent: bool | None = None  # default false
    policy: NotificationPolicy | None = None


class JobRequest(Record, kw_only=True):
    """What is submitted."""

    name: str  # 1..64, alias jobName
    appId: str  # up to 80, must hold a dash, alias softwareName
    inputs: dict[str, Any] | None = None  # id: string or array; ";" separates several in a string
    parameters: dict[str, Any] | None = None
    executionSystem: str | None = None  # must equal the app's
    batchQueue: str | None = None  # alias queue
    nodeCount: int | None = None
    processorsPerNode: int | None = None  # alias processorCount
    memoryPerNode: float | str | None = None  # number of GB or text like 2GB; alias maxMemory
    maxRunTime: str | None = None  # hh:mm:ss, alias requestedTime
    archive: bool | None = None  # default true
    archiveSystem: str | None = None
    archivePath: str | None = None  # macros allowed
    notifications: list[JobNotificationRequest] | None = None  # of JobNotificationRequest
    callbackUrl: str | None = None  # email or URL: FINISHED, FAILED, STOPPED


class JobOperationRequest(Record, kw_only=True):
    """An action on a job."""

    action: str  # AgavePy lists stop and resubmit; reset is for administrators
    ignoreInputConflicts: bool | None = None  # resubmit, default true
    ignoreParameterConflicts: bool | None = None  # resubmit, default true
    preserveNotifications: bool | None = None  # resubmit, default true (read, not used)


class JobStatus(Record, kw_only=True):
    """A job and its status."""

    id: str
    status: str


class JobHistory(Record, kw_only=True):
    """One event of a job."""

    status: str  # event name
    created: datetime | None = None
    createdBy: str | None = None
    description: str | None = None
    progress: Progress | None = None  # as in FileHistory


class JobPermission(Record, kw_only=True):
    """What one user may do with a job."""

    username: str | None = None
    internalUsername: str | None = None
    permission: ACL | None = None  # read, write


class JobPermissionRequest(Record, kw_only=True):
    """A grant; it replaces what the user had."""

    username: str | None = None  # required unless in the path
    permission: str  # READ WRITE EXECUTE READ_WRITE READ_EXECUTE WRITE_EXECUTE ALL NONE
