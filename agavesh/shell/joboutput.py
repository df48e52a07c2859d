"""A job to its end, and what it writes on the way: for `jobs submit`, `wait` and `logs`."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, TypeVar

import trio

from agavesh.client.errors import AgaveError, NotFound, Untrusted
from agavesh.client.storage import JobStorage
from agavesh.client.watch import PASSING, follow
from agavesh.shell import exits
from agavesh.shell.content import PATIENCE, SOONEST, growth
from agavesh.tree.jobs import FINAL
from agavesh.tree.storage import StorageDirectory

if TYPE_CHECKING:
    from agavesh.shell.session import Session
    from agavesh.tree.node import Node

T = TypeVar("T")


async def wait_for(here: Session, job: str, *, named: bool = False) -> int:
    """Follow one job to its end; the exit status that it means."""
    agave = await here.agave()
    status = ""
    async for event in follow(agave, job):
        if event.status != status:  # a step may have several events
            here.console.note(f"agavesh: {f'job {job}: ' if named else ''}{event.status.lower().replace('_', ' ')}")
        status = event.status
    record = await _patiently(lambda: agave.jobs.get(jobId=job))
    status = record.status or status
    (await here.workspace()).listings.forget("/jobs", below=True)
    if status == "FINISHED":
        return exits.OK
    if record.message:
        here.console.note(f"agavesh: {f'job {job}: ' if named else ''}{record.message}")
    return exits.JOB_FAILED if status == "FAILED" else exits.JOB_STOPPED


async def follow_output(here: Session, job: str, suffix: str) -> int:
    """What the job writes on standard output, what happens to it on standard error; the status it ends with."""
    status = 0

    async def watch() -> None:
        nonlocal status
        status = await wait_for(here, job)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        await _copy_growth(here, job, suffix)
    return status


async def _copy_growth(here: Session, job: str, suffix: str) -> None:
    agave = await here.agave()
    while True:
        ended = (await _patiently(lambda: agave.jobs.getStatus(jobId=job))).status in FINAL
        if (node := await _patiently(lambda: output_file(here, job, suffix))) is not None:
            async with aclosing(growth(agave, node, 0)) as parts:
                async for part in parts:
                    await here.console.send(part)
            return
        if ended:
            return
        await trio.sleep(SOONEST)


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """The answer, waited for through trouble on the line; a refusal is not."""
    gives_up = trio.current_time() + PATIENCE
    while True:
        try:
            return await ask()
        except PASSING as trouble:
            if isinstance(trouble, Untrusted) or trio.current_time() > gives_up:
                raise
        await trio.sleep(SOONEST)


async def output_file(here: Session, job: str, suffix: str) -> "Node | None":
    """The file that a job's standard output or error went to, if it is there yet."""
    workspace = await here.workspace()
    record = await workspace.agave.jobs.get(jobId=job)
    folder = await workspace.directory(f"/jobs/{job}/outputs")
    assert isinstance(folder, StorageDirectory)
    assert isinstance(folder.storage, JobStorage)
    try:
        entries = (await folder.listing(fresh=0)).items
    except AgaveError as error:
        if isinstance(error, NotFound) or ((error.status or 0) >= 500 and not record.startTime):
            return None  # wire: before its folder is made, a job's outputs are an error of the server
        raise
    # wire: <slug>.out where jobs are processes, <slug>-<id>.out where a scheduler has them
    slug = re.sub(r"[^a-z0-9]+", "-", (record.name or "").lower()).strip("-")
    stems = {name.removesuffix(f".{suffix}"): name for name in entries if name.endswith(f".{suffix}")}
    plain = {re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-"): name for stem, name in stems.items()}
    chosen = plain.get(slug) or plain.get(f"{slug}-{job}".lower()) or next(iter(sorted(stems.values())), None)
    return folder.child(entries[chosen]) if chosen else None
