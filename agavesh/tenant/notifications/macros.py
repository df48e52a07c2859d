"""The `${MACROS}` of a hook's URL: what they stand for, and their place in the URL.

Pure. The platform lists them by name, and most of the names are a record's fields in capitals behind the kind of the
record: so they are made of the record here, spelt `JOB_START_TIME` and `JOB_STARTTIME` alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from agavesh.tenant.limits import seconds
from agavesh.tenant.words import PEMS, pem_word

_MACRO = re.compile(r"\$\{([A-Za-z_]+)\}")
_INNER_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

PREFIX = {"schema": "METADATA_SCHEMA"}  # where it is not the name of the kind

_ABOUT_WHOM = {
    "PERMISSION_GRANT": "PERMISSION", "PERMISSION_REVOKE": "PERMISSION", "PERMISSION_UPDATE": "PERMISSION",
    "ROLES_GRANT": "ROLE", "ROLES_REVOKE": "ROLE",
}  # fmt: skip

_BARE = {  # kinds whose macros stand without the prefix too: all fields, or these
    "file": ("path", "name", "systemId", "source", "type", "status"),
    "system": None,
    "monitor": None,
    "postit": None,
}


def values(
    kind: str, record: Mapping[str, Any], *, event: str, uuid: str, told: Any = None, tenant: str = ""
) -> dict[str, str]:
    """What each macro stands for: of a record of this kind, and of an event with what it tells besides."""
    prefix = PREFIX.get(kind, kind.upper())
    fields = {name: value for name, value in record.items() if name != "_links"}
    found = dict(_spread(f"{prefix}_", fields))
    if kind in _BARE:
        bare = _BARE[kind]
        found |= _spread("", fields if bare is None else {name: fields.get(name) for name in bare})
    href = (record.get("_links", {}).get("self") or {}).get("href", "")
    found |= {f"{prefix}_UUID": uuid, f"{prefix}_URL": href, f"{prefix}_JSON": _text(record)}
    found |= _special(kind, record)
    if isinstance(told, Mapping) and (about := about_whom(event)):
        found |= _spread(f"{about}_", {"lastUpdated": record.get("lastUpdated"), "id": uuid, **told})
        if isinstance(rights := told.get("permission"), Mapping):
            found["PERMISSION_PERMISSION"] = pem_word(sum(PEMS[word.upper()] for word in rights if rights[word]))
        found[f"{about}_JSON"] = _text(told)
    elif kind == "system" and isinstance(told, Mapping):  # a job there, or an app
        for name, thing in told.items():
            if name != kind:
                found |= _spread(f"{name.upper()}_", {field: thing[field] for field in thing if field != "_links"})
                found |= _special(name, thing)
    return found | {
        f"{prefix}_TENANT": tenant, "UUID": uuid, "EVENT": event, "OWNER": _text(record.get("owner")),
        "RAW_JSON": _text(record if told is None else told),
    }  # fmt: skip


def expanded(url: str, values: Mapping[str, str]) -> str:
    """A URL with its macros replaced, quoted for whatever place they have in it; unknown ones stay."""
    return _MACRO.sub(
        lambda macro: quote(values[macro[1].upper()], safe="") if macro[1].upper() in values else macro[0], url
    )


def about_whom(event: str) -> str:
    """The prefix of the macros that tell of a user's rights, for an event that is about these; else ""."""
    return _ABOUT_WHOM.get(event, "")


def _spread(prefix: str, fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in fields.items():
        for spelt in {_INNER_CAPITAL.sub("_", name).upper(), name.upper()}:
            yield prefix + spelt, _text(value)
            if isinstance(value, Mapping):
                yield from _spread(f"{prefix}{spelt}_", value)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _special(kind: str, record: Mapping[str, Any]) -> dict[str, str]:
    """Those macros that are named otherwise than the fields they tell."""
    match kind:
        case "job":
            limit = record.get("maxRunTime")
            links = record.get("_links", {})
            return {
                "JOB_SYSTEM": _text(record.get("executionSystem")),
                "JOB_MAX_RUNTIME": _text(limit),
                "JOB_MAX_RUNTIME_MILLISECONDS": str((seconds(limit) or 0) * 1000),
                "JOB_ARCHIVE_URL": (links.get("archiveData") or {}).get("href", ""),
                "JOB_ERROR": _text(record.get("message")),
                "APP_ID": _text(record.get("appId")),
            }
        case "file":
            kind_of_bytes = _text(record.get("nativeFormat"))
            return {
                "FILE_ID": _text(record.get("uuid")),
                "SYSTEM": _text(record.get("systemId")),
                "FORMAT": kind_of_bytes,
                "SOURCE_FORMAT": kind_of_bytes,
                "DEST_FORMAT": kind_of_bytes,
            }
        case "metadata" | "schema":
            return {f"{PREFIX.get(kind, kind.upper())}_ID": _text(record.get("uuid"))}
    return {}
