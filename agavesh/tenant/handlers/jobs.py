"""The jobs service: submission, records, actions, permissions, outputs."""

from __future__ import annotations

import stat
import time
from collections.abc import Mapping, Sequence
from hmac import compare_digest
from typing import Any

from agavesh.tenant.bodies import body_of
from agavesh.tenant.conditions import Conditions
from agavesh.tenant.context import Answer, Context, Record, Records, Result, described, route
from agavesh.tenant.files.disk import name_of
from agavesh.tenant.files.downloads import download, mime_of
from agavesh.tenant.files.listing import shown
from agavesh.tenant.files.places import EVERYBODY, Place
from agavesh.tenant.jobs import index
from agavesh.tenant.jobs.index import FINAL
from agavesh.tenant.jobs.life import Inactive, Unstoppable
from agavesh.tenant.jobs.places import may, output_place
from agavesh.tenant.jobs.submission import accepted
from agavesh.tenant.notifications.life import links
from agavesh.tenant.pems import Grants
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.search import limit_of, offset_of, page, split_key
from agavesh.tenant.state import Tenant
from agavesh.tenant.words import Pem, date

NAMES = frozenset(index.COLUMNS)
EVENT_NAMES = frozenset({"status", "created", "createdby", "description"})
SUMMARY = ("id", "name", "owner", "executionSystem", "appId", "created", "status", "startTime", "endTime", "_links")
LARGEST_EVENT = 5120  # characters of what a job tells in an event of its own
OWN_EVENT = "CUSTOM_USER_JOB_EVENT_NAME"
_WORDS = (
    "PENDING PROCESSING_INPUTS STAGING_INPUTS STAGED STAGING_JOB SUBMITTING QUEUED RUNNING CLEANING_UP ARCHIVING"
    " ARCHIVING_FINISHED ARCHIVING_FAILED FINISHED KILLED STOPPED FAILED PAUSED HEARTBEAT DELETED RESTORED"
    " RESET PERMISSION_GRANT PERMISSION_REVOKE EMPTY_STATUS_RESPONSE REMOTE_STATUS_CHANGE UNKNOWN_TERMINATION"
)
STATES = frozenset(_WORDS.split())


async def resume(tenant: Tenant) -> None:
    """Take up the jobs that an earlier run of the tenant left."""
    await tenant.jobs.resume()


# submission ----------------------------------------------------------------------------------------------------------


async def submit(ctx: Context, *, body: Any) -> Result:
    return _submitted(ctx, body, status=201)


def _submitted(ctx: Context, body: Any, *, status: int, again: bool = False) -> Answer:
    if not isinstance(body, dict):
        raise Refusal(400, "Invalid JSON found. A job request is an object")
    job = accepted(ctx, body, again)
    with ctx.store.together():
        ctx.tenant.notifications.subscribe(job["id"], ctx.user, job["notifications"])
        ctx.tenant.jobs.add(job)
    system = ctx.store.get("system", job["executionSystem"]) or {}
    more = {
        "lastModified": job["lastUpdated"],
        "executionType": job["_app"]["executionType"],
        "schedulerType": system.get("scheduler"),
    }
    record = {**_full(ctx, job), **more}
    record["_links"]["notification"] = links(ctx, job["notifications"])
    return Answer(record, status=status)


# records -------------------------------------------------------------------------------------------------------------


def _full(ctx: Context, job: Mapping[str, Any]) -> Record:
    """A job as answers tell it: what begins with an underscore stays here."""
    unsaid = {"notifications"} if job["archive"] else {"notifications", "archivePath", "archiveSystem"}
    if job["status"] != "FAILED":
        unsaid.add("message")
    told = {name: value for name, value in job.items() if not name.startswith("_") and name not in unsaid}
    path = f"/jobs/v2/{job['id']}"
    links = {
        "self": ctx.link(path),
        "app": ctx.link(f"/apps/v2/{job['appId']}"),
        "executionSystem": ctx.link(f"/systems/v2/{job['executionSystem']}"),
        "archiveData": ctx.link(f"{path}/outputs/listings"),
        "owner": ctx.link(f"/profiles/v2/{job['owner']}"),
        "permissions": ctx.link(f"{path}/pems"),
        "history": ctx.link(f"{path}/history"),
    }
    if job["archive"]:
        links["archiveSystem"] = ctx.link(f"/systems/v2/{job['archiveSystem']}")
    return {**told, "visible": job["_visible"], "_links": links}


@described("007", "job")
def told(ctx: Context, uuid: str) -> Record | None:
    """A job as those are told who subscribed to it; a hidden one too."""
    return _full(ctx, _job(ctx, uuid, Pem.READ, hidden=True)) if ctx.store.get("job", uuid) else None


async def _page(ctx: Context, asked: Mapping[str, str]) -> Records:
    """A page of the jobs that the caller may see and the search keeps, newest first unless it is ordered."""
    wanted = Conditions.of(asked, index.COLUMNS, trouble=500)
    try:
        order = index.ordering(ctx.query.get("orderBy", ""), ctx.query.get("order", ""))
    except ValueError as problem:
        raise Refusal(500, str(problem)) from None
    seen, values = _seen(ctx)
    if not any(split_key(key)[0] == "visible" for key in asked):  # wire: hidden ones are found if they are asked for
        seen += " and visible = 1"
    bounds = {"offset": offset_of(ctx.query.get("offset")), "limit": limit_of(ctx.query.get("limit"))}
    ids = await index.search(ctx.store, seen, values, wanted, order=order, **bounds)
    records = [_full(ctx, job) for id in ids if (job := ctx.store.get("job", id)) is not None]
    return records if ctx.filtered else [{name: record[name] for name in SUMMARY} for record in records]


def _seen(ctx: Context) -> tuple[str, Sequence[str]]:
    """Which jobs the caller may see, as a condition and its values."""
    if ctx.admin:
        return "true", []
    everybody = [ctx.user, *EVERYBODY]
    marks = ", ".join("?" * len(everybody))
    grants = f"select uuid from grants where username in ({marks}) and bits & {int(Pem.READ)}"
    if not ctx.store.sql(f"{grants} and uuid like '%-007' limit 1", *everybody):
        return "user = ?", [ctx.user]
    # the pluses keep SQLite from collecting both sets first, and sorting them: newest first is how the table lies
    return f"(+user = ? or +id in ({grants}))", [ctx.user, *everybody]


def _job(ctx: Context, job_id: str, needed: Pem, *, hidden: bool = False) -> Record:
    """A job that the caller has the right `needed` on. Refusal 404, 403."""
    job = ctx.store.get("job", job_id)
    if job is None:
        raise Refusal(404, f"No job found with job id {job_id}.")
    if not job["_visible"] and not hidden:
        raise Refusal(404, f"Job with id {job_id} is not visible.")
    if not may(ctx.tenant, job, ctx.user, needed):
        doing = "view" if needed == Pem.READ else "change"
        raise Refusal(403, f"User does not have permission to {doing} this job.")
    return job


async def list(ctx: Context, *, limit: int, offset: int) -> Result:
    return await _page(ctx, ctx.query)


async def search(ctx: Context, *, attribute: str, value: str, limit: int, offset: int) -> Result:
    return await _search(ctx, {attribute: value})


@route("GET", "/jobs/v2/search/{pairs}")
async def search_pairs(ctx: Context, *, pairs: str) -> Result:
    """Up to seven attributes and values, one behind the other. The public build of the platform has this route only."""
    parts = pairs.rstrip("/").split("/")
    if len(parts) % 2 or len(parts) > 14:
        raise Refusal(400, "A search is made of one to seven attributes, each followed by its value")
    return await _search(ctx, dict(zip(parts[::2], parts[1::2], strict=True)))


async def _search(ctx: Context, asked: Mapping[str, str]) -> Records:
    for attribute in asked:
        if split_key(attribute)[0] not in NAMES:
            raise Refusal(400, f"Invalid search attribute {attribute}. Known are {', '.join(sorted(NAMES))}")
    return await _page(ctx, asked)


async def get(ctx: Context, *, jobId: str) -> Result:
    return _full(ctx, _job(ctx, jobId, Pem.READ))


async def getStatus(ctx: Context, *, jobId: str) -> Result:
    job = _job(ctx, jobId, Pem.READ)
    return {"id": job["id"], "status": job["status"], "_links": {"self": ctx.link(f"/jobs/v2/{jobId}")}}


async def getHistory(ctx: Context, *, jobId: str, limit: int, offset: int) -> Result:
    job = _job(ctx, jobId, Pem.READ)
    events: Records = [
        {"status": status, "created": date(at), "createdBy": by, "description": description, **more}
        for at, status, by, description, more in ctx.store.events(job["id"])
    ]
    return page(ctx, events, names=EVENT_NAMES, summary=lambda event: event, trouble=500)


# actions -------------------------------------------------------------------------------------------------------------


async def manage(ctx: Context, *, jobId: str, body: Any) -> Result:
    action = str(body.get("action") or "").lower() if isinstance(body, dict) else ""
    job = _job(ctx, jobId, Pem.WRITE, hidden=action == "restore")
    match action:
        case "":
            raise Refusal(400, "No action specified")
        case "stop":
            await _stop(ctx, jobId)
            return None
        case "resubmit":
            return _submitted(ctx, job["_request"], status=202, again=True)
        case "restore":
            if not job["_visible"]:
                _show(ctx, jobId, True, "RESTORED", "Job was restored and is visible again")
            return _full(ctx, _job(ctx, jobId, Pem.WRITE))
        case "reset":
            await _reset(ctx, jobId)
            return _full(ctx, _job(ctx, jobId, Pem.WRITE))
    raise Refusal(400, f"Invalid action {body['action']}")


async def delete(ctx: Context, *, jobId: str) -> Result:
    _job(ctx, jobId, Pem.WRITE)
    await _stop(ctx, jobId)
    _show(ctx, jobId, False, "DELETED", "Job was deleted: it is hidden, its data stay")
    return None


async def _stop(ctx: Context, job_id: str) -> None:
    try:
        await ctx.tenant.jobs.stop(job_id)
    except Unstoppable:
        raise Refusal(502, f"Job {job_id} could not be stopped: its processes do not end.") from None


async def _reset(ctx: Context, job_id: str) -> None:
    if not ctx.admin:
        raise Refusal(403, "User does not have permission to roll back this job.")
    try:
        await ctx.tenant.jobs.reset(job_id, ctx.user)
    except Inactive:
        raise Refusal(400, "Unable to reset inactive jobs to previous state.") from None
    except Unstoppable:
        raise Refusal(502, f"Job {job_id} could not be reset: its processes do not end.") from None


def _show(ctx: Context, job_id: str, visible: bool, event: str, description: str) -> None:
    job = _job(ctx, job_id, Pem.WRITE, hidden=True)  # as it is after the stop
    with ctx.store.together():
        index.keep(ctx.store, {**job, "_visible": visible, "lastUpdated": date(time.time())})
        ctx.store.event(job_id, event, description, by=ctx.user)


# permissions ---------------------------------------------------------------------------------------------------------


def _grants(ctx: Context, job_id: str, needed: Pem) -> Grants:
    job = _job(ctx, job_id, needed)
    return Grants(ctx, job_id, f"/jobs/v2/{job_id}", job["owner"], Pem.READ | Pem.WRITE)


async def listPermissions(ctx: Context, *, jobId: str, limit: int, offset: int) -> Result:
    return _grants(ctx, jobId, Pem.READ).all(limit, offset)


async def listPermissionsForUser(ctx: Context, *, jobId: str, username: str, limit: int, offset: int) -> Result:
    return _grants(ctx, jobId, Pem.READ).one(username)


async def updatePermissions(ctx: Context, *, jobId: str, body: Any) -> Result:
    return _grants(ctx, jobId, Pem.WRITE).change(body, None)


async def updatePermissionsForUser(ctx: Context, *, jobId: str, username: str, body: Any) -> Result:
    return _grants(ctx, jobId, Pem.WRITE).change(body, username)


async def deletePermissions(ctx: Context, *, jobId: str) -> Result:
    _grants(ctx, jobId, Pem.WRITE).clear()
    return None


async def deletePermissionsForUser(ctx: Context, *, jobId: str, username: str) -> Result:
    _grants(ctx, jobId, Pem.WRITE).revoke(username)
    return None


# outputs -------------------------------------------------------------------------------------------------------------


async def listOutputs(ctx: Context, *, jobId: str, filePath: str, limit: int, offset: int) -> Result:
    job, place = output_place(ctx.tenant, jobId, ctx.user, filePath)
    found = place.disk.stat(place.path)
    if found is None:
        if not place.disk.is_dir("/"):
            raise Refusal(500, f"The work folder of job {jobId} is not there; the job is {job['status']}.")
        raise Refusal(404, "File/folder does not exist")
    if not stat.S_ISDIR(found.st_mode):
        return [_output(ctx, jobId, place, found)][offset : offset + limit]
    # wire: there is no "." entry
    items = await ctx.tenant.listings.page(place.disk, place.path, offset, limit, caller=ctx.user)
    base = place.path.rstrip("/")
    return [_output(ctx, jobId, place.on(f"{base}/{shown(name)}"), item) for name, item in items]


def _output(ctx: Context, job_id: str, place: Place, found: Any) -> Record:
    folder = stat.S_ISDIR(found.st_mode)
    path, name = place.path, name_of(place.path)
    base = f"/jobs/v2/{job_id}"
    return {
        "name": name,
        "path": path,
        "lastModified": date(found.st_mtime),
        "length": found.st_size,
        "permission": "READ",
        "mimeType": "text/directory" if folder else mime_of(name),
        "format": "folder" if folder else "unknown",
        "type": "dir" if folder else "file",
        "_links": {
            "self": ctx.link(f"{base}/outputs/{'listings' if folder else 'media'}{path}"),
            "system": ctx.link(f"/systems/v2/{place.system_id}"),
            "parent": ctx.link(base),
        },
    }


async def downloadOutput(ctx: Context, *, jobId: str, filePath: str) -> Result:
    _, place = output_place(ctx.tenant, jobId, ctx.user, filePath)
    return download(ctx, place.disk.at(place.path), name_of(place.path), send_past_end=True)


# callbacks from jobs -------------------------------------------------------------------------------------------------

TRIGGER = "/jobs/v2/trigger/job/{jobId}/token/{token}/status/{status}"


@route("GET", TRIGGER, token=False)
async def trigger(ctx: Context, *, jobId: str, token: str, status: str) -> Result:
    """A job tells of itself: that it failed, or that it is alive. All else this tenant sees by itself."""
    job = _told(ctx, jobId, token)
    match status.upper():
        case "FAILED" if ctx.tenant.jobs.fail(jobId, "Job reported its own failure"):
            return {"id": jobId, "status": "FAILED"}
        case "HEARTBEAT" if job["status"] not in FINAL:
            ctx.store.event(jobId, "HEARTBEAT", "Job is alive", by=job["owner"])
        case other if other != job["status"]:
            raise Refusal(400, f"A job that is {job['status']} cannot become {status} by its own report")
    return {"id": jobId, "status": job["status"]}


@route("POST", TRIGGER, token=False)
async def trigger_event(ctx: Context, *, jobId: str, token: str, status: str) -> Result:
    """A job tells of an event of its own, with values of its own."""
    job = _told(ctx, jobId, token)
    body = await body_of(ctx.request)
    if status.upper() != "HEARTBEAT" or not isinstance(body, dict) or not isinstance(body.get(OWN_EVENT), str):
        raise Refusal(400, f"An event of a job's own is a HEARTBEAT with an object that holds {OWN_EVENT}")
    name = body[OWN_EVENT].strip()
    told = ", ".join(f"{key}={value}" for key, value in body.items() if key != OWN_EVENT)
    if not name or name.upper() in STATES or len(told) + len(name) > LARGEST_EVENT:
        raise Refusal(400, f"{name[:64]} cannot be the name of a job's own event, or it tells too much")
    if job["status"] in FINAL:
        raise Refusal(400, f"The job is {job['status']} and can report no event")
    ctx.store.event(jobId, name, told or "Event of the job", by=job["owner"], told=body)
    return Answer(status=202)


def _told(ctx: Context, job_id: str, token: str) -> Record:
    job = ctx.store.get("job", job_id)
    if job is None:
        raise Refusal(404, f"No job found with job id {job_id}.")
    if not compare_digest(token.encode(), job["_token"].encode()):
        raise Refusal(403, "Invalid update token for this job")
    return job
