"""Signing in: from a name and a password to an account with tokens; and signing out.

The OAuth client that tokens are asked for with is made here where the user has none, as AgavePy does. The password is
used and forgotten; what is kept is the account.
"""

from __future__ import annotations

import dataclasses
import re
import socket
import tempfile

import trio

from agavesh.client.accounts import Account, Accounts
from agavesh.client.client import Agave
from agavesh.client.errors import AgaveError, AlreadyThere, BadAnswer, BadRequest, NotSignedIn, TimedOut

REVOKE = 10.0  # seconds that a platform has to end tokens


async def login(
    url: str,
    username: str,
    password: str,
    *,
    api_key: str | None = None,
    api_secret: str | None = None,
    client_name: str | None = None,
    ca_cert: str | None = None,
    verify: bool | str = True,
    accounts: Accounts | None = None,
) -> Account:
    """The account of `username`, with tokens. With `accounts` it is saved there, as the current one.

    Without a key the saved one of this user is taken, or an OAuth client `client_name` is made (agavesh-<this host>).
    NotSignedIn if name or password are wrong; Unreachable, Untrusted and the like as for any call.
    """
    account = Account(url, username, api_key=api_key, api_secret=api_secret, client_name=client_name, ca_cert=ca_cert)
    if not api_key and accounts is not None and (saved := accounts.get(account.key)) is not None:
        account = dataclasses.replace(
            account,
            api_key=saved.api_key,
            api_secret=saved.api_secret,
            client_name=client_name or saved.client_name,
            tenant_id=saved.tenant_id,
            ca_cert=ca_cert or saved.ca_cert,
        )
    account = dataclasses.replace(account, password=password)
    try:
        account = await _signed_in(account, verify)
    except NotSignedIn as refused:
        if api_key or not account.api_key:
            raise _told(refused, account) from None
        # the saved OAuth client may be gone from the platform; the password decides
        account = dataclasses.replace(account, api_key=None, api_secret=None)
        try:
            account = await _signed_in(account, verify)
        except NotSignedIn as again:
            raise _told(again, account) from None
    account = dataclasses.replace(account, password=None)
    if accounts is not None:
        await trio.to_thread.run_sync(accounts.save, account)
    return account


async def logout(account: Account, *, accounts: Accounts, verify: bool | str = True) -> AgaveError | None:
    """Forget an account, its tokens having been ended on the platform; what kept them from that, if so.

    No other program of the user renews them meanwhile. BadArgument if what is saved can't be written.
    """
    trouble: AgaveError | None = None
    async with accounts.renewing(account):
        saved = await trio.to_thread.run_sync(accounts.get, account.key)
        try:
            async with Agave(account=saved or account, verify=verify, accounts=accounts) as agave:
                with trio.fail_after(REVOKE):
                    await agave.sign_out()
        except trio.TooSlowError:
            trouble = TimedOut(f"{account.url} did not answer within {REVOKE:.0f} s")
        except AgaveError as refused:
            trouble = refused
        await trio.to_thread.run_sync(accounts.forget, account)
    return trouble


async def _signed_in(account: Account, verify: bool | str) -> Account:
    # apart from what is saved: tokens that another program keeps for this user would make any password look right
    with tempfile.TemporaryDirectory(prefix="agavesh-login-") as apart:
        async with Agave(account=account, verify=verify, accounts=Accounts(apart)) as agave:
            if not account.api_key:
                await _make_client(agave, account.client_name or _own_name())
            await agave.renew()
            return agave.account


async def _make_client(agave: Agave, name: str) -> None:
    """An OAuth client of this name, whose key and secret the client takes over."""
    body = {"clientName": name, "description": "agavesh", "tier": "Unlimited", "callbackUrl": ""}
    try:
        client = await agave.clients.create(body=body)
    except (AlreadyThere, BadRequest) as taken:
        # its secret is told once only: one that we made here before is made anew
        if name not in [client.name for client in await agave.clients.list()]:
            raise taken
        await agave.clients.delete(clientName=name)
        client = await agave.clients.create(body=body)
    if not client.consumerKey or not client.consumerSecret:
        raise BadAnswer(f"the OAuth client {name} was made, but its key and secret were not told")


def _own_name() -> str:
    return "agavesh-" + (re.sub(r"[^A-Za-z0-9]+", "-", socket.gethostname()).strip("-").lower() or "here")


def _told(refused: NotSignedIn, account: Account) -> NotSignedIn:
    return NotSignedIn(refused.sentence, hint=f"are name and password right for {account.url}?", status=refused.status)
