"""Work that outlives a request, contained: what nobody foresaw in one piece of it is logged, and ends that piece alone.

All such work has its tasks in the tenant's nursery, and an exception that got there would end the tenant, and each of
its next starts if a record is to blame. This is only the edge: what can be foreseen is for each room to deal with.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator

import trio

from agavesh.tenant.store import PAUSE, patiently

log = logging.getLogger(__name__)


@contextlib.contextmanager
def contained(what: str) -> Iterator[None]:
    """Whatever goes wrong in the block ends it, and nothing else. `what` names the work in the log."""
    try:
        yield
    except Exception:  # the edge that this module is: what was not foreseen is logged, and ends this piece alone
        log.exception("%s failed", what)


async def work(what: str, do: Callable[[], Awaitable[None]]) -> None:
    """Do one piece of work, as `patiently` does; a task for the tenant's nursery."""
    with contained(what):
        await patiently(do)


async def keep_up(what: str, do: Callable[[], Awaitable[None]]) -> None:
    """Do what has no end of its own; it is begun anew, after a pause, where it ended all the same."""
    while True:
        await work(what, do)
        await trio.sleep(PAUSE)
