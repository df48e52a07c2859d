"""`docs/performance.md` and its picture, made again from the figures of a run.

    python -m tests.bench page FILE… [--delay 50]      what `peers --save FILE` has written

Of the page only what stands between its two marks is written: the tables, and what machine they are of.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

from tests.bench import chart, report
from tests.bench.report import Figure, Rows

DOCS = Path(__file__).parents[2] / "docs"
BEGIN, END = "<!-- figures: written by `python -m tests.bench page` -->", "<!-- end of figures -->"


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench page")
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--delay", type=float, default=50, help="milliseconds, of the picture")
    asked = parser.parse_args(words)
    figures = Figure.read(asked.files)
    report.show(figures)
    (DOCS / "performance.svg").write_text(chart.picture(figures, asked.delay))
    page = DOCS / "performance.md"
    page.write_text(renewed(page.read_text(), figures))


def renewed(text: str, figures: list[Figure]) -> str:
    """The page with the tables of these figures."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    parts = [
        BEGIN,
        machine(),
        *(f"### {title}\n\n{_markdown(head, rows)}" for title, head, rows in report.tables(figures)),
    ]
    return before + "\n\n".join([*parts, END]) + after


def machine() -> str:
    """What it was measured on."""
    programs = ", ".join(filter(None, (_says("rclone", "version"), _says("sshfs", "-V"))))
    return (
        f"{time.strftime('%Y-%m-%d')}: {os.cpu_count()} cores, Linux {platform.release().split('-')[0]}, Python"
        f" {platform.python_version()}, pyfuse3 {version('pyfuse3')}; {programs}."
    )


def _says(*command: str) -> str:
    try:
        said = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return next((line for line in (said.stdout + said.stderr).splitlines() if command[0] in line.lower()), "")


def _markdown(head: tuple[str, ...], rows: Rows) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ("---",) * len(head), *rows])
