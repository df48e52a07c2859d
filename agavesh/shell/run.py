"""Carrying commands out: words become arguments, wildcards become names, errors become a sentence and a status.

A line is walked whole before any of it runs: a line with a mistake does nothing. Where trio is not needed it is not
loaded: `run_here` runs what is not async, `run_line` all.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from agavesh.client.errors import AgaveError, BadAnswer, BadArgument
from agavesh.shell import exits
from agavesh.shell.console import OutputClosed
from agavesh.shell.language import Mistake, Statement, statements
from agavesh.shell.session import Leave, Session, first_error
from agavesh.shell.tokens import Token, printable

if TYPE_CHECKING:
    from agavesh.shell.command import Command, Parameter


def needs_trio(line: list[Statement]) -> bool:
    """Whether anything in a line has to wait for somebody."""
    return any(s.command is not None and s.command.is_async and "help" not in s.options for s in line)


def checked(here: Session, text: str) -> list[Statement]:
    """The statements of a line. BadArgument for the first mistake."""
    line = statements(text, here.table)
    for statement in line:
        if statement.mistake is not None:
            raise mistaken(statement.mistake)
    return line


def mistaken(mistake: Mistake) -> BadArgument:
    """The error that a mistake is, when it is run."""
    return BadArgument(mistake.sentence, hint=mistake.hint)


def run_here(here: Session, line: list[Statement], *, at: str = "") -> int:
    """Run statements of which none is async."""
    status = 0
    for statement in line:
        command = statement.command
        assert command is not None
        try:
            here.output = _output(here, statement)
            if "help" in statement.options:
                _help(here, command)
                status = 0
            else:
                given = _given(command, statement)
                plain = {name: _plain(values) for name, values in given.items()}
                status = command.function(here, *_places(command, plain), **_options(command, statement)) or 0
        except (AgaveError, OSError) as error:
            status = report(here, error, at)
        here.status = status
        if status and not here.interactive:
            break
    return status


async def run_line(here: Session, line: list[Statement], *, at: str = "") -> int:
    """Run statements one after another, up to the first that fails; at a prompt, all of them."""
    status = 0
    for statement in line:
        status = await _run(here, statement, at)
        here.status = status
        if status and not here.interactive:
            break
    return status


async def _run(here: Session, statement: Statement, at: str) -> int:
    command = statement.command
    assert command is not None
    if not command.is_async or "help" in statement.options:
        return run_here(here, [statement], at=at)
    try:
        here.output = _output(here, statement)
        given = {name: await _expanded(here, values) for name, values in _given(command, statement).items()}
        try:
            return await command.function(here, *_places(command, given), **_options(command, statement)) or 0
        finally:
            await here.tell_mounts()
    except (AgaveError, OSError) as error:
        return report(here, error, at)
    except ValueError as error:
        from agavesh.api.record import BadField

        if not isinstance(error, BadField):
            raise
        return report(here, BadAnswer(str(error)), at)
    except BaseExceptionGroup as group:
        # a nursery within a command wraps what its tasks raised
        if group.subgroup((KeyboardInterrupt, OutputClosed, Leave)) is not None:
            raise
        found = first_error(group)
        if found is None:
            raise
        return report(here, found, at)


def report(here: Session, error: AgaveError | OSError, at: str = "") -> int:
    """Say what went wrong; what to end with."""
    if here.debug:
        import traceback

        here.console.note("".join(traceback.format_exception(error)).rstrip())
    here.console.complain(error, at=at)
    return exits.exit_code(error)


def _output(here: Session, statement: Statement) -> str:
    token = statement.options.get("output")
    return token.text if token is not None else here.settings["output"]


def _help(here: Session, command: Command) -> None:
    from agavesh.shell.commands.about import beneath, describe

    here.console.write(describe(command))
    if further := beneath(here.table, command.words):
        here.console.write(f"\n{further}")


def _given(command: Command, statement: Statement) -> dict[str, list[tuple[Parameter, Token]]]:
    return {
        parameter.key: [(parameter, token) for token in statement.arguments.get(parameter.name, ())]
        for parameter in command.places
    }


def _plain(values: list[tuple[Parameter, Token]]) -> list[Any]:
    return [parameter.convert(token.text) for parameter, token in values]


async def _expanded(here: Session, values: list[tuple[Parameter, Token]]) -> list[Any]:
    """The values of a parameter, wildcards replaced by the names that they stand for; by themselves if by none."""
    found: list[Any] = []
    for parameter, token in values:
        names: list[str] = []
        if token.pattern is not None and parameter.word.lists in ("tree", "tree/"):
            from agavesh.shell.expand import remote_names

            names = await remote_names(here, token.pattern)
        elif token.pattern is not None and parameter.word.lists == "local":
            from agavesh.shell.expand import local_names

            names = local_names(token.pattern)
        if len(names) > 1 and not parameter.many:
            raise BadArgument(
                f"{printable(token.text)!r} stands for {len(names)} names", hint=f"{parameter.label} is one"
            )
        found += names or [parameter.convert(token.text)]
    return found


def _places(command: Command, given: dict[str, list[Any]]) -> list[Any]:
    """Positional arguments. One that is not given is left to its default, and so are those behind it."""
    arguments: list[Any] = []
    for parameter in command.places:
        values = given[parameter.key]
        if parameter.many and parameter.required:
            arguments.append(values)
        elif parameter.many:
            arguments += values
        elif values:
            arguments.append(values[0])
        else:
            break
    return arguments


def _options(command: Command, statement: Statement) -> dict[str, Any]:
    own = {parameter.name: parameter for parameter in command.parameters if parameter.option}
    return {
        own[name].key: True if own[name].flag else own[name].convert(token.text)
        for name, token in statement.options.items()
        if name in own
    }


def silence_output() -> None:
    """Send standard output nowhere, so that the interpreter's last flush does not fail on it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
