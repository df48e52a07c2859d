"""Notifications: who is told of which event, and how often it is tried."""

from datetime import datetime

from agavesh.api.record import Record


class NotificationPolicy(Record, kw_only=True):
    """How often a delivery is tried."""

    retryStrategy: str | None = None  # default IMMEDIATE
    retryLimit: int | None = None  # 0..1440, default 5
    retryRate: int | None = None  # seconds 0..86400, default 5
    retryDelay: int | None = None  # seconds 0..86400, default 0
    saveOnFailure: bool | None = None  # default false


class Notification(Record, kw_only=True):
    """A subscription and how its last delivery went."""

    id: str  # ...-011; the AgavePy model says uuid
    owner: str | None = None
    url: str | None = None
    associatedUuid: str | None = None
    event: str | None = None
    responseCode: int | None = None  # or null
    attempts: int | None = None
    lastSent: datetime | None = None  # or null
    success: bool | None = None
    persistent: bool | None = None
    status: str | None = None  # ACTIVE INACTIVE FAILED COMPLETE
    lastUpdated: datetime | None = None
    created: datetime | None = None
    policy: NotificationPolicy | None = None


class NotificationSummary(Record, kw_only=True):
    """One line of the list of notifications."""

    id: str
    url: str | None = None
    associatedUuid: str | None = None
    event: str | None = None


class NotificationRequest(Record, kw_only=True):
    """A subscription to be made."""

    url: str  # 4..1024, email, URL or agave URL
    event: str  # 1..128, missing from the AgavePy model
    associatedUuid: str  # * is for administrators
    persistent: bool | None = None  # default false
    status: str | None = None
    policy: NotificationPolicy | None = None
