"""Every operation is answered at its own path, whatever stands beside it."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from agavesh.api.catalogue import operations
from agavesh.tenant.app import Incomplete, routes
from agavesh.tenant.handlers import systems
from agavesh.tenant.routes import Routes, Unreadable

VALUES = {
    "filePath": "/a/b",
    "sourcefilePath": "/a/b",
    "attribute": "status",
    "value": "FINISHED",
    "internalUsername": "ann",
}
ROUTES = routes()


@pytest.mark.parametrize("operation", list(operations()), ids=lambda operation: operation.key)
@pytest.mark.parametrize("slash", ["", "/"])
def test_each_operation_is_found_at_its_path(operation, slash):
    values = {name: VALUES.get(name, f"{name}-1") for name, param in operation.params.items() if param.place == "path"}
    path = operation.path.format(**{name: quote(value) for name, value in values.items()})
    rest = operation.path.endswith("ilePath}")
    found = ROUTES.find(operation.method, path if rest else path.rstrip("/") + slash)
    assert found is not None
    endpoint, decoded = found
    assert operation in endpoint.operations
    assert decoded == values


@pytest.mark.parametrize(
    ("path", "value"),
    [("S//a/b", "/a/b"), ("S/a/b", "a/b"), ("S/", ""), ("S", ""), ("S//", "/"),
     ("S/a%2Fb", "a/b"), ("S/a%252Fb", "a%2Fb"),
     ("S/a%3Fb%23c", "a?b#c"), ("S/a+b", "a+b"), ("S/a/", "a/"), ("S/%C3%A9", "é")],
)  # fmt: skip
def test_the_rest_of_a_path_is_decoded_once(path, value):
    _, values = ROUTES.find("GET", f"/files/v2/listings/system/{path}")
    assert values == {"systemId": "S", "filePath": value}


@pytest.mark.parametrize(
    ("path", "key"),
    [("/jobs/v2/1-007/status", "jobs.getStatus"), ("/jobs/v2/status/FINISHED", "jobs.search"),
     ("/jobs/v2/1-007/pems", "jobs.listPermissions"), ("/profiles/v2/me", "profiles.get"),
     ("/profiles/v2/mel", "profiles.listByUsername"), ("/files/v2/media/system", "files.downloadFromDefaultSystem"),
     ("/files/v2/media/system/", "files.downloadFromDefaultSystem"), ("/files/v2/media/system/S", "files.download"),
     ("/apps/v2/name/pems", "apps.listByName")],
)  # fmt: skip
def test_a_literal_goes_before_a_parameter_and_both_before_the_rest(path, key):
    endpoint, _ = ROUTES.find("GET", path)
    assert endpoint.name == key or key == "apps.listByName"


@pytest.mark.parametrize("path", ["/files/v2/media/%E9", "/files/v2/media/a%00b", "/systems/v2/%FF"])
def test_what_is_no_text_is_refused(path):
    with pytest.raises(Unreadable):
        ROUTES.find("GET", path)


@pytest.mark.parametrize(
    "path", ["/", "", "/nowhere", "/systems/v2/a/b", "/systems//v2", "/systems/v2//", "//systems/v2"]
)
def test_what_is_nowhere_is_not_found(path):
    assert ROUTES.find("GET", path) is None


def test_the_first_to_come_stays():
    found: Routes[str] = Routes()
    assert (found.add("GET", "/a/{b}", "one"), found.add("GET", "/a/{c}", "two")) == ("one", "one")
    assert found.find("GET", "/a/x") == ("one", {"b": "x"})


def test_an_operation_without_a_handler_keeps_the_tenant_from_starting(monkeypatch):
    monkeypatch.delattr(systems, "getRoleForUser")
    with pytest.raises(Incomplete, match=r"systems\.getRoleForUser"):
        routes()


def test_a_handler_with_other_words_than_its_operation_does_so_too(monkeypatch):
    async def get(ctx, *, id):
        """Not the documented word."""

    monkeypatch.setattr(systems, "get", get)
    with pytest.raises(Incomplete, match=r"systems\.get must take ctx, systemId"):
        routes()
