"""The embedded tenant of this user on this machine: found if it runs, started if it does not.

It is a child program, never an import, and outlives whoever started it; it ends by itself when long idle. Before it is
sent any secret it proves, by a keyed answer to a nonce, that it holds the key in its `tenant.json`: a stranger who got
hold of its port cannot.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import logging
import os
import re
import secrets
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import uniform
from typing import Any, Final

import msgspec
import trio
from platformdirs import user_state_path

import agavesh
from agavesh.client.accounts import Account, Accounts, find_account
from agavesh.client.answers import MALFORMED
from agavesh.client.client import Agave
from agavesh.client.errors import AgaveError, NotAllowed, NotSignedIn, TimedOut, Unreachable, Untrusted

log = logging.getLogger(__name__)

START: Final = 60.0  # seconds until a started tenant must answer; the first start lays out the demonstration data
PROVE: Final = 10.0  # seconds for one proof; a busy machine may need some
AWAKE: Final = 600.0  # seconds between two looks at a tenant that somebody works on
IDLE: Final = 4 * 3600  # seconds without a request or a job after which the tenant ends


class _User(msgspec.Struct):
    username: str
    password: str
    admin: bool = False


class _Client(msgspec.Struct):
    key: str
    secret: str


class Card(msgspec.Struct):
    """What `tenant.json` says of a running tenant."""

    url: str
    pid: int
    users: list[_User]
    client: _Client
    key: str
    run: str = ""
    tenant: str | None = None
    ca_cert: str | None = None


def local_root() -> Path:
    """The folder of this user's tenant: in the state folder, under the name of this host, as homes may be shared."""
    host = re.sub(r"[^A-Za-z0-9.-]+", "-", socket.gethostname()) or "here"
    return user_state_path("agavesh") / host / "tenant"


async def local_account(
    root: Path | None = None, *, notice: Callable[[str], None] | None = None, idle: float = IDLE
) -> Account:
    """An account of the embedded tenant's first user, signed in. The tenant is started if it does not answer.

    `notice` is told, in one sentence and once for each run of the tenant, that it is what is used. Unreachable if it
    cannot be started, Untrusted if what answers in its place is something else.
    """
    root = root or local_root()
    card = await answering(root)
    if card is None:
        async with _starting(root):
            card = await _settled(root) or await _start(root, idle)
    if notice is not None and _is_news(root, card):
        notice(f'no account: using the tenant on this machine, {card.url} ("agavesh login" for another)')
    return await _account(card, root)


def _is_news(root: Path, card: Card) -> bool:
    """Whether nobody has been told of this run of the tenant yet. From now on somebody has."""
    told, run = root / "told", f"{card.pid} {card.url}"
    try:
        if told.read_text() == run:
            return False
    except (OSError, UnicodeDecodeError):
        pass
    with suppress(OSError):  # then it is told again
        told.write_text(run)
    return True


async def current_account(
    url: str | None = None, username: str | None = None, *, notice: Callable[[str], None] | None = None
) -> Account:
    """The account that is configured anywhere, else that of the embedded tenant, of which `notice` is told.

    NotSignedIn where a platform or a user is named, but no login: what is meant for one tenant must not reach another.
    """
    if (found := find_account(url, username)) is not None:
        return found
    url = url or os.environ.get("AGAVE_BASE_URL")
    if url or username:
        whom = " ".join(part for part in (username, "at" if username and url else "", url) if part)
        raise NotSignedIn(f"no login for {whom}", hint=f'"agavesh login {url or "URL"}" makes one')
    for name in ("AGAVE_TOKEN", "AGAVE_PASSWORD"):
        if os.environ.get(name):
            raise NotSignedIn(f"{name} is set, but nothing says for which platform", hint="set AGAVE_BASE_URL as well")
    return await local_account(notice=notice)


def administrator(card: Card) -> Account:
    """An account of a tenant's own administrator. NotAllowed if its card names none."""
    for user in card.users:
        if user.admin:
            return Account(
                card.url, user.username, password=user.password, api_key=card.client.key,
                api_secret=card.client.secret, tenant_id=card.tenant, ca_cert=card.ca_cert,
            )  # fmt: skip
    raise NotAllowed("the tenant does not say who administers it", hint="`agavesh tenant stop`, then try again")


async def stay_up(account: Account, *, every: float = AWAKE) -> None:
    """Keep the embedded tenant from ending while it is in use, and start it again if it ends all the same.

    `every` is in seconds. Returns at once where `account` is another platform's.
    """
    if not _is_embedded(account):
        return
    while True:
        await trio.sleep(every)
        try:
            await local_account()
        except (AgaveError, OSError) as error:  # a full disk too: who works on it must not end for that
            log.warning("the tenant on this machine can't be kept up: %s", error)


async def has_ended(account: Account) -> bool:
    """Whether `account` is of the embedded tenant, and this no longer runs where it did: its port may be anybody's."""

    def look() -> bool:
        try:
            return holder(local_root()) is None or read_card(local_root()).url != account.url
        except FileNotFoundError:
            return True  # another one is just beginning

    return _is_embedded(account) and await trio.to_thread.run_sync(look)


def _is_embedded(account: Account) -> bool:
    return account.kept_in is not None and Path(account.kept_in) == local_root().parent


async def answering(root: Path) -> Card | None:
    """The card of the tenant in `root`, if it runs and has proved itself just now. Starts nothing.

    Untrusted if something else answers in its place; TimedOut and the like if it runs but does not answer.
    """
    try:
        card = await trio.to_thread.run_sync(read_card, root)
    except FileNotFoundError:
        return None
    if await trio.to_thread.run_sync(holder, root) != card.pid:
        return None  # left by one that was killed; its process number and its port may be anybody's by now
    try:
        await _prove(card)
    except Unreachable as trouble:
        if isinstance(trouble, (TimedOut, Untrusted)):
            raise
        return None  # one that is ending has closed its door
    # one that is ending takes its card away, and answers for a moment longer
    return card if await trio.to_thread.run_sync((root / "tenant.json").exists) else None


def holder(root: Path) -> int | None:
    """The process that serves `root`. None if none does: the kernel lets go of its lock, however it ends."""
    try:
        with (root / "lock").open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(lock.read() or b"0")  # 0: it has only just begun
    except FileNotFoundError:
        pass
    return None


def read_card(root: Path) -> Card:
    """`tenant.json` in `root`. FileNotFoundError without one; Untrusted if others could have written or read it."""
    path = root / "tenant.json"
    with path.open("rb") as file:
        state = os.fstat(file.fileno())
        if state.st_uid != os.geteuid() or stat.S_IMODE(state.st_mode) & 0o077:
            raise Untrusted(f"{path} is open to other users", hint="its owner should be you, its mode 0600")
        try:
            return msgspec.json.decode(file.read(), type=Card)
        except MALFORMED as reason:
            raise Untrusted(f"{path} is damaged: {reason}", hint="stop the tenant and remove the file") from reason


async def _prove(card: Card) -> None:
    """Ask for the keyed answer to a fresh nonce. Untrusted if it is wrong."""
    nonce = secrets.token_bytes(32)
    async with stranger(card) as agave:
        with agave.within(PROVE):
            try:
                answer = await agave.raw("GET", "/prove", params={"nonce": nonce.hex()})
            except TimedOut as late:
                raise TimedOut(
                    f"the tenant on this machine, process {card.pid}, does not answer at {card.url}",
                    hint="try again; `agavesh tenant stop` ends it",
                ) from late
    try:
        wanted = hmac.new(bytes.fromhex(card.key), nonce, hashlib.sha256).hexdigest()
        given = msgspec.json.decode(answer.body, type=dict[str, Any]).get("proof")
    except (msgspec.DecodeError, ValueError):
        given = wanted = None
    if not isinstance(given, str) or not wanted or not hmac.compare_digest(given.encode(), wanted.encode()):
        raise Untrusted(
            f"what answers at {card.url} is not the tenant that was started there",
            hint="`agavesh tenant stop`, then try again",
        )


def stranger(card: Card) -> Agave:
    """A client without any credential."""
    return Agave(account=Account(card.url, ca_cert=card.ca_cert))


async def _account(card: Card, root: Path) -> Account:
    """An account of the first user, kept beside the tenant, so that every program uses one token."""
    user, accounts = card.users[0], Accounts(root.parent)
    account = Account(
        card.url,
        user.username,
        api_key=card.client.key,
        api_secret=card.client.secret,
        tenant_id=card.tenant,
        ca_cert=card.ca_cert,
        password=user.password,
        kept_in=str(root.parent),
    )
    async with accounts.renewing(account):
        saved = await trio.to_thread.run_sync(accounts.get, account.key)
        if saved is not None and saved.api_key == account.api_key:
            account = account.with_tokens(saved)
        else:
            await trio.to_thread.run_sync(accounts.save, account)
    async with Agave(account=account) as agave:
        await agave.sign_in()
        return agave.account


@asynccontextmanager
async def _starting(root: Path) -> AsyncIterator[None]:
    """One starter at a time."""
    lock = await trio.to_thread.run_sync(_lock_file, root.parent)
    try:
        ends = trio.current_time() + START
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if trio.current_time() > ends:
                    raise Unreachable(
                        "another program has been starting the tenant for too long", hint="try again"
                    ) from None
                await trio.sleep(uniform(0.02, 0.1))
        yield
    finally:
        os.close(lock)


def _lock_file(folder: Path) -> int:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(folder / ".starting.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


async def _settled(root: Path) -> Card | None:
    """The tenant that answers, once one that is just beginning or ending is through with it. None if none is left."""
    with trio.move_on_after(START):
        while True:
            card = await answering(root)
            if card is not None or await trio.to_thread.run_sync(holder, root) is None:
                return card
            await trio.sleep(0.05)
    raise Unreachable(f"the tenant in {root} neither answers nor ends", hint="`agavesh tenant stop`, then try again")


async def _start(root: Path, idle: float) -> Card:
    """Start the tenant and wait until it has proved itself."""
    log = root.parent / "tenant.log"
    child = await trio.to_thread.run_sync(_spawn, root, log, idle)
    with trio.move_on_after(START):
        while child.poll() is None:
            try:
                card = await answering(root)
            except AgaveError:
                card = None  # half-way
            if card is not None and card.pid == child.pid:
                # it is to outlive us; a thread that may be left behind takes its exit code, if it ends first
                threading.Thread(target=child.wait, name="tenant", daemon=True).start()
                return card
            await trio.sleep(0.05)
        raise Unreachable(
            f"the tenant on this machine ended at once (code {child.returncode}): {_last_line(log)}", hint=f"see {log}"
        )
    child.terminate()
    await trio.to_thread.run_sync(child.wait)
    raise Unreachable(f"the tenant on this machine did not start within {START:.0f} s", hint=f"see {log}")


def _spawn(root: Path, log: Path, idle: float) -> subprocess.Popen[bytes]:
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    words = ["tenant", "serve", "--root", str(root), "--demo", "--idle", str(int(idle))]
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    # our own copy of the package must be found from there too, installed or not
    places = [str(Path(agavesh.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "agavesh", *words],
            cwd=root,  # not where the user stands: that may be a mount which should be unmounted one day
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))},
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=handle,
            start_new_session=True,
        )
    finally:
        os.close(handle)


def _last_line(log: Path) -> str:
    """The last sentence of a log; what is set in below it is a hint."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip() and not line.startswith(" ")]
    return lines[-1].removeprefix("agavesh: ")[:300] if lines else "it said nothing"
