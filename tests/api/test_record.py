"""Records: decoding forgives a field that does not fit until it is read, and keeps the bytes as they came."""
# ruff: noqa: B018  a field that is only read is what is tested

from __future__ import annotations

import gc
import json
from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agavesh.api import catalogue
from agavesh.api.models.files import FileOperationRequest, FilePermission, RemoteFile
from agavesh.api.models.meta import Metadata
from agavesh.api.record import BadField, Page, Record, decode, decode_page

FILE = {"name": "a.txt", "path": "/a.txt", "type": "file", "length": 3}

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KINDS = sorted(
    {op.result for op in catalogue.operations() if isinstance(op.result, type) and issubclass(op.result, Record)},
    key=lambda kind: kind.__name__,
)


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_a_record_has_its_fields_typed() -> None:
    file = decode(encoded(FILE | {"lastModified": "2014-09-10T19:47:44.000-05:00"}), RemoteFile)
    assert (file.name, file.length) == ("a.txt", 3)
    assert file.lastModified == datetime.fromisoformat("2014-09-11T00:47:44+00:00")


def test_an_unknown_field_is_no_trouble_and_stays_in_json() -> None:
    file = decode(encoded(FILE | {"color": "blue"}), RemoteFile)
    assert json.loads(file.json)["color"] == "blue"
    with pytest.raises(AttributeError, match="RemoteFile has no field 'color'"):
        file.color


def test_a_field_that_does_not_fit_raises_when_it_is_read_and_leaves_the_others() -> None:
    file = decode(encoded(FILE | {"length": "three"}), RemoteFile)
    assert file.name == "a.txt"
    with pytest.raises(BadField, match=r"RemoteFile\.length: .*str.*\.json"):
        file.length
    assert json.loads(file.json)["length"] == "three"


def test_a_missing_field_that_must_be_there_raises_when_it_is_read() -> None:
    file = decode(b'{"name": "a.txt"}', RemoteFile)
    assert file.length is None
    with pytest.raises(BadField, match=r"RemoteFile\.path: missing"):
        file.path


def test_null_counts_as_absent() -> None:
    file = decode(encoded(FILE | {"length": None, "path": None}), RemoteFile)
    assert file.length is None
    with pytest.raises(BadField):
        file.path


def test_a_record_that_does_not_fit_can_be_shown_and_compared() -> None:
    file = decode(encoded(FILE | {"length": "three"}), RemoteFile)
    assert "a.txt" in repr(file)
    assert file != decode(encoded(FILE), RemoteFile)


def test_one_bad_record_does_not_spoil_its_page() -> None:
    page = decode_page(encoded([FILE, FILE | {"name": 7}, FILE | {"name": "b"}]), RemoteFile)
    assert [file.length for file in page] == [3, 3, 3]
    assert (page[0].name, page[2].name) == ("a.txt", "b")
    with pytest.raises(BadField):
        page[1].name


@pytest.mark.parametrize("odd", [None, "text", 7, []])
def test_what_is_no_record_at_all_does_not_spoil_its_page_either(odd: Any) -> None:
    page = decode_page(encoded([FILE, odd]), RemoteFile)
    assert page[0].name == "a.txt"
    with pytest.raises(BadField):
        page[1].name
    assert json.loads(page[1].json) == odd


@pytest.mark.parametrize("body", [b"", b"{", b'{"a": 1}', b"null", b"[{]", b"[{}", b"<html>", b"\xff\xfe"])
def test_what_is_no_page_is_an_error(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_page(body, RemoteFile)


@pytest.mark.parametrize("body", [b"", b"{", b"<html>", b'{"name": "a'])
def test_cut_or_malformed_json_is_an_error(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(body, RemoteFile)


def test_a_page_and_its_records_give_back_the_bytes_that_came() -> None:
    body = b'[ {"name":"a","path":"/a","type":"file" , "x": 1.50}, {"name":"b","path":"/b","type":"dir"} ]'
    page = decode_page(body, RemoteFile)
    assert page.json == body
    assert page[0].json == page.json_of(page[0]) == b'{"name":"a","path":"/a","type":"file" , "x": 1.50}'
    assert page[1].json == b'{"name":"b","path":"/b","type":"dir"}'


def test_a_page_that_was_sorted_or_cut_still_gives_each_record_its_own_bytes() -> None:
    page = decode_page(encoded([FILE, FILE | {"name": "b"}, FILE | {"name": "c"}]), RemoteFile)
    page.reverse()
    page.pop()
    assert [json.loads(file.json)["name"] for file in page] == ["c", "b"]


def test_the_bytes_of_a_record_go_with_its_page() -> None:
    page = decode_page(encoded([FILE]), RemoteFile)
    [file] = page
    del page
    gc.collect()
    assert file.name == "a.txt"
    with pytest.raises(LookupError, match="no longer kept"):
        file.json


def test_a_record_that_we_made_has_the_json_that_would_be_sent() -> None:
    made = FileOperationRequest(action="mkdir", path="ü b")
    assert json.loads(made.json) == {"action": "mkdir", "path": "ü b"}


def test_links_are_found_in_both_forms_and_missing_ones_are_none() -> None:
    link = {"self": {"href": "https://example.org/a"}}
    assert decode(encoded(FILE | {"_links": link}), RemoteFile).links == link
    page = decode_page(encoded([FILE | {"_links": link}]), RemoteFile)
    assert page[0].links == link
    plain = {"self": "https://example.org/actors/v2/X"}
    assert decode(encoded(FILE | {"_links": plain}), RemoteFile).links == plain
    nothing: tuple[dict[str, Any], ...] = ({}, {"_links": None}, {"_links": []})
    for without in nothing:
        assert decode(encoded(FILE | without), RemoteFile).links == {}


def test_a_nested_record_that_does_not_fit_spoils_its_own_field_alone() -> None:
    pem = decode(b'{"username": "ann", "permission": "READ"}', FilePermission)
    assert pem.username == "ann"
    with pytest.raises(BadField):
        pem.permission


def test_the_value_of_a_metadata_record_may_be_anything() -> None:
    for value in (None, 1, "text", [1], {"a": {"b": None}}):
        assert decode(encoded({"uuid": "u", "value": value}), Metadata).value == value


def test_a_page_of_anything_has_its_bytes_too() -> None:
    page: Page[Any] = decode_page(b'[{"a": 1}, [2]]', Any)
    assert (page.json_of(page[0]), page.json_of(page[1])) == (b'{"a": 1}', b"[2]")


@given(data=st.data(), kind=st.sampled_from(KINDS))
def test_any_object_decodes_as_any_record_and_every_field_reads_or_raises_badfield(
    data: st.DataObject, kind: type[Record]
) -> None:
    fields = [field.encode_name for field in msgspec.structs.fields(kind)]
    body = encoded(data.draw(st.dictionaries(st.sampled_from(fields) | st.text(), anything)))
    for record in (decode(body, kind), decode_page(b"[" + body + b"]", kind)[0]):
        for field in msgspec.structs.fields(kind):
            try:
                getattr(record, field.name)
            except BadField as bad:
                assert field.name in str(bad)


@given(st.lists(anything, max_size=5))
def test_any_array_is_a_page_and_keeps_its_bytes(values: list[Any]) -> None:
    page = decode_page(encoded(values), RemoteFile)
    assert json.loads(page.json) == values
    assert [json.loads(page.json_of(record)) for record in page] == values


def test_a_record_is_read_by_key_too() -> None:
    file = decode(encoded(FILE | {"color": "blue", "format": None, "_links": {"self": {"href": "u"}}}), RemoteFile)
    assert (file["name"], file["color"], file._links["self"]["href"]) == ("a.txt", "blue", "u")
    assert (file.get("length"), file.get("format", "raw"), file.get("nothing")) == (3, "raw", None)
    assert ("name" in file, "format" in file, "color" in file, "nothing" in file) == (True, False, True, False)
    assert dict(file) == FILE | {"color": "blue", "_links": {"self": {"href": "u"}}}
    with pytest.raises(KeyError, match="nothing"):
        file["nothing"]


def test_a_page_can_be_kept_by_its_records() -> None:
    page = decode_page(encoded([FILE | {"color": "blue"}]), RemoteFile)
    file = page[0]
    page.keep()
    del page
    gc.collect()
    assert file["color"] == "blue"


def test_without_its_page_a_record_still_has_its_fields_by_key() -> None:
    file = decode_page(encoded([FILE | {"color": "blue"}]), RemoteFile)[0]
    gc.collect()
    assert (file["name"], dict(file)) == ("a.txt", FILE)
