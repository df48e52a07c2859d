"""Failures: the last thing that went wrong at each path, for who asks why. Bounded: the oldest goes first."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

from agavesh.client.errors import AgaveError

_MOST = 1000  # paths


@dataclass(frozen=True)
class Failure:
    """What was asked for, the errno that it got, why, the request's name in the platform's log, and when."""

    act: str
    errno: int
    text: str
    request: str | None
    at: float


class Failures:
    """By tree path."""

    def __init__(self) -> None:
        self._by_path: OrderedDict[str, Failure] = OrderedDict()

    def note(self, path: str, act: str, errno: int, trouble: BaseException | str) -> None:
        """It went wrong just now."""
        request = trouble.request_id if isinstance(trouble, AgaveError) else None
        self._by_path[path] = Failure(act, errno, str(trouble), request, time.time())
        self._by_path.move_to_end(path)
        while len(self._by_path) > _MOST:
            self._by_path.popitem(last=False)

    def of(self, path: str) -> Failure | None:
        """What went wrong there last, if that is remembered."""
        return self._by_path.get(path)
