"""Who is calling: users, OAuth clients, and tokens that do expire.

Passwords are kept as scrypt hashes, client secrets and tokens as SHA-256 hashes (they are random already); all
comparisons take the same time whatever is wrong. A refresh ends the token it replaces. Handlers of /token and of the
clients service speak HTTP; this module does not.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from typing import Literal

import msgspec
import trio

from agavesh.tenant.store import Record, Store

LIFETIME = 14400.0  # seconds, the platform's own figure
KEPT = 86400.0  # for so long after its end a token is known as expired rather than unknown


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
    fault: Literal[0, 900901, 900903, 900904] = 0


def fingerprint(secret: str) -> str:
    """How a random secret is kept."""
    return hashlib.sha256(secret.encode()).hexdigest()


def hash_password(password: str) -> str:
    """How a password is kept. Takes tens of milliseconds on purpose: call it in a thread."""
    salt = secrets.token_bytes(16)
    return f"{salt.hex()}${_scrypt(password, salt).hex()}"


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1)


def _fits(password: str, kept: str) -> bool:
    salt, _, wanted = kept.partition("$")
    return hmac.compare_digest(_scrypt(password, bytes.fromhex(salt)), bytes.fromhex(wanted))


_NOBODY = f"{'00' * 16}${'00' * 64}"  # what an unknown user's password is compared with, to take as long


class Auth:
    """Users, clients and tokens of one tenant. `lifetime` is that of access tokens made from now on, in seconds."""

    def __init__(self, store: Store, *, lifetime: float = LIFETIME) -> None:
        self._store = store
        self.lifetime = lifetime
        self._admin = {
            name: bool(admin) for name, admin in store.sql("select username, admin from users order by rowid")
        }

    # users -----------------------------------------------------------------------------------------------------------

    def add_user(self, username: str, password: str, profile: Record, *, admin: bool = False) -> None:
        """Add or change a user; takes as long as a password's hash."""
        with self._store.together():
            self._store.sql(
                "insert or replace into users values (?, ?, ?)", username, hash_password(password), int(admin)
            )
            self._store.put("profile", username, {"username": username, **profile}, owner=username)
        self._admin[username] = admin

    def exists(self, username: str) -> bool:
        return username in self._admin

    def is_admin(self, username: str) -> bool:
        """Whether the user administers the tenant."""
        return self._admin.get(username, False)

    def usernames(self) -> list[str]:
        return list(self._admin)

    async def check_password(self, username: str, password: str) -> str:
        """The user's name if the password is theirs, else Denied."""
        rows = self._store.sql("select password from users where username = ?", username)
        fits = await trio.to_thread.run_sync(_fits, password, rows[0][0] if rows else _NOBODY)
        if not rows or not fits:
            raise Denied("Provided user name or password is not valid")
        return username

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

    def drop_client(self, owner: str, name: str) -> None:
        """Remove a client and the tokens it was given."""
        with self._store.together():
            self._store.sql(
                "delete from tokens where client in (select key from clients where owner = ? and name = ?)", owner, name
            )
            self._store.sql("delete from clients where owner = ? and name = ?", owner, name)

    def check_client(self, key: str, secret: str) -> str:
        """The owner of the client whose key and secret these are, else Denied."""
        rows = self._store.sql("select owner, secret from clients where key = ?", key)
        if not hmac.compare_digest(fingerprint(secret), rows[0][1] if rows else "0" * 64) or not rows:
            raise Denied("A valid OAuth client could not be found for client_id")
        return str(rows[0][0])

    # tokens ----------------------------------------------------------------------------------------------------------

    def grant(self, username: str, client: str, *, refreshable: bool = True) -> Grant:
        """Fresh tokens for a user at a client."""
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
        self._store.sql(
            "update tokens set revoked = 1 where client = ?2 and grant_id ="
            " (select grant_id from tokens where hash = ?1 and client = ?2)",
            fingerprint(token), client,
        )  # fmt: skip

    def caller(self, token: str) -> Caller:
        """Whose access token this is."""
        rows = self._store.sql(
            "select username, expires, revoked from tokens where hash = ? and not refresh", fingerprint(token)
        )
        if not rows:
            return Caller("", 900901)
        username, expires, revoked = rows[0]
        if revoked:
            return Caller("", 900904)
        if expires <= time.time():
            return Caller("", 900903)
        return Caller(username)

    def expire_all(self, username: str | None = None) -> None:
        """Let access tokens be over now, as if their time had come; refresh tokens stay good."""
        self._store.sql(
            "update tokens set expires = ? where not refresh and (?2 is null or username = ?2)",
            time.time() - 1, username,
        )  # fmt: skip
