"""What a child of the tenant can reach: by itself, and as a job."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from agavesh.tenant import confine
from agavesh.tenant.confine import MOST_PROCESSES, Confinement, bubblewrap, environment
from agavesh.tenant.jobs import runner
from agavesh.tenant.jobs.runs import Run
from tests.tenant.shop import Served, Shop, processes_of, shop_of

needs_bubblewrap = pytest.mark.skipif(bubblewrap() is None, reason="bubblewrap is missing here, or may not work")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "tenant" / "systems" / "run" / "job"
    folder.mkdir(parents=True)
    (tmp_path / "tenant" / "secrets.json").write_text("secret")
    return folder


def said(text: str, work: Path, confinement: Confinement | None = None, **more: object) -> str:
    """What a line of shell says when it is confined."""
    confinement = confinement or Confinement.here(work.parents[2])
    argv = confinement.command(["/bin/bash", "-c", text], work=work, **more)  # type: ignore[arg-type] - as given
    done = subprocess.run(argv, env=environment({}, work=work), cwd=work, capture_output=True, text=True, timeout=30)
    return done.stdout + done.stderr


@needs_bubblewrap
def test_a_child_writes_to_its_work_folder_and_nowhere_else(work: Path) -> None:
    assert said("echo done > result; echo $PWD $HOME", work) == f"{work} {work}\n"
    assert (work / "result").read_text() == "done\n"
    for place in ("/usr", "/etc", "/", "/opt"):
        assert "Read-only file system" in said(f"echo > {place}/no", work), place


@needs_bubblewrap
def test_a_child_sees_neither_the_tenant_nor_other_jobs_nor_anybodys_home(work: Path) -> None:
    (work.parent / "other job").mkdir()
    assert said(f"ls {work.parent}; ls -A {work.parents[2]}", work) == "job\nsystems\n"
    assert "No such file" in said(f"cat {work.parents[2]}/secrets.json", work)
    assert said(f"ls -A {Path.home()}/.ssh {Path.home()}/.bashrc 2>/dev/null", work) == ""


@needs_bubblewrap
def test_a_tenant_within_what_all_may_read_is_hidden_all_the_same(work: Path, tmp_path: Path) -> None:
    assert said("ls /usr/share", work) != ""
    assert said("ls /usr/share", work, Confinement.here(Path("/usr/share"))) == ""
    (tmp_path / "shared").touch()
    everything = Confinement.here(work.parents[2], [tmp_path])
    assert said(f"ls {tmp_path} {tmp_path}/tenant", work, everything).split() == [
        f"{tmp_path}:", "shared", "tenant", f"{tmp_path}/tenant:", "systems",
    ]  # fmt: skip
    assert "Read-only file system" in said(f"echo > {tmp_path}/tenant/no", work, everything)


@needs_bubblewrap
def test_what_is_named_can_be_read_and_not_written(work: Path, tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "data").write_text("read me\n")
    line = f"cat {tmp_path}/bundle/data; echo > {tmp_path}/bundle/data"
    assert "No such file" in said(line, work)
    for confinement, readable in (
        (Confinement.here(work.parents[2]), [tmp_path / "bundle"]),
        (Confinement.here(work.parents[2], [tmp_path / "bundle", tmp_path / "none"]), []),
    ):
        found = said(line, work, confinement, readable=readable)
        assert found.startswith("read me\n") and "Read-only file system" in found


@needs_bubblewrap
def test_a_child_has_a_tmp_and_processes_of_its_own(work: Path, tmp_path: Path) -> None:
    seen = said("touch /tmp/mine; ls -A /tmp", work).split()
    ways = {Path(each).parts[2] for each in (tmp_path, sys.prefix, sys.base_prefix) if Path(each).parts[1] == "tmp"}
    assert "mine" in seen and set(seen) <= {"mine", *ways}, "but for the ways to its folder and to Python"
    assert not Path("/tmp/mine").exists()
    numbers = said("ls /proc | grep -c '^[0-9]'", work)
    assert int(numbers) < 6


@needs_bubblewrap
@pytest.mark.skipif(not os.access("/opt", os.W_OK), reason="only who may write in a folder of the system can show it")
def test_a_python_that_goes_by_a_link_in_a_folder_of_the_system_is_found(work: Path, monkeypatch) -> None:
    link = Path(f"/opt/agavesh-test-{os.getpid()}")
    link.symlink_to(sys.prefix)
    try:
        monkeypatch.setattr(sys, "prefix", str(link))
        assert said(f"test -x {link}/bin/python && echo found", work) == "found\n"
    finally:
        link.unlink()


@needs_bubblewrap
def test_a_machine_too_busy_to_try_confines_all_the_same(work: Path, monkeypatch, caplog) -> None:
    monkeypatch.setattr(confine, "_PROBE", 1e-6)
    assert bubblewrap.__wrapped__() == bubblewrap()
    assert "confined by it all the same" in caplog.text


@needs_bubblewrap
def test_the_network_is_there_unless_it_is_not_to_be(work: Path) -> None:
    count = "grep -c : /proc/net/dev"
    assert int(said(count, work, network=False)) == 1
    assert int(said(count, work)) == sum(":" in line for line in Path("/proc/net/dev").read_text().splitlines())


@pytest.mark.parametrize("confined", [False, pytest.param(True, marks=needs_bubblewrap)])
def test_a_child_has_limits(work: Path, confined: bool) -> None:
    confinement = Confinement.here(work.parents[2], wanted=confined)
    core, processes = said("ulimit -c; ulimit -u", work, confinement).split()
    assert core == "0" and int(processes) <= MOST_PROCESSES
    greedy = "x=$(head -c 40M /dev/zero | tr '\\0' x); echo ${#x}"
    assert said(greedy, work, confinement).strip() == str(40 << 20)
    assert "cannot allocate" in said(greedy, work, confinement, memory=16 << 20)


def test_an_environment_holds_nothing_of_the_tenants(monkeypatch, work: Path) -> None:
    monkeypatch.setenv("AGAVE_PASSWORD", "secret")
    made = environment({"MSG": "hello", "PATH": "/mine"}, work=work)
    assert "secret" not in str(made)
    assert (made["HOME"], made["MSG"], made["PATH"]) == (str(work), "hello", "/mine")


def test_without_bubblewrap_a_child_runs_as_it_is(work: Path) -> None:
    plain = Confinement.here(work.parents[2], wanted=False)
    assert said(f"cat {work.parents[2]}/secrets.json", work, plain) == "secret"


# under a runner ------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path):
    made = Run(tmp_path / "control")
    yield made
    made.stop()


async def begun(run: Run, work: Path, text: str) -> None:
    """Start a confined script, which says `ready` in its folder."""
    os.mkfifo(work / "ready")
    confinement = Confinement.here(work.parents[2])
    spec: runner.Spec = {
        "argv": confinement.command(["/bin/bash", "-c", text], work=work), "nested": True, "limit": 60,
        "cwd": str(work), "pid": str(work / "pid"), "out": str(work / "out"), "err": str(work / "err"),
        "environment": environment({runner.MARK: str(work)}, work=work),
    }  # fmt: skip
    await run.start(spec)
    with trio.fail_after(20):
        await trio.to_thread.run_sync((work / "ready").read_text)


@needs_bubblewrap
async def test_a_confined_script_hears_that_it_is_to_end_and_may_tidy_up(run: Run, work: Path) -> None:
    await begun(run, work, "trap 'echo tidied > tidied; exit 0' TERM; echo > ready; sleep 100 & wait")
    assert run.stop()
    with trio.fail_after(20):
        ended = await run.wait()
    assert ended is not None and (ended["why"], ended["exit"]) == ("stopped", 0)
    assert (work / "tidied").exists()


@needs_bubblewrap
@pytest.mark.parametrize("how", ["stopped", "killed"])
async def test_nothing_of_a_confined_script_gets_away(run: Run, work: Path, how: str) -> None:
    """Not what left its session, nor what wiped its environment, nor what is deaf to polite requests."""
    stray = f"exec -a stray-{os.getpid()} sleep 1000"
    await begun(run, work, f"trap '' TERM; (trap '' TERM; env -i setsid bash -c '{stray}') & echo > ready; wait")
    assert processes_of(str(work)) != []
    if how == "stopped":
        run.stop()
    else:
        assert run._child is not None
        os.kill(run._child, signal.SIGKILL)
    with trio.fail_after(20):
        await run.wait()
        while processes_of(str(work)) or _named(f"stray-{os.getpid()}"):
            await trio.sleep(0.02)


def _named(name: str) -> bool:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_bytes().startswith(name.encode()):
                return True
        except OSError:
            continue
    return False


# as a job ------------------------------------------------------------------------------------------------------------


@needs_bubblewrap
async def test_a_job_reads_nothing_of_the_tenant_and_still_reports_to_it(tenant) -> None:
    async with shop_of(tenant) as shop:
        wrapper = f"""
            cat {tenant.root}/tenant.db {tenant.root}/secrets.json > stolen 2> refused
            ls {tenant.root}/systems > systems; ls {tenant.root}/systems/run.demo/scratch/alice > jobs
            ${{AGAVE_JOB_CALLBACK_ALIVE}}
        """
        job = await shop.ran(await shop.app(wrapper))
        assert (job["status"], await shop.output(job["id"], "stolen")) == ("FINISHED", "")
        assert await shop.output(job["id"], "systems") == "run.demo\n"
        assert await shop.output(job["id"], "jobs") == job["outputPath"].rpartition("/")[2] + "\n"
        assert "HEARTBEAT" in await shop.history(job["id"])


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--readable", "SHARED"], "read me\ndenied\n"),
        pytest.param([], "denied\ndenied\n", marks=needs_bubblewrap),
        (["--unconfined"], "read me\nsecret\n"),
    ],
)
async def test_who_serves_decides_what_jobs_may_read(tenant_root: Path, tmp_path: Path, option, said: str) -> None:
    if "SHARED" in option and bubblewrap() is None:
        pytest.skip("bubblewrap is missing here, or may not work")
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "data").write_text("read me\n")
    (tenant_root / "private").write_text("secret\n")
    served = Served(tenant_root, *(str(tmp_path / "shared") if word == "SHARED" else word for word in option))
    await served.start()
    try:
        async with served.http() as http:
            shop = Shop(served, http)
            files = f"{tmp_path}/shared/data", f"{tenant_root}/private"
            app = await shop.app("".join(f"cat {file} 2>/dev/null || echo denied\n" for file in files))
            job = await shop.ran(app)
            assert await shop.output(job["id"], "a-test.out") == said
    finally:
        with trio.CancelScope(shield=True):
            await served.kill()
