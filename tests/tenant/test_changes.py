"""Bytes and records change together: a process that ends before any line of a change leaves both old or both new.

Each case runs in a child, forked, that ends at once before the Nth line that it comes to in `changes` and in `store`,
for every N there is; then the folder is mended as at a start.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from agavesh.tenant.files import changes
from agavesh.tenant.files.changes import Changes
from agavesh.tenant.store import Store, Unwritable

WATCHED = (changes.__file__, sys.modules[Store.__module__].__file__)


class Folder:
    """A tenant's folder as far as a change sees it, with one record."""

    def __init__(self, top: Path, plain: Path, files: dict[str, str]) -> None:
        self.top = shutil.copytree(plain, top)
        for name, text in files.items():
            (top / name).parent.mkdir(exist_ok=True)
            (top / name).write_text(text)
        self.store = Store(top / "tenant.db", changes.TABLES)

    def change(self, source: str, target: str) -> None:
        with Changes(self.store, self.top).renaming(self.top / source, self.top / target):
            self.store.put("kind", "id", {"is": "new"}, owner="alice")

    def state(self) -> tuple[str, dict[str, str]]:
        """What the record says, and all files with what is in them; what is in staging is swept and does not count."""
        ((body,),) = self.store.sql("select body from records")
        files = {
            str(path.relative_to(self.top)): path.read_text()
            for folder in ("trash", "bytes")
            for path in (self.top / folder).rglob("*")
            if path.is_file()
        }
        return json.loads(body)["is"], files

    def mend(self) -> None:
        Changes(self.store, self.top).mend()
        assert self.store.sql("select * from changes") == []


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """A folder in memory where there is one: some hundred databases are opened here, and each waits for its disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def plain(memory: Path) -> Path:
    """A folder to copy: a database takes a while to make."""
    top = memory / "plain"
    top.mkdir()
    for name in ("staging", "trash", "bytes"):
        (top / name).mkdir()
    store = Store(top / "tenant.db", changes.TABLES)
    store.put("kind", "id", {"is": "old"}, owner="alice")
    store.close()
    return top


@pytest.fixture
def folder(plain: Path, memory: Path) -> Iterator[Callable[..., Folder]]:
    """Makes folders that hold the given files."""
    made: list[Folder] = []
    parent = Path(tempfile.mkdtemp(dir=memory))

    def make(files: dict[str, str]) -> Folder:
        made.append(Folder(parent / str(len(made)), plain, files))
        return made[-1]

    yield make
    for each in made:
        each.store.close()


def cut(at: int, act: Callable[[], None]) -> bool:
    """Do it in a child that ends before the line number `at` of those that are watched; whether it got that far."""
    if not (child := os.fork()):
        left = at

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal left
            if frame.f_code.co_filename not in WATCHED:
                return None
            if event == "line":
                left -= 1
                if left < 0:
                    os._exit(9)
            return trace

        sys.settrace(trace)
        try:
            act()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


CASES = {
    "a new file": ("staging/x", "bytes/a", {}, {"bytes/a": "new"}),
    "a file over another": ("staging/x", "bytes/a", {"bytes/a": "old"}, {"bytes/a": "new"}),
    "a move": ("bytes/b", "bytes/a", {"bytes/b": "new"}, {"bytes/a": "new"}),
    "a removal": ("bytes/b", "trash/x", {"bytes/b": "new"}, {"trash/x": "new"}),
    "a folder": ("bytes/b", "bytes/a", {"bytes/b/c": "new"}, {"bytes/a/c": "new"}),
}


@pytest.mark.parametrize("case", CASES)
def test_whatever_line_it_ends_at_both_are_old_or_both_are_new(case: str, folder: Callable[..., Folder]) -> None:
    source, target, before, after = CASES[case]
    outcomes: list[str] = []
    went_on = True
    while went_on:
        here = folder({"staging/x": "new"} | before)
        # the child has the parent's open database, which is no matter to one that has not used it yet
        went_on = cut(len(outcomes), lambda here=here: here.change(source, target))
        here.store.close()
        here.store = Store(here.top / "tenant.db", changes.TABLES)
        here.mend()
        outcome = here.state()
        assert outcome in (("old", before), ("new", after)), f"ended before line {len(outcomes)}"
        outcomes.append(outcome[0])
        here.store.close()
    assert outcomes == sorted(outcomes, key=["old", "new"].index)
    assert (outcomes[0], outcomes[-1]) == ("old", "new")
    assert outcomes.count("old") > 20


@pytest.mark.parametrize("before", [{}, {"bytes/a": "old"}])
def test_a_commit_that_fails_takes_the_rename_back(before: dict[str, str], folder: Callable[..., Folder]) -> None:
    here = folder({"staging/x": "new"} | before)
    real = here.store.sql

    def full(statement: str, *values: Any) -> list[tuple[Any, ...]]:
        if statement == "commit":
            assert (here.top / "bytes/a").read_text() == "new"
            raise Unwritable(errno.ENOSPC, "No space left on device")
        return real(statement, *values)

    here.store.sql = full  # type: ignore[method-assign]  # a disk that is full
    with pytest.raises(Unwritable):
        here.change("staging/x", "bytes/a")
    assert here.state() == ("old", before)
    assert [path.name for path in (here.top / "staging").iterdir()] == ["x"]


def test_a_rename_that_fails_writes_nothing(folder: Callable[..., Folder]) -> None:
    here = folder({"staging/x": "new"})
    with pytest.raises(FileNotFoundError):
        here.change("staging/x", "bytes/nowhere/a")
    (here.top / "bytes/a").mkdir()
    with pytest.raises(IsADirectoryError):
        here.change("staging/x", "bytes/a")
    assert here.state() == ("old", {})


def test_an_intention_that_failed_is_no_danger_to_what_comes_later(folder: Callable[..., Folder]) -> None:
    """Its row may stay where the disk was too full to delete it; the next change takes its place."""
    here = folder({"staging/x": "new"})
    here.store.sql("insert into changes values (1, ?, ?, 0)", b"staging/gone", b"bytes/a")
    here.change("staging/x", "bytes/a")
    here.mend()
    assert here.state() == ("new", {"bytes/a": "new"})


def test_a_folder_may_be_moved_before_it_is_mended(folder: Callable[..., Folder]) -> None:
    here = folder({"bytes/a": "moved without its record"})
    here.store.sql("insert into changes values (1, ?, ?, 0)", b"bytes/b", b"bytes/a")
    here.store.close()
    here.top = here.top.rename(here.top.with_name("elsewhere"))
    here.store = Store(here.top / "tenant.db", changes.TABLES)
    here.mend()
    assert here.state() == ("old", {"bytes/b": "moved without its record"})
