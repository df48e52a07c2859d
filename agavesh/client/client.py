"""Agave: the services of a tenant, bound to one transport.

    async with Agave("https://api.example.org", token="…") as agave:
        files = await agave.files.list(systemId="data.demo", filePath="/alice")

What can be asked is declared in `agavesh.api`; what happens on the way is the transport's matter.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Self, TypeVar

from agavesh.api.operation import Operation
from agavesh.api.record import Page
from agavesh.api.services.actors import Actors
from agavesh.api.services.apps import Apps
from agavesh.api.services.clients import Clients
from agavesh.api.services.files import Files
from agavesh.api.services.jobs import Jobs
from agavesh.api.services.meta import Meta
from agavesh.api.services.monitors import Monitors
from agavesh.api.services.notifications import Notifications
from agavesh.api.services.postits import Postits
from agavesh.api.services.profiles import Profiles
from agavesh.api.services.systems import Systems
from agavesh.client.accounts import Account, Accounts, chosen
from agavesh.client.answers import SIGN_IN, message
from agavesh.client.arguments import raw_ask
from agavesh.client.errors import BadArgument, NotSignedIn
from agavesh.client.health import Health
from agavesh.client.paging import PAGE, Paging
from agavesh.client.transport import DEADLINE, Transport, within
from agavesh.client.width import Width, chosen_connections

T = TypeVar("T")


class RawAnswer(NamedTuple):
    """An answer as it came: nothing is unwrapped, and no status is an error."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Agave:
    """A client of one tenant, for use inside `async with`.

    Who the user is comes from the arguments, else the environment, else the saved accounts, else AgavePy's `current`.
    `deadline` is in seconds: for a whole call, retries included; for an upload or a download, without any progress.
    `connections` is how many requests may be under way at once: AGAVE_CONNECTIONS, or 64, and fewer while the platform
    says that is too many.
    `verify` is False, or the path of a file of authorities, where the usual ones are not to be trusted.
    """

    actors: Actors
    apps: Apps
    clients: Clients
    files: Files
    jobs: Jobs
    meta: Meta
    monitors: Monitors
    notifications: Notifications
    postits: Postits
    profiles: Profiles
    systems: Systems

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        username: str | None = None,
        password: str | None = None,
        api_key: str | None = None,
        api_secret: str | None = None,
        refresh_token: str | None = None,
        account: Account | None = None,
        verify: bool | str = True,
        accounts: Accounts | None = None,
        deadline: float = DEADLINE,
        connections: int | None = None,
    ) -> None:
        if account is not None and (url or token or username or api_key or api_secret or refresh_token):
            raise BadArgument("an account says all that about itself", hint="give the account, or what it is made of")
        if account is not None and password is not None:
            account = dataclasses.replace(account, password=password)
        if accounts is None:
            accounts = Accounts(account.kept_in if account else None)
        account = account or chosen(
            url,
            token=token,
            username=username,
            password=password,
            api_key=api_key,
            api_secret=api_secret,
            refresh_token=refresh_token,
            accounts=accounts,
        )
        if account is None:
            raise NotSignedIn("no account, and no URL of a tenant", hint=SIGN_IN)
        wide = chosen_connections() if connections is None else connections
        self._transport = Transport(account, accounts, deadline=deadline, verify=verify, connections=wide)
        self._paging = Paging()
        call = self._transport
        self.actors, self.apps, self.clients = Actors(call), Apps(call), Clients(call)
        self.files, self.jobs, self.meta = Files(call), Jobs(call), Meta(call)
        self.monitors, self.notifications, self.postits = Monitors(call), Notifications(call), Postits(call)
        self.profiles, self.systems = Profiles(call), Systems(call)

    @property
    def url(self) -> str:
        """The tenant's base URL."""
        return self.account.url

    @property
    def username(self) -> str | None:
        """Whose account it is, as far as known."""
        return self.account.username

    @property
    def account(self) -> Account:
        """The account with the tokens of this moment."""
        return self._transport.auth.account

    @property
    def health(self) -> Health:
        """Whether the platform answers, and since when not."""
        return self._transport.health

    @property
    def width(self) -> Width:
        """How many requests may be under way, and are."""
        return self._transport.width

    async def warm(self, number: int) -> None:
        """Open so many connections before they are needed: each saves a first request two or three round trips."""
        await self._transport.warm(number)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End every connection."""
        await self._transport.aclose()

    async def sign_in(self) -> None:
        """Have a token that is good for a while. NotSignedIn if there is no way to one."""
        await self._transport.auth.bearer()

    async def renew(self) -> None:
        """Get new tokens now, whatever the old ones are good for. NotSignedIn if the platform refuses."""
        await self._transport.auth.renew()

    async def sign_out(self) -> None:
        """End the account's tokens on the platform. AgaveError where that can't be done."""
        await self._transport.auth.revoke()

    async def raw(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        content: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> RawAnswer:
        """Call any path of the platform, signed in. Raises only where no answer comes at all."""
        reply = await self._transport.fetch(raw_ask(method, path, params, json, content, headers), judge=False)
        return RawAnswer(reply.status, reply.headers, reply.body)

    def pages(
        self, call: Callable[..., Awaitable[Page[T]]], *, limit: int | None = None, offset: int = 0, **arguments: Any
    ) -> AsyncIterator[Page[T]]:
        """All pages of a list, `limit` items at a time as far as the tenant gives so many.

        `async for page in agave.pages(agave.files.list, systemId=…, filePath=…)`. No page is empty.
        """
        return self._paging.pages(call, limit=limit, offset=offset, arguments=arguments)

    async def pages_ahead(
        self,
        call: Callable[..., Awaitable[Page[Any]]],
        take: Callable[[list[T], bool], object],
        *,
        record: type[T],
        key: Callable[[T], object],
        limit: int,
        first: list[T] | None = None,
        likely: Callable[[list[T]], int] = len,
        **arguments: Any,
    ) -> None:
        """All pages of a long list, several of them asked for at once. `take` gets each in its order, and whether it is
        the last.

        A thing of the list is decoded to a `record`, a struct with the fields that are wanted; `key` tells them apart.
        Behind a `first` page, as `first_page` gives it, only the others. `likely` tells by it how many there may be.
        """
        operation = _declared(call)

        async def page(**asked: Any) -> list[T]:
            found: list[T] = await self._transport.result(operation, asked, record)
            return found

        await self._paging.ahead(
            page, take, service=operation.service, key=key, limit=limit, arguments=arguments, first=first, likely=likely
        )

    async def first_page(
        self, call: Callable[..., Awaitable[Page[Any]]], *, record: type[T], **arguments: Any
    ) -> tuple[list[T], bool]:
        """The first page of a list by one request, decoded as `pages_ahead` does; and whether it is known to be all."""
        operation = _declared(call)
        page: list[T] = await self._transport.result(operation, {"limit": PAGE, **arguments}, record)
        return page, self._paging.is_all(operation.service, len(page), PAGE)

    async def made(self, call: Callable[..., Awaitable[Any]], **arguments: Any) -> tuple[Any, bool]:
        """What is answered by a call that makes something, and whether somebody else had made it before.

        wire: that a folder is there already is told by the words of a success alone. Behind an answer that was lost it
        may be our own work, and counts as that.
        """
        answer, reply = await self._transport.told(_declared(call), arguments)
        return answer, reply.attempt == 1 and "already exists" in message(reply.body).lower()

    @staticmethod
    def within(seconds: float) -> AbstractContextManager[None]:
        """`with agave.within(5): …`: every call in the block is done 5 seconds from now, or raises TimedOut."""
        return within(seconds)


def _declared(call: Callable[..., Any]) -> Operation:
    """The operation of a bound method of a service."""
    operation: Operation = call.operation  # type: ignore[attr-defined]  # `@operation` gives it to each of them
    return operation
