"""Workers: each takes the messages of one actor, one after the other, and has a process answer each.

A worker is a task of the tenant and a row of the store. One is started when a message comes and none is there, more
when somebody asks; idle ones end. What a worker does stands in the table of executions, so one that went with its
tenant is followed by one of the same id that goes on with the same execution. Who may do what is for the handlers.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import secrets
import string
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from agavesh.tenant.actors import images
from agavesh.tenant.actors.execution import LONGEST_RUN, Outcome, Process
from agavesh.tenant.actors.places import Places
from agavesh.tenant.actors.queue import Execution, Message, Queue
from agavesh.tenant.background import contained, work
from agavesh.tenant.files.trees import erase
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.store import Record, Unwritable, patiently

if TYPE_CHECKING:
    from agavesh.tenant.state import Tenant

log = logging.getLogger(__name__)

IDLE = 600.0  # seconds after which the worker of a stateless actor ends; the platform's figure
MOST_WORKERS = 20  # of one actor
PATIENCE = 20.0  # seconds that deleting an actor waits for its workers; the platform's figure

_LETTERS = string.ascii_letters + string.digits


def new_id() -> str:
    """A fresh id of the form that actors, executions and workers have."""
    return "".join(secrets.choice(_LETTERS) for _ in range(13))


@dataclass
class Worker:
    """One worker, as long as it lives."""

    id: str
    actor: str
    created: float
    used: float | None = None
    execution: Execution | None = None  # what it does
    process: Process | None = None
    quit: bool = False  # its execution is to be ended
    ending: bool = False  # it takes no more
    successor: bool = False  # another is to follow it
    rest: trio.CancelScope = field(default_factory=trio.CancelScope)  # it sleeps in this
    over: trio.Event = field(default_factory=trio.Event)

    @property
    def status(self) -> str:
        if self.ending:
            return "SHUTDOWN_REQUESTED"
        return "BUSY" if self.execution else "READY"


class Actors:
    """All actors of a tenant: their mailboxes and who works for them."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self.queue = Queue(tenant.store)
        self.idle = IDLE
        self.longest_run = LONGEST_RUN
        self._workers: dict[str, dict[str, Worker]] = {}
        self._resting: dict[str, trio.lowlevel.ParkingLot] = {}
        self._turns: dict[str, trio.Lock] = {}
        self._ends: dict[str, trio.Event] = {}
        self.places = Places()

    # from outside ----------------------------------------------------------------------------------------------------

    def get(self, name: str) -> Record | None:
        """An actor by its id or an alias."""
        store = self._tenant.store
        if (found := store.get("actor", name)) is not None:
            return found
        rows = store.sql("select actor from aliases where alias = ?", name)
        return store.get("actor", rows[0][0]) if rows else None

    def put(self, actor: Record) -> None:
        """Write an actor down. A new one, or one with another image, is looked at and becomes READY."""
        self._tenant.store.put("actor", actor["id"], actor, owner=actor["owner"])
        if actor["status"] == "SUBMITTED":
            self._tenant.nursery.start_soon(work, f"looking at actor {actor['id']}", partial(self._look, actor["id"]))

    def workers(self, actor_id: str) -> list[Worker]:
        """The workers of an actor, oldest first."""
        return list(self._workers.get(actor_id, {}).values())

    def process(self, actor_id: str, execution_id: str) -> Process:
        """The process of an execution, past, present or to be."""
        return Process(self._tenant, actor_id, execution_id)

    def send(self, actor_id: str, execution_id: str, message: Message, executor: str) -> None:
        """Put a message into the mailbox; a worker will come for it. Refusal 503 if too many wait."""
        with self._tenant.store.together():
            self.queue.add(execution_id, actor_id, executor, message)
            self._serve(actor_id)
        self._tenant.awake.add(execution_id)

    async def ended(self, actor_id: str, execution_id: str) -> None:
        """Wait for the end of an execution; of one that is not there any more, too."""
        execution = self.queue.get(actor_id, execution_id)
        if execution is not None and not execution.over:
            await self._ends.setdefault(execution_id, trio.Event()).wait()

    def hire(self, actor_id: str, wanted: int) -> int:
        """See that there are so many workers. How many are new."""
        there = sum(not worker.ending or worker.successor for worker in self.workers(actor_id))
        missing = max(0, wanted - there)
        for _ in range(missing):
            self._start(Worker(new_id(), actor_id, time.time()))
        return missing

    def renew(self, actor_id: str) -> None:
        """Let every worker be followed by another: at once, or when it has done what it does."""
        for worker in self.workers(actor_id):
            worker.ending = worker.successor = True
            worker.rest.cancel()

    def dismiss(self, worker: Worker) -> None:
        """End a worker, and what it does."""
        worker.ending, worker.successor = True, False
        worker.rest.cancel()
        self._quit(worker)

    def quit(self, actor_id: str, execution_id: str) -> None:
        """End an execution that runs."""
        for worker in self.workers(actor_id):
            if worker.execution is not None and worker.execution.id == execution_id:
                self._quit(worker)

    def empty(self, actor_id: str) -> int:
        """Drop the messages that wait. How many."""
        dropped = self.queue.empty(actor_id)
        for execution_id in dropped:
            self._over(execution_id)
        folders = [self.process(actor_id, id).folder for id in dropped]
        self._tenant.nursery.start_soon(work, f"emptying actor {actor_id}", partial(self._remove, folders))
        return len(dropped)

    async def delete(self, actor: Mapping[str, Any]) -> bool:
        """Delete an actor with all it has. False if its workers need longer than we wait; then it is done later."""
        self._tenant.store.put("actor", actor["id"], {**actor, "status": "SHUTTING_DOWN"}, owner=actor["owner"])
        gone = self._start_to_delete(actor["id"])
        with trio.move_on_after(PATIENCE):
            await gone.wait()
        return gone.is_set()

    async def resume(self) -> None:
        """Go on with what an earlier run of the tenant left. What was begun already is left as it is."""
        with contextlib.suppress(OSError):
            images.folder(self._tenant.root).mkdir(exist_ok=True)
        store = self._tenant.store
        running: dict[str, Execution] = {}
        waiting = set()
        for execution in self.queue.unfinished():
            self._tenant.awake.add(execution.id)
            if execution.worker is not None:
                running[execution.worker] = execution
            else:
                waiting.add(execution.actor)
        for id, actor_id, created, used in store.sql("select id, actor, created, used from workers order by rowid"):
            self._start(Worker(id, actor_id, created, used, execution=running.pop(id, None)))
        for id, execution in running.items():
            self._start(Worker(id, execution.actor, time.time(), execution=execution))
        for actor_id in waiting:
            self._serve(actor_id)
        for execution_id, actor_id in self.queue.uncleared():
            self._tenant.nursery.start_soon(self._clear, actor_id, execution_id)
        for actor in list(store.all("actor")):
            if actor["status"] == "SUBMITTED":
                self._tenant.nursery.start_soon(
                    work, f"looking at actor {actor['id']}", partial(self._look, actor["id"])
                )
            elif actor["status"] == "SHUTTING_DOWN":
                self._start_to_delete(actor["id"])

    # actors ----------------------------------------------------------------------------------------------------------

    async def _look(self, actor_id: str) -> None:
        """What the platform does when it fetches an image: see whether the actor can work."""
        if (actor := self._tenant.store.get("actor", actor_id)) is None or actor["status"] == "SHUTTING_DOWN":
            return
        try:
            images.find(self._tenant.root, actor["image"])
        except Refusal as refusal:
            self._state(actor_id, "ERROR", refusal.message)
        else:
            self._state(actor_id, "READY", None)

    def _state(self, actor_id: str, status: str, message: str | None) -> None:
        actor = self._tenant.store.get("actor", actor_id)
        if actor is not None and actor["status"] != "SHUTTING_DOWN":
            changed = {**actor, "status": status, "statusMessage": message}
            self._tenant.store.put("actor", actor_id, changed, owner=actor["owner"])

    def _start_to_delete(self, actor_id: str) -> trio.Event:
        """Begin with it; the event is set when it is done."""
        gone = trio.Event()
        self._tenant.nursery.start_soon(work, f"deleting actor {actor_id}", partial(self._delete, actor_id, gone))
        return gone

    async def _delete(self, actor_id: str, gone: trio.Event) -> None:
        for worker in self.workers(actor_id):
            self.dismiss(worker)
        for worker in self.workers(actor_id):
            await worker.over.wait()
        await patiently(partial(self._forget, actor_id))
        self._workers.pop(actor_id, None)
        self._resting.pop(actor_id, None)
        self._turns.pop(actor_id, None)
        await self._remove([self._tenant.root / "actors" / actor_id])
        gone.set()

    async def _forget(self, actor_id: str) -> None:
        store = self._tenant.store
        for execution in self.queue.unfinished():
            if execution.actor == actor_id:
                self._over(execution.id)
        while self.queue.forget(actor_id):
            await trio.lowlevel.checkpoint()  # of many executions; others have their turn in between
        with store.together():
            for table in ("workers", "nonces", "aliases"):
                store.sql(f"delete from {table} where actor = ?", actor_id)
            store.forget(actor_id)
            store.drop("actor", actor_id)

    async def _remove(self, folders: list[Path]) -> None:
        for folder in folders:
            await trio.to_thread.run_sync(erase, folder)

    # workers ---------------------------------------------------------------------------------------------------------

    def _serve(self, actor_id: str) -> None:
        """Messages wait: wake a worker that rests, or have one if there is none."""
        if not self._workers.get(actor_id):
            self._start(Worker(new_id(), actor_id, time.time()))
        elif (resting := self._resting.get(actor_id)) is not None:
            resting.unpark()

    def _start(self, worker: Worker) -> None:
        if worker.id in self._workers.get(worker.actor, {}):
            return
        self._tenant.store.sql(
            "insert or ignore into workers values (?, ?, ?, ?)", worker.id, worker.actor, worker.created, worker.used
        )
        self._workers.setdefault(worker.actor, {})[worker.id] = worker
        self._tenant.nursery.start_soon(self._work, worker)

    async def _work(self, worker: Worker) -> None:
        try:
            await patiently(partial(self._go_on, worker))
            await patiently(partial(self._leave, worker))
        except Exception:  # the edge: whatever is wrong with one worker, the tenant and the others go on
            log.exception("worker %s of actor %s was left", worker.id, worker.actor)
        finally:
            self._drop(worker)

    async def _leave(self, worker: Worker) -> None:
        self._tenant.store.sql("delete from workers where id = ?", worker.id)
        actor = self._tenant.store.get("actor", worker.actor)
        self._drop(worker)
        if actor is None or actor["status"] == "SHUTTING_DOWN":
            return
        if worker.successor:
            self._start(Worker(new_id(), worker.actor, time.time()))
            worker.successor = False
        elif self.queue.waiting(worker.actor):
            self._serve(worker.actor)  # what came while it was leaving, or what it leaves behind

    def _drop(self, worker: Worker) -> None:
        self._workers.get(worker.actor, {}).pop(worker.id, None)
        worker.over.set()

    async def _go_on(self, worker: Worker) -> None:
        """Message after message, to the worker's end. Whatever was begun is gone on with if this is called again."""
        while worker.execution is not None or await self._something_waits(worker):
            async with self._turn(worker.actor):
                await self._take_part(worker)
            with contained(f"thinning out the executions of actor {worker.actor}"):
                await self._thin_out(worker.actor)

    async def _take_part(self, worker: Worker) -> None:
        """Wait for a place, and have a message answered there. What was begun has its place already."""
        actor = self._tenant.store.get("actor", worker.actor) or {"owner": ""}
        with self.places.claim(actor["owner"], worker.actor, runs=worker.execution is not None) as claim:
            worker.rest = trio.CancelScope()
            if worker.ending:
                worker.rest.cancel()
            with worker.rest:
                await claim.given.wait()
            if worker.execution is None and not worker.ending:
                worker.execution, worker.quit = self.queue.take(worker.actor, worker.id), False
            if worker.execution is not None:
                worker.used = worker.execution.started
                await self._answer(worker, worker.execution)
                # by itself: to answer again what is cleared already would be to run it twice
                await self._clear(worker.actor, worker.execution.id)
                worker.execution = worker.process = None

    async def _thin_out(self, actor_id: str) -> None:
        """Keep a number of executions that are over. Of the others the folders go first: a crash leaves none behind."""
        if surplus := self.queue.surplus(actor_id):
            await self._remove([self.process(actor_id, id).folder for id in surplus])
            self.queue.drop(actor_id, surplus)

    def _turn(self, actor_id: str) -> AbstractAsyncContextManager[object]:
        """Held while a message is answered. Of a stateful actor, the next is to find the state that this one leaves."""
        actor = self._tenant.store.get("actor", actor_id)
        if actor is None or actor["stateless"]:
            return contextlib.nullcontext()
        return self._turns.setdefault(actor_id, trio.Lock())

    async def _something_waits(self, worker: Worker) -> bool:
        """Rest until there is a message. False if the worker is to end: it was told so, or rested for so long."""
        rested = False
        while not worker.ending:
            if self.queue.waiting(worker.actor):
                return True
            actor = self._tenant.store.get("actor", worker.actor)
            if rested or actor is None:
                break
            patience = self.idle if actor["stateless"] else math.inf
            worker.rest = trio.CancelScope(deadline=trio.current_time() + patience)
            with worker.rest as rest:
                # no await since the look at the queue: a message that comes now finds us resting
                await self._resting.setdefault(worker.actor, trio.lowlevel.ParkingLot()).park()
            rested = rest.cancelled_caught
        return False

    async def _answer(self, worker: Worker, execution: Execution) -> None:
        """Have a process answer a message, and write down what it came to."""
        worker.process = process = self.process(worker.actor, execution.id)
        try:
            if not process.asked_for:
                await self._begin(process, execution)
            if worker.quit:
                process.stop()  # it was asked for before there was anything to stop
            outcome = await process.wait(execution)
        except Unwritable:
            raise
        except Refusal as refusal:
            outcome = await self._failed(process, execution, refusal.message)
        except Exception:  # the edge: logged; whatever is wrong with one message, its worker goes on to the next
            log.exception("execution %s of actor %s", execution.id, worker.actor)
            with contextlib.suppress(OSError):
                process.stop()
            outcome = await self._failed(process, execution, "The tenant failed at this message; its log says why")
        self.queue.finish(
            execution.id, outcome.status, started=outcome.started, finished=outcome.finished,
            exit=outcome.exit, cpu=outcome.cpu, io=outcome.io,
        )  # fmt: skip
        self._over(execution.id)

    async def _failed(self, process: Process, execution: Execution, reason: str) -> Outcome:
        await trio.to_thread.run_sync(process.fail, reason)
        return Outcome("ERROR", execution.started or time.time(), time.time())

    async def _clear(self, actor_id: str, execution_id: str) -> None:
        """Remove what an execution that is over does not need. After a crash or a failure the next start does it."""

        async def clear() -> None:
            await self.process(actor_id, execution_id).clear()
            self.queue.cleared(execution_id)

        await work(f"clearing execution {execution_id} of actor {actor_id}", clear)

    async def _begin(self, process: Process, execution: Execution) -> None:
        """Start a process. Refusal if it cannot be; Unwritable if the disk is full, which may pass."""
        store = self._tenant.store
        actor = store.get("actor", execution.actor)
        if actor is None:
            raise Refusal(404, "The actor is gone")
        try:
            await process.start(actor, execution)
        except Refusal as refusal:
            self._state(execution.actor, "ERROR", refusal.message)
            raise
        except Unwritable:
            raise
        except OSError as trouble:
            if trouble.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Unwritable(trouble.errno, trouble.strerror) from trouble
            raise Refusal(500, f"The execution could not be started: {trouble.strerror}") from None
        if actor["status"] == "ERROR":
            self._state(execution.actor, "READY", None)

    def _quit(self, worker: Worker) -> None:
        worker.quit = True
        if worker.process is not None:
            worker.process.stop()

    def _over(self, execution_id: str) -> None:
        self._tenant.awake.discard(execution_id)
        if (end := self._ends.pop(execution_id, None)) is not None:
            end.set()
