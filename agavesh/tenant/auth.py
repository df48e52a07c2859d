"""Who is calling: users, OAuth clients, and tokens that do expire.

Passwords are kept as `passwords` says, client secrets and tokens as SHA-256 hashes (they are random already); all
comparisons take the same time whatever is wrong. Only so many passwords are looked at at once, so that nobody starves
the tenant by guessing. A refresh ends the tokens it replaces, and a second use of a refresh token is refused; what the
first brought stays good, as programs that share a login would else sign each other out. What a user holds ends with
their password. Handlers of /token and of the clients service speak HTTP; this module does not, and it does not know
what a profile holds: see `people`.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import cachetools
import msgspec
import trio

from agavesh.tenant import passwords
from agavesh.tenant.store import Record, Store

LIFETIME = 14400.0  # seconds, the platform's own figure
KEPT = 86400.0  # for so long after its end a token is known as expired rather than unknown
LOOKS = 2  # at passwords, at once: each takes a processor and 19 MiB

TABLES = "create index if not exists tokens_by_end on tokens (expires);"


class Denied(Exception):
    """Not the right user, client or token. The text is fit for the caller."""


@dataclass(frozen=True)
class Grant:
    """What /token hands out."""

    access_token: str
    refresh_token: str | None
    expires_in: int


@dataclass(frozen=True)
class Caller:
    """Whose token it is, or why it is none: the gateway's code."""

    username: str
    fault: Literal[0, 900901, 900903, 900904, 900908] = 0


def fingerprint(secret: str) -> str:
    """How a random secret is kept."""
    return hashlib.sha256(secret.encode()).hexdigest()


def service_of(operation: str) -> str:
    """The service of an operation's key such as `files.list`, or of a path such as `/files/v2/…`."""
    return operation.lstrip("/").replace("/", ".").partition(".")[0]


class Auth:
    """Users, clients and tokens of one tenant. `lifetime` is that of access tokens made from now on, in seconds."""

    def __init__(self, store: Store, *, lifetime: float = LIFETIME) -> None:
        self._store = store
        self.lifetime = lifetime
        self._looks = trio.CapacityLimiter(LOOKS)
        self._admin: dict[str, bool] = {}
        self._narrowed: dict[str, frozenset[str]] = {}  # by a client's key, the services that it is let into
        self._tokens: cachetools.LRUCache[str, tuple[str, float, int, str]] = cachetools.LRUCache(4096)
        store.remember("tokens", self._tokens)
        self.reload()

    def reload(self) -> None:
        """Know what the records say, as at the start; after changes that were taken back."""
        users = self._store.sql("select username, admin from users order by rowid")
        clients = self._store.sql("select key, body from clients")
        self._admin = {name: bool(admin) for name, admin in users}
        self._narrowed.clear()
        for key, body in clients:
            self._narrow(key, msgspec.json.decode(body))

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """All changes inside, or none; what is remembered here too."""
        try:
            with self._store.together():
                yield
        except BaseException:
            self.reload()
            raise

    # users -----------------------------------------------------------------------------------------------------------

    def add_user(self, username: str, kept: str, *, admin: bool = False) -> None:
        """Add or change a user; `kept` is the hash of the password."""
        self._store.sql("insert or replace into users values (?, ?, ?)", username, kept, int(admin))
        self._admin[username] = admin

    def set_admin(self, username: str, admin: bool) -> None:
        """Let a user administer the tenant, or not."""
        self._store.sql("update users set admin = ? where username = ?", int(admin), username)
        self._admin[username] = admin

    def set_password(self, username: str, kept: str) -> None:
        """Change a password, by its hash, and end all that was had for the old one."""
        with self._store.together():
            self._store.sql("update users set password = ? where username = ?", kept, username)
            self._store.sql("update tokens set revoked = 1 where username = ? and not refresh", username)
            self._store.sql("delete from tokens where username = ? and refresh", username)

    def drop_user(self, username: str) -> None:
        """Remove a user, their clients, and all tokens of either."""
        with self.together():
            for client in self.clients(username):
                self.drop_client(username, client["name"])
            self._store.sql("delete from tokens where username = ?", username)
            self._store.sql("delete from users where username = ?", username)
            self._admin.pop(username, None)

    def exists(self, username: str) -> bool:
        return username in self._admin

    def is_admin(self, username: str) -> bool:
        """Whether the user administers the tenant."""
        return self._admin.get(username, False)

    def usernames(self) -> list[str]:
        return list(self._admin)

    async def hashed(self, password: str) -> str:
        """The hash of a password, when it is its turn."""
        return await trio.to_thread.run_sync(passwords.hashed, password, limiter=self._looks)

    async def check_password(self, username: str, password: str) -> str:
        """The user's name if the password is theirs, else Denied."""
        kept = self._kept(username)
        fits = await trio.to_thread.run_sync(passwords.fits, password, kept or passwords.NOBODY, limiter=self._looks)
        # while we looked, the user may have been given another password, or have been removed
        if not kept or not fits or self._kept(username) != kept:
            raise Denied("Provided user name or password is not valid")
        if passwords.outdated(kept):
            better = await self.hashed(password)
            self._store.sql("update users set password = ? where username = ? and password = ?", better, username, kept)
        return username

    def has_password(self, username: str, password: str) -> bool:
        """Whether it is the user's password. It blocks: while the tenant serves, `check_password` is the one to ask."""
        kept = self._kept(username)
        return bool(kept) and passwords.fits(password, kept)

    def _kept(self, username: str) -> str:
        rows = self._store.sql("select password from users where username = ?", username)
        return str(rows[0][0]) if rows else ""

    # clients ---------------------------------------------------------------------------------------------------------

    def add_client(self, owner: str, name: str, record: Record) -> tuple[str, str]:
        """Make an OAuth client; (key, secret). Denied if the owner has one of that name."""
        key, secret = secrets.token_hex(14), secrets.token_hex(14)
        if self._store.sql("select 1 from clients where owner = ? and name = ?", owner, name):
            raise Denied(f"Application {name} already exists")
        body = {"name": name, **record, "consumerKey": key}
        self._store.sql(
            "insert into clients values (?, ?, ?, ?, ?)",
            owner, name, key, fingerprint(secret), msgspec.json.encode(body),
        )  # fmt: skip
        return key, secret

    def clients(self, owner: str) -> list[Record]:
        """The owner's clients, without their secrets."""
        rows = self._store.sql("select body from clients where owner = ? order by rowid", owner)
        return [msgspec.json.decode(body) for (body,) in rows]

    def change_client(self, owner: str, name: str, record: Record) -> None:
        self._store.sql(
            "update clients set body = ? where owner = ? and name = ?", msgspec.json.encode(record), owner, name
        )
        self._narrow(record["consumerKey"], record)

    def _narrow(self, key: str, record: Record) -> None:
        """A client is subscribed to every service, those of later versions too, until it says `apis`."""
        if (apis := record.get("apis")) is None:
            self._narrowed.pop(key, None)
        else:
            self._narrowed[key] = frozenset(api.lower() for api in apis)

    def drop_client(self, owner: str, name: str) -> None:
        """Remove a client and the tokens it was given."""
        with self.together():
            for (key,) in self._store.sql("select key from clients where owner = ? and name = ?", owner, name):
                self._store.sql("delete from tokens where client = ?", key)
                self._narrowed.pop(key, None)
            self._store.sql("delete from clients where owner = ? and name = ?", owner, name)

    def check_client(self, key: str, secret: str) -> str:
        """The owner of the client whose key and secret these are, else Denied."""
        rows = self._store.sql("select owner, secret from clients where key = ?", key)
        if not hmac.compare_digest(fingerprint(secret), rows[0][1] if rows else "0" * 64) or not rows:
            raise Denied("A valid OAuth client could not be found for client_id")
        return str(rows[0][0])

    # tokens ----------------------------------------------------------------------------------------------------------

    def grant(self, username: str, client: str, *, refreshable: bool = True) -> Grant:
        """Fresh tokens for a user at a client. Denied if there is no such user any more."""
        if not self.exists(username):
            raise Denied(f"There is no user {username}")
        access, refresh = secrets.token_hex(16), secrets.token_hex(16) if refreshable else None
        grant_id, now = secrets.token_hex(8), time.time()
        with self._store.together():
            self._store.sql("delete from tokens where expires < ?", now - KEPT)
            self._keep(access, False, grant_id, username, client, now + self.lifetime)
            if refresh:
                self._keep(refresh, True, grant_id, username, client, None)
        return Grant(access, refresh, max(int(self.lifetime), 0))

    def _keep(
        self, token: str, refresh: bool, grant_id: str, username: str, client: str, expires: float | None
    ) -> None:
        self._store.sql(
            "insert into tokens values (?, ?, ?, ?, ?, ?, 0)",
            fingerprint(token), int(refresh), grant_id, username, client, expires,
        )  # fmt: skip

    def refresh(self, refresh_token: str, client: str) -> Grant:
        """New tokens for a refresh token, which dies with its access token. Denied if it is not good any more."""
        rows = self._store.sql(
            "select grant_id, username from tokens where hash = ? and refresh and not revoked and client = ?",
            fingerprint(refresh_token), client,
        )  # fmt: skip
        if not rows:
            raise Denied("Provided Authorization Grant is invalid")
        grant_id, username = rows[0]
        with self._store.together():
            self._store.sql("update tokens set revoked = 1 where grant_id = ? and not refresh", grant_id)
            self._store.sql("delete from tokens where grant_id = ? and refresh", grant_id)
            return self.grant(username, client)

    def revoke(self, token: str, client: str) -> None:
        """End a token of the client and all that came with it; an unknown one is no trouble."""
        with self._store.together():
            for (grant_id,) in self._store.sql(
                "select grant_id from tokens where hash = ? and client = ?", fingerprint(token), client
            ):
                self._store.sql("update tokens set revoked = 1 where grant_id = ? and not refresh", grant_id)
                self._store.sql("delete from tokens where grant_id = ? and refresh", grant_id)

    def caller(self, token: str, operation: str = "") -> Caller:
        """Whose access token this is. `operation` is what is called with it: its key, or its path."""
        known = fingerprint(token)
        if (row := self._tokens.get(known)) is None:
            rows = self._store.sql(
                "select username, expires, revoked, client from tokens where hash = ? and not refresh", known
            )
            if not rows:
                return Caller("", 900901)
            row = self._tokens[known] = rows[0]
        username, expires, revoked, client = row
        if revoked:
            return Caller("", 900904)
        if expires <= time.time():
            return Caller("", 900903)
        if (apis := self._narrowed.get(client)) is not None and service_of(operation) not in apis:
            return Caller("", 900908)
        return Caller(username)

    def expire_all(self, username: str | None = None) -> None:
        """Let access tokens be over now, as if their time had come; refresh tokens stay good."""
        self._store.sql(
            "update tokens set expires = ? where not refresh and (?2 is null or username = ?2)",
            time.time() - 1, username,
        )  # fmt: skip
