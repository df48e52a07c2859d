"""Completion: what may stand at the cursor, as names.

`language.at_cursor` says which words, options or values are expected; a value's word says which directory of the tree
lists its names. `known` answers from what is at hand and asks nobody, so that it may run in a key's handler; None means
that it would have to ask. `find` asks, in trio's thread. Neither raises: a completer has nobody to tell.
"""

from __future__ import annotations

import posixpath
import re
import sys
import unicodedata
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote as percent
from urllib.parse import unquote

from agavesh.client.errors import AgaveError
from agavesh.client.path import parse_uri
from agavesh.shell.language import Statement, at_cursor
from agavesh.shell.tokens import escape, printable

if TYPE_CHECKING:
    from agavesh.api.operation import Operation
    from agavesh.api.words import Word
    from agavesh.shell.session import Session

_TOP = dict.fromkeys(("apps", "jobs", "systems"), True)
_JOB = {"history.json": False, "job.json": False, "outputs": True, "status": False}
_SORTED = ("by-name", "by-status")  # folders in /jobs that are no jobs
# what is searched by most; the rest is in `filters.py`
_FILTERS = {
    "job-fields": ("app", "created", "endtime", "executionsystem", "id", "name", "owner", "starttime", "status"),
    "system-fields": ("default", "id", "name", "owner", "public", "status", "type"),
    "app-fields": ("executionsystem", "id", "label", "name", "owner", "public", "tags", "version"),
}
_FILTER_VALUES = {
    ("job-fields", "status"): ("PENDING", "QUEUED", "RUNNING", "FINISHED", "FAILED", "STOPPED", "KILLED"),
    ("system-fields", "type"): ("EXECUTION", "STORAGE"),
}
_FILTER_FOLDERS = {("job-fields", "app"): "/apps", ("job-fields", "executionsystem"): "/systems"}
_ATTEMPTS = 4  # one word may need several things one after the other: an app, then a folder


class Candidate(NamedTuple):
    """One possibility: the word as it would be, what the menu shows, and whether the word may go on from there."""

    word: str
    shown: str
    goes_on: bool = False
    meta: str = ""

    @property
    def text(self) -> str:
        """What it puts in the line."""
        return escape(self.word) + ("" if self.goes_on else " ")


class Answer(NamedTuple):
    """What may replace the text from `place` to the cursor, and the folders that this comes from."""

    place: int
    candidates: list[Candidate]
    folders: list[str]


def known(here: Session, text: str) -> Answer | None:
    """The answer, if nobody needs to be asked for it."""
    try:
        return _Look(here).answer(text)
    except _Wanting:
        return None


async def find(here: Session, text: str) -> Answer:
    """The answer, asked for where it is not at hand."""
    look = _Look(here)
    for _ in range(_ATTEMPTS):
        try:
            return look.answer(text)
        except _Wanting as wanting:
            try:
                look.have[wanting.key] = await wanting.ask()
            except (AgaveError, OSError):
                look.have[wanting.key] = {}  # nothing there: nothing to offer
    return Answer(len(text), [], [])


async def refresh(here: Session, folders: Iterable[str]) -> None:
    """Bring listings up to date that `known` answered from, as far as they are old."""
    for folder in folders:
        try:
            await _listed(here, folder)
        except AgaveError:
            continue


class _Wanting(Exception):
    """Something is not at hand. `ask` brings the names of `key`."""

    def __init__(self, key: str, ask: Callable[[], Awaitable[Mapping[str, bool]]]) -> None:
        super().__init__(key)
        self.key, self.ask = key, ask


class _Look:
    """One look for candidates. `have` holds what was asked for: names by key, and whether each is a folder."""

    def __init__(self, here: Session) -> None:
        self.here = here
        self.have: dict[str, Mapping[str, bool]] = {}
        self.folders: list[str] = []

    def answer(self, text: str) -> Answer:
        statement = at_cursor(text, self.here.table)
        typed = statement.word.text if statement.word is not None else ""
        expected = statement.expected
        self.folders = []
        found = [Candidate(word, word) for word in expected.words if word.startswith(typed)]
        if typed.startswith("-"):
            found += [
                Candidate(f"--{option.name}", f"--{option.name}", meta=option.word.help)
                for option in expected.options
                if f"--{option.name}".startswith(typed) or typed == f"-{option.short}"
            ]
        for parameter in expected.values:
            head, value = "", typed
            if parameter.option and typed.startswith("--"):
                head, _, value = typed.partition("=")
                head += "="
            found += self.values(statement, parameter.word, head, value)
        return Answer(statement.place, found, self.folders)

    def values(self, statement: Statement, word: Word, head: str, text: str) -> list[Candidate]:
        """Values of one kind that begin with `text`; `head` is what stands before it in the word."""
        kind = word.lists
        if word.choices:
            return _fitting(word.choices, head, text)
        if kind in ("tree", "tree/"):
            return self.path(head, text, only_folders=kind == "tree/")
        if kind == "local":
            return self.local(head, text)
        if kind.startswith("/"):
            return _fitting([name for name in self.names(kind) if name not in _SORTED], head, text)
        if kind == "commands":
            from agavesh.shell.commands.about import TOPICS

            said = tuple(token.text for token in statement.arguments.get("words", ()))
            topics = () if said else tuple(TOPICS)
            return _fitting([*self.here.table.following(said), *topics], head, text)
        if kind == "setting-values":
            from agavesh.shell.session import SETTINGS

            return _fitting(SETTINGS.get(_given(statement, "name"), ()), head, text)
        if kind in _FILTERS:
            return self.filter(kind, text)
        if kind == "app-inputs":
            return self.app_input(_given(statement, "app"), text)
        if kind == "keys":
            return _fitting([f"{each.service}.{each.name}" for each in self._operations()], head, text)
        if kind in ("services", "operations", "arguments"):
            return self.api(statement, kind, text)
        return []

    def path(self, head: str, text: str, *, only_folders: bool = False) -> list[Candidate]:
        """Paths of the tree, or URIs, that begin with `text`."""
        if (begun := re.fullmatch(r"agave://([^/]*)|job:([^/]*)", text)) is not None:
            scheme, folder = ("agave://", "/systems") if begun[1] is not None else ("job:", "/jobs")
            start = unquote(text.removeprefix(scheme))
            names = [name for name in self.names(folder) if name.startswith(start) and name not in _SORTED]
            return [Candidate(f"{head}{scheme}{percent(name)}/", printable(name), goes_on=True) for name in names]
        folder, slash, start = text.rpartition("/")
        folder += slash
        is_uri = "://" in folder or folder.startswith("job:")
        start = unquote(start) if is_uri else start
        found = []
        for name, is_folder in self.names(folder).items():
            if _begins(name, start) and (is_folder or not only_folders):
                shown = percent(name, safe="") if is_uri else name
                word = f"{head}{folder}{shown}{'/' if is_folder else ''}"
                # a name that begins with a dash would be taken for an option
                word = f"./{word}" if word.startswith("-") else word
                found.append(Candidate(word, printable(name) + ("/" if is_folder else ""), goes_on=is_folder))
        return sorted(found, key=lambda candidate: candidate.shown)

    def local(self, head: str, text: str) -> list[Candidate]:
        """Paths of this machine that begin with `text`. The disk may be far away: it is never at hand."""
        folder, slash, start = text.rpartition("/")
        folder += slash

        place = Path(folder or ".").expanduser()

        async def ask() -> Mapping[str, bool]:
            import trio

            return await trio.to_thread.run_sync(
                lambda: {file.name: file.is_dir() for file in place.iterdir()}, abandon_on_cancel=True
            )

        names = self._have(f"local {folder}", ask)
        found = [
            Candidate(f"{head}{folder}{name}{'/' if is_folder else ''}", printable(name), goes_on=is_folder)
            for name, is_folder in names.items()
            if _begins(name, start)
        ]
        return sorted(found, key=lambda candidate: candidate.shown)

    def names(self, folder: str) -> Mapping[str, bool]:
        """What a folder lists: a path of the tree, from the root or from where the user is, or a URI."""
        if folder in self.have:
            return self.have[folder]
        path = self._tree_path(folder)
        if path == "/":
            return _TOP
        if path is not None and re.fullmatch(r"/jobs/[^/]+", path) and path.rpartition("/")[2] not in _SORTED:
            return _JOB
        items = self.here.open_now.listings.peek(path) if path is not None and self.here.open_now is not None else None
        if items is None:
            return self._have(folder, lambda: _listed(self.here, folder or "."))
        self.folders.append(str(path))
        # in one step: the listing may be changed in trio's thread meanwhile
        listed = {name: bool(getattr(entry, "is_dir", True)) for name, entry in list(items.items())}
        return dict.fromkeys(("latest", *_SORTED), True) | listed if path == "/jobs" and listed else listed

    def _tree_path(self, folder: str) -> str | None:
        """The folder's path in the tree, if that can be told without asking."""
        if "://" in folder or folder.startswith("job:"):
            try:
                return parse_uri(folder).tree_path
            except (AgaveError, ValueError):
                return None
        return "/" + posixpath.normpath(posixpath.join(self.here.cwd, folder or ".")).lstrip("/")

    def _have(self, key: str, ask: Callable[[], Awaitable[Mapping[str, bool]]]) -> Mapping[str, bool]:
        if key not in self.have:
            raise _Wanting(key, ask)
        return self.have[key]

    def filter(self, kind: str, text: str) -> list[Candidate]:
        """FIELD=VALUE of a list."""
        name, equals, value = text.partition("=")
        if not equals:
            return _fitting(_FILTERS[kind], "", text, tail="=")
        if (folder := _FILTER_FOLDERS.get((kind, name))) is not None:
            return _fitting(self.names(folder), f"{name}=", value)
        return _fitting(_FILTER_VALUES.get((kind, name), ()), f"{name}=", value)

    def app_input(self, app: str, text: str) -> list[Candidate]:
        """NAME=VALUE of a job's request."""
        from agavesh.shell.jobrequest import SETTINGS, choices

        self.names("/apps")  # so that the records are at hand
        items = self.here.open_now.listings.peek("/apps") if self.here.open_now is not None else None
        record = (items or {}).get(app)
        if record is None:
            return []
        name, equals, value = text.partition("=")
        inputs = {thing.id for thing in record.inputs or [] if not (thing.value and thing.value.visible is False)}
        parameters = {thing.id: thing for thing in record.parameters or []}
        if not equals:
            return _fitting([*sorted(inputs), *parameters, *SETTINGS], "", text, tail="=")
        if name in inputs:
            return self.path(f"{name}=", value)
        if name in parameters:
            return _fitting(choices(parameters[name]), f"{name}=", value)
        folders = {"archiveSystem": "/systems", "executionSystem": "/systems"}
        if name in folders:
            return _fitting(self.names(folders[name]), f"{name}=", value)
        return _fitting(("true", "false") if name == "archive" else (), f"{name}=", value)

    def api(self, statement: Statement, kind: str, text: str) -> list[Candidate]:
        """Services, operations and their parameters, from the catalogue."""
        from agavesh.shell.commands.api import METHODS

        operations = self._operations()
        service, name = _given(statement, "service"), _given(statement, "operation")
        if kind == "services":
            return _fitting([*dict.fromkeys(operation.service for operation in operations), *METHODS], "", text)
        if kind == "operations":
            own = [operation for operation in operations if operation.service == service]
            return [
                Candidate(operation.name, operation.name, meta=operation.summary)
                for operation in own
                if operation.name.startswith(text)
            ]
        operation = next((found for found in operations if (found.service, found.name) == (service, name)), None)
        if operation is None:
            return []
        key, equals, value = text.partition("=")
        if not equals:
            return [
                Candidate(f"{param.name}=", f"{param.name}=", goes_on=True, meta=param.word.help)
                for param in operation.params.values()
                if param.name.startswith(text) and param.place not in ("body", "unsent")
            ]
        return self._api_value(statement, operation, key, value)

    def _api_value(self, statement: Statement, operation: Operation, key: str, value: str) -> list[Candidate]:
        param = operation.params.get(key)
        if param is None:
            return []
        if param.type is bool:
            return _fitting(("true", "false"), f"{key}=", value)
        if param.place == "file":
            return self.local(f"{key}=@", value.removeprefix("@"))
        if key in ("filePath", "sourcefilePath") and value.startswith("/"):
            given = [token.text.partition("=") for token in statement.arguments.get("arguments", ())]
            system = next((said for name, _, said in given if name == "systemId"), "")
            inside = self.path("", f"/systems/{system}{value}") if system else []
            cut = len(f"/systems/{system}")
            return [found._replace(word=f"{key}={found.word[cut:]}") for found in inside]
        return self.values(statement, param.word, f"{key}=", value)

    def _operations(self) -> list[Operation]:
        """The catalogue; loading it takes too long for a key's handler."""

        async def ask() -> Mapping[str, bool]:
            import agavesh.api.catalogue  # noqa: F401  for what it leaves in sys.modules

            return {}

        if "agavesh.api.catalogue" not in sys.modules:
            self._have("catalogue", ask)
        from agavesh.api.catalogue import operations

        return list(operations())


async def _listed(here: Session, folder: str) -> Mapping[str, bool]:
    """The names that a folder lists, asked for if they are not known or old."""
    from agavesh.tree.node import Link

    found = await here.directory(folder)
    return {node.name: node.entry.is_dir or isinstance(node, Link) async for node in found.scan()}


def _given(statement: Statement, name: str) -> str:
    tokens: list[Any] = statement.arguments.get(name, [])
    return tokens[0].text if tokens else ""


def _fitting(names: Iterable[str], head: str, text: str, *, tail: str = "") -> list[Candidate]:
    return [
        Candidate(f"{head}{name}{tail}", printable(name), goes_on=bool(tail)) for name in names if name.startswith(text)
    ]


def _begins(name: str, start: str) -> bool:
    """Whether a name begins so, however its accents are written. Hidden names want to be asked for."""
    if name.startswith(".") and not start.startswith("."):
        return False
    return name.startswith(start) or _composed(name).startswith(_composed(start))


def _composed(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)
