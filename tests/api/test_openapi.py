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


def test_it_has_every_operation_but_the_second_one_of_a_place(document: dict[str, Any]) -> None:
    assert {operation.key for operation in catalogue.operations()} - set(described(document)) == {
        "actors.sendBinaryMessage"
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
    for operation in catalogue.operations():
        if operation.key in (known := described(document)):
            expected = {str(status) for status in statuses.successes(operation) + statuses.refusals(operation)}
            assert set(known[operation.key][2]["responses"]) == expected


def test_the_tables_of_statuses_name_what_there_is() -> None:
    keys = {operation.key for operation in catalogue.operations()}
    services = {operation.service for operation in catalogue.operations()}
    assert keys >= statuses.CREATED | statuses.ACCEPTED | statuses.FAILS | set(statuses.SEVERAL)
    assert services >= set(statuses.BEYOND)
