"""Looking and reading through the kernel: what it shows, and what it costs."""

from __future__ import annotations

import errno
import mmap
import os
import time
from pathlib import Path
from typing import Any

import pytest
import trio

from agavesh.client import Agave
from agavesh.tenant.files.disk import Disk
from agavesh.tenant.files.listing import Item, Listings
from tests.agavefs.mounting import LONG, Mount


async def plant(mount: Mount, files: dict[str, bytes], *, at: float = 1e9) -> None:
    """Put files below alice's home, behind everybody's back, as if they were changed at that time."""

    def put() -> None:
        for name, content in files.items():
            path = mount.tenant.path("data.demo", f"/alice/{name}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            os.utime(path, (at, at))

    await trio.to_thread.run_sync(put)


async def test_the_tree_is_what_the_account_can_reach(mount: Mount) -> None:
    assert sorted([path.name for path in await mount.path.iterdir()]) == ["apps", "jobs", "systems"]
    assert sorted([path.name for path in await (mount.path / "systems").iterdir()]) == ["data.demo", "run.demo"]
    assert (await (mount.path / "apps/wordcount-1.0/app.json").read_text()).startswith("{")


async def test_home_is_a_relative_link(mount: Mount) -> None:
    home = mount.path / "systems/data.demo/~"
    assert str(await home.readlink()) == "alice"
    assert await (await home.resolve()).is_dir()


async def test_a_file_has_its_bytes_and_its_size(mount: Mount) -> None:
    await plant(mount, {"a.bin": bytes(range(256)) * 5000})
    assert await (mount.home / "a.bin").read_bytes() == bytes(range(256)) * 5000
    assert (await (mount.home / "a.bin").stat()).st_size == 256 * 5000


async def test_any_place_of_a_large_file_reads_right(mount: Mount) -> None:
    whole = b"".join(number.to_bytes(8, "big") for number in range(2**19))  # 4 MiB
    await plant(mount, {"large": whole})
    async with await (mount.home / "large").open("rb") as file:
        for place in (3_000_001, 0, 2**22 - 5, 1_234_567, 2**21):
            await file.seek(place)
            assert await file.read(1000) == whole[place : place + 1000]


async def test_a_walk_costs_a_listing_for_each_folder_and_nothing_for_files(mount: Mount) -> None:
    await plant(mount, {f"walk/{folder}/{file}": b"x" * file for folder in range(6) for file in range(40)})
    before = mount.tenant.faults.requests.copy()
    assert await mount.sh("find walk -type f -size +0 | wc -l") == "234\n"
    assert await mount.sh("ls -lR walk | grep -c ^-") == "240\n"
    await mount.sh("du -s walk")
    spent = mount.tenant.faults.requests - before
    # two folders on the way by name; seven listings of a page, and of a second one that is empty: as long as a tenant
    # has not been seen to fill a page, nobody knows that the first was not cut
    assert spent["files.list"] <= 2 + 7 * 2, spent
    assert set(spent) <= {"files.list", "systems.list"}  # on a slow machine the list of systems comes of age meanwhile


async def test_a_name_that_is_not_there_is_asked_for_once(mount: Mount) -> None:
    await plant(mount, {"here": b""})
    await mount.sh("ls")
    before = mount.tenant.faults.requests.copy()
    await mount.sh("for n in 1 2 3 4 5; do test ! -e nothing; test ! -e nothing$n; done")
    assert not mount.tenant.faults.requests - before


async def test_one_file_of_an_unlisted_folder_does_not_cost_a_listing(mount: Mount) -> None:
    await plant(mount, {f"wide/{number}": b"%d" % number for number in range(300)})
    before = mount.tenant.faults.requests.copy()
    assert await mount.sh("cat wide/7") == "7"
    spent = mount.tenant.faults.requests - before
    # the home, and the file, each by its name; the folder came along with the home
    assert (spent["files.list"], spent["files.download"]) == (2, 1), spent


async def test_who_looks_for_a_folder_has_what_is_in_it(mount: Mount) -> None:
    await plant(mount, {f"wide/{name}/f": name.encode() for name in ("a", "b", "c")})
    await mount.sh("ls")
    before = mount.tenant.faults.requests.copy()
    assert await mount.sh("cat wide/b/f") == "b"
    spent = mount.tenant.faults.requests - before
    assert (spent["files.list"], spent["files.download"]) == (1, 1), spent  # two round trips


async def test_of_a_long_folder_that_was_looked_for_only_what_is_left_is_asked_for(mount: Mount) -> None:
    await plant(mount, {f"t/wide/{number:03}": b"" for number in range(700)})
    await mount.sh("ls")
    before = mount.tenant.faults.requests.copy()
    assert (await mount.sh("stat -c %F t/wide")).strip() == "directory"
    assert (mount.tenant.faults.requests - before)["files.list"] == 1
    assert len((await mount.sh("ls t/wide")).split()) == 700
    spent = (mount.tenant.faults.requests - before)["files.list"]
    assert spent <= 6, spent  # three pages, and guesses past the end


async def test_what_is_made_in_a_folder_while_it_is_looked_for_is_there(mount: Mount) -> None:
    await plant(mount, {f"t/wide/{number:03}": b"" for number in range(300)})
    await mount.sh("ls; stat t/wide > nothing; rm nothing")  # a first page of it is known
    await mount.sh("echo new > t/wide/new; rm t/wide/007")
    names = (await mount.sh("ls t/wide")).split()
    assert (len(names), "new" in names, "007" in names) == (300, True, False)


async def test_a_file_changed_by_others_is_seen_when_it_is_opened_again(mount: Mount, agave: Agave) -> None:
    await agave.files.importData(systemId="data.demo", filePath="/alice", fileName="f", fileToUpload=b"one")
    assert await mount.sh("cat f") == "one"
    # same size, within the same second: nothing but asking again can tell
    await agave.files.importData(systemId="data.demo", filePath="/alice", fileName="f", fileToUpload=b"two")
    assert await mount.sh("cat f") == "two"
    await agave.files.importData(systemId="data.demo", filePath="/alice", fileName="f", fileToUpload=b"longer now")
    assert await mount.sh("cat f") == "longer now"
    await agave.files.importData(systemId="data.demo", filePath="/alice", fileName="f", fileToUpload=b"less")
    assert await mount.sh("cat f; stat -c %s f") == "less4\n"


async def test_an_open_file_that_others_change_is_never_a_mix(mount: Mount, agave: Agave) -> None:
    size = 8 * 2**20
    await plant(mount, {"big": b"a" * size})
    async with await (mount.home / "big").open("rb", buffering=0) as file:
        assert await file.read(10) == b"a" * 10
        await plant(mount, {"big": b"b" * size}, at=1e9 + 1)
        got = b""
        try:
            await file.seek(size - 2**20)
            got = await file.read(2**20)
        except OSError as error:
            assert error.errno == 116  # ESTALE
        assert set(got) in (set(), {ord("a")})
    async with await (mount.home / "big").open("rb") as file:
        assert set(await file.read()) == {ord("b")}


async def test_what_is_read_again_costs_nothing(mount: Mount) -> None:
    await plant(mount, {"f": b"text" * 1000})
    await mount.sh("cat f f")
    before = mount.tenant.faults.requests.copy()
    assert len(await mount.sh("cat f f f")) == 12000
    assert not mount.tenant.faults.requests - before


async def test_inode_numbers_stay_and_differ(mount: Mount) -> None:
    await plant(mount, {f"many/{number}": b"" for number in range(300)})
    first = await mount.sh("find . -printf '%p %i\n' | sort")
    numbers = [line.split()[1] for line in first.splitlines()]
    assert len(set(numbers)) == len(numbers)
    assert (await mount.umount()).returncode == 0
    await mount.start()
    assert await mount.sh("find . -printf '%p %i\n' | sort") == first


async def test_names_are_what_they_are(mount: Mount) -> None:
    names = ["with blank", "#hash", "100%", "%41", "what?", "new\nline", "'quotes\"", "a+b&c=d;e", "~", "*", "ü" * 127,
             "e\u0301", "\u00e9", "n" * 255, " lead", "日本", "-rf", "[x]"]  # fmt: skip
    await plant(mount, {f"odd/{name}": name.encode() for name in names})
    folder = mount.home / "odd"
    assert sorted([path.name for path in await folder.iterdir()]) == sorted(names)
    for name in names:
        assert await (folder / name).read_bytes() == name.encode()


async def test_a_handle_on_a_folder_rewinds(mount: Mount) -> None:
    await plant(mount, {"d/one": b""})

    def look() -> tuple[list[str], list[str]]:
        fd = os.open(str(mount.home / "d"), os.O_RDONLY | os.O_DIRECTORY)
        try:
            first = os.listdir(fd)  # noqa: PTH208  # the same descriptor, twice
            os.close(os.open("two", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
            return first, sorted(os.listdir(fd))  # noqa: PTH208
        finally:
            os.close(fd)

    assert await trio.to_thread.run_sync(look) == (["one"], ["one", "two"])


async def test_statfs_is_sane_and_asks_nobody(mount: Mount) -> None:
    await trio.to_thread.run_sync(os.listdir, str(mount.path / "systems"))  # which a new mount lists unasked
    before = mount.tenant.faults.requests.copy()
    space = await trio.to_thread.run_sync(os.statvfs, str(mount.path))
    assert space.f_bavail * space.f_frsize == 2**40
    assert not mount.tenant.faults.requests - before


async def test_the_first_names_of_a_wide_folder_show_before_the_others_have_come(
    mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    await plant(mount, {f"wide/{number}": b"" for number in range(1300)})
    await mount.sh("ls")
    page, asked, let_go = Listings.page, trio.Event(), trio.Event()

    async def held(self: Listings, disk: Disk, path: str, offset: int, *more: Any, **options: Any) -> list[Item]:
        if offset:
            asked.set()
            await let_go.wait()
        return await page(self, disk, path, offset, *more, **options)

    monkeypatch.setattr(Listings, "page", held)

    def look() -> list[str]:
        with os.scandir(str(mount.home / "wide")) as names:
            found = [next(names).name]
            trio.from_thread.run(asked.wait)  # the next pages are asked for, and do not come
            found += [next(names).name for _ in range(99)]
            trio.from_thread.run_sync(let_go.set)
            return found + [name.name for name in names]

    with trio.fail_after(LONG):
        found = await trio.to_thread.run_sync(look)
    assert sorted(found) == sorted(str(number) for number in range(1300))


async def test_deleting_while_reading_misses_nothing(mount: Mount) -> None:
    await plant(mount, {f"many/{number}": b"" for number in range(900)})

    def delete() -> None:
        with os.scandir(str(mount.home / "many")) as names:
            for name in names:
                Path(name.path).unlink()
        (Path(str(mount.home)) / "many").rmdir()

    await trio.to_thread.run_sync(delete)
    assert not mount.tenant.path("data.demo", "/alice/many").exists()


async def test_a_folder_nobody_reads_to_its_end_is_not_fetched_to_its_end(mount: Mount) -> None:
    await plant(mount, {f"wide/{number}": b"" for number in range(8000)})
    await mount.sh("ls")
    before = mount.tenant.faults.requests.copy()

    def look() -> None:
        with os.scandir(str(mount.home / "wide")) as names:
            next(names)

    await trio.to_thread.run_sync(look)
    await mount.sh("ls")  # answered after the release was
    spent = mount.tenant.faults.requests - before
    assert spent["files.list"] < 2 + 33, spent


async def test_the_first_ls_takes_two_rounds_and_the_first_byte_one(mount: Mount) -> None:
    await plant(mount, {"first/file": b"text"})
    before = mount.tenant.faults.requests.copy()
    assert await mount.sh("ls first") == "file\n"
    spent = mount.tenant.faults.requests - before
    assert spent["files.list"] <= 4, spent
    before = mount.tenant.faults.requests.copy()
    assert await mount.sh("head -c 1 first/file") == "t"
    spent = mount.tenant.faults.requests - before
    assert spent == {"files.download": 1}


# two versions, open at the same time ---------------------------------------------------------------------------------

BIG = 8 * 2**20  # more than the kernel reads ahead


async def changed_by_others(mount: Mount, name: str, content: bytes) -> None:
    await plant(mount, {name: content}, at=1e9 + 1)
    assert (await mount.agavefs("refresh")).returncode == 0


async def rest_of(file: Any, start: int = 0) -> bytes:
    """What a handle still gives from a place on; nothing if it says that it is stale."""
    try:
        await file.seek(start)
        return bytes(await file.read())
    except OSError as error:
        assert error.errno == errno.ESTALE
        return b""


@pytest.mark.parametrize("size", [BIG, BIG + 5000, BIG - 5000])
async def test_who_has_begun_to_read_sees_no_page_of_what_another_opens_later(mount: Mount, size: int) -> None:
    await plant(mount, {"big": b"a" * BIG})
    async with await (mount.home / "big").open("rb", buffering=0) as first:
        assert await first.read(10) == b"a" * 10
        await changed_by_others(mount, "big", b"b" * size)
        async with await (mount.home / "big").open("rb", buffering=0) as second:
            assert await rest_of(second) == b"b" * size
            assert await rest_of(first, BIG - 2**20) in (b"", b"a" * 2**20)
            assert await rest_of(second) == b"b" * size


@pytest.mark.parametrize("size", [BIG, BIG + 5000, BIG - 5000])
async def test_who_opens_later_sees_no_page_of_what_another_goes_on_reading(mount: Mount, size: int) -> None:
    await plant(mount, {"big": b"a" * BIG})
    async with await (mount.home / "big").open("rb", buffering=0) as first:
        assert await rest_of(first) == b"a" * BIG
        with mmap.mmap(first.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            await changed_by_others(mount, "big", b"b" * size)
            assert await mount.sh("stat -c %s big; ls") == f"{size}\nbig\n"
            async with await (mount.home / "big").open("rb", buffering=0) as second:
                assert await rest_of(first) == b"a" * BIG
                assert await trio.to_thread.run_sync(lambda: set(mapped[:])) == {ord("a")}
                assert (await trio.to_thread.run_sync(os.fstat, first.fileno())).st_size == BIG
                assert await rest_of(second) == b"b" * size
    assert await mount.sh("md5sum < big") == await mount.sh("md5sum < $1", mount.tenant.path("data.demo", "/alice/big"))


async def test_nor_if_nothing_but_the_bytes_tells_the_two_apart(mount: Mount) -> None:
    just_now = time.time() + LONG  # and so it stays, however long this takes
    await plant(mount, {"big": b"a" * BIG}, at=just_now)
    async with await (mount.home / "big").open("rb", buffering=0) as first:
        assert await rest_of(first) == b"a" * BIG
        await plant(mount, {"big": b"b" * BIG}, at=just_now)
        async with await (mount.home / "big").open("rb", buffering=0) as second:
            assert await rest_of(first) == b"a" * BIG
            assert await rest_of(second) == b"b" * BIG
            assert await rest_of(first) == b"a" * BIG


async def test_many_who_open_what_has_changed_at_once_all_get_what_is_there_now(mount: Mount) -> None:
    await plant(mount, {"f": b"a" * 1000})
    async with await (mount.home / "f").open("rb", buffering=0) as first:
        assert await first.read(10) == b"a" * 10
        await changed_by_others(mount, "f", b"b" * 1000)
        line = "for n in $(seq 20); do md5sum < f & done; wait"
        assert len(set((await mount.sh(line)).splitlines())) == 1
        assert await rest_of(first) == b"a" * 1000
        await changed_by_others(mount, "f", b"c" * 999)
        await trio.to_thread.run_sync(os.truncate, str(mount.home / "f"), 10)
        assert await rest_of(first) == b"a" * 1000
    assert mount.tenant.bytes("data.demo", "/alice/f") == b"c" * 10
