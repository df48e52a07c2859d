"""Programs that were made to break filesystems: fio, stress-ng and dbench, on the mount. All of it is soak.

Each is left out where it is not installed. What they print is told at the end of the run.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from tests.agavefs.mounting import LONG, Mount
from tests.conftest import SAID

SECONDS = int(os.environ.get("STRESS_SECONDS", "10"))  # each
MIB = 2**20
LOAD = Path("/usr/share/dbench/client.txt")

pytestmark = pytest.mark.soak
Say = Callable[[str, object], None]


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"there is no {program} here")


async def run(mount: Mount, *words: str, within: float) -> str:
    """What a program prints, which has to end in time and well; the mount has no trouble meanwhile."""
    before = len(mount.log)
    killed = ("timeout", "--kill-after=10", str(within))  # some of them do not heed SIGTERM
    with trio.fail_after(within + LONG):
        done = await trio.run_process(
            [*killed, *words], check=False, capture_stdout=True, capture_stderr=True, env=mount.environ
        )
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, f"{words}: {said[-3000:]}\n{mount.log[before:][-3000:]}"
    assert " ERROR " not in mount.log[before:]
    return said


JOBS = {
    "in order": ["--rw=write", "--bs=128k", "--size=64m"],
    "anywhere": ["--rw=randwrite", "--bs=4k", "--size=32m"],
    "in order, four at once": ["--rw=write", "--bs=64k", "--size=16m", "--numjobs=4"],
    "by a map": ["--rw=randwrite", "--bs=4k", "--size=16m", "--ioengine=mmap"],
}


@needs("fio")
@pytest.mark.parametrize("job", JOBS)
async def test_what_fio_has_written_is_what_it_reads_also_from_another_mount(
    mount: Mount, job: str, record_property: Say
) -> None:
    await (mount.home / "fio").mkdir()
    line = ["fio", "--name=job", f"--directory={mount.home / 'fio'}", "--verify=crc32c", "--verify_fatal=1"]
    line += ["--fallocate=none", "--output-format=json", "--randseed=1", *JOBS[job]]

    def rates(said: str) -> str:
        jobs = json.loads(said[said.index("{") : said.rindex("}") + 1])["jobs"]
        moved = {way: sum(one[way]["bw_bytes"] for one in jobs) / MIB for way in ("write", "read")}
        return ", ".join(f"{way} {rate:.0f} MiB/s" for way, rate in moved.items() if rate)

    told = [rates(await run(mount, *line, "--do_verify=1", "--end_fsync=1", within=300))]
    await mount.umount()
    shutil.rmtree(next(mount.folder.glob("state/agavesh/*/mounts/cache")))
    await mount.start()
    told.append(rates(await run(mount, *line, "--verify_only", within=300)))
    record_property(SAID, f"fio {job}: {told[0]}; from another mount: {told[1]}")


# All of stress-ng's class "filesystem" that asks something of files in a folder, and some of its class "io".
PLAIN = [
    "access", "chdir", "chmod", "chown", "copy-file", "dentry", "dir", "dirdeep", "dirmany", "dnotify", "fcntl",
    "filename", "flock", "fstat", "hdd", "inotify", "lease", "locka", "lockf", "lockofd", "mknod", "open",
    "rename", "touch", "utime", "seek", "sendfile", "msync", "aio", "revio", "file-ioctl", "fpunch",
]  # fmt: skip
FILES = dict.fromkeys(PLAIN, "") | {
    # by default they work on a file of a GiB, and do not finish one round
    "fallocate": "--fallocate-bytes=4m",
    "sync-file": "--sync-file-bytes=4m",
    "readahead": "--readahead-bytes=4m",
    "iomix": "--iomix-bytes=4m",
    "mmap": "--mmap-file --mmap-bytes=4m",
}
LEFT_OUT = {
    "link": "there are no hard links",
    "symlink": "there are no symbolic links",
    "xattr": "there are no extended attributes",
    "verity": "no fs-verity: it is for disks",
    "fiemap": "no FIEMAP: there are no blocks to tell of",
    "chattr": "no flags of inodes: each try fails, and counts as one",
    "inode-flags": "no flags of inodes",
    "io": "it calls sync(2), which is for all filesystems of the machine",
    "bind-mount": "it mounts, and asks nothing of files",
    "binderfs": "it is about another filesystem",
    "fanotify": "it watches all mounts of the machine",
    "procfs": "it is about /proc",
    "getdent": "it reads /proc, /dev and the like",
    "handle": "it needs CAP_DAC_READ_SEARCH, and takes the folder that it runs in",
    "eventfd": "it is about descriptors that are no files",
    "dup": "it is about descriptors of /dev/zero",
    "funccall": "it is about the processor",
    "funcret": "it is about the processor",
    "fsize": "it wants fallocate to meet a limit; that write and truncate do is in test_calls",
    "ioprio": "it is about processes",
}


@needs("stress-ng")
def test_each_stressor_of_files_is_run_or_left_out_for_a_reason() -> None:
    said = subprocess.run(["stress-ng", "--class", "filesystem?"], capture_output=True, text=True, check=False)
    known = set(said.stdout.partition(":")[2].split())
    assert known
    assert known - FILES.keys() - LEFT_OUT.keys() == set()


@needs("stress-ng")
@pytest.mark.parametrize("stressor", FILES)
async def test_what_stress_ng_does_is_done_and_verified(mount: Mount, stressor: str, record_property: Say) -> None:
    await (mount.home / "stress").mkdir()
    said = await run(
        mount, "stress-ng", f"--{stressor}", "2", f"--timeout={SECONDS}", "--verify", "--metrics-brief",
        f"--temp-path={mount.home / 'stress'}", *FILES[stressor].split(), within=SECONDS + 120,
    )  # fmt: skip
    counted = re.search(rf"\] {stressor} +(\d+) +([\d.]+) +[\d.]+ +[\d.]+ +([\d.]+)", said)
    assert counted and int(counted[1]), said
    assert not re.search(r"\bfail:", said), said
    assert await mount.sh("ls -A stress") == ""
    await mount.all_sent()
    record_property(SAID, f"stress-ng {stressor}: {float(counted[3]):.0f} a second")


@needs("dbench")
@pytest.mark.parametrize("clients", [1, 4])
async def test_dbench_runs_its_load(mount: Mount, clients: int, record_property: Say) -> None:
    await (mount.home / "dbench").mkdir()
    line = ["dbench", f"--directory={mount.home / 'dbench'}", f"--loadfile={LOAD}", f"--timelimit={SECONDS}"]
    said = await run(mount, *line, str(clients), within=SECONDS * 2 + 120)
    found = re.search(r"^Throughput .*$", said, re.MULTILINE)
    assert found, said
    await mount.all_sent()
    record_property(SAID, f"dbench, {clients} clients: {found[0]}")
