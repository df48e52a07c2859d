"""The console: where results and remarks go, and where questions are asked.

Results go to standard output, all else to standard error. Nothing remote moves a terminal: what is not printable is
written out, except for the contents of files. Not here: tables and JSON (`render.py`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress

from agavesh.client.errors import AgaveError, BadArgument
from agavesh.shell.tokens import printable

Asker = Callable[[str, bool], str]


class OutputClosed(Exception):
    """Nobody reads standard output any more: an end, not an error."""


class Console:
    """One terminal, or what stands for it. `asker` puts a question where the terminal is not ours to read."""

    def __init__(self, out: int = 1, err: int = 2, *, asker: Asker | None = None) -> None:
        self._out, self._err, self.asker = out, err, asker
        # takes a remark that must not be written now, since a prompt stands there; says whether it took it
        self.hold: Callable[[str], bool] = lambda text: False
        self.is_terminal = os.isatty(out)
        self.errors_seen = os.isatty(err)
        self.colour = self.is_terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"

    @property
    def width(self) -> int | None:
        """Columns of the terminal; None where there is none."""
        if not self.is_terminal:
            return None
        try:
            return os.get_terminal_size(self._out).columns or 80
        except OSError:
            return 80

    @property
    def can_ask(self) -> bool:
        """Whether there is somebody to answer."""
        return self.asker is not None or (os.isatty(0) and self.errors_seen)

    def write(self, text: str | bytes) -> None:
        """Write a result. Blocks while nobody reads: `send` does not. OutputClosed."""
        try:
            _write(self._out, _encode(text))
        except BrokenPipeError:
            raise OutputClosed from None
        except OSError as error:
            raise OSError(error.errno, error.strerror, "standard output") from None

    async def send(self, text: str | bytes) -> None:
        """Write a result, in a thread: cancelled, some of it may have been written, or may still be."""
        import trio

        data = memoryview(_encode(text))
        for start in range(0, len(data), 65536):
            await trio.to_thread.run_sync(self.write, bytes(data[start : start + 65536]), abandon_on_cancel=True)

    async def show(self, text: str | bytes) -> None:
        """Write records or names. To a terminal, what is not printable is written out, in the manner of JSON."""
        if self.is_terminal:
            whole = text if isinstance(text, str) else text.decode("utf-8", "replace")
            text = "\n".join(line if line.isprintable() else _written_out(line) for line in whole.split("\n"))
        await self.send(text)

    def note(self, text: str) -> None:
        """Say something that is no result."""
        clean = "".join(f"{printable(line)}\n" for line in text.split("\n"))
        if self.hold(clean):
            return
        try:
            _write(self._err, _encode(clean))
        except OSError:
            pass  # who closed it does not want to know, and nobody else can be told

    def complain(self, error: AgaveError | OSError, *, at: str = "") -> None:
        """Say what went wrong and what to try."""
        if isinstance(error, OSError):
            name = f"{error.filename}: " if error.filename else ""
            self.note(printable(f"agavesh: {at}{name}{error.strerror or error}"))
            return
        self.note(printable(f"agavesh: {at}{error.sentence}"))
        if error.hint:
            self.note(printable(f"  {error.hint}"))

    def progress(self, text: str) -> None:
        """Show how far something is, in place of what was shown before; only to a terminal."""
        if self.errors_seen:
            with suppress(OSError):
                _write(self._err, _encode(f"\r\x1b[K{printable(text)}"))

    async def ask(self, question: str, *, secret: bool = False, instead: str = "") -> str:
        """The answer to a question; `secret` ones are not echoed. BadArgument where there is nobody to ask: `instead`
        says what to give then."""
        if not self.can_ask:
            raise BadArgument(f"nobody to ask for: {question.rstrip(': ')}", hint=instead or "this needs a terminal")
        if self.asker is None:
            return _ask(question, secret)  # nothing else is going on in this process
        import trio

        return await trio.to_thread.run_sync(self.asker, question, secret, abandon_on_cancel=True)


def _written_out(line: str) -> str:
    units = ((c, c.encode("utf-16-be", "surrogatepass").hex()) for c in line)
    return "".join(
        c if c.isprintable() else "".join(f"\\u{code[at : at + 4]}" for at in range(0, len(code), 4))
        for c, code in units
    )


def _ask(question: str, secret: bool) -> str:
    try:
        if secret:
            import getpass

            return getpass.getpass(question)
        sys.stderr.write(question)
        sys.stderr.flush()
        line = sys.stdin.readline()
    except EOFError:
        line = ""
    if not line:
        raise BadArgument("no answer", hint="")
    return line.rstrip("\n")


def _encode(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape" if _whole(text) else "replace")


def _whole(text: str) -> bool:
    """Whether all surrogates in the text stand for bytes that were no UTF-8."""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:  # somebody who shares the terminal made it so
            import select

            select.select([], [descriptor], [])
