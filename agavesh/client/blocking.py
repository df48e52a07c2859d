"""connect(): the platform's services for plain scripts and notebooks. A call gives its answer; nothing is awaited.

    from agavesh.client import connect

    agave = connect("https://api.example.org", username="alice", password="…", api_key="…", api_secret="…")
    for file in agave.files.list(systemId="data.demo", filePath="/alice"):
        print(file.name, file.length)

The services are those of `Agave`, which runs in a thread behind them; any thread may call. A script of AgavePy runs
with its import and its constructor changed: its words, its answers by attribute and by key, its downloads.
"""

from __future__ import annotations

import functools
import logging
import os
import re
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Self, TypeVar
from urllib.parse import unquote

from agavesh.api.models.jobs import JobHistory
from agavesh.api.operation import Blocking, Content, Operation
from agavesh.api.record import Page
from agavesh.api.services import (
    actors,
    apps,
    clients,
    files,
    jobs,
    meta,
    monitors,
    notifications,
    postits,
    profiles,
    systems,
)
from agavesh.client.accounts import Account, Accounts
from agavesh.client.background import Background
from agavesh.client.body import Body
from agavesh.client.client import Agave, RawAnswer
from agavesh.client.errors import BadArgument, NotSignedIn
from agavesh.client.local import current_account, stay_up
from agavesh.client.transport import DEADLINE
from agavesh.client.watch import follow

log = logging.getLogger(__name__)
_OUTPUT = re.compile(r"/jobs/v2/(?P<job>[^/]+)/outputs/(?:media|listings)/(?P<path>.+)")
T = TypeVar("T")


class Actors(Blocking, actors.Actors):
    __doc__ = actors.Actors.__doc__


class Apps(Blocking, apps.Apps):
    __doc__ = apps.Apps.__doc__


class Clients(Blocking, clients.Clients):
    __doc__ = clients.Clients.__doc__


class Files(Blocking, files.Files):
    __doc__ = files.Files.__doc__


class Jobs(Blocking, jobs.Jobs):
    __doc__ = jobs.Jobs.__doc__


class Meta(Blocking, meta.Meta):
    __doc__ = meta.Meta.__doc__


class Monitors(Blocking, monitors.Monitors):
    __doc__ = monitors.Monitors.__doc__


class Notifications(Blocking, notifications.Notifications):
    __doc__ = notifications.Notifications.__doc__


class Postits(Blocking, postits.Postits):
    __doc__ = postits.Postits.__doc__


class Profiles(Blocking, profiles.Profiles):
    __doc__ = profiles.Profiles.__doc__


class Systems(Blocking, systems.Systems):
    __doc__ = systems.Systems.__doc__


class Connection:
    """What `connect` gives: the services of one tenant, and what else `Agave` has.

    `close` it, or use it in a `with`, or let the program end. In a forked child it is a connection of the child's own.
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

    def __init__(self, agave: Agave, background: Background, again: Callable[[Account], Agave]) -> None:
        """`again` makes another `Agave` of an account, for a child."""
        self._again = again
        self._use(agave, background)
        self.actors, self.apps, self.clients = Actors(self._do), Apps(self._do), Clients(self._do)
        self.files, self.jobs, self.meta = Files(self._do), Jobs(self._do), Meta(self._do)
        self.monitors, self.notifications = Monitors(self._do), Notifications(self._do)
        self.postits, self.profiles, self.systems = Postits(self._do), Profiles(self._do), Systems(self._do)
        _open.add(self)

    def _use(self, agave: Agave, background: Background) -> None:
        self._agave, self._background = agave, background
        background.ending = agave.aclose
        self._gone = weakref.finalize(self, background.stop)
        self._gone.atexit = False  # the program's end waits for its connections, a garbage collection does not

    @property
    def url(self) -> str:
        """The tenant's base URL."""
        return self._agave.url

    @property
    def username(self) -> str | None:
        """Whose account it is, as far as known."""
        return self._agave.username

    @property
    def account(self) -> Account:
        """The account with the tokens of this moment."""
        return self._agave.account

    def __repr__(self) -> str:
        return f"<connection to {self.url} as {self.username or 'somebody'}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """End every connection, and the thread. What another thread is waiting for is cancelled."""
        self._background.stop()
        self._background.join()

    def sign_in(self) -> None:
        """Have a token that is good for a while. NotSignedIn if there is no way to one."""
        self._background.call(self._agave.sign_in)

    def renew(self) -> None:
        """Get new tokens now, whatever the old ones are good for. NotSignedIn if the platform refuses."""
        self._background.call(self._agave.renew)

    def raw(
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
        ask = functools.partial(self._agave.raw, params=params, json=json, content=content, headers=headers)
        return self._background.call(functools.partial(ask, method, path))

    def pages(
        self, call: Callable[..., Page[T]], *, limit: int | None = None, offset: int = 0, **arguments: Any
    ) -> Iterator[Page[T]]:
        """All pages of a list: `for page in agave.pages(agave.files.list, systemId=…, filePath=…)`. None is empty."""
        operation = getattr(call, "operation", None)
        if not isinstance(operation, Operation) or operation.answer != "page":
            raise BadArgument("only lists have pages", hint="give a list of this connection: agave.jobs.list")
        awaited = getattr(getattr(self._agave, operation.service), operation.name)
        return self._each(self._agave.pages(awaited, limit=limit, offset=offset, **arguments))

    def follow(self, job_id: str, *, soonest: float = 1.0, latest: float = 15.0) -> Iterator[JobHistory]:
        """The events of a job as they happen, to the last one. It is asked every `soonest` to `latest` seconds."""
        return self._each(follow(self._agave, job_id, soonest=soonest, latest=latest))

    def download_uri(self, uri: str, local_path: str | os.PathLike[str]) -> None:
        """Save what an `agave://` URI or the link of a job's output stands for: AgavePy's word for it."""
        self._found(uri).save(local_path)

    def _found(self, uri: str) -> Content:
        if uri.startswith("agave://"):
            system, _, path = uri.removeprefix("agave://").partition("/")
            return self.files.download(systemId=system, filePath=path)
        if output := _OUTPUT.search(uri):
            return self.jobs.downloadOutput(jobId=unquote(output["job"]), filePath=unquote(output["path"]))
        raise BadArgument(
            f"{uri} is neither agave://SYSTEM/PATH nor the link of a job's output",
            hint="files.download takes a system and a path",
        )

    def _each(self, steps: AsyncIterator[T]) -> Iterator[T]:
        async def step() -> T | None:
            return await anext(steps, None)

        while (found := self._background.call(step)) is not None:
            yield _kept(found)

    def _do(self, operation: Operation, arguments: Mapping[str, Any]) -> Any:
        """Carry an operation out, as a service wants it done."""
        call = getattr(getattr(self._agave, operation.service), operation.name)
        if operation.answer != "bytes":
            return _kept(self._background.call(functools.partial(call, **arguments)))
        background, stream = self._background, call(**arguments)
        background.call(stream.__aenter__)
        return Body(stream, background)

    def _forked(self) -> None:
        """In a child: the thread is not here, and the sockets are the parent's too."""
        self._gone.detach()
        self._use(self._again(self._agave.account), Background())


def connect(
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
    api_server: str | None = None,
    tenant_id: str | None = None,
    client_name: str | None = None,
    resources: object = None,
) -> Connection:
    """A connection to a tenant. The arguments are those of `Agave`; without any it is the account that is configured
    anywhere, else the tenant on this machine.

    For scripts of AgavePy: `api_server` is the URL; without one, `tenant_id` and `client_name` choose among the saved
    accounts; `resources` is not needed.
    """
    url = url or api_server
    if url is None and account is None and (tenant_id or client_name):
        account = _saved(accounts or Accounts(), tenant_id, client_name)
    background = Background()

    def again(account: Account) -> Agave:
        return Agave(account=account, verify=verify, accounts=accounts, deadline=deadline, connections=connections)

    if any((url, token, username, password, api_key, api_secret, refresh_token, account)):
        agave = Agave(
            url, token=token, username=username, password=password, api_key=api_key, api_secret=api_secret,
            refresh_token=refresh_token, account=account, verify=verify, accounts=accounts, deadline=deadline,
            connections=connections,
        )  # fmt: skip
    else:
        agave = again(background.call(functools.partial(current_account, notice=log.warning)))
        background.leave(functools.partial(stay_up, agave.account))
    return Connection(agave, background, again)


def _saved(accounts: Accounts, tenant_id: str | None, client_name: str | None) -> Account:
    for each in accounts.all():
        if tenant_id in (None, each.tenant_id) and client_name in (None, each.client_name):
            return each
    raise NotSignedIn(f"no saved account of {client_name or tenant_id}", hint="give the URL and who you are")


def _kept(answer: T) -> T:
    """An answer whose records keep the bytes they came in: a script asks them for anything, any time."""
    if isinstance(answer, Page):
        answer.keep()
    return answer


_open: weakref.WeakSet[Connection] = weakref.WeakSet()


def _in_child() -> None:
    for connection in list(_open):
        connection._forked()


os.register_at_fork(after_in_child=_in_child)
