"""Many clients at once: no error, nothing lost that was answered for, and a tenant that does not grow."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from agavesh.client import Agave
from agavesh.client.errors import Unsupported
from tests.conftest import SAID
from tests.tenant.crash import APP, SYSTEM, digest, fold, tokens

GROWTH = 32 * 2**20  # bytes by which the tenant may be larger at the end than when it is warm
NAMES = 12  # files of each client, written over and over


@dataclass
class Client:
    """One of many. `kept` is what it was told is there."""

    agave: Agave
    top: str
    dice: random.Random
    times: list[float]
    done: Counter[str]
    submissions: float  # jobs in a hundred calls
    kept: dict[str, str] = field(default_factory=dict)
    metadata: bool = True

    async def work(self) -> None:
        """Call after call, until it is cancelled. A cancelled upload may be there or not: its name is forgotten."""
        acts = (self.list, self.download, self.upload, self.query, self.submit)
        while True:
            act = self.dice.choices(acts, (35, 30, 25, 10, self.submissions))[0]
            began = time.perf_counter()
            if await act():
                self.times.append(time.perf_counter() - began)
                self.done[act.__name__] += 1

    async def list(self) -> bool:
        listing = await self.agave.files.list(systemId=SYSTEM, filePath=self.top, limit=100)
        assert {entry.name for entry in listing} >= self.kept.keys()
        return True

    async def download(self) -> bool:
        if not self.kept:
            return False
        name = self.dice.choice(list(self.kept))
        content = await self.agave.files.download(systemId=SYSTEM, filePath=f"{self.top}/{name}").read()
        assert digest(content) == self.kept[name]
        return True

    async def upload(self) -> bool:
        name = f"{self.dice.randrange(NAMES)}"
        content = self.dice.randbytes(self.dice.choice([100, 2_000, 30_000, 200_000]))
        self.kept.pop(name, None)
        await self.agave.files.importData(systemId=SYSTEM, filePath=self.top, fileName=name, fileToUpload=content)
        self.kept[name] = digest(content)
        return True

    async def query(self) -> bool:
        """A metadata document is written, and found."""
        if not self.metadata:
            return False
        name = f"{self.top}-{self.dice.randrange(10**9)}"
        try:
            made = await self.agave.meta.addMetadata(body={"name": name, "value": {"n": 1}})
        except Unsupported:
            self.metadata = False
            return False
        found = await self.agave.meta.listMetadata(q=f'{{"name": "{name}"}}')
        assert [document.uuid for document in found] == [made.uuid]
        await self.agave.meta.deleteMetadata(uuid=made.uuid)
        return True

    async def submit(self) -> bool:
        body = {"name": "short", "appId": APP, "archive": False, "parameters": {"lines": 1, "delay": 0}}
        await self.agave.jobs.submit(body=body)
        return True

    async def nothing_is_lost(self, limit: trio.CapacityLimiter) -> None:
        for name, kept in self.kept.items():
            async with limit:
                content = await self.agave.files.download(systemId=SYSTEM, filePath=f"{self.top}/{name}").read()
            assert digest(content) == kept


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


async def load(root: Path, count: int, seconds: float, submissions: float) -> str:
    """So many clients for so long. What is to be said of it."""
    words = tokens(root, "alice", "bob")
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")
    times: list[float] = []
    done: Counter[str] = Counter()
    async with AsyncExitStack() as stack:
        herd = await stack.enter_async_context(fold())
        tenant = await stack.enter_async_context(herd.serving(root))
        clients = []
        for number in range(count):
            user = ("alice", "bob")[number % 2]
            agave = await stack.enter_async_context(Agave(tenant.url, token=words[user]))
            top = f"/{user}/{number}"
            await agave.files.manage(systemId=SYSTEM, filePath="/", body={"action": "mkdir", "path": top})
            clients.append(Client(agave, top, random.Random(seed + number), times, done, submissions))
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                for client in clients:
                    nursery.start_soon(client.work)
                await trio.sleep(seconds / 3)
                warm = resident(tenant.pid)
                await trio.sleep_forever()
        end = resident(tenant.pid)
        limit = trio.CapacityLimiter(20)
        async with trio.open_nursery() as nursery:
            for client in clients:
                nursery.start_soon(client.nothing_is_lost, limit)
    assert end < warm + GROWTH, f"the tenant grew from {warm >> 20} to {end >> 20} MiB"
    times.sort()
    files = sum(len(client.kept) for client in clients)
    return (
        f"load: {count} clients for {seconds:.0f} s: {len(times) / seconds:.0f} calls a second, half within"
        f" {times[len(times) // 2] * 1e3:.0f} ms, 99 in 100 within {times[len(times) * 99 // 100] * 1e3:.0f} ms;"
        f" {', '.join(f'{name} {number}' for name, number in done.most_common())}; {files} files read back;"
        f" memory {warm >> 20} MiB after a third, {end >> 20} MiB at the end"
    )


async def test_twenty_clients_meet_no_error_and_lose_nothing(
    tenant_root: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property(SAID, await load(tenant_root, 20, 3, 0.5))


@pytest.mark.soak
async def test_two_hundred_clients_meet_no_error_and_lose_nothing(
    tenant_root: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property(SAID, await load(tenant_root, 200, 60, 0.1))
