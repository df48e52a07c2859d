"""agavefs beside its peers: every step, each cold, over lines of several lengths, side by side in one run.

    python -m tests.bench peers [--steps find,grep] [--delays 20,50] [--runs 1] [--only agavefs,sshfs] [--save FILE]

Each run has a fresh mount with nothing cached, and a second to come up: a person takes longer to type. What is timed
is the program, by waiting for its end. A run that takes longer than --most is cut, and drawn out by the work that it
had done (~).
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import random
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench import data
from tests.bench.contenders import HOME, PEERS, Agavefs, Contender, Mounted, agavefs
from tests.bench.house import House, table
from tests.bench.steps import STEPS, Step
from tests.bench.tenant import Served, serving

DELAYS = (0.0, 20.0, 50.0, 100.0)  # milliseconds that a round trip takes longer
RUNS = 5
MOST = 60.0  # seconds that a run may take
SETTLES = 1.0  # seconds between mounting and the first command
PATIENCE = 60.0  # seconds for what was written to arrive


@dataclasses.dataclass
class Figure:
    """One run of one step. `requests` and `got` are what our tenant was asked and the proxy carried to the client."""

    step: str
    contender: str
    delay: float
    seconds: float
    drawn: bool = False  # cut, and drawn out
    warm: float | None = None
    requests: int | None = None
    got: int = 0
    cpu: float = 0.0
    memory: int = 0
    before: int = 0  # resident memory before the step
    failed: str = ""


class Line:
    """A delay proxy in front of a port."""

    def __init__(self, port: int, delay: float, mbit: float | None) -> None:
        words = [str(port), str(delay), *([str(mbit)] if mbit else [])]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.delay", *words], cwd=HOME, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.port = int(self._hear())

    def carried(self) -> dict[str, int]:
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        told: dict[str, int] = json.loads(self._hear())
        return told

    def _hear(self) -> bytes:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


class Bench:
    """All that runs: the tenant, the peers' servers, the lines, and the log of who asked for what."""

    def __init__(self, house: House, tenant: Served, log: Path, only: set[str], most: float) -> None:
        self.house, self.tenant, self.log, self.most = house, tenant, log, most
        self.data = tenant.path("alice")
        self.local = house.folder / "local"
        self.lines: dict[tuple[int, float, float | None], Line] = {}
        self.totals: dict[str, int] = {}
        every: list[Contender] = [agavefs(house, tenant), *(peer(house) for peer in PEERS)]
        self.contenders = []
        for each in every:
            if only and each.name not in only:
                continue
            if missing := each.missing():
                print(f"left out: {each.name}, which needs {missing}")
            else:
                self.contenders.append(each)
        shutil.rmtree(self.local, ignore_errors=True)
        (self.local / "files").mkdir(parents=True)
        shutil.copy(self.data / "large/m64", self.local / "m64")
        made = random.Random(6)
        for number in range(data.WRITTEN):
            (self.local / f"files/{number:03}").write_text(data.lines(made, data.SMALL_SIZE))

    def line(self, port: int, delay: float, mbit: float | None) -> Line:
        key = port, delay, mbit
        if key not in self.lines:
            self.lines[key] = Line(*key)
        return self.lines[key]

    def close(self) -> None:
        for line in self.lines.values():
            line.close()

    def figure(self, step: Step, contender: Contender, delay: float) -> Figure:
        """One run, on a mount of its own."""
        new = self.data / "in" / f"{time.monotonic_ns()}"
        out = Path(tempfile.mkdtemp(dir=self.local))
        if step.before is not None:
            step.before(new)
        contender.changed()
        command = step.command(f"in/{new.name}", out, self.local)
        line = self.line(contender.port, delay, step.mbit)
        at = self.log.stat().st_size
        folder = self.house.folder / "mounts"
        try:
            with Mounted(contender, line.port, folder) as mounted:
                time.sleep(SETTLES)
                carried, cpu, before = line.carried()["down"], mounted.cpu, mounted.memory
                seconds, drawn, failed = self._time(step, command, mounted.root)
                if not failed and not drawn and step.after is not None:
                    seconds += _wait(step, new)
                figure = Figure(step.name, contender.name, delay, seconds, drawn, failed=failed)
                figure.cpu, figure.memory, figure.before = mounted.cpu - cpu, mounted.memory, before
                if step.warm and not drawn and not failed:
                    figure.warm = self._time(step, command, mounted.root)[0]
            figure.got = line.carried()["down"] - carried
            if isinstance(contender, Agavefs):
                figure.requests = self._requests(at)
        finally:
            shutil.rmtree(out)
            shutil.rmtree(new, ignore_errors=True)
        return figure

    def _time(self, step: Step, command: str, root: Path) -> tuple[float, bool, str]:
        """Seconds, whether they are drawn out, and what went wrong."""
        seconds, seen, whole, said = measured(command, root, self.house.environment, self.most)
        if whole:
            return seconds, False, said
        total = self._total(step) if step.drawn else 0
        return (seconds * total / seen, True, "") if seen and total else (seconds, True, "cut")

    def _total(self, step: Step) -> int:
        """How many lines it writes, where it is not cut: on local disk."""
        if step.name not in self.totals:
            _, self.totals[step.name] = self.on_disk(step)
        return self.totals[step.name]

    def on_disk(self, step: Step) -> tuple[float, int]:
        """The same step on local disk: seconds, and lines."""
        new = self.data / "in" / f"{time.monotonic_ns()}"
        out = Path(tempfile.mkdtemp(dir=self.local))
        try:
            if step.before is not None:
                step.before(new)
            command = step.command(f"in/{new.name}", out, self.local)
            seconds, seen, _, _ = measured(command, self.data, self.house.environment, self.most)
            return seconds, seen
        finally:
            shutil.rmtree(out)
            shutil.rmtree(new, ignore_errors=True)

    def _requests(self, at: int) -> int:
        """Of the files service, since the log had `at` bytes."""
        with self.log.open("rb") as log:
            log.seek(at)
            return sum(b'"path":"/files/' in line for line in log)


def measured(command: str, root: Path, environment: dict[str, str], most: float) -> tuple[float, int, bool, str]:
    """Run a line of shell in a folder: seconds, lines that it wrote, whether it came to its end, and what it said."""
    with tempfile.TemporaryFile() as errors:
        before = time.perf_counter()
        child = subprocess.Popen(
            ["sh", "-c", command], cwd=root, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=errors, start_new_session=True,
        )  # fmt: skip
        assert child.stdout is not None
        cut = threading.Event()

        def stop() -> None:
            cut.set()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)

        timer = threading.Timer(most, stop)
        timer.start()
        seen = 0
        while piece := os.read(child.stdout.fileno(), 1 << 20):
            if not cut.is_set():
                seen += piece.count(b"\n")
        status = child.wait()
        seconds = time.perf_counter() - before
        timer.cancel()
        child.stdout.close()
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip()[-300:] or f"exit {status}"
        return (min(seconds, most) if cut.is_set() else seconds), seen, not cut.is_set(), said if status else ""


def _wait(step: Step, new: Path) -> float:
    """Seconds until all is on the server's disk. That is local, so that looking often disturbs nobody."""
    before = time.perf_counter()
    assert step.after is not None
    while not step.after(new):
        if time.perf_counter() - before > PATIENCE:
            raise SystemExit(f"{step.name}: not all has arrived after {PATIENCE:.0f} s")
        select.select([], [], [], 0.002)
    return time.perf_counter() - before


def main(words: list[str]) -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench peers")
    parser.add_argument("--steps", default=",".join(step.name for step in STEPS))
    parser.add_argument("--delays", default=",".join(f"{delay:g}" for delay in DELAYS))
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--only", default="", help="contenders by name, separated by commas")
    parser.add_argument("--most", type=float, default=MOST, help="seconds after which a run is cut")
    parser.add_argument("--folder", type=Path, help="keep the data set here, for the next time")
    parser.add_argument("--save", type=Path, help="write all figures there, as JSON")
    asked = parser.parse_args(words)
    steps = [next(step for step in STEPS if step.name == name) for name in asked.steps.split(",")]
    delays = [float(delay) for delay in asked.delays.split(",")]
    with _folder(asked.folder) as folder:
        figures, disk = run(folder, steps, delays, asked.runs, set(filter(None, asked.only.split(","))), asked.most)
    report(figures, disk, steps, delays)
    if asked.save:
        asked.save.write_text(json.dumps({
            "figures": [dataclasses.asdict(figure) for figure in figures], "disk": disk
        }, indent=1))  # fmt: skip


@contextlib.contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="agave-bench-") as folder:
        yield Path(folder)


def run(
    folder: Path, steps: list[Step], delays: list[float], runs: int, only: set[str], most: float
) -> tuple[list[Figure], dict[str, float]]:
    """All figures, and the seconds of what is measured warm on local disk."""
    house = House(folder)
    log = folder / "access.log"
    log.touch(mode=0o600)
    figures: list[Figure] = []
    with contextlib.ExitStack() as stack:
        tenant = stack.enter_context(serving(house, folder / "own", f"--access-log={log}"))
        if not (folder / "made").exists():
            data.make(tenant.path("alice"))
            (folder / "made").touch()
        bench = Bench(house, tenant, log, only, most)
        stack.callback(bench.close)
        for contender in bench.contenders:
            stack.enter_context(contender.serving(bench.data))
        cut: set[tuple[str, str, float]] = set()
        for number in range(runs):
            for step in steps:
                for delay in delays:
                    for contender in bench.contenders:
                        if contender.name == "rclone, no cache" and not step.writes:
                            continue
                        if (key := (step.name, contender.name, delay)) in cut:
                            continue  # once is enough of what takes longer than a minute
                        figure = bench.figure(step, contender, delay)
                        figures.append(figure)
                        if figure.drawn:
                            cut.add(key)
                        _progress(number, figure)
        disk = {}
        for step in steps:
            if step.warm:
                disk[step.name] = statistics.median(bench.on_disk(step)[0] for _ in range(max(runs, 3)))
    return figures, disk


def _progress(number: int, figure: Figure) -> None:
    warm = f" warm {figure.warm:.3f}" if figure.warm is not None else ""
    asked = f" {figure.requests} requests" if figure.requests is not None else ""
    print(
        f"run {number + 1}: {figure.step:9} {figure.delay:4g} ms  {figure.contender:17} "
        f"{'~' * figure.drawn}{figure.seconds:.3f}{warm}{asked} {figure.got / 1e6:.1f} MB {figure.failed}",
        file=sys.stderr, flush=True,
    )  # fmt: skip


class Result:
    """The figures of one step at one delay."""

    def __init__(self, step: Step, delay: float, figures: list[Figure]) -> None:
        self.step, self.delay = step, delay
        self.of: dict[str, list[Figure]] = {}
        for figure in figures:
            if figure.step == step.name and figure.delay == delay:
                self.of.setdefault(figure.contender, []).append(figure)

    def seconds(self, name: str) -> float | None:
        good = [figure.seconds for figure in self.of.get(name, []) if not figure.failed]
        return statistics.median(good) if good else None

    def warm(self, name: str) -> float | None:
        good = [figure.warm for figure in self.of.get(name, []) if figure.warm is not None]
        return statistics.median(good) if good else None

    def cell(self, name: str) -> str:
        if (seconds := self.seconds(name)) is None:
            return next((figure.failed.splitlines()[-1][:20] for figure in self.of.get(name, [])), "-")
        return f"{'~' if any(figure.drawn for figure in self.of[name]) else ''}{seconds:.3g}"

    @property
    def best(self) -> tuple[float, str] | None:
        """The fastest peer."""
        found = [(seconds, name) for name in self.of if name != "agavefs" and (seconds := self.seconds(name))]
        return min(found) if found else None

    @property
    def ratio(self) -> float | None:
        """Our time, of that of the best peer."""
        ours = self.seconds("agavefs")
        return ours / self.best[0] if ours and self.best else None

    def of_ours(self, what: str) -> float | None:
        found = [getattr(figure, what) for figure in self.of.get("agavefs", []) if not figure.failed]
        return statistics.median(found) if found else None


def report(figures: list[Figure], disk: dict[str, float], steps: list[Step], delays: list[float]) -> None:
    """The tables."""
    names = list(dict.fromkeys(figure.contender for figure in figures))
    for delay in delays:
        rows = []
        for step in steps:
            result = Result(step, delay, figures)
            ours, floor, ratio = result.seconds("agavefs"), step.floor(delay), result.ratio
            requests, got = result.of_ours("requests"), result.of_ours("got")
            rows.append((
                step.title,
                *(result.cell(name) for name in names),
                "-" if ratio is None else f"{ratio:.2f}",
                "slower" if ratio is not None and ratio > 1.1 else "",
                f"{floor:.3g}",
                f"{ours / floor:.1f}" if ours and floor else "-",
                f"{requests:.0f} of {step.requests}" if requests is not None else "-",
                f"{got / 1e6:.1f} of {step.size / 1e6:.1f}" if got is not None else "-",
            ))  # fmt: skip
        head = ("step", *names, "of best peer", "", "floor", "x floor", "requests", "MB to us")
        table(f"cold, {delay:g} ms: seconds, medians", head, rows)
    warm = [step for step in steps if step.warm]
    rows = [
        (
            step.title, f"{delay:g} ms",
            *("-" if (w := result.warm(name)) is None else f"{w:.3f}" for name in names),
            f"{disk[step.name]:.3f}",
            "-" if (w := result.warm("agavefs")) is None else f"{w / disk[step.name]:.1f}",
        )
        for step in warm for delay in delays for result in [Result(step, delay, figures)]
    ]  # fmt: skip
    if rows:
        table("warm: seconds, medians", ("step", "", *names, "local disk", "ours, of it"), rows)
    _costs(figures, names, delays[0])


def _costs(figures: list[Figure], names: list[str], delay: float) -> None:
    """What memory and CPU it takes, on the shortest line."""
    rows = []
    for name in names:
        listed = [f for f in figures if (f.step, f.contender, f.delay) == ("huge", name, delay) and not f.failed]
        read = [f for f in figures if (f.step, f.contender, f.delay) == ("seq", name, delay) and not f.failed]
        if listed or read:
            rows.append((
                name,
                f"{statistics.median(f.before for f in listed or read) / 2**20:.0f}",
                f"{statistics.median(f.memory - f.before for f in listed) / 2**20:.0f}" if listed else "-",
                f"{statistics.median(f.cpu for f in listed):.2f}" if listed else "-",
                f"{statistics.median(f.cpu for f in read) * 2**30 / data.BIG:.2f}" if read else "-",
            ))  # fmt: skip
    if rows:
        head = ("", "MiB at start", "MiB more for 100,000 entries", "CPU s for them", "CPU s a GiB read")
        table("memory and CPU of the mount's processes", head, rows)
