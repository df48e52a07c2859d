"""The parents of a mount: one that starts it and says how that went, and one that mounts anew when it dies.

`start` is what the command does: it waits until the mount answers, and says what went wrong if it does not. `keep` is a
small process that stays, of a session of its own, with a log in place of a terminal: the mount is its child. If that is
killed, or fails as nobody foresaw, the place is cleared and mounted again within seconds, and the journal replayed:
what was open there is to be opened again. A mount tells how it goes over a pipe, in lines of JSON; when that closes
without a word, it has died, and the end of its log says why.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec

_log = logging.getLogger("agavefs.supervise")

EX_UNAVAILABLE, EX_SOFTWARE, EX_TEMPFAIL = 69, 70, 75
_STABLE = 30.0  # seconds: one that dies sooner is started again with a pause
_PAUSE_READY, _PAUSE_MOST = 4.0, 60.0  # seconds, of one that has answered before it died, and of one that has not


class Word(msgspec.Struct, omit_defaults=True):
    """What a mount tells its parent."""

    ready: bool = False
    notice: str = ""
    error: str = ""
    status: int = EX_SOFTWARE


def start(
    arguments: list[str], mountpoint: Path, log: Path, say: Callable[[str], None], *, held: int | None = None
) -> int:
    """Start a mount; the exit status. `say` is given what the user should read. One that is `held` by a pipe ends when
    that is closed.
    """
    reading, writing = os.pipe()
    fds = [writing] if held is None else [writing, held]
    if held is None:
        command = [sys.executable, "-m", "agavefs.supervise", str(mountpoint), str(writing), *arguments]
    else:  # it lives no longer than who has started it, and what it has not sent is brought to where that finds it
        command = [*_mount(arguments, writing), f"--held={held}"]
    try:
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL, stdout=fd, stderr=fd, pass_fds=fds, start_new_session=True, cwd="/",
            )  # fmt: skip
        finally:
            os.close(fd)
    finally:
        os.close(writing)
    with os.fdopen(reading, "rb") as words:
        return _listen(words, child, mountpoint, log, say)


def _mount(arguments: list[str], tell: int) -> list[str]:
    return [sys.executable, "-m", "agavefs", *arguments, f"--tell={tell}"]


def keep(mountpoint: str, told: int, arguments: list[str]) -> int:
    """Have it mounted until it is unmounted; the exit status of the last mount. `told` is the pipe to who starts it."""
    child: subprocess.Popen[bytes] | None = None
    ending = False

    def pass_on(number: int, frame: object) -> None:
        nonlocal ending
        ending = ending or number != signal.SIGHUP  # which asks to look anew
        if child is not None:
            child.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, pass_on)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    pause, once = 0.0, False
    while True:
        reading, writing = os.pipe()
        began = time.monotonic()
        child = subprocess.Popen(_mount(arguments, writing), pass_fds=(writing,))
        os.close(writing)
        if ending:
            child.terminate()  # it was asked for while there was none to ask
        ready = _forward(reading, told)
        once, told = once or ready, -1
        status = child.wait()
        if ending or not once or not _died(status):
            return status
        soon = time.monotonic() - began < _STABLE
        pause = min(max(1.0, pause * 2), _PAUSE_READY if ready else _PAUSE_MOST) if soon else 0.0
        time.sleep(pause)
        if ending or not _is_free(mountpoint, status):
            return status
        _log.error("the mount died (%d): mounting again on %s", status, mountpoint)
        subprocess.run(["fusermount3", "-u", "-z", mountpoint], check=False, capture_output=True)


def _forward(reading: int, told: int) -> bool:
    """Pass on what a mount tells, up to that it is ready; whether it is."""
    ready = False
    with os.fdopen(reading, "rb") as words:
        for line in words:
            with contextlib.suppress(OSError):
                os.write(told, line)
            ready = ready or msgspec.json.decode(line, type=Word).ready
    if told >= 0:
        os.close(told)
    return ready


def _died(status: int) -> bool:
    """Whether a mount has ended as no mount should."""
    return status not in (0, EX_TEMPFAIL)


def _is_free(mountpoint: str, status: int) -> bool:
    """Whether nobody has unmounted it meanwhile, or mounts there by now."""
    try:
        there = os.path.ismount(mountpoint)
        Path(mountpoint).stat()
    except OSError as error:
        return error.errno == errno.ENOTCONN  # what a killed one has left answers so to everybody
    return status > 0 and not there  # one that failed has unmounted itself


def _listen(
    words: IO[bytes], child: subprocess.Popen[bytes], mountpoint: Path, log: Path, say: Callable[[str], None]
) -> int:
    for line in words:
        word = msgspec.json.decode(line, type=Word)
        if word.notice:
            say(word.notice)
        if word.error:
            child.wait()
            say(word.error)
            reasons = _said_by_fuse(log) if "fuse" in word.error else []
            for reason in reasons:
                say(reason)
            if any(reason.endswith("Operation not permitted") for reason in reasons):
                say("mounting is not allowed here: a container needs --cap-add SYS_ADMIN, too")
                return EX_UNAVAILABLE
            return word.status
        if word.ready:
            # the kernel has it; that it answers is seen by asking
            os.statvfs(mountpoint)
            child.returncode = 0  # it outlives us: nobody waits for it here
            return 0
    child.wait()
    say(f"the mount ended before it answered; its log is {log}")
    return EX_SOFTWARE


def _said_by_fuse(log: Path) -> list[str]:
    """What libfuse and fusermount3 have said at the end: they write to standard error, not to who called them."""
    lines = log.read_text(errors="replace").splitlines()[-5:]
    return [line for line in lines if line.startswith(("fuse", "mount"))]


def tell(fd: int, word: Word) -> None:
    """Tell the parent, if it is still there."""
    try:
        os.write(fd, msgspec.json.encode(word) + b"\n")
    except OSError:
        pass


def tell_systemd(state: str) -> None:
    """Tell the service manager, if one has started us and waits for it: sd_notify(3)."""
    if place := os.environ.get("NOTIFY_SOCKET"):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
            there.connect(f"\0{place[1:]}" if place.startswith("@") else place)
            there.send(state.encode())


if __name__ == "__main__":
    sys.exit(keep(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
