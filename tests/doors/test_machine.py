"""Anything programs may do with files, in any order: the mount against a plain folder, which is always right."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.conftest import Tenant
from tests.doors.conftest import mounted_here

files = st.sampled_from(["a", "b", "d/a", "d/b"])
folders = st.sampled_from(["d", "e", "d/e"])
names = files | files | folders
contents = st.binary(max_size=40) | st.binary(min_size=1, max_size=3).map(lambda part: part * 70_000)
places = st.integers(0, 60) | st.integers(0, 200_000)
handles = st.integers(0, 2)
modes = st.sampled_from([os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR | os.O_APPEND, os.O_WRONLY | os.O_TRUNC])
made = st.sampled_from([0, os.O_CREAT, os.O_CREAT, os.O_CREAT | os.O_EXCL])

# plain filesystems differ in these, and POSIX allows both
_SAME = {errno.EEXIST: errno.ENOTEMPTY}


def attempt(act: Callable[[], Any]) -> Any:
    try:
        return act()
    except OSError as error:
        return f"errno {_SAME.get(error.errno or 0, error.errno)}"


def picture(root: Path) -> dict[str, bytes | None]:
    """All that is below a folder: None for a folder, else the bytes."""
    return {
        str(path.relative_to(root)): None if path.is_dir() else path.read_bytes() for path in sorted(root.rglob("*"))
    }


def machine(mount: Path, plain: Path, platform: Path) -> type[RuleBasedStateMachine]:
    """The machine for these two folders. `platform` is where the mount's stands on the tenant's own disk."""
    numbers = itertools.count()

    class Files(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.name = f"x{next(numbers)}"
            self.roots = (mount / self.name, plain / self.name)
            for root in self.roots:
                (root / "d").mkdir(parents=True)
                for name in ("a", "d/a"):
                    (root / name).write_bytes(b"0123456789" * 20)
            self.open: dict[int, tuple[int, int]] = {}

        def both(self, act: Callable[[Path], Any]) -> None:
            ours, right = (attempt(lambda root=root: act(root)) for root in self.roots)
            assert ours == right

        def each(self, handle: int, act: Callable[[int], Any]) -> None:
            ours, right = (attempt(lambda fd=fd: act(fd)) for fd in self.open[handle])
            assert ours == right

        @rule(name=files, content=contents)
        def write(self, name: str, content: bytes) -> None:
            self.both(lambda root: (root / name).write_bytes(content))

        @rule(name=files)
        def read(self, name: str) -> None:
            self.both(lambda root: (root / name).read_bytes())

        @rule(name=names)
        def look(self, name: str) -> None:
            self.both(lambda root: ((root / name).is_dir(), (root / name).is_dir() or (root / name).stat().st_size))

        @rule()
        def listing(self) -> None:
            self.both(lambda root: sorted(path.name for path in root.iterdir()))

        @rule(name=folders)
        def mkdir(self, name: str) -> None:
            self.both(lambda root: (root / name).mkdir())

        @rule(name=folders)
        def rmdir(self, name: str) -> None:
            self.both(lambda root: (root / name).rmdir())

        @rule(name=files)
        def unlink(self, name: str) -> None:
            self.both(lambda root: (root / name).unlink())

        @rule(old=names, new=names)
        def rename(self, old: str, new: str) -> None:
            self.both(lambda root: (root / old).rename(root / new) and None)

        @rule(name=files, size=places)
        def truncate(self, name: str, size: int) -> None:
            self.both(lambda root: os.truncate(root / name, size))

        @rule(handle=handles, name=files, mode=modes, made=made)
        def open_it(self, handle: int, name: str, mode: int, made: int) -> None:
            self.close_it(handle)
            ours, right = (attempt(lambda root=root: os.open(root / name, mode | made)) for root in self.roots)
            assert type(ours) is type(right), (ours, right)
            if isinstance(ours, int):
                self.open[handle] = (ours, right)
            else:
                assert ours == right

        @rule(handle=handles, name=files, content=contents)
        def begin(self, handle: int, name: str, content: bytes) -> None:
            """Open for both, and write something: where most programs begin."""
            self.open_it(handle, name, os.O_RDWR, os.O_CREAT)
            if handle in self.open:
                self.each(handle, lambda fd: os.write(fd, content))

        def close_it(self, handle: int) -> None:
            if handle in self.open:
                self.each(handle, os.close)
                del self.open[handle]

        @precondition(lambda self: self.open)
        @rule(which=handles)
        def close(self, which: int) -> None:
            self.close_it(self.some(which))

        def some(self, which: int) -> int:
            """One of the open handles."""
            return sorted(self.open)[which % len(self.open)]

        @precondition(lambda self: self.open)
        @rule(which=handles, content=contents, place=places)
        def write_at(self, which: int, content: bytes, place: int) -> None:
            # wire: Linux appends whatever place is given, if it is open for that
            self.each(self.some(which), lambda fd: os.pwrite(fd, content, place))

        @precondition(lambda self: self.open)
        @rule(which=handles, place=places, size=places)
        def read_at(self, which: int, place: int, size: int) -> None:
            self.each(self.some(which), lambda fd: os.pread(fd, size, place))

        @precondition(lambda self: self.open)
        @rule(which=handles, size=places)
        def cut(self, which: int, size: int) -> None:
            self.each(self.some(which), lambda fd: os.ftruncate(fd, size))

        @precondition(lambda self: self.open)
        @rule(which=handles)
        def size(self, which: int) -> None:
            self.each(self.some(which), lambda fd: os.fstat(fd).st_size)

        @precondition(lambda self: self.open)
        @rule(which=handles)
        def sync(self, which: int) -> None:
            self.each(self.some(which), os.fsync)

        def teardown(self) -> None:
            try:
                for handle in list(self.open):
                    self.close_it(handle)
                right = picture(self.roots[1])
                assert picture(self.roots[0]) == right
                trio.from_thread.run(arrived, platform / self.name, right)
            finally:
                for root in self.roots:
                    shutil.rmtree(root, ignore_errors=True)

    return Files


async def arrived(platform: Path, right: dict[str, bytes | None]) -> None:
    """Wait until the platform has the same, and nothing beside it: what is opened, not written, comes after close."""
    with trio.move_on_after(10):
        while await trio.to_thread.run_sync(attempt, lambda: picture(platform)) != right:
            await trio.sleep(0.01)
    assert picture(platform) == right


async def test_whatever_is_done_the_mount_does_as_a_plain_folder_does(tenant: Tenant, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    async with mounted_here(tenant, tmp_path / "door") as door:
        bounded = settings(
            max_examples=int(os.environ.get("EXAMPLES", "25")), stateful_step_count=40, deadline=None, database=None,
            suppress_health_check=list(HealthCheck), derandomize="EXAMPLES" not in os.environ,
        )  # fmt: skip
        files = machine(door.path, plain, tenant.path("data.demo", "/alice/work"))
        await trio.to_thread.run_sync(lambda: run_state_machine_as_test(files, settings=bounded))
