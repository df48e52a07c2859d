"""The history of a path, as it is shown, and the folder's share in what happens to the files in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agavesh.tenant.context import Context, Records
from agavesh.tenant.files.disk import parent_of
from agavesh.tenant.files.places import Place
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.words import Pem, date

if TYPE_CHECKING:
    from agavesh.tenant.state import Tenant


def history(ctx: Context, place: Place) -> Records:
    """All that has happened to a path, oldest first."""
    ctx.tenant.files.require(place, ctx.user, Pem.READ, "view")
    if (found := ctx.tenant.files.find(place)) is None:
        raise Refusal(404, f"No file or folder {place.path} is known to the history")
    return [
        {"status": status, "created": date(at), "createdBy": by, "description": description, **more}
        for at, status, by, description, more in ctx.store.events(found[0])
    ]


def content_changed(tenant: Tenant, system: str, path: str, user: str) -> None:
    """Tell the folder that a path stands in, if the platform has a record of it, that its content is another."""
    rows = tenant.store.sql("select uuid from files where system = ? and path = ?", system, parent_of(path))
    for (uuid,) in rows:
        tenant.store.event(uuid, "CONTENT_CHANGE", f"Content changed at {path}", by=user)
