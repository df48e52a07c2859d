"""The leaves of a document: what its fields hold, by path, kept beside it so that SQLite finds it by an index. Pure.

A path is the names that lead to a value, with dots; places in arrays are left out, since a query looks into arrays by
itself. Text is kept by its beginning. A document with very many leaves has none here, and is `whole` no more: it may
fit whatever is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

MOST = 500  # leaves of one document
LONGEST = 60  # characters of a text, and of a name
EXACT = 2**63  # integers below it SQLite holds

Leaf = tuple[str, str | int | float]


def leaves_of(name: str, value: Any) -> set[Leaf] | None:
    """The leaves of a value that the field `name` holds; None for too many."""
    found: set[Leaf] = set()
    for leaf in _leaves(name, value):
        found.add(leaf)
        if len(found) > MOST:
            return None
    return found


def _leaves(name: str, value: Any) -> Iterator[Leaf]:
    """Also those that are there twice; numbers and text only."""
    waiting = [(name, value)]
    while waiting:
        path, each = waiting.pop()
        if isinstance(each, dict):
            waiting += [(f"{path}.{key}", inner) for key, inner in each.items()]
        elif isinstance(each, list):
            waiting += [(path, inner) for inner in each]
        elif isinstance(each, str):
            yield path, beginning(each)
        elif isinstance(each, int | float) and not isinstance(each, bool):
            yield path, each if isinstance(each, float) or -EXACT <= each < EXACT else float(each)


def beginning(text: str) -> str:
    """A text as far as it is kept."""
    return text[:LONGEST]
