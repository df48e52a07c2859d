"""Downloads and uploads: whole, in parts, cut, in constant memory."""

from __future__ import annotations

import gc
import io
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import trio

from agavesh.client import Agave, errors
from agavesh.client.multipart import CHUNK
from agavesh.client.width import BULK_PART, CONNECTIONS, KEPT_FREE
from tests.client.wire import peer

HOME = {"systemId": "data.demo", "filePath": "/alice"}


@pytest.fixture
def big(tenant: Any) -> bytes:
    """A file of 3 MiB and a little on the tenant, at /alice/big."""
    content = os.urandom(3 * 1024 * 1024 + 17)
    tenant.path("data.demo", "/alice/big").write_bytes(content)
    return content


def big_file(agave: Agave, **headers: str) -> Any:
    return agave.files.download(systemId="data.demo", filePath="/alice/big", headers=headers)


async def put(agave: Agave, what: Any, **more: Any) -> None:
    await agave.files.importData(**HOME, fileToUpload=what, **more)


async def test_a_file_is_read_whole(agave: Agave, big: bytes) -> None:
    assert await big_file(agave).read() == big
    async with big_file(agave) as download:
        assert (download.status, download.size, download.start) == (200, len(big), 0)
        assert b"".join([chunk async for chunk in download.chunks()]) == big


async def test_a_range_is_read_and_says_where_it_begins(agave: Agave, big: bytes) -> None:
    async with big_file(agave, Range="bytes=100-109") as download:
        assert (download.status, download.size, download.start) == (206, 10, 100)
        assert await download.read() == big[100:110]


async def test_a_range_behind_the_end_is_refused(agave: Agave, big: bytes) -> None:
    with pytest.raises(errors.BadRequest) as caught:
        await big_file(agave, Range=f"bytes={len(big) + 1}-{len(big) + 5}").read()
    assert caught.value.status == 416


async def test_a_download_that_is_left_in_the_middle_leaves_nothing_behind(agave: Agave, big: bytes) -> None:
    for _ in range(70):  # more than there are places in the pool
        async with big_file(agave) as download:
            async for chunk in download.chunks():
                assert big.startswith(chunk)
                break
    gc.collect()  # an async generator that was left alone would be a warning, and so an error
    with trio.fail_after(10):
        assert len(await big_file(agave).read()) == len(big)


async def test_a_download_that_is_not_even_read_leaves_nothing_behind(agave: Agave, big: bytes) -> None:
    for _ in range(70):
        async with big_file(agave) as download:
            assert download.size == len(big)
    gc.collect()
    with trio.fail_after(10):
        assert await agave.files.list(**HOME)


async def test_a_cancelled_download_leaves_nothing_behind(agave: Agave, tenant: Any, big: bytes) -> None:
    with tenant.faults.stalling("files.download", 1000):
        for _ in range(70):
            with trio.CancelScope() as scope:
                async with big_file(agave) as download:
                    async for _ in download.chunks():
                        scope.cancel()
    gc.collect()
    with trio.fail_after(10):
        assert await agave.files.list(**HOME)


async def test_a_body_that_is_cut_is_no_whole_file(agave: Agave, tenant: Any, big: bytes) -> None:
    with tenant.faults.cutting("files.download", 1_000_000):
        got = 0
        with pytest.raises(errors.BadAnswer, match=rf"was cut after \d+ of {len(big)} bytes"):
            async with big_file(agave) as download:
                async for chunk in download.chunks():
                    got += len(chunk)
    assert got <= 1_000_000


async def test_read_asks_again_when_the_body_is_cut(agave: Agave, tenant: Any, big: bytes) -> None:
    with tenant.faults.cutting("files.download", 1_000_000, times=2) as fault:
        assert await big_file(agave).read() == big
    assert fault.hits == 2


async def test_a_body_without_a_length_that_stops_short_of_its_range_is_cut() -> None:
    said = b"HTTP/1.1 206 P\r\nContent-Range: bytes 5-14/100\r\n\r\nonly this"
    async with peer(lambda seen: said) as there, Agave(there.url, token="t") as agave:
        async with agave.files.download(systemId="S", filePath="f") as download:
            assert (download.size, download.start) == (10, 5)
            with pytest.raises(errors.BadAnswer, match="after 9 of 10 bytes"):
                _ = [chunk async for chunk in download.chunks()]


async def test_a_download_without_progress_times_out(tenant: Any, big: bytes) -> None:
    async with Agave(tenant.url, token=tenant.token("alice"), deadline=0.3) as agave:
        with tenant.faults.stalling("files.download", 1000), trio.fail_after(10):
            async with big_file(agave) as download:
                with pytest.raises(errors.TimedOut):
                    _ = [chunk async for chunk in download.chunks()]


async def test_a_download_in_a_block_of_calls_has_the_time_of_the_block(agave: Agave, tenant: Any, big: bytes) -> None:
    with tenant.faults.stalling("files.download", 1000), trio.fail_after(10):
        with agave.within(0.3), pytest.raises(errors.TimedOut, match="1000 bytes came"):
            await big_file(agave).read()


async def test_a_folder_is_no_download(agave: Agave) -> None:
    with pytest.raises(errors.WrongKind):
        await agave.files.download(**HOME).read()


async def test_a_download_is_open_inside_its_block_only(agave: Agave, big: bytes) -> None:
    download = big_file(agave)
    with pytest.raises(RuntimeError):
        _ = download.size


async def test_an_expired_token_is_renewed_for_a_download(tenant: Any, big: bytes) -> None:
    key, secret = tenant.client
    async with Agave(
        tenant.url, username="alice", password=tenant.users["alice"], api_key=key, api_secret=secret
    ) as agave:
        await agave.sign_in()
        tenant.faults.expire_tokens()
        assert await big_file(agave).read() == big


# uploads


async def one_by_one(content: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]
        yield b""


CONTENTS = [b"", b"x", b"\r\n--boundary--\r\n", os.urandom(CHUNK), os.urandom(CHUNK * 3 + 1)]


@pytest.mark.parametrize("content", CONTENTS, ids=len)
async def test_every_kind_of_source_arrives(agave: Agave, tenant: Any, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "from path"
    file.write_bytes(content)
    await put(agave, file)
    await put(agave, str(file), fileName="from text")
    await put(agave, content, fileName="from bytes")
    await put(agave, one_by_one(content, 100_000), fileName="from an iterator")
    with file.open("rb") as opened:
        await put(agave, opened, fileName="from a file")
        assert not opened.closed
    async with await trio.open_file(file, "rb") as opened_by_trio:
        await put(agave, opened_by_trio, fileName="from trio")
    await put(agave, io.BytesIO(content), fileName="from memory")
    await settled(agave)
    for name in ("path", "text", "bytes", "an iterator", "a file", "trio", "memory"):
        assert tenant.bytes("data.demo", f"/alice/from {name}") == content, name


async def settled(agave: Agave) -> None:
    """Wait until nothing is on its way into alice's home any more."""
    names = {file.name for file in await agave.files.list(**HOME) if file.name.startswith("from ")}
    for name in names:
        with trio.fail_after(30):
            while True:
                history = await agave.files.getHistory(systemId="data.demo", filePath=f"/alice/{name}")
                if any(event.status == "STAGING_COMPLETED" for event in history):
                    break
                await trio.sleep(0.02)


async def test_a_pipe_can_be_uploaded(agave: Agave, tenant: Any) -> None:
    read, write = os.pipe()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, lambda: (os.write(write, b"through a pipe"), os.close(write)))
        with os.fdopen(read, "rb") as end:
            await put(agave, end, fileName="piped")
    assert tenant.bytes("data.demo", "/alice/piped") == b"through a pipe"


async def test_a_file_is_sent_from_where_it_stands(agave: Agave, tenant: Any) -> None:
    file = io.BytesIO(b"0123456789")
    file.seek(4)
    await put(agave, file, fileName="tail")
    assert tenant.bytes("data.demo", "/alice/tail") == b"456789"


ODD = ['a "b" c', "a\nb", "100%", "%22 %0A", "ä ö", "a+b", "a?b#c&d;e", "'", "日本", "x" * 255]


@pytest.mark.parametrize("name", ODD)
async def test_odd_names_round_trip(agave: Agave, tenant: Any, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(b"odd")
    await put(agave, file)
    assert tenant.bytes("data.demo", f"/alice/{name}") == b"odd"
    listed = await agave.files.list(systemId="data.demo", filePath=f"/alice/{name}")
    assert listed[0].name == name
    assert await agave.files.download(systemId="data.demo", filePath=listed[0].path).read() == b"odd"
    await agave.files.delete(systemId="data.demo", filePath=listed[0].path)


async def test_an_upload_that_can_be_read_again_survives_an_expired_token_and_a_busy_platform(
    tenant: Any, tmp_path: Path
) -> None:
    key, secret = tenant.client
    file = tmp_path / "again"
    file.write_bytes(os.urandom(CHUNK * 2))
    async with Agave(
        tenant.url, username="alice", password=tenant.users["alice"], api_key=key, api_secret=secret
    ) as agave:
        await agave.sign_in()
        tenant.faults.expire_tokens()
        with tenant.faults.throttling("files.importData", retry_after=None, times=1) as fault:
            await put(agave, file)
    assert fault.hits == 1
    assert tenant.bytes("data.demo", "/alice/again") == file.read_bytes()


async def test_an_upload_waits_no_longer_for_a_busy_platform_than_other_calls(agave: Agave, tenant: Any) -> None:
    with tenant.faults.throttling("files.importData", retry_after=3600), trio.fail_after(10):
        with pytest.raises(errors.Busy, match="try again in 3600 s"):
            await put(agave, b"x", fileName="later")


async def test_an_iterator_is_not_sent_twice(agave: Agave, tenant: Any) -> None:
    with tenant.faults.throttling("files.importData", retry_after=None, times=1) as fault:
        with pytest.raises(errors.Busy):
            await put(agave, one_by_one(b"x" * CHUNK * 8, CHUNK), fileName="once")
    assert fault.hits == 1


async def test_what_can_be_iterated_again_is_sent_again(agave: Agave, tenant: Any) -> None:
    class Again:
        size = CHUNK * 3
        passes = 0

        def __aiter__(self) -> AsyncIterator[bytes]:
            self.passes += 1
            return one_by_one(b"y" * self.size, CHUNK)

    what = Again()
    with tenant.faults.throttling("files.importData", retry_after=None, times=1):
        await put(agave, what, fileName="again")
    assert tenant.bytes("data.demo", "/alice/again") == b"y" * what.size


async def test_an_iterator_that_fails_fails_the_upload(agave: Agave, tenant: Any) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"some"
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await put(agave, failing(), fileName="half")
    assert not tenant.path("data.demo", "/alice/half").exists()
    assert await agave.files.list(**HOME)


async def test_an_iterator_is_ended_with_the_upload(agave: Agave, tenant: Any) -> None:
    ended = False

    async def endless() -> AsyncIterator[bytes]:
        nonlocal ended
        try:
            while True:
                yield b"x" * CHUNK
        finally:
            ended = True

    with trio.move_on_after(0.2):
        await put(agave, endless(), fileName="endless")
    gc.collect()
    assert ended
    assert not tenant.path("data.demo", "/alice/endless").exists()


async def test_a_file_that_shrinks_while_it_is_sent_is_told(agave: Agave, tmp_path: Path) -> None:
    class Shrinking(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(10) if self.tell() == 0 else b""

    with pytest.raises(errors.Changed, match="shrank while it was sent"):
        await put(agave, Shrinking(b"x" * 1000), fileName="less")


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("/nowhere/at/all", "No such file"),
        ("/tmp", "is a folder"),
        (io.BytesIO(b"x"), "no name of its own"),
        (io.StringIO("x"), "no name of its own"),
        (42, "int cannot be uploaded"),
    ],
)
async def test_what_cannot_be_sent_is_told_before_anything_is(agave: Agave, tenant: Any, what: Any, said: str) -> None:
    with pytest.raises(errors.BadArgument, match=said):
        await put(agave, what)
    assert tenant.faults.requests["files.importData"] == 0


async def test_text_is_no_content(agave: Agave) -> None:
    with pytest.raises(errors.BadArgument, match="is open as text"):
        await put(agave, io.StringIO("x"), fileName="text")


async def test_a_refusal_in_the_middle_of_a_large_upload_is_heard(tenant: Any, tmp_path: Path) -> None:
    file = tmp_path / "large"
    with file.open("wb") as opened:
        opened.truncate(64 * 1024 * 1024)
    async with Agave(tenant.url, token="nobody's") as agave, Agave(tenant.url, token=tenant.token("alice")) as alice:
        with trio.fail_after(60):
            with pytest.raises(errors.NotSignedIn):
                await put(agave, file)
            with pytest.raises(errors.NotFound):
                await alice.files.importData(systemId="data.demo", filePath="/alice/nowhere", fileToUpload=file)


async def test_readers_who_do_not_read_do_not_stand_in_the_way_of_a_listing(agave: Agave, big: bytes) -> None:
    async with AsyncExitStack() as stack:
        # large ones have a part of the places to themselves, small spans nearly all of the others
        for _ in range(CONNECTIONS // BULK_PART):
            await stack.enter_async_context(big_file(agave))
        for _ in range(CONNECTIONS - CONNECTIONS // BULK_PART - CONNECTIONS // KEPT_FREE - 1):
            await stack.enter_async_context(big_file(agave, Range="bytes=0-9"))
        with trio.fail_after(10):
            assert await agave.files.list(**HOME)


async def test_one_download_too_many_waits_and_then_says_so(tenant: Any, big: bytes) -> None:
    async with Agave(tenant.url, token=tenant.token("alice"), connections=1, deadline=0.2) as agave:
        async with big_file(agave):
            with trio.fail_after(10), pytest.raises(errors.TimedOut, match="1 requests are open, and none ends"):
                await big_file(agave).read()
        assert await big_file(agave).read() == big
