"""The runner: the small process that stands over one job and outlives the tenant that started it.

It starts the job's script in a session of its own, ends it when its time is up, its memory is too much or a stop is
asked for, and writes down how it went. It knows nothing of the platform: a folder is all that tenant and runner share,
and each file in it is written once, by one of the two.

    spec.json    tenant   what to run (`Spec`)
    alive        runner   a FIFO that the runner holds open: whoever reads its end knows that the runner is gone
    stop         runner   a FIFO: any byte asks the runner to stop the job
    begun.json   runner   the process id, and when it began
    ended.json   runner   exit code or signal, why it ended, and when

So no process id is ever trusted: a runner is known by what it holds open, and the kernel lets go of that when it dies.
Making `alive` is exclusive, hence a job is run once, however often a crash makes a tenant ask for it.

This file is run as a script, `python -I -S runner.py FOLDER`, and imports the standard library only: a runner should
cost some milliseconds and a few megabytes.
"""
# ruff: noqa: PTH105, PTH108, PTH123, PTH208  pathlib would double the start-up time

import contextlib
import ctypes
import errno
import json
import os
import select
import signal
import sys
import time
from typing import Any, NamedTuple, TypedDict

GRACE = 3.0  # seconds between the request to end (SIGTERM) and the end (SIGKILL)
LOOK = 1.0  # seconds between two looks at how much memory is used
NICE = 5  # the tenant, and whoever sits at this machine, go before jobs
_PR_SET_CHILD_SUBREAPER = 36  # from <linux/prctl.h>
MARK = "AGAVE_JOB_ID"  # the variable that every process of a job has inherited, unless it took care not to


class Spec(TypedDict):
    """What to run: `argv` in `cwd` with `environment` alone, its output into two files, for `limit` seconds at most.

    `nested` says that argv is a program which runs the script as its one child, in a session of that child's own, as
    bubblewrap does. `pid` is a file that is to say the process id. `memory` is how many bytes all processes may have
    together; 0 for any.
    """

    argv: list[str]
    nested: bool
    pid: str
    cwd: str
    environment: dict[str, str]
    out: str
    err: str
    limit: float
    memory: int


def write_once(path: str, content: dict[str, Any]) -> None:
    """A JSON file that is there whole or not at all; but after a crash of the machine it may be empty."""
    temporary = f"{path}.{os.getpid()}.{time.monotonic_ns()}"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(content, file)
    os.replace(temporary, path)


def read(path: str) -> dict[str, Any] | None:
    """What `write_once` wrote, or None if it is not there, or empty."""
    try:
        with open(path, encoding="utf-8") as file:
            found: dict[str, Any] = json.load(file)
    except (FileNotFoundError, ValueError):
        return None
    return found


def hold(folder: str) -> int:
    """Make `alive` and keep it open; FileExistsError if a runner was here before."""
    temporary = f"{folder}/alive.{os.getpid()}"
    os.mkfifo(temporary, 0o600)
    held = os.open(temporary, os.O_RDWR)  # both ends: opening one alone would wait for somebody at the other
    try:
        os.link(temporary, f"{folder}/alive")  # exclusive, and already held when it appears
    finally:
        os.unlink(temporary)
    return held


def run(folder: str) -> None:
    """Run what `spec.json` asks for, to its end."""
    spec = read(f"{folder}/spec.json")
    if spec is None:
        raise FileNotFoundError(errno.ENOENT, "no spec", f"{folder}/spec.json")
    poll = _listen(folder)
    adopt_orphans()
    try:
        child = _start(spec)
    except OSError as trouble:
        write_once(f"{folder}/ended.json", {"why": "unstartable", "error": str(trouble), "at": time.time()})
        return
    try:
        write_once(f"{folder}/begun.json", {"pid": child, "at": time.time()})
        _tell(spec["pid"], f"{child}\n")
        _announce()
        why = _wait(child, poll, spec["limit"], memory=spec.get("memory", 0))
        if why != "exited":
            leader = _inner(child) if spec["nested"] else child
            _signal_group(leader, signal.SIGTERM)
            _signal_group(leader, signal.SIGCONT)  # a process that was suspended hears nothing until it goes on
            _wait(child, poll, GRACE, deaf=True)
    finally:
        _signal_group(child, signal.SIGKILL)  # what the script left in the background ends with it
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        end_children()
    ended = {"why": why, "exit": code if code >= 0 else None, "signal": -code if code < 0 else None}
    write_once(f"{folder}/ended.json", {**ended, "at": time.time()})


class Poll(NamedTuple):
    """What a runner listens to: the FIFO that asks for a stop, and a pipe with the numbers of signals."""

    asks: int
    signals: int


def _listen(folder: str) -> Poll:
    path = f"{folder}/stop"
    with contextlib.suppress(FileExistsError):
        os.mkfifo(path, 0o600)
    asks = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    reading, writing = os.pipe()
    for end in (reading, writing):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(writing)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return Poll(asks, reading)


def _start(spec: dict[str, Any]) -> int:
    os.chdir(spec["cwd"])
    os.umask(0o022)
    os.nice(NICE)
    for path in (spec["out"], spec["err"]):  # an earlier run may have put a link, or a pipe, there
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    fresh = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    return os.posix_spawn(
        spec["argv"][0],
        spec["argv"],
        spec["environment"],
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, spec["out"], fresh, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2)
            if spec["err"] == spec["out"]
            else (os.POSIX_SPAWN_OPEN, 2, spec["err"], fresh, 0o644),
        ],
        setsid=True,
        setsigdef=[signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP],  # Python ignores the first two
    )


def _tell(path: str, text: str) -> None:
    """Write into a file in the job's folder, of which the job may have made something else by now."""
    careful = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK
    with contextlib.suppress(OSError):
        file = os.open(path, careful, 0o644)
        try:
            os.write(file, text.encode())
        finally:
            os.close(file)


def _inner(child: int) -> int:
    """The leader of the session within: the first process of the script's namespace, which no polite signal ends."""
    with contextlib.suppress(OSError):
        with open(f"/proc/{child}/task/{child}/children", encoding="ascii") as file:
            found = [int(number) for number in file.read().split()]
        if found and os.getsid(found[0]) == found[0]:
            return found[0]
    return child


def _announce() -> None:
    """Close the pipe on standard output: the tenant waits for its end to know that the job has begun."""
    with contextlib.suppress(OSError):
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)


def _wait(child: int, poll: Poll, seconds: float, *, deaf: bool = False, memory: int = 0) -> str:
    """Wait for the child's end (which is left to be reaped), the limits, or, unless deaf, a request to end it."""
    deadline = time.monotonic() + seconds
    while True:
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if ended.si_pid == child:
                return "exited"
            os.waitpid(ended.si_pid, 0)  # an orphan
        left = deadline - time.monotonic()
        if left <= 0:
            return "limit"
        if memory and _uses_more_than(memory):
            return "memory"
        heard = select.select([poll.signals] if deaf else poll, [], [], min(left, LOOK if memory else 86400))[0]
        numbers = os.read(poll.signals, 512) if poll.signals in heard else b""
        if not deaf and poll.asks in heard:
            return "stopped"
        if not deaf and (signal.SIGTERM in numbers or signal.SIGINT in numbers):
            return "terminated"


def _uses_more_than(most: int) -> bool:
    """Whether the processes of the job hold more memory of their own than they may, swapped out or not.

    What several of them share is counted for each by a first look, which is cheap; where that is too much a second one,
    which is not, counts every page once.
    """
    family = _family(os.getpid())
    if sum(_told(f"/proc/{each}/status", ("RssAnon", "RssShmem", "VmSwap")) for each in family) <= most:
        return False
    return sum(_told(f"/proc/{each}/smaps_rollup", ("Pss_Anon", "Pss_Shmem", "SwapPss")) for each in family) > most


def _family(parent: int) -> list[int]:
    """All that a process has started, and what those have. Linux only: elsewhere there are none."""
    found = []
    for thread in _listed(f"/proc/{parent}/task"):
        with contextlib.suppress(OSError), open(f"/proc/{parent}/task/{thread}/children", encoding="ascii") as file:
            found += [int(number) for number in file.read().split()]
    return found + [each for child in found for each in _family(child)]


def _listed(folder: str) -> list[str]:
    with contextlib.suppress(OSError):
        return os.listdir(folder)
    return []


def _told(path: str, names: tuple[str, ...]) -> int:
    """The sum of some sizes that the kernel tells of a process, in bytes; 0 of one that is gone."""
    with contextlib.suppress(OSError), open(path, encoding="ascii", errors="replace") as file:
        lines = (line.split() for line in file)
        return sum(int(line[1]) << 10 for line in lines if line and line[0].rstrip(":") in names)
    return 0


def _signal_group(leader: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def adopt_orphans() -> None:
    """Become the parent of what the script starts and then leaves, so that nothing gets away. Linux only."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_children() -> None:
    """Kill and reap every process that is left of the job, those included that left its group."""
    while True:
        try:
            with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
                children = [int(number) for number in file.read().split()]
        except OSError:
            return  # not Linux: the group is all we know of
        if not children:
            return
        for child in children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
        for child in children:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child, 0)


def main() -> int:
    """Run the job of the folder named on the command line, unless a runner has it or had it."""
    folder = sys.argv[1]
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # a listening socket held here would keep the tenant from its port
    try:
        hold(folder)
    except FileExistsError:
        return 0
    run(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
