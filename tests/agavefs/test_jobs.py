"""Jobs through the kernel: what they say of themselves, what they leave, and what they are still writing."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from agavesh.client import Agave
from tests.agavefs.mounting import Mount


async def submitted(agave: Agave, **more: Any) -> str:
    body = {"name": "a test", "archive": False, **more}
    return (await agave.jobs.submit(body=body)).id


async def reached(agave: Agave, job: str, *statuses: str) -> None:
    with trio.fail_after(30):
        while (await agave.jobs.getStatus(jobId=job)).status not in statuses:
            await trio.sleep(0.02)


async def test_a_job_tells_of_itself_and_leaves_its_outputs(mount: Mount, agave: Agave) -> None:
    await agave.files.importData(systemId="data.demo", filePath="/alice", fileName="t.txt", fileToUpload=b"a b a\n")
    job = await submitted(agave, appId="wordcount-1.0", inputs={"text": "agave://data.demo//alice/t.txt"})
    await reached(agave, job, "FINISHED")
    folder = mount.path / "jobs" / job
    assert await (folder / "status").read_text() == "FINISHED\n"
    record = await (folder / "job.json").read_text()
    assert json.loads(record)["id"] == job
    assert (await (folder / "job.json").stat()).st_size == len(record.encode())
    history = json.loads(await (folder / "history.json").read_text())
    assert [event["status"] for event in history][-1] == "FINISHED"
    assert str(await (mount.path / "jobs/latest").readlink()) == job
    listed = await mount.run("ls", "-l", mount.path / "jobs/latest/outputs/")
    assert "wordcount.txt" in listed.stdout
    assert b"t.txt" in await (folder / "outputs/wordcount.txt").read_bytes()


async def test_outputs_are_read_only_and_say_so(mount: Mount, agave: Agave) -> None:
    await agave.files.importData(systemId="data.demo", filePath="/alice", fileName="t.txt", fileToUpload=b"a b a\n")
    job = await submitted(agave, appId="wordcount-1.0", inputs={"text": "agave://data.demo//alice/t.txt"})
    await reached(agave, job, "FINISHED")
    outputs = mount.path / "jobs" / job / "outputs"
    assert (await outputs.stat()).st_mode & 0o222 == 0
    assert (await (outputs / "wordcount.txt").stat()).st_mode & 0o777 == 0o444
    for act in (
        lambda: (outputs / "wordcount.txt").write_bytes(b"x"),
        lambda: (outputs / "new").write_bytes(b"x"),
        lambda: (outputs / "wordcount.txt").unlink(),
        lambda: (outputs / "wordcount.txt").rename(outputs / "other"),
        lambda: (outputs / "folder").mkdir(),
        lambda: (outputs / "wordcount.txt").chmod(0o600),
    ):
        with pytest.raises(OSError) as told:
            await act()
        assert told.value.errno == errno.EROFS


async def test_tail_follows_what_a_job_writes(mount: Mount, agave: Agave) -> None:
    job = await submitted(agave, appId="ticker-1.0", parameters={"lines": 6, "delay": 0.3})
    await reached(agave, job, "RUNNING")
    outputs = mount.path / "jobs" / job / "outputs"
    names: list[str] = []

    async def has_begun() -> bool:
        nonlocal names
        names = [path.name for path in await outputs.iterdir() if path.name.endswith(".out")]
        return bool(names) and (await (outputs / names[0]).stat()).st_size > 0

    await mount.until(has_begun)
    seen = b""
    async with trio.open_nursery() as nursery:
        tail = await nursery.start(
            lambda task_status: trio.run_process(
                ["tail", "-n", "+1", "-s", "0.1", "-f", str(outputs / names[0])],
                stdout=subprocess.PIPE,
                check=False,
                task_status=task_status,
            )
        )
        with trio.fail_after(30):
            while seen.count(b"\n") < 6:
                seen += await tail.stdout.receive_some()
        tail.terminate()
    await reached(agave, job, "FINISHED")
    assert await (outputs / names[0]).read_bytes() == seen
    assert (await (outputs / names[0]).stat()).st_size == len(seen)


async def test_cat_of_a_running_job_gives_what_is_there(mount: Mount, agave: Agave) -> None:
    job = await submitted(agave, appId="ticker-1.0", parameters={"lines": 1000, "delay": 0.05})
    await reached(agave, job, "RUNNING")
    sizes: list[int] = []

    async def has_grown() -> bool:
        done = await mount.run("sh", "-c", "cat $1/*.out | wc -c", "sh", mount.path / "jobs" / job / "outputs")
        sizes.append(int(done.stdout or 0))
        return len({size for size in sizes if size}) > 2

    await mount.until(has_grown)
    assert sizes == sorted(sizes)
    assert await (mount.path / "jobs" / job / "status").read_text() == "RUNNING\n"
    await agave.jobs.manage(jobId=job, body={"action": "stop"})
    await reached(agave, job, "STOPPED", "KILLED", "FAILED")


@asynccontextmanager
async def growing(mount: Mount, agave: Agave, content: bytes) -> AsyncIterator[tuple[trio.Path, Path]]:
    """The output of a running job that only the test writes: as the mount has it, and where the job does."""
    job = await submitted(agave, appId="ticker-1.0", parameters={"lines": 1, "delay": 1000})
    await reached(agave, job, "RUNNING")
    found: list[Path] = []

    async def has_begun() -> bool:
        found.extend(path.parent for path in mount.tenant.root.rglob("*.out") if job in path.parent.name)
        return bool(found)

    await mount.until(has_begun)
    real = found[0] / "log"
    real.write_bytes(content)
    yield mount.path / "jobs" / job / "outputs/log", real
    await agave.jobs.manage(jobId=job, body={"action": "stop"})
    await reached(agave, job, "STOPPED", "KILLED", "FAILED")


async def test_a_large_log_of_a_running_job_comes_by_blocks_side_by_side(mount: Mount, agave: Agave) -> None:
    content = os.urandom(2**20) * 24
    async with growing(mount, agave, content) as (log, _):
        mount.tenant.faults.requests.clear()
        done = await mount.run("sha256sum", log)
        assert done.stdout.split()[0] == hashlib.sha256(content).hexdigest()
        counted = mount.counted()
        assert counted["jobs.downloadOutput"] <= 24  # one for each read(2) were 800
        assert counted["jobs.listOutputs"] <= 4


async def test_who_reads_a_growing_file_sees_it_as_it_was_when_it_was_opened(mount: Mount, agave: Agave) -> None:
    async with growing(mount, agave, b"one\n") as (log, real):
        async with await log.open("rb", buffering=0) as file:
            assert await file.read(100) == b"one\n"
            with real.open("ab") as more:
                more.write(b"two\n")
            assert await file.read(100) == b""  # its end, as `grep` and `cat` wait for
            seen = b""

            async def sees_more() -> bool:  # who reads on, as `tail -f` does
                nonlocal seen
                seen += await file.read(100)
                return seen == b"two\n"

            await mount.until(sees_more)
        assert await log.read_bytes() == b"one\ntwo\n"


async def test_the_size_of_a_growing_file_is_never_behind_what_is_read(mount: Mount, agave: Agave) -> None:
    async with growing(mount, agave, b"one\n") as (log, real):
        async with await log.open("rb", buffering=0) as file:
            assert await file.read(100) == b"one\n"
            with real.open("ab") as more:
                more.write(b"two\n")

            async def has_grown() -> bool:
                return (await trio.to_thread.run_sync(os.fstat, file.fileno())).st_size == 8

            await mount.until(has_grown)
            assert await file.read(100) == b"two\n"


async def test_a_growing_file_that_is_begun_anew_is_read_anew(mount: Mount, agave: Agave) -> None:
    async with growing(mount, agave, b"old and long\n") as (log, real):
        async with await log.open("rb", buffering=0) as file:
            assert await file.read(100) == b"old and long\n"
            real.write_bytes(b"new\n")

            async def is_new() -> bool:
                assert await file.read(100) == b""  # at its end, where it is looked how large it is
                await file.seek(0)
                return await file.read(100) == b"new\n"

            await mount.until(is_new)


async def test_what_a_job_has_left_is_kept_as_any_file_is(mount: Mount, agave: Agave) -> None:
    async with growing(mount, agave, b"all of it\n") as (log, _):
        assert await log.read_bytes() == b"all of it\n"

    async def is_kept() -> bool:
        assert await log.read_bytes() == b"all of it\n"
        mount.tenant.faults.requests.clear()
        assert await log.read_bytes() == b"all of it\n"
        return not mount.counted().get("jobs.downloadOutput")

    await mount.until(is_kept)


async def test_a_job_that_is_not_there_is_not_there(mount: Mount) -> None:
    assert not await (mount.path / "jobs/nothing").exists()
    assert not await (mount.path / "jobs/0001-0002-007").exists()
