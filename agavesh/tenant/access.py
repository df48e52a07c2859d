"""The access log: a line of JSON for each request that was answered, where somebody asked for one.

It says who asked for what and what came of it. It never holds what is secret or nobody's business: no query, no header,
no body, and in place of a token that stands in a path a star.
"""

from __future__ import annotations

import logging
import os
import secrets
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

import msgspec

log = logging.getLogger(__name__)

STANDARD_ERROR = "-"
SECRET = frozenset({"token", "nonce", "nonceId", "postitId"})  # path parameters that let in whoever knows them
KNOWN = 2  # segments of a path that nothing answers at which are told


@dataclass
class Asked:
    """One request as the log sees it. `id` is in the answer's `X-Request-Id`, and in what the tenant logs of it."""

    method: str
    path: str = ""
    service: str = ""  # whose envelope a refusal has
    user: str = ""
    status: int = 0
    size: int = 0  # bytes of the answer's body that were sent
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    began: float = field(default_factory=time.time)
    _clock: float = field(default_factory=time.monotonic)

    def line(self) -> bytes:
        """`status` 0 means that there was no answer."""
        return msgspec.json.encode({
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.began)),
            "id": self.id, "user": self.user, "method": self.method, "path": self.path, "status": self.status,
            "bytes": self.size, "ms": round((time.monotonic() - self._clock) * 1000, 1),
        })  # fmt: skip


def told(raw_path: str, template: str | None, values: Mapping[str, str]) -> str:
    """A path as the log may hold it: `template` and its `values`, or None where nothing answers at it."""
    if template is None:
        parts = raw_path.split("/")
        return raw_path if len(parts) <= KNOWN + 1 else "/".join([*parts[: KNOWN + 1], "*"])
    if SECRET.isdisjoint(values):
        return raw_path
    return "/".join(_part(part, values) for part in template.split("/"))


def _part(part: str, values: Mapping[str, str]) -> str:
    name = part.strip("{}")
    return part if not part.startswith("{") else "*" if name in SECRET else quote(values[name])


class AccessLog:
    """Where the lines go: a file that only this user can read and that is appended to, or standard error."""

    def __init__(self, where: str) -> None:
        self._where = where
        careful = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._fd = os.dup(sys.stderr.fileno()) if where == STANDARD_ERROR else os.open(where, careful, 0o600)
        self._failed = False

    def note(self, asked: Asked) -> None:
        """Add a line. A log that cannot be written, as on a full disk, keeps nobody from an answer."""
        try:
            os.write(self._fd, asked.line() + b"\n")
            self._failed = False
        except OSError as problem:
            if not self._failed:
                log.warning("the access log %s cannot be written: %s", self._where, problem.strerror)
            self._failed = True

    def close(self) -> None:
        os.close(self._fd)
