"""What a fresh tenant holds: people, two systems, three apps, images for actors, and files to look at.

Planted once, when the folder is new. `SMALL` is for tests, `DEMO` for people who try things, `PEOPLE` has no systems.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from agavesh.tenant.demo import apps, files, images
from agavesh.tenant.files.places import Place
from agavesh.tenant.passwords import hashed
from agavesh.tenant.state import Tenant
from agavesh.tenant.words import Pem, date, new_uuid


@dataclass(frozen=True)
class Seed:
    """How much to plant."""

    systems: bool = True
    files: bool = False


PEOPLE = Seed(systems=False)
SMALL = Seed()
DEMO = Seed(files=True)

USERS: tuple[tuple[str, str, str, bool], ...] = (
    ("alice", "Alice", "Arbor", False),
    ("bob", "Bob", "Birch", False),
    ("admin", "Ada", "Minster", True),
)


async def plant(tenant: Tenant, seed: Seed) -> None:
    """Plant what of the seed was never planted here. What was cut short begins anew."""
    if not tenant.secrets.users:
        await trio.to_thread.run_sync(_people, tenant)
        tenant.secrets.keep(tenant.root / "secrets.json")
    if seed.systems:
        await _once(tenant, "systems", _systems)
        await _once(tenant, "images", images.plant)
    if seed.files:
        await _once(tenant, "files", _files)


async def _once(tenant: Tenant, part: str, planting: Callable[[Tenant], None]) -> None:
    if tenant.store.get("planted", part) is None:
        await trio.to_thread.run_sync(planting, tenant)
        tenant.store.put("planted", part, {"at": date(time.time())}, owner="admin")


def _people(tenant: Tenant) -> None:
    for username, first, last, admin in USERS:
        password = secrets.token_urlsafe(12)
        profile = {
            "email": f"{username}@example.org", "firstName": first, "lastName": last, "fullName": f"{first} {last}",
            "first_name": first, "last_name": last, "full_name": f"{first} {last}", "status": "ACTIVE",
            "uuid": new_uuid("001"), "create_time": "20200101000000Z",
        }  # fmt: skip
        tenant.auth.add_user(username, hashed(password), admin=admin)
        tenant.store.put("profile", username, {"username": username, **profile}, owner=username)
        tenant.secrets.users.append({"username": username, "password": password})
    tenant.auth.drop_client("alice", "agavesh")
    key, secret = tenant.auth.add_client(
        "alice", "agavesh", {"description": "made with the tenant", "tier": "UNLIMITED"}
    )
    tenant.secrets.client = {"key": key, "secret": secret}


def _systems(tenant: Tenant) -> None:
    storage = {"host": "localhost", "port": 0, "protocol": "LOCAL", "rootDir": "/", "homeDir": "/",
               "publicAppsDir": "/apps", "mirror": False, "proxy": None, "auth": {"type": "LOCAL"}}  # fmt: skip
    _system(tenant, {
        "id": "data.demo", "name": "Demonstration data", "type": "STORAGE", "storage": storage,
        "description": "Files to try things on; every user has a home here",
    })  # fmt: skip
    _system(tenant, {
        "id": "run.demo", "name": "Demonstration runs", "type": "EXECUTION",
        "description": "Jobs run here as processes of this machine",
        "storage": {**storage, "publicAppsDir": None}, "executionType": "CLI", "scheduler": "FORK",
        "login": {"host": "localhost", "port": 0, "protocol": "LOCAL", "proxy": None, "auth": {"type": "LOCAL"}},
        "environment": None, "startupScript": None, "maxSystemJobs": 100, "maxSystemJobsPerUser": 50,
        "workDir": "", "scratchDir": "/scratch",
        "queues": [{"name": "normal", "default": True, "description": "the only one", "mappedName": None, "maxJobs": 20,
                    "maxUserJobs": 10, "maxNodes": 1, "maxProcessorsPerNode": 8, "maxMemoryPerNode": 8.0,
                    "maxRequestedTime": "24:00:00", "customDirectives": None}],
    })  # fmt: skip
    # to register an app on a system takes PUBLISHER; on a public one everybody has the role granted to "world"
    tenant.store.sql("insert or replace into roles values ('run.demo', 'world', 'PUBLISHER')")
    for folder in ("/alice", "/bob", "/apps"):
        tenant.disk("data.demo").make_folder(folder)
    tenant.disk("run.demo").make_folder("/scratch")
    _share(tenant, "/", recursive=False)  # homes are private, but one sees whose there are
    _share(tenant, "/apps", recursive=True)
    apps.plant(tenant)


def _share(tenant: Tenant, path: str, *, recursive: bool) -> None:
    """Let everybody read a path of data.demo."""
    system = tenant.store.get("system", "data.demo") or {}
    place = Place(system, path, tenant.disk("data.demo"))
    tenant.store.grant(tenant.files.record(place, "admin"), "world", Pem.READ, recursive=recursive)


def _files(tenant: Tenant) -> None:
    disk = tenant.disk("data.demo")
    files.plant(Path(disk.at("/alice")), Path(disk.at("/bob")))
    _share(tenant, "/bob/shared", recursive=True)


def _system(tenant: Tenant, record: dict[str, Any]) -> None:
    now = date(time.time())
    whole = {
        "uuid": new_uuid("006"), "status": "UP", "available": True, "site": "example.org", "revision": 1,
        "public": True, "globalDefault": True, "owner": "admin", "created": now, "lastModified": now, **record,
    }  # fmt: skip
    tenant.store.put("system", record["id"], whole, owner="admin")
    tenant.store.event(whole["uuid"], "CREATED", "System was created", by="admin")
