"""The parent of a mount: starts it in the background, waits until it answers, and says what went wrong if it does not.

The mount is a process of its own session, with a log in place of a terminal. It tells its parent how it goes over a
pipe, in lines of JSON; when the pipe closes without a word, it has died, and the end of its log says why.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec

EX_UNAVAILABLE, EX_SOFTWARE = 69, 70


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
    holding, fds = ([], (writing,)) if held is None else ([f"--held={held}"], (writing, held))
    try:
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            child = subprocess.Popen(
                [sys.executable, "-m", "agavefs", *arguments, f"--tell={writing}", *holding],
                stdin=subprocess.DEVNULL, stdout=fd, stderr=fd, pass_fds=fds, start_new_session=True, cwd="/",
            )  # fmt: skip
        finally:
            os.close(fd)
    finally:
        os.close(writing)
    with os.fdopen(reading, "rb") as words:
        return _listen(words, child, mountpoint, log, say)


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
