"""Profiles: what the platform tells of a person."""

from typing import Any

from agavesh.api.record import Record


class Profile(Record, kw_only=True):
    """A person. Tenants answer in camelCase or snake_case; the properties read both."""

    username: str | None = None
    email: str | None = None
    firstName: str | None = None
    lastName: str | None = None
    fullName: str | None = None
    position: str | None = None
    institution: str | None = None
    phone: str | None = None
    fax: str | None = None
    researchArea: str | None = None
    department: str | None = None
    city: str | None = None
    state: str | None = None
    country: str | None = None
    gender: str | None = None
    uuid: str | None = None  # ...-001
    first_name: str | None = None
    last_name: str | None = None
    full_name: str | None = None
    mobile_phone: str | None = None
    status: str | None = None
    uid: Any = None
    create_time: str | None = None
    admin: bool | None = None  # the embedded tenant's: told to administrators

    @property
    def name(self) -> str:
        """The full name in whichever spelling it came."""
        return self.fullName or self.full_name or ""


class ProfileRequest(Record, kw_only=True):
    """A user to be added or changed. Of a change, what is left out stays."""

    username: str | None = None  # required of a new one
    email: str | None = None  # required of a new one
    password: str | None = None  # required of a new one
    first_name: str | None = None
    last_name: str | None = None
    phone: str | None = None
    mobile_phone: str | None = None
    admin: bool | None = None  # the embedded tenant's: whether they administer it
