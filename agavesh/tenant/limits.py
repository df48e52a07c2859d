"""How much memory and how much time: the platform's ways to write them. Values in, values out."""

from __future__ import annotations

import math
import re
from typing import Any

_UNITS = {"": 1.0, "EB": 1024.0**3, "PB": 1024.0**2, "TB": 1024.0, "GB": 1.0, "MB": 1 / 1024}
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([EPTGM]B)?", re.IGNORECASE)
_RUN_TIME = re.compile(r"(\d{1,4}):([0-5]\d):([0-5]\d)")


def gigabytes(value: Any) -> float | None:
    """A number of GB, or text with a unit such as `512MB`; None if it is neither, or not above zero."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    found = _MEMORY.fullmatch(str(value).strip())
    if found is None:
        return None
    amount = float(found[1]) * _UNITS[(found[2] or "").upper()]
    return amount if 0 < amount < math.inf else None


def seconds(value: Any) -> int | None:
    """`hh:mm:ss` as seconds; None if it is not that, or is nothing."""
    found = _RUN_TIME.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        return None
    return int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3]) or None


def run_time(seconds: int) -> str:
    """Seconds as `hh:mm:ss`."""
    return f"{seconds // 3600:02}:{seconds % 3600 // 60:02}:{seconds % 60:02}"


def plain(amount: float) -> str:
    """A number without a needless fraction: 1.0 as `1`, 1.5 as `1.5`."""
    return str(int(amount)) if amount == int(amount) else str(amount)
