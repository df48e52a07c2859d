"""Tables: they fit the terminal as far as they can."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agavesh.shell.render import Column, cells, key, table

JOB = {
    "id": "6413105321494427808-78b2e411-0001-007", "name": "wordcount of a long text", "app": "wordcount-1.0",
    "status": "PROCESSING_INPUTS", "created": "2026-11-23 16:18:13", "ended": "2026-11-23 16:18:14",
}  # fmt: skip


COLUMNS = [
    key("id"), key("name")._replace(narrows=True), key("app")._replace(narrows=True), key("status"),
    key("created")._replace(drops=True), key("ended")._replace(drops=True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("width", "told"),
    [
        (80, "ID NAME APP STATUS"),
        (100, "ID NAME APP STATUS CREATED"),
        (140, "ID NAME APP STATUS CREATED ENDED"),
        (None, "ID NAME APP STATUS CREATED ENDED"),
    ],
)
def test_a_table_tells_what_a_terminal_has_room_for(width: int | None, told: str) -> None:
    lines = table([JOB], COLUMNS, width=width).splitlines()
    assert " ".join(lines[0].split()) == told
    assert all(width is None or cells(line) <= width for line in lines)
    assert JOB["id"] in lines[1]


@given(
    st.lists(st.tuples(st.text("aü日", max_size=40), st.booleans(), st.booleans()), min_size=1, max_size=6),
    st.integers(20, 120),
)
def test_no_row_is_wider_than_the_terminal_unless_columns_that_stay_are(
    made: list[tuple[str, bool, bool]], width: int
) -> None:
    columns: list[Column] = [
        key(str(at))._replace(narrows=narrows, drops=drops) for at, (_, narrows, drops) in enumerate(made)
    ]
    record = {str(at): cell for at, (cell, _, _) in enumerate(made)}
    stay = [min(cells(cell), 8) if narrows else cells(cell) for cell, narrows, drops in made if not drops]
    least = sum(max(1, size) for size in stay) + 2 * (len(stay) - 1)
    widest = max(cells(line) for line in table([record], columns, width=width).splitlines())
    assert widest <= max(width, least)
