"""The life of a job: from PENDING to its end, through restarts of the tenant.

A job's record says how far it is, and for every status but the last there is a step that does what it names (`steps`).
A status is written, with an event of its history, before its step begins. So a tenant that ended anywhere is followed
by one that takes every job up where its record stands; a script that runs meanwhile goes on under its runner.

`Jobs` belongs to the tenant, and each job that is not at its end has a task in the tenant's nursery. Who may do what is
for the handlers to say.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from agavesh.tenant.background import contained
from agavesh.tenant.files.disk import said
from agavesh.tenant.files.trees import erase
from agavesh.tenant.jobs import index
from agavesh.tenant.jobs.index import FINAL
from agavesh.tenant.jobs.places import Job, incoming, note, run_of
from agavesh.tenant.jobs.steps import Next, Steps, failed, stopped
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.store import Unwritable, patiently
from agavesh.tenant.words import date

if TYPE_CHECKING:
    from agavesh.tenant.state import Tenant

log = logging.getLogger(__name__)

KILL = 15.0  # seconds that the end of a job may take; its runner grants the processes three


# where a job begins again that an administrator resets, by the status it is reset in (wire: as the platform's service)
BEFORE = {
    **dict.fromkeys(("PENDING", "PROCESSING_INPUTS", "STAGING_INPUTS", "STAGED"), "PENDING"),
    **dict.fromkeys(("STAGING_JOB", "SUBMITTING", "QUEUED", "RUNNING", "CLEANING_UP"), "STAGED"),
    **dict.fromkeys(("ARCHIVING", "ARCHIVING_FAILED", "ARCHIVING_FINISHED"), "CLEANING_UP"),
}

# what those hear who listen to the execution system
ON_SYSTEM = {"STAGING_INPUTS": "JOB_STAGE", "QUEUED": "JOB_QUEUE", **dict.fromkeys(FINAL, "JOB_COMPLETE")}


class Unstoppable(Exception):
    """A job that was told to stop still runs."""


class Inactive(Exception):
    """A job that is at its end cannot be set back."""


@dataclass
class _Task:
    """A job's task: its scope is cancelled to stop the job, or to set it back for `reset`; `over` is set at its end."""

    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    over: trio.Event = field(default_factory=trio.Event)
    reset: str = ""  # who has asked for it


class Jobs:
    """All jobs of a tenant."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._tasks: dict[str, _Task] = {}
        self._steps = Steps(tenant)

    def add(self, job: dict[str, Any]) -> None:
        """Accept a new job. It is on its way when this returns."""
        store = self._tenant.store
        with store.together():
            index.keep(store, job)
            store.event(job["id"], job["status"], "Job accepted and queued for submission.", by=job["owner"])
            self._tell_system(job, "JOB_SUBMIT")
        self._start(job["id"])

    async def resume(self) -> None:
        """Take up every job that is not at its end, once the records can be read and written."""
        await patiently(self._take_up)

    async def _take_up(self) -> None:
        leftovers = list(incoming(self._tenant).iterdir())
        store = self._tenant.store
        index.complete(store)
        unfinished = [job for id in index.unfinished(store) if (job := store.get("job", id)) is not None]
        for job in unfinished:
            if job["status"] == "RUNNING":  # these have their slots before any other may ask
                with contained(f"finding the slots of job {job['id']}"):
                    self._steps.slots.take(job["id"], self._steps.claim(job))
        for job in unfinished:  # oldest first, as they came
            self._start(job["id"])
        for left in leftovers:  # a cut copy, or an app's unpacked folder
            await trio.to_thread.run_sync(erase, left)

    async def stop(self, job_id: str) -> None:
        """End a job wherever it is; nothing happens to one at its end. Raises Unstoppable."""
        if job_id not in self._tasks:
            run_of(self._tenant, job_id).stop()  # the script of a job that had failed by its own word may still run
        while (task := self._tasks.get(job_id)) is not None:  # one that was just set back comes again
            task.reset = ""
            await self._interrupt(job_id, task)

    async def reset(self, job_id: str, by: str) -> None:
        """Let a job do again what it does, from its last safe point; a script that runs is ended and run anew.

        Raises Inactive, Unstoppable.
        """
        job, task = self._tenant.store.get("job", job_id), self._tasks.get(job_id)
        if job is None or job["status"] in FINAL or task is None:
            raise Inactive(job_id)
        task.reset = by
        await self._interrupt(job_id, task)

    async def _interrupt(self, job_id: str, task: _Task) -> None:
        task.scope.cancel()
        with trio.move_on_after(KILL):
            await task.over.wait()
            return
        raise Unstoppable(job_id)

    def fail(self, job_id: str, reason: str) -> bool:
        """A job says of itself that it failed; False if it is at its end. Its script may go on while its time lasts."""
        job = self._tenant.store.get("job", job_id)
        if job is None or job["status"] in FINAL:
            return False
        self._advance(job, failed(reason))
        return True

    def _start(self, job_id: str) -> None:
        if job_id not in self._tasks:
            self._tasks[job_id] = _Task()
            self._tenant.nursery.start_soon(self._live, job_id)

    async def _live(self, job_id: str) -> None:
        task = self._tasks[job_id]
        self._tenant.awake.add(job_id)
        try:
            with task.scope:
                await patiently(partial(self._go_on, job_id))
            if task.scope.cancelled_caught:
                await patiently(
                    partial(self._set_back, job_id, task.reset) if task.reset else partial(self._end, job_id)
                )
        except Exception:  # the edge: the record stays as it is, and the next start takes it up
            log.exception("job %s was left where it is", job_id)
        finally:
            self._steps.leave(job_id)
            self._tenant.awake.discard(job_id)
            del self._tasks[job_id]
            task.over.set()
            if task.reset and task.scope.cancelled_caught:
                self._start(job_id)

    async def _go_on(self, job_id: str) -> None:
        """Step after step, to the end."""
        while (job := self._tenant.store.get("job", job_id)) is not None:
            try:
                following = await self._steps.take(job)
            except Unwritable:
                raise
            except (Refusal, OSError) as trouble:
                following = failed(said(trouble))
            except Exception:  # the edge: whatever is wrong with one job, the tenant and the other jobs go on
                log.exception("job %s, %s", job_id, job["status"])
                following = failed(f"The tenant failed while the job was {job['status']}; its log says why")
            if following is None:
                await self._steps.processes_gone(job_id)  # a script may go on for a while after it reported its failure
                return
            if following.status == "FAILED":
                self._steps.run(job_id).stop()  # whatever went wrong, nothing runs on behind a final status
            latest = self._tenant.store.get("job", job_id)
            if latest is not None and latest["status"] == job["status"]:  # else it failed of itself meanwhile
                self._advance(latest, following)

    async def _end(self, job_id: str) -> None:
        """What a stop comes to: the processes are gone, then the status says so."""
        self._steps.run(job_id).stop()
        await self._steps.processes_gone(job_id)
        job = self._tenant.store.get("job", job_id)
        if job is not None and job["status"] not in FINAL:
            self._advance(job, stopped())

    async def _set_back(self, job_id: str, by: str) -> None:
        """What a reset comes to: nothing runs, and the record is where the job can go on from."""
        self._steps.run(job_id).stop()
        await self._steps.processes_gone(job_id)
        job = self._tenant.store.get("job", job_id)
        if job is None or job["status"] in FINAL:
            return
        status = BEFORE[job["status"]]
        again = {"startTime": None, "endTime": None, "localId": None} if status != "CLEANING_UP" else {}
        if again:
            await self._steps.forget_run(job_id)
        store = self._tenant.store
        with store.together():
            self._advance(job, Next(status, "Job was set back", again))
            store.event(job_id, "RESET", f"Job was manually reset to {status} by {by}", by=by)

    def _advance(self, job: Job, following: Next) -> None:
        store = self._tenant.store
        changed = {**job, **following.changes, "status": following.status, "lastUpdated": date(time.time())}
        note(self._tenant, changed, f"{following.status}: {following.description}")
        with store.together():
            index.keep(store, changed)
            for event in (*following.before, following.status):
                store.event(job["id"], event, following.description, by=job["owner"])
            if (on_system := ON_SYSTEM.get(following.status)) is not None:
                self._tell_system(job, on_system)

    def _tell_system(self, job: Job, event: str) -> None:
        system = self._tenant.store.get("system", job["executionSystem"])
        if system is not None:  # it may have been erased
            self._tenant.store.tell(system["uuid"], event, f"Job {job['id']}", by=job["owner"], about=job["id"])
