"""Dates and envelopes, in the several ways the services write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agavesh.api.wire import Envelope, FaultEnvelope, moment, stamp

zones = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1), timezones=zones))
def test_a_stamp_is_read_as_the_moment_it_was_made_from_to_the_millisecond(at: datetime) -> None:
    assert moment(stamp(at)) == at.replace(microsecond=at.microsecond // 1000 * 1000)


@given(st.datetimes(min_value=datetime(2010, 1, 1), max_value=datetime(2100, 1, 1)))
def test_what_the_actors_service_makes_of_a_moment_is_read_as_that_moment(at: datetime) -> None:
    day, _, time = at.isoformat().partition("T")
    assert moment(f"{day}T{time.replace('000', 'Z')}") == at.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2014-09-10T19:47:44.000-05:00", "2014-09-11T00:47:44+00:00"),
        ("2018-07-05T20:55:21.123Z", "2018-07-05T20:55:21.123+00:00"),
        ("2018-07-05T20:55:21.Z123", "2018-07-05T20:55:21.000123+00:00"),
        ("2018-07-05T20:55:21.Z123Z", "2018-07-05T20:55:21.000123+00:00"),
        ("2018-07-05T20:55:21Z", "2018-07-05T20:55:21+00:00"),
        ("2018-07-05 20:55:21", "2018-07-05T20:55:21+00:00"),
    ],
)
def test_every_known_spelling_of_a_date_is_read(text: str, expected: str) -> None:
    assert moment(text) == datetime.fromisoformat(expected)


@pytest.mark.parametrize("text", [None, "", "None", "soon", "2018-13-01T00:00:00Z"])
def test_what_is_no_date_is_none(text: str | None) -> None:
    assert moment(text) is None


def test_an_envelope_keeps_its_result_as_it_came() -> None:
    body = b'{"status": "success", "message": null, "version": "2.2.22", "more": 1, "result": {"a" : 1.50}}'
    assert bytes(msgspec.json.decode(body, type=Envelope).result) == b'{"a" : 1.50}'
    assert bytes(msgspec.json.decode(b'{"status": "success"}', type=Envelope).result) == b""


@pytest.mark.parametrize("code", ['"900904"', "900904"])
def test_a_gateway_fault_is_read_with_its_code_as_number_or_as_text(code: str) -> None:
    body = f'{{"fault": {{"code": {code}, "message": "Access Token Inactive", "description": ""}}}}'
    assert str(msgspec.json.decode(body.encode(), type=FaultEnvelope).fault.code) == "900904"
