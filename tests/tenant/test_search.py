"""Searching, paging and trimming of answers, value by value."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agavesh.tenant import search, words
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


def found(**query):
    ctx = SimpleNamespace(query=query, filtered=True)
    return "".join(
        each["id"] for each in search.page(ctx, RECORDS, names=NAMES, summary=dict, aliases={"created": "made"})
    )


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
    [{"nodes": "many"}, {"nodes.between": "x,y"}, {"made": "yesterday"}, {"made.in": "2020-01-01"}, {"on.gt": "true"},
     {"made.between": "2020-01-01,2021-01-01,2022-01-01"}, {"name.rlike": "("}, {"orderBy": "unknown"},
     {"orderBy": "id", "order": "UP"}],
)  # fmt: skip
def test_a_value_of_the_wrong_type_is_refused(query):
    with pytest.raises(Refusal) as refused:
        found(**query)
    assert refused.value.status == 400


def test_several_keys_are_joined_and_pages_are_cut_from_what_they_leave():
    assert found(on="false", **{"nodes.gt": "3"}) == "b"
    assert found(limit="2") == "ab"
    assert found(limit="-2", offset="-1") == "bc"
    assert found(limit="x", offset="x") == "abc"
    assert found(orderBy="nodes") == "bca"
    assert found(orderBy="nodes", order="asc") == "acb"
    assert found(orderBy="at.host", order="asc") == "acb"
    assert (search.limit_of("1000"), search.limit_of(None), search.limit_of("0")) == (250, 100, 0)


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
