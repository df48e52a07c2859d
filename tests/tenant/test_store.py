"""The store by itself: what must not become slow as records become many, and what the disk is waited for."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from agavesh.tenant.state import write_private
from agavesh.tenant.store import Store


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done to the disk, in its order: the names of what is waited for, and `renamed`."""
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(fd: int) -> None:
        fsync(fd)
        done.append(Path(f"/proc/self/fd/{fd}").readlink().name)

    def renamed(*args: str) -> None:
        replace(*args)
        done.append("renamed")

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    return done


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = Store(tmp_path / "tenant.db")
    yield found
    found.close()


def test_an_app_or_a_system_is_found_by_its_uuid_whatever_its_id(store: Store) -> None:
    store.put("app", "wc-1.0", {"id": "wc-1.0", "uuid": "1-005"}, owner="alice")
    store.put("system", "lab", {"id": "lab", "uuid": "1-006"}, owner="alice")
    store.put("job", "1-007", {"id": "1-007", "uuid": "1-005"}, owner="alice")
    assert store.of_uuid("app", "1-005") == {"id": "wc-1.0", "uuid": "1-005"}
    assert store.of_uuid("system", "1-006") == {"id": "lab", "uuid": "1-006"}
    assert store.of_uuid("system", "1-005") is None
    store.drop("app", "wc-1.0")
    assert store.of_uuid("app", "1-005") is None


def test_no_other_record_is_looked_at_for_it(store: Store) -> None:
    asked: list[str] = []
    store._db.set_trace_callback(asked.append)
    store.of_uuid("app", "1-005")
    store._db.set_trace_callback(None)
    (plan,) = store.sql(f"explain query plan {asked[0]}")
    assert "USING INDEX records_by_uuid (<expr>=?)" in plan[3]


def test_what_is_remembered_of_a_table_is_forgotten_with_every_write_of_it(store: Store) -> None:
    kept = {"some": "rows"}
    store.remember("grants", kept)

    def forgotten(statement: str) -> bool:
        kept["some"] = "rows"
        store.sql(statement)
        return not kept

    assert not forgotten("delete from roles")
    assert not forgotten("delete from grants")  # there is nothing
    assert forgotten("insert into grants values ('1', 'bob', 1, 0)")
    assert forgotten("insert or replace into grants values ('1', 'bob', 7, 0)")
    assert forgotten("update grants set bits = 3")
    assert not forgotten("select * from grants")
    assert forgotten("delete from grants")


def test_roles_that_were_not_given_after_all_are_not_remembered(store: Store) -> None:
    with contextlib.suppress(ZeroDivisionError), store.together():
        store.sql("insert into roles values ('s', 'bob', 'USER')")
        assert store.roles("s") == {"bob": "USER"}
        raise ZeroDivisionError
    assert store.roles("s") == {}


def test_records_of_an_earlier_version_are_found_so_too(tmp_path: Path, store: Store) -> None:
    store.put("system", "lab", {"id": "lab", "uuid": "1-006"}, owner="alice")
    store.sql("drop index records_by_uuid")
    again = Store(tmp_path / "tenant.db")
    assert again.of_uuid("system", "1-006") == {"id": "lab", "uuid": "1-006"}
    again.close()


def test_a_private_file_has_its_bytes_on_the_disk_before_its_name(tmp_path: Path, disk: list[str]) -> None:
    write_private(tmp_path / "secrets.json", b"{}")
    beside, *after = disk
    assert (beside.startswith(".secrets.json."), after) == (True, ["renamed", tmp_path.name])


async def test_a_folder_that_one_has_no_thread_to_wait_for_is_waited_for_by_the_next(
    store: Store, tmp_path: Path, disk: list[str]
) -> None:
    folder = tmp_path / "touched"
    folder.mkdir()
    store.put("job", "1-007", {}, owner="alice")
    store.touched(folder)
    threads = trio.to_thread.current_default_thread_limiter()
    total, threads.total_tokens = threads.total_tokens, 1
    try:
        async with threads, trio.open_nursery() as nursery:
            nursery.start_soon(store.flushed)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    finally:
        threads.total_tokens = total
    assert disk == []
    await store.flushed()
    assert disk == ["tenant.db-wal", "touched"]
