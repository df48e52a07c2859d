"""Fields of requests as this service reads them: names in any case, unknown ones refused, forms' texts understood.

Pure. wire: other services of the platform ignore what they do not know; this one says what may have been meant.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from agavesh.tenant.fields import boolean
from agavesh.tenant.refusal import Refusal


def known(given: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The fields under their right names. Refusal 400 for one that there is not."""
    by_lower = {name.lower(): name for name in names}
    found = {}
    for name, value in given.items():
        if (right := by_lower.get(str(name).lower())) is None:
            near = difflib.get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.5)
            meant = f" Did you mean {by_lower[near[0]]}?" if near else ""
            raise Refusal(400, f"Unknown property {str(name)[:64]}.{meant}")
        found[right] = value
    return found


def flag(given: Mapping[str, Any], name: str, default: bool, *, place: str = "") -> bool:
    """A boolean, or its text as a form has it."""
    value = given.get(name)
    if isinstance(value, str) and value.strip().lower() in ("true", "false", "1", "0"):
        return value.strip().lower() in ("true", "1")
    return boolean(given, name, default, place=place)
