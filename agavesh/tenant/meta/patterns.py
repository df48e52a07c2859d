"""Regular expressions from outside: compiled by `regex`, which lets other threads run and gives up in time.

Python's own `re` does neither, so that one bad expression would hold the whole tenant. Syntax and meaning are those of
MongoDB (PCRE), as near as `regex` comes, which is nearer than `re`.
"""

from __future__ import annotations

import contextvars
import time
from dataclasses import dataclass, field
from typing import Any

LONGEST = 4096  # characters of an expression
EACH = 1.0  # seconds for one search in one text
BRIEF = 0.003  # seconds that one may hold the others up: it costs more to let them run than most searches take

deadline: contextvars.ContextVar[float] = contextvars.ContextVar("deadline")  # by time.monotonic, of all searches


class BadPattern(ValueError):
    """No regular expression, or one that is too long."""


class TooSlow(Exception):
    """What was asked takes longer than it may."""


@dataclass(frozen=True, eq=False)
class Pattern:
    """One expression with MongoDB's options: i (any case), m (lines), s (dot is anything), x (blanks are nothing)."""

    text: str
    options: str = ""
    _compiled: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        import regex  # a hundredth of a second that the start of a tenant need not spend

        if len(self.text) > LONGEST:
            raise BadPattern(f"it is longer than {LONGEST} characters")
        flags = regex.VERSION0
        for option in self.options:
            if option not in "imsxu":
                raise BadPattern(f"unknown option {option}")
            flags |= {"i": regex.I, "m": regex.M, "s": regex.S, "x": regex.X, "u": regex.U}[option]
        try:
            object.__setattr__(self, "_compiled", regex.compile(self.text, flags))
        except (regex.error, RecursionError, OverflowError, MemoryError, ValueError) as problem:
            raise BadPattern(str(problem)) from None

    def search(self, text: str) -> bool:
        """Whether it is found anywhere in a text. Raises TooSlow."""
        try:
            return self._compiled.search(text, timeout=BRIEF) is not None
        except TimeoutError:
            pass
        left = min(EACH, deadline.get(float("inf")) - time.monotonic())
        try:
            if left <= 0:
                raise TimeoutError
            return self._compiled.search(text, timeout=left, concurrent=True) is not None
        except TimeoutError:
            raise TooSlow(f"the regular expression {self.text[:80]} takes too long") from None
