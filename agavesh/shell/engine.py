"""The engine: one thread that runs trio behind the prompt, and carries out what the main thread asks of it.

The main thread stays plain: it prompts, waits for a command, and hears signals. Ctrl-C cancels the command that runs,
and nothing else. trio is imported in the thread, so that the first prompt need not wait for it.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Any, TypeVar

from agavesh.client.errors import AgaveError, BadArgument

if TYPE_CHECKING:
    import trio

    from agavesh.shell.session import Session

T = TypeVar("T")
Work = Callable[[], Awaitable[T]]

_CLOSES = 5.0  # seconds that the thread has to end


class Interrupted(Exception):
    """The command was cancelled by Ctrl-C."""


class Engine:
    """Runs work for a session. `ask_user` is called in the main thread to put a question: its text, whether secret."""

    def __init__(self, here: Session, ask_user: Callable[[str, bool], str]) -> None:
        self._here, self._ask_user = here, ask_user
        self.ready = threading.Event()
        self.tried = threading.Event()  # the account was opened, or could not be
        self.error: BaseException | None = None
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._cancel: Callable[[], None] | None = None
        self._pending: set[Future[Any]] = set()
        self._thread = threading.Thread(target=self._run, daemon=True, name="trio")
        self._token: trio.lowlevel.TrioToken | None = None
        self._nursery: trio.Nursery | None = None
        self._stop: trio.Event | None = None

    def start(self) -> None:
        """Start the thread; a second call does nothing."""
        if self._thread.ident is None:
            self._thread.start()

    def close(self) -> None:
        """End the thread; work under way is cancelled."""
        if self._thread.ident is None:
            return
        self.ready.wait()
        if self._token is not None and self._stop is not None:
            self._soon(self._stop.set)
        self._thread.join(_CLOSES)

    # in the thread

    def _run(self) -> None:
        try:
            import trio

            trio.run(self._main)
        except BaseException as error:  # noqa: BLE001  told to whoever waits, and to the next who asks
            self.error = error
        finally:
            self.ready.set()
            self.tried.set()
            for future in list(self._pending):
                if not future.done():
                    future.set_exception(self.error or CancelledError())

    async def _main(self) -> None:
        import trio

        self._token = trio.lowlevel.current_trio_token()
        self._stop = trio.Event()
        async with self._here.living(), trio.open_nursery() as self._nursery:
            self.ready.set()
            self._nursery.start_soon(self._open)
            await self._stop.wait()
            self._nursery.cancel_scope.cancel()

    async def _open(self) -> None:
        """Open the account ahead of the first command; what goes wrong is told when one needs it."""
        try:
            workspace = await self._here.workspace()
            self.tried.set()
            for name in ("systems", "apps", "jobs"):  # what the first completions will ask for
                async for _ in (await workspace.directory(f"/{name}")).scan():
                    pass
        except AgaveError:
            pass
        finally:
            self.tried.set()

    # from any thread

    def _soon(self, act: Callable[[], Any]) -> None:
        import trio

        assert self._token is not None
        try:
            self._token.run_sync_soon(act)
        except trio.RunFinishedError:
            pass  # its end has told everybody

    def _submit(self, work: Work[T]) -> tuple[Future[T], Callable[[], None]]:
        """Have work done; its outcome, and what cancels it."""
        self.start()
        self.ready.wait()
        if self.error is not None or self._nursery is None:
            raise self.error or CancelledError()
        import trio

        future: Future[T] = Future()
        scope = trio.CancelScope()
        self._pending.add(future)

        async def task() -> None:
            error: BaseException = CancelledError()
            try:
                with scope:
                    try:
                        result = await work()
                    except Exception as failure:  # noqa: BLE001  it is the caller's, in another thread
                        error = failure
                    else:
                        future.set_result(result)
                        return
            finally:
                self._pending.discard(future)
                if not future.done():
                    future.set_exception(error)

        nursery = self._nursery
        self._soon(lambda: nursery.start_soon(task))
        return future, lambda: self._soon(scope.cancel)

    def spawn(self, work: Work[Any]) -> None:
        """Have work done some time; nobody waits for it."""
        self._submit(work)

    # from the main thread

    def run(self, work: Work[T]) -> T:
        """Do work in the foreground: questions are asked here meanwhile, and Ctrl-C cancels it (Interrupted)."""
        self._events = queue.SimpleQueue()
        future, self._cancel = self._submit(work)
        future.add_done_callback(self._events.put)
        try:
            while (event := self._events.get()) is not future:
                event()
            result: T = future.result()
            return result
        except CancelledError:
            raise Interrupted from None
        finally:
            self._cancel = None

    def on_interrupt(self, *_: object) -> None:
        """The signal handler. Never raises: between commands there is nothing to cancel."""
        if self._cancel is not None:
            self._cancel()

    async def call(self, work: Work[T]) -> T:
        """Do work for the prompt's own loop; cancelling the call cancels the work."""
        if not self.ready.is_set():
            await asyncio.to_thread(self.ready.wait)
        future, cancel = self._submit(work)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            cancel()
            raise

    # from a thread of trio's

    def ask(self, question: str, secret: bool) -> str:
        """Put a question from within a command: the main thread asks it."""
        answer: Future[str] = Future()

        def put() -> None:
            try:
                answer.set_result(self._ask_user(question, secret))
            except (KeyboardInterrupt, EOFError):
                answer.set_exception(BadArgument("no answer"))
                self.on_interrupt()

        self._events.put(put)
        return answer.result()
