"""Programs that know nothing of us, on a real mount: what they leave there is what they would leave on a disk.

Each works in a folder of its own under the mount and compares with the same done on the local disk.
"""

from __future__ import annotations

import errno
import filecmp
import json
import mmap
import os
import pty
import re
import select
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from .processes import Platform, mounted, served, wait_until

PROGRAMS = (
    "rsync",
    "tar",
    "git",
    "vim",
    "sqlite3",
    "sed",
    "cp",
    "diff",
    "tail",
    "find",
    "dd",
    "patch",
    "make",
    "perl",
    "flock",
    "nano",
    "unzip",
)
ENVIRONMENT = {
    "PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8", "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ann", "GIT_AUTHOR_EMAIL": "ann@example.org",
    "GIT_COMMITTER_NAME": "Ann", "GIT_COMMITTER_EMAIL": "ann@example.org",
}  # fmt: skip


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    assert not missing, f"apt-get install {' '.join(missing)}"
    with served(tmp_path_factory.mktemp("served") / "tenant") as about:
        yield about


@pytest.fixture(scope="module")
def platform(tenant: dict[str, Any]) -> Platform:
    return Platform(tenant)


@pytest.fixture(scope="module")
def alice(tenant: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Alice's home on data.demo, through the kernel."""
    with mounted(tmp_path_factory.mktemp("mounted"), tenant) as place:
        yield place / "systems" / "data.demo" / "alice"


@pytest.fixture
def there(alice: Path, request: pytest.FixtureRequest) -> Path:
    """An empty folder on the mount for this test."""
    folder: Path = alice / "programs" / str(request.node.name)
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder on the local disk with what people have: folders, an empty file, odd names, a program, some size."""
    folder = tmp_path / "here"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "empty folder").mkdir()
    (folder / "plain.txt").write_text("one\ntwo\nthree\n")
    (folder / "empty").touch()
    (folder / "deep" / "odd # % ? 'name'.txt").write_text("odd\n")
    (folder / "deep" / "ü b+c").write_bytes(bytes(range(256)))
    (folder / "deep" / "er" / "large.bin").write_bytes(os.urandom(3_000_000))
    (folder / "program").write_text("#!/bin/sh\necho it runs\n")
    (folder / "program").chmod(0o755)
    for path in folder.rglob("*"):
        os.utime(path, (1_600_000_000, 1_600_000_000))
    return folder


def run(*command: str | Path, cwd: Path, feed: str | None = None) -> str:
    """Run a program to its end; it must succeed. What it wrote."""
    done = subprocess.run(
        command, cwd=cwd, env=ENVIRONMENT, input=feed, stdin=None if feed else subprocess.DEVNULL,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}: {done.stdout[-1000:]}{done.stderr[-2000:]}"
    return done.stdout


def at_the_platform(platform: Platform, path: Path) -> bytes:
    """The bytes that the platform itself has of a file under the mount, past every cache of ours."""
    inside = "/".join(path.parts[path.parts.index("data.demo") + 1 :])
    return platform.ask("GET", f"/files/v2/media/system/data.demo//{quote(inside)}")


@contextmanager
def following(path: Path) -> Iterator[Iterator[str]]:
    """The lines of a file as `tail -f` sees them, from the first on."""
    command = ["timeout", "60", "tail", "-n", "+1", "-s", "0.1", "-f", str(path)]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as tail:
        try:
            assert tail.stdout is not None
            yield iter(tail.stdout.readline, "")
        finally:
            tail.terminate()


def typed(*command: str | Path, cwd: Path, steps: list[tuple[str, str]]) -> None:
    """A program on a terminal of its own: as soon as it shows a text, keys are pressed. It must end by itself, well."""
    near, far = pty.openpty()
    shown, deadline = "", time.monotonic() + 60
    process = subprocess.Popen(
        command, cwd=cwd, env=ENVIRONMENT | {"TERM": "vt100", "LINES": "24", "COLUMNS": "80"},
        stdin=far, stdout=far, stderr=far, start_new_session=True,
    )  # fmt: skip
    os.close(far)
    try:
        for text, keys in [*steps, ("", "")]:
            while text not in shown or not text:
                assert time.monotonic() < deadline, f"no {text!r} in {shown!r}"
                if not select.select([near], [], [], 1)[0]:
                    continue
                try:
                    shown += re.sub(r"\x1b[\[(][0-9;?]*[A-Za-z]", "", os.read(near, 65536).decode(errors="replace"))
                except OSError:  # the program has gone from its terminal
                    break
            shown = ""
            os.write(near, keys.encode())
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(near)


def same(one: Path, other: Path) -> bool:
    """Two trees with the same names and the same bytes."""
    names = [sorted(path.relative_to(top) for path in top.rglob("*")) for top in (one, other)]
    return names[0] == names[1] and all(
        filecmp.cmp(one / name, other / name, shallow=False) for name in names[0] if (one / name).is_file()
    )


def test_cp_takes_a_tree_there_and_back(here: Path, there: Path, tmp_path: Path) -> None:
    run("cp", "-rp", here, there / "copy", cwd=there)
    run("diff", "-r", here, there / "copy", cwd=there)
    run("cp", "-rp", there / "copy", tmp_path / "back", cwd=there)
    assert same(here, tmp_path / "back")
    assert (there / "copy" / "plain.txt").stat().st_mtime == 1_600_000_000


def test_rsync_takes_a_tree_there_and_finds_nothing_to_do_the_second_time(here: Path, there: Path) -> None:
    run("rsync", "-a", f"{here}/", f"{there}/copy/", cwd=there)
    assert same(here, there / "copy")
    again = run("rsync", "-a", "--itemize-changes", f"{here}/", f"{there}/copy/", cwd=there)
    assert [line for line in again.splitlines() if line.startswith((">f", "<f", "cd"))] == []
    (here / "plain.txt").write_text("changed, and longer\n")
    (here / "empty").unlink()
    run("rsync", "-a", "--delete", f"{here}/", f"{there}/copy/", cwd=there)
    assert same(here, there / "copy")


def test_tar_packs_and_unpacks_on_the_mount(here: Path, there: Path) -> None:
    run("tar", "-czf", there / "packed.tgz", "-C", here.parent, "here", cwd=there)
    run("tar", "-xzf", "packed.tgz", cwd=there)
    run("tar", "-dzf", "packed.tgz", cwd=there)  # compares names, bytes, sizes, times and modes
    assert same(here, there / "here")


def test_git_keeps_a_repository_on_the_mount(here: Path, there: Path, tmp_path: Path) -> None:
    def git(*words: str | Path) -> str:
        return run("git", "-c", "safe.directory=*", "-c", "protocol.file.allow=always", *words, cwd=there / "repo")

    run("cp", "-r", here, there / "repo", cwd=there)
    git("init", "-q", "-b", "main")
    git("add", ".")
    git("commit", "-q", "-m", "All of it")
    (there / "repo" / "plain.txt").write_text("one\n2\nthree\n")
    git("commit", "-q", "-a", "-m", "A change")
    assert git("status", "--porcelain") == ""
    assert git("log", "--format=%s").splitlines() == ["A change", "All of it"]
    git("fsck", "--strict")
    git("gc", "-q")
    git("clone", "-q", ".", tmp_path / "clone")
    git("clone", "-q", "--no-hardlinks", ".", there / "second")
    git("checkout", "-q", "-b", "other", "HEAD~1")
    assert (there / "repo" / "plain.txt").read_text() == "one\ntwo\nthree\n"
    for clone in (tmp_path / "clone", there / "second"):
        assert (clone / "plain.txt").read_text() == "one\n2\nthree\n"


def test_vim_edits_a_file_in_place(platform: Platform, there: Path) -> None:
    (there / "text").write_text("one\ntwo\n")
    run("vim", "-Nu", "NONE", "-es", "-c", "%s/two/2/", "-c", "wq", "text", cwd=there)
    run("vim", "-Nu", "NONE", "-es", "-c", "$put ='three'", "-c", "wq", "text", cwd=there)
    assert (there / "text").read_text() == "one\n2\nthree\n"
    assert at_the_platform(platform, there / "text") == b"one\n2\nthree\n"
    assert [path.name for path in there.iterdir()] == ["text"]


def test_sed_replaces_a_file_by_another(platform: Platform, there: Path) -> None:
    (there / "text").write_text("one\ntwo\n")
    run("sed", "-i", "s/two/2/", "text", cwd=there)
    assert at_the_platform(platform, there / "text") == b"one\n2\n"
    assert [path.name for path in there.iterdir()] == ["text"]


@pytest.mark.parametrize("mode", ["delete", "truncate", "persist", "memory", "wal"])
def test_sqlite_keeps_a_database_on_the_mount(there: Path, tmp_path: Path, mode: str) -> None:
    commands = f"pragma journal_mode={mode}; create table t(n, s); begin; insert into t values (1, 'ü'); commit;"
    run("sqlite3", "data.db", commands, cwd=there)
    run(
        "sqlite3",
        "data.db",
        "update t set n = n + 1; insert into t select n + 1, s from t; delete from t where n = 2;",
        cwd=there,
    )
    assert run("sqlite3", "data.db", "pragma integrity_check; select n, s from t;", cwd=there) == "ok\n3|ü\n"
    shutil.copy(there / "data.db", tmp_path / "copy.db")
    with sqlite3.connect(tmp_path / "copy.db") as copy:
        assert copy.execute("select n, s from t").fetchall() == [(3, "ü")]
    copy.close()


def test_dd_writes_in_the_middle_and_leaves_the_rest(platform: Platform, there: Path) -> None:
    (there / "block").write_bytes(b"a" * 1000)
    run("dd", "of=block", "bs=10", "seek=5", "conv=notrunc", cwd=there, feed="B" * 10)
    expected = b"a" * 50 + b"B" * 10 + b"a" * 940
    assert (there / "block").read_bytes() == at_the_platform(platform, there / "block") == expected


def test_a_shell_appends_and_overwrites(platform: Platform, there: Path) -> None:
    run(
        "sh",
        "-c",
        "(echo one; echo two; echo three) > log; echo four >> log; : > empty; cat log log > twice",
        cwd=there,
    )
    assert at_the_platform(platform, there / "log") == b"one\ntwo\nthree\nfour\n"
    assert at_the_platform(platform, there / "twice") == b"one\ntwo\nthree\nfour\n" * 2
    assert at_the_platform(platform, there / "empty") == b""


def test_make_builds_and_sees_what_is_up_to_date(there: Path) -> None:
    (there / "Makefile").write_text("out: in\n\tcp in out\n\techo built >> log\n")
    (there / "in").write_text("text\n")
    for _ in range(2):
        run("make", "-s", cwd=there)
    assert (there / "log").read_text() == "built\n"
    assert (there / "out").read_text() == "text\n"


def test_patch_and_diff_agree(there: Path) -> None:
    (there / "old").write_text("one\ntwo\n")
    (there / "new").write_text("one\n2\n")
    run("sh", "-c", "diff -u old new > change || true; patch -s old change", cwd=there)
    run("diff", "old", "new", cwd=there)


def test_find_and_du_see_every_file_once(here: Path, there: Path) -> None:
    run("cp", "-r", here, "copy", cwd=there)
    found = run("find", "copy", "-type", "f", "-printf", "%P %s\\n", cwd=there).splitlines()
    local = run("find", ".", "-type", "f", "-printf", "%P %s\\n", cwd=here).splitlines()
    assert sorted(found) == sorted(local)
    total = int(run("du", "-sb", "--apparent-size", "copy/deep/er/large.bin", cwd=there).split()[0])
    assert total == 3_000_000


def test_rsync_changes_a_file_in_place_and_goes_on_with_half_of_one(there: Path, tmp_path: Path) -> None:
    lines = [f"line {number}\n" for number in range(50_000)]
    source = tmp_path / "source"
    source.write_text("".join(lines))
    run("rsync", "-t", "--inplace", source, "whole", cwd=there)
    source.write_text("".join([*lines[:20_000], "changed\n", *lines[20_000:]]))
    run("rsync", "-t", "--inplace", "--no-whole-file", source, "whole", cwd=there)
    (there / "half").write_text("".join(lines[:20_000]))
    run("rsync", "--append-verify", source, "half", cwd=there)
    run("rsync", "-a", "--partial", "--delay-updates", source, "late/", cwd=there)
    for name in ("whole", "half", "late/source"):
        run("cmp", source, name, cwd=there)
    assert [path.name for path in (there / "late").iterdir()] == ["source"]


def test_sort_split_and_cat_put_a_file_together_again(there: Path) -> None:
    run("sh", "-c", "seq 20000 > all; split -l 6000 all part.; cat part.* | cmp - all", cwd=there)
    run("sh", "-c", "sort -R all -o mixed; sort -n mixed -o mixed; cmp mixed all", cwd=there)


def test_perl_leaves_a_backup_and_a_changed_file(there: Path) -> None:
    (there / "text").write_text("one\n")
    run("perl", "-pi.bak", "-e", "s/one/two/", "text", cwd=there)
    assert ((there / "text").read_text(), (there / "text.bak").read_text()) == ("two\n", "one\n")


def test_a_mapped_file_is_written_through_its_pages(platform: Platform, there: Path) -> None:
    with (there / "mapped").open("w+b") as file:
        file.write(b"a" * 10_000)
        file.flush()
        with mmap.mmap(file.fileno(), 10_000) as pages:
            pages[5_000:5_005] = b"hello"
    expected = b"a" * 5_000 + b"hello" + b"a" * 4_995
    assert (there / "mapped").read_bytes() == at_the_platform(platform, there / "mapped") == expected


def test_many_programs_at_once_lose_nothing(there: Path) -> None:
    run("sh", "-c", "seq 24 | xargs -P6 -I{} sh -c 'seq {} > tmp.{} && mv tmp.{} count.{}'", cwd=there)
    lengths = {path.name: len(path.read_text().splitlines()) for path in there.iterdir()}
    assert lengths == {f"count.{number}": number for number in range(1, 25)}


def test_a_lock_makes_counting_by_several_programs_exact(there: Path) -> None:
    (there / "count").write_text("0\n")
    count = "read n < count; echo $((n + 1)) > count"
    run("sh", "-c", f"seq 16 | xargs -P4 -I{{}} flock lock sh -c '{count}'", cwd=there)
    assert (there / "count").read_text() == "16\n"


def test_a_file_that_is_open_lives_on_when_it_is_moved_or_removed(platform: Platform, there: Path) -> None:
    run("sh", "-c", "exec 3> moved; echo one >&3; mv moved other; echo two >&3; exec 3>&-", cwd=there)
    assert (there / "other").read_text() == "one\ntwo\n"
    # mv inherited the descriptor, and its end was the first close; what came after goes up at the last one
    wait_until(lambda: at_the_platform(platform, there / "other") == b"one\ntwo\n", timeout=30)
    assert run("sh", "-c", "echo data > gone; exec 3< gone; rm gone; cat <&3", cwd=there) == "data\n"
    run("sh", "-c", "exec 3> made; echo one >&3; rm made; echo two >&3; exec 3>&-", cwd=there)
    assert [path.name for path in there.iterdir()] == ["other"]


def test_folders_are_moved_with_all_that_is_in_them_and_never_over_a_full_one(there: Path) -> None:
    run("sh", "-c", "mkdir -p a/b c full; echo 1 > a/b/f; touch full/x; mv a/b c/; mv c d", cwd=there)
    assert (there / "d" / "b" / "f").read_text() == "1\n"
    with pytest.raises(OSError, match="not empty"):
        (there / "d").rename(there / "full")
    with pytest.raises(OSError, match="not empty"):
        (there / "d").rmdir()
    run("rm", "-r", "d", "full", "a", cwd=there)
    assert list(there.iterdir()) == []


def test_what_the_platform_cannot_keep_is_refused_as_posix_says(there: Path) -> None:
    (there / "file").write_text("1\n")
    refused: dict[str, Callable[[], None]] = {
        "symlink": lambda: (there / "link").symlink_to("file"),
        "link": lambda: (there / "link").hardlink_to(there / "file"),
        "fifo": lambda: os.mkfifo(there / "link"),
    }
    for kind, act in refused.items():
        with pytest.raises(PermissionError) as error:
            act()
        assert error.value.errno == errno.EPERM, kind
    with pytest.raises(OSError, match="Invalid argument"):
        (there / "back\\slash").touch()  # the platform takes it for a slash
    with pytest.raises(OSError, match="too long"):
        (there / ("x" * 256)).touch()


def test_names_of_any_kind_are_made_listed_and_removed(platform: Platform, there: Path) -> None:
    names = [
        "-dash",
        "a b",
        "new\nline",
        "h#q?p%41",
        "ü",
        unicodedata.normalize("NFD", "ü"),
        '"quoted"',
        "x" * 255,
    ]
    for name in names:
        (there / name).write_text(name)
    assert sorted(path.name for path in there.iterdir()) == sorted(names)
    for name in names:
        assert (there / name).read_text() == at_the_platform(platform, there / name).decode() == name
    run("sh", "-c", "rm -- *", cwd=there)
    assert list(there.iterdir()) == []


def test_tail_follows_a_file_that_another_program_appends_to(there: Path) -> None:
    (there / "log").write_text("0\n")
    with following(there / "log") as lines:
        for number in range(1, 4):
            run("sh", "-c", f"echo {number} >> log", cwd=there)
            assert [next(lines)] == [f"{number - 1}\n"]
        assert next(lines) == "3\n"


def test_a_program_on_the_mount_runs(here: Path, there: Path) -> None:
    run("cp", "-p", here / "program", "program", cwd=there)
    assert run("./program", cwd=there) == "it runs\n"


def test_tail_follows_the_output_of_a_running_job_to_its_end(platform: Platform, alice: Path) -> None:
    def status() -> str:
        return str(platform.call("GET", f"/jobs/v2/{job}/status")["status"])

    parameters = {"lines": 12, "delay": 0.5}
    request = {"name": "Ticks", "appId": "ticker-1.0", "parameters": parameters, "archive": False}
    job = platform.call("POST", "/jobs/v2/", request)["id"]
    output = alice.parents[2] / "jobs" / job / "outputs" / "ticks.out"
    wait_until(lambda: status() == "RUNNING", timeout=60)
    wait_until(output.exists, timeout=60)
    with following(output) as tail:
        lines = [next(tail) for _ in range(12)]
    wait_until(lambda: status() == "FINISHED", timeout=60)
    assert "".join(lines) == output.read_text()


def test_nano_saves_a_file(platform: Platform, there: Path) -> None:
    (there / "text").write_text("one\ntwo\n")
    keys = [("two", "zero\r"), ("zero", "\x0f"), ("File Name to Write", "\r"), ("Wrote 3 lines", "\x18")]
    typed("nano", "--ignorercfiles", "text", cwd=there, steps=keys)
    typed("nano", "--ignorercfiles", "--backup", "text", cwd=there, steps=[("two", "x\x0f\r"), ("Wrote", "\x18")])
    assert at_the_platform(platform, there / "text") == b"xzero\none\ntwo\n"
    assert at_the_platform(platform, there / "text~") == b"zero\none\ntwo\n"
    assert sorted(path.name for path in there.iterdir()) == ["text", "text~"]


def test_git_clones_onto_the_mount_commits_there_and_pushes_back(here: Path, there: Path) -> None:
    def git(*words: str | Path, cwd: Path) -> str:
        return run("git", "-c", "safe.directory=*", "-c", "protocol.file.allow=always", *words, cwd=cwd)

    git("init", "-q", "-b", "main", cwd=here)
    git("add", ".", cwd=here)
    git("commit", "-q", "-m", "All of it", cwd=here)
    git("clone", "-q", here, "clone", cwd=there)
    clone = there / "clone"
    (clone / "plain.txt").write_text("one\n2\nthree\n")
    git("mv", "program", "tool", cwd=clone)
    git("commit", "-q", "-a", "-m", "A change", cwd=clone)
    git("fsck", "--strict", cwd=clone)
    assert git("status", "--porcelain", cwd=clone) == ""
    git("push", "-q", "origin", "HEAD:changed", cwd=clone)
    git("checkout", "-q", "changed", cwd=here)
    assert ((here / "plain.txt").read_text(), (here / "tool").exists()) == ("one\n2\nthree\n", True)


def test_cp_a_takes_what_can_be_kept_and_unzip_unpacks(here: Path, there: Path, tmp_path: Path) -> None:
    run("cp", "-a", here, there / "copy", cwd=there)
    assert same(here, there / "copy")
    for path in here.rglob("*"):
        mine, copied = path.stat(), (there / "copy" / path.relative_to(here)).stat()
        assert copied.st_mtime == mine.st_mtime, path
        assert stat.S_IMODE(copied.st_mode) == stat.S_IMODE(mine.st_mode) & ~0o022, path
    with zipfile.ZipFile(there / "packed.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(here.rglob("*")):
            packed.write(path, Path("here") / path.relative_to(here))
    run("unzip", "-q", "packed.zip", cwd=there)
    run("unzip", "-qt", "packed.zip", cwd=there)
    run("unzip", "-qo", "packed.zip", cwd=there)  # over what is there
    assert same(here, there / "here")


def test_pythons_own_copies_are_whole_and_keep_times_and_modes(here: Path, there: Path, tmp_path: Path) -> None:
    shutil.copytree(here, there / "tree")
    assert same(here, there / "tree")
    shutil.copytree(here, there / "tree", dirs_exist_ok=True)
    shutil.copytree(there / "tree", tmp_path / "back")
    assert same(here, tmp_path / "back")
    shutil.copy2(here / "program", there / "copied")
    copied = (there / "copied").stat()
    assert (copied.st_mtime, copied.st_mode & 0o777) == (1_600_000_000, 0o755)
    shutil.move(there / "tree", there / "moved")
    assert same(here, there / "moved")
    shutil.rmtree(there / "moved")
    assert [path.name for path in there.iterdir()] == ["copied"]


def test_numpy_maps_an_array_and_saves_one(platform: Platform, there: Path) -> None:
    program = """
import numpy as np
made = np.memmap("mapped", dtype="<i4", mode="w+", shape=(300, 1000))
made[:] = np.arange(300_000, dtype="<i4").reshape(300, 1000)
made.flush()
del made
part = np.memmap("mapped", dtype="<i4", mode="r+", offset=4 * 1000 * 10, shape=(5, 1000))
part[2, 3:6] = -1
part.flush()
del part
again = np.memmap("mapped", dtype="<i4", mode="r", shape=(300, 1000))
assert again[12, 2:7].tolist() == [12002, -1, -1, -1, 12006], again[12, 2:7]
np.save("saved.npy", again)
assert (np.load("saved.npy", mmap_mode="r") == again).all()
np.savez_compressed("packed.npz", a=again, b=again[:2])
assert (np.load("packed.npz")["b"] == again[:2]).all()
"""
    run(sys.executable, "-c", program, cwd=there)
    told = at_the_platform(platform, there / "mapped")
    numbers = [int.from_bytes(told[at : at + 4], "little", signed=True) for at in range(4 * 12_000, 4 * 12_008, 4)]
    assert numbers == [12000, 12001, 12002, -1, -1, -1, 12006, 12007]
    assert len(told) == 1_200_000
    assert at_the_platform(platform, there / "saved.npy")[128:] == told


def test_a_transaction_whose_writer_is_killed_is_rolled_back_by_the_next(there: Path) -> None:
    run("sqlite3", "data.db", "create table t(n); insert into t values (1), (2), (3);", cwd=there)
    program = """
import signal, sqlite3
base = sqlite3.connect("data.db", isolation_level=None)
base.execute("pragma cache_size = 1")
base.execute("begin immediate")
base.execute("update t set n = n + 100")
base.executemany("insert into t values (?)", [("x" * 1000,)] * 2000)
print("half", flush=True)
signal.pause()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=there, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "half\n"
        assert (there / "data.db-journal").stat().st_size
        assert (there / "data.db").stat().st_size > 100_000  # some of what is not committed is in it
        os.kill(writer.pid, signal.SIGKILL)
    assert run("sqlite3", "data.db", "select n from t; pragma integrity_check;", cwd=there) == "1\n2\n3\nok\n"
    run("sqlite3", "data.db", "insert into t values (4);", cwd=there)
    assert [path.name for path in there.iterdir()] == ["data.db"]


@pytest.mark.soak
@pytest.mark.skipif(shutil.which("emacs") is None, reason="there is no emacs here")
def test_emacs_saves_a_file(platform: Platform, there: Path) -> None:
    (there / "text").write_text("one\ntwo\n")
    for number in range(2):
        act = f'(progn (goto-char (point-max)) (insert "{number}\\n") (save-buffer))'
        run("emacs", "-Q", "--batch", "text", "--eval", act, cwd=there)
    assert at_the_platform(platform, there / "text") == b"one\ntwo\n0\n1\n"
    assert [path.name for path in there.iterdir()] == ["text"]


@pytest.mark.soak
def test_h5py_writes_an_array_and_changes_it_in_place(there: Path, tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    program = """
import h5py, numpy as np
with h5py.File("data.h5", "w") as file:
    made = file.create_dataset("a", data=np.arange(1_000_000), chunks=(1000,), compression="gzip", maxshape=(None,))
    made.attrs["unit"] = "m"
with h5py.File("data.h5", "r+") as file:
    file["a"][500_000:500_003] = -1
    file["a"].resize((1_000_010,))
    file.create_group("g/h")["b"] = "text"
with h5py.File("data.h5", "r") as file:
    assert file["a"][499_999:500_004].tolist() == [499_999, -1, -1, -1, 500_003]
    assert (len(file["a"]), file["a"].attrs["unit"], file["g/h/b"].asstr()[()]) == (1_000_010, "m", "text")
"""
    for place in (there, tmp_path):
        run(sys.executable, "-c", program, cwd=place)
    assert (there / "data.h5").stat().st_size == (tmp_path / "data.h5").stat().st_size


@pytest.mark.soak
def test_a_notebook_is_written_and_read(platform: Platform, there: Path) -> None:
    pytest.importorskip("nbformat")
    program = """
import nbformat
from nbformat import v4
book = v4.new_notebook(cells=[v4.new_code_cell("1 + 1", outputs=[v4.new_output("stream", text="2")])])
nbformat.write(book, "book.ipynb")
again = nbformat.read("book.ipynb", as_version=4)
again.cells.append(v4.new_markdown_cell("# \u00fc"))
nbformat.write(again, "book.ipynb")
nbformat.validate(nbformat.read("book.ipynb", as_version=4))
"""
    run(sys.executable, "-c", program, cwd=there)
    book = json.loads(at_the_platform(platform, there / "book.ipynb"))
    assert [cell["source"] for cell in book["cells"]] == [["1 + 1"], ["# \u00fc"]]


CHANGES = {
    "a shell": ["sh", "-c", "echo new > text"],
    "an append": ["sh", "-c", "echo new >> text"],
    "vim": ["vim", "-Nu", "NONE", "-es", "-c", "%s/old/new/", "-c", "w", "-c", "q", "text"],
    "sed": ["sed", "-i", "s/old/new/", "text"],
    "cp": ["cp", "other", "text"],
    "mv": ["mv", "other", "text"],
    "rsync": ["rsync", "--ignore-times", "other", "text"],
    "perl": ["perl", "-pi", "-e", "s/old/new/", "text"],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_is_changed_keeps_its_grants_its_history_and_its_metadata(
    platform: Platform, there: Path, change: str
) -> None:
    def uuid() -> str:
        links = platform.call("GET", f"/files/v2/listings/system/data.demo/{place}")[0]["_links"]
        found: str = json.loads(unquote(links["metadata"]["href"].partition("?q=")[2]))["associationIds"]
        return found

    def grants() -> dict[str, bool]:
        told = platform.call("GET", f"/files/v2/pems/system/data.demo/{place}")
        return {grant["username"]: grant["permission"]["read"] for grant in told}

    (there / "text").write_text("old\n")
    (there / "other").write_text("new\n")
    place = "/" + quote("/".join((there / "text").parts[there.parts.index("data.demo") + 1 :]))
    platform.call("POST", f"/files/v2/pems/system/data.demo/{place}", {"username": "bob", "permission": "READ"})
    before = uuid()
    attached = {"name": "note", "value": {"of": change}, "associationIds": [before]}
    platform.call("POST", "/meta/v2/data", attached)
    events = [event["status"] for event in platform.call("GET", f"/files/v2/history/system/data.demo/{place}")]

    run(*CHANGES[change], cwd=there)

    assert b"new" in at_the_platform(platform, there / "text")
    assert uuid() == before
    assert grants().get("bob")
    history = [event["status"] for event in platform.call("GET", f"/files/v2/history/system/data.demo/{place}")]
    assert history[: len(events)] == events
    query = quote(json.dumps({"associationIds": uuid()}))
    assert [found["value"] for found in platform.call("GET", f"/meta/v2/data?q={query}")] == [{"of": change}]
