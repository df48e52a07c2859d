"""What documents are associated with: whether a uuid stands for something, and where that is."""

from __future__ import annotations

from dataclasses import dataclass

from agavesh.tenant.notifications import resources
from agavesh.tenant.store import Store

METADATA, SCHEMA = "012", "013"


@dataclass(frozen=True)
class Thing:
    """What has a uuid: its kind, and its path on this tenant if it is there."""

    kind: str
    path: str | None


class Things:
    """What uuids stand for at one moment: made for one request, in which many may be asked for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._named: dict[str, dict[str, str]] = {}  # by kind, of those known by an id: the path of each uuid

    def find(self, uuid: str) -> Thing | None:
        """What a uuid stands for; None if it is not the uuid of any kind that documents are about."""
        store = self._store
        match resources.type_of(uuid):
            case "002":
                rows = store.sql("select system, path from files where uuid = ?", uuid)
                return Thing("file", f"/files/v2/media/system/{rows[0][0]}/{rows[0][1]}" if rows else None)
            case "005":
                return Thing("app", self._path("app", "/apps/v2/", uuid))
            case "006":
                return Thing("system", self._path("system", "/systems/v2/", uuid))
            case "007":
                return Thing("job", f"/jobs/v2/{uuid}" if store.get("job", uuid) else None)
            case "011":
                known = store.sql("select 1 from events where uuid = ? and status = 'CREATED'", uuid)
                return Thing("notification", f"/notifications/v2/{uuid}" if known else None)
            case "012":
                known = store.sql("select 1 from documents where uuid = ?", uuid)
                return Thing("metadata", f"/meta/v2/data/{uuid}" if known else None)
            case "013":
                known = store.sql("select 1 from schemata where uuid = ?", uuid)
                return Thing("schema", f"/meta/v2/schemas/{uuid}" if known else None)
        return None

    def _path(self, kind: str, base: str, uuid: str) -> str | None:
        if kind not in self._named:
            self._named[kind] = {record["uuid"]: base + str(record["id"]) for record in self._store.all(kind)}
        return self._named[kind].get(uuid)
