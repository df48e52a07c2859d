"""What requests of the meta service ask for: fields of a document, checked, and the order of a list."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from agavesh.tenant.context import Context, Record
from agavesh.tenant.meta import documents
from agavesh.tenant.meta.associations import METADATA, SCHEMA, Things
from agavesh.tenant.meta.documents import Schema
from agavesh.tenant.meta.pems import TOLD, MetaGrants, wanted
from agavesh.tenant.meta.search import Order
from agavesh.tenant.notifications import spec
from agavesh.tenant.notifications.resources import type_of
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.words import Pem

NO_NAME = "No name attribute specified. Please provide a valid name for this metadata item."
_NO_VALUE = "No value attribute specified. Please provide a valid value for this metadata item."
LONGEST_NAME = 256
MOST = 1000  # associations of one document
MOST_REFERRED = 50  # schemas that one schema leads to


def document(ctx: Context, body: Any) -> Record:
    """The fields that a request gives, those that it leaves out left out; null and nothing are the same for
    associations and for the schema."""
    if not isinstance(body, dict):
        raise Refusal(400, "Unable to parse form. A metadata item is a JSON object")
    asked: Record = {}
    if isinstance(body.get("uuid"), str) and body["uuid"]:
        asked["uuid"] = body["uuid"]
    if body.get("name") is not None:
        asked["name"] = _name(body["name"])
    if "value" in body:
        asked["value"] = body["value"]
    if "associationIds" in body:
        asked["associationIds"] = _associations(ctx, body["associationIds"])
    if "schemaId" in body:
        asked["schemaId"] = _schema_id(body["schemaId"])
    if body.get("permissions") is not None:
        asked["permissions"] = list(_permissions(ctx, body["permissions"]))
    asked["notifications"] = spec.wanted(body.get("notifications"), "notifications")
    return asked


def required(asked: Mapping[str, Any]) -> None:
    """What a new document must have."""
    if "name" not in asked:
        raise Refusal(400, NO_NAME)
    if "value" not in asked:
        raise Refusal(400, _NO_VALUE)


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise Refusal(400, NO_NAME)
    if not name:
        raise Refusal(400, "Empty name attribute specified. Please provide a valid name for this metadata item.")
    if len(name) > LONGEST_NAME:
        raise Refusal(400, f"Metadata name must be no more than {LONGEST_NAME} characters.")
    return name


def _associations(ctx: Context, given: Any) -> list[str]:
    """Each must stand for something. A text is one, or several with commas."""
    uuids = given.split(",") if isinstance(given, str) else given or []
    if not isinstance(uuids, list) or not all(isinstance(each, str) for each in uuids):
        raise Refusal(400, "Invalid associationIds value. associationIds should be an array of uuids.")
    found = list(dict.fromkeys(each.strip() for each in uuids if each.strip()))
    if len(found) > MOST:
        raise Refusal(400, f"Invalid associationIds value. There may be {MOST} at most.")
    things = Things(ctx.store)
    for uuid in found:
        known = things.find(uuid)
        if known is None or known.path is None:
            what = {METADATA: "metadata resource", SCHEMA: "metadata schema"}.get(type_of(uuid), "associated object")
            raise Refusal(400, f"No {what} found with uuid {uuid[:100]}")
    return found


def _schema_id(given: Any) -> str | None:
    if given is None or given == "":
        return None
    if not isinstance(given, str) or len(given) > 64 or type_of(given) != SCHEMA:
        raise Refusal(400, "Metadata schemaId must be a valid schema uuid")
    return given


def _permissions(ctx: Context, given: Any) -> Iterable[tuple[str, Any]]:
    if not isinstance(given, list):
        raise Refusal(400, "Invalid permissions value. permissions should be an JSON array of permission objects.")
    for place, each in enumerate(given):
        if not isinstance(each, dict) or not isinstance(each.get("username"), str) or "permission" not in each:
            raise Refusal(
                400, f"Invalid permissions[{place}] value given. Each permission objects should specify a valid"
                " username and permission.",
            )  # fmt: skip
        yield each["username"], wanted(ctx, each["username"], each["permission"])


def order(query: Mapping[str, str], known: Mapping[str, Any]) -> Order:
    """By which field a list is ordered, and which way."""
    field = query.get("orderBy") or query.get("sortBy") or query.get("sort") or "lastUpdated"
    if field not in known:
        raise Refusal(400, f"Invalid order field. Please specify one of {','.join(known)}")
    way = (query.get("order") or "DESC").upper()
    if way not in ("ASC", "ASCENDING", "DESC", "DESCENDING"):
        raise Refusal(400, f"Invalid order {way[:20]}. Use ASC or DESC")
    return Order(field, way.startswith("ASC"))


_SCHEMA_URL = re.compile(r"(.*/meta/v2/schemas/([^/?#]+))/?(?:#.*)?")


def referred(ctx: Context, schema: Schema) -> dict[str, Any]:
    """The schemas of this tenant that a schema refers to, and those that these do, by the URL that it uses.

    Each must be one that the owner of the schema which names it may read: others are not there.
    """
    found: dict[str, Any] = {}
    level = [(schema.owner, msgspec.json.decode(schema.value))]
    while level:
        inner: list[tuple[str, Any]] = []
        for owner, each in level:
            if isinstance(each, dict):
                inner += ((owner, value) for value in each.values())
                match = _SCHEMA_URL.fullmatch(each["$ref"]) if isinstance(each.get("$ref"), str) else None
                if not match or match[1] in found or len(found) == MOST_REFERRED:
                    continue
                other = documents.schema(ctx.store, match[2])
                if other is not None and _lets(ctx, other, owner):
                    found[match[1]] = msgspec.json.decode(other.value)
                    inner.append((other.owner, found[match[1]]))
            elif isinstance(each, list):
                inner += ((owner, value) for value in each)
        level = inner
    return found


def _lets(ctx: Context, schema: Schema, username: str) -> bool:
    return MetaGrants(ctx, schema.uuid, "", schema.owner, TOLD).lets(username, Pem.READ)
