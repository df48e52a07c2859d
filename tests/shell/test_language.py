"""The language: what a text says, whole or half-typed."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agavesh.shell.command import Table
from agavesh.shell.commands import all_commands
from agavesh.shell.language import Statement, at_cursor, roles, statements
from agavesh.shell.tokens import escape, lex, printable, quote, unfinished, words

TABLE = all_commands()

# what people and programs type, with much of what is special
typed = st.text(
    st.sampled_from("ls cat -rn=;#'\"\\$ \n\t|&<>*?[]/abé" + "\x00\x1b\u202e") | st.characters(), max_size=60
)
names = st.text(st.characters(exclude_characters="\0/"), min_size=1, max_size=30)


def one(line: str) -> Statement:
    (statement,) = statements(line, TABLE)
    return statement


def texts(line: str) -> list[str]:
    return [token.text for token in lex(line) if token.kind == "word"]


# words


@given(st.text())
def test_what_quote_makes_reads_back_as_the_word(word: str) -> None:
    assert texts(quote(word)) == [word] or (word == "" and texts(quote(word)) == [""])


@given(names)
def test_what_escape_makes_reads_back_as_the_word_and_has_no_wildcard(word: str) -> None:
    (token,) = lex(escape(word))
    assert (token.text, token.pattern, token.open) == (word, None, "")


@given(names, names)
def test_escape_of_a_beginning_is_the_beginning_of_escape(first: str, second: str) -> None:
    assert escape(first + second).startswith(escape(first))


@given(st.text())
def test_quote_and_printable_never_move_a_terminal(word: str) -> None:
    assert quote(word).isprintable()
    assert printable(word).isprintable()


@given(typed)
def test_any_text_is_understood_or_has_a_mistake_with_a_place(text: str) -> None:
    for statement in statements(text, TABLE):
        if statement.mistake is not None:
            assert 0 <= statement.mistake.start <= statement.mistake.stop <= len(text)
            assert statement.mistake.sentence
        else:
            assert statement.command is not None


@given(typed)
def test_every_character_but_blanks_belongs_to_one_token(text: str) -> None:
    covered = [place for token in lex(text) for place in range(token.start, token.stop)]
    assert len(covered) == len(set(covered))
    left = set(range(len(text))) - set(covered)
    assert all(text[place].isspace() or text[place] == "\\" for place in left)


@given(typed)
def test_half_of_any_text_can_be_completed_and_coloured(text: str) -> None:
    statement = at_cursor(text, TABLE)
    assert 0 <= statement.place <= len(text)
    assert all(0 <= start <= stop <= len(text) for start, stop, _ in roles(text, TABLE))


@given(st.lists(names, max_size=5))
def test_words_of_another_shell_are_taken_as_they_are(arguments: list[str]) -> None:
    assert [token.text for token in words(arguments)] == arguments


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a b  c", ["a", "b", "c"]),
        ("'a b' c", ["a b", "c"]),
        ('"a \\"b\\" \\$x \\n"', ['a "b" $x \\n']),
        (r"a\ b", ["a b"]),
        ("a'b'\"c\"d", ["abcd"]),
        (r"$'a\nb\t\x41\u00e9\''", ["a\nb\tAé'"]),
        (r"$'\xzz\ud800'", ["\\xzz\ud800"]),
        ("a # b", ["a"]),
        ("a#b", ["a#b"]),
        ("a\\\nb", ["ab"]),
        ("a \\\n b", ["a", "b"]),
        ("''", [""]),
        ("$HOME $ a$", ["$HOME", "$", "a$"]),
        ("a;b\nc", ["a", "b", "c"]),
    ],
)
def test_words_are_cut_and_quotes_taken_off(line: str, said: list[str]) -> None:
    assert texts(line) == said


@pytest.mark.parametrize(
    ("word", "pattern"),
    [
        ("*.txt", "*.txt"),
        ("'*.txt'", None),
        ("'*'.t?t", "[*].t?t"),
        (r"\*.[a-c]", "[*].[a-c]"),
        ("plain", None),
        ('"["x*', "[[]x*"),
    ],
)
def test_a_wildcard_counts_unless_it_is_quoted(word: str, pattern: str | None) -> None:
    (token,) = lex(word)
    assert token.pattern == pattern


@pytest.mark.parametrize(
    ("text", "goes_on"),
    [
        ("ls 'a", True),
        ('ls "a', True),
        ("ls a\\", True),
        ("ls a\\\\", False),
        ("ls $'a", True),
        ("ls 'a'", False),
        ("", False),
    ],
)
def test_a_line_with_an_open_quote_goes_on(text: str, goes_on: bool) -> None:
    assert unfinished(text) is goes_on
    assert unfinished(text + "\n") is goes_on


# commands and their parameters


def given_to(line: str) -> dict[str, list[str]]:
    statement = one(line)
    assert statement.mistake is None, statement.mistake
    return {name: [token.text for token in tokens] for name, tokens in statement.arguments.items()}


def test_the_longest_name_of_a_command_counts() -> None:
    assert [one(line).command.words for line in ("jobs", "jobs list", "jobs show x", "jobs status=RUNNING")] == [  # type: ignore[union-attr]  # each has one
        ("jobs",), ("jobs",), ("jobs", "show"), ("jobs",),
    ]  # fmt: skip


def test_the_last_of_several_words_is_the_target() -> None:
    assert given_to("cp a b c d") == {"sources": ["a", "b", "c"], "target": ["d"]}
    assert given_to("get a") == {"sources": ["a"]}
    assert given_to("get a b") == {"sources": ["a"], "target": ["b"]}


def test_options_may_stand_anywhere_joined_or_with_their_values() -> None:
    statement = one("head a -n 5 -c9 b --output=json")
    assert statement.mistake is None
    assert {name: token.text for name, token in statement.options.items()} == {
        "lines": "5",
        "bytes": "9",
        "output": "json",
    }
    assert sorted(one("ls -laR x").options) == ["all", "long", "recursive"]


def test_a_dash_and_digits_are_a_number_of_lines() -> None:
    statement = one("head -20 a")
    assert (statement.mistake, statement.options["lines"].text) == (None, "20")


def test_behind_two_dashes_nothing_is_an_option() -> None:
    assert given_to("rm -- -rf") == {"paths": ["-rf"]}


@pytest.mark.parametrize(
    ("line", "sentence", "hint", "place"),
    [
        ("lss -l", 'no command "lss"', "ls", "lss"),
        ("tenant strat", "'strat' is one word too many", '"start"', "strat"),
        ("jobs shwo x", "'shwo' is no FILTERS", '"show"', "shwo"),
        ("ls --lnog", "no option --lnog", "--long", "--lnog"),
        ("ls -z", "no option -z", "--", "-z"),
        ("head -n", "--lines needs a value", "", "-n"),
        ("head -n x a", "'x' is no --lines", "whole number", "x"),
        ("ls -o yaml", "'yaml' is no --output", "table", "yaml"),
        ("pwd x", "one word too many", "usage: pwd", "x"),
        ("submit a", 'no command "submit"', 'did you mean "jobs submit"?', "submit"),
        ("cp a", "needs TARGET", "usage: cp", ""),
        ("cat", "needs PATHS", "usage: cat", ""),
        ("cat 'a", "quote ' is not finished", "", "'a"),
        ("ls | wc", "pipes", "quote |", "|"),
        ("ls > a", "redirections", "quote >", ">"),
        ("ls --long=3", "takes no value", "", "--long=3"),
        ("set colour", "'colour' is no NAME", "output", "colour"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_what_was_meant(line: str, sentence: str, hint: str, place: str) -> None:
    mistake = one(line).mistake
    assert mistake is not None
    assert sentence in mistake.sentence
    assert hint in mistake.hint
    assert line[mistake.start : mistake.stop] == place


def test_help_is_given_whatever_a_command_needs() -> None:
    for command in TABLE.commands():
        statement = one(f"{' '.join(command.words)} --help")
        assert statement.command is command
        assert statement.mistake is None


def test_the_first_mistake_is_the_one_that_is_told() -> None:
    mistake = one("ls -z --lnog").mistake
    assert mistake is not None
    assert "-z" in mistake.sentence


# what may stand at the cursor


def expected(text: str) -> Statement:
    return at_cursor(text, TABLE)


def test_at_the_beginning_a_command_may_stand() -> None:
    assert {"ls", "jobs", "help"} <= set(expected("").expected.words)
    assert "ls" in expected("pwd; l").expected.words


def test_after_a_command_of_several_words_the_next_may_stand_or_its_parameters() -> None:
    statement = expected("jobs ")
    assert "submit" in statement.expected.words
    assert [parameter.name for parameter in statement.expected.values] == ["filters"]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("cat ", ["paths"]),
        ("cat a b", ["paths"]),
        ("cp a ", ["sources", "target"]),
        ("head -n ", ["lines"]),
        ("head --lines=", ["lines"]),
        ("jobs submit ", ["app"]),
        ("jobs submit x ", ["settings"]),
        ("api files ", ["operation"]),
        ("pwd ", []),
    ],
)
def test_values_of_parameters_may_stand_where_they_are_next(text: str, values: list[str]) -> None:
    assert [parameter.name for parameter in expected(text).expected.values] == values


def test_a_dash_asks_for_the_options_that_are_left() -> None:
    options = {option.name for option in expected("ls -l --").expected.options}
    assert "reverse" in options
    assert "long" not in options


def test_in_a_comment_nothing_may_stand() -> None:
    statement = expected("ls # jo")
    assert (statement.expected.words, statement.expected.values) == ((), ())


def test_colours_tell_commands_options_and_mistakes_apart() -> None:
    text = "ls -l a; lss b"
    found = {(text[start:stop], role) for start, stop, role in roles(text, TABLE)}
    assert {("ls", "command"), ("-l", "option"), ("a", "value"), ("lss", "mistake")} <= found


# the table


def test_the_index_of_commands_is_what_the_modules_hold() -> None:
    from importlib import import_module
    from pathlib import Path

    from agavesh.shell import commands
    from agavesh.shell.command import Command

    held = {}
    for file in Path(commands.__file__).parent.glob("[!_]*.py"):
        module = import_module(f"agavesh.shell.commands.{file.stem}")
        found = [thing for thing in vars(module).values() if isinstance(thing, Command)]
        own = {" ".join(name) for command in found for name in (command.words, *command.also)}
        held[file.stem] = own
    assert {module: set(names) for module, names in commands.MODULES.items()} == held


def test_every_command_says_what_it_does_and_every_parameter_what_it_is() -> None:
    for command in TABLE.commands():
        assert command.summary.endswith("."), command.words
        for parameter in command.parameters:
            assert parameter.word.help, (command.words, parameter.name)
            assert parameter.kind in (str, int, float, bool), (command.words, parameter.name)


def test_no_two_options_of_a_command_have_one_letter() -> None:
    for command in TABLE.commands():
        letters = [option.short for option in command.options if option.short]
        assert len(letters) == len(set(letters)), command.words


def test_a_table_loads_only_the_module_that_is_asked_for() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from agavesh.shell.commands import all_commands; all_commands().find(('ls',));"
        "print(*[m for m in sys.modules if m.startswith('agavesh.shell.commands.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["agavesh.shell.commands.files"]


def test_an_empty_table_knows_nothing() -> None:
    assert Table("agavesh.shell.commands", {}).longest(["ls"]) == 0


def test_letters_digits_and_the_like_need_no_quotes() -> None:
    assert all(
        quote(letter) == letter == escape(letter) for letter in string.ascii_letters + string.digits + "/._-:@%+=,~"
    )
