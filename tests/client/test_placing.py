"""Whatever the arguments are, the request says them: its path, query and form, read back, give the same values."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agavesh.api import catalogue
from agavesh.api.operation import Operation, Param
from agavesh.client.arguments import ask
from agavesh.client.errors import BadArgument

text = st.text(min_size=1).filter(lambda value: "\0" not in value)
segments = text.map(lambda value: value.replace("/", "_"))
raw_names = st.binary(min_size=1).map(lambda raw: os.fsdecode(raw.replace(b"\0", b"_")))
OPERATIONS = list(catalogue.operations())


def values(param: Param) -> st.SearchStrategy[Any]:
    if param.place == "path":
        return text | raw_names if param.name.endswith("ilePath") else segments
    if param.word.spread:
        return st.dictionaries(text, text, min_size=1)
    return {str: text, int: st.integers(), bool: st.booleans()}.get(param.type, text)


def drawn(data: st.DataObject, operation: Operation, *places: str) -> dict[str, Any]:
    chosen = {name: param for name, param in operation.params.items() if param.place in places}
    return {name: data.draw(values(param), name) for name, param in chosen.items()}


@given(data=st.data(), operation=st.sampled_from(OPERATIONS))
def test_path_and_query_read_back_give_the_arguments(data: st.DataObject, operation: Operation) -> None:
    arguments = drawn(data, operation, "path", "query")
    body: dict[str, Any] = {name: {} for name, param in operation.params.items() if param.place == "body"}
    request = ask(operation, arguments | body)
    path, _, query = request.target.partition("?")
    assert unquote(path, errors="surrogateescape") == _filled(operation.path, arguments)
    in_query: list[tuple[str, str]] = []
    for name, value in arguments.items():
        if operation.params[name].place == "query":
            spread = operation.params[name].word.spread
            in_query += [(key, str(item)) for key, item in value.items()] if spread else [(name, str(value))]
    assert sorted(parse_qsl(query, keep_blank_values=True)) == sorted(in_query)
    assert request.target.isascii()
    assert "#" not in request.target


def _filled(template: str, arguments: dict[str, Any]) -> str:
    """The template with its names replaced, each once, from left to right."""
    done = ""
    while "{" in template:
        before, _, rest = template.partition("{")
        name, _, template = rest.partition("}")
        done += before + arguments[name]
    return done + template


@given(data=st.data(), operation=st.sampled_from([one for one in OPERATIONS if one.params]))
def test_a_wrong_name_is_refused_before_anything_is_sent(data: st.DataObject, operation: Operation) -> None:
    known = {*operation.params, *operation.also, "search", "filter", "headers", "nonce"}
    wrong = data.draw(text.filter(lambda name: name not in known))
    with pytest.raises(BadArgument, match="takes no"):
        ask(operation, drawn(data, operation, "path") | {wrong: "value"})


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.key)
def test_what_is_required_is_asked_for_by_name(operation: Operation) -> None:
    required = {name: "x" for name, param in operation.params.items() if param.required}
    for missing in required:
        with pytest.raises(BadArgument, match=missing):
            ask(operation, {name: value for name, value in required.items() if name != missing})
