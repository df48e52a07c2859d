"""The prompt: prompt_toolkit in the main thread, the engine's trio behind it. All that knows prompt_toolkit is here.

Commands write to the terminal themselves; what else is said while the prompt stands (`Notices`) goes above it. Ctrl-C
at the prompt drops the line, during a command cancels it; Ctrl-D on an empty line leaves.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import TYPE_CHECKING, Any

from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application, get_app, run_in_terminal
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, get_common_complete_suffix
from prompt_toolkit.document import Document
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import History, ThreadedHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.lexers import Lexer
from prompt_toolkit.styles import Style

from agavesh.client.errors import AgaveError
from agavesh.shell import complete, exits
from agavesh.shell.engine import Engine, Interrupted
from agavesh.shell.history import AccountHistory
from agavesh.shell.language import at_cursor, roles
from agavesh.shell.run import checked, report, run_line
from agavesh.shell.session import Leave
from agavesh.shell.tokens import printable, unfinished

if TYPE_CHECKING:
    from agavesh.shell.session import Session

_STYLE = Style.from_dict(
    {
        "command": "bold",
        "option": "ansicyan",
        "comment": "ansibrightblack",
        "mistake": "ansired underline",
        "reserved": "ansired",
        "path": "ansiblue bold",
        "bottom-toolbar": "noreverse ansibrightblack",
        "auto-suggestion": "ansibrightblack",
    }
)


def prompt(here: Session) -> int:
    """Read and run lines until the user leaves; what to end with."""
    with asyncio.Runner() as runner:
        return _Prompt(here, runner).run()


class _Prompt:
    def __init__(self, here: Session, runner: asyncio.Runner) -> None:
        self.here, self.runner = here, runner
        self.loop = runner.get_loop()
        self.engine = Engine(here, self.ask)
        self.history = AccountHistory(here, lambda: self.engine.tried)
        self.session: PromptSession[str] = PromptSession(
            history=ThreadedHistory(_Lines(self.history)),
            completer=_Remote(here, lambda: self.engine),
            complete_while_typing=False,
            lexer=_Colours(here),
            auto_suggest=AutoSuggestFromHistory(),
            bottom_toolbar=lambda: _hint(here, self.session.default_buffer.document),
            key_bindings=_keys(here, lambda: self.engine),
            multiline=Condition(lambda: unfinished(self.session.default_buffer.text)),
            prompt_continuation="> ",
            style=_STYLE,
            include_default_pygments_style=False,
        )
        self.notices = _Notices(self.loop)

    def run(self) -> int:
        here = self.here
        here.console.asker = self.engine.ask
        here.console.hold = self.notices.take
        self.session.app.after_render += lambda _: self.engine.start()
        # one handler for life, which never raises: a gap of a moment would be enough to die of
        before = signal.signal(signal.SIGINT, lambda *_: self.engine.on_interrupt())
        try:
            while True:
                try:
                    line = self._read()
                except KeyboardInterrupt:
                    continue
                except EOFError:
                    return here.status
                self._do(line)
        except Leave as leave:
            return leave.status
        finally:
            here.console.hold = lambda text: False
            self.engine.close()
            self.history.write()
            signal.signal(signal.SIGINT, before)

    def _read(self) -> str:
        editing = EditingMode.VI if self.here.settings["editing"] == "vi" else EditingMode.EMACS
        self.session.editing_mode = editing
        return self._prompted(self.session, self._message)

    def _message(self) -> StyleAndTextTuples:
        where = printable(self.here.cwd)
        columns = self.session.output.get_size().columns
        if len(where) > columns // 2:
            where = "…" + where[-(columns // 2) :]
        return [("class:path", where), ("", "> ")]

    def _do(self, text: str) -> None:
        here = self.here
        try:
            line = checked(here, text)
            if line:
                self.engine.run(lambda: run_line(here, line))
        except AgaveError as error:
            here.status = report(here, error)
        except Interrupted:
            here.status = exits.INTERRUPTED
            here.console.write("\n")
        except Leave:
            raise
        except BaseExceptionGroup as group:
            if (leave := group.subgroup(Leave)) is not None:
                raise _first(leave) from None
            self._broken(group)
        except Exception as error:  # noqa: BLE001  the prompt outlives a fault of a command; it is told in full
            self._broken(error)
        finally:
            if self.engine.tried.is_set():
                self.history.write()

    def _broken(self, error: BaseException) -> None:
        """Tell of a fault of ours; if it took the engine with it, begin with a new one."""
        here = self.here
        if here.debug:
            import traceback

            here.console.note("".join(traceback.format_exception(error)).rstrip())
        here.console.note(f"agavesh: a fault of agavesh itself: {type(error).__name__}: {error}")
        here.status = exits.BUG
        if self.engine.error is not None:
            here.forget_workspace()
            self.engine = Engine(here, self.ask)
            here.console.asker = self.engine.ask

    def ask(self, question: str, secret: bool) -> str:
        """Put a question; called in the main thread, while a command waits for the answer."""
        return self._prompted(PromptSession(), printable(question), is_password=secret)

    def _prompted(self, session: PromptSession[str], message: Any, **how: Any) -> str:
        self.notices.open(session.app)
        try:
            return self.loop.run_until_complete(session.prompt_async(message, handle_sigint=False, **how))
        finally:
            self.notices.close()


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class _Notices:
    """What is said while the prompt stands: from any thread, shown above the prompt by its own loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._texts: list[str] = []
        self._app: Application[str] | None = None

    def open(self, app: Application[str]) -> None:
        """A prompt stands from now on."""
        with self._lock:
            self._app = app

    def close(self) -> None:
        """It does no longer: what was not shown yet is shown now."""
        with self._lock:
            self._app = None
        self._drain()

    def take(self, text: str) -> bool:
        """Take a text, if a prompt stands."""
        with self._lock:
            if self._app is None:
                return False
            self._texts.append(text)
        self._loop.call_soon_threadsafe(self._show)
        return True

    def _show(self) -> None:
        app = self._app
        if app is not None and app.is_running and not app.is_done:
            self._showing = asyncio.ensure_future(run_in_terminal(self._drain))

    def _drain(self) -> None:
        with self._lock:
            texts, self._texts = self._texts, []
        if texts:
            sys.stderr.write("".join(texts))
            sys.stderr.flush()


class _Remote(Completer):
    """Candidates, from what is known or from the engine; given up as soon as the text changes."""

    def __init__(self, here: Session, engine: Callable[[], Engine]) -> None:
        self._here, self._engine = here, engine

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """What is known at once."""
        answer = complete.known(self._here, document.text_before_cursor)
        return _completions(answer, document) if answer is not None else []

    async def get_completions_async(
        self, document: Document, complete_event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        """All there is, asked for if need be."""
        text = document.text_before_cursor
        answer = complete.known(self._here, text)
        if answer is None:
            answer = await self._asked(text)
        if answer is not None:
            for completion in _completions(answer, document):
                yield completion

    async def _asked(self, text: str) -> complete.Answer | None:
        buffer = get_app().current_buffer
        changed = asyncio.Event()

        def on_change(_: object) -> None:
            changed.set()

        asking = asyncio.ensure_future(self._engine().call(lambda: complete.find(self._here, text)))
        edit = asyncio.ensure_future(changed.wait())
        buffer.on_text_changed += on_change
        try:
            await asyncio.wait([asking, edit], return_when=asyncio.FIRST_COMPLETED)
            if asking.done() and not asking.cancelled() and asking.exception() is None:
                return asking.result()
            return None
        finally:
            buffer.on_text_changed -= on_change
            asking.cancel()
            edit.cancel()


def _completions(answer: complete.Answer, document: Document) -> list[Completion]:
    start = answer.place - document.cursor_position
    return [
        Completion(candidate.text, start, display=candidate.shown, display_meta=candidate.meta)
        for candidate in answer.candidates
    ]


def _keys(here: Session, engine: Callable[[], Engine]) -> KeyBindings:
    keys = KeyBindings()

    @keys.add("tab")
    def _(event: KeyPressEvent) -> None:
        # what is known is put in place within the handler, so that a key typed right after it is never lost
        buffer = event.current_buffer
        if buffer.complete_state is not None:
            buffer.complete_next()
            return
        answer = complete.known(here, buffer.document.text_before_cursor)
        if answer is None:
            buffer.start_completion(insert_common_part=True)
            return
        if answer.folders and engine().ready.is_set():
            folders = answer.folders
            engine().spawn(lambda: complete.refresh(here, folders))
        found = _completions(answer, buffer.document)
        if len(found) == 1:
            buffer.apply_completion(found[0])
        elif found and (more := get_common_complete_suffix(buffer.document, found)):
            buffer.insert_text(more)
        elif found:
            buffer.start_completion()

    return keys


class _Colours(Lexer):
    def __init__(self, here: Session) -> None:
        self._here = here

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        """The styled lines of the text."""
        text = document.text
        styles = [""] * len(text)
        for start, stop, role in roles(text, self._here.table):
            styles[start:stop] = [f"class:{role}"] * (min(stop, len(text)) - start)
        starts = [0]
        for line in document.lines:
            starts.append(starts[-1] + len(line) + 1)

        def styled(number: int) -> StyleAndTextTuples:
            if number >= len(document.lines):
                return []
            begin = starts[number]
            return [(styles[begin + at], character) for at, character in enumerate(document.lines[number])]

        return styled


def _hint(here: Session, document: Document) -> str:
    """The line at the bottom: what is wrong, or what may stand here."""
    if not document.text.strip():
        return ""
    statement = at_cursor(document.text_before_cursor, here.table)
    if statement.mistake is not None:
        hint = f" ({statement.mistake.hint})" if statement.mistake.hint else ""
        return printable(f"{statement.mistake.sentence}{hint}")
    command = statement.command
    if command is None:
        return ""
    values = [f"{parameter.label}: {parameter.word.help}" for parameter in statement.expected.values]
    return printable("   ".join([command.usage, *values]))


class _Lines(History):
    """The history as prompt_toolkit wants it."""

    def __init__(self, kept: AccountHistory) -> None:
        super().__init__()
        self._kept = kept

    def load_history_strings(self) -> Iterable[str]:
        """The newest first; runs in a thread of its own, since it waits."""
        return self._kept.newest()

    def store_string(self, string: str) -> None:
        """Keep a line."""
        self._kept.add(string)
