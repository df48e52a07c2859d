"""Postits: URLs that were paid for in advance."""

from datetime import datetime

from agavesh.api.record import Record


class PostIt(Record, kw_only=True):
    """A short URL that calls another one with its creator's rights. Older tenants say created and expires."""

    postit: str  # uuid ...-010 (older: a hash); who knows it may redeem it
    creator: str | None = None
    url: str | None = None  # what is called
    method: str | None = None  # GET, PUT, POST, DELETE
    noauth: bool | None = None
    remainingUses: int | None = None  # -1: any number
    numberUsed: int | None = None
    created: datetime | None = None
    createdAt: datetime | None = None
    expires: datetime | None = None  # null: never
    expiresAt: datetime | None = None
    status: str | None = None
    tenantId: str | None = None
    internalUsername: str | None = None


class PostItRequest(Record, kw_only=True):
    """What is to be called, by whom, and how often."""

    url: str  # of the same tenant
    method: str | None = None  # GET, PUT, POST or DELETE; default GET
    maxUses: int | None = None  # default 1; -1 for any number
    lifetime: int | None = None  # seconds, default 30 days
    unlimited: bool | None = None  # any number of uses, for ever
    noauth: bool | None = None  # call it without the creator's rights
    internalUsername: str | None = None
