"""The platform's small words as the tenant writes them: ids, dates, permissions, slugs. Values in, values out."""

from __future__ import annotations

import enum
import re
import secrets
import unicodedata
from datetime import UTC, datetime, timedelta, timezone

from agavesh.api.wire import stamp

CENTRAL = timezone(timedelta(hours=-6))  # the platform's clock is not on UTC; a client must not count on it


def new_uuid(code: str) -> str:
    """A fresh id of the platform's form; `code` names the type: "002" file, "005" app, "006" system, "007" job, …"""
    return f"{secrets.randbelow(9 * 10**18) + 10**18}-{secrets.token_hex(4)}-0001-{code}"


def date(at: float) -> str:
    """A moment, in epoch seconds, as the platform writes it."""
    return stamp(datetime.fromtimestamp(at, CENTRAL))


def moment(text: str) -> datetime:
    """What a person or a program wrote for a date: ISO 8601, or epoch seconds or milliseconds. ValueError."""
    if text.strip().isdigit():
        number = int(text)
        return datetime.fromtimestamp(number / 1000 if number > 10**11 else number, UTC)
    found = datetime.fromisoformat(text.strip())
    return found if found.tzinfo else found.replace(tzinfo=UTC)


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
_WORDS = {bits: word for word, bits in PEMS.items()}


def pem(word: str) -> Pem | None:
    """The rights a word stands for, in any case, old words too; None for no such word."""
    return PEMS.get(word.upper(), _OLD.get(word.upper()))


def pem_word(bits: int) -> str:
    """The word for rights, as listings show it."""
    return _WORDS[Pem(bits & 7)]


def slug(text: str) -> str:
    """A name made fit for a folder or a script: as the platform does it."""
    plain = unicodedata.normalize("NFKD", text.strip())
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    plain = re.sub(r"['\"]", "", plain)
    return re.sub(r"[^A-Za-z0-9_+]+", "-", plain).strip("-").lower()
