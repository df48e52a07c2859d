"""Uploads and imports on their way to their place: the platform takes a file first and settles it later.

A small upload is settled before its answer. A larger one, or an import, is a row in `stagings` and a task: history says
STAGING_QUEUED, STAGING, then STAGING_COMPLETED or STAGING_FAILED. The bytes lie in a temporary until one rename puts
them in place, so nobody ever reads a part; a tenant that was stopped in between goes on at its next start. Files for one
path settle in the order they came, wherever its record has moved to meanwhile.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import httpx
import trio

from agavesh.tenant.context import Refusal
from agavesh.tenant.disk import normal
from agavesh.tenant.files import Place
from agavesh.tenant.words import Pem, new_uuid

if TYPE_CHECKING:
    from agavesh.tenant.state import Tenant

log = logging.getLogger(__name__)

SMALL = 4 * 2**20  # bytes: up to here an upload is settled before it is answered
PATIENCE = 60.0  # seconds an import waits for the next bytes of its source
SCHEMES = ("http", "https", "agave")


class Staging:
    """The files on their way into one tenant."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._turns: dict[str, trio.Lock] = {}  # by uuid, while anything is on its way there

    def temporary(self) -> Path:
        """A name for bytes on their way."""
        return self._tenant.staging / secrets.token_hex(8)

    def take(self, place: Place, user: str, temporary: Path, source: str) -> tuple[str, str]:
        """Bring uploaded bytes to their place, now or later: the record's uuid and its status. `temporary` is ours now."""
        uuid = self._expect(place, user, source)
        if os.stat(temporary).st_size <= SMALL and uuid not in self._turns and not self._tenant.faults.staging_held:
            settled = self._settle(uuid, user, temporary, source)
            return uuid, "STAGING_COMPLETED" if settled else "STAGING_FAILED"
        self._queue(uuid, user, temporary, source, fetched=False)
        return uuid, "STAGING_QUEUED"

    def fetch(self, place: Place, user: str, url: str) -> tuple[str, str]:
        """Import from a URL, later: the record's uuid and its status."""
        if urlsplit(url).scheme not in SCHEMES:
            raise Refusal(400, f"No valid URL specified: the schemes are {', '.join(SCHEMES)}")
        uuid = self._expect(place, user, url)
        self._queue(uuid, user, self.temporary(), url, fetched=True)
        return uuid, "STAGING_QUEUED"

    def resume(self) -> None:
        """Take up what an earlier run of the tenant left, and clear away what belongs to nothing."""
        rows = self._tenant.store.sql("select temporary, uuid, username, source, fetched from stagings order by rowid")
        wanted = {row[0] for row in rows}
        for left in self._tenant.staging.iterdir():
            if left.name not in wanted:
                left.unlink()
        for name, uuid, user, source, fetched in rows:
            self._start(uuid, user, self._tenant.staging / name, source, fetched=bool(fetched))

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

    def _queue(self, uuid: str, user: str, temporary: Path, source: str, *, fetched: bool) -> None:
        self._tenant.store.sql(
            "insert into stagings values (?, ?, ?, ?, ?)", temporary.name, uuid, user, source, int(fetched)
        )
        self._start(uuid, user, temporary, source, fetched=fetched)

    def _start(self, uuid: str, user: str, temporary: Path, source: str, *, fetched: bool) -> None:
        turn = self._turns.setdefault(uuid, trio.Lock())
        self._tenant.awake.add(temporary.name)
        self._tenant.nursery.start_soon(self._later, turn, uuid, user, temporary, source, fetched)

    async def _later(self, turn: trio.Lock, uuid: str, user: str, temporary: Path, source: str, fetched: bool) -> None:
        """One file's way. Cancelled it leaves its row, and is taken up at the next start."""
        try:
            async with turn:
                await self._tenant.faults.staging_released()
                self._tenant.store.event(uuid, "STAGING", "Staging began", by=user)
                try:
                    if fetched and not temporary.exists():
                        await self._bring(user, source, temporary)
                except (Refusal, OSError, httpx.HTTPError, httpx.InvalidURL) as problem:
                    self._failed(uuid, user, source, str(problem) or type(problem).__name__)
                else:
                    self._settle(uuid, user, temporary, source)
                temporary.unlink(missing_ok=True)
                self._tenant.store.sql("delete from stagings where temporary = ?", temporary.name)
        finally:
            self._tenant.awake.discard(temporary.name)
            if self._turns.get(uuid) is turn and not turn.statistics().tasks_waiting and not turn.locked():
                del self._turns[uuid]

    def _settle(self, uuid: str, user: str, temporary: Path, source: str) -> bool:
        """Put the bytes in place, in one step. No await: the listing shows the old file or the new one."""
        rows = self._tenant.store.sql("select system, path from files where uuid = ?", uuid)
        if not rows:  # deleted while it was on its way
            temporary.unlink(missing_ok=True)
            return False
        system, path = rows[0]
        size = os.stat(temporary).st_size
        try:
            put_in_place(temporary, self._tenant.disk(system).at(path, follow=False))
        except (Refusal, OSError) as problem:
            temporary.unlink(missing_ok=True)
            self._failed(uuid, user, source, str(problem))
            return False
        self._tenant.store.event(
            uuid, "STAGING_COMPLETED", "Your scheduled transfer completed staging", by=user,
            more={"progress": _progress(source, size)},
        )  # fmt: skip
        return True

    def _failed(self, uuid: str, user: str, source: str, why: str) -> None:
        log.warning("staging of %s failed: %s", uuid, why)
        if self._tenant.store.sql("select 1 from files where uuid = ?", uuid):
            self._tenant.store.event(uuid, "STAGING_FAILED", f"Staging from {source} failed: {why}", by=user)

    async def _bring(self, user: str, source: str, temporary: Path) -> None:
        """Get the bytes of an import; a part of them is under another name, so that a restart begins anew."""
        part = temporary.with_suffix(".part")
        if source.startswith("agave://"):
            place = self._tenant.files.uri(user, source)
            self._tenant.files.require(place, user, Pem.READ, "read")
            await trio.to_thread.run_sync(shutil.copyfile, place.disk.at(place.path), part)
        else:
            async with _opened(source) as answer:
                with part.open("wb") as file:
                    async for piece in answer.aiter_bytes(2**20):
                        await trio.to_thread.run_sync(file.write, piece)
        part.replace(temporary)


@contextlib.asynccontextmanager
async def _opened(url: str) -> AsyncIterator[httpx.Response]:
    loopback = urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")
    async with httpx.AsyncClient(timeout=PATIENCE, follow_redirects=True, trust_env=not loopback) as http:
        async with http.stream("GET", url) as answer:
            answer.raise_for_status()
            yield answer


def put_in_place(temporary: Path, target: str, *, like: str = "") -> None:
    """Let `temporary` be the file `target`, with the mode of what was there, else that of `like`."""
    try:
        mode = stat.S_IMODE(os.lstat(target).st_mode)
    except FileNotFoundError:
        mode = stat.S_IMODE(os.stat(like).st_mode) if like else 0o644
    temporary.chmod(mode | 0o600)
    temporary.replace(target)


def import_name(url: str) -> str:
    """What an import is called if nobody says: the last part of the URL's path."""
    return unquote(normal(urlsplit(url).path).rpartition("/")[2]) or "unknown"


def _progress(source: str, size: int) -> dict[str, Any]:
    return {
        "uuid": new_uuid("009"), "source": source, "totalActiveTransfers": 0, "totalFiles": 1,
        "totalBytesTransferred": size, "totalBytes": size, "averageRate": float(size),
    }  # fmt: skip
