"""The retry policy of a subscription: what a request may say of it, and when a delivery that failed is tried again.

Pure: values in, values out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agavesh.tenant.fields import choice, number, wrong
from agavesh.tenant.notifications.spelling import flag, known

STRATEGIES = ("NONE", "IMMEDIATE", "DELAYED", "EXPONENTIAL")
DEFAULT = {"retryStrategy": "IMMEDIATE", "retryLimit": 5, "retryRate": 5, "retryDelay": 0, "saveOnFailure": False}
MOST = {"retryLimit": 1440, "retryRate": 86400, "retryDelay": 86400}  # attempts, seconds, seconds

# EXPONENTIAL: up to so many attempts wait so many seconds
_STEPS = ((4, 5), (8, 15), (13, 60), (17, 15 * 60))
_LONGEST = 3600  # seconds


def policy(given: Any, place: str = "") -> dict[str, Any]:
    """What a request says, with the defaults for the rest. Refusal 400 that names the field."""
    if given is None:
        return dict(DEFAULT)
    if not isinstance(given, Mapping):
        raise wrong(f"{place}policy", "is an object")
    asked = known(given, DEFAULT)
    found = dict(DEFAULT)
    for name, value in asked.items():
        if value is None:
            continue
        if name == "retryStrategy":
            found[name] = choice(asked, name, STRATEGIES, place=f"{place}policy.")
        elif name == "saveOnFailure":
            found[name] = flag(asked, name, False, place=f"{place}policy.")
        else:
            found[name] = _count(value, name, f"{place}policy.")
    return found


def _count(value: Any, name: str, place: str) -> int:
    value = number(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST[name]:
        raise wrong(place + name, f"is a whole number from 0 to {MOST[name]}")
    return int(value)


def wait(policy: Mapping[str, Any], tries: int) -> float | None:
    """Seconds until a delivery is tried again that failed `tries` times; None if it is given up."""
    if policy["retryStrategy"] == "NONE" or tries >= policy["retryLimit"]:
        return None
    match policy["retryStrategy"]:
        case "IMMEDIATE":
            return 0.0
        case "DELAYED":
            return float(policy["retryDelay"] if tries == 1 else policy["retryRate"])
    return float(next((seconds for upto, seconds in _STEPS if tries <= upto), _LONGEST))
