"""A platform that lies, breaks or means harm: programs are told a true errno, the log a line, and the mount goes on.

What the client does about an answer is in `tests/client/test_hostile.py`; here it is what a program sees, and that
neither memory nor the cache grow beyond what they may.
"""

from __future__ import annotations

import errno
import functools
import gzip
import itertools
import os
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
import trio

from tests.agavefs.impostor import Impostor, deceived, itself, line, wrapped
from tests.agavefs.mounting import LONG, Mount, possible
from tests.agavefs.test_wide import most_memory
from tests.client.wire import Seen, answer, peer

pytestmark = pytest.mark.skipif(not possible, reason="there is no /dev/fuse here")

MIB = 2**20
SHORT = "metadata=5,read=5,progress=5"
GROWTH = 160 * MIB  # of memory, above a mount that has done something: one answer, its pieces, and what it is made into

NO_NAMES = ["a/b", "/", "../../x", "a\0b", "\0", "..", ".", "", "x" * 4096, "x" * 256, "ü" * 128]
ODD_NAMES = ["new\nline", "\x1b[31mred\x7f", "back\\slash", "-rf", "%2e%2e", "x" * 255, "\u202eexe.txt"]
NO_LINES: dict[str, Any] = {
    "a text": "good",
    "nothing": None,
    "a list": [1],
    "no name": {"type": "file"},
    "a number for a name": line(7),
    "no type": line("x", type=None),
    "a number for a type": line("x", type=7),
    "rights that are a list": line("x", permissions=["ALL"]),
    "a size below nothing": line("x", -1),
    "a size far below nothing": line("x", -(2**63)),
    "a size of 2**63": line("x", 2**63),
    "a size of 2**70": line("x", 2**70),
    "half a byte": line("x", 1.5),
    "a text for a size": line("x", "5"),
    "no date": line("x", lastModified="yesterday"),
    "a number for a date": line("x", lastModified=12),
    "a 30th of February": line("x", lastModified="2020-02-30T00:00:00Z"),
}


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[tuple[Impostor, Mount]]:
    async with deceived(tmp_path, AGAVEFS_DEADLINES=SHORT) as (there, mount):
        there.file("good", b"good!")
        yield there, mount


async def names(mount: Mount, folder: str) -> list[str]:
    """What a program lists; it has to be told in time."""
    with trio.fail_after(LONG):
        return sorted(await trio.to_thread.run_sync(os.listdir, str(mount.home / folder)))


async def told(act: Callable[[], object]) -> str:
    """The errno that a program gets, by name; what it has instead, if it gets none."""
    with trio.fail_after(LONG):
        try:
            return repr(await trio.to_thread.run_sync(act))
        except OSError as error:
            return errno.errorcode[error.errno or 0]


def reading(mount: Mount, name: str) -> Callable[[], bytes]:
    return Path(str(mount.home / name)).read_bytes


def start_of(mount: Mount, name: str) -> Callable[[], bytes]:
    def read() -> bytes:
        with Path(str(mount.home / name)).open("rb", buffering=0) as file:
            return file.read(100)

    return read


def listing(mount: Mount, name: str) -> Callable[[], list[str]]:
    return lambda: os.listdir(str(mount.home / name))  # noqa: PTH208  # names alone


async def refreshed(mount: Mount) -> None:
    """Nothing is known any more."""
    assert (await mount.agavefs("refresh", mount.path)).returncode == 0


_numbers = itertools.count()


async def is_well(there: Impostor, mount: Mount) -> None:
    """The mount does for a new folder and a new file what it should."""
    name = f"well{next(_numbers)}"
    there.folder(name, line("f", 4))
    there.files[f"/alice/{name}/f"] = name[:4].encode()
    await refreshed(mount)
    assert await names(mount, name) == ["f"]
    assert await told(reading(mount, f"{name}/f")) == repr(name[:4].encode())
    assert mount.cards


# names ---------------------------------------------------------------------------------------------------------------


async def test_a_name_that_no_file_can_have_is_left_out_and_logged_and_hides_nothing(
    both: tuple[Impostor, Mount],
) -> None:
    there, mount = both
    for number, name in enumerate(NO_NAMES):
        there.folder(f"d{number}", line("first"), line(name), line("last"))
    for number, name in enumerate(NO_NAMES):
        assert await names(mount, f"d{number}") == ["first", "last"], name
        assert mount.log.count(f"/alice/d{number}: 1 lines that make no sense are left out") == 1, name
    await is_well(there, mount)


async def test_a_name_that_is_odd_is_shown_as_it_is(both: tuple[Impostor, Mount]) -> None:
    there, mount = both
    there.folder("odd", *map(line, ODD_NAMES))
    assert await names(mount, "odd") == sorted(ODD_NAMES)


async def test_a_name_with_a_line_end_makes_no_line_of_the_log(both: tuple[Impostor, Mount]) -> None:
    there, mount = both
    there.folder("d", line("a\n2020-01-01 00:00:00,000 INFO agavefs.mount: all is well"), line("b/\nforged"))
    for name in await names(mount, "d"):
        assert await told(reading(mount, f"d/{name}")) == "ENOENT"
    assert not [line for line in mount.log.splitlines() if line.startswith(("2020", "forged"))]


async def test_a_name_that_is_told_twice_is_there_once(both: tuple[Impostor, Mount]) -> None:
    there, mount = both
    there.folder("d", line("a", 1), line("b"), line("a", 2))
    assert await names(mount, "d") == ["a", "b"]


async def test_names_of_systems_and_apps_are_looked_at_too(both: tuple[Impostor, Mount]) -> None:
    there, mount = both
    ids = ["fine", "../../up", "", "a\0b", ".."]
    there.says[" /systems/v2/"] = lambda seen: wrapped([{"id": id, "type": "STORAGE"} for id in ids])
    there.says[" /apps/v2/"] = lambda seen: wrapped([{"id": id} for id in ids])
    await refreshed(mount)
    for folder in ("systems", "apps"):
        assert await told(functools.partial(os.listdir, str(mount.path / folder))) == "['fine']"


async def test_a_home_that_leads_out_of_the_mount_does_not(both: tuple[Impostor, Mount]) -> None:
    there, mount = both
    record = {"id": "data.demo", "type": "STORAGE", "public": False, "storage": {"homeDir": "/../../../../etc"}}
    there.says[" /systems/v2/data.demo"] = lambda seen: wrapped(record)
    link = mount.path / "systems/data.demo/~"
    with trio.fail_after(LONG):
        assert str(await link.readlink()) == "etc"


# lines ---------------------------------------------------------------------------------------------------------------


async def test_a_line_that_makes_no_sense_is_left_out_and_logged_and_hides_nothing(
    both: tuple[Impostor, Mount],
) -> None:
    there, mount = both
    for number, odd in enumerate(NO_LINES.values()):
        there.folder(f"d{number}", line("first"), odd, line("last"))
    for number, what in enumerate(NO_LINES):
        assert await names(mount, f"d{number}") == ["first", "last"], what
        assert mount.log.count(f"/alice/d{number}: 1 lines that make no sense are left out") == 1, what
    await is_well(there, mount)


async def test_a_folder_that_holds_what_makes_no_sense_is_not_empty(both: tuple[Impostor, Mount]) -> None:
    there, mount = both
    there.folder("name", line("a/b"))
    there.folder("line", line("x", -1))
    for folder in ("name", "line"):
        assert await names(mount, folder) == []
        assert await told(Path(str(mount.home / folder)).rmdir) == "ENOTEMPTY"
    assert not [seen for seen in there.seen if seen.method == "DELETE"]


async def test_one_name_alone_that_makes_no_sense_is_an_error(tmp_path: Path) -> None:
    async with deceived(tmp_path, "--cache-ttl", "0", AGAVEFS_DEADLINES=SHORT) as (there, mount):
        for number, odd in enumerate(NO_LINES.values()):
            there.says_of("listings", f"f{number}", lambda seen, odd=odd: wrapped([odd]))  # type: ignore[misc]
        for number, what in enumerate(NO_LINES):
            assert await told(Path(str(mount.home / f"f{number}")).stat) == "EIO", what
        await is_well(there, mount)


async def test_dates_at_the_ends_of_time_are_shown_or_not_known(both: tuple[Impostor, Mount]) -> None:
    there, mount = both
    dates = ["0001-01-01T00:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1901-01-01T00:00:00Z"]
    there.folder("d", *(line(f"f{number}", lastModified=date) for number, date in enumerate(dates)))
    assert len(await names(mount, "d")) == len(dates)
    for name in await names(mount, "d"):
        assert "st_size=5" in await told(functools.partial(os.stat, str(mount.home / "d" / name))), name


async def test_an_answer_of_another_kind_is_an_error(both: tuple[Impostor, Mount]) -> None:
    there, mount = both
    kinds = {
        "a list": answer(body=b"[1, 2]"),
        "a number": answer(body=b"7"),
        "no result": answer(body=b'{"status":"success"}'),
        "a result that is a text": wrapped("listing"),
        "a result that is a number": wrapped(3),
        "no json": answer(body=b"{"),
        "no text": answer(body=b'{"status":"success","result":[{"name":"\xff\xfe","type":"file"}]}'),
        "half a character": answer(body=b'{"status":"success","result":[{"name":"\\ud800","type":"file"}]}'),
        "nested": answer(body=b'{"status":"success","result":' + b"[" * 500_000 + b"]" * 500_000 + b"}"),
        "nested beside": answer(body=b'{"x":' + b'{"x":' * 500_000 + b"1" + b"}" * 500_001),
        "silence": answer(body=b""),
        "nothing": answer(204, b""),
        "a page": answer(body=b"<html><title>Log in</title></html>", content_type="text/html"),
    }
    for what, said in kinds.items():
        there.folder(what)
        there.says_of("listings", what, lambda seen, said=said: said)  # type: ignore[misc]
    for what in kinds:
        before = len(mount.log)
        assert await told(listing(mount, what)) == "EIO", what
        assert f"/alice/{what}" in mount.log[before:], what
    assert "Traceback" not in mount.log
    await is_well(there, mount)


# sizes and bytes -----------------------------------------------------------------------------------------------------


async def test_a_size_that_lies_is_never_half_a_file_for_a_whole(both: tuple[Impostor, Mount]) -> None:
    there, mount = both
    sizes = (0, 4, 6, 2**20, 2**33, 2**62, 2**63 - 1)
    for number, size in enumerate(sizes):
        there.folder(f"d{number}", line("f", size))
        there.files[f"/alice/d{number}/f"] = b"hello"
    for number, size in enumerate(sizes):
        said = await told(start_of(mount, f"d{number}/f"))
        assert said in (("b''",) if not size else ("ESTALE", "EIO", "EFBIG")), (size, said)
    assert "Traceback" not in mount.log
    await is_well(there, mount)
    assert cached(mount) < MIB


async def test_a_body_that_is_not_the_one_that_was_asked_for_is_an_error(both: tuple[Impostor, Mount]) -> None:
    there, mount = both

    def endless(seen: Seen) -> AsyncIterator[bytes]:
        return forever(b"HTTP/1.1 200 Said\r\nTransfer-Encoding: chunked\r\n\r\n", chunk(b"x" * 65536))

    def open_ended(seen: Seen) -> AsyncIterator[bytes]:
        return forever(b"HTTP/1.1 200 Said\r\n\r\n", b"x" * 65536)

    odd: dict[str, Callable[[Seen], Any]] = {
        "shorter": lambda seen: answer(200, b"hell"),
        "longer": lambda seen: answer(200, b"hello!"),
        "shorter than it says": lambda seen: b"HTTP/1.1 200 Said\r\nContent-Length: 5\r\n\r\nhell",
        "shorter, of no length": lambda seen: b"HTTP/1.1 200 Said\r\n\r\nhell",
        "longer, of no length": lambda seen: b"HTTP/1.1 200 Said\r\n\r\nhello!",
        "empty": lambda seen: answer(200, b""),
        "no content": lambda seen: answer(204, b""),
        "compressed": lambda seen: answer(200, gzip.compress(b"hello"), content_encoding="gzip"),
        "of another place": lambda seen: answer(206, b"hello", content_range="bytes 100-104/105"),
        "without end": endless,
        "without end or length": open_ended,
        "a page": lambda seen: answer(200, b"<html>", content_type="text/html"),
        "a head without end": lambda seen: forever(b"HTTP/1.1 200 Said\r\n", b"X-More: " + b"x" * 4000 + b"\r\n"),
        "a head of one line": lambda seen: forever(b"HTTP/1.1 200 Said\r\nX-Long: ", b"x" * 65536),
        "heads before the head": lambda seen: forever(b"", b"HTTP/1.1 103 Soon\r\n\r\n" * 100),
    }
    there.folder("d", *(line(name) for name in odd))
    for name, said in odd.items():
        there.says_of("media", f"d/{name}", said)
    await names(mount, "d")
    for name in odd:
        before = len(mount.log)
        said_ = await told(reading(mount, f"d/{name}"))
        assert said_ in ("EIO", "ESTALE"), (name, said_)
        assert f"/alice/d/{quote(name)}" in mount.log[before:] or f"/alice/d/{name}" in mount.log[before:], name
    assert "Traceback" not in mount.log
    await is_well(there, mount)
    assert cached(mount) < MIB


async def test_a_range_is_what_was_asked_for_or_an_error(both: tuple[Impostor, Mount]) -> None:
    there, mount = both
    size, content = 2 * MIB, bytes(range(256)) * (2 * MIB // 256)
    odd: dict[str, Callable[[Seen], bytes]] = {
        "the whole": lambda seen: answer(200, content),
        "from the start": lambda seen: answer(206, content, content_range=f"bytes 0-{size - 1}/{size}"),
        "too far on": lambda seen: answer(206, content[MIB + 1 :], content_range=f"bytes {size - 9}-{size - 1}/{size}"),
        "of another file": lambda seen: answer(206, b"x" * 100, content_range="bytes 1048576-1048675/1048676"),
        "less": lambda seen: _range(seen, content, 100),
    }
    there.folder("d", *(line(name, size) for name in odd))
    for name, said in odd.items():
        there.says_of("media", f"d/{name}", said)
    right = repr(content[MIB + 5 : MIB + 25])

    def middle(name: str) -> Callable[[], bytes]:
        def read() -> bytes:
            with Path(str(mount.home / "d" / name)).open("rb", buffering=0) as file:
                return os.pread(file.fileno(), 20, MIB + 5)

        return read

    said_ = {name: await told(middle(name)) for name in odd}
    assert said_ == {
        "the whole": right,
        "from the start": right,
        "too far on": "EIO",
        "of another file": "ESTALE",
        "less": right,
    }
    await is_well(there, mount)


def _range(seen: Seen, content: bytes, most: int) -> bytes:
    start = int(seen.headers["range"].removeprefix("bytes=").partition("-")[0])
    piece = content[start : start + most]
    return answer(206, piece, content_range=f"bytes {start}-{start + len(piece) - 1}/{len(content)}")


# without end ---------------------------------------------------------------------------------------------------------


async def forever(first: bytes, again: bytes) -> AsyncIterator[bytes]:
    """Bytes for as long as somebody takes them."""
    if first:
        yield first
    while True:
        yield again


def chunk(piece: bytes) -> bytes:
    return f"{len(piece):x}\r\n".encode() + piece + b"\r\n"


def cached(mount: Mount) -> int:
    """Bytes that the cache takes on the disk, and all else that the mount keeps there."""
    return sum(path.lstat().st_blocks * 512 for path in (mount.folder / "state").rglob("*") if path.is_file())


JSON_HEAD = b"HTTP/1.1 200 Said\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"


@functools.cache
def bomb() -> bytes:
    """Half a MiB that becomes half a GiB."""
    packer = zlib.compressobj(wbits=31)
    return b"".join(packer.compress(b" " * MIB) for _ in range(512)) + packer.flush()


async def test_an_answer_that_is_more_than_any_takes_no_more_memory_than_any(both: tuple[Impostor, Mount]) -> None:
    there, mount = both
    start = b'{"status":"success","result":[' + b" " * 65536
    odd: dict[str, Callable[[Seen], Any]] = {
        "endless": lambda seen: forever(JSON_HEAD + b"\r\n" + chunk(start), chunk(b" " * 65536)),
        "bomb": lambda seen: answer(200, bomb(), content_encoding="gzip"),
        "bomb of an error": lambda seen: answer(400, bomb(), content_encoding="gzip"),
        "unknown": lambda seen: answer(200, b"x" * 100, content_encoding="br"),
        "no gzip": lambda seen: answer(200, b"x" * 100, content_encoding="gzip"),
        "endless error": lambda seen: forever(b"HTTP/1.1 400 Said\r\n\r\n", b"x" * 65536),
        "endless not found": lambda seen: forever(b"HTTP/1.1 404 Said\r\n\r\n", b"x" * 65536),
    }
    for name, said in odd.items():
        there.folder(name)
        there.says_of("listings", name, said)
    await is_well(there, mount)
    before = most_memory(mount.pid)
    for name in odd:
        logged = len(mount.log)
        said_ = await told(listing(mount, name))
        # glibc takes ENOENT in the middle for the end: the folder is no more
        assert said_ == {"endless not found": "[]", "bomb of an error": "EINVAL", "endless error": "EINVAL"}.get(
            name, "EIO"
        )
        assert said_ == "[]" or f"/alice/{name}" in mount.log[logged:], name
    assert most_memory(mount.pid) - before < GROWTH
    assert "Traceback" not in mount.log
    await is_well(there, mount)


@pytest.mark.parametrize("period", [1, 2, 3, 40])
async def test_pages_that_come_again_and_again_end(both: tuple[Impostor, Mount], period: int) -> None:
    there, mount = both
    turns = itertools.count()

    def page(seen: Seen) -> bytes:
        turn = next(turns) % period
        return wrapped([*([] if "offset" in seen.target else [itself()]), *(line(f"{turn}-{at}") for at in range(250))])

    there.folder("d")
    there.says_of("listings", "d", page)
    before = most_memory(mount.pid)
    with trio.fail_after(LONG):
        said = await told(listing(mount, "d"))
    assert said in ("EIO", "ENOTDIR") or said.startswith("["), said
    asked = next(turns)
    await is_well(there, mount)
    assert next(turns) <= asked + 2  # nobody goes on asking
    assert most_memory(mount.pid) - before < GROWTH


@pytest.mark.soak
async def test_a_folder_without_end_ends_in_an_error_and_in_the_memory_there_is(both: tuple[Impostor, Mount]) -> None:
    there, mount = both

    def page(seen: Seen) -> bytes:
        first = int(parse_qs(urlsplit(seen.target).query).get("offset", ["0"])[0])
        return wrapped(
            [*([] if first else [itself()]), *(line(f"{first + at:012}") for at in range(not first, 10_000))]
        )

    there.folder("d")
    there.folder("other", line("f"))
    there.says_of("listings", "d", page)
    with trio.fail_after(900):
        done = await trio.run_process(["ls", "-f", str(mount.home / "d")], check=False, capture_stdout=True)
    assert done.returncode == 2
    assert "a list of files does not end" in mount.log
    assert most_memory(mount.pid) < 1200 * MIB
    assert await names(mount, "other") == ["f"]


# elsewhere -----------------------------------------------------------------------------------------------------------


async def test_who_sends_us_elsewhere_or_in_circles_gets_nothing_there(both: tuple[Impostor, Mount]) -> None:
    there, mount = both
    async with peer(lambda seen: wrapped([itself()])) as other:
        port = there.url.rpartition(":")[2]
        itself_ = "/files/v2/listings/system/data.demo//alice/away4"
        targets = [
            f"{other.url}/x",
            f"//localhost:{port}/x",
            f"https://127.0.0.1:{port}/x",
            "file:///etc/passwd",
            itself_,
        ]
        for number, target in enumerate(targets):
            there.folder(f"away{number}")
            there.file(f"file{number}", b"x")
            for what, name in (("listings", f"away{number}"), ("media", f"file{number}")):
                there.says_of(what, name, lambda seen, target=target: answer(302, b"", location=target))  # type: ignore[misc]
        for number, target in enumerate(targets):
            assert await told(listing(mount, f"away{number}")) in ("EIO", "ENOENT"), target
            assert await told(reading(mount, f"file{number}")) in ("EIO", "ENOENT"), target
        assert other.seen == []
    await is_well(there, mount)


async def test_no_cookie_is_kept(both: tuple[Impostor, Mount]) -> None:
    there, mount = both
    there.folder("d")
    there.says_of("listings", "d", lambda seen: answer(200, b'{"result":[]}', set_cookie="id=1; Path=/"))
    await told(listing(mount, "d"))
    await is_well(there, mount)
    assert there.seen
    assert not [seen for seen in there.seen if "cookie" in seen.headers]


async def test_a_page_in_place_of_everything_is_an_error_until_it_is_over(both: tuple[Impostor, Mount]) -> None:
    there, mount = both
    await names(mount, "")
    there.says["*"] = lambda seen: answer(200, b"<html><title>Log in</title></html>", content_type="text/html")
    await refreshed(mount)
    home = Path(str(mount.home))
    acts: dict[str, Callable[[], object]] = {
        "readdir": lambda: os.listdir(home),  # noqa: PTH208  # names alone
        "stat": lambda: (home / "nothing").stat(),
        "read": lambda: (home / "good").read_bytes(),
        "write": lambda: (home / "new").write_bytes(b"x"),
        "mkdir": lambda: (home / "made").mkdir(),
        "unlink": lambda: (home / "good").unlink(),
        "rename": lambda: (home / "good").rename(home / "better"),
    }
    for name, act in acts.items():
        assert await told(act) == "EIO", name
    del there.says["*"]
    await is_well(there, mount)
