"""The meta service: documents about anything, and the schemas that they follow."""

# ruff: noqa: N816  the platform's names stay as documented, of what is no `def` too

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import trio

from agavesh.tenant.context import Answer, Context, Record, Result, described
from agavesh.tenant.meta import conformity, documents, requests, search
from agavesh.tenant.meta.associations import Thing, Things
from agavesh.tenant.meta.documents import Document, Schema
from agavesh.tenant.meta.pems import TOLD, MetaGrants
from agavesh.tenant.meta.query import BadQuery
from agavesh.tenant.patterns import TooSlow
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.search import limit_of, offset_of
from agavesh.tenant.words import Pem, date, new_uuid

DATA, SCHEMAS = "/meta/v2/data", "/meta/v2/schemas"

T = TypeVar("T", Document, Schema)


# lists ---------------------------------------------------------------------------------------------------------------


async def listMetadata(ctx: Context, *, q: str | None, limit: int, offset: int, privileged: bool | None) -> Result:
    found = await _found(ctx, search.KIND_DOCUMENT, q, privileged)
    things = Things(ctx.store)
    return [_document(ctx, each, things) for each in found]


async def searchSchema(ctx: Context, *, q: str | None, limit: int, offset: int) -> Result:
    said = ctx.query.get("privileged")
    found = await _found(ctx, search.KIND_SCHEMA, q, None if said is None else said.lower() == "true")
    return [_schema(ctx, each) for each in found]


async def _found(ctx: Context, kind: search.Kind[T], q: str | None, privileged: bool | None) -> list[T]:
    everything = ctx.admin and privileged is not False
    try:
        return await ctx.tenant.library.find(
            kind, q, reader=None if everything else ctx.user, order=requests.order(ctx.query, kind.orders),
            limit=limit_of(ctx.query.get("limit")), offset=offset_of(ctx.query.get("offset")),
        )  # fmt: skip
    except BadQuery as problem:
        raise Refusal(400, f"Malformed JSON Query, {problem}") from None
    except TooSlow as problem:
        raise Refusal(400, f"Unable to find matching items: {problem}. Ask by uuid, name or owner too") from None
    except search.Busy:
        raise Refusal(503, "Too many queries at once. Try again soon", headers={"Retry-After": "5"}) from None
    except search.TooLarge:
        raise Refusal(400, f"The page is over {search.LARGEST} bytes. Ask for fewer with limit") from None


# documents -----------------------------------------------------------------------------------------------------------


async def addMetadata(ctx: Context, *, body: Any) -> Result:
    asked = requests.document(ctx, body)
    requests.required(asked)
    now = date(time.time())
    document = Document(
        new_uuid("012"), asked["name"], ctx.user, asked.get("schemaId"), now, now, msgspec.json.encode(asked["value"]),
        asked.get("associationIds", []),
    )  # fmt: skip
    await _check(ctx, asked["value"], document.schema)
    grants = _grants(ctx, document)
    with ctx.store.together():
        documents.put_document(ctx.store, document, asked["value"])
        ctx.tenant.notifications.subscribe(document.uuid, ctx.user, asked["notifications"])
        ctx.store.event(document.uuid, "CREATED", "A new metadata item was created", by=ctx.user)
        for username, rights in asked.get("permissions", []):
            grants.give(username, rights)
        _tell_associates(ctx, document, "METADATA_CREATED")
    return Answer(_document(ctx, document), status=201)


async def getMetadata(ctx: Context, *, uuid: str, limit: int, offset: int) -> Result:
    document = _known(ctx, uuid)
    if not _grants(ctx, document).may(Pem.READ):
        raise Refusal(403, "User does not have permission to read this metadata entry.")
    return _document(ctx, document)


async def updateMetadata(ctx: Context, *, uuid: str, body: Any) -> Result:
    asked = requests.document(ctx, body)
    old = _writable(ctx, uuid)
    if asked.get("uuid", uuid) != uuid:
        raise Refusal(400, "Metadata uuid in the request body does not match the url")
    if "name" not in asked:
        raise Refusal(400, requests.NO_NAME)
    while True:
        schema = asked.get("schemaId", old.schema)
        value = asked["value"] if "value" in asked else msgspec.json.decode(old.value)
        if "schemaId" in asked or "value" in asked:
            await _check(ctx, value, schema, gone="schemaId" not in asked)
        # it may be another, or gone, after the waiting; no await from here on
        if (now := _writable(ctx, uuid)) == old:
            break
        old = now
    document = Document(
        uuid, asked["name"], old.owner, schema, old.created, date(time.time()), msgspec.json.encode(value),
        asked.get("associationIds", old.associations),
    )  # fmt: skip
    grants = _grants(ctx, document)
    with ctx.store.together():
        documents.put_document(ctx.store, document, value)
        ctx.tenant.notifications.subscribe(uuid, ctx.user, asked["notifications"])
        ctx.store.event(uuid, "UPDATED", "A metadata item was updated", by=ctx.user)
        for username, rights in asked.get("permissions", []):
            grants.give(username, rights)
        _tell_associates(ctx, document, "METADATA_UPDATED")
    return _document(ctx, document)


async def deleteMetadata(ctx: Context, *, uuid: str) -> Result:
    document = _known(ctx, uuid)
    if not _grants(ctx, document).may(Pem.WRITE):
        raise Refusal(403, "User does not have permission to delete this metadata entry.")
    with ctx.store.together():
        # while it is there: who is told hears what it was
        ctx.store.event(uuid, "DELETED", "A metadata item was deleted", by=ctx.user)
        _tell_associates(ctx, document, "METADATA_DELETED")
        documents.drop_document(ctx.store, uuid)
        ctx.store.forget(uuid)
    return None


def _known(ctx: Context, uuid: str) -> Document:
    if (document := documents.document(ctx.store, uuid)) is None:
        raise Refusal(404, f"No metadata item found for user with id {uuid}")
    return document


def _writable(ctx: Context, uuid: str) -> Document:
    document = _known(ctx, uuid)
    if not _grants(ctx, document).may(Pem.WRITE):
        raise Refusal(403, "User does not have permission to update metadata")
    return document


def _tell_associates(ctx: Context, document: Document, event: str) -> None:
    for uuid in document.associations:
        ctx.store.event(uuid, event, f"Metadata {document.uuid}", by=ctx.user)


def _document(ctx: Context, document: Document, things: Things | None = None) -> Record:
    record, things = document.record(), things or Things(ctx.store)
    if ctx.filtered:
        record["value"] = msgspec.json.decode(document.value)
    links: Record = {
        "self": ctx.link(f"{DATA}/{document.uuid}"),
        "permissions": ctx.link(f"{DATA}/{document.uuid}/pems"),
        "owner": ctx.link(f"/profiles/v2/{document.owner}"),
        "associationIds": [_association(ctx, uuid, things.find(uuid)) for uuid in document.associations],
    }
    if document.schema:
        links["schema"] = ctx.link(f"{SCHEMAS}/{document.schema}")
    return {**record, "_links": links}


def _association(ctx: Context, uuid: str, found: Thing | None) -> Record:
    return {
        "rel": uuid,
        "href": ctx.url(found.path) if found and found.path else None,
        "title": found.kind if found else None,
    }


# schemas -------------------------------------------------------------------------------------------------------------


async def addSchema(ctx: Context, *, body: Any) -> Result:
    value = await _checked_schema(body)
    now = date(time.time())
    schema = Schema(new_uuid("013"), ctx.user, now, now, value)
    with ctx.store.together():
        documents.put_schema(ctx.store, schema)
        ctx.store.event(schema.uuid, "CREATED", "A new metadata schema was created", by=ctx.user)
    return Answer(_schema(ctx, schema), status=201)


async def getSchema(ctx: Context, *, uuid: str, limit: int, offset: int) -> Result:
    schema = _known_schema(ctx, uuid)
    if not _schema_grants(ctx, schema).may(Pem.READ):
        raise Refusal(403, "User does not have permission to read metadata for uuid")
    return _schema(ctx, schema)


async def updateSchema(ctx: Context, *, uuid: str, body: Any) -> Result:
    _writable_schema(ctx, uuid)
    value = await _checked_schema(body)
    old = _writable_schema(ctx, uuid)  # it may be gone after the waiting
    schema = Schema(uuid, old.owner, old.created, date(time.time()), value)
    with ctx.store.together():
        documents.put_schema(ctx.store, schema)
        ctx.store.event(uuid, "UPDATED", "A metadata schema was updated", by=ctx.user)
    return _schema(ctx, schema)


async def deleteSchema(ctx: Context, *, uuid: str) -> Result:
    _writable_schema(ctx, uuid)
    with ctx.store.together():
        ctx.store.event(uuid, "DELETED", "A metadata schema was deleted", by=ctx.user)
        documents.drop_schema(ctx.store, uuid)
        ctx.store.forget(uuid)
    return None


def _known_schema(ctx: Context, uuid: str) -> Schema:
    if (schema := documents.schema(ctx.store, uuid)) is None:
        raise Refusal(404, f"No metadata schema item found for user with id {uuid}")
    return schema


def _writable_schema(ctx: Context, uuid: str) -> Schema:
    schema = _known_schema(ctx, uuid)
    if not _schema_grants(ctx, schema).may(Pem.WRITE):
        raise Refusal(403, "User does not have permission to update metadata schema")
    return schema


def _schema(ctx: Context, schema: Schema) -> Record:
    record = schema.record()
    if ctx.filtered:
        record["schema"] = msgspec.json.decode(schema.value)
    links = {
        "self": ctx.link(f"{SCHEMAS}/{schema.uuid}"),
        "permissions": ctx.link(f"{SCHEMAS}/{schema.uuid}/pems"),
        "owner": ctx.link(f"/profiles/v2/{schema.owner}"),
    }
    return {**record, "_links": links}


async def _checked_schema(body: Any) -> bytes:
    """A schema as JSON, if it is one."""
    if not isinstance(body, dict):
        raise _no_schema("it must be a JSON object")
    try:
        await trio.to_thread.run_sync(conformity.check_schema, body)
    except (conformity.NoSchema, TooSlow) as problem:
        raise _no_schema(str(problem)) from None
    return msgspec.json.encode(body)


def _no_schema(reason: str) -> Refusal:
    return Refusal(
        400, "The supplied JSON Schema definition is invalid. For more information on JSON Schema, please visit"
        f" http://json-schema.org/.\n{reason}",
    )  # fmt: skip


async def _check(ctx: Context, value: Any, uuid: str | None, *, gone: bool = False) -> None:
    """Whether a value follows the schema of a uuid. With `gone` one that is not there any more asks for nothing."""
    if not uuid:
        return
    if (schema := documents.schema(ctx.store, uuid)) is None:
        if gone:
            return
        raise Refusal(400, f"No metadata schema found with uuid {uuid}")
    if not gone and not _schema_grants(ctx, schema).may(Pem.READ):
        raise Refusal(403, "User does not have permission to read the metadata schema")
    rules = msgspec.json.decode(schema.value)
    others = requests.referred(ctx, schema)
    try:
        await trio.to_thread.run_sync(conformity.check, value, rules, others)
    except (conformity.Unlike, conformity.NoSchema, TooSlow) as problem:
        raise Refusal(400, f"Metadata does not conform to schema. {problem}") from None


# permissions ---------------------------------------------------------------------------------------------------------

_NO_VIEW = "User does not have permission to view this resource."
_NO_CHANGE = "User does not have permission to modify this resource."


def _grants(ctx: Context, document: Document) -> MetaGrants:
    return MetaGrants(ctx, document.uuid, f"{DATA}/{document.uuid}", document.owner, TOLD)


def _schema_grants(ctx: Context, schema: Schema) -> MetaGrants:
    return MetaGrants(ctx, schema.uuid, f"{SCHEMAS}/{schema.uuid}", schema.owner, TOLD)


def _allowed(grants: MetaGrants, rights: Pem) -> MetaGrants:
    """The grants, if the caller may see or change them."""
    if not grants.may(rights):
        raise Refusal(403, _NO_VIEW if rights == Pem.READ else _NO_CHANGE)
    return grants


def _of_document(ctx: Context, uuid: str, rights: Pem) -> MetaGrants:
    return _allowed(_grants(ctx, _known(ctx, uuid)), rights)


def _of_schema(ctx: Context, uuid: str, rights: Pem) -> MetaGrants:
    return _allowed(_schema_grants(ctx, _known_schema(ctx, uuid)), rights)


class _Permissions:
    """What is done with the permissions of one kind of thing. `of` finds its grants, or refuses who lacks a right."""

    def __init__(self, of: Callable[[Context, str, Pem], MetaGrants]) -> None:
        self._of = of

    async def all(self, ctx: Context, *, uuid: str, limit: int, offset: int) -> Result:
        return self._of(ctx, uuid, Pem.READ).all(limit, offset)

    async def change(self, ctx: Context, *, uuid: str, body: Any) -> Result:
        return self._of(ctx, uuid, Pem.WRITE).change(body, None)

    async def clear(self, ctx: Context, *, uuid: str) -> Result:
        self._of(ctx, uuid, Pem.WRITE).clear()
        return None

    async def one(self, ctx: Context, *, uuid: str, username: str) -> Result:
        return self._of(ctx, uuid, Pem.READ).one(username)

    async def change_one(self, ctx: Context, *, uuid: str, username: str, body: Any) -> Result:
        return self._of(ctx, uuid, Pem.WRITE).change(body, username)

    async def revoke(self, ctx: Context, *, uuid: str, username: str) -> Result:
        self._of(ctx, uuid, Pem.WRITE).revoke(username)
        return None


_documents, _schemas = _Permissions(_of_document), _Permissions(_of_schema)

listMetadataPermissions = _documents.all
updateMetadataPermissions = _documents.change
deleteMetadataPermission = _documents.clear
listMetadataPermissionsForUser = _documents.one
updateMetadataPermissionsForUser = _documents.change_one
deleteMetadataPermissionsForUser = _documents.revoke

listSchemaPermissions = _schemas.all
updateSchemaPermissions = _schemas.change
deleteSchemaPermissions = _schemas.clear
listSchemaPermissionsForUser = _schemas.one
updateSchemaPermissionsForUser = _schemas.change_one
deleteSchemaPermissionsForUser = _schemas.revoke


# what others are told ------------------------------------------------------------------------------------------------


@described("012", "metadata")
def told(ctx: Context, uuid: str) -> Record | None:
    """A document as those are told who subscribed to it."""
    if (document := documents.document(ctx.store, uuid)) is None:
        return None
    if not _grants(ctx, document).may(Pem.READ):
        raise Refusal(403, "User does not have permission to read this metadata entry.")
    return {**_document(ctx, document), "value": msgspec.json.decode(document.value)}


@described("013", "schema")
def schema_told(ctx: Context, uuid: str) -> Record | None:
    """A schema as those are told who subscribed to it."""
    if (schema := documents.schema(ctx.store, uuid)) is None:
        return None
    if not _schema_grants(ctx, schema).may(Pem.READ):
        raise Refusal(403, "User does not have permission to read metadata for uuid")
    return {**_schema(ctx, schema), "schema": msgspec.json.decode(schema.value)}
