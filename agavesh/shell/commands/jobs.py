"""jobs: runs of apps. List, show, submit, wait, stop, logs, history, resubmit, delete."""

from typing import Annotated, Any

from agavesh.api.words import JobId, Word
from agavesh.client.errors import BadArgument, NotFound
from agavesh.shell.command import Short, command
from agavesh.shell.session import Session

Filter = Annotated[str, Word("FIELD=VALUE, FIELD.OPERATOR=VALUE or FIELD~TEXT", lists="job-fields")]
Setting = Annotated[
    str, Word("an input, parameter or field of the request: name=value, name:=JSON", lists="app-inputs")
]
AppOrFile = Annotated[str, Word("id of an app, or a JSON file with the request (- is standard input)", lists="/apps")]
Wait = Annotated[bool, Word("wait for the end, and end as the job did"), Short("w")]
Follow = Annotated[bool, Word("show its output as it comes, and wait"), Short("f")]

LATEST = "latest"


@command("jobs", also=["jobs list"], examples=["jobs", "jobs status=FINISHED", "jobs app~count"])
async def jobs(
    here: Session, *filters: Filter, limit: Annotated[int, Word("at most so many"), Short("n")] = 100
) -> None:
    """List jobs, newest first: all or those that fit every filter."""
    from agavesh.shell.filters import search
    from agavesh.shell.render import field, show_list

    if limit < 1:
        raise BadArgument(f"at most {limit} jobs are none", hint="a number from 1 on")
    agave = await here.agave()
    found: list[Any] = []
    pages = []
    wanted = search(filters, "job-fields")
    async for page in agave.pages(agave.jobs.list, limit=limit, search=wanted):
        pages.append(page)  # a record's own bytes last as long as its page
        found += page
        if len(found) >= limit:
            break
    columns = [
        field("id"), field("name", narrows=True), field("appId", "app", narrows=True), field("status"),
        field("created", drops=True), field("endTime", "ended", drops=True),
    ]  # fmt: skip
    await show_list(here, found[:limit], columns)


@command("jobs show", examples=["jobs show latest", "jobs show latest -o json"])
async def show(here: Session, job: JobId) -> None:
    """Show all that is known of a job; "latest" is your newest."""
    from agavesh.shell.render import show_one

    await show_one(here, await (await here.agave()).jobs.get(jobId=await _id(here, job)))


@command(
    "jobs submit",
    examples=[
        "jobs submit wordcount-1.0 text=/systems/data.demo/alice/README.txt --wait",
        "jobs submit ticker-1.0 lines=3 delay=0 --name quick --follow",
    ],
)
async def submit(
    here: Session,
    app: AppOrFile,
    *settings: Setting,
    name: Annotated[str, Word("name of the job; else that of the app")] = "",
    wait: Wait = False,
    follow: Follow = False,
) -> int:
    """Submit a job, and print its id.

    Names and values are checked against the app before anything is sent. An input is a path of the tree or a URI.
    With --wait or --follow the exit status is 0 for FINISHED, 1 for FAILED, 2 for STOPPED and KILLED.
    """
    body = await _request(here, app, settings, name)
    job = await (await here.agave()).jobs.submit(body=body)
    return await _submitted(here, job, wait, follow)


async def _request(here: Session, app: str, settings: tuple[str, ...], name: str) -> dict[str, Any]:
    from agavesh.shell.filters import pairs
    from agavesh.shell.jobrequest import job_request

    if app == "-" or app.endswith(".json") or "/" in app:
        body = _read_request(app)
        for key, value, _ in pairs(settings):
            body[key] = value
        return body | ({"name": name} if name else {})
    try:
        record = await (await here.agave()).apps.get(appId=app)
    except NotFound as missing:
        raise await here.meant("/apps", app, missing) from None
    request = job_request(record, pairs(settings), name=name)
    for key, value in request["inputs"].items():
        values = value if isinstance(value, list) else [value]
        request["inputs"][key] = [await _uri(here, text) for text in values]
    return request


def _read_request(file: str) -> dict[str, Any]:
    import sys
    from pathlib import Path

    import msgspec

    text = sys.stdin.buffer.read() if file == "-" else Path(file).expanduser().read_bytes()
    try:
        body = msgspec.json.decode(text)
    except msgspec.DecodeError as reason:
        raise BadArgument(f"{file} is no JSON: {reason}") from None
    if not isinstance(body, dict):
        raise BadArgument(f"{file} holds no request", hint="a JSON object with name, appId, inputs, parameters")
    return body


async def _uri(here: Session, text: str) -> str:
    """What the platform calls an input that was named as a path of the tree."""
    if "://" in text:
        return text
    path = await here.tree_path(text)
    if path.startswith("/systems/"):
        node = await here.find_or_none(path)  # `~` and other links
        if node is None:
            raise NotFound(f"no {path}", hint="an input is a path of the tree, or a URI")
        path = node.path
        system, _, inner = path.removeprefix("/systems/").partition("/")
        from agavesh.client.path import RemotePath

        return RemotePath("system", system, f"/{inner}").uri
    raise BadArgument(
        f"{path} is on no system, so a job can't have it", hint="copy it to /systems/SYSTEM/… first, or give a URI"
    )


async def _submitted(here: Session, job: Any, wait: bool, follow: bool) -> int:
    from agavesh.shell.joboutput import follow_output, wait_for
    from agavesh.shell.render import show_one

    (await here.workspace()).listings.forget("/jobs")
    if follow:
        here.console.note(f"agavesh: job {job.id}")
    elif here.output == "table":
        await here.console.show(f"{job.id}\n")
    else:
        await show_one(here, job)
    ended = not (wait or follow)
    try:
        status = await follow_output(here, job.id, "out") if follow else await wait_for(here, job.id) if wait else 0
        ended = True
        return status
    finally:
        if not ended:  # Ctrl-C, or the platform is away
            here.console.note(f'agavesh: the job goes on; "jobs wait {job.id}" waits for it, "jobs stop" ends it')


@command("jobs wait", examples=["jobs wait latest"])
async def wait(here: Session, jobs: list[JobId]) -> int:
    """Wait for jobs to end, and say what happens meanwhile.

    The exit status is 0 for FINISHED, 1 for FAILED, 2 for STOPPED and KILLED; of several jobs, that of the worst.
    """
    import trio

    from agavesh.shell import exits
    from agavesh.shell.joboutput import wait_for

    ends: list[int] = []

    async def one(job: str) -> None:
        ends.append(await wait_for(here, job, named=len(jobs) > 1))

    ids = [await _id(here, job) for job in jobs]
    async with trio.open_nursery() as nursery:
        for job in ids:
            nursery.start_soon(one, job)
    return exits.JOB_FAILED if exits.JOB_FAILED in ends else max(ends)


@command("jobs stop", examples=["jobs stop latest"])
async def stop(here: Session, jobs: list[JobId]) -> None:
    """Stop jobs that wait or run."""
    agave = await here.agave()
    for job in jobs:
        await agave.jobs.manage(jobId=await _id(here, job), body={"action": "stop"})


@command("jobs delete", examples=["jobs delete latest"])
async def delete(here: Session, jobs: list[JobId]) -> None:
    """Take jobs out of all listings, stopping them if they run. What they left in an archive stays there."""
    workspace = await here.workspace()
    for job in jobs:
        found = await _id(here, job)
        await workspace.agave.jobs.delete(jobId=found)
        workspace.listings.drop("/jobs", found)


@command("jobs resubmit", examples=["jobs resubmit latest --wait"])
async def resubmit(here: Session, job: JobId, *, wait: Wait = False, follow: Follow = False) -> int:
    """Submit the request of a job again, and print the new job's id."""
    agave = await here.agave()
    again = await agave.jobs.manage(jobId=await _id(here, job), body={"action": "resubmit"})
    if again is None:
        raise NotFound(f"the platform did not say which job comes of {job}", hint='"jobs" lists the newest first')
    return await _submitted(here, again, wait, follow)


@command("jobs history", examples=["jobs history latest", "jobs history latest -o csv"])
async def history(here: Session, job: JobId) -> None:
    """List what happened to a job, oldest first."""
    from agavesh.shell.render import field, show_list

    agave = await here.agave()
    found = await _id(here, job)
    pages = [page async for page in agave.pages(agave.jobs.getHistory, jobId=found)]
    columns = [field("created"), field("status"), field("description", narrows=True)]
    await show_list(here, [event for page in pages for event in page], columns)


@command("jobs logs", examples=["jobs logs latest", "jobs logs latest --err"])
async def logs(
    here: Session,
    job: JobId,
    *,
    follow: Annotated[bool, Word("go on to the end of the job"), Short("f")] = False,
    err: Annotated[bool, Word("its standard error instead of its standard output"), Short("e")] = False,
) -> int:
    """Write out what a job wrote."""
    from agavesh.shell.joboutput import follow_output, output_file

    found = await _id(here, job)
    suffix = "err" if err else "out"
    if follow:
        return await follow_output(here, found, suffix)
    from contextlib import aclosing

    from agavesh.shell.content import chunks

    node = await output_file(here, found, suffix)
    if node is None:
        raise NotFound(
            f"job {found} has written no .{suffix} file", hint=f'"ls /jobs/{found}/outputs" shows what there is'
        )
    async with aclosing(chunks(node)) as parts:
        async for part in parts:
            await here.console.send(part)
    return 0


async def _id(here: Session, job: str) -> str:
    """The id that is meant: "latest" is the newest job's, and job:ID is ID."""
    if job != LATEST:
        return job.removeprefix("job:").rstrip("/")
    page = await (await here.agave()).jobs.list(limit=1)
    if not page:
        raise NotFound("you have no job yet", hint='"jobs submit APP" makes one; "apps" lists what there is')
    return page[0].id
