"""How old what a mount shows may be: what others change, who tells the mount, and what if nobody answers."""

from __future__ import annotations

import errno
import os
import signal
import sys
from pathlib import Path

import pytest
import trio

from tests.agavefs.mounting import Mount
from tests.agavefs.test_reading import plant

LATER = 1e9 + 1
HELD = "metadata=3,read=3,progress=3"


async def agavesh(mount: Mount, *words: str) -> None:
    """What a user types elsewhere on this machine."""
    done = await mount.run(sys.executable, "-m", "agavesh", *words)
    assert done.returncode == 0, done.stderr


async def read(mount: Mount, name: str) -> str:
    return await (mount.home / name).read_text()


async def there(mount: Mount, name: str) -> bool:
    return await (mount.home / name).exists()


# how long things are believed ----------------------------------------------------------------------------------------


async def test_what_a_listing_says_is_believed_at_open(mount: Mount) -> None:
    await plant(mount, {"f": b"one", "g": b"two"})
    await mount.sh("ls -l")
    before = mount.tenant.faults.requests.copy()
    assert await mount.sh("cat f g") == "onetwo"
    assert mount.tenant.faults.requests - before == {"files.download": 2}
    await plant(mount, {"f": b"ONE"}, at=LATER)
    assert await mount.sh("cat f") == "one"  # all of it as it was
    assert (await mount.agavefs("refresh")).returncode == 0
    assert await mount.sh("cat f") == "ONE"


@pytest.mark.mount("--cache-ttl=0")
async def test_without_a_life_everything_is_asked_for(mount: Mount) -> None:
    await plant(mount, {"f": b"one", "d/e/g": b"g"})
    assert await mount.sh("cat f; ls; ls d/e") == "oned\nf\ng\n"
    await plant(mount, {"f": b"three", "new": b"", "d/e/h": b"h"}, at=LATER)
    assert await mount.sh("cat f; stat -c %s f; ls; cat d/e/h; ls d/e") == "three5\nd\nf\nnew\nhg\nh\n"
    await trio.to_thread.run_sync(mount.tenant.path("data.demo", "/alice/new").unlink)
    assert not await there(mount, "new")
    before = mount.tenant.faults.requests.copy()
    await (mount.home / "d/e/g").stat()
    spent = mount.tenant.faults.requests - before
    assert spent["files.list"] <= 6, spent  # each folder on the way is asked for by itself, and no more


@pytest.mark.mount("--cache-ttl=2")
async def test_what_others_change_shows_when_what_was_told_is_too_old(mount: Mount) -> None:
    await plant(mount, {"f": b"one", "gone": b""})
    assert await mount.sh("ls; cat f") == "f\ngone\none"
    assert not await there(mount, "new")
    await plant(mount, {"f": b"three", "new": b""}, at=LATER)
    await trio.to_thread.run_sync(mount.tenant.path("data.demo", "/alice/gone").unlink)

    async def seen() -> bool:
        return await read(mount, "f") == "three" and await there(mount, "new") and not await there(mount, "gone")

    await mount.until(seen)
    assert await mount.sh("ls; stat -c %s f") == "f\nnew\n5\n"


async def test_who_has_read_nothing_yet_reads_what_is_there_now(mount: Mount) -> None:
    sizes = {"a/f": (3, 300_000), "b/f": (300_000, 3), "c/f": (5, 6), "d/f": (2**21, 2**21 + 9), "e/f": (2**21, 2**21)}
    await plant(mount, {name: b"a" * size for name, (size, _) in sizes.items()})
    await mount.sh("ls -l *")
    await mount.grows_old(2.1)  # what was told just now is not doubted
    await plant(mount, {name: b"b" * size for name, (_, size) in sizes.items()}, at=LATER)
    for name, (before, size) in sizes.items():
        assert await mount.sh("stat -c %s $1", name) == f"{before}\n"
        assert await (mount.home / name).read_bytes() == b"b" * size
        assert await mount.sh("stat -c %s $1", name) == f"{size}\n"


# looking anew --------------------------------------------------------------------------------------------------------


async def test_refresh_shows_names_that_came_and_went(mount: Mount) -> None:
    await plant(mount, {"d/f": b"one", "d/gone": b""})
    assert await mount.sh("ls d; cat d/f; test ! -e d/new; test ! -e d/../other") == "f\ngone\none"
    await plant(mount, {"d/f": b"two!", "d/new": b"", "other": b""}, at=LATER)
    await trio.to_thread.run_sync(mount.tenant.path("data.demo", "/alice/d/gone").unlink)
    assert not await there(mount, "d/new")
    done = await mount.agavefs("refresh", mount.home / "d")
    assert (done.returncode, done.stderr) == (0, "")
    assert await there(mount, "d/new")
    assert not await there(mount, "d/gone")
    assert await mount.sh("stat -c %s d/f; cat d/f; ls d") == "4\ntwo!f\nnew\n"


@pytest.mark.parametrize("place", ["known", "unknown", "tree"])
async def test_refresh_goes_by_links(mount: Mount, place: str) -> None:
    await plant(mount, {"d/f": b"one"})
    await mount.sh("ls d")
    path = {
        "known": mount.path / "systems/data.demo/~/d",
        "unknown": mount.path / "systems/data.demo/~/d",
        "tree": "/systems/data.demo/~/d",
    }[place]
    if place == "known":
        await mount.sh("ls ../~/d")
    await plant(mount, {"d/new": b""}, at=LATER)
    assert await mount.sh("ls d") == "f\n"
    done = await mount.agavefs("refresh", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert await mount.sh("ls d") == "f\nnew\n"


@pytest.mark.parametrize("place", ["mount", "tree", "uri"])
async def test_refresh_asks_for_no_more_than_it_is_told(mount: Mount, place: str) -> None:
    await plant(mount, {"d/f": b"", "e/f": b""})
    await mount.sh("ls . d e ..")
    path = {
        "mount": str(mount.home / "d"),
        "tree": "/systems/data.demo/alice/d",
        "uri": "agave://data.demo//alice/d",
    }[place]
    assert (await mount.agavefs("refresh", path)).returncode == 0
    before = mount.tenant.faults.requests.copy()
    await mount.sh("ls e")
    assert not mount.tenant.faults.requests - before
    await mount.sh("ls d")
    assert (mount.tenant.faults.requests - before)["files.list"] >= 1


async def test_who_stands_in_a_folder_stays_in_it(mount: Mount) -> None:
    await plant(mount, {"d/e/f": b"text"})
    line = f"cd d/e; cat f; {sys.executable} -m agavefs refresh; /bin/pwd; cat f"
    assert await mount.sh(line) == f"text{mount.home}/d/e\ntext"


async def test_refresh_says_what_it_can_not_do(mount: Mount, tmp_path: Path) -> None:
    done = await mount.agavefs("refresh", "no/mount")
    assert (done.returncode, done.stderr) == (64, "agavefs: no/mount is in no mount\n")
    await mount.umount()
    done = await mount.agavefs("refresh")
    assert (done.returncode, done.stderr) == (69, "agavefs: nothing is mounted\n")
    assert not list((mount.folder / "state").rglob("*.sock"))


async def test_sighup_looks_anew(mount: Mount) -> None:
    await plant(mount, {"f": b"one"})
    assert await mount.sh("ls; cat f") == "f\none"
    await plant(mount, {"f": b"three"}, at=LATER)
    assert await read(mount, "f") == "one"
    os.kill(mount.pid, signal.SIGHUP)

    async def seen() -> bool:
        return await read(mount, "f") == "three"

    await mount.until(seen)
    assert "asked to look anew" in mount.log


async def test_a_shell_that_wrote_tells_the_mount(mount: Mount, tmp_path: Path) -> None:
    await plant(mount, {"f": b"one", "moved/g": b"g", "gone": b""})
    assert await mount.sh("ls . moved; cat f") == ".:\nf\ngone\nmoved\n\nmoved:\ng\none"
    assert not await there(mount, "new")
    (tmp_path / "two").write_text("two")
    home = "/systems/data.demo/alice"
    await agavesh(mount, "put", str(tmp_path / "two"), f"{home}/f")
    assert await mount.sh("cat f") == "two"
    await agavesh(mount, "mkdir", "-p", f"{home}/new/a/b")
    assert await there(mount, "new/a/b")
    await agavesh(mount, "rm", f"{home}/gone")
    assert not await there(mount, "gone")
    await agavesh(mount, "mv", f"{home}/moved", f"{home}/new/moved")
    assert await read(mount, "new/moved/g") == "g"
    assert not await there(mount, "moved")
    await agavesh(mount, "cp", f"{home}/new/moved/g", f"{home}/copy")
    assert await mount.sh("ls; cat copy") == "copy\nf\nnew\ng"


# names that programs look for everywhere -----------------------------------------------------------------------------


async def test_names_that_are_looked_for_everywhere_are_asked_for_once(mount: Mount) -> None:
    await plant(mount, {f"d{number}/f": b"" for number in range(5)})
    await mount.sh("ls")
    before = mount.tenant.faults.requests.copy()
    for _ in range(3):
        names = ".git .hg .Trash-1000 ._f autorun.inf .hidden"
        await mount.sh(f"for d in d?; do for n in {names}; do test ! -e $d/$n; done; done")
        await mount.grows_old(1.2)  # longer than the kernel remembers it by itself
    spent = mount.tenant.faults.requests - before
    assert spent["files.list"] <= 5 * 3, spent  # one for the first name; then the folder, which may be two pages
    await mount.sh(
        "cd d1; git init -q . && test -d .git; mkdir .Trash-1000; echo x > ._f; test -d .Trash-1000; cat ._f"
    )
    await plant(mount, {"d2/.git/config": b"theirs"})
    await mount.agavefs("refresh", mount.home / "d2")
    assert await read(mount, "d2/.git/config") == "theirs"


# status --------------------------------------------------------------------------------------------------------------


async def test_status_says_how_old_what_is_shown_is_and_whether_the_platform_answers(mount: Mount) -> None:
    await mount.sh("ls")
    lines = dict(line.split(maxsplit=1) for line in (await mount.status()).splitlines())
    assert lines["platform"] == "answers"
    assert lines["offline"] == "not allowed"
    assert lines["listings"].endswith("believed for 30 s")
    assert int(lines["listings"].split()[0]) >= 2


# a platform that does not answer -------------------------------------------------------------------------------------


@pytest.mark.mount("--offline-ok", "--cache-ttl=0.5", AGAVEFS_DEADLINES="metadata=10,read=3,progress=3")
async def test_offline_what_was_here_stays_and_says_so(mount: Mount) -> None:
    await plant(mount, {"d/f": b"text", "d/not read": b"other", "e/g": b""})
    assert await mount.sh("ls d; cat d/f; ls /proc/self/cwd/") == "f\nnot read\ntextd\ne\n"
    await mount.grows_old(1)  # than it is believed
    with mount.tenant.faults.slow("*"):
        assert await mount.sh("ls d; cat d/f; ls; stat -c %s d/f") == "f\nnot read\ntextd\ne\n4\n"
        assert "offline     since 2" in await mount.status()
        for act in (lambda: read(mount, "d/not read"), lambda: mount.sh("ls e"), lambda: read(mount, "e/g")):
            with pytest.raises((OSError, AssertionError)):
                await act()
        assert await mount.sh("ls d; cat d/f") == "f\nnot read\ntext"
    await plant(mount, {"d/f": b"newer"}, at=LATER)

    async def back() -> bool:
        try:
            return await read(mount, "d/f") == "newer" and "offline     no" in await mount.status()
        except OSError:  # it is tried again once in a while, not by everybody
            return False

    await mount.until(back)


@pytest.mark.mount("--cache-ttl=0.5", AGAVEFS_DEADLINES=HELD)
async def test_unless_asked_to_nothing_old_is_shown(mount: Mount) -> None:
    await plant(mount, {"f": b"text"})
    await mount.sh("ls; cat f")
    await mount.grows_old(1)
    with mount.tenant.faults.slow("*"):
        with pytest.raises(OSError) as told:
            await trio.to_thread.run_sync(os.listdir, str(mount.home))
        assert told.value.errno in (errno.ETIMEDOUT, errno.EHOSTUNREACH)
        with pytest.raises(OSError):
            await read(mount, "f")


async def test_offline_and_no_life_do_not_go_together(mount: Mount, tmp_path: Path) -> None:
    done = await mount.agavefs("mount", "--offline-ok", "--cache-ttl=0", tmp_path)
    assert done.returncode == 64
    assert (await mount.agavefs("mount", "--cache-ttl=long", tmp_path)).returncode == 64
