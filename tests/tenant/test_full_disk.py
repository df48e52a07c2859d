"""A disk that is full: what cannot be kept is refused, and what is under way goes on when there is room again.

The records' file is really full here: SQLite is told to let it grow no further.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import trio

from agavesh.tenant.store import Store, Unwritable
from tests.tenant.shop import shop_of

MEDIA = "/files/v2/media/system/data.demo"


@contextlib.contextmanager
def full(store: Store) -> Iterator[None]:
    """Not another event finds room in the block."""
    store.sql("pragma max_page_count = 1")  # no less than there is already
    for size in (3000, 300, 30, 0):
        with contextlib.suppress(Unwritable):
            while True:
                store.event("filler", "FILLER", "x" * size, by="")
    yield
    store.sql("pragma max_page_count = 1000000")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be written is tried again soon."""
    monkeypatch.setattr("agavesh.tenant.store.PAUSE", 0.05)


async def refused_once(caplog: pytest.LogCaptureFixture) -> None:
    """Wait until work behind the requests has met the full disk."""
    with trio.fail_after(10):
        while "records cannot be written: No space left on device" not in caplog.text:
            await trio.sleep(0.01)


async def test_what_cannot_be_written_is_refused_and_leaves_nothing_half_done(tenant: Any) -> None:
    async with tenant.http() as http:
        with full(tenant.state.store):
            answer = await http.put(f"{MEDIA}//alice", json={"action": "mkdir", "path": "new"})
            assert (answer.status_code, answer.json()["message"]) == (
                502,
                "The storage failed: No space left on device",
            )
        assert (await http.put(f"{MEDIA}//alice", json={"action": "mkdir", "path": "other"})).status_code == 201
        history = await http.get("/files/v2/history/system/data.demo//alice/other")
    assert [event["status"] for event in history.json()["result"]] == ["CREATED"]


async def test_a_transaction_that_cannot_end_is_undone_and_the_next_one_counts(tmp_path: Any) -> None:
    store, other = Store(tmp_path / "db"), Store(tmp_path / "db")
    try:
        with full(store):
            with pytest.raises(Unwritable), store.together():
                store.put("job", "1", {"a": "b" * 100_000}, owner="alice")
            assert store.get("job", "1") is None
        with store.together():
            store.put("job", "2", {}, owner="alice")
        assert [row for (row,) in other.sql("select id from records")] == ["2"]
    finally:
        store.close()
        other.close()


async def test_an_upload_on_its_way_settles_when_there_is_room_again(
    tenant: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with tenant.http() as http:
        with contextlib.ExitStack() as room:
            with tenant.faults.holding_staging():
                sent = await http.post(f"{MEDIA}//alice", files={"fileToUpload": ("a", b"x")})
                assert sent.json()["result"]["status"] == "STAGING_QUEUED"
                room.enter_context(full(tenant.state.store))
            await refused_once(caplog)
        with trio.fail_after(10):
            while (history := await http.get("/files/v2/history/system/data.demo//alice/a")).json()["result"][-1][
                "status"
            ] != "STAGING_COMPLETED":
                await trio.sleep(0.01)
    assert [event["status"] for event in history.json()["result"]].count("STAGING_COMPLETED") == 1
    assert tenant.bytes("data.demo", "/alice/a") == b"x"
    assert tenant.state.store.sql("select * from stagings") == []


async def test_a_job_goes_on_to_its_end_when_there_is_room_again(tenant: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with shop_of(tenant) as shop:
        app = await shop.app("mkfifo go; echo > begun; read line < go; echo went on")
        job = await shop.reached((await shop.submit(app, name="run"))["id"], "RUNNING")
        folder = trio.Path(tenant.path("run.demo", job["outputPath"]))
        with trio.fail_after(10):
            while not await (folder / "begun").exists():
                await trio.sleep(0.01)
        with full(tenant.state.store):
            await (folder / "go").write_text("go\n")
            await refused_once(caplog)
        job = await shop.ended(job["id"])
        assert (job["status"], await shop.output(job["id"], "run.out")) == ("FINISHED", "went on\n")
        assert (await shop.history(job["id"])).count("FINISHED") == 1
