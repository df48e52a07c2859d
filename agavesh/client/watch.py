"""Following a job to its end, through lost connections and expired tokens.

Its status is asked for, soon at first and then less and less often; when it has changed, the job's history says what
happened in between, so that no step is missed. Trouble on the line is waited out; a refusal is not.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from random import uniform
from typing import Final, TypeVar

import trio

from agavesh.api.models.jobs import JobHistory
from agavesh.client.client import Agave
from agavesh.client.errors import BadAnswer, Busy, ServerTrouble, Unreachable, Untrusted

T = TypeVar("T")
log = logging.getLogger(__name__)

FINAL: Final = frozenset({"FINISHED", "FAILED", "STOPPED", "KILLED"})
PASSING: Final = (Unreachable, Busy, ServerTrouble, BadAnswer)
GROWTH: Final = 1.5


def follow(
    agave: Agave, job_id: str, *, soonest: float = 1.0, latest: float = 15.0, patience: float = 3600.0
) -> AsyncIterator[JobHistory]:
    """The events of a job as they happen, from its first to the one with a final status.

    Seconds: it is asked after `soonest` at first and after each change, then ever later up to `latest`. Without any
    answer for `patience` the last error is raised; a refusal (NotFound, NotAllowed, NotSignedIn) at once.
    """
    return _Events(agave, job_id, soonest, latest, patience)


class _Events(AsyncIterator[JobHistory]):
    """A class, not a generator: a reader may stop in the middle and nothing is left to be finalized."""

    def __init__(self, agave: Agave, job_id: str, soonest: float, latest: float, patience: float) -> None:
        self._agave, self._id = agave, job_id
        self._soonest, self._latest, self._patience = soonest, latest, patience
        self._waiting: deque[JobHistory] = deque()
        self._told = 0  # events of the history that were given out
        self._status: str | None = None
        self._pause = 0.0
        self._over = False

    async def __anext__(self) -> JobHistory:
        while not self._waiting:
            if self._over:
                raise StopAsyncIteration
            await trio.sleep(self._pause * uniform(0.9, 1.0))
            self._pause = min(max(self._pause * GROWTH, self._soonest), self._latest)
            await self._look()
        return self._waiting.popleft()

    async def _look(self) -> None:
        record = await self._through(lambda: self._agave.jobs.getStatus(jobId=self._id))
        if record.status == self._status:
            return
        self._status, self._pause = record.status, self._soonest
        events = await self._through(self._news)
        self._told += len(events)
        self._waiting.extend(events)
        self._over = self._status in FINAL
        if self._over and all(event.status != self._status for event in events):
            # the history may lag behind the record; the end is told all the same
            self._waiting.append(JobHistory(status=record.status))

    async def _news(self) -> list[JobHistory]:
        """The events that were not given out yet."""
        pages = self._agave.pages(self._agave.jobs.getHistory, jobId=self._id, offset=self._told)
        return [event async for page in pages for event in page]

    async def _through(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer, waited for through what may pass. The client has had its own attempts before we hear of it."""
        ends = trio.current_time() + self._patience
        pause = self._soonest
        while True:
            try:
                return await ask()
            except PASSING as trouble:
                if isinstance(trouble, Untrusted) or trio.current_time() > ends:
                    raise
                log.debug("job %s: %s; still following", self._id, trouble.sentence)
            await trio.sleep(pause * uniform(0.5, 1.0))
            pause = min(pause * GROWTH, self._latest)
