"""Searches as SQL: what `name.operator=value` means for the columns of a table. Pure; it knows no table.

`search` means the same by them, for records that are at hand. Columns hold texts in lower case, numbers, moments in
epoch seconds, and flags as 0 and 1. A row whose column is null is found by no operator but the negative ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from agavesh.tenant import words
from agavesh.tenant.limits import seconds
from agavesh.tenant.patterns import Pattern, TooSlow, within
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.search import split_key

PATIENCE = 10.0  # seconds that the regular expressions of one search may take, over all rows: in a thread
MOST_VALUES = 1000  # of one `in`

Kind = Literal["text", "number", "moment", "flag"]
Columns = Mapping[str, tuple[Kind, str]]  # name in searches: what it holds, and its expression

_COMPARED = {"eq": "=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">=", "before": "<", "after": ">"}
_POSITIVE = {"neq": "eq", "nin": "in", "nlike": "like"}


@dataclass
class Conditions:
    """What a search asks: `where` with its `values` is for the database; `patterns`, by column, are for `fitting`."""

    trouble: int  # the status of a refusal
    where: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    patterns: list[tuple[str, Pattern]] = field(default_factory=list)

    @classmethod
    def of(cls, asked: Mapping[str, str], columns: Columns, trouble: int) -> Conditions:
        """Those of all query keys that name a column. Refusal with the status `trouble` for a bad value."""
        found = cls(trouble)
        for key, value in asked.items():
            name, operator = split_key(key)
            if name in columns:
                try:
                    found._add(*columns[name], operator, value)
                except (ValueError, OverflowError, OSError) as problem:
                    raise Refusal(trouble, f"Invalid search value for {name}: {problem}") from None
        return found

    def _add(self, kind: Kind, column: str, operator: str, text: str) -> None:
        if operator == "rlike" and kind in ("text", "number"):
            self.patterns.append((column, Pattern(text, "i")))
            return
        where, values = condition(column, kind, _POSITIVE.get(operator, operator), text)
        self.where.append(f"({where}) is not true" if operator in _POSITIVE else where)
        self.values += values

    def fitting(self, rows: Iterable[Iterable[Any]]) -> list[Any]:
        """The first value of each row whose others, one for each pattern, are matched by them.

        Refusal if that takes too long. It may take its time: have a thread for it.
        """
        patterns = [pattern for _, pattern in self.patterns]
        try:
            with within(PATIENCE):
                return [id for id, *texts in rows if _all(patterns, texts)]
        except TooSlow as problem:
            raise Refusal(self.trouble, f"Invalid search value: {problem}") from None


def _all(patterns: Iterable[Pattern], texts: Iterable[Any]) -> bool:
    return all(
        value is not None and each.search(value if isinstance(value, str) else f"{value:g}")
        for each, value in zip(patterns, texts, strict=True)
    )


def condition(column: str, kind: Kind, operator: str, text: str) -> tuple[str, list[Any]]:
    """What a positive operator asks of a column, as text with marks, and the values for them. ValueError."""
    match kind:
        case "flag":
            if operator != "eq":
                raise ValueError(f"{operator} is not for true or false")
            return f"{column} = ?", [int(text.lower() in ("true", "1"))]
        case "moment":
            return _of_moments(column, operator, text)
        case "number" if operator == "like":
            return _of_values(f"iif({column} is null, null, printf('%g', {column}))", operator, text, str)
        case "number":
            return _of_values(column, operator, text, _number)
        case _:
            return _of_values(column, operator, text.lower(), str)


def _number(text: str) -> float:
    if (span := seconds(text)) is not None:  # `hh:mm:ss` stands for a number of seconds
        return span
    number = float(text)
    return int(number) if abs(number) < 2**53 and number.is_integer() else number


def _of_values(column: str, operator: str, text: str, read: Callable[[str], Any]) -> tuple[str, list[Any]]:
    values = [read(part) for part in (text.split(",") if operator in ("in", "between") else [text])]
    match operator:
        case "in":
            if len(values) > MOST_VALUES:
                raise ValueError(f"in takes {MOST_VALUES} values at most")
            return f"{column} in ({', '.join('?' * len(values))})", values
        case "between":
            if len(values) > 2:
                raise ValueError("between takes two values")
            return f"{column} between ? and ?", [values[0], values[-1]]
        case "like":  # wire: `*` is the one wildcard
            return f"{column} glob ?", [re.sub(r"([\[?])", r"[\1]", values[0])]
    return f"{column} {_COMPARED.get(operator, '=')} ?", values


def _of_moments(column: str, operator: str, text: str) -> tuple[str, list[Any]]:
    if operator in ("in", "like", "rlike"):
        raise ValueError(f"{operator} is not for dates")
    if operator == "eq":  # wire: the same second
        return _within(column, words.moment(text).replace(microsecond=0), timedelta(seconds=1))
    if operator == "on":
        begin = words.moment(text).replace(hour=0, minute=0, second=0, microsecond=0)
        return _within(column, begin, timedelta(days=1))
    return _of_values(column, operator, text, lambda part: words.moment(part).timestamp())


def _within(column: str, begin: datetime, span: timedelta) -> tuple[str, list[Any]]:
    return f"{column} >= ? and {column} < ?", [begin.timestamp(), (begin + span).timestamp()]
