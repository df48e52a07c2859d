"""The tenant by itself: CPU of small requests, pages of a huge folder, queries over many documents, and how fast bytes
go, against loopback and disk."""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import trio

from agavesh.api.wire import stamp
from agavesh.client import Agave
from agavesh.tenant.meta import documents
from agavesh.tenant.store import Store
from agavesh.tenant.words import new_uuid
from tests.bench.house import House, table

SYSTEM = "data.demo"
REQUESTS = 1000
SIZE = 256 * 2**20  # bytes
HUGE = 1_000_000  # files
DOCUMENTS = 100_000
PIECE = 2**20  # bytes


class Served(NamedTuple):
    """A tenant in a process of its own."""

    root: Path
    pid: int
    state: dict[str, Any]

    def agave(self) -> Agave:
        user, client = self.state["users"][0], self.state["client"]
        return Agave(
            self.state["url"],
            username=user["username"],
            password=user["password"],
            api_key=client["key"],
            api_secret=client["secret"],
        )

    def path(self, path: str) -> Path:
        return self.root / "systems" / SYSTEM / path

    @property
    def cpu(self) -> float:
        """Seconds it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def memory(self) -> str:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return f"{next(int(line.split()[1]) for line in lines if line.startswith('VmRSS')) >> 10} MiB"


def run(house: House) -> None:
    """Prints a table for each."""
    root = house.folder / "own"
    with serving(house, root):
        pass
    _remember(root)
    with serving(house, root) as tenant:
        trio.run(_small, tenant)
        trio.run(_queries, tenant)
        trio.run(_huge, tenant)
        trio.run(_rates, tenant, house.folder)


@contextmanager
def serving(house: House, root: Path, *options: str) -> Iterator[Served]:
    command = [sys.executable, "-m", "agavesh", "tenant", "serve", "--root", str(root), "--demo", *options]
    said = house.folder / "tenant.log"  # where it serves is nothing for between the tables
    with said.open("w") as log:
        process = subprocess.Popen(command, env=house.environment, stderr=log)
    try:
        while not (root / "tenant.json").exists():
            if process.poll() is not None:
                raise SystemExit(f"the tenant did not start: {said.read_text()}")
            time.sleep(0.02)
        yield Served(root, process.pid, json.loads((root / "tenant.json").read_text()))
    finally:
        process.terminate()
        process.wait()


def _state(root: Path) -> dict[str, Any]:
    with suppress(FileNotFoundError):
        state: dict[str, Any] = json.loads((root / "tenant.json").read_text())
        return state
    return {}


async def _small(tenant: Served) -> None:
    """What the tenant's own process works for requests that are as small as they come."""
    async with tenant.agave() as agave:
        files = agave.files
        await files.manage(systemId=SYSTEM, filePath="/alice", body={"action": "mkdir", "path": "few"})
        for name in range(10):
            tenant.path(f"alice/few/{name}").write_bytes(b"x" * 2000)

        async def listing() -> None:
            await files.list(systemId=SYSTEM, filePath="/alice/few")

        async def download() -> None:
            await files.download(systemId=SYSTEM, filePath="/alice/few/1").read()

        async def new() -> None:
            name = f"new{time.monotonic_ns()}"
            await files.importData(systemId=SYSTEM, filePath="/alice/few", fileName=name, fileToUpload=b"x" * 2000)

        async def over() -> None:
            await files.importData(systemId=SYSTEM, filePath="/alice/few", fileName="1", fileToUpload=b"x" * 2000)

        rows = []
        for name, act in (
            ("files.list of 10 files", listing),
            ("files.download of 2 kB", download),
            ("files.importData of 2 kB, over a file", over),
            ("files.importData of 2 kB, new", new),
        ):
            cpu, wall = await _cost(tenant, act)
            rows.append((name, f"{cpu * 1e6:.0f}", f"{wall * 1e3:.2f}"))
    table(f"tenant, {REQUESTS} requests one after the other", ("request", "tenant's CPU µs", "wall ms"), rows)


async def _cost(tenant: Served, act: Callable[[], Awaitable[None]]) -> tuple[float, float]:
    """The tenant's CPU seconds for one request, and the median of the wall seconds."""
    for _ in range(50):
        await act()
    before, walls = tenant.cpu, []
    for _ in range(REQUESTS):
        began = time.perf_counter()
        await act()
        walls.append(time.perf_counter() - began)
    return (tenant.cpu - before) / REQUESTS, statistics.median(walls)


def _remember(root: Path) -> None:
    """Write many documents, while nobody serves the folder."""
    store = Store(root / "tenant.db", documents.TABLES)
    now = stamp(datetime.now(UTC))
    with store.together():
        for number in range(DOCUMENTS):
            value = {"number": number, "group": number % 1000, "text": f"sample {number}", "deep": {"x": number / 7}}
            documents.put_document(
                store,
                documents.Document(
                    new_uuid("012"), f"name-{number % 5000}", "alice", None, now, now, json.dumps(value).encode(), []
                ),
                value,
            )
    store.close()


async def _queries(tenant: Served) -> None:
    """What `q` takes over many documents."""
    rows = []
    async with tenant.agave() as agave:
        for q in (
            {"name": "name-77"}, {"value.number": 4711}, {"value.group": 7}, {"value.number": {"$gte": 99_900}},
            {"value.text": {"$regex": "sample 999.5$"}}, {"value.deep.x": {"$lt": 1}}, {"value.group": "nothing"},
        ):  # fmt: skip
            before, walls = tenant.cpu, []
            for _ in range(5):
                began = time.perf_counter()
                found = await agave.meta.listMetadata(q=json.dumps(q))
                walls.append(time.perf_counter() - began)
            cpu = (tenant.cpu - before) / len(walls)
            rows.append((json.dumps(q), str(len(found)), f"{statistics.median(walls) * 1e3:.0f}", f"{cpu * 1e3:.0f}"))
    table(f"a query over {DOCUMENTS:,} documents", ("q", "found", "wall ms", "CPU ms"), rows)


async def _huge(tenant: Served) -> None:
    """Pages of a folder that holds very many files."""
    folder = tenant.path("alice/huge")
    folder.mkdir()
    for number in range(HUGE):
        os.mknod(folder / f"file-{number:07}.dat")
    await trio.sleep(0.1)  # what has only just changed is scanned again
    rows = []
    async with tenant.agave() as agave:
        for name, offset in (
            ("first, which scans", 0), ("first again", 0), ("middle", HUGE // 2), ("last", HUGE - 100),
        ):  # fmt: skip
            before, began = tenant.cpu, time.perf_counter()
            page = await agave.files.list(systemId=SYSTEM, filePath="/alice/huge", limit=250, offset=offset)
            took = time.perf_counter() - began
            rows.append(
                (name, str(len(page)), f"{took * 1e3:.0f}", f"{(tenant.cpu - before) * 1e3:.0f}", tenant.memory)
            )
    table(f"a folder of {HUGE:,} files", ("page", "entries", "wall ms", "CPU ms", "the tenant's memory"), rows)


async def _rates(tenant: Served, folder: Path) -> None:
    """Large files, as parts of what a bare socket and a bare copy give in the same run: the best of three each."""
    source = folder / "large"
    source.write_bytes(os.urandom(SIZE))
    tenant.path("alice/bytes").write_bytes(source.read_bytes())
    loopback = SIZE / min([await trio.to_thread.run_sync(_loopback) for _ in range(3)])
    disk = SIZE / min([await trio.to_thread.run_sync(_copied, source, folder / "copy") for _ in range(3)])
    async with tenant.agave() as agave:

        async def download() -> None:
            async with agave.files.download(systemId=SYSTEM, filePath="/alice/bytes") as body:
                async for _ in body.chunks():
                    pass

        async def upload() -> None:
            await agave.files.importData(systemId=SYSTEM, filePath="/alice", fileName="uploaded", fileToUpload=source)

        down, up = SIZE / await _best(download), SIZE / await _best(upload)
    table(
        f"{SIZE >> 20} MiB in one stream",
        ("what", "MiB/s", "of loopback", "of disk"),
        [
            (name, f"{rate / 2**20:.0f}", f"{rate / loopback:.2f}", f"{rate / disk:.2f}")
            for name, rate in (
                ("bare socket", loopback), ("bare copy, synced", disk), ("download", down), ("upload, synced", up),
            )
        ],
    )  # fmt: skip


async def _best(act: Callable[[], Awaitable[None]]) -> float:
    times = []
    for _ in range(3):
        began = time.perf_counter()
        await act()
        times.append(time.perf_counter() - began)
    return min(times)


def _loopback() -> float:
    """Seconds for as many bytes from one thread to another, over TCP."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as one:
        other = listener.accept()[0]
        piece = bytes(PIECE)

        def send() -> None:
            for _ in range(SIZE // PIECE):
                other.sendall(piece)
            other.close()

        began = time.perf_counter()
        sender = threading.Thread(target=send)
        sender.start()
        room = bytearray(PIECE)
        while one.recv_into(room):
            pass
        sender.join()
        return time.perf_counter() - began


def _copied(source: Path, target: Path) -> float:
    """Seconds to copy a file, until it is on the disk."""
    began = time.perf_counter()
    with source.open("rb", buffering=0) as reading, target.open("wb", buffering=0) as writing:
        while piece := reading.read(PIECE):
            writing.write(piece)
        os.fsync(writing.fileno())
    return time.perf_counter() - began
