"""Documents and schemas as they lie in the database: tables, and the writing of them. It knows no rules.

The value of a document is kept as JSON text, written by us, so that SQLite can look into it; `nul` says that it holds
the one character that SQLite's JSON cannot. Dates are text of one form, so that they sort as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from agavesh.tenant.meta.leaves import leaves_of
from agavesh.tenant.meta.narrow import Table
from agavesh.tenant.store import Store

TABLES = """
create table if not exists documents (
    number integer primary key, uuid text not null unique, name text not null, owner text not null, schema text,
    created text not null, updated text not null, nul integer not null, whole integer not null, value text not null);
create index if not exists documents_not_whole on documents (number) where not whole;
create table if not exists leaves (document integer not null, path text not null, value not null);
create index if not exists leaves_by_value on leaves (path, value, document);
create index if not exists leaves_by_document on leaves (document);
create index if not exists documents_by_name on documents (name);
create index if not exists documents_by_owner on documents (owner);
create index if not exists documents_by_update on documents (updated);
create index if not exists documents_by_creation on documents (created);
create index if not exists documents_by_schema on documents (schema);
create table if not exists associations (
    document integer not null, place integer not null, uuid text not null, primary key (document, place)) without rowid;
create index if not exists associations_by_uuid on associations (uuid);
create table if not exists schemata (
    number integer primary key, uuid text not null unique, owner text not null, created text not null,
    updated text not null, nul integer not null, value text not null);
create index if not exists schemata_by_update on schemata (updated);
create index if not exists grants_by_user on grants (username);
"""

DOCUMENTS = Table(
    columns={
        "uuid": "uuid", "name": "name", "owner": "owner", "schemaId": "schema", "created": "created",
        "lastUpdated": "updated",
    },
    members={"associationIds": "d.number in (select document from associations where uuid in ({}))"},
    document="value", json="d.value", leaves=True,
)  # fmt: skip
SCHEMATA = Table(
    columns={"uuid": "uuid", "owner": "owner", "created": "created", "lastUpdated": "updated"},
    members={}, document="schema", json="d.value", leaves=False,
)  # fmt: skip

Record = dict[str, Any]


@dataclass(frozen=True)
class Document:
    """One document, its value as JSON."""

    uuid: str
    name: str
    owner: str
    schema: str | None
    created: str
    updated: str
    value: bytes
    associations: list[str]

    def record(self) -> Record:
        """As queries see it; the value is still JSON where it is `msgspec.Raw`."""
        return {
            "uuid": self.uuid, "schemaId": self.schema, "internalUsername": None,
            "associationIds": self.associations, "lastUpdated": self.updated, "name": self.name,
            "value": msgspec.Raw(self.value), "created": self.created, "owner": self.owner,
        }  # fmt: skip


@dataclass(frozen=True)
class Schema:
    """One JSON Schema."""

    uuid: str
    owner: str
    created: str
    updated: str
    value: bytes

    def record(self) -> Record:
        """As queries see it."""
        return {
            "uuid": self.uuid, "internalUsername": None, "lastUpdated": self.updated,
            "schema": msgspec.Raw(self.value), "created": self.created, "owner": self.owner,
        }  # fmt: skip


def document_of(
    associations: list[str], uuid: str, name: str, owner: str, schema: str | None, created: str, updated: str,
    value: str,
) -> Document:  # fmt: skip
    """A document from its columns."""
    return Document(uuid, name, owner, schema, created, updated, value.encode(), associations)


def schema_of(uuid: str, owner: str, created: str, updated: str, value: str) -> Schema:
    """A schema from its columns."""
    return Schema(uuid, owner, created, updated, value.encode())


def document(store: Store, uuid: str) -> Document | None:
    """The document of a uuid, or None."""
    rows = store.sql(
        "select uuid, name, owner, schema, created, updated, value, number from documents where uuid = ?", uuid
    )
    if not rows:
        return None
    *fields, number = rows[0]
    others = store.sql("select uuid from associations where document = ? order by place", number)
    return document_of([each for (each,) in others], *fields)


def put_document(store: Store, document: Document, value: Any) -> None:
    """Write a document, new or not; when it was made, and by whom, stays. `value` is its value, decoded."""
    found = leaves_of("value", value)
    with store.together():
        ((number,),) = store.sql(
            "insert into documents (uuid, name, owner, schema, created, updated, nul, whole, value)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (uuid) do update set name = excluded.name,"
            " schema = excluded.schema, updated = excluded.updated, nul = excluded.nul, whole = excluded.whole,"
            " value = excluded.value returning number",
            document.uuid, document.name, document.owner, document.schema, document.created, document.updated,
            _has_nul(document.value), found is not None, document.value.decode(),
        )  # fmt: skip
        store.sql("delete from associations where document = ?", number)
        for place, uuid in enumerate(document.associations):
            store.sql("insert into associations values (?, ?, ?)", number, place, uuid)
        store.sql("delete from leaves where document = ?", number)
        if found:
            rows = [each for path, leaf in found for each in (number, path, leaf)]
            store.sql(f"insert into leaves values {', '.join(['(?, ?, ?)'] * len(found))}", *rows)


def drop_document(store: Store, uuid: str) -> None:
    """Remove a document."""
    with store.together():
        for table in ("associations", "leaves"):
            store.sql(f"delete from {table} where document = (select number from documents where uuid = ?)", uuid)
        store.sql("delete from documents where uuid = ?", uuid)


def schema(store: Store, uuid: str) -> Schema | None:
    """The schema of a uuid, or None."""
    rows = store.sql("select uuid, owner, created, updated, value from schemata where uuid = ?", uuid)
    if not rows:
        return None
    return schema_of(*rows[0])


def put_schema(store: Store, schema: Schema) -> None:
    """Write a schema, new or not; when it was made, and by whom, stays."""
    store.sql(
        "insert into schemata (uuid, owner, created, updated, nul, value) values (?, ?, ?, ?, ?, ?)"
        " on conflict (uuid) do update set updated = excluded.updated, nul = excluded.nul, value = excluded.value",
        schema.uuid, schema.owner, schema.created, schema.updated, _has_nul(schema.value), schema.value.decode(),
    )  # fmt: skip


def drop_schema(store: Store, uuid: str) -> None:
    """Remove a schema."""
    store.sql("delete from schemata where uuid = ?", uuid)


def _has_nul(value: bytes) -> bool:
    return b"\\u0000" in value
