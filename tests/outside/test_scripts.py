"""Scripts of AgavePy run with ours when their import and the name of their constructor are changed, and say the same.

Each script runs twice against one tenant over TLS: by AgavePy 0.9.5, and by `connect`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .processes import served

HERE = Path(__file__).parent
THEIRS, OURS = "from agavepy.agave import Agave\n", "from agavesh.client import connect\n"
UUID = re.compile(r"\d{16,19}-[0-9a-f]{4,16}-\d{4}-\d{3}")


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with served(tmp_path_factory.mktemp("scripts") / "tenant", "--tls") as about:
        yield about


def ours(script: str) -> str:
    """The script with its two lines changed."""
    assert (script.count(THEIRS), script.count("Agave(")) == (1, 1)
    return script.replace(THEIRS, OURS).replace("Agave(", "connect(")


def said(tenant: dict[str, Any], folder: Path, *command: str | Path) -> str:
    """What a program writes in a folder of its own; ids, which differ, are masked."""
    folder.mkdir()
    user = tenant["users"][0]
    environment = {
        "PATH": os.defpath, "HOME": str(folder), "API": tenant["url"], "CA": tenant["ca_cert"],
        "USERNAME": user["username"], "PASSWORD": user["password"],
        "KEY": tenant["client"]["key"], "SECRET": tenant["client"]["secret"],
    }  # fmt: skip
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    return UUID.sub("UUID", done.stdout)


@pytest.mark.parametrize("name", ["files", "job", "metadata", "beyond"])
def test_a_script_of_agavepy_says_the_same_with_ours(
    name: str, tenant: dict[str, Any], agavepy_python: Path, tmp_path: Path
) -> None:
    script = HERE / "scripts" / f"{name}.py"
    changed = tmp_path / "changed.py"
    changed.write_text(ours(script.read_text()))
    by_agavepy = said(tenant, tmp_path / "agavepy", agavepy_python, "-W", "ignore", HERE / "run_agavepy.py", script)
    by_us = said(tenant, tmp_path / "ours", sys.executable, "-W", "error", changed)
    assert by_us == by_agavepy
    assert len(by_us.splitlines()) > 10
