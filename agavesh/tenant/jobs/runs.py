"""The tenant's side of a runner: start one, wait for its end, ask it to stop, also one that another tenant started.

`runner` tells what the files of the folder are. All state is there: a `Run` made anew after a restart knows as much.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from agavesh.tenant.jobs import runner
from agavesh.tenant.jobs.runner import Spec

START = 30.0  # seconds that a runner may take to begin; it needs some hundredths of one


@dataclass
class Run:
    """One run of a job's script; `folder` is its own and private."""

    folder: Path
    _child: int | None = None  # the runner, if it is a child of this process

    @property
    def asked_for(self) -> bool:
        """Whether a runner was ever here. If not, the script never ran."""
        return (self.folder / "alive").exists()

    @property
    def log(self) -> str:
        """What the runner itself had to complain of."""
        with contextlib.suppress(OSError):
            return (self.folder / "runner.log").read_text(errors="replace").strip()
        return ""

    @property
    def begun(self) -> Mapping[str, Any] | None:
        """`pid` and `at` (epoch seconds) of the script's begin, or None."""
        return runner.read(str(self.folder / "begun.json"))

    @property
    def ended(self) -> Mapping[str, Any] | None:
        """How it ended: `why`, `exit`, `signal`, `at`. None before, and for ever if its runner was killed."""
        return runner.read(str(self.folder / "ended.json"))

    async def start(self, spec: Spec) -> None:
        """Start the runner, unless there is or was one, and return when the script runs.

        A cancel leaves it running. One that takes too long is killed. Whether it did run, `asked_for` says.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        runner.write_once(str(self.folder / "spec.json"), dict(spec))
        reading, writing = os.pipe()
        try:
            self._child = self._spawn(writing)
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        with trio.move_on_after(START) as patience:
            async with trio.lowlevel.FdStream(reading) as announced:
                while await announced.receive_some():
                    pass
        if patience.cancelled_caught:
            os.kill(self._child, signal.SIGKILL)  # a child that is not reaped yet: the number is its own

    def _spawn(self, announce: int) -> int:
        log = str(self.folder / "runner.log")
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", runner.__file__, str(self.folder)],
            {"PATH": os.defpath, "LANG": "C.UTF-8"},  # nothing of the tenant's environment: it may hold secrets
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, announce, 1),
                (os.POSIX_SPAWN_OPEN, 2, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            ],
            setsid=True,
        )

    async def wait(self) -> Mapping[str, Any] | None:
        """Wait until the runner is gone, then say how the script ended; None if the runner was killed."""
        with contextlib.suppress(FileNotFoundError):
            alive = os.open(self.folder / "alive", os.O_RDONLY | os.O_NONBLOCK)
            try:
                while _held(alive):
                    await trio.lowlevel.wait_readable(alive)
            finally:
                os.close(alive)
        if self._child is not None:
            await trio.to_thread.run_sync(_reap, self._child)
            self._child = None
        return self.ended

    def stop(self) -> bool:
        """Ask the runner to end the script: first politely, after some seconds not. False if there is no runner."""
        try:
            asking = os.open(self.folder / "stop", os.O_WRONLY | os.O_NONBLOCK)
        except OSError as trouble:
            if trouble.errno in (errno.ENOENT, errno.ENXIO):
                return False
            raise
        try:
            os.write(asking, b"!")
        finally:
            os.close(asking)
        return True


def _held(alive: int) -> bool:
    """Whether somebody holds the other end of a FIFO."""
    try:
        return bool(os.read(alive, 1))
    except BlockingIOError:
        return True


def _reap(child: int) -> None:
    """Take leave of a child that is ending."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)


def sweep(mark: str) -> None:
    """Kill what a job left whose runner was killed: every process of ours whose environment began with its mark."""
    quiet = 0
    for _ in range(10):  # they may be quick at starting others, and one that is just changing programs shows nothing
        quiet = 0 if _kill_marked(f"{runner.MARK}={mark}".encode()) else quiet + 1
        if quiet == 2:
            return


def _kill_marked(wanted: bytes) -> int:
    found = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0") and int(folder.name) != os.getpid():
                os.kill(int(folder.name), signal.SIGKILL)
                found += 1
        except OSError:
            continue  # it ended meanwhile, or is another user's
    return found
