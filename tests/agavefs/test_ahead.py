"""Walks through the kernel: what programs want next is asked for ahead of them, and little else."""

from __future__ import annotations

import errno
import os
import random
import re
import shutil
import signal
import subprocess
from collections import Counter

import trio

from tests.agavefs.mounting import LONG, Mount
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


async def test_what_programs_read_is_what_is_there(mount: Mount) -> None:
    files = tree("t", 4, 3, files=9)
    await plant(mount, files)
    for line in ("grep -r . t", "cat t/*/*/*", "tar c t | tar xO", "cp -r t $1 && cd $1 && grep -r . t"):
        out = mount.folder / "out"
        out.mkdir()
        said = await mount.sh(line, out)
        lines = sorted(text.rpartition(":")[2] for text in said.splitlines())
        assert lines == sorted(text for content in files.values() for text in content.decode().splitlines()), line
        await trio.to_thread.run_sync(shutil.rmtree, out)
        assert (await mount.umount()).returncode == 0
        await trio.to_thread.run_sync(shutil.rmtree, mount.folder / "state", True)
        await mount.start()


async def test_one_folder_and_one_file_cost_themselves_alone(mount: Mount) -> None:
    await plant(mount, tree("t", 3, 3, files=9))
    await mount.sh("ls t")
    await mount.sh("cat t/d00/d00/f00.txt")
    await mount.sh("ls t/d01/d01; cat t/d01/d01/f05.txt")
    assert ahead(await mount.status()) == [0] * 6


async def test_folders_here_and_there_cost_little_more_than_themselves(mount: Mount) -> None:
    files = tree("t", 5, 5, 4)
    await plant(mount, files)
    folders = sorted({name.rpartition("/")[0] for name in files})
    some = random.Random(1).sample(folders, 20)
    await mount.sh(" && ".join(f"ls {name}" for name in some))
    assert ahead(await mount.status())[2] <= 2
    # one program that does it all
    await mount.sh("ls " + " ".join(random.Random(2).sample(folders, 20)))
    assert ahead(await mount.status())[2] <= 4


async def test_one_program_for_each_file_is_a_walk_too(mount: Mount) -> None:
    await plant(mount, {f"d/{at:03}.txt": b"%d\n" % at for at in range(60)})
    said = await mount.sh("for file in d/*.txt; do cat $file; done")
    assert said.split() == [str(at) for at in range(60)]
    _, used, wasted = ahead(await mount.status())[3:]
    assert used >= 50
    assert wasted == 0


async def test_folders_are_asked_for_side_by_side(mount: Mount) -> None:
    await plant(mount, tree("t", 40))
    top = str(mount.home / "t")

    def look(*places: int) -> None:
        for place in places:
            os.listdir(f"{top}/{names[place]}")  # noqa: PTH208  # in the order that they are told in

    names = await trio.to_thread.run_sync(os.listdir, top)
    await trio.to_thread.run_sync(look, 0, 1)
    with mount.tenant.faults.slow("files.list") as held, trio.fail_after(LONG):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, look, 2, 3, 4, 5)
            await held.met(4)  # none of them is answered, and the program waits for one at most
            held.over.set()


async def test_a_program_that_is_interrupted_asks_for_nothing_more(mount: Mount) -> None:
    await plant(mount, tree("t", 200))
    with mount.tenant.faults.slow("files.list", 0.02) as slow:
        process = await trio.lowlevel.open_process(["find", str(mount.home / "t")], stdout=subprocess.DEVNULL)
        with trio.fail_after(LONG):
            await slow.met(20)
        process.send_signal(signal.SIGINT)
        await process.wait()

        async def is_over() -> bool:
            asked, used, wasted, *_ = ahead(await mount.status())
            return used + wasted == asked

        await mount.until(is_over)
        assert slow.hits < 195


async def test_a_mount_goes_away_in_the_middle_of_a_walk(mount: Mount) -> None:
    await plant(mount, tree("t", 30, 4, files=5))
    with mount.tenant.faults.slow("files.list", 0.2) as slow:
        process = await trio.lowlevel.open_process(["find", str(mount.home / "t")], stdout=subprocess.DEVNULL)
        with trio.fail_after(LONG):
            await slow.met(8)
            process.kill()
            await process.wait()
            assert (await mount.umount()).returncode == 0


async def test_folders_that_may_not_be_read_stop_nobody(mount: Mount) -> None:
    await plant(mount, tree("t", 6, 6))
    with mount.tenant.faults.refusing("files.list", 403, times=5):
        done = await mount.run("find", mount.home / "t", "-type", "d")
    assert "Permission denied" in done.stderr or len(done.stdout.splitlines()) == 43
    assert int(await mount.sh("find t -type d | wc -l")) == 43


async def test_a_platform_that_throttles_is_asked_for_nothing_ahead(mount: Mount) -> None:
    await plant(mount, tree("t", 60) | tree("u", 60))

    def walk(name: str, *places: int) -> None:
        top = str(mount.home / name)
        for place, folder in enumerate(os.listdir(top)):  # noqa: PTH208  # in the order that they are told in
            if not places or place in places:
                os.listdir(f"{top}/{folder}")  # noqa: PTH208  # as a program does it

    with trio.fail_after(LONG):
        await trio.to_thread.run_sync(walk, "t", 0, 1)
        with mount.tenant.faults.throttling("files.list", 0, times=2):
            await trio.to_thread.run_sync(walk, "t")
        asked = ahead(await mount.status())[0]
        assert asked < 50
        await trio.to_thread.run_sync(walk, "u")
    assert ahead(await mount.status())[0] == asked


async def test_what_others_change_while_it_is_fetched_ahead_is_never_a_mix(mount: Mount) -> None:
    await plant(mount, {f"d/{at:03}": b"old" * 500 for at in range(60)})
    await plant(mount, {f"new/{at:03}": b"new" * 700 for at in range(60)}, at=1.1e9)

    def change() -> None:
        for at in range(60):  # at once, as the platform does it
            mount.tenant.path("data.demo", f"/alice/new/{at:03}").replace(
                mount.tenant.path("data.demo", f"/alice/d/{at:03}")
            )

    def read() -> list[bytes]:
        found = []
        for at in range(60):
            if at == 5:  # others are here by now, or on their way
                change()
            try:
                found.append((mount.folder / f"mnt/systems/data.demo/alice/d/{at:03}").read_bytes())
            except OSError as error:
                assert error.errno == errno.ESTALE
        return found

    with trio.fail_after(LONG):
        found = await trio.to_thread.run_sync(read)
    assert {(content[:3], len(content)) for content in found} <= {(b"old", 1500), (b"new", 2100)}
    assert all(content == content[:3] * (len(content) // 3) for content in found)
