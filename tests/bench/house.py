"""What a benchmark runs in: an embedded tenant of its own with demonstration data, and a clock for child programs."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

BIN = Path(sys.executable).parent


class Cost(NamedTuple):
    """Seconds."""

    wall: float
    cpu: float


class House:
    """A folder that holds all state, and the environment that points there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        names = {
            "AGAVE_CACHE_DIR": "agave",
            "XDG_STATE_HOME": "state",
            "XDG_CACHE_HOME": "cache",
            "XDG_CONFIG_HOME": "c",
        }
        self.environment = {
            # a user's Python keeps what it has compiled
            **{name: value for name, value in os.environ.items() if not name.startswith(("AGAVE_", "PYTHON"))},
            **{name: str(folder / value) for name, value in names.items()},
            "PATH": f"{BIN}:{os.environ['PATH']}",
        }

    def __enter__(self) -> House:
        self.run("agavesh", "ls", "/systems")  # starts the tenant and makes its data
        return self

    def __exit__(self, *failure: object) -> None:
        self.run("agavesh", "tenant", "stop")

    def run(self, *command: str) -> Cost:
        """One command, its output thrown away; a failure ends the benchmark."""
        before = time.perf_counter()
        child = subprocess.Popen(
            command, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        assert child.stderr is not None
        said = child.stderr.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        child.stderr.close()
        if child.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {child.returncode}: {said.decode()}")
        return Cost(time.perf_counter() - before, usage.ru_utime + usage.ru_stime)

    def median(self, times: int, *command: str) -> Cost:
        """The median of some runs, wall and CPU each."""
        costs = [self.run(*command) for _ in range(times)]
        return Cost(statistics.median(cost.wall for cost in costs), statistics.median(cost.cpu for cost in costs))


def timed(act: Callable[[], object]) -> float:
    """Wall seconds that `act` takes."""
    before = time.perf_counter()
    act()
    return time.perf_counter() - before


def table(title: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print a table with columns as wide as they must be: names to the left, figures to the right."""
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    width = min(shutil.get_terminal_size((120, 24)).columns, sum(widths) + 2 * (len(widths) - 1))
    print(f"\n{title}\n{'-' * max(width, len(title))}")
    for row in [head, *rows]:
        name, *figures = row
        cells = [name.ljust(widths[0]), *(cell.rjust(size) for cell, size in zip(figures, widths[1:], strict=True))]
        print("  ".join(cells).rstrip(), flush=True)
