"""Whatever is done, by whomever, in whatever order, and whatever dies meanwhile: nothing that was written is lost.

A program on each of two mounts of one account, the second with --write-back, and others who change the same files by
the REST interface behind their backs; faults of the tenant; kill -9 of mounts, with their keepers or without, and of
the tenant; mounts that go and come again. After each example everything comes to rest, and then must hold:

- what a close or an fsync acknowledged stands at its name, or beside it as NAME~conflict-…, unless somebody wrote it
  anew who had opened it after that, removed it, or put another file in its place;
- so it is with what others wrote;
- all that stands there is what somebody wrote, whole, and nothing older than what has replaced it;
- what was open when its mount died is kept by that mount's journal, byte for byte, and can be sent;
- no name of the mounts' own is left, the journals owe nothing, and the mounts show what is there.

What failed may have happened or not. Bytes and sizes are never written twice: an upload whose answer was lost is known
again by its size (`Owed.sizes`), so another's of the same size would be taken for it. Nobody writes a name while an
upload to it is between its last look and its end, which is a moment that the platform gives no means to guard.

AGAVEFS_EXAMPLES is how many examples there are (10), AGAVEFS_SEED which ones; the soak goes on for AGAVEFS_SOAK minutes
(10). On a failure all that was done is told; another time other things happen at once, so the seed may find it, or not.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import os
import pickle
import select
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from agavesh.api import control
from agavesh.client import Agave, mounts
from agavesh.client.control import control_of
from agavesh.client.errors import AgaveError
from agavesh.client.storage import TEMPORARY, SystemStorage
from tests.agavefs.mounting import LONG, Mount, mounted, possible
from tests.agavefs.test_crash import KINDS, Away, strike
from tests.conftest import SAID
from tests.tenant.crash import fold, tokens

pytestmark = pytest.mark.skipif(not possible, reason="there is no /dev/fuse here")

NAMES = ("a", "b", "c")
_BELIEVED = 2.2  # seconds: for so long it is believed that a file is new which was just made
_KILLS = 3  # in an example
_ENDED = 60.0  # seconds in which each call has to come back
_DEADLINES = "metadata=5,read=5,progress=3"

# Acts of a program, in a process of its own: what is open in this one would be closed by all that it starts.
_PROGRAM = """
import os, pickle, sys

def whole(fd):
    return b"".join(iter(lambda: os.read(fd, 1 << 20), b""))

def read(path):
    with open(path, "rb", buffering=0) as file:
        return whole(file.fileno())

def write(path, content):
    global closing
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        assert os.write(fd, content) == len(content)
        closing = True
    finally:
        os.close(fd)

out = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)
while True:
    try:
        act, arguments = pickle.load(sys.stdin.buffer)
    except EOFError:
        break
    closing = act in ("close", "fsync")
    try:
        answer = True, (globals().get(act) or getattr(os, act))(*arguments)
    except OSError as trouble:
        answer = False, (trouble.errno, closing)
    pickle.dump(answer, out)
    out.flush()
"""


@dataclass(frozen=True)
class Failed:
    """What a call gave that failed; whether all had been written by then."""

    number: int
    closing: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        return errno.errorcode.get(self.number, str(self.number)) + " of close" * self.closing

    @property
    def aside(self) -> bool:
        """Whether it says that what was written went beside what others wrote."""
        return self.closing and self.number == errno.ESTALE


class Program:
    """A program on a mount. What it is asked for blocks: for a thread."""

    def __init__(self, name: str, mount: Mount) -> None:
        self.name, self.mount = name, mount
        self.inherited: set[str] = set()  # what a mount that was killed had on its way: the next does not show it
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def ask(self, act: str, *arguments: Any) -> Any:
        """What a function of `os`, or of the program, gives."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(pickle.dumps((act, arguments)))
        self._process.stdin.flush()
        assert select.select([self._process.stdout], [], [], _ENDED)[0], f"{act} does not come back"
        done, answer = pickle.load(self._process.stdout)
        return answer if done else Failed(*answer)

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()

    def rows(self) -> list[tuple[str, str, str]]:
        """What its mounts owe: state, the name of the file, and where its bytes are."""
        (journal,) = self.mount.folder.glob("state/agavesh/*/mounts/cache/journal.db")
        with contextlib.closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as db:
            rows = db.execute("SELECT state, path, spool FROM owed ORDER BY id").fetchall()
        return [(state, path.rpartition("/")[2], spool) for state, path, spool in rows]

    def coming(self, name: str) -> bool:
        """Whether something closed is on its way to a name."""
        return any(state != "writing" and at == name for state, at, _ in self.rows())

    def has(self, name: str) -> set[bytes]:
        """What is on its way to a name, and shown there meanwhile."""
        ways = {spool for state, at, spool in self.rows() if state != "writing" and at == name and spool}
        found = set()
        for spool in ways - self.inherited:
            with contextlib.suppress(FileNotFoundError):  # it has arrived
                found.add(Path(spool).read_bytes())
        return found


# what is known of what was written -----------------------------------------------------------------------------------


@dataclass(eq=False)
class Must:
    """One of these contents stands at one of these names, or beside it."""

    names: set[str]
    contents: set[bytes]


class Model:
    """What may be found when all is at rest."""

    def __init__(self) -> None:
        self.musts: list[Must] = []
        self.written = {b""}  # all that may be found on the platform
        self.past: dict[str, set[bytes]] = {}  # by name: what was replaced for good

    def gone(self, names: set[str], contents: set[bytes]) -> None:
        """These may have been taken from there, by somebody who may."""
        self.musts = [must for must in self.musts if not (must.names & names and must.contents & contents)]

    def stands(self, names: set[str], contents: set[bytes], instead: set[bytes]) -> None:
        """One of `contents` has been promised, and may have taken the place of what its writer found there."""
        self.gone(names, instead)
        self.written |= contents
        self.musts.append(Must(set(names), set(contents)))
        for name in names:
            self.past.setdefault(name, set()).difference_update(contents)

    def may_stand(self, names: set[str], contents: set[bytes], instead: set[bytes]) -> None:
        """The same, but nothing was promised."""
        self.written |= contents
        for must in self.musts:
            if must.names & names and must.contents & instead:
                must.contents |= contents

    def replaced(self, name: str, contents: set[bytes]) -> None:
        """These never stand there again."""
        self.past.setdefault(name, set()).update(contents)

    def moved(self, old: str, new: str, contents: set[bytes], *, surely: bool) -> None:
        """These were, or may have been, at one name and are at another."""
        for must in self.musts:
            if old in must.names and must.contents & contents:
                if surely and must.names == {old} and must.contents <= contents:
                    must.names = {new}
                else:
                    must.names.add(new)
        self.past.setdefault(new, set()).difference_update(contents)

    def wrong(self, found: dict[str, bytes]) -> Iterator[str]:
        """What is wrong with what was found."""
        for name, content in found.items():
            at = name.partition("~conflict-")[0]
            if content not in self.written:
                yield f"{name} holds what nobody has written: {told(content)}"
            elif at == name and content in self.past.get(name, ()):
                yield f"{name} is what it was once: {told(content)}"
            if name.startswith(TEMPORARY):
                yield f"{name} is left"
        for must in self.musts:
            at_hand = [data for name, data in found.items() if name.partition("~conflict-")[0] in must.names]
            if not must.contents & set(at_hand):
                yield f"lost of {'/'.join(sorted(must.names))}: {' or '.join(map(told, must.contents))}"


def told(content: bytes | None) -> str:
    """Some bytes, for people."""
    return "nothing" if content is None else f"{content[:12]!r}… of {len(content)}"


@dataclass(eq=False)
class Handle:
    """An open file of a program.

    `may`: what it holds, of which only a failed write makes more than one. `before`: what its writer may have seen at
    the name, and so may replace; `saw`: what was read. `changed`: not sealed. `ours` says that what is promised here is
    to be found at its names at all: not once it is unlinked, or may be.
    """

    program: Program
    fd: int
    names: set[str]
    may: set[bytes]
    before: set[bytes]
    saw: bytes | None = None
    made_at: float = float("-inf")
    changed: bool = False
    aside: bool = False
    ours: bool = True


# the world -----------------------------------------------------------------------------------------------------------


@dataclass
class World:
    """Who is there. Its coroutines are called from the machine's thread."""

    away: Away
    programs: dict[str, Program]
    theirs: SystemStorage
    frozen: str | None = None  # the fault by which nothing is uploaded
    done: Counter[str] = field(default_factory=Counter)
    wrong: str = ""  # what was found to be so first, and all that was done before

    async def fault(self, fault: control.Fault) -> str:
        return (await (await control_of(self.away.root)).add(fault)).name

    async def calm(self) -> None:
        """All faults are over."""
        self.frozen = None
        await (await control_of(self.away.root)).clear()

    async def freeze(self) -> None:
        self.frozen = await self.fault(control.Refuse(operation="files.importData", status=503))

    async def wake(self, program: Program) -> None:
        """What waits for its time is tried now."""
        for card in program.mount.cards:
            (place,) = program.mount.folder.glob(f"state/agavesh/*/mounts/mounts/{card['owner']}.json")
            with contextlib.suppress(AgaveError):
                await mounts.ask(place.with_suffix(".sock"), mounts.Ask("wake"))

    async def until(self, seen: Callable[[], bool], what: Callable[[], object]) -> None:
        """Wait until it is so. Whoever waits for a time of its own is woken meanwhile."""
        with trio.move_on_after(LONG):
            for turn in itertools.count():
                if seen():
                    return
                if turn % 20 == 19:
                    for program in self.programs.values():
                        await self.wake(program)
                await trio.sleep(0.02)
        raise AssertionError(f"it does not come to an end: {what()}")

    async def strike(self, who: str, program: Program) -> None:
        await strike(who, program.mount, self.away)
        if who in ("tenant", "both"):
            self.frozen = None

    async def remount(self, program: Program) -> None:
        done = await program.mount.umount()
        assert done.returncode in (0, 75), done.stderr
        await program.mount.start()

    async def held(self, operation: str, after: bool, act: Callable[[], Any], who: str, program: Program) -> Any:
        """Have somebody killed while a request that an act makes is held, before it is done or after."""
        kind = control.Stall if after else control.Slow
        name = await self.fault(kind(operation=operation))
        answers: list[Any] = []

        async def run() -> None:
            answers.append(await trio.to_thread.run_sync(act))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            asked = await control_of(self.away.root)
            with trio.move_on_after(1):
                while not any(active.name == name and active.hits for active in (await asked.faults()).faults):
                    await trio.sleep(0.01)
            await self.strike(who, program)
            if who not in ("tenant", "both"):
                await asked.clear(name)
        return answers[0]

    async def by_others(self, act: Callable[[], Awaitable[object]]) -> None:
        """Something that others do. What came of it is seen on the disk."""
        with contextlib.suppress(AgaveError):
            await act()


def act(kind: Callable[..., Any] = rule, /, **given: Any) -> Callable[[Callable[..., None]], Any]:
    """A rule, whose failure is remembered with all that was done before."""

    def mark(do: Callable[..., None]) -> Any:
        return kind(**given)(remembering(do))

    return mark


def remembering(do: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(do)
    def remembered(self: Any, **drawn: Any) -> None:
        try:
            do(self, **drawn)
        except BaseException as trouble:
            self.world.wrong = self.world.wrong or "\n".join([repr(trouble), *self.story])
            raise

    return remembered


def machine(world: World) -> type[RuleBasedStateMachine]:
    """The machine. Each example has a folder of its own, and starts and ends at rest."""
    folders, numbers = itertools.count(), itertools.count(1)
    who = st.sampled_from(sorted(world.programs))
    name = st.sampled_from(NAMES)
    sizes = st.sampled_from([20, 20, 4000, 70_000, 300_000])
    one = st.integers(0, 7)
    residue = {"one": 0, "two": 1, "others": 2}  # of three: nobody's sizes are another's

    class Loss(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            if world.wrong:  # it is not tried again: another time other things happen at once
                raise AssertionError(world.wrong)
            self.world = world
            self.folder = f"x{next(folders)}"
            self.home = world.away.path("data.demo", f"/alice/{self.folder}")
            self.stash = world.away.path("data.demo", f"/alice/stash-{self.folder}")
            self.model, self.open, self.story = Model(), list[Handle](), list[str]()
            self.stranded: dict[str, list[Handle]] = {each: [] for each in world.programs}
            self.kills = 0
            self.perhaps: list[Handle] = []  # which may have been killed before all of it was written

        @act(initialize, present=st.sets(name, min_size=1))
        def begin(self, present: set[str]) -> None:
            self.home.mkdir()
            self.stash.mkdir()
            for each in sorted(present):
                content = self.content(30, "others")
                (self.home / each).write_bytes(content)
                self.model.stands({each}, {content}, set())
            self.tell(f"there are {sorted(present)}")

        # what programs do

        @act(who=who, at=name, size=sizes)
        def write(self, who: str, at: str, size: int) -> None:
            """A file is written anew, from its beginning to its end."""
            program, content = world.programs[who], self.content(size, who)
            if not self.free(program, at):
                return
            self.others_first(program, at)
            before = self.there(program, at)
            answer = program.ask("write", self.path(program, at), content)
            self.tell(f"{who} writes {told(content)} to {at}", answer)
            self.wrote(program, at, content, before, answer)

        @act(who=who, at=name, how=st.sampled_from(["whole", "made", "anew"]))
        def open_it(self, who: str, at: str, how: str) -> None:
            """A file is opened, to be changed as it is, or as new, or from nothing."""
            program = world.programs[who]
            if not self.free(program, at):
                return
            made = not (self.home / at).exists()
            flags = {"whole": 0, "made": os.O_CREAT, "anew": os.O_CREAT | os.O_TRUNC}[how]
            fd = program.ask("open", self.path(program, at), os.O_RDWR | flags, 0o600)
            if isinstance(fd, Failed):
                self.tell(f"{who} opens {at} ({how})", fd)
                if how == "anew":  # it may have been emptied
                    self.model.may_stand({at}, {b""}, self.there(program, at))
                return
            seen = b"" if how == "anew" else program.ask("whole", fd)
            self.tell(f"{who} opens {at} ({how})", seen if isinstance(seen, Failed) else told(seen))
            handle = Handle(program, fd, {at}, {b""}, self.there(program, at))
            handle.made_at = time.monotonic() if made else handle.made_at
            handle.changed = how == "anew" or (how == "made" and made)
            self.open.append(handle)
            if isinstance(seen, Failed):
                handle.ours = False
                self.close_it(handle)
            else:
                self.is_whole(at, seen)
                handle.may, handle.saw = {seen}, None if how == "anew" else seen
                if handle.changed:
                    self.change(handle, "append", 0)

        @act(which=one, how=st.sampled_from(["append", "over", "cut"]), place=st.integers(0, 500))
        def change_it(self, which: int, how: str, place: int) -> None:
            if self.open:
                self.change(self.some(which), how, place)

        @act(which=one)
        def sync(self, which: int) -> None:
            if self.open:
                handle = self.some(which)
                self.before_sealing(handle)
                self.sealed(handle, handle.program.ask("fsync", handle.fd), "syncs", promised=True)

        @act(which=one)
        def close(self, which: int) -> None:
            if self.open:
                self.close_it(self.some(which))

        @act(who=who, at=name)
        def read(self, who: str, at: str) -> None:
            program = world.programs[who]
            answer = program.ask("read", self.path(program, at))
            self.tell(f"{who} reads {at}", answer if isinstance(answer, Failed) else told(answer))
            if not isinstance(answer, Failed):
                self.is_whole(at, answer)

        @act(who=who, at=name)
        def unlink(self, who: str, at: str) -> None:
            program = world.programs[who]
            self.others_first(program, at)
            before = self.there(program, at)
            answer = program.ask("unlink", self.path(program, at))
            self.tell(f"{who} removes {at}", answer)
            if answer == Failed(errno.ENOENT) and (self.home / at).exists():
                return  # it did not know of it
            self.model.gone({at}, before)
            for handle in self.of(program, at):
                handle.ours = False

        @act(who=who, old=name, new=name)
        def rename(self, who: str, old: str, new: str) -> None:
            program = world.programs[who]
            if old == new:
                return
            for at in (old, new):
                self.others_first(program, at)
            moved, over, own = self.there(program, old), self.there(program, new), program.coming(old)
            answer = program.ask("rename", self.path(program, old), self.path(program, new))
            self.tell(f"{who} renames {old} to {new}", answer)
            if answer == Failed(errno.ENOENT):
                return
            self.model.gone({new}, over)
            self.model.moved(old, new, moved, surely=answer is None and not own)
            for handle in self.of(program, new):
                handle.ours = False
            for handle in self.of(program, old):
                handle.names.add(new)
                handle.before |= over
                handle.ours = handle.ours and answer is None

        # what others do

        @act(at=name, size=sizes)
        def others_write(self, at: str, size: int) -> None:
            content = self.content(size, "others")
            fresh = self.stash / str(next(numbers))
            fresh.write_bytes(content)
            self.all_first(at)
            before = self.there(None, at)
            self.by_others(lambda: world.theirs.copy(f"/alice/{fresh.parent.name}/{fresh.name}", self.inside(at)))
            self.model.written.add(content)
            done = (self.home / at).read_bytes() == content if (self.home / at).exists() else False
            self.tell(f"others write {told(content)} to {at}", None if done else "in vain")
            if done:
                self.model.stands({at}, {content}, before)
                self.model.replaced(at, before)

        @act(at=name)
        def others_remove(self, at: str) -> None:
            self.all_first(at)
            before = self.there(None, at)
            self.by_others(lambda: world.theirs.remove(self.inside(at)))
            done = not (self.home / at).exists()
            self.tell(f"others remove {at}", None if done else "in vain")
            if done:
                self.model.gone({at}, before)

        @act(old=name, new=name)
        def others_move(self, old: str, new: str) -> None:
            if old == new or (self.home / new).exists():
                return
            self.all_first(old)
            self.all_first(new)
            moved = self.there(None, old)
            self.by_others(lambda: world.theirs.move(self.inside(old), self.inside(new)))
            done = self.there(None, new) == moved != set()
            self.tell(f"others move {old} to {new}", None if done else "in vain")
            if done:
                self.model.moved(old, new, moved, surely=True)

        # trouble

        @act(
            operation=st.sampled_from(["importData", "manage", "delete", "list", "download"]),
            kind=st.sampled_from(["lose", "refuse", "forbid", "html", "throttle", "cut", "malform"]),
            times=st.integers(1, 3),
        )
        def trouble(self, operation: str, kind: str, times: int) -> None:
            kinds: dict[str, Callable[..., control.Fault]] = {
                "lose": control.Lose,
                "refuse": partial(control.Refuse, status=500),
                "forbid": partial(control.Refuse, status=403),
                "html": control.Html,
                "throttle": control.Throttle,
                "cut": control.Cut,
                "malform": control.Malform,
            }
            self.tell(f"trouble: {kind} {operation} {times} times")
            trio.from_thread.run(world.fault, kinds[kind](operation=f"files.{operation}", times=times))

        @act()
        def freeze(self) -> None:
            """Nothing is uploaded any more."""
            if world.frozen is None:
                for at in NAMES:
                    self.all_first(at)
                self.tell("nothing is uploaded from now on")
                trio.from_thread.run(world.freeze)

        @act()
        def calm(self) -> None:
            self.tell("all faults are over")
            trio.from_thread.run(world.calm)

        # ends

        @act(who=who, what=st.sampled_from(KINDS))
        def kill(self, who: str, what: str) -> None:
            if not self.may_kill():
                return
            self.tell(f"kill -9: {what} of {who}")
            trio.from_thread.run(world.strike, what, world.programs[who])
            if what != "tenant":
                self.died(world.programs[who])

        @act(
            who=who, at=name, size=sizes, what=st.sampled_from(KINDS), after=st.booleans(),
            operation=st.sampled_from(["importData", "manage", "delete"]),
        )  # fmt: skip
        def killed_while_it_writes(self, who: str, at: str, size: int, what: str, after: bool, operation: str) -> None:
            program, content = world.programs[who], self.content(size, who)
            if not self.free(program, at) or world.frozen or not self.may_kill():
                return
            self.others_first(program, at)
            before = self.there(program, at)
            act = partial(program.ask, "write", self.path(program, at), content)
            answer = trio.from_thread.run(world.held, f"files.{operation}", after, act, what, program)
            self.tell(f"kill -9 at {operation}: {what} while {who} writes {told(content)} to {at}", answer)
            if what != "tenant":
                self.died(program)
            if isinstance(answer, Failed):
                self.perhaps.append(Handle(program, -1, {at}, {content}, before))
            self.wrote(program, at, content, before, answer, sure=False)

        @act(who=who)
        def mount_anew(self, who: str) -> None:
            program = world.programs[who]
            if not any(handle.program is program for handle in self.open):
                self.tell(f"{who} is mounted anew")
                if world.frozen:
                    trio.from_thread.run(world.calm)
                trio.from_thread.run(world.remount, program)

        # how that is done

        def may_kill(self) -> bool:
            """It takes a second or more, so it is done some times only."""
            self.kills += 1
            return self.kills <= _KILLS

        def content(self, size: int, who: str) -> bytes:
            """Bytes that were never written before, of a size that is the writer's own."""
            number = next(numbers)
            size += number * 3
            size += (residue[who] - size) % 3
            return (f"{number} of {who} ".encode() * (size // 8 + 1))[:size]

        def change(self, handle: Handle, how: str, place: int) -> None:
            who = handle.program.name
            piece = self.content(12, who)
            longest = max(map(len, handle.may))
            if how == "cut":
                place = min(longest, 40 + place)
                self.step(handle, "ftruncate", (place,), lambda old: old[:place].ljust(place, b"\0"))
            else:
                place = longest if how == "append" else min(place, longest)
                end = place + len(piece)
                self.step(
                    handle, "pwrite", (piece, place), lambda old: old[:place].ljust(place, b"\0") + piece + old[end:]
                )
            # a size that is nobody else's
            longest = max(map(len, handle.may))
            size = longest + 3 * (next(numbers) % 7) + (residue[who] - longest) % 3
            self.step(handle, "ftruncate", (size,), lambda old: old[:size].ljust(size, b"\0"))

        def step(self, handle: Handle, act: str, given: tuple[Any, ...], so: Callable[[bytes], bytes]) -> None:
            before = handle.may
            if not handle.changed:
                handle.before |= before if handle.saw is not None else set()
            answer = handle.program.ask(act, handle.fd, *given)
            after = {so(content) for content in before}
            handle.may = before | after if isinstance(answer, Failed) else after
            handle.changed = handle.changed or not isinstance(answer, Failed)
            if isinstance(answer, Failed):
                self.tell(f"{handle.program.name}: {act} of {self.of_names(handle)}", answer)
            else:
                self.tell(f"{handle.program.name} changes {self.of_names(handle)} to {told(next(iter(after)))}")

        def close_it(self, handle: Handle) -> None:
            self.before_sealing(handle)
            self.open.remove(handle)
            later = handle.program.name == "two"
            self.sealed(handle, handle.program.ask("close", handle.fd), "closes", promised=not later)

        def before_sealing(self, handle: Handle) -> None:
            for at in handle.names:
                self.others_first(handle.program, at)
            young = time.monotonic() - handle.made_at
            if young < _BELIEVED and any((self.home / at).exists() for at in handle.names):
                time.sleep(_BELIEVED - young)  # it is a rule about time, as in `Mount.grows_old`

        def sealed(self, handle: Handle, answer: Any, act: str, *, promised: bool) -> None:
            """A close or an fsync came back; `promised`: if it is well then it is on the platform."""
            who = handle.program.name
            self.tell(f"{who} {act} {self.of_names(handle)}", answer)
            if not handle.changed or not handle.ours:
                self.model.written |= handle.may
                return
            if answer is None:
                handle.changed = False
                self.model.stands(handle.names, handle.may, handle.before)
                if promised:
                    self.has_arrived(handle)
                if handle.saw is not None and len(handle.names) == 1:
                    self.model.replaced(next(iter(handle.names)), {handle.saw} - handle.may)
            elif answer.aside:
                handle.changed, handle.aside = False, True
                self.model.stands(handle.names, handle.may, set())
                self.has_arrived(handle)
            else:
                self.model.may_stand(handle.names, handle.may, handle.before)
            handle.before |= handle.may
            handle.saw = None

        def wrote(
            self, program: Program, at: str, content: bytes, before: set[bytes], answer: Any, *, sure: bool = True
        ) -> None:
            """A file was written as a whole."""
            if answer is None:
                self.model.stands({at}, {content}, before)
                if program.name == "one" and sure:
                    self.expect((self.home / at).read_bytes() == content, f"{at} is not what was closed")
                if program.name == "one":
                    self.model.replaced(at, before)
            elif answer.aside:
                self.model.stands({at}, {content}, set())
                self.expect(content in self.found().values(), f"{at} did not go beside, as it was said to")
            else:
                self.model.may_stand({at}, {content, b""}, before)

        def has_arrived(self, handle: Handle) -> None:
            found = self.found()
            where = [name for name, content in found.items() if content in handle.may]
            fit = any(
                name in handle.names or (handle.aside and name.partition("~conflict-")[0] in handle.names)
                for name in where
            )
            self.expect(fit, f"{self.of_names(handle)} is not there, which was promised, but at {where}")

        def died(self, program: Program) -> None:
            """Its mount was killed, and is back: what was open is kept."""
            program.inherited |= {spool for state, _, spool in program.rows() if state != "writing"}
            for handle in [handle for handle in self.open if handle.program is program]:
                self.open.remove(handle)
                program.ask("close", handle.fd)
                if handle.changed and handle.ours:
                    self.stranded[program.name].append(handle)
                self.model.written |= handle.may

        def there(self, program: Program | None, at: str) -> set[bytes]:
            """What stands at a name for a program, which may be on its way."""
            place = self.home / at
            found = {place.read_bytes()} if place.exists() else set()
            if program is not None:
                found |= program.has(at)
            return found

        def others_first(self, program: Program, at: str) -> None:
            """What the other mount has on its way there arrives first, if anything arrives."""
            self.first([other for other in world.programs.values() if other is not program], at)

        def all_first(self, at: str) -> None:
            self.first(list(world.programs.values()), at)

        def first(self, programs: list[Program], at: str) -> None:
            if world.frozen is None:
                trio.from_thread.run(
                    world.until,
                    lambda: not any(program.coming(at) for program in programs),
                    lambda: [program.rows() for program in programs],
                )

        def by_others(self, act: Callable[[], Awaitable[object]]) -> None:
            trio.from_thread.run(world.by_others, act)

        def free(self, program: Program, at: str) -> bool:
            return not self.of(program, at)

        def of(self, program: Program, at: str) -> list[Handle]:
            return [handle for handle in self.open if handle.program is program and at in handle.names]

        def some(self, which: int) -> Handle:
            return self.open[which % len(self.open)]

        @staticmethod
        def of_names(handle: Handle) -> str:
            return "/".join(sorted(handle.names))

        def path(self, program: Program, at: str) -> str:
            return f"{program.mount.home}/{self.folder}/{at}"

        def inside(self, at: str) -> str:
            return f"/alice/{self.folder}/{at}"

        def is_whole(self, at: str, content: bytes) -> None:
            known = self.model.written.union(*(handle.may for handle in self.open))
            self.expect(content in known, f"{at} is read as what nobody has written: {told(content)}")

        def tell(self, what: str, answer: object = None) -> None:
            world.done[what.split(": ")[0] if what.startswith(("kill", "trouble")) else "steps"] += 1
            self.story.append(what if answer is None else f"{what}: {answer}")

        def expect(self, so: bool, what: str) -> None:
            if not so:
                raise AssertionError(what)

        def found(self) -> dict[str, bytes]:
            return {path.name: path.read_bytes() for path in self.home.iterdir()}

        # rest

        @remembering
        def teardown(self) -> None:
            if not self.home.exists():
                return
            trio.from_thread.run(world.calm)
            for handle in [*self.open]:
                self.close_it(handle)
            for program in world.programs.values():
                self.recover(program)
            self.at_rest()
            found = self.found()
            for wrong in self.model.wrong(found):
                self.expect(False, f"{wrong}, of { ({name: told(data) for name, data in found.items()}) }")
            for program in world.programs.values():
                for name, content in found.items():
                    shown = program.ask("read", self.path(program, name))
                    what = shown if isinstance(shown, Failed) else told(shown)
                    self.expect(shown == content, f"{program.name} shows {name} as {what}, not {told(content)}")
            world.done["examples"] += 1
            world.done["beside"] += sum("~conflict" in name for name in found)

        def recover(self, program: Program) -> None:
            """What was never closed is there as it was, and is sent."""
            kept = [(name, Path(spool)) for state, name, spool in program.rows() if state == "writing"]
            bytes_of = {spool: spool.read_bytes() for _, spool in kept}
            for handle in self.stranded[program.name]:
                have = any(content in handle.may for content in bytes_of.values())
                self.expect(have, f"{self.of_names(handle)} was open, and is not kept: {bytes_of.keys()}")
            for name, spool in kept:
                at = name.partition("~conflict-")[0]
                self.others_first(program, at)
                content = bytes_of[spool]
                mine = [handle for handle in self.stranded[program.name] if content in handle.may]
                mine = mine or [
                    handle
                    for handle in self.perhaps
                    if handle.program is program and any(whole.startswith(content) for whole in handle.may)
                ]
                self.expect(bool(mine), f"{name} was kept, and nobody had it open: {told(content)}")
                before = self.there(program, at).union(*(handle.before for handle in mine))
                done = trio.from_thread.run(program.mount.agavefs, "recover", "send", spool.name[:8])
                self.expect(done.returncode == 0, done.stderr)
                self.tell(f"{program.name} sends what was kept of {at}", told(content))
                self.model.stands({at}, {content}, before)
            world.done["recovered"] += len(kept)

        def at_rest(self) -> None:
            """All of it is sent, and what is nobody's is swept away where it is seen."""
            programs = world.programs.values()

            def owed() -> list[object]:
                return [row for program in programs for row in program.rows()]

            def left() -> list[str]:
                return [path.name for path in self.home.iterdir() if path.name.startswith(TEMPORARY)]

            trio.from_thread.run(world.until, lambda: not owed(), owed)
            for program in programs:
                done = trio.from_thread.run(program.mount.agavefs, "refresh", str(program.mount.path))
                self.expect(done.returncode == 0, done.stderr)
                program.ask("listdir", self.path(program, ""))
            trio.from_thread.run(world.until, lambda: not left(), left)
            trio.from_thread.run(world.until, lambda: not owed(), owed)

    return Loss


# tests ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def world(tenant_root: Path, tmp_path: Path) -> AsyncIterator[World]:
    (tenant_root / "port").unlink(missing_ok=True)
    token = tokens(tenant_root, "alice")["alice"]
    away = Away(tenant_root)
    async with fold("--control") as oven, trio.open_nursery() as nursery:
        nursery.start_soon(away.run, oven)
        await away.up.wait()
        one = mounted(away, tmp_path / "one", AGAVEFS_DEADLINES=_DEADLINES)
        two = mounted(away, tmp_path / "two", "--write-back", AGAVEFS_DEADLINES=_DEADLINES)
        async with one as first, two as second, Agave(away.url, token=token) as agave:
            first.trouble_expected = second.trouble_expected = True
            programs = {"one": Program("one", first), "two": Program("two", second)}
            yield World(away, programs, SystemStorage(agave, "data.demo"))
            for program in programs.values():
                program.end()
        nursery.cancel_scope.cancel()


async def run(world: World, number: int, examples: int) -> None:
    print(f"seed {number}")
    bounded = settings(
        max_examples=examples, stateful_step_count=30, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    it = seed(number)(machine(world))
    try:
        await trio.to_thread.run_sync(lambda: run_state_machine_as_test(it, settings=bounded))
    except Exception:
        if world.wrong:
            raise AssertionError(world.wrong) from None
        raise


async def test_whatever_is_done_and_whoever_dies_nothing_is_lost(
    world: World, record_property: Callable[[str, object], None]
) -> None:
    number = int(os.environ.get("AGAVEFS_SEED", int.from_bytes(os.urandom(4))))
    await run(world, number, int(os.environ.get("AGAVEFS_EXAMPLES", "10")))
    record_property(SAID, f"nothing was lost (seed {number}): {dict(world.done)}")


@pytest.mark.soak
async def test_so_it_is_for_a_long_time(world: World, record_property: Callable[[str, object], None]) -> None:
    end = time.monotonic() + 60 * float(os.environ.get("AGAVEFS_SOAK", "10"))
    while time.monotonic() < end:
        await run(world, int.from_bytes(os.urandom(4)), 20)
    record_property(SAID, f"nothing was lost: {dict(world.done)}")
