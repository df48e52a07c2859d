"""What writing costs in requests, each a round trip of somebody who waits."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator

from tests.agavefs.mounting import Mount


@contextlib.asynccontextmanager
async def spent(mount: Mount) -> AsyncIterator[Counter[str]]:
    """The requests of the block, once it has ended."""
    found: Counter[str] = Counter()
    before = mount.tenant.faults.requests.copy()
    yield found
    await mount.all_sent()
    found.update(mount.tenant.faults.requests - before)


async def test_a_new_file_costs_its_upload_and_a_look_at_its_folder(mount: Mount) -> None:
    await mount.sh("ls")
    async with spent(mount) as requests:
        await mount.sh("printf 1 > one; printf 2 > two")
    assert requests["files.importData"] == 2
    assert requests["files.list"] <= 1
    assert requests.total() <= 3


async def test_a_new_file_costs_one_more_where_the_platform_settles_later(mount: Mount) -> None:
    await mount.sh("ls; head -c 5000000 /dev/zero > warm")
    async with spent(mount) as requests:
        await mount.sh("head -c 5000000 /dev/zero > large")  # more than it settles before it answers
    assert requests["files.importData"] == 1
    assert requests["files.list"] + requests["files.getHistory"] >= 1


async def test_a_tree_that_is_copied_costs_a_request_for_each_file_and_folder(mount: Mount) -> None:
    await mount.run("sh", "-c", "mkdir -p a/b a/c; for n in $(seq 20); do echo $n > a/b/$n; echo $n > a/c/$n; done",
                    cwd=mount.folder)  # fmt: skip
    async with spent(mount) as requests:
        await mount.sh('cp -r "$1" .', mount.folder / "a")
    assert requests["files.importData"] == 40
    assert requests["files.manage"] == 3
    assert requests["files.list"] <= 16  # the first new files of a program are looked for one by one


async def test_a_folder_is_made_by_one_request(mount: Mount) -> None:
    await mount.sh("ls")
    async with spent(mount) as requests:
        await mount.sh("mkdir one two three")
    assert requests == {"files.manage": 3}


async def test_a_file_is_replaced_by_four_requests_and_a_look(mount: Mount) -> None:
    await mount.sh("printf old > f")
    async with spent(mount) as requests:
        await mount.sh("printf new > f")
    assert requests["files.importData"] == 1  # beside it
    assert requests["files.manage"] == 1  # over it
    assert requests["files.delete"] == 1  # behind the writer's back
    assert requests["files.list"] <= 3
