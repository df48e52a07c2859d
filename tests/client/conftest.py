"""What the client's tests share: a cache folder of their own, and no environment but theirs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agavesh.client.accounts import Accounts


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the person who runs the tests: no account, no proxy."""
    for name in list(os.environ):
        if name.startswith("AGAVE_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AGAVE_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    """Saved accounts, none yet."""
    return Accounts(tmp_path / "cache")
