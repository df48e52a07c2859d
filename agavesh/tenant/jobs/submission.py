"""From a request to the record of a job that may run: its app, inputs, folders and rights are looked at first.

What the request's fields may be is `spec`'s to say. A Refusal here leaves nothing behind but, at most, an empty folder.
"""

from __future__ import annotations

import secrets
import stat
import time
from collections.abc import Mapping
from typing import Any

from agavesh.tenant.apps.records import runnable
from agavesh.tenant.context import Context, Record
from agavesh.tenant.files.disk import normal
from agavesh.tenant.jobs import spec
from agavesh.tenant.jobs.places import short_name
from agavesh.tenant.jobs.sources import source_of
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.words import Pem, date, new_uuid, slug

LONGEST_WORK_PATH = 255  # characters


def accepted(ctx: Context, body: Mapping[str, Any], again: bool) -> dict[str, Any]:
    """The record of a job that may run. `again`: it is resubmitted, so its outputs go to a folder of their own."""
    asked = spec.flat(body)
    name, app_id = spec.head(asked)
    app, system = runnable(ctx, app_id)
    fields = spec.job(asked, app, system)
    for uris in fields["inputs"].values():
        for uri in uris:
            source_of(ctx.tenant, ctx.user, uri)
    job_id, now = new_uuid("007"), date(time.time())
    work = _work_path(ctx, system, f"{ctx.user}/job-{job_id}-{slug(name) or 'job'}")
    job: dict[str, Any] = {
        "id": job_id, "name": name, "owner": ctx.user, **fields, "retries": 0, "localId": None, "created": now,
        "lastUpdated": now, "submitTime": now, "startTime": None, "endTime": None, "outputPath": work,
        "status": "PENDING", "message": None, "archivePath": None, "archiveSystem": None,
        "_visible": True, "_app": app, "_request": dict(body), "_token": secrets.token_hex(16),
    }  # fmt: skip
    if job["archive"]:
        default = f"{ctx.user}/archive/jobs/job-{job_id}"
        wish = f"{default}-{slug(name) or 'job'}" if again else asked.get("archivePath") or default
        job |= _archive(ctx, job, asked.get("archiveSystem"), str(wish))
    return job


def _work_path(ctx: Context, system: Record, below: str) -> str:
    top = system.get("scratchDir") or system.get("workDir") or ""
    home = ctx.tenant.files.home(system)
    path = normal(f"{top}/{below}" if top.startswith("/") else f"{home}/{top}/{below}")
    if len(path) > LONGEST_WORK_PATH:
        raise Refusal(400, f"The work folder would have more than {LONGEST_WORK_PATH} characters: {path}")
    return path


def _archive(ctx: Context, job: Mapping[str, Any], system_id: Any, wish: str) -> dict[str, Any]:
    """Where the outputs shall go: the folder is made at once."""
    files = ctx.tenant.files
    macros = {
        "APP_ID": job["appId"], "EXECUTION_SYSTEM": job["executionSystem"], "BATCH_QUEUE": job["batchQueue"],
        "JOB_NAME": short_name(job), "JOB_ID": job["id"], "JOB_NODE_COUNT": str(job["nodeCount"]),
        "JOB_PROCESSORS_PER_NODE": str(job["processorsPerNode"]), "JOB_MEMORY_PER_NODE": str(job["memoryPerNode"]),
        "JOB_CREATED_TIME": job["created"], "JOB_OWNER": job["owner"], "TENANT_ID": ctx.tenant.name,
    }  # fmt: skip
    try:
        system = files.system(str(system_id), ctx.user) if system_id else files.default_system(ctx.user)
    except Refusal as refusal:
        raise Refusal(400, f"Invalid archiveSystem: {refusal.message}") from None
    if system["type"] != "STORAGE":
        raise Refusal(400, f"Invalid archiveSystem: {system['id']} is no storage system")
    path = spec.expanded(wish, {**macros, "ARCHIVE_SYSTEM": system["id"]})
    place = files.place(ctx.user, system["id"], path)
    files.require(place, ctx.user, Pem.WRITE, "write to")
    found = place.disk.stat(place.path)
    if found is not None and not stat.S_ISDIR(found.st_mode):
        raise Refusal(400, f"Invalid archivePath: {path} is a file")
    try:
        place.disk.make_folder(place.path)
    except OSError:
        raise Refusal(400, f"Invalid archivePath: {path} cannot be made") from None
    files.record(place, ctx.user)
    return {"archiveSystem": system["id"], "archivePath": path, "_archive": place.path}
