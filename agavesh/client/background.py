"""A thread that runs trio, for callers that know nothing of it: from any thread, and whatever loop runs in theirs.

It starts with the first work that it is given, and ends when it is told to, or with the program. What it is given to
do runs in its nursery; who gave it waits. It knows no platform and no client.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

import trio

from agavesh.client.errors import AgaveError, BadArgument

T = TypeVar("T")
Work = Callable[[], Awaitable[T]]

ENDS: Final = 5.0  # seconds that the thread has for its end; nobody waits longer for it


class Background:
    """One thread with one nursery. `ending` is what it does at its end, when nothing else runs any more."""

    def __init__(self) -> None:
        self.ending: Work[None] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="agave")
        self._starting = threading.Lock()
        self._ready = threading.Event()
        self._token: trio.lowlevel.TrioToken | None = None
        self._nursery: trio.Nursery | None = None
        self._stop = trio.Event()
        self._stopped = self._ended = False
        self._owed: set[Future[Any]] = set()

    def call(self, work: Work[T]) -> T:
        """What `work` gives or raises. Whoever is interrupted while it waits here has cancelled the work by that."""
        if threading.current_thread() is self._thread:
            raise BadArgument("a call from within another one would wait for itself", hint="use Agave and await")
        self._start()
        done: Future[T] = Future()
        scope = trio.CancelScope()
        self._owed.add(done)
        try:
            self._soon(partial(self._begin, work, scope, done))
            if self._ended:  # perhaps too early to have seen what it owes
                self._disown()
            error = done.exception()
        except BaseException:
            self._soon(scope.cancel)
            raise
        finally:
            self._owed.discard(done)
        if error is None:
            return done.result()
        if isinstance(error, AgaveError):
            # where in here it came up is of no use to the caller: the error is written for them
            raise error.with_traceback(None) from None
        raise error

    def leave(self, work: Work[Any]) -> None:
        """Have something done that nobody waits for. May be called at any moment, as from a finalizer."""
        self._soon(partial(self._begin, work, trio.CancelScope(), Future()))

    def stop(self) -> None:
        """Tell it to end. What is under way is cancelled, and its callers are told."""
        self._stopped = True
        if self._thread.ident is not None:
            self._ready.wait()
            self._soon(self._stop.set)

    def join(self) -> None:
        """Wait for its end, after `stop`."""
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(ENDS)

    # in any thread

    def _start(self) -> None:
        if self._stopped:
            raise _closed()
        with self._starting:
            if self._thread.ident is None:
                _running.add(self)
                self._thread.start()
        self._ready.wait()

    def _soon(self, act: Callable[[], object]) -> None:
        if self._token is not None:
            with suppress(trio.RunFinishedError):  # its end has told everybody
                self._token.run_sync_soon(act)

    def _disown(self) -> None:
        for done in list(self._owed):
            with suppress(InvalidStateError):
                done.set_exception(_closed())

    # in its own

    def _run(self) -> None:
        try:
            trio.run(self._main)
        finally:
            self._ended = True
            self._ready.set()
            self._disown()
            _running.discard(self)

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as self._nursery:
            self._ready.set()
            await self._stop.wait()
            self._nursery.cancel_scope.cancel()
        self._nursery = None  # no await since its end: nothing can have been begun in between
        if self.ending is not None:
            with trio.move_on_after(ENDS / 2):
                await self.ending()

    def _begin(self, work: Work[Any], scope: trio.CancelScope, done: Future[Any]) -> None:
        if self._nursery is None:
            done.set_exception(_closed())
        else:
            self._nursery.start_soon(_carry_out, work, scope, done)


async def _carry_out(work: Work[Any], scope: trio.CancelScope, done: Future[Any]) -> None:
    tell: Callable[[], None] = partial(done.set_exception, _closed())  # where it is cancelled
    try:
        with scope:
            try:
                tell = partial(done.set_result, await work())
            except Exception as error:  # noqa: BLE001  it is the caller's, in another thread
                tell = partial(done.set_exception, error)
    finally:
        tell()


def _closed() -> BadArgument:
    return BadArgument("this connection is closed", hint="connect() makes another")


_running: set[Background] = set()


@atexit.register
def _end_all() -> None:
    """A program that ends with connections open closes them, and does not wait for what they were doing."""
    ending = list(_running)
    for each in ending:
        each.stop()
    for each in ending:
        each.join()
