"""People: who there is, what is told of them, and what goes with them when they are removed.

Rules for profiles, users and the *internal users* that a user keeps for the people behind a gateway of theirs. Works
on a tenant that serves (the profiles service) and on one that does not (`agavesh tenant user`). Passwords come here as
hashes and go to `auth`.

The users that a tenant was made with are its own: programs of its owner sign in by them, so their passwords stand in
`secrets.json`, a changed one too, and they cannot be removed.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from agavesh.tenant import fields
from agavesh.tenant.auth import Auth
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.store import Record, Store
from agavesh.tenant.systems import stored
from agavesh.tenant.words import date, new_uuid

if TYPE_CHECKING:
    from agavesh.tenant.state import Secrets

RESERVED = frozenset({"me", "public", "world"})  # a route, and the names that grants to everybody are made to
SHORTEST, LONGEST = 8, 1024  # characters of a password
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_PLAIN = (
    "position", "institution", "phone", "fax", "researchArea", "department", "city", "state", "country", "gender",
    "mobile_phone",
)  # fmt: skip
_NAMES = {"firstName": "first_name", "lastName": "last_name", "fullName": "full_name"}


def checked_name(value: Any, what: str = "username") -> str:
    """A name for a user, or a Refusal."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise fields.wrong(what, "is 1 to 64 letters, digits, dots, dashes and underscores, and begins with a letter"
                                 " or a digit")  # fmt: skip
    if value.lower() in RESERVED:
        raise fields.wrong(what, f"cannot be {value}, which is a word of the platform's")
    return value


def checked_password(value: Any) -> str:
    """A password that may be had, or a Refusal."""
    if not isinstance(value, str) or not SHORTEST <= len(value) <= LONGEST:
        raise fields.wrong("password", f"has {SHORTEST} to {LONGEST} characters")
    return value


def _object(body: Any) -> Record:
    if not isinstance(body, dict):
        raise Refusal(400, "Invalid JSON found. A user is described by an object")
    return body


def _admin(body: Record) -> bool | None:
    """Whether a request makes its user an administrator; None if it does not say."""
    value = body.get("admin")
    if value is None:
        return None
    if str(value).lower() not in ("true", "false"):
        raise fields.wrong("admin", "is true or false")
    return str(value).lower() == "true"


def _what_changed(username: str, body: Record) -> str:
    changed = ", ".join(sorted(body.keys() & {"admin", "password"})) or "profile"
    return f"{username}: {changed} changed"


def personal(body: Record, old: Record | None = None) -> Record:
    """What is told of a person: what the request says, else what was known. Both spellings of names are understood,
    and both are kept, as platforms differ in theirs."""
    old = old or {}
    found = {name: fields.text(body, name, longest=255) if name in body else old.get(name, "") for name in _PLAIN}
    for camel, snake in _NAMES.items():
        said = [name for name in (camel, snake) if name in body]
        found[camel] = fields.text(body, said[0], longest=255) if said else ""
        if not said and (camel != "fullName" or not {*_NAMES, *_NAMES.values()} & {*body}):
            found[camel] = old.get(camel, "")
    found["fullName"] = found["fullName"] or f"{found['firstName']} {found['lastName']}".strip()
    found |= {snake: found[camel] for camel, snake in _NAMES.items()}
    email = fields.text(body, "email", longest=255, required=not old) if "email" in body or not old else old["email"]
    if not _EMAIL.fullmatch(email):
        raise fields.wrong("email", "is an address such as ann@example.org")
    return {**old, **found, "email": email}


class People:
    """The users of one tenant. `announce` is called when what `tenant.json` says of them has changed."""

    def __init__(self, store: Store, auth: Auth, secrets: Secrets, keep: Callable[[], None]) -> None:
        self._store, self._auth, self._secrets, self._keep = store, auth, secrets, keep
        self.announce: Callable[[], None] = lambda: None

    def profiles(self) -> Iterator[Record]:
        """All of them, oldest first."""
        for name in self._auth.usernames():
            if (profile := self._store.get("profile", name)) is not None:
                yield profile

    def profile(self, username: str) -> Record:
        """One of them, or a Refusal."""
        if (profile := self._store.get("profile", username)) is None:
            raise Refusal(404, f"No user found matching {username}")
        return profile

    async def create(self, body: Any, *, by: str) -> Record:
        """A new user, as a request describes them: username, email and password, and whether they are an `admin`."""
        body = _object(body)
        profile, password, admin = self._new(body), checked_password(body.get("password")), _admin(body)
        kept = await self._auth.hashed(password)
        with self._auth.together():
            self._new(body)  # somebody else may have had the name meanwhile
            self._auth.add_user(profile["username"], kept, admin=bool(admin))
            self._store.put("profile", profile["username"], profile, owner=profile["username"])
            self._store.event(profile["uuid"], "CREATED", f"User {profile['username']} was added", by=by)
        return profile

    async def update(self, username: str, body: Any, *, by: str) -> Record:
        """Change what a request says of a user, and leave the rest. With a new password all their tokens end."""
        body = _object(body)
        self.profile(username)
        if body.get("username", username) != username:
            raise Refusal(400, "Invalid value for username: the one in the body is not that of the path.")
        admin, password = _admin(body), None if body.get("password") is None else checked_password(body["password"])
        kept = None if password is None else await self._auth.hashed(password)
        own = next((user for user in self._secrets.users if user["username"] == username), None)
        with self._noted(own if password is not None else None, password), self._auth.together():
            profile = personal(body, self.profile(username))
            self._lone_email(profile)
            if admin is not None:
                self._set_admin(username, admin)
            if kept is not None:
                self._auth.set_password(username, kept)
            self._store.put("profile", username, profile, owner=username)
            self._store.event(profile["uuid"], "UPDATED", _what_changed(username, body), by=by)
        return profile

    @contextlib.contextmanager
    def _noted(self, own: Record | None, password: str | None) -> Iterator[None]:
        """Let `secrets.json` know the new password of one of the tenant's own users, whatever cuts the change in two:
        it has both until the records have the new one."""
        if own is None:
            yield
            return
        own["next"] = password
        try:
            self._keep()
            yield
        except BaseException:
            del own["next"]
            raise
        own["password"] = own.pop("next")
        self._keep()
        self.announce()

    def mend(self) -> None:
        """Find out which of two passwords holds, where a crash cut the change of one in two. It may take a moment."""
        cut = [user for user in self._secrets.users if "next" in user]
        for user in cut:
            new = user.pop("next")
            if self._auth.has_password(user["username"], new):
                user["password"] = new
        if cut:
            self._keep()

    def delete(self, username: str, *, by: str) -> Record:
        """Remove a user with their tokens, clients, roles, grants, internal users, and the keys that they gave away:
        nonces and postits. What they own stays."""
        profile = self.profile(username)
        if self._is_own(username):
            raise Refusal(400, f"{username} is one of the tenant's own users, and cannot be removed")
        with self._auth.together():
            for internal in [*self.internal_users(username)]:
                self.drop_internal(username, internal["username"], by=by)
            for table in ("roles", "grants"):
                self._store.sql(f"delete from {table} where username = ?", username)
            self._store.sql("delete from nonces where owner = ?", username)
            for postit in [*self._store.all("postit", owner=username)]:
                self._store.drop("postit", postit["postit"])
                self._store.forget(postit["postit"])
            self._store.drop("defaults", username)
            self._store.drop("profile", username)
            self._store.event(profile["uuid"], "DELETED", f"User {username} was removed", by=by)
            self._auth.drop_user(username)
        return profile

    def _new(self, body: Record) -> Record:
        """The profile of the user that a request wants, or a Refusal."""
        username = checked_name(body.get("username"))
        if username.lower() in {name.lower() for name in self._auth.usernames()}:
            raise Refusal(400, f"The username {username} is taken")
        profile = {"username": username, **personal(body), "status": "ACTIVE", "uuid": new_uuid("001"),
                   "create_time": time.strftime("%Y%m%d%H%M%SZ", time.gmtime())}  # fmt: skip
        self._lone_email(profile)
        return profile

    def _set_admin(self, username: str, admin: bool) -> None:
        if not admin and self._auth.is_admin(username) and self._is_own(username):
            raise Refusal(400, f"{username} is one of the tenant's own users, and stays its administrator")
        self._auth.set_admin(username, admin)

    def _is_own(self, username: str) -> bool:
        return any(user["username"] == username for user in self._secrets.users)

    def _lone_email(self, profile: Record) -> None:
        for other in self.profiles():
            if other["username"] != profile["username"] and other["email"].lower() == profile["email"].lower():
                raise Refusal(400, f"The email {profile['email']} is that of another user")

    # internal users --------------------------------------------------------------------------------------------------

    def internal_users(self, owner: str) -> Iterator[Record]:
        """The internal users of a user, newest first."""
        yield from self._store.all("internal", owner=owner)

    def internal(self, owner: str, name: str) -> Record:
        """One of them, or a Refusal."""
        if (found := self._store.get("internal", f"{owner}/{name}")) is None:
            raise Refusal(404, f"No internal user found matching {name}")
        return found

    def put_internal(self, owner: str, body: Record, old: Record | None, *, by: str) -> Record:
        """Add one, or change `old`. The status is ACTIVE unless the request says INACTIVE."""
        status = fields.choice(body, "status", ("ACTIVE", "INACTIVE")) if body.get("status") else "ACTIVE"
        if old is not None:
            record, event = {**personal(body, old), "status": status}, "UPDATED"
        else:
            name = checked_name(body.get("username"))
            if self._store.get("internal", f"{owner}/{name}") is not None:
                raise Refusal(400, f"The internal user {name} exists")
            record, event = {**personal(body), "username": name, "uuid": new_uuid("003")}, "CREATED"
            record |= {"status": status, "created": date(time.time())}
        with self._store.together():
            self._store.put("internal", f"{owner}/{record['username']}", record, owner=owner)
            self._store.event(record["uuid"], event, f"Internal user {record['username']} of {owner}", by=by)
        return record

    def drop_internal(self, owner: str, name: str, *, by: str) -> None:
        """Remove one, with their credentials on the owner's systems."""
        record = self.internal(owner, name)
        with self._store.together():
            stored.drop_internal(self._store, owner, name, by=by)
            self._store.drop("internal", f"{owner}/{name}")
            self._store.event(record["uuid"], "DELETED", f"Internal user {name} of {owner}", by=by)
