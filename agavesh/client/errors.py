"""What can go wrong, as a closed set.

    AgaveError
    ├── BadRequest          the platform, or we, could not make sense of it           EINVAL
    │   └── BadArgument     wrong before anything was sent                             EINVAL
    ├── NotSignedIn         no login, or it is no longer good                          EKEYEXPIRED
    ├── NotAllowed          signed in, but not permitted                               EACCES
    │   └── ReadOnly        nobody may write here: job outputs, made-up files          EROFS
    ├── NotFound            no such thing                                              ENOENT
    ├── AlreadyThere        the name is taken                                          EEXIST
    ├── WrongKind           a folder where a file is meant, or the other way round     EISDIR, ENOTDIR
    ├── NotEmpty            a folder that still holds something                        ENOTEMPTY
    ├── Changed             not the version that was asked for any more                ESTALE
    ├── Unreachable         no connection: DNS, refused, reset, proxy                  EHOSTUNREACH
    │   ├── Untrusted       the certificate or the proof does not fit                  EHOSTUNREACH
    │   └── TimedOut        no answer in time                                          ETIMEDOUT
    ├── Busy                429 and 503: asked to wait                                 EAGAIN
    ├── Unsupported         the platform does not do that                              EOPNOTSUPP
    ├── BadAnswer           cut, malformed, or not from the platform at all            EIO
    ├── StagingFailed       an upload was taken and then lost by the platform          EIO
    └── ServerTrouble       any other 5xx                                              EIO

Each is written for the person who reads it: `sentence` says what was wrong, with its name; `hint` what to try.
"""

from __future__ import annotations

import errno


class AgaveError(Exception):
    """The root. `status` is the HTTP status, `request_id` names the request in the log; both may be None."""

    errno = errno.EIO

    def __init__(
        self, sentence: str, *, hint: str = "", status: int | None = None, request_id: str | None = None
    ) -> None:
        super().__init__(sentence)
        self.sentence, self.hint, self.status, self.request_id = sentence, hint, status, request_id

    def __str__(self) -> str:
        return f"{self.sentence}: {self.hint}" if self.hint else self.sentence


class BadRequest(AgaveError):
    """The platform could not make sense of the request."""

    errno = errno.EINVAL


class BadArgument(BadRequest):
    """Wrong before anything was sent."""


class NotSignedIn(AgaveError):
    """No login, or one that is no longer good and could not be renewed."""

    errno = errno.EKEYEXPIRED


class NotAllowed(AgaveError):
    """Signed in, but not permitted."""

    errno = errno.EACCES


class ReadOnly(NotAllowed):
    """Nobody may write here."""

    errno = errno.EROFS


class NotFound(AgaveError):
    """No such thing."""

    errno = errno.ENOENT


class AlreadyThere(AgaveError):
    """The name is taken."""

    errno = errno.EEXIST


class WrongKind(AgaveError):
    """A folder where a file is meant, or the other way round."""

    errno = errno.EISDIR

    def __init__(self, sentence: str, *, directory_expected: bool = False, hint: str = "") -> None:
        super().__init__(sentence, hint=hint)
        if directory_expected:
            self.errno = errno.ENOTDIR


class NotEmpty(AgaveError):
    """A folder that still holds something."""

    errno = errno.ENOTEMPTY


class Changed(AgaveError):
    """Not the version that was asked for any more."""

    errno = errno.ESTALE


class Unreachable(AgaveError):
    """No connection to the platform."""

    errno = errno.EHOSTUNREACH


class Untrusted(Unreachable):
    """The other side could not show that it is who we mean."""


class TimedOut(Unreachable):
    """No answer in time."""

    errno = errno.ETIMEDOUT


class Busy(AgaveError):
    """The platform asks to wait. `retry_after` is in seconds, or None."""

    errno = errno.EAGAIN
    retry_after: float | None = None


class Unsupported(AgaveError):
    """The platform does not do that."""

    errno = errno.EOPNOTSUPP


class BadAnswer(AgaveError):
    """Cut, malformed, or not from the platform at all."""


class StagingFailed(AgaveError):
    """An upload was taken, and then not put in place."""


class ServerTrouble(AgaveError):
    """The platform failed in a way of its own."""
