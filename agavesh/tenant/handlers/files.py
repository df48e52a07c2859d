"""The files service: listings, bytes, actions, permissions and history of paths."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import time
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import trio

from agavesh.tenant import uploads
from agavesh.tenant.bodies import body_of
from agavesh.tenant.context import Answer, Context, Record, Records, Refusal, Result, route
from agavesh.tenant.disk import name_of, parent_of
from agavesh.tenant.downloads import download as bytes_of
from agavesh.tenant.downloads import mime_of
from agavesh.tenant.files import Place
from agavesh.tenant.listing import shown
from agavesh.tenant.staging import import_name
from agavesh.tenant.state import Tenant
from agavesh.tenant.trees import copy_file, copy_tree, erase
from agavesh.tenant.words import Pem, date, pem, pem_word, quoted

MISSING = "File/folder does not exist"


async def resume(tenant: Tenant) -> None:
    """Go on with uploads and removals that an earlier run began."""
    tenant.arrivals.resume()
    for left in tenant.trash.iterdir():
        await trio.to_thread.run_sync(erase, left)


# listings ------------------------------------------------------------------------------------------------------------


async def listOnDefaultSystem(ctx: Context, *, filePath: str, limit: int, offset: int) -> Result:
    return await _listing(ctx, _place(ctx, None, filePath), limit, offset)


async def list(ctx: Context, *, systemId: str, filePath: str, limit: int, offset: int) -> Result:
    return await _listing(ctx, _place(ctx, systemId, filePath), limit, offset)


async def _listing(ctx: Context, place: Place, limit: int, offset: int) -> Records:
    files = ctx.tenant.files
    files.require(place, ctx.user, Pem.READ, "view")
    found = _there(ctx, place)
    uuid = files.seen(place, ctx.user)
    lines = _Lines(ctx, place.system_id)
    word = pem_word(files.rights(place, ctx.user))
    if not stat.S_ISDIR(found.st_mode):
        return [lines.listed(name_of(place.path), place.path, found, word, uuid)][offset : offset + limit]
    # wire: the entry "." takes one place of the first page
    entries = [lines.listed(".", place.path, found, word, uuid)] if offset == 0 and limit else []
    items = await ctx.tenant.listings.page(place.disk, place.path, max(offset - 1, 0), limit - len(entries))
    special = files.special_below(place, ctx.user)
    inherited = pem_word(files.inherited(place, ctx.user))
    base = place.path.rstrip("/") + "/"
    for raw, item in items:
        name = shown(raw)
        path = base + name
        word = pem_word(files.rights(place.on(path), ctx.user)) if path in special else inherited
        entries.append(lines.line(name, path, item, word))
    return entries


class _Lines:
    """The lines of one listing. A page has hundreds, so what they share is made once."""

    def __init__(self, ctx: Context, system: str) -> None:
        self._url, self._system = ctx.tenant.url, system
        self._media = f"{self._url}/files/v2/media/system/{system}/"
        self._system_link = {"href": f"{self._url}/systems/v2/{system}"}

    def line(self, name: str, path: str, found: os.stat_result, permissions: str) -> Record:
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
            "_links": {"self": {"href": self._media + quoted(path)}, "system": self._system_link},
        }

    def listed(self, name: str, path: str, found: os.stat_result, permissions: str, uuid: str) -> Record:
        """The line of what was asked for, which has more links than those of its children."""
        line = self.line(name, path, found, permissions)
        query = quote(f'{{"associationIds":"{uuid}"}}')
        line["_links"] |= {
            "metadata": {"href": f"{self._url}/meta/v2/data?q={query}"},
            "history": {"href": f"{self._url}/files/v2/history/system/{self._system}/{quote(path)}"},
        }
        return line


# bytes ---------------------------------------------------------------------------------------------------------------


async def downloadFromDefaultSystem(ctx: Context, *, sourcefilePath: str) -> Result:
    return _bytes(ctx, _place(ctx, None, sourcefilePath))


async def download(ctx: Context, *, systemId: str, filePath: str) -> Result:
    return _bytes(ctx, _place(ctx, systemId, filePath))


@route("GET", "/files/v2/download/{username}/system/{systemId}/{filePath}", token=False)
async def public_download(ctx: Context, *, username: str, systemId: str, filePath: str) -> Result:
    """A file that was granted to `public`, for anybody; the path is meant as by the user named."""
    place = ctx.tenant.files.place(username, systemId, filePath)
    if not ctx.tenant.files.granted_to(place, "public") & Pem.READ:
        raise Refusal(403, "The file is not public")
    return bytes_of(ctx, place.disk.at(place.path), name_of(place.path))


def _bytes(ctx: Context, place: Place) -> Result:
    ctx.tenant.files.require(place, ctx.user, Pem.READ, "read")
    body = bytes_of(ctx, place.disk.at(place.path), name_of(place.path))
    if ctx.request.method != "HEAD" and body.start == 0:  # a read in ranges is one download
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
    if not stat.S_ISDIR(_there(ctx, folder).st_mode):
        raise Refusal(400, f"{folder.path} is a file; the path of an upload is the folder it goes to")
    kind = ctx.request.headers.get("content-type", "")
    if kind.lower().startswith("multipart/form-data"):
        files.require_to_write(folder, ctx.user)
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
    return _fetched(ctx, folder, str(body["urlToIngest"]), body.get("fileName"))


async def _taken(ctx: Context, folder: Place, received: uploads.Received) -> Result:
    wish = received.fields.get("fileName")
    if received.temporary is None:
        if url := received.fields.get("urlToIngest"):
            return _fetched(ctx, folder, url, wish)
        raise Refusal(400, "No file uploaded. Please upload a file as the part fileToUpload")
    target = _inside(folder, wish or received.file_name)
    ctx.tenant.files.require_to_write(target, ctx.user)
    if "range" in ctx.request.headers:
        await _patched(target, received.temporary, ctx.request.headers["range"])
    host = ctx.request.client.host if ctx.request.client else "localhost"
    source = f"http://{host}/{quote(name_of(target.path))}"
    uuid, status = ctx.tenant.arrivals.take(target, ctx.user, received.temporary, source)
    received.temporary = None  # it was taken
    return Answer(_logical(ctx, target, uuid, status, source), status=202)


async def _patched(target: Place, temporary: Path, header: str) -> None:
    """wire: an upload with a Range header goes into that place of what is there."""
    first = header.lower().replace(" ", "").removeprefix("bytes=").partition("-")[0]
    if not first.isdigit():
        raise Refusal(416, f"Cannot upload into the range {header}")
    there = target.disk.stat(target.path)
    if there is not None:
        await trio.to_thread.run_sync(_lay_over, Path(target.disk.at(target.path)), temporary, int(first))


def _lay_over(whole: Path, part: Path, at: int) -> None:
    base = part.with_suffix(".base")
    shutil.copyfile(whole, base)
    with base.open("r+b") as out, part.open("rb") as new:
        out.seek(at)
        shutil.copyfileobj(new, out, 2**20)
    base.replace(part)


def _fetched(ctx: Context, folder: Place, url: str, wish: Any) -> Result:
    target = _inside(folder, str(wish or import_name(url)))
    ctx.tenant.files.require_to_write(target, ctx.user)
    if url.startswith("agave://"):
        source = ctx.tenant.files.uri(ctx.user, url)
        ctx.tenant.files.require(source, ctx.user, Pem.READ, "read")
    uuid, status = ctx.tenant.arrivals.fetch(target, ctx.user, url)
    return Answer(_logical(ctx, target, uuid, status, url), status=202)


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
    return await _act(ctx, _place(ctx, None, sourcefilePath), body)


async def manage(ctx: Context, *, systemId: str, filePath: str, body: Any) -> Result:
    return await _act(ctx, _place(ctx, systemId, filePath), body)


async def _act(ctx: Context, place: Place, body: Any) -> Result:
    if not isinstance(body, dict) or not body.get("action"):
        raise Refusal(400, "No action specified. Valid actions are mkdir, rename, copy, move")
    action, path = str(body["action"]).lower(), str(body.get("path") or "")
    acts = {"mkdir": _mkdir, "rename": _rename, "copy": _copy, "move": _move}
    if (act := acts.get(action)) is None:
        raise Refusal(501, f"Action {action} is not supported. Valid actions are mkdir, rename, copy, move")
    if not path:
        raise Refusal(400, f"No path specified for {action}")
    return await act(ctx, place, path, body)


async def _mkdir(ctx: Context, place: Place, path: str, body: Record) -> Result:
    if not stat.S_ISDIR(_there(ctx, place).st_mode):
        raise Refusal(400, f"{place.path} is a file")
    target = place.on(ctx.tenant.files.resolve(place.system, ctx.user, f"{place.path}/{path.lstrip('/')}"))
    ctx.tenant.files.require_to_write(target, ctx.user)
    if (there := target.disk.stat(target.path)) is not None:
        if not stat.S_ISDIR(there.st_mode):
            raise Refusal(400, f"A file of the name {target.path} exists")
        uuid = ctx.tenant.files.seen(target, ctx.user)
        return Answer(_logical(ctx, target, uuid), message="Directory already exists")
    try:
        target.disk.make_folder(target.path)
    except (FileExistsError, NotADirectoryError):
        raise Refusal(400, f"{target.path} cannot be made: a part of it is a file") from None
    uuid = ctx.tenant.files.record(target, ctx.user, description="Directory created")
    return Answer(_logical(ctx, target, uuid), status=201)


async def _rename(ctx: Context, place: Place, path: str, body: Record) -> Result:
    name = path.strip("/")
    if "/" in name or name in ("", ".", ".."):
        raise Refusal(400, f"{path} is no name; rename stays in the folder, move leaves it")
    target = place.on(ctx.tenant.files.resolve(place.system, ctx.user, f"{parent_of(place.path)}/{name}"))
    return _relocate(ctx, place, target, "RENAME", "Rename success")


async def _move(ctx: Context, place: Place, path: str, body: Record) -> Result:
    return _relocate(ctx, place, _target(ctx, place, path), "MOVED", "Move success")


def _relocate(ctx: Context, place: Place, target: Place, event: str, message: str) -> Result:
    files = ctx.tenant.files
    _there(ctx, place)
    if place.path == "/":
        raise Refusal(403, "The root of a system stays where it is")
    files.require(place, ctx.user, Pem.WRITE, "move")
    files.require_to_write(target, ctx.user)
    if os.path.lexists(target.disk.at(target.path, follow=False)):
        raise Refusal(400, f"A file or folder at {target.path} exists; it is not replaced")
    if target.path.startswith(place.path + "/"):
        raise Refusal(400, f"{place.path} cannot go into itself")
    if not target.disk.is_dir(parent_of(target.path)):
        raise Refusal(404, f"{parent_of(target.path)} does not exist")
    Path(place.disk.at(place.path, follow=False)).rename(target.disk.at(target.path, follow=False))
    with ctx.store.together():
        files.moved(place, target)
        uuid = files.record(target, ctx.user)
        ctx.store.event(uuid, event, f"Moved from {place.path} to {target.path}", by=ctx.user)
    return Answer(_logical(ctx, target, uuid), message=message)


async def _copy(ctx: Context, place: Place, path: str, body: Record) -> Result:
    files = ctx.tenant.files
    source = _there(ctx, place)
    target = _target(ctx, place, path)
    files.require(place, ctx.user, Pem.READ, "read")
    files.require_to_write(target, ctx.user)
    if target.path == place.path:
        raise Refusal(400, "Source and target are the same")
    there = target.disk.stat(target.path)
    if there is not None and stat.S_ISDIR(there.st_mode) != stat.S_ISDIR(source.st_mode):
        raise Refusal(400, f"{target.path} exists and is of the other kind")
    if not target.disk.is_dir(parent_of(target.path)):
        raise Refusal(404, f"{parent_of(target.path)} does not exist")
    if stat.S_ISDIR(source.st_mode) and target.path.startswith(place.path.rstrip("/") + "/"):
        raise Refusal(400, f"{place.path} cannot go into itself")
    old, new, staging = Path(place.disk.at(place.path)), Path(target.disk.at(target.path)), ctx.tenant.staging
    append = str(body.get("append")).lower() == "true"
    if stat.S_ISDIR(source.st_mode):
        await trio.to_thread.run_sync(copy_tree, old, new, place.disk.root, staging)
    else:
        await trio.to_thread.run_sync(partial(copy_file, old, new, staging, append=append))
    with ctx.store.together():
        uuid = files.record(target, ctx.user)
        if there is not None:
            ctx.store.event(uuid, "OVERWRITTEN", f"Overwritten by a copy of {place.path}", by=ctx.user)
    return Answer(_logical(ctx, target, uuid), message="Copy success")


# delete --------------------------------------------------------------------------------------------------------------


async def deleteFromDefaultSystem(ctx: Context, *, sourcefilePath: str) -> Result:
    return await _delete(ctx, _place(ctx, None, sourcefilePath))


async def delete(ctx: Context, *, systemId: str, filePath: str) -> Result:
    return await _delete(ctx, _place(ctx, systemId, filePath))


async def _delete(ctx: Context, place: Place) -> Result:
    files = ctx.tenant.files
    recorded = files.find(place) is not None
    if Pem.WRITE & ~files.rights(place, ctx.user):
        # wire: a refusal is 401 where the platform has no record of the path
        raise Refusal(403 if recorded else 401, "User does not have permission to delete the requested file path.")
    if place.path == "/":
        raise Refusal(403, "The root of a system cannot be deleted")
    if not _removed(ctx, Path(place.disk.at(place.path, follow=False))) and not recorded:
        raise Refusal(404, MISSING)
    files.removed(place)
    return Answer(empty=204)


def _removed(ctx: Context, path: Path) -> bool:
    """Remove what is at a path of this machine; whether there was something."""
    try:
        if not stat.S_ISDIR(path.lstat().st_mode):
            path.unlink()
            return True
        gone = ctx.tenant.trash / secrets.token_hex(8)
        path.chmod(0o700)  # a folder that may not be written to cannot be moved by its owner
        path.rename(gone)  # at once for all who look; what takes time happens out of sight
    except (FileNotFoundError, NotADirectoryError):
        return False
    ctx.tenant.nursery.start_soon(trio.to_thread.run_sync, erase, gone)
    return True


# permissions ---------------------------------------------------------------------------------------------------------


async def listPermissionsOnDefaultSystem(ctx: Context, *, filePath: str, limit: int, offset: int) -> Result:
    return _permissions(ctx, _place(ctx, None, filePath))[offset : offset + limit]


async def listPermissions(ctx: Context, *, systemId: str, filePath: str, limit: int, offset: int) -> Result:
    return _permissions(ctx, _place(ctx, systemId, filePath))[offset : offset + limit]


def _permissions(ctx: Context, place: Place) -> Records:
    files = ctx.tenant.files
    files.require(place, ctx.user, Pem.READ, "view")
    _there(ctx, place)
    uuid = files.seen(place, ctx.user)
    owner = (files.find(place) or ("", ""))[1]
    granted: dict[str, tuple[int, bool]] = {owner: (Pem.ALL, True)}
    if not place.system.get("public"):
        holders = ctx.store.sql("select username from roles where system = ? and role != 'NONE'", place.system_id)
        granted |= {name: (Pem.ALL, True) for (name,) in holders}
    for name, bits, recursive in ctx.store.grants(uuid):
        granted.setdefault(name, (bits, recursive))
    found = [_permission(ctx, place, name, bits, recursive) for name, (bits, recursive) in granted.items()]
    return [entry for entry in found if _asked_for(ctx, entry)]


def _asked_for(ctx: Context, entry: Record) -> bool:
    for key, value in ctx.query.items():
        name = key.partition(".")[0]
        if name == "username" and entry["username"] != value:
            return False
        if name == "permission":
            bits = sum(bit for word, bit in _BITS.items() if entry["permission"][word])
            if pem(value) != bits:
                return False
    return True


_BITS = {"read": Pem.READ, "write": Pem.WRITE, "execute": Pem.EXECUTE}


def _permission(ctx: Context, place: Place, username: str, bits: int, recursive: bool) -> Record:
    address = f"/system/{place.system_id}/{place.path}"
    return {
        "username": username,
        "internalUsername": None,
        "permission": {word: bool(bits & bit) for word, bit in _BITS.items()},
        "recursive": recursive,
        "_links": {
            "self": {"href": ctx.url(f"/files/v2/pems{address}") + f"?username.eq={quote(username)}"},
            "file": ctx.link(f"/files/v2/media{address}"),
            "profile": ctx.link(f"/profiles/v2/{username}"),
        },
    }


async def updatePermissionsOnDefaultSystem(ctx: Context, *, filePath: str, body: Any) -> Result:
    return _permit(ctx, _place(ctx, None, filePath), body)


async def updatePermissions(ctx: Context, *, systemId: str, filePath: str, body: Any) -> Result:
    return _permit(ctx, _place(ctx, systemId, filePath), body)


def _permit(ctx: Context, place: Place, body: Any) -> Result:
    """A grant replaces what the user had; a recursive one also what they had below."""
    files = ctx.tenant.files
    if not isinstance(body, dict) or not (username := str(body.get("username") or "")):
        raise Refusal(400, "No username specified")
    files.require(place, ctx.user, Pem.WRITE, "change the permissions of")
    found = _there(ctx, place)
    bits = _wanted(body)
    if username == "*" and not bits:
        username = ctx.user
    recursive = str(body.get("recursive")).lower() == "true" and stat.S_ISDIR(found.st_mode)
    uuid = files.seen(place, ctx.user)
    owner = (files.find(place) or ("", ""))[1]
    if username != owner:
        with ctx.store.together():
            if recursive:
                files.forget_grants(place, username)
            ctx.store.grant(uuid, username, bits, recursive=recursive)
            event = "PERMISSION_GRANT" if bits else "PERMISSION_REVOKE"
            ctx.store.event(uuid, event, f"{pem_word(bits)} for {username}", by=ctx.user)
    return Answer([_permission(ctx, place, username, bits, recursive)], status=201 if bits else 200)


def _wanted(body: Record) -> Pem:
    if (word := body.get("permission")) is not None:
        if not isinstance(word, str) or (bits := pem(word)) is None:
            raise Refusal(400, f"Invalid permission {word}. Valid values are: READ, WRITE, EXECUTE, READ_WRITE, "
                               "READ_EXECUTE, WRITE_EXECUTE, ALL, NONE")  # fmt: skip
        return bits
    switches = {"canRead": Pem.READ, "canWrite": Pem.WRITE, "all": Pem.ALL, **_BITS}
    bits = Pem.NONE
    for name, bit in switches.items():
        if str(body.get(name)).lower() in ("true", "1"):
            bits |= bit
    return bits


async def deletePermissions(ctx: Context, *, systemId: str, filePath: str) -> Result:
    return _forbid(ctx, _place(ctx, systemId, filePath))


@route("DELETE", "/files/v2/pems/{filePath}")
async def deletePermissionsOnDefaultSystem(ctx: Context, *, filePath: str) -> Result:
    return _forbid(ctx, _place(ctx, None, filePath))


def _forbid(ctx: Context, place: Place) -> Result:
    files = ctx.tenant.files
    files.require(place, ctx.user, Pem.WRITE, "change the permissions of")
    _there(ctx, place)
    uuid = files.seen(place, ctx.user)
    with ctx.store.together():
        for username, _, _ in ctx.store.grants(uuid):
            ctx.store.grant(uuid, username, 0)
        if ctx.query.get("recursive", "").lower() == "true":
            files.forget_grants(place)
        ctx.store.event(uuid, "PERMISSION_REVOKE", "All permissions were cleared", by=ctx.user)
    return None


# history -------------------------------------------------------------------------------------------------------------


async def getHistoryOnDefaultSystem(ctx: Context, *, filePath: str, limit: int, offset: int) -> Result:
    return _history(ctx, _place(ctx, None, filePath))[offset : offset + limit]


async def getHistory(ctx: Context, *, systemId: str, filePath: str, limit: int, offset: int) -> Result:
    return _history(ctx, _place(ctx, systemId, filePath))[offset : offset + limit]


def _history(ctx: Context, place: Place) -> Records:
    ctx.tenant.files.require(place, ctx.user, Pem.READ, "view")
    if (found := ctx.tenant.files.find(place)) is None:
        raise Refusal(404, f"No file or folder {place.path} is known to the history")
    return [
        {"status": status, "created": date(at), "createdBy": by, "description": description, **more}
        for at, status, by, description, more in ctx.store.events(found[0])
    ]


# shared --------------------------------------------------------------------------------------------------------------


def _place(ctx: Context, system: str | None, path: str) -> Place:
    return ctx.tenant.files.place(ctx.user, system, path)


def _target(ctx: Context, place: Place, path: str) -> Place:
    """Where a copy or a move goes: from the root or from the home, never from the source's folder."""
    return place.on(ctx.tenant.files.resolve(place.system, ctx.user, path))


def _there(ctx: Context, place: Place) -> os.stat_result:
    """What is at a place, or Refusal 404. A user's own home is made when it is first looked for."""
    found = place.disk.stat(place.path)
    if found is None and ctx.tenant.files.is_home(place, ctx.user):
        place.disk.make_folder(place.path)
        found = place.disk.stat(place.path)
    if found is None:
        raise Refusal(404, MISSING)
    return found


def _logical(
    ctx: Context, place: Place, uuid: str, status: str = "STAGING_COMPLETED", source: str | None = None
) -> Record:
    address = f"/system/{place.system_id}/{place.path}"
    owner = (ctx.tenant.files.find(place) or ("", ctx.user))[1]
    found = place.disk.stat(place.path)
    return {
        "name": name_of(place.path),
        "uuid": uuid,
        "owner": owner,
        "internalUsername": None,
        "lastModified": date(found.st_mtime if found else time.time()),
        "source": source,
        "path": place.path,
        "status": status,
        "systemId": place.system_id,
        "nativeFormat": "dir" if found and stat.S_ISDIR(found.st_mode) else "raw",
        "_links": {
            "self": ctx.link(f"/files/v2/media{address}"),
            "system": ctx.link(f"/systems/v2/{place.system_id}"),
            "profile": ctx.link(f"/profiles/v2/{owner}"),
            "history": ctx.link(f"/files/v2/history{address}"),
            "notification": [],
        },
    }
