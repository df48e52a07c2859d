"""A tenant on a file system that is really full, to the last byte: it refuses what it cannot keep, and all is read.

The file system is one in memory that only the tenant's own process sees, and this test through that process.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

SIZE = "24m"
MEDIA = "/files/v2/media/system/data.demo//alice"
LISTINGS = MEDIA.replace("media", "listings")
ALONE = ["unshare", "--user", "--map-root-user", "--mount"]
HISTORY, PEMS = MEDIA.replace("media", "history"), MEDIA.replace("media", "pems")
READ = [
    LISTINGS, f"{LISTINGS}/never/looked/at", f"{MEDIA}/kept", f"{MEDIA}/other", f"{HISTORY}/kept", f"{PEMS}/kept",
    f"{PEMS}/other", "/systems/v2/", "/systems/v2/data.demo", "/apps/v2/", "/jobs/v2/",
    "/profiles/v2/", "/profiles/v2/me", "/tenants",
]  # fmt: skip


@pytest.fixture
async def filled(tmp_path: Path, tenant_root: Path) -> AsyncIterator[Any]:
    """A tenant, its folder as seen from here, and its process."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = f'mount -t tmpfs -o size={SIZE} none "$1" && cp -a "$0" "$1/tenant" && shift && exec "$@"'
    mounted = ["sh", "-c", mount, str(tenant_root), str(folder)]
    if subprocess.run([*ALONE, *mounted, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody have a file system of their own")
    serve = [sys.executable, "-m", "agavesh", "tenant", "serve", "--root", str(folder / "tenant")]
    process = await trio.lowlevel.open_process([*ALONE, *mounted, *serve], stderr=subprocess.PIPE)
    root = Path(f"/proc/{process.pid}/root{folder}/tenant")
    try:
        with trio.fail_after(30):
            while not (root / "tenant.json").exists():
                assert process.poll() is None, (await process.stderr.receive_some()).decode()
                await trio.sleep(0.02)
        yield root
        assert process.poll() is None, (await process.stderr.receive_some()).decode()
    finally:
        process.kill()
        await process.wait()
        await process.stderr.aclose()


def fill(root: Path) -> Path:
    """Not another byte has room."""
    filler = root.parent / "filler"
    with filler.open("wb", buffering=0) as out:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    out.write(bytes(size))
    free = os.statvfs(root)
    assert free.f_bavail == 0
    return filler


async def test_a_full_disk_refuses_what_it_cannot_keep_and_lets_all_be_read(filled: Path) -> None:
    state = json.loads((filled / "tenant.json").read_text())
    home = filled / "systems" / "data.demo" / "alice"
    async with httpx.AsyncClient(base_url=state["url"], trust_env=False, timeout=30) as http:
        sign_in = {"grant_type": "password", **state["users"][0]}
        client = (state["client"]["key"], state["client"]["secret"])
        token = (await http.post("/token", data=sign_in, auth=client)).json()["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        sent = await http.post(MEDIA, files={"fileToUpload": ("kept", b"kept bytes")})
        assert sent.status_code == 202
        (home / "never" / "looked" / "at").mkdir(parents=True)
        (home / "other").write_bytes(b"other bytes")
        acknowledged = set()
        for number in range(20):
            sent = await http.post(MEDIA, files={"fileToUpload": (f"large{number}", bytes(3 << 20))})
            if sent.status_code != 202:
                break
            acknowledged.add(f"large{number}")
        assert (sent.status_code, sent.json()["message"]) == (502, "The storage failed: No space left on device")
        assert 1 < len(acknowledged) < 9
        filler = fill(filled)

        read = {path: await http.get(path) for path in READ}
        assert {path: answer.status_code for path, answer in read.items()} == dict.fromkeys(READ, 200)
        assert read[f"{MEDIA}/kept"].content == b"kept bytes"
        assert read[f"{MEDIA}/other"].content == b"other bytes"

        app = (await http.get("/apps/v2/")).json()["result"][0]["id"]
        refused = [
            await http.put(MEDIA, json={"action": "mkdir", "path": "new"}),
            await http.put(f"{MEDIA}/kept", json={"action": "rename", "path": "lost"}),
            await http.put(f"{MEDIA}/kept", json={"action": "copy", "path": "/alice/copied"}),
            await http.post(MEDIA, files={"fileToUpload": ("kept", b"x" * 100)}),
            await http.post(MEDIA, files={"fileToUpload": ("small", b"x" * 100)}),
            await http.post(f"{PEMS}/kept", json={"username": "bob", "permission": "READ"}),
            await http.post("/jobs/v2/", json={"name": "job", "appId": app}),
            await http.post("/token", data=sign_in, auth=client),
        ]
        for answer in refused:
            told = answer.json()
            said = told.get("message") or told.get("error_description")
            assert (answer.status_code, said) == (502, "The storage failed: No space left on device"), answer.url
        assert list((filled / "staging").iterdir()) == []

        filler.unlink()
        assert (await http.get(f"{MEDIA}/kept")).content == b"kept bytes"
        names = {entry["name"] for entry in (await http.get(LISTINGS)).json()["result"]}
        assert acknowledged | {"kept", "other", "never"} <= names
        assert {"new", "lost", "copied", "small"}.isdisjoint(names)
        assert {(home / name).stat().st_size for name in acknowledged} == {3 << 20}
        sent = await http.post(MEDIA, files={"fileToUpload": ("small", b"it fits")})
        assert sent.json()["result"]["status"] == "STAGING_COMPLETED"
