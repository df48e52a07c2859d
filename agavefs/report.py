"""`agavefs report`: what somebody who helps has to know, in one file, with no secrets in it.

Versions, mounts and what they say of themselves, the ends of their logs, the journals' rows, options, the table of
mounts, and the room on disks. Each text goes through `scrub`, which knows the secrets of our environment, of that of
each mount, and of the saved logins, and so takes them out wherever they stand.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import trio

import agavesh
from agavefs.owing import everything
from agavefs.places import Card, Places
from agavefs.scrub import Scrub, in_json, is_secret
from agavesh.client import mounts
from agavesh.client.accounts import Accounts, cache_folder
from agavesh.client.errors import AgaveError

EX_OSERR, EX_CANTCREAT = 71, 73  # sysexits.h

_LOG_END = 256 * 2**10  # bytes of each log
_GLANCE = 5.0  # seconds that a mount has to tell of itself
_OF_USE = re.compile(
    r"AGAVE.*|XDG_.*|TMPDIR|HOME|LANG|LC_.*|.*_proxy|PYTHON.*|SLURM_JOB_ID|PBS_JOBID|LSB_JOBID|SGE_TASK_ID",
    re.IGNORECASE,
)


def report(places: Places, file: Path | None, say: Callable[[str], None], *, names: bool = True) -> int:
    """Write the bundle, to a new file; the exit status."""
    name = f"agavefs-report-{time.strftime('%Y%m%dT%H%M%S')}"
    file = file if file is not None else Path(f"{name}.tar.gz")
    known, users = _secrets(places)
    scrub = Scrub(known, users, names=not names)
    try:
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        say(f"{file} can't be made: {error.strerror}")
        return EX_CANTCREAT
    try:
        with os.fdopen(fd, "wb") as out, tarfile.open(fileobj=out, mode="w:gz") as bundle:
            for title, text in _parts(places):
                data = scrub(text).encode(errors="backslashreplace")
                about = tarfile.TarInfo(f"{name}/{title}")
                about.size, about.mode, about.mtime = len(data), 0o600, int(time.time())
                bundle.addfile(about, io.BytesIO(data))
    except OSError as error:
        file.unlink(missing_ok=True)
        say(f"{file} can't be written: {error.strerror}")
        return EX_OSERR
    print(file)
    say("it holds no passwords, tokens or keys" + ("; it does hold names of files" if names else "; names are hashes"))
    return 0


def _parts(places: Places) -> Iterator[tuple[str, str]]:
    """The texts, by title."""
    cards = places.cards()
    yield "versions.txt", _versions()
    yield "environment.txt", _environment(dict(os.environ))
    yield "accounts.txt", _told(_accounts)
    for number, card in enumerate(cards, 1):
        yield f"mounts/{number}.txt", _told(functools.partial(_mount, places, card))
    for number, log in enumerate(sorted((places.state / "log").glob("*")), 1):
        # by number: its name is that of the folder that is mounted
        yield f"logs/{number}.txt", _told(functools.partial(_end, log))
    yield "journal.txt", _told(lambda: _owing(places))
    yield "kernel-mounts.txt", _told(lambda: Path("/proc/self/mountinfo").read_text(errors="replace"))
    yield "disk.txt", _told(lambda: _disks(places, cards))


def _told(make: Callable[[], str]) -> str:
    """A part, or why there is none: the others are of use all the same."""
    try:
        return make()
    except (OSError, AgaveError, ValueError) as error:
        return f"this could not be had: {error}\n"


def _versions() -> str:
    lines = [
        f"agavefs {agavesh.__version__}",
        f"python {platform.python_version()} {platform.python_implementation()}",
        f"kernel {platform.system()} {platform.release()} {platform.machine()}",
        f"libc {' '.join(platform.libc_ver())}",
    ]
    for package in ("pyfuse3", "trio", "httpx", "h11", "msgspec"):
        try:
            lines.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            lines.append(f"{package} is not installed")
    for command in (["fusermount3", "--version"], ["pkg-config", "--modversion", "fuse3"]):
        with suppress(OSError, subprocess.TimeoutExpired):
            done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
            lines.append(f"{' '.join(command)}: {(done.stdout or done.stderr).strip()}")
    with suppress(OSError, subprocess.TimeoutExpired):
        # which one the mount takes is seen where it is loaded
        code = "import pyfuse3; print(open('/proc/self/maps').read())"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=10, check=False)
        libraries = {line.split()[-1] for line in done.stdout.splitlines() if "libfuse3" in line}
        lines += [f"libfuse {Path(library).resolve().name}" for library in sorted(libraries)]
    with suppress(OSError):
        about = Path("/dev/fuse").stat()
        lines.append(f"/dev/fuse {about.st_mode:o} {about.st_uid} {about.st_gid}")
    return "".join(f"{line}\n" for line in lines)


def _environment(environ: dict[str, str]) -> str:
    return "".join(
        f"{name}={'(set)' if is_secret(name) else value!r}\n"
        for name, value in sorted(environ.items())
        if _OF_USE.fullmatch(name)
    )


def _accounts() -> str:
    lines = []
    for account in Accounts().all():
        has = [name for name in ("access_token", "refresh_token", "api_key", "api_secret") if getattr(account, name)]
        ends = "" if account.expires_at is None else f"  until {_at(account.expires_at)}"
        lines.append(f"{account.key}  has {' '.join(has).replace('_', ' ') or 'nothing'}{ends}\n")
    return "".join(lines)


def _mount(places: Places, card: Card) -> str:
    """A mount's card, its command line, environment and status."""
    process = Path(f"/proc/{card.pid}")
    words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    environ = _environ(card.pid)
    question = functools.partial(mounts.ask, places.socket(card), mounts.Ask("status"), patience=_GLANCE)
    try:
        status = trio.run(question).text
    except AgaveError as error:
        status = f"no status: {error}\n"
    parts = [f"{card}\n", f"{' '.join(words)}\n", _environment(environ), status]
    return "\n".join(parts)


def _end(log: Path) -> str:
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _LOG_END))
        return f"{log.name}, modified {_at(log.stat().st_mtime)}\n" + file.read().decode(errors="replace")


def _owing(places: Places) -> str:
    owing, troubles = everything(places)
    lines = [f"{it}\n    {it.row}\n    in {it.where}\n" for it in owing]
    return "".join([*lines, *(f"{trouble}\n" for trouble in troubles)])


def _disks(places: Places, cards: list[Card]) -> str:
    lines = []
    folders = [places.state, places.cache, places.left, *places.caches(), *(Path(card.cache) for card in cards)]
    for folder in dict.fromkeys(folders):
        with suppress(OSError):
            room, about = shutil.disk_usage(folder), os.statvfs(folder)
            free = f"{room.free} bytes of {room.total} free, {about.f_favail} inodes of {about.f_files}"
            lines.append(f"{folder}  {free}\n")
    return "".join(lines)


def _environ(pid: int) -> dict[str, str]:
    words = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="surrogateescape").split("\0")
    return {name: value for name, _, value in (word.partition("=") for word in words if word)}


def _secrets(places: Places) -> tuple[set[str], set[str]]:
    """All secrets that are known here, and all names of users."""
    environs = [dict(os.environ)]
    for card in places.cards():
        with suppress(OSError):
            environs.append(_environ(card.pid))
    known = {value for environ in environs for name, value in environ.items() if is_secret(name)}
    users = {environ.get("AGAVE_USERNAME", "") for environ in environs}
    folders = {cache_folder(environ) for environ in environs}
    files = [file for folder in folders for file in folder.glob("*") if file.is_file()]
    files += places.state.parent.glob("tenant/secrets.json")
    for file in files:
        with suppress(OSError, ValueError):
            known.update(in_json(json.loads(file.read_bytes())))
    for folder in folders:
        with suppress(OSError, AgaveError):
            for account in Accounts(folder).all():
                users.add(account.username or "")
                known.update(in_json(dataclasses.asdict(account)))
    return known, users - {""}


def _at(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
