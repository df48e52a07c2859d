"""The owner's way in: whether a control call is from who holds the key of `tenant.json`. No user's token is."""

from __future__ import annotations

import time
from collections.abc import Callable

from agavesh.api.control import GOOD, SCHEME, proof, same
from agavesh.tenant.refusal import Refusal


class Owner:
    """Judges the proofs of control calls, each of which is good once, and for this `run` of the tenant alone."""

    def __init__(self, key: str, run: str, *, clock: Callable[[], float] = time.time) -> None:
        self._key, self._run, self._clock = key, run, clock
        self._used: dict[str, float] = {}  # by proof: when it would be too old anyway

    def require(self, authorization: str, method: str, path: str, body: bytes) -> None:
        """Refusal 401 unless the call is the owner's, made just now and never seen before."""
        scheme, _, given = authorization.partition(" ")
        at, _, rest = given.partition(".")
        nonce, _, proven = rest.partition(".")
        now = self._clock()
        self._used = {each: until for each, until in self._used.items() if until > now}
        right = scheme == SCHEME and at.isascii() and at.isdecimal() and nonce.isalnum() and proven.isalnum()
        if not right or not same(proof(self._key, self._run, at, nonce, method, path, body), proven):
            raise Refusal(401, "Only the owner of the tenant may do this: who can read the key in its tenant.json")
        if abs(now - int(at)) > GOOD or proven in self._used:
            raise Refusal(401, "This call was made before, or at another time")
        self._used[proven] = int(at) + GOOD + 1
