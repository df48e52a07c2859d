"""AgavePy 0.9.5 in an environment of its own, made once and kept in `.cache`: it wants older tools than we do."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

AGAVEPY = ("agavepy==0.9.5", "setuptools<80")  # it imports pkg_resources through `future`
FOLDER = Path(__file__).parents[2] / ".cache" / "agavepy-0.9.5"


@pytest.fixture(scope="session")
def agavepy_python() -> Path:
    """The Python that has AgavePy. Installs it when it is missing; a failure to do so fails the test, and says why."""
    FOLDER.parent.mkdir(exist_ok=True)
    python = FOLDER / "bin" / "python"
    with (FOLDER.parent / "agavepy.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _works(python):
            shutil.rmtree(FOLDER, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", str(FOLDER)], check=True, timeout=120)
            subprocess.run([python, "-m", "pip", "install", "-q", *AGAVEPY], check=True, timeout=300)
            assert _works(python), "AgavePy was installed, and cannot be imported"
    return python


def _works(python: Path) -> bool:
    if not python.exists():
        return False
    return subprocess.run([python, "-c", "import agavepy.agave"], capture_output=True, timeout=60).returncode == 0
