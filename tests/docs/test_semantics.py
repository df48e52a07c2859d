"""Each promise of docs/semantics.md names a test, and the test is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/semantics.md").read_text()


def test_every_test_that_a_promise_names_exists() -> None:
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert named
    assert not {name for name in named if f"def {name}(" not in tests}


def test_every_promise_names_a_test() -> None:
    promises = re.split(r"^- ", PAGE, flags=re.MULTILINE)[1:]
    assert not [promise.splitlines()[0] for promise in promises if "`test_" not in promise]
