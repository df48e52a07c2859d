"""Uploads and imports on their way to their place: the platform takes a file first and settles it later.

A small upload is settled before its answer. A larger one, or an import, is a row in `stagings` and a task: history says
STAGING_QUEUED, STAGING, then STAGING_COMPLETED or STAGING_FAILED; of an upload, not of an import, UPLOAD just before it
is completed. The bytes lie in a temporary, and on the disk, until one rename puts them in place with their records (see
`changes`), so nobody reads a part; a tenant that was stopped in between goes on at its next start. Files for one path
settle in the order they came, wherever its record has moved to meanwhile. An import that is not as anybody foresaw
fails alone: neither the tenant nor its next start dies of it.
"""

from __future__ import annotations

import logging
import os
import secrets
import stat
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

import trio

from agavesh.tenant import background
from agavesh.tenant.files.disk import normal, said
from agavesh.tenant.files.fetching import anonymous, fetch, parts
from agavesh.tenant.files.history import content_changed
from agavesh.tenant.files.patches import whole
from agavesh.tenant.files.places import Place
from agavesh.tenant.files.trees import dress, erase, fill, graft, in_the_way, sync
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.store import Unwritable, patiently
from agavesh.tenant.words import Pem, new_uuid

if TYPE_CHECKING:
    from agavesh.tenant.state import Tenant

log = logging.getLogger(__name__)

SMALL = 4 * 2**20  # bytes: up to here an upload is settled before it is answered
SETTLED = "Your scheduled transfer completed staging"
SCHEMES = ("http", "https", "agave")


class Arrival(NamedTuple):
    """One file on its way: a row of `stagings`. `fetched` ones come from `source`, others lie in `temporary`. One with
    a `start`, which is a row of `patches`, is the part of the file that begins there."""

    temporary: Path
    uuid: str
    user: str
    source: str
    fetched: bool
    start: int | None = None

    @property
    def told(self) -> str:
        """Where it comes from, as all may read it who may read the file."""
        return anonymous(self.source)


class Staging:
    """The files on their way into one tenant."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._queues: dict[str, deque[Arrival]] = {}  # by uuid; each has a task for as long as it is here

    def temporary(self) -> Path:
        """A name for bytes on their way."""
        return self._tenant.staging / secrets.token_hex(8)

    async def take(
        self,
        place: Place,
        user: str,
        temporary: Path,
        source: str,
        tell: Sequence[dict[str, Any]] = (),
        *,
        start: int | None = None,
    ) -> tuple[str, str]:
        """Bring uploaded bytes to their place, now or later: the record's uuid and its status. `temporary` is kept, or
        moved; on an error it is the caller's. `tell` are subscriptions to what becomes of it. With a `start` they are
        a part of the file, from there on."""
        arrival = Arrival(temporary, "", user, source, fetched=False, start=start)
        size = await trio.to_thread.run_sync(sync, temporary)
        while not self._must_wait(place, arrival, size):
            target = Path(place.disk.at(place.path))
            async with whole(temporary, start, target) as made:
                # no await from here on, and none yet if the file came whole
                if made.fits(target) and not self._must_wait(place, arrival, size):
                    return self._settle_at_once(place, arrival, made.file, tell)
        return self._queue(place, arrival, tell), "STAGING_QUEUED"

    def _must_wait(self, place: Place, arrival: Arrival, size: int) -> bool:
        """Whether an upload is large, or others are before it."""
        if (there := _replaced(place)) is not None and arrival.start is not None:
            size = max(size, there.st_size)  # all of it is written again
        found = self._tenant.files.find(place)
        busy = found is not None and found[0] in self._queues
        return busy or size + (arrival.start or 0) > SMALL or self._tenant.faults.staging_held

    def fetch(self, place: Place, user: str, url: str, tell: Sequence[dict[str, Any]] = ()) -> tuple[str, str]:
        """Import from a URL, later: the record's uuid and its status. `tell` as in `take`."""
        if parts(url).scheme not in SCHEMES:
            raise Refusal(400, f"No valid URL specified: the schemes are {', '.join(SCHEMES)}")
        return self._queue(place, Arrival(self.temporary(), "", user, url, fetched=True), tell), "STAGING_QUEUED"

    async def merge(self, place: Place, user: str, tree: Path, write: Callable[[], str]) -> str:
        """Move what is in a staged folder into the folder that is at a place, with what `write` writes, whose uuid is
        given back. Once it has begun a crash does not keep it from its end."""
        if (name := await trio.to_thread.run_sync(in_the_way, tree, Path(place.disk.at(place.path)))) is not None:
            raise Refusal(400, f"{place.path}/{name} exists and is of the other kind")
        with self._tenant.store.together():
            arrival = Arrival(tree, write(), user, place.path, fetched=False)
            self._expected(arrival)
        await self._graft(arrival)
        return arrival.uuid

    def sweep(self) -> None:
        """Clear away what an earlier run left half. Call it before anything else works in the folder."""
        wanted = {name for (name,) in self._tenant.store.sql("select temporary from stagings")}
        for left in self._tenant.staging.iterdir():
            if left.name not in wanted:
                with background.contained(f"clearing away {left.name}"):
                    left.rename(self._tenant.trash / secrets.token_hex(8))

    def resume(self) -> None:
        """Take up what an earlier run of the tenant left."""
        for name, uuid, user, source, fetched, start in self._tenant.store.sql(
            "select temporary, uuid, username, source, fetched, start"
            " from stagings left join patches using (temporary) order by stagings.rowid"
        ):
            arrival = Arrival(self._tenant.staging / name, uuid, user, source, bool(fetched), start)
            if arrival.temporary.is_dir():
                what = f"the rest of a copy of {source}"
                self._tenant.nursery.start_soon(background.work, what, partial(self._graft_at_last, arrival))
            else:
                self._start(arrival)

    def _expect(self, place: Place, arrival: Arrival, tell: Sequence[dict[str, Any]]) -> str:
        """Write that a file is coming. Its record is new, and the user's, if there was none."""
        there = _replaced(place)
        user = arrival.user
        uuid = self._tenant.files.record(place, user)
        self._tenant.notifications.subscribe(uuid, user, tell)
        if there is not None:
            self._tenant.store.event(uuid, "OVERWRITTEN", "File was overwritten by an upload", by=user)
        self._tenant.store.event(uuid, "STAGING_QUEUED", f"File/folder queued for staging from {arrival.told}", by=user)
        return uuid

    def _settle_at_once(
        self, place: Place, arrival: Arrival, file: Path, tell: Sequence[dict[str, Any]]
    ) -> tuple[str, str]:
        """All that happens to a small upload, in one transaction; no await. `file` is what is put in place."""
        target, status = Path(place.disk.at(place.path)), "STAGING_COMPLETED"
        try:
            dress(file, target)
            with self._tenant.changes.renaming(file, target):
                uuid = self._expect(place, arrival, tell)
                self._settled(arrival._replace(uuid=uuid), file.stat().st_size)
        except Unwritable:
            raise
        except OSError as problem:
            with self._tenant.store.together():
                uuid = self._expect(place, arrival, tell)
                self._failed(arrival._replace(uuid=uuid), problem)
            status = "STAGING_FAILED"
        arrival.temporary.unlink(missing_ok=True)
        return uuid, status

    def _queue(self, place: Place, arrival: Arrival, tell: Sequence[dict[str, Any]]) -> str:
        """Write down that a file is to be brought, and have it brought. The uuid of its record."""
        with self._tenant.store.together():
            uuid = self._expect(place, arrival, tell)
            self._expected(arrival := arrival._replace(uuid=uuid))
        self._start(arrival)
        return uuid

    def _expected(self, arrival: Arrival) -> None:
        self._tenant.store.sql(
            "insert into stagings values (?, ?, ?, ?, ?)",
            arrival.temporary.name, arrival.uuid, arrival.user, arrival.source, int(arrival.fetched),
        )  # fmt: skip
        if arrival.start is not None:
            self._tenant.store.sql("insert into patches values (?, ?)", arrival.temporary.name, arrival.start)
        self._tenant.store.touched(self._tenant.staging)

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
            with background.contained(f"staging of {uuid}"):
                await patiently(partial(self._arrive, queue[0]))
                await patiently(self._tenant.store.flushed)
                queue[0].temporary.unlink(missing_ok=True)  # no sooner: a part is laid over again if its row is left
            self._tenant.awake.discard(queue.popleft().temporary.name)
        del self._queues[uuid]  # no await since the queue was seen empty: nobody has put anything there

    async def _arrive(self, arrival: Arrival) -> None:
        """Can be done again from its beginning: what comes of it and the end of its row are written together."""
        try:
            self._note(arrival, "STAGING", "Staging began")
            if arrival.fetched and not arrival.temporary.exists():
                await self._bring(arrival)
            await self._settle(arrival)
        except Unwritable:
            raise
        except Exception as problem:  # the edge: this one has failed, whatever it was
            if not isinstance(problem, (Refusal, OSError)):
                log.exception("staging of %s failed", arrival.uuid)
            self._give_up(arrival, problem)

    def _give_up(self, arrival: Arrival, problem: Exception) -> None:
        try:
            with self._tenant.store.together():
                self._failed(arrival, problem)
                self._done(arrival)
        except Unwritable:
            raise
        except Exception:  # the edge once more: what cannot even be told is not tried again at each start
            log.exception("that staging of %s failed cannot be told", arrival.uuid)
            self._done(arrival)

    async def _graft_at_last(self, arrival: Arrival) -> None:
        """Bring a merge to its end that an earlier run began. Nobody waits for it any more."""
        try:
            await self._graft(arrival)
        except Unwritable:
            raise
        except (Refusal, OSError) as problem:
            log.warning("a copy of %s was not finished: %s", arrival.source, said(problem))
            await trio.to_thread.run_sync(erase, arrival.temporary)

    async def _graft(self, arrival: Arrival) -> None:
        """Merge a staged folder into the one that its record stands for; OSError leaves it merged in part."""
        try:
            if (target := self._target(arrival)) is not None:
                with trio.CancelScope(shield=True):  # what was begun is done: it takes no time to speak of
                    await trio.to_thread.run_sync(graft, arrival.temporary, target)
                self._tenant.store.touched(target)
        finally:
            self._done(arrival)

    def _target(self, arrival: Arrival) -> Path | None:
        """Where the bytes go, wherever that has moved meanwhile; None if it was deleted."""
        rows = self._tenant.store.sql("select system, path from files where uuid = ?", arrival.uuid)
        return Path(self._tenant.disk(rows[0][0]).at(rows[0][1])) if rows else None

    async def _settle(self, arrival: Arrival) -> None:
        """Put the bytes in place, in one step: the listing shows the old file or the new one."""
        while arrival.temporary.exists() and (target := self._target(arrival)) is not None:
            async with whole(arrival.temporary, arrival.start, target) as made:
                # no await from here on
                if (target := self._target(arrival)) is not None and made.fits(target):
                    size = made.file.stat().st_size
                    dress(made.file, target)
                    with self._tenant.changes.renaming(made.file, target):
                        self._settled(arrival, size)
                        self._done(arrival)
                    return
        # deleted while it was on its way; or in place, but the machine went down before the disk had all of the records
        with self._tenant.store.together():
            self._completed(arrival)
            self._done(arrival)

    def _settled(self, arrival: Arrival, size: int) -> None:
        self._completed(arrival, {"progress": _progress(arrival.told, size)})
        for system, path in self._tenant.store.sql("select system, path from files where uuid = ?", arrival.uuid):
            content_changed(self._tenant, system, path, arrival.user)

    def _completed(self, arrival: Arrival, more: dict[str, Any] | None = None) -> None:
        if not arrival.fetched:  # wire: the platform says so first, and programs wait for what is said last
            self._note(arrival, "UPLOAD", "File upload has completed")
        self._note(arrival, "STAGING_COMPLETED", SETTLED, more)

    def _done(self, arrival: Arrival) -> None:
        for table in ("stagings", "patches"):
            self._tenant.store.sql(f"delete from {table} where temporary = ?", arrival.temporary.name)

    def _failed(self, arrival: Arrival, problem: Exception) -> None:
        why = "the tenant met something that it did not foresee"
        if isinstance(problem, Refusal):
            why = problem.message
        elif isinstance(problem, OSError):
            why = problem.strerror or why  # nothing more: the file is a temporary
        log.info("staging of %s failed: %s", arrival.uuid, why)
        self._note(arrival, "STAGING_FAILED", f"Staging from {arrival.told} failed: {why}")

    def _note(self, arrival: Arrival, status: str, description: str, more: dict[str, Any] | None = None) -> None:
        """An event, unless the record is gone."""
        if self._tenant.store.sql("select 1 from files where uuid = ?", arrival.uuid):
            self._tenant.store.event(arrival.uuid, status, description, by=arrival.user, more=more)

    async def _bring(self, arrival: Arrival) -> None:
        """Get the bytes of an import; until they are whole they have another name, so that a restart begins anew."""
        part = arrival.temporary.with_suffix(".part")
        try:
            if arrival.source.startswith("agave://"):
                place = self._tenant.files.uri(arrival.user, arrival.source)
                self._tenant.files.require(place, arrival.user, Pem.READ, "read")
                if await trio.to_thread.run_sync(fill, part, Path(place.disk.at(place.path))) is None:
                    raise Refusal(400, f"{place.path} is no plain file")  # pipes and devices may never come to an end
            else:
                await fetch(arrival.source, part)
            await trio.to_thread.run_sync(sync, part)
            part.rename(arrival.temporary)
        finally:
            part.unlink(missing_ok=True)


def _replaced(place: Place) -> os.stat_result | None:
    """What is where a file is to go, if there is anything. Refusal 400 for a folder."""
    there = place.disk.stat(place.path)
    if there is not None and stat.S_ISDIR(there.st_mode):
        raise Refusal(400, f"A folder of the name {place.path} exists")
    return there


def import_name(url: str) -> str:
    """What an import is called if nobody says: the last part of the URL's path."""
    return unquote(normal(parts(url).path).rpartition("/")[2]) or "unknown"


def _progress(source: str, size: int) -> dict[str, Any]:
    return {
        "uuid": new_uuid("009"), "source": source, "totalActiveTransfers": 0, "totalFiles": 1,
        "totalBytesTransferred": size, "totalBytes": size, "averageRate": float(size),
    }  # fmt: skip
