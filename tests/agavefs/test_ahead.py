"""Walks through the kernel: what programs want next is asked for ahead of them, and little else."""

from __future__ import annotations

import re
from collections import Counter

from tests.agavefs.mounting import Mount
from tests.agavefs.test_reading import plant


def tree(top: str, *widths: int, files: int = 1) -> dict[str, bytes]:
    """Folders so many at each depth, with small files in each."""
    if not widths:
        return {f"{top}/f{at:02}.txt": f"{top} {at}\n".encode() * 20 for at in range(files)}
    return {
        name: content
        for at in range(widths[0])
        for name, content in tree(f"{top}/d{at:02}", *widths[1:], files=files).items()
    }


async def spent(mount: Mount, line: str, *words: str) -> tuple[str, Counter[str]]:
    before = mount.tenant.faults.requests.copy()
    said = await mount.sh(line, *words)
    return said, mount.tenant.faults.requests - before


def ahead(status: str) -> list[int]:
    """Listings fetched ahead, used and wasted; and the same of files."""
    (line,) = [line for line in status.splitlines() if line.startswith("walks ")]
    return [int(number) for number in re.findall(r"\d+", line)]


async def test_a_walk_finds_what_it_goes_to_already_asked_for(mount: Mount) -> None:
    await plant(mount, tree("t", 4, 4, 4))
    await mount.sh("ls")
    said, requests = await spent(mount, "find t -type d | wc -l")
    assert int(said) == 1 + 4 + 16 + 64
    asked, used, wasted, *files = ahead(await mount.status())
    assert asked == used >= 85 - 10
    assert (wasted, files) == (0, [0, 0, 0])
    # a folder as long as the longest seen is asked for what follows: nobody knows whether it was cut
    assert set(requests) <= {"files.list", "systems.list"}
    assert requests["files.list"] <= 1 + 2 * 85


async def test_a_reading_walk_finds_the_files_already_asked_for(mount: Mount) -> None:
    await plant(mount, tree("t", 5, files=20))
    said, requests = await spent(mount, "grep -r . t | wc -l")
    assert int(said) == 5 * 20 * 20
    asked, used, wasted = ahead(await mount.status())[3:]
    assert asked == used >= 100 - 6
    assert wasted == 0
    assert requests["files.download"] == 100
