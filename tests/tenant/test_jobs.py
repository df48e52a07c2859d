"""Jobs at the tenant, over HTTP: what is asked for runs, and what ran can be looked at."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from agavesh.tenant.confine import Confinement
from tests.tenant.shop import Shop, field, processes_of, shop_of

ALL_THE_WAY = [
    "PENDING", "PROCESSING_INPUTS", "STAGED", "STAGING_JOB", "SUBMITTING", "QUEUED", "RUNNING", "CLEANING_UP",
    "ARCHIVING", "ARCHIVING_FINISHED", "FINISHED",
]  # fmt: skip
HELD = "echo > begun; read line < go; echo went on > result.txt"  # runs until `let_go`


@pytest.fixture
async def shop(tenant) -> AsyncIterator[Shop]:
    async with shop_of(tenant) as shop:
        yield shop


def work(shop: Shop, job: dict) -> Path:
    """The folder of a job on this machine."""
    return shop.tenant.path("run.demo", job["outputPath"])


async def held(shop: Shop, app: str, **more: object) -> dict:
    """A job of a `HELD` wrapper that is in the middle of its run."""
    job = await shop.submit(app, **more)
    job = await shop.reached(job["id"], "RUNNING")
    with trio.fail_after(10):
        while not (work(shop, job) / "begun").exists():
            await trio.sleep(0.01)
    return job


async def let_go(shop: Shop, job: dict) -> dict:
    await trio.to_thread.run_sync((work(shop, job) / "go").write_text, "go\n")
    return await shop.ended(job["id"])


async def held_app(shop: Shop, name: str = "held") -> str:
    return await shop.app("mkfifo go\n" + HELD, name=name)


# a whole life --------------------------------------------------------------------------------------------------------


async def test_a_job_runs_and_leaves_its_outputs(shop: Shop) -> None:
    app = await shop.app("echo hello ${who} > greeting.txt; echo said", parameters=[field("who", kind="string")])
    job = await shop.ran(app, name="My Run", parameters={"who": "world"})
    assert (job["status"], "message" in job) == ("FINISHED", False)
    assert await shop.output(job["id"], "greeting.txt") == "hello world\n"
    assert await shop.output(job["id"], "my-run.out") == "said\n"


async def test_its_history_tells_every_status_once_and_in_order(shop: Shop) -> None:
    job = await shop.ran(await shop.app("true"))
    assert await shop.history(job["id"]) == ALL_THE_WAY
    assert job["startTime"] <= job["endTime"] and job["submitTime"] == job["created"]
    assert job["localId"].isdigit()


async def test_its_record_tells_what_was_asked_and_what_was_made_of_it(shop: Shop) -> None:
    app = await shop.app("true", inputs=[field("text")], parameters=[field("n", kind="number")])
    shop.tenant.path("data.demo", "/alice/t.txt").write_text("text")
    asked = {"inputs": {"text": "agave://data.demo//alice/t.txt"}, "parameters": {"n": 3}, "maxRunTime": "00:02:00"}
    job = await shop.submit(app, name="It's a Name", **asked)
    assert job["inputs"] == {"text": ["agave://data.demo//alice/t.txt"]}
    assert job["parameters"] == {"n": 3}
    assert (job["status"], job["maxRunTime"], job["executionType"], job["schedulerType"]) == (
        "PENDING", "00:02:00", "CLI", "FORK",
    )  # fmt: skip
    assert job["archivePath"] == f"alice/archive/jobs/job-{job['id']}"
    assert job["outputPath"] == f"/scratch/alice/job-{job['id']}-its-a-name"
    assert not [name for name in job if name.startswith("_") and name != "_links"]
    await shop.ended(job["id"])


async def test_its_folder_holds_what_the_platform_puts_there(shop: Shop) -> None:
    app = await shop.app("echo made > made.txt", files={"lib/data.csv": "1,2\n"})
    job = await shop.ran(app, name="Folder", archive=False)
    assert {path.name for path in work(shop, job).iterdir()} == {
        "folder.ipcexe", "folder.out", "folder.err", "folder.pid", ".agave.log", ".agave.archive", "made.txt", "lib",
        "wrapper.sh", "test.sh",
    }  # fmt: skip
    assert set((work(shop, job) / ".agave.archive").read_text().split()) == {"lib/data.csv", "test.sh", "wrapper.sh"}
    assert (work(shop, job) / "folder.pid").read_text().strip() == job["localId"]
    assert "FINISHED" in (work(shop, job) / ".agave.log").read_text()
    assert await shop.history(job["id"]) == [status for status in ALL_THE_WAY if "ARCHIVING" not in status]


async def test_its_process_is_given_no_secret_and_its_own_folder(shop: Shop, monkeypatch) -> None:
    monkeypatch.setenv("AGAVE_PASSWORD", "secret")
    job = await shop.ran(await shop.app("env; pwd; umask"))
    output = await shop.output(job["id"], "a-test.out")
    assert "secret" not in output and "PASSWORD" not in output
    lines = output.splitlines()
    assert f"AGAVE_JOB_ID={job['id']}" in lines and f"HOME={work(shop, job)}" in lines
    assert lines[-2:] == [str(work(shop, job)), "0022"]


async def test_its_process_holds_no_file_and_no_socket_of_the_tenant(shop: Shop) -> None:
    job = await shop.ran(await shop.app("ls -l /proc/$$/fd /proc/$PPID/fd > held; ls /proc/$$/fd > own"))
    assert "socket" not in await shop.output(job["id"], "held")
    assert {int(number) for number in (await shop.output(job["id"], "own")).split()} <= {0, 1, 2, 255}


async def test_no_process_is_left_behind(shop: Shop) -> None:
    def children() -> list[str]:
        """Those of this process, which is the tenant's too: dead ones that nobody reaped among them."""
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # others come and go
                state, parent, *_ = path.read_text().rpartition(")")[2].split()
                found += [state] if int(parent) == os.getpid() else []
        return found

    before = children()
    await shop.ran(await shop.app("setsid sleep 100 & true"))
    assert children() == before


async def test_its_name_may_be_odd(shop: Shop) -> None:
    app = await shop.app("echo ${AGAVE_JOB_NAME}")
    odd = ["作业", "???", "-", "x" * 64, "a/b", 'it\'s "here"', "$(touch /tmp/no)", "über + 1_2"]
    for submitted in [await shop.submit(app, name=name) for name in odd]:
        job = await shop.ended(submitted["id"])
        assert job["status"] == "FINISHED", job
        short = job["outputPath"].rpartition("-007-")[2]
        assert await shop.output(job["id"], f"{short}.out") == f"{short}\n"


async def test_what_a_job_does_to_its_folder_holds_nobody_up(shop: Shop) -> None:
    spiteful = (
        "rm -f .agave.log .agave.archive; mkfifo .agave.log .agave.archive; rm a-test.err; mkfifo a-test.err; exit 1"
    )
    assert (await shop.ran(await shop.app(spiteful)))["message"] == "Job failed: exit code 1"
    job = await shop.ran(await shop.app(spiteful.replace("exit 1", "true")))
    assert job["status"] == "FINISHED"
    shop.tenant.state.confinement = Confinement(shop.tenant.root)
    # the tenant logs there that it runs: a log that is made anew while the folder is being removed keeps the folder
    vanish = "until grep -q RUNNING .agave.log; do sleep 0.01; done; rm -rf $HOME"
    job = await shop.ran(await shop.app(vanish))
    assert (job["status"], "could not be archived" in job["message"]) == ("FAILED", True)
    job = await shop.ran(await shop.app(f"{vanish}; ln -s / $HOME"))
    assert (job["status"], "leads out of the system" in job["message"]) == ("FAILED", True)


async def test_a_job_may_be_asked_for_as_json_as_a_form_and_as_a_file(shop: Shop) -> None:
    app = await shop.app(
        "echo ${n} ${loud} ${words}",
        parameters=[
            field("n", kind="number"),
            field("loud", kind="bool"),
            field("words", kind="string", semantics={"maxCardinality": 3}),
        ],
    )
    asked = {"name": "asked", "appId": app, "archive": False, "parameters": {"n": 7, "loud": True, "words": ["a", "b"]}}
    flat = {"name": "asked", "appId": app, "archive": "false", "n": "7", "loud": "true", "words": "a; b"}
    file = {"fileToUpload": ("job.txt", json.dumps(asked), "text/plain")}
    ways: list[dict[str, Any]] = [
        {"json": asked}, {"json": flat}, {"data": flat}, {"files": file},
        {"files": {name: (None, value) for name, value in flat.items()}},
        {"content": json.dumps(asked), "headers": {"Content-Type": "application/vnd.job+json; charset=utf-8"}},
    ]  # fmt: skip
    for way in ways:
        answer = await shop.http.post("/jobs/v2/", **way)
        assert answer.status_code == 201, answer.text
        job = await shop.ended(answer.json()["result"]["id"])
        assert (job["parameters"], job["archive"]) == ({"n": 7, "loud": True, "words": ["a", "b"]}, False)
        assert await shop.output(job["id"], "asked.out") == "7 1 a b\n"


async def test_outputs_may_be_archived_on_another_system_under_a_path_of_macros(shop: Shop) -> None:
    other = {"id": "vault", "name": "Vault", "type": "STORAGE", "storage": {
        "host": "localhost", "port": 22, "protocol": "SFTP", "rootDir": "/", "homeDir": "/kept",
        "auth": {"type": "PASSWORD", "username": "alice", "password": "x"}}}  # fmt: skip
    assert (await shop.http.post("/systems/v2/", json=other)).status_code in (200, 201)
    app = await shop.app("echo result > result.txt")
    job = await shop.ran(app, archiveSystem="vault", archivePath="${JOB_OWNER}/${APP_ID}/${JOB_NAME}/${UNKNOWN}")
    assert (job["status"], job["archiveSystem"]) == ("FINISHED", "vault")
    assert job["archivePath"] == "alice/test-1.0/a-test/${UNKNOWN}"
    assert shop.tenant.bytes("vault", "/kept/alice/test-1.0/a-test/${UNKNOWN}/result.txt") == b"result\n"
    assert await shop.output(job["id"], "result.txt") == "result\n"
    listed = await shop.http.get("/files/v2/listings/system/vault/alice/test-1.0/a-test/")
    assert [entry["name"] for entry in listed.json()["result"]] == [".", "${UNKNOWN}"]
    async with shop.tenant.http("bob") as bob:
        request = {"name": "x", "appId": "wordcount-1.0", "archiveSystem": "vault", "inputs": {"text": "t.txt"}}
        shop.tenant.path("data.demo", "/bob/t.txt").write_text("t")
        refused = await bob.post("/jobs/v2/", json=request)
        assert (refused.status_code, "archiveSystem" in refused.json()["message"]) == (400, True)


# inputs --------------------------------------------------------------------------------------------------------------


async def test_inputs_come_from_the_root_the_home_and_the_default_system(shop: Shop) -> None:
    app = await shop.app("cat ${a} ${b} ${c}", inputs=[field("a"), field("b"), field("c")])
    home = shop.tenant.path("data.demo", "/alice")
    for name in ("one.txt", "two.txt", "three.txt"):
        (home / name).write_text(name + "\n")
    inputs = {"a": "agave://data.demo//alice/one.txt", "b": "agave://data.demo/two.txt", "c": "three.txt"}
    job = await shop.ran(app, inputs=inputs)
    assert await shop.output(job["id"], "a-test.out") == "one.txt\ntwo.txt\nthree.txt\n"
    history = (await shop.http.get(f"/jobs/v2/{job['id']}/history")).json()["result"]
    assert [event["progress"]["totalBytes"] for event in history if "progress" in event] == [8, 8, 10]


async def test_names_of_inputs_may_be_odd(shop: Shop) -> None:
    app = await shop.app("cat ${text}", inputs=[field("text", value={"enquote": True})])
    odd = [
        ("a b.txt", "agave://data.demo//alice/a%20b.txt"),
        ("a b.txt", "agave://data.demo//alice/a b.txt"),
        ("50%20off.txt", "agave://data.demo//alice/50%2520off.txt"),
        ("50%20off.txt", "agave://data.demo//alice/50%20off.txt"),
        ("what?#.txt", "agave://data.demo//alice/what%3F%23.txt"),
        ("ünï.txt", "agave://data.demo//alice/%C3%BCn%C3%AF.txt"),
        ("new\nline", "agave://data.demo//alice/new%0Aline"),
        ("$HOME `x`.txt", "agave://data.demo//alice/$HOME `x`.txt"),
        ("n" * 255, "agave://data.demo/" + "n" * 255),
        ("a b.txt", f"{shop.tenant.url}/files/v2/media/system/data.demo//alice/a%20b.txt"),
        ("a b.txt", "/alice/a b.txt"),
    ]
    for name, _ in odd:
        shop.tenant.path("data.demo", f"/alice/{name}").write_text(name)
    jobs = [(name, await shop.submit(app, inputs={"text": [uri]})) for name, uri in odd]
    for name, job in jobs:
        await shop.ended(job["id"])
        assert await shop.output(job["id"], "a-test.out") == name
        assert name in await shop.outputs(job["id"])


async def test_a_folder_is_an_input_with_all_in_it(shop: Shop) -> None:
    app = await shop.app("cat ${data}/deep/*.txt", inputs=[field("data")])
    folder = shop.tenant.path("data.demo", "/alice/data/deep")
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("deep\n")
    job = await shop.ran(app, inputs={"data": "agave://data.demo//alice/data"})
    assert await shop.output(job["id"], "a-test.out") == "deep\n"


async def test_an_output_of_one_job_is_the_input_of_the_next(shop: Shop) -> None:
    first = await shop.ran(await shop.app("echo handed on > result.txt", name="first"))
    app = await shop.app("cat ${text}", name="second", inputs=[field("text")])
    link = (await shop.outputs(first["id"]))["result.txt"]["_links"]["self"]["href"]
    job = await shop.ran(app, inputs={"text": link})
    assert await shop.output(job["id"], "a-test.out") == "handed on\n"


async def test_a_web_address_is_fetched_and_a_missing_one_fails_the_job(shop: Shop) -> None:
    app = await shop.app("cat ${text}", inputs=[field("text")])
    job = await shop.ran(app, inputs={"text": f"{shop.tenant.url}/tenants"})
    assert '"embedded"' in await shop.output(job["id"], "a-test.out")
    job = await shop.ran(app, inputs={"text": f"{shop.tenant.url}/nothing/here.txt"})
    assert (job["status"], "here.txt answered 404" in job["message"]) == ("FAILED", True)


async def test_an_input_that_went_away_before_it_was_staged_fails_the_job(shop: Shop) -> None:
    app = await shop.app("cat ${a} ${b}", inputs=[field("a"), field("b")])
    text = shop.tenant.path("data.demo", "/alice/t.txt")
    text.write_text("soon gone")
    with shop.tenant.faults.slow("/tenants"):
        job = await shop.submit(app, inputs={"a": f"{shop.tenant.url}/tenants", "b": "t.txt"})
        await shop.reached(job["id"], "STAGING_INPUTS")
        text.unlink()
    job = await shop.ended(job["id"])
    assert (job["status"], job["message"]) == ("FAILED", "The input t.txt does not exist.")


async def test_a_stop_ends_staging_too(shop: Shop) -> None:
    app = await shop.app("cat ${text}", inputs=[field("text")])
    with shop.tenant.faults.slow("/tenants"):
        job = await shop.submit(app, inputs={"text": f"{shop.tenant.url}/tenants"})
        await shop.reached(job["id"], "STAGING_INPUTS")
        await shop.http.post(f"/jobs/v2/{job['id']}", json={"action": "stop"})
        assert (await shop.job(job["id"]))["status"] == "STOPPED"
    assert "tenants" not in await shop.outputs(job["id"])


# outputs -------------------------------------------------------------------------------------------------------------


async def test_outputs_are_listed_and_read_while_the_job_runs(shop: Shop) -> None:
    job = await held(shop, await held_app(shop))
    assert "begun" in await shop.outputs(job["id"])
    assert await shop.output(job["id"], "begun") == "\n"
    assert (await let_go(shop, job))["status"] == "FINISHED"
    assert await shop.output(job["id"], "result.txt") == "went on\n"


async def test_the_archive_has_all_but_what_is_listed(shop: Shop) -> None:
    wrapper = """
        mkdir keep drop; echo 1 > keep/a; echo 2 > drop/b; echo 3 > "odd name"; echo drop >> .agave.archive
        ln -s keep/a inside; ln -s /etc/passwd outside; mkfifo pipe; echo 4 > $(printf "no-text-\\xff")
    """
    app = await shop.app(wrapper, files={"lib/data.csv": "1,2\n"})
    job = await shop.ran(app, archivePath="results/${JOB_NAME}-${JOB_OWNER}")
    assert job["status"] == "FINISHED", job
    archive = shop.tenant.path("data.demo", "/alice/results/a-test-alice")
    found = {str(path.relative_to(archive)) for path in archive.rglob("*") if not path.is_dir()}
    assert found == {
        "no-text-\udcff", "keep/a", "odd name", "inside", ".agave.log", ".agave.archive", "a-test.out", "a-test.err",
        "a-test.pid", "a-test.ipcexe",
    }  # fmt: skip
    assert (archive / "inside").read_text() == "1\n"
    listed = await shop.outputs(job["id"])
    assert "keep" in listed and "drop" not in listed
    assert await shop.output(job["id"], "keep/a") == "1\n"


async def test_a_listing_of_outputs_has_paths_from_the_jobs_folder_and_no_dot(shop: Shop) -> None:
    job = await shop.ran(await shop.app("mkdir deep; echo text > deep/file.txt"))
    top = await shop.outputs(job["id"])
    assert "." not in top and (top["deep"]["type"], top["deep"]["format"]) == ("dir", "folder")
    entry = (await shop.outputs(job["id"], "deep"))["file.txt"]
    assert (entry["path"], entry["length"], entry["permission"]) == ("/deep/file.txt", 5, "READ")
    assert (await shop.outputs(job["id"], "/../deep/file.txt"))["file.txt"] == entry
    page = await shop.http.get(f"/jobs/v2/{job['id']}/outputs/listings/", params={"limit": 2, "offset": 1})
    assert [entry["name"] for entry in page.json()["result"]] == list(top)[1:3]


async def test_a_range_past_the_end_of_an_output_is_416_with_its_bytes(shop: Shop) -> None:
    job = await shop.ran(await shop.app("printf 0123456789 > ten"))
    url = f"/jobs/v2/{job['id']}/outputs/media/ten"
    inside = await shop.http.get(url, headers={"Range": "bytes=2-4"})
    assert (inside.status_code, inside.text, inside.headers["content-range"]) == (206, "234", "bytes 2-4/10")
    past = await shop.http.get(url, headers={"Range": "bytes=8-20"})
    assert (past.status_code, past.text) == (416, "89")
    beyond = await shop.http.get(url, headers={"Range": "bytes=10-20"})
    assert beyond.status_code == 416
    assert int((await shop.http.head(url)).headers["content-length"]) == 10


async def test_outputs_that_are_not_there_are_refused_as_the_platform_does(shop: Shop) -> None:
    job = await shop.ran(await shop.app("true"))
    listings = "outputs/listings"
    assert (await shop.http.get(f"/jobs/v2/nothing-007/{listings}/")).status_code == 400
    assert (await shop.http.get(f"/jobs/v2/{job['id']}/{listings}/nothing")).status_code == 404
    assert (await shop.http.get(f"/jobs/v2/{job['id']}/outputs/media/nothing")).status_code == 404
    async with shop.tenant.http("bob") as bob:
        assert (await bob.get(f"/jobs/v2/{job['id']}/{listings}/")).status_code == 401
        assert (await bob.get(f"/jobs/v2/{job['id']}/outputs/media/a-test.out")).status_code == 401


# failure and ending --------------------------------------------------------------------------------------------------


async def test_a_job_that_fails_says_its_exit_code_and_last_words(shop: Shop) -> None:
    job = await shop.ran(await shop.app("echo first >&2; echo 'out of cheese' >&2; exit 42"))
    assert (job["status"], job["message"]) == ("FAILED", "Job failed: exit code 42: out of cheese")
    assert (await shop.history(job["id"]))[-2:] == ["CLEANING_UP", "FAILED"]
    assert await shop.output(job["id"], "a-test.err") == "first\nout of cheese\n"


async def test_a_job_ended_by_a_signal_says_so(shop: Shop) -> None:
    job = await shop.ran(await shop.app("kill -SEGV $$"))
    said = (
        "was ended by signal 11" if shop.tenant.state.confinement.bwrap is None else "exit code 139, as after SIGSEGV"
    )
    assert (job["status"], job["message"]) == ("FAILED", f"Job failed: {said}")


async def test_a_job_is_ended_when_its_time_is_over(shop: Shop) -> None:
    job = await shop.ran(await shop.app("echo begun; sleep 100"), maxRunTime="00:00:01")
    assert (job["status"], "maxRunTime of 00:00:01" in job["message"]) == ("FAILED", True)
    assert await shop.output(job["id"], "a-test.out") == "begun\n"


async def test_a_job_that_takes_more_memory_than_it_asked_for_is_ended_and_told_so(shop: Shop) -> None:
    hog = f"""{sys.executable} -c 'import time; x = b"x" * (96 << 20); time.sleep(100)'\n"""
    job = await shop.ran(await shop.app(hog), memoryPerNode="64MB")
    assert (job["status"], "memoryPerNode of 0.0625 GB" in job["message"]) == ("FAILED", True)
    assert "_memory" not in job


async def test_a_job_that_asked_for_no_memory_has_no_bound_of_its_own(shop: Shop) -> None:
    job = await shop.submit(await shop.app("echo done"))
    kept = shop.tenant.state.store.get("job", job["id"])
    assert (kept["memoryPerNode"] > 0, kept["_memory"]) == (True, 0)
    await shop.ended(job["id"])


async def test_a_stop_kills_the_whole_group_of_a_running_job(shop: Shop) -> None:
    job = await held(shop, await shop.app("sleep 100 & setsid sleep 100 & echo > begun; wait"))
    assert len(processes_of(job["id"])) > 2
    answer = await shop.http.post(f"/jobs/v2/{job['id']}", json={"action": "stop"})
    assert (answer.status_code, "result" in answer.json()) == (200, False)
    assert (await shop.job(job["id"]))["status"] == "STOPPED"
    assert processes_of(job["id"]) == []
    assert not Path(f"/proc/{job['localId']}").exists()
    again = await shop.http.post(f"/jobs/v2/{job['id']}", data={"action": "STOP"})
    assert again.status_code == 200
    assert (await shop.history(job["id"]))[-2:] == ["RUNNING", "STOPPED"]


async def test_a_job_whose_runner_is_killed_is_interrupted_and_leaves_no_process(shop: Shop) -> None:
    job = await held(shop, await held_app(shop))
    parent = int(Path(f"/proc/{job['localId']}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(parent, 9)
    job = await shop.ended(job["id"])
    assert (job["status"], "interrupted" in job["message"]) == ("FAILED", True)
    with trio.fail_after(10):
        while Path(f"/proc/{job['localId']}/environ").exists() and Path(f"/proc/{job['localId']}/cmdline").read_bytes():
            await trio.sleep(0.01)


async def test_the_archive_that_cannot_be_written_fails_the_job_with_its_reason(shop: Shop) -> None:
    job = await held(shop, await held_app(shop), archivePath="results")
    archive = shop.tenant.path("data.demo", "/alice/results")
    archive.rmdir()
    archive.write_text("in the way")
    job = await let_go(shop, job)
    assert (job["status"], "could not be archived" in job["message"]) == ("FAILED", True)
    assert (await shop.history(job["id"]))[-3:] == ["ARCHIVING", "ARCHIVING_FAILED", "FAILED"]
    assert await shop.output(job["id"], "result.txt") == "went on\n"


async def test_a_stop_ends_archiving_and_the_outputs_stay_where_they_are(shop: Shop) -> None:
    job = await held(shop, await held_app(shop))
    copiers = shop.tenant.state.jobs._steps._copiers
    for number in range(4):
        copiers.acquire_on_behalf_of_nowait(number)
    await trio.to_thread.run_sync((work(shop, job) / "go").write_text, "go\n")
    await shop.reached(job["id"], "ARCHIVING")
    await shop.http.post(f"/jobs/v2/{job['id']}", json={"action": "stop"})
    assert (await shop.job(job["id"]))["status"] == "STOPPED"
    assert await shop.output(job["id"], "result.txt") == "went on\n"


# again, and out of sight ---------------------------------------------------------------------------------------------


async def test_a_resubmitted_job_is_another_with_a_folder_of_its_own(shop: Shop) -> None:
    app = await shop.app("echo ${n} >> count", parameters=[field("n", kind="number")])
    job = await shop.ran(app, parameters={"n": 5}, archivePath="one")
    answer = await shop.http.post(f"/jobs/v2/{job['id']}", json={"action": "resubmit"})
    assert answer.status_code == 202
    again = await shop.ended(answer.json()["result"]["id"])
    assert again["id"] != job["id"] and again["parameters"] == {"n": 5}
    assert again["archivePath"] == f"alice/archive/jobs/job-{again['id']}-a-test"
    assert await shop.output(again["id"], "count") == "5\n"


async def test_a_deleted_job_is_stopped_and_hidden_until_it_is_restored(shop: Shop) -> None:
    job = await held(shop, await held_app(shop))
    assert (await shop.http.delete(f"/jobs/v2/{job['id']}")).status_code == 200
    assert not Path(f"/proc/{job['localId']}").exists()
    gone = await shop.http.get(f"/jobs/v2/{job['id']}")
    assert (gone.status_code, "is not visible" in gone.json()["message"]) == (404, True)
    assert (await shop.http.get(f"/jobs/v2/{job['id']}/outputs/listings/")).status_code == 400
    assert (await shop.http.post(f"/jobs/v2/{job['id']}", json={"action": "stop"})).status_code == 404
    assert (await shop.http.get("/jobs/v2/")).json()["result"] == []
    restored = await shop.http.post(f"/jobs/v2/{job['id']}", json={"action": "restore"})
    assert (restored.status_code, restored.json()["result"]["status"]) == (200, "STOPPED")
    assert (await shop.history(job["id"]))[-3:] == ["STOPPED", "DELETED", "RESTORED"]


async def test_actions_that_are_none_are_refused(shop: Shop) -> None:
    job = await shop.ran(await shop.app("true"))
    for body, status in (({"action": "dance"}, 400), ({"say": "stop"}, 400), ({"action": "reset"}, 403)):
        assert (await shop.http.post(f"/jobs/v2/{job['id']}", json=body)).status_code == status


# many jobs -----------------------------------------------------------------------------------------------------------


async def test_a_job_waits_in_the_queue_for_its_turn_and_can_be_stopped_there(shop: Shop) -> None:
    store = shop.tenant.state.store
    system = store.get("system", "run.demo")
    narrow = {**system, "queues": [{**system["queues"][0], "maxJobs": 1}]}
    store.put("system", "run.demo", narrow, owner=system["owner"])
    app = await held_app(shop)
    first = await held(shop, app)
    second = await shop.reached((await shop.submit(app))["id"], "QUEUED")
    third = await shop.reached((await shop.submit(app))["id"], "QUEUED")
    assert (second["status"], third["status"]) == ("QUEUED", "QUEUED")
    await shop.http.post(f"/jobs/v2/{second['id']}", json={"action": "stop"})
    assert (await shop.job(second["id"]))["status"] == "STOPPED"
    assert (await shop.job(third["id"]))["status"] == "QUEUED"
    await let_go(shop, first)
    assert (await shop.reached(third["id"], "RUNNING"))["status"] == "RUNNING"
    assert (await let_go(shop, third))["status"] == "FINISHED"


async def test_jobs_are_listed_newest_first_searched_and_filtered(shop: Shop) -> None:
    good, bad = await shop.app("true", name="good"), await shop.app("false", name="bad")
    jobs = [await shop.ran(app, name=name) for app, name in ((good, "one"), (bad, "two"), (good, "three"))]

    async def names(path: str = "/jobs/v2/", **query: str) -> list[str]:
        answer = await shop.http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return [job["name"] for job in answer.json()["result"]]

    assert await names() == ["three", "two", "one"]
    assert await names(limit="1", offset="1") == ["two"]
    assert await names(status="FAILED") == ["two"]
    assert await names(**{"appId.like": "goo*", "name.neq": "one"}) == ["three"]
    assert await names(**{"status.in": "FAILED,STOPPED"}) == ["two"]
    assert await names(orderBy="name", order="ASC") == ["one", "three", "two"]
    assert await names("/jobs/v2/name/one") == ["one"]
    assert await names("/jobs/v2/search/status/FINISHED/name/three") == ["three"]
    assert await names("/jobs/v2/name/nothing") == []
    full = (await shop.http.get("/jobs/v2/", params={"filter": "id,maxRunTime"})).json()["result"]
    assert full[0] == {"id": jobs[2]["id"], "maxRunTime": "24:00:00"}
    assert (await shop.http.get("/jobs/v2/?nodeCount=many")).status_code == 500
    assert set((await shop.http.get("/jobs/v2/")).json()["result"][0]) == {
        "id", "name", "owner", "executionSystem", "appId", "created", "status", "startTime", "endTime", "_links",
    }  # fmt: skip


async def test_a_granted_user_sees_a_job_and_one_with_write_may_end_it(shop: Shop) -> None:
    job = await held(shop, await held_app(shop))
    pems = f"/jobs/v2/{job['id']}/pems"
    async with shop.tenant.http("bob") as bob:
        assert (await bob.get(f"/jobs/v2/{job['id']}")).status_code == 403
        granted = await shop.http.post(pems, json={"username": "bob", "permission": "READ"})
        assert (granted.status_code, granted.json()["result"]["permission"]) == (201, {"read": True, "write": False})
        assert (await bob.get(f"/jobs/v2/{job['id']}")).status_code == 200
        assert [one["id"] for one in (await bob.get("/jobs/v2/")).json()["result"]] == [job["id"]]
        assert (await bob.get(f"/jobs/v2/{job['id']}/outputs/media/begun")).text == "\n"
        assert (await bob.post(f"/jobs/v2/{job['id']}", json={"action": "stop"})).status_code == 403
        await shop.http.post(f"{pems}/bob", json={"permission": "ALL"})
        assert [one["username"] for one in (await bob.get(pems)).json()["result"]] == ["alice", "bob"]
        assert (await bob.post(f"/jobs/v2/{job['id']}", json={"action": "stop"})).status_code == 200
        assert (await shop.http.delete(f"{pems}/bob")).status_code == 200
        assert (await bob.get(f"/jobs/v2/{job['id']}")).status_code == 403
    assert (await shop.http.get(f"{pems}/bob")).status_code == 404
    for body, status in (({"username": "bob"}, 400), ({"username": "bob", "permission": "SING"}, 400),
                         ({"username": "nobody", "permission": "READ"}, 404)):  # fmt: skip
        assert (await shop.http.post(pems, json=body)).status_code == status


@pytest.mark.parametrize(
    ("granted", "reads", "writes"),
    [("READ", True, False), ("WRITE", False, True), ("READ_WRITE", True, True), ("EXECUTE", False, False),
     ("ALL", True, True), ("NONE", False, False)],
)  # fmt: skip
async def test_each_operation_of_a_job_wants_its_right(shop: Shop, granted: str, reads: bool, writes: bool) -> None:
    job = await shop.ran(await shop.app("true"))
    url = f"/jobs/v2/{job['id']}"
    await shop.http.post(f"{url}/pems", json={"username": "bob", "permission": granted})
    to_read = [("GET", url), ("GET", f"{url}/status"), ("GET", f"{url}/history"), ("GET", f"{url}/pems"),
               ("GET", f"{url}/pems/alice"), ("GET", f"{url}/outputs/listings/"),
               ("GET", f"{url}/outputs/media/a-test.out")]  # fmt: skip
    to_write = [("POST", url, {"action": "stop"}), ("POST", f"{url}/pems", {"username": "admin", "permission": "READ"}),
                ("POST", f"{url}/pems/admin", {"permission": "READ"}), ("DELETE", f"{url}/pems/admin", None),
                ("POST", url, {"action": "restore"}), ("DELETE", url, None)]  # fmt: skip
    async with shop.tenant.http("bob") as bob:
        for method, path in to_read:
            refused = 401 if "/outputs/" in path else 403  # wire: the service's outputs say so
            assert (await bob.request(method, path)).status_code == (200 if reads else refused), path
        assert bool((await bob.get("/jobs/v2/")).json()["result"]) == reads
        for method, path, body in to_write:
            answer = await bob.request(method, path, json=body)
            assert answer.is_success if writes else answer.status_code == 403, (method, path, answer.text)
    assert (await shop.http.get(url)).status_code == (404 if writes else 200), "the last of it was to delete the job"


# what jobs tell ------------------------------------------------------------------------------------------------------


async def test_a_wrapper_reports_events_and_its_own_failure(shop: Shop) -> None:
    wrapper = """
        mood='so "so"'; ${AGAVE_JOB_CALLBACK_ALIVE}; ${AGAVE_JOB_CALLBACK_RUNNING}
        ${AGAVE_JOB_CALLBACK_NOTIFICATION|HALFWAY|mood,feeling:mood}
        ${AGAVE_JOB_CALLBACK_FAILURE}
    """
    job = await shop.submit(await shop.app(wrapper))
    assert (await shop.ended(job["id"]))["message"] == "Job reported its own failure"
    events = {
        event["status"]: event["description"]
        for event in (await shop.http.get(f"/jobs/v2/{job['id']}/history")).json()["result"]
    }
    assert events["HALFWAY"] == 'mood=so "so", feeling=so "so"'
    assert "HEARTBEAT" in events
    async with shop.tenant.http() as http:
        url = f"/jobs/v2/trigger/job/{job['id']}/token/wrong/status/HEARTBEAT"
        assert (await http.get(url)).status_code == 403
        assert (await http.get(url.replace(job["id"], "nothing"))).status_code == 404


async def test_a_job_that_failed_by_its_own_word_is_still_ended_with_a_delete(shop: Shop) -> None:
    job = await shop.submit(await shop.app("${AGAVE_JOB_CALLBACK_FAILURE}; exec sleep 100"))
    assert (await shop.ended(job["id"]))["status"] == "FAILED"
    assert processes_of(job["id"]) != []
    assert (await shop.http.delete(f"/jobs/v2/{job['id']}")).status_code == 200
    assert processes_of(job["id"]) == []


# set back ------------------------------------------------------------------------------------------------------------


async def reset(shop: Shop, job: dict) -> str:
    """Reset by an administrator. The status it is in then."""
    async with shop.tenant.http("admin") as admin:
        answer = await admin.post(f"/jobs/v2/{job['id']}", json={"action": "reset"})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["result"]["status"])


async def test_a_running_job_that_is_reset_is_run_again_and_nothing_of_the_first_run_is_left(shop: Shop) -> None:
    job = await held(shop, await shop.app("[ -p go ] || mkfifo go; echo run >> runs; " + HELD))
    before = processes_of(job["id"])
    await reset(shop, job)
    with trio.fail_after(20):
        while (work(shop, job) / "runs").read_text() != "run\nrun\n":
            await trio.sleep(0.02)
    await shop.reached(job["id"], "RUNNING")
    assert not {*before} & {*processes_of(job["id"])}
    job = await let_go(shop, job)
    assert (job["status"], await shop.output(job["id"], "runs")) == ("FINISHED", "run\nrun\n")
    history = await shop.history(job["id"])
    told = history[history.index("RUNNING") :]
    assert told[:4] == ["RUNNING", "STAGED", "RESET", "STAGING_JOB"] and history.count("RUNNING") == 2


async def test_a_job_that_is_reset_while_it_stages_or_archives_does_that_again(shop: Shop) -> None:
    shop.tenant.path("data.demo", "/alice/in.txt").write_text("input\n")
    app = await shop.app("cat ${text}", inputs=[field("text")])
    copiers = shop.tenant.state.jobs._steps._copiers
    for stage, back in (("STAGING_INPUTS", "PENDING"), ("ARCHIVING", "CLEANING_UP")):
        job = await held(shop, await held_app(shop)) if stage == "ARCHIVING" else {}
        for number in range(4):
            copiers.acquire_on_behalf_of_nowait(number)
        if job:
            await trio.to_thread.run_sync((work(shop, job) / "go").write_text, "go\n")
        else:
            job = await shop.submit(app, inputs={"text": "in.txt"})
        assert (await shop.reached(job["id"], stage))["status"] == stage
        await reset(shop, job)
        for number in range(4):
            copiers.release_on_behalf_of(number)
        assert (await shop.ended(job["id"]))["status"] == "FINISHED"
        history = await shop.history(job["id"])
        at = history.index("RESET")
        assert (history[at - 1], history.count(stage) >= 2) == (back, True), history


async def test_only_an_administrator_resets_and_only_what_is_not_at_its_end(shop: Shop) -> None:
    job = await shop.ran(await shop.app("true"))
    assert (await shop.http.post(f"/jobs/v2/{job['id']}", json={"action": "reset"})).status_code == 403
    async with shop.tenant.http("admin") as admin:
        assert (await admin.post(f"/jobs/v2/{job['id']}", json={"action": "reset"})).status_code == 400
    assert "RESET" not in await shop.history(job["id"])


async def test_a_job_that_is_stopped_while_it_is_reset_is_stopped_whichever_came_first(shop: Shop) -> None:
    job = await held(shop, await held_app(shop))
    async with shop.tenant.http("admin") as admin, trio.open_nursery() as both:
        for http, action in ((admin, "reset"), (shop.http, "stop")):
            both.start_soon(partial(http.post, f"/jobs/v2/{job['id']}", json={"action": action}))
    assert (await shop.job(job["id"]))["status"] == "STOPPED"
    assert processes_of(job["id"]) == []


async def test_an_address_that_is_none_is_refused_as_an_input_and_as_an_import(shop: Shop) -> None:
    app = await shop.app("true", inputs=[field("text")])
    nowhere = "http://[::1"
    answer = await shop.http.post("/jobs/v2/", json={"name": "x", "appId": app, "inputs": {"text": nowhere}})
    assert (answer.status_code, "is no address" in answer.json()["message"]) == (400, True)
    for body in ({"urlToIngest": nowhere}, {"urlToIngest": nowhere, "fileName": "x"}):
        answer = await shop.http.post("/files/v2/media/system/data.demo/alice", json=body)
        assert (answer.status_code, "is no address" in answer.json()["message"]) == (400, True)
