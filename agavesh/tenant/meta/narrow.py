"""A query as SQL that finds all documents which may fit, and few others. Pure: specs in, SQL out.

SQLite looks through a hundred thousand documents in the time in which `judge` judges some thousands. So what a spec
says is said in SQL as far as that goes: columns are compared as they are, fields in the value by json_extract. Where
SQL cannot say it, or cannot say it surely (arrays on the way, numbers that SQLite does not hold exactly), the condition
lets more through, never less: `exact` says whether it is the query itself, so that nobody need judge.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agavesh.tenant.meta.leaves import beginning
from agavesh.tenant.meta.query import Spec

SAFE = 2**53  # below it SQLite, JSON and Python agree about whole numbers
SLACK = 1e-12  # of a number: how far SQLite's reading of its digits may be from Python's
MOST = 200  # values of one array that SQL is asked to compare with
LONGEST = 300  # conditions in one statement; SQLite has a limit too

Condition = Callable[[str, str], "Sql"]  # of a value and its type, as SQL names them


@dataclass(frozen=True)
class Sql:
    """A condition and its values; a Pattern stands for itself. `exact` if it is true of just what fits."""

    text: str
    values: tuple[Any, ...] = ()
    exact: bool = False


ANY = Sql("1")
EVERYTHING = Sql("1", exact=True)
NOTHING = Sql("0", exact=True)


@dataclass(frozen=True)
class Table:
    """Where the fields of a record are: those with a column of text of their own (null where it says so), arrays of
    text with the condition that one is among them, and the one field that holds JSON."""

    columns: Mapping[str, str]
    members: Mapping[str, str]
    document: str
    json: str  # the column of `document`
    leaves: bool  # whether what is in it is in the table of leaves too

    def narrowed(self, spec: Spec) -> Sql:
        """A spec as SQL."""
        sql = _query(spec, self._field)
        return ANY if sql.text.count(" or ") + sql.text.count(" and ") > LONGEST else sql

    def _field(self, name: str, asked: Spec) -> Sql:
        if name in self.columns:
            return _every(_column(self.columns[name], *each) for each in asked.items())
        if name in self.members:
            return _every(_member(self.members[name], *each) for each in asked.items())
        head, *path = name.split(".")
        if head != self.document or not all(map(_is_key, path)):
            return ANY
        return _every(self._inside(name, path, *each) for each in asked.items())

    def _inside(self, name: str, path: list[str], operator: str, asked: Any) -> Sql:
        """Of a field in the JSON: its index tells sooner, where there is one."""
        condition = _leaf(operator, asked) if self.leaves else None
        if condition is None:
            return _told(self.json, path, operator, asked, 0)
        among = f"select document from leaves where path = ? and {condition.text}"
        return Sql(
            f"(d.number in ({among}) or d.number in (select number from documents where not whole))",
            (name, *condition.values),
        )


def _query(spec: Spec, field: Callable[[str, Spec], Sql]) -> Sql:
    """A query, with what to make of each field."""
    return _every(_clause(name, asked, field) for name, asked in spec.items())


def _clause(name: str, asked: Any, field: Callable[[str, Spec], Sql]) -> Sql:
    match name:
        case "$and":
            return _every(_query(each, field) for each in asked)
        case "$or":
            return _some(_query(each, field) for each in asked)
        case "$nor":
            return _not(_some(_query(each, field) for each in asked))
    return field(name, asked)


# fields in JSON ------------------------------------------------------------------------------------------------------


def _inside(json: str, path: list[str], asked: Spec, depth: int = 0) -> Sql:
    """What is asked of the field at a path in JSON. `depth` is that of $elemMatch, for names in SQL."""
    if not all(map(_is_key, path)):
        return ANY
    return _every(_told(json, path, *each, depth) for each in asked.items())


def _told(json: str, path: list[str], operator: str, asked: Any, depth: int) -> Sql:
    place, item = _place(path), f"item{depth}"
    match operator:
        case "$all":
            return _every(_inside(json, path, spec, depth) for spec in asked) if asked else NOTHING
        case "$size" if asked > SAFE:
            return NOTHING  # nor does SQLite take such a number
        case "$size":
            return _at(json, path, NOTHING, Sql(f"json_array_length({json}, {place}) = ?", (asked,)))
        case "$elemMatch":
            return _at(json, path, NOTHING, _among(json, place, item, _element(item, asked, depth + 1)))
    condition = _condition(operator, asked)
    if condition is None:
        return ANY
    itself = condition(f"json_extract({json}, {place})", f"json_type({json}, {place})")
    return _at(json, path, itself, _among(json, place, item, condition(f"{item}.value", f"{item}.type")))


def _at(json: str, path: list[str], itself: Sql, array: Sql) -> Sql:
    """A condition of what stands at a path, or one of the array that stands there. With an array on the way anything
    may fit."""
    *on_the_way, place = [_place(path[:count]) for count in range(len(path) + 1)]
    found = [itself, Sql(f"(json_type({json}, {place}) = 'array' and {array.text})", array.values)]
    found += [Sql(f"json_type({json}, {each}) = 'array'") for each in on_the_way]
    return _some([*found, Sql("d.nul")])  # SQLite's JSON ends text at a NUL: such documents are never sure


def _among(json: str, place: str, item: str, condition: Sql) -> Sql:
    """That an element of an array is so."""
    return Sql(f"exists (select 1 from json_each({json}, {place}) as {item} where {condition.text})", condition.values)


def _element(item: str, asked: Spec, depth: int) -> Sql:
    """What $elemMatch asks of one element: operators on itself, or a query of its fields."""
    if asked and next(iter(asked)).startswith("$") and not asked.keys() & {"$and", "$or", "$nor"}:
        conditions = [_condition(*each) for each in asked.items()]
        return _every(each(f"{item}.value", f"{item}.type") for each in conditions if each is not None)
    inner = f"(case when {item}.type in ('object', 'array') then {item}.value end)"
    return _query(asked, lambda name, spec: _inside(inner, name.split("."), spec, depth))


_KEY = re.compile(r'(?!\d+\Z)[^"\\\x00-\x1f]+')


def _leaf(operator: str, asked: Any) -> Sql | None:
    """What an operator asks of a leaf; None where leaves cannot say it."""
    match operator:
        case "$eq" if isinstance(asked, str):
            return Sql("value = ?", (beginning(asked),))
        case "$eq" if _is_number(asked):
            return Sql("value between ? and ?", (_below(asked), _above(asked)))
        case "$in" if asked and all(isinstance(each, str) for each in asked):
            return Sql(f"value in ({_marks(asked)})", tuple(map(beginning, asked)))
        case "$in" if 0 < len(asked) <= MOST and all(map(_is_number, asked)):
            return _some(Sql("value between ? and ?", (_below(each), _above(each))) for each in asked)
        case "$gt" | "$gte" if isinstance(asked, str):
            return Sql("value >= ?", (beginning(asked),))
        case "$lt" | "$lte" if isinstance(asked, str):
            return Sql("value between '' and ?", (asked,))  # its beginning is before it, or it is not
        case "$gt" | "$gte" if _is_number(asked):
            return Sql("value >= ? and value < ''", (_below(asked),))  # text comes after all numbers
        case "$lt" | "$lte" if _is_number(asked):
            return Sql("value <= ?", (_above(asked),))
    return None


def _is_number(asked: Any) -> bool:
    return isinstance(asked, int | float) and not isinstance(asked, bool) and abs(asked) <= SAFE


def _is_key(name: str) -> bool:
    """Whether a step of a path is surely a key, and one that SQLite finds as it is written."""
    return _KEY.fullmatch(name) is not None


def _place(path: Iterable[str]) -> str:
    """A path in SQLite's JSON, as a literal of SQL."""
    steps = "".join(f'."{name}"' for name in path)
    return "'$" + steps.replace("'", "''") + "'"


def _condition(operator: str, asked: Any) -> Condition | None:
    """What an operator asks of one value; None where SQL cannot say it."""
    match operator:
        case "$eq":
            return _equal(asked)
        case "$gt" | "$gte" | "$lt" | "$lte":
            return _compared(">=" if operator.startswith("$g") else "<=", asked)
        case "$in" if all(isinstance(each, str) for each in asked):
            return lambda value, kind: Sql(f"{value} in ({_marks(asked)})", tuple(asked))
        case "$in" if len(asked) <= MOST:
            conditions = [_equal(each) for each in asked]
            known = [each for each in conditions if each is not None]
            if len(known) < len(conditions):
                return None
            return lambda value, kind: _some(each(value, kind) for each in known)
        case "$exists":
            return lambda value, kind: Sql(f"{kind} is not null" if asked else f"{kind} is null")
        case "$matches":
            return lambda value, kind: _some(
                Sql(f"({kind} = 'text' and matches(?, {value}))", (pattern,)) for pattern in asked
            )
        case "$type":
            kinds = ", ".join(f"'{name}'" for number in asked for name in _KINDS.get(number, ()))
            return lambda value, kind: Sql(f"{kind} in ({kinds})")
        case "$mod":
            divisor, remainder = asked
            if max(abs(divisor), abs(remainder)) > SAFE:
                return None
            return lambda value, kind: Sql(
                f"({kind} in ('integer', 'real') and"
                f" (abs({value}) > {SAFE} or cast({value} as integer) % {divisor} = {remainder}))"
            )
    return None


_KINDS = {
    1: ("real",), 2: ("text",), 3: ("object",), 4: ("array",), 8: ("true", "false"), 10: ("null",),
    16: ("integer",), 18: ("integer",),
}  # fmt: skip


def _equal(asked: Any) -> Condition | None:
    if asked is None:
        return lambda value, kind: Sql(f"({kind} is null or {kind} = 'null')")
    if isinstance(asked, bool):
        return lambda value, kind: Sql(f"{kind} = '{str(asked).lower()}'")
    if isinstance(asked, str):
        return lambda value, kind: Sql(f"{value} = ?", (asked,))
    if isinstance(asked, int | float):
        if abs(asked) > SAFE:
            return None
        return lambda value, kind: Sql(f"{value} between ? and ?", (_below(asked), _above(asked)))
    return lambda value, kind: Sql(f"{kind} = '{'array' if isinstance(asked, list) else 'object'}'")


def _compared(sign: str, asked: Any) -> Condition | None:
    """On either side of a value, and at it: there SQLite is not sure."""
    if asked is None:
        return _equal(None)
    if isinstance(asked, bool):
        return lambda value, kind: Sql(f"{kind} in ('true', 'false')")
    if isinstance(asked, str):
        return lambda value, kind: Sql(f"({kind} = 'text' and {value} {sign} ?)", (asked,))
    if isinstance(asked, int | float):
        if abs(asked) > SAFE:
            return None
        limit = _below(asked) if sign == ">=" else _above(asked)
        return lambda value, kind: Sql(f"({kind} in ('integer', 'real') and {value} {sign} ?)", (limit,))
    return lambda value, kind: Sql(f"{kind} = '{'array' if isinstance(asked, list) else 'object'}'")


def _below(number: float) -> float:
    return number - abs(number) * SLACK


def _above(number: float) -> float:
    return number + abs(number) * SLACK


# columns -------------------------------------------------------------------------------------------------------------


def _column(column: str, operator: str, asked: Any) -> Sql:
    """A column of text or null. All that is said here is exact."""
    match operator:
        case "$eq":
            return _is(column, asked)
        case "$ne":
            return _not(_is(column, asked))
        case "$in":
            return _is_one_of(column, asked)
        case "$nin":
            return _not(_is_one_of(column, asked))
        case "$gt" | "$gte" | "$lt" | "$lte" if isinstance(asked, str):
            sign = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}[operator]
            return Sql(f"({column} is not null and {column} {sign} ?)", (asked,), exact=True)
        case "$exists":
            return EVERYTHING if asked else NOTHING
        case "$matches":
            return _some(Sql(f"matches(?, {column})", (pattern,), exact=True) for pattern in asked)
        case "$not":
            return _not(_every(_column(column, *each) for each in asked.items()))
    return ANY


def _is(column: str, asked: Any) -> Sql:
    if asked is None:
        return Sql(f"{column} is null", exact=True)
    return Sql(f"{column} is ?", (asked,), exact=True) if isinstance(asked, str) else NOTHING


def _is_one_of(column: str, asked: list[Any]) -> Sql:
    texts = [each for each in asked if isinstance(each, str)]
    known = Sql(f"({column} is not null and {column} in ({_marks(texts)}))", tuple(texts), exact=True)
    return _some([known if texts else NOTHING, _is(column, None) if None in asked else NOTHING])


def _marks(values: list[Any]) -> str:
    return ", ".join("?" * len(values))


def _member(among: str, operator: str, asked: Any) -> Sql:
    """An array of text, by the condition that one of some texts is among it."""
    match operator:
        case "$eq" if isinstance(asked, str):
            return Sql(among.format("?"), (asked,), exact=True)
        case "$in" if all(isinstance(each, str) for each in asked):
            return Sql(among.format(_marks(asked)), tuple(asked), exact=True)
        case "$all":
            return _every(_member(among, *each) for spec in asked for each in spec.items()) if asked else NOTHING
    return ANY


# together ------------------------------------------------------------------------------------------------------------


def _every(parts: Iterable[Sql]) -> Sql:
    found = list(parts)
    telling = [each for each in found if each.text != "1"]
    if not telling:
        return EVERYTHING if all(each.exact for each in found) else ANY
    return _joined(" and ", telling, exact=all(each.exact for each in found))


def _some(parts: Iterable[Sql]) -> Sql:
    found = [each for each in parts if each.text != "0"]
    if not found:
        return NOTHING
    if any(each.text == "1" for each in found):
        return EVERYTHING if any(each == EVERYTHING for each in found) else ANY
    return _joined(" or ", found, exact=all(each.exact for each in found))


def _joined(word: str, parts: list[Sql], *, exact: bool) -> Sql:
    if len(parts) == 1:
        return Sql(parts[0].text, parts[0].values, exact)
    return Sql(f"({word.join(each.text for each in parts)})", tuple(v for each in parts for v in each.values), exact)


def _not(sql: Sql) -> Sql:
    return Sql(f"not ({sql.text})", sql.values, exact=True) if sql.exact else ANY
