"""The README is true: its commands are run one after another, as a newcomer would, against an embedded tenant."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment with no account anywhere; `.venv` stands in the current folder as in a clone."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AGAVE_")}
    environment |= {"HOME": str(tmp_path), "PATH": f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"}
    for name in [name for name in environment if name.startswith("XDG_")]:
        del environment[name]
    yield environment
    stop = [sys.executable, "-m", "agavesh", "tenant", "stop"]
    subprocess.run(stop, env=environment, cwd=tmp_path, capture_output=True, check=False, timeout=60)


def run(script: str, environment: dict[str, str], folder: Path, *shell: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*shell, script], env=environment, cwd=folder, capture_output=True, text=True, timeout=240, check=False
    )


@pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="the README mounts, and there is no /dev/fuse here")
def test_every_command_of_the_readme_succeeds(newcomer: dict[str, str], tmp_path: Path) -> None:
    commands = "".join(block for block in blocks("sh") if "make run" not in block)
    done = run(commands, newcomer, tmp_path, "bash", "-euxc")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "wordcount.txt" in done.stdout
    assert "FINISHED" in done.stdout + done.stderr
    assert str(tmp_path / "mnt") not in Path("/proc/mounts").read_text()


def test_the_python_of_the_readme_lists_files(newcomer: dict[str, str], tmp_path: Path) -> None:
    (script,) = blocks("python")
    done = run(script, newcomer, tmp_path, sys.executable, "-c")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(". ")


def test_the_targets_that_the_readme_names_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`?make (\w+)`?", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_pages_that_the_readme_names_exist() -> None:
    for page in re.findall(r"\]\((docs/[^)]*)\)", README):
        assert (ROOT / page).exists(), page


def test_the_reference_is_fresh() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs/make_reference.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
