"""`agavefs run`: a program with a mount of its own, and what becomes of both."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from agavefs import cli
from tests.agavefs.mounting import LONG, Mount, possible
from tests.agavefs.test_reading import plant
from tests.conftest import Tenant

ALICE = "agave://data.demo//alice"

pytestmark = pytest.mark.skipif(not possible, reason="there is no /dev/fuse here")


@pytest.fixture
async def mount(tenant: Tenant, tmp_path: Path) -> AsyncIterator[Mount]:
    """What knows how to run things for alice; it mounts nothing itself. Nothing is left of what ran."""
    (tmp_path / "temporary").mkdir()
    mount = Mount(tenant, tmp_path / "mount", TMPDIR=str(tmp_path / "temporary"))
    yield mount
    assert list((tmp_path / "temporary").iterdir()) == []
    assert mount.cards == []
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()
    assert mount.trouble_expected or "Traceback" not in mount.log, mount.log[-3000:]


@asynccontextmanager
async def started(mount: Mount, *words: str) -> AsyncIterator[trio.Process]:
    """`agavefs run` of a script that says `ready` when it is at work."""
    async with trio.open_nursery() as nursery:
        process = await nursery.start(
            lambda task_status: trio.run_process(
                [sys.executable, "-m", "agavefs", "run", *words],
                env=mount.environ,
                stdout=subprocess.PIPE,
                check=False,
                task_status=task_status,
            )
        )
        with trio.fail_after(LONG):
            assert (await process.stdout.receive_some()).startswith(b"ready")
            yield process
            await process.wait()


def there(mount: Mount, name: str) -> bytes:
    return mount.tenant.bytes("data.demo", f"/alice/{name}")


async def test_a_program_reads_and_writes_and_what_it_wrote_is_there_when_it_ends(mount: Mount) -> None:
    await plant(mount, {"in": b"b\na\n"})
    done = await mount.agavefs("run", ALICE, "--", "sort", "-o", "{}/out", "{}/in")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert there(mount, "out") == b"a\nb\n"


async def test_the_place_is_told_and_the_rest_is_as_the_caller_has_it(mount: Mount, tmp_path: Path) -> None:
    line = 'echo "$AGAVEFS_MOUNT {} $1"; pwd; stat -c %a "$AGAVEFS_MOUNT/.."; ls "$AGAVEFS_MOUNT"; cat'
    words = ("-m", "agavefs", "run", "/", "--", "sh", "-c", line, "sh", "-- {}")
    done = await mount.run(sys.executable, *words, cwd=tmp_path, stdin=b"typed\n")
    place, *others = done.stdout.splitlines()
    path = place.split()[0]
    assert place == f"{path} {path} -- {path}"
    assert Path(path).parent == tmp_path / "temporary"
    assert others == [str(tmp_path), "755", "apps", "jobs", "systems", "typed"]


async def test_its_exit_status_is_ours(mount: Mount) -> None:
    for line, status in (("exit 7", 7), ("kill -9 $$", 128 + 9), ("exit 255", 255)):
        assert (await mount.agavefs("run", ALICE, "--", "sh", "-c", line)).returncode == status


async def test_a_program_that_can_not_be_run_is_told(mount: Mount, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    for word, status, said in (("nothing-such", 127, "No such file"), (str(tmp_path / "plain"), 126, "denied")):
        done = await mount.agavefs("run", ALICE, "--", word)
        assert (done.returncode, said in done.stderr) == (status, True)
    for words in (("run", ALICE), ("run", ALICE, "--"), ("run", "--", "true")):
        assert (await mount.agavefs(*words)).returncode == cli.EX_USAGE


async def test_a_source_that_is_not_there_runs_nothing(mount: Mount, tmp_path: Path) -> None:
    done = await mount.agavefs("run", f"{ALICE}/nothing", "--", "touch", str(tmp_path / "ran"))
    assert (done.returncode, "nothing" in done.stderr) == (cli.EX_NOINPUT, True)
    assert not (tmp_path / "ran").exists()


async def test_read_only_is_read_only(mount: Mount) -> None:
    done = await mount.agavefs("run", "--read-only", ALICE, "--", "sh", "-c", "echo x > {}/f")
    assert (done.returncode != 0, "Read-only" in done.stderr) == (True, True)


async def test_what_could_not_be_sent_makes_it_75_and_the_next_one_sends_it(mount: Mount) -> None:
    mount.environ["AGAVEFS_DEADLINES"] = "progress=1"
    with mount.tenant.faults.refusing("files.importData", status=503):
        done = await mount.agavefs("run", ALICE, "--", "sh", "-c", "echo kept > {}/f")
    assert (done.returncode, "could not be sent" in done.stderr) == (cli.EX_TEMPFAIL, True)
    del mount.environ["AGAVEFS_DEADLINES"]
    assert (await mount.agavefs("run", "/", "--", "true")).returncode == 0
    assert there(mount, "f") == b"kept\n"


@pytest.fixture
def job(mount: Mount, tmp_path: Path) -> Path:
    """The mount's programs run in a batch job; its $TMPDIR, which goes with it."""
    mount.environ |= {"SLURM_JOB_ID": "4711", "TMPDIR": str(tmp_path / "job"), "AGAVEFS_DEADLINES": "progress=1"}
    (tmp_path / "job").mkdir()
    return tmp_path / "job"


def over(mount: Mount, job: Path) -> None:
    """The job has ended, and its site has cleared away what it had."""
    shutil.rmtree(job)
    mount.environ["TMPDIR"] = str(job.with_name("temporary"))
    for name in ("SLURM_JOB_ID", "AGAVEFS_DEADLINES"):
        del mount.environ[name]


async def test_what_a_batch_job_could_not_send_outlives_its_tmpdir(mount: Mount, job: Path) -> None:
    await plant(mount, {"changed": b"old\n"})
    with mount.tenant.faults.refusing("files.importData", status=503):
        line = "echo kept > {}/f; echo new > {}/changed"
        done = await mount.agavefs("run", ALICE, "--", "sh", "-c", line)
    place = mount.folder / "state/agavesh/left"
    assert done.returncode == cli.EX_TEMPFAIL
    assert f"2 files could not be sent; they are kept in {place}, and the next mount sends them" in done.stderr
    over(mount, job)
    assert (await mount.agavefs("run", "/", "--", "true")).returncode == 0
    assert (there(mount, "f"), there(mount, "changed")) == (b"kept\n", b"new\n")
    assert list(place.iterdir()) == []


async def test_the_next_job_sends_it_too_and_loses_nothing_if_it_can_not(mount: Mount, job: Path) -> None:
    with mount.tenant.faults.refusing("files.importData", status=503):
        for line in ("echo kept > {}/f", "true", "echo newer > {}/f"):
            assert (await mount.agavefs("run", ALICE, "--", "sh", "-c", line)).returncode == cli.EX_TEMPFAIL
            shutil.rmtree(job)
            job.mkdir()
    assert (await mount.agavefs("run", ALICE, "--", "true")).returncode == 0
    assert there(mount, "f") == b"newer\n"
    (beside,) = list(mount.tenant.path("data.demo", "/alice").glob("f~conflict-*"))
    assert beside.read_bytes() == b"kept\n"
    over(mount, job)
    assert list((mount.folder / "state/agavesh/left").iterdir()) == []


async def test_a_job_that_is_told_to_end_keeps_what_it_can_not_send(mount: Mount, job: Path) -> None:
    # it would go on trying for longer than a batch system waits
    mount.environ |= {"AGAVEFS_DEADLINES": "progress=1000", "AGAVEFS_KILL_WAIT": "2"}
    tried = "until grep refused {}/.agavefs/status; do sleep 0.05; done"
    line = f"trap 'exit 3' TERM; echo kept > {{}}/f & {tried} >&2; echo ready; while :; do sleep 0.05; done"
    with mount.tenant.faults.refusing("files.importData", status=503):
        async with started(mount, ALICE, "--", "sh", "-c", line) as process:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == cli.EX_TEMPFAIL
    over(mount, job)
    assert (await mount.agavefs("run", "/", "--", "true")).returncode == 0
    assert there(mount, "f") == b"kept\n"


async def test_a_mount_that_is_killed_in_a_job_leaves_what_was_closed(mount: Mount, job: Path) -> None:
    line = "echo kept > {}/f; echo ready; while ls {} >/dev/null; do sleep 0.05; done"
    with mount.tenant.faults.refusing("files.importData", status=503):
        async with started(mount, ALICE, "--", "sh", "-c", line) as process:
            os.kill(mount.pid, signal.SIGKILL)
    assert process.returncode == cli.EX_TEMPFAIL
    over(mount, job)
    assert (await mount.agavefs("run", "/", "--", "true")).returncode == 0
    assert there(mount, "f") == b"kept\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
async def test_a_signal_goes_to_the_program_and_what_it_then_writes_is_sent(mount: Mount, number: int) -> None:
    line = f"trap 'echo last > {{}}/f; exit 3' {number}; echo ready; while :; do sleep 0.05; done"
    async with started(mount, ALICE, "--", "sh", "-c", line) as process:
        process.send_signal(number)
    assert process.returncode == 3
    assert there(mount, "f") == b"last\n"


async def test_a_batch_system_that_ends_all_processes_alike_loses_nothing(mount: Mount) -> None:
    line = "trap 'sleep 0.3; echo last > {}/f; exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    async with started(mount, ALICE, "--", "sh", "-c", line) as process:
        os.kill(mount.pid, signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 3
    assert there(mount, "f") == b"last\n"


async def test_a_program_that_a_signal_ends_is_told_as_a_shell_does(mount: Mount) -> None:
    async with started(mount, ALICE, "--", "sh", "-c", "echo ready; exec sleep 1000") as process:
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 128 + signal.SIGTERM


async def test_what_still_stands_in_the_mount_does_not_keep_it(mount: Mount) -> None:
    done = await mount.agavefs(
        "run", ALICE, "--", "sh", "-c", "cd {}; echo x > f; sleep 1000 >/dev/null 2>&1 & echo $!"
    )
    os.kill(int(done.stdout), signal.SIGKILL)
    assert done.returncode == 0
    assert there(mount, "f") == b"x\n"


async def test_a_run_that_is_killed_leaves_no_mount(mount: Mount, tmp_path: Path) -> None:
    async with started(mount, ALICE, "--", "sh", "-c", "echo x > {}/f; echo ready; exec sleep 1000") as process:
        ended = os.pidfd_open(mount.pid)
        child = (await trio.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()).split()
        process.kill()
        await trio.lowlevel.wait_readable(ended)
        os.close(ended)
        for pid in child:
            if await trio.Path(f"/proc/{pid}/comm").read_text() == "sleep\n":
                os.kill(int(pid), signal.SIGKILL)
    (place,) = (tmp_path / "temporary").iterdir()
    place.rmdir()  # that is all that is left
    assert there(mount, "f") == b"x\n"


async def test_a_mount_that_dies_under_the_program_is_cleared_away(mount: Mount) -> None:
    async with started(mount, ALICE, "--", "sh", "-c", "echo ready; while ls {} >/dev/null; do sleep 0.05; done") as it:
        os.kill(mount.pid, signal.SIGKILL)
    assert it.returncode == cli.EX_SOFTWARE
    assert (await mount.agavefs("status")).stdout == ""
