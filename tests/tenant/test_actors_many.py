"""Many executions and many who want to run: totals without counting, a bounded history, places shared fairly."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import trio
import trio.testing

from agavesh.tenant.actors import queue
from agavesh.tenant.actors.places import Places
from agavesh.tenant.actors.queue import Message, Queue, Totals
from agavesh.tenant.store import Store, Unwritable
from tests.tenant.test_actors_work import HELD, Meeting, met
from tests.tenant.troupe import PATIENCE, troupe_of


@pytest.fixture
async def troupe(tenant):
    async with troupe_of(tenant) as found:
        yield found


@pytest.fixture
def meeting(tenant) -> Meeting:
    return met(tenant)


@pytest.fixture
def store(tmp_path: Path):
    found = Store(tmp_path / "tenant.db", queue.TABLES)
    yield found
    found.close()


def answered(executions: Queue, *ids: str, actor: str = "a", end: float = 3.5) -> None:
    """Messages that come and are answered, one after the other."""
    for id in ids:
        executions.add(id, actor, "alice", Message("str", "hello"))
        executions.take(actor, "w")
        executions.finish(id, "COMPLETE", started=1.0, finished=end, exit=0, cpu=10, io=100)


def counted(store: Store, actor: str = "a") -> Totals:
    """The totals as they are when one looks at every execution."""
    (row,) = store.sql(
        "select count(*), total(cpu), total(io), total(case when finished then cast(finished - started as integer)"
        " else 0 end) from executions where actor = ?", actor,
    )  # fmt: skip
    return Totals(*map(int, row))


# totals and history --------------------------------------------------------------------------------------------------


def test_totals_are_what_counting_gives(store: Store):
    executions = Queue(store)
    assert executions.totals("a") == Totals(0, 0, 0, 0)
    answered(executions, "1", "2")
    answered(executions, "3", actor="b")
    executions.add("4", "a", "alice", Message("str", "waits"))
    assert executions.totals("a") == counted(store) == Totals(3, 20, 200, 4)
    assert executions.totals("b") == counted(store, "b") == Totals(1, 10, 100, 2)
    assert executions.empty("a") == ["4"]
    assert executions.totals("a") == counted(store) == Totals(2, 20, 200, 4)
    while executions.forget("a"):
        pass
    assert executions.totals("a") == counted(store) == Totals(0, 0, 0, 0)


def test_an_end_that_is_written_down_twice_counts_once(store: Store):
    executions = Queue(store)
    answered(executions, "1")
    executions.finish("1", "ERROR", started=1.0, finished=9.0, exit=1, cpu=5, io=5)
    assert executions.totals("a") == counted(store) == Totals(1, 10, 100, 2)
    found = executions.get("a", "1")
    assert found is not None
    assert (found.status, found.exit) == ("COMPLETE", 0)


def test_an_end_and_its_totals_are_written_together_or_not_at_all(store: Store, monkeypatch):
    executions = Queue(store)
    executions.add("1", "a", "alice", Message("str"))
    executions.take("a", "w")

    def no_room(*given, **more):
        raise Unwritable(28, "No space left on device")

    monkeypatch.setattr(executions, "_count", no_room)
    with pytest.raises(Unwritable):
        executions.finish("1", "COMPLETE", started=1.0, finished=3.0, exit=0)
    found = executions.get("a", "1")
    assert found is not None
    assert (found.status, executions.totals("a")) == ("RUNNING", Totals(1, 0, 0, 0))


def test_a_file_from_before_there_were_totals_has_them_after_a_start(tmp_path: Path):
    path = tmp_path / "tenant.db"
    store = Store(path, queue.TABLES)
    answered(Queue(store), "1", "2")
    answered(Queue(store), "3", actor="b")
    Queue(store).add("4", "a", "alice", Message("str", "waits"))
    store.close()
    with sqlite3.connect(path) as old:
        old.execute("drop table actor_totals")
        old.execute("drop index executions_by_end")
    old.close()
    for _ in range(2):  # the second start finds them
        store = Store(path, queue.TABLES)
        assert Queue(store).totals("a") == counted(store) == Totals(3, 20, 200, 4)
        assert Queue(store).totals("b") == counted(store, "b") == Totals(1, 10, 100, 2)
        store.close()


def test_of_too_many_those_are_dropped_that_ended_first_and_the_totals_stay(store: Store, monkeypatch):
    monkeypatch.setattr(queue, "MOST_ENDED", 2)
    executions = Queue(store)
    answered(executions, "long", end=100.0)
    answered(executions, "1", end=3.0)
    assert executions.surplus("a") == []
    answered(executions, "2", "3", end=4.0)
    executions.add("4", "a", "alice", Message("str", "waits"))
    assert executions.surplus("a") == ["1", "2"]
    executions.drop("a", ["1", "2", "4"])  # one that waits stays, whoever asks
    executions.drop("a", ["1"])
    assert executions.surplus("a") == []
    assert [one.id for one in executions.page("a", 10, 0)] == ["4", "3", "long"]
    assert executions.totals("a") == Totals(5, 40, 400, 2 + 3 + 3 + 99)


def test_no_question_looks_at_every_execution(store: Store):
    """The steps that SQLite takes for what requests ask, with few executions and with many."""
    executions = Queue(store)

    def steps(ask) -> int:
        taken = 0

        def one() -> int:
            nonlocal taken
            taken += 1
            return 0

        store._db.set_progress_handler(one, 1)
        try:
            ask()
        finally:
            store._db.set_progress_handler(None, 0)
        return taken

    def asked() -> list[int]:
        return [
            steps(lambda: executions.totals("a")), steps(lambda: executions.page("a", 50, 0)),
            steps(lambda: executions.get("a", "50")), steps(lambda: executions.waiting("a")),
            steps(lambda: executions.surplus("a")),
        ]  # fmt: skip

    answered(executions, *map(str, range(100)))
    few = asked()
    with store.together():
        answered(executions, *map(str, range(100, 5000)))
    many = asked()
    assert many == pytest.approx(few, rel=0.1, abs=10)
    assert max(few) < 5000


async def test_an_actor_keeps_its_newest_executions_with_what_they_left(tenant, troupe, monkeypatch):
    monkeypatch.setattr(queue, "MOST_ENDED", 3)
    actor = await troupe.actor("import os\nprint(os.environ['MSG'])")
    ids = [await troupe.send(actor, str(number)) for number in range(6)]
    kept = ids[3:]
    folder = tenant.root / "actors" / actor
    with trio.fail_after(PATIENCE):
        while {path.name for path in folder.iterdir()} != set(kept) or tenant.state.awake:
            await trio.sleep(0.01)
    await troupe.until(
        f"/{actor}/executions", lambda found: [one["id"] for one in found["executions"]] == [*reversed(kept)]
    )
    for number, id in enumerate(ids):
        if id in kept:
            assert await troupe.log(actor, id) == f"{number}\n"
        else:
            await troupe.refused("GET", f"/{actor}/executions/{id}/logs", 400)
    assert (await troupe.ask("GET", f"/{actor}/executions"))["totalExecutions"] == 6
    await troupe.ask("DELETE", f"/{actor}")
    assert tenant.state.store.sql("select count(*) from actor_totals") == [(0,)]


# places --------------------------------------------------------------------------------------------------------------


class Crowd:
    """Claims by name, such as `alice.one.2`: user, actor, and which of its workers."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.served: list[str] = []
        self._ends: dict[str, trio.CancelScope] = {}

    async def come(self, nursery: trio.Nursery, *names: str, runs: bool = False) -> None:
        for name in names:
            nursery.start_soon(self._stay, name, runs)
            await trio.testing.wait_all_tasks_blocked()

    async def _stay(self, name: str, runs: bool) -> None:
        owner, actor, _ = name.split(".")
        with trio.CancelScope() as self._ends[name], self.places.claim(owner, actor, runs=runs) as claim:
            await claim.given.wait()
            self.served.append(name)
            await trio.sleep_forever()

    async def leave(self, name: str) -> None:
        self._ends[name].cancel()
        await trio.testing.wait_all_tasks_blocked()


async def test_whoever_has_none_is_given_a_place_though_all_are_taken(nursery):
    crowd = Crowd(Places(shared=2, at_once=100))
    await crowd.come(nursery, "alice.a.1", "alice.a.2", "alice.a.3", "bob.b.1", "bob.b.2", "carol.c.1")
    assert crowd.served == ["alice.a.1", "alice.a.2", "bob.b.1", "carol.c.1"]
    nursery.cancel_scope.cancel()


async def test_a_free_place_goes_to_the_user_then_the_actor_with_the_fewest_then_who_came_first(nursery):
    crowd = Crowd(Places(shared=4, at_once=100))
    await crowd.come(nursery, "alice.a.1", "alice.a.2", "alice.a.3", "bob.b.1")
    await crowd.come(nursery, "alice.a.4", "alice.other.1", "alice.third.1", "bob.b.2")
    for name in ("alice.a.1", "alice.a.2", "bob.b.1", "bob.b.2"):
        await crowd.leave(name)
    assert crowd.served[4:] == ["bob.b.2", "alice.other.1", "alice.third.1", "alice.a.4"]
    nursery.cancel_scope.cancel()


async def test_there_is_an_end_to_places_for_those_who_have_none_too(nursery):
    crowd = Crowd(Places(shared=1, at_once=2))
    await crowd.come(nursery, "alice.a.1", "bob.b.1", "carol.c.1")
    assert crowd.served == ["alice.a.1", "bob.b.1"]
    await crowd.leave("alice.a.1")
    assert crowd.served[2:] == ["carol.c.1"]
    nursery.cancel_scope.cancel()


async def test_what_runs_already_has_its_place_and_who_gives_up_leaves_nothing(nursery):
    crowd = Crowd(Places(shared=1, at_once=2))
    await crowd.come(nursery, "alice.a.1", "alice.a.2", "alice.a.3", runs=True)
    assert crowd.served == ["alice.a.1", "alice.a.2", "alice.a.3"]
    await crowd.come(nursery, "alice.a.4", "bob.b.1")
    for name in ("alice.a.4", "alice.a.1"):
        await crowd.leave(name)
    assert crowd.served[3:] == []  # two are left, and no more may be at once
    await crowd.leave("alice.a.2")
    assert crowd.served[3:] == ["bob.b.1"]
    for name in ("alice.a.3", "bob.b.1"):
        await crowd.leave(name)
    await crowd.come(nursery, "carol.c.1")
    assert crowd.served[4:] == ["carol.c.1"]
    nursery.cancel_scope.cancel()


async def test_the_long_actors_of_one_user_let_the_message_of_another_be_answered(tenant, troupe, meeting):
    tenant.state.actors.places = Places(shared=2)
    long = await troupe.actor(HELD, defaultEnvironment={"MEETING": str(meeting.folder)})
    await troupe.ask("POST", f"/{long}/workers", json={"num": 4})
    sent = [await troupe.send(long, name) for name in "abcd"]
    await meeting.here("a", "b")
    async with troupe_of(tenant, "bob") as bob:
        quick = await bob.actor("print('at once')", image_name="quick")
        assert await bob.said(quick) == "at once\n"
    assert meeting.present() == {"a", "b"}
    assert [(await troupe.execution(long, id))["status"] for id in sent] == ["RUNNING"] * 2 + ["SUBMITTED"] * 2
    meeting.go(*"abcd")
    assert {(await troupe.ended(long, id))["exitCode"] for id in sent} == {0}


async def test_of_ones_own_actors_the_one_that_has_none_goes_before_one_that_has(tenant, troupe, meeting):
    tenant.state.actors.places = Places(shared=2)
    greedy = await troupe.actor(HELD, defaultEnvironment={"MEETING": str(meeting.folder)})
    await troupe.ask("POST", f"/{greedy}/workers", json={"num": 4})
    for name in "abcd":
        await troupe.send(greedy, name)
    await meeting.here("a", "b")
    modest = await troupe.actor(HELD, defaultEnvironment={"MEETING": str(meeting.folder)})
    last = await troupe.send(modest, "modest")
    meeting.go("a")
    await meeting.here("modest")
    assert meeting.present() == {"a", "b", "modest"}
    meeting.go("modest", *"bcd")
    assert (await troupe.ended(modest, last))["exitCode"] == 0


async def test_an_actor_whose_workers_wait_for_a_place_is_deleted_at_once(tenant, troupe, meeting):
    tenant.state.actors.places = Places(shared=1)
    busy = await troupe.actor(HELD, defaultEnvironment={"MEETING": str(meeting.folder)})
    first = await troupe.send(busy, "a")
    await meeting.here("a")
    waiting = await troupe.actor("pass", image_name="other")
    await troupe.send(waiting, "b")
    (worker,) = await troupe.ask("GET", f"/{waiting}/workers")
    assert worker["status"] == "READY"
    answer = await troupe.http.delete(f"/actors/v2/{waiting}")
    assert answer.json()["message"] == "Actor deleted successfully."
    assert (await troupe.execution(busy, first))["status"] == "RUNNING"
    meeting.go("a")
    assert (await troupe.ended(busy, first))["exitCode"] == 0
