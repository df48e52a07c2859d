"""Clock: how old what was told is. Its seconds go on while the machine sleeps, as those of `time.monotonic` do not.

Nothing else than ages is to be measured by it: timers of the system and of trio stand still meanwhile.
"""

from __future__ import annotations

import time as _time
from time import time

__all__ = ["monotonic", "time"]

_CLOCK = getattr(_time, "CLOCK_BOOTTIME", _time.CLOCK_MONOTONIC)  # Linux has the first


def monotonic() -> float:
    """Seconds, of no beginning that means anything."""
    return _time.clock_gettime(_CLOCK)
