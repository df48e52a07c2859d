"""tenant: the embedded platform on this machine. The one module outside the tenant that loads it."""

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

from agavesh.api.words import LocalPath, Word
from agavesh.client.errors import AgaveError, BadArgument, Busy, NotAllowed, NotFound, TimedOut, Unreachable
from agavesh.shell.command import command
from agavesh.shell.session import Session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

Keys = Annotated[
    LocalPath, Word("folder of the keys that seal credentials; else agavesh/keys in your settings", lists="local")
]
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
    control: Annotated[bool, Word('let "tenant fault" ask for trouble, to rehearse it')] = False,
    access_log: Annotated[str, Word("file that tells each request; - is standard error", lists="local")] = "",
    readable: Annotated[str, Word("folders that jobs and actors may read, besides the system's; colons between")] = "",
    unconfined: Annotated[bool, Word("let jobs and actors reach all that you can")] = False,
    keys: Keys = "",
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
                lifetime=token_lifetime or LIFETIME, idle=idle or None, control=control,
                access_log=access_log and str(_log(access_log)),
                confinement=Confinement.here(folder, shared, wanted=not unconfined),
                keys=Path(keys).expanduser().absolute() if keys else None,
                ready=lambda url: here.console.note(
                    f"agavesh: serving {folder} at {url}; users and passwords are in {folder}/tenant.json"
                    + (f", the authority to trust is {folder}/tls/ca.pem" if tls else "")
                ),
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


def _log(name: str) -> "str | Path":
    from pathlib import Path

    return name if name == "-" else Path(name).expanduser().absolute()


UserName = Annotated[str, Word("name of a user of the tenant")]
PasswordStdin = Annotated[bool, Word("read the password from standard input")]


@command("tenant user", examples=["tenant user"])
def user(here: Session) -> None:
    """Say what can be done about the users of your tenant."""
    from agavesh.shell.commands.about import beneath

    here.console.write(beneath(here.table, ("tenant", "user")))


@command("tenant user add")
async def user_add(
    here: Session,
    name: UserName,
    *,
    admin: Annotated[
        bool, Word("let them administer the tenant: see and change what all have, add and remove users")
    ] = (False),
    email: Annotated[str, Word("their e-mail address; else NAME@localhost")] = "",
    first_name: Annotated[str, Word("their first name")] = "",
    last_name: Annotated[str, Word("their last name")] = "",
    password_stdin: PasswordStdin = False,
    root: Root = "",
) -> None:
    """Add a user to your tenant, whether it runs or not.

    The password is asked for, or read from standard input; it is never an argument.
    """
    password = await _new_password(here, name, password_stdin)
    body = {"username": name, "email": email or f"{name}@localhost", "password": password, "admin": admin,
            "firstName": first_name, "lastName": last_name}  # fmt: skip
    async with _profiles(root) as profiles:
        await profiles.create(body=body)
    here.console.note(f"agavesh: added {name}" + (", an administrator" if admin else ""))


@command("tenant user list", examples=["tenant user list", "tenant user list -o csv"])
async def user_list(here: Session, *, root: Root = "") -> None:
    """List the users of your tenant."""
    from agavesh.shell.render import Column, field, show_list

    pages: list[Any] = []  # kept: the records of a page have their bytes from it
    async with _profiles(root) as profiles:
        while page := await profiles.list(limit=100, offset=sum(map(len, pages))):
            pages.append(page)
    columns = [
        field("username"), Column("admin", lambda user: "admin" if user.admin else ""), field("email"), field("name"),
    ]  # fmt: skip
    await show_list(here, [user for page in pages for user in page], columns)


@command("tenant user password")
async def user_password(
    here: Session, name: UserName, *, password_stdin: PasswordStdin = False, root: Root = ""
) -> None:
    """Give a user of your tenant another password. All their tokens end.

    The password is asked for, or read from standard input; it is never an argument.
    """
    password = await _new_password(here, name, password_stdin)
    async with _profiles(root) as profiles:
        await profiles.update(username=name, body={"password": password})
    here.console.note(f"agavesh: {name} has a new password, and signs in anew")


@command("tenant user remove")
async def user_remove(here: Session, name: UserName, *, root: Root = "") -> None:
    """Remove a user of your tenant, with their tokens, OAuth clients, roles and grants.

    What they own stays, for administrators to see to. It would be a later user's of the same name.
    """
    async with _profiles(root) as profiles:
        await profiles.delete(username=name)
    here.console.note(f"agavesh: removed {name}")


async def _new_password(here: Session, name: str, from_stdin: bool) -> str:
    if from_stdin:
        import sys

        import trio

        line: str = await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
        return line.rstrip("\n")
    instead = "--password-stdin reads it from standard input"
    password = await here.console.ask(f"new password of {name}: ", secret=True, instead=instead)
    if await here.console.ask("once more: ", secret=True) != password:
        raise BadArgument("the two are not the same", hint="try again")
    return password


@asynccontextmanager
async def _profiles(root: str) -> "AsyncIterator[Any]":
    """The profiles service of a tenant, as its administrator; or what stands for it while the tenant does not run."""
    from agavesh.client.local import administrator, answering

    folder = _folder(root)
    card = await answering(folder)
    if card is not None:
        from agavesh.client import Agave

        async with Agave(account=administrator(card)) as agave:
            yield agave.profiles
        return
    from agavesh.tenant.at_rest import at_rest
    from agavesh.tenant.refusal import Refusal
    from agavesh.tenant.server import AlreadyServed
    from agavesh.tenant.store import Damaged, OtherVersion

    try:
        with at_rest(folder) as profiles:
            yield profiles
    except FileNotFoundError:
        raise NotFound(f"no tenant is kept in {folder}", hint='"tenant start" makes yours') from None
    except AlreadyServed:
        raise Busy(f"the tenant in {folder} is beginning or ending", hint="try again in a moment") from None
    except (OtherVersion, Damaged) as problem:
        raise AgaveError(str(problem), hint="this folder is not to be served either") from None
    except Refusal as refusal:
        kind = NotFound if refusal.status == 404 else BadArgument
        raise kind(refusal.message.rstrip("."), hint='"tenant user list" shows who there is') from None


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
