"""Uploads and imports on their way to their place: the platform takes a file first and settles it later.

A small upload is settled before its answer. A larger one, or an import, is a row in `stagings` and a task: history says
STAGING_QUEUED, STAGING, then STAGING_COMPLETED or STAGING_FAILED. The bytes lie in a temporary until one rename puts
them in place, so nobody reads a part; a tenant that was stopped in between goes on at its next start. Files for one
path settle in the order they came, wherever its record has moved to meanwhile.
"""

from __future__ import annotations

import logging
import secrets
import shutil
import stat
from collections import deque
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

import trio

from agavesh.tenant.files.disk import normal
from agavesh.tenant.files.fetching import fetch
from agavesh.tenant.files.places import Place
from agavesh.tenant.files.trees import put_in_place
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.store import patiently
from agavesh.tenant.words import Pem, new_uuid

if TYPE_CHECKING:
    from agavesh.tenant.state import Tenant

log = logging.getLogger(__name__)

SMALL = 4 * 2**20  # bytes: up to here an upload is settled before it is answered
SETTLED = "Your scheduled transfer completed staging"
SCHEMES = ("http", "https", "agave")


class Arrival(NamedTuple):
    """One file on its way: a row of `stagings`. `fetched` ones come from `source`, others lie in `temporary`."""

    temporary: Path
    uuid: str
    user: str
    source: str
    fetched: bool


class Staging:
    """The files on their way into one tenant."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._queues: dict[str, deque[Arrival]] = {}  # by uuid; each has a task for as long as it is here

    def temporary(self) -> Path:
        """A name for bytes on their way."""
        return self._tenant.staging / secrets.token_hex(8)

    def take(self, place: Place, user: str, temporary: Path, source: str) -> tuple[str, str]:
        """Bring uploaded bytes to their place, now or later: the record's uuid and its status. It keeps `temporary`."""
        uuid = self._expect(place, user, source)
        arrival = Arrival(temporary, uuid, user, source, fetched=False)
        small = temporary.stat().st_size <= SMALL
        if small and uuid not in self._queues and not self._tenant.faults.staging_held:
            try:
                return uuid, "STAGING_COMPLETED" if self._settle(arrival) else "STAGING_FAILED"
            finally:
                temporary.unlink(missing_ok=True)
        self._queue(arrival)
        return uuid, "STAGING_QUEUED"

    def fetch(self, place: Place, user: str, url: str) -> tuple[str, str]:
        """Import from a URL, later: the record's uuid and its status."""
        if urlsplit(url).scheme not in SCHEMES:
            raise Refusal(400, f"No valid URL specified: the schemes are {', '.join(SCHEMES)}")
        uuid = self._expect(place, user, url)
        self._queue(Arrival(self.temporary(), uuid, user, url, fetched=True))
        return uuid, "STAGING_QUEUED"

    def sweep(self) -> None:
        """Clear away what an earlier run left half. Call it before anything else works in the folder."""
        wanted = {name for (name,) in self._tenant.store.sql("select temporary from stagings")}
        for left in self._tenant.staging.iterdir():
            if left.name not in wanted:
                left.unlink()

    def resume(self) -> None:
        """Take up what an earlier run of the tenant left."""
        for name, uuid, user, source, fetched in self._tenant.store.sql(
            "select temporary, uuid, username, source, fetched from stagings order by rowid"
        ):
            self._start(Arrival(self._tenant.staging / name, uuid, user, source, bool(fetched)))

    def _expect(self, place: Place, user: str, source: str) -> str:
        there = place.disk.stat(place.path)
        if there is not None and stat.S_ISDIR(there.st_mode):
            raise Refusal(400, f"A folder of the name {place.path} exists")
        with self._tenant.store.together():
            uuid = self._tenant.files.record(place, user)
            if there is not None:
                self._tenant.store.event(uuid, "OVERWRITTEN", "File was overwritten by an upload", by=user)
            self._tenant.store.event(uuid, "STAGING_QUEUED", f"File/folder queued for staging from {source}", by=user)
        return uuid

    def _queue(self, arrival: Arrival) -> None:
        self._tenant.store.sql(
            "insert into stagings values (?, ?, ?, ?, ?)",
            arrival.temporary.name, arrival.uuid, arrival.user, arrival.source, int(arrival.fetched),
        )  # fmt: skip
        self._start(arrival)

    def _start(self, arrival: Arrival) -> None:
        self._tenant.awake.add(arrival.temporary.name)
        if (queue := self._queues.get(arrival.uuid)) is not None:
            queue.append(arrival)
            return
        self._queues[arrival.uuid] = deque([arrival])
        self._tenant.nursery.start_soon(self._work_off, arrival.uuid)

    async def _work_off(self, uuid: str) -> None:
        """Bring the files for one record, one after the other. Cancelled it leaves rows, for the next start."""
        queue = self._queues[uuid]
        while queue:
            await self._tenant.faults.staging_released()
            await patiently(partial(self._arrive, queue[0]))
            self._tenant.awake.discard(queue.popleft().temporary.name)
        del self._queues[uuid]  # no await since the queue was seen empty: nobody has put anything there

    async def _arrive(self, arrival: Arrival) -> None:
        """Can be done again from its beginning: what comes of it and the end of its row are written together."""
        self._note(arrival, "STAGING", "Staging began")
        trouble: Exception | None = None
        if arrival.fetched:
            try:
                await self._bring(arrival)
            except (Refusal, OSError) as problem:
                trouble = problem
        with self._tenant.store.together():
            if trouble is not None:
                self._failed(arrival, trouble)
            elif arrival.temporary.exists():
                self._settle(arrival)
            else:  # in place already, when the tenant ended or the disk was too full to say so
                self._note(arrival, "STAGING_COMPLETED", SETTLED)
            self._tenant.store.sql("delete from stagings where temporary = ?", arrival.temporary.name)
        arrival.temporary.unlink(missing_ok=True)

    def _settle(self, arrival: Arrival) -> bool:
        """Put the bytes in place, in one step. No await: the listing shows the old file or the new one."""
        rows = self._tenant.store.sql("select system, path from files where uuid = ?", arrival.uuid)
        if not rows:
            return False  # deleted while it was on its way
        system, path = rows[0]
        try:
            size = arrival.temporary.stat().st_size
            put_in_place(arrival.temporary, Path(self._tenant.disk(system).at(path)))
        except (Refusal, OSError) as problem:
            self._failed(arrival, problem)
            return False
        self._note(arrival, "STAGING_COMPLETED", SETTLED, {"progress": _progress(arrival.source, size)})
        return True

    def _failed(self, arrival: Arrival, problem: Exception) -> None:
        why = problem.strerror if isinstance(problem, OSError) else str(problem)  # the file is a temporary
        log.info("staging of %s failed: %s", arrival.uuid, why)
        self._note(arrival, "STAGING_FAILED", f"Staging from {arrival.source} failed: {why}")

    def _note(self, arrival: Arrival, status: str, description: str, more: dict[str, Any] | None = None) -> None:
        """An event, unless the record is gone."""
        if self._tenant.store.sql("select 1 from files where uuid = ?", arrival.uuid):
            self._tenant.store.event(arrival.uuid, status, description, by=arrival.user, more=more)

    async def _bring(self, arrival: Arrival) -> None:
        """Get the bytes of an import; until they are whole they have another name, so that a restart begins anew."""
        part = arrival.temporary.with_suffix(".part")
        if arrival.source.startswith("agave://"):
            place = self._tenant.files.uri(arrival.user, arrival.source)
            self._tenant.files.require(place, arrival.user, Pem.READ, "read")
            await trio.to_thread.run_sync(shutil.copyfile, place.disk.at(place.path), part)
        else:
            await fetch(arrival.source, part)
        part.rename(arrival.temporary)


def import_name(url: str) -> str:
    """What an import is called if nobody says: the last part of the URL's path."""
    return unquote(normal(urlsplit(url).path).rpartition("/")[2]) or "unknown"


def _progress(source: str, size: int) -> dict[str, Any]:
    return {
        "uuid": new_uuid("009"), "source": source, "totalActiveTransfers": 0, "totalFiles": 1,
        "totalBytesTransferred": size, "totalBytes": size, "averageRate": float(size),
    }  # fmt: skip
