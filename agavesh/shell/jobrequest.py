"""A request for a job, from the words of a command and the app's record. Pure.

`name=value` is an input, a parameter, or a field of the request (maxRunTime, batchQueue, archive, …), by its name; what
the app does not know is refused here, with the name that was probably meant. A name given twice has two values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from agavesh.api.models.apps import Application, ApplicationInput, ApplicationParameter
from agavesh.api.models.jobs import JobRequest
from agavesh.client.errors import BadArgument
from agavesh.shell.language import nearest

_TRUE, _FALSE = ("true", "1", "on", "yes"), ("false", "0", "off", "no")
# what the command itself says, and what has names of its own
_OWN = ("appId", "name", "inputs", "parameters")
SETTINGS = tuple(field.name for field in msgspec.structs.fields(JobRequest) if field.name not in _OWN)
_NUMBERS = ("nodeCount", "processorsPerNode")


def job_request(app: Application, given: Sequence[tuple[str, Any, bool]], *, name: str = "") -> dict[str, Any]:
    """The body to submit. `given` are name, value, and whether the value came as JSON. BadArgument."""
    inputs = {thing.id: thing for thing in app.inputs or []}
    parameters = {thing.id: thing for thing in app.parameters or []}
    body: dict[str, Any] = {"name": name or app.name or app.id, "appId": app.id, "inputs": {}, "parameters": {}}
    for key, value, is_json in given:
        if key in inputs:
            _add(body["inputs"], key, value, _hidden(inputs[key]))
        elif key in parameters:
            made = value if is_json else _value(parameters[key], value)
            _add(body["parameters"], key, made, _hidden(parameters[key]))
        elif key in SETTINGS:
            body[key] = value if is_json else _setting(key, value)
        else:
            known = [*inputs, *parameters, *SETTINGS]
            own = ", ".join([*inputs, *parameters]) or "neither inputs nor parameters"
            raise BadArgument(
                f'{app.id} has no input or parameter "{key}"', hint=nearest(key, known) or f"it has {own}"
            )
    for kind, things in (("inputs", inputs), ("parameters", parameters)):
        for key, thing in things.items():
            if key not in body[kind] and thing.value and thing.value.required and not _hidden(thing):
                # the platform wants it said, even where the app names a default
                if thing.value.default in (None, "", []):
                    raise BadArgument(f"{app.id} needs {key}={_example(thing)}", hint=f'"apps show {app.id}" explains')
                body[kind][key] = thing.value.default
    return body


def _hidden(thing: ApplicationInput | ApplicationParameter) -> bool:
    return bool(thing.value and thing.value.visible is False)


def _example(thing: ApplicationInput | ApplicationParameter) -> str:
    return "PATH" if isinstance(thing, ApplicationInput) else (thing.value.type if thing.value else None) or "VALUE"


def _add(values: dict[str, Any], key: str, value: Any, hidden: bool) -> None:
    if hidden:
        raise BadArgument(f"{key} is fixed by the app", hint="leave it out")
    if key in values:
        before = values[key] if isinstance(values[key], list) else [values[key]]
        value = [*before, value]
    values[key] = value


def _value(parameter: ApplicationParameter, text: str) -> Any:
    """A parameter's value from a text. BadArgument says what is expected."""
    kind = (parameter.value.type if parameter.value else None) or "string"
    if kind in ("bool", "flag"):
        return _truth(parameter.id, text)
    if kind == "number":
        return _number(parameter.id, text)
    if kind == "enumeration":
        allowed = choices(parameter)
        if allowed and text not in allowed:
            raise BadArgument(f"{parameter.id} is none of its values: {text!r}", hint=f"one of {', '.join(allowed)}")
    return text


def choices(parameter: ApplicationParameter) -> list[str]:
    """The values of an enumeration, or of a bool or flag; [] for what takes any."""
    kind = parameter.value.type if parameter.value else None
    if kind in ("bool", "flag"):
        return ["true", "false"]
    values = (parameter.value.enum_values if parameter.value else None) or []
    return [str(next(iter(value))) if isinstance(value, dict) and value else str(value) for value in values]


def _setting(name: str, text: str) -> Any:
    if name in _NUMBERS:
        return _number(name, text)
    return _truth(name, text) if name == "archive" else text


def _truth(name: str, text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise BadArgument(f"{name} is true or false, not {text!r}")


def _number(name: str, text: str) -> int | float:
    converters: tuple[Callable[[str], int | float], ...] = (int, float)
    for convert in converters:
        try:
            return convert(text)
        except ValueError:
            continue
    raise BadArgument(f"{name} is a number, not {text!r}")
