"""The people of a tenant that does not serve: what `profiles` does over HTTP, done in the folder itself.

For `agavesh tenant user`, whose words are those of the profiles service. While it is at work nobody else can serve the
folder; a tenant that serves is asked instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from agavesh.api.models.profiles import Profile
from agavesh.api.record import Page, decode_page
from agavesh.tenant import auth, store
from agavesh.tenant.people import People
from agavesh.tenant.server import alone
from agavesh.tenant.state import Secrets
from agavesh.tenant.store import Record, Store

OWNER = "tenant"  # who does it, in the history: the person who owns the folder, and may be no user of it


class Profiles:
    """The operations of the profiles service, without a service."""

    def __init__(self, people: People, users: auth.Auth) -> None:
        self._people, self._users = people, users

    async def list(self, *, limit: int, offset: int) -> Page[Profile]:
        found = [self._shown(profile) for profile in self._people.profiles()]
        return decode_page(msgspec.json.encode(found[offset : offset + limit]), Profile)

    async def create(self, *, body: Any) -> Record:
        return self._shown(await self._people.create(body, by=OWNER))

    async def update(self, *, username: str, body: Any) -> Record:
        return self._shown(await self._people.update(username, body, by=OWNER))

    async def delete(self, *, username: str) -> Record:
        return self._people.delete(username, by=OWNER)

    def _shown(self, profile: Record) -> Record:
        return {**profile, "admin": self._users.is_admin(profile["username"])}


@contextmanager
def at_rest(root: Path) -> Iterator[Profiles]:
    """The people of the tenant in `root`. FileNotFoundError if there is none, AlreadyServed if it serves; OtherVersion
    and Damaged as for a start."""
    if not (root / "tenant.db").exists():
        raise FileNotFoundError(root)
    with alone(root):
        store.check(root / "tenant.db")
        records = Store(root / "tenant.db", auth.TABLES)
        try:
            users, secrets = auth.Auth(records), Secrets.of(root / "secrets.json")
            people = People(records, users, secrets, partial(secrets.keep, root / "secrets.json"))
            people.mend()
            yield Profiles(people, users)
        finally:
            records.close()
