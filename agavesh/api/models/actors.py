"""Actors (Abaco): functions that answer messages."""

from typing import Any

from agavesh.api.record import Record


class Actor(Record, kw_only=True):
    """An actor. wire: fields that are null are left out; times are text, see `wire.moment`."""

    id: str  # hash id
    name: str | None = None  # or null
    image: str | None = None
    description: str | None = None
    owner: str | None = None
    status: str | None = None  # SUBMITTED READY ERROR SHUTTING_DOWN
    statusMessage: str | None = None
    stateless: bool | None = None  # default true
    privileged: bool | None = None  # default false
    token: bool | None = None
    type: str | None = None  # default none
    link: str | None = None
    webhook: str | None = None
    hints: list[Any] | None = None
    defaultEnvironment: dict[str, Any] | None = None
    state: Any = None  # object by default
    maxWorkers: int | None = None
    memLimit: str | None = None
    maxCpus: int | None = None
    useContainerUid: bool | None = None
    queue: str | None = None  # default "default"
    logEx: int | None = None
    cronOn: bool | None = None
    cronSchedule: str | None = None
    cronNextEx: str | None = None
    revision: int | None = None
    mounts: list[Any] | None = None  # of {host_path, container_path, mode}
    tasdir: str | None = None
    uid: str | None = None
    gid: str | None = None
    createTime: str | None = None
    lastUpdateTime: str | None = None


class ActorRequest(Record, kw_only=True):
    """What is registered."""

    image: str  # required on create and update
    name: str | None = None
    description: str | None = None
    stateless: bool | None = None
    privileged: bool | None = None
    defaultEnvironment: dict[str, Any] | None = None
    token: bool | None = None
    type: str | None = None  # none bin json
    link: str | None = None
    webhook: str | None = None
    hints: list[Any] | None = None
    maxWorkers: int | None = None
    memLimit: str | None = None
    maxCpus: int | None = None
    useContainerUid: bool | None = None
    queue: str | None = None
    logEx: int | None = None
    cronSchedule: str | None = None  # "yyyy-mm-dd hh + <n> <unit>" or "now + ..."
    cronOn: bool | None = None
    state: dict[str, Any] | None = None
    force: bool | None = None  # update only


class ActorMessages(Record, kw_only=True):
    """How many messages wait."""

    messages: int | None = None


class MessageRequest(Record, kw_only=True):
    """A message."""

    message: Any = None  # sent as text; without it the whole body is the message


class ActorMessageRequestResult(Record, kw_only=True):
    """The execution that a message made."""

    executionId: str | None = None
    msg: Any = None  # the message; "binary - omitted" for binary


class ActorState(Record, kw_only=True):
    """The state of a stateful actor."""

    state: Any = None


class PermissionsUpdateRequest(Record, kw_only=True):
    """A grant: one user, one level."""

    user: str
    level: str  # NONE READ EXECUTE UPDATE


class ActorWorker(Record, kw_only=True):
    """A worker of an actor."""

    id: str
    actorId: str | None = None  # UNVERIFIED in answers
    tenant: str | None = None
    status: str | None = None
    chName: str | None = None
    image: str | None = None
    location: str | None = None
    cid: str | None = None
    hostId: str | None = None
    hostIp: str | None = None
    createTime: str | None = None
    lastExecutionTime: str | None = None
    lastHealthCheckTime: str | None = None


class AddWorkersRequest(Record, kw_only=True):
    """How many workers there should be at least."""

    num: int | None = None  # default 1


class ActorNonce(Record, kw_only=True):
    """A nonce: it opens an actor without a token."""

    id: str
    actorId: str | None = None
    alias: str | None = None  # alias nonces only
    owner: str | None = None
    roles: list[Any] | None = None
    apiServer: str | None = None
    level: str | None = None  # default EXECUTE
    description: str | None = None
    maxUses: int | None = None  # -1 no limit
    currentUses: int | None = None
    remainingUses: int | None = None
    createTime: str | None = None
    lastUseTime: str | None = None


class AddNonceRequest(Record, kw_only=True):
    """A nonce to be made."""

    maxUses: int | None = None  # positive or -1; default -1 (unlimited)
    level: str | None = None  # default EXECUTE
    description: str | None = None


class ExecutionSummaryItem(Record, kw_only=True):
    """One line of the list of executions."""

    id: str
    status: str | None = None
    startTime: str | None = None
    finishTime: str | None = None
    messageReceivedTime: str | None = None


class ExecutionsSummary(Record, kw_only=True):
    """The executions of an actor, with totals."""

    actorId: str | None = None
    owner: str | None = None
    apiServer: str | None = None
    executions: list[ExecutionSummaryItem] | None = None  # of ExecutionSummaryItem (AgavePy: ids, array of string)
    totalExecutions: int | None = None
    totalCpu: int | None = None
    totalIo: int | None = None
    totalRuntime: int | None = None


class Execution(Record, kw_only=True):
    """One answer to one message."""

    id: str
    actorId: str | None = None
    apiServer: str | None = None
    executor: str | None = None  # AgavePy says owner
    workerId: str | None = None
    status: str | None = None  # SUBMITTED RUNNING COMPLETE ERROR
    messageReceivedTime: str | None = None
    startTime: str | None = None
    finishTime: str | None = None
    runtime: int | None = None  # see PROTOCOL for units
    cpu: int | None = None
    io: int | None = None
    exitCode: int | None = None
    finalState: dict[str, Any] | None = None  # container state: Status, ExitCode, OOMKilled, StartedAt, FinishedAt ...


class ExecutionLogs(Record, kw_only=True):
    """What an execution wrote."""

    logs: str | None = None


class ActorAlias(Record, kw_only=True):
    """Another name for an actor: it may stand for the id in every call."""

    alias: str
    actorId: str | None = None
    owner: str | None = None


class AddAliasRequest(Record, kw_only=True):
    """An alias to be made."""

    alias: str
    actorId: str
