"""`/jobs/by-name` and `/jobs/by-status`: the newest jobs once more, as links, by what they have in common."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from agavesh.api.models.jobs import Job
from agavesh.client.storage import EXECUTE, READ, Entry
from agavesh.tree.node import Directory, Link, Node

_FOLDER = READ | EXECUTE
_NAME_MOST = 255  # bytes

Records = Callable[[], Awaitable[dict[str, Job]]]


@dataclass(frozen=True)
class JobsBy(Directory):
    """A folder for each value of `kind` that a job has. A value that can't name a folder is changed until it can."""

    records: Records
    kind: Callable[[Job], str]

    async def scan(self) -> AsyncIterator[Node]:
        for value in dict.fromkeys([folder_name(self.kind(job)) for job in (await self.records()).values()]):
            yield self._child(value)

    async def lookup(self, name: str) -> Node:
        if all(folder_name(self.kind(job)) != name for job in (await self.records()).values()):
            raise self.missing(name)
        return self._child(name)

    def _child(self, value: str) -> JobsOf:
        entry = Entry(value, "dir", 0, None, _FOLDER)
        return JobsOf(f"{self.path}/{value}", entry, self.records, self.kind, self.path.rpartition("/")[0])


@dataclass(frozen=True)
class JobsOf(Directory):
    """The jobs of one value, newest first: links by id, since names repeat."""

    records: Records
    kind: Callable[[Job], str]
    jobs: str

    async def scan(self) -> AsyncIterator[Node]:
        for job in (await self.records()).values():
            if folder_name(self.kind(job)) == self.name:
                yield self._link(job.id)

    async def lookup(self, name: str) -> Node:
        job = (await self.records()).get(name)
        if job is None or folder_name(self.kind(job)) != self.name:
            raise self.missing(name)
        return self._link(name)

    def _link(self, job: str) -> Link:
        return Link(f"{self.path}/{job}", Entry(job, "file", None, None, READ), f"{self.jobs}/{job}")


def folder_name(value: str) -> str:
    """The value as the name of a folder."""
    name = value.replace("/", "_").replace("\0", "_")
    if len(os.fsencode(name)) > _NAME_MOST:
        name = name.encode(errors="surrogateescape")[:_NAME_MOST].decode(errors="ignore")
    return f"_{name}" if name in ("", ".", "..") else name
