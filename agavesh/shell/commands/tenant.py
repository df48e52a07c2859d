"""tenant: the embedded platform on this machine. The one module outside the tenant that loads it."""

from typing import TYPE_CHECKING, Annotated

from agavesh.api.words import LocalPath, Word
from agavesh.client.errors import AgaveError, BadArgument, Busy, NotAllowed, NotFound, TimedOut, Unreachable
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
    readable: Annotated[str, Word("folders that jobs and actors may read, besides the system's; colons between")] = "",
    unconfined: Annotated[bool, Word("let jobs and actors reach all that you can")] = False,
) -> int:
    """Be a tenant: serve the platform's API from a folder, until stopped."""
    if here.lives:
        raise BadArgument("a tenant needs a process of its own", hint='"tenant start" starts yours in the background')
    if not 0 <= port < 1 << 16:
        raise BadArgument(f"{port} is no port", hint="1 to 65535, or 0 for one that is free")
    if idle < 0 or token_lifetime < 0:
        raise BadArgument("a time cannot be negative", hint="leave the option away for no end, and for the usual time")

    import logging
    from functools import partial
    from pathlib import Path

    import trio

    from agavesh.shell import exits
    from agavesh.tenant import server, store
    from agavesh.tenant.auth import LIFETIME
    from agavesh.tenant.confine import Confinement
    from agavesh.tenant.demo.seed import DEMO, PEOPLE

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    if not _is_loopback(host):
        here.console.note(
            f"warning: serving on {host}: whoever reaches it and has a password may read and write files and run"
            " programs here" + ("" if tls else ", and without --tls passwords are sent in the clear")
        )
    folder = _folder(root).absolute()
    shared = [Path(name).expanduser().absolute() for name in readable.split(":") if name]
    try:
        trio.run(
            partial(
                server.serve, folder, host=host, port=port, tls=tls, seed=DEMO if demo else PEOPLE,
                lifetime=token_lifetime or LIFETIME, idle=idle or None, control=faults,
                confinement=Confinement.here(folder, shared, wanted=not unconfined),
            )
        )  # fmt: skip
    except server.AlreadyServed as problem:
        raise Busy(str(problem), hint=f"`agavesh tenant status --root {folder}` says where it is") from None
    except server.NoAddress as problem:
        raise Unreachable(str(problem), hint="another --host or --port; port 0 takes one that is free") from None
    except (store.OtherVersion, store.Damaged) as problem:
        here.console.complain(AgaveError(str(problem), hint="serve another folder, or remove this one"))
        return exits.CONFIG
    except OSError as problem:
        kind = NotAllowed if isinstance(problem, PermissionError) else AgaveError
        why = f"{problem.strerror}: {problem.filename}" if problem.filename else problem.strerror
        raise kind(f"no tenant can be kept in {folder}: {why}", hint="--root names another folder") from None
    return 0


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

    from agavesh.client.local import holder

    folder = _folder(root)
    # not asked for a proof: one that is stuck is to be stopped as well, and it is known by its lock
    if not (pid := await trio.to_thread.run_sync(holder, folder)):
        raise NotFound(f"no tenant runs in {folder}")
    process = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(process, signal.SIGTERM)
        with trio.move_on_after(_ENDS):
            await trio.lowlevel.wait_readable(process)  # it is no child of ours
            here.close_account()
            return
    finally:
        os.close(process)
    raise TimedOut(f"the tenant, process {pid}, was asked to end and still runs", hint="try again in a moment")


def _is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _folder(root: str) -> "Path":
    from pathlib import Path

    from agavesh.client.local import local_root

    return Path(root).expanduser() if root else local_root()
