"""The OpenAPI document is valid, whole, and says what the catalogue says."""

from __future__ import annotations

from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from agavesh.api import catalogue, openapi, statuses


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi.document("https://api.example.org")


def described(document: dict[str, Any]) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """By operation: method, path, and what is said of it."""
    return {
        operation["operationId"]: (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_it_is_valid(document: dict[str, Any]) -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def named(operation: dict[str, Any]) -> list[str]:
    names: list[str] = operation["x-agave-operations"]
    return names


def test_it_has_every_operation_by_its_name_once(document: dict[str, Any]) -> None:
    names = [name for _, _, operation in described(document).values() for name in named(operation)]
    assert sorted(names) == sorted(operation.key for operation in catalogue.operations())
    assert len({operation.key for operation in catalogue.operations() if operation.documented} & set(names)) == 120


def test_two_operations_at_one_place_are_one_that_takes_the_bodies_of_both(document: dict[str, Any]) -> None:
    shared = {
        key: named(operation) for key, (_, _, operation) in described(document).items() if len(named(operation)) > 1
    }
    assert shared == {"actors.sendMessage": ["actors.sendMessage", "actors.sendBinaryMessage"]}
    body = described(document)["actors.sendMessage"][2]["requestBody"]
    assert body == {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/MessageRequest"}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }


def test_an_operation_is_described_as_it_is_declared(document: dict[str, Any]) -> None:
    method, path, listing = described(document)["files.list"]
    assert (method, path) == ("GET", "/files/v2/listings/system/{systemId}/{filePath}")
    assert {(one["name"], one["in"], one["required"]) for one in listing["parameters"]} == {
        ("systemId", "path", True), ("filePath", "path", True), ("limit", "query", False), ("offset", "query", False),
    }  # fmt: skip
    envelope = listing["responses"]["200"]["content"]["application/json"]["schema"]
    assert envelope["properties"]["result"] == {
        "type": "array", "items": {"$ref": "#/components/schemas/RemoteFile"}
    }  # fmt: skip
    assert document["components"]["schemas"]["RemoteFile"]["properties"]["length"]["anyOf"][0] == {"type": "integer"}
    upload = described(document)["files.importData"][2]
    assert set(upload["requestBody"]["content"]) == {"multipart/form-data", "application/x-www-form-urlencoded"}
    assert described(document)["clients.list"][2]["security"] == [{"password": []}]


def test_every_status_that_is_declared_is_described(document: dict[str, Any]) -> None:
    for _, _, operation in described(document).values():
        declared = {
            str(status)
            for one in map(catalogue.find, named(operation))
            for status in statuses.successes(one) + statuses.refusals(one)
        }
        assert set(operation["responses"]) == declared


def test_the_tables_of_statuses_name_what_there_is() -> None:
    keys = {operation.key for operation in catalogue.operations()}
    services = {operation.service for operation in catalogue.operations()}
    assert keys >= statuses.CREATED | statuses.ACCEPTED | statuses.FAILS | set(statuses.SEVERAL)
    assert services >= set(statuses.BEYOND)
