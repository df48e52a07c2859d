"""The record of an app: what a request must hold, and what stands in the record for what it leaves out.

Pure: whether the systems, files and users that a record names are there is the handler's to ask. Every refusal is a 400
that names the field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from agavesh.tenant.apps.values import check_values, texts, validator
from agavesh.tenant.fields import boolean, choice, positive, text, text_list, wrong
from agavesh.tenant.limits import gigabytes, run_time, seconds
from agavesh.tenant.patterns import BadPattern
from agavesh.tenant.refusal import Refusal

TEXTS = {  # field: longest value
    "label": 64, "shortDescription": 128, "longDescription": 32768, "helpURI": 128, "icon": 128,
}  # fmt: skip
LISTS = ("tags", "ontology", "modules")
TYPES = ("string", "number", "bool", "flag", "enumeration")
EXECUTION_TYPES = {"HPC": ("HPC", "CLI"), "CLI": ("CLI",), "CONDOR": ("CONDOR",)}  # by the system's own type
_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_VERSION = re.compile(r"\d[\d.]*\d")
_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,63}")


def application(body: Mapping[str, Any]) -> dict[str, Any]:
    """The record that a request asks for, all fields filled in, without id, owner and revision."""
    name = text(body, "name", longest=64, required=True)
    if not _NAME.fullmatch(name):
        raise wrong("name", "may hold letters, digits, dashes, dots and underscores only")
    version = text(body, "version", longest=16, required=True)
    if not _VERSION.fullmatch(version):
        raise wrong("version", "is digits and dots, two characters at least, as in 1.0")
    record: dict[str, Any] = {"name": name, "version": version}
    for field in ("executionSystem", "deploymentSystem"):
        record[field] = text(body, field, longest=64, required=field == "executionSystem") or None
    for field in ("deploymentPath", "templatePath", "testPath"):
        record[field] = text(body, field, longest=255, required=True)
        if ".." in record[field].split("/") and field != "deploymentPath":
            raise wrong(field, "stays within the app's folder")
    record["executionType"] = choice(body, "executionType", ("HPC", "CLI", "CONDOR", "ATMOSPHERE"))
    record["parallelism"] = choice(body, "parallelism", ("SERIAL", "PARALLEL", "PTHREAD"))
    record |= {field: text(body, field, longest=longest) or None for field, longest in TEXTS.items()}
    record |= {field: text_list(body, field) for field in LISTS}
    record["checkpointable"] = boolean(body, "checkpointable", False)
    record["available"] = boolean(body, "available", True)
    record["defaultQueue"] = text(body, "defaultQueue", longest=128) or None
    record["defaultNodeCount"] = positive(body, "defaultNodeCount")
    record["defaultProcessorsPerNode"] = positive(body, "defaultProcessorsPerNode")
    record["defaultMemoryPerNode"] = gigabytes(body.get("defaultMemoryPerNode") or 1)
    if record["defaultMemoryPerNode"] is None:
        raise wrong("defaultMemoryPerNode", "is a number of GB, or text such as 4GB")
    time = body.get("defaultMaxRunTime")
    if time is not None and seconds(time) is None:
        raise wrong("defaultMaxRunTime", "is hh:mm:ss, and more than nothing")
    record["defaultMaxRunTime"] = run_time(seconds(time) or 0) if time is not None else None
    record["inputs"] = [_input(entry, place) for place, entry in _entries(body, "inputs")]
    record["parameters"] = [_parameter(entry, place) for place, entry in _entries(body, "parameters")]
    record["outputs"] = [_output(entry, place) for place, entry in _entries(body, "outputs")]
    seen: set[str] = set()
    for field in [*record["inputs"], *record["parameters"]]:
        if field["id"].lower() in seen:
            raise Refusal(400, f'Two inputs or parameters have the id "{field["id"]}".')
        seen.add(field["id"].lower())
    return record


def check_queue(record: Mapping[str, Any], queues: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a default queue that the system does not have, and defaults that it does not allow."""
    if record["defaultQueue"] is None:
        return
    queue = next((queue for queue in queues if queue["name"] == record["defaultQueue"]), None)
    if queue is None:
        raise wrong("defaultQueue", f'names no queue of the execution system: "{record["defaultQueue"]}"')
    wanted = {
        "defaultNodeCount": (record["defaultNodeCount"], queue.get("maxNodes")),
        "defaultProcessorsPerNode": (record["defaultProcessorsPerNode"], queue.get("maxProcessorsPerNode")),
        "defaultMemoryPerNode": (record["defaultMemoryPerNode"], gigabytes(queue.get("maxMemoryPerNode"))),
        "defaultMaxRunTime": (seconds(record["defaultMaxRunTime"]), seconds(queue.get("maxRequestedTime"))),
    }
    for field, (value, most) in wanted.items():
        if value is not None and most is not None and 0 < most < value:
            raise wrong(field, f'is more than the queue "{queue["name"]}" allows')


# inputs, parameters, outputs -----------------------------------------------------------------------------------------


def _input(entry: Mapping[str, Any], place: str) -> dict[str, Any]:
    value, details, semantics = _parts(entry, place)
    field = _common(entry, place, value, details, semantics)
    field["value"] = {"validator": _pattern(value, place), **field["value"]}
    defaults = texts(value.get("default"))
    if defaults is None:
        raise wrong(f"{place}.value.default", "is text or an array of texts")
    check_values(field, defaults, "default")
    field["value"]["default"] = value.get("default")
    field["semantics"]["fileTypes"] = text_list(semantics, "fileTypes", place=f"{place}.semantics.")
    return field


def _parameter(entry: Mapping[str, Any], place: str) -> dict[str, Any]:
    value, details, semantics = _parts(entry, place)
    field = _common(entry, place, value, details, semantics)
    kind = choice(value, "type", TYPES, place=f"{place}.value.")
    field["value"] = {"type": kind, "validator": _pattern(value, place), **field["value"]}
    if kind == "enumeration":
        field["value"]["enum_values"] = _enumeration(value, place)
        if field["value"]["validator"]:
            raise wrong(f"{place}.value.validator", "has no meaning for an enumeration")
    given = value.get("default")
    try:
        defaults = check_values(field, given if isinstance(given, list) else [] if given in (None, "") else [given], "")
    except Refusal as refusal:
        raise Refusal(400, f"{place}.value.default: {refusal.message}") from None
    field["value"]["default"] = defaults if isinstance(given, list) else defaults[0] if defaults else None
    return field


def _output(entry: Mapping[str, Any], place: str) -> dict[str, Any]:
    value, details, semantics = _parts(entry, place)
    return {
        "id": _id(entry, place),
        "value": {
            "validator": _pattern(value, place),
            "order": value.get("order") or 0,
            "default": value.get("default"),
        },
        "details": {"label": details.get("label"), "description": details.get("description")},
        "semantics": {
            "minCardinality": semantics.get("minCardinality") or 0,
            "maxCardinality": semantics.get("maxCardinality", -1),
            "ontology": text_list(semantics, "ontology", place=f"{place}.semantics."),
            "fileTypes": text_list(semantics, "fileTypes", place=f"{place}.semantics."),
        },
    }


def _common(
    entry: Mapping[str, Any],
    place: str,
    value: Mapping[str, Any],
    details: Mapping[str, Any],
    semantics: Mapping[str, Any],
) -> dict[str, Any]:
    """What inputs and parameters share."""
    visible = boolean(value, "visible", True, place=f"{place}.value.")
    required = boolean(value, "required", not visible, place=f"{place}.value.")
    if not visible and value.get("default") in (None, "", []):
        raise wrong(f"{place}.value.default", "is needed, since the field is not visible")
    order = value.get("order", 0) or 0
    if isinstance(order, bool) or not isinstance(order, int) or order < 0:
        raise wrong(f"{place}.value.order", "is a whole number, zero or more")
    least = _whole(semantics, "minCardinality", 1 if required or not visible else 0, place)
    most = _whole(semantics, "maxCardinality", 1, place)
    if most == 0 or most < -1 or least < 0:
        raise wrong(f"{place}.semantics.maxCardinality", "is above zero, or -1 for no limit")
    if most != -1 and least > most:
        raise wrong(f"{place}.semantics.minCardinality", "is more than maxCardinality")
    return {
        "id": _id(entry, place),
        "value": {
            "visible": visible, "required": required, "order": order,
            "enquote": boolean(value, "enquote", False, place=f"{place}.value."),
        },
        "details": {
            "label": details.get("label"), "description": details.get("description"),
            "argument": _exact(details, "argument", 64, f"{place}.details."),
            "showArgument": boolean(details, "showArgument", False, place=f"{place}.details."),
            "repeatArgument": boolean(details, "repeatArgument", False, place=f"{place}.details."),
        },
        "semantics": {
            "minCardinality": least, "maxCardinality": most,
            "ontology": text_list(semantics, "ontology", place=f"{place}.semantics."),
        },
    }  # fmt: skip


def _enumeration(value: Mapping[str, Any], place: str) -> list[Any]:
    choices = value.get("enum_values", value.get("enumValues"))
    fine = isinstance(choices, list) and choices and all(
        isinstance(entry, str) or (isinstance(entry, dict) and len(entry) == 1) for entry in choices
    )  # fmt: skip
    if not fine:
        raise wrong(f"{place}.value.enum_values", "is an array of texts, or of objects with one key: {value: label}")
    return list(choices)


def _whole(semantics: Mapping[str, Any], field: str, default: int, place: str) -> int:
    value = semantics.get(field)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong(f"{place}.semantics.{field}", "is a whole number")
    return int(value)


def _exact(part: Mapping[str, Any], field: str, longest: int, place: str) -> str | None:
    """A text whose blanks at its ends belong to it, or None."""
    return str(part[field]) if text(part, field, longest=longest, place=place) else None


def _pattern(value: Mapping[str, Any], place: str) -> str | None:
    pattern = _exact(value, "validator", 255, f"{place}.value.")
    try:
        validator(pattern or "")
    except BadPattern as trouble:
        raise wrong(f"{place}.value.validator", f"is a regular expression ({trouble})") from None
    return pattern


def _id(entry: Mapping[str, Any], place: str) -> str:
    name = text(entry, "id", longest=64, required=True, place=f"{place}.")
    if not _ID.fullmatch(name):
        raise wrong(f"{place}.id", "begins with a letter and holds letters, digits, dashes, dots and underscores only")
    return name


def _entries(body: Mapping[str, Any], field: str) -> list[tuple[str, Mapping[str, Any]]]:
    value = body.get(field)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise wrong(field, "is an array of objects")
    return [(f"{field}[{number}]", entry) for number, entry in enumerate(value)]


def _parts(entry: Mapping[str, Any], place: str) -> tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]:
    """An entry's value, details and semantics, each an object."""
    parts = [entry.get(part) or {} for part in ("value", "details", "semantics")]
    for part, name in zip(parts, ("value", "details", "semantics"), strict=True):
        if not isinstance(part, dict):
            raise wrong(f"{place}.{name}", "is an object")
    return parts[0], parts[1], parts[2]
