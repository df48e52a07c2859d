"""What an answer means: a result, or one of our errors. Pure: bytes in, values out.

Four families share one host: the envelope of the services, the gateway's faults in XML or JSON, the OAuth2 errors of
/token, and pages in HTML from whatever stands in between. None of them is trusted to be well formed.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

import msgspec

from agavesh.api.operation import Operation
from agavesh.api.record import Page, Record, decode, decode_page
from agavesh.api.wire import EXPIRED, Envelope, FaultEnvelope
from agavesh.client.errors import (
    AgaveError,
    AlreadyThere,
    BadAnswer,
    BadRequest,
    Busy,
    NotAllowed,
    NotFound,
    NotSignedIn,
    ServerTrouble,
    TimedOut,
    Unsupported,
    WrongKind,
)

LONGEST: Final = 400  # characters of a server's message that a person is shown
# what msgspec raises for bytes that are no JSON, or are nested more deeply than anything is
MALFORMED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
SIGN_IN: Final = 'run "agavesh login"'


class Refusal(NamedTuple):
    """An answer that says no. `code` is the gateway's, or ""; `family` says who spoke."""

    status: int
    family: str  # "gateway", "service", "oauth", "page"
    code: str
    message: str

    @property
    def token_refused(self) -> bool:
        """Whether another token may be the cure."""
        return self.code in EXPIRED or (self.status == 401 and self.code not in ("900900", "900902"))

    @property
    def permission(self) -> bool:
        """Whether a 401 may just as well speak of permission: some services say so for files and apps of others."""
        return self.family == "service" and "authentication" not in self.message.lower()


_envelope = msgspec.json.Decoder(Envelope)
_fault = msgspec.json.Decoder(FaultEnvelope)


def result(operation: Operation, what: str, body: bytes, kind: Any = None) -> Any:
    """What a successful answer holds, decoded as `operation` declares. BadAnswer if that is not there.

    Of a page whose records are but looked through, `kind` may be a smaller struct: then each of them has to fit, unless
    the struct says what is made of one that does not, by `unfit`.
    """
    if operation.answer == "nothing":
        return None
    if not body.strip():
        return _nothing(operation, what)
    try:
        envelope = _envelope.decode(body)
    except MALFORMED as reason:
        raise _unreadable(what, body, reason) from None
    if envelope.status == "error":
        raise BadAnswer(f"{what}: the answer is both a success and an error: {_said(envelope.message)}")
    inner = bytes(envelope.result)
    if inner in (b"", b"null"):
        return _nothing(operation, what, null=bool(inner))
    try:
        if operation.answer == "page":
            return decode_page(inner if inner[:1] == b"[" else b"[" + inner + b"]", kind or operation.result)
        kind = _record_of(operation.result)
        if inner[:1] == b"[" and isinstance(kind, type) and issubclass(kind, Record):
            # wire: a few calls answer a list of the one record that was asked for
            (inner,) = (bytes(raw) for raw in msgspec.json.decode(inner, type=list[msgspec.Raw]))
        return decode(inner, kind)
    except (msgspec.DecodeError, ValueError, RecursionError) as reason:
        raise BadAnswer(
            f"{what}: the answer is not what the platform describes ({reason})",
            hint="`raw` gives it as it came",
        ) from None


def message(body: bytes) -> str:
    """What the envelope of a successful answer says beside its result; "" if nothing."""
    try:
        return str(_envelope.decode(body).message or "")
    except MALFORMED:
        return ""


def _nothing(operation: Operation, what: str, *, null: bool = False) -> Any:
    # of a list that was asked for, null may say that it is empty; silence does not: a folder would seem to be
    if operation.answer == "page" and (null or operation.method != "GET"):
        return Page()
    kind = operation.result
    if type(None) in typing.get_args(kind):
        return None
    if operation.method == "GET":
        raise BadAnswer(f"{what}: the answer holds no result")
    # it was done, so this is no error; a record of which nothing is known says so when it is read
    return decode(b"{}", kind) if isinstance(kind, type) and issubclass(kind, Record) else None


def _record_of(kind: Any) -> Any:
    if isinstance(kind, types.UnionType):
        (kind,) = (option for option in typing.get_args(kind) if option is not type(None))
    return kind


def _unreadable(what: str, body: bytes, reason: Exception) -> BadAnswer:
    if body.lstrip()[:1] == b"<":
        return BadAnswer(
            f"{what}: a page came back instead of an answer{_title(body)}",
            hint="something between here and the platform answered; check the URL and the proxy",
        )
    return BadAnswer(f"{what}: the answer is cut or malformed ({reason})", hint="try again")


def refusal(status: int, body: bytes) -> Refusal:
    """Who says no, with which code and words."""
    start = body.lstrip()[:1]
    if start == b"{":
        for read in (_as_fault, _as_envelope, _as_oauth):
            if (found := read(status, body)) is not None:
                return found
    if start == b"<" and (code := re.search(rb"<(?:\w+:)?code>\s*(\w+)\s*<", body[:65536])) is not None:
        words = [
            text.decode(errors="replace").strip()
            for name in (rb"message", rb"description")
            for text in re.findall(rb"<(?:\w+:)?" + name + rb">(.*?)</(?:\w+:)?" + name + rb">", body[:65536], re.S)
        ]
        return Refusal(status, "gateway", code[1].decode(), _said(". ".join(dict.fromkeys(filter(None, words)))))
    if start == b"<":
        return Refusal(status, "page", "", f"a web page{_title(body)}")
    return Refusal(status, "page", "", _said(body[:2000].decode(errors="replace")))


def _as_fault(status: int, body: bytes) -> Refusal | None:
    try:
        fault = _fault.decode(body).fault
    except MALFORMED:
        return None
    words = dict.fromkeys(filter(None, (fault.message.strip(), fault.description.strip())))
    return Refusal(status, "gateway", str(fault.code), _said(". ".join(words)))


def _as_envelope(status: int, body: bytes) -> Refusal | None:
    try:
        envelope = _envelope.decode(body)
    except MALFORMED:
        return None
    if not envelope.status and envelope.message is None:
        return None
    return Refusal(status, "service", "", _said(envelope.message))


class _OAuth(msgspec.Struct):
    error: str
    error_description: str = ""


def _as_oauth(status: int, body: bytes) -> Refusal | None:
    try:
        error = msgspec.json.decode(body, type=_OAuth)
    except MALFORMED:
        return None
    words = f"{error.error}: {error.error_description}" if error.error_description else error.error
    return Refusal(status, "oauth", error.error, _said(words))


def failure(what: str, no: Refusal, headers: Mapping[str, str] | None = None, *, password: bool = False) -> AgaveError:
    """The error for a refusal, with the server's own words in it. `password`: not a token but name and password."""
    sentence = f"{what}: {no.message or _REASONS.get(no.status, 'refused without a word')} ({no.status})"
    kind, hint = (NotSignedIn, "are name and password right?") if password and no.status == 401 else _kind(no)
    if kind is WrongKind:
        error: AgaveError = WrongKind(sentence, hint=hint)
        error.status = no.status
    else:
        error = kind(sentence, hint=hint, status=no.status)
    if isinstance(error, Busy):
        error.retry_after = retry_after(headers or {})
        if error.retry_after is not None:
            error.hint = f"try again in {error.retry_after:.0f} s"
    return error


_REASONS: Final = {404: "no such thing", 403: "not permitted", 429: "too many requests", 503: "not available now"}
_THROTTLED: Final = frozenset(f"9008{n:02}" for n in range(8))
_GATEWAY: Final[dict[str, tuple[type[AgaveError], str]]] = {
    "900900": (ServerTrouble, "the gateway could not check the token; try again later"),
    "900901": (NotSignedIn, SIGN_IN),
    "900902": (NotSignedIn, SIGN_IN),
    "900903": (NotSignedIn, SIGN_IN),
    "900904": (NotSignedIn, SIGN_IN),
    "900905": (NotAllowed, "the token is of the wrong type for this call"),
    "900906": (Unsupported, "this tenant does not offer the call"),
    "900907": (Busy, "the tenant has blocked this service for now"),
    "700700": (Busy, "the tenant has blocked this service for now"),
    "900908": (NotAllowed, "the OAuth client is not subscribed to this service: see clients.addSubscriptionForClient"),
    "900909": (NotAllowed, "the subscription of the OAuth client is inactive"),
    "900910": (NotAllowed, "the token's scope does not cover this call"),
}
_STATUS: Final[dict[int, tuple[type[AgaveError], str]]] = {
    400: (BadRequest, ""),
    403: (NotAllowed, ""),
    404: (NotFound, ""),
    405: (Unsupported, "the platform offers no such call here"),
    408: (TimedOut, "try again"),
    409: (AlreadyThere, ""),
    410: (NotFound, ""),
    412: (ServerTrouble, "the platform could not do it now: is the system up, and its credential good?"),
    413: (BadRequest, "the platform takes nothing that large"),
    416: (BadRequest, "the range is not in the file; has it become shorter?"),
    429: (Busy, "try again in a while"),
    501: (Unsupported, ""),
    503: (Busy, "try again in a while"),
    504: (TimedOut, "the platform was too slow; what was asked may still be done"),
}
_GONE = re.compile(r"does not exist|no such file|\bno (?!content\b)\w+ (?:\w+ )?found\b|\bnot found\b", re.I)
_TAKEN = re.compile(r"already exist", re.I)
_FOLDER = re.compile(r"directory downloads? not supported", re.I)


def _kind(no: Refusal) -> tuple[type[AgaveError], str]:
    """The class and the hint for a refusal. wire: the services are loose with 400, so their words are read as well."""
    if no.family == "gateway" and no.code in _THROTTLED:
        return Busy, "try again in a while"
    if no.family == "gateway" and no.code in _GATEWAY:
        return _GATEWAY[no.code]
    if no.family == "oauth":
        return (NotSignedIn, SIGN_IN) if no.status < 500 else (ServerTrouble, "try again later")
    if no.status == 401:
        if no.permission:
            return NotAllowed, "the platform says 401 for some things that are not yours"
        return NotSignedIn, SIGN_IN
    if no.family == "service" and no.status == 400 and _TAKEN.search(no.message):
        return AlreadyThere, ""
    if no.family == "service" and no.status == 400 and _GONE.search(no.message):
        return NotFound, ""
    if no.status == 501 and _FOLDER.search(no.message):
        return WrongKind, "only files can be downloaded"
    if no.status in _STATUS:
        return _STATUS[no.status]
    if no.status >= 500:
        return ServerTrouble, "try again later"
    if 300 <= no.status < 400:
        return BadAnswer, "the platform sends us elsewhere; check the URL"
    return BadRequest, ""


def is_page(name: str, headers: Mapping[str, str]) -> bool:
    """Whether a download brings a page of somebody in between, such as a network's log-in, and not the file `name`.

    wire: the platform sets the type by the name's extension, and sends at least one of the other headers with a file.
    """
    if not headers.get("content-type", "").lower().startswith("text/html"):
        return False
    if name.lower().endswith((".html", ".htm", ".xhtml", ".shtml")):
        return False
    return not any(key in headers for key in ("accept-ranges", "content-disposition", "last-modified"))


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds to wait as Retry-After says, in seconds or as a date; None if it says nothing of use."""
    text = headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text)
    if not text:
        return None
    import time

    try:
        at = parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None
    return max(0.0, at - (time.time() if now is None else now))


def _said(message: Any) -> str:
    """A server's words on one line, and not too many of them."""
    if message is None:
        return ""
    text = message if isinstance(message, str) else msgspec.json.encode(message).decode()
    text = "".join(char if char.isprintable() else " " for char in text)
    text = re.sub(r"\s+", " ", text).strip()
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _title(body: bytes) -> str:
    found = re.search(rb"<title[^>]*>(.*?)</title", body[:65536], re.I | re.S)
    return f' titled "{_said(found[1].decode(errors="replace"))}"' if found and found[1].strip() else ""
