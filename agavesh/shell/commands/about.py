"""help, set, version, exit: the shell itself."""

from collections.abc import Iterable
from typing import Annotated

from agavesh.api.words import Word
from agavesh.client.errors import BadArgument
from agavesh.shell.command import Command, Table, command
from agavesh.shell.language import nearest
from agavesh.shell.session import SETTINGS, Leave, Session

CommandName = Annotated[str, Word("name of a command, or a topic", lists="commands")]
SettingName = Annotated[str, Word("name of a setting", lists="settings", choices=tuple(SETTINGS))]
SettingValue = Annotated[str, Word("value of the setting", lists="setting-values")]

TOPICS = {
    "exit-codes": "what agavesh ends with",
    "language": "how a line is read: quotes, wildcards, comments",
    "paths": "what a path may be",
}

_PATHS = """\
A path is one of
  /systems/SYSTEM/a/b     a file of a storage system, from its root; /systems/SYSTEM/~ is your home there
  /jobs/ID/outputs/a      a file that a job left or is writing; /jobs/latest is your newest job
  /jobs/by-name/NAME/ID   the newest jobs by name, and /jobs/by-status/STATUS/ID by status
  /apps/ID/app.json       the record of an app
  a/b, ../c               from the folder you are in (see cd, pwd)
  agave://SYSTEM//a/b     the platform's URI of /systems/SYSTEM/a/b
  agave://SYSTEM/a/b      the same, from your home
  job:ID/a                the same as /jobs/ID/outputs/a
In a URI, characters are written as in any URL: %20 for a blank.
"""

_LANGUAGE = """\
A line holds commands, separated by ; and each of words, separated by blanks.
  'as it is'              no character means anything but itself
  "as it is"              but \\" \\\\ \\$ \\` stand for " \\ $ `
  $'a\\nb'                 with \\n \\t \\r \\e \\\\ \\' \\xHH \\uHHHH
  \\x                      the character x itself; at the end of a line, the line goes on
  * ? [a-z] [!a]          in a path: any text, any character, one of these, none of these; not when quoted
  # text                  a comment, where a word could begin
  --                      what follows is no option
The characters | & < > must be quoted. A line with a mistake in it does nothing at all.
In `agavesh COMMAND …` the words come from your own shell: quote wildcards from it, and ; needs none from us.
"""


@command("help", examples=["help", "help ls", "help jobs", "help exit-codes"])
def help(here: Session, *words: CommandName) -> None:
    """Explain a command or a topic, or list them all."""
    if not words:
        here.console.write(_everything(here.table))
        return
    if len(words) == 1 and words[0] in TOPICS:
        here.console.write(topic(words[0]))
        return
    found = [
        command for command in here.table.commands()
        if command.words[: len(words)] == words or any(other == words for other in command.also)
    ]  # fmt: skip
    if not found:
        known = [*(" ".join(name) for name in here.table.names), *TOPICS]
        said = " ".join(words)
        raise BadArgument(f'no command or topic "{said}"', hint=nearest(said, known) or '"help" lists them')
    here.console.write("\n".join(describe(command) for command in found))


def beneath(table: Table, words: tuple[str, ...]) -> str:
    """The commands whose names go on behind these words, a line each; nothing if there are none."""
    found = [table.find(name) for name in table.names if name[: len(words)] == words]
    named = {id(command): command for command in found if command is not None and command.words != words}
    if not named:
        return ""
    heading = f'Commands that begin with "{" ".join(words)}" (help COMMAND tells more):'
    return "\n".join([heading, *_summaries(named.values())]) + "\n"


def _summaries(commands: Iterable[Command]) -> list[str]:
    named = {" ".join(command.words): command.summary for command in commands}
    wide = max(map(len, named))
    return [f"  {name:{wide}}  {summary}" for name, summary in named.items()]


def _everything(table: Table) -> str:
    lines = ["Commands (help COMMAND tells more):", *_summaries(table.commands())]
    wide = max(map(len, TOPICS))
    lines += ["", "Topics (help TOPIC):", *(f"  {name:{wide}}  {what}" for name, what in TOPICS.items())]
    lines += ["", "Every command takes -o table|json|csv and --help."]
    return "\n".join(lines) + "\n"


def topic(name: str) -> str:
    """The text of a topic."""
    if name == "exit-codes":
        from agavesh.shell.exits import MEANING

        return "".join(f"  {code:3}  {meaning}\n" for code, meaning in MEANING.items())
    return {"paths": _PATHS, "language": _LANGUAGE}[name]


def describe(command: Command) -> str:
    """The help of one command."""
    lines = [f"usage: {command.usage}", "", f"  {command.summary}"]
    if command.description:
        lines += ["", *(f"  {line}".rstrip() for line in command.description.splitlines())]
    rows = [(parameter.label, parameter.word.help) for parameter in command.places]
    for option in command.parameters:
        if option.option:
            names = ", ".join([*([f"-{option.short}"] if option.short else []), f"--{option.name}"])
            value = "" if option.flag else " " + ("|".join(option.word.choices) or option.name.upper())
            rows.append((names + value, option.word.help))
    if rows:
        wide = max(len(name) for name, _ in rows)
        lines += ["", *(f"  {name:{wide}}  {what}".rstrip() for name, what in rows)]
    if command.also:
        lines += ["", f"  also: {', '.join(' '.join(words) for words in command.also)}"]
    if command.examples:
        lines += ["", *(f"  $ {example}" for example in command.examples)]
    return "\n".join(lines) + "\n"


@command("set", examples=["set", "set output json", "set editing vi"])
def set(here: Session, name: SettingName = "", value: SettingValue = "") -> None:
    """Show the settings, or change one: output (table, json, csv) and editing (emacs, vi)."""
    if not name:
        here.console.write("".join(f"{name}  {value}\n" for name, value in here.settings.items()))
        return
    if not value:
        here.console.write(f"{here.settings[name]}\n")
        return
    if value not in SETTINGS[name]:
        raise BadArgument(f"{value!r} is no value of {name}", hint=f"one of {', '.join(SETTINGS[name])}")
    here.settings[name] = value


@command("version", examples=["version"])
def version(here: Session) -> None:
    """Print the version."""
    from agavesh import __version__

    here.console.write(f"agavesh {__version__}\n")


@command("exit", also=["quit"], examples=["exit"])
def exit(here: Session, status: Annotated[int, Word("what to end with")] = -1) -> None:
    """Leave, with the status of the last command if none is given. Ctrl-D does the same."""
    raise Leave(here.status if status < 0 else status)
