"""The wrapper: from an app's template to the script that a job runs.

`fill` replaces `${name}` in the template by inputs, parameters and the job's own variables; `script` puts the header
before it. Pure text, no files. A value goes in as it is: `$` and backslash mean nothing here (the platform's own
service reads values as replacement text of a regular expression and spoils them), and what a value brings in is not
replaced again. A name that is unknown is left for the shell.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

_PLACE = re.compile(r"\$\{([^${}\n]+)\}")
_OURS = re.compile(r"(?:AGAVE_JOB_CALLBACK_|IPLANT_)(?:RUNNING|CLEANING_UP|SUCCESS|ARCHIVING\w*)", re.IGNORECASE)
_VARIABLE = re.compile(r"(?:^|:)[A-Za-z_][A-Za-z0-9_]*$")
_QUOTED = re.compile(r'(["\\`$])')


def values(
    app: Mapping[str, Any], inputs: Mapping[str, Sequence[str]], parameters: Mapping[str, Any]
) -> dict[str, str]:
    """What stands for each input and parameter of an app, by id. An input is told by its file names in the job."""
    found = {field["id"]: _arguments(field, inputs.get(field["id"], ())) for field in app["inputs"]}
    for field in app["parameters"]:
        given = parameters.get(field["id"])
        found[field["id"]] = _parameter(field, given if isinstance(given, list) else [] if given is None else [given])
    return found


def _parameter(field: Mapping[str, Any], given: Sequence[Any]) -> str:
    if field["value"]["type"] == "flag":
        return field["details"]["argument"] or "" if any(given) else ""
    if field["value"]["type"] == "bool":
        return _arguments(field, ["1" if value else "0" for value in given])
    return _arguments(field, [str(value) for value in given])


def _arguments(field: Mapping[str, Any], texts: Sequence[str]) -> str:
    """The values joined by blanks, in quotes and behind their argument where the app says so."""
    details = field["details"]
    if field["value"]["enquote"]:
        texts = ['"' + _QUOTED.sub(r"\\\1", text) + '"' for text in texts]
    if details["showArgument"] and details["argument"]:
        texts = [
            details["argument"] + text if details["repeatArgument"] or not number else text
            for number, text in enumerate(texts)
        ]
    return " ".join(texts)


def fill(template: str, known: Mapping[str, str]) -> str:
    """The template with all that is known replaced, callbacks among it. Names are compared without case."""
    lower = {name.lower(): text for name, text in known.items()}

    def replaced(place: re.Match[str]) -> str:
        if (text := lower.get(place[1].lower())) is not None:
            return text
        if (command := _callback(place[1])) is not None:
            return command
        return place[0]

    return _PLACE.sub(replaced, template)


def _callback(name: str) -> str | None:
    """The shell command for a callback that a wrapper may use, "" for one it may not, None for anything else."""
    head, *rest = name.split("|")
    if _OURS.fullmatch(head):
        return ""
    match head.upper().removeprefix("AGAVE_JOB_CALLBACK_"):
        case "FAILURE" | "IPLANT_FAILURE":
            return "agave_callback FAILED"
        case "ALIVE":
            return "agave_callback HEARTBEAT"
        case "NOTIFICATION":
            event, wanted = (rest[0], rest[1]) if len(rest) > 1 else ("JOB_RUNTIME_CALLBACK_EVENT", "".join(rest))
            pairs = [pair.strip().rpartition(":") for pair in wanted.split(",") if _VARIABLE.search(pair.strip())]
            words = [event.strip(), *(word for key, _, variable in pairs for word in (key or variable, variable))]
            return "agave_event " + " ".join(map(shlex.quote, words))
    return None


def script(text: str, *, title: str, folder: str, callback_file: str, modules: Sequence[str], environment: str) -> str:
    """The whole script: a header, the callbacks, the system's environment, and the filled wrapper `text`.

    `callback_file` holds the address of the tenant, which is another one after a restart, and the job's update token.
    """
    lines = [
        "#!/bin/bash",
        f"# {title}",
        f"cd {shlex.quote(folder)} || exit 1",
        _FUNCTIONS.replace("CALLBACK_FILE", shlex.quote(callback_file)),
        'agave_log "the wrapper begins"',
        *(_module(line) for line in modules),
        environment,
        text,
    ]
    return "\n".join(lines)


def _module(line: str) -> str:
    return (
        f"if type module >/dev/null 2>&1; then module {line}; "
        f"else agave_log {shlex.quote(f'there is no `module` here for: module {line}')}; fi"
    )


# A job whose callback does not arrive goes on: the platform would do the same.
_FUNCTIONS = r"""
agave_log() { echo "$(date -u +%Y-%m-%dT%H:%M:%SZ) $*" >> .agave.log; }
agave_callback() {  # STATUS [FILE TO POST]
  local base
  IFS= read -r base < CALLBACK_FILE || return 0
  curl --silent --show-error --fail --noproxy '*' --max-time 20 --output /dev/null \
    ${AGAVE_CA_CERT:+--cacert "$AGAVE_CA_CERT"} ${2:+--header 'Content-Type: application/json' --data-binary "@$2"} \
    "$base/status/$1" 2>> .agave.log || agave_log "callback $1 did not arrive"
}
agave_event() {  # EVENT [KEY VARIABLE]...
  local file=".callback-$(date +%s%N)" text key value
  text="{\"CUSTOM_USER_JOB_EVENT_NAME\": \"$1\""
  shift
  while [ $# -gt 1 ]; do
    key=$1 value=${!2-}
    value=${value//\\/\\\\} value=${value//\"/\\\"} value=${value//$'\n'/\\n} value=${value//$'\t'/\\t}
    text+=", \"$key\": \"${value//$'\r'/\\r}\""
    shift 2
  done
  printf '%s}\n' "$text" > "$file"
  agave_callback HEARTBEAT "$file"
}
"""
