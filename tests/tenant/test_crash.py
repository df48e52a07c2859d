"""A tenant killed at random moments under load: what it answered is there, what it did not is whole or absent."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from agavesh.client import Agave
from agavesh.client.watch import FINAL
from tests.conftest import SAID
from tests.tenant.crash import SYSTEM, Fold, Served, User, disagreements, fold, found, still, tokens

MOST = 80  # calls that are answered before a kill
LONGEST = 1.0  # seconds of load before a kill, however few they were


async def settled(root: Path) -> None:
    """Wait until a tenant has dealt with what the crash left."""
    with trio.fail_after(30):
        while not still(root):
            await trio.sleep(0.005)


async def crash(fold: Fold, root: Path, users: list[User], words: dict[str, str], dice: random.Random) -> None:
    """Serve, let all users work for a while, and kill the tenant in the midst of it."""
    calls = dice.randrange(MOST) + sum(user.answers for user in users)
    async with fold.serving(root) as tenant:
        await settled(root)
        check(root, users)
        async with Agave(tenant.url, token=words["alice"]) as alice, Agave(tenant.url, token=words["bob"]) as bob:
            for user in users:
                await kept(user, alice if user.name == "alice" else bob)
            async with trio.open_nursery() as nursery:
                for user in users:
                    nursery.start_soon(user.work, alice if user.name == "alice" else bob)
                with trio.move_on_after(LONGEST):
                    while sum(user.answers for user in users) < calls:
                        await trio.sleep(dice.uniform(0, 0.005))
                os.kill(tenant.pid, signal.SIGKILL)
                nursery.cancel_scope.cancel()


def check(root: Path, users: list[User]) -> None:
    assert disagreements(root) == []
    for user in users:
        assert user.judge(found(root, user.top)) is None, user.top


async def kept(user: User, agave: Agave) -> None:
    """Documents and jobs that the tenant has answered for are there."""
    for uuid, name in user.documents.items():
        assert (await agave.meta.getMetadata(uuid=uuid)).name == name
    for job in user.jobs:
        assert (await agave.jobs.get(jobId=job)).id == job
    user.documents.clear()


async def finished(user: User, agave: Agave) -> None:
    """All jobs that the tenant has answered for come to their end, however often it was killed meanwhile."""
    with trio.fail_after(60):
        for job in user.jobs:
            while (status := (await agave.jobs.getStatus(jobId=job)).status) != "FINISHED":
                assert status not in FINAL, status
                await trio.sleep(0.05)


async def crashes(root: Path, seed: int, count: int) -> Counter[str]:
    """So many kills of one folder's tenant. What the users have done and met, counted."""
    dice = random.Random(seed)
    words = tokens(root, "alice", "bob")
    users = [User("alice", f"/alice/{n}", random.Random(dice.random())) for n in range(5)]
    users.append(User("bob", "/alice/shared", random.Random(dice.random())))
    async with fold() as herd:
        async with herd.serving(root) as tenant:
            await prepare(tenant, users, words)
        for _ in range(count):
            await crash(herd, root, users, words, dice)
        async with herd.serving(root) as tenant:
            await settled(root)
            check(root, users)
            async with Agave(tenant.url, token=words["alice"]) as alice, Agave(tenant.url, token=words["bob"]) as bob:
                for user in users:
                    await finished(user, alice if user.name == "alice" else bob)
    return sum((user.done for user in users), Counter())


async def prepare(tenant: Served, users: list[User], words: dict[str, str]) -> None:
    async with Agave(tenant.url, token=words["alice"]) as alice:
        for user in users:
            body = {"action": "mkdir", "path": user.top}
            await alice.files.manage(systemId=SYSTEM, filePath="/", body=body)
        body = {"username": "bob", "permission": "ALL", "recursive": True}
        await alice.files.updatePermissions(systemId=SYSTEM, filePath="/alice/shared", body=body)


def told(seed: int, count: int, seconds: float, done: Counter[str]) -> str:
    ends = {"as it was", "as it was to be", "nothing under way"}
    calls = ", ".join(f"{name} {number}" for name, number in done.most_common() if name not in ends)
    return (
        f"crashes: {count} kills (seed {seed}) in {seconds:.0f} s; calls under way at the kill: {done['as it was']} had"
        f" not happened, {done['as it was to be']} had; answered: {calls}"
    )


async def test_a_killed_tenant_has_all_that_it_answered_for(
    tenant_root: Path, record_property: Callable[[str, object], None]
) -> None:
    seed, count = int.from_bytes(os.urandom(4)), 30
    print(f"seed {seed}")
    began = time.monotonic()
    done = await crashes(tenant_root, seed, count)
    record_property(SAID, told(seed, count, time.monotonic() - began, done))


@pytest.mark.soak
async def test_it_stands_a_thousand_kills(tenant_root: Path, record_property: Callable[[str, object], None]) -> None:
    seed, count = int.from_bytes(os.urandom(4)), 1000
    print(f"seed {seed}")
    began = time.monotonic()
    done = await crashes(tenant_root, seed, count)
    record_property(SAID, told(seed, count, time.monotonic() - began, done))
