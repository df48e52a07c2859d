"""Metadata documents and the schemas they may name."""

from datetime import datetime
from typing import Any

from agavesh.api.models.shared import ACL
from agavesh.api.record import Record


class Metadata(Record, kw_only=True):
    """A metadata document."""

    uuid: str  # ...-012
    schemaId: str | None = None  # or null
    internalUsername: str | None = None
    owner: str | None = None
    associationIds: list[str] | None = None  # of uuid
    name: str | None = None
    value: Any = None
    created: datetime | None = None
    lastUpdated: datetime | None = None


class MetadataRequest(Record, kw_only=True):
    """A document to be kept."""

    name: str  # 1..256, not unique
    value: Any  # JSON
    associationIds: list[str] | str | None = None  # or one uuid as text
    schemaId: str | None = None
    permissions: list[Any] | None = None  # at creation
    notifications: list[Any] | None = None  # at creation


class MetadataSchema(Record, kw_only=True):
    """A JSON Schema that documents may name."""

    uuid: str  # ...-013
    internalUsername: str | None = None
    owner: str | None = None
    schema: dict[str, Any] | None = None
    created: datetime | None = None
    lastUpdated: datetime | None = None


class JsonSchema(Record, kw_only=True):
    """Any JSON Schema object; these are its commonest fields."""

    title: str | None = None
    type: str | None = None
    properties: dict[str, Any] | None = None
    required: list[Any] | None = None


class MetadataPermission(Record, kw_only=True):
    """What one user may do with a document or schema."""

    username: str | None = None
    permission: ACL | None = None  # read, write


class MetadataPermissionRequest(Record, kw_only=True):
    """A grant; it replaces what the user had."""

    username: str | None = None  # required unless in the path
    permission: str  # READ WRITE READ_WRITE ALL NONE
