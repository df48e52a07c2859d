"""The shell's words: a text cut into tokens, quotes taken off, and words quoted again. Pure; no text is refused.

    a line        commands, separated by `;` or a newline; `#` at the beginning of a word starts a comment
    'as it is'    "also, but \\" \\\\ \\$ \\` are escaped"    $'with \\n, \\t, \\xHH, \\uHHHH'    \\c  the character c
    * ? [a-z]     wildcards, where they are not quoted

What the words mean is `language.py`'s matter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

Kind = Literal["word", "end", "comment", "reserved"]

RESERVED = {"|": "pipes", "&": "background commands", "<": "redirections", ">": "redirections"}
_BLANKS = " \t\r"
_PLAIN = re.compile(r"""[^\s;|&<>'"\\$]+""")
_WILD = re.compile(r"[*?[]")
_SAFE = re.compile(r"[\w@%+=:,./~-]+", re.ASCII)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "e": "\x1b", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}
_ESCAPED = {value: key for key, value in _ESCAPES.items() if key != "0"}
_CODES = {"x": 2, "u": 4, "U": 8}


class Token(NamedTuple):
    """A piece of a text, `[start, stop)`.

    `text` is what it means; `pattern` the same for fnmatch, if any wildcards are not quoted; `open` the quote that is
    not closed yet.
    """

    kind: Kind
    start: int
    stop: int
    text: str
    pattern: str | None = None
    open: str = ""


def lex(text: str) -> list[Token]:
    """The tokens of a text. Blanks are none; an open quote goes to the end."""
    tokens: list[Token] = []
    at, end = 0, len(text)
    while at < end:
        character = text[at]
        if character in _BLANKS:
            at += 1
        elif text.startswith("\\\n", at):
            at += 2
        elif character in ";\n":
            tokens.append(Token("end", at, at + 1, character))
            at += 1
        elif character == "#":
            stop = text.find("\n", at)
            stop = end if stop < 0 else stop
            tokens.append(Token("comment", at, stop, text[at:stop]))
            at = stop
        elif character in RESERVED:
            tokens.append(Token("reserved", at, at + 1, character))
            at += 1
        elif character.isspace():
            at += 1
        else:
            token = _word(text, at)
            tokens.append(token)
            at = token.stop
    return tokens


def _word(text: str, start: int) -> Token:
    said: list[str] = []
    pattern: list[str] = []
    wild = False
    quote = ""
    at, end = start, len(text)

    def literal(part: str) -> None:
        said.append(part)
        pattern.append(_WILD.sub(r"[\g<0>]", part))

    while at < end and not quote:
        character = text[at]
        if character.isspace() or character == ";" or character in RESERVED:
            break
        if character == "'":
            stop = text.find("'", at + 1)
            quote = "'" if stop < 0 else ""
            literal(text[at + 1 : end if stop < 0 else stop])
            at = end if stop < 0 else stop + 1
        elif character == '"' or text.startswith("$'", at):
            part, at, quote = _double(text, at + 1) if character == '"' else _ansi(text, at + 2)
            literal(part)
        elif character == "\\":
            if at + 1 == end:
                quote = "\\"
            elif text[at + 1] != "\n":
                literal(text[at + 1])
            at += 2
        elif (plain := _PLAIN.match(text, at)) is not None:
            said.append(plain.group())
            pattern.append(plain.group())
            wild = wild or _WILD.search(plain.group()) is not None
            at = plain.end()
        else:  # a dollar sign that begins no quote
            literal(character)
            at += 1
    return Token("word", start, min(at, end), "".join(said), "".join(pattern) if wild else None, quote)


def _double(text: str, at: int) -> tuple[str, int, str]:
    """The inside of double quotes from `at`, where it ends, and the quote if it is open."""
    said: list[str] = []
    while at < len(text):
        character = text[at]
        if character == '"':
            return "".join(said), at + 1, ""
        if character == "\\" and text[at + 1 : at + 2] in ('"', "\\", "$", "`", "\n"):
            at += 1
            character = "" if text[at] == "\n" else text[at]
        said.append(character)
        at += 1
    return "".join(said), at, '"'


def _ansi(text: str, at: int) -> tuple[str, int, str]:
    """The inside of `$'…'` from `at`, where it ends, and the quote if it is open."""
    said: list[str] = []
    while at < len(text):
        character = text[at]
        if character == "'":
            return "".join(said), at + 1, ""
        if character == "\\" and at + 1 < len(text):
            at += 1
            character = text[at]
            if (digits := _CODES.get(character)) is not None:
                code = re.compile(rf"[0-9a-fA-F]{{1,{digits}}}").match(text, at + 1)
                number = int(code.group(), 16) if code else None
                if code is None or number is None or number > 0x10FFFF:
                    character = "\\" + character
                else:
                    character = chr(number)
                    at = code.end() - 1
            else:
                character = _ESCAPES.get(character, character)
        said.append(character)
        at += 1
    return "".join(said), at, "$'"


def quote(word: str) -> str:
    """The word as it can be typed, in one piece and with nothing in it that moves a terminal."""
    if _SAFE.fullmatch(word):
        return word
    if not word.isprintable():
        return f"$'{_visible(word)}'"
    if "'" not in word:
        return f"'{word}'"
    return '"' + re.sub(r'["\\$`]', r"\\\g<0>", word) + '"'


def escape(word: str) -> str:
    """As `quote`, but character by character, so that the beginning of a word gives the beginning of the text."""
    return "".join(
        c if _SAFE.fullmatch(c) else f"$'{_visible(c)}'" if not c.isprintable() else c if c.isalnum() else f"\\{c}"
        for c in word
    )


def _visible(text: str) -> str:
    """The text for the inside of `$'…'`."""
    out = []
    for c in text:
        if c in "\\'":
            out.append("\\" + c)
        elif c.isprintable():
            out.append(c)
        elif c in _ESCAPED:
            out.append("\\" + _ESCAPED[c])
        else:
            out.append(f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}")
    return "".join(out)


def printable(text: str) -> str:
    """The text with all that could move a terminal written out."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" if ord(c) < 256 else f"\\u{ord(c):04x}" for c in text)


def words(arguments: Sequence[str]) -> list[Token]:
    """Tokens of words that another shell has cut already. Wildcards count; quotes and `;` are plain characters."""
    tokens = []
    at = 0
    for text in arguments:
        tokens.append(Token("word", at, at + len(text), text, text if _WILD.search(text) else None))
        at += len(text) + 1
    return tokens


def unfinished(text: str) -> bool:
    """Whether the text ends within a quote or after a backslash, so that its next line belongs to it."""
    tokens = lex(text.removesuffix("\n"))
    return bool(tokens and tokens[-1].open)
