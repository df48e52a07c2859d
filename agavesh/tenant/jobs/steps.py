"""The steps of a job: what each status does, and which one follows.

A step is given the record and does what its status names; it can be done again from its beginning, and is, when the
tenant ended in the midst of it. It writes no record: it says what is `Next`, and `life` writes that down.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from agavesh.tenant.apps import bundles
from agavesh.tenant.files.disk import said
from agavesh.tenant.files.fetching import fetch
from agavesh.tenant.files.trees import copy_file, copy_tree
from agavesh.tenant.jobs import script
from agavesh.tenant.jobs.places import (
    Job,
    bundle_place,
    incoming,
    note,
    place_on,
    read_end,
    run_of,
    short_name,
    system_of,
    work_folder,
)
from agavesh.tenant.jobs.runs import Run, sweep
from agavesh.tenant.jobs.slots import Claim, Slots
from agavesh.tenant.jobs.sources import source_of
from agavesh.tenant.limits import plain
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.words import Pem, date

if TYPE_CHECKING:
    from agavesh.tenant.state import Tenant


LONGEST_LIST = 64 << 20  # bytes of a list of what is not to be archived


@dataclass(frozen=True)
class Next:
    """The status that follows, why, what else changes in the record, and what events come before its own."""

    status: str
    description: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    before: tuple[str, ...] = ()


def failed(reason: str, *before: str) -> Next:
    """The end of a job that went wrong."""
    reason = reason.encode(errors="replace").decode()  # names of files may be no text
    return Next("FAILED", reason, {"message": reason, "endTime": date(time.time())}, before)


def stopped() -> Next:
    """The end of a job that somebody stopped."""
    return Next("STOPPED", "Job was stopped on request", {"endTime": date(time.time())})


class Steps:
    """What the steps of all jobs share: the slots to run in, and the threads that copy."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self.slots = Slots()
        self._runs: dict[str, Run] = {}  # those of running jobs: whoever starts a process has to reap it
        self._copiers = trio.CapacityLimiter(4)  # copying is for the disk to do; more threads would not hasten it

    async def take(self, job: Job) -> Next | None:
        """Do what the job's status names. None at the end of a job."""
        step = getattr(self, f"_{job['status'].lower()}", None)
        return await step(job) if step is not None else None

    def run(self, job_id: str) -> Run:
        """The runner of a job, past, present or to be."""
        return self._runs.setdefault(job_id, run_of(self._tenant, job_id))

    def leave(self, job_id: str) -> None:
        """The job's task is over: its slot is free."""
        self.slots.release(job_id)
        self._runs.pop(job_id, None)

    def claim(self, job: Job) -> Claim:
        """What the job asks for when it wants to run."""
        return Claim.of(job, system_of(self._tenant, job["executionSystem"]))

    async def _pending(self, job: Job) -> Next:
        return Next("PROCESSING_INPUTS", "Attempt 1 to process inputs")

    async def _processing_inputs(self, job: Job) -> Next:
        work_folder(self._tenant, job).mkdir(parents=True, exist_ok=True)
        if not job["inputs"]:
            return Next("STAGED", "Skipping staging. No input data associated with this job.")
        return Next("STAGING_INPUTS", "Staging inputs to the execution system")

    async def _staging_inputs(self, job: Job) -> Next:
        names: dict[str, list[str]] = {}
        for field_id, uris in job["inputs"].items():
            names[field_id] = [await self._stage(job, uri) for uri in uris]
        return Next("STAGED", "Job inputs staged to execution system", {"_names": names})

    async def _stage(self, job: Job, uri: str) -> str:
        """Bring one input into the job's folder. Its name there."""
        source = source_of(self._tenant, job["owner"], uri)
        target = work_folder(self._tenant, job) / source.name
        if source.path is None:
            size = await self._download(source.url, target)
        elif await trio.Path(source.path).is_dir():
            size = await self._copied(partial(copy_tree, source.path, target, within=source.path))
        else:
            size = await self._copied(partial(copy_file, source.path, target))
        progress = {"source": uri, "totalFiles": 1, "totalBytes": size, "totalBytesTransferred": size}
        self._tenant.store.event(
            job["id"], "STAGING_INPUTS", f"Staged {uri}", by=job["owner"], more={"progress": progress}
        )
        note(self._tenant, job, f"staged {uri}, {size} bytes")
        return source.name

    async def _copied(self, copy: Callable[..., int]) -> int:
        return await trio.to_thread.run_sync(
            partial(copy, staging=incoming(self._tenant), faithful=True), limiter=self._copiers
        )

    async def _download(self, url: str, target: Path) -> int:
        temporary = incoming(self._tenant) / secrets.token_hex(8)
        try:
            size = await fetch(url, temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        return size

    async def _staged(self, job: Job) -> Next:
        return Next("STAGING_JOB", "Copying the app to the execution system")

    async def _staging_job(self, job: Job) -> Next:
        app, work = job["_app"], work_folder(self._tenant, job)
        place = bundle_place(self._tenant, app)
        names = await bundles.unpack(
            Path(place.disk.at(place.path)), work, incoming(self._tenant), self._copiers, checksum=app.get("_checksum")
        )
        listed = "".join(f"{name}\n" for name in names)
        await trio.Path(work / ".agave.archive").write_text(listed, errors="surrogateescape")
        return Next("SUBMITTING", "Preparing job for submission")

    async def _submitting(self, job: Job) -> Next:
        script.write_script(self._tenant, job)
        return Next("QUEUED", "Job successfully placed into queue")

    async def _queued(self, job: Job) -> Next:
        await self.slots.acquire(job["id"], self.claim(job))
        script.tell_address(self._tenant, job)
        run = self.run(job["id"])
        with trio.CancelScope(shield=True):  # a runner that starts is waited for, so that a stop finds it
            await run.start(script.spec(self._tenant, job))
        if not run.asked_for:
            raise Refusal(500, f"Job could not be started: {run.log.rpartition(chr(10))[2] or 'no runner'}")
        begun = run.begun or {"at": time.time()}
        changes = {"startTime": date(begun["at"]), "localId": str(begun.get("pid", ""))}
        return Next("RUNNING", "Job started running", changes)

    async def _running(self, job: Job) -> Next:
        self.slots.take(job["id"], self.claim(job))
        script.tell_address(self._tenant, job)
        ended = await self.processes_gone(job["id"])
        self.slots.release(job["id"])
        if ended is None:
            return failed(
                "Job was interrupted: the process that stood over it was killed, or the machine went down",
                "UNKNOWN_TERMINATION",
            )
        if ended["why"] == "stopped":
            return stopped()
        return Next("CLEANING_UP", "Job completed execution", {"endTime": date(ended["at"])})

    async def processes_gone(self, job_id: str) -> Mapping[str, Any] | None:
        """Wait until nothing of the job runs any more. How its script ended, if its runner lived to tell."""
        run = self.run(job_id)
        ended = await run.wait()
        if ended is None and run.asked_for:
            await trio.to_thread.run_sync(sweep, job_id)
        return ended

    async def forget_run(self, job_id: str) -> None:
        """Let the script of a job be run once more: a runner that had it is gone, and its folder with it."""
        run = self._runs.pop(job_id, None) or run_of(self._tenant, job_id)
        with contextlib.suppress(FileNotFoundError):
            await trio.to_thread.run_sync(shutil.rmtree, run.folder)

    async def _cleaning_up(self, job: Job) -> Next:
        if (reason := self._what_went_wrong(job)) is not None:
            told_to_end = (self.run(job["id"]).ended or {}).get("why") == "terminated"
            return Next("FAILED", reason, {"message": reason}, ("REMOTE_STATUS_CHANGE",) if told_to_end else ())
        if job["archive"]:
            return Next("ARCHIVING", "Beginning to archive output")
        return Next("FINISHED", "Job complete")

    def _what_went_wrong(self, job: Job) -> str | None:
        """Why a script that has ended is a failure; None for one that ended well."""
        ended = self.run(job["id"]).ended or {}
        match ended.get("why"):
            case "limit":
                return f"Job exceeded its maxRunTime of {job['maxRunTime']} and was ended"
            case "memory":
                per_node = f" on each of {job['nodeCount']} nodes" if job["nodeCount"] > 1 else ""
                return f"Job exceeded its memoryPerNode of {plain(job['memoryPerNode'])} GB{per_node} and was ended"
            case "unstartable":
                return f"Job could not be started: {ended['error']}"
            case "terminated":
                return "Job was interrupted: its processes were told to end"
        if ended.get("exit") == 0:
            return None
        how = f"was ended by signal {ended['signal']}" if ended.get("signal") else _exit_code(ended.get("exit"))
        said = _last_line(work_folder(self._tenant, job) / f"{short_name(job)}.err")
        return f"Job failed: {how}" + (f": {said}" if said else "")

    async def _archiving(self, job: Job) -> Next:
        work = work_folder(self._tenant, job)
        target = place_on(self._tenant, job["archiveSystem"], job["_archive"])
        unwanted = await trio.to_thread.run_sync(_listed, work / ".agave.archive")
        try:
            # what is there may be a link by now
            self._tenant.files.require(target, job["owner"], Pem.WRITE, "write to")
            archive = Path(target.disk.at(target.path))
            await self._copied(
                partial(copy_tree, work, archive, within=work, wanted=lambda path: unwanted.isdisjoint(_above(path)))
            )
        except (Refusal, OSError) as trouble:
            why = failed(f"Job outputs could not be archived: {said(trouble)}")
            return Next("ARCHIVING_FAILED", why.description, {"message": why.description})
        self._tenant.files.record(target, job["owner"])
        return Next("ARCHIVING_FINISHED", "Job archiving completed successfully", {"_archived": True})

    async def _archiving_failed(self, job: Job) -> Next:
        return Next("FAILED", job["message"])

    async def _archiving_finished(self, job: Job) -> Next:
        return Next("FINISHED", "Job complete")


def _exit_code(code: int | None) -> str:
    """What a script ended with. Shells, and bubblewrap, tell a signal by 128 and its number."""
    names = {int(number): number.name for number in signal.Signals}
    name = names.get((code or 0) - 128)
    return f"exit code {code}" + (f", as after {name}" if name else "")


def _listed(path: Path) -> frozenset[str]:
    """The paths in a `.agave.archive`: what stays out of the archive. A wrapper may have added lines, or removed it."""
    lines = read_end(path, LONGEST_LIST).decode(errors="surrogateescape").split("\n")
    return frozenset(line.removeprefix("./").strip("/") for line in lines)


def _above(path: str) -> list[str]:
    """A path and all folders that it is in."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _last_line(path: Path) -> str:
    """The last line of a file, cut to some length; "" if there is none."""
    lines = read_end(path, 4096).decode(errors="replace").strip().splitlines()
    return lines[-1].strip()[:300] if lines else ""
