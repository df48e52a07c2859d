"""A platform that is not to be trusted: it answers as the real one does, but where a test has it say something else.

Trees of the embedded tenant can't hold what is told here: names that are none, sizes that lie, answers without end.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

from tests.agavefs.mounting import Mount, mounted
from tests.client.wire import Peer, Said, Seen, answer, peer
from tests.conftest import Tenant

Says = Callable[[Seen], Said]
WHEN = "2020-01-01T00:00:00.000-06:00"


def line(name: Any, length: Any = 5, **more: Any) -> dict[str, Any]:
    """A line of a listing: a file, if nothing else is said."""
    told = {"name": name, "type": "file", "length": length, "lastModified": WHEN, "permissions": "ALL"}
    return told | more


def itself(**more: Any) -> dict[str, Any]:
    """The line of the folder that is listed."""
    return line(".", 4096, type="dir") | more


def wrapped(result: Any) -> bytes:
    """An answer of a service."""
    told = {"status": "success", "message": None, "version": "2.2.22-r0", "result": result}
    return answer(body=json.dumps(told).encode(), content_type="application/json")


class Impostor:
    """What it has: `files` by path, and `folders`, each with its lines.

    `says` has the first word: by `listings PATH` or `media PATH`, or `*` for everything.
    """

    def __init__(self) -> None:
        self.url = ""
        self.users, self.client = {"alice": "password"}, ("key", "secret")
        self.files: dict[str, bytes] = {}
        self.folders: dict[str, list[Any]] = {"/": [line("alice", 4096, type="dir")], "/alice": []}
        self.says: dict[str, Says] = {}
        self.peer = Peer("")

    @property
    def seen(self) -> list[Seen]:
        return self.peer.seen

    def file(self, name: str, content: bytes, **more: Any) -> None:
        """A file in alice's home."""
        self.files[f"/alice/{name}"] = content
        self.folders["/alice"].append(line(name, len(content)) | more)

    def folder(self, name: str, *lines: Any) -> None:
        """A folder in alice's home, with lines as they are to be told."""
        self.folders[f"/alice/{name}"] = list(lines)
        self.folders["/alice"].append(line(name, 4096, type="dir"))

    def says_of(self, what: str, name: str, said: Says) -> None:
        """What it says when it is asked for the `listings` or the `media` of something in alice's home."""
        self.says[f"{what} /alice/{name}"] = said

    def script(self, seen: Seen) -> Said:
        told = urlsplit(seen.target)
        path = unquote(told.path)
        what, place = "", path
        if found := re.fullmatch(r"/files/v2/(listings|media)/system/data\.demo/(.*)", path):
            what, place = found[1], "/" + found[2].strip("/")
        for key in (f"{what} {place}", "*"):
            if (said := self.says.get(key)) is not None:
                return said(seen)
        if path == "/token":
            return answer(body=b'{"access_token": "t", "refresh_token": "r", "expires_in": 14400}')
        if path.startswith("/systems/v2"):
            return wrapped([{"id": "data.demo", "type": "STORAGE", "public": False}])
        query = parse_qs(told.query)
        first, most = (int(query.get(name, [usual])[0]) for name, usual in (("offset", "0"), ("limit", "100")))
        if what == "listings":
            return self._listing(place, first, most)
        if what == "media" and seen.method == "GET" and place in self.files:
            return _media(self.files[place], seen.headers.get("range", ""))
        return answer(404, b'{"status":"error","message":"No file or directory found","result":null}')

    def _listing(self, place: str, first: int, most: int) -> bytes:
        if place in self.folders:
            return wrapped([itself(), *self.folders[place]][first : first + most])
        folder, _, name = place.rpartition("/")
        for told in self.folders.get(folder or "/", ()):
            if isinstance(told, dict) and told.get("name") == name:
                return wrapped([told | {"path": place}])
        return answer(404, b'{"status":"error","message":"No file or directory found","result":null}')


def _media(content: bytes, asked: str) -> bytes:
    if found := re.fullmatch(r"bytes=(\d+)-(\d*)", asked):
        start, stop = int(found[1]), int(found[2]) + 1 if found[2] else len(content)
        whole = f"bytes {start}-{stop - 1}/{len(content)}"
        return answer(206, content[start:stop], Content_Range=whole, Accept_Ranges="bytes")
    return answer(200, content, Accept_Ranges="bytes")


@asynccontextmanager
async def impostor() -> AsyncIterator[Impostor]:
    """An impostor on loopback."""
    found = Impostor()
    async with peer(found.script) as there:
        found.url, found.peer = there.url, there
        yield found


@asynccontextmanager
async def deceived(folder: Path, *arguments: str, **environ: str) -> AsyncIterator[tuple[Impostor, Mount]]:
    """A mount of an impostor."""
    async with impostor() as there, mounted(cast(Tenant, there), folder, *arguments, **environ) as mount:
        yield there, mount
