"""A million files: in one folder and in a tree, through the kernel, in the memory of a mount. Runs as a soak."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio

from tests.agavefs.mounting import Mount

MIB = 2**20
PATIENCE = 900  # seconds for all; some eighty are needed on an idle machine


def most_memory(pid: int) -> int:
    """The most bytes of memory that a process has had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def fill(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    there = os.open(folder, os.O_RDONLY)
    try:
        for number in range(count):
            os.close(os.open(f"file-{number:07}.dat", os.O_CREAT | os.O_WRONLY, dir_fd=there))
    finally:
        os.close(there)


SHAPES = [
    pytest.param(1, 4_000, 150, id="small"),
    pytest.param(1, 1_000_000, 1024, id="one folder", marks=pytest.mark.soak),
    pytest.param(1_000, 1_000, 1024, id="a tree", marks=pytest.mark.soak),
]


@pytest.mark.parametrize(("folders", "files", "room"), SHAPES)
async def test_so_many_files_are_listed_within_the_memory_there_is(
    mount: Mount, folders: int, files: int, room: int
) -> None:
    def plant() -> None:
        top = mount.tenant.path("data.demo", "/alice/many")
        for number in range(folders):
            fill(top / str(number), files)

    await trio.to_thread.run_sync(plant)
    with trio.fail_after(PATIENCE):
        for _ in range(2):
            done = await trio.run_process(
                ["sh", "-c", 'find "$1" -type f | wc -l', "sh", str(mount.home / "many")], capture_stdout=True
            )
            assert int(done.stdout) == folders * files
    assert most_memory(mount.pid) < room * MIB
