"""`agavefs why`: what a mount knows of a path, and what failed there."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest

from agavefs import cli
from agavefs.failures import Failures
from agavesh.client import Agave
from agavesh.client.errors import Busy, NotAllowed
from tests.agavefs.mounting import Mount, mounted, possible, writing
from tests.agavefs.test_recover import closed_only, fails, half_written, number_of
from tests.conftest import Tenant

pytestmark = pytest.mark.skipif(not possible, reason="there is no /dev/fuse here")

TREE = "/systems/data.demo/alice"


async def told(mount: Mount, path: object) -> dict[str, str]:
    """What it says, by its labels; of several with the same label the last."""
    done = await mount.agavefs("why", str(path))
    assert done.returncode == 0, done.stderr
    return {line[:12].strip(): line[12:] for line in done.stdout.splitlines() if line}


async def test_a_file_that_was_read_is_told_of_whole(mount: Mount, agave: Agave) -> None:
    await agave.files.importData(systemId="data.demo", filePath="/alice", fileName="f", fileToUpload=b"text\n")
    assert await mount.sh("cat f") == "text\n"
    of = await told(mount, mount.home / "f")
    assert (of["mount"], of["path"], of["kind"], of["size"]) == (str(mount.path), f"{TREE}/f", "file", "5")
    assert re.fullmatch(r"at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d, believed for \d+ s more", of["told"])
    assert (of["here"], of["open"], of["failed"]) == ("all of its 5 bytes", "by nobody", "nothing that is remembered")
    assert "owed" not in of


async def test_a_path_in_the_mount_and_one_of_the_tree_and_a_uri_are_the_same(mount: Mount) -> None:
    await mount.sh("echo x > f; ls -l")
    answers = [await told(mount, path) for path in (mount.home / "f", f"{TREE}/f", "agave://data.demo//alice/f")]
    assert [of["kind"] for of in answers] == ["file"] * 3
    assert {of["path"] for of in answers} == {f"{TREE}/f"}


async def test_to_ask_costs_no_request(mount: Mount) -> None:
    await mount.sh("echo x > f; cat f")
    await mount.all_sent()
    before = mount.counted()
    await told(mount, mount.home / "f")
    await told(mount, mount.home / "none")
    assert mount.counted() == before


async def test_a_large_file_is_here_as_far_as_it_was_read(mount: Mount) -> None:
    mount.tenant.path("data.demo", "/alice/large").write_bytes(b"x" * 20_000_000)
    await mount.sh("head -c 1 large > /dev/null")
    found = re.fullmatch(r"(\d+) of its 20000000 bytes", (await told(mount, mount.home / "large"))["here"])
    assert found is not None
    assert 0 < int(found[1]) < 20_000_000


async def test_what_the_last_mount_has_kept_is_told_as_on_the_shelf(mount: Mount) -> None:
    mount.tenant.path("data.demo", "/alice/f").write_bytes(b"kept")
    await mount.grows_old(2.1)  # younger ones are not kept
    await mount.sh("cat f")
    await mount.umount()
    await mount.start()
    await mount.sh("ls -l")
    of = await told(mount, mount.home / "f")
    assert (of["here"], of["shelf"]) == ("none of its bytes", "all of it is kept for later")


async def test_what_is_written_is_told_of_with_its_state_and_who_has_it_open(mount: Mount) -> None:
    async with writing(mount, b"on"):
        of = await told(mount, mount.home / "f")
        assert of["told"] == "by nobody: it is written here"
        assert of["owed"].startswith("open, or written and never closed since ")
        assert of["open"] == "0 times for reading, 1 for writing"
        assert f"(number {await number_of(mount, 'f')})" in of["owed"]
    assert "owed" not in await told(mount, mount.home / "f")


async def test_what_could_not_be_sent_is_told_with_the_servers_words_and_the_request(mount: Mount) -> None:
    with mount.tenant.faults.refusing("files.importData", status=403):
        await fails(mount, "f", "x")

        async def noted() -> bool:
            return "trouble" in await told(mount, mount.home / "f")

        await mount.until(noted)
        of = await told(mount, mount.home / "f")
        assert of["failed"].partition(" at ")[0] in ("sending", "flush")
        assert "with EACCES: " in of["failed"]
        assert of["request"]
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d: ", of["trouble"])


async def test_what_a_dead_mount_has_left_unclosed_is_told(mount: Mount) -> None:
    number = await half_written(mount)
    await mount.start()
    of = await told(mount, mount.home / "f")
    assert f"(number {number})" in of["owed"]
    assert of["kind"].startswith(("not known", "no such name"))


async def test_what_another_mount_owes_is_told_as_such(mount: Mount) -> None:
    await closed_only(mount)
    async with mounted(mount.tenant, mount.folder, "--read-only") as other:
        of = await told(other, f"{TREE}/f")
        assert ", by one that has died" in of["owed"]


async def test_a_refusal_is_remembered_with_its_errno_its_time_and_its_request(mount: Mount) -> None:
    mount.tenant.path("data.demo", "/alice/f").write_bytes(b"text")
    await mount.sh("ls -l")
    with mount.tenant.faults.refusing("files.download", status=403):
        assert (await mount.run("cat", mount.home / "f")).returncode != 0
    of = await told(mount, mount.home / "f")
    assert re.match(r"(read|open) at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d with EACCES: \S", of["failed"]), of
    assert of["request"]


@pytest.mark.mount(AGAVEFS_DEADLINES="metadata=0.5,read=0.5,progress=0.5")
async def test_a_deadline_that_went_by_is_remembered(mount: Mount) -> None:
    mount.tenant.path("data.demo", "/alice/deep").mkdir()
    await mount.sh("ls -l")
    with mount.tenant.faults.slow("files.list", seconds=5):
        assert (await mount.run("cat", mount.home / "deep/f")).returncode != 0
    of = await told(mount, mount.home / "deep/f")
    assert f"with {errno.errorcode[errno.ETIMEDOUT]}: no answer from the platform within" in of["failed"]


async def test_a_name_that_is_not_there_and_one_that_nobody_knows_are_told_apart(mount: Mount) -> None:
    await mount.sh("ls -l")
    assert (await told(mount, mount.home / "none"))["kind"].startswith(f"no such name, by the listing of {TREE} at ")
    assert (await told(mount, f"{TREE}/deep/down"))["kind"].startswith("not known")


async def test_folders_links_and_the_root_have_an_answer(mount: Mount) -> None:
    await mount.sh("mkdir d; ls -l .. ~ > /dev/null; ls -l ../~")
    assert (await told(mount, mount.home))["kind"] == "folder"
    assert (await told(mount, mount.path))["kind"] == "folder"
    through = await told(mount, "/systems/data.demo/~/d")
    assert (through["leads to"], through["kind"]) == (f"{TREE}/d", "folder")


async def test_a_mount_of_one_folder_says_what_is_not_in_it(tenant: Tenant, tmp_path: Path) -> None:
    async with mounted(tenant, tmp_path / "mount", source="agave://data.demo//alice") as mount:
        await mount.sh("echo x > f")
        assert (await told(mount, mount.path / "f"))["path"] == f"{TREE}/f"
        done = await mount.agavefs("why", "/jobs/latest")
        assert (done.returncode, f"which shows {TREE}" in done.stderr) == (cli.EX_TEMPFAIL, True)


async def test_where_nothing_is_mounted_it_says_so(mount: Mount) -> None:
    await mount.umount()
    done = await mount.agavefs("why", f"{TREE}/f")
    assert (done.returncode, "nothing is mounted" in done.stderr) == (cli.EX_UNAVAILABLE, True)
    done = await mount.agavefs("why", "f")
    assert done.returncode == cli.EX_USAGE


def test_the_failures_that_are_remembered_are_the_last_ones() -> None:
    failures = Failures()
    for number in range(1500):
        failures.note(f"/f{number}", "open", errno.EACCES, NotAllowed("no", request_id=f"r{number}"))
    failures.note("/f1499", "read", errno.EAGAIN, Busy("later"))
    assert failures.of("/f0") is None
    assert (found := failures.of("/f1000")) is not None
    assert (found.act, found.errno, found.text, found.request) == ("open", errno.EACCES, "no", "r1000")
    assert (last := failures.of("/f1499")) is not None
    assert (last.act, last.request) == ("read", None)
