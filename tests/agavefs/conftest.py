"""The fixture `mount`: the tenant, mounted through the kernel."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.agavefs.mounting import Mount, mounted, options_of, possible
from tests.conftest import Tenant


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "mount(*arguments, **environ): how the mount of a test is made")


@pytest.fixture
async def mount(tenant: Tenant, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Mount]:
    if not possible:
        pytest.skip("there is no /dev/fuse here")
    arguments, environ = options_of(request)
    async with mounted(tenant, tmp_path / "mount", *arguments, **environ) as there:
        yield there
