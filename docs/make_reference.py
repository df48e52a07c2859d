"""Writes docs/reference/ from the declarations: operations from the catalogue, errors from their classes, commands from
their signatures, those of agavefs from its parser.

With --check it writes nothing, and ends 1 if a page is out of date.
"""

from __future__ import annotations

import argparse
import inspect
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from agavefs.cli import command_line
from agavesh.api.catalogue import SERVICES
from agavesh.api.operation import Operation, Param
from agavesh.client import errors
from agavesh.shell.commands import about, all_commands

REFERENCE = Path(__file__).parent / "reference"
MADE = "<!-- made by `make docs`: change the declaration, not this page -->"


def operations() -> str:
    """Every operation with its route, parameters and answer."""
    return "\n".join([MADE, "", "# Operations", "", *_operations()])


def _operations() -> Iterator[str]:
    documented = sum(operation.documented for service in SERVICES for operation in service.operations.values())
    yield f"{documented} operations that AgavePy documents, and those few beside them that are marked so. As methods:"
    yield "`await agave.files.list(systemId=…)`; in the shell: `api files list systemId=…`. Every call also takes"
    yield "`search=`, `filter=`, `headers=`, `nonce=` and, for transfers, `bulk=`."
    for service in SERVICES:
        yield from ["", f"## {service.__name__.lower()}", "", (service.__doc__ or "").strip()]
        for operation in service.operations.values():
            yield from _operation(operation)


def _operation(operation: Operation) -> Iterator[str]:
    beside = "" if operation.documented else " (not in AgavePy's documentation)"
    yield from ["", f"### {operation.key}{beside}", "", operation.summary, ""]
    yield f"`{operation.method} {operation.path}` → {_answer(operation)}"
    if operation.params:
        yield ""
        yield from (_param(param, operation) for param in operation.params.values())


def _answer(operation: Operation) -> str:
    if operation.answer in ("nothing", "bytes"):
        return operation.answer
    name = getattr(operation.result, "__name__", None) or str(operation.result)
    return f"a page of {name}" if operation.answer == "page" else name


def _param(param: Param, operation: Operation) -> str:
    also = [other for other, ours in operation.also.items() if ours == param.name]
    named = f" (also `{also[0]}`)" if also else ""
    choices = f": {', '.join(param.word.choices)}" if param.word.choices else ""
    need = "" if param.required else ", optional"
    return f"- `{param.name}`{named}, {param.place}{need}: {param.word.help}{choices}"


def client_errors() -> str:
    """Every error of the client."""
    tree = inspect.getdoc(errors) or ""
    return "\n".join([MADE, "", "# Errors", "", "```text", tree, "```", ""])


def commands() -> str:
    """Every command of the shell as its own help tells it, and the topics."""
    lines = [MADE, "", "# Commands of agavesh", "", "The same as `help COMMAND` says."]
    for command in all_commands().commands():
        lines += ["", f"## {' '.join(command.words)}", "", "```text", about.describe(command).rstrip(), "```"]
    for name, what in about.TOPICS.items():
        text = about.topic(name).rstrip()
        lines += ["", f"## {name.replace('-', ' ').capitalize()}", "", f"{what}:", "", "```text", text, "```"]
    return "\n".join(lines)


def filesystem() -> str:
    """Every command of agavefs as its own help tells it."""
    lines = [MADE, "", "# Commands of agavefs", "", "The same as `agavefs COMMAND --help` says."]
    os.environ["COLUMNS"] = "100"
    parser = command_line()
    for command in _below(parser):
        name = command.prog.removeprefix("agavefs ")
        lines += ["", f"## {name}", "", "```text", command.format_help().rstrip(), "```"]
    return "\n".join(lines)


def _below(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The commands of a parser, and those below them."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                if name == command.prog.split()[-1]:  # no other name of one that is here
                    yield command
                    yield from _below(command)


PAGES = {"operations.md": operations, "errors.md": client_errors, "commands.md": commands, "agavefs.md": filesystem}


def main() -> int:
    stale = []
    for name, make in PAGES.items():
        page, text = REFERENCE / name, make().rstrip() + "\n"
        if not page.exists() or page.read_text() != text:
            stale.append(name)
            if "--check" not in sys.argv:
                REFERENCE.mkdir(exist_ok=True)
                page.write_text(text)
    if "--check" in sys.argv and stale:
        print(f"out of date: {', '.join(stale)}; run `make docs`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
