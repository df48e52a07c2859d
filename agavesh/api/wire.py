"""The rules around every answer: the envelope, the gateway's faults, dates."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec


class Envelope(msgspec.Struct):
    """`{status, message, version, result}`: the outer object of every JSON answer. `result` is kept as it came."""

    status: str = ""
    message: Any = None
    version: Any = None
    result: msgspec.Raw = msgspec.Raw(b"")


class Fault(msgspec.Struct):
    """What the gateway says before a service is reached: code, message, description."""

    code: int | str = ""
    message: str = ""
    description: str = ""


class FaultEnvelope(msgspec.Struct):
    """The JSON form of a gateway fault; an older gateway says the same in XML."""

    fault: Fault


EXPIRED = ("900901", "900903", "900904")  # the gateway's codes that one refresh may mend


def moment(text: str | None) -> datetime | None:
    """A date of the platform, aware. None for what is no date: actors write `None` for a time not yet known.

    wire: actors turn each `000` of the ISO form in UTC into `Z`: `21.123000` arrives as `21.123Z`, `21.000123` as
    `21.Z123`.
    """
    if not text:
        return None
    head, dot, tail = text.partition(".")
    if dot and "Z" in tail:
        text = head + dot + tail.replace("Z", "000")
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def stamp(at: datetime) -> str:
    """A date as the platform writes it: ISO 8601 with milliseconds and offset."""
    return at.isoformat(timespec="milliseconds")
