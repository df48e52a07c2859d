"""Answers that mean harm, or that nobody thought of: each ends as an error of ours, in bounded memory and requests.

What a program on a mount is told of them is in `tests/agavefs/test_hostile.py`; redirects are in `test_transport.py`.
"""

from __future__ import annotations

import contextlib
import gzip
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from agavesh.client import Agave, errors, paging, reply
from agavesh.client.answers import retry_after
from tests.client.wire import Said, Seen, answer, peer

HOME = {"systemId": "data.demo", "filePath": "/alice"}


async def forever(first: bytes, again: bytes) -> AsyncIterator[bytes]:
    """Bytes for as long as somebody takes them."""
    yield first
    while True:
        yield again


async def systems(script: Callable[[Seen], Said]) -> tuple[Any, int]:
    """What a call answers, or the error it ends with; and how many requests that took."""
    async with peer(script) as there, Agave(there.url, token="t", deadline=20) as agave:
        try:
            return await agave.systems.list(), len(there.seen)
        except errors.AgaveError as error:
            return error, len(there.seen)


@pytest.mark.parametrize("status", [200, 400, 404])
async def test_an_answer_without_end_is_read_to_a_bound(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    monkeypatch.setattr(reply, "WHOLE", 2**20)
    head = f"HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\n\r\n".encode()
    error, asked = await systems(lambda seen: forever(head + b"{", b" " * 65536))
    assert isinstance(error, errors.AgaveError)
    assert status != 200 or "more than 1 MiB" in error.sentence
    assert asked == 1


async def test_what_is_compressed_counts_as_what_it_becomes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reply, "WHOLE", 2**20)
    body = gzip.compress(b'{"status":"success","result":[]}' + b" " * 2**22)
    error, asked = await systems(lambda seen: answer(200, body, Content_Encoding="gzip"))
    assert isinstance(error, errors.BadAnswer)
    assert (len(body) < 2**16, asked) == (True, 1)


async def test_a_compressed_error_is_told_by_its_first_words() -> None:
    said = json.dumps({"status": "error", "message": "no such luck", "result": None})
    body = gzip.compress(said.encode() + b" " * 2**24)
    error, _ = await systems(lambda seen: answer(400, body, Content_Encoding="gzip"))
    assert isinstance(error, errors.BadRequest)
    assert "no such luck" in error.sentence


@pytest.mark.parametrize(("coding", "body"), [("br", b"x"), ("gzip", b"no gzip"), ("gzip, gzip", b"x"), ("zstd", b"x")])
async def test_what_cannot_be_unpacked_is_a_bad_answer(coding: str, body: bytes) -> None:
    error, asked = await systems(lambda seen: answer(200, body, Content_Encoding=coding))
    assert (type(error), asked) == (errors.BadAnswer, 1)


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "x-gzip", "identity"])
async def test_what_can_be_unpacked_is(coding: str) -> None:
    said = b'{"status":"success","result":[{"id":"S"}]}'
    body = said if coding == "identity" else gzip.compress(said)
    found, _ = await systems(lambda seen: answer(200, body, Content_Encoding=coding))
    assert [system.id for system in found] == ["S"]


DEEP = 1_000_000


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    "body",
    [
        b"[" * DEEP + b"]" * DEEP,
        b'{"result":' + b"[" * DEEP + b"]" * DEEP + b"}",
        b'{"result":[{"id":' + b"[" * DEEP + b"]" * DEEP + b"}]}",
        b'{"message":' + b'{"a":' * DEEP + b"1" + b"}" * (DEEP + 1),
        b'{"fault":' + b'{"a":' * DEEP + b"1" + b"}" * (DEEP + 1),
        b"<a>" * DEEP,
    ],
    ids=["alone", "as the result", "in a record", "as the message", "as a fault", "as a page"],
)
async def test_what_is_nested_without_bound_is_an_error_of_ours(status: int, body: bytes) -> None:
    found, _ = await systems(lambda seen: answer(status, body))
    assert isinstance(found, errors.AgaveError)


async def test_nested_tokens_are_no_tokens() -> None:
    def script(seen: Seen) -> bytes:
        return answer(200, b'{"access_token":' + b"[" * DEEP + b"]" * DEEP + b"}")

    async with peer(script) as there:
        login = {"username": "alice", "password": "p", "api_key": "k", "api_secret": "s"}
        async with Agave(there.url, **login) as agave:
            with pytest.raises(errors.BadAnswer, match="holds no token"):
                await agave.systems.list()


@pytest.mark.parametrize("said", ["\u00b2", "9" * 5000, "-1", "1e9", "Fri, 99 Foo 0000", "", "\u00bd"])
def test_a_wait_that_makes_no_sense_is_none_or_too_long(said: str) -> None:
    assert retry_after({"retry-after": said}) in (None, float("inf"))


@pytest.mark.parametrize(
    "span", ["bytes \u00b2-9/\u00b9", f"bytes {'9' * 5000}-{'9' * 5001}/{'9' * 5002}", "x", "bytes */*"]
)
async def test_a_range_that_makes_no_sense_says_nothing_of_the_size(span: str) -> None:
    said = b"HTTP/1.1 206 Said\r\nContent-Range: " + span.encode("latin-1") + b"\r\n\r\nhello"
    async with peer(lambda seen: said) as there, Agave(there.url, token="t") as agave:
        async with agave.files.download(systemId="S", filePath="f") as download:
            assert (download.size, download.start, await download.read()) == (None, 0, b"hello")


async def test_answers_before_the_answer_are_not_waited_for_without_end() -> None:
    few = b"HTTP/1.1 103 Soon\r\nLink: <x>\r\n\r\n" * 50
    found, _ = await systems(lambda seen: few + answer())
    assert found == []
    error, _ = await systems(lambda seen: forever(b"", few))
    assert isinstance(error, errors.BadAnswer)


@pytest.mark.parametrize("line", [b"X-Long: ", b"X-Many: 1\r\n"])
async def test_a_head_without_end_is_a_bad_answer(line: bytes) -> None:
    error, _ = await systems(
        lambda seen: forever(b"HTTP/1.1 200 Said\r\n" + line, line if b"\r" in line else b"x" * 65536)
    )
    assert isinstance(error, errors.BadAnswer)


async def test_no_cookie_is_kept() -> None:
    async with peer(lambda seen: answer(Set_Cookie="id=1; Path=/")) as there, Agave(there.url, token="t") as agave:
        for _ in range(2):
            await agave.systems.list()
    assert [seen.headers.get("cookie") for seen in there.seen] == [None, None]


# lists without end


def lines(first: int, count: int) -> bytes:
    told = [{"name": f"f{number}", "type": "file", "length": 1} for number in range(first, first + count)]
    return answer(body=json.dumps({"status": "success", "result": told}).encode())


def offset(seen: Seen) -> int:
    return int(seen.target.rpartition("offset=")[2].partition("&")[0]) if "offset=" in seen.target else 0


async def test_a_list_that_always_has_more_ends_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "LONGEST", 2_000)
    async with peer(lambda seen: lines(offset(seen), 100)) as there, Agave(there.url, token="t") as agave:
        came = 0
        with pytest.raises(errors.BadAnswer, match="does not end"):
            async for page in agave.pages(agave.files.list, limit=100, **HOME):
                came += len(page)
        assert came == 2_000
        with pytest.raises(errors.BadAnswer, match="does not end"):
            await _ahead(agave)
    assert len(there.seen) < 100


@pytest.mark.parametrize("period", [2, 3, 7, 40])
async def test_a_list_that_repeats_itself_ends(monkeypatch: pytest.MonkeyPatch, period: int) -> None:
    monkeypatch.setattr(paging, "LONGEST", 20_000)
    turns = iter(range(10**9))
    async with peer(lambda seen: lines(next(turns) % period * 100, 100)) as there, Agave(there.url, token="t") as agave:
        with contextlib.suppress(errors.BadAnswer):
            await _ahead(agave)
    assert len(there.seen) < 1_000


async def _ahead(agave: Agave) -> None:
    from agavesh.client.storage import _Line, _name

    await agave.pages_ahead(agave.files.list, lambda page, last: None, record=_Line, key=_name, limit=100, **HOME)
