"""The platform's small words as the tenant writes them: ids, dates, permissions, slugs. Values in, values out."""

from __future__ import annotations

import enum
import functools
import math
import re
import secrets
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from email.utils import formatdate
from urllib.parse import quote

from agavesh.api.wire import stamp

CENTRAL = timezone(timedelta(hours=-6))  # the platform's clock is not on UTC; a client must not count on it


def new_uuid(code: str) -> str:
    """A fresh id of the platform's form; `code` names the type: "002" file, "005" app, "006" system, "007" job, …"""
    return f"{secrets.randbelow(9 * 10**18) + 10**18}-{secrets.token_hex(4)}-0001-{code}"


def date(at: float) -> str:
    """A moment, in epoch seconds, as the platform writes it."""
    second = math.floor(at)
    head, tail = _around_the_fraction(second)
    return f"{head}.{int((at - second) * 1000):03}{tail}"


@functools.lru_cache(4096)  # the files of a folder share their seconds, and a page has hundreds of dates
def _around_the_fraction(second: int) -> tuple[str, str]:
    head, _, tail = stamp(datetime.fromtimestamp(second, CENTRAL)).partition(".000")
    return head, tail


_LAST_SECOND = 253402300799  # of the year 9999


@functools.lru_cache(4096)
def http_date(second: int) -> str:
    """A moment, in whole epoch seconds, as headers say it; what is later than they can say is as late as they can."""
    return formatdate(min(second, _LAST_SECOND), usegmt=True)


def moment(text: str) -> datetime:
    """What a person or a program wrote for a date: ISO 8601, epoch seconds or milliseconds, how long ago. ValueError.

    That is `now`, `today`, `yesterday`, `tomorrow`, `3 days ago`, `last week`; all of them at this time of the day.
    """
    text = text.strip().lower()
    if text.isdecimal() and text.isascii():
        number = int(text[:20])
        return datetime.fromtimestamp(number / 1000 if number > 10**11 else number, UTC)
    if (ago := _ago(text)) is not None:
        return datetime.now(UTC) - ago
    found = datetime.fromisoformat(text.upper())
    return found if found.tzinfo else found.replace(tzinfo=UTC)


_DAYS = {"now": 0, "today": 0, "yesterday": 1, "tomorrow": -1}
_SPANS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 7 * 86400, "month": 30 * 86400,
          "year": 365 * 86400}  # fmt: skip
_AGO = re.compile(r"(?:(\d{1,6}) (\w+?)s? ago|last (\w+))")


def _ago(text: str) -> timedelta | None:
    if text in _DAYS:
        return timedelta(days=_DAYS[text])
    found = _AGO.fullmatch(text)
    if found is None or (span := _SPANS.get(found[2] or found[3])) is None:
        return None
    return timedelta(seconds=int(found[1] or 1) * span)


_plain = re.compile(r"[A-Za-z0-9/._~-]*").fullmatch


def quoted(path: str) -> str:
    """A path as it stands in a URL. Most need no quoting, and the look is cheaper."""
    return path if _plain(path) else quote(path)


class Pem(enum.IntFlag):
    """What a user may do with a file, an app or a job."""

    NONE = 0
    READ = 1
    WRITE = 2
    EXECUTE = 4
    ALL = 7


PEMS = {
    "NONE": Pem.NONE, "READ": Pem.READ, "WRITE": Pem.WRITE, "EXECUTE": Pem.EXECUTE, "ALL": Pem.ALL,
    "READ_WRITE": Pem.READ | Pem.WRITE, "READ_EXECUTE": Pem.READ | Pem.EXECUTE,
    "WRITE_EXECUTE": Pem.WRITE | Pem.EXECUTE,
}  # fmt: skip
_OLD = {
    "READ_PERMISSION": Pem.READ, "WRITE_PERMISSION": Pem.WRITE, "READ_WRITE_PERMISSION": Pem.READ | Pem.WRITE,
    "OWNER": Pem.ALL, "": Pem.NONE,
}  # fmt: skip
_WORDS = {int(bits): word for word, bits in PEMS.items()}


def pem(word: str) -> Pem | None:
    """The rights a word stands for, in any case, old words too; None for no such word."""
    return PEMS.get(word.upper(), _OLD.get(word.upper()))


def pem_word(bits: int) -> str:
    """The word for rights, as listings show it."""
    return _WORDS[bits]


def slug(text: str) -> str:
    """A name made fit for a folder or a script: as the platform does it."""
    plain = unicodedata.normalize("NFKD", text.strip())
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    plain = re.sub(r"['\"]", "", plain)
    return re.sub(r"[^A-Za-z0-9_+]+", "-", plain).strip("-").lower()
