"""Searching, paging and trimming of answers, value by value."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from datetime import datetime
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agavesh.tenant import conditions, search, words
from agavesh.tenant.conditions import Columns, Conditions
from agavesh.tenant.envelope import filtered
from agavesh.tenant.refusal import Refusal

RECORDS = [
    {
        "id": "a",
        "name": "Alpha Run",
        "nodes": 1,
        "on": True,
        "made": "2020-01-02T03:04:05.000-06:00",
        "tags": ["x", "y"],
    },
    {"id": "b", "name": "beta", "nodes": 20, "on": False, "made": "2021-06-07T08:09:10.123-06:00", "at": {"Host": "h"}},
    {
        "id": "c",
        "name": "gamma",
        "nodes": 3,
        "on": False,
        "made": "2022-01-01T00:00:00.000-06:00",
        "at": {"Host": None},
    },
]
NAMES = frozenset(["id", "name", "nodes", "on", "made", "tags", "at.host", "created"])


def context(query):
    return SimpleNamespace(query=query, filtered=True)


def found(**query):
    kept = search.page(context(query), RECORDS, names=NAMES, summary=dict, aliases={"created": "made"})
    return "".join(each["id"] for each in kept)


@pytest.mark.parametrize(
    ("key", "value", "ids"),
    [
        ("id", "a", "a"), ("ID.EQ", "a", "a"), ("id.neq", "a", "bc"), ("id.in", "a,c", "ac"), ("id.nin", "a,c", "b"),
        ("name", "ALPHA run", "a"), ("name.like", "*a", "bc"), ("name.like", "beta", "b"), ("name.nlike", "*a", "a"),
        ("name.rlike", "^(al|ga)", "ac"), ("name.like", "[a]lpha*", ""),
        ("name.between", "b,d", "b"), ("name.lt", "b", "a"),
        ("nodes", "1", "a"), ("nodes.gt", "3", "b"), ("nodes.gte", "3", "bc"), ("nodes.lt", "3", "a"),
        ("nodes.lte", "3", "ac"),
        ("nodes.between", "2,30", "bc"), ("nodes.in", "1,3", "ac"), ("nodes.like", "2*", "b"),
        ("on", "true", "a"), ("on", "1", "a"), ("on", "False", "bc"), ("on.neq", "true", "bc"),
        ("tags", "y", "a"), ("tags.neq", "y", "bc"), ("at.host", "h", "b"), ("at.host.neq", "h", "ac"),
        ("made.on", "2021-06-07", "b"), ("made", "2021-06-07T08:09:10-06:00", "b"), ("made.before", "2021-01-01", "a"),
        ("made.after", "2021-01-01", "bc"), ("made.gt", "1600000000", "bc"), ("made.lt", "1600000000000", "a"),
        ("made.between", "2020-01-01,2021-12-31", "ab"), ("created.after", "2021-12-31", "c"),
        ("nothing", "x", "abc"), ("id.what", "x", "abc"), ("at", "h", "abc"),
    ],
)  # fmt: skip
def test_each_operator(key, value, ids):
    assert found(**{key: value}) == ids


@pytest.mark.parametrize(
    "query",
    [{"nodes": "many"}, {"nodes.between": "x,y"}, {"made": "some day"}, {"made": "9" * 20},
     {"made.in": "2020-01-01"}, {"on.gt": "true"},
     {"made.between": "2020-01-01,2021-01-01,2022-01-01"}, {"name.rlike": "("}, {"orderBy": "unknown"},
     {"orderBy": "id", "order": "UP"}],
)  # fmt: skip
def test_a_value_of_the_wrong_type_is_refused(query):
    with pytest.raises(Refusal) as refused:
        found(**query)
    assert refused.value.status == 400


def test_a_moment_can_be_told_by_how_long_ago_it_was() -> None:
    made = words.date(time.time() - 3 * 86400)
    for query, there in (("after=4 days ago", True), ("after=2 days ago", False), ("before=yesterday", True),
                         ("after=last week", True), ("before=now", True), ("after=Today", False)):  # fmt: skip
        operator, _, value = query.partition("=")
        kept = search.page(context({f"made.{operator}": value}), [{"made": made}], names=NAMES, summary=dict)
        assert bool(kept) == there, query


HOSTILE = {"name.rlike": "^(a|a|aa)+$"}  # in a text of many a's that does not end with one `re` takes for ever


def test_a_regular_expression_holds_nobody_up(monkeypatch) -> None:
    name = "a" * 60 + "!"
    assert search.page(context(HOSTILE), [{"name": name}], names=NAMES, summary=dict) == []
    assert Conditions.of(HOSTILE, COLUMNS, 400).fitting([("id", name)]) == []
    for module in (search, conditions):
        monkeypatch.setattr(module, "PATIENCE", -1.0)
    with pytest.raises(Refusal, match="too long"):
        search.page(context(HOSTILE), [{"name": name}], names=NAMES, summary=dict)
    with pytest.raises(Refusal, match="too long"):
        Conditions.of(HOSTILE, COLUMNS, 400).fitting([("id", name)])


# the same in the database ---------------------------------------------------------------------------------------------

COLUMNS: Columns = {
    "id": ("text", "id"), "name": ("text", "name"), "nodes": ("number", "nodes"), "on": ("flag", "flag"),
    "made": ("moment", "made"),
}  # fmt: skip
names = st.one_of(st.none(), st.text(st.sampled_from("aAbÄ*?[]., 1"), max_size=4))
numbers = st.one_of(st.none(), st.integers(-3, 12), st.sampled_from([0.5, 1.5, 10.0]))
moments = st.one_of(st.none(), st.integers(0, 400_000_000).map(lambda ms: 1_600_000_000 + ms / 1000))
values = st.one_of(
    names.map(str),
    numbers.map(str),
    st.sampled_from(["true", "1", "FALSE", "2020-09-13", "2020-09-14T08:00"]),
)
operators = st.sampled_from(["", *(f".{operator}" for operator in search._OPERATORS)])


@settings(max_examples=300)
@given(
    st.lists(st.tuples(names, numbers, st.booleans(), moments), max_size=6),
    st.sampled_from(["name", "nodes", "on", "made"]),
    operators,
    st.lists(values, min_size=1, max_size=3).map(",".join),
)
def test_a_database_finds_what_a_search_by_hand_finds(rows, field, operator, value) -> None:
    asked = {field + operator: value}
    records = [
        {"id": str(n), "name": name, "nodes": nodes, "on": on, "made": None if at is None else words.date(at)}
        for n, (name, nodes, on, at) in enumerate(rows)
    ]
    try:
        kept = [each["id"] for each in search.page(context(asked), records, names=NAMES, summary=dict)]
    except Refusal:
        kept = None  # only where there is a record to compare with
    try:
        wanted = Conditions.of(asked, COLUMNS, 400)
    except Refusal:
        assert kept in (None, []) or operator in (".neq", ".nin", ".nlike"), "no record has a value to refuse it for"
        return
    assert kept is not None
    assert _selected(wanted, records) == kept


def _selected(wanted: Conditions, records: list[dict]) -> list[str]:
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        db.execute("create table jobs (id, name, nodes, flag, made)")
        for each in records:
            at = each["made"] and datetime.fromisoformat(each["made"]).timestamp()
            name = each["name"] and each["name"].lower()
            db.execute(
                "insert into jobs values (?, ?, ?, ?, ?)", (each["id"], name, each["nodes"], int(each["on"]), at)
            )
        columns = ", ".join(["id", *(column for column, _ in wanted.patterns)])
        where = " and ".join(["true", *wanted.where])
        rows = db.execute(f"select {columns} from jobs where {where} order by id", wanted.values).fetchall()
        return list(wanted.fitting(rows)) if wanted.patterns else [id for (id,) in rows]


def test_several_keys_are_joined_and_pages_are_cut_from_what_they_leave():
    assert found(on="false", **{"nodes.gt": "3"}) == "b"
    assert found(limit="2") == "ab"
    assert found(limit="-2", offset="-1") == "bc"
    assert found(limit="x", offset="x") == "abc"
    assert found(orderBy="nodes") == "bca"
    assert found(orderBy="nodes", order="asc") == "acb"
    assert found(orderBy="at.host", order="asc") == "acb"
    assert (search.limit_of("1000"), search.limit_of(None), search.limit_of("0")) == (250, 100, 0)
    assert (search.offset_of("7"), search.offset_of("9" * 30), search.offset_of("9" * 5000)) == (7, 2**31 - 1, 0)


def test_fields_are_chosen_at_most_two_levels_deep():
    record = {"a": {"b": 1, "c": 2, "d": {"e": 3}}, "x": 1, "y": None}
    assert filtered(record, "x,y,z") == {"x": 1, "y": None}
    assert filtered(record, "a.b,a.c") == {"a": {"b": 1, "c": 2}}
    assert filtered(record, "a.none") == {"a": {"none": None}}
    assert filtered(record, "a.d.e,x") == {"x": 1}
    assert filtered(record, "x,*") == record
    assert filtered(record, "a,a.b,a.none") == {"a": record["a"]}
    assert filtered([record, {"q": 1}], "x") == [{"x": 1}]
    assert record["a"] == {"b": 1, "c": 2, "d": {"e": 3}}


@given(st.integers(-(10**9), 10**10), st.integers(0, 999))
def test_a_date_says_its_moment_to_the_millisecond(second, millisecond):
    text = words.date(second + millisecond / 1000)
    assert words.moment(text).timestamp() == pytest.approx(second + millisecond / 1000, abs=0.0011)
    assert text.endswith("-06:00")


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("My Run", "my-run"),
        ("  a__b++c ", "a__b++c"),
        ("été 'x\"", "ete-x"),
        ("--", ""),
        ("日本", ""),
        ("A/B\\C", "a-b-c"),
    ],
)
def test_slugs(text, slug):
    assert words.slug(text) == slug


@pytest.mark.parametrize("word", sorted(words.PEMS))
def test_the_words_of_permissions_go_both_ways(word):
    assert words.pem_word(words.pem(word.lower())) == word
    assert words.pem("x") is None
