"""What an input of a job points at: a path on a system, a job's output, or an address elsewhere.

agave://system//a/b          from the system's root; names are percent-quoted, as everywhere in agave:// addresses
agave://system/a/b           from the caller's home
/a/b  or  a/b                on the caller's default storage system, taken as it is
https://this-tenant/files/v2/media/system/…  and  …/jobs/v2/ID/outputs/media/…    the same files by their links
http://…  https://…          anything else: downloaded when the job is staged
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from agavesh.tenant.files.disk import name_of
from agavesh.tenant.files.fetching import parts
from agavesh.tenant.jobs.places import output_place
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.words import Pem

if TYPE_CHECKING:
    from agavesh.tenant.files.places import Place
    from agavesh.tenant.state import Tenant


@dataclass(frozen=True)
class Source:
    """One input: its `name` in the job's folder, and either a `path` of this machine or a `url`."""

    name: str
    path: Path | None = None
    url: str = ""


def source_of(tenant: Tenant, user: str, uri: str) -> Source:
    """Find an input. Refusal 400 if it is not there, 403 if the user may not read it."""
    if uri.startswith(tenant.url + "/"):
        uri = uri.partition("?")[0].partition("#")[0]
    media = f"{tenant.url}/files/v2/media/system/"
    outputs = f"{tenant.url}/jobs/v2/"
    if uri.startswith(outputs) and "/outputs/media/" in uri:
        job_id, _, path = uri.removeprefix(outputs).partition("/outputs/media/")
        place = output_place(tenant, unquote(job_id), user, unquote(path))[1]
        return _local(place, uri, Path(place.disk.root).name)
    if uri.startswith(media):
        uri = "agave://" + uri.removeprefix(media)
    if uri.startswith("agave://"):
        system, _, path = uri.removeprefix("agave://").partition("/")
        return _on_system(tenant, user, uri, unquote(system), unquote(path), path)
    if "://" in uri:
        return Source(_name(uri), url=uri)
    return _on_system(tenant, user, uri, None, uri, uri)


def _name(url: str) -> str:
    """What a download is called in the job's folder: the last part of the address, and never a path."""
    name = unquote(parts(url).path.rstrip("/")).rpartition("/")[2]
    return name if name not in ("", ".", "..") and "\0" not in name else "unknown"


def _on_system(tenant: Tenant, user: str, uri: str, system: str | None, path: str, written: str) -> Source:
    """A readable path. One that was written without quoting is found too, if nothing has the unquoted name."""
    try:
        place = tenant.files.place(user, system, path)
        if path != written and place.disk.stat(place.path) is None:
            place = tenant.files.place(user, system, written)
    except Refusal as refusal:
        raise Refusal(403 if refusal.status == 403 else 400, f"{uri}: {refusal.message}") from None
    if not Pem.READ & tenant.files.rights(place, user):
        raise Refusal(403, f"Permission denied. You do not have permission to read the input {uri}")
    return _local(place, uri, place.system_id)


def _local(place: Place, uri: str, whole: str) -> Source:
    """A path of this machine; `whole` is the name of all that there is on its disk."""
    path = Path(place.disk.at(place.path))
    if not path.exists():
        raise Refusal(400, f"The input {uri} does not exist.")
    return Source(name_of(place.path) or whole, path=path)
