"""Where a path points, who may do what there, and the records that the platform keeps of paths.

`Files` resolves what a caller wrote (a system's id and a path) to a `Place`, answers for the rights on it, and keeps
the file records: uuid, owner, grants and history of a path, moved and removed with it. It does not touch the bytes.
"""

from __future__ import annotations

import functools
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import cachetools

from agavesh.tenant.files.disk import Disk, ancestors, normal, parent_of, status
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.store import Unwritable
from agavesh.tenant.words import Pem, new_uuid

if TYPE_CHECKING:
    from agavesh.tenant.state import Tenant

ROLES = ("NONE", "GUEST", "USER", "PUBLISHER", "ADMIN", "OWNER")
NOBODYS = "\1"  # stands for the name of a file that nothing special is known of
EVERYBODY = ("public", "world")  # grants to these hold for all signed-in users


@dataclass(frozen=True)
class Place:
    """A path on a system: `path` is normal, from the root."""

    system: dict[str, Any]
    path: str
    disk: Disk

    @property
    def system_id(self) -> str:
        return str(self.system["id"])

    def on(self, path: str) -> Place:
        """Another path of the same system."""
        return Place(self.system, path, self.disk)

    def at(self) -> str:
        """As `Disk.at`."""
        return self.disk.at(self.path)

    def stat(self) -> os.stat_result | None:
        """What is there, links followed; None for nothing."""
        return status(self.at())

    def real(self, *, follow: bool = True) -> str:
        """As `Disk.real`."""
        return self.disk.real(self.path, follow=follow)


class Found(Place):
    """A place that is only read: where it leads is looked up once, and what is then done is done there."""

    @functools.cached_property
    def _at(self) -> str:
        return super().at()

    def at(self) -> str:
        return self._at

    def real(self, *, follow: bool = True) -> str:
        if not follow:
            return super().real(follow=False)
        try:
            return self._at.removeprefix(self.disk.root) or "/"
        except Refusal:
            return self.path


class Files:
    """Places, rights and records."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._records: cachetools.LRUCache[tuple[str, str], tuple[str, str]] = cachetools.LRUCache(4096)
        tenant.store.remember("files", self._records)

    # systems ---------------------------------------------------------------------------------------------------------

    def role(self, system: dict[str, Any], user: str) -> str:
        """The user's role on a system, ADMIN for administrators of the tenant."""
        if system["owner"] == user:
            return "OWNER"
        if self._tenant.auth.is_admin(user):
            return "ADMIN"
        roles = self._tenant.store.roles(system["id"])
        if system.get("public"):
            return str(max(roles.get(user, "NONE"), roles.get("world", "USER"), key=ROLES.index))
        return str(roles.get(user, "NONE"))

    def has_role(self, system: dict[str, Any], user: str, least: str) -> bool:
        """Whether the user has the role `least`, or a stronger one."""
        return ROLES.index(self.role(system, user)) >= ROLES.index(least)

    def system(self, system_id: str, user: str) -> dict[str, Any]:
        """A system that the user may reach files on. One they have no role on looks unknown."""
        system = self._tenant.store.get("system", system_id)
        if system is None or not self.has_role(system, user, "GUEST"):
            raise Refusal(404, f"No system found for user with system id {system_id}")
        if not system.get("available", True) or system.get("status") in ("DOWN", "MAINTENANCE"):
            raise Refusal(400, f"The system {system_id} is currently unavailable")
        return system

    def default_system(self, user: str, kind: str = "STORAGE") -> dict[str, Any]:
        """The caller's default system of a kind, else the tenant's."""
        rows = self._tenant.store.get("defaults", user) or {}
        if (chosen := rows.get(kind)) and (system := self._tenant.store.get("system", chosen)):
            return self.system(system["id"], user)
        for system in self._tenant.store.all("system"):
            if system.get("globalDefault") and system["type"] == kind:
                return self.system(system["id"], user)
        raise Refusal(404, f"No default {kind.lower()} system found. Please register one and set it as your default")

    # places ----------------------------------------------------------------------------------------------------------

    def found(self, user: str, system_id: str | None, path: str) -> Found:
        """As `place`, for a request that only reads."""
        place = self.place(user, system_id, path)
        return Found(place.system, place.path, place.disk)

    def place(self, user: str, system_id: str | None, path: str) -> Place:
        """What a caller means by a system (None: the default one) and a path: from the root with a leading slash, else
        from the home."""
        system = self.default_system(user) if system_id is None else self.system(system_id, user)
        return Place(system, self.resolve(system, user, path), self._tenant.disk(system["id"]))

    def resolve(self, system: dict[str, Any], user: str, path: str) -> str:
        """The normal path from the root.

        On a public system every user has a home below `homeDir`. A relative path that begins with a user's name is in
        that home, any other in the caller's own.
        """
        path = re.sub(r"^[A-Za-z]:", "", path).replace("\\", "/")
        if path.startswith("/"):
            return normal(path)
        home = self.home(system)
        if system.get("public") and system["type"] == "STORAGE":
            first = path.split("/")[0]
            if not (first and self._tenant.auth.exists(first)):
                home = f"{home}/{user}"
        return normal(f"{home}/{path}")

    def home(self, system: dict[str, Any]) -> str:
        """The `homeDir`, from the root."""
        return normal("/" + (system.get("storage", {}).get("homeDir") or "/"))

    def uri(self, user: str, uri: str) -> Place:
        """The place of an `agave://system/path` address; the path's names are quoted. Refusal 400 for another form."""
        if not uri.startswith("agave://"):
            raise Refusal(400, f"{uri} is no agave:// address")
        system_id, _, path = uri.removeprefix("agave://").partition("/")
        return self.place(user, unquote(system_id) or None, unquote(path))

    # rights ----------------------------------------------------------------------------------------------------------

    def rights(self, place: Place, user: str, *, follow: bool = True) -> Pem:
        """What the user may do at a place. Where a link is on the way, only what they may do where it leads, too.

        `follow=False` is for what is done to a link itself, if it is the last part of the path.
        """
        bits = self._rights(place, user)
        if bits and (real := place.real(follow=follow)) != place.path:
            bits &= self._rights(place.on(real), user)
        return bits

    def _rights(self, place: Place, user: str) -> Pem:
        """What the user may do at a path. Roles decide first, then homes, owners and grants, nearest first."""
        if (decided := self._decided(place, user)) is not None:
            return decided
        bits = Pem.READ if self._open_to_all(place.system) else Pem.NONE
        return bits | self._granted(place, user)

    def _open_to_all(self, system: dict[str, Any]) -> bool:
        """Whether all may read everything on a public storage: whoever gave `world` a role, GUEST or more, said so.

        It does not hang on the caller's own role, which may be a stronger one; and the role that all have where
        nothing was given opens nobody's home.
        """
        return "world" in self._tenant.store.roles(system["id"])

    def _decided(self, place: Place, user: str) -> Pem | None:
        """What the user may do at a place and everywhere below it, where no owner and no grant has a say."""
        system = place.system
        if self._tenant.auth.is_admin(user):
            return Pem.ALL
        if system.get("public") and system["type"] == "EXECUTION":
            return Pem.NONE  # wire: files of public execution systems are for administrators of the tenant
        role = self.role(system, user)
        if not system.get("public"):
            return Pem.NONE if role == "NONE" else Pem.ALL
        if role in ("ADMIN", "OWNER") or self.in_home(system, user, place.path):
            return Pem.ALL
        return None

    def alike(self, place: Place, user: str) -> bool:
        """Whether the user may do the same everywhere below a place, whatever was granted there."""
        return self._decided(place, user) is not None

    def in_home(self, system: dict[str, Any], user: str, path: str) -> bool:
        """Whether a path is the user's home on a public system, or below it."""
        home = self._own_home(system, user)
        return path == home or path.startswith(home + "/")

    def is_home(self, place: Place, user: str) -> bool:
        """Whether a place is the user's home on a public system, or the home of a private one."""
        home = self._own_home(place.system, user) if place.system.get("public") else self.home(place.system)
        return place.path == home

    def _own_home(self, system: dict[str, Any], user: str) -> str:
        return normal(f"{self.home(system)}/{user}")

    def inherited(self, folder: Place, user: str) -> Pem:
        """What the user may do with a file in the folder that nothing special is known of."""
        bits = self._rights(folder.on(f"{folder.path.rstrip('/')}/{NOBODYS}"), user)
        if bits and (real := folder.real()) != folder.path:
            bits &= self._rights(folder.on(f"{real.rstrip('/')}/{NOBODYS}"), user)
        return bits

    def special(self, folder: Place, user: str, paths: Sequence[str]) -> set[str]:
        """Those of the paths of files in a folder that may have other rights than `inherited`."""
        if not paths or self._decided(folder, user) is not None:
            return set()
        rows = self._tenant.store.sql(
            "select distinct path from files left join grants using (uuid)"
            f" where system = ? and path in ({_marks(paths)})"
            " and (owner = ? or username in (?, ?, ?))",
            folder.system_id, *paths, user, user, *EVERYBODY,
        )  # fmt: skip
        return {path for (path,) in rows} | {self._own_home(folder.system, user)}

    def granted_to(self, place: Place, name: str) -> Pem:
        """What the nearest grants let one name do, whoever owns the file; where links lead, too."""
        real = place.on(place.real())
        return self._granted(place, "", (name,)) & self._granted(real, "", (name,))

    def _granted(self, place: Place, user: str, names: tuple[str, ...] | None = None) -> Pem:
        names = names or (user, *EVERYBODY)
        above = ancestors(place.path)
        rows = self._tenant.store.sql(
            "select path, owner, username, bits, recursive from files left join grants using (uuid)"
            f" where system = ? and path in ({_marks(above)}) and (owner = ? or username in ({_marks(names)}))",
            place.system_id, *above, user, *names,
        )  # fmt: skip
        if any(owner == user and path == place.path for path, owner, *_ in rows):
            return Pem.ALL
        bits = Pem.NONE
        for name in names:  # each name's nearest grant decides for that name
            for path in above:
                near = [row for row in rows if row[0] == path and row[2] == name and (row[4] or path == place.path)]
                if near:
                    bits |= Pem(near[0][3])
                    break
        return bits

    def require(
        self, place: Place, user: str, needed: Pem, doing: str = "access", *, follow: bool = True
    ) -> Pem:  # fmt: skip
        """What the user may do at a place. Refusal 403 unless they have the rights `needed`."""
        rights = self.rights(place, user, follow=follow)
        if needed & rights != needed:
            raise Refusal(403, f"User does not have permission to {doing} the requested file path.")
        return rights

    def require_to_write(self, place: Place, user: str) -> None:
        """Refusal 403 unless the user may write the file that is at a place, or make one where there is none."""
        spot = place
        for path in place.disk.missing(place.path):
            if Pem.WRITE & self.rights(spot, user):
                break
            spot = place.on(parent_of(path))
        self.require(spot, user, Pem.WRITE, "write to")

    # records ---------------------------------------------------------------------------------------------------------

    def find(self, place: Place) -> tuple[str, str] | None:
        """The record of a path: (uuid, owner), or None."""
        spot = place.system_id, place.path
        if (known := self._records.get(spot)) is None and (
            rows := self._tenant.store.sql("select uuid, owner from files where system = ? and path = ?", *spot)
        ):
            known = self._records[spot] = rows[0]
        return known

    def record(self, place: Place, user: str, *, description: str = "File item created") -> str:
        """The uuid of a path that the user has made; its record is new, and theirs, if there was none."""
        if (found := self.find(place)) is not None:
            return found[0]
        return self._new(place, owner=user, by=user, description=description)

    def seen(self, place: Place, user: str) -> str:
        """The uuid of a path that the user has come upon. A new record belongs to whose home it is in, else to the
        system's owner."""
        if (found := self.find(place)) is not None:
            return found[0]
        return self._new(place, owner=self.owner_of(place), by=user, description="File item indexed")

    def owner_of(self, place: Place) -> str:
        """Whose a path is that has no record."""
        if place.system.get("public") and place.system["type"] == "STORAGE":
            first = place.path.removeprefix(self.home(place.system)).strip("/").split("/")[0]
            if first and self._tenant.auth.exists(first):
                return first
        return str(place.system["owner"])

    def looked_at(self, place: Place, user: str) -> str | None:
        """The uuid of a path that the user only looks at; None where the disk is too full for a new record."""
        try:
            return self.seen(place, user)
        except Unwritable:
            return None

    def _new(self, place: Place, *, owner: str, by: str, description: str) -> str:
        uuid = new_uuid("002")
        with self._tenant.store.together():
            self._tenant.store.sql(
                "insert into files values (?, ?, ?, ?, ?)", place.system_id, place.path, uuid, owner, time.time()
            )
            self._tenant.store.event(uuid, "CREATED", description, by=by)
        return uuid

    def moved(self, source: Place, target: Place) -> None:
        """Records follow their bytes: those of `source` and below now stand at `target`."""
        with self._tenant.store.together():
            self.removed(target)
            self._tenant.store.sql(
                "update files set system = ?, path = ? || substr(path, ?) where system = ? and (path = ? or"
                " (path > ? and path < ?))",
                target.system_id, target.path, len(source.path) + 1, source.system_id, source.path,
                source.path + "/", source.path + "0",
            )  # fmt: skip

    def forget_grants(self, place: Place, user: str | None = None) -> None:
        """Take away what was granted below a path, to one user or to all."""
        base = place.path.rstrip("/")
        self._tenant.store.sql(
            "delete from grants where (?4 is null or username = ?4) and uuid in"
            " (select uuid from files where system = ?1 and path > ?2 and path < ?3)",
            place.system_id, base + "/", base + "0", user,
        )  # fmt: skip

    def forget_system(self, system_id: str) -> None:
        """Drop the records of all paths of a system."""
        of = "select uuid from files where system = ?"
        self._tenant.store.sql(f"delete from events where uuid in ({of})", system_id)
        self._tenant.store.sql(f"delete from grants where uuid in ({of})", system_id)
        self._tenant.store.sql("delete from files where system = ?", system_id)

    def removed(self, place: Place) -> bool:
        """Drop the records of a path and of all below it, with their grants and history; whether there was one."""
        below = (place.system_id, place.path, place.path.rstrip("/") + "/", place.path.rstrip("/") + "0")
        of = "select uuid from files where system = ? and (path = ? or (path > ? and path < ?))"
        with self._tenant.store.together():
            found = self.find(place) is not None
            self._tenant.store.sql(f"delete from events where uuid in ({of})", *below)
            self._tenant.store.sql(f"delete from grants where uuid in ({of})", *below)
            self._tenant.store.sql(
                "delete from files where system = ? and (path = ? or (path > ? and path < ?))", *below
            )
        return found


def _marks(values: Sequence[str]) -> str:
    return ",".join("?" * len(values))
