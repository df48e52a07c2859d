"""Files and folders copied on the disk: what a copy keeps, what it leaves out, and what it does to links."""

from __future__ import annotations

import os
import stat
from functools import partial
from pathlib import Path

import pytest
import trio

from agavesh.tenant.files.disk import DEEPEST
from agavesh.tenant.files.trees import copy_file, copy_tree, erase, in_the_way, paths_below
from agavesh.tenant.refusal import Refusal
from tests.tenant.depth import deep, removable  # noqa: F401  a fixture


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    (tmp_path / "staging").mkdir()
    return tmp_path / "staging"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with one of each: an old program, an empty folder, a pipe, links within and without."""
    top = tmp_path / "source"
    (top / "deep" / "er").mkdir(parents=True)
    (top / "empty").mkdir()
    (tmp_path / "outside").write_text("secret")
    (top / "deep" / "er" / "program").write_text("#!/bin/sh\n")
    (top / "deep" / "er" / "program").chmod(0o755)
    os.utime(top / "deep" / "er" / "program", (1_000_000_000, 1_000_000_000))
    os.mkfifo(top / "pipe")
    (top / "file link").symlink_to("deep/er/program")
    (top / "folder link").symlink_to("deep")
    (top / "way out").symlink_to("../outside")
    (top / "absolute").symlink_to(top / "deep" / "er" / "program")
    (top / "broken").symlink_to("nothing")
    return top


async def copied(source: Path, staging: Path, **how) -> tuple[Path, set[str]]:
    target = staging.parent / "target"
    await trio.to_thread.run_sync(partial(copy_tree, source, target, staging, within=source, **how))
    assert list(staging.iterdir()) == []
    return target, {str(path.relative_to(target)) for path in target.rglob("*")}


async def test_a_copy_has_the_files_that_links_lead_to_and_is_new(source, staging):
    target, names = await copied(source, staging)
    assert names == {"deep", "deep/er", "deep/er/program", "empty", "file link", "absolute"}
    assert not (target / "file link").is_symlink()
    assert (target / "file link").read_text() == "#!/bin/sh\n"
    assert (target / "deep/er/program").stat().st_mtime > 1_000_000_000


async def test_a_faithful_copy_keeps_modes_times_and_relative_links(source, staging):
    target, names = await copied(source, staging, faithful=True)
    assert names == {"deep", "deep/er", "deep/er/program", "empty", "file link", "folder link", "broken"}
    assert (target / "file link").readlink() == Path("deep/er/program")
    found = (target / "deep/er/program").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_mtime) == (0o755, 1_000_000_000)


async def test_what_is_not_wanted_leaves_no_folder_behind(source, staging):
    _, names = await copied(source, staging, faithful=True, wanted=lambda path: path in ("deep", "empty"))
    assert names == {"empty"}


async def test_a_copy_over_a_file_keeps_the_mode_that_was_there_and_a_faithful_one_brings_its_own(source, staging):
    program, target = source / "deep" / "er" / "program", staging.parent / "target"
    target.write_text("before")
    target.chmod(0o640)
    await trio.to_thread.run_sync(copy_file, program, target, staging)
    assert (target.read_text(), stat.S_IMODE(target.stat().st_mode)) == ("#!/bin/sh\n", 0o640)
    await trio.to_thread.run_sync(partial(copy_file, program, target, staging, faithful=True))
    assert stat.S_IMODE(target.stat().st_mode) == 0o755


async def test_bytes_can_be_appended(source, staging):
    program, target = source / "deep" / "er" / "program", staging.parent / "target"
    for _ in range(2):
        await trio.to_thread.run_sync(partial(copy_file, program, target, staging, append=True))
    assert target.read_text() == "#!/bin/sh\n" * 2


async def test_a_pipe_in_the_place_of_a_file_holds_nobody_up(source, staging):
    target = staging.parent / "target"
    with trio.fail_after(10):
        assert await trio.to_thread.run_sync(copy_file, source / "pipe", target, staging) == 0
    assert not target.exists()


async def test_a_copy_that_is_cancelled_leaves_what_was_there(source, staging):
    target = staging.parent / "target"
    target.write_text("before")
    with trio.CancelScope() as scope:
        scope.cancel()
        await trio.to_thread.run_sync(copy_file, source / "deep" / "er" / "program", target, staging)
    assert (scope.cancelled_caught, target.read_text()) == (True, "before")
    assert list(staging.iterdir()) == []


@pytest.mark.usefixtures("removable")
def test_a_folder_is_erased_however_deep_it_is(tmp_path):
    top = deep(tmp_path / "top", 1500, name="a long name " * 10)  # its path is longer than any that the kernel takes
    (top / "beside").mkdir()
    erase(top)
    assert not list(tmp_path.iterdir())


def test_what_links_lead_to_stays_when_they_are_erased(source):
    outside = source.parent / "outside folder"
    (outside / "kept").mkdir(parents=True)
    (source / "deep" / "way out").symlink_to(outside)
    (source.parent / "link").symlink_to(outside)
    erase(source)
    erase(source.parent / "link")
    assert {path.name for path in source.parent.iterdir()} == {"outside", "outside folder"}
    assert (outside / "kept").is_dir()


def test_a_folder_that_nobody_may_look_into_is_erased(source):
    for folder in (source / "deep" / "er", source / "deep", source):
        folder.chmod(0)
    erase(source)
    assert not source.exists()


def test_what_cannot_be_removed_is_left_with_the_folders_that_it_is_in(source, monkeypatch):
    really = os.unlink

    def unlink(path, **more):
        if path == "program":
            raise PermissionError(1, "Operation not permitted", path)
        really(path, **more)

    monkeypatch.setattr(os, "unlink", unlink)
    erase(source)
    assert {str(path.relative_to(source)) for path in source.rglob("*")} == {"deep", "deep/er", "deep/er/program"}


def test_a_folder_that_is_moved_away_while_it_is_erased_takes_nothing_else_with_it(source, monkeypatch):
    elsewhere = source.parent / "elsewhere"
    (elsewhere / "er").mkdir(parents=True)
    really = os.unlink

    def unlink(path, **more):
        really(path, **more)
        if path == "program":
            (source / "deep" / "er").rename(elsewhere / "moved")

    monkeypatch.setattr(os, "unlink", unlink)
    erase(source)
    assert {path.name for path in elsewhere.iterdir()} == {"er", "moved"}


@pytest.mark.usefixtures("removable")
async def test_what_is_deeper_than_a_path_may_be_is_not_copied_or_looked_through(source, staging):
    deepest = deep(source / "as deep as can be", DEEPEST - 1)
    await copied(source, staging)
    assert len(paths_below(deepest)) == DEEPEST - 1
    deep(source / "too deep", 1500)
    with pytest.raises(Refusal, match="more than 255 names deep") as refused:
        await copied(source, staging)
    assert refused.value.status == 400
    for look in (paths_below, lambda folder: in_the_way(folder, staging)):
        with pytest.raises(Refusal, match="more than 255 names deep"):
            look(source)
    erase(source)
