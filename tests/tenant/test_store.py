"""The store by itself: what must not become slow as records become many."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agavesh.tenant.store import Store


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


def test_records_of_an_earlier_version_are_found_so_too(tmp_path: Path, store: Store) -> None:
    store.put("system", "lab", {"id": "lab", "uuid": "1-006"}, owner="alice")
    store.sql("drop index records_by_uuid")
    again = Store(tmp_path / "tenant.db")
    assert again.of_uuid("system", "1-006") == {"id": "lab", "uuid": "1-006"}
    again.close()
