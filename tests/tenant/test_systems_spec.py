"""What no request for a system may do: end in anything but a record that can be kept, or a refusal without a secret."""

from __future__ import annotations

import copy
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agavesh.tenant.refusal import Refusal
from agavesh.tenant.systems import auths, spec
from tests.tenant.test_systems import HOST, STORE

SECRET = "open-sesame"


def full(record: dict[str, Any]) -> dict[str, Any]:
    """A record with a value at every place there is."""
    record = copy.deepcopy(record)
    server = {"name": "n", "endpoint": "e", "port": 1, "protocol": "MYPROXY"}
    for part in {"storage", "login"} & record.keys():
        record[part]["proxy"] = {"name": "p", "host": "h", "port": 1}
        record[part]["auth"] = {"type": "PASSWORD", "username": "u", "password": SECRET, "server": server}
    return record | {"queues": [{**queue, "maxMemoryPerNode": "1GB"} for queue in record.get("queues", [])]}


def places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in a record."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, each in inner for path in [(*above, key), *places(each, (*above, key))]]


RECORDS = [full(STORE), full(HOST)]
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just("x" * 20000),
    st.sampled_from([10**400, -1, 2**64, "9" * 5000, "1e5", "٣", "a\0b", "..", "1" * 400 + "GB", "00:00:00"]),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.just([[]]), st.just({"type": {}}),
)  # fmt: skip


@settings(max_examples=150)
@given(st.sampled_from(RECORDS), st.data())
def test_any_value_at_any_place_is_kept_or_refused(record, data):
    record = copy.deepcopy(record)
    path = data.draw(st.sampled_from(places(record)))
    place: Any = record
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = data.draw(ODD)
    try:
        found, given = spec.checked(record, {"storage": {"type": "PASSWORD"}})
    except Refusal as refusal:
        assert (refusal.status, SECRET in refusal.message) == (400, False)
        return
    kept = msgspec.json.encode(found)
    assert SECRET.encode() not in kept
    assert msgspec.json.decode(kept) == json.loads(kept)
    assert all(set(auths.shown(auth)) <= {"type", "server", "caCerts"} for auth in given.values())


@pytest.mark.parametrize("record", RECORDS, ids=["storage", "execution"])
def test_what_a_record_tells_is_a_record_of_the_same(record):
    """So that a client may change a field and send all back."""
    found, given = spec.checked(record)
    assert [*given] == ["storage", "execution"][: len(given)]
    told = {part: auths.shown(auth) for part, auth in given.items()}
    assert spec.checked(copy.deepcopy(found) | {"extra": 1}, told) == (found, {})
    for part in {"storage", "login"} & found.keys():
        changed = copy.deepcopy(found)
        changed[part]["auth"]["server"]["port"] = 2
        with pytest.raises(Refusal, match=f"{part}.auth.password"):
            spec.checked(changed, told)
