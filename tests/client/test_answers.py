"""What answers mean: results, and each family of refusals."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agavesh.api.catalogue import find
from agavesh.api.record import BadField
from agavesh.client import errors
from agavesh.client.answers import failure, is_page, refusal, result, retry_after


def answered(key: str, body: bytes) -> Any:
    return result(find(key), key, body)


def envelope(message: str | None, status: str = "error") -> bytes:
    return msgspec.json.encode({"status": status, "message": message, "version": "2.2.22"})


def told(status: int, body: bytes, **headers: str) -> errors.AgaveError:
    return failure("files.list x", refusal(status, body), {k.replace("_", "-"): v for k, v in headers.items()})


def test_a_result_is_decoded_as_declared() -> None:
    page = answered("systems.list", b'{"status":"success","result":[{"id":"S","name":"s","new":1}]}')
    assert (page[0].id, bytes(page.json)) == ("S", b'[{"id":"S","name":"s","new":1}]')


def test_a_stop_of_a_job_answers_nothing() -> None:
    assert answered("jobs.manage", b'{"status":"success","message":null,"version":"1"}') is None
    assert answered("files.delete", b"") is None


def test_a_thing_that_was_done_without_a_result_is_no_error_until_it_is_read() -> None:
    record = answered("jobs.submit", b'{"status":"success","result":null}')
    with pytest.raises(BadField):
        _ = record.id


def test_a_record_that_was_asked_for_and_is_not_there_is_an_error() -> None:
    with pytest.raises(errors.BadAnswer, match="no result"):
        answered("jobs.get", b'{"status":"success"}')


@pytest.mark.parametrize("body", [b"", b'{"status":"success","message":null}'])
def test_silence_is_no_empty_folder(body: bytes) -> None:
    with pytest.raises(errors.BadAnswer, match="no result"):
        answered("files.list", body)
    assert answered("clients.list", b'{"status":"success","result":null}') == []


def test_one_record_may_come_in_a_list_and_a_list_may_come_bare() -> None:
    assert answered("systems.get", b'{"status":"success","result":[{"id":"S"}]}').id == "S"
    assert len(answered("systems.list", b'{"status":"success","result":{"id":"S"}}')) == 1


@pytest.mark.parametrize("body", [b'{"status":"succ', b"\xff\xfe", b"[]", b'{"status":"success","result":[1,'])
def test_malformed_json_is_a_bad_answer(body: bytes) -> None:
    with pytest.raises(errors.BadAnswer):
        answered("systems.list", body)


def test_a_page_in_place_of_an_answer_is_told_by_its_title() -> None:
    with pytest.raises(errors.BadAnswer, match='page came back instead of an answer titled "Log in"'):
        answered("systems.list", b"<html><head><title>Log\n in</title></head></html>")


XML = b"""<ams:fault xmlns:ams="http://wso2.org/apimanager/security"><ams:code>%d</ams:code>
<ams:message>Said so</ams:message><ams:description>At length</ams:description></ams:fault>"""
JSON = b'{"fault":{"code":%d,"message":"Said so","description":"At length"}}'


@pytest.mark.parametrize("form", [XML, JSON])
@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        (900900, 500, errors.ServerTrouble),
        (900901, 401, errors.NotSignedIn),
        (900902, 401, errors.NotSignedIn),
        (900904, 401, errors.NotSignedIn),
        (900905, 403, errors.NotAllowed),
        (900906, 404, errors.Unsupported),
        (900907, 403, errors.Busy),
        (900800, 503, errors.Busy),
        (900807, 429, errors.Busy),
        (900908, 403, errors.NotAllowed),
    ],
)
def test_the_gateways_faults_are_known_in_both_forms(form: bytes, code: int, status: int, kind: type) -> None:
    error = told(status, form % code)
    assert type(error) is kind
    assert (error.status, "Said so. At length" in error.sentence) == (status, True)


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "No content found", errors.BadRequest),
        (400, "A file with this name already exists", errors.AlreadyThere),
        (400, "No job found with job id 1", errors.NotFound),
        (401, "User does not have access to view the requested job outputs", errors.NotAllowed),
        (401, "Permission denied. Invalid authentication credentials", errors.NotSignedIn),
        (403, "User does not have access", errors.NotAllowed),
        (404, "File/folder does not exist", errors.NotFound),
        (405, None, errors.Unsupported),
        (412, "Unable to connect", errors.ServerTrouble),
        (416, "Specified Range is out of bounds", errors.BadRequest),
        (429, None, errors.Busy),
        (500, "java.lang.NullPointerException", errors.ServerTrouble),
        (501, "Directory downloads not supported", errors.WrongKind),
        (501, "Action not supported", errors.Unsupported),
        (502, "Failed to log in", errors.ServerTrouble),
        (503, None, errors.Busy),
        (504, None, errors.TimedOut),
        (418, None, errors.BadRequest),
    ],
)
def test_the_services_refusals_become_the_closed_set(status: int, message: str | None, kind: type) -> None:
    error = told(status, envelope(message))
    assert type(error) is kind
    assert error.status == status
    assert (message or "files.list x") in error.sentence


def test_an_oauth_error_means_not_signed_in() -> None:
    error = told(400, b'{"error":"invalid_grant","error_description":"Bad refresh token"}')
    assert isinstance(error, errors.NotSignedIn)
    assert "invalid_grant: Bad refresh token" in error.sentence


def test_a_page_from_a_proxy_is_the_trouble_that_its_status_says() -> None:
    error = told(502, b"<html><title>502 Bad Gateway</title></html>")
    assert isinstance(error, errors.ServerTrouble)
    assert '"502 Bad Gateway"' in error.sentence


def test_busy_says_how_long() -> None:
    error = told(429, b"", retry_after="7")
    assert isinstance(error, errors.Busy)
    assert (error.retry_after, error.hint) == (7, "try again in 7 s")


@pytest.mark.parametrize(
    ("name", "headers", "page"),
    [
        ("data.csv", {"content-type": "text/html; charset=utf-8"}, True),
        ("data.csv", {"content-type": "text/html", "accept-ranges": "bytes"}, False),
        ("index.HTML", {"content-type": "text/html"}, False),
        ("data.csv", {"content-type": "text/csv"}, False),
        ("data.csv", {}, False),
    ],
)
def test_a_page_in_place_of_a_file_is_known(name: str, headers: dict[str, str], page: bool) -> None:
    assert is_page(name, headers) is page


def test_retry_after_may_be_a_date() -> None:
    assert retry_after({"retry-after": "Mon, 23 Nov 2026 12:00:30 GMT"}, now=1795435200) == 30
    assert retry_after({"retry-after": "soon"}) is None


def test_a_long_message_is_cut_and_stays_on_one_line() -> None:
    error = told(500, envelope("a\n\x1b[31m" * 1000))
    assert len(error.sentence) < 500
    assert error.sentence.isprintable()


@given(st.integers(300, 599), st.binary(max_size=200))
def test_no_refusal_is_too_odd_to_be_an_error_of_ours(status: int, body: bytes) -> None:
    assert isinstance(failure("x", refusal(status, body)), errors.AgaveError)


@given(st.binary(max_size=200))
def test_no_success_is_too_odd_to_be_a_result_or_a_bad_answer(body: bytes) -> None:
    for key in ("files.list", "jobs.get", "jobs.manage", "actors.getPermissions"):
        try:
            answered(key, body)
        except errors.BadAnswer:
            pass
