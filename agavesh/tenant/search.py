"""Lists: page bounds, and the search of apps, systems and histories by any field. Pure, but for the Context it reads.

A query key `name` or `name.operator` chooses records by a field; names are compared in lower case, fields within
records stand behind a dot (`storage.host`, `inputs.id`), and a name that no record can have is ignored. Jobs, which
may be very many, are searched by SQL: see `conditions`, where the operators mean the same.
"""

from __future__ import annotations

import fnmatch
import functools
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from agavesh.tenant import words
from agavesh.tenant.patterns import Pattern, TooSlow, within
from agavesh.tenant.refusal import Refusal

if TYPE_CHECKING:
    from agavesh.tenant.context import Context

DEFAULT_PAGE = 100
PATIENCE = 2.0  # seconds that the regular expressions of one search may take, over all records
FURTHEST = 2**31 - 1  # an `offset` beyond it is as good as this one
LARGEST_PAGE = 250  # the platform caps `limit` without a word

_OPERATORS = (
    "eq", "neq", "lt", "lte", "gt", "gte", "in", "nin", "like", "nlike", "rlike", "on", "before", "after", "between",
)  # fmt: skip
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d")

Record = dict[str, Any]


def limit_of(text: str | None) -> int:
    """The page size a query asks for, within the platform's bounds."""
    try:
        return min(abs(int(text or DEFAULT_PAGE)), LARGEST_PAGE)
    except ValueError:
        return DEFAULT_PAGE


def offset_of(text: str | None) -> int:
    """How many items a query skips."""
    try:
        return min(abs(int(text or 0)), FURTHEST)
    except ValueError:
        return 0


def page(
    ctx: Context,
    records: Iterable[Record],
    *,
    names: frozenset[str],
    summary: Callable[[Record], Record],
    search: Mapping[str, str] | None = None,
    aliases: Mapping[str, str] | None = None,
    trouble: int = 400,
) -> list[Record]:
    """One page of `records`: those that the search keeps, from `offset`, at most `limit`, in the given order or by
    `orderBy` and `order`.

    `names` are the fields that can be searched, in lower case; `search` stands in for the query's keys; `aliases` maps
    a search name to the record's field where they differ (`{"created": "submitTime"}`). Full records with `filter`,
    else what `summary` makes of them. A value of the wrong type is refused with the status `trouble`.
    """
    with within(PATIENCE):
        asked = ctx.query if search is None else search
        tests = list(_tests(asked, names, aliases or {}, trouble))
        kept: Iterable[Record] = (record for record in records if all(test(record) for test in tests))
        if order_by := ctx.query.get("orderBy", "").lower():
            kept = _ordered(kept, order_by, ctx.query.get("order", "DESC").upper(), names, aliases or {}, trouble)
        offset = offset_of(ctx.query.get("offset"))
        chosen = list(itertools.islice(kept, offset, offset + limit_of(ctx.query.get("limit"))))
    return chosen if ctx.filtered else [summary(record) for record in chosen]


def _ordered(
    records: Iterable[Record], by: str, order: str, names: frozenset[str], aliases: Mapping[str, str], trouble: int
) -> list[Record]:
    if order not in ("ASC", "DESC"):
        raise Refusal(trouble, f"Invalid order {order}. Use ASC or DESC")
    if by not in names:
        raise Refusal(trouble, f"Invalid orderBy value {by}. No such field")

    def key(record: Record) -> tuple[int, float, str]:
        value = next(iter(_values(record, aliases.get(by, by))), None)
        if isinstance(value, bool | int | float):
            return (1, float(value), "")
        return (0, 0.0, "") if value is None else (2, 0.0, str(value))

    return sorted(records, key=key, reverse=order == "DESC")


def _tests(
    asked: Mapping[str, str], names: frozenset[str], aliases: Mapping[str, str], trouble: int
) -> Iterator[Callable[[Record], bool]]:
    for key, value in asked.items():
        name, operator = split_key(key)
        if name in names:
            yield _test(aliases.get(name, name), operator, value, trouble)


def split_key(key: str) -> tuple[str, str]:
    """The field, in lower case, and the operator of a query key; an unknown operator is part of the name."""
    name, _, operator = key.lower().rpartition(".")
    return (name, operator) if name and operator in _OPERATORS else (key.lower(), "eq")


def _test(name: str, operator: str, text: str, trouble: int) -> Callable[[Record], bool]:
    negated = operator in ("neq", "nin", "nlike")

    def test(record: Record) -> bool:
        values = list(_values(record, name))
        try:
            hit = any(_matches(value, operator, text) for value in values)
        except (ValueError, OverflowError, OSError, TooSlow) as problem:
            raise Refusal(trouble, f"Invalid search value for {name}: {problem}") from None
        return hit != negated

    return test


def _values(record: Any, name: str) -> Iterator[Any]:
    """The values of a field, its name in lower case; those of every item where it is an array."""
    if isinstance(record, list):
        for item in record:
            yield from _values(item, name)
        return
    if not isinstance(record, dict):
        return
    for key, value in record.items():
        lower = key.lower()
        if lower == name:
            for each in value if isinstance(value, list) else [value]:
                if each is not None:
                    yield each
        elif name.startswith(f"{lower}."):
            yield from _values(value, name[len(lower) + 1 :])


def _matches(value: Any, operator: str, text: str) -> bool:
    """One field against one operator, `neq`, `nin` and `nlike` as their positive."""
    if isinstance(value, bool):
        if operator not in ("eq", "neq"):
            raise ValueError(f"{operator} is not for true or false")
        return value == (text.lower() in ("true", "1"))
    if isinstance(value, str) and _DATE.match(value):
        return _date_matches(datetime.fromisoformat(value), operator, text)
    if isinstance(value, int | float):
        return _number_matches(value, operator, text)
    return _text_matches(str(value).lower(), operator, text.lower())


def _number_matches(value: float, operator: str, text: str) -> bool:
    if operator in ("like", "nlike", "rlike"):
        return _text_matches(f"{value:g}", operator, text)
    numbers = [float(part) for part in text.split(",")] if operator in ("in", "nin", "between") else [float(text)]
    return _compare(value, operator, numbers)


def _text_matches(value: str, operator: str, text: str) -> bool:
    if operator in ("like", "nlike"):
        return fnmatch.fnmatchcase(value, re.sub(r"([\[?])", r"[\1]", text))
    if operator == "rlike":
        return _compiled(text).search(value)
    parts = text.split(",") if operator in ("in", "nin", "between") else [text]
    return _compare(value, operator, parts)


@functools.lru_cache(64)  # one search compares many records
def _compiled(text: str) -> Pattern:
    return Pattern(text, "i")


def _date_matches(value: datetime, operator: str, text: str) -> bool:
    if operator in ("in", "nin", "like", "nlike", "rlike"):
        raise ValueError(f"{operator} is not for dates")
    parts = text.split(",") if operator == "between" else [text]
    dates = [words.moment(part) for part in parts]
    if operator in ("eq", "neq"):
        return abs(value - dates[0]) < timedelta(seconds=1) and int(value.timestamp()) == int(dates[0].timestamp())
    if operator == "on":
        return value.astimezone(dates[0].tzinfo).date() == dates[0].date()
    return _compare(value, {"before": "lt", "after": "gt"}.get(operator, operator), dates)


def _compare(value: Any, operator: str, given: list[Any]) -> bool:
    match operator:
        case "lt" | "before":
            return bool(value < given[0])
        case "lte":
            return bool(value <= given[0])
        case "gt" | "after":
            return bool(value > given[0])
        case "gte":
            return bool(value >= given[0])
        case "in" | "nin":
            return value in given
        case "between":
            if len(given) > 2:
                raise ValueError("between takes two values")
            return bool(given[0] <= value <= given[-1])
        case _:
            return bool(value == given[0])
