"""The benchmark's own parts: a line that is as long and as narrow as it was asked to be, steps that do what they say,
and tables that tell what is slower."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import chart, data, page, report
from tests.bench.peers import Line, measured
from tests.bench.report import DISK, OURS, Figure, Result
from tests.bench.steps import STEPS

NEAR = 0.005  # seconds: the shortest that is told apart here


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that answers with what it is told, until there is no more; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with connection:
            while piece := connection.recv(65536):
                connection.sendall(piece)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    serving = threading.Thread(target=serve, daemon=True)
    serving.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        serving.join()


def test_a_line_takes_no_less_than_its_delay_and_a_connection_one_round_more(echo: int) -> None:
    line = Line(echo, 50, None)
    try:
        before = time.monotonic()
        with socket.create_connection(("127.0.0.1", line.port)) as near:
            near.sendall(b"one")
            assert near.recv(9) == b"one"
            first = time.monotonic()
            near.sendall(b"two")
            assert near.recv(9) == b"two"
            second = time.monotonic()
    finally:
        line.close()
    assert (first - before >= 0.1, second - first >= 0.05) == (True, True)


def test_a_line_carries_no_more_than_its_bandwidth_and_every_byte_in_its_order(echo: int) -> None:
    sent = bytes(range(256)) * 4096  # 1 MiB, both ways
    line = Line(echo, 0, 100)
    try:
        with socket.create_connection(("127.0.0.1", line.port)) as near:
            before = time.monotonic()

            def send() -> None:
                near.sendall(sent)
                near.shutdown(socket.SHUT_WR)

            sending = threading.Thread(target=send)
            sending.start()
            came = bytearray()
            while piece := near.recv(65536):
                came += piece
            seconds = time.monotonic() - before
            sending.join()
        carried = line.carried()
    finally:
        line.close()
    assert bytes(came) == sent
    assert seconds >= len(sent) * 8 / 100e6 - NEAR
    assert (carried["connections"], carried["up"], carried["down"]) == (1, len(sent), len(sent))


def test_a_line_to_nowhere_closes_what_comes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    line = Line(port, 1, None)
    try:
        with socket.create_connection(("127.0.0.1", line.port)) as near:
            assert near.recv(1) == b""
        with socket.create_connection(("127.0.0.1", line.port)) as near:
            assert near.recv(1) == b""
    finally:
        line.close()


def test_each_step_does_on_a_plain_folder_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, few in (("SMALL", 160), ("WIDE", 10), ("HUGE", 10), ("BIG", data.MIB)):
        monkeypatch.setattr(data, name, few)
    monkeypatch.setattr(data, "LARGE", dict.fromkeys(data.LARGE, data.MIB) | {"big": 512 * data.MIB})
    root, local = tmp_path / "root", tmp_path / "local"
    local.mkdir()
    with (local / "m64").open("wb") as file:
        file.truncate(64 * data.MIB)
    data.make_sources(local)
    _made(root)
    for step in STEPS:
        new, out = root / "in" / step.name, tmp_path / "out" / step.name
        out.mkdir(parents=True)
        if step.before is not None:
            step.before(new)
            assert step.after is None or not step.after(new), step.name
        command = step.command(f"in/{new.name}", out, local)
        _, lines, whole, said = measured(command, root, {"PATH": "/usr/bin:/bin"}, 60)
        assert (whole, said) == (True, ""), step.name
        assert lines > 0 or not step.drawn, step.name
        assert step.after is None or step.after(new), step.name


def _made(root: Path) -> None:
    """The data set, with holes in place of what is large."""
    root.mkdir()
    (root / "large").mkdir()
    for name, size in data.LARGE.items():
        with (root / "large" / name).open("wb") as file:
            file.truncate(size)
    data.make(root, large=False)


def test_what_is_cut_says_so_and_how_far_it_was(tmp_path: Path) -> None:
    _, lines, whole, _ = measured("echo one; echo two; exec sleep 60", tmp_path, {"PATH": "/usr/bin:/bin"}, 2)
    assert (lines, whole) == (2, False)


def _some() -> list[Figure]:
    return [
        Figure("find", OURS, 50, 1.0, warm=0.2, requests=401, got=10**6),
        Figure("find", OURS, 50, 3.0, warm=0.4, requests=403, got=10**6),
        Figure("find", OURS, 50, 2.0, warm=0.3, requests=402, got=10**6),
        Figure("find", "rclone", 50, 20.0, warm=0.1),
        Figure("find", "sshfs", 50, 70.0, drawn=True),
        Figure("find", DISK, 0, 0.1),
        Figure("head", OURS, 50, 0.3, requests=5),
        Figure("head", "rclone", 50, 0.2),
        Figure("huge", OURS, 50, 0.9),
        Figure("huge", "rclone", 50, 60, drawn=True, failed="cut"),
    ]


def test_a_table_has_medians_and_ratios_and_says_what_is_slower() -> None:
    find = Result(next(step for step in STEPS if step.name == "find"), 50, _some())
    assert (find.seconds(OURS), find.best, find.ratio, find.cell("sshfs")) == (2.0, 20.0, 0.1, "~70")
    cold, warm, *_ = report.tables(_some())
    rows = {row[0]: row for row in cold[2]}
    assert rows["find, 401 folders"][1:5] == ("2", "20", "~70", "0.10")
    assert rows["find, 401 folders"][-2:] == ("402 of 401", "1.0 of 0.0")
    assert rows["head of a file"][4] == "1.50 slower"
    assert rows["ls -l, 100,000 files"][1:5] == ("0.9", ">60", "-", "-")
    assert warm[2] == [("find, 401 folders", "0.300", "0.100", "-", "0.100", "3.0")]


def test_figures_are_read_as_they_were_written(tmp_path: Path) -> None:
    kept = tmp_path / "figures"
    kept.write_text("".join(figure.line() for figure in _some()))
    assert Figure.read([kept]) == _some()


def test_the_picture_is_an_image_with_a_bar_for_each_figure() -> None:
    image = xml.etree.ElementTree.fromstring(chart.picture(_some(), 50))
    bars = [float(bar.get("width", 0)) for bar in image.findall("{*}rect") if bar.get("x") == str(chart.LEFT)]
    assert len([bar for bar in bars if bar != 10]) == 6  # head 2, huge 1, find 3; what was cut has none


def test_the_page_keeps_what_stands_around_its_figures() -> None:
    text = f"before\n\n{page.BEGIN}\nthe last ones\n{page.END}\n\nafter\n"
    new = page.renewed(text, _some())
    assert new.startswith("before\n\n") and new.endswith("\n\nafter\n") and "the last ones" not in new
    assert "| find, 401 folders | 2 | 20 | ~70 | 0.10 |" in new
    assert page.renewed(new, _some()) == new


def test_a_benchmark_that_is_not_there_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", "nothing"], check=False, capture_output=True, text=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 1
    assert "no benchmark nothing" in done.stderr
