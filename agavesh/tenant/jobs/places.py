"""Where a job is: its folder on the execution system, its outputs, its runner. And who may look."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agavesh.tenant.files.disk import Disk, normal
from agavesh.tenant.files.places import EVERYBODY, Place
from agavesh.tenant.jobs.runs import Run
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.words import Pem, slug

if TYPE_CHECKING:
    from agavesh.tenant.state import Tenant

Job = Mapping[str, Any]  # keys that begin with an underscore are the tenant's own, and never told


def system_of(tenant: Tenant, system_id: str) -> dict[str, Any]:
    """A system's record; a poor one where it was erased while a job still needs its bytes."""
    return tenant.store.get("system", system_id) or {"id": system_id, "owner": "", "storage": {}}


def place_on(tenant: Tenant, system_id: str, path: str) -> Place:
    """A normal path on a system, whoever asks."""
    return Place(system_of(tenant, system_id), path, tenant.disk(system_id))


def work_place(tenant: Tenant, job: Job) -> Place:
    """The folder that a job runs in."""
    return place_on(tenant, job["executionSystem"], job["outputPath"])


def work_folder(tenant: Tenant, job: Job) -> Path:
    """The same, on this machine."""
    return Path(tenant.disk(job["executionSystem"]).at(job["outputPath"]))


def bundle_place(tenant: Tenant, app: Mapping[str, Any]) -> Place:
    """Where the files of an app are. Refusal 403 if that has become a link to what the app's owner may not read."""
    place = place_on(tenant, app["deploymentSystem"], app["_bundle"])
    if place.disk.real(place.path) != place.path:
        tenant.files.require(place, app["owner"], Pem.READ, "read")
    return place


def incoming(tenant: Tenant) -> Path:
    """Where files for jobs lie until they are whole; cleared at each start."""
    folder = tenant.root / "jobs" / "incoming"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def run_of(tenant: Tenant, job_id: str) -> Run:
    """The runner of a job, past, present or to be."""
    return Run(tenant.root / "jobs" / job_id)


def note(tenant: Tenant, job: Job, text: str) -> None:
    """Add a line to the job's own log, where there is a folder for it."""
    line = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n"
    # a job owns its folder: what it may have put in the place of its log must neither hold us up nor lead us away
    careful = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
    with contextlib.suppress(OSError, Refusal):
        log = os.open(work_folder(tenant, job) / ".agave.log", careful, 0o644)
        try:
            os.write(log, line.encode(errors="surrogateescape"))
        finally:
            os.close(log)


def read_end(path: Path, most: int) -> bytes:
    """The last bytes of a file that a job may have made: b"" for what is no plain file, or is not there."""
    with contextlib.suppress(OSError):
        reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            found = os.fstat(reading)
            if stat.S_ISREG(found.st_mode):
                return os.pread(reading, most, max(0, found.st_size - most))
        finally:
            os.close(reading)
    return b""


def short_name(job: Job) -> str:
    """The name of a job as its files bear it."""
    return slug(job["name"]) or "job"  # a name may be all letters that a slug has no place for


def may(tenant: Tenant, job: Job, user: str, needed: Pem) -> bool:
    """Whether a user has the right `needed` on a job. Its owner and administrators have all."""
    if user == job["owner"] or tenant.auth.is_admin(user):
        return True
    return not needed & ~tenant.store.granted(job["id"], user, *EVERYBODY)


def output_place(tenant: Tenant, job_id: str, user: str, path: str) -> tuple[Job, Place]:
    """A job, and one of its outputs: in the work folder or, once archived, in the archive.

    Outputs are a disk of their own, of which no link leads out: beside them lie other people's. `..` and `~` are cut
    from the path. Refusal 400 for an unknown job and 401 without permission, as outputs have it.
    """
    job = tenant.store.get("job", job_id)
    if job is None or not job["_visible"]:
        raise Refusal(400, f"No job found with job id {job_id}.")
    if not may(tenant, job, user, Pem.READ):
        raise Refusal(401, f"User does not have permission to view the output of job {job_id}.")
    archived = job.get("_archived")
    top = place_on(tenant, job["archiveSystem"], job["_archive"]) if archived else work_place(tenant, job)
    parts = [part for part in path.split("/") if part not in ("", ".", "..", "~")]
    return job, Place(top.system, normal("/".join(parts)), Disk(Path(top.disk.at(top.path))))
