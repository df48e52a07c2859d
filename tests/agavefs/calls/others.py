"""Links, devices, locks, programs, and the filesystem as a whole."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import stat
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.agavefs.calls.steps import Steps, case, folder, in_a_child, made, plant, system, with_fd


@case
def links(steps: Steps, at: Path) -> None:
    plant(at, "f", "d/x")
    steps("symbolic", os.symlink, "f", at / "s")
    steps("symbolic over a file", os.symlink, "x", at / "f")
    steps("read what is no link", os.readlink, at / "f")
    steps("read what is missing", os.readlink, at / "no")
    steps("hard", os.link, at / "f", at / "h")
    steps("hard over a file", os.link, at / "f", at / "d/x")
    steps("hard of a folder", os.link, at / "d", at / "e")
    steps("hard of a missing name", os.link, at / "no", at / "e")
    steps("names", lambda: sorted(os.listdir(at)))


@case
def devices(steps: Steps, at: Path) -> None:
    steps("a file", os.mknod, at / "f", stat.S_IFREG | 0o640)
    steps("its mode", lambda: oct((at / "f").stat().st_mode))
    steps("its size", lambda: (at / "f").stat().st_size)
    steps("again", os.mknod, at / "f", stat.S_IFREG | 0o640)
    steps("a fifo", os.mkfifo, at / "fifo")
    steps("a socket", os.mknod, at / "socket", stat.S_IFSOCK | 0o600)
    steps("a device", os.mknod, at / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    steps("a disk", os.mknod, at / "disk", stat.S_IFBLK | 0o600, os.makedev(7, 0))
    steps("a folder", os.mknod, at / "folder", stat.S_IFDIR | 0o700)
    with socket.socket(socket.AF_UNIX) as one:
        before = os.open(".", os.O_RDONLY)
        os.chdir(at)  # a socket's path takes 107 bytes
        steps("bind", one.bind, "bound")
        os.fchdir(before)
        os.close(before)
    steps("names", lambda: sorted(os.listdir(at)))


@case
def locks_of_whole_files(steps: Steps, at: Path) -> None:
    made(at / "f")
    with steps.opened("one", at / "f", os.O_RDWR) as one, steps.opened("two", at / "f", os.O_RDONLY) as two:
        for what, fd, how in (
            ("one shares", one, fcntl.LOCK_SH),
            ("two shares", two, fcntl.LOCK_SH),
            ("one wants it alone", one, fcntl.LOCK_EX),
            ("two leaves", two, fcntl.LOCK_UN),
            ("one has it alone", one, fcntl.LOCK_EX),
            ("two can't share", two, fcntl.LOCK_SH),
            ("two can't have it", two, fcntl.LOCK_EX),
            ("one shares again", one, fcntl.LOCK_SH),
            ("two shares again", two, fcntl.LOCK_SH),
            ("two leaves again", two, fcntl.LOCK_UN),
        ):
            steps(what, fcntl.flock, fd, how | fcntl.LOCK_NB)
        steps("another program", in_a_child, lambda: another(at / "f", fcntl.flock, fcntl.LOCK_EX | fcntl.LOCK_NB))
    steps("when it is closed", in_a_child, lambda: another(at / "f", fcntl.flock, fcntl.LOCK_EX | fcntl.LOCK_NB))


def another(path: Path, lock: Callable[..., object], *words: int) -> None:
    fd = os.open(path, os.O_RDWR)
    lock(fd, *words)
    os.close(fd)


@case
def locks_of_parts(steps: Steps, at: Path) -> None:
    made(at / "f")
    alone, shared, free = fcntl.LOCK_EX | fcntl.LOCK_NB, fcntl.LOCK_SH | fcntl.LOCK_NB, fcntl.LOCK_UN
    with steps.opened("open", at / "f", os.O_RDWR) as fd:
        steps("lock", fcntl.lockf, fd, alone, 5, 0)
        steps("another the same", in_a_child, lambda: another(at / "f", fcntl.lockf, alone, 5, 0))
        steps("another beside", in_a_child, lambda: another(at / "f", fcntl.lockf, alone, 5, 5))
        steps("another shared", in_a_child, lambda: another(at / "f", fcntl.lockf, shared, 1, 4))
        steps("share", fcntl.lockf, fd, shared, 5, 0)
        steps("another shares", in_a_child, lambda: another(at / "f", fcntl.lockf, shared, 5, 0))
        steps("free a part", fcntl.lockf, fd, free, 2, 0)
        steps("another there", in_a_child, lambda: another(at / "f", fcntl.lockf, alone, 2, 0))
        with steps.opened("read", at / "f", os.O_RDONLY) as reader:
            steps("write lock of what is read", fcntl.lockf, reader, alone, 1, 100)
        steps("any close frees all", in_a_child, lambda: another(at / "f", fcntl.lockf, alone, 5, 0))
    record = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 5, 0)
    set_lock, get_lock = 37, 36  # F_OFD_SETLK, F_OFD_GETLK
    with steps.opened("one", at / "f", os.O_RDWR) as one, steps.opened("two", at / "f", os.O_RDWR) as two:
        steps("one locks by description", fcntl.fcntl, one, set_lock, record)
        steps("two does", fcntl.fcntl, two, set_lock, record)
        steps("two asks who", lambda: struct.unpack("hhqqi4x", fcntl.fcntl(two, get_lock, record)))
        os.close(os.dup(one))
        steps("two again", fcntl.fcntl, two, set_lock, record)
    steps("when it is closed", in_a_child, lambda: another(at / "f", fcntl.lockf, alone, 5, 0))


@case
def a_lock_that_is_waited_for(steps: Steps, at: Path) -> None:
    made(at / "f", b"")
    reader, writer = os.pipe()
    with steps.opened("open", at / "f", os.O_RDWR | os.O_APPEND) as fd:
        fcntl.flock(fd, fcntl.LOCK_EX)
        child = os.fork()
        if not child:
            with contextlib.suppress(BaseException):
                mine = os.open(at / "f", os.O_RDWR | os.O_APPEND)
                os.write(writer, b"w")
                fcntl.flock(mine, fcntl.LOCK_EX)
                os.write(mine, b"child")
                os.close(mine)
            os._exit(0)
        os.read(reader, 1)
        steps("write first", os.write, fd, b"parent ")
        fcntl.flock(fd, fcntl.LOCK_UN)
        steps("the other ends", lambda: os.waitpid(child, 0)[1])
    os.close(reader)
    os.close(writer)
    steps("after", (at / "f").read_bytes)


@case
def the_filesystem(steps: Steps, at: Path) -> None:
    found = os.statvfs(at)
    steps("longest name", lambda: found.f_namemax)
    steps("size of a block", lambda: (found.f_bsize, found.f_frsize))
    steps("there is room", lambda: found.f_bavail > 0 and found.f_blocks >= found.f_bfree >= found.f_bavail)
    steps("there are inodes", lambda: found.f_favail > 0)
    steps("of a file", lambda: os.statvfs(made(at / "f")).f_namemax)
    steps("of a missing name", os.statvfs, at / "no")
    steps("of a descriptor", lambda: with_fd(at, lambda fd: os.fstatvfs(fd).f_namemax))
    steps("pathconf of a name", os.pathconf, at, "PC_NAME_MAX")
    steps("pathconf of a path", os.pathconf, at, "PC_PATH_MAX")
    steps("pathconf of a link", os.pathconf, at, "PC_LINK_MAX")


@case
def running_programs(steps: Steps, at: Path) -> None:
    made(at / "script", b"#!/bin/sh\necho ran $1\n", 0o755)
    steps("a script", lambda: subprocess.run([at / "script", "x"], capture_output=True).stdout)
    (at / "script").chmod(0o644)
    steps("one without x", subprocess.run, [at / "script"])
    shutil.copy("/bin/true", at / "true")
    steps("a program", lambda: subprocess.run([at / "true"]).returncode)
    with steps.opened("for writing", at / "true", os.O_WRONLY):
        steps("one that is written", subprocess.run, [at / "true"])
    steps("a folder", subprocess.run, [folder(at / "d")])


@case
def watching(steps: Steps, at: Path) -> None:
    watch = system("inotify_init1", os.O_NONBLOCK)
    system("inotify_add_watch", watch, os.fsencode(at), 0xFFF)
    made(at / "f")
    os.rename(at / "f", at / "g")
    os.unlink(at / "g")
    told, data = [], os.read(watch, 10_000)
    while data:
        _, mask, _, size = struct.unpack("iIII", data[:16])
        told.append((hex(mask), data[16 : 16 + size].rstrip(b"\0")))
        data = data[16 + size :]
    steps("events", lambda: told)
    os.close(watch)
