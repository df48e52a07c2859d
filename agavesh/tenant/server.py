"""A tenant that listens: hypercorn on trio, one per folder, found by its `tenant.json`.

`running` is the tenant in this process, for as long as its block lasts; `serve` is the same as a program, with signals,
the state file, an end when idle, and the seed of a fresh folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import logging
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import trio
from hypercorn.config import Config
from hypercorn.trio import serve as hypercorn_serve

from agavesh.tenant import demo, handlers
from agavesh.tenant.app import App
from agavesh.tenant.auth import LIFETIME
from agavesh.tenant.state import Tenant

log = logging.getLogger(__name__)

GRACE = 3.0  # seconds that requests under way have when the server is told to end
KEEP_ALIVE = 150.0  # seconds an unused connection stays open
LARGEST_HEAD = 128 * 1024  # bytes of a request's line and headers: paths may be long, percent-encoded even more so


class AlreadyServed(Exception):
    """Another process serves this folder."""


@contextlib.asynccontextmanager
async def running(
    root: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: bool = False,
    seed: demo.Seed = demo.SMALL,
    lifetime: float = LIFETIME,
    faults_by_http: bool = False,
) -> AsyncIterator[Tenant]:
    """A tenant that serves `root` while the block runs. A fresh folder is seeded first. Raises AlreadyServed."""
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(root), contextlib.ExitStack() as at_last:
        async with trio.open_nursery() as nursery:
            tenant = Tenant(root, nursery=nursery, lifetime=lifetime, faults_by_http=faults_by_http)
            at_last.callback(tenant.close)  # after the last task of the nursery
            await demo.plant(tenant, seed)
            app = App(tenant)
            listener = _listener(host, port, root)
            name = f"[{host}]" if ":" in host else host
            tenant.url = f"http{'s' if tls else ''}://{name}:{listener.getsockname()[1]}"
            ending = trio.Event()
            serving = functools.partial(
                hypercorn_serve, app, _config(listener, root if tls else None), shutdown_trigger=ending.wait
            )
            await nursery.start(serving)
            for module in handlers.modules():
                if (resume := getattr(module, "resume", None)) is not None:
                    nursery.start_soon(resume, tenant)
            try:
                yield tenant
            finally:
                nursery.cancel_scope.cancel()


def _config(listener: socket.socket, tls: Path | None) -> Config:
    config = Config()
    if tls is not None:
        from agavesh.tenant.tls import certificate

        found = certificate(tls / "tls")
        config.certfile, config.keyfile = str(found.chain), str(found.key)
        config.alpn_protocols = ["http/1.1"]
    config.bind = [f"fd://{listener.detach()}"]
    config.backlog = 512
    config.accesslog = None  # lines of requests could hold what is nobody's business
    config.loglevel = "WARNING"
    config.keep_alive_timeout = KEEP_ALIVE
    config.keep_alive_max_requests = sys.maxsize
    config.h11_max_incomplete_size = LARGEST_HEAD
    config.graceful_timeout = GRACE
    config.include_server_header = False
    return config


def _listener(host: str, port: int, root: Path) -> socket.socket:
    """A socket that will listen. With port 0 that of the last time, if it is free, so that saved addresses stay good."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    remembered = root / "port"
    wish = port
    if not port and remembered.exists():
        wish = int(remembered.read_text() or 0)
    try:
        found.bind((host, wish))
    except OSError:
        if wish == port:
            found.close()
            raise
        found.bind((host, 0))
    remembered.write_text(str(found.getsockname()[1]))
    return found


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Held while this process serves the folder; the kernel lets go of it whatever happens."""
    with (root / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyServed(f"another process serves {root}") from None
        yield
