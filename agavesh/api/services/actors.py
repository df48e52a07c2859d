"""The actors service (Abaco)."""

from __future__ import annotations

from typing import Any, Unpack

from agavesh.api.models.actors import (
    Actor,
    ActorAlias,
    ActorMessageRequestResult,
    ActorMessages,
    ActorNonce,
    ActorRequest,
    ActorState,
    ActorWorker,
    AddAliasRequest,
    AddNonceRequest,
    AddWorkersRequest,
    Execution,
    ExecutionLogs,
    ExecutionsSummary,
    MessageRequest,
    PermissionsUpdateRequest,
)
from agavesh.api.operation import Download, More, Service, operation
from agavesh.api.record import Page
from agavesh.api.words import ActorAliasName, ActorId, Environment, ExecutionId, Limit, NonceId, Offset, WorkerId


class Actors(Service):
    """Functions that answer messages, and what becomes of each message."""

    @operation("GET", "/actors/v2")
    async def list(
        self, *, limit: Limit | None = None, offset: Offset | None = None, **more: Unpack[More]
    ) -> Page[Actor]:
        """List actors visible to the caller."""
        ...

    @operation("POST", "/actors/v2")
    async def add(self, *, body: ActorRequest | dict[str, Any], **more: Unpack[More]) -> Actor:
        """Register an actor."""
        ...

    @operation("GET", "/actors/v2/{actorId}")
    async def get(self, *, actorId: ActorId, **more: Unpack[More]) -> Actor:
        """Fetch one actor."""
        ...

    @operation("PUT", "/actors/v2/{actorId}")
    async def update(self, *, actorId: ActorId, body: ActorRequest | dict[str, Any], **more: Unpack[More]) -> Actor:
        """Change an actor."""
        ...

    @operation("DELETE", "/actors/v2/{actorId}")
    async def delete(self, *, actorId: ActorId, **more: Unpack[More]) -> None:
        """Delete an actor with its workers and executions."""
        ...

    @operation("GET", "/actors/v2/{actorId}/messages")
    async def getMessages(self, *, actorId: ActorId, **more: Unpack[More]) -> ActorMessages:
        """Count the messages waiting in the mailbox."""
        ...

    @operation("POST", "/actors/v2/{actorId}/messages")
    async def sendMessage(
        self,
        *,
        actorId: ActorId,
        body: MessageRequest | dict[str, Any],
        environment: Environment | None = None,
        **more: Unpack[More],
    ) -> ActorMessageRequestResult:
        """Send a text or JSON message, creating an execution."""
        ...

    @operation("POST", "/actors/v2/{actorId}/messages")
    async def sendBinaryMessage(
        self, *, actorId: ActorId, message: bytes, environment: Environment | None = None, **more: Unpack[More]
    ) -> ActorMessageRequestResult:
        """Send a binary message, creating an execution."""
        ...

    @operation("DELETE", "/actors/v2/{actorId}/messages", documented=False)
    async def deleteMessages(self, *, actorId: ActorId, **more: Unpack[More]) -> None:
        """Empty the mailbox."""
        ...

    @operation("GET", "/actors/v2/{actorId}/state")
    async def getState(self, *, actorId: ActorId, **more: Unpack[More]) -> ActorState:
        """Fetch the state of a stateful actor."""
        ...

    @operation("POST", "/actors/v2/{actorId}/state")
    async def updateState(self, *, actorId: ActorId, body: Any, **more: Unpack[More]) -> Actor:
        """Replace the state of a stateful actor."""
        ...

    @operation("GET", "/actors/v2/{actorId}/permissions")
    async def getPermissions(self, *, actorId: ActorId, **more: Unpack[More]) -> dict[str, str]:
        """Fetch the user to level map of an actor."""
        ...

    @operation("POST", "/actors/v2/{actorId}/permissions")
    async def updatePermissions(
        self, *, actorId: ActorId, body: PermissionsUpdateRequest | dict[str, Any], **more: Unpack[More]
    ) -> dict[str, str]:
        """Set one user level on an actor."""
        ...

    @operation("GET", "/actors/v2/{actorId}/workers")
    async def listWorkers(self, *, actorId: ActorId, **more: Unpack[More]) -> Page[ActorWorker]:
        """List the workers of an actor."""
        ...

    @operation("POST", "/actors/v2/{actorId}/workers")
    async def addWorker(
        self, *, actorId: ActorId, body: AddWorkersRequest | dict[str, Any], **more: Unpack[More]
    ) -> None:
        """Raise the number of workers up to the given count."""
        ...

    @operation("GET", "/actors/v2/{actorId}/workers/{workerId}")
    async def getWorker(self, *, actorId: ActorId, workerId: WorkerId, **more: Unpack[More]) -> ActorWorker:
        """Fetch one worker."""
        ...

    @operation("DELETE", "/actors/v2/{actorId}/workers/{workerId}")
    async def deleteWorker(self, *, actorId: ActorId, workerId: WorkerId, **more: Unpack[More]) -> None:
        """Shut one worker down."""
        ...

    @operation("GET", "/actors/v2/{actorId}/nonces")
    async def listNonces(self, *, actorId: ActorId, **more: Unpack[More]) -> Page[ActorNonce]:
        """List the nonces of an actor."""
        ...

    @operation("POST", "/actors/v2/{actorId}/nonces")
    async def addNonce(
        self, *, actorId: ActorId, body: AddNonceRequest | dict[str, Any] | None = None, **more: Unpack[More]
    ) -> ActorNonce:
        """Create a nonce."""
        ...

    @operation("GET", "/actors/v2/{actorId}/nonces/{nonceId}")
    async def getNonce(self, *, actorId: ActorId, nonceId: NonceId, **more: Unpack[More]) -> ActorNonce:
        """Fetch one nonce."""
        ...

    @operation("DELETE", "/actors/v2/{actorId}/nonces/{nonceId}")
    async def deleteNonce(self, *, actorId: ActorId, nonceId: NonceId, **more: Unpack[More]) -> None:
        """Delete one nonce."""
        ...

    @operation("GET", "/actors/v2/{actorId}/executions")
    async def listExecutions(
        self, *, actorId: ActorId, limit: Limit | None = None, offset: Offset | None = None, **more: Unpack[More]
    ) -> ExecutionsSummary:
        """List the executions of an actor with totals."""
        ...

    @operation("GET", "/actors/v2/{actorId}/executions/{executionId}")
    async def getExecution(self, *, actorId: ActorId, executionId: ExecutionId, **more: Unpack[More]) -> Execution:
        """Fetch one execution."""
        ...

    @operation("GET", "/actors/v2/{actorId}/executions/{executionId}/results")
    def getOneExecutionResult(self, *, actorId: ActorId, executionId: ExecutionId, **more: Unpack[More]) -> Download:
        """Pop one binary result of an execution."""
        ...

    @operation("GET", "/actors/v2/{actorId}/executions/{executionId}/logs")
    async def getExecutionLogs(
        self, *, actorId: ActorId, executionId: ExecutionId, **more: Unpack[More]
    ) -> ExecutionLogs:
        """Fetch the log text of an execution."""
        ...

    @operation("GET", "/actors/v2/aliases", documented=False)
    async def listAliases(self, **more: Unpack[More]) -> Page[ActorAlias]:
        """List aliases visible to the caller."""
        ...

    @operation("POST", "/actors/v2/aliases", documented=False)
    async def addAlias(self, *, body: AddAliasRequest | dict[str, Any], **more: Unpack[More]) -> ActorAlias:
        """Create an alias of an actor."""
        ...

    @operation("GET", "/actors/v2/aliases/{alias}", documented=False)
    async def getAlias(self, *, alias: ActorAliasName, **more: Unpack[More]) -> ActorAlias:
        """Fetch one alias."""
        ...

    @operation("DELETE", "/actors/v2/aliases/{alias}", documented=False)
    async def deleteAlias(self, *, alias: ActorAliasName, **more: Unpack[More]) -> None:
        """Delete one alias."""
        ...
