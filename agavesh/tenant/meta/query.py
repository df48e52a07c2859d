"""What a `q` asks for: MongoDB's query language, read once and checked whole. Pure; it finds nothing.

`Query.of(text)` reads the text, refuses what is malformed, unknown or out of bounds with a sentence, and leaves a
`spec` in which every condition is written in one way, so that those who judge by it (`judge`) and those who narrow by
it (`narrow`) meet no special cases:

    {"name": {"$eq": "x"}, "$and": [{"value.n": {"$gt": 3, "$matches": [pattern]}}]}

Each field has a dict of operators; `$regex` with its `$options` is `$matches`, a list of compiled patterns of which one
must be found; `$type` is a list of MongoDB's numbers; operators that stand in each other are checked likewise.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from agavesh.tenant.patterns import BadPattern, Pattern
from agavesh.tenant.words import date, moment

LONGEST = 64 * 1024  # characters of a query
DEEPEST = 32  # conditions and values in each other
MOST = 5000  # fields, operators and values in one query
DATES = ("created", "lastUpdated")

Spec = dict[str, Any]

TYPES = {
    "double": [1], "string": [2], "object": [3], "array": [4], "bool": [8], "null": [10], "int": [16, 18],
    "long": [16, 18], "number": [1, 16, 18], "date": [9], "objectId": [7], "binData": [5], "decimal": [19],
    "regex": [11], "timestamp": [17], "javascript": [13], "minKey": [-1], "maxKey": [127],
}  # fmt: skip
_BY_NUMBER = {number: TYPES[name] for name, numbers in TYPES.items() for number in numbers}


class BadQuery(ValueError):
    """A query that cannot be: the text says what is wrong with it."""


@dataclass(frozen=True)
class Query:
    """A query that makes sense. An empty one finds everything."""

    spec: Spec

    @classmethod
    def of(cls, text: str | None) -> Query:
        """Raises BadQuery."""
        if not text or not text.strip():
            return cls({})
        if len(text) > LONGEST:
            raise BadQuery(f"it is longer than {LONGEST} characters")
        given = _read(text)
        if not isinstance(given, dict):
            raise BadQuery("it must be a JSON object")
        _bounded(given)
        return cls(_top({name: _starred(value) for name, value in given.items()}))


def _read(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except RecursionError:
        raise BadQuery(f"it is nested more than {DEEPEST} deep") from None
    except (msgspec.DecodeError, UnicodeError, ValueError) as problem:
        trouble = problem
    # the platform's parser takes single quotes too, which is how Python writes a dict
    if "'" in text and text.count("{") + text.count("[") + text.count("(") <= MOST:
        try:
            return msgspec.json.decode(msgspec.json.encode(ast.literal_eval(text.strip())))
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            pass
    raise BadQuery(str(trouble))


def _bounded(given: Any) -> None:
    level, count = [given], 0
    for _ in range(DEEPEST):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        count += len(level)
        if count > MOST:
            raise BadQuery(f"it has more than {MOST} conditions and values")
        if not level:
            return
    raise BadQuery(f"it is nested more than {DEEPEST} deep")


def _starred(value: Any) -> Any:
    """wire: a text with a star asks for that text as it is, anywhere and in any case: the star is no wildcard."""
    if isinstance(value, str) and "*" in value:
        return {"$regex": re.escape(value), "$options": "i"}
    return value


# conditions ----------------------------------------------------------------------------------------------------------


def _top(given: Mapping[str, Any]) -> Spec:
    """A query as such: fields, and $and, $or, $nor."""
    spec: Spec = {}
    for name, value in given.items():
        if name in ("$and", "$or", "$nor"):
            if not isinstance(value, list) or not value or not all(isinstance(each, dict) for each in value):
                raise BadQuery(f"{name} needs an array of one or more objects")
            spec[name] = [_top(each) for each in value]
        elif name == "$comment":
            continue
        elif name.startswith("$"):
            raise BadQuery(f"unknown top level operator: {name}")
        else:
            spec[name] = _field(name, value)
    return spec


def _field(name: str, value: Any) -> Spec:
    """What is asked of one field."""
    dated = _dated if name in DATES else _as_it_is
    if not _is_operators(value):
        return {"$eq": dated(value)}
    return _operators(value, dated)


def _is_operators(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and next(iter(value)).startswith("$") and set(value) != {"$date"}


def _operators(given: Mapping[str, Any], dated: Callable[[Any], Any]) -> Spec:
    spec: Spec = {}
    for name, value in given.items():
        match name:
            case "$eq" | "$ne" | "$gt" | "$gte" | "$lt" | "$lte":
                spec[name] = dated(value)
            case "$in" | "$nin":
                spec[name] = [dated(each) for each in _array(name, value)]
                if any(_is_operators(each) for each in spec[name]):
                    raise BadQuery(f"cannot nest $ under {name}")
            case "$exists":
                spec[name] = bool(value)
            case "$regex":
                spec["$matches"] = _patterns(value, given.get("$options", ""))
            case "$options":
                if "$regex" not in given:
                    raise BadQuery("$options needs a $regex")
            case "$not":
                spec[name] = _negated(value, dated)
            case "$elemMatch":
                spec[name] = _element(value)
            case "$all":
                spec[name] = _all(_array(name, value), dated)
            case "$size":
                spec[name] = _whole(name, value)
            case "$type":
                spec[name] = [number for each in _some(value) for number in _type(each)]
            case "$mod":
                spec[name] = _mod(value)
            case "$comment":
                continue
            case _:
                raise BadQuery(f"unknown operator: {name}")
    return spec


def _array(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise BadQuery(f"{name} needs an array")
    return value


def _some(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _patterns(value: Any, options: Any) -> list[Pattern]:
    # the platform's guide shows an array of expressions: any of them
    if not isinstance(options, str):
        raise BadQuery("$options has to be a string")
    found = []
    for each in _some(value):
        if not isinstance(each, str):
            raise BadQuery("$regex has to be a string")
        try:
            found.append(Pattern(each, options))
        except BadPattern as problem:
            raise BadQuery(f"Regular expression is invalid: {problem}") from None
    return found


def _negated(value: Any, dated: Callable[[Any], Any]) -> Spec:
    if not _is_operators(value):
        raise BadQuery("$not needs an object of operators")
    return _operators(value, dated)


def _element(value: Any) -> Spec:
    if not isinstance(value, dict):
        raise BadQuery("$elemMatch needs an Object")
    if _is_operators(value) and not set(value) & {"$and", "$or", "$nor"}:
        return _operators(value, _as_it_is)
    return _top(value)


def _all(values: list[Any], dated: Callable[[Any], Any]) -> list[Spec]:
    """Each as a condition of its own: equality, or a $elemMatch."""
    found = []
    for value in values:
        if _is_operators(value):
            if set(value) != {"$elemMatch"}:
                raise BadQuery("no $ expressions in $all")
            found.append(_operators(value, dated))
        else:
            found.append({"$eq": dated(value)})
    return found


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadQuery(f"{name} needs a number")
    if value != int(value) or value < 0:
        raise BadQuery(f"{name} must be a whole number that is not negative")
    return int(value)


def _type(value: Any) -> list[int]:
    if isinstance(value, str) and value in TYPES:
        return TYPES[value]
    if isinstance(value, int | float) and not isinstance(value, bool) and value in _BY_NUMBER:
        return _BY_NUMBER[int(value)]
    raise BadQuery(f"Unknown type name alias: {value}")


def _mod(value: Any) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise BadQuery("malformed mod, it needs a divisor and a remainder")
    for each in value:
        if isinstance(each, bool) or not isinstance(each, int | float):
            raise BadQuery("malformed mod, divisor and remainder are numbers")
    divisor, remainder = int(value[0]), int(value[1])
    if divisor == 0:
        raise BadQuery("divisor cannot be 0")
    return divisor, remainder


def _as_it_is(value: Any) -> Any:
    return value


def _dated(value: Any) -> Any:
    """A moment as the records write it, in whatever way it was given; what is no moment stays."""
    if isinstance(value, dict) and set(value) == {"$date"}:
        value = value["$date"]
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(int(value))
    if isinstance(value, str):
        try:
            return date(moment(value).timestamp())
        except (ValueError, OverflowError, OSError):
            return value
    return value
