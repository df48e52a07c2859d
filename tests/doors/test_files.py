"""What files do, whichever door they are reached by."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.doors.conftest import Door


async def test_a_written_file_has_its_bytes_here_and_there(door: Door) -> None:
    await door.do(lambda work: (work / "a").write_bytes(b"results"))
    assert door.bytes("a") == b"results"
    assert await door.do(lambda work: (work / "a").read_bytes()) == b"results"
    assert await door.do(lambda work: (work / "a").stat().st_size) == 7


async def test_a_file_is_overwritten_whole(door: Door) -> None:
    await door.do(lambda work: (work / "a").write_bytes(b"long long ago"))
    await door.do(lambda work: (work / "a").write_bytes(b"now"))
    assert door.bytes("a") == b"now"
    assert await door.do(lambda work: (work / "a").read_bytes()) == b"now"


async def test_what_is_appended_comes_last(door: Door) -> None:
    def act(work: Path) -> None:
        (work / "log").write_bytes(b"one\n")
        with (work / "log").open("ab") as file:
            file.write(b"two\n")
        with (work / "log").open("ab", buffering=0) as first, (work / "log").open("ab", buffering=0) as second:
            first.write(b"three\n")
            second.write(b"four\n")
            first.write(b"five\n")

    await door.do(act)
    assert door.bytes("log") == b"one\ntwo\nthree\nfour\nfive\n"


async def test_bytes_are_written_at_any_place(door: Door) -> None:
    def act(work: Path) -> None:
        (work / "a").write_bytes(b"0123456789")
        with (work / "a").open("r+b", buffering=0) as file:
            os.pwrite(file.fileno(), b"xy", 3)
            os.pwrite(file.fileno(), b"end", 15)
            assert os.pread(file.fileno(), 100, 0) == b"012xy56789\0\0\0\0\0end"

    await door.do(act)
    assert door.bytes("a") == b"012xy56789\0\0\0\0\0end"


@pytest.mark.parametrize("size", [0, 4, 10, 9000])
async def test_a_file_is_cut_and_lengthened(door: Door, size: int) -> None:
    def act(work: Path) -> bytes:
        (work / "a").write_bytes(b"0123456789")
        os.truncate(work / "a", size)
        assert (work / "a").stat().st_size == size
        return (work / "a").read_bytes()

    assert await door.do(act) == door.bytes("a") == b"0123456789"[:size].ljust(size, b"\0")


async def test_a_file_is_cut_while_it_is_open(door: Door) -> None:
    def act(work: Path) -> None:
        with (work / "a").open("w+b", buffering=0) as file:
            file.write(b"0123456789")
            os.ftruncate(file.fileno(), 3)
            assert os.fstat(file.fileno()).st_size == 3
            file.write(b"!")
            os.ftruncate(file.fileno(), 12)

    await door.do(act)
    assert door.bytes("a") == b"012\0\0\0\0\0\0\0!\0"


async def test_a_new_file_is_made_once(door: Door) -> None:
    def act(work: Path) -> None:
        os.close(os.open(work / "lock", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        with pytest.raises(FileExistsError):
            os.open(work / "lock", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        (work / "lock").unlink()
        os.close(os.open(work / "lock", os.O_CREAT | os.O_EXCL | os.O_WRONLY))

    await door.do(act)


async def test_an_empty_file_is_there(door: Door) -> None:
    await door.do(lambda work: (work / "empty").touch())
    assert await door.do(lambda work: [path.name for path in work.iterdir()]) == ["empty"]
    assert await door.do(lambda work: (work / "empty").read_bytes()) == b""


async def test_a_reader_sees_what_a_writer_has_written_but_not_closed(door: Door) -> None:
    def act(work: Path) -> None:
        with (work / "a").open("wb", buffering=0) as writer:
            writer.write(b"one")
            with (work / "a").open("rb") as reader:
                assert reader.read() == b"one"
                writer.write(b"two")
                assert reader.read() == b"two"

    await door.do(act)
    assert door.bytes("a") == b"onetwo"


async def test_folders_are_made_listed_and_removed(door: Door) -> None:
    def act(work: Path) -> None:
        (work / "d/e/f").mkdir(parents=True)
        (work / "d/file").write_bytes(b"x")
        assert sorted(path.name for path in (work / "d").iterdir()) == ["e", "file"]
        with pytest.raises(FileExistsError):
            (work / "d").mkdir()
        with pytest.raises(FileExistsError):
            (work / "d/file").mkdir()
        with pytest.raises(OSError, match="not empty"):
            (work / "d").rmdir()
        (work / "d/file").unlink()
        (work / "d/e/f").rmdir()
        (work / "d/e").rmdir()
        (work / "d").rmdir()
        assert not (work / "d").exists()
        with pytest.raises(FileNotFoundError):
            (work / "d").rmdir()

    await door.do(act)


async def test_a_tree_is_removed(door: Door) -> None:
    def act(work: Path) -> None:
        for number in range(5):
            (work / f"t/{number}/x").mkdir(parents=True)
            (work / f"t/{number}/file").write_bytes(b"x")
        shutil.rmtree(work / "t")
        assert list(work.iterdir()) == []

    await door.do(act)


async def test_wrong_kinds_are_told(door: Door) -> None:
    def act(work: Path) -> None:
        (work / "d").mkdir()
        (work / "f").touch()
        for wrong, number in (
            (lambda: (work / "d").open("wb"), errno.EISDIR),
            (lambda: (work / "f/x").open("rb"), errno.ENOTDIR),
            (lambda: (work / "d").unlink(), errno.EISDIR),
            (lambda: (work / "f").rmdir(), errno.ENOTDIR),
            (lambda: (work / "nothing").open("rb"), errno.ENOENT),
            (lambda: (work / "nothing/f").open("wb"), errno.ENOENT),
            (lambda: (work / "nothing").unlink(), errno.ENOENT),
            (lambda: (work / ("n" * 256)).touch(), errno.ENAMETOOLONG),
            (lambda: (work / ("ü" * 128)).touch(), errno.ENAMETOOLONG),
        ):
            with pytest.raises(OSError) as told:
                wrong()
            assert told.value.errno == number, number

    await door.do(act)


async def test_a_file_is_renamed(door: Door) -> None:
    def act(work: Path) -> None:
        (work / "draft").write_bytes(b"text")
        (work / "draft").rename(work / "final")
        assert [path.name for path in work.iterdir()] == ["final"]
        (work / "d").mkdir()
        (work / "final").rename(work / "d/moved")
        assert (work / "d/moved").read_bytes() == b"text"
        assert not (work / "final").exists()

    await door.do(act)
    assert door.bytes("d/moved") == b"text"


async def test_a_file_is_renamed_over_another(door: Door) -> None:
    def act(work: Path) -> None:
        (work / "old").write_bytes(b"old")
        (work / "new").write_bytes(b"new bytes")
        (work / "new").rename(work / "old")
        assert [path.name for path in work.iterdir()] == ["old"]
        assert (work / "old").read_bytes() == b"new bytes"
        assert (work / "old").stat().st_size == 9

    await door.do(act)
    assert door.bytes("old") == b"new bytes"


async def test_a_folder_is_renamed_with_all_that_is_in_it(door: Door) -> None:
    def act(work: Path) -> None:
        (work / "a/b").mkdir(parents=True)
        (work / "a/b/file").write_bytes(b"x")
        (work / "empty").mkdir()
        (work / "full/x").mkdir(parents=True)
        with pytest.raises(OSError, match="not empty"):
            (work / "a").rename(work / "full")
        (work / "a").rename(work / "empty")
        assert (work / "empty/b/file").read_bytes() == b"x"
        assert sorted(path.name for path in work.iterdir()) == ["empty", "full"]
        (work / "empty").rename(work / "full/x/inside")
        assert (work / "full/x/inside/b/file").read_bytes() == b"x"

    await door.do(act)
    assert door.bytes("full/x/inside/b/file") == b"x"


async def test_kinds_are_not_renamed_over_each_other(door: Door) -> None:
    def act(work: Path) -> None:
        (work / "d").mkdir()
        (work / "f").touch()
        with pytest.raises(IsADirectoryError):
            (work / "f").rename(work / "d")
        with pytest.raises(NotADirectoryError):
            (work / "d").rename(work / "f")

    await door.do(act)


async def test_an_open_file_that_is_unlinked_goes_on(door: Door) -> None:
    def act(work: Path) -> None:
        (work / "a").write_bytes(b"old" * 1000)
        with (work / "a").open("r+b", buffering=0) as file:
            (work / "a").unlink()
            assert not (work / "a").exists()
            assert list(work.iterdir()) == []
            assert file.read(3) == b"old"
            file.write(b"new")
            assert os.pread(file.fileno(), 6, 0) == b"oldnew"
            assert os.fstat(file.fileno()).st_size == 3000
            (work / "a").write_bytes(b"another")
            assert os.pread(file.fileno(), 6, 0) == b"oldnew"
        assert (work / "a").read_bytes() == b"another"

    await door.do(act)
    assert door.bytes("a") == b"another"


async def test_a_new_file_that_is_unlinked_before_it_is_closed_never_was(door: Door) -> None:
    def act(work: Path) -> None:
        with (work / "tmp").open("w+b", buffering=0) as file:
            file.write(b"scratch")
            (work / "tmp").unlink()
            assert os.pread(file.fileno(), 7, 0) == b"scratch"
        assert list(work.iterdir()) == []

    await door.do(act)


async def test_an_open_file_that_is_renamed_goes_on_under_its_new_name(door: Door) -> None:
    def act(work: Path) -> None:
        with (work / "part").open("wb", buffering=0) as file:
            file.write(b"first ")
            (work / "part").rename(work / "done")
            file.write(b"second")
        assert [path.name for path in work.iterdir()] == ["done"]

    await door.do(act)
    assert door.bytes("done") == b"first second"


async def test_an_open_file_takes_the_place_of_another(door: Door) -> None:
    def act(work: Path) -> None:
        (work / "done").write_bytes(b"old and longer")
        with (work / "part").open("wb", buffering=0) as file:
            file.write(b"first ")
            (work / "part").rename(work / "done")
            file.write(b"second")
        assert (work / "done").read_bytes() == b"first second"

    await door.do(act)
    assert door.bytes("done") == b"first second"


async def test_a_file_in_a_renamed_folder_is_written_where_it_is_now(door: Door) -> None:
    def act(work: Path) -> None:
        (work / "a").mkdir()
        with (work / "a/file").open("wb", buffering=0) as file:
            file.write(b"first ")
            (work / "a").rename(work / "b")
            file.write(b"second")
        assert (work / "b/file").read_bytes() == b"first second"

    await door.do(act)
    assert door.bytes("b/file") == b"first second"


async def test_modes_and_times_stay_as_they_were_set(door: Door) -> None:
    def act(work: Path) -> None:
        (work / "a").write_bytes(b"x")
        (work / "a").chmod(0o750)
        os.utime(work / "a", ns=(10**18, 10**18 + 123_456_789))
        state = (work / "a").stat()
        assert (stat.S_IMODE(state.st_mode), state.st_mtime_ns) == (0o750, 10**18 + 123_456_789)
        shutil.copy2(work / "a", work / "copy")
        copy = (work / "copy").stat()
        assert (stat.S_IMODE(copy.st_mode), copy.st_mtime_ns) == (0o750, 10**18 + 123_456_789)
        (work / "copy").rename(work / "moved")
        assert (work / "moved").stat().st_mtime_ns == 10**18 + 123_456_789
        (work / "moved").write_bytes(b"changed")
        assert (work / "moved").stat().st_mtime_ns > 10**18 * 1.1
        assert stat.S_IMODE((work / "moved").stat().st_mode) == 0o750

    await door.do(act)


async def test_names_of_any_bytes_the_platform_can_say(door: Door) -> None:
    names = ["with blank", "#hash", "100%", "%41", "what?", "new\nline", "'q\"", "a+b&c;d", "~", "*", "ü" * 127,
             "e\u0301", "\u00e9", "n" * 255, " lead", "日本", "-rf"]  # fmt: skip

    def act(work: Path) -> None:
        for name in names:
            (work / name).write_bytes(name.encode())
        assert sorted(path.name for path in work.iterdir()) == sorted(names)
        for name in names:
            (work / name).rename(work / "x")
            (work / "x").rename(work / name)
            assert (work / name).read_bytes() == name.encode()
            (work / name).unlink()
        assert list(work.iterdir()) == []

    await door.do(act)


_MAP = """
import mmap, sys
with open(sys.argv[1], "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
    mapped[5000:5003] = b"XYZ"
    mapped.flush()
"""


async def test_a_mapped_file_is_read_and_written(door: Door) -> None:
    def act(work: Path) -> None:
        (work / "m").write_bytes(b"a" * 10000)
        # a program of its own: a page that is waited for here would hold up the other side too, and so would a folder
        # that is gone to between fork and exec
        subprocess.run([sys.executable, "-c", _MAP, work / "m"], check=True)
        assert (work / "m").read_bytes() == b"a" * 5000 + b"XYZ" + b"a" * 4997

    await door.do(act)
    assert door.bytes("m") == b"a" * 5000 + b"XYZ" + b"a" * 4997
