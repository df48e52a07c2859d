"""The catalogue is the documentation: 120 operations, by name, route and parameters, as AgavePy's page has them.

`documented.txt` holds a line for each: key, method, path, parameters; a question mark says that one may be left out.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agavesh.api import catalogue
from agavesh.api.operation import Operation

DOCUMENTED = {
    line.split()[0]: line.split()[1:] for line in Path(__file__).with_name("documented.txt").read_text().splitlines()
}
# The documentation demands a path, and says at the same place that the root of the outputs is meant without one.
LOOSER = {"jobs.listOutputs": {"filePath"}}
OPERATIONS = list(catalogue.operations())


def test_there_are_120_documented_operations_and_no_other_calls_itself_documented() -> None:
    assert len(DOCUMENTED) == 120
    assert {operation.key for operation in OPERATIONS if operation.documented} == set(DOCUMENTED)


@pytest.mark.parametrize("key", DOCUMENTED)
def test_an_operation_is_as_documented(key: str) -> None:
    method, path, *documented = DOCUMENTED[key]
    operation = catalogue.find(key)
    assert (operation.method, operation.path) == (method, path)
    names = {ours: other for other, ours in operation.also.items()}
    declared = {names.get(name, name): param.required for name, param in operation.params.items()}
    expected = {name.rstrip("?"): not name.endswith("?") for name in documented}
    assert declared == expected | dict.fromkeys(LOOSER.get(key, ()), False)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.key)
def test_an_operation_fits_together(operation: Operation) -> None:
    places = [param.place for param in operation.params.values()]
    in_path = [name for name, param in operation.params.items() if param.place == "path"]
    assert sorted(in_path) == sorted(re.findall(r"{(\w+)}", operation.path))
    assert places.count("body") <= 1
    assert "body" not in places or not {"form", "file"} & set(places)
    assert operation.method in ("GET", "POST", "PUT", "DELETE")
    assert operation.method != "GET" or set(places) <= {"path", "query", "unsent"}
    assert operation.summary.endswith(".")
    assert all(param.word.help for param in operation.params.values())
    assert set(operation.also.values()) <= set(operation.params)


def test_a_key_finds_its_operation_and_no_other_key_does() -> None:
    assert all(catalogue.find(operation.key) is operation for operation in OPERATIONS)
    for wrong in ("files", "files.nothing", "nothing.list", "", "files.list.more", "service.list"):
        with pytest.raises(KeyError):
            catalogue.find(wrong)


def test_a_method_is_its_operation_and_calls_the_caller_with_it() -> None:
    heard = []
    for service in catalogue.SERVICES:
        bound = service(lambda operation, arguments: heard.append((operation, arguments)))
        for name, operation in service.operations.items():
            getattr(bound, name)(one="argument")
            assert heard.pop() == (operation, {"one": "argument"})


def test_only_the_clients_service_wants_a_password_instead_of_a_token() -> None:
    assert {operation.service for operation in OPERATIONS if not operation.token} == {"clients"}
