"""Tokens: which one to send, when to renew it, and that nobody else does so at the same time.

One refresh serves all tasks (a lock of ours) and all processes of the user (a lock file, under which the saved account
is read again): a refresh makes the old token invalid at once, so a second one would break the first. A token is
renewed shortly before its end, or once when the platform refuses it; never in a loop. What goes to /token is here too.
"""

from __future__ import annotations

import base64
import dataclasses
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlencode

import msgspec
import trio

from agavesh.client.accounts import Account, Accounts
from agavesh.client.answers import SIGN_IN, failure, refusal
from agavesh.client.arguments import FORM, Ask
from agavesh.client.errors import AgaveError, BadAnswer, BadArgument, NotSignedIn, ServerTrouble, TimedOut

log = logging.getLogger(__name__)

GRANT: Final = 30.0  # seconds for one grant; it is not cancelled half-way, or the new tokens would be lost
FUTILE: Final = 600.0  # seconds in which a service's own 401 is not met with another refresh, after one was no cure
LIFETIME: Final = 3600.0  # seconds, where the platform does not say

Send = Callable[[Ask, str | None], Awaitable[tuple[int, bytes]]]


class _Tokens(msgspec.Struct):
    """The answer of /token: a bare object, no envelope."""

    access_token: str
    refresh_token: str | None = None
    expires_in: float | str | None = None


class Auth:
    """The credentials of one client. `send` carries a request out with the given Authorization header."""

    def __init__(self, account: Account, accounts: Accounts, send: Send) -> None:
        self.account = account
        self._accounts, self._send = accounts, send
        self._renewing = trio.Lock()
        self._spent: set[str] = set()  # refresh tokens that were refused: not to be tried again
        self._password_refused = False
        self._no_cure_until = 0.0

    def basic(self) -> str:
        """The Authorization header with the user's name and password, as the clients service wants it."""
        if not self.account.username or self.account.password is None:
            raise NotSignedIn(
                "the clients service wants your name and password, not a token", hint="give username and password"
            )
        return basic(self.account.username, self.account.password)

    async def bearer(self) -> str | None:
        """The Authorization header with a token that is good for a while; None without any account.

        NotSignedIn if there is none and none can be had.
        """
        account = self.account
        if account.access_token is None or account.ends_soon():
            if not self._renewable(account):
                if account.access_token is None and account.username:
                    raise _no_client(account)
            else:
                try:
                    account = await self._renewed(account.access_token)
                except AgaveError:
                    if not _still_good(self.account):
                        raise
                    log.debug("the token could not be renewed ahead of its end; it is used up to there")
                    account = self.account
        return f"Bearer {account.access_token}" if account.access_token else None

    async def instead(self, refused: str | None, *, perhaps_permission: bool) -> str | None:
        """Another header after `refused` was refused; None if there is no other to try.

        NotSignedIn if the platform refuses to give a new token.
        """
        token = refused.removeprefix("Bearer ") if refused else None
        if self.account.access_token == token:
            if not self._renewable(self.account):
                return None
            if perhaps_permission and trio.current_time() < self._no_cure_until:
                return None
        account = await self._renewed(token)
        return f"Bearer {account.access_token}"

    async def renew(self) -> None:
        """New tokens, now. NotSignedIn where they cannot be had."""
        if not self._renewable(self.account):
            raise _no_client(self.account)
        await self._renewed(self.account.access_token)

    async def revoke(self) -> None:
        """End the account's tokens on the platform. AgaveError where that can't be done."""
        account = self.account
        for kind in ("refresh_token", "access_token"):
            if (token := getattr(account, kind)) is None:
                continue
            if not (account.api_key and account.api_secret):
                raise NotSignedIn("their OAuth client is not known here")
            body = urlencode({"token": token, "token_type_hint": kind}).encode()
            headers = {"Content-Type": FORM, "Accept": "application/json"}
            ask = Ask("sign out", "POST", "/revoke", headers, body, safe=True)
            status, answer = await self._send(ask, basic(account.api_key, account.api_secret))
            if status >= 300:
                raise failure("sign out", refusal(status, answer))

    def was_no_cure(self) -> None:
        """A new token was refused like the old one: it is a matter of permission, so spare the next token."""
        self._no_cure_until = trio.current_time() + FUTILE

    def adopt(self, key: str, secret: str, name: str | None) -> None:
        """Take an OAuth client that was just made, if there is none yet."""
        if not self.account.api_key:
            self.account = dataclasses.replace(self.account, api_key=key, api_secret=secret, client_name=name)

    def _renewable(self, account: Account) -> bool:
        if not (account.api_key and account.api_secret):
            return False
        return bool(account.refresh_token or (account.username and account.password is not None))

    async def _renewed(self, refused: str | None) -> Account:
        """The account with another token than `refused`: another task's, another process's, or a new one."""
        async with self._renewing:
            if self.account.access_token != refused:
                return self.account
            if await self._saved() is None:
                await self._grant_and_keep()
                return self.account
            try:
                async with self._accounts.renewing(self.account):
                    saved = await self._saved()
                    if saved is not None and (saved.access_token == refused or _is_other(saved, refused)):
                        self.account = self._merged(saved)
                    if self.account.access_token == refused:
                        await self._grant_and_keep()
            except BadArgument as unwritable:
                log.warning("%s; this program keeps its tokens to itself", unwritable)
                await self._grant_and_keep()
            return self.account

    async def _saved(self) -> Account | None:
        """What other programs of the user share with us; None where the account is in no file."""
        if not self.account.username:
            return None
        try:
            return await trio.to_thread.run_sync(self._accounts.get, self.account.key)
        except BadArgument as unreadable:
            log.warning("%s", unreadable)
            return None

    async def _grant_and_keep(self) -> None:
        # not to be cancelled: tokens that were given and not kept would lock the user out
        with trio.CancelScope(shield=True):
            self.account = await self._grant(self.account)
            try:
                await trio.to_thread.run_sync(self._accounts.update, self.account)
            except BadArgument as unwritable:
                log.warning("the new token could not be saved: %s", unwritable)

    def _merged(self, saved: Account) -> Account:
        merged = self.account.with_tokens(saved)
        return dataclasses.replace(
            merged, api_key=saved.api_key or merged.api_key, api_secret=saved.api_secret or merged.api_secret
        )

    async def _grant(self, account: Account) -> Account:
        """New tokens: by the refresh token, else by name and password."""
        refusal_: NotSignedIn | None = None
        if account.refresh_token and account.refresh_token not in self._spent:
            try:
                return await grant(
                    self._send, account, {"grant_type": "refresh_token", "refresh_token": account.refresh_token}
                )
            except NotSignedIn as refused:
                self._spent.add(account.refresh_token)
                refusal_ = refused
        if account.username and account.password is not None and not self._password_refused:
            try:
                return await grant(
                    self._send,
                    account,
                    {"grant_type": "password", "username": account.username, "password": account.password},
                )
            except NotSignedIn:
                # a second try with it would be no better, and a few of them may close the account
                self._password_refused = True
                raise
        if self._password_refused:
            raise NotSignedIn(f"name and password were refused by {account.url}", hint=SIGN_IN, status=401)
        why = f"the refresh was refused ({refusal_.sentence})" if refusal_ else "the refresh was refused before"
        raise NotSignedIn(f"the token has expired and {why}", hint=SIGN_IN, status=401)


async def grant(send: Send, account: Account, form: dict[str, str]) -> Account:
    """The account with the tokens that /token gives for `form`. NotSignedIn if it refuses."""
    assert account.api_key is not None and account.api_secret is not None
    what = f"sign in to {account.url}" if form["grant_type"] == "password" else "renew the token"
    body = urlencode({**form, "scope": "PRODUCTION"}).encode()
    headers = {"Content-Type": FORM, "Accept": "application/json"}
    ask = Ask(what, "POST", "/token", headers, body, safe=False)
    asked_at = time.time()
    with trio.move_on_after(GRANT):
        status, answer = await send(ask, basic(account.api_key, account.api_secret))
        if status != 200:
            no = refusal(status, answer)
            if no.family == "oauth" and status < 500:
                raise NotSignedIn(f"{what}: refused: {no.message}", hint=SIGN_IN, status=status)
            if status in (400, 401, 403):
                # not said by /token itself: no reason to give up what we have, or the user's password
                raise ServerTrouble(f"{what}: refused: {no.message} ({status})", hint="try again later", status=status)
            raise failure(what, no)
        return _with(account, what, answer, asked_at)
    raise TimedOut(f"{what}: no answer in {GRANT:.0f} s", hint="try again")


def _with(account: Account, what: str, answer: bytes, asked_at: float) -> Account:
    try:
        tokens = msgspec.json.decode(answer, type=_Tokens)
        life = float(tokens.expires_in) if tokens.expires_in is not None else LIFETIME
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise BadAnswer(f"{what}: the answer holds no token", hint="is the URL that of a tenant?") from None
    return dataclasses.replace(
        account,
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token or account.refresh_token,  # wire: some answers leave it out: keep the old
        created_at=asked_at,
        expires_in=life,
    )


def basic(name: str, secret: str) -> str:
    """An Authorization header of the basic kind."""
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


def _is_other(saved: Account, refused: str | None) -> bool:
    return bool(saved.access_token) and saved.access_token != refused and not saved.ends_soon()


def _still_good(account: Account) -> bool:
    return bool(account.access_token) and (account.expires_at is None or time.time() < account.expires_at)


def _no_client(account: Account) -> NotSignedIn:
    if account.password is not None or account.refresh_token:
        return NotSignedIn(
            f"{account.username} has no OAuth client for {account.url}",
            hint=f"{SIGN_IN}, which makes one, or set AGAVE_API_KEY and AGAVE_API_SECRET",
        )
    return NotSignedIn(f"{account.username} is not signed in to {account.url}", hint=SIGN_IN)
