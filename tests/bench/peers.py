"""agavefs beside its peers: every step, each cold, over lines of several lengths, side by side in one run.

    python -m tests.bench peers [--steps find,grep] [--delays 20,50] [--runs 1] [--only agavefs,sshfs] [--save FILE]

Each run has a fresh mount with nothing cached, and a second to come up: a person takes longer to type. What is timed
is the program, by waiting for its end. A run that takes longer than --most is cut, and drawn out by the work that it
had done (~).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench import data, report
from tests.bench.contenders import HOME, PEERS, Agavefs, Contender, Mounted, agavefs
from tests.bench.house import House
from tests.bench.report import Figure
from tests.bench.steps import STEPS, Step
from tests.bench.tenant import Served, serving

DELAYS = (0.0, 20.0, 50.0, 100.0)  # milliseconds that a round trip takes longer
RUNS = 5
MOST = 60.0  # seconds that a run may take
SETTLES = 1.0  # seconds between mounting and the first command
PATIENCE = 60.0  # seconds for what was written to arrive


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
        with self._process:  # closes its pipes, and waits
            self._process.terminate()


class Bench:
    """All that runs: the tenant, the peers' servers, the lines, and the log of who asked for what."""

    def __init__(self, house: House, tenant: Served, log: Path, only: set[str], most: float) -> None:
        self.house, self.tenant, self.log, self.most = house, tenant, log, most
        self.data = tenant.path("alice")
        self.local = house.folder / "local"
        self.lines: dict[tuple[int, float, float | None], Line] = {}
        self.totals: dict[str, int] = {}
        every: list[Contender] = [*agavefs(house, tenant), *(peer(house) for peer in PEERS)]
        self.contenders = []
        for each in every:
            if only and each.name not in only:
                continue
            if missing := each.missing():
                print(f"left out: {each.name}, which needs {missing}")
            else:
                self.contenders.append(each)
        shutil.rmtree(self.local, ignore_errors=True)
        self.local.mkdir(parents=True)
        shutil.copy(self.data / "large/m64", self.local / "m64")
        data.make_sources(self.local)

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
        line = self.line(contender.port, delay, step.mbit)
        figure = Figure(step.name, contender.name, delay, 0.0)
        with self._places(step) as (command, new):
            at = self.log.stat().st_size
            try:
                with Mounted(contender, line.port, self.house.folder / "mounts") as mounted:
                    time.sleep(SETTLES)
                    if step.first:
                        measured(step.first, mounted.root, self.house.environment, self.most)
                        at = self.log.stat().st_size
                    self._run(figure, step, command, new, mounted, line)
                    if isinstance(contender, Agavefs):
                        figure.requests = self._requests(at)
                    if step.warm and not figure.drawn and not figure.failed:
                        figure.warm = self._time(step, command, mounted.root)[0]
            except OSError as error:
                figure.failed = str(error)
        return figure

    def _run(self, figure: Figure, step: Step, command: str, new: Path, mounted: Mounted, line: Line) -> None:
        """Cold. What is still fetched ahead when the program ends has a moment to come: it is counted."""
        carried, cpu, figure.before = line.carried(), mounted.cpu, mounted.memory
        figure.seconds, figure.drawn, figure.failed = self._time(step, command, mounted.root)
        here = line.carried()["down"] - carried["down"]
        if figure.drawn and figure.failed and step.streams and here:
            figure.seconds, figure.failed = figure.seconds * step.least.size / here, ""
        if step.after is not None and not figure.failed and not figure.drawn:
            figure.returned = figure.seconds
            waited, figure.failed = _arrived(step.after, new)
            figure.seconds += waited
        time.sleep(SETTLES / 2)
        figure.cpu, figure.memory = mounted.cpu - cpu, mounted.memory
        figure.got, figure.sent = (line.carried()[way] - carried[way] for way in ("down", "up"))

    @contextlib.contextmanager
    def _places(self, step: Step) -> Iterator[tuple[str, Path]]:
        """The line of shell, with folders of its own on the server and here; and the one on the server."""
        new = self.data / "in" / f"{time.monotonic_ns()}"
        out = Path(tempfile.mkdtemp(dir=self.local))
        try:
            if step.before is not None:
                step.before(new)
            yield step.command(f"in/{new.name}", out, self.local), new
        finally:
            shutil.rmtree(out)
            shutil.rmtree(new, ignore_errors=True)

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
        with self._places(step) as (command, _):
            seconds, seen, _, _ = measured(command, self.data, self.house.environment, self.most)
            return seconds, seen

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
        try:
            while piece := os.read(child.stdout.fileno(), 1 << 20):
                if not cut.is_set():
                    seen += piece.count(b"\n")
        except BaseException:
            stop()  # we are to end, and it stands in what is to be unmounted
            raise
        finally:
            timer.cancel()
        status = child.wait()
        seconds = time.perf_counter() - before
        child.stdout.close()
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip()[-300:] or f"exit {status}"
        return (min(seconds, most) if cut.is_set() else seconds), seen, not cut.is_set(), said if status else ""


def _arrived(after: Callable[[Path], bool], new: Path) -> tuple[float, str]:
    """Seconds until all is on the server's disk, and what is wrong if not. Looking often there disturbs nobody."""
    before = time.perf_counter()
    while not after(new):
        if time.perf_counter() - before > PATIENCE:
            return PATIENCE, "not all has arrived"
        time.sleep(0.002)
    return time.perf_counter() - before, ""


def main(words: list[str]) -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench peers")
    parser.add_argument("--steps", default=",".join(step.name for step in STEPS))
    parser.add_argument("--delays", default=",".join(f"{delay:g}" for delay in DELAYS))
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--only", default="", help="contenders by name, separated by commas")
    parser.add_argument("--most", type=float, default=MOST, help="seconds after which a run is cut")
    parser.add_argument("--folder", type=Path, help="keep the data set here, for the next time")
    parser.add_argument("--save", type=Path, help="add all figures to this file, a line of JSON each, as they come")
    asked = parser.parse_args(words)
    known = {step.name: step for step in STEPS}
    if unknown := set(asked.steps.split(",")) - set(known):
        parser.error(f"no step {', '.join(sorted(unknown))}: there are {', '.join(known)}")
    steps = [known[name] for name in asked.steps.split(",")]
    delays = [float(delay) for delay in asked.delays.split(",")]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started and mounted is ended then, too
    figures = []
    with (
        _folder(asked.folder) as folder,
        _running(folder, set(filter(None, asked.only.split(","))), asked.most) as bench,
    ):
        for figure in every(bench, steps, delays, asked.runs):
            figures.append(figure)
            _progress(figure)
            if asked.save:
                with asked.save.open("a") as file:
                    file.write(figure.line())
    report.show(figures)


@contextlib.contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="agave-bench-") as folder:
        yield Path(folder)


@contextlib.contextmanager
def _running(folder: Path, only: set[str], most: float) -> Iterator[Bench]:
    """All servers, with the data set."""
    house = House(folder)
    log = folder / "access.log"
    log.touch(mode=0o600)
    with contextlib.ExitStack() as stack:
        tenant = stack.enter_context(serving(house, folder / "own", f"--access-log={log}"))
        if not (folder / "made").exists():
            data.make(tenant.path("alice"))
            (folder / "made").touch()
        bench = Bench(house, tenant, log, only, most)
        stack.callback(bench.close)
        for contender in bench.contenders:
            stack.enter_context(contender.serving(bench.data))
        yield bench


def every(bench: Bench, steps: list[Step], delays: list[float], runs: int) -> Iterator[Figure]:
    """All figures, as they come. What is compared stands close together in time."""
    cut: set[tuple[str, str, float]] = set()
    for _ in range(runs):
        for step in steps:
            for delay in delays:
                for contender in bench.contenders:
                    key = step.name, contender.name, delay
                    if key in cut or (contender.writes_only and not step.writes):
                        continue  # once is enough of what takes longer than a minute
                    figure = bench.figure(step, contender, delay)
                    if figure.drawn:
                        cut.add(key)
                    yield figure
            if step.warm:
                yield Figure(step.name, report.DISK, 0, bench.on_disk(step)[0])


def _progress(figure: Figure) -> None:
    warm = f" warm {figure.warm:.3f}" if figure.warm is not None else ""
    asked = f" {figure.requests} requests" if figure.requests is not None else ""
    print(
        f"{figure.step:9} {figure.delay:4g} ms  {figure.contender:17} {'~' * figure.drawn}{figure.seconds:.3f}"
        f"{warm}{asked} {max(figure.got, figure.sent) / 1e6:.1f} MB {figure.failed}",
        file=sys.stderr, flush=True,
    )  # fmt: skip
