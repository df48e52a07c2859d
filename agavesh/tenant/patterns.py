"""Regular expressions from outside, by RE2: each is searched in a time that grows with the text and no faster.

Python's own `re` (and `regex`, which stops in time but not in memory) can be brought down by one expression. RE2 lets
other threads run, too. Its syntax is that of MongoDB and JSON Schema but for what no such engine can do: looking ahead
or behind, and referring back. Such an expression is refused.
"""

from __future__ import annotations

import contextlib
import contextvars
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

LONGEST = 4096  # characters of an expression
MEMORY = 8 * 2**20  # bytes for an expression at work; one that needs more to be compiled is refused
WORK = 5 * 10**8  # steps of an expression times bytes of a text: ten seconds where RE2 is slowest

deadline: contextvars.ContextVar[float] = contextvars.ContextVar("deadline")  # by time.monotonic


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """All searches in here together, and whatever else looks at the clock, take no longer."""
    token = deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        deadline.reset(token)


def timely(what: str) -> None:
    """Raises TooSlow if the time for what is under way is over."""
    if time.monotonic() > deadline.get(float("inf")):
        raise TooSlow(f"{what} takes too long")


class BadPattern(ValueError):
    """No regular expression, or one that cannot be searched in bounded time and memory."""


class TooSlow(Exception):
    """What was asked takes longer than it may."""


@dataclass(frozen=True, eq=False)
class Pattern:
    """One expression with options: i (any case), m (lines), s (dot is anything)."""

    text: str
    options: str = ""
    _compiled: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        import re2  # a hundredth of a second that the start of a tenant need not spend

        if len(self.text) > LONGEST:
            raise BadPattern(f"it is longer than {LONGEST} characters")
        if unknown := self.options.strip("imsu"):
            raise BadPattern(f"there is no option {unknown[0]}")
        flags = "".join(sorted(set(self.options) - {"u"}))
        options = re2.Options()
        options.log_errors, options.never_capture, options.max_mem = False, True, MEMORY
        try:
            compiled = re2.compile(f"(?{flags}){self.text}" if flags else self.text, options)
        except re2.error as problem:
            told = problem.args[0] if problem.args else ""
            raise BadPattern(told.decode(errors="replace") if isinstance(told, bytes) else str(told)) from None
        object.__setattr__(self, "_compiled", compiled)

    def search(self, text: str) -> bool:
        """Whether it is found anywhere in a text. Raises TooSlow."""
        timely("the search")
        if self._compiled.programsize * len(text) > WORK:
            raise TooSlow(
                f"the regular expression {self.text[:80]} takes too long with a text of {len(text)} characters"
            )
        return self._compiled.search(text) is not None
