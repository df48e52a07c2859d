"""A real pseudo-terminal with `agavesh` on it, and its screen as a person sees it."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pyte
import trio

PATIENCE = 30.0  # seconds for anything to show
_START = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "os.execv(sys.executable, [sys.executable, '-m', *sys.argv[1:]])"
)

KEYS = {"tab": "\t", "enter": "\r", "ctrl-c": "\x03", "ctrl-d": "\x04", "up": "\x1b[A", "escape": "\x1b"}


class Terminal:
    """The screen and the keyboard."""

    def __init__(self, master: int, process: subprocess.Popen[bytes], columns: int, lines: int) -> None:
        self._master, self.process = master, process
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self._news = trio.Event()
        self.raw = b""

    async def press(self, *keys: str) -> None:
        """Press keys: texts, or names of KEYS."""
        for key in keys:
            os.write(self._master, KEYS.get(key, key).encode())

    async def type(self, line: str) -> None:
        """Type a line, and press Enter."""
        await self.press(line, "enter")

    async def until(self, seen: Callable[[], bool], what: str) -> None:
        """Wait until the screen is as it should be."""
        with trio.move_on_after(PATIENCE):
            while not seen():
                await self._news.wait()
            return
        raise AssertionError(f"waited for {what}; the screen was:\n{self.text}")

    async def shows(self, text: str) -> None:
        """Wait until a text is on the screen."""
        await self.until(lambda: text in self.text, repr(text))

    async def prompts(self, where: str = "/") -> None:
        """Wait until the prompt stands, with nothing typed."""
        await self.until(lambda: self.line == f"{where}>", f"the prompt {where}>")

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    @property
    def line(self) -> str:
        """The line that the cursor is in."""
        return str(self.screen.display[self.screen.cursor.y]).rstrip()

    async def ends(self) -> int:
        """Wait until the program has ended; its status."""
        with trio.fail_after(PATIENCE):
            return await trio.to_thread.run_sync(self.process.wait)

    async def watch(self) -> None:
        """Keep the screen; answer where the cursor is, as terminals do."""
        while True:
            await trio.lowlevel.wait_readable(self._master)
            try:
                data = os.read(self._master, 65536)
            except OSError:  # the other end is closed
                data = b""
            if not data:
                break
            self.raw += data
            self._stream.feed(data)
            if b"\x1b[6n" in data:
                os.write(self._master, f"\x1b[{self.screen.cursor.y + 1};{self.screen.cursor.x + 1}R".encode())
            news, self._news = self._news, trio.Event()
            news.set()


@asynccontextmanager
async def terminal(
    *words: str, module: str = "agavesh", columns: int = 100, lines: int = 30, **environment: str
) -> AsyncIterator[Terminal]:
    """`agavesh`, or another of our programs, on a terminal of its own; killed at the end if it still runs."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", _START, module, *words], stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        env={**os.environ, "TERM": "xterm-256color", **environment},
    )  # fmt: skip
    os.close(slave)
    opened = Terminal(master, process, columns, lines)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(opened.watch)
            yield opened
            nursery.cancel_scope.cancel()
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(master)
