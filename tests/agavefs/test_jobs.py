"""Jobs through the kernel: what they say of themselves, what they leave, and what they are still writing."""

from __future__ import annotations

import errno
import json
import subprocess
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


async def test_a_job_that_is_not_there_is_not_there(mount: Mount) -> None:
    assert not await (mount.path / "jobs/nothing").exists()
    assert not await (mount.path / "jobs/0001-0002-007").exists()
