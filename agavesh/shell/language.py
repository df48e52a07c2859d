"""The shell's language: what a text says, as far as it goes. Half-typed texts too; nothing here fails or asks anybody.

`walk` takes the tokens of one command, finds the command, binds its parameters, and says what may stand at the cursor,
which role each token plays, and the first mistake with its place. Running, completion, colours and the hint all use
this one walk. How a text is cut into words is in `tokens.py`, what a command is in `command.py`, the names of remote
things in `complete.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from agavesh.shell.tokens import RESERVED, Token, lex, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agavesh.shell.command import Command, Parameter, Table

Role = Literal["command", "option", "value", "comment", "reserved", "mistake"]


class Mistake(NamedTuple):
    """What is wrong, and where."""

    sentence: str
    hint: str
    start: int
    stop: int


class Expected(NamedTuple):
    """What may stand at a place: words of a command, options, or values of parameters."""

    words: tuple[str, ...] = ()
    options: tuple[Parameter, ...] = ()
    values: tuple[Parameter, ...] = ()


class Statement:
    """One command of a line, as far as it goes. `place` is where the word at the cursor begins, `word` that word."""

    __slots__ = ("arguments", "command", "expected", "mistake", "options", "place", "roles", "word")

    def __init__(self) -> None:
        self.command: Command | None = None
        self.arguments: dict[str, list[Token]] = {}  # of positional parameters, by name
        self.options: dict[str, Token] = {}  # a flag has the token that set it
        self.expected = Expected()
        self.word: Token | None = None
        self.place = 0
        self.roles: list[tuple[int, int, Role]] = []
        self.mistake: Mistake | None = None

    def wrong(self, sentence: str, hint: str, token: Token) -> None:
        """Note a mistake; the first one stays."""
        if self.mistake is None:
            self.mistake = Mistake(sentence, hint, token.start, token.stop)
        self.roles.append((token.start, token.stop, "mistake"))


def statements(text: str, table: Table) -> list[Statement]:
    """The commands of a text, all of it checked."""
    return [walk(tokens, table) for tokens in _cut(lex(text)) if any(t.kind != "comment" for t in tokens)]


def _cut(tokens: Iterable[Token]) -> list[list[Token]]:
    cut: list[list[Token]] = [[]]
    for token in tokens:
        if token.kind == "end":
            cut.append([])
        else:
            cut[-1].append(token)
    return cut


def at_cursor(text: str, table: Table) -> Statement:
    """The last command of a text, which goes to the cursor: what may stand there, or go on there."""
    tokens = _cut(lex(text))[-1]
    typing = tokens.pop() if tokens and tokens[-1].kind == "word" and tokens[-1].stop == len(text) else None
    if tokens and tokens[-1].kind == "comment":
        return Statement()
    statement = walk(tokens, table, typing=typing, partial=True)
    statement.word, statement.place = typing, typing.start if typing else len(text)
    return statement


def roles(text: str, table: Table) -> list[tuple[int, int, Role]]:
    """Which part each piece of a half-typed text plays: `[start, stop)` and the role. Its last word is not judged."""
    found: list[tuple[int, int, Role]] = []
    for tokens in _cut(lex(text)):
        last = tokens[-1] if tokens and tokens[-1].kind == "word" and tokens[-1].stop == len(text) else None
        statement = walk(tokens[:-1] if last else tokens, table, typing=last, partial=True)
        found += statement.roles
        if last is not None and last.text in statement.expected.words:
            found.append((last.start, last.stop, "command"))
        elif last is not None and not last.text.startswith("-") and statement.command is not None:
            found.append((last.start, last.stop, "value"))
    return found


def walk(tokens: Sequence[Token], table: Table, *, typing: Token | None = None, partial: bool = False) -> Statement:
    """One command. `typing` is the word at the cursor: it is not judged, and what may follow it is not missing."""
    statement = Statement()
    half = typing is not None or partial
    given = []
    for token in tokens:
        if token.kind == "comment":
            statement.roles.append((token.start, token.stop, "comment"))
        elif token.kind == "reserved":
            statement.wrong(
                f"{RESERVED[token.text]} are no part of the language",
                f"quote {token.text} to mean the character",
                token,
            )
        else:
            given.append(token)
            if token.open and not half:
                name = {"\\": "backslash at the end", "$'": "quote $'"}.get(token.open, f"quote {token.open}")
                statement.wrong(f"the {name} is not finished", "", token)
    taken = table.longest([token.text for token in given])
    statement.roles += [(token.start, token.stop, "command") for token in given[:taken]]
    statement.command = command = table.find(tuple(token.text for token in given[:taken]))
    following = table.following(tuple(token.text for token in given[:taken]))
    if command is None:
        _no_command(statement, given, taken, table, half)
        return statement
    _Binding(statement, command, half, following).bind(given[taken:], typing)
    return statement


def _no_command(statement: Statement, given: list[Token], taken: int, table: Table, half: bool) -> None:
    following = table.following(tuple(token.text for token in given[:taken]))
    statement.expected = Expected(words=following if taken == len(given) else ())
    if taken < len(given):
        said = " ".join(token.text for token in given[: taken + 1])
        longer = [" ".join(name) for name in table.names if len(name) > 1 and name[-1] == said]
        hint = f'did you mean "{longer[0]}"?' if longer else nearest(given[taken].text, following)
        statement.wrong(f'no command "{printable(said)}"', hint or '"help" lists them', given[taken])
    elif given and not half:
        said = " ".join(token.text for token in given)
        statement.wrong(f'"{said}" needs a second word', f"one of {', '.join(following)}", given[-1])


class _Binding:
    """Gives a command's parameters their words."""

    def __init__(self, statement: Statement, command: Command, half: bool, following: tuple[str, ...]) -> None:
        self.statement, self.command, self.half = statement, command, half
        self.following = following  # words that would have made it another command
        self.flags: dict[str, Parameter] = {}
        for option in command.options:
            self.flags[f"--{option.name}"] = option
            if option.short:
                self.flags[f"-{option.short}"] = option

    def bind(self, tokens: Sequence[Token], typing: Token | None) -> None:
        places: list[Token] = []
        waiting: Parameter | None = None  # an option whose value comes next
        only_words = False
        last: Token | None = None
        for token in tokens:
            last = token
            if waiting is not None:
                self._value(waiting, token)
                waiting = None
            elif token.text == "--" and not only_words:
                only_words = True
                self._role(token, "option")
            elif token.text[:1] == "-" and len(token.text) > 1 and not only_words:
                waiting = self._option(token)
            else:
                places.append(token)
        if waiting is not None and typing is None and not self.half and last is not None:
            self.statement.wrong(f"--{waiting.name} needs a value", waiting.word.help, last)
        self._places(places)
        self._expect(places, waiting, typing, only_words, self.following if not tokens else ())

    def _role(self, token: Token, role: Role) -> None:
        self.statement.roles.append((token.start, token.stop, role))

    def _option(self, token: Token) -> Parameter | None:
        """Take an option; the answer is the one that wants the next word."""
        name, equals, value = token.text.partition("=")
        if name.startswith("--"):
            found = self.flags.get(name)
            if found is None:
                self._unknown(token, name)
                return None
            self._role(token, "option")
            if found.flag:
                if equals:
                    self.statement.wrong(f"{name} takes no value", "", token)
                self.statement.options[found.name] = token
                return None
            if not equals:
                return found
            self._value(found, token._replace(text=value, pattern=None), role=None)
            return None
        if token.text[1:].isdigit() and (found := self.flags.get("-n")) is not None:  # as in `head -20`
            self._value(found, token._replace(text=token.text[1:]), role="option")
            return None
        for place, letter in enumerate(token.text[1:], start=1):
            found = self.flags.get(f"-{letter}")
            if found is None:
                self._unknown(token, f"-{letter}")
                return None
            if not found.flag:
                self._role(token, "option")
                if not token.text[place + 1 :]:
                    return found
                self._value(found, token._replace(text=token.text[place + 1 :], pattern=None), role=None)
                return None
            self.statement.options[found.name] = token
        self._role(token, "option")
        return None

    def _unknown(self, token: Token, name: str) -> None:
        usual = nearest(name, list(self.flags)) if name.startswith("--") else ""
        sentence = f'"{" ".join(self.command.words)}" has no option {printable(name)}'
        hint = usual or f'"help {" ".join(self.command.words)}" lists them'
        if name.startswith("-") and not name.startswith("--"):
            hint += "; a name that begins with a dash stands behind --"
        self.statement.wrong(sentence, hint, token)

    def _value(self, parameter: Parameter, token: Token, role: Role | None = "value") -> None:
        self.statement.options[parameter.name] = token
        self._check(parameter, token, role)

    def _check(self, parameter: Parameter, token: Token, role: Role | None = "value") -> None:
        try:
            parameter.convert(token.text)
        except ValueError as misfit:
            hint = nearest(token.text, self.following) or str(misfit)
            self.statement.wrong(f"{printable(token.text)!r} is no {parameter.label}", hint, token)
        else:
            if role is not None:
                self._role(token, role)

    def _places(self, tokens: list[Token]) -> None:
        """Give the words to the positional parameters: one may take many, those behind it take the last words."""
        parameters = self.command.places
        many = next((at for at, parameter in enumerate(parameters) if parameter.many), None)
        if many is None:
            shares = [[token] for token in tokens[: len(parameters)]]
            for token in tokens[len(parameters) :]:
                hint = nearest(token.text, self.following) or f"usage: {self.command.usage}"
                self.statement.wrong(f"{printable(token.text)!r} is one word too many", hint, token)
        else:
            behind = min(len(parameters) - many - 1, max(len(tokens) - many - 1, 0))
            stop = len(tokens) - behind
            shares = [[token] for token in tokens[:many]]
            shares += [tokens[many:stop]]
            shares += [[token] for token in tokens[stop:]]
        for parameter, share in zip(parameters, shares, strict=False):
            if share:
                self.statement.arguments[parameter.name] = share
            for token in share:
                self._check(parameter, token)
        if self.half or "help" in self.statement.options:
            return
        for parameter in parameters:
            if parameter.required and parameter.name not in self.statement.arguments:
                end = max((stop for _, stop, _ in self.statement.roles), default=0)
                self.statement.wrong(
                    f'"{" ".join(self.command.words)}" needs {parameter.label}',
                    f"usage: {self.command.usage}",
                    Token("word", end, end, ""),
                )
                return

    def _expect(
        self, places: list[Token], waiting: Parameter | None, typing: Token | None, only_words: bool,
        following: tuple[str, ...],
    ) -> None:  # fmt: skip
        left = tuple(option for option in self.command.options if option.name not in self.statement.options)
        if waiting is not None:
            self.statement.expected = Expected(values=(waiting,))
            return
        if typing is not None and typing.text.startswith("-") and not only_words:
            name, equals, _ = typing.text.partition("=")
            found = self.flags.get(name)
            if equals and found is not None and not found.flag:
                self.statement.expected = Expected(values=(found,))
            else:
                self.statement.expected = Expected(options=left)
            return
        parameters, values = self.command.places, []
        for at, parameter in enumerate(parameters):
            if parameter.many:
                values.append(parameter)
                if len(places) > at:  # the words may have gone on to what stands behind
                    values += parameters[at + 1 : at + 2]
                break
            if at == len(places):
                values.append(parameter)
                break
        self.statement.expected = Expected(words=following, options=left, values=tuple(values))


def nearest(word: str, known: Iterable[str]) -> str:
    """`did you mean …?`, or nothing."""
    import difflib  # a good part of the start's time, and wanted only after a mistake

    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f'did you mean "{found[0]}"?' if found else ""
