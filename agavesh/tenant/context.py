"""What a handler is given and what it may give back. Every operation's handler is one function of this form:

    async def listOutputs(ctx: Context, *, jobId: str, filePath: str, limit: int, offset: int) -> Result: ...

It stands in `handlers/<service>.py` under the operation's name and takes the operation's own words: what stands in the
path (decoded), what stands in the query (as the word's type; None where it was not sent, except that `limit` and
`offset` are always numbers within the platform's bounds), and `body` where the operation has one (JSON, form and
multipart alike; never empty). Form fields and files of uploads are not taken apart beforehand: read `ctx.request`.

It gives back

- a dict or a list: 200 and the envelope; None: the envelope without `result`;
- `Answer(result, status=201, message="…")` for all else that goes into the envelope; `Answer(None)` says null;
- a Starlette `Response`, or any ASGI application, for bytes.

and refuses by `raise Refusal(404, "message")`, which becomes the error envelope. Records in answers are full ones; the
envelope applies `filter`, `naked` and `pretty`. Lists that can be searched end with `search.page(ctx, …)`.

A module may also hold routes that no operation has, and a task to start with the tenant:

    @route("GET", "/jobs/v2/trigger/job/{jobId}/token/{token}/status/{status}", token=False)
    async def trigger(ctx: Context, *, jobId: str, token: str, status: str) -> Result: ...

    async def resume(tenant: Tenant) -> None: ...      # run once at each start, in the tenant's nursery

and say what the uuids stand for that its service hands out, for those who subscribe to events:

    @described("007", "job")
    def told(ctx: Context, uuid: str) -> Record | None: ...    # as GET answers it; Refusal for who may not see it
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from starlette.requests import Request
from starlette.types import ASGIApp

if TYPE_CHECKING:
    from agavesh.tenant.files.disk import Disk
    from agavesh.tenant.state import Tenant
    from agavesh.tenant.store import Store

Record = dict[str, Any]
Records = list[dict[str, Any]]  # for modules where `list` is the name of a handler


class _Absent:
    """There is no result, not even null."""


ABSENT = _Absent()


@dataclass
class Answer:
    """What goes into the envelope. `bare` leaves the envelope away, as /token does; `empty` is the status of a naked
    answer that has no result."""

    result: Any = ABSENT
    status: int = 200
    message: str | None = None
    bare: bool = False
    empty: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Result = Answer | Record | Records | ASGIApp | None
Handler = Callable[..., Awaitable[Result]]


@dataclass
class Context:
    """One request. `user` is the caller's name ("" where no token is wanted), `admin` if they administer the tenant.

    `nonce` is what a caller of the actors service came with in place of a token: its handlers look what it opens.
    """

    tenant: Tenant
    request: Request
    operation: str  # its key, such as files.list, or the name of a route
    user: str = ""
    admin: bool = False
    query: Mapping[str, str] = field(default_factory=dict)
    nonce: str = ""

    @property
    def service(self) -> str:
        """The service that is asked, such as files."""
        return service_of(self.operation)

    @property
    def store(self) -> Store:
        return self.tenant.store

    @property
    def filtered(self) -> bool:
        """Whether the caller chose fields: then lists give full records."""
        return bool(self.query.get("filter"))

    def disk(self, system: str) -> Disk:
        """The bytes of a system."""
        return self.tenant.disk(system)

    def url(self, path: str) -> str:
        """A link to a path of this tenant, such as `/jobs/v2/ID`; the path is quoted here."""
        return self.tenant.url + quote(path)

    def link(self, path: str) -> dict[str, str]:
        """A link as answers hold them."""
        return {"href": self.url(path)}


def service_of(name: str) -> str:
    """The service of an operation's key, or of the path of a route."""
    return name.strip("/").replace("/", ".").partition(".")[0]


@dataclass(frozen=True)
class Route:
    """A path that no operation of the catalogue stands for."""

    method: str
    path: str
    handler: Handler
    token: bool
    owner: bool


H = TypeVar("H", bound=Handler)


def route(method: str, path: str, *, token: bool = True, owner: bool = False) -> Callable[[H], H]:
    """Declare a handler at a path of its own. Without `token` the caller need not sign in.

    `owner` is said of the way in of the tenant's owner, who is known by a proof: nobody signs in there, and neither
    bounds nor faults stand in the way.
    """

    def declare(handler: H) -> H:
        vars(handler).setdefault("routes", []).append(Route(method, path, handler, token, owner))
        return handler

    return declare


Describe = Callable[[Context, str], Record | None]
D = TypeVar("D", bound=Describe)


def described(code: str, kind: str) -> Callable[[D], D]:
    """Declare who knows the things whose uuids end in `code`; `kind` is the word for one of them."""

    def declare(describe: D) -> D:
        vars(describe).setdefault("describes", {})[code] = kind
        return describe

    return declare
