"""Our programs as a user has them: a tenant and a mount, each a process of its own."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode


@contextmanager
def served(root: Path, *options: str) -> Iterator[dict[str, Any]]:
    """A tenant with demonstration data, until the block ends; gives what its `tenant.json` says."""
    about = root / "tenant.json"
    command = [sys.executable, "-m", "agavesh", "tenant", "serve", "--root", str(root), "--demo", *options]
    with (root.parent / "tenant.log").open("w+") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_until(lambda: about.exists() or process.poll() is not None, timeout=90)
            log.seek(0)
            assert about.exists(), f"the tenant did not start: {log.read()[-2000:]}"
            yield json.loads(about.read_text())
        finally:
            process.terminate()
            assert process.wait(timeout=30) == 0


@contextmanager
def mounted(folder: Path, tenant: dict[str, Any], *options: str) -> Iterator[Path]:
    """The tree of the tenant's first user under `folder / "mnt"`, until the block ends."""
    place, home = folder / "mnt", folder / "home"
    for made in (place, home):
        made.mkdir()
    environment = signed_in(tenant, home)
    agavefs = [sys.executable, "-m", "agavefs"]
    done = subprocess.run(
        [*agavefs, "mount", str(place), *options], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    try:
        assert place.is_mount()
        yield place
    finally:
        done = subprocess.run(
            [*agavefs, "umount", str(place)], env=environment, capture_output=True, text=True, timeout=90
        )
        assert done.returncode == 0, done.stderr
        assert not place.is_mount()


def signed_in(tenant: dict[str, Any], home: Path) -> dict[str, str]:
    """An environment with nothing in it but the tenant's first user, and folders of its own."""
    user = tenant["users"][0]
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "AGAVE_BASE_URL": tenant["url"],
        "AGAVE_USERNAME": user["username"],
        "AGAVE_PASSWORD": user["password"],
        "AGAVE_API_KEY": tenant["client"]["key"],
        "AGAVE_API_SECRET": tenant["client"]["secret"],
    }


class Platform:
    """The platform as its first user reaches it without us: plain requests, no cache."""

    def __init__(self, tenant: dict[str, Any]) -> None:
        self.url = tenant["url"]
        user, client = tenant["users"][0], tenant["client"]
        basic = base64.b64encode(f"{client['key']}:{client['secret']}".encode()).decode()
        grant = {"grant_type": "password", "username": user["username"], "password": user["password"]}
        self._headers = {"Authorization": f"Basic {basic}"}
        answer = json.loads(self.ask("POST", "/token", urlencode(grant | {"scope": "PRODUCTION"}).encode()))
        self._headers = {"Authorization": f"Bearer {answer['access_token']}", "Content-Type": "application/json"}

    @property
    def authorization(self) -> str:
        """The header that its requests are signed with."""
        return self._headers["Authorization"]

    def ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """The body of an answer. Raises HTTPError."""
        request = urllib.request.Request(f"{self.url}{path}", body, self._headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            content: bytes = answer.read()
            return content

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """What is in the envelope of an answer."""
        return json.loads(self.ask(method, path, None if body is None else json.dumps(body).encode()))["result"]


def wait_until(true: Callable[[], bool], *, timeout: float) -> None:
    """Wait for a state of another process; `timeout` in seconds."""
    deadline = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)
