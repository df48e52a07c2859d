"""Records as a table, JSON or CSV. JSON is what the platform sent, but for blanks; the others show columns."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from agavesh.shell.tokens import printable

if TYPE_CHECKING:
    from agavesh.shell.session import Session

_SMALLEST = 8  # columns that a cell keeps when a table is too wide
_UNITS = "KMGTPE"


class Column(NamedTuple):
    """A column: its heading, what a record shows in it.

    `right` is for numbers; `narrows` lets a terminal cut it, and `drops` leave it out, the last of these first.
    """

    name: str
    value: Callable[[Any], Any]
    right: bool = False
    narrows: bool = False
    drops: bool = False


def key(name: str) -> Column:
    """The column of a plain mapping's key."""
    return Column(name, lambda row: row.get(name))


def field(name: str, heading: str = "", *, right: bool = False, narrows: bool = False, drops: bool = False) -> Column:
    """The column of a record's field; a field that came in a shape it should not have is shown as `?`."""

    def value(record: Any) -> Any:
        try:
            return getattr(record, name)
        except ValueError:
            return "?"

    return Column(heading or name.lower(), value, right, narrows, drops)


async def show_list(here: Session, records: Sequence[Any], columns: Sequence[Column]) -> None:
    """Many records: an array, or a row each."""
    if here.output == "json":
        await here.console.show(array(as_json(record) for record in records))
    elif here.output == "csv":
        await here.console.show(comma_separated(records, columns))
    elif records:
        await here.console.show(table(records, columns, width=here.console.width))


async def show_one(here: Session, record: Any) -> None:
    """One record, all of it."""
    raw = as_json(record)
    if here.output == "json":
        await here.console.show(indented(raw))
        return
    value = msgspec.json.decode(raw)
    value = {key: item for key, item in value.items() if key != "_links"} if isinstance(value, dict) else value
    if here.output == "csv":
        flat = value if isinstance(value, dict) else {"value": value}
        columns = [key(name) for name in flat]
        await here.console.show(comma_separated([flat], columns))
    else:
        await here.console.show("\n".join(lines(value)) + "\n")


def as_json(record: Any) -> bytes:
    """The bytes of a record as the platform sent them; what we made ourselves is encoded."""
    if isinstance(record, bytes):
        return record
    return record.json if hasattr(record, "json") else msgspec.json.encode(record)


def array(records: Iterable[bytes]) -> bytes:
    return indented(b"[" + b",".join(records) + b"]")


def indented(raw: bytes) -> bytes:
    return msgspec.json.format(raw, indent=2) + b"\n"


def lines(value: Any, margin: str = "") -> Iterable[str]:
    """A JSON value for people: a line for each thing, what is inside it further in."""
    if isinstance(value, dict):
        wide = max((len(printable(key)) for key in value), default=0)
        for key, item in value.items():
            name = printable(key)
            if isinstance(item, dict | list) and item:
                yield f"{margin}{name}"
                yield from lines(item, margin + "  ")
            else:
                yield f"{margin}{name.ljust(wide)}  {text(item)}".rstrip()
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, dict):
                for at, line in enumerate(lines(item)):
                    yield f"{margin}{'- ' if at == 0 else '  '}{line}"
            else:
                yield f"{margin}- {text(item)}"
    else:
        yield f"{margin}{text(value)}"


def table(records: Sequence[Any], columns: Sequence[Column], *, width: int | None, heading: bool = True) -> str:
    """Aligned columns. Where there is a width, columns that may drop are left out, and the widest of those that may
    narrow are cut, to fit it."""
    rows = [[text(column.value(record)) for column in columns] for record in records]
    if heading:
        rows.insert(0, [column.name.upper() for column in columns])
    widths = [max((cells(row[at]) for row in rows), default=0) for at in range(len(columns))]
    if width is not None:
        kept = _kept(widths, columns, width)
        rows = [[row[at] for at in kept] for row in rows]
        widths, columns = [widths[at] for at in kept], [columns[at] for at in kept]
        _narrow(widths, columns, width)
    out = []
    for row in rows:
        line = []
        for cell, wide, column in zip(row, widths, columns, strict=True):
            fitted = _cut(cell, wide)
            blank = " " * (wide - cells(fitted))
            line.append(blank + fitted if column.right else fitted + blank)
        out.append("  ".join(line).rstrip() + "\n")
    return "".join(out)


def _kept(widths: list[int], columns: Sequence[Column], width: int) -> list[int]:
    """The columns that have room when all that narrow are at their smallest."""
    kept = list(range(len(columns)))
    for at in reversed(range(len(columns))):
        least = sum(min(widths[at], _SMALLEST) if columns[at].narrows else widths[at] for at in kept)
        if columns[at].drops and least + 2 * (len(kept) - 1) > width:
            kept.remove(at)
    return kept


def _narrow(widths: list[int], columns: Sequence[Column], width: int) -> None:
    room = width - 2 * (len(widths) - 1)
    while sum(widths) > room:
        wide = [at for at, column in enumerate(columns) if column.narrows and widths[at] > _SMALLEST]
        if not wide:
            return
        widest = max(wide, key=lambda at: widths[at])
        widths[widest] -= 1


def _cut(cell: str, width: int) -> str:
    if cells(cell) <= width:
        return cell
    kept = ""
    for character in cell:
        if cells(kept + character) > width - 1:
            break
        kept += character
    return kept + "…"


def comma_separated(records: Sequence[Any], columns: Sequence[Column]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column.name for column in columns])
    for record in records:
        writer.writerow([plain(column.value(record)) for column in columns])
    return out.getvalue()


def text(value: Any) -> str:
    """A value for people; times are local."""
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return printable(plain(value))


def plain(value: Any) -> str:
    """A value for programs."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict | list):
        return msgspec.json.encode(value).decode()
    return str(value)


def cells(line: str) -> int:
    """How many columns of a terminal a text takes."""
    if line.isascii():
        return len(line)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


def human(size: int) -> str:
    """A size in at most four characters."""
    if size < 1024:
        return str(size)
    value, step = size / 1024, 0
    while value >= 999.5:
        value, step = value / 1024, step + 1
    unit = _UNITS[step]
    return f"{value:.1f}{unit}" if value < 9.95 else f"{value:.0f}{unit}"


def in_columns(names: Sequence[str], width: int) -> list[list[int]]:
    """Places of names in rows of columns that fit a width, filled downwards."""
    sizes = [cells(name) + 2 for name in names]
    for rows in range(1, len(names) + 1):
        columns = [range(start, min(start + rows, len(names))) for start in range(0, len(names), rows)]
        if sum(max(sizes[at] for at in column) for column in columns) - 2 <= width or rows == len(names):
            return [[column[row] for column in columns if row < len(column)] for row in range(rows)]
    return []
