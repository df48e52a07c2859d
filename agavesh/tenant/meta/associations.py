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


def thing(store: Store, uuid: str) -> Thing | None:
    """What a uuid stands for; None if it is not the uuid of any kind that documents are about."""
    match resources.type_of(uuid):
        case "002":
            rows = store.sql("select system, path from files where uuid = ?", uuid)
            return Thing("file", f"/files/v2/media/system/{rows[0][0]}/{rows[0][1]}" if rows else None)
        case "005":
            return Thing("app", _named(store, "app", "/apps/v2/", uuid))
        case "006":
            return Thing("system", _named(store, "system", "/systems/v2/", uuid))
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


def _named(store: Store, kind: str, path: str, uuid: str) -> str | None:
    """The path of a record that is known by its id, not its uuid."""
    for record in store.all(kind):
        if record["uuid"] == uuid:
            return path + str(record["id"])
    return None
