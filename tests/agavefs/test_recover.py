"""`agavefs recover`: what was written and is not at the platform, and what its user does with it."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from urllib.parse import unquote

import pytest
import trio

from agavefs import recover
from agavefs.journal import Journal
from agavefs.left import Left
from tests.agavefs.mounting import Mount, mounted, possible, writing
from tests.agavefs.test_journal import first_journal
from tests.agavefs.test_writing import names_there, there
from tests.conftest import Tenant
from tests.shell.terminal import terminal

pytestmark = pytest.mark.skipif(not possible, reason="there is no /dev/fuse here")


async def listed(mount: Mount, *words: str) -> list[list[str]]:
    """What `agavefs recover` tells, line by line, in its columns."""
    done = await mount.agavefs("recover", *words)
    assert done.returncode == 0, done.stderr
    return [line.split("  ") for line in done.stdout.splitlines()]


async def half_written(mount: Mount, name: str = "f", text: bytes = b"half") -> str:
    """A file that was never closed, of a mount that is dead by now; its number."""
    async with writing(mount, text, name):
        await mount.kill()
    return await number_of(mount, name)


async def closed_only(mount: Mount, name: str = "f", text: str = "closed") -> str:
    """A file that was closed, and not sent by a mount that is dead by now; its number."""
    with mount.tenant.faults.refusing("files.importData", status=403):
        await fails(mount, name, text)

        async def noted() -> bool:  # close tells of it first
            return any("(request " in line[-2] for line in await listed(mount))

        await mount.until(noted)
        await mount.kill()
    return await number_of(mount, name)


async def fails(mount: Mount, name: str, text: str) -> None:
    """Write a file that the platform does not take."""
    done = await mount.run("sh", "-c", 'printf "$2" | dd of="$1" status=none', "sh", name, text, cwd=mount.home)
    assert done.returncode != 0


async def number_of(mount: Mount, name: str) -> str:
    (number,) = [line[0] for line in await listed(mount) if unquote(line[4]).endswith(f"/alice/{name}")]
    return number


def tree(folder: Path) -> dict[str, bytes]:
    """All files of a folder, and what is in them."""
    return {str(it.relative_to(folder)): it.read_bytes() for it in folder.rglob("*") if it.is_file()}


@asynccontextmanager
async def second(mount: Mount, *arguments: str) -> AsyncIterator[Mount]:
    """Another mount of the same user, on another folder."""
    other = Mount(mount.tenant, mount.folder, arguments)
    other.path = trio.Path(mount.folder / "second")
    other.home = other.path / "systems/data.demo/alice"
    Path(other.path).mkdir()
    await other.start()
    try:
        yield other
    finally:
        with trio.CancelScope(shield=True):
            await other.umount()
            await other.run("fusermount3", "-u", "-z", other.path)


# what is shown


async def test_where_nothing_is_owed_it_says_so(mount: Mount) -> None:
    await mount.sh("echo sent > f")
    done = await mount.agavefs("recover")
    assert (done.returncode, done.stdout) == (0, "")
    assert "nothing is owed" in done.stderr


async def test_what_was_never_closed_is_shown_with_its_place_and_its_size(mount: Mount) -> None:
    number = await half_written(mount)
    ((told, state, size, _, uri, account),) = await listed(mount)
    assert (told, state, size) == (number, "open when its mount died", "4 bytes")
    assert (uri, account) == ("agave://data.demo//alice/f", f"alice@{mount.tenant.url}")


async def test_what_failed_is_shown_with_the_reason_and_the_request(mount: Mount) -> None:
    await closed_only(mount)
    ((_, state, size, _, uri, _, why),) = await listed(mount)
    assert (state, size, uri) == ("was on its way", "6 bytes", "agave://data.demo//alice/f")
    assert re.search(r"\(request \S+\)$", why), why


async def test_what_a_living_mount_has_is_shown_as_such(mount: Mount) -> None:
    async with writing(mount, b"on"):
        ((_, state, _, _, _, _, whose),) = await listed(mount)
        assert (state, whose) == ("open, or written and never closed", f"mounted at {mount.path}")


async def test_to_look_changes_no_file(mount: Mount) -> None:
    await half_written(mount)
    before = tree(mount.folder / "state")
    await listed(mount)
    assert tree(mount.folder / "state") == before


async def test_what_was_owed_in_a_cache_of_another_place_is_found_without_naming_it(
    tenant: Tenant, tmp_path: Path
) -> None:
    async with mounted(tenant, tmp_path / "mount", f"--cache-dir={tmp_path / 'cache'}") as mount:
        number = await half_written(mount)
        done = await mount.agavefs("recover", "send", number)
        assert done.returncode == 0, done.stderr
        assert f"has its cache in {tmp_path / 'cache' / socket.gethostname()}" in done.stdout
        await mount.start()
        await mount.all_sent()
        assert there(mount, "f") == b"half"


# sending


async def test_what_was_never_closed_is_sent_by_the_next_mount_when_its_user_says_so(mount: Mount) -> None:
    number = await half_written(mount)
    done = await mount.agavefs("recover", "send", number)
    assert (done.returncode, "is sent by the next mount" in done.stdout) == (0, True), done
    assert [line[1] for line in await listed(mount)] == ["to be sent"]
    await mount.start()
    await mount.all_sent()
    assert there(mount, "f") == b"half"
    assert await listed(mount) == []


async def test_four_letters_of_a_number_are_enough(mount: Mount) -> None:
    number = await half_written(mount)
    assert (await mount.agavefs("recover", "send", number[:4])).returncode == 0
    assert (await mount.agavefs("recover", "send", number[:3])).returncode == recover.EX_NOINPUT


async def test_the_mount_that_took_it_over_sends_it_at_once(mount: Mount) -> None:
    number = await half_written(mount)
    await mount.start()
    assert "never closed" in await mount.status()
    done = await mount.agavefs("recover", "send", number)
    assert (done.returncode, f"by the mount at {mount.path}" in done.stdout) == (0, True), done
    await mount.all_sent()
    assert there(mount, "f") == b"half"
    assert "never closed" not in await mount.status()


async def test_a_mount_that_lives_beside_the_dead_one_is_told_to_send_it(mount: Mount) -> None:
    async with second(mount) as other:
        number = await half_written(mount)
        done = await mount.agavefs("recover", "send", number)
        assert (done.returncode, f"by the mount at {other.path}" in done.stdout) == (0, True), done
        await other.all_sent()
        assert there(mount, "f") == b"half"


async def test_a_mount_with_another_cache_is_told_to_send_it(mount: Mount, tmp_path: Path) -> None:
    number = await half_written(mount)
    async with second(mount, f"--cache-dir={tmp_path / 'other'}") as other:
        done = await mount.agavefs("recover", "send", number)
        assert (done.returncode, f"by the mount at {other.path}" in done.stdout) == (0, True), done
        await other.all_sent()
        assert there(mount, "f") == b"half"
        assert await listed(mount) == []
        assert list((mount.folder / "state/agavesh/left").iterdir()) == []


async def test_what_others_have_written_since_is_not_overwritten(mount: Mount) -> None:
    await mount.sh("echo base > f")
    number = await half_written(mount, text=b"ours")
    mount.tenant.path("data.demo", "/alice/f").write_bytes(b"theirs, longer")
    await mount.agavefs("recover", "send", number)
    await mount.start()
    await mount.all_sent()
    (beside,) = [name for name in await names_there(mount) if name.startswith("f~conflict-")]
    assert (there(mount, "f"), there(mount, beside)) == (b"theirs, longer", b"ours")


async def test_what_is_written_here_at_the_moment_is_not_overwritten(mount: Mount) -> None:
    await mount.sh("printf base > f")
    number = await half_written(mount, text=b"old")
    await mount.start()

    async def beside() -> bool:
        return any(name.startswith("f~conflict-") for name in await names_there(mount))

    async with writing(mount, b"new one"):
        assert (await mount.agavefs("recover", "send", number)).returncode == 0
        await mount.until(beside)
    await mount.all_sent()
    (name,) = [name for name in await names_there(mount) if name.startswith("f~conflict-")]
    assert (there(mount, "f"), there(mount, name)) == (b"new one", b"old")


async def test_what_is_open_is_not_sent_before_it_is_closed(mount: Mount) -> None:
    async with writing(mount, b"on"):
        done = await mount.agavefs("recover", "send", await number_of(mount, "f"))
        assert (done.returncode, "it is open, and sent when it is closed" in done.stderr) == (recover.EX_TEMPFAIL, True)
    assert there(mount, "f") == b"on"


async def test_what_failed_is_tried_again_without_waiting_for_its_turn(mount: Mount) -> None:
    with mount.tenant.faults.refusing("files.importData", status=403) as refusal:
        await fails(mount, "f", "x")
        number = await number_of(mount, "f")
        await refusal.met(4)  # it has some seconds to wait for by now
    done = await mount.agavefs("recover", "send", number)
    assert done.returncode == 0, done.stderr
    await mount.all_sent()
    assert there(mount, "f") == b"x"


async def test_bytes_that_are_gone_are_told_and_not_sent(mount: Mount) -> None:
    number = await half_written(mount)
    (spool,) = mount.folder.glob(f"state/agavesh/*/mounts/cache/spools/*/{number}*")
    spool.unlink()
    assert [line[2] for line in await listed(mount)] == ["gone"]
    done = await mount.agavefs("recover", "send", number)
    assert (done.returncode, "its bytes are gone" in done.stderr) == (recover.EX_NOINPUT, True)


async def test_rows_of_the_first_version_are_sent(tenant: Tenant, tmp_path: Path) -> None:
    mount = Mount(tenant, tmp_path / "mount")
    cache = tmp_path / "mount/state/agavesh" / socket.gethostname() / "mounts/cache"
    spools = cache / "spools/dead"
    spools.mkdir(parents=True)
    (spools / "aaaaaaaaaaaa").write_bytes(b"first")
    (spools / "bbbbbbbbbbbb").write_bytes(b"half")
    first_journal(
        cache, f"alice@{tenant.url}",
        ("/alice/f", spools / "aaaaaaaaaaaa", 5, "sealed"), ("/alice/g", spools / "bbbbbbbbbbbb", 0, "writing"),
        system="data.demo",
    )  # fmt: skip
    assert [line[:2] for line in await listed(mount)] == [
        ["aaaaaaaa", "to be sent"],
        ["bbbbbbbb", "open when its mount died"],
    ]
    async with mounted(tenant, tmp_path / "mount") as mount:
        await mount.all_sent()
        assert (await mount.agavefs("recover", "send", "bbbbbbbb")).returncode == 0
        await mount.all_sent()
        assert (there(mount, "f"), there(mount, "g")) == (b"first", b"half")


async def test_a_newer_journal_is_told_and_no_mount_touches_it(mount: Mount) -> None:
    number = await half_written(mount)
    (journal,) = mount.folder.glob("state/agavesh/*/mounts/cache/journal.db")
    with closing(sqlite3.connect(journal)) as connection:
        connection.execute("PRAGMA user_version = 99")
    for words in (["recover"], ["recover", "send", number], ["mount", str(mount.path)]):
        done = await mount.agavefs(*words)
        assert done.returncode in (recover.EX_OSERR, recover.EX_NOINPUT)
        assert "written by a newer agavefs" in done.stderr
    (spool,) = mount.folder.glob(f"state/agavesh/*/mounts/cache/spools/*/{number}*")
    assert spool.read_bytes() == b"half"


# saving


async def test_bytes_are_saved_elsewhere_and_are_still_owed(mount: Mount, tmp_path: Path) -> None:
    number = await half_written(mount)
    (tmp_path / "safe").mkdir()
    done = await mount.agavefs("recover", "save", number, tmp_path / "safe")
    assert done.returncode == 0, done.stderr
    assert tree(tmp_path / "safe") == {"f": b"half"}
    assert stat.S_IMODE((tmp_path / "safe/f").stat().st_mode) == 0o600
    assert [line[0] for line in await listed(mount)] == [number]


async def test_what_is_there_is_never_overwritten(mount: Mount, tmp_path: Path) -> None:
    number = await half_written(mount)
    (tmp_path / "safe").mkdir()
    (tmp_path / "safe/f").write_bytes(b"mine")
    assert (await mount.agavefs("recover", "save", number, tmp_path / "safe")).returncode == 0
    assert tree(tmp_path / "safe") == {"f": b"mine", f"f~{number}": b"half"}
    done = await mount.agavefs("recover", "save", number, tmp_path / "safe")
    assert (done.returncode, tree(tmp_path / "safe")) == (recover.EX_CANTCREAT, {"f": b"mine", f"f~{number}": b"half"})
    done = await mount.agavefs("recover", "save", number, tmp_path / "nowhere")
    assert done.returncode == recover.EX_CANTCREAT


async def test_what_is_still_written_is_saved_as_it_is(mount: Mount, tmp_path: Path) -> None:
    (tmp_path / "safe").mkdir()
    async with writing(mount, b"so far"):
        done = await mount.agavefs("recover", "save", await number_of(mount, "f"), tmp_path / "safe")
    assert (done.returncode, tree(tmp_path / "safe")) == (0, {"f": b"so far"})
    assert "as it is at this moment" in done.stdout


# discarding


async def test_nothing_is_discarded_without_a_word(mount: Mount) -> None:
    number = await half_written(mount)
    done = await mount.agavefs("recover", "discard", number)
    assert (done.returncode, "--yes" in done.stderr) == (recover.EX_USAGE, True)
    assert [line[0] for line in await listed(mount)] == [number]


async def test_what_is_discarded_is_gone_with_its_bytes(mount: Mount) -> None:
    number = await half_written(mount)
    done = await mount.agavefs("recover", "discard", "--yes", number)
    assert done.returncode == 0, done.stderr
    assert await listed(mount) == []
    assert list(mount.folder.glob(f"state/agavesh/*/mounts/cache/spools/*/{number}*")) == []
    await mount.start()
    assert "f" not in await names_there(mount)


@pytest.mark.parametrize("answer", ["yes", "y", ""])
async def test_on_a_terminal_it_takes_a_typed_yes(mount: Mount, answer: str) -> None:
    number = await half_written(mount)
    environ = {name: value for name, value in mount.environ.items() if os.environ.get(name) != value}
    async with terminal("recover", "discard", number, module="agavefs", **environ) as screen:
        await screen.shows("Type yes:")
        await screen.type(answer)
        status = await screen.ends()
    assert status == (0 if answer == "yes" else recover.EX_NOPERM)
    assert [line[0] for line in await listed(mount)] == ([] if answer == "yes" else [number])


async def test_what_a_living_mount_has_is_not_discarded(mount: Mount) -> None:
    async with writing(mount, b"on"):
        done = await mount.agavefs("recover", "discard", "--yes", await number_of(mount, "f"))
    assert done.returncode == recover.EX_TEMPFAIL
    assert f"mounted at {mount.path}: umount it first" in done.stderr
    assert there(mount, "f") == b"on"


async def test_what_of_it_stands_at_the_platform_is_removed_by_the_next_mount(mount: Mount) -> None:
    await mount.sh("echo base > f")
    with mount.tenant.faults.refusing("files.manage", status=403):
        await fails(mount, "f", "new")
        await mount.kill()
    assert any(name.startswith(".agavefs") for name in await names_there(mount))
    number = await number_of(mount, "f")
    assert (await mount.agavefs("recover", "discard", "--yes", number)).returncode == 0
    assert [line[1:3] for line in await listed(mount)] == [["to be removed", "-"]]
    await mount.start()
    await mount.all_sent()
    assert not [name for name in await names_there(mount) if name.startswith(".agavefs")]
    assert there(mount, "f") == b"base\n"


async def test_an_unknown_number_is_told(mount: Mount) -> None:
    await half_written(mount)
    for act in ("send", "discard"):
        done = await mount.agavefs("recover", act, "ffff0000", *(["--yes"] if act == "discard" else []))
        assert (done.returncode, "ffff0000" in done.stderr) == (recover.EX_NOINPUT, True)
    assert len(await listed(mount)) == 1


# what batch jobs have left, and other hosts


async def test_what_a_job_has_left_is_shown_saved_and_discarded(mount: Mount, tmp_path: Path) -> None:
    number = await half_written(mount)
    await left_by_a_job(mount)
    ((told, state, size, *_),) = await listed(mount)
    assert (told, state, size) == (number, "open when its mount died", "4 bytes")
    (tmp_path / "safe").mkdir()
    assert (await mount.agavefs("recover", "save", number, tmp_path / "safe")).returncode == 0
    assert tree(tmp_path / "safe") == {"f": b"half"}
    assert (await mount.agavefs("recover", "discard", "--yes", number)).returncode == 0
    assert list((mount.folder / "state/agavesh/left").iterdir()) == []


async def test_what_a_job_has_left_unclosed_is_sent_when_its_user_says_so(mount: Mount) -> None:
    number = await half_written(mount)
    await left_by_a_job(mount)
    assert (await mount.agavefs("recover", "send", number)).returncode == 0
    await mount.start()
    await mount.all_sent()
    assert there(mount, "f") == b"half"
    assert list((mount.folder / "state/agavesh/left").iterdir()) == []


async def left_by_a_job(mount: Mount) -> None:
    """As a mount in a batch job does it at its end, with what it owes."""
    (cache,) = mount.folder.glob("state/agavesh/*/mounts/cache")
    journal = Journal(cache, f"alice@{mount.tenant.url}")
    journal.take_over()
    assert Left(mount.folder / "state/agavesh/left").bring(journal) == 0
    journal.close()


async def elsewhere(mount: Mount) -> str:
    """What was owed here becomes another host's, in the same home; its number."""
    number = await half_written(mount)
    here = mount.folder / "state/agavesh" / socket.gethostname()
    there = here.with_name("far-away")
    here.rename(there)
    (journal,) = there.glob("mounts/cache/journal.db")
    with closing(sqlite3.connect(journal, isolation_level=None)) as connection:
        connection.execute("UPDATE owners SET host = 'far-away'")
        connection.execute("UPDATE owed SET spool = replace(spool, ?, ?)", (f"/{here.name}/", "/far-away/"))
    return number


async def test_what_another_host_owes_is_shown_and_not_touched(mount: Mount) -> None:
    number = await elsewhere(mount)
    before = tree(mount.folder / "state/agavesh/far-away")
    ((told, _, _, _, uri, _, whose),) = await listed(mount)
    assert (told, uri, whose) == (number, "agave://data.demo//alice/f", "of the host far-away")
    for words in (["send", number], ["discard", "--yes", number]):
        done = await mount.agavefs("recover", *words)
        assert (done.returncode, "--host far-away takes it" in done.stderr) == (recover.EX_NOPERM, True)
    assert tree(mount.folder / "state/agavesh/far-away") == before


async def test_what_another_host_owes_is_sent_from_here_when_that_is_named(mount: Mount) -> None:
    number = await elsewhere(mount)
    done = await mount.agavefs("recover", "send", "--host", "far-away", number)
    assert done.returncode == 0, done.stderr
    await mount.start()
    await mount.all_sent()
    assert there(mount, "f") == b"half"
    assert await listed(mount) == []


async def test_what_a_mount_of_another_host_holds_is_refused_even_if_it_is_named(mount: Mount) -> None:
    number = await elsewhere(mount)
    (lock,) = (mount.folder / "state/agavesh/far-away/mounts/cache/owners").iterdir()
    with lock.open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = await mount.agavefs("recover", "discard", "--yes", "--host", "far-away", number)
    assert (done.returncode, "a mount of far-away has it" in done.stderr) == (recover.EX_TEMPFAIL, True)
    assert [line[0] for line in await listed(mount)] == [number]
