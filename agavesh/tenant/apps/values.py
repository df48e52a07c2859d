"""The values of an app's inputs and parameters: the defaults in its record, and what a job gives. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from agavesh.tenant.patterns import BadPattern, Pattern, TooSlow
from agavesh.tenant.refusal import Refusal

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)")
_TRUE, _FALSE = ("true", "1", "on"), ("false", "0", "off")


def texts(value: Any) -> list[str] | None:
    """One or more texts; a text is split at its semicolons, an array is taken as it is. None for anything else."""
    if value is None:
        return []
    if isinstance(value, str):
        return [part.strip() for part in value.split(";") if part.strip()]
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return [part for part in value if part]
    return None


def check_values(field: Mapping[str, Any], given: Sequence[Any], what: str) -> list[Any]:
    """The values of an input or a parameter in the record's form, or a 400 that says what is wrong with them."""
    kind = field["value"].get("type", "input")
    about = f"{'input' if kind == 'input' else 'parameter'} {field['id']}"
    if what:
        about = f"{what} of {about}"
    least, most = field["semantics"]["minCardinality"], field["semantics"]["maxCardinality"]
    if given and len(given) < least:
        raise Refusal(400, f"Too few values for {about}: {len(given)}, and {least} are needed.")
    if most != -1 and len(given) > most:
        raise Refusal(400, f"Too many values for {about}: {len(given)}, and {most} may be given.")
    return [_value(field, kind, value, about) for value in given]


def _value(field: Mapping[str, Any], kind: str, value: Any, about: str) -> Any:
    text = str(value).strip() if not isinstance(value, bool) else str(value).lower()
    match kind:
        case "bool" | "flag":
            if text.lower() in _TRUE:
                return True
            if text.lower() in _FALSE:
                return False
            raise Refusal(400, f'Invalid value for {about}: "{text}". It is true or false.')
        case "number":
            if isinstance(value, bool) or not _NUMBER.fullmatch(text):
                raise Refusal(400, f'Invalid value for {about}: "{text}". It is a number.')
            _match(field, text, about)
            return int(text) if re.fullmatch(r"[+-]?\d{1,18}", text) else text  # a decimal comes back as text
        case "enumeration":
            known = [
                choice if isinstance(choice, str) else next(iter(choice)) for choice in field["value"]["enum_values"]
            ]
            if text not in known:
                raise Refusal(400, f'Invalid value for {about}: "{text}". It is one of {", ".join(known)}.')
            return text
        case _:
            if isinstance(value, dict | list):
                raise Refusal(400, f"Invalid value for {about}: it is text.")
            text = value if isinstance(value, str) else text  # blanks at its ends belong to it
            _match(field, text, about)
            return text


def _match(field: Mapping[str, Any], text: str, about: str) -> None:
    if not (pattern := field["value"]["validator"]):
        return
    try:
        fits = validator(pattern).search(text)
    except (BadPattern, TooSlow) as problem:
        raise Refusal(400, f"Invalid value for {about}: {problem}") from None
    if not fits:
        raise Refusal(400, f'Invalid value for {about}: "{text}" does not match {pattern}.')


def validator(text: str) -> Pattern:
    """A regular expression that the whole of a value has to match. BadPattern, a ValueError, if it is none."""
    Pattern(text)  # by itself: what is wrong with it should not be told of the brackets around it
    return Pattern(rf"\A(?:{text})\z")
