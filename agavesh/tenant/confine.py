"""Confinement: what a child process of the tenant, a job's script or an actor's worker, is given and may reach.

    tenant.confinement.command(["/bin/bash", script], work=folder, readable=[bundle])    the argv to start
    environment({"MSG": "…"}, work=folder)                                               what to start it with, alone

Where bubblewrap (`bwrap`) is installed and works, a child sees a machine of its own: the system's folders, read-only;
its work folder, writable, at its usual path; what `readable` names; a /tmp, a /dev and a /proc of its own; the network,
unless it is told otherwise. Nobody's home, no other job, nothing of the tenant. It has a PID namespace, so whatever it
starts dies with it, and with whoever started it, however that ends. The process that is started is bubblewrap itself:
what runs in it is in a session of its own, led by bubblewrap's one child, and its death by a signal N is an exit code
of 128 + N. Many containers forbid namespaces: there a child runs as it is, and the log says so once. `prlimit` sets
its limits in either case.

This module starts nothing but the probe: sessions, time limits and reaping are for the runner and for the actors.
"""

from __future__ import annotations

import functools
import logging
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

log = logging.getLogger(__name__)

TMP = "/tmp"  # noqa: S108 - a child's own, where it is confined
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix", "/gnu", "/sys")
MOST_PROCESSES = (
    4096  # of this user, threads counted, when a child may start no more: a fork bomb ends before the machine
)
KEPT = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL")  # where the tenant is root's: what `tar` and `make` need
_PROBE = 10.0  # seconds


def environment(extra: Mapping[str, str], *, work: Path) -> dict[str, str]:
    """All that a child is to have in its environment: nothing of the tenant's own, which may hold secrets."""
    mine = {
        "PATH": PATH, "HOME": str(work), "PWD": str(work), "TMPDIR": TMP, "LANG": "C.UTF-8", "SHELL": "/bin/bash",
    }  # fmt: skip
    return {**mine, **extra}


@dataclass(frozen=True)
class Confinement:
    """How the children of one tenant are confined.

    `root` is the tenant's folder, which no child sees but for its own work; `readable` are further folders that every
    child may read, such as where the users' programs are.
    """

    root: Path
    readable: tuple[Path, ...] = ()
    bwrap: str | None = None  # None: children are not confined

    @classmethod
    def here(cls, root: Path, readable: Iterable[Path] = (), *, wanted: bool = True) -> Confinement:
        """What this machine has to offer; nothing if it is not wanted."""
        return cls(root.resolve(), tuple(readable), bubblewrap() if wanted else None)

    def command(
        self,
        argv: Sequence[str],
        *,
        work: Path,
        readable: Iterable[Path] = (),
        placed: Mapping[str, Path] = MappingProxyType({}),
        network: bool = True,
        memory: int | None = None,
    ) -> list[str]:
        """`argv` as a child is to be started, with the work folder as its own.

        `argv[0]` is a path. `readable` are files and folders that this child may read, `placed` pipes and sockets that
        it finds at other paths, if it is confined. `memory` (bytes) is the most that each of its processes may have in
        private memory; as much as the machine has, if it is None.
        """
        if self.bwrap is None:
            return [*_limited(memory), *argv]
        root = str(self.root)  # hidden before the child's own is put into it: it may lie within what all may read
        shared = [*_machine(), *_bound([*self.readable, *_of_python()]), "--tmpfs", root]
        own = [*_bound(readable), "--bind", str(work), str(work)]
        own += [word for path, source in placed.items() for word in ("--bind", str(source), path)]
        options = ["--remount-ro", root, "--remount-ro", "/", "--chdir", str(work), *_apart()]
        options += [] if network else ["--unshare-net"]
        return [*_limited(memory), self.bwrap, *shared, *own, *options, "--", *argv]


def _machine() -> Iterator[str]:
    """The machine that a child sees, before anything of its own is put into it."""
    for folder in map(Path, SYSTEM):
        if folder.is_symlink():
            yield from ("--symlink", str(folder.readlink()), str(folder))
        elif folder.is_dir():
            yield from ("--ro-bind", str(folder), str(folder))
    names = Path("/etc/resolv.conf")  # often a link to /run, of which a child sees nothing else
    if names.is_symlink() and names.exists():
        yield from ("--ro-bind", str(names.resolve()), str(names.resolve()))
    yield from ("--proc", "/proc", "--dev", "/dev", "--tmpfs", TMP, "--dir", "/run")


def _bound(readable: Iterable[Path]) -> Iterator[str]:
    for path in readable:
        yield from ("--ro-bind-try", str(path), str(path))


def _of_python() -> Iterator[Path]:
    """This program's own Python, for what is written in it: where it is, and by the name it goes by, which may be a
    link. A link in a folder of the system is there already, and nothing can be bound over it."""
    for prefix in sorted({sys.prefix, sys.base_prefix}):
        if not prefix.startswith("/usr"):
            yield Path(prefix).resolve()
            if not prefix.startswith(tuple(f"{folder}/" for folder in SYSTEM)):
                yield Path(prefix)


def _apart() -> list[str]:
    """Namespaces, rights, and whom a child dies with."""
    kept = [word for name in KEPT for word in ("--cap-add", f"CAP_{name}")] if os.getuid() == 0 else []
    apart = ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    return [*apart, "--die-with-parent", "--new-session", "--cap-drop", "ALL", *kept]


def _limited(memory: int | None) -> list[str]:
    """The limits of a child, never above those that this process has itself."""
    if (prlimit := shutil.which("prlimit", path=PATH)) is None:
        return []
    installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    wanted = {
        "core": (resource.RLIMIT_CORE, 0),
        "data": (resource.RLIMIT_DATA, memory or installed),
        "nproc": (resource.RLIMIT_NPROC, MOST_PROCESSES),
    }
    return [prlimit, *(f"--{name}={_at_most(kind, most)}" for name, (kind, most) in wanted.items())]


def _at_most(kind: int, most: int) -> int:
    hard = resource.getrlimit(kind)[1]
    return most if hard == resource.RLIM_INFINITY else min(most, hard)


@functools.cache  # one answer for a process: it costs some milliseconds, and the log should say it once
def bubblewrap() -> str | None:
    """The program that confines, if there is one and this machine lets it."""
    found = shutil.which("bwrap", path=PATH)
    if found is None:
        log.warning("bubblewrap is not installed: jobs and actors run unconfined, as this user")
        return None
    probe = Confinement(Path("/nowhere"), bwrap=found).command(["/bin/sh", "-c", "test $$ -lt 9"], work=Path("/usr"))
    try:
        tried = subprocess.run(
            probe, env={}, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROBE, check=False
        )
    except subprocess.TimeoutExpired:
        # a machine that forbids it says so at once: this one is busy, and that is no reason to confine nobody
        log.warning("bubblewrap has not answered for %.0f s: jobs and actors are confined by it all the same", _PROBE)
        return found
    except OSError as trouble:
        log.warning("bubblewrap does not work here (%s): jobs and actors run unconfined, as this user", trouble)
        return None
    if tried.returncode:
        said = tried.stderr.decode(errors="replace").strip()
        log.warning("bubblewrap does not work here (%s): jobs and actors run unconfined, as this user", said)
        return None
    return found
