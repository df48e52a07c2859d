"""What came of it: figures, one line of JSON each, and the tables that are made of them."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench import data
from tests.bench.house import table
from tests.bench.steps import STEPS, Step

OURS, LATER, DISK = "agavefs", "agavefs --write-back", "local disk"
NOISE = 1.1  # times: less than that is no difference
Rows = list[tuple[str, ...]]


@dataclass
class Figure:
    """One run of one step. `requests` is what our tenant was asked, `got` and `sent` are what the line carried."""

    step: str
    contender: str
    delay: float  # milliseconds
    seconds: float
    drawn: bool = False  # cut, and drawn out by the work that was done
    warm: float | None = None
    requests: int | None = None
    got: int = 0  # bytes
    sent: int = 0
    cpu: float = 0.0
    memory: int = 0
    before: int = 0  # resident memory before the step
    failed: str = ""
    returned: float | None = None  # seconds until the command was done, where it takes longer until all has arrived

    def line(self) -> str:
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def read(cls, paths: Iterable[Path]) -> list[Figure]:
        return [cls(**json.loads(line)) for path in paths for line in path.read_text().splitlines()]


class Result:
    """The figures of one step at one delay."""

    def __init__(self, step: Step, delay: float, figures: list[Figure]) -> None:
        self.step, self.delay = step, delay
        self.of: dict[str, list[Figure]] = {}
        for figure in figures:
            if figure.step == step.name and (figure.delay == delay or figure.contender == DISK):
                self.of.setdefault(figure.contender, []).append(figure)

    def seconds(self, name: str) -> float | None:
        """The median of the runs that came to an end."""
        good = [figure.seconds for figure in self.of.get(name, []) if not figure.failed]
        return statistics.median(good) if good else None

    def warm(self, name: str) -> float | None:
        good = [figure.warm for figure in self.of.get(name, []) if figure.warm is not None]
        return statistics.median(good) if good else None

    def cell(self, name: str) -> str:
        """Its time as a table has it: `~` drawn out, `>` cut where nothing tells how far it was."""
        runs = self.of.get(name, [])
        if (seconds := self.seconds(name)) is not None:
            return f"{'~' if any(figure.drawn for figure in runs) else ''}{seconds:.3g}"
        if any(figure.drawn for figure in runs):
            return f">{max(figure.seconds for figure in runs):.3g}"
        return "failed" if runs else "-"

    def returned(self, name: str) -> float | None:
        """The median of the seconds until the command was done."""
        good = [figure.returned for figure in self.of.get(name, []) if figure.returned is not None]
        return statistics.median(good) if good else None

    @property
    def best(self) -> float | None:
        """The seconds of the fastest peer."""
        found = [self.seconds(name) for name in self.of if not name.startswith(OURS) and name != DISK]
        return min((seconds for seconds in found if seconds is not None), default=None)

    @property
    def ratio(self) -> float | None:
        """Our time, of that of the best peer."""
        return self.of_best(OURS)

    def of_best(self, name: str) -> float | None:
        """The time of one of ours, of that of the best peer."""
        ours, best = self.seconds(name), self.best
        return ours / best if ours is not None and best is not None else None

    def ours(self, what: str) -> float | None:
        """The median of another figure of ours."""
        found = [getattr(figure, what) for figure in self.of.get(OURS, []) if not figure.failed and not figure.drawn]
        return statistics.median(found) if found else None


def results(figures: list[Figure], delay: float) -> list[Result]:
    """Of all steps that were measured at this delay, in their order."""
    there = {figure.step for figure in figures if figure.delay == delay and figure.contender != DISK}
    return [Result(step, delay, figures) for step in STEPS if step.name in there]


def tables(figures: list[Figure]) -> list[tuple[str, tuple[str, ...], Rows]]:
    """Title, head and rows of each."""
    measured = [figure for figure in figures if figure.contender != DISK]
    names = list(dict.fromkeys(figure.contender for figure in measured))
    delays = sorted({figure.delay for figure in measured})
    made = [_cold(figures, names, delay) for delay in delays]
    made += [table for delay in delays if (table := _returned(figures, names, delay))[2]]
    made += [table for delay in delays if (table := _warm(figures, names, delay))[2]]
    if (costs := _costs(measured, names))[2]:
        made.append(costs)
    return made


def show(figures: list[Figure]) -> None:
    for title, head, rows in tables(figures):
        table(title, head, rows)


def _cold(figures: list[Figure], names: list[str], delay: float) -> tuple[str, tuple[str, ...], Rows]:
    rows: Rows = []
    for result in results(figures, delay):
        step, floor, ours = result.step, result.step.floor(delay), result.seconds(OURS)
        requests, carried, ratio = result.ours("requests"), result.ours("sent" if step.writes else "got"), result.ratio
        rows.append((
            step.title,
            *(result.cell(name) for name in names),
            "-" if ratio is None else f"{ratio:.2f}{' slower' if ratio > NOISE else ''}",
            f"{floor:.3g}",
            f"{ours / floor:.1f}" if ours and floor else "-",
            f"{requests:.0f} of {step.least.requests}" if requests is not None else "-",
            f"{carried / 1e6:.1f} of {step.least.size / 1e6:.1f}" if carried is not None else "-",
        ))  # fmt: skip
    head = ("step", *names, "of the best peer", "floor", "of the floor", "requests", "MB")
    return f"Cold, {delay:g} ms: seconds, medians", head, rows


def _returned(figures: list[Figure], names: list[str], delay: float) -> tuple[str, tuple[str, ...], Rows]:
    rows: Rows = []
    for result in results(figures, delay):
        if any(result.returned(name) is not None for name in names):
            cells = (result.returned(name) for name in names)
            later = result.of_best(LATER)
            told = ("-" if seconds is None else f"{seconds:.3g}" for seconds in cells)
            rows.append((result.step.title, *told, "-" if later is None else f"{later:.2f}"))
    head = ("step", *names, "there with --write-back, of the best peer")
    return f"Until the command returns, {delay:g} ms: seconds, medians", head, rows


def _warm(figures: list[Figure], names: list[str], delay: float) -> tuple[str, tuple[str, ...], Rows]:
    rows: Rows = []
    for result in results(figures, delay):
        ours, disk = result.warm(OURS), result.seconds(DISK)
        if any(result.warm(name) is not None for name in names):
            cells = ("-" if (warm := result.warm(name)) is None else f"{warm:.3f}" for name in names)
            of_disk = f"{ours / disk:.1f}" if ours and disk else "-"
            rows.append((result.step.title, *cells, f"{disk:.3f}" if disk else "-", of_disk))
    return f"Warm, {delay:g} ms: seconds, medians", ("step", *names, "local disk", "ours, of it"), rows


def _costs(figures: list[Figure], names: list[str]) -> tuple[str, tuple[str, ...], Rows]:
    """What memory and CPU it takes, on the shortest line."""
    rows: Rows = []
    for name in names:
        listed, read = (_shortest([f for f in figures if f.contender == name and f.step == step]) for step in _COSTS)
        if listed or read:
            more, cpu, gib = (
                [(f.memory - f.before) / 2**20 for f in listed], [f.cpu for f in listed],
                [f.cpu * 2**30 / data.BIG for f in read],
            )  # fmt: skip
            start = statistics.median(f.before for f in listed or read) / 2**20
            rows.append((name, f"{start:.0f}", _median(more, 0), _median(cpu, 2), _median(gib, 2)))
    head = ("", "MiB at start", "MiB more for 100,000 entries", "CPU s for them", "CPU s a GiB read")
    return "Memory and CPU of the mount's processes", head, rows


_COSTS = ("huge", "seq")


def _shortest(figures: list[Figure]) -> list[Figure]:
    """Those on the shortest line, as far as they came to their end."""
    least = min((figure.delay for figure in figures), default=0)
    return [figure for figure in figures if figure.delay == least and not figure.failed]


def _median(values: list[float], digits: int) -> str:
    return f"{statistics.median(values):.{digits}f}" if values else "-"
