"""tenant: the embedded platform on this machine. The one module outside the tenant that loads it."""

from typing import TYPE_CHECKING, Annotated

from agavesh.api.words import LocalPath, Word
from agavesh.client.errors import BadArgument, NotFound, TimedOut
from agavesh.shell.command import command
from agavesh.shell.session import Session

if TYPE_CHECKING:
    from pathlib import Path

Root = Annotated[LocalPath, Word("folder that the tenant keeps everything in; else the one of your own", lists="local")]


_ENDS = 15.0  # seconds a tenant has to end


@command("tenant serve")
def serve(
    here: Session,
    *,
    root: Root = "",
    host: Annotated[str, Word("address to listen at; others than loopback let others in")] = "127.0.0.1",
    port: Annotated[int, Word("port to listen at; 0 picks one")] = 0,
    tls: Annotated[bool, Word("https, with a certificate made here")] = False,
    demo: Annotated[bool, Word("fill a fresh folder with systems, apps and files to try")] = False,
    idle: Annotated[float, Word("end when nothing happened for so many seconds")] = 0,
    token_lifetime: Annotated[float, Word("seconds that a token is good for")] = 0,
    faults: Annotated[bool, Word("let administrators ask for faults, to rehearse them")] = False,
) -> int:
    """Be a tenant: serve the platform's API from a folder, until stopped."""
    if here.lives:
        raise BadArgument("a tenant needs a process of its own", hint='"tenant start" starts yours in the background')
    from agavesh.tenant.__main__ import main

    words = ["serve", "--root", str(_folder(root)), "--host", host, "--port", str(port)]
    words += [f"--{name}" for name, asked in (("tls", tls), ("demo", demo), ("faults", faults)) if asked]
    for name, seconds in (("idle", idle), ("token-lifetime", token_lifetime)):
        words += [f"--{name}", str(seconds)] if seconds else []
    return main(words)


@command("tenant start")
async def start(here: Session) -> None:
    """Start your embedded tenant, if it does not run. Commands do so by themselves where no account is configured."""
    from agavesh.client.local import local_account

    account = await local_account()
    await here.console.show(f"{account.url}\n")


@command("tenant", also=["tenant status"])
async def status(here: Session, *, root: Root = "") -> int:
    """Say whether your embedded tenant runs, and where."""
    from agavesh.client.local import answering
    from agavesh.shell import exits

    folder = _folder(root)
    card = await answering(folder)
    if card is None:
        await here.console.show(f"no tenant runs in {folder}\n")
        return exits.UNAVAILABLE
    await here.console.show(
        f"{card.url}\nprocess {card.pid}\nusers {', '.join(user.username for user in card.users)}\nfolder {folder}\n"
    )
    return 0


@command("tenant stop")
async def stop(here: Session, *, root: Root = "") -> None:
    """Stop your embedded tenant. Jobs that run go on, and are found again at the next start."""
    import os
    import signal

    import trio

    from agavesh.client.local import answering

    folder = _folder(root)
    card = await answering(folder)
    if card is None:
        raise NotFound(f"no tenant runs in {folder}")
    process = os.pidfd_open(card.pid)
    try:
        signal.pidfd_send_signal(process, signal.SIGTERM)
        with trio.move_on_after(_ENDS):
            await trio.lowlevel.wait_readable(process)  # it is no child of ours
            here.close_account()
            return
    finally:
        os.close(process)
    raise TimedOut(f"the tenant, process {card.pid}, was asked to end and still runs", hint="try again in a moment")


def _folder(root: str) -> "Path":
    from pathlib import Path

    from agavesh.client.local import local_root

    return Path(root).expanduser() if root else local_root()
