"""What notifications are made of, each for itself: turns, policies, macros, patterns."""

from __future__ import annotations

import re
from math import inf
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agavesh.tenant.notifications.macros import expanded, values
from agavesh.tenant.notifications.policy import DEFAULT, wait
from agavesh.tenant.notifications.schedule import Schedule
from agavesh.tenant.notifications.spec import hears, mail_address, subscription, web_host

# turns ---------------------------------------------------------------------------------------------------------------

acts = st.lists(
    st.tuples(st.sampled_from(["add", "drop", "take", "done", "again"]), st.integers(0, 11), st.integers(0, 5)),
    max_size=120,
)


@given(acts, st.integers(1, 4), st.integers(1, 3))
def test_whoever_is_added_has_a_turn_and_nobody_has_two(
    acts: list[tuple[str, int, int]], width: int, host_width: int
) -> None:
    """Whatever is added, dropped, taken and ended in whatever order: bounds hold, and nobody is forgotten."""
    schedule, under_way, waiting = Schedule(width, host_width), [], set()

    def host(id: str) -> str:
        return str(int(id) % 3)

    def take(now: float) -> str | None:
        if (taken := schedule.take(now)) is not None:
            assert taken in waiting
            assert taken not in under_way
            waiting.discard(taken)
            under_way.append(taken)
            assert len(under_way) <= width
            assert max(sum(host(id) == host(other) for id in under_way) for other in under_way) <= host_width
        return taken

    for act, number, time in acts:
        id = str(number)
        if act == "add":
            schedule.add(id, host(id), float(time))
            waiting |= {id} - set(under_way)
        elif act == "drop" and id in waiting:
            schedule.drop(id)
            waiting.discard(id)
        elif act == "take":
            take(float(time))
        elif under_way and act in ("done", "again"):
            ended = under_way.pop(0)
            schedule.done(ended, float(time) if act == "again" else None)
            waiting |= {ended} if act == "again" else set()
        assert all(id in schedule for id in {*waiting, *under_way})
    while waiting or under_way:
        before = set(waiting)
        while take(5.0) is not None:
            pass
        if under_way:
            schedule.done(under_way.pop(0))
        else:
            assert waiting != before, "somebody waits for ever"
    assert take(5.0) is None
    assert (schedule.next(), schedule.idle) == (inf, True)


def test_turns_come_by_time_and_then_by_order() -> None:
    schedule = Schedule()
    for id, when in (("late", 3.0), ("first", 1.0), ("second", 1.0), ("early", 0.5)):
        schedule.add(id, id, when)
    assert schedule.next() == 0.5
    assert [schedule.take(2.0) for _ in range(4)] == ["early", "first", "second", None]
    assert schedule.next() == 3.0


# policies ------------------------------------------------------------------------------------------------------------


def waits(**policy: Any) -> list[float]:
    found = []
    while (seconds := wait({**DEFAULT, **policy}, len(found) + 1)) is not None:
        found.append(seconds)
    return found


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({}, [0] * 4),
        ({"retryLimit": 0}, []),
        ({"retryLimit": 1}, []),
        ({"retryStrategy": "NONE", "retryLimit": 9}, []),
        ({"retryStrategy": "DELAYED", "retryDelay": 60, "retryRate": 2, "retryLimit": 4}, [60, 2, 2]),
        (
            {"retryStrategy": "EXPONENTIAL", "retryLimit": 20},
            [5] * 4 + [15] * 4 + [60] * 5 + [900] * 4 + [3600] * 2,
        ),
    ],
)
def test_attempts_wait_as_their_strategy_says_and_end_at_the_limit(policy: Any, expected: list[float]) -> None:
    assert waits(**policy) == expected


# macros --------------------------------------------------------------------------------------------------------------


@given(st.text(max_size=40), st.text(max_size=40))
def test_whatever_a_value_holds_it_stays_in_its_place(name: str, event: str) -> None:
    known = values("job", {"name": name, "owner": "lab"}, event=event, uuid="1-007")
    parts = urlsplit(expanded("http://h.org/${JOB_NAME}/x?n=${JOB_NAME}&e=${EVENT}#${NOTHING}", known))
    assert parts.netloc == "h.org"
    assert parts.path.count("/") == 2
    assert dict(parse_qsl(parts.query, keep_blank_values=True)) == {"n": name, "e": event}
    assert parts.fragment == "${NOTHING}"


JOB = {
    "id": "1-007", "name": "wc run", "owner": "lab", "appId": "wc-1.0", "executionSystem": "exec-1",
    "batchQueue": "normal", "nodeCount": 1, "processorsPerNode": 2, "memoryPerNode": 1.5, "maxRunTime": "00:10:00",
    "archive": True, "archivePath": "lab/out", "archiveSystem": "store-1", "outputPath": "/scratch", "localId": "4711",
    "status": "FINISHED", "submitTime": "s", "startTime": "t", "endTime": None, "created": "c",
    "inputs": {"q": ["agave://a//b"]}, "parameters": {"n": 1}, "message": "why",
    "_links": {"self": {"href": "http://h/jobs/v2/1-007"}, "archiveData": {"href": "http://h/x"}},
}  # fmt: skip


def test_a_job_has_all_the_macros_that_the_platform_names() -> None:
    known = values("job", JOB, event="FINISHED", uuid="1-007", tenant="embedded")
    expected = {
        "UUID": "1-007", "EVENT": "FINISHED", "OWNER": "lab", "JOB_ID": "1-007", "JOB_NAME": "wc run",
        "JOB_STATUS": "FINISHED", "JOB_URL": "http://h/jobs/v2/1-007", "JOB_OWNER": "lab", "JOB_SYSTEM": "exec-1",
        "JOB_EXECUTION_SYSTEM": "exec-1", "JOB_APP_ID": "wc-1.0", "JOB_BATCH_QUEUE": "normal", "JOB_NODE_COUNT": "1",
        "JOB_PROCESSORS_PER_NODE": "2", "JOB_MEMORY_PER_NODE": "1.5", "JOB_MAX_RUNTIME": "00:10:00",
        "JOB_MAX_RUNTIME_MILLISECONDS": "600000", "JOB_SUBMIT_TIME": "s", "JOB_START_TIME": "t", "JOB_END_TIME": "",
        "JOB_CREATED": "c", "JOB_ARCHIVE": "true", "JOB_ARCHIVE_PATH": "lab/out", "JOB_ARCHIVE_SYSTEM": "store-1",
        "JOB_ARCHIVE_URL": "http://h/x", "JOB_OUTPUT_PATH": "/scratch", "JOB_LOCAL_ID": "4711",
        "JOB_INPUTS": '{"q":["agave://a//b"]}', "JOB_PARAMETERS": '{"n":1}', "JOB_ERROR": "why", "APP_ID": "wc-1.0",
        "JOB_STARTTIME": "t", "JOB_TENANT": "embedded",
    }  # fmt: skip
    assert {name: known.get(name) for name in expected} == expected
    assert "JOB_JSON" in known and "RAW_JSON" in known


def test_systems_files_and_grants_have_theirs() -> None:
    system = {"id": "s", "name": "S", "status": "UP", "public": False, "type": "STORAGE", "available": True,
              "storage": {"host": "h", "rootDir": "/"}, "login": None}  # fmt: skip
    told = {"username": "bob", "permission": {"read": True, "write": True, "execute": False}}
    known = values("system", system, event="PERMISSION_GRANT", uuid="2-006", told=told)
    assert [known[name] for name in ("NAME", "PUBLIC", "TYPE", "STORAGE_HOST", "SYSTEM_STORAGE_ROOTDIR")] == [
        "S", "false", "STORAGE", "h", "/",
    ]  # fmt: skip
    assert (known["PERMISSION_USERNAME"], known["PERMISSION_PERMISSION"]) == ("bob", "READ_WRITE")
    known = values("system", system, event="ROLES_GRANT", uuid="2-006", told={"username": "bob", "role": "USER"})
    assert (known["ROLE_USERNAME"], known["ROLE_ROLE"]) == ("bob", "USER")
    file = {"name": "a", "path": "/a", "systemId": "s", "source": None, "nativeFormat": "raw", "uuid": "3-002",
            "length": 3, "type": "file", "mimeType": "text/plain", "owner": "lab"}  # fmt: skip
    known = values("file", file, event="UPLOAD", uuid="3-002")
    names = ("PATH", "NAME", "SYSTEM", "SOURCE", "TYPE", "FORMAT", "FILE_ID", "FILE_LENGTH", "FILE_MIMETYPE")
    assert [known[name] for name in names] == ["/a", "a", "s", "", "file", "raw", "3-002", "3", "text/plain"]


# requests ------------------------------------------------------------------------------------------------------------


@given(st.text(alphabet="AB_*", max_size=8), st.text(alphabet="AB_", max_size=8))
def test_a_star_stands_for_any_letters_and_nothing_else_is_special(pattern: str, event: str) -> None:
    told = re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), event)
    assert hears(pattern, event) == (told is not None)


def test_a_pattern_made_to_take_long_does_not() -> None:
    assert not hears("*a" * 60 + "*b", "a" * 5000)


@pytest.mark.parametrize(
    ("url", "mail", "host"),
    [
        ("a@example.org", "a@example.org", ""),
        ("mailto:a@example.org", "a@example.org", ""),
        ("http://me:secret@h.org:81/x", "", "h.org:81"),
        ("HTTPS://H.org", "", "h.org"),
        ("http://[::1]:8000/", "", "[::1]:8000"),
        ("http://[::1:8000/", "", ""),
        ("ftp://h.org", "", ""),
        ("http://a@b", "", "b"),
        ("a@b@c", "", ""),
        ("", "", ""),
    ],
)
def test_where_a_url_leads(url: str, mail: str, host: str) -> None:
    assert (mail_address(url), web_host(url)) == (mail, host)


def test_a_record_that_is_read_and_sent_back_is_a_request() -> None:
    old = subscription({"url": "a@b.org", "event": "*", "associatedUuid": "1-007", "persistent": True})
    record = {**old, "id": "1-011", "owner": "lab", "attempts": 3, "lastSent": None, "success": True, "_links": {}}
    assert subscription(record, old) == old
    assert subscription({"event": "X"}, old) == {**old, "event": "X"}
