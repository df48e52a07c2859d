"""A herd of clients at work on one tenant, for tests and for the benchmark: what they call, and what came of it.

The client repeats what failed and may pass, so whoever calls it sees few errors. Here each attempt is counted, as the
client's own log tells of it: an answer by its status, and a connection that broke or was not to be had by its error.
"""

from __future__ import annotations

import contextlib
import logging
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import trio

from agavesh.client import Agave
from tests.tenant.crash import APP, SYSTEM, digest

NAMES = 12  # files of each client, written over and over


@dataclass
class Load:
    """What came of it."""

    count: int
    seconds: float
    times: dict[str, list[float]]  # seconds of each call, by what was done
    attempts: Counter[str]  # by status, or by the error of those that were not answered
    files: int  # read back at the end, each as it was acknowledged
    warm: int  # bytes of the tenant's memory after a third of the time
    end: int

    @property
    def trouble(self) -> dict[str, int]:
        """Attempts that were no success, whether a later one was or not."""
        return {said: number for said, number in self.attempts.items() if not said.startswith("2")}

    def rate(self, *acts: str) -> float:
        """Calls in a second: of some acts, or of all."""
        return sum(len(self.times[act]) for act in acts or self.times) / self.seconds

    def within(self, part: float, *acts: str) -> float:
        """The seconds in which such a part of the calls was over, as 0.99."""
        times = sorted(each for act in acts or self.times for each in self.times[act])
        return times[int(len(times) * part)] if times else 0.0

    def said(self) -> str:
        done = sorted(self.times.items(), key=lambda each: -len(each[1]))
        return (
            f"load: {self.count} clients for {self.seconds:.0f} s: {self.rate():.0f} calls a second, half within"
            f" {self.within(0.5) * 1e3:.0f} ms, 99 in 100 within {self.within(0.99) * 1e3:.0f} ms;"
            f" {', '.join(f'{act} {len(times)}' for act, times in done)}; {self.attempts.total()} attempts, of which"
            f" {sum(self.trouble.values())} failed; {self.files} files read back;"
            f" memory {self.warm >> 20} MiB after a third, {self.end >> 20} MiB at the end"
        )


class _Counting(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.attempts: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        if record.funcName == "_send" and isinstance(record.args, tuple):  # name, method, what, and what came of it
            self.attempts[str(record.args[3])] += 1


@contextlib.contextmanager
def counted() -> Iterator[Counter[str]]:
    """The attempts that clients of this process make in the block, by what came of each."""
    log, counting = logging.getLogger("agavesh.client.transport"), _Counting()
    level, propagate = log.level, log.propagate
    log.addHandler(counting)
    log.setLevel(logging.DEBUG)
    log.propagate = False
    try:
        yield counting.attempts
    finally:
        log.removeHandler(counting)
        log.setLevel(level)
        log.propagate = propagate


@dataclass
class Client:
    """One of many. `kept` is what it was told is there."""

    agave: Agave
    top: str
    dice: random.Random
    times: dict[str, list[float]]
    submissions: float  # jobs in a hundred calls
    kept: dict[str, str] = field(default_factory=dict)

    async def work(self) -> None:
        """Call after call, until it is cancelled. A cancelled upload may be there or not: its name is forgotten."""
        acts = (self.list, self.download, self.upload, self.query, self.submit)
        while True:
            act = self.dice.choices(acts, (35, 30, 25, 10, self.submissions))[0]
            began = time.perf_counter()
            if await act():
                self.times[act.__name__].append(time.perf_counter() - began)

    async def list(self) -> bool:
        listing = await self.agave.files.list(systemId=SYSTEM, filePath=self.top, limit=100)
        assert {entry.name for entry in listing} >= self.kept.keys()
        return True

    async def download(self) -> bool:
        if not self.kept:
            return False
        await self.read(self.dice.choice(list(self.kept)))
        return True

    async def read(self, name: str) -> None:
        """A file is as it was acknowledged."""
        path = f"{self.top}/{name}"
        async with self.agave.files.download(systemId=SYSTEM, filePath=path) as body:
            content = await body.read()  # within the block it is not asked for again if it is cut
        assert digest(content) == self.kept[name]

    async def upload(self) -> bool:
        name = f"{self.dice.randrange(NAMES)}"
        content = self.dice.randbytes(self.dice.choice([100, 2_000, 30_000, 200_000]))
        self.kept.pop(name, None)
        await self.agave.files.importData(systemId=SYSTEM, filePath=self.top, fileName=name, fileToUpload=content)
        self.kept[name] = digest(content)
        return True

    async def query(self) -> bool:
        """A metadata document is written, found, and removed."""
        name = f"{self.top}-{self.dice.randrange(10**9)}"
        made = await self.agave.meta.addMetadata(body={"name": name, "value": {"n": 1}})
        found = await self.agave.meta.listMetadata(q=f'{{"name": "{name}"}}')
        assert [document.uuid for document in found] == [made.uuid]
        await self.agave.meta.deleteMetadata(uuid=made.uuid)
        return True

    async def submit(self) -> bool:
        body = {"name": "short", "appId": APP, "archive": False, "parameters": {"lines": 1, "delay": 0}}
        await self.agave.jobs.submit(body=body)
        return True

    async def nothing_is_lost(self, limit: trio.CapacityLimiter) -> None:
        for name in self.kept:
            async with limit:
                await self.read(name)


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


async def load(
    url: str, pid: int, tokens: Mapping[str, str], seed: int, *, count: int, seconds: float, submissions: float
) -> Load:
    """So many clients for so long, of the users whose tokens these are. What they read back is as it was acknowledged,
    or it fails."""
    times: dict[str, list[float]] = {act: [] for act in ("list", "download", "upload", "query", "submit")}
    users = [*tokens]
    async with AsyncExitStack() as stack:
        attempts = stack.enter_context(counted())
        clients = []
        for number in range(count):
            user = users[number % len(users)]
            agave = await stack.enter_async_context(Agave(url, token=tokens[user]))
            top = f"/{user}/{number}"
            await agave.files.manage(systemId=SYSTEM, filePath="/", body={"action": "mkdir", "path": top})
            clients.append(Client(agave, top, random.Random(seed + number), times, submissions))
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                for client in clients:
                    nursery.start_soon(client.work)
                await trio.sleep(seconds / 3)
                warm = resident(pid)
                await trio.sleep_forever()
        end = resident(pid)
        limit = trio.CapacityLimiter(20)
        async with trio.open_nursery() as nursery:
            for client in clients:
                nursery.start_soon(client.nothing_is_lost, limit)
    files = sum(len(client.kept) for client in clients)
    assert attempts.total() >= sum(map(len, times.values())) + files, "the client's log does not tell of every attempt"
    return Load(count, seconds, times, attempts, files, warm, end)
