"""Where the cache stands, and how much it may take."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest

from agavefs.cli import size_of
from agavefs.places import Places
from agavefs.shelf import Shelf

JOBS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID")


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AGAVEFS_CACHE_DIR", *JOBS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "near"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "near").mkdir()


def test_the_cache_stands_in_the_users_state(tmp_path: Path) -> None:
    assert Places.of().cache.is_relative_to(tmp_path / "state")


@pytest.mark.parametrize("job", JOBS)
def test_in_a_batch_job_it_stands_in_tmpdir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, job: str) -> None:
    monkeypatch.setenv(job, "4711")
    places = Places.of()
    assert places.cache.is_relative_to(tmp_path / "near")
    assert places.state.is_relative_to(tmp_path / "state")  # where mounts find each other stays
    assert places.doubt() is None
    assert places.cache.stat().st_mode & 0o777 == 0o700


def test_what_is_named_goes_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.setenv("AGAVEFS_CACHE_DIR", str(tmp_path / "named"))
    assert Places.of().cache.parent == tmp_path / "named"
    assert Places.of(tmp_path / "asked").cache.parent == tmp_path / "asked"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make what belongs to somebody else")
def test_a_folder_that_somebody_else_has_put_there_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PBS_JOBID", "4711")
    trap = Places.of().cache.parent
    trap.mkdir()
    os.chown(trap, 12345, 12345)
    with pytest.raises(OSError, match="belongs to somebody else"):
        Places.of().doubt()


def test_the_room_is_a_tenth_of_the_disk_and_no_more_than_ten_gib(tmp_path: Path) -> None:
    room = Places.of(tmp_path / "asked").room()
    disk = os.statvfs(tmp_path)
    assert 0 < room <= min(10 * 2**30, disk.f_blocks * disk.f_frsize // 10)


def test_what_is_kept_counts_as_free_and_is_not_looked_through_for_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = Places.of(tmp_path / "asked")
    monkeypatch.setattr("shutil.disk_usage", lambda path: argparse.Namespace(free=10 * 2**30))
    assert places.room() == 2**30
    shelf = Shelf(places.kept, "alice")
    (shelf.folder / "some").write_bytes(b"a" * 2**20)
    shelf.look(places.spools("one"))
    assert places.room() == (10 * 2**30 + 2**20) // 10
    (shelf.folder / "more").write_bytes(b"a" * 2**20)
    assert places.room() == (10 * 2**30 + 2**20) // 10


@pytest.mark.parametrize(
    ("text", "size"),
    [("500M", 500 * 2**20), ("2G", 2**31), ("64k", 2**16), ("1.5T", 3 * 2**39), ("10GiB", 10 * 2**30), ("4096", 2**32)],
)
def test_sizes_have_units(text: str, size: int) -> None:
    assert size_of(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1G", "1X", "0", "1 2"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="500M or 2G"):
        size_of(text)
