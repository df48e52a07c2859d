"""The errors are the closed set that their docstring draws, and each knows its errno."""

from __future__ import annotations

import errno
import inspect
import re

import pytest

from agavesh.client import errors
from agavesh.client.errors import AgaveError, WrongKind

DRAWN = re.findall(r"^    ([│├└─ ]*)(\w+) *(.*)$", errors.__doc__ or "", re.MULTILINE)
TABLE = {
    name: re.findall(r"E[A-Z]{2,}", said) for _, name, said in DRAWN if name[0].isupper() and hasattr(errors, name)
}
CLASSES = {
    name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, AgaveError)
}  # fmt: skip


def test_the_docstring_draws_every_error_and_no_other() -> None:
    assert set(TABLE) == set(CLASSES)


@pytest.mark.parametrize("name", sorted(set(TABLE) - {"AgaveError", "WrongKind"}))
def test_an_error_has_the_errno_that_is_drawn(name: str) -> None:
    [drawn] = TABLE[name]
    assert CLASSES[name].errno == getattr(errno, drawn)


@pytest.mark.parametrize("name", sorted(set(TABLE) - {"AgaveError"}))
def test_an_error_stands_under_its_parent(name: str) -> None:
    depths = [(len(lines), found) for lines, found, _ in DRAWN if found in CLASSES]
    place = [found for _, found in depths].index(name)
    parent = next(found for depth, found in reversed(depths[:place]) if depth < depths[place][0])
    assert CLASSES[name].__bases__ == (CLASSES[parent],)


def test_the_wrong_kind_says_which_way_round() -> None:
    assert WrongKind("a folder").errno == errno.EISDIR
    assert WrongKind("a file", directory_expected=True).errno == errno.ENOTDIR


@pytest.mark.parametrize("kind", CLASSES.values())
def test_an_error_reads_as_sentence_and_hint(kind: type[AgaveError]) -> None:
    assert str(kind("it broke")) == "it broke"
    assert str(kind("it broke", hint="mend it")) == "it broke: mend it"
