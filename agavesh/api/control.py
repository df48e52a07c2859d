"""The control call: how the owner of an embedded tenant asks it for trouble, and what trouble there is.

    GET    /control/faults          what is active, and how many requests came: `Faults`
    POST   /control/faults          one more, as a `Fault`; its `Active` is answered
    DELETE /control/faults          all are over
    DELETE /control/faults/{name}   one is over

It is answered where the tenant was told so, and to its owner only: who can read `tenant.json`, which holds its key.
Each call carries `Authorization: Owner TIME.NONCE.PROOF`, made by `sign`; a call is good once, and for a minute. No
bound of the tenant, and no fault, stands in its way.
"""

from __future__ import annotations

import hmac
import secrets
import time
from hashlib import blake2b
from typing import Annotated

import msgspec

PATH = "/control/faults"
SCHEME = "Owner"
GOOD = 60  # seconds before and after its time that a call is good

At_least_1 = msgspec.Meta(ge=1)
Status = Annotated[int, msgspec.Meta(ge=400, le=599)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
Bytes = Annotated[int, msgspec.Meta(ge=0)]


class Fault(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", omit_defaults=True
):
    """One kind of trouble. `operation` is a key such as `files.list`, a path such as `/token`, or `*` for all; `times`
    is how many requests it meets before it is over, None for all until it is cleared."""

    operation: str = "*"
    times: Annotated[int, At_least_1] | None = None


class Slow(Fault, frozen=True, tag="slow"):
    """The request waits so many seconds before anything is done; None: until the fault is cleared."""

    seconds: Seconds | None = None


class Refuse(Fault, frozen=True, tag="refuse"):
    """The service's error envelope, and nothing done."""

    status: Status = 500
    message: str = "refused on purpose"


class Throttle(Fault, frozen=True, tag="throttle"):
    """429 of the gateway; `retry_after` is a number of seconds, a date, or None for no such header."""

    retry_after: float | str | None = 1


class Gateway(Fault, frozen=True, tag="gateway"):
    """A fault of the gateway by its code: 900900 to 900904, 900906, 900800."""

    code: int = 900904


class Html(Fault, frozen=True, tag="html"):
    """A page as a proxy makes them, with any status, and nothing done."""

    status: Annotated[int, msgspec.Meta(ge=200, le=599)] = 502


class Cut(Fault, frozen=True, tag="cut"):
    """The work is done, and the connection ends after so many bytes of the answer's body."""

    after: Bytes = 0


class Stall(Fault, frozen=True, tag="stall"):
    """The work is done, and the answer's body stops after so many bytes until the fault is cleared."""

    after: Bytes = 0


class Malform(Fault, frozen=True, tag="malform"):
    """The work is done, and the answer is JSON that is none."""


class Lose(Fault, frozen=True, tag="lose"):
    """The work is done, and the connection ends without an answer."""


class HoldStaging(Fault, frozen=True, tag="hold-staging"):
    """Uploads and imports stay STAGING_QUEUED. `operation` and `times` have no meaning here."""


class ExpireTokens(Fault, frozen=True, tag="expire-tokens"):
    """All access tokens, or those of one user, are over now; refresh tokens are still good. It is done at once."""

    username: str | None = None


Any_fault = Slow | Refuse | Throttle | Gateway | Html | Cut | Stall | Malform | Lose | HoldStaging | ExpireTokens
KINDS: tuple[type[Fault], ...] = (
    Slow, Refuse, Throttle, Gateway, Html, Cut, Stall, Malform, Lose, HoldStaging, ExpireTokens,
)  # fmt: skip


class Active(msgspec.Struct, frozen=True):
    """A fault that waits for requests. `name` is what it is cleared by, `hits` how many it met."""

    name: str
    fault: Any_fault
    hits: int


class Faults(msgspec.Struct, frozen=True):
    """What is active, oldest first; `requests` counts what came since the start, by operation."""

    faults: list[Active]
    requests: dict[str, int]


def kind_of(fault: type[Fault] | Fault) -> str:
    """The word for a kind of fault."""
    return str(fault.__struct_config__.tag)


def sign(key: str, run: str, method: str, path: str, body: bytes) -> str:
    """The `Authorization` of a call, fresh; `key` and `run` are those of `tenant.json`."""
    at, nonce = str(int(time.time())), secrets.token_hex(16)
    return f"{SCHEME} {at}.{nonce}.{proof(key, run, at, nonce, method, path, body)}"


def proof(key: str, run: str, at: str, nonce: str, method: str, path: str, body: bytes) -> str:
    """What only who has the key can say of a call. Its construction is no other use's of the key, so that no answer
    of `/prove` is ever one; and a tenant that was started again, which remembers none, takes none from before."""
    told = f"{run} {at} {nonce} {method} {path}\n".encode() + body
    return blake2b(told, key=bytes.fromhex(key), person=b"agavesh control", digest_size=32).hexdigest()


def same(one: str, other: str) -> bool:
    """Whether two proofs are equal, in constant time."""
    return hmac.compare_digest(one.encode(), other.encode())
