"""get and put: whole or not at all, many at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from agavesh.shell import exits
from agavesh.shell.tokens import quote
from tests.shell.conftest import Shell

ALICE = "/systems/data.demo/alice"


async def test_get_brings_a_file_under_its_name_or_another(shell: Shell, home: Path, own_folders: Path) -> None:
    await shell.good(f"get {ALICE}/README.txt; get {ALICE}/README.txt other; mkdir {ALICE}/x")
    (own_folders / "folder").mkdir()
    await shell.good(f"get {ALICE}/README.txt folder; get {ALICE}/docs/*.* folder")
    whole = (home / "README.txt").read_bytes()
    for name in ("README.txt", "other", "folder/README.txt"):
        assert (own_folders / name).read_bytes() == whole
    assert sorted(path.name for path in (own_folders / "folder").iterdir()) == ["README.txt", "a.txt", "b.md"]


async def test_put_takes_files_and_replaces_what_is_there(shell: Shell, home: Path, own_folders: Path) -> None:
    (own_folders / "new").write_text("new")
    await shell.good(f"cd {ALICE}; put new; put new docs; put new docs/a.txt; put new renamed")
    for name in ("new", "docs/new", "docs/a.txt", "renamed"):
        assert (home / name).read_text() == "new"
    assert (await shell.good("ls")).lines == ["README.txt", "docs", "new", "renamed"]


async def test_folders_go_there_and_come_back_the_same(shell: Shell, home: Path, own_folders: Path) -> None:
    names = ["a", "b c", "#1", "100%", "new\nline", "é", ".dot", "deep/er/file", "-rf", "empty", "*"]
    for name in names:
        file = own_folders / "tree" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"" if name == "empty" else name.encode() * 1000)
    (own_folders / "tree" / "void").mkdir()
    await shell.good(f"put -r tree {ALICE}; get -r {ALICE}/tree back")
    assert (await shell("get " + ALICE + "/tree")).status == exits.DATA
    assert (await shell(f"put tree {ALICE}")).status == exits.DATA
    there = {
        p.relative_to(own_folders / "tree"): p.read_bytes() for p in (own_folders / "tree").rglob("*") if p.is_file()
    }
    back = {
        p.relative_to(own_folders / "back"): p.read_bytes() for p in (own_folders / "back").rglob("*") if p.is_file()
    }
    assert back == there
    assert (own_folders / "back" / "void").is_dir()


async def test_the_outputs_of_a_job_come_as_a_folder(shell: Shell, home: Path, own_folders: Path) -> None:
    await shell.good(f"jobs submit wordcount-1.0 text={ALICE}/README.txt --wait")
    await shell.good("get -r /jobs/latest/outputs results")
    assert (own_folders / "results" / "README.txt").read_bytes() == (home / "README.txt").read_bytes()
    await shell.good("get -r /jobs/latest job")
    assert (own_folders / "job" / "status").read_text() == "FINISHED\n"


async def test_a_file_that_is_cut_does_not_appear(
    shell: Shell, home: Path, own_folders: Path, tenant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "large").write_bytes(b"x" * 300_000)
    (own_folders / "large").write_text("what was here before")
    with tenant.faults.cutting("files.download", 100_000):
        said = await shell(f"get {ALICE}/large")
    assert said.status == exits.PROTOCOL
    assert (own_folders / "large").read_text() == "what was here before"
    assert [path.name for path in own_folders.iterdir()] == ["large"]


async def test_one_file_that_fails_stops_none_of_the_others(shell: Shell, home: Path, own_folders: Path) -> None:
    (own_folders / "out").mkdir()
    (own_folders / "out" / "a.txt").mkdir()  # in the way
    said = await shell(f"get {ALICE}/docs/*.* out")
    assert said.status == exits.DATA
    assert "a.txt is a folder here" in said.err
    assert "1 of 2 files failed" in said.err
    assert (own_folders / "out" / "b.md").exists()


async def test_several_files_need_a_folder_and_names_that_differ(shell: Shell, home: Path, own_folders: Path) -> None:
    (home / "docs" / "README.txt").touch()
    assert (await shell(f"get {ALICE}/docs/*.* nowhere")).status == exits.DATA
    assert (await shell(f"get {ALICE}/README.txt {ALICE}/docs/README.txt .")).status == exits.USAGE
    assert (await shell(f"get {ALICE}/README.txt nowhere/")).status == exits.MISSING
    assert (await shell(f"put nothing {ALICE}")).status == exits.MISSING


async def test_put_to_what_is_made_up_is_refused(shell: Shell, own_folders: Path) -> None:
    (own_folders / "f").touch()
    assert (await shell("put f /jobs")).status == exits.NOT_ALLOWED


async def test_a_cancelled_get_leaves_nothing(shell: Shell, home: Path, own_folders: Path, tenant: Any) -> None:
    (home / "large").write_bytes(b"x" * 3_000_000)
    with tenant.faults.stalling("files.download", 100_000), trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(shell, f"get {ALICE}/large")
            while not list(own_folders.glob(".large.*.part")):
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert list(own_folders.iterdir()) == []


async def test_odd_names_come_under_those_names(shell: Shell, home: Path, own_folders: Path) -> None:
    name = "new\nline 'and' \"more\""
    (home / name).write_text("odd")
    await shell.good(f"get {ALICE}/{quote(name)}; put {quote(name)} {ALICE}/docs")
    assert (own_folders / name).read_text() == (home / "docs" / name).read_text() == "odd"


async def test_a_name_of_255_bytes_comes_though_its_letters_are_fewer(
    shell: Shell, home: Path, own_folders: Path
) -> None:
    name = "ü" * 127 + "x"
    (home / name).write_text("long")
    await shell.good(f"get {ALICE}/{name}")
    assert (own_folders / name).read_text() == "long"


async def test_a_place_that_can_not_be_written_is_named(shell: Shell, home: Path, own_folders: Path) -> None:
    said = await shell(f"get {ALICE}/README.txt {own_folders}/no/such/place")
    assert (said.status, said.err) == (
        exits.MISSING,
        f"agavesh: {own_folders}/no/such/place: No such file or directory\n",
    )


async def test_a_link_that_leads_in_circles_is_left_out(shell: Shell, home: Path, own_folders: Path) -> None:
    (own_folders / "tree").mkdir()
    (own_folders / "tree" / "file").write_text("once")
    (own_folders / "tree" / "again").symlink_to(own_folders / "tree")
    said = await shell.good(f"put -r tree {ALICE}")
    assert "again is a link to a folder" in said.err
    assert [path.name for path in (home / "tree").iterdir()] == ["file"]
