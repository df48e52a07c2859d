"""The bytes of files: read, written, cut, mapped, copied."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import resource
import select
import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from tests.agavefs.calls.steps import (
    COLLAPSE,
    KEEP_SIZE,
    LARGE,
    OLD,
    PUNCH_HOLE,
    TEN,
    ZERO,
    Steps,
    case,
    fallocate,
    folder,
    in_a_child,
    made,
    short,
    system,
    with_fd,
)


@case
def reading_and_writing_at_places(steps: Steps, at: Path) -> None:
    with steps.opened("open", at / "f", os.O_CREAT | os.O_RDWR) as fd:
        steps("read of nothing", os.pread, fd, 10, 0)
        steps("read beyond the end", os.pread, fd, 10, 100)
        steps("write beyond the end", os.pwrite, fd, b"ab", 100)
        steps("read over the gap", os.pread, fd, 200, 90)
        steps("size", lambda: os.fstat(fd).st_size)
        steps("place", os.lseek, fd, 0, os.SEEK_CUR)
        steps("write of nothing", os.pwrite, fd, b"", 1000)
        steps("size then", lambda: os.fstat(fd).st_size)
        steps("read before the start", os.pread, fd, 10, -1)
        steps("write before the start", os.pwrite, fd, b"x", -1)
        steps("seek to the end", os.lseek, fd, 0, os.SEEK_END)
        steps("seek before the start", os.lseek, fd, -200, os.SEEK_END)
        steps("seek beyond the end", os.lseek, fd, 1000, os.SEEK_SET)
        steps("seek oddly", os.lseek, fd, 0, 99)
        steps("read there", os.read, fd, 10)
        steps("write there", os.write, fd, b"cd")
        steps("many", os.writev, fd, [b"one", b"", b"two"])
        steps("many at a place", os.pwritev, fd, [b"1", b"2"], 3)
        parts = [bytearray(2), bytearray(3)]
        steps("many read", os.preadv, fd, parts, 2)
        steps("what", lambda: parts)
    steps("after", lambda: short((at / "f").read_bytes()))
    with steps.opened("for reading", at / "f", os.O_RDONLY) as fd:
        steps("write to that", os.write, fd, b"x")
        steps("cut that", os.ftruncate, fd, 1)
    with steps.opened("for writing", at / "f", os.O_WRONLY) as fd:
        steps("read of that", os.read, fd, 1)
    with steps.opened("for appending", at / "f", os.O_RDWR | os.O_APPEND) as fd:
        steps("write at a place", os.pwrite, fd, b"end", 0)
        steps("where it is", lambda: os.pread(fd, 3, os.fstat(fd).st_size - 3))
    steps("then", lambda: short((at / "f").read_bytes()))


@case
def large_reads_and_writes(steps: Steps, at: Path) -> None:
    with steps.opened("open", at / "f", os.O_CREAT | os.O_RDWR) as fd:
        steps("write", os.write, fd, LARGE)
        steps("read", lambda: os.pread(fd, 10**6, 0) == LARGE)
        for place in (1, 4095, 4096, 131071, 131072, 299_990):
            steps(f"read at {place}", lambda p=place: os.pread(fd, 70_000, p) == LARGE[p : p + 70_000])
            steps(f"write at {place}", os.pwrite, fd, b"#" * 20, place)
        steps("size", lambda: os.fstat(fd).st_size)
        steps("sync", os.fsync, fd)
        steps("read then", lambda: short(os.pread(fd, 10**6, 0)))
    steps("after", lambda: short((at / "f").read_bytes()))


@case
def several_descriptors_of_one_file(steps: Steps, at: Path) -> None:
    made(at / "f")
    with (
        steps.opened("one", at / "f", os.O_RDWR) as one,
        steps.opened("two", at / "f", os.O_WRONLY | os.O_APPEND) as two,
        steps.opened("three", at / "f", os.O_RDONLY) as three,
    ):
        steps("one writes", os.write, one, b"ab")
        steps("two appends", os.write, two, b"cd")
        steps("three reads", os.read, three, 100)
        steps("one cuts", os.ftruncate, one, 5)
        steps("three sees", os.pread, three, 100, 0)
        steps("two appends then", os.write, two, b"ef")
        steps("three's size", lambda: os.fstat(three).st_size)
        copy = os.dup(one)
        steps("a copy shares its place", os.lseek, copy, 0, os.SEEK_CUR)
        steps("close of the copy", os.close, copy)
        steps("one goes on", os.write, one, b"gh")
        with steps.opened("emptied by a fourth", at / "f", os.O_WRONLY | os.O_TRUNC) as four:
            steps("three sees nothing", os.pread, three, 100, 0)
            steps("four writes", os.write, four, b"new")
        steps("three sees that", os.pread, three, 100, 0)
        steps("one writes where it was", os.write, one, b"ij")
    steps("after", (at / "f").read_bytes)


@case
def cutting_and_lengthening(steps: Steps, at: Path) -> None:
    for start in (0, 10, 4096, 300_001):
        for size in (0, 5, 4095, 4096, 4097, 150_000, 400_000):
            path = made(at / f"{start}-{size}", LARGE[:start])
            steps(f"{start} to {size}", os.truncate, path, size)
            steps(f"{start} to {size}: bytes", lambda path=path: short(path.read_bytes()))
    with steps.opened("open", at / "f", os.O_CREAT | os.O_RDWR) as fd:
        os.write(fd, b"x" * 5000)
        for size in (10, 4100, 3, 3, 8192, 0, 1):
            steps(f"ftruncate after {len(steps.told)} to {size}", os.ftruncate, fd, size)
            step = f"after {len(steps.told)} bytes"
            steps(step, lambda: short(os.pread(fd, 10_000, 0)))
        steps("place", os.lseek, fd, 0, os.SEEK_CUR)
        steps("below nothing", os.ftruncate, fd, -1)
    steps("a folder", os.truncate, folder(at / "d"), 0)
    steps("a missing name", os.truncate, at / "no", 0)
    steps("below a file", os.truncate, at / "f/x", 0)
    steps("with a slash", os.truncate, f"{at}/f/", 0)
    steps("to less than nothing", os.truncate, at / "f", -1)
    steps("a read-only file", os.truncate, made(at / "read-only", mode=0o444), 3)
    os.utime(at / "f", ns=(OLD, OLD))
    steps("to its own size", os.truncate, at / "f", 1)
    steps("to another", os.truncate, at / "f", 2)
    steps("it is modified", lambda: (at / "f").stat().st_mtime_ns > OLD)


@case
def a_limit_to_the_size_of_files(steps: Steps, at: Path) -> None:
    def limited(act: Callable[[int], object]) -> Callable[[], None]:
        def child() -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
            with_fd(at / "f", act, os.O_RDWR)

        return child

    made(at / "f")
    steps("write below it", in_a_child, limited(lambda fd: os.pwrite(fd, b"x" * 100, 4000)))
    steps("write over it", in_a_child, limited(lambda fd: os.pwrite(fd, b"x" * 100, 4950)))
    steps("write beyond it", in_a_child, limited(lambda fd: os.pwrite(fd, b"x", 5000)))
    steps("lengthen beyond it", in_a_child, limited(lambda fd: os.ftruncate(fd, 5001)))
    steps("after", lambda: short((at / "f").read_bytes()))


@case
def holes(steps: Steps, at: Path) -> None:
    with steps.opened("open", at / "f", os.O_CREAT | os.O_RDWR) as fd:
        steps("write behind a hole", os.pwrite, fd, b"x" * 4096, 2**20)
        steps("read in it", lambda: os.pread(fd, 2**20, 0) == bytes(2**20))
        steps("first data", os.lseek, fd, 0, os.SEEK_DATA)
        steps("first hole", os.lseek, fd, 0, os.SEEK_HOLE)
        steps("data from data", os.lseek, fd, 2**20, os.SEEK_DATA)
        steps("hole from data", os.lseek, fd, 2**20, os.SEEK_HOLE)
        steps("data behind the end", os.lseek, fd, 2**21, os.SEEK_DATA)
        steps("hole behind the end", os.lseek, fd, 2**21, os.SEEK_HOLE)
        steps("blocks are fewer than bytes", lambda: os.fstat(fd).st_blocks * 512 < os.fstat(fd).st_size)
        steps("size", lambda: os.fstat(fd).st_size)
    steps("after", lambda: short((at / "f").read_bytes()))


@case
def room_ahead(steps: Steps, at: Path) -> None:
    modes = {"plainly": 0, "keeping the size": KEEP_SIZE, "a hole": PUNCH_HOLE | KEEP_SIZE, "zeros": ZERO}
    with steps.opened("open", made(at / "f"), os.O_RDWR) as fd:
        for what, mode in modes.items():
            steps(f"fallocate {what}", fallocate, fd, mode, 0, 5)
        steps("fallocate of nothing", fallocate, fd, 0, 0, 0)
        steps("fallocate collapsing", fallocate, fd, COLLAPSE, 0, 4096)
        steps("bytes", os.pread, fd, 100, 0)
        steps("posix_fallocate inside", os.posix_fallocate, fd, 0, 5)
        steps("posix_fallocate beyond", os.posix_fallocate, fd, 0, 6000)
        steps("size", lambda: os.fstat(fd).st_size)
    with steps.opened("for reading", at / "f", os.O_RDONLY) as fd:
        steps("posix_fallocate of that", os.posix_fallocate, fd, 0, 5)
    steps("after", lambda: (at / "f").stat().st_size)


@case
def copying_by_the_kernel(steps: Steps, at: Path) -> None:
    made(at / "f", LARGE)
    with (
        steps.opened("from", at / "f", os.O_RDONLY) as source,
        steps.opened("to", at / "g", os.O_CREAT | os.O_RDWR) as target,
    ):
        steps("copy_file_range", lambda: copied(source, target, len(LARGE)))
        steps("the same", lambda: os.pread(target, 10**6, 0) == LARGE)
        steps("of a part to a place", lambda: os.copy_file_range(source, target, 1000, 5, 400_000))
        steps("at the end", lambda: os.copy_file_range(source, target, 1000, len(LARGE), 0))
        steps("within itself", lambda: os.copy_file_range(target, target, 100, 0, 50_000))
        steps("over itself", lambda: os.copy_file_range(target, target, 100, 0, 50))
        steps("to what is read", lambda: os.copy_file_range(target, source, 100, 0, 0))
        steps("ficlone", lambda: fcntl.ioctl(target, 0x40049409, source))
        steps("bytes", lambda: short(os.pread(target, 10**6, 0)))
    steps("after", lambda: short((at / "g").read_bytes()))
    with (
        steps.opened("send from", at / "f", os.O_RDONLY) as source,
        steps.opened("send to", at / "h", os.O_CREAT | os.O_RDWR) as target,
    ):
        steps("sendfile", lambda: os.sendfile(target, source, 0, len(LARGE)))
        steps("sendfile of a part", lambda: os.sendfile(target, source, 100, 50))
        steps("sendfile at the end", lambda: os.sendfile(target, source, len(LARGE), 50))
        reader, writer = os.pipe()
        steps("to a pipe", lambda: os.sendfile(writer, source, 5, 1000))
        steps("from the pipe", lambda: os.read(reader, 2000) == LARGE[5:1005])
        steps("splice to a pipe", lambda: os.splice(source, writer, 500, offset_src=9))
        steps("splice from it", lambda: os.splice(reader, target, 500, offset_dst=3))
        os.close(reader)
        os.close(writer)
        one, other = socket.socketpair()
        with one, other:
            steps("to a socket", lambda: os.sendfile(one.fileno(), source, 7, 1000))
            steps("from the socket", lambda: other.recv(1000, socket.MSG_WAITALL) == LARGE[7:1007])
    steps("what was sent", lambda: short((at / "h").read_bytes()))
    steps("as programs do", lambda: shutil.copy2(at / "f", at / "i") and (at / "i").read_bytes() == LARGE)


def copied(source: int, target: int, size: int) -> int:
    done = 0
    while done < size and (part := os.copy_file_range(source, target, size - done)):
        done += part
    return done


@case
def syncing(steps: Steps, at: Path) -> None:
    with steps.opened("open", at / "f", os.O_CREAT | os.O_RDWR) as fd:
        steps("write", os.write, fd, TEN)
        steps("fsync", os.fsync, fd)
        steps("fdatasync", os.fdatasync, fd)
        steps("syncfs", system, "syncfs", fd)
        steps("a range", system, "sync_file_range", fd, ctypes.c_long(0), ctypes.c_long(5), 7)
        for advice in ("NORMAL", "SEQUENTIAL", "RANDOM", "NOREUSE", "WILLNEED", "DONTNEED"):
            steps(advice, os.posix_fadvise, fd, 0, 0, getattr(os, f"POSIX_FADV_{advice}"))
        steps("ready", lambda: [len(ready) for ready in select.select([fd], [fd], [], 0)])
        steps("bytes that can be read", lambda: fcntl.ioctl(fd, 0x541B, b"\0\0\0\0"))
    with steps.opened("for reading", at / "f", os.O_RDONLY) as fd:
        steps("fsync of that", os.fsync, fd)
    steps("after", (at / "f").read_bytes)


@case
def mapping(steps: Steps, at: Path) -> None:
    made(at / "f", LARGE)
    with steps.opened("open", at / "f", os.O_RDWR) as fd:
        with mmap.mmap(fd, 0) as shared:
            steps("read", lambda: short(bytes(shared)))
            shared[5:8] = b"abc"
            steps("read what was written by the map", os.pread, fd, 8, 2)
            steps("write under the map", os.pwrite, fd, b"XYZ", 4096)
            steps("seen in the map", lambda: bytes(shared[4095:4100]))
            steps("msync", shared.flush)
            shared[-3:] = b"end"
            steps("msync of a part", shared.flush, 0, 4096)
            with mmap.mmap(fd, 0, mmap.MAP_PRIVATE) as private:
                private[0:5] = b"mine!"
                steps("private is not shared", lambda: bytes(shared[:5]))
                steps("nor in the file", os.pread, fd, 5, 0)
            steps("unlink", os.unlink, at / "f")
            shared[0:4] = b"gone"
            steps("read of what is gone", lambda: bytes(shared[:8]))
    made(at / "g", LARGE)
    with steps.opened("for both", at / "g", os.O_RDWR) as fd:
        with mmap.mmap(fd, 0) as shared:
            shared[100:103] = b"map"
            steps("close under the map", os.fsync, fd)
            shared[200:203] = b"two"
    steps("after the unmap", lambda: short((at / "g").read_bytes()))
    with steps.opened("for reading", at / "g", os.O_RDONLY) as fd:
        steps("a map to write of that", mapped, fd, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        steps("a private one", mapped, fd, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
        steps("one to run", mapped, fd, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)
    with steps.opened("for writing", at / "g", os.O_WRONLY) as fd:
        steps("a map of that", mapped, fd, mmap.MAP_SHARED, mmap.PROT_WRITE)
    with steps.opened("a folder", folder(at / "d"), os.O_RDONLY) as fd:
        steps("a map of a folder", mapped, fd, mmap.MAP_SHARED, mmap.PROT_READ)


def mapped(fd: int, flags: int, access: int) -> str:
    mmap.mmap(fd, 4096, flags, access).close()
    return "mapped"


@case
def a_map_that_is_cut(steps: Steps, at: Path) -> None:
    made(at / "f", b"x" * 10_000)
    with steps.opened("open", at / "f", os.O_RDWR) as fd:
        with mmap.mmap(fd, 0) as shared:
            steps("cut", os.ftruncate, fd, 100)
            steps("behind the end in its page", lambda: bytes(shared[98:102]))
            steps("a page behind the end", in_a_child, lambda: bytes(shared[5000:5001]))
            shared[200:203] = b"abc"
            steps("lengthen", os.ftruncate, fd, 8000)
            steps("seen in the map", lambda: bytes(shared[96:104]))
            steps("the rest", lambda: bytes(shared[5000:5003]))
    steps("after", lambda: len((at / "f").read_bytes()))
