"""Many clients at once: no error, nothing lost that was answered for, and a tenant that does not grow."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SAID, Tenant
from tests.tenant.crash import fold, tokens
from tests.tenant.load import counted, load

GROWTH = 32 * 2**20  # bytes by which the tenant may be larger at the end than when it is warm


async def under_load(root: Path, *, count: int, seconds: float, submissions: float) -> str:
    """What is to be said of it."""
    words = tokens(root, "alice", "bob")
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")
    async with fold() as herd, herd.serving(root) as tenant:
        found = await load(
            tenant.url, tenant.pid, words, seed, count=count, seconds=seconds, submissions=submissions
        )  # fmt: skip
    assert found.trouble == {}, "attempts failed, though the client may have repeated them"
    assert found.end < found.warm + GROWTH, f"the tenant grew from {found.warm >> 20} to {found.end >> 20} MiB"
    return found.said()


async def test_twenty_clients_meet_no_error_and_lose_nothing(
    tenant_root: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property(SAID, await under_load(tenant_root, count=20, seconds=3, submissions=0.5))


@pytest.mark.soak
async def test_two_hundred_clients_meet_no_error_and_lose_nothing(
    tenant_root: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property(SAID, await under_load(tenant_root, count=200, seconds=60, submissions=0.1))


async def test_what_the_client_repeats_is_counted_all_the_same(tenant: Tenant, agave: Any) -> None:
    with counted() as attempts:
        with tenant.faults.refusing("systems.list", 503, times=1):
            await agave.systems.list()
        with tenant.faults.losing("systems.list", times=1):
            await agave.systems.list()
    assert attempts == {"200": 2, "503": 1, "RemoteProtocolError": 1}
