"""From calls to requests: where each argument goes, and how names are quoted."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agavesh.api.catalogue import find, operations
from agavesh.api.models.files import FileOperationRequest
from agavesh.client.arguments import ask, raw_ask
from agavesh.client.errors import BadArgument
from agavesh.client.pool import httpx


def asked(key: str, **arguments: Any) -> Any:
    return ask(find(key), arguments)


def path(target: str) -> str:
    return unquote(target.partition("?")[0])


def test_leading_slashes_are_kept_so_that_a_path_can_be_absolute() -> None:
    assert asked("files.list", systemId="S", filePath="/a/b").target == "/files/v2/listings/system/S//a/b"
    assert asked("files.list", systemId="S", filePath="a/b").target == "/files/v2/listings/system/S/a/b"
    assert asked("files.list", systemId="S", filePath="/").target == "/files/v2/listings/system/S//"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_file_path_arrives_as_it_is(name: str) -> None:
    target = asked("files.list", systemId="S", filePath=name).target
    assert path(target) == f"/files/v2/listings/system/S/{name}"
    # and the library that sends it leaves it alone
    url = httpx.URL("http://host").copy_with(raw_path=target.encode("ascii"))
    assert url.raw_path.decode() == target


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_any_other_name_is_one_segment(name: str) -> None:
    target = asked("profiles.listByUsername", username=name).target
    assert target.count("/") == "/profiles/v2/x".count("/")
    assert path(target) == f"/profiles/v2/{name}"


def test_a_name_that_is_no_utf8_travels_as_its_bytes() -> None:
    assert asked("files.list", systemId="S", filePath="a\udcff").target.endswith("/S/a%FF")


def test_dots_that_would_climb_are_left_to_the_platform() -> None:
    assert "/../" not in asked("files.delete", systemId="..", filePath="../../x").target
    assert path(asked("files.delete", systemId="S", filePath="../x").target).endswith("/S/../x")


def test_what_is_none_is_not_sent() -> None:
    assert asked("files.list", systemId="S", filePath="", limit=None).target == "/files/v2/listings/system/S/"


def test_query_values_are_written_as_agavepy_writes_them() -> None:
    request = asked("apps.list", publicOnly=True, limit=5, search={"name.in": ["a", "b"]}, filter="id,name")
    query = dict(parse_qsl(urlsplit(request.target).query))
    assert query == {"publicOnly": "True", "limit": "5", "name.in": "a,b", "filter": "id,name"}


def test_an_environment_is_spread_over_the_query() -> None:
    request = asked("actors.sendMessage", actorId="a", body={"message": "hi"}, environment={"x": 1, "y": "z w"})
    assert dict(parse_qsl(urlsplit(request.target).query)) == {"x": "1", "y": "z w"}


def test_a_nonce_stands_in_for_the_token() -> None:
    request = asked("actors.get", actorId="a", nonce="T_1")
    assert (request.target, request.open) == ("/actors/v2/a?x-nonce=T_1", True)


def test_bodies_are_json_text_or_bytes() -> None:
    as_dict = asked("files.manage", systemId="S", filePath="", body={"action": "mkdir", "path": "ä"})
    as_struct = asked("files.manage", systemId="S", filePath="", body=FileOperationRequest(action="mkdir", path="ä"))
    assert as_dict.body == as_struct.body == json.dumps({"action": "mkdir", "path": "ä"}).encode()
    as_text = asked("jobs.submit", body='{"a": 1}')
    assert (as_text.body, as_text.headers["Content-Type"]) == (b'{"a": 1}', "application/json")
    as_bytes = asked("actors.sendBinaryMessage", actorId="a", message=b"\0\1")
    assert (as_bytes.body, as_bytes.headers["Content-Type"]) == (b"\0\1", "application/octet-stream")


def test_fields_without_a_file_are_a_form() -> None:
    request = asked("files.importData", systemId="S", filePath="", urlToIngest="http://h/a b", fileName="c+d")
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert dict(parse_qsl(request.body.decode())) == {"urlToIngest": "http://h/a b", "fileName": "c+d"}


def test_notifications_are_text_or_json() -> None:
    def sent(value: Any) -> str:
        body = asked("files.importData", systemId="S", filePath="", urlToIngest="u", notifications=value).body
        return dict(parse_qsl(body.decode()))["notifications"]

    assert sent(["a@b", "c@d"]) == "a@b,c@d"
    assert json.loads(sent([{"url": "a@b", "event": "*"}])) == [{"url": "a@b", "event": "*"}]


def test_documented_names_that_are_wrong_on_the_wire_are_taken_all_the_same() -> None:
    ours = asked("jobs.deletePermissionsForUser", jobId="1", username="bob")
    assert asked("jobs.deletePermissionsForUser", uniqueName="1", username="bob") == ours
    with pytest.raises(BadArgument, match="one parameter"):
        asked("jobs.deletePermissionsForUser", uniqueName="1", jobId="1", username="bob")


def test_an_unknown_argument_is_refused_with_the_near_one() -> None:
    with pytest.raises(BadArgument, match=r'files\.list takes no "systemID": did you mean "systemId"'):
        asked("files.list", systemID="S", filePath="")


def test_a_missing_argument_is_named() -> None:
    with pytest.raises(BadArgument, match=r"files\.list needs systemId"):
        asked("files.list", filePath="")
    with pytest.raises(BadArgument, match=r"jobs\.submit needs body"):
        asked("jobs.submit")


def test_an_empty_id_is_refused_before_it_means_all_of_them() -> None:
    with pytest.raises(BadArgument, match=r"uuid of meta\.deleteMetadata is empty"):
        asked("meta.deleteMetadata", uuid="")


def test_a_body_that_is_no_json_is_refused() -> None:
    for body in (object(), {"a": float("nan")}, {"a": {1, object()}}):
        with pytest.raises(BadArgument, match=r"body of jobs\.submit"):
            asked("jobs.submit", body=body)


def test_only_what_may_be_done_twice_is_safe() -> None:
    mkdir = asked("files.manage", systemId="S", filePath="", body={"action": "mkdir", "path": "x"})
    move = asked("files.manage", systemId="S", filePath="", body={"action": "move", "path": "x"})
    assert (mkdir.safe, move.safe) == (True, False)
    assert not asked("actors.getOneExecutionResult", actorId="a", executionId="e").safe  # taken out when it is read
    assert not asked("jobs.submit", body={}).safe


def test_every_operation_can_be_asked_with_its_required_arguments() -> None:
    for operation in operations():
        arguments = {name: {} if p.place == "body" else "x" for name, p in operation.params.items() if p.required}
        assert "{" not in ask(operation, arguments).target, operation


def test_a_raw_path_keeps_what_is_quoted_and_quotes_the_rest() -> None:
    request = raw_ask("get", "/files/v2/a%20b/c d?x=1", {"y": "2 3"}, None, None, None)
    assert (request.method, request.target) == ("GET", "/files/v2/a%20b/c%20d?x=1&y=2+3")
    with pytest.raises(BadArgument, match="begins with a slash"):
        raw_ask("GET", "files", None, None, None, None)
