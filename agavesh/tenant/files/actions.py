"""What can be done to a path: mkdir, rename, copy, move, delete; and what is told of it afterwards."""

from __future__ import annotations

import os
import secrets
import stat
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import trio

from agavesh.tenant import background
from agavesh.tenant.context import Answer, Context, Record, Result
from agavesh.tenant.files import steady
from agavesh.tenant.files.disk import name_of, parent_of
from agavesh.tenant.files.history import content_changed
from agavesh.tenant.files.listing import shown
from agavesh.tenant.files.places import Place
from agavesh.tenant.files.trees import copy_tree, dress, erase, fill, paths_below
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.words import Pem, date

LARGE = 1 << 20  # bytes: removing so much may take a while
MISSING = "File/folder does not exist"


async def act(ctx: Context, place: Place, body: Any) -> Result:
    """Do what a request's `action` says."""
    if not isinstance(body, dict) or not body.get("action"):
        raise Refusal(400, "No action specified. Valid actions are mkdir, rename, copy, move")
    action, path = str(body["action"]).lower(), str(body.get("path") or "")
    acts = {"mkdir": _mkdir, "rename": _rename, "copy": _copy, "move": _move}
    if (does := acts.get(action)) is None:
        raise Refusal(501, f"Action {action} is not supported. Valid actions are mkdir, rename, copy, move")
    if not path:
        raise Refusal(400, f"No path specified for {action}")
    return await does(ctx, place, path, body)


async def _mkdir(ctx: Context, place: Place, path: str, body: Record) -> Result:
    target = place.on(ctx.tenant.files.resolve(place.system, ctx.user, f"{place.path}/{path.lstrip('/')}"))
    ctx.tenant.files.require_to_write(target, ctx.user)
    if not stat.S_ISDIR(look(ctx, place).st_mode):
        raise Refusal(400, f"{place.path} is a file")
    if (there := target.disk.stat(target.path)) is not None:
        if not stat.S_ISDIR(there.st_mode):
            raise Refusal(400, f"A file of the name {target.path} exists")
        uuid = ctx.tenant.files.seen(target, ctx.user)
        return Answer(logical(ctx, target, uuid), message="Directory already exists")
    missing = target.disk.missing(target.path)
    if not missing or not target.disk.is_dir(parent_of(missing[-1])):
        raise Refusal(400, f"{target.path} cannot be made: a part of it is a file")
    made = ctx.tenant.staging / secrets.token_hex(8)
    try:
        made.joinpath(target.path.removeprefix(missing[-1]).lstrip("/")).mkdir(parents=True)
        with ctx.tenant.changes.renaming(made, Path(target.disk.at(missing[-1]))):
            for above in missing:
                ctx.tenant.files.record(target.on(above), ctx.user, description="Directory created")
            content_changed(ctx.tenant, target.system_id, missing[-1], ctx.user)
            uuid = ctx.tenant.files.record(target, ctx.user)
    finally:
        erase(made)  # where it could not be put in place
    return Answer(logical(ctx, target, uuid), status=201)


async def _rename(ctx: Context, place: Place, path: str, body: Record) -> Result:
    name = path.strip("/")
    if "/" in name or name in ("", ".", ".."):
        raise Refusal(400, f"{path} is no name; rename stays in the folder, move leaves it")
    target = place.on(ctx.tenant.files.resolve(place.system, ctx.user, f"{parent_of(place.path)}/{name}"))
    await require_whole(ctx, place, Pem.WRITE, "move", follow=False)
    return _relocate(ctx, place, target, "RENAME", "Rename success")


async def _move(ctx: Context, place: Place, path: str, body: Record) -> Result:
    await require_whole(ctx, place, Pem.WRITE, "move", follow=False)
    return _relocate(ctx, place, _target(ctx, place, path), "MOVED", "Move success")


def _relocate(ctx: Context, place: Place, target: Place, event: str, message: str) -> Result:
    files = ctx.tenant.files
    if place.path == "/":
        raise Refusal(403, "The root of a system stays where it is")
    files.require_to_write(target, ctx.user)
    look(ctx, place)
    if os.path.lexists(target.disk.at(target.path, follow=False)):
        raise Refusal(400, f"A file or folder at {target.path} exists; it is not replaced")
    if target.path.startswith(place.path + "/"):
        raise Refusal(400, f"{place.path} cannot go into itself")
    if not target.disk.is_dir(parent_of(target.path)):
        raise Refusal(404, f"{parent_of(target.path)} does not exist")
    old, new = (Path(each.disk.at(each.path, follow=False)) for each in (place, target))
    with ctx.tenant.changes.renaming(old, new):
        files.moved(place, target)
        uuid = files.record(target, ctx.user)
        ctx.store.event(uuid, event, f"Moved from {place.path} to {target.path}", by=ctx.user)
        for path in dict.fromkeys((parent_of(place.path), parent_of(target.path))):
            content_changed(ctx.tenant, place.system_id, f"{path.rstrip('/')}/{name_of(target.path)}", ctx.user)
    return Answer(logical(ctx, target, uuid), message=message)


async def _copy(ctx: Context, place: Place, path: str, body: Record) -> Result:
    files = ctx.tenant.files
    target = _target(ctx, place, path)
    await require_whole(ctx, place, Pem.READ, "read")
    files.require_to_write(target, ctx.user)
    source = look(ctx, place)
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
    temporary = staging / secrets.token_hex(8)
    try:
        if stat.S_ISDIR(source.st_mode):
            # links that lead out of the folder are followed for those who may read wherever they lead
            everything = Pem.READ & files.inherited(place.on("/"), ctx.user)
            within = Path(place.disk.root) if everything else old
            await trio.to_thread.run_sync(partial(copy_tree, old, temporary, staging, within=within))
            if target.disk.is_dir(target.path):
                uuid = await ctx.tenant.arrivals.merge(target, ctx.user, temporary, _copied(ctx, place, target))
                return Answer(logical(ctx, target, uuid), message="Copy success")
        else:
            append = str(body.get("append")).lower() == "true"
            if await trio.to_thread.run_sync(partial(fill, temporary, old, after=new if append else None)) is None:
                raise Refusal(400, "Only plain files and folders can be copied")
            dress(temporary, new, like=source.st_mode)
        with ctx.tenant.changes.renaming(temporary, new):
            uuid = _copied(ctx, place, target)()
    finally:
        await trio.to_thread.run_sync(erase, temporary)
    return Answer(logical(ctx, target, uuid), message="Copy success")


def _copied(ctx: Context, place: Place, target: Place) -> Callable[[], str]:
    """What is written of a copy, together with it. The uuid of its record."""

    def write() -> str:
        there = target.disk.stat(target.path) is not None
        uuid = ctx.tenant.files.record(target, ctx.user)
        if there:
            ctx.store.event(uuid, "OVERWRITTEN", f"Overwritten by a copy of {place.path}", by=ctx.user)
        content_changed(ctx.tenant, target.system_id, target.path, ctx.user)
        return uuid

    return write


async def delete(ctx: Context, place: Place) -> Result:
    """Remove a file, or a folder with all that is in it."""
    files = ctx.tenant.files
    record = files.find(place)
    if Pem.WRITE & ~files.rights(place, ctx.user, follow=False):
        # wire: a refusal is 401 where the platform has no record of the path
        raise Refusal(403 if record else 401, "User does not have permission to delete the requested file path.")
    if place.path == "/":
        raise Refusal(403, "The root of a system cannot be deleted")
    await require_whole(ctx, place, Pem.WRITE, "delete", follow=False)
    record = files.find(place)  # it may be another, or gone, after the waiting
    if (gone := _removed(ctx, place, record[0] if record else None)) is not None:
        erasing = partial(trio.to_thread.run_sync, erase, gone)
        ctx.tenant.nursery.start_soon(background.work, f"erasing {gone.name}", erasing)
    return Answer(empty=204)


def _removed(ctx: Context, place: Place, uuid: str | None) -> Path | None:
    """Take what is at a place out of sight, with its records. What is still to be erased, which may take time."""
    path, gone = Path(place.disk.at(place.path, follow=False)), ctx.tenant.trash / secrets.token_hex(8)
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        if uuid is None:
            raise Refusal(404, MISSING) from None
        with ctx.store.together():
            _forget(ctx, place, uuid)
        return None
    if stat.S_ISDIR(found.st_mode):
        with steady.folder(path) as there:
            Path(there).chmod(0o700)  # a folder that may not be written to cannot be moved by its owner
    with ctx.tenant.changes.renaming(path, gone):
        _forget(ctx, place, uuid)
    if stat.S_ISDIR(found.st_mode) or found.st_size > LARGE:
        return gone
    gone.unlink()
    return None


def _forget(ctx: Context, place: Place, uuid: str | None) -> None:
    if uuid is not None:  # whoever listens hears of it, though the history goes with the record
        ctx.store.event(uuid, "DELETED", f"{place.path} was deleted", by=ctx.user)
    for below, path in ctx.tenant.notifications.kept.heard_below(place.system_id, place.path):
        ctx.store.event(below, "DELETED", f"{path} was deleted with {place.path}", by=ctx.user)
    ctx.tenant.files.removed(place)
    content_changed(ctx.tenant, place.system_id, place.path, ctx.user)


def _target(ctx: Context, place: Place, path: str) -> Place:
    """Where a copy or a move goes: from the root or from the home, never from the source's folder."""
    return place.on(ctx.tenant.files.resolve(place.system, ctx.user, path))


async def require_whole(ctx: Context, place: Place, needed: Pem, doing: str, *, follow: bool = True) -> None:
    """Refusal 403 unless the caller has the rights `needed` on a path and, if it is a folder, on all that is in it.

    There they may have less: a grant on the folder need not be recursive, and another may be nearer.
    """
    files = ctx.tenant.files
    files.require(place, ctx.user, needed, doing, follow=follow)
    real = place.on(place.disk.real(place.path, follow=follow))
    folder = Path(place.disk.at(real.path, follow=follow))
    if files.alike(real, ctx.user):
        return
    for path in await trio.to_thread.run_sync(paths_below, folder):
        files.require(real.on(f"{real.path.rstrip('/')}/{shown(path)}"), ctx.user, needed, doing, follow=False)
        await trio.lowlevel.checkpoint()


def look(ctx: Context, place: Place) -> os.stat_result:
    """What is at a place, or Refusal 404. A user's own home is made when it is first looked for."""
    found = place.stat()
    if found is None and ctx.tenant.files.is_home(place, ctx.user):
        place.disk.make_folder(place.path)
        found = place.stat()
    if found is None:
        raise Refusal(404, MISSING)
    return found


def logical(
    ctx: Context, place: Place, uuid: str, status: str = "STAGING_COMPLETED", source: str | None = None
) -> Record:
    """The LogicalFile of a path, which uploads, imports and actions answer with."""
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
