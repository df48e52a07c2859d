"""SQL only narrows: what it lets through to the judge holds every document that fits, and what it is sure of fits.

Documents and queries are drawn; each query is asked with and without SQL's help, and the same documents must be found.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agavesh.tenant.meta import documents, search
from agavesh.tenant.meta.judge import Judge
from agavesh.tenant.meta.query import Query
from agavesh.tenant.store import Store

KEYS = st.sampled_from(["a", "b", "é", "0", "1", "a.b", "", "it's", 'a"b', "a\\b", "$x", "\x01", "日", "a b", "[0]"])
PLAIN_KEYS = st.sampled_from(["a", "b"])
NUMBERS = (
    st.integers(-3, 3)
    | st.sampled_from([0.1, 0.3, 0.1 + 0.2, 1e22, 1.5, -2.5, 5e-324, 1.7976931348623157e308, 0.30000000000000004])
    | st.sampled_from([2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, 2**63, 2**64, -(2**63), -(2**63) - 1, 10**30])
    | st.floats(allow_nan=False, allow_infinity=False)
)
TEXTS = st.sampled_from(["", "a", "b", "ab", "A", "a\0b", "a\0c", "ü", "\U0001f331", "1", "true", "null", "x" * 40])
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(PLAIN_KEYS, inner, max_size=2)
        | st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=8,
)
UUIDS = [f"{number}-242ac11f-0001-007" for number in range(3)]
NAMES = st.sampled_from(["a", "b", "ab", "A\0", "é"])
DOCUMENT = st.tuples(NAMES, st.sampled_from(["alice", "bob"]), VALUES, st.lists(st.sampled_from(UUIDS), unique=True))

NAMES_OF_FIELDS = ["name", "owner", "uuid", "schemaId", "associationIds", "internalUsername", "nope", "lastUpdated"]
TYPES = ["string", "int", "double", "number", "bool", "null", "array", "object", "long", 2, 10, 16]


@dataclass(frozen=True)
class Words:
    """What queries are made of: fields and values that documents have, and some that they have not."""

    fields: st.SearchStrategy[str]
    keys: st.SearchStrategy[str]
    values: st.SearchStrategy[object]

    @classmethod
    def of(cls, values: list[object]) -> Words:
        found = [leaf for value in values for leaf in leaves("value", value)]
        fields = st.sampled_from([path for path, _ in found])
        keys = st.sampled_from([step for path, _ in found for step in path.split(".")[1:]] or ["a"])
        known = [value for _, value in found if not (isinstance(value, dict) and next(iter(value), "")[:1] == "$")]
        other = st.lists(PLAIN_KEYS | KEYS, max_size=3).map(lambda steps: ".".join(["value", *steps]))
        there = st.sampled_from(known or [0])
        return cls(
            fields | fields | other | st.sampled_from(NAMES_OF_FIELDS),
            (keys | PLAIN_KEYS).filter(lambda key: key[:1] != "$"),
            there | there | SCALARS | st.sampled_from(UUIDS) | NAMES,
        )

    def operators(self, depth: int) -> st.SearchStrategy[dict[str, object]]:
        words: dict[str, st.SearchStrategy[object]] = {
            **dict.fromkeys(("$eq", "$ne", "$gt", "$gte", "$lt", "$lte"), self.values),
            **{word: st.lists(self.values, max_size=3) for word in ("$in", "$nin", "$all")},
            "$exists": st.booleans(),
            "$size": st.integers(0, 3),
            "$regex": st.sampled_from(["a", "^a", "b$", ".", "^$", "\\d", "(?i)A", "ü|x+"]),
            "$type": st.sampled_from(TYPES) | st.lists(st.sampled_from(TYPES), min_size=1, max_size=2),
            "$mod": st.tuples(st.sampled_from([-3, -2, 1, 2, 3, 2**60]), st.integers(-2, 2)),
        }
        if depth:
            words["$not"] = self.operators(0)
            words["$elemMatch"] = self.operators(depth - 1) | replace(self, fields=self.keys).queries(0)
        each = st.sampled_from(sorted(words)).flatmap(lambda word: st.tuples(st.just(word), words[word]))
        return st.lists(each, min_size=1, max_size=2).map(dict)

    def queries(self, depth: int) -> st.SearchStrategy[dict[str, object]]:
        fitting = st.dictionaries(self.fields, self.values | self.operators(depth), min_size=1, max_size=2)
        if not depth:
            return fitting
        several = st.lists(self.queries(depth - 1), min_size=1, max_size=3)
        joined = st.tuples(st.sampled_from(["$and", "$or", "$nor"]), several).map(lambda pair: dict([pair]))
        return fitting | fitting | joined | st.tuples(fitting, joined).map(lambda pair: pair[0] | pair[1])


def leaves(path: str, value: object) -> list[tuple[str, object]]:
    """All that stands in a value, with the path that leads there: with the place in an array, and without."""
    found = [(path, value)]
    if isinstance(value, dict):
        return found + [leaf for key, inner in value.items() for leaf in leaves(f"{path}.{key}", inner)]
    if isinstance(value, list):
        for place, inner in enumerate(value):
            found += leaves(path, inner) + leaves(f"{path}.{place}", inner)
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("narrowing") / "tenant.db"
    store = Store(path, documents.TABLES)
    store.close()
    yield path


def asked(db: sqlite3.Connection, text: str) -> tuple[set[str], set[str]]:
    """What is found with SQL's help and without."""
    query = Query.of(text)
    clock = search.Clock(time.monotonic() + 60, threading.Event())
    kind, order = search.KIND_DOCUMENT, search.Order()
    helped = {each.uuid for each in search._found(db, kind, query, None, order, 1000, 0, clock)}
    judge = Judge(query.spec)
    alone = set()
    for each in search._found(db, kind, Query.of(None), None, order, 1000, 0, clock):
        record = each.record()
        if judge({**record, "value": msgspec.json.decode(each.value)}):
            alone.add(each.uuid)
    return helped, alone


def fill(place: Path, drawn: list[tuple[str, str, object, list[str]]]) -> None:
    store = Store(place, documents.TABLES)
    with store.together():
        for table in ("documents", "associations", "leaves"):
            store.sql(f"delete from {table}")
        for number, (name, owner, value, others) in enumerate(drawn):
            now = f"2026-01-0{number + 1}T00:00:00.000-06:00"
            uuid = f"{number}-242ac11f-0001-012"
            encoded = msgspec.json.encode(value)
            document = documents.Document(uuid, name, owner, None, now, now, encoded, others)
            documents.put_document(store, document, value)
    store.close()


@settings(max_examples=100)
@given(st.data())
def test_with_and_without_sql_the_same_documents_are_found(place, data):
    drawn = data.draw(st.lists(DOCUMENT, min_size=1, max_size=6))
    words = Words.of([value for _, _, value, _ in drawn])
    fill(place, drawn)
    with contextlib.closing(sqlite3.connect(place, isolation_level=None)) as db:
        for query in data.draw(st.lists(words.queries(1), min_size=1, max_size=8)):
            helped, alone = asked(db, json.dumps(query))
            assert helped == alone, query


@pytest.mark.parametrize(
    ("value", "query", "fits"),
    [
        ({"a": "a\0b"}, {"value.a": "a\0b"}, True),
        ({"a": "a\0b"}, {"value.a": "a"}, False),
        ({"a": "a\0c"}, {"value.a": {"$gt": "a\0b"}}, True),
        ([[1, 2]], {"value": 1}, False),
        ([[1, 2]], {"value": [1, 2]}, True),
        ({"a": [{"b": 1}]}, {"value.a.b": 1}, True),
        ({"a": [{"b": 1}]}, {"value.a.0.b": 1}, True),
        ({"0": {"b": 1}}, {"value.0.b": 1}, True),
        ({"it's": 1}, {"value.it's": 1}, True),
        ({'a"b': 1}, {'value.a"b': 1}, True),
        ({"n": 2**53 + 1}, {"value.n": 2**53 + 1}, True),
        ({"n": 2**53 + 1}, {"value.n": 2**53}, False),
        ({"n": 10**30}, {"value.n": {"$gt": 5}}, True),
        ({"n": 0.1 + 0.2}, {"value.n": 0.1 + 0.2}, True),
        ({"n": 0.1 + 0.2}, {"value.n": 0.3}, False),
        ({"n": True}, {"value.n": 1}, False),
        ({"n": -5}, {"value.n": {"$mod": [3, -2]}}, True),
        ({"t": ["abc"]}, {"value.t": {"$elemMatch": {"$eq": "b"}}}, False),
        ([[{"a": 1}]], {"value": {"$elemMatch": {"0.a": 1}}}, True),
        ({"v": 5}, {"value": {"v": 5}}, True),
        ({}, {"value": {}}, True),
        ("text", {"value": {"$regex": "^TE", "$options": "i"}}, True),
    ],
)
def test_what_is_hard_to_say_in_sql_is_judged(place, value, query, fits):
    fill(place, [("a", "alice", value, [])])
    with contextlib.closing(sqlite3.connect(place, isolation_level=None)) as db:
        helped, alone = asked(db, json.dumps(query))
    assert (bool(helped), bool(alone)) == (fits, fits)
