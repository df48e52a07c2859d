"""Words: what they say must be so, and reading them must cost nothing."""

from __future__ import annotations

import subprocess
import sys
import typing

from agavesh.api import catalogue, words
from agavesh.api.words import Word

WORDS = {
    name: kind.__metadata__[0]
    for name, kind in vars(words).items()
    if typing.get_origin(kind) is typing.Annotated and isinstance(kind.__metadata__[0], Word)
}


def test_every_word_explains_itself_in_one_line() -> None:
    assert WORDS
    for word in WORDS.values():
        assert word.help
        assert "\n" not in word.help


def test_a_word_that_lists_names_a_top_folder_of_the_tree_or_one_of_two_trees() -> None:
    assert {word.lists for word in WORDS.values()} <= {"", "/systems", "/apps", "/jobs", "tree", "local"}


def test_a_parameter_stands_where_its_word_says_unless_the_route_names_it() -> None:
    for operation in catalogue.operations():
        for name, param in operation.params.items():
            assert param.place == ("path" if f"{{{name}}}" in operation.path else param.word.place), operation.key


def test_words_cost_no_library() -> None:
    heavy = ("msgspec", "httpx", "trio")
    asked = f"import sys, agavesh.api.words; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-I", "-c", asked], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
