"""Systems: storage and login configurations, queues, roles, credentials."""

from datetime import datetime
from typing import Any

from agavesh.api.record import Record


class UserCredentialServer(Record, kw_only=True):
    """Where a credential is had from."""

    name: str | None = None
    endpoint: str | None = None
    port: int | None = None
    protocol: str | None = None  # list partly UNVERIFIED


class UserCredential(Record, kw_only=True):
    """A credential; answers tell its type and server only."""

    type: str | None = None  # TOKEN KERBEROSE PASSWORD X509 LOCAL SSHKEYS PAM APIKEYS ANONYMOUS
    internalUsername: str | None = None
    username: str | None = None  # up to 32 in the parser
    password: str | None = None
    publicKey: str | None = None  # up to 8192
    privateKey: str | None = None  # up to 16384
    credential: str | None = None  # up to 8192
    caCerts: str | None = None  # X509
    server: UserCredentialServer | None = None


class StorageConfig(Record, kw_only=True):
    """How the bytes of a system are reached."""

    host: str | None = None  # up to 256
    port: int | None = None
    protocol: str | None = None  # GRIDFTP FTP SFTP IRODS IRODS4 LOCAL AZURE S3 SWIFT HTTP HTTPS
    rootDir: str | None = None  # default /
    homeDir: str | None = None  # default /
    publicAppsDir: str | None = None  # storage systems only
    mirror: bool | None = None  # default false
    zone: str | None = None  # IRODS
    resource: str | None = None  # IRODS
    container: str | None = None  # S3, AZURE
    proxy: dict[str, Any] | None = None  # name, host, port; null in answers without one
    auth: UserCredential | None = None  # answers show type and server only


class LoginConfig(Record, kw_only=True):
    """How commands are run on a system."""

    host: str | None = None
    port: int | None = None
    protocol: str | None = None  # GSISSH SSH LOCAL API
    proxy: dict[str, Any] | None = None  # name, host, port
    auth: UserCredential | None = None


class BatchQueue(Record, kw_only=True):
    """A queue of an execution system and its limits."""

    name: str | None = None  # up to 128: letters, digits, periods, dashes
    default: bool | None = None
    description: str | None = None  # up to 512
    mappedName: str | None = None  # up to 128: name on the scheduler
    maxJobs: int | None = None  # -1 no limit
    maxUserJobs: int | None = None
    maxNodes: int | None = None
    maxProcessorsPerNode: int | None = None
    maxMemoryPerNode: float | str | None = None  # GB in answers; text such as 2GB accepted
    maxRequestedTime: str | None = None  # hh:mm:ss
    customDirectives: str | None = None  # up to 16384


class SystemSummary(Record, kw_only=True):
    """One line of the list of systems."""

    id: str
    name: str | None = None
    type: str | None = None  # EXECUTION STORAGE
    description: str | None = None
    status: str | None = None  # UP DOWN MAINTENANCE UNKNOWN
    public: bool | None = None
    lastUpdated: datetime | None = None
    default: bool | None = None  # the caller's default of its type


class System(Record, kw_only=True):
    """A system; what follows `executionType` is told of execution systems only."""

    id: str
    uuid: str | None = None  # ...-006
    name: str | None = None
    status: str | None = None  # UP DOWN MAINTENANCE UNKNOWN
    available: bool | None = None
    type: str | None = None  # EXECUTION STORAGE
    description: str | None = None
    site: str | None = None
    revision: int | None = None
    public: bool | None = None
    globalDefault: bool | None = None
    default: bool | None = None  # the caller's default
    lastModified: datetime | None = None
    owner: str | None = None
    storage: StorageConfig | None = None
    executionType: str | None = None  # EXECUTION only, as all below
    scheduler: str | None = None
    environment: str | None = None
    startupScript: str | None = None
    maxSystemJobs: int | None = None
    maxSystemJobsPerUser: int | None = None
    workDir: str | None = None
    scratchDir: str | None = None
    queues: list[BatchQueue] | None = None  # of BatchQueue
    login: LoginConfig | None = None


class SystemRequest(Record, kw_only=True):
    """What is registered."""

    id: str
    name: str
    type: str  # EXECUTION STORAGE
    status: str | None = None  # default UP
    description: str | None = None  # up to 4096
    site: str | None = None  # up to 64
    available: bool | None = None  # default true
    storage: StorageConfig
    login: LoginConfig | None = None  # required for EXECUTION
    executionType: str | None = None  # required for EXECUTION
    scheduler: str | None = None
    queues: list[BatchQueue] | None = None  # required for EXECUTION
    environment: str | None = None  # up to 16384
    startupScript: str | None = None  # up to 255
    workDir: str | None = None  # up to 255
    scratchDir: str | None = None  # up to 255
    maxSystemJobs: int | None = None  # > 0
    maxSystemJobsPerUser: int | None = None  # > 0


class StoredCredential(Record, kw_only=True):
    """What is told of a stored credential: never the secret."""

    parentType: str | None = None  # lower case on the wire
    default: bool | None = None
    internalUsername: str | None = None
    type: str | None = None
    created: datetime | None = None
    valid: bool | None = None
    expirationDate: datetime | None = None  # one branch misspells it expriationDate
    server: UserCredentialServer | None = None  # or null


class SystemOperationRequest(Record, kw_only=True):
    """An action on a system."""

    action: str  # case-insensitive
    id: str | None = None  # clone: the new id


class SystemRole(Record, kw_only=True):
    """The role of one user on a system."""

    username: str | None = None
    role: str | None = None  # NONE GUEST USER PUBLISHER ADMIN OWNER


class SystemEvent(Record, kw_only=True):
    """One event of a system."""

    status: str | None = None
    created: datetime | None = None
    createdBy: str | None = None
    description: str | None = None
    id: str | None = None  # ...-027
