"""For tests of crashes: a tenant that is killed and started again, and users who know what must be there afterwards.

Each user works in a folder of their own, one call at a time, and keeps a model of it. When the tenant is killed, the
calls that were answered must all have happened, and the one under way may have happened or not, but nothing between.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import trio

from agavesh.client import Agave
from agavesh.client.errors import Unsupported
from agavesh.tenant.auth import Auth
from agavesh.tenant.files.staging import SMALL
from agavesh.tenant.store import Store
from tests.tenant.shop import PATIENCE

SYSTEM = "data.demo"
APP = "ticker-1.0"

# what serves is forked from a process that has imported everything: imports take longer than what is tested
FOLD = """
import os, sys
import agavesh.tenant.server
from agavesh.shell.main import main
for root in sys.stdin:
    if not (pid := os.fork()):
        sys.argv = ["agavesh", "tenant", "serve", "--root", root.strip(), *sys.argv[1:]]
        sys.exit(main())
    print(pid, flush=True)
    os.waitpid(pid, 0)
    print("ended", flush=True)
"""


class Fold:
    """Where tenants come from: `agavesh tenant serve`, in one process after the other, each of which may be killed."""

    def __init__(self, process: trio.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout, self._said = process.stdin, process.stdout, b""

    @asynccontextmanager
    async def serving(self, root: Path) -> AsyncIterator[Served]:
        """A tenant of `root`, killed by the end of the block at the latest."""
        (root / "tenant.json").unlink(missing_ok=True)
        await self._stdin.send_all(f"{root}\n".encode())
        pid = int(await self._line())
        try:
            with trio.fail_after(PATIENCE):
                while not (root / "tenant.json").exists():
                    await trio.sleep(0.002)
            yield Served(json.loads((root / "tenant.json").read_text())["url"], pid)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with trio.CancelScope(shield=True):
                assert await self._line() == "ended"

    async def _line(self) -> str:
        while b"\n" not in self._said:
            self._said += await self._stdout.receive_some()
        line, _, self._said = self._said.partition(b"\n")
        return line.decode()


@asynccontextmanager
async def fold(*options: str) -> AsyncIterator[Fold]:
    """Tenants that are served with these options."""
    process = await trio.lowlevel.open_process(
        [sys.executable, "-c", FOLD, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    async with process.stdin, process.stdout:
        try:
            yield Fold(process)
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()


@dataclass
class Served:
    """A tenant that is being served. `pid` is to be killed at any moment."""

    url: str
    pid: int


def tokens(root: Path, *usernames: str) -> dict[str, str]:
    """Access tokens, made while nobody serves the folder."""
    store = Store(root / "tenant.db")
    try:
        auth = Auth(store)
        (key,) = store.sql("select key from clients")[0]
        return {name: auth.grant(name, key).access_token for name in usernames}
    finally:
        store.close()


# what a user knows ---------------------------------------------------------------------------------------------------

FOLDER = "folder"


@dataclass(frozen=True)
class Thing:
    """What is at a path: FOLDER or a digest of bytes; its uuid, None where it is not known; what bob was granted."""

    content: str
    uuid: str | None = None
    bob: int = 0

    def is_in(self, found: Thing | None) -> bool:
        return (
            found is not None
            and (self.content, self.bob) == (found.content, found.bob)
            and self.uuid in (None, found.uuid)
        )


Tree = dict[str, Thing]


def fits(tree: Tree, found: Tree) -> bool:
    """Whether what was found is what a user expects."""
    return tree.keys() == found.keys() and all(thing.is_in(found[path]) for path, thing in tree.items())


def digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=12).hexdigest()


def below(tree: Tree, top: str) -> Iterator[str]:
    """A path and all below it."""
    return (path for path in tree if path == top or path.startswith(top + "/"))


@dataclass
class User:
    """One who works in `top`, a folder of data.demo, at random from a seed."""

    name: str
    top: str
    dice: random.Random
    tree: Tree = field(default_factory=dict)
    doubt: Tree | None = None  # how it is if the call under way has happened
    done: Counter[str] = field(default_factory=Counter)
    answers: int = 0
    documents: dict[str, str] = field(default_factory=dict)  # uuid of each metadata document: its name
    jobs: set[str] = field(default_factory=set)
    offered: set[str] = field(default_factory=lambda: {"metadata"})

    async def work(self, agave: Agave) -> None:
        """Call after call, until it is cancelled."""
        while True:
            acts = [self.mkdir, self.upload, self.upload, self.large, self.over, self.rename, self.move, self.copy]
            acts += [self.merge, self.delete, self.permit, self.read, self.remember, self.submit]
            weights = [2, 4, 4, 1, 3, 2, 2, 2, 1, 3, 2, 2, 2, 0.3]
            if len(self.tree) > 40:
                weights[9] = 40
            act = self.dice.choices(acts, weights)[0]
            if await act(agave if act in (self.remember, self.submit) else agave.files):
                self.done[act.__name__] += 1
                self.answers += 1

    # calls: each gives back whether there was anything to do

    async def mkdir(self, files: Any) -> bool:
        path = self.fresh()
        folder, name = path.rpartition("/")[::2]
        body = {"action": "mkdir", "path": name}
        return await self.answered(
            lambda: files.manage(systemId=SYSTEM, filePath=self.at(folder), body=body), {path: Thing(FOLDER)}
        )

    async def upload(self, files: Any, size: int = 0, path: str | None = None) -> bool:
        path = path or self.fresh()
        folder, name = path.rpartition("/")[::2]
        content = self.dice.randbytes(64) * ((size or self.dice.choice([1, 700, 40_000])) // 64 + 1)
        old = self.tree.get(path, Thing(""))
        return await self.answered(
            lambda: files.importData(systemId=SYSTEM, filePath=self.at(folder), fileName=name, fileToUpload=content),
            {path: replace(old, content=digest(content))},
        )

    async def large(self, files: Any) -> bool:
        """It is taken with the answer; until it is settled nothing else is done, and it must arrive in any case."""
        path = self.dice.choice([*self.all(FOLDER, False), self.fresh()])
        await self.upload(files, SMALL + 1, path)
        while True:
            states = [event.status for event in await self.history(files, path)]
            newest = len(states) - states[::-1].index("STAGING_QUEUED")
            if "STAGING_COMPLETED" in states[newest:]:
                return True
            await trio.sleep(0.005)

    async def history(self, files: Any, path: str) -> list[Any]:
        events: list[Any] = []
        while page := await files.getHistory(systemId=SYSTEM, filePath=self.at(path), offset=len(events)):
            events += page
        return events

    async def over(self, files: Any) -> bool:
        there = self.all(FOLDER, False)
        return bool(there) and await self.upload(files, path=self.dice.choice(there))

    async def rename(self, files: Any) -> bool:
        if not (old := self.any()):
            return False
        new = f"{old.rpartition('/')[0]}/{self.name_()}"
        body = {"action": "rename", "path": new.rpartition("/")[2]}
        return await self.moved(files, old, new, body)

    async def move(self, files: Any) -> bool:
        old, new = self.any(), self.fresh()
        if not old or new.startswith(old + "/"):
            return False
        return await self.moved(files, old, new, {"action": "move", "path": self.at(new)})

    async def moved(self, files: Any, old: str, new: str, body: dict[str, str]) -> bool:
        after = {new + path[len(old) :]: self.tree[path] for path in below(self.tree, old)}
        gone = set(below(self.tree, old))
        return await self.answered(
            lambda: files.manage(systemId=SYSTEM, filePath=self.at(old), body=body), after, gone, known=new
        )

    async def copy(self, files: Any) -> bool:
        """To a new name, or over a file."""
        if not (old := self.any()):
            return False
        new = self.fresh()
        if self.tree[old].content != FOLDER and self.dice.random() < 0.5:
            new = self.dice.choice(self.all(FOLDER, False))
        return await self.copied(files, old, new)

    async def merge(self, files: Any) -> bool:
        """A folder over another."""
        folders = self.all(FOLDER, True)
        if len(folders) < 2:
            return False
        old, new = self.dice.sample(folders, 2)
        for path in below(self.tree, old):
            there = self.tree.get(new + path[len(old) :])
            if there is not None and (there.content == FOLDER) != (self.tree[path].content == FOLDER):
                return False
        return await self.copied(files, old, new)

    async def copied(self, files: Any, old: str, new: str) -> bool:
        if (new + "/").startswith(old + "/") or (old + "/").startswith(new + "/"):
            return False
        after = {}
        for path in below(self.tree, old):
            there = new + path[len(old) :]
            after[there] = replace(self.tree.get(there, Thing("")), content=self.tree[path].content)
        body = {"action": "copy", "path": self.at(new)}
        return await self.answered(
            lambda: files.manage(systemId=SYSTEM, filePath=self.at(old), body=body), after, known=new
        )

    async def delete(self, files: Any) -> bool:
        if not (path := self.any()):
            return False
        gone = set(below(self.tree, path))
        return await self.answered(lambda: files.delete(systemId=SYSTEM, filePath=self.at(path)), {}, gone)

    async def permit(self, files: Any) -> bool:
        if not (path := self.any()) or self.name == "bob":
            return False
        bits = self.dice.choice([0, 1, 3, 7])
        word = {0: "NONE", 1: "READ", 3: "READ_WRITE", 7: "ALL"}[bits]
        body = {"username": "bob", "permission": word}
        return await self.answered(
            lambda: files.updatePermissions(systemId=SYSTEM, filePath=self.at(path), body=body),
            {path: replace(self.tree[path], bob=bits)},
        )

    async def read(self, files: Any) -> bool:
        there = self.all(FOLDER, False)
        if not there:
            return False
        path = self.dice.choice(there)
        content = await files.download(systemId=SYSTEM, filePath=self.at(path)).read()
        assert digest(content) == self.tree[path].content
        return True

    async def remember(self, agave: Agave) -> bool:
        """A metadata document, where the tenant keeps such."""
        if "metadata" not in self.offered:
            return False
        name = f"{self.top}-{self.dice.random()}"
        try:
            made = await agave.meta.addMetadata(body={"name": name, "value": {"n": 1}})
        except Unsupported:
            self.offered.discard("metadata")
            return False
        self.documents[made.uuid] = name
        return True

    async def submit(self, agave: Agave) -> bool:
        """A short job."""
        job = await agave.jobs.submit(body={"name": "short", "appId": APP, "parameters": {"lines": 1, "delay": 0}})
        self.jobs.add(job.id)
        return True

    # the model

    async def answered(
        self, call: Callable[[], Awaitable[Any]], after: Tree, gone: set[str] | None = None, *, known: str | None = None
    ) -> bool:
        """Make a call. When it is answered, what is in `after` is there, and what is in `gone` no more."""
        self.doubt = {path: thing for path, thing in self.tree.items() if path not in (gone or ())} | after
        answer = await call()
        uuid = getattr(answer, "uuid", None)
        if uuid and (path := known or next(iter(after))):
            assert self.doubt[path].uuid in (None, uuid)
            self.doubt[path] = replace(self.doubt[path], uuid=uuid)
        self.tree, self.doubt = self.doubt, None
        return True

    def at(self, path: str) -> str:
        return self.top + path

    def name_(self) -> str:
        return f"{self.dice.choice(['a b', 'é', 'x', '%41', 'plain'])}{self.dice.randrange(10**6)}"

    def fresh(self) -> str:
        return f"{self.dice.choice(['', *self.all(FOLDER, True)])}/{self.name_()}"

    def all(self, content: str, equal: bool) -> list[str]:
        return [path for path, thing in self.tree.items() if (thing.content == content) is equal]

    def any(self) -> str | None:
        return self.dice.choice(list(self.tree)) if self.tree else None

    def judge(self, found: Tree) -> str | None:
        """What is wrong with what was found after a crash, or None. From here on it is the model."""
        for tree, how in ((self.tree, "as it was"), (self.doubt, "as it was to be")):
            if tree is not None and fits(tree, found):
                self.done[how if self.doubt else "nothing under way"] += 1
                self.tree, self.doubt = found, None
                return None
        wanted = self.doubt or self.tree
        return "; ".join(
            f"{path}: was {self.tree.get(path)}, to be {wanted.get(path)}, is {found.get(path)}"
            for path in sorted({*self.tree, *wanted, *found})
            if not (found.get(path) and self.tree.get(path, Thing("")).is_in(found[path]))
        )


# what is on the disk -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def records(root: Path) -> Iterator[sqlite3.Connection]:
    """The tenant's records, to look at."""
    with contextlib.closing(sqlite3.connect(f"file:{root}/tenant.db?mode=ro", uri=True)) as db:
        yield db


def still(root: Path) -> bool:
    """Whether what a crash left has been dealt with."""
    with records(root) as db:
        left = db.execute("select count(*) from stagings").fetchone()[0]
    return not left and not any((root / "trash").iterdir())


def found(root: Path, top: str) -> Tree:
    """What is there below a folder: bytes from the disk, the rest from the records."""
    folder = root / "systems" / SYSTEM / top.lstrip("/")
    with records(root) as db:
        known = {
            path: (uuid, bits or 0)
            for path, uuid, bits in db.execute(
                "select path, uuid, bits from files left join grants using (uuid)"
                " where system = ? and (username = 'bob' or username is null)",
                (SYSTEM,),
            )
        }
        tree = {}
        for path in folder.rglob("*"):
            name = f"/{path.relative_to(folder)}"
            uuid, bits = known.get(top + name, (None, 0))
            tree[name] = Thing(FOLDER if path.is_dir() else digest(path.read_bytes()), uuid, bits)
    return tree


def disagreements(root: Path) -> list[str]:
    """Where records and bytes do not agree, in a folder in which nothing is going on."""
    wrong = [f"left over: {left.name}" for left in (root / "staging").iterdir()]
    with records(root) as db:
        wrong += [f"damaged: {row[0]}" for row in db.execute("pragma integrity_check") if row[0] != "ok"]
        wrong += [f"left over: {row}" for row in db.execute("select * from changes")]
        for system, path, uuid in db.execute("select system, path, uuid from files"):
            if not os.path.lexists(f"{root}/systems/{system}{path}"):
                wrong.append(f"a record without bytes: {system}{path} {uuid}")
        for table in ("events", "grants"):
            of_nothing = f"select distinct uuid from {table} where uuid like '%-002'"
            of_nothing += " and uuid not in (select uuid from files)"
            wrong += [f"{table} of nothing: {row}" for row in db.execute(of_nothing)]
        wrong += [
            f"begins without CREATED: {row}"
            for row in db.execute(
                "select path from files where (select status from events where uuid = files.uuid"
                " order by number limit 1) != 'CREATED'"
            )
        ]
    return wrong
