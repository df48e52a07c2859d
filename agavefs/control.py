"""Control: the folder `.agavefs` of a mount, which tells of the mount itself. Not listed; it opens by its name."""

from __future__ import annotations

import collections
import functools
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from agavefs.journal import Row
from agavefs.looks import Outside
from agavesh.client.storage import EXECUTE, READ, Entry
from agavesh.tree.node import Directory, Node, TextFile

NAME = ".agavefs"
_ERRORS = 200  # lines


class Errors(logging.Handler):
    """The last warnings and errors of the log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lines: collections.deque[str] = collections.deque(maxlen=_ERRORS)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record).partition("\n")[0])

    def text(self) -> str:
        return "".join(f"{line}\n" for line in self._lines)


@dataclass(frozen=True)
class Control(Directory):
    """`.agavefs`: `status`, what the mount is at; `errors`, what went wrong lately; `recovered`."""

    texts: dict[str, Callable[[], str]]
    stranded: Callable[[], list[Row]]

    async def scan(self) -> AsyncIterator[Node]:
        for name, text in self.texts.items():
            # of unknown size: it is made when it is opened
            entry = Entry(name, "file", None, time.time())
            yield TextFile(f"{self.path}/{name}", entry, functools.partial(_bytes, text))
        folder = Entry("recovered", "dir", 0, time.time(), READ | EXECUTE)
        yield Recovered(f"{self.path}/recovered", folder, self.stranded)


@dataclass(frozen=True)
class Recovered(Directory):
    """`.agavefs/recovered`: links to what mounts that died have left unfinished. None of it is sent by itself."""

    stranded: Callable[[], list[Row]]

    async def scan(self) -> AsyncIterator[Node]:
        for row in self.stranded():
            name = f"{row.number}-{row.remote.name}"
            yield Outside(f"{self.path}/{name}", Entry(name, "file", None, time.time()), row.spool)


def _bytes(text: Callable[[], str]) -> bytes:
    return text().encode(errors="surrogateescape")


def make_control(texts: dict[str, Callable[[], str]], stranded: Callable[[], list[Row]]) -> Control:
    """The folder with these files."""
    return Control(f"/{NAME}", Entry(NAME, "dir", 0, time.time(), READ | EXECUTE), texts, stranded)
