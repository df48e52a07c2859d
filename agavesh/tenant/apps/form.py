"""The web form of an app: a page's part that submits a job of it, its fields those that a user may fill in. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from agavesh.tenant.limits import plain

_FIGURES = {
    "defaultNodeCount": ("nodeCount", "Nodes"),
    "defaultProcessorsPerNode": ("processorsPerNode", "Processors per node"),
    "defaultMemoryPerNode": ("memoryPerNode", "Memory per node, in GB"),
    "defaultMaxRunTime": ("maxRunTime", "Longest time, as hh:mm:ss"),
}  # fmt: skip


def of(app: Mapping[str, Any], queues: Sequence[Mapping[str, Any]], *, action: str) -> str:
    """The form of an app, sent to `action`."""
    rows = "".join(f"<tr><td>{escape(label)}</td><td>{control}</td></tr>\n" for label, control in _rows(app, queues))
    head = f'<form name="{escape(app["id"])}" method="POST" action="{escape(action)}" class="job_submission_form">'
    return f'{head}\n<table>\n{rows}</table>\n<input type="submit" value="Submit"/>\n</form>'


def _rows(app: Mapping[str, Any], queues: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Each field's label and control."""
    yield "Name of the job", _text("name", "", required=True)
    yield "App", f'<input type="text" name="appId" value="{escape(app["id"])}" readonly/>'
    names = {queue["name"]: queue["name"] for queue in queues}
    yield "Queue", _choice("batchQueue", {"": "", **names}, {app["defaultQueue"] or ""})
    for field, (name, label) in _FIGURES.items():
        value = app[field]
        yield label, _text(name, plain(value) if isinstance(value, float) else value)
    yield "Archive", _choice("archive", {"1": "yes", "0": "no"}, {"1"})
    for entry in sorted([*app["inputs"], *app["parameters"]], key=lambda entry: entry["value"]["order"]):
        if entry["value"]["visible"]:
            yield entry["details"]["label"] or entry["id"], _control(entry)


def _control(entry: Mapping[str, Any]) -> str:
    value = entry["value"]
    default = value["default"]
    defaults = default if isinstance(default, list) else [] if default is None else [default]
    several = entry["semantics"]["maxCardinality"] not in (0, 1)
    match value.get("type"):
        case "bool" | "flag":
            return _choice(entry["id"], {"1": "yes", "0": "no"}, {"1" if defaults[:1] == [True] else "0"})
        case "enumeration":
            pairs = [item if isinstance(item, dict) else {item: item} for item in value["enum_values"]]
            labels = {key: label for pair in pairs for key, label in pair.items()}
            if not value["required"] and not defaults:
                labels = {"": "", **labels}
            return _choice(entry["id"], labels, {*defaults}, several=several)
    text = "; ".join(str(each) for each in defaults)
    return _text(entry["id"], text, title=entry["details"]["description"], required=value["required"])


def _text(name: str, value: Any, *, title: Any = None, required: bool = False) -> str:
    said = f' title="{escape(str(title))}"' if title else ""
    text = "" if value is None else str(value)
    return f'<input type="text" name="{escape(name)}" value="{escape(text)}"{said}{" required" * required}/>'


def _choice(name: str, labels: Mapping[str, Any], chosen: set[Any], *, several: bool = False) -> str:
    options = "".join(
        f'<option value="{escape(key)}"{" selected" * (key in chosen)}>{escape(str(label))}</option>'
        for key, label in labels.items()
    )
    return f'<select name="{escape(name)}"{" multiple" * several}>{options}</select>'
