"""`name=value` words: filters of lists, fields of requests, settings of jobs.

name=text    name:=JSON    name=@file (the text of a local file; @- is standard input)
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from agavesh.client.errors import BadArgument


def pairs(words: Sequence[str]) -> list[tuple[str, Any, bool]]:
    """Name, value, and whether the value came as JSON, of each word. BadArgument for what is no pair."""
    found = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.rstrip(":"):
            raise BadArgument(f"{word!r} is not NAME=VALUE", hint="write name=text, name:=JSON or name=@file")
        is_json = name.endswith(":")
        name = name.removesuffix(":")
        text = _file(value[1:]) if value.startswith("@") else value
        found.append((name, _json(name, text) if is_json else text, is_json))
    return found


def search(words: Sequence[str]) -> dict[str, str]:
    """The filters of a list: `status=FAILED`, `created.gt=2020-01-01`, and `name~x` for `name.like=*x*`."""
    found = {}
    for word in words:
        name, tilde, value = word.partition("~")
        if tilde and name.replace(".", "").isalnum():
            found[f"{name}.like"] = f"*{value}*"
            continue
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise BadArgument(f"{word!r} is no filter", hint="write FIELD=VALUE, FIELD.OPERATOR=VALUE or FIELD~TEXT")
        found[name] = value
    return found


def _json(name: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text.encode())
    except msgspec.DecodeError as reason:
        raise BadArgument(f"{name} is no JSON: {reason}", hint="texts in JSON stand in double quotes") from None


def _file(name: str) -> str:
    if name == "-":
        return sys.stdin.read()
    return Path(name).expanduser().read_text(encoding="utf-8", errors="surrogateescape")
