"""Accounts: saved logins, where they are kept, and which one is meant.

Ours are in `agavesh.json` of the cache folder ($AGAVE_CACHE_DIR, else ~/.agave); beside it stand `current` and
`config.json`, which AgavePy and the Agave CLI write. `current` is kept in step with ours, unknown keys and all. Files
are for their owner only, replaced in one step, and read again before they are changed: several processes may do so
at once. No network here; passwords are never written.
"""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import hashlib
import json
import logging
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import uniform
from typing import IO, Any, Final
from urllib.parse import urlsplit

import trio

from agavesh.client.errors import BadArgument, TimedOut

log = logging.getLogger(__name__)

EARLY: Final = 60.0  # seconds before its end from which a token is renewed
USUAL_PORT: Final = {"http": 80, "https": 443}
LOCKED: Final = 30.0  # seconds to wait for another process that writes or renews


@dataclass(frozen=True)
class Account:
    """A login: tenant, user, tokens, OAuth client. Times are epoch seconds.

    Two fields are not of the login and never written: the password, and the folder that the account is kept in.
    """

    url: str
    username: str | None = None
    access_token: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    created_at: float | None = None
    expires_in: float | None = None
    api_key: str | None = field(default=None, repr=False)
    api_secret: str | None = field(default=None, repr=False)
    tenant_id: str | None = None
    client_name: str | None = None
    ca_cert: str | None = None
    password: str | None = field(default=None, repr=False, compare=False)
    kept_in: str | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", clean_url(self.url))

    @property
    def key(self) -> str:
        """What tells saved accounts apart: user and tenant."""
        return f"{self.username or ''}@{self.url}"

    @property
    def expires_at(self) -> float | None:
        """When the token ends; None if nobody said."""
        if self.created_at is None or self.expires_in is None:
            return None
        return self.created_at + self.expires_in

    def ends_soon(self, now: float | None = None) -> bool:
        """Whether the token should be renewed before it is used. A short-lived one is used for most of its life."""
        if self.expires_at is None or self.expires_in is None:
            return False
        return (time.time() if now is None else now) > self.expires_at - min(EARLY, self.expires_in / 4)

    def with_tokens(self, other: Account) -> Account:
        """This account with the tokens of `other`."""
        return dataclasses.replace(
            self,
            access_token=other.access_token,
            refresh_token=other.refresh_token,
            created_at=other.created_at,
            expires_in=other.expires_in,
        )


def clean_url(url: str) -> str:
    """A base URL in one form: with a scheme, lower-case host, no slash at its end. BadArgument if it is none."""
    text = url.strip()
    if "://" not in text:
        text = f"https://{text}"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
        parts = urlsplit("")
    if parts.scheme.lower() not in ("http", "https") or not host or parts.username is not None:
        raise BadArgument(f"{url!r} is no URL of a tenant", hint="it looks like https://api.example.org")
    host = f"[{host}]" if ":" in host else host
    if port == USUAL_PORT[parts.scheme.lower()]:
        port = None
    return f"{parts.scheme.lower()}://{host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """$AGAVE_CACHE_DIR, else ~/.agave."""
    return Path(environ.get("AGAVE_CACHE_DIR") or Path.home() / ".agave")


class Accounts:
    """The saved accounts in one cache folder."""

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = Path(folder) if folder is not None else cache_folder()
        self._own = self.folder / "agavesh.json"
        self._shared = self.folder / "current"
        self._sessions = self.folder / "config.json"

    # reading

    def all(self) -> list[Account]:
        """Every account there is, the current one first, each with the newest tokens that any file has for it."""
        own = self._read_own()
        found: dict[str, Account] = {}
        current = own.get("current")
        for record in own["accounts"].values():
            account = _from_ours(record)
            if account is not None:
                found[account.key] = account
        shared = [account for account in map(_from_theirs, self._read_shared()) if account is not None]
        if current is None and shared:
            current = shared[0].key
        for account in shared:
            found[account.key] = _newer(found.get(account.key), account, current=True)
        for account in self._read_sessions():
            found[account.key] = _newer(found.get(account.key), account, current=False)
        kept = [dataclasses.replace(account, kept_in=str(self.folder)) for account in found.values()]
        return sorted(kept, key=lambda account: account.key != current)

    def find(self, url: str | None = None, username: str | None = None) -> Account | None:
        """The account of this tenant and user, the current one where that leaves a choice. None if there is none."""
        wanted = clean_url(url) if url else None
        for account in self.all():
            if (wanted is None or account.url == wanted) and (username is None or account.username == username):
                return account
        return None

    def get(self, key: str) -> Account | None:
        """The account with this key. None if it is not saved."""
        return next((account for account in self.all() if account.key == key), None)

    # writing

    def save(self, account: Account, *, current: bool = True) -> None:
        """Keep the account, as the current one if asked to."""
        with self._writing():
            own = self._read_own()
            own["accounts"][account.key] = _to_ours(account)
            if current or own.get("current") is None:
                own["current"] = account.key
            _write(self._own, own)
            if own["current"] == account.key:
                self._write_shared(account)

    def update(self, account: Account) -> bool:
        """Keep new tokens of an account that is saved already, here or by AgavePy. False if it is saved nowhere."""
        with self._writing():
            own = self._read_own()
            saved = own["accounts"]
            known = account.key in saved
            if known:
                saved[account.key] = _to_ours(account)
                _write(self._own, own)
            if any(_is(account, record) for record in self._read_shared()):
                known = True
                self._write_shared(account)
            return known

    def forget(self, account: Account) -> None:
        """Drop the account here and from `current`. Sessions in `config.json` are AgavePy's to drop."""
        with self._writing():
            own = self._read_own()
            own["accounts"].pop(account.key, None)
            if own.get("current") == account.key:
                own["current"] = next(iter(own["accounts"]), None)
            _write(self._own, own)
            held = self._read_shared()
            left = [record for record in held if not _is(account, record)]
            if left:
                _write(self._shared, left if len(held) > 1 else left[0])
            elif held:
                self._shared.resolve().unlink(missing_ok=True)

    @asynccontextmanager
    async def renewing(self, account: Account) -> AsyncIterator[None]:
        """One process of the user at a time: to be held from reading an account's tokens to writing new ones.

        TimedOut after half a minute; whoever held it that long is stuck.
        """
        name = hashlib.sha256(account.key.encode()).hexdigest()[:16]
        with self._lock_file(f".renew-{name}.lock") as lock:
            ends = trio.current_time() + LOCKED
            # asked for again and again, not waited for in a thread: a thread cannot be cancelled
            while not _locked(lock):
                if trio.current_time() > ends:
                    raise TimedOut("another process has been renewing the token for too long", hint="try again")
                await trio.sleep(uniform(0.01, 0.05))
            yield

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Held for some milliseconds, by one process at a time."""
        with self._lock_file(".agavesh.lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _lock_file(self, name: str) -> Iterator[IO[bytes]]:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as reason:
            raise _unwritable(self.folder, reason) from reason
        with os.fdopen(handle, "rb+") as file:
            yield file

    # the files

    def _read_own(self) -> dict[str, Any]:
        """Our own file's content, whatever the file holds: `accounts` by key, and the key of the `current` one."""
        held = _read(self._own)
        own = held if isinstance(held, dict) else {}
        if not isinstance(own.get("accounts"), dict):
            own["accounts"] = {}
        return own

    def _read_shared(self) -> list[dict[str, Any]]:
        """The records of `current`: older command lines write one object, AgavePy may write a list."""
        held = _read(self._shared)
        return [record for record in (held if isinstance(held, list) else [held]) if isinstance(record, dict)]

    def _read_sessions(self) -> Iterator[Account]:
        """The sessions of `config.json`: tenant, then user, then client."""
        held = _read(self._sessions)
        groups = [held.get("current")] if isinstance(held, dict) else []
        sessions = held.get("sessions") if isinstance(held, dict) else None
        for users in sessions.values() if isinstance(sessions, dict) else ():
            groups += users.values() if isinstance(users, dict) else ()
        for group in groups:
            for name, record in group.items() if isinstance(group, dict) else ():
                account = _from_theirs({"client_name": name, **record}) if isinstance(record, dict) else None
                if account is not None:
                    yield account

    def _write_shared(self, account: Account) -> None:
        """`current` in the form it has; what we do not know stays."""
        held = _read(self._shared)
        records = held if isinstance(held, list) else [held] if isinstance(held, dict) else []
        place = next((n for n, record in enumerate(records) if isinstance(record, dict) and _is(account, record)), None)
        if place is None:
            new = {"tenantid": "", "devurl": "", **_to_theirs(account)}
            _write(self._shared, [new, *records] if isinstance(held, list) else new)
        else:
            records[place] = {**records[place], **_to_theirs(account)}
            _write(self._shared, records if isinstance(held, list) else records[0])


def find_account(
    url: str | None = None,
    username: str | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    accounts: Accounts | None = None,
) -> Account | None:
    """The account that is meant: what the arguments say, then the environment, then saved accounts, then `current`.

    The environment counts where it names a token or a user; its OAuth client and certificate complete what is found.
    None if nothing says who the user is.
    """
    accounts = accounts or Accounts(cache_folder(environ))
    base = url or environ.get("AGAVE_BASE_URL")
    token, user = environ.get("AGAVE_TOKEN", "").strip(), environ.get("AGAVE_USERNAME")
    password = environ.get("AGAVE_PASSWORD")
    # an environment made for another tenant must not send its secrets to this one
    ours = _same_place(url, environ.get("AGAVE_BASE_URL")) and username in (None, user or username)
    account = accounts.find(base, username or (user if ours else None))
    if ours and base and (token or (user and password)):
        if token:
            # whose it is only the environment can say; what is saved for another user has nothing to do with it
            account = Account(base, username or user, access_token=token, ca_cert=account.ca_cert if account else None)
        else:
            account = dataclasses.replace(account or Account(base, username or user), password=password)
    if account is None:
        return None
    key, secret, certificate = (environ.get(f"AGAVE_{name}") for name in ("API_KEY", "API_SECRET", "CA_CERT"))
    if ours and key and secret:
        account = dataclasses.replace(account, api_key=key, api_secret=secret)
    if certificate:
        account = dataclasses.replace(account, ca_cert=certificate)
    return account


def chosen(
    url: str | None = None,
    *,
    token: str | None = None,
    username: str | None = None,
    password: str | None = None,
    api_key: str | None = None,
    api_secret: str | None = None,
    refresh_token: str | None = None,
    environ: Mapping[str, str] = os.environ,
    accounts: Accounts | None = None,
) -> Account | None:
    """The account that the arguments describe, completed by what `find_account` finds for the same user.

    Without credentials anywhere it is one that can only make open calls; None if there is not even a URL.
    """
    found = find_account(url, username, environ=environ, accounts=accounts)
    base = url or (found.url if found else environ.get("AGAVE_BASE_URL"))
    if base is None:
        return None
    if found is None:
        found = Account(base, username, ca_cert=environ.get("AGAVE_CA_CERT") or None)
    if token or refresh_token:
        # tokens belong together, and to the OAuth client that they were got with
        found = Account(
            base,
            username,
            access_token=token,
            refresh_token=refresh_token,
            tenant_id=found.tenant_id,
            ca_cert=found.ca_cert,
        )
    if api_key and api_key != found.api_key and not (token or refresh_token):
        found = found.with_tokens(Account(base))
    return dataclasses.replace(
        found,
        username=username or found.username,
        password=password if password is not None else found.password,
        api_key=api_key or found.api_key,
        api_secret=api_secret or found.api_secret,
    )


def _same_place(url: str | None, other: str | None) -> bool:
    return url is None or other is None or clean_url(url) == clean_url(other)


# ours: the fields of Account, no password
def _to_ours(account: Account) -> dict[str, Any]:
    record = dataclasses.asdict(account)
    del record["password"], record["kept_in"]
    return {name: value for name, value in record.items() if value is not None}


def _from_ours(record: Any) -> Account | None:
    names = {field.name for field in dataclasses.fields(Account)} - {"password", "kept_in"}
    with suppress(TypeError, BadArgument, AttributeError):
        return Account(**{name: value for name, value in record.items() if name in names})
    return None


# theirs: wire, section "Files on disk" of AgavePy and the Agave CLI
_THEIRS: Final = {
    "url": ("baseurl", "api_server"),
    "username": ("username",),
    "access_token": ("access_token", "token"),
    "refresh_token": ("refresh_token",),
    "api_key": ("apikey", "api_key"),
    "api_secret": ("apisecret", "api_secret"),
    "tenant_id": ("tenantid", "tenant_id"),
    "client_name": ("client_name",),
}


def _from_theirs(record: dict[str, Any]) -> Account | None:
    found: dict[str, Any] = {}
    for name, keys in _THEIRS.items():
        found[name] = next((str(record[key]) for key in keys if record.get(key)), None)
    if not found["url"]:
        return None
    with suppress(BadArgument):
        return Account(
            **found, created_at=_number(record.get("created_at")), expires_in=_number(record.get("expires_in"))
        )
    return None


def _to_theirs(account: Account) -> dict[str, Any]:
    record = {keys[0]: getattr(account, name) for name, keys in _THEIRS.items() if getattr(account, name) is not None}
    if account.created_at is not None and account.expires_in is not None:
        # text, as the command line writes it; AgavePy takes both
        ends = time.localtime(account.created_at + account.expires_in)
        record["created_at"] = str(int(account.created_at))
        record["expires_in"] = str(int(account.expires_in))
        record["expires_at"] = time.strftime("%a %b %d %H:%M:%S %Z %Y", ends)
    return record


def _is(account: Account, record: dict[str, Any]) -> bool:
    other = _from_theirs(record)
    return other is not None and other.key == account.key


def _newer(one: Account | None, other: Account, *, current: bool) -> Account:
    """One account of two records of it: ours, with the tokens of whichever are newer.

    Theirs know whole seconds only. In one and the same second `current` is the newer: we write it last ourselves, so
    that it can only differ where another program has written since.
    """
    if one is None:
        return other
    one = dataclasses.replace(
        one, client_name=one.client_name or other.client_name, tenant_id=one.tenant_id or other.tenant_id
    )
    if other.access_token and _later(other, one, tie=current):
        one = one.with_tokens(other)
        if other.api_key and other.api_secret:  # tokens belong to the OAuth client that they were got with
            one = dataclasses.replace(one, api_key=other.api_key, api_secret=other.api_secret)
    return one


def _later(one: Account, other: Account, *, tie: bool) -> bool:
    ages = int(one.created_at or 0), int(other.created_at or 0)
    return ages[0] > ages[1] or (tie and ages[0] == ages[1] and one.access_token != other.access_token)


def _number(value: Any) -> float | None:
    with suppress(TypeError, ValueError):
        return float(value)
    return None


def _read(path: Path) -> Any:
    """What the file holds; None if there is none. One that is not JSON counts as none, and is named in the log."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as reason:
        raise BadArgument(f"{path} cannot be read: {reason.strerror}", hint="it should be yours, mode 0600") from reason
    except ValueError:
        log.warning("%s is damaged and left out of account", path)
        return None


def _write(path: Path, value: Any) -> None:
    """Replace the file in one step; only its owner may read it."""
    path = path.resolve()  # a link stays a link
    try:
        if path.exists() and _read(path) is None:
            path.rename(path.with_name(f"{path.name}.damaged"))
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w") as file:
                json.dump(value, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as reason:
        raise _unwritable(path, reason) from reason


def _unwritable(path: Path, reason: OSError) -> BadArgument:
    return BadArgument(
        f"{path} cannot be written: {reason.strerror}",
        hint="logins are kept there; AGAVE_CACHE_DIR names another folder",
    )


def _locked(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as reason:
        if reason.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True
