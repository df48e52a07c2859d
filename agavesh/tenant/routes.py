"""Which operation a request is for: a tree of path segments, made once. Pure; it knows no server.

At each segment a literal is tried before a parameter, and both before the rest of the path. A path may end with a slash
or without. Parameters are cut from the path as it came and percent-decoded once, so that `%2F` and `%25` mean what the
client meant; what is not UTF-8 then, or holds a NUL, is `Unreadable`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import unquote_to_bytes

T = TypeVar("T")

REST = {"filePath", "sourcefilePath", "pairs"}  # these parameters take what is left of the path, slashes included


class Unreadable(ValueError):
    """A path that does not decode to text."""


@dataclass
class _Segment(Generic[T]):
    """A place in the tree: what may follow, and by method what ends here (the parameters' names, and the target)."""

    literals: dict[str, _Segment[T]] = field(default_factory=dict)
    parameter: _Segment[T] | None = None
    ends: dict[str, tuple[tuple[str, ...], T]] = field(default_factory=dict)
    rests: dict[str, tuple[tuple[str, ...], T]] = field(default_factory=dict)


class Routes(Generic[T]):
    """Targets by method and path."""

    def __init__(self) -> None:
        self._root: _Segment[T] = _Segment()

    def add(self, method: str, path: str, target: T) -> T:
        """Put `target` at `path`, whose parameters stand in braces. The first to come stays, and is answered."""
        place, names = self._root, []
        for part in path.strip("/").split("/"):
            if not part.startswith("{"):
                place = place.literals.setdefault(part, _Segment())
                continue
            names.append(part.strip("{}"))
            if names[-1] in REST:
                return place.rests.setdefault(method, (tuple(names), target))[1]
            place.parameter = place.parameter or _Segment()
            place = place.parameter
        return place.ends.setdefault(method, (tuple(names), target))[1]

    def find(self, method: str, raw_path: str) -> tuple[T, dict[str, str]] | None:
        """The target of a request and its parameters, decoded; None if nothing is there."""
        parts = raw_path.removeprefix("/").split("/")
        if (found := _walk(self._root, method, parts, 0, ())) is None:
            return None
        (names, target), values = found
        return target, {name: decoded(value) for name, value in zip(names, values, strict=True)}

    def targets(self) -> Iterator[T]:
        """All there is."""
        left = [self._root]
        while left:
            place = left.pop()
            left += [*place.literals.values(), *([place.parameter] if place.parameter else [])]
            for _, target in (*place.ends.values(), *place.rests.values()):
                yield target

    def methods(self, raw_path: str) -> list[str]:
        """The methods that something answers to at this path."""
        return [method for method in ("GET", "POST", "PUT", "DELETE") if self.find(method, raw_path)]


def _walk(
    place: _Segment[T], method: str, parts: list[str], at: int, values: tuple[str, ...]
) -> tuple[tuple[tuple[str, ...], T], tuple[str, ...]] | None:
    left = len(parts) - at
    if method in place.ends and (left == 0 or (left == 1 and not parts[at])):
        return place.ends[method], values
    if left:
        if (literal := place.literals.get(parts[at])) and (
            found := _walk(literal, method, parts, at + 1, values)
        ) is not None:
            return found
        if (
            parts[at]
            and place.parameter is not None
            and (found := _walk(place.parameter, method, parts, at + 1, (*values, parts[at]))) is not None
        ):
            return found
    if method in place.rests:
        return place.rests[method], (*values, "/".join(parts[at:]))
    return None


def decoded(raw: str) -> str:
    """Percent-decoded once, strictly."""
    try:
        text = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise Unreadable(f"not UTF-8: {raw}") from None
    if "\0" in text:
        raise Unreadable("a NUL in a path")
    return text
