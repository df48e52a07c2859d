"""A real mount of a real tenant, for tests: `agavefs mount` as a user runs it, in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.conftest import Tenant

LONG = 30  # seconds: no test waits longer for anything

possible = os.path.exists("/dev/fuse")  # noqa: PTH110  # asked once, before any loop


class Mount:
    """A mount. `path` is where, `home` is alice's folder in it, `log` what the mount has said."""

    def __init__(self, tenant: Tenant, folder: Path, arguments: tuple[str, ...] = (), **environ: str) -> None:
        self.tenant = tenant
        self.folder = folder
        self.path = trio.Path(folder / "mnt")
        self.home = self.path / "systems/data.demo/alice"
        self.arguments = list(arguments)
        self.source = ""  # what is mounted, if not the whole tree
        self.prefix: tuple[str, ...] = ()  # before each program, if others run them than who runs the tests
        self.trouble_expected = False  # a test that makes the mount say an ERROR says so
        (folder / "mnt").mkdir(parents=True, exist_ok=True)
        unwanted = ("AGAVE", "XDG_", "PYTHON")
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
        self.environ |= {
            "AGAVE_BASE_URL": tenant.url,
            "AGAVE_USERNAME": "alice",
            "AGAVE_PASSWORD": tenant.users["alice"],
            "AGAVE_API_KEY": tenant.client[0],
            "AGAVE_API_SECRET": tenant.client[1],
            "AGAVE_CACHE_DIR": str(folder / "agave"),
            "XDG_STATE_HOME": str(folder / "state"),
            **environ,
        }

    async def agavefs(self, *words: str | os.PathLike[str]) -> subprocess.CompletedProcess[str]:
        """Run the command as a user does."""
        return await self.run(sys.executable, "-m", "agavefs", *words)

    async def run(
        self, *words: str | os.PathLike[str], cwd: str | os.PathLike[str] = "", **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run any program; its output as text. It has to end in time."""
        if cwd:
            # the program goes there, not we on its behalf between fork and exec: all of us would wait for the mount
            # then, and with us the tenant that it asks
            words = ("env", "-C", cwd, *words)
        options = {"check": False, "capture_stdout": True, "capture_stderr": True, "env": self.environ} | options
        words = (*self.prefix, *words)
        with trio.fail_after(LONG):
            done = await trio.run_process([os.fspath(word) for word in words], **options)
        out, err = (None if text is None else text.decode() for text in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    async def sh(self, line: str, *words: str | os.PathLike[str]) -> str:
        """What a line of shell prints, which has to succeed; `words` are $1 and so on."""
        done = await self.run("sh", "-c", line, "sh", *words, cwd=self.home)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        return done.stdout

    async def start(self) -> None:
        done = await self.agavefs("mount", *([self.source] if self.source else []), self.path, *self.arguments)
        assert done.returncode == 0, done.stderr

    async def umount(self) -> subprocess.CompletedProcess[str]:
        return await self.agavefs("umount", self.path)

    @property
    def cards(self) -> list[dict[str, Any]]:
        return [json.loads(card.read_text()) for card in self.folder.glob("state/agavesh/*/mounts/mounts/*.json")]

    @property
    def pid(self) -> int:
        cards = self.cards
        (card,) = cards if len(cards) == 1 else [card for card in cards if card["mountpoint"] == str(self.path)]
        pid: int = card["pid"]
        return pid

    async def kill(self) -> None:
        """As a crash of all does it: no word to anybody, and nobody left who mounts again."""
        process = os.pidfd_open(self.pid)
        try:
            kill_keeper(self.pid)
            os.kill(self.pid, signal.SIGKILL)
            with trio.fail_after(LONG):
                await trio.lowlevel.wait_readable(process)
        finally:
            os.close(process)
        await self.run("fusermount3", "-u", "-z", self.path)

    async def status(self) -> str:
        return await (self.path / ".agavefs/status").read_text()

    async def until(self, seen: Callable[[], Awaitable[bool]]) -> None:
        """Look again and again until it is so; for what no event tells."""
        with trio.fail_after(LONG):
            while not await seen():
                await trio.sleep(0.02)

    async def grows_old(self, seconds: float) -> None:
        """For rules that are about time: the mount is a process of its own, and nobody else can move its clock."""
        await trio.sleep(seconds)

    async def all_sent(self) -> None:
        async def seen() -> bool:
            status = await self.status()
            return "not sent    0\nto remove   0\n" in status

        await self.until(seen)

    @property
    def log(self) -> str:
        return "".join(log.read_text() for log in self.folder.glob("state/agavesh/*/mounts/log/*.log"))

    def counted(self) -> dict[str, int]:
        """The requests that the tenant has seen, by operation."""
        return dict(self.tenant.faults.requests)


@contextlib.asynccontextmanager
async def mounted(
    tenant: Tenant, folder: Path, *arguments: str, source: str = "", kind: type[Mount] = Mount, **environ: str
) -> AsyncIterator[Mount]:
    """A mount that is there in the block, and gone after it, whatever happens. Of a `source`, that is its home."""
    mount = kind(tenant, folder, arguments, **environ)
    if source:
        mount.source, mount.home = source, mount.path
    await mount.start()
    try:
        yield mount
    finally:
        with trio.CancelScope(shield=True):
            await _end(mount)
    if not mount.trouble_expected:
        assert "Traceback" not in mount.log, mount.log[-3000:]


def keeper(pid: int) -> int | None:
    """The process that mounts again when this one dies, if there is one."""
    with contextlib.suppress(OSError):
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        if b"agavefs.supervise" in Path(f"/proc/{parent}/cmdline").read_bytes():
            return parent
    return None


def kill_keeper(pid: int) -> None:
    if (parent := keeper(pid)) is not None:
        os.kill(parent, signal.SIGKILL)


async def _end(mount: Mount) -> None:
    pids = [card["pid"] for card in mount.cards]
    with trio.move_on_after(LONG):
        await mount.umount()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            kill_keeper(pid)
            os.kill(pid, signal.SIGKILL)
    await trio.run_process(
        ["fusermount3", "-u", "-z", str(mount.path)], check=False, capture_stdout=True, capture_stderr=True
    )


def options_of(request: pytest.FixtureRequest) -> tuple[tuple[str, ...], dict[str, str]]:
    """What `@pytest.mark.mount("--read-only", AGAVEFS_DEADLINES=…)` asks for."""
    marker = request.node.get_closest_marker("mount")
    return (marker.args, marker.kwargs) if marker else ((), {})


# a program of its own: whatever this one starts would close the file on its way, and that is a close like any other
_WRITER = """
import sys
with open(sys.argv[1], "wb", buffering=0) as file:
    file.write(sys.argv[2].encode())
    sys.stdout.write("!")
    sys.stdout.flush()
    sys.stdin.read()
"""


@contextlib.asynccontextmanager
async def writing(mount: Mount, text: bytes, name: str = "f") -> AsyncIterator[None]:
    """In the block a file is open that this was written to."""
    command = [sys.executable, "-c", _WRITER, str(mount.home / name), text.decode()]
    async with trio.open_nursery() as nursery:
        process = await nursery.start(
            lambda task_status: trio.run_process(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # if the mount dies, it has an error
                check=False,
                task_status=task_status,
            )
        )
        with trio.fail_after(LONG):
            assert await process.stdout.receive_some() == b"!"
            yield
            await process.stdin.aclose()
            await process.wait()
