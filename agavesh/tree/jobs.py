"""`/jobs`: the newest jobs, each with its record, status, history and outputs, and links to them by name and status."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import msgspec

from agavesh.api.models.jobs import Job
from agavesh.api.record import decode_page
from agavesh.client.client import Agave
from agavesh.client.errors import BadRequest, NotFound
from agavesh.client.storage import EXECUTE, READ, Entry, JobStorage, seconds_of
from agavesh.tree.jobs_by import JobsBy
from agavesh.tree.listing import ListingCache
from agavesh.tree.node import Directory, Link, Node, TextFile, is_name
from agavesh.tree.storage import StorageDirectory

FINAL = frozenset({"FINISHED", "FAILED", "STOPPED", "KILLED"})
LATEST = "latest"
BY_NAME, BY_STATUS = "by-name", "by-status"
NEWEST = 250  # jobs that are listed; older ones open by their id
_LIST_FRESH = 2.0  # seconds: a job that was just submitted is looked for at once
_JOB_FRESH = 2.0  # seconds that a job which has not ended is believed
_GROWING_FRESH = 1.0  # seconds that its outputs are: who follows one looks once a second, and is to see it within two
_ENDED_FRESH = 300.0  # seconds: what a job has left changes no more, but may be deleted
_FOLDER = READ | EXECUTE


@dataclass(frozen=True)
class Jobs(Directory):
    """`/jobs`: your newest jobs by id, newest first, `latest`, and folders that sort them.

    An older job is not listed, but opens by its id.
    """

    agave: Agave
    listings: ListingCache

    async def records(self, *, fresh: float = _LIST_FRESH) -> dict[str, Job]:
        """The newest jobs by id, newest first, as full records."""
        return (await self.listings.get(self.path, self._fetch, fresh=self.listings.life(fresh))).items

    async def _fetch(self) -> dict[str, Job]:
        before = self.listings.peek(self.path) or {}
        found: dict[str, Job] = {}
        # wire: with a filter a list gives full records, not summaries
        async for page in self.agave.pages(self.agave.jobs.list, limit=NEWEST, filter="*"):
            jobs = decode_page(page.json, Job)
            found.update((job.id, _kept(job)) for job in jobs if is_name(job.id))
            if len(found) >= NEWEST:
                break
        # one that is too old for this list by now may end without being seen here
        self._ended(before, {id: found.get(id) for id in before} | found)
        return found

    def _ended(self, before: Mapping[str, Job], now: Mapping[str, Job | None]) -> None:
        """What was listed while a job still wrote is not what it has left."""
        for id, job in now.items():
            if job is not None and job.status not in FINAL:
                continue
            old = before.get(id) or (self.listings.peek(f"{self.path}/{id}") or {}).get(id)
            if old is not None and old.status not in FINAL:
                self.listings.forget(f"{self.path}/{id}/outputs", below=True)

    async def scan(self) -> AsyncIterator[Node]:
        jobs = list((await self.records()).values())
        yield self._by(BY_NAME)
        yield self._by(BY_STATUS)
        if jobs:
            yield self._latest(jobs[0])
        for job in jobs:
            yield self.child(job)

    async def lookup(self, name: str) -> Node:
        if name in (BY_NAME, BY_STATUS):
            return self._by(name)
        jobs = await self.records()
        if name == LATEST:
            if not jobs:
                raise self.missing(name)
            return self._latest(next(iter(jobs.values())))
        return self.child(jobs[name] if name in jobs else await self._old(name))

    def _by(self, name: str) -> JobsBy:
        kind = _name_of if name == BY_NAME else _status_of
        return JobsBy(f"{self.path}/{name}", Entry(name, "dir", 0, None, _FOLDER), self.records, kind)

    def _latest(self, job: Job) -> Link:
        return Link(f"{self.path}/{LATEST}", Entry(LATEST, "file", None, None, READ), f"{self.path}/{job.id}")

    async def _old(self, name: str) -> Job:
        """A job that is not among the newest. The platform's ids end in -007: nothing else is asked for."""
        if not name.endswith("-007"):
            raise self.missing(name)

        async def fetch() -> dict[str, Job]:
            try:
                found = {name: _kept(await self.agave.jobs.get(jobId=name))}
            except BadRequest:  # wire: some builds say 400 for an unknown job
                raise self.missing(name) from None
            self._ended({}, found)
            return found

        fresh = self.listings.life(_LIST_FRESH)
        return (await self.listings.get(f"{self.path}/{name}", fetch, fresh=fresh)).items[name]

    def child(self, job: Job) -> JobDirectory:
        entry = Entry(job.id, "dir", 0, _changed(job), _FOLDER)
        return JobDirectory(f"{self.path}/{job.id}", entry, job, self)


@dataclass(frozen=True)
class JobDirectory(Directory):
    """`/jobs/<id>`: `job.json` and `status` (what the platform says), `history.json`, and `outputs/`."""

    job: Job
    jobs: Jobs

    @property
    def ended(self) -> bool:
        return self.job.status in FINAL

    async def scan(self) -> AsyncIterator[Node]:
        for name in ("job.json", "status", "history.json", "outputs"):
            yield self._child(name)

    async def lookup(self, name: str) -> Node:
        if name not in ("job.json", "status", "history.json", "outputs"):
            raise self.missing(name)
        return self._child(name)

    def _child(self, name: str) -> Node:
        path, changed = f"{self.path}/{name}", _changed(self.job)
        if name == "outputs":
            fresh = self.jobs.listings.life(_ENDED_FRESH if self.ended else _GROWING_FRESH)
            return StorageDirectory(
                path, Entry(name, "dir", 0, changed, _FOLDER), JobStorage(self.jobs.agave, self.job.id),
                self.jobs.listings, "/", fresh, not self.ended,
            )  # fmt: skip
        if name == "history.json":
            return TextFile(path, Entry(name, "file", None, changed), self._history)
        # a job that has not ended may say something else by the time it is read: no size is promised
        render = _record if name == "job.json" else _status
        if self.ended:
            text = render(self.job)
            return TextFile(path, Entry(name, "file", len(text), changed), lambda: text)

        async def now() -> bytes:
            return render(await self._now())

        return TextFile(path, Entry(name, "file", None, changed), now)

    async def _now(self) -> Job:
        jobs = await self.jobs.records(fresh=_JOB_FRESH)
        return jobs[self.job.id] if self.job.id in jobs else await self.jobs.agave.jobs.get(jobId=self.job.id)

    async def _history(self) -> bytes:
        events: list[msgspec.Raw] = []
        async for page in self.jobs.agave.pages(self.jobs.agave.jobs.getHistory, jobId=self.job.id):
            events += msgspec.json.decode(page.json, type=list[msgspec.Raw])
        if not events:
            raise NotFound(f"no history of job {self.job.id}")
        return _pretty(msgspec.json.encode(events))


def _name_of(job: Job) -> str:
    return job.name or ""


def _status_of(job: Job) -> str:
    return job.status or ""


def _kept(job: Job) -> Job:
    """The job with its own bytes beside it, so that its page need not be kept."""
    job.__dict__["_json"] = job.json
    return job


def _record(job: Job) -> bytes:
    return _pretty(job.json)


def _status(job: Job) -> bytes:
    return f"{job.status}\n".encode()


def _pretty(json: bytes) -> bytes:
    return msgspec.json.format(json, indent=2) + b"\n"


def _changed(job: Job) -> float:
    at = job.endTime or job.lastUpdated or job.startTime or job.created
    seconds = seconds_of(at) if at else None
    return time.time() if seconds is None else seconds
