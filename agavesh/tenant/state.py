"""One running tenant: its folder, its records, its bytes, and what runs for it."""

from __future__ import annotations

import secrets
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import trio

from agavesh.tenant import auth as users
from agavesh.tenant.access import AccessLog
from agavesh.tenant.actors import queue
from agavesh.tenant.actors.workers import Actors
from agavesh.tenant.auth import LIFETIME, Auth
from agavesh.tenant.bounds import Bounds
from agavesh.tenant.confine import Confinement
from agavesh.tenant.control import Owner
from agavesh.tenant.faults import Faults
from agavesh.tenant.files import changes, patches
from agavesh.tenant.files.disk import Disk
from agavesh.tenant.files.listing import Listings
from agavesh.tenant.files.places import Files
from agavesh.tenant.files.staging import Staging
from agavesh.tenant.jobs import index
from agavesh.tenant.jobs.life import Jobs
from agavesh.tenant.meta import documents
from agavesh.tenant.meta.search import Library
from agavesh.tenant.monitors import life as monitors
from agavesh.tenant.notifications import subscriptions
from agavesh.tenant.notifications.life import Notifications
from agavesh.tenant.people import People
from agavesh.tenant.store import Damaged, Store, sync
from agavesh.tenant.vault import Keys, Vault, key_folder

NAME = "embedded"


class Tenant:
    """What every request works on. Everything is below `root`:

    tenant.db (records) · systems/<id>/ (bytes) · staging/ (uploads on their way) · trash/ (what is being removed) ·
    secrets.json (passwords, client, key; 0600) · tls/ · tenant.json (0600, while it serves). Only the keys that seal
    credentials are elsewhere, in `keys`.

    `nursery` owns work that outlives a request: staging, jobs. `awake` holds an entry for each running job: an idle
    tenant with one does not end itself.
    """

    def __init__(
        self,
        root: Path,
        *,
        nursery: trio.Nursery,
        lifetime: float = LIFETIME,
        control: bool = False,
        access_log: str = "",
        bounds: Bounds | None = None,
        confinement: Confinement | None = None,
        keys: Path | None = None,
    ) -> None:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.root = root = root.resolve()
        self.name = NAME
        self.url = ""  # known when it listens
        self.nursery = nursery
        self.confinement = confinement or Confinement.here(root)
        self.store = Store(
            root / "tenant.db",
            users.TABLES,
            index.TABLES,
            subscriptions.TABLES,
            changes.TABLES,
            patches.TABLES,
            queue.TABLES,
            documents.TABLES,
            monitors.TABLES,
        )
        self.library = Library(root / "tenant.db")
        self.auth = Auth(self.store, lifetime=lifetime)
        self.faults = Faults(self.auth)
        self.access_log = AccessLog(access_log) if access_log else None
        self.bounds = bounds or Bounds()
        self.files = Files(self)
        self.jobs = Jobs(self)
        self.notifications = Notifications(self)
        self.monitors = monitors.Monitors(self)
        self.actors = Actors(self)
        self.awake: set[str] = set()
        self.busy = self.served = 0  # requests under way, and all that ever came
        self.listings = Listings()
        self.staging = root / "staging"
        self.trash = root / "trash"
        for folder in (self.staging, self.trash, root / "systems"):
            folder.mkdir(exist_ok=True, mode=0o700)
        self.changes = changes.Changes(self.store, root)
        self.arrivals = Staging(self)
        self._disks: dict[tuple[str, str], Disk] = {}
        self.secrets = Secrets.of(root / "secrets.json")
        self.run = secrets.token_hex(16)  # no other process that serves this folder has the same
        self.control = Owner(self.secrets.key, self.run) if control else None
        self.known: frozenset[str] = frozenset()  # the names of all that is answered, once the application is made
        self.people = People(self.store, self.auth, self.secrets, partial(self.secrets.keep, root / "secrets.json"))
        self.vault = Vault(
            keys or key_folder(),
            known=lambda: msgspec.convert(self.store.get("vault", "key") or {}, Keys),
            keep=lambda keys: self.store.put("vault", "key", msgspec.to_builtins(keys), owner=""),
        )

    def disk(self, system_id: str) -> Disk:
        """The bytes of a system, from its `rootDir`."""
        system = self.store.get("system", system_id) or {}
        top = (system.get("storage", {}).get("rootDir") or "/").strip("/")
        if (disk := self._disks.get((system_id, top))) is None:
            whole = Disk(self.root / "systems" / system_id)
            disk = Disk(Path(whole.at("/" + top)))
            disk.make_folder("/")
            self._disks[system_id, top] = disk
        return disk

    def mend(self) -> None:
        """Undo what a crash of an earlier run cut in two, and sweep what it left. Nothing works in the folder yet."""
        self.changes.mend()
        self.arrivals.sweep()
        self.people.mend()
        for left in self.root.glob(".*.json.????????"):  # what `write_private` had not yet put in place
            left.unlink()

    def bytes(self, system_id: str, path: str) -> bytes:
        """The bytes of a file, as a test looks at them: `path` is from the system's root."""
        return Path(self.disk(system_id).at("/" + path.lstrip("/"))).read_bytes()

    def close(self) -> None:
        self.store.close()
        if self.access_log is not None:
            self.access_log.close()


class Secrets(msgspec.Struct):
    """What `tenant.json` tells those who may read it, kept over restarts."""

    key: str  # hex; who holds it can prove to be this tenant
    users: list[dict[str, Any]] = []
    client: dict[str, str] = {}

    @classmethod
    def of(cls, path: Path) -> Secrets:
        """Those in a file, or fresh ones."""
        if not path.exists():
            return cls(secrets.token_hex(32))
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except msgspec.DecodeError as problem:
            raise Damaged(f"{path} cannot be read: {problem}") from None

    def keep(self, path: Path) -> None:
        write_private(path, msgspec.json.encode(self))


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only this user can read, all at once: whenever the machine goes down, it is the old one or the
    new one."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    beside.touch(mode=0o600)
    beside.write_bytes(content)
    sync(beside)  # or its name could be on the disk before its bytes
    beside.replace(path)
    sync(path.parent)
