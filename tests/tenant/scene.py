"""A home full of traps, what lies outside of it, and a way to ask for any path, however it is written."""

from __future__ import annotations

import json
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import trio

from tests.conftest import Tenant

CANARY = b"the canary sings"
INSIDE = b"it lies inside"
NAME = "canary-name"  # of a file outside, which no listing may show

DEEP = "/".join(["d"] * 200)
LONG = "n" * 255

ROOT = "%2e%2e/" * 12
# names below a folder: `..` and its disguises, odd bytes, long and deep ones, and what lies in the folder of traps
SPELLINGS = [
    "..", "../", "../..", "../../..", "../../../..", "x/../..", "x/../../..", "./..", ".//..", "...", "....//", "..;/",
    ". .",
    "%2e%2e", "%2E%2e/", "%2e%2e%2f%2e%2e", "..%2f..%2f..", "..%2F..%2F..%2F..%2Foutside", "%252e%252e",
    "%252e%252e%252f",
    "%25%32%65%25%32%65", "..%5c..", "..%5C..%5C..%5Coutside", "%5c..%5c..", "..%c0%af..", "%c0%ae%c0%ae",
    "%c0%ae%c0%ae%c0%af",
    "%e0%80%ae%e0%80%ae", "%f0%80%80%ae", "%ef%bc%8e%ef%bc%8e", "%u002e%u002e", "%uff0e", "..%00", "%00", "a%00b",
    "..%00/..", "%2500",
    "%ff", "%fe%ff", "%ed%a0%80", "caf%c3%a9", "caf%e9", "%e2%80%ae", "%0a", "a%0ab", "a%0d%0ab", "%09", "%1b%5b2J",
    "%7f", "~", "~root",
    "$HOME", "%24%7bHOME%7d", "`id`", "*", "?", "%3f", "%23", "-rf", "--", "C%3a", "C:%5c..%5c..", "C:/../..", "c:..",
    "file:%2f%2f%2fetc",
    "|id", "%26%26", "%20", "%20..", "..%20", ".%20.", "CON", ".", "./.", "", "/", "//", "///..", "//etc/passwd",
    "%2fetc%2fpasswd",
    LONG, LONG + "n", "%c3%a9" * 127, "%c3%a9" * 128, "/".join([LONG] * 15), "/".join([LONG] * 20), DEEP, f"{DEEP}/f",
    f"{DEEP}/d/d",
    "/".join(["d"] * 2000), f"{DEEP}/{DEEP}", "../" * 3000, "a/../" * 3000, ROOT, f"{ROOT}outside/secret",
    f"{ROOT}etc/passwd", f"{ROOT}tenant.json",
    ROOT + "secrets.json", "../" * 12 + "etc/passwd", "../" * 2 + "bob", "../" * 3 + "run.demo",
]  # fmt: skip
TRAPS = [
    "file-out", "folder-out", "folder-out/secret", "folder-out/new", "folder-out/new/er", "folder-out/..",
    "folder-out/../secret",
    "relative-out", "relative-out/secret", "chain", "chain/secret", "chain/new", "chain-file", "up", "up/up", "top",
    "top/secret",
    "top/new", "dangling", "dangling/new", "dangling-out", "dangling-out/new", "loop", "loop/x", "ping", "pong",
    "itself/itself/real",
    "records", "key", "hard", "pipe", "pipe/x", "socket", "device", "in", "in/x", "real/x", "file/x", "file/..",
    "file/../..", "to-pipe",
    "proc", "proc/environ", "proc/root", "proc/cwd", "fd", "zero",
]  # fmt: skip


class Answered(NamedTuple):
    status: int
    body: bytes


class Scene:
    """The folder of traps, `/alice/h` on data.demo, and `outside`, beside the tenant's folder."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.outside = tenant.root.parent / "outside"
        (self.outside / "folder").mkdir(parents=True)
        (self.outside / "secret").write_bytes(CANARY)
        (self.outside / "folder" / NAME).write_bytes(CANARY)
        (self.outside / "folder" / "secret").write_bytes(CANARY)
        self.was = self.seen()
        self._laid: object = None

    def set(self) -> None:
        """Lay the traps, unless they lie as they were laid."""
        home = self.tenant.path("data.demo", "/alice/h")
        if home.is_dir() and _laid(home) == self._laid:
            return
        self.lay(home)
        self._laid = _laid(home)

    def lay(self, home: Path) -> None:
        """Lay the traps in a folder."""
        _erase(home)
        home.mkdir(parents=True)
        outside = self.outside
        for name, target in {
            "file-out": outside / "secret", "folder-out": outside / "folder", "chain": "folder-out",
            "chain-file": "chain/secret",
            "relative-out": os.path.relpath(outside / "folder", home), "up": "..", "top": "../../../..",
            "dangling": "nowhere",
            "dangling-out": outside / "made", "loop": "loop", "ping": "pong", "pong": "ping", "itself": ".",
            "records": self.tenant.root / "tenant.db", "key": self.tenant.root / "secrets.json", "in": "real",
            "to-pipe": "pipe",
            "proc": "/proc/self", "fd": "/proc/self/fd", "zero": "/dev/zero",
        }.items():  # fmt: skip
            (home / name).symlink_to(target)
        (home / "real").mkdir()
        (home / "real" / "x").write_bytes(INSIDE)
        (home / "file").write_bytes(INSIDE)
        os.link(outside / "secret", home / "hard")
        os.mkfifo(home / "pipe")
        with socket.socket(socket.AF_UNIX) as made, suppress(OSError):
            made.bind(f"/proc/self/fd/{_folder(home)}/socket")
        with suppress(OSError):  # where only the administrator of the machine makes devices
            os.mknod(home / "device", stat.S_IFCHR | 0o666, os.makedev(1, 3))

    def seen(self) -> list[tuple[str, int, int, bytes]]:
        """All that is outside, and of the tenant's own what no request of a user's changes."""
        found = []
        for folder in (self.outside, self.outside / "folder"):
            for path in [folder, *sorted(folder.iterdir())]:
                known = path.lstat()
                content = (
                    path.read_bytes()
                    if path.is_file()
                    else b"".join(sorted(os.fsencode(each.name) for each in path.iterdir()))
                )
                found.append((str(path), known.st_mode, known.st_mtime_ns, content))
        own = self.tenant.root / "secrets.json"
        return [*found, (str(own), own.lstat().st_mode, own.lstat().st_mtime_ns, own.read_bytes())]

    def told(self, answer: Answered, *, hard: bool = False) -> list[str]:
        """What an answer tells of what lies outside. The bytes of a hard link are inside by any measure."""
        secrets = {
            "canary": CANARY,
            "name": NAME.encode(),
            "key": self.tenant.key.encode(),
            "records": b"SQLite format 3",
        }
        secrets |= {"machine": b"root:x:0:0", "environment": b"PATH=/"}
        return [name for name, secret in secrets.items() if secret in answer.body and not (hard and name == "canary")]


def _laid(home: Path) -> object:
    """The traps as they lie."""
    found = [(each.name, each.inode(), each.stat(follow_symlinks=False)) for each in os.scandir(home)]
    return sorted((name, inode, known.st_mode, known.st_size, known.st_mtime_ns) for name, inode, known in found)


def _folder(path: Path) -> int:
    """A folder by a number, since the address of a socket is short. It is open as long as the process."""
    return _OPEN.setdefault(str(path), os.open(path, os.O_PATH | os.O_DIRECTORY))


_OPEN: dict[str, int] = {}


def _erase(path: Path) -> None:
    import shutil

    if path.is_symlink() or path.is_file():
        path.unlink()
    if fd := _OPEN.pop(str(path), None):
        os.close(fd)
    shutil.rmtree(path, ignore_errors=True)


class Wire:
    """Requests as they are written: nothing is quoted, joined or made shorter on the way."""

    def __init__(self, tenant: Tenant, username: str = "alice") -> None:
        self._port = urlsplit(tenant.url).port or 0
        self._token = tenant.token(username)
        self._stream: trio.SocketStream | None = None
        self.asked = 0

    async def __call__(self, method: str, target: str, body: Any = None, *, kind: str = "application/json") -> Answered:
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"{method} {target} HTTP/1.1", "Host: here", f"Authorization: Bearer {self._token}"]
        lines += [f"Content-Type: {kind}", f"Content-Length: {len(content)}"] if body is not None else []
        self.asked += 1
        with trio.fail_after(30):  # a request that opens a pipe hangs
            if self._stream is None:
                self._stream = await trio.open_tcp_stream("127.0.0.1", self._port)
            await self._stream.send_all("".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + content)
            return await self._answer()

    async def _answer(self) -> Answered:
        assert self._stream is not None
        said = b""
        while b"\r\n\r\n" not in said:
            piece = await self._stream.receive_some()
            assert piece, "no answer"
            said += piece
        head, _, body = said.partition(b"\r\n\r\n")
        fields = {
            name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
        }
        length = int(fields.get(b"content-length", b"0"))
        while len(body) < length:
            piece = await self._stream.receive_some()
            assert piece, "the answer ends short"
            body += piece
        if fields.get(b"connection") == b"close":
            await self.close()
        return Answered(int(head.split()[1]), body)

    async def close(self) -> None:
        if self._stream is not None:
            await self._stream.aclose()
            self._stream = None
