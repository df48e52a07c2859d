"""`python -m agavesh.tenant serve --root DIR`: the tenant as a program of its own."""

from __future__ import annotations

import argparse
import functools
import ipaddress
import logging
import sys
from pathlib import Path

import trio

from agavesh.tenant import server
from agavesh.tenant.auth import LIFETIME
from agavesh.tenant.demo.seed import DEMO, PEOPLE
from agavesh.tenant.store import OtherVersion

UNAVAILABLE = 69  # the exit codes of sysexits.h
CANNOT_CREATE = 73
IN_USE = 75
MISCONFIGURED = 78


def main(arguments: list[str] | None = None) -> int:
    """Run the program; its exit code."""
    asked = parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    if not loopback(asked.host):
        sys.stderr.write(
            f"warning: serving on {asked.host}: whoever reaches it and has a password may read and write files and run"
            " programs here" + ("" if asked.tls else ", and without --tls passwords are sent in the clear") + "\n"
        )
    serve = functools.partial(
        server.serve, Path(asked.root).absolute(), host=asked.host, port=asked.port, tls=asked.tls, idle=asked.idle,
        seed=DEMO if asked.demo else PEOPLE, lifetime=asked.token_lifetime, faults_by_http=asked.faults,
    )  # fmt: skip
    try:
        trio.run(serve)
    except server.AlreadyServed as problem:
        sys.stderr.write(f"{problem}\n")
        return IN_USE
    except OtherVersion as problem:
        sys.stderr.write(f"{problem}: serve another folder, or remove this one\n")
        return MISCONFIGURED
    except OSError as problem:
        sys.stderr.write(f"cannot serve: {problem}\n")
        return UNAVAILABLE if problem.filename is None else CANNOT_CREATE
    return 0


def parser() -> argparse.ArgumentParser:
    """The program's words."""
    found = argparse.ArgumentParser(prog="agavesh tenant", description="A small Agave platform on this machine.")
    serve = found.add_subparsers(required=True, metavar="serve").add_parser("serve", help="serve a folder")
    serve.add_argument("--root", required=True, metavar="DIR", help="the folder that holds everything")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: loopback)")
    serve.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    serve.add_argument("--tls", action="store_true", help="https, with a certificate made under DIR")
    serve.add_argument("--demo", action="store_true", help="fill a fresh folder with systems, apps and files to try")
    serve.add_argument("--idle", type=float, metavar="SECONDS", help="end when nothing happened for so long")
    serve.add_argument("--token-lifetime", type=float, default=LIFETIME, metavar="SECONDS", help="default: %(default)s")
    serve.add_argument("--faults", action="store_true", help="let administrators ask for faults over HTTP")
    return found


def loopback(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    sys.exit(main())
