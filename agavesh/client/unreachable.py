"""Why there was no answer: the network libraries' exceptions, told as ours. Pure."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator

from agavesh.client.connection import httpx
from agavesh.client.errors import AgaveError, BadAnswer, BadArgument, TimedOut, Unreachable, Untrusted

# OpenSSL's X509_V_ERR_… codes, those that people meet
_NOT_YET, _EXPIRED, _UNKNOWN, _HOST = (9,), (10,), (18, 19, 20, 21), (62, 64)


def explain(what: str, host: str, reason: BaseException) -> AgaveError:
    """The error for `reason`, which ended a request to `host` before its answer was whole."""
    causes = list(_causes(reason))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _untrusted(what, host, cause)
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            return Unreachable(
                f"{what}: there is no host called {host}", hint="check the URL, and whether this machine is online"
            )
        if isinstance(cause, ssl.SSLError):
            return Untrusted(
                f"{what}: no secure connection to {host}: {cause.reason or cause}",
                hint="does the URL begin with the right one of http and https?",
            )
    if isinstance(reason, httpx.ProxyError):
        return Unreachable(
            f"{what}: the proxy refused to connect to {host}: {reason}", hint="see HTTPS_PROXY and NO_PROXY"
        )
    if isinstance(reason, httpx.TimeoutException):
        return TimedOut(f"{what}: {host} did not answer in time", hint="try again")
    if isinstance(reason, httpx.LocalProtocolError):
        # its words may quote a header, and a header may be a token
        return BadArgument(f"{what}: this cannot be sent as a request", hint="look at its headers and its body")
    if isinstance(reason, (httpx.DecodingError, httpx.ProtocolError)):
        return BadAnswer(f"{what}: {host} broke off its answer: {reason}", hint="try again")
    for cause in causes:
        if isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED:
            return Unreachable(f"{what}: {host} refuses connections", hint="is the tenant up, and the port right?")
    words = next((text for text in map(_words, reversed(causes)) if text), type(reason).__name__)
    return Unreachable(f"{what}: no connection to {host}: {words}", hint="try again")


def _untrusted(what: str, host: str, reason: ssl.SSLCertVerificationError) -> Untrusted:
    code = reason.verify_code
    if code in _EXPIRED:
        said, hint = "has expired", "its owner must renew it; is this machine's clock right?"
    elif code in _NOT_YET:
        said, hint = "is not valid yet", "is this machine's clock right?"
    elif code in _HOST:
        said, hint = "is for another host", "check the host name in the URL"
    elif code in _UNKNOWN:
        said = "is signed by nobody we trust"
        hint = "if that is right, name the file of its authority: `login --ca-cert FILE`, or AGAVE_CA_CERT"
    else:
        said, hint = f"is not good ({reason.verify_message})", "AGAVE_CA_CERT names a file of authorities to trust"
    return Untrusted(f"{what}: the certificate of {host} {said}", hint=hint)


def _causes(reason: BaseException) -> Iterator[BaseException]:
    """The exception and what lies behind it, groups included."""
    yield reason
    if isinstance(reason, BaseExceptionGroup):
        for inner in reason.exceptions:
            yield from _causes(inner)
    behind = reason.__cause__ or reason.__context__
    if behind is not None:
        yield from _causes(behind)


def _words(cause: BaseException) -> str:
    return (cause.strerror or str(cause)) if isinstance(cause, OSError) else str(cause)
