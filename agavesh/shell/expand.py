"""Wildcards: a pattern becomes the names that fit it, in the tree or on this machine, in order.

`*` and `?` do not stand for a dot at the beginning of a name. What is quoted comes as `[*]`, as `fnmatch` wants it.
"""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from agavesh.client.errors import AgaveError, NotFound, WrongKind

if TYPE_CHECKING:
    from agavesh.shell.session import Session

_WILD = re.compile(r"[*?[]")
_QUOTED = re.compile(r"\[([*?[])\]")


def _is_wild(part: str) -> bool:
    return _WILD.search(_QUOTED.sub("", part)) is not None


def _literal(part: str) -> str:
    return _QUOTED.sub(r"\1", part)


def _fits(name: str, part: str) -> bool:
    return (not name.startswith(".") or part.startswith(".")) and fnmatch.fnmatchcase(name, part)


async def remote_names(here: Session, pattern: str) -> list[str]:
    """The paths in the tree that fit. A URI gives tree paths, anything else paths that begin as they were typed."""
    parts = pattern.split("/")
    first = next((at for at, part in enumerate(parts) if _is_wild(part)), None)
    if first is None:
        return []
    head = "/".join(_literal(part) for part in parts[:first])
    is_uri = "://" in head or head.startswith("job:")
    rest = [part for part in parts[first:] if part]
    start = (await here.tree_path(head + "/")).rstrip("/") + "/" if is_uri else (f"{head}/" if first else "")
    if is_uri:
        rest = [part if _is_wild(part) else unquote(part) for part in rest]
    found = [start]
    for at, part in enumerate(rest):
        last = at == len(rest) - 1
        grown: list[str] = []
        for base in found:
            grown += await _step(here, base, part, last)
        found = [path if last else f"{path}/" for path in grown]
    return found


async def _step(here: Session, base: str, part: str, last: bool) -> list[str]:
    from agavesh.tree.node import Directory, Link

    if not _is_wild(part):
        path = base + _literal(part)
        return [path] if not last or await here.find_or_none(path) is not None else []
    try:
        folder = await here.directory(base or ".")
        nodes = [node async for node in folder.scan()]
    except (NotFound, WrongKind):
        return []
    except AgaveError:
        if not base:
            raise
        return []
    return sorted(
        base + node.name for node in nodes if _fits(node.name, part) and (last or isinstance(node, Directory | Link))
    )


def local_names(pattern: str) -> list[str]:
    """The paths on this machine that fit."""
    parts = [part for part in pattern.split("/") if part]
    found = ["/" if pattern.startswith("/") else ""]
    for at, part in enumerate(parts):
        last = at == len(parts) - 1
        grown: list[str] = []
        for base in found:
            if not _is_wild(part):
                path = base + _literal(part)
                grown += [path] if not last or Path(path).exists() or Path(path).is_symlink() else []
                continue
            try:
                inside = sorted(Path(base or ".").iterdir())
            except OSError:
                continue
            grown += [base + file.name for file in inside if _fits(file.name, part) and (last or file.is_dir())]
        found = [path if last else f"{path}/" for path in grown]
    return found
