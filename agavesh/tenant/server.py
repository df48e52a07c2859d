"""A tenant that listens: one per folder, found by its `tenant.json`.

`running` is the tenant in this process, for as long as its block lasts; `serve` is the same as a program, with signals,
the state file, an end when idle, and the seed of a fresh folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import trio

from agavesh.tenant import handlers, store
from agavesh.tenant.app import App
from agavesh.tenant.auth import LIFETIME
from agavesh.tenant.background import contained, work
from agavesh.tenant.bounds import Bounds, open_files
from agavesh.tenant.confine import Confinement
from agavesh.tenant.connections import Serving
from agavesh.tenant.demo.seed import PEOPLE, SMALL, Seed, plant
from agavesh.tenant.state import Tenant, write_private
from agavesh.tenant.tls import certificate, context

GRACE = 3.0  # seconds that requests under way have when the server is told to end
CHECKPOINTS = 20.0  # seconds between two
LOOKS = 10  # at a lock that is held, before it counts as another server's


class AlreadyServed(Exception):
    """Another process serves this folder."""


class NoAddress(Exception):
    """The address to listen at is not to be had."""


@contextlib.asynccontextmanager
async def running(
    root: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: bool = False,
    seed: Seed = SMALL,
    lifetime: float = LIFETIME,  # seconds
    control: bool = False,  # whether the owner may ask for faults by the control call
    access_log: str = "",  # a file, "-" for standard error, or none
    bounds: Bounds | None = None,
    confinement: Confinement | None = None,  # of jobs and actors; None: as well as this machine can
    keys: Path | None = None,  # folder of the keys that seal credentials; None: the user's own
    grace: float = 0,  # seconds that requests under way have at the end of the block
) -> AsyncIterator[Tenant]:
    """A tenant that serves `root`, seeded if it is fresh, while the block runs.

    Raises AlreadyServed, NoAddress, OtherVersion; Damaged, and OSError for a folder that cannot be used, may come in
    the group of a nursery.
    """
    with alone(root), contextlib.ExitStack() as at_last:
        store.check(root / "tenant.db")
        listener = at_last.enter_context(_listener(host, port, root))
        async with trio.open_nursery() as nursery:
            bounds = (bounds or Bounds()).within(open_files())
            tenant = Tenant(
                root, nursery=nursery, lifetime=lifetime, control=control, access_log=access_log, bounds=bounds,
                confinement=confinement, keys=keys,
            )  # fmt: skip
            at_last.callback(tenant.close)  # after the last task of the nursery
            tenant.mend()
            await plant(tenant, seed)
            app = App(tenant)
            tenant.url = _url(host, listener.getsockname()[1], tls)
            shown = context(certificate(root / "tls", host)) if tls else None
            serving = Serving(app, listener.dup(), shown, bounds, grace=grace)
            await nursery.start(serving.run)
            listener.close()  # what serves has its own hold on it
            nursery.start_soon(_checkpoints, tenant)
            for module in handlers.modules():
                if (resume := getattr(module, "resume", None)) is not None:
                    nursery.start_soon(work, f"{module.__name__}.resume", partial(resume, tenant))
            try:
                yield tenant
                serving.end.set()
                with trio.move_on_after(grace + 1):
                    await serving.ended.wait()
            finally:
                nursery.cancel_scope.cancel()


async def _checkpoints(tenant: Tenant) -> None:
    """Keep the write-ahead log small. It waits for the disk, so it has a thread."""
    while True:
        await trio.sleep(CHECKPOINTS)
        # whoever writes the next record says that it cannot be
        with contained("a checkpoint of the records"), contextlib.suppress(store.Unwritable):
            await trio.to_thread.run_sync(tenant.store.checkpoint)


def _url(host: str, port: int, tls: bool) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # to listen anywhere is no address to go to
    return f"http{'s' if tls else ''}://{f'[{host}]' if ':' in host else host}:{port}"


async def serve(
    root: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: bool = False,
    seed: Seed = PEOPLE,
    lifetime: float = LIFETIME,
    control: bool = False,
    access_log: str = "",
    confinement: Confinement | None = None,
    keys: Path | None = None,
    idle: float | None = None,  # seconds
    ready: Callable[[str], object] = lambda url: None,  # told where it listens, once it does
) -> None:
    """Serve `root` until SIGTERM or SIGINT, or until nobody asked for `idle` seconds and no job runs.

    `tenant.json` stands in the folder while it serves, and only then. Call it in the main thread. Raises what `running`
    does, none of it in a group.
    """
    state_file = root / "tenant.json"
    with _one_trouble(), trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with running(
            root,
            host=host,
            port=port,
            tls=tls,
            seed=seed,
            lifetime=lifetime,
            control=control,
            access_log=access_log,
            confinement=confinement,
            keys=keys,
            grace=GRACE,
        ) as tenant:
            tenant.people.announce = lambda: write_private(state_file, msgspec.json.encode(_state(tenant, tls)))
            tenant.people.announce()
            ready(tenant.url)
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_signalled, signals, nursery.cancel_scope)
                    if idle is not None:
                        nursery.start_soon(_idle, tenant, idle, nursery.cancel_scope)
            finally:
                state_file.unlink(missing_ok=True)
                _leave_in_any_case(GRACE + 2)


@contextlib.contextmanager
def _one_trouble() -> Iterator[None]:
    """What ends a program alone comes out of the groups that nurseries put around it."""
    try:
        yield
    except BaseExceptionGroup as group:
        alone: BaseException = group
        while isinstance(alone, BaseExceptionGroup) and len(alone.exceptions) == 1:
            alone = alone.exceptions[0]
        raise alone from None


def _state(tenant: Tenant, tls: bool) -> dict[str, Any]:
    """What `tenant.json` says."""
    return {
        "url": tenant.url,
        "pid": os.getpid(),
        "tenant": tenant.name,
        "users": [{**user, "admin": tenant.auth.is_admin(user["username"])} for user in tenant.secrets.users],
        "client": tenant.secrets.client,
        "ca_cert": str(tenant.root / "tls" / "ca.pem") if tls else None,
        "key": tenant.secrets.key,
        "run": tenant.run,
    }


async def _signalled(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    async for _ in signals:
        scope.cancel()
        return


async def _idle(tenant: Tenant, seconds: float, scope: trio.CancelScope) -> None:
    """Ends the scope once nothing came for `seconds`, nothing is under way, and nothing keeps the tenant awake."""
    served, since = tenant.served, trio.current_time()
    while trio.current_time() - since < seconds:
        await trio.sleep(min(seconds / 4, 30))
        if tenant.served != served or tenant.busy or tenant.awake:
            served, since = tenant.served, trio.current_time()
    scope.cancel()


def _leave_in_any_case(seconds: float) -> None:
    """A client that reads nothing more can hold a send, and with it the end, for as long as it likes: not with us."""
    watch = threading.Timer(seconds, os._exit, (0,))
    watch.daemon = True
    watch.start()


def _listener(host: str, port: int, root: Path) -> socket.socket:
    """A socket that will listen. Port 0: that of the last time if it is free, so that addresses stay good."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    remembered = root / "port"
    last = remembered.read_text(errors="replace") if remembered.exists() else ""
    for wish in (port or (int(last) if last.isdecimal() else 0), port):
        try:
            found.bind((host, wish))
            break
        except OSError as problem:
            trouble = problem
    else:
        found.close()
        raise NoAddress(f"cannot listen at {host}, port {port}: {trouble.strerror}")
    remembered.write_text(str(found.getsockname()[1]))
    return found


@contextlib.contextmanager
def alone(root: Path) -> Iterator[None]:
    """Held while this process serves the folder, made if need be; the kernel lets go of it whatever happens."""
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (root / "lock").open("a") as lock:
        for attempt in range(LOOKS):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt == LOOKS - 1:
                    raise AlreadyServed(f"another process serves {root}") from None
                time.sleep(0.02)  # a client that looks whether somebody serves holds it for an instant
        lock.truncate(0)
        lock.write(str(os.getpid()))  # for whoever wants to end it
        lock.flush()
        (root / "tenant.json").unlink(missing_ok=True)  # of one that was killed: nobody is there
        yield
