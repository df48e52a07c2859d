"""Reading one field of a request's body: its value in the wanted kind, or a 400 that names the field."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from agavesh.tenant.refusal import Refusal


def wrong(field: str, reason: str) -> Refusal:
    """A 400 that says what a field should be."""
    return Refusal(400, f"Invalid value for {field}: it {reason}.")


def text(body: Mapping[str, Any], field: str, *, longest: int, required: bool = False, place: str = "") -> str:
    """One text, blanks at its ends cut; empty where there is none."""
    value = body.get(field)
    if value is None or (isinstance(value, str) and not value.strip()):
        if required:
            raise Refusal(400, f"No {place}{field} given. It is required.")
        return ""
    if not isinstance(value, str):
        raise wrong(place + field, "is text")
    if len(value) > longest:
        raise wrong(place + field, f"has {longest} characters at most")
    return str(value).strip()


def text_list(body: Mapping[str, Any], field: str, *, place: str = "") -> list[str]:
    """An array of texts, empty where there is none."""
    value = body.get(field)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
        raise wrong(place + field, "is an array of texts")
    return list(value)


def choice(body: Mapping[str, Any], field: str, choices: Sequence[str], *, place: str = "") -> str:
    """One of few words, in any case."""
    value = body.get(field)
    if value is None:
        raise Refusal(400, f"No {place}{field} given. It is one of {', '.join(choices)}.")
    for known in choices:
        if isinstance(value, str) and value.lower() == known.lower():
            return known
    raise wrong(place + field, f"is one of {', '.join(choices)}")


def boolean(body: Mapping[str, Any], field: str, default: bool, *, place: str = "") -> bool:
    """A real boolean, no text."""
    value = body.get(field)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise wrong(place + field, "is true or false")
    return bool(value)


def positive(body: Mapping[str, Any], field: str) -> int:
    """A whole number above zero; 1 where there is none."""
    value = body.get(field)
    if value is None:
        return 1
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise wrong(field, "is a whole number above zero")
    return int(value)


def number(value: Any) -> Any:
    """A whole number that a form has as text; all else as it is."""
    return int(value) if isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,18}\s*", value) else value
