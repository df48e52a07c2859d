"""For tests of folders in folders: some that no path reaches."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


def deep(top: Path, depth: int, *, name: str = "d") -> Path:
    """Make a folder with so many in each other below it, as a program does that goes down one after the other."""
    top.mkdir()
    here = os.open(top, os.O_PATH)
    for _ in range(depth):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_PATH, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    return top


@pytest.fixture
def removable(tmp_path: Path) -> Iterator[None]:
    """Whatever a test leaves, pytest can remove: it fails at what is too deep."""
    yield
    subprocess.run(["rm", "-rf", str(tmp_path)], check=True)
