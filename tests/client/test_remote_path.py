"""RemotePath: any name a file can have goes into an address and comes out again."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agavesh.client.errors import BadArgument
from agavesh.client.path import RemotePath, parse_uri

names = st.text(min_size=1).filter(lambda name: "/" not in name and "\0" not in name)
# what os.fsdecode makes of names that are not UTF-8 stands among them
raw_names = st.binary(min_size=1).map(lambda raw: os.fsdecode(raw.replace(b"/", b"_").replace(b"\0", b"_")))
ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9.\-]{2,20}", fullmatch=True)
folders = st.builds(
    lambda start, parts: start + "/".join(parts), st.sampled_from(["", "/"]), st.lists(names | raw_names, max_size=4)
)
on_systems = st.builds(RemotePath, st.just("system"), ids, folders)
of_jobs = st.builds(RemotePath, st.just("job"), ids, folders.map(lambda path: "/" + path.lstrip("/")))
paths = on_systems | of_jobs


@given(paths)
def test_an_address_as_text_is_read_back_as_the_same(path: RemotePath) -> None:
    assert parse_uri(path.uri) == path


@given(paths)
def test_an_address_as_text_is_plain_ascii_without_blanks(path: RemotePath) -> None:
    assert path.uri.isascii()
    assert path.uri == "".join(path.uri.split())


@given(paths, names | raw_names)
def test_a_name_in_a_folder_has_that_name_and_that_folder(folder: RemotePath, name: str) -> None:
    child = folder / name
    assert (child.name, child.parent) == (name, folder)


@given(of_jobs | on_systems.filter(lambda path: path.path.startswith("/")))
def test_a_tree_path_begins_at_the_owner_and_ends_with_the_name(path: RemotePath) -> None:
    top, owner = path.tree_path.split("/")[1:3]
    assert (top, owner) == (f"{path.root}s", path.owner)
    assert path.tree_path.endswith(path.path.rstrip("/"))


def test_one_slash_is_from_the_home_and_two_are_from_the_root() -> None:
    assert parse_uri("agave://data.demo/a b") == RemotePath("system", "data.demo", "a b")
    assert parse_uri("agave://data.demo//a%20b") == RemotePath("system", "data.demo", "/a b")
    assert parse_uri("agave://data.demo") == parse_uri("agave://data.demo/") == RemotePath("system", "data.demo", "")
    assert parse_uri("job:1-007/out.txt") == RemotePath("job", "1-007", "/out.txt")


def test_a_path_from_the_home_has_no_place_in_the_tree() -> None:
    with pytest.raises(ValueError, match="from the home"):
        _ = RemotePath("system", "data.demo", "a").tree_path


@pytest.mark.parametrize(
    "text", ["", "a", "/systems/a", "agave:///a", "agave:", "job:", "job:/a", "http://h/a", "file:a"]
)
def test_what_is_no_address_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(BadArgument) as refused:
        parse_uri(text)
    assert refused.value.hint


@pytest.mark.parametrize("name", ["", "a/b", "/", "a\0"])
def test_what_cannot_be_a_name_is_refused(name: str) -> None:
    with pytest.raises(BadArgument):
        _ = RemotePath("system", "data.demo", "/") / name
