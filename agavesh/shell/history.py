"""History: the lines of one account, in a file for its owner only. No prompt_toolkit here.

Whose lines they are shows when the account is open: what is typed before that is written then. A line that begins with
a blank is not kept. Several shells may add to one file at once.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agavesh.shell.session import Session

_OFFERED = 2000  # lines
_WAITS = 30.0  # seconds for the account


class AccountHistory:
    """The history of a session's account. `opened` is set when the account was opened, or could not be."""

    def __init__(self, here: Session, opened: Callable[[], threading.Event]) -> None:
        self._here, self._opened = here, opened
        self._unwritten: list[str] = []

    @property
    def file(self) -> Path:
        """Where the lines are."""
        from platformdirs import user_state_path

        account = self._here.account
        name = re.sub(r"[^\w.@-]+", "-", account.key) if account is not None else "nobody"
        return user_state_path("agavesh") / "history" / name

    def newest(self) -> list[str]:
        """The last lines, the newest first. Waits for the account."""
        self._opened().wait(_WAITS)
        try:
            text = self.file.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return []
        return [_unpacked(line) for line in reversed(text.split("\n")[-_OFFERED - 1 : -1])]

    def add(self, line: str) -> None:
        """Keep a line."""
        if line.strip() and not line.startswith(" "):
            self._unwritten.append(_packed(line))
        if self._opened().is_set():
            self.write()

    def write(self) -> None:
        """Write the lines that are not written yet."""
        lines, self._unwritten = self._unwritten, []
        if not lines:
            return
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))
        except OSError as error:
            self._here.console.note(f"agavesh: the history is not kept: {error.strerror}")


def _packed(line: str) -> str:
    """A text as one line."""
    return line.replace("\\", "\\\\").replace("\n", "\\n")


def _unpacked(line: str) -> str:
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], line)
