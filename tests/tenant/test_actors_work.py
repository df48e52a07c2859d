"""Workers and what they run: the order of the queue, how many at once, limits, and that nothing runs on unseen."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trio

from agavesh.tenant.actors.workers import MOST_WORKERS
from agavesh.tenant.store import Unwritable
from tests.tenant.depth import removable  # noqa: F401  a fixture
from tests.tenant.test_full_disk import full
from tests.tenant.troupe import PATIENCE, image, troupe_of

# says that it is there, and goes on when it may
HELD = """
import os, sys, time
here = os.environ['MEETING'] + '/' + os.environ['MSG']
open(here + '.here', 'w').close()
while not os.path.exists(here + '.go'):
    time.sleep(0.01)
print('let go')
"""
# with children of all kinds: one in the background, one in a session of its own, one whose parent is gone
FAMILY = """
import os, sys, time
def child(detached):
    if os.fork() == 0:
        if detached:
            os.setsid()
            if os.fork():
                os._exit(0)
        open('%s/%d' % (os.environ['MEETING'], os.getpid()), 'w').close()
        time.sleep(1000)
        os._exit(0)
child(False)
child(True)
open(os.environ['MEETING'] + '/parent', 'w').close()
time.sleep(1000 if os.environ['MSG'] == 'stay' else 0)
"""


class Meeting:
    """A folder in which processes of actors and a test meet. Confined ones may use it too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def here(self, *names: str) -> None:
        """Wait until these have come."""
        with trio.fail_after(PATIENCE):
            while not all((self.folder / f"{name}.here").exists() for name in names):
                await trio.sleep(0.01)

    def present(self) -> set[str]:
        return {path.stem for path in self.folder.glob("*.here")}

    def go(self, *names: str) -> None:
        for name in names:
            (self.folder / f"{name}.go").touch()


@pytest.fixture
async def troupe(tenant):
    async with troupe_of(tenant) as found:
        yield found


@pytest.fixture
def meeting(tenant):
    return met(tenant)


def met(tenant) -> Meeting:
    """A meeting. Where it is, confined actors would not find it: these tests let them."""
    folder = tenant.root / "meeting"
    folder.mkdir()
    command = tenant.state.confinement.command

    def with_the_folder(argv, *, placed, **more):
        return command(argv, placed={**placed, str(folder): folder}, **more)

    object.__setattr__(tenant.state.confinement, "command", with_the_folder)
    return Meeting(folder)


def left(tenant, execution: str) -> list[str]:
    """The processes of this machine that belong to an execution."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"AGAVE_JOB_ID={execution}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


async def nothing_left(tenant, execution: str) -> None:
    with trio.fail_after(PATIENCE):
        while left(tenant, execution):
            await trio.sleep(0.02)


# the queue -----------------------------------------------------------------------------------------------------------


async def test_one_worker_takes_messages_in_the_order_they_came(troupe, meeting):
    actor = await troupe.actor(HELD, defaultEnvironment={"MEETING": str(meeting.folder)})
    ids = [await troupe.send(actor, name) for name in "abc"]
    await meeting.here("a")
    assert (await troupe.ask("GET", f"/{actor}/messages"))["messages"] == 2
    assert [(await troupe.execution(actor, id))["status"] for id in ids] == ["RUNNING", "SUBMITTED", "SUBMITTED"]
    waiting = await troupe.execution(actor, ids[2])
    assert (waiting["startTime"], waiting["finishTime"], waiting["runtime"]) == ("None", "None", 0)
    assert "workerId" not in waiting
    (worker,) = await troupe.ask("GET", f"/{actor}/workers")
    assert worker["status"] == "BUSY"
    for name, following in (("a", "b"), ("b", "c")):
        assert following not in meeting.present()
        meeting.go(name)
        await meeting.here(following)
    meeting.go("c")
    ended = [await troupe.ended(actor, id) for id in ids]
    assert {execution["workerId"] for execution in ended} == {worker["id"]}
    assert [execution["startTime"] for execution in ended] == sorted(execution["startTime"] for execution in ended)
    (worker,) = await troupe.until(f"/{actor}/workers", lambda found: found[0]["status"] == "READY")
    assert worker["lastExecutionTime"] != "None"


async def test_as_many_run_at_once_as_there_are_workers(troupe, meeting):
    actor = await troupe.actor(HELD, defaultEnvironment={"MEETING": str(meeting.folder)})
    answer = await troupe.http.post(f"/actors/v2/{actor}/workers", json={"num": 3})
    assert (answer.json()["result"], answer.json()["message"]) == (None, "Scheduled 3 new worker(s) to start.")
    assert "already" in (await troupe.http.post(f"/actors/v2/{actor}/workers", json={"num": 2})).json()["message"]
    ids = [await troupe.send(actor, name) for name in "abcd"]
    await meeting.here("a", "b", "c")
    assert (await troupe.ask("GET", f"/{actor}/messages"))["messages"] == 1
    assert meeting.present() == {"a", "b", "c"}
    meeting.go("b")
    await meeting.here("d")
    meeting.go("a", "c", "d")
    assert {(await troupe.ended(actor, id))["exitCode"] for id in ids} == {0}
    assert len(await troupe.ask("GET", f"/{actor}/workers")) == 3


async def test_there_is_a_limit_to_workers(tenant, troupe):
    actor = await troupe.actor("pass")
    for num in (0, -1, 1.5, "x", True, MOST_WORKERS + 1):
        assert "num" in await troupe.refused("POST", f"/{actor}/workers", 400, json={"num": num})
    await troupe.ask("POST", f"/{actor}/workers")
    assert len(await troupe.ask("GET", f"/{actor}/workers")) == 1
    await troupe.ask("POST", f"/{actor}/workers", data={"num": "2"})
    assert len(await troupe.ask("GET", f"/{actor}/workers")) == 2
    stateful = await troupe.actor("pass", stateless=False)
    assert "stateful" in await troupe.refused("POST", f"/{stateful}/workers", 400, json={"num": 2})
    async with troupe_of(tenant, "admin") as admin:
        few = await admin.actor("pass", maxWorkers=2)
        assert "2 worker" in await admin.refused("POST", f"/{few}/workers", 400, json={"num": 3})


async def test_an_idle_worker_ends_and_the_next_message_has_a_new_one(tenant, troupe):
    tenant.state.actors.idle = 0.05
    actor = await troupe.actor("pass")
    await troupe.said(actor)
    await troupe.until(f"/{actor}/workers", lambda found: found == [])
    for _ in range(5):
        await troupe.said(actor)
    await troupe.until(f"/{actor}/workers", lambda found: found == [])
    assert tenant.state.store.sql("select count(*) from workers") == [(0,)]
    assert not tenant.state.awake


async def test_many_messages_are_all_answered_once(troupe):
    actor = await troupe.actor("import os\nprint(os.environ['MSG'])")
    await troupe.ask("POST", f"/{actor}/workers", json={"num": 4})
    ids = {}

    async def send(number):
        ids[number] = await troupe.send(actor, f"message {number}")

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(send, number)
    for number, id in ids.items():
        assert (await troupe.ended(actor, id))["status"] == "COMPLETE"
        assert await troupe.log(actor, id) == f"message {number}\n"
    summary = await troupe.ask("GET", f"/{actor}/executions")
    assert summary["totalExecutions"] == 20


async def test_the_mailbox_can_be_emptied(troupe, meeting):
    actor = await troupe.actor(HELD, defaultEnvironment={"MEETING": str(meeting.folder)})
    first = await troupe.send(actor, "a")
    await meeting.here("a")
    dropped = [await troupe.send(actor, name) for name in "bc"]
    await troupe.ask("DELETE", f"/{actor}/messages")
    assert (await troupe.ask("GET", f"/{actor}/messages"))["messages"] == 0
    meeting.go("a")
    assert (await troupe.ended(actor, first))["exitCode"] == 0
    for id in dropped:
        await troupe.refused("GET", f"/{actor}/executions/{id}", 400)
    assert meeting.present() == {"a"}


async def test_messages_of_a_stateful_actor_never_run_at_once(tenant, troupe, meeting):
    actor = await troupe.actor(HELD, stateless=False, defaultEnvironment={"MEETING": str(meeting.folder)})
    first = await troupe.send(actor, "a")
    await meeting.here("a")
    second = await troupe.send(actor, "b")
    await troupe.ask("PUT", f"/{actor}", json={"image": "test", "force": True})
    for _ in range(3):
        await troupe.ask("POST", f"/{actor}/workers", json={"num": 1})
    assert [worker["status"] for worker in await troupe.ask("GET", f"/{actor}/workers")] == ["SHUTDOWN_REQUESTED"]
    assert meeting.present() == {"a"}
    meeting.go("a", "b")
    assert (await troupe.ended(actor, first))["exitCode"] == 0
    assert (await troupe.ended(actor, second))["exitCode"] == 0
    assert len(await troupe.ask("GET", f"/{actor}/workers")) == 1


async def test_two_who_ask_for_results_at_once_get_each_result_once(troupe):
    program = """
import os, socket
results = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
results.connect(os.environ['_abaco_results_sock'])
for number in range(20):
    results.send(b'%02d' % number)
"""
    actor = await troupe.actor(program)
    id = await troupe.send(actor)
    await troupe.ended(actor, id)
    found = []

    async def take():
        while result := await troupe.result(actor, id):
            found.append(result)

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(take)
    assert sorted(found) == [b"%02d" % number for number in range(20)]


# ends ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["confined", "bare"])
async def family(request, tenant, troupe):
    """An actor in the midst of its work, with processes of all kinds. (actor, execution)"""
    if request.param == "bare":
        tenant.state.confinement = replace(tenant.state.confinement, bwrap=None)
    elif tenant.state.confinement.bwrap is None:
        pytest.skip("bubblewrap does not work on this machine")
    meeting = met(tenant)
    actor = await troupe.actor(FAMILY, defaultEnvironment={"MEETING": str(meeting.folder)})
    id = await troupe.send(actor, "stay")
    with trio.fail_after(PATIENCE):
        while len(list(meeting.folder.iterdir())) < 3:
            await trio.sleep(0.01)
    assert len(left(tenant, id)) >= 3
    return actor, id


async def test_ending_an_execution_ends_all_its_processes(tenant, troupe, family):
    actor, id = family
    await troupe.ask("DELETE", f"/{actor}/executions/{id}")
    execution = await troupe.ended(actor, id)
    assert (execution["status"], execution["exitCode"]) == ("COMPLETE", 137)
    await nothing_left(tenant, id)
    assert "only one that is RUNNING" in await troupe.refused("DELETE", f"/{actor}/executions/{id}", 400)
    assert len(await troupe.ask("GET", f"/{actor}/workers")) == 1


async def test_stopping_a_worker_ends_what_it_runs(tenant, troupe, family):
    actor, id = family
    (worker,) = await troupe.ask("GET", f"/{actor}/workers")
    assert (await troupe.ask("GET", f"/{actor}/workers/{worker['id']}"))["status"] == "BUSY"
    await troupe.ask("DELETE", f"/{actor}/workers/{worker['id']}")
    assert (await troupe.ended(actor, id))["exitCode"] == 137
    await nothing_left(tenant, id)
    await troupe.until(f"/{actor}/workers", lambda found: found == [])


async def test_deleting_an_actor_ends_what_it_runs(tenant, troupe, family):
    actor, id = family
    await troupe.send(actor, "waits")
    await troupe.ask("DELETE", f"/{actor}")
    assert left(tenant, id) == []
    await troupe.refused("GET", f"/{actor}/executions/{id}", 404)
    assert list((tenant.root / "actors").iterdir()) == []
    assert not tenant.state.awake
    assert tenant.state.store.sql("select count(*) from executions") == [(0,)]


async def test_what_a_program_leaves_behind_ends_with_it(tenant, troupe, meeting):
    actor = await troupe.actor(FAMILY, defaultEnvironment={"MEETING": str(meeting.folder)})
    execution = await troupe.ended(actor, await troupe.send(actor, "leave"))
    assert (execution["status"], execution["exitCode"]) == ("COMPLETE", 0)
    assert left(tenant, execution["id"]) == []


async def test_a_worker_that_is_stopped_while_messages_wait_is_followed_by_another(troupe, meeting):
    actor = await troupe.actor(HELD, defaultEnvironment={"MEETING": str(meeting.folder)})
    ids = [await troupe.send(actor, name) for name in "ab"]
    await meeting.here("a")
    (worker,) = await troupe.ask("GET", f"/{actor}/workers")
    await troupe.ask("DELETE", f"/{actor}/workers/{worker['id']}")
    meeting.go("b")
    first, second = [await troupe.ended(actor, id) for id in ids]
    assert (first["exitCode"], second["exitCode"]) == (137, 0)
    assert second["workerId"] != worker["id"]


async def test_an_update_lets_a_worker_end_what_it_does_with_the_old_image(troupe, meeting):
    actor = await troupe.actor(HELD, defaultEnvironment={"MEETING": str(meeting.folder)})
    first = await troupe.send(actor, "a")
    await meeting.here("a")
    (worker,) = await troupe.ask("GET", f"/{actor}/workers")
    second = await troupe.send(actor, "b")
    await troupe.ask("PUT", f"/{actor}", json={"image": image(troupe.root, "print('new')", "new")})
    meeting.go("a")
    await troupe.ended(actor, first)
    assert await troupe.log(actor, first) == "let go\n"
    assert (await troupe.ended(actor, second))["workerId"] != worker["id"]
    assert await troupe.log(actor, second) == "new\n"


async def test_an_end_that_is_asked_for_as_early_as_can_be_is_one(tenant, troupe):
    actor = await troupe.actor("import time\ntime.sleep(1000)")
    for number in range(8):
        id = await troupe.send(actor)
        with trio.fail_after(PATIENCE):
            while (await troupe.execution(actor, id))["status"] != "RUNNING":
                pass
        if number % 2:
            await troupe.ask("DELETE", f"/{actor}/executions/{id}")
        else:
            await troupe.until(f"/{actor}/workers", lambda found: found)
            for worker in await troupe.ask("GET", f"/{actor}/workers"):
                await troupe.ask("DELETE", f"/{actor}/workers/{worker['id']}")
        assert (await troupe.ended(actor, id))["exitCode"] == 137
        await nothing_left(tenant, id)
    await troupe.send(actor)
    await troupe.ask("DELETE", f"/{actor}")


# limits --------------------------------------------------------------------------------------------------------------


async def test_an_execution_has_its_time(tenant, troupe):
    tenant.state.actors.longest_run = 0.3
    actor = await troupe.actor("import time\nprint('begun', flush=True)\ntime.sleep(1000)")
    execution = await troupe.ended(actor, await troupe.send(actor))
    assert (execution["status"], execution["exitCode"]) == ("COMPLETE", 137)
    assert "time of this execution was up" in await troupe.log(actor, execution["id"])
    await nothing_left(tenant, execution["id"])


async def test_a_log_is_cut_and_a_flood_holds_nobody_up(troupe):
    actor = await troupe.actor("import os\nfor _ in range(80): os.write(1, b'x' * 100_000)\nos.write(1, b'end')")
    id = await troupe.send(actor)
    assert (await troupe.ended(actor, id))["exitCode"] == 0
    assert await troupe.log(actor, id) == "x" * 1_000_000


async def test_a_program_that_writes_without_end_can_be_ended(tenant, troupe):
    actor = await troupe.actor("#!/bin/sh\nyes &\nexec yes\n")
    id = await troupe.send(actor)
    log = troupe.root / "actors" / actor / id / "log"
    with trio.fail_after(PATIENCE):
        while not log.exists() or log.stat().st_size < 1_000_000:
            await trio.sleep(0.01)
    await troupe.ask("DELETE", f"/{actor}/executions/{id}")
    assert (await troupe.ended(actor, id))["exitCode"] == 137
    await nothing_left(tenant, id)


async def test_output_that_is_no_text_is_shown_as_far_as_it_is(troupe):
    actor = await troupe.actor(r"import os; os.write(1, b'\xff\0ok\n')")
    assert await troupe.said(actor) == "\ufffd\0ok\n"


async def test_a_program_has_so_much_memory(tenant):
    async with troupe_of(tenant, "admin") as admin:
        actor = await admin.actor("print(len(bytearray(300_000_000)))", memLimit="100m")
        execution = await admin.ended(actor, await admin.send(actor))
        assert execution["exitCode"] == 1
        assert "MemoryError" in await admin.log(actor, execution["id"])
        more = await admin.actor("print(len(bytearray(300_000_000)))", memLimit="1g", image_name="more")
        assert await admin.said(more) == "300000000\n"


async def test_results_have_a_limit_and_the_first_ones_stay(troupe):
    program = """
import os, socket
results = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
results.connect(os.environ['_abaco_results_sock'])
results.send(b'')
for number in range(700):
    results.send(b'%03d' % number + bytes(100_000))
"""
    actor = await troupe.actor(program)
    id = await troupe.send(actor)
    assert (await troupe.ended(actor, id))["exitCode"] == 0
    kept = sorted((troupe.root / "actors" / actor / id / "results").iterdir())
    assert len(kept) == (64 << 20) // 100_003
    assert (await troupe.result(actor, id))[:3] == b"000"


async def test_who_waits_for_an_answer_and_leaves_is_not_waited_for(tenant, troupe, meeting):
    actor = await troupe.actor(HELD, defaultEnvironment={"MEETING": str(meeting.folder)})
    with trio.CancelScope() as patience:
        async with trio.open_nursery() as nursery:
            url = f"/actors/v2/{actor}/messages?_abaco_synchronous=true"
            nursery.start_soon(partial(troupe.http.post, url, json={"message": "a"}))
            await meeting.here("a")
            patience.cancel()
    with trio.fail_after(PATIENCE):
        while tenant.state.busy:
            await trio.sleep(0.01)
    (one,) = (await troupe.ask("GET", f"/{actor}/executions"))["executions"]
    meeting.go("a")
    assert (await troupe.ended(actor, one["id"]))["exitCode"] == 0
    assert not tenant.state.actors._ends


async def test_messages_wait_up_to_a_number(troupe, monkeypatch):
    monkeypatch.setattr("agavesh.tenant.actors.queue.MOST_WAITING", 3)
    tenant_folder = troupe.root / "actors"
    actor = await troupe.actor("import time\ntime.sleep(1000)")
    first = await troupe.send(actor)
    await troupe.reached(actor, first, "RUNNING")
    for _ in range(3):
        await troupe.send(actor)
    refused = await troupe.http.post(f"/actors/v2/{actor}/messages", json={"message": "x"})
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "60")
    await troupe.ask("DELETE", f"/{actor}")
    assert list(tenant_folder.iterdir()) == []


async def test_on_a_full_disk_messages_are_refused_and_what_ran_is_written_down_later(
    tenant, troupe, meeting, monkeypatch, caplog
):
    monkeypatch.setattr("agavesh.tenant.store.PAUSE", 0.05)
    caplog.set_level("WARNING", "agavesh.tenant.store")
    actor = await troupe.actor(HELD, defaultEnvironment={"MEETING": str(meeting.folder)})
    ids = [await troupe.send(actor, name) for name in "ab"]
    await meeting.here("a")
    with full(tenant.state.store):
        refused = await troupe.http.post(f"/actors/v2/{actor}/messages", json={"message": "c" * 100_000})
        assert (refused.status_code, refused.json()["result"]) == (502, None)
    store, finish = tenant.state.store, tenant.state.actors.queue.finish

    def finish_when_there_is_room(*given, **more):
        tenant.state.actors.queue.finish = finish  # the next time there is
        raise Unwritable(errno.ENOSPC, "No space left on device")

    tenant.state.actors.queue.finish = finish_when_there_is_room
    meeting.go("a", "b")
    for id in ids:
        assert (await troupe.ended(actor, id))["exitCode"] == 0
        assert await troupe.log(actor, id) == "let go\n"
    assert (await troupe.ask("GET", f"/{actor}/executions"))["totalExecutions"] == 2
    assert meeting.present() == {"a", "b"}
    assert caplog.text.count("records cannot be written: No space left on device") == 1
    assert store.sql("select count(*) from workers") == [(1,)]


# what a process may not do -------------------------------------------------------------------------------------------


async def test_whatever_a_process_makes_of_its_folder_the_tenant_goes_on(tenant, troupe):
    program = """
import os
os.mkfifo('pipe')
os.symlink('/etc/passwd', 'link')
os.mkdir('closed')
open('closed/file', 'w').close()
os.chmod('closed', 0)
os.chmod('.', 0o500)
for path in (os.environ['_abaco_binary_data'], os.environ['_abaco_results_sock']):
    try:
        os.unlink(path)
    except OSError as trouble:
        print(trouble.strerror)
"""
    actor = await troupe.actor(program)
    id = await troupe.send(actor)
    assert (await troupe.ended(actor, id))["exitCode"] == 0
    await troupe.ask("DELETE", f"/{actor}")
    assert list((tenant.root / "actors").iterdir()) == []
    assert Path("/etc/passwd").exists()


async def test_a_runner_that_is_killed_is_an_error_and_takes_its_processes_along(tenant, troupe, family):
    actor, id = family
    runner = [line for line in left_with_pid(id) if "jobs/runner" in line[1] or "actors.stage" in line[1]]
    for pid, _ in runner:
        os.kill(pid, 9)
    execution = await troupe.ended(actor, id)
    assert execution["status"] in ("ERROR", "COMPLETE")
    await nothing_left(tenant, id)
    assert (await troupe.ask("GET", f"/{actor}"))["status"] == "READY"


def left_with_pid(execution: str) -> list[tuple[int, str]]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if execution in line:
            found.append((int(folder.name), line))
    return found


async def test_an_actor_whose_owner_was_removed_answers_with_an_error_and_can_be_deleted(tenant, troupe):
    """Its messages are to be answered in the owner's name, with a token of theirs."""
    carol = {"username": "carol", "email": "carol@example.org", "password": "a good password"}
    await tenant.state.people.create(carol, by="admin")
    async with troupe_of(tenant, "carol") as hers:
        actor = await hers.actor("import os; print(os.environ['MSG'])", token=True)
        assert await hers.said(actor, "before") == "before\n"
        await hers.ask("POST", f"/{actor}/permissions", json={"user": "alice", "level": "UPDATE"})
    tenant.state.people.delete("carol", by="admin")
    with trio.fail_after(PATIENCE):
        url = f"/actors/v2/{actor}/messages?_abaco_synchronous=true"
        answer = await troupe.http.post(url, json={"message": "after"})
    assert "There is no user carol" in answer.text
    for _ in range(2):  # its worker takes the next
        id = await troupe.send(actor)
        assert (await troupe.ended(actor, id))["status"] == "ERROR"
        assert "The actor has no owner to act for: There is no user carol" in await troupe.log(actor, id)
    assert not tenant.state.awake & {id for id in tenant.state.awake if id != "notifications"}
    await troupe.ask("DELETE", f"/{actor}")
    await troupe.refused("GET", f"/{actor}", 404)


@pytest.mark.usefixtures("removable")
async def test_a_folder_without_a_bottom_is_cleared_like_any_other(tenant, troupe):
    actor = await troupe.actor("import os\nfor _ in range(1500):\n    os.mkdir('d')\n    os.chdir('d')\nprint('down')")
    for _ in range(2):
        assert await troupe.said(actor) == "down\n"
    with trio.fail_after(PATIENCE):
        while tenant.state.actors.queue.uncleared():
            await trio.sleep(0.02)
    assert {path.name for path in (tenant.root / "actors" / actor).glob("*/*")} <= {"log", "results"}
