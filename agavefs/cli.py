"""The command `agavefs`: mount, run, umount, refresh, status, why, recover, report, wipe."""

from __future__ import annotations

import argparse
import contextlib
import errno
import functools
import logging
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import agavesh
from agavefs.places import Card, Places
from agavesh.client import mounts
from agavesh.client.errors import AgaveError, BadArgument, NotAllowed, NotFound, NotSignedIn, Unreachable, WrongKind

if TYPE_CHECKING:
    from agavefs.kernel import Deadlines

# sysexits.h
EX_USAGE, EX_NOINPUT, EX_UNAVAILABLE, EX_SOFTWARE, EX_OSERR, EX_TEMPFAIL, EX_NOPERM = 64, 66, 69, 70, 71, 75, 77

_GLANCE = 2.0  # seconds that a mount has to tell of itself

# what mount(8) and fstab say, and what becomes of it
_TO_KERNEL = {"nosuid", "suid", "nodev", "dev", "noexec", "exec", "noatime", "atime", "sync", "async", "dirsync"}
_TO_KERNEL |= {"allow_other", "allow_root"}
_UNDERSTOOD = {"rw", "defaults", "auto", "noauto", "user", "nouser", "users", "nofail", "_netdev", "relatime"}

_NEEDS = """\
agavefs: mounting needs pyfuse3, which is not installed
  pip install pyfuse3
It is built from source; on Debian and Ubuntu that needs
  apt install libfuse3-dev fuse3 pkg-config gcc python3-dev
Without it `agavesh` reaches the same tree from its prompt."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status."""
    parser = command_line()
    words = sys.argv[1:] if arguments is None else arguments
    command: list[str] = []
    if words[:1] == ["run"] and "--" in words:  # what stands behind is not ours to read
        words, command = words[: words.index("--")], words[words.index("--") + 1 :]
    asked, more = parser.parse_known_args(words, argparse.Namespace(command=command))
    if more and hasattr(asked, "places") and not any(word.startswith("-") for word in more):
        asked.places, more = [*asked.places, *more], []  # argparse takes what stands behind an option for too much
    if more:
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    try:
        status: int = asked.run(asked)
    except KeyboardInterrupt:
        return 130
    return status


def command_line() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = _Parser(prog="agavefs", description="What you can reach on an Agave platform, as files.")
    parser.add_argument("--version", action="version", version=f"agavefs {agavesh.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    mount = commands.add_parser(
        "mount",
        help="mount the tree, or a folder of it",
        usage="agavefs mount [OPTION...] [SOURCE] DIR",
        description="Mount the tree on DIR, or of it SOURCE alone: a path in it, agave://SYSTEM//a/b, or job:ID.",
    )
    mount.add_argument("places", nargs="+", metavar="[SOURCE] DIR")
    _how(mount)
    mount.add_argument("--foreground", "-f", action="store_true", help="stay, and log to standard error")
    mount.add_argument("--tell", type=int, help=argparse.SUPPRESS)  # the pipe to the parent
    mount.add_argument("--held", type=int, help=argparse.SUPPRESS)  # the pipe that it lives by
    mount.set_defaults(run=_mount)

    run = commands.add_parser(
        "run",
        help="mount, run a program, send what it has written, and unmount",
        usage="agavefs run [OPTION...] SOURCE -- COMMAND [ARGUMENT...]",
        description="Run COMMAND with SOURCE mounted: a path of the tree (/ for all of it), agave://SYSTEM//a/b, or "
        "job:ID. The folder is told by AGAVEFS_MOUNT, and by {} in the arguments. The exit status is COMMAND's own, or "
        "75 if something that was written could not be sent.",
    )
    run.add_argument("source", metavar="SOURCE")
    _how(run)
    run.set_defaults(run=_run, foreground=False, tell=None)

    umount = commands.add_parser("umount", aliases=["unmount"], help="unmount, when all is sent")
    umount.add_argument("dir", metavar="DIR", type=Path)
    umount.add_argument("--wait", metavar="SECONDS", type=_seconds, help="how long it may take to send what is left")
    umount.set_defaults(run=_umount)

    refresh = commands.add_parser("refresh", help="look anew at what a mount shows")
    refresh.add_argument("path", metavar="PATH", nargs="?", default="", help="in a mount, or in the tree; or all")
    refresh.set_defaults(run=_refresh)

    detach = commands.add_parser("detach", help="let programs go that wait until something is sent")
    detach.add_argument("path", metavar="PATH", nargs="?", default="", help="in a mount, or in the tree; or all")
    detach.set_defaults(run=_detach)

    status = commands.add_parser("status", help="what is mounted, and what is not sent yet")
    status.set_defaults(run=_status)

    why = commands.add_parser(
        "why",
        help="what a mount knows of a path, and what failed there",
        description="Print what mounts know of PATH without asking the platform: its kind and version, when that was "
        "told and for how long it is believed, what of its bytes is here, what of it is owed and why, by whom "
        "it is open, and what failed there last.",
    )
    why.add_argument("path", metavar="PATH", help="in a mount, or in the tree")
    why.set_defaults(run=_why)

    _recovery(commands)

    report = commands.add_parser(
        "report",
        help="write what somebody who helps has to know, without secrets",
        description="Write versions, mounts and their status, the ends of logs, what is owed, options, the table of "
        "mounts and the room on disks to FILE, a new .tar.gz for you alone. Passwords, tokens and keys are taken out; "
        "names of files only with --no-names.",
    )
    report.add_argument("file", metavar="FILE", nargs="?", type=Path, help="agavefs-report-TIME.tar.gz")
    report.add_argument("--no-names", action="store_true", help="put hashes in place of names of files and systems")
    _cache_dir(report)
    report.set_defaults(run=_report)

    wipe = commands.add_parser(
        "wipe",
        help="throw away what was fetched for an account",
        description="Throw away what mounts of ACCOUNT have fetched and kept on this host. Nothing that is owed to the "
        "platform goes: then, or while it is mounted, it ends with 75 and has done nothing.",
    )
    wipe.add_argument("account", metavar="ACCOUNT", help="USER@URL, as `agavefs status` has it")
    wipe.add_argument("--dry-run", action="store_true", help="only print how much it is")
    _cache_dir(wipe)
    wipe.set_defaults(run=_wipe)
    return parser


def _recovery(commands: Any) -> None:
    """`recover`, and what it does with numbers."""
    recover = commands.add_parser(
        "recover",
        help="what is owed to the platform, and what to do with it",
        description="Without words, print a line for all that is owed to the platform, or was left unfinished by a "
        "mount that died: number, state, size, since when, where it belongs, whose it is, why it is not there, and "
        "which mount has it. With words, do something with those of these numbers; four letters are enough.",
    )
    _cache_dir(recover)
    recover.set_defaults(run=_recover)
    acts = recover.add_subparsers(metavar="ACT")
    of_others = argparse.ArgumentParser(add_help=False)
    of_others.add_argument("--host", default="", help="of that host, too, which must not be sending it at the moment")
    _cache_dir(of_others, default=argparse.SUPPRESS)
    send = acts.add_parser("send", parents=[of_others], help="send it, though it was never closed, or failed")
    save = acts.add_parser("save", parents=[of_others], help="copy its bytes to a folder; it is still owed")
    discard = acts.add_parser("discard", parents=[of_others], help="throw it away for good, after a question")
    for act, run in ((send, _recover_send), (save, _recover_save), (discard, _recover_discard)):
        act.add_argument("numbers", metavar="NUMBER", nargs="+")
        act.set_defaults(run=run)
    save.add_argument("dir", metavar="DIR", type=Path)
    discard.add_argument("--yes", action="store_true", help="without a question")


def _cache_dir(parser: argparse.ArgumentParser, **more: Any) -> None:
    parser.add_argument(
        "--cache-dir", metavar="DIR", type=Path, help="where mounts had their cache, if elsewhere", **more
    )


def _how(parser: argparse.ArgumentParser) -> None:
    """The options of everything that mounts."""
    parser.add_argument("--read-only", "-r", action="store_true", help="change nothing on the platform")
    parser.add_argument(
        "--write-back", action="store_true", help="who closes a file does not wait for the platform; fsync does"
    )
    parser.add_argument(
        "--delete-limit", metavar="N", type=_count, help="refuse to delete more files and folders than that in one go"
    )
    parser.add_argument("--cache-dir", metavar="DIR", type=Path, help="a local folder for what is fetched and unsent")
    parser.add_argument(
        "--cache-size",
        metavar="SIZE",
        type=size_of,
        help="room for what is fetched: 500M, 2G (10G, or a tenth of what is free)",
    )
    parser.add_argument(
        "--cache-ttl",
        metavar="SECONDS",
        type=_seconds,
        default=30.0,
        help="for how long what the platform has told is believed (30; 0: never)",
    )
    parser.add_argument(
        "--offline-ok", action="store_true", help="show what is here, however old, while the platform does not answer"
    )
    parser.add_argument(
        "--connections", metavar="N", type=_number, help="requests at once, at most (64, or AGAVE_CONNECTIONS)"
    )
    parser.add_argument("-o", dest="options", metavar="OPTIONS", action="append", default=[], help="as for mount(8)")


class _Parser(argparse.ArgumentParser):
    """With sysexits.h's status for a wrong command line."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        _say(message)
        raise SystemExit(EX_USAGE)


def _say(text: str) -> None:
    print(f"agavefs: {text}", file=sys.stderr, flush=True)


# mount ---------------------------------------------------------------------------------------------------------------


def _mount(asked: argparse.Namespace) -> int:
    try:
        import pyfuse3  # noqa: F401  # only whether it is there
    except ImportError:
        print(_NEEDS, file=sys.stderr)
        return EX_UNAVAILABLE
    if len(asked.places) > 2:
        _say("mount takes a source and a folder, no more")
        return EX_USAGE
    if asked.connections is not None:
        os.environ["AGAVE_CONNECTIONS"] = str(asked.connections)  # which the mount inherits
    mountpoint = Path(os.path.abspath(asked.places[-1]))  # noqa: PTH100  # resolve() would ask a mount that hangs
    asked.source = "".join(asked.places[:-1])
    if asked.offline_ok and not asked.cache_ttl:
        _say("--offline-ok shows what was told before, and --cache-ttl 0 believes none of it")
        return EX_USAGE
    if trouble := _no_way(mountpoint):
        _say(trouble)
        return EX_UNAVAILABLE if "/dev/fuse" in trouble or "fusermount3" in trouble else EX_OSERR
    places = Places.of(asked.cache_dir)
    for what, own in (("state", places.state), ("cache", places.cache)):
        if mountpoint in (own, *own.parents):
            _say(f"{mountpoint} can't be mounted on: the mount's own {what} is in there, in {own}")
            return EX_OSERR
    try:
        doubt = places.doubt()
    except OSError as error:
        _say(f"{places.cache} can't be used: {error.strerror}")
        return EX_OSERR
    if doubt and asked.tell is None:
        _say(doubt)
    if asked.foreground or asked.tell is not None:
        return _serve(asked, mountpoint, places)
    from agavefs import supervise

    arguments = ["mount", *asked.places[:-1], str(mountpoint)]
    arguments += [f"--cache-size={max(1, asked.cache_size >> 10)}K"] if asked.cache_size is not None else []
    arguments += ["--read-only"] if asked.read_only else []
    arguments += ["--write-back"] if asked.write_back else []
    arguments += [f"--delete-limit={asked.delete_limit}"] if asked.delete_limit is not None else []
    arguments += [f"--cache-ttl={asked.cache_ttl}", *(["--offline-ok"] if asked.offline_ok else [])]
    arguments += [f"--cache-dir={asked.cache_dir.absolute()}"] if asked.cache_dir else []
    arguments += [part for options in asked.options for part in ("-o", options)]
    # those that hold a place of their own for a moment share a log
    name = "run" if asked.held is not None else str(mountpoint).strip("/").replace("/", "-")[-100:] or "root"
    return supervise.start(arguments, mountpoint, places.log(name), _say, held=asked.held)


def _no_way(mountpoint: Path) -> str | None:
    """Why nothing can be mounted there, if so."""
    if not Path("/dev/fuse").exists():
        return "there is no /dev/fuse here: in a container it must be passed in (--device /dev/fuse)"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "you may not open /dev/fuse: have root do `chmod 666 /dev/fuse`, as udev does where it runs"
    if shutil.which("fusermount3") is None:
        return "there is no fusermount3 here, which mounts for ordinary users, and unmounts: apt install fuse3"
    try:
        mountpoint.stat()
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            return f"{mountpoint}: {error.strerror}"
        # what a mount that was killed has left
        subprocess.run(["fusermount3", "-u", "-z", str(mountpoint)], check=False, capture_output=True)
    if not mountpoint.is_dir():
        return f"{mountpoint} is no folder"
    if os.path.ismount(mountpoint):
        return f"something is mounted on {mountpoint} already"
    return None


def _serve(asked: argparse.Namespace, mountpoint: Path, places: Places) -> int:
    """Be the mount."""
    import faulthandler

    import trio

    from agavefs import mount, supervise

    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    faulthandler.register(signal.SIGUSR1)
    word = functools.partial(supervise.tell, asked.tell) if asked.tell is not None else None

    def notice(text: str) -> None:
        word(supervise.Word(notice=text)) if word else _say(text)

    def ready() -> None:
        if word and asked.tell is not None:
            word(supervise.Word(ready=True))
            os.close(asked.tell)
        else:
            supervise.tell_systemd("READY=1")

    try:
        fuse, read_only = _options(asked.options, notice)
        options = mount.Options(
            mountpoint, places, source=asked.source, read_only=asked.read_only or read_only,
            write_back=asked.write_back, delete_limit=asked.delete_limit, room=asked.cache_size,
            fresh=asked.cache_ttl, offline_ok=asked.offline_ok,
            deadlines=_deadlines(), kill_wait=float(os.environ.get("AGAVEFS_KILL_WAIT", "30")), fuse=fuse,
            held=asked.held,
        )  # fmt: skip
        left = trio.run(functools.partial(mount.serve, options, ready=ready, notice=notice))
    except (AgaveError, OSError, RuntimeError, ExceptionGroup) as group:
        error: Exception = group
        while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]  # nurseries wrap what comes through them
        if not isinstance(error, AgaveError | OSError | RuntimeError):
            raise
        text, status = f"{mountpoint} can't be mounted: {error}", _exit_status(error)
        word(supervise.Word(error=text, status=status)) if word else _say(text)
        return status
    return EX_TEMPFAIL if left else 0


def _number(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 1024")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of files")
    return int(text)


def size_of(text: str) -> int:
    """Bytes, from a number with K, M, G or T behind it; without, it is in MiB."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if found is None or not (size := int(float(found[1]) * 2 ** (10 * ("KMGT".index(found[2].upper() or "M") + 1)))):
        raise argparse.ArgumentTypeError(f"{text!r} is no size: write 500M or 2G")
    return size


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return seconds


def _exit_status(error: Exception) -> int:
    if isinstance(error, NotSignedIn | NotAllowed):
        return EX_NOPERM
    if isinstance(error, Unreachable):
        return EX_UNAVAILABLE
    if isinstance(error, NotFound | WrongKind | BadArgument):
        return EX_NOINPUT
    return EX_SOFTWARE if isinstance(error, AgaveError) else EX_OSERR


def _options(given: list[str], notice: Callable[[str], None]) -> tuple[frozenset[str], bool]:
    """What -o says: options for the kernel, and whether it is to be read-only."""
    fuse, read_only = set(), False
    for option in (option for options in given for option in options.split(",") if option):
        if option in ("ro", "rw"):
            read_only = option == "ro"
        elif option in _TO_KERNEL or option.startswith("fsname="):
            fuse.add(option)
        elif option.partition("=")[0] not in _UNDERSTOOD and not option.startswith(("x-", "comment=")):
            notice(f"the option {option!r} is not known here, and left out")
    return frozenset(fuse), read_only


def _deadlines() -> Deadlines:
    """The deadlines, as AGAVEFS_DEADLINES has them (`metadata=5,read=20,progress=20`, in seconds)."""
    from agavefs.kernel import Deadlines

    given = os.environ.get("AGAVEFS_DEADLINES", "")
    pairs = (part.partition("=") for part in given.split(",") if part)
    return Deadlines(**{name: float(value) for name, _, value in pairs})


# run -----------------------------------------------------------------------------------------------------------------


def _run(asked: argparse.Namespace) -> int:
    from agavefs.run import NOT_FOUND, NOT_RUN, obey, with_place

    if not asked.command:
        _say("run what? write: agavefs run SOURCE -- COMMAND")
        return EX_USAGE
    place = tempfile.mkdtemp(prefix="agavefs-")
    asked.held, letting_go = os.pipe()
    try:
        asked.places = [asked.source, place]
        if status := _mount(asked):
            return status
        places = Places.of(asked.cache_dir)
        passed_on = set[int]()
        try:
            card = next(card for card in places.cards() if card.mountpoint == place)
            process = os.pidfd_open(card.pid)
        except (StopIteration, ProcessLookupError):
            _say(f"the mount died before {asked.command[0]} was run; its log is {places.log('run')}")
            return EX_SOFTWARE
        try:
            status = obey(with_place(asked.command, place), os.environ | {"AGAVEFS_MOUNT": place}, passed_on)
        except OSError as error:
            _say(f"{asked.command[0]} can't be run: {error.strerror}")
            status = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_RUN
        os.close(asked.held)
        os.close(letting_go)
        if signal.SIGTERM in passed_on and places.passing:
            _hasten(process)  # not all batch systems reach it, in its session
        left = _wait(card, process)
        # what the kernel still knows of the folder would hide that nobody answers: so its table is asked as well
        if f" {place} " in Path("/proc/self/mounts").read_text() or not os.path.isdir(place):  # noqa: PTH112  # Path.is_dir raises if dead
            subprocess.run(["fusermount3", "-u", "-z", place], check=False, capture_output=True)
            _say(f"the mount died under {asked.command[0]}; its log is {places.log('run')}")
            status = status or EX_SOFTWARE
        return left or status
    finally:
        with contextlib.suppress(OSError):
            Path(place).rmdir()


# umount and status ---------------------------------------------------------------------------------------------------


def _umount(asked: argparse.Namespace) -> int:
    mountpoint = Path(os.path.abspath(asked.dir))  # noqa: PTH100  # resolve() would ask a mount that hangs
    card = next((card for card in Places.of().cards() if card.mountpoint == str(mountpoint)), None)
    process = None
    if card is not None:
        with contextlib.suppress(ProcessLookupError):
            process = os.pidfd_open(card.pid)
    done = subprocess.run(["fusermount3", "-u", str(mountpoint)], check=False, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().removeprefix("fusermount3: ")
        if said.endswith(("Invalid argument", "not found in /etc/mtab")):  # so it says to root, and to others
            said = f"nothing is mounted on {mountpoint}"
        _say(said or f"{mountpoint} can't be unmounted")
        return EX_OSERR
    if card is None or process is None:
        return 0
    if asked.wait is not None:
        _ask(card, mounts.Ask("hasten", [str(asked.wait)]))
    return _wait(card, process)


def _wait(card: Card, process: int) -> int:
    """Until the mount has ended, and has sent what it owes or put it where the next one finds it."""
    from agavefs.left import Left, rescue

    places = Places.of()
    if places.passing:
        signal.signal(signal.SIGTERM, lambda *_: _hasten(process))
    poll = select.poll()
    poll.register(process, select.POLLIN)
    told = ""
    while not poll.poll(1000):
        if (owed := f"{_owed(card)} files are still on their way") != told:
            told = owed
            _say(owed)
    there, owner = Left(places.left), card.owner
    if places.passing and _owed(card):  # it was killed
        with contextlib.suppress(OSError):
            owner = rescue(Path(card.cache), card.account, there)
    if brought := there.count(owner):
        _say(f"{brought} files could not be sent; they are kept in {places.left}, and the next mount sends them")
    if left := _owed(card):
        _say(f"{left} files could not be sent; they are kept in {card.cache}, and the next mount there sends them")
    return EX_TEMPFAIL if brought or left else 0


def _hasten(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(process, signal.SIGTERM)


def _owed(card: Card) -> int:
    from agavefs.journal import count

    try:
        return count(Path(card.cache), card.owner)
    except OSError as error:  # nobody can say: the mount's own status tells of its journal
        _say(f"{card.mountpoint}: {error.strerror}")
        return 0


def _refresh(asked: argparse.Namespace) -> int:
    """Have mounts forget what is at a path: one that it is in, or all where it is a path of the tree."""
    return _ask_around("refresh", asked.path or "/")


def _detach(asked: argparse.Namespace) -> int:
    """Have mounts send away who waits for what is at a path."""
    return _ask_around("detach", asked.path or "/")


def _why(asked: argparse.Namespace) -> int:
    return _ask_around("why", asked.path)


def _ask(card: Card, question: mounts.Ask, patience: float = mounts.PATIENCE) -> mounts.Answer:
    """What a mount answers; trouble as its error."""
    import trio

    try:
        return trio.run(functools.partial(mounts.ask, Places.of().socket(card), question, patience=patience))
    except AgaveError as error:
        return mounts.Answer(error=str(error))


def _ask_around(act: str, path: str) -> int:
    """Ask the mount that a path is in, or all where it is a path of the tree, and print what they answer."""
    from agavesh.client.path import parse_uri

    places = Places.of()
    cards = places.cards()
    here = os.path.abspath(path)  # noqa: PTH100  # resolve() would ask a mount that hangs
    around = [card for card in cards if f"{here}/".startswith(f"{card.mountpoint.rstrip('/')}/")]
    if around:
        cards = [max(around, key=lambda card: len(card.mountpoint))]
        question = mounts.Ask(act, inside=[os.path.relpath(here, cards[0].mountpoint)])
    elif "://" in path or path.startswith("job:"):
        try:
            question = mounts.Ask(act, [parse_uri(path).tree_path])
        except (AgaveError, ValueError) as error:
            _say(str(error))
            return EX_USAGE
    elif path.startswith("/"):
        question = mounts.Ask(act, [path])
    else:
        _say(f"{path} is in no mount")
        return EX_USAGE
    if not cards:
        _say("nothing is mounted")
        return EX_UNAVAILABLE
    status = 0
    for card in cards:
        answer = _ask(card, question)
        if answer.error:
            _say(f"{card.mountpoint}: {answer.error}")
            status = EX_TEMPFAIL
        elif act == "detach":
            print(f"{card.mountpoint}: {answer.text}")
        elif act != "refresh":
            print(f"mount       {card.mountpoint}\n{answer.text}", end="")
    return status


# what became of what was written --------------------------------------------------------------------------------------


def _recover(asked: argparse.Namespace) -> int:
    from agavefs import recover

    return recover.show(Places.of(asked.cache_dir), _say)


def _recover_send(asked: argparse.Namespace) -> int:
    from agavefs import recover

    return recover.send(Places.of(asked.cache_dir), asked.numbers, _say, host=asked.host)


def _recover_save(asked: argparse.Namespace) -> int:
    from agavefs import recover

    return recover.save(Places.of(asked.cache_dir), asked.numbers, asked.dir, _say, host=asked.host)


def _recover_discard(asked: argparse.Namespace) -> int:
    from agavefs import recover

    return recover.discard(Places.of(asked.cache_dir), asked.numbers, _say, host=asked.host, sure=asked.yes)


def _report(asked: argparse.Namespace) -> int:
    from agavefs.report import report

    return report(Places.of(asked.cache_dir), asked.file, _say, names=not asked.no_names)


def _wipe(asked: argparse.Namespace) -> int:
    from agavefs.wipe import wipe

    return wipe(Places.of(asked.cache_dir), asked.account, _say, dry_run=asked.dry_run)


# of what a mount tells of itself: the beginnings of the lines that are for everybody
_TOLD = ("platform", "answered", "offline", "requests", "not sent", "written by", "  ")


def _status(asked: argparse.Namespace) -> int:
    for card in Places.of().cards():
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(card.since))
        owed = _owed(card)
        print(
            card.mountpoint,
            card.account.removeprefix("@"),
            *([card.source] if card.source else []),
            f"since {since}",
            *(["read-only"] if card.read_only else []),
            *([f"{owed} files not sent yet"] if owed else []),
            sep="  ",
        )
        answer = _ask(card, mounts.Ask("status"), _GLANCE)
        lines = [line for line in answer.text.splitlines() if line.startswith(_TOLD)]
        for line in [f"error       {answer.error}"] if answer.error else lines:
            print(f"    {line}")
    return 0
