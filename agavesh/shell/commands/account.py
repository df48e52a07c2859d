"""login, logout, whoami: who you are, and where."""

import os
from typing import Annotated

from agavesh.api.words import Word
from agavesh.client.errors import BadArgument
from agavesh.shell.command import command
from agavesh.shell.session import Session

TenantUrl = Annotated[str, Word("URL of the platform, as https://api.example.org", lists="tenants")]


@command("login")
async def login(
    here: Session,
    url: TenantUrl = "",
    *,
    user: Annotated[str, Word("name of the user; else $AGAVE_USERNAME, else asked for")] = "",
    password_stdin: Annotated[bool, Word("read the password from standard input")] = False,
    ca_cert: Annotated[str, Word("file of the authority that signed the platform's certificate", lists="local")] = "",
) -> None:
    """Sign in to a platform, and stay signed in.

    The password is asked for, or comes from $AGAVE_PASSWORD or standard input; it is never an argument, and never kept.
    An OAuth client is made unless $AGAVE_API_KEY and $AGAVE_API_SECRET name one.
    """
    from agavesh.client import mounts
    from agavesh.client.accounts import Accounts
    from agavesh.client.login import login as sign_in

    accounts = Accounts()
    url = url or here.url or os.environ.get("AGAVE_BASE_URL", "")
    if not url:
        url = (await here.console.ask("URL of the platform: ", instead="it is the first word: login URL")).strip()
    user = user or os.environ.get("AGAVE_USERNAME", "")
    if not user:
        user = (await here.console.ask("user: ", instead="--user, or AGAVE_USERNAME")).strip()
    if password_stdin:
        import sys

        password = sys.stdin.readline().rstrip("\n")
    else:
        password = os.environ.get("AGAVE_PASSWORD", "")
        instead = "--password-stdin reads it from standard input; or AGAVE_PASSWORD"
        password = password or await here.console.ask(f"password of {user}: ", secret=True, instead=instead)
    if not (url and user and password):
        raise BadArgument("signing in takes a URL, a user and a password")
    account = await sign_in(
        url, user, password,
        api_key=os.environ.get("AGAVE_API_KEY"), api_secret=os.environ.get("AGAVE_API_SECRET"),
        ca_cert=ca_cert or os.environ.get("AGAVE_CA_CERT"), accounts=accounts,
    )  # fmt: skip
    here.close_account()
    here.url, here.username = account.url, account.username
    here.console.note(f"agavesh: signed in to {account.url} as {account.username}")
    await mounts.wake(account.url)  # what they could not send has waited for this


@command("logout")
async def logout(here: Session) -> None:
    """Forget the account you use: its tokens are removed from this machine."""
    from agavesh.client.accounts import Accounts, find_account

    account = find_account(here.url, here.username)
    if account is None:
        raise BadArgument("you are not signed in", hint='"login URL" signs in')
    Accounts().forget(account)
    here.close_account()
    here.url = here.username = None
    here.console.note(f"agavesh: signed out of {account.url}")


@command("whoami", examples=["whoami", "whoami -o json"])
async def whoami(here: Session) -> None:
    """Print who you are to which platform; with -o json, your profile there."""
    from agavesh.shell.render import show_one

    agave = await here.agave()
    if here.output == "table":
        await agave.sign_in()
        await here.console.show(f"{agave.username or 'somebody'} at {agave.url}\n")
    else:
        await show_one(here, await agave.profiles.get())
