"""What `agavesh` ends with: 0, a job's outcome, or our own failures in the manner of sysexits.h.

`help exit-codes` shows this list, and the tests read it.
"""

from __future__ import annotations

import errno

import agavesh.client.errors as e

OK = 0
JOB_FAILED = 1
JOB_STOPPED = 2
USAGE = 64
DATA = 65
MISSING = 66
UNAVAILABLE = 69
BUG = 70
MACHINE = 71
CANNOT_CREATE = 73
IO = 74
LATER = 75
PROTOCOL = 76
NOT_ALLOWED = 77
CONFIG = 78
INTERRUPTED = 130
OUTPUT_CLOSED = 141

MEANING = {
    OK: "done",
    JOB_FAILED: "a job that was waited for ended as FAILED",
    JOB_STOPPED: "a job that was waited for was STOPPED or KILLED",
    USAGE: "the command line was wrong",
    DATA: "the platform could make no sense of what it was sent, or a folder stood where a file was meant",
    MISSING: "no such file, system, app or job",
    UNAVAILABLE: "the platform, or what was asked of it, is not there",
    BUG: "a fault of agavesh itself",
    MACHINE: "this machine could not mount or unmount",
    CANNOT_CREATE: "the name is taken, or the folder not empty",
    IO: "reading or writing failed, here or there",
    LATER: "no answer in time, or asked to wait, or something is in use or changed meanwhile: try again",
    PROTOCOL: "an answer was cut, malformed, or not from a platform",
    NOT_ALLOWED: "not signed in, or not permitted",
    CONFIG: "a tenant's folder is of another version, or damaged",
    INTERRUPTED: "Ctrl-C",
    OUTPUT_CLOSED: "the reader of the output went away",
}

# the nearest class in an error's family tree decides
_BY_CLASS: dict[type[BaseException], int] = {
    e.BadArgument: USAGE,
    e.BadRequest: DATA,
    e.WrongKind: DATA,
    e.NotFound: MISSING,
    e.Unreachable: UNAVAILABLE,
    e.TimedOut: LATER,
    e.Unsupported: UNAVAILABLE,
    e.ServerTrouble: UNAVAILABLE,
    e.AlreadyThere: CANNOT_CREATE,
    e.NotEmpty: CANNOT_CREATE,
    e.StagingFailed: IO,
    e.Busy: LATER,
    e.Changed: LATER,
    e.BadAnswer: PROTOCOL,
    e.NotAllowed: NOT_ALLOWED,
    e.NotSignedIn: NOT_ALLOWED,
    e.AgaveError: IO,
}


_BY_ERRNO = {
    errno.ENOENT: MISSING,
    errno.EACCES: NOT_ALLOWED,
    errno.EPERM: NOT_ALLOWED,
    errno.EEXIST: CANNOT_CREATE,
}


def exit_code(error: BaseException) -> int:
    """What to end with after this error."""
    if isinstance(error, OSError):
        return _BY_ERRNO.get(error.errno or 0, IO)
    return next((code for kind in type(error).__mro__ if (code := _BY_CLASS.get(kind)) is not None), BUG)
