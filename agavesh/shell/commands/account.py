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
async def logout(
    here: Session, *, wipe: Annotated[bool, Word("throw away what mounts have kept of its files, too")] = False
) -> int:
    """Forget the account you use: its tokens are ended on the platform, and removed from this machine.

    What mounts have fetched for it is thrown away if you say so, by --wipe or when you are asked; never while something
    that was written is not at the platform yet. Then --wipe does nothing at all, and ends with 75.
    """
    from agavesh.client.accounts import Accounts, find_account
    from agavesh.client.login import logout as sign_out

    account = find_account(here.url, here.username)
    if account is None:
        raise BadArgument("you are not signed in", hint='"login URL" signs in')
    status, kept, remark = await _wipe(account.key, "--dry-run")
    if remark:
        here.console.note(remark)
    if wipe and status:
        return status
    trouble = await sign_out(account, accounts=Accounts())
    if trouble is not None:
        here.console.note(
            f"agavesh: its tokens could not be ended on the platform, and last as long as they do: {trouble}"
        )
    here.close_account()
    here.url = here.username = None
    here.console.note(f"agavesh: signed out of {account.url}")
    if status == 0 and kept != "0 bytes" and not wipe and here.console.can_ask:
        question = f"throw away the {kept} that mounts have kept for {account.key}? [y/N] "
        wipe = (await here.console.ask(question)).strip().lower() in ("y", "yes")
    if wipe and not status:
        status, gone, remark = await _wipe(account.key)
        here.console.note(remark if status else f"agavesh: {gone} of kept files are thrown away")
        return status
    return 0


async def _wipe(account: str, *words: str) -> tuple[int, str, str]:
    """What the program `agavefs` ends with, prints and remarks."""
    import sys

    import trio

    command = [sys.executable, "-m", "agavefs", "wipe", *words, account]
    done = await trio.run_process(command, check=False, capture_stdout=True, capture_stderr=True, stdin=b"")
    return done.returncode, done.stdout.decode().strip(), done.stderr.decode("utf-8", "replace").strip()


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
