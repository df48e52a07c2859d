"""What all tests share: a real tenant on loopback, and tokens for its users."""

from __future__ import annotations

import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from hypothesis import HealthCheck, settings

from agavesh.tenant import server
from agavesh.tenant.demo.seed import SMALL
from agavesh.tenant.faults import Faults
from agavesh.tenant.jobs.runs import Run
from agavesh.tenant.state import Tenant as State

# a background job of a script has Ctrl-C ignored, and so would the programs have that tests start and interrupt
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# a machine with other work to do is no fault of what is tested
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

SAID = "said at the end of the run"


@pytest.fixture(scope="session", autouse=True)
def keys_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test's tenant keeps a key among those of the person who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests have recorded as SAID, for people. It comes with their reports, from other processes too."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == SAID:
                terminalreporter.write_line(str(value))


class Tenant:
    """A running tenant as tests see it. `state` is its inside, for the few tests that must look there."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.url: str = state.url
        self.root: Path = state.root
        self.faults: Faults = state.faults
        self.users: dict[str, str] = {user["username"]: user["password"] for user in state.secrets.users}
        self.client: tuple[str, str] = (state.secrets.client["key"], state.secrets.client["secret"])
        self.key: str = state.secrets.key
        self.run: str = state.run

    def bytes(self, system: str, path: str) -> bytes:
        """The bytes of a file on the disk of a system; `path` is from its root."""
        return self.state.bytes(system, path)

    def path(self, system: str, path: str) -> Path:
        """Where a path of a system is on this machine."""
        return Path(self.state.disk(system).at("/" + path.lstrip("/"), follow=False))

    def token(self, username: str = "alice") -> str:
        """A fresh access token, as /token would hand it out."""
        return self.state.auth.grant(username, self.client[0]).access_token

    def http(self, username: str = "alice", **more: Any) -> httpx.AsyncClient:
        """A bare HTTP client signed in as a user, for tests that look at the wire."""
        headers = {"Authorization": f"Bearer {self.token(username)}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, trust_env=False, timeout=30, **more)


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A seeded folder, made once, copied for each test: passwords are slow to hash."""
    root: Path = tmp_path_factory.mktemp("planted") / "tenant"

    async def plant() -> None:
        async with server.running(root, seed=SMALL):
            pass

    trio.run(plant)
    return root


@pytest.fixture
def tenant_root(planted: Path, tmp_path: Path) -> Iterator[Path]:
    """A seeded folder of this test's own."""
    root = tmp_path / "tenant"
    shutil.copytree(planted, root, symlinks=True)
    yield root
    for control in [*(root / "jobs").glob("*-007"), *(root / "actors").glob("*/*/run")]:
        Run(control).stop()  # jobs and what actors do outlive their tenant, but not their test


@pytest.fixture
async def tenant(tenant_root: Path) -> AsyncIterator[Tenant]:
    """A real tenant, in this process, on loopback: users alice, bob and admin, the demonstration's systems and apps."""
    (tenant_root / "port").unlink(missing_ok=True)
    async with server.running(tenant_root) as state:
        yield Tenant(state)


@pytest.fixture
async def agave(tenant: Tenant) -> AsyncIterator[Any]:
    """The client, signed in as alice."""
    from agavesh.client import Agave

    async with Agave(tenant.url, token=tenant.token("alice")) as client:
        yield client
