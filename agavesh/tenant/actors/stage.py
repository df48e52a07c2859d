"""The stage: the small process between a job's runner and an actor's program, for one execution.

The runner keeps the time, ends what is to be ended, and outlives the tenant; the stage gives the program what actors
are promised. It fills the named pipe of a binary message, takes results from a datagram socket, keeps the output up to
a size, and writes down how much the program used. A folder is all that it shares with the tenant:

    task.json      tenant   what to run (`Task`)
    message        tenant   the bytes of a binary message
    binary_data    stage    the named pipe that holds them for the program
    results.sock   stage    the socket that takes results
    results/N      stage    one result each, in the order they came; the tenant takes them away
    log            stage    the output
    outcome.json   stage    exit code, CPU time and I/O; or why the program did not start

It is run as `python -S -P -s -m agavesh.tenant.actors.stage FOLDER`, and imports the standard library, and of ours only
what does so too: it should cost some milliseconds.
"""
# ruff: noqa: PTH102, PTH104, PTH123  pathlib would double the start-up time

import contextlib
import fcntl
import os
import resource
import select
import signal
import socket
import sys
import termios
from array import array
from typing import Any, TypedDict

from agavesh.tenant.jobs.runner import adopt_orphans, end_children, read, write_once

LOG = 1_000_000  # bytes, the platform's own figure
LARGEST_FILE = 1 << 32  # bytes, of any file that an actor writes
LARGEST_RESULTS = 64 << 20  # bytes, of all results of an execution
MOST_RESULTS = 10_000
PIECE = 1 << 16  # bytes
LONGEST_ADDRESS = 107  # bytes, of a Unix socket
AT_A_TIME = 100  # pieces, results: a program that sends without end must not keep us from its signals
UNREAD = 0.05  # seconds between two looks at whether a message was read to its end


class Task(TypedDict):
    """What to run: `argv` in `cwd` with `environment` alone. `results` is the variable that tells the socket's path."""

    argv: list[str]
    cwd: str
    environment: dict[str, str]
    results: str


class Stage:
    """One execution, from the program's start to its end."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._log = os.open(f"{folder}/log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._logged = 0
        self._wakeups = _signals()
        adopt_orphans()
        self._results = _bound(folder)
        self._taken = self._size = 0
        self._pipe = _Pipe(f"{folder}/binary_data", f"{folder}/message")
        self._output = self._child = -1

    def run(self, task: Task) -> dict[str, Any]:
        """Run the program to its end. What it came to."""
        environment = task["environment"]
        if len(os.fsencode(environment[task["results"]])) > LONGEST_ADDRESS:
            # an address that is too long for a socket, by a shorter way
            top = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            environment[task["results"]] = f"/proc/{os.getpid()}/fd/{top}/results.sock"
        try:
            self._start(task)
        except OSError as trouble:
            return {"error": trouble.strerror}
        while os.waitid(os.P_PID, self._child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            self._serve()
        self._drain()
        self._take()
        before = _io()
        code = os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1])
        end_children()  # what it left behind is ours now; and bubblewrap does not wait for the one who did the work
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "exit": code if code >= 0 else 128 - code,  # as containers tell of signals
            "cpu": int((used.ru_utime + used.ru_stime) * 1e9),
            "io": max(_io() - before, 0),
        }

    def _start(self, task: Task) -> None:
        os.chdir(task["cwd"])
        resource.setrlimit(resource.RLIMIT_FSIZE, _lowered(resource.RLIMIT_FSIZE, LARGEST_FILE))
        self._output, writing = os.pipe()
        os.set_blocking(self._output, False)
        try:
            self._child = os.posix_spawn(
                task["argv"][0],
                task["argv"],
                task["environment"],
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, writing, 1),
                    (os.POSIX_SPAWN_DUP2, writing, 2),
                ],
                setsid=True,  # what the runner tells the stage's group is for the stage alone
                setsigdef=[signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP],
            )
        finally:
            os.close(writing)

    def _serve(self) -> None:
        """Wait until something happens, and see to it."""
        listening = [self._wakeups, self._results.fileno(), *([self._output] if self._output >= 0 else [])]
        feeding = [self._pipe.fd] if self._pipe.waiting else []
        patience = UNREAD if self._pipe.fd >= 0 and not feeding else None
        heard = select.select(listening, feeding, [], patience)[0]
        if self._wakeups in heard and signal.SIGTERM in os.read(self._wakeups, 512):
            self._kill()
        self._drain()
        self._take()
        self._pipe.feed()

    def _kill(self) -> None:
        """The end is wanted, by a stop or because time is up. What left the program's session, the runner finds."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child, signal.SIGKILL)

    def _drain(self) -> None:
        """Keep what the program has written, as long as there is room; the rest is read and dropped."""
        for _ in range(AT_A_TIME if self._output >= 0 else 0):
            try:
                piece = os.read(self._output, PIECE)
            except BlockingIOError:
                return
            if not piece:
                os.close(self._output)
                self._output = -1
                return
            kept = piece[: LOG - self._logged]
            with contextlib.suppress(OSError):  # a full disk costs the log, not the execution
                while kept:
                    written = os.write(self._log, kept)
                    self._logged += written
                    kept = kept[written:]
            if len(piece) < PIECE:
                return

    def _take(self) -> None:
        """Keep the results that have come, as long as there is room; an empty one would say that there is none."""
        for _ in range(AT_A_TIME):
            try:
                result = self._results.recv(LARGEST_RESULTS - self._size + 1)
            except (BlockingIOError, ConnectionError):
                return
            if not result or self._taken == MOST_RESULTS or self._size + len(result) > LARGEST_RESULTS:
                continue
            with contextlib.suppress(OSError):
                _put(f"{self._folder}/results", f"{self._taken:06}", result)
                self._taken += 1
                self._size += len(result)


class _Pipe:
    """The named pipe of a binary message, held open until the program has read it to its end.

    As much as a pipe may hold is there before the program starts: a reader that takes an empty pipe for the end, as
    AgavePy's does, gets a message of that size whole.
    """

    def __init__(self, path: str, message: str) -> None:
        self.fd = self._source = -1
        self._piece = b""
        with contextlib.suppress(FileExistsError):
            os.mkfifo(path, 0o600)
        try:
            self._source = os.open(message, os.O_RDONLY)
        except FileNotFoundError:
            return
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)  # both ends: nobody reads it yet
        size = os.fstat(self._source).st_size
        for room in (size, 1 << 20, 1 << 18):  # more than the second is for root
            with contextlib.suppress(OSError):
                fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, max(room, 1 << 16))
                break
        self.feed()

    @property
    def waiting(self) -> bool:
        """Whether there is more of the message than the pipe has taken."""
        return self._source >= 0

    def feed(self) -> None:
        """Put into the pipe what it takes; let go of it when everything was read."""
        while self.waiting:
            self._piece = self._piece or os.read(self._source, PIECE)
            if not self._piece:
                os.close(self._source)
                self._source = -1
                break
            try:
                self._piece = self._piece[os.write(self.fd, self._piece) :]
            except BlockingIOError:
                return
        if self.fd >= 0 and not self.waiting and _unread(self.fd) == 0:
            os.close(self.fd)
            self.fd = -1


def _unread(pipe: int) -> int:
    size = array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, size)
    return size[0]


def _signals() -> int:
    """A pipe that tells of signals: the program's end, and that it is to be ended."""
    reading, writing = os.pipe()
    for end in (reading, writing):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(writing)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    return reading


def _bound(folder: str) -> socket.socket:
    """The socket for results; bound from within the folder, whose path may be too long for an address."""
    found = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    os.chdir(folder)
    os.mkdir("results", 0o700)
    found.bind("results.sock")
    return found


def _put(folder: str, name: str, content: bytes) -> None:
    """A file that is there whole or not at all."""
    fd = os.open(f"{folder}/.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
    finally:
        os.close(fd)
    os.rename(f"{folder}/.new", f"{folder}/{name}")


def _io() -> int:
    """Bytes that we, and those we have waited for, have read and written by any means."""
    with contextlib.suppress(OSError, KeyError, ValueError):
        with open("/proc/self/io", encoding="ascii") as file:
            told = dict(line.split(": ") for line in file.read().splitlines())
        return int(told["rchar"]) + int(told["wchar"])
    return 0


def _lowered(kind: int, most: int) -> tuple[int, int]:
    soft, hard = (most if limit == resource.RLIM_INFINITY else min(limit, most) for limit in resource.getrlimit(kind))
    return soft, hard


def main() -> int:
    """Do what the folder on the command line asks for."""
    folder = sys.argv[1]
    task = read(f"{folder}/task.json")
    if task is None:
        return 1
    outcome = Stage(folder).run(Task(**task))  # type: ignore[typeddict-item]  # the tenant wrote one
    write_once(f"{folder}/outcome.json", outcome)
    return 0


if __name__ == "__main__":
    sys.exit(main())
