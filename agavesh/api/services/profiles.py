"""The profiles service."""

from __future__ import annotations

from typing import Any, Unpack

from agavesh.api.models.profiles import Profile, ProfileRequest
from agavesh.api.operation import More, Service, operation
from agavesh.api.record import Page
from agavesh.api.words import Email, Limit, Name, Offset, Status, Username


class Profiles(Service):
    """People."""

    @operation("GET", "/profiles/v2")
    async def list(
        self,
        *,
        limit: Limit | None = None,
        offset: Offset | None = None,
        name: Name | None = None,
        email: Email | None = None,
        first_name: Name | None = None,
        last_name: Name | None = None,
        full_name: Name | None = None,
        status: Status | None = None,
        username: Username | None = None,
        **more: Unpack[More],
    ) -> Page[Profile]:
        """Search user profiles."""
        ...

    @operation("GET", "/profiles/v2/me")
    async def get(self, **more: Unpack[More]) -> Profile:
        """Fetch the profile of the caller."""
        ...

    @operation("GET", "/profiles/v2/{username}")
    async def listByUsername(self, *, username: Username, **more: Unpack[More]) -> Profile:
        """Fetch the profile of one user by user name."""
        ...

    @operation("POST", "/profiles/v2", documented=False)
    async def create(self, *, body: ProfileRequest | dict[str, Any], **more: Unpack[More]) -> Profile:
        """Add a user, as an administrator."""
        ...

    @operation("PUT", "/profiles/v2/{username}", documented=False)
    async def update(
        self, *, username: Username, body: ProfileRequest | dict[str, Any], **more: Unpack[More]
    ) -> Profile:
        """Change a user, as an administrator; a new password ends their tokens."""
        ...

    @operation("DELETE", "/profiles/v2/{username}", documented=False)
    async def delete(self, *, username: Username, **more: Unpack[More]) -> Profile:
        """Remove a user, as an administrator."""
        ...
