"""The ways in: `agavesh` (a prompt), `agavesh COMMAND …`, `agavesh -c LINE`, a script file, or standard input.

Only the prompt loads prompt_toolkit, and only what has to wait for somebody loads trio.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from agavesh.client.errors import AgaveError, BadArgument
from agavesh.shell import exits
from agavesh.shell.command import OUTPUTS
from agavesh.shell.commands import all_commands
from agavesh.shell.console import Console, OutputClosed
from agavesh.shell.language import Statement, nearest, walk
from agavesh.shell.run import checked, mistaken, needs_trio, report, run_here, run_line, silence_output
from agavesh.shell.session import Leave, Session
from agavesh.shell.tokens import printable, unfinished, words

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

USAGE = """\
usage: agavesh [OPTION…]                 a prompt; without a terminal, lines from standard input
       agavesh [OPTION…] COMMAND WORD…   one command ("agavesh help" lists them)
       agavesh [OPTION…] -c LINE         one line
       agavesh [OPTION…] ./FILE          a script: stops at the first command that fails

  -o, --output table|json|csv   how records are written
  --url URL                     the platform, if you are signed in at several
  --user NAME                   the account, if you have several there
  --debug                       tell more, and show where an error comes from
  --version, --help
"""


class Options(NamedTuple):
    """What stands before the command."""

    line: str | None = None
    output: str = "table"
    url: str | None = None
    user: str | None = None
    debug: bool = False
    show: str = ""  # "version" or "help"


def main(arguments: list[str] | None = None) -> int:
    """Run `agavesh`; what to end with."""
    _stand_in_for_closed_streams()
    console = Console()
    try:
        options, rest = parse(sys.argv[1:] if arguments is None else arguments)
        return _enter(console, options, rest)
    except AgaveError as error:
        console.complain(error)
        return exits.exit_code(error)
    except Leave as leave:
        return leave.status
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except OutputClosed:
        silence_output()
        return exits.OUTPUT_CLOSED
    except BaseExceptionGroup as group:  # from a nursery
        if group.subgroup(KeyboardInterrupt) is not None:
            return exits.INTERRUPTED
        if group.subgroup(OutputClosed) is not None:
            silence_output()
            return exits.OUTPUT_CLOSED
        return _bug(console, group)
    except Exception as error:  # noqa: BLE001  the last edge: said in full, and ends as what it is
        return _bug(console, error)


def _stand_in_for_closed_streams() -> None:
    """Take the numbers of standard streams that are closed: else files and sockets of ours would, and get output."""
    for number, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # the lowest free number; results can't be written to it, and remarks are lost


def _bug(console: Console, error: BaseException) -> int:
    if "--debug" in sys.argv:
        import traceback

        console.note("".join(traceback.format_exception(error)).rstrip())
    console.note(f"agavesh: a fault of agavesh itself: {type(error).__name__}: {error}")
    console.note("  please report it, with what --debug shows")
    return exits.BUG


def parse(arguments: list[str]) -> tuple[Options, list[str]]:
    """The options that stand before the command, and the words from the command on. BadArgument."""
    values: dict[str, str] = {}
    debug, show, at = False, "", 0
    valued = {"-c": "line", "-o": "output", "--output": "output", "--url": "url", "--user": "user"}
    while at < len(arguments) and arguments[at].startswith("-") and len(arguments[at]) > 1:
        name, equals, value = arguments[at].partition("=")
        at += 1
        if name in valued:
            if not equals:
                if at == len(arguments):
                    raise BadArgument(f"{name} needs a value", hint='"agavesh --help" explains')
                value = arguments[at]
                at += 1
            values[valued[name]] = value
        elif name == "--debug":
            debug = True
        elif name in ("--version", "--help", "-h"):
            show = "version" if name == "--version" else "help"
        else:
            known = [*valued, "--debug", "--version", "--help"]
            raise BadArgument(
                f"agavesh has no option {printable(name)}", hint=nearest(name, known) or '"agavesh --help" explains'
            )
    options = Options(
        values.get("line"), values.get("output", "table"), values.get("url"), values.get("user"), debug, show
    )
    if options.output not in OUTPUTS:
        raise BadArgument(f"{options.output!r} is no kind of output", hint=f"one of {', '.join(OUTPUTS)}")
    if options.line is not None and arguments[at:]:
        raise BadArgument(f"-c takes one line, and there is {arguments[at]!r} too", hint="quote the line as a whole")
    return options, arguments[at:]


def _enter(console: Console, options: Options, rest: list[str]) -> int:
    if options.show == "version":
        rest = ["version"]
    elif options.show == "help":
        console.write(USAGE)
        return 0
    if options.debug:
        _log()
    interactive = options.line is None and not rest and os.isatty(0) and console.is_terminal
    here = Session(
        console, all_commands(), interactive=interactive, url=options.url, username=options.user,
        output=options.output, debug=options.debug,
    )  # fmt: skip
    if interactive:
        from agavesh.shell.repl import prompt

        return prompt(here)
    if options.line is not None:
        return _run(here, checked(here, options.line))
    if rest and "/" in rest[0]:
        return _script(here, rest)
    if rest:
        return _run(here, [_one(here, rest)])
    return _lines(here, _standard_input, "")


def _one(here: Session, rest: list[str]) -> Statement:
    statement = walk(words(rest), here.table)
    if statement.mistake is not None:
        raise mistaken(statement.mistake)
    return statement


def _run(here: Session, line: list[Statement]) -> int:
    return _in_trio(_living, here, line) if needs_trio(line) else run_here(here, line)


def _in_trio(function: Callable[..., Awaitable[int]], *arguments: Any) -> int:
    """Ctrl-C arrives where a task waits, never in the middle of a step: what cleans up is not cut, and none is lost."""
    import trio

    return trio.run(function, *arguments, restrict_keyboard_interrupt_to_checkpoints=True)


async def _living(here: Session, line: list[Statement]) -> int:
    async with here.living():
        try:
            return await run_line(here, line)
        except Leave as leave:
            return leave.status


def _script(here: Session, rest: list[str]) -> int:
    if len(rest) > 1:
        raise BadArgument(
            f"a script takes no words: {printable(rest[1])}", hint="the first word, with a slash, is a file"
        )
    from pathlib import Path

    try:
        text = Path(rest[0]).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        return report(here, error)
    lines = iter(re.findall(r"[^\n]*\n|[^\n]+", text))  # not splitlines(), which cuts at a form feed too
    return _lines(here, lambda: next(lines, ""), f"{rest[0]}:")


def _standard_input() -> str:
    return sys.stdin.buffer.readline().decode("utf-8", "surrogateescape")


def _lines(here: Session, read: Callable[[], str], name: str) -> int:
    """Run line after line, up to the first that fails. `read` gives "" at the end."""
    return _in_trio(_each, here, read, name)


async def _each(here: Session, read: Callable[[], str], name: str) -> int:
    import trio

    number, status = 0, 0
    async with here.living():
        while not status:
            text, first = "", number + 1
            while True:
                more = await trio.to_thread.run_sync(read, abandon_on_cancel=True)
                text += more
                number += 1
                if not more or not unfinished(text):
                    break
            if not text:
                break
            at = f"{name}{first}: " if name else ""
            try:
                line = checked(here, text)
            except AgaveError as error:
                status = report(here, error, at)
            else:
                try:
                    status = await run_line(here, line, at=at)
                except Leave as leave:
                    return leave.status
    return status


def _log() -> None:
    import logging

    logging.basicConfig(level=logging.DEBUG, format="%(relativeCreated)7d ms  %(name)s: %(message)s")
    logging.getLogger("httpcore").setLevel(logging.INFO)  # tells every byte's way, and headers
