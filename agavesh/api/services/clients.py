"""The clients service."""

from __future__ import annotations

from typing import Any, Unpack

from agavesh.api.models.clients import Client, ClientRequest, ClientSubscriptionRequest, Subscription
from agavesh.api.operation import More, Service, operation
from agavesh.api.record import Page
from agavesh.api.words import ClientName


class Clients(Service):
    """OAuth clients. Called with a name and a password, not with a token."""

    @operation("GET", "/clients/v2/", documented=False, token=False)
    async def list(self, **more: Unpack[More]) -> Page[Client]:
        """List the OAuth clients of the caller."""
        ...

    @operation("POST", "/clients/v2/", documented=False, token=False)
    async def create(self, *, body: ClientRequest | dict[str, Any], **more: Unpack[More]) -> Client:
        """Create an OAuth client and get its key and secret."""
        ...

    @operation("GET", "/clients/v2/{clientName}", documented=False, token=False)
    async def getClientByName(self, *, clientName: ClientName, **more: Unpack[More]) -> Client:
        """Fetch one OAuth client by name (secret not shown)."""
        ...

    @operation("DELETE", "/clients/v2/{clientName}", documented=False, token=False)
    async def delete(self, *, clientName: ClientName, **more: Unpack[More]) -> None:
        """Remove an OAuth client with its keys."""
        ...

    @operation("GET", "/clients/v2/{clientName}/subscriptions", documented=False, token=False)
    async def listSubscriptionsForClient(self, *, clientName: ClientName, **more: Unpack[More]) -> Page[Subscription]:
        """List the APIs a client is subscribed to."""
        ...

    @operation("POST", "/clients/v2/{clientName}/subscriptions", documented=False, token=False)
    async def addSubscriptionForClient(
        self, *, clientName: ClientName, body: ClientSubscriptionRequest | dict[str, Any], **more: Unpack[More]
    ) -> Page[Subscription]:
        """Subscribe a client to an API."""
        ...

    @operation("DELETE", "/clients/v2/{clientName}/subscriptions", documented=False, token=False)
    async def deleteSubscriptionsForClient(self, *, clientName: ClientName, **more: Unpack[More]) -> None:
        """Unsubscribe a client from APIs."""
        ...
