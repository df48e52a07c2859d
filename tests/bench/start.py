"""How much CPU the shell takes to start, against a Python that does nothing."""

from __future__ import annotations

import os
import pty
import select
import signal
import statistics
import time

from tests.bench.house import Cost, House, table

RUNS = 9
PROMPT = b"\x1b[?2004h"  # the prompt has the terminal: bracketed paste goes on


def run(house: House) -> None:
    """Prints CPU times and their multiples of `python -c pass`."""
    base = house.median(RUNS, "python", "-c", "pass")
    rows = [("python -c pass", base)]
    rows += [
        (" ".join(words), house.median(RUNS, *words))
        for words in (
            ("agavesh", "--version"),
            ("agavesh", "-c", "help"),
            ("agavesh", "-c", "ls /systems/data.demo/alice"),
        )
    ]
    prompts = [first_prompt(house) for _ in range(RUNS)]
    wall, cpu = (statistics.median(values) for values in zip(*prompts, strict=True))
    rows.append(("agavesh, to the first prompt", Cost(wall, cpu)))
    table(
        "start: median of 9",
        ("command", "CPU ms", "wall ms", "CPU, of python -c pass"),
        [(name, f"{c.cpu * 1e3:.0f}", f"{c.wall * 1e3:.0f}", f"{c.cpu / base.cpu:.1f}") for name, c in rows],
    )


def first_prompt(house: House) -> Cost:
    """Start `agavesh` on a terminal of its own, wait until the prompt stands, and kill it there."""
    before = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe("agavesh", ["agavesh"], {**house.environment, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"})
    said = b""
    while PROMPT not in said and select.select([terminal], [], [], 20)[0]:
        said += os.read(terminal, 65536)
    wall = time.perf_counter() - before
    os.kill(pid, signal.SIGKILL)
    _, _, usage = os.wait4(pid, 0)
    os.close(terminal)
    return Cost(wall, usage.ru_utime + usage.ru_stime)
