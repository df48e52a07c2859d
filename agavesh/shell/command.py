"""Commands: a function's signature is the whole declaration.

    @command("rm", examples=["rm -r /systems/data.demo/old"])
    async def rm(here: Session, paths: list[TreePath], *, recursive: Annotated[bool, Short("r")] = False) -> None:

Words before the star are positional (a list takes one or more, `*names` any number), those behind it are options. The
annotated words say what a value is, and so how it is completed. A function that is not async runs without trio. The
signature is read from the function itself: `inspect` alone would take a quarter of the time to the first prompt.

Not here: how a line is read (`language.py`), and how a command is carried out (`run.py`).
"""

import importlib
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from agavesh.api.words import Word

COROUTINE = 0x80  # inspect.CO_COROUTINE
VARIADIC = 0x04  # inspect.CO_VARARGS

OUTPUTS = ("table", "json", "csv")


class Short(NamedTuple):
    """An option's one letter."""

    letter: str


class Parameter:
    """One parameter of a command. `name` is as typed, `key` as in the signature."""

    def __init__(self, key: str, hint: Any, *, required: bool, option: bool, many: bool = False) -> None:
        self.key = key
        self.name = key.strip("_").replace("_", "-")
        kind, notes = _unwrap(hint)
        if typing.get_origin(kind) is list:
            many = True
            kind, inner = _unwrap(typing.get_args(kind)[0])
            notes = inner + notes
        self.kind: type = kind
        self.required, self.option, self.many = required, option, many
        # the outermost says most: a word of the field that is given a meaning of its own here
        words = [note for note in notes if isinstance(note, Word)]
        self.word = words[-1] if words else Word(self.name.replace("-", " "))
        self.short = next((note.letter for note in notes if isinstance(note, Short)), "")
        self.flag = option and kind is bool

    @property
    def label(self) -> str:
        """How it is called in usage and errors."""
        return self.name.upper() if not self.option else f"--{self.name}"

    @property
    def usage(self) -> str:
        """As it stands in the usage line."""
        if self.flag:
            return f"[{'-' + self.short if self.short else '--' + self.name}]"
        if self.option:
            value = "|".join(self.word.choices) if self.word.choices else self.name.upper()
            return f"[{'-' + self.short if self.short else '--' + self.name} {value}]"
        text = f"{self.label}…" if self.many else self.label
        return text if self.required else f"[{text}]"

    def convert(self, text: str) -> Any:
        """The value that a word stands for. ValueError says what is expected."""
        if self.word.choices and text not in self.word.choices:
            raise ValueError(f"one of {', '.join(self.word.choices)}")
        if self.word.lists.endswith("-fields") and not ("=" in text or "~" in text):
            raise ValueError(self.word.help)
        if self.kind is int:
            try:
                return int(text)
            except ValueError:
                raise ValueError("a whole number") from None
        if self.kind is float:
            try:
                return float(text)
            except ValueError:
                raise ValueError("a number") from None
        return text


def _unwrap(hint: Any) -> tuple[Any, list[Any]]:
    """The bare type and the notes of an annotation such as `Annotated[str, Word(…)] | None`."""
    arguments = typing.get_args(hint)
    if type(None) in arguments:
        return _unwrap(next(option for option in arguments if option is not type(None)))
    if typing.get_origin(hint) is typing.Annotated:
        kind, notes = _unwrap(arguments[0])
        return kind, notes + list(arguments[1:])
    return hint, []


OutputFormat = typing.Annotated[
    Literal["table", "json", "csv"], Word("how records are written", choices=OUTPUTS), Short("o")
]
# what every command takes
GLOBAL = (
    Parameter("output", OutputFormat, required=False, option=True),
    Parameter("help", bool, required=False, option=True),
)


class Command:
    """A command: its words, its parameters, and the function behind it."""

    def __init__(self, name: str, function: Callable[..., Any], examples: Sequence[str], also: Sequence[str]) -> None:
        self.words = tuple(name.split())
        self.function, self.examples = function, tuple(examples)
        self.also = tuple(tuple(other.split()) for other in also)
        text = (function.__doc__ or "").strip()
        self.summary, _, rest = text.partition("\n")
        self.description = "\n".join(line.removeprefix("    ") for line in rest.strip("\n").splitlines()).rstrip()
        self._parameters: list[Parameter] | None = None

    @property
    def is_async(self) -> bool:
        return bool(self.function.__code__.co_flags & COROUTINE)

    @property
    def parameters(self) -> list[Parameter]:
        """In the signature's order, without the session, which comes first."""
        if self._parameters is None:
            self._parameters = list(_parameters(self.function))
        return self._parameters

    @property
    def places(self) -> list[Parameter]:
        return [parameter for parameter in self.parameters if not parameter.option]

    @property
    def options(self) -> list[Parameter]:
        own = [parameter for parameter in self.parameters if parameter.option]
        return [*own, *(extra for extra in GLOBAL if all(extra.name != option.name for option in own))]

    @property
    def usage(self) -> str:
        """One line: words, options, places."""
        own = [parameter for parameter in self.parameters if parameter.option]
        return " ".join([*self.words, *(p.usage for p in own), *(p.usage for p in self.places)])


def _parameters(function: Callable[..., Any]) -> Iterable[Parameter]:
    code, hints = function.__code__, function.__annotations__
    places = code.co_varnames[1 : code.co_argcount]
    options = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    defaults = len(function.__defaults__ or ())
    for at, name in enumerate(places):
        yield Parameter(name, hints[name], required=at < len(places) - defaults, option=False)
    if code.co_flags & VARIADIC:
        name = code.co_varnames[code.co_argcount + code.co_kwonlyargcount]
        yield Parameter(name, hints[name], required=False, option=False, many=True)
    for name in options:
        yield Parameter(name, hints[name], required=False, option=True)


def command(
    name: str, *, examples: Sequence[str] = (), also: Sequence[str] = ()
) -> Callable[[Callable[..., Any]], Command]:
    """Make a function the command `name`, which may be several words; `also` names it further."""

    def declare(function: Callable[..., Any]) -> Command:
        return Command(name, function, examples, also)

    return declare


class Table:
    """All commands by their words; a module is imported when one of its commands is first asked for."""

    def __init__(self, package: str, modules: Mapping[str, Sequence[str]]) -> None:
        self._package = package
        self._homes = {tuple(name.split()): module for module, names in modules.items() for name in names}
        self._commands: dict[tuple[str, ...], Command] = {}

    @property
    def names(self) -> list[tuple[str, ...]]:
        """The words of all commands, other names too."""
        return sorted(self._homes)

    def longest(self, words: Sequence[str]) -> int:
        """How many of the words belong to the name of a command, or to the beginning of one."""
        taken = 0
        while taken < len(words) and any(name[: taken + 1] == tuple(words[: taken + 1]) for name in self._homes):
            taken += 1
        return taken

    def following(self, words: tuple[str, ...]) -> tuple[str, ...]:
        """The words that may come next in a command's name."""
        return tuple(
            sorted({name[len(words)] for name in self._homes if len(name) > len(words) and name[: len(words)] == words})
        )

    def find(self, words: tuple[str, ...]) -> Command | None:
        """The command of that name, if there is one."""
        if words not in self._homes:
            return None
        if words not in self._commands:
            self._load(self._homes[words])
        return self._commands[words]

    def _load(self, module: str) -> None:
        for thing in vars(importlib.import_module(f"{self._package}.{module}")).values():
            if isinstance(thing, Command):
                for words in (thing.words, *thing.also):
                    self._commands[words] = thing

    def commands(self) -> list[Command]:
        """All commands, each once, by name. Imports every module of commands."""
        found = {id(command): command for words in self.names if (command := self.find(words)) is not None}
        return sorted(found.values(), key=lambda command: command.words)
