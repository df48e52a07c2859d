"""The runner by itself: one script, to its end, watched from outside."""

import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest
import trio

from agavesh.tenant.jobs import runner
from agavesh.tenant.jobs.runner import Spec
from agavesh.tenant.jobs.runs import Run, sweep
from tests.tenant.shop import processes_of


@pytest.fixture
def run(tmp_path: Path):
    made = Run(tmp_path / "control")
    yield made
    sweep(str(tmp_path))


def spec(folder: Path, text: str, *, limit: float = 60, memory: int = 0) -> Spec:
    return {
        "argv": ["/bin/bash", "-c", text], "nested": False, "cwd": str(folder),
        "pid": str(folder / "pid"), "out": str(folder / "out"), "err": str(folder / "err"),
        "environment": {"PATH": "/usr/bin:/bin", runner.MARK: str(folder)}, "limit": limit,
        "memory": memory,
    }  # fmt: skip


async def finished(run: Run) -> dict:
    with trio.fail_after(20):
        ended = await run.wait()
    assert ended is not None
    return dict(ended)


def running(command: str) -> bool:
    """Whether a process with this command line is there."""
    wanted = command.replace(" ", "\0").encode() + b"\0"
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder / "cmdline").read_bytes() == wanted:
                return True
    return False


async def test_a_script_runs_with_its_own_output_files_and_exit_code(run: Run, tmp_path: Path) -> None:
    await run.start(spec(tmp_path, "echo out; echo err >&2; exit 3"))
    ended = await finished(run)
    assert (ended["why"], ended["exit"], ended["signal"]) == ("exited", 3, None)
    assert ((tmp_path / "out").read_text(), (tmp_path / "err").read_text()) == ("out\n", "err\n")


async def test_a_script_gets_only_the_environment_it_was_given(run: Run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("AGAVE_PASSWORD", "secret")
    await run.start(spec(tmp_path, "env"))
    await finished(run)
    names = {line.partition("=")[0] for line in (tmp_path / "out").read_text().splitlines()}
    assert names - {"PWD", "SHLVL", "_", "OLDPWD"} == {"PATH", runner.MARK}


async def test_the_time_limit_ends_a_script_that_will_not_listen(run: Run, tmp_path: Path, monkeypatch) -> None:
    await run.start(spec(tmp_path, "trap '' TERM; while :; do sleep 1; done", limit=0.2))
    ended = await finished(run)
    assert (ended["why"], ended["exit"], ended["signal"]) == ("limit", None, signal.SIGKILL)


HOG = "import os, sys; sys.argv[1] == 'two' and os.fork(); x = b'x' * (48 << 20); os.write(1, b'full'); input()"


@pytest.mark.parametrize("processes", ["one", "two"])
async def test_a_script_that_takes_more_memory_than_it_may_is_ended(run: Run, tmp_path: Path, processes: str) -> None:
    most = (40 if processes == "one" else 80) << 20
    text = f'mkfifo never; exec {sys.executable} -c "{HOG}" {processes} <> never'
    await run.start(spec(tmp_path, text, memory=most))
    ended = await finished(run)
    assert (ended["why"], ended["exit"]) == ("memory", None)


async def test_memory_that_processes_share_counts_once(run: Run, tmp_path: Path) -> None:
    """It would be more than there may be if it were counted for each process."""
    code = (
        "import os, time; x = b'x' * (48 << 20)\n"
        "for _ in range(8):\n    if not os.fork():\n        time.sleep(3); os._exit(0)\n"
        "for _ in range(8): os.wait()\n"
    )
    (tmp_path / "share.py").write_text(code)
    await run.start(spec(tmp_path, f"exec {sys.executable} share.py", memory=160 << 20))
    ended = await finished(run)
    assert (ended["why"], ended["exit"]) == ("exited", 0)


async def test_a_stop_ends_the_whole_group_and_what_left_it(run: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ready")
    await run.start(spec(tmp_path, "sleep 100 & setsid sleep 101 & echo > ready; wait"))
    with trio.fail_after(10):
        await trio.to_thread.run_sync((tmp_path / "ready").read_text)
    assert run.stop()
    ended = await finished(run)
    assert ended["why"] == "stopped"
    assert processes_of(str(tmp_path)) == []


async def test_what_a_script_leaves_in_the_background_ends_with_it(run: Run, tmp_path: Path) -> None:
    await run.start(spec(tmp_path, "setsid sleep 100 & env -i setsid sleep 10243 & exit 0"))
    assert (await finished(run))["exit"] == 0
    assert processes_of(str(tmp_path)) == [] and not running("sleep 10243")


async def test_a_script_is_run_once_however_often_it_is_started(run: Run, tmp_path: Path) -> None:
    asked = spec(tmp_path, "echo once >> count; sleep 0.2")
    again = Run(run.folder)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.start, asked)
        nursery.start_soon(again.start, asked)
    await finished(run)
    await finished(again)
    await again.start(asked)
    assert (tmp_path / "count").read_text() == "once\n"


async def test_another_watcher_finds_the_run_and_its_end(run: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    await run.start(spec(tmp_path, "read line < go; exit 7"))
    other = Run(run.folder)
    assert other.asked_for and other.begun and other.ended is None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, (tmp_path / "go").write_text, "go\n")
        assert (await finished(other))["exit"] == 7
        await run.wait()


async def test_a_killed_runner_is_known_to_be_gone_and_its_script_can_be_swept_away(run: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ready")
    await run.start(spec(tmp_path, "setsid sleep 100 & echo > ready; wait"))
    with trio.fail_after(10):
        await trio.to_thread.run_sync((tmp_path / "ready").read_text)
    assert run._child is not None
    os.kill(run._child, signal.SIGKILL)
    with trio.fail_after(10):
        assert await run.wait() is None
        assert not run.stop()
        sweep(str(tmp_path))
        while processes_of(str(tmp_path)):
            await trio.sleep(0.01)


async def test_a_script_that_cannot_start_says_why(run: Run, tmp_path: Path) -> None:
    await run.start(spec(tmp_path, "") | {"argv": ["/no/such/shell"]})
    ended = await finished(run)
    assert ended["why"] == "unstartable" and "No such file" in ended["error"]


async def test_a_runner_that_cannot_begin_is_known_by_its_log(run: Run, tmp_path: Path) -> None:
    run.folder.mkdir()
    (run.folder / "begun.json").mkdir()  # in the way of what the runner has to write
    await run.start(spec(tmp_path, "sleep 100"))
    with trio.fail_after(10):
        assert await run.wait() is None
    assert "begun.json" in run.log
    assert processes_of(str(tmp_path)) == []
