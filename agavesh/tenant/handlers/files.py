"""The files service: listings, bytes, actions, permissions and history of paths."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import quote

import msgspec
import trio

from agavesh.tenant import background
from agavesh.tenant.bodies import body_of
from agavesh.tenant.context import Answer, Context, Record, Records, Result, described, route
from agavesh.tenant.files import actions, uploads
from agavesh.tenant.files.actions import act, logical, look
from agavesh.tenant.files.disk import name_of
from agavesh.tenant.files.downloads import download as bytes_of
from agavesh.tenant.files.downloads import mime_of
from agavesh.tenant.files.fetching import anonymous
from agavesh.tenant.files.grants import forbid, permissions, permit
from agavesh.tenant.files.history import history
from agavesh.tenant.files.listing import shown
from agavesh.tenant.files.patches import start_of
from agavesh.tenant.files.places import Found, Place
from agavesh.tenant.files.staging import import_name
from agavesh.tenant.files.trees import erase
from agavesh.tenant.notifications.life import links
from agavesh.tenant.notifications.spec import wanted
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.state import Tenant
from agavesh.tenant.store import Unwritable
from agavesh.tenant.words import Pem, date, pem_word, quoted


async def resume(tenant: Tenant) -> None:
    """Go on with uploads and removals that an earlier run began."""
    tenant.arrivals.resume()
    for left in tenant.trash.iterdir():
        await background.work(f"erasing {left.name}", partial(trio.to_thread.run_sync, erase, left))


# listings ------------------------------------------------------------------------------------------------------------


async def listOnDefaultSystem(ctx: Context, *, filePath: str, limit: int, offset: int) -> Result:
    return await _listing(ctx, _found(ctx, None, filePath), limit, offset)


async def list(ctx: Context, *, systemId: str, filePath: str, limit: int, offset: int) -> Result:
    return await _listing(ctx, _found(ctx, systemId, filePath), limit, offset)


async def _listing(ctx: Context, place: Found, limit: int, offset: int) -> Records:
    files = ctx.tenant.files
    word = pem_word(files.require(place, ctx.user, Pem.READ, "view"))
    found = look(ctx, place)
    uuid = files.looked_at(place, ctx.user)
    lines = _Lines(ctx, place.system_id)
    if not stat.S_ISDIR(found.st_mode):
        return [lines.listed(name_of(place.path), place.path, found, word, uuid)][offset : offset + limit]
    # wire: the entry "." takes one place of the first page
    entries = [lines.listed(".", place.path, found, word, uuid)] if offset == 0 and limit else []
    first = max(offset - 1, 0)
    items = await ctx.tenant.listings.page(
        place.disk, place.path, first, limit - len(entries), caller=ctx.user, folder=place.at()
    )
    inherited = pem_word(files.inherited(place, ctx.user))
    base = place.path.rstrip("/") + "/"
    address = lines.address(base)
    named = [(shown(raw), item) for raw, item in items]
    special = files.special(place, ctx.user, [base + name for name, _ in named])
    for name, item in named:
        path = base + name
        word = pem_word(files.rights(place.on(path), ctx.user)) if special and path in special else inherited
        entries.append(lines.line(name, path, item, word, address + quoted(name)))
    return entries


class _Lines:
    """The lines of one listing. A page has hundreds, so what they share is made once."""

    def __init__(self, ctx: Context, system: str) -> None:
        self._url, self._system = ctx.tenant.url, system
        self._media = f"{self._url}/files/v2/media/system/{system}/"
        self._system_link = {"href": f"{self._url}/systems/v2/{system}"}

    def address(self, path: str) -> str:
        """Where the bytes of a path are to be had."""
        return self._media + quoted(path)

    def line(self, name: str, path: str, found: os.stat_result, permissions: str, address: str) -> Record:
        folder = stat.S_ISDIR(found.st_mode)
        return {
            "name": name,
            "path": path,
            "lastModified": date(found.st_mtime),
            "length": found.st_size,
            "permissions": permissions,
            "format": "folder" if folder else "raw",
            "mimeType": "text/directory" if folder else mime_of(name),
            "type": "dir" if folder else "file",
            "system": self._system,
            "_links": {"self": {"href": address}, "system": self._system_link},
        }

    def listed(self, name: str, path: str, found: os.stat_result, permissions: str, uuid: str | None) -> Record:
        """The line of what was asked for, which has more links than those of its children."""
        line = self.line(name, path, found, permissions, self.address(path))
        line["_links"]["history"] = {"href": f"{self._url}/files/v2/history/system/{self._system}/{quote(path)}"}
        if uuid is not None:
            query = quote(f'{{"associationIds":"{uuid}"}}')
            line["_links"]["metadata"] = {"href": f"{self._url}/meta/v2/data?q={query}"}
        return line


# bytes ---------------------------------------------------------------------------------------------------------------


async def downloadFromDefaultSystem(ctx: Context, *, sourcefilePath: str) -> Result:
    return _bytes(ctx, _found(ctx, None, sourcefilePath))


async def download(ctx: Context, *, systemId: str, filePath: str) -> Result:
    return _bytes(ctx, _found(ctx, systemId, filePath))


@route("GET", "/files/v2/download/{username}/system/{systemId}/{filePath}", token=False)
async def public_download(ctx: Context, *, username: str, systemId: str, filePath: str) -> Result:
    """A file that was granted to `public`, for anybody; the path is meant as by the user named."""
    refused = Refusal(403, "The file is not public")  # nothing more, of a system that there is not, either
    try:
        place = ctx.tenant.files.found(username, systemId, filePath)
    except Refusal:
        raise refused from None
    if not ctx.tenant.files.granted_to(place, "public") & Pem.READ:
        raise refused
    return bytes_of(ctx, place.at(), name_of(place.path))


def _bytes(ctx: Context, place: Found) -> Result:
    ctx.tenant.files.require(place, ctx.user, Pem.READ, "read")
    body = bytes_of(ctx, place.at(), name_of(place.path))
    if ctx.request.method != "HEAD" and body.start == 0:  # a read in ranges is one download
        with contextlib.suppress(Unwritable):  # a full disk keeps nobody from reading
            uuid = ctx.tenant.files.seen(place, ctx.user)
            ctx.store.event(uuid, "DOWNLOAD", "File was downloaded", by="public")
    return body


async def importToDefaultSystem(ctx: Context, *, sourcefilePath: str) -> Result:
    return await _take(ctx, _place(ctx, None, sourcefilePath))


async def importData(ctx: Context, *, systemId: str, filePath: str) -> Result:
    return await _take(ctx, _place(ctx, systemId, filePath))


async def _take(ctx: Context, folder: Place) -> Result:
    """An upload as multipart, or an import from a URL as form, multipart or JSON."""
    files = ctx.tenant.files
    files.require_to_write(folder, ctx.user)
    if not stat.S_ISDIR(look(ctx, folder).st_mode):
        raise Refusal(400, f"{folder.path} is a file; the path of an upload is the folder it goes to")
    kind = ctx.request.headers.get("content-type", "")
    if kind.lower().startswith("multipart/form-data"):
        received = await uploads.receive(ctx.request, ctx.tenant.staging)
        try:
            return await _taken(ctx, folder, received)
        finally:
            received.drop()
    if not kind:
        raise Refusal(400, "No post entity")
    body = await body_of(ctx.request)
    if not isinstance(body, dict) or not body.get("urlToIngest"):
        raise Refusal(500, "No valid URL specified")
    return _fetched(ctx, folder, str(body["urlToIngest"]), body.get("fileName"), _listeners(body))


async def _taken(ctx: Context, folder: Place, received: uploads.Received) -> Result:
    wish, tell = received.fields.get("fileName"), _listeners(received.fields)
    if received.temporary is None:
        if url := received.fields.get("urlToIngest"):
            return _fetched(ctx, folder, url, wish, tell)
        raise Refusal(400, "No file uploaded. Please upload a file as the part fileToUpload")
    target = _inside(folder, wish or received.file_name)
    ctx.tenant.files.require_to_write(target, ctx.user)
    header = ctx.request.headers.get("range")  # wire: it says where in what is there the bytes go
    start = None if header is None else start_of(header)
    host = ctx.request.client.host if ctx.request.client else "localhost"
    source = f"http://{host}/{quote(name_of(target.path))}"
    uuid, status = await ctx.tenant.arrivals.take(target, ctx.user, received.temporary, source, tell, start=start)
    received.temporary = None  # it was taken
    return Answer(_expected(ctx, target, uuid, status, source, tell), status=202)


def _fetched(ctx: Context, folder: Place, url: str, wish: Any, tell: Records) -> Result:
    target = _inside(folder, str(wish or import_name(url)))
    ctx.tenant.files.require_to_write(target, ctx.user)
    if url.startswith("agave://"):
        source = ctx.tenant.files.uri(ctx.user, url)
        ctx.tenant.files.require(source, ctx.user, Pem.READ, "read")
    uuid, status = ctx.tenant.arrivals.fetch(target, ctx.user, url, tell)
    return Answer(_expected(ctx, target, uuid, status, anonymous(url), tell), status=202)


def _listeners(fields: Mapping[str, Any]) -> Records:
    """Who is to be told of an upload or an import: a single address hears once how it ended."""
    for name in ("notifications", "callbackURL", "callbackUrl"):
        if fields.get(name):
            return wanted(fields[name], name, "STAGING_COMPLETED", "STAGING_FAILED")
    return []


def _expected(ctx: Context, target: Place, uuid: str, status: str, source: str, tell: Records) -> Record:
    """What an upload or an import is answered with."""
    record = logical(ctx, target, uuid, status, source)
    record["_links"]["notification"] = links(ctx, tell)
    return record


def _inside(folder: Place, name: str) -> Place:
    """The place of a file in a folder by the name that the caller gave; directories in it are cut."""
    name = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    if name in ("", ".", "..") or "\0" in name:
        raise Refusal(400, "No file name found: give fileName, or a name to the part")
    if len(name.encode(errors="replace")) > 255:
        raise Refusal(400, f"File name too long: {name[:40]}...")
    return folder.on(f"{folder.path.rstrip('/')}/{name}")


# actions -------------------------------------------------------------------------------------------------------------


async def manageOnDefaultSystem(ctx: Context, *, sourcefilePath: str, body: Any) -> Result:
    return await act(ctx, _place(ctx, None, sourcefilePath), body)


async def manage(ctx: Context, *, systemId: str, filePath: str, body: Any) -> Result:
    return await act(ctx, _place(ctx, systemId, filePath), body)


# delete --------------------------------------------------------------------------------------------------------------


async def deleteFromDefaultSystem(ctx: Context, *, sourcefilePath: str) -> Result:
    return await actions.delete(ctx, _place(ctx, None, sourcefilePath))


async def delete(ctx: Context, *, systemId: str, filePath: str) -> Result:
    return await actions.delete(ctx, _place(ctx, systemId, filePath))


# permissions ---------------------------------------------------------------------------------------------------------


async def listPermissionsOnDefaultSystem(ctx: Context, *, filePath: str, limit: int, offset: int) -> Result:
    return permissions(ctx, _place(ctx, None, filePath))[offset : offset + limit]


async def listPermissions(ctx: Context, *, systemId: str, filePath: str, limit: int, offset: int) -> Result:
    return permissions(ctx, _place(ctx, systemId, filePath))[offset : offset + limit]


async def updatePermissionsOnDefaultSystem(ctx: Context, *, filePath: str, body: Any) -> Result:
    return await permit(ctx, _place(ctx, None, filePath), body)


async def updatePermissions(ctx: Context, *, systemId: str, filePath: str, body: Any) -> Result:
    return await permit(ctx, _place(ctx, systemId, filePath), body)


async def deletePermissions(ctx: Context, *, systemId: str, filePath: str) -> Result:
    return await forbid(ctx, _place(ctx, systemId, filePath))


@route("DELETE", "/files/v2/pems/{filePath}")
async def deletePermissionsOnDefaultSystem(ctx: Context, *, filePath: str) -> Result:
    return await forbid(ctx, _place(ctx, None, filePath))


# history -------------------------------------------------------------------------------------------------------------


async def getHistoryOnDefaultSystem(ctx: Context, *, filePath: str, limit: int, offset: int) -> Result:
    return history(ctx, _place(ctx, None, filePath))[offset : offset + limit]


async def getHistory(ctx: Context, *, systemId: str, filePath: str, limit: int, offset: int) -> Result:
    return history(ctx, _place(ctx, systemId, filePath))[offset : offset + limit]


@described("002", "file")
def told(ctx: Context, uuid: str) -> Record | None:
    """A path as those are told who subscribed to it: its LogicalFile, and what a listing tells besides."""
    rows = ctx.store.sql("select system, path from files where uuid = ?", uuid)
    if not rows:
        return None
    place = _place(ctx, *rows[0])
    ctx.tenant.files.require(place, ctx.user, Pem.READ, "view")
    staged = ctx.store.sql(
        "select status, more from events where uuid = ? and status like 'STAGING%' order by number desc limit 1", uuid
    )
    status, more = staged[0] if staged else ("STAGING_COMPLETED", None)
    source = msgspec.json.decode(more)["progress"]["source"] if more else None
    found = place.disk.stat(place.path)
    folder = found is not None and stat.S_ISDIR(found.st_mode)
    return {
        **logical(ctx, place, uuid, status, source),
        "length": found.st_size if found else 0,
        "mimeType": "text/directory" if folder else mime_of(name_of(place.path)),
        "type": "dir" if folder else "file",
        "permissions": pem_word(ctx.tenant.files.rights(place, ctx.user)),
    }


# shared --------------------------------------------------------------------------------------------------------------


def _found(ctx: Context, system: str | None, path: str) -> Found:
    return ctx.tenant.files.found(ctx.user, system, path)


def _place(ctx: Context, system: str | None, path: str) -> Place:
    return ctx.tenant.files.place(ctx.user, system, path)
