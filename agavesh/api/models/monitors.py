"""Monitors: requests, records, checks."""

from datetime import datetime

from agavesh.api.record import Record


class MonitorCheck(Record, kw_only=True):
    """One try of a system."""

    id: str | None = None  # uuid ...-015
    result: str  # PASSED, FAILED or UNKNOWN
    message: str | None = None
    created: datetime
    type: str | None = None  # STORAGE or LOGIN


class Monitor(Record, kw_only=True):
    """A system that is tried now and then."""

    id: str  # uuid ...-014
    target: str | None = None  # id of the system; AgavePy's documentation calls it a boolean
    owner: str | None = None
    active: bool | None = None
    frequency: int | None = None  # minutes
    updateSystemStatus: bool | None = None
    internalUsername: str | None = None
    lastCheck: MonitorCheck | None = None
    lastSuccess: datetime | None = None
    lastUpdated: datetime | None = None
    nextUpdate: datetime | None = None
    created: datetime | None = None


class MonitorRequest(Record, kw_only=True):
    """Which system is tried how often."""

    target: str
    active: bool | None = None  # default true
    frequency: int | None = None  # minutes, 5 or more; default 720
    updateSystemStatus: bool | None = None  # for administrators of the system; default false
    internalUsername: str | None = None
