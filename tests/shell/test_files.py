"""Looking round the tree, reading, and changing files on systems."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from agavesh.shell import exits
from agavesh.shell.tokens import quote
from tests.shell.conftest import Shell

ALICE = "/systems/data.demo/alice"

# what is hard about names: for languages, for URLs, for terminals
NAMES = [
    "with blank", " leading", "#hash", "100%", "%41", "what?", "star*", "[x]", 'double "quotes"', "it's", "$HOME",
    "`tick`", "new\nline", "tab\t", "-rf", "~", "...", "a;b", "a&b|c<d>", "é", "é", "日本", "\x1b[31mred", "n" * 255,
]  # fmt: skip


async def test_the_root_shows_what_there_is(shell: Shell) -> None:
    assert (await shell.good("ls")).lines == ["apps", "jobs", "systems"]


async def test_cd_moves_and_pwd_tells(shell: Shell, home: Path) -> None:
    said = await shell.good(f"cd {ALICE}; pwd; cd docs; pwd; cd -; pwd; cd; pwd; cd ../..; pwd")
    assert said.lines == [ALICE, f"{ALICE}/docs", ALICE, ALICE, ALICE, "/systems"]


async def test_cd_to_a_file_or_nowhere_says_so_and_stays(shell: Shell, home: Path) -> None:
    assert (await shell(f"cd {ALICE}/README.txt")).status == exits.DATA
    assert (await shell(f"cd {ALICE}/nowhere")).status == exits.MISSING
    assert shell.here.cwd == "/"


async def test_what_is_not_there_is_answered_with_what_was_probably_meant(shell: Shell, home: Path) -> None:
    for line, meant in (
        (f"cat {ALICE}/REDME.txt", "README.txt"),
        ("ls /systems/data.dmeo", "data.demo"),
        ("apps show wordcont-1.0", "wordcount-1.0"),
        ("jobs submit ticker-1.1", "ticker-1.0"),
        ("systems show run.dem", "run.demo"),
    ):
        said = await shell(line)
        assert (said.status, f'did you mean "{meant}"?' in said.err) == (exits.MISSING, True), said.err


async def test_what_others_change_is_seen_at_the_next_command(shell: Shell, home: Path) -> None:
    await shell.good(f"cd {ALICE}; ls")
    (home / "new").write_text("new")
    assert (await shell.good("cat new")).out == "new"
    (home / "newer").write_text("")
    assert (await shell.good("ls")).lines == ["README.txt", "docs", "new", "newer"]
    (home / "newer").write_text("filled")
    assert (await shell.good("cat newer")).out == "filled"


async def test_ls_hides_dots_and_shows_them_with_a(shell: Shell, home: Path) -> None:
    assert (await shell.good(f"ls {ALICE}/docs")).lines == ["a.txt", "b.md"]
    assert (await shell.good(f"ls -a {ALICE}/docs")).lines == [".hidden", "a.txt", "b.md"]


async def test_ls_long_tells_size_time_and_access(shell: Shell, home: Path) -> None:
    os.utime(home / "docs" / "a.txt", (0, 86400 * 365))
    (line, _) = (await shell.good(f"ls -l {ALICE}/docs")).lines
    assert line.split() == ["-rwx", "2", "1971-01-01", "00:00", "a.txt"] or "1970-12-31" in line or "1971-01-01" in line
    assert (await shell.good(f"ls -ld {ALICE}/docs")).out.startswith("drwx")


async def test_ls_sorts_by_size_time_and_in_reverse(shell: Shell, home: Path) -> None:
    for age, (name, size) in enumerate((("m", 3), ("k", 1), ("l", 2))):
        (home / "docs" / name).write_bytes(b"x" * size)
        os.utime(home / "docs" / name, (1e9 - age, 1e9 - age))
    for name in ("a.txt", "b.md"):
        (home / "docs" / name).unlink()
    assert (await shell.good(f"ls -S {ALICE}/docs")).lines == ["m", "l", "k"]
    assert (await shell.good(f"ls -t {ALICE}/docs")).lines == ["m", "k", "l"]
    assert (await shell.good(f"ls -tr {ALICE}/docs")).lines == ["l", "k", "m"]
    assert (await shell.good(f"ls -r {ALICE}/docs")).lines == ["m", "l", "k"]


async def test_ls_recursive_titles_each_folder(shell: Shell, home: Path) -> None:
    said = await shell.good(f"cd {ALICE}; ls -R")
    assert said.lines == [".:", "README.txt", "docs", "", "./docs:", "a.txt", "b.md"]


async def test_ls_as_json_and_csv_has_a_record_for_each(shell: Shell, home: Path) -> None:
    records = (await shell.good(f"ls -o json {ALICE}")).json
    assert [(record["name"], record["type"]) for record in records] == [("README.txt", "file"), ("docs", "dir")]
    assert records[0]["size"] == len((home / "README.txt").read_bytes())
    assert (await shell.good(f"ls -o csv {ALICE}")).lines[0] == "name,type,size,modified,access,path"


async def test_several_paths_show_files_first_and_titles(shell: Shell, home: Path) -> None:
    said = await shell.good(f"ls {ALICE}/docs {ALICE}/README.txt")
    assert said.lines == [f"{ALICE}/README.txt", "", f"{ALICE}/docs:", "a.txt", "b.md"]


@pytest.mark.parametrize("name", NAMES)
async def test_a_file_of_any_name_is_listed_read_copied_and_removed(shell: Shell, home: Path, name: str) -> None:
    (home / "docs" / name).write_text("content")
    await shell.good(f"cd {ALICE}/docs")
    assert name in [record["name"] for record in (await shell.good("ls -a -o json")).json]
    assert (await shell.good(f"cat -- {quote(name)}")).out == "content"
    await shell.good(f"cp -- {quote(name)} ../copy; mv ../copy {quote('../moved ' + name[:240])}")
    assert (home / f"moved {name[:240]}").read_text() == "content"
    await shell.good(f"rm -- {quote(name)}")
    assert not (home / "docs" / name).exists()


async def test_one_uri_means_the_same_to_cat_and_to_a_job(shell: Shell, tenant: Any, home: Path) -> None:
    for uri in ("agave://data.demo//alice/docs/a.txt", "agave://data.demo/alice/docs/a.txt"):
        assert (await shell.good(f"cat {uri}")).out == "a\n"
        job = (await shell.good(f"jobs submit wordcount-1.0 text={uri} --wait")).out.strip()
        assert (await shell.good(f"cat job:{job}/a.txt")).out == "a\n"


async def test_head_and_tail_give_lines_and_bytes(shell: Shell, home: Path) -> None:
    file = f"{ALICE}/README.txt"
    whole = (home / "README.txt").read_text()
    lines = whole.splitlines(keepends=True)
    assert (await shell.good(f"head {file}")).out == "".join(lines[:10])
    assert (await shell.good(f"head -3 {file}")).out == "".join(lines[:3])
    assert (await shell.good(f"head -c 7 {file}")).out == whole[:7]
    assert (await shell.good(f"tail {file}")).out == "".join(lines[-10:])
    assert (await shell.good(f"tail -n 2 {file}")).out == "".join(lines[-2:])
    assert (await shell.good(f"tail -c 7 {file}")).out == whole[-7:]
    assert (await shell.good(f"tail -n 0 {file}")).out == ""
    assert (await shell.good(f"tail -n 99 {file}")).out == whole


async def test_tail_reads_back_over_more_than_one_block(shell: Shell, home: Path) -> None:
    (home / "long").write_text("x" * 200_000 + "\n" + "y" * 150_000 + "\nend")
    assert (await shell.good(f"tail -n 2 {ALICE}/long")).out == "y" * 150_000 + "\nend"


async def test_an_empty_file_is_read_as_nothing(shell: Shell, home: Path) -> None:
    (home / "empty").touch()
    assert (await shell.good(f"cat {ALICE}/empty; head {ALICE}/empty; tail {ALICE}/empty")).out == ""


async def test_a_folder_is_not_read(shell: Shell, home: Path) -> None:
    said = await shell(f"cat {ALICE}/docs")
    assert (said.status, said.out) == (exits.DATA, "")
    assert "is a folder" in said.err


async def test_stat_shows_the_platforms_record_as_it_came(shell: Shell, home: Path, tenant: Any) -> None:
    async with tenant.http() as http:
        answer = await http.get("/files/v2/listings/system/data.demo//alice/docs/a.txt")
    assert (await shell.good(f"stat -o json {ALICE}/docs/a.txt")).json == answer.json()["result"][0]
    assert "agave://data.demo//alice/docs/a.txt" in (await shell.good(f"stat {ALICE}/docs/a.txt")).out


# wildcards


async def test_wildcards_stand_for_names_here_and_in_uris(shell: Shell, home: Path) -> None:
    await shell.good(f"cd {ALICE}")
    assert (await shell.good("ls docs/*.txt")).lines == ["docs/a.txt"]
    assert (await shell.good("cat */?.*")).out == "a\nb\n"
    assert (await shell.good("ls agave://data.demo//al*/docs/[ab].txt")).lines == [f"{ALICE}/docs/a.txt"]
    assert (await shell.good("ls -d docs/.*")).lines == ["docs/.hidden"]


async def test_a_quoted_wildcard_is_a_plain_character(shell: Shell, home: Path) -> None:
    (home / "docs" / "*").write_text("star")
    assert (await shell.good(f"cat {ALICE}/docs/'*'")).out == "star"
    assert (await shell.good(rf"rm {ALICE}/docs/\*")).out == ""
    assert sorted(path.name for path in (home / "docs").iterdir()) == [".hidden", "a.txt", "b.md"]


async def test_a_wildcard_that_fits_nothing_is_a_name_that_is_not_there(shell: Shell, home: Path) -> None:
    said = await shell(f"cat {ALICE}/*.nothing")
    assert said.status == exits.MISSING
    assert "*.nothing" in said.err


async def test_a_wildcard_for_one_value_may_stand_for_one_name_only(shell: Shell, home: Path) -> None:
    await shell.good(f"cd {ALICE}/do*")
    assert (await shell("cd ../[Rd]*")).status == exits.USAGE


# changing


async def test_mkdir_makes_one_folder_or_with_p_all(shell: Shell, home: Path) -> None:
    assert (await shell(f"mkdir {ALICE}/x/y")).status == exits.MISSING
    await shell.good(f"mkdir {ALICE}/x; mkdir -p {ALICE}/x/y/z {ALICE}/x")
    assert (home / "x" / "y" / "z").is_dir()
    assert (await shell(f"mkdir {ALICE}/x")).status == exits.CANNOT_CREATE
    assert (await shell(f"mkdir -p {ALICE}/README.txt")).status == exits.CANNOT_CREATE
    assert (await shell.good(f"ls {ALICE}/x")).lines == ["y"]


async def test_rm_wants_r_for_folders_and_f_forgives(shell: Shell, home: Path) -> None:
    assert (await shell(f"rm {ALICE}/docs")).status == exits.DATA
    await shell.good(f"rm -r {ALICE}/docs")
    assert not (home / "docs").exists()
    assert (await shell(f"rm {ALICE}/docs")).status == exits.MISSING
    await shell.good(f"rm -f {ALICE}/docs")
    assert (await shell.good(f"ls {ALICE}")).lines == ["README.txt"]


async def test_cp_copies_files_into_folders_and_over_files(shell: Shell, home: Path) -> None:
    await shell.good(f"cd {ALICE}; cp README.txt docs; cp docs/a.txt docs/b.md")
    assert (home / "docs" / "README.txt").read_bytes() == (home / "README.txt").read_bytes()
    assert (home / "docs" / "b.md").read_text() == "a\n"
    assert (await shell("cp docs other")).status == exits.DATA
    await shell.good("cp -r docs other")
    assert (home / "other" / "a.txt").read_text() == "a\n"
    assert (await shell("cp -r docs docs/inside")).status == exits.USAGE
    assert (await shell("cp README.txt README.txt")).status == exits.USAGE


async def test_cp_between_a_job_and_a_system_brings_the_bytes_through(shell: Shell, home: Path) -> None:
    job = (await shell.good(f"jobs submit wordcount-1.0 text={ALICE}/docs/a.txt --wait")).out.strip()
    await shell.good(f"cp job:{job}/wordcount.txt {ALICE}/kept.txt; cp -r job:{job}/ {ALICE}/all")
    assert (home / "kept.txt").read_bytes() == (home / "all" / "wordcount.txt").read_bytes() != b""
    assert (await shell(f"cp {ALICE}/README.txt job:{job}/x")).status == exits.NOT_ALLOWED


async def test_mv_renames_moves_and_replaces_files(shell: Shell, home: Path) -> None:
    await shell.good(f"cd {ALICE}; mv README.txt r; mv r docs; mv docs/r docs/a.txt")
    assert sorted(path.name for path in (home / "docs").iterdir()) == [".hidden", "a.txt", "b.md"]
    assert (home / "docs" / "a.txt").read_text().startswith("line 1")
    await shell.good("mv docs papers")
    assert (await shell.good("ls")).lines == ["papers"]
    assert (await shell("mv nothing x")).status == exits.MISSING


async def test_what_is_made_up_here_cannot_be_changed(shell: Shell, home: Path) -> None:
    for line in ("mkdir /x", "mkdir /systems/x", "rm -r /apps/wordcount-1.0", f"cp {ALICE}/README.txt /jobs/x"):
        said = await shell(line)
        assert said.status in (exits.NOT_ALLOWED, exits.MISSING), (line, said)
        assert said.err
