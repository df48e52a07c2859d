"""The detector: in which orders programs go through trees, what is told then, and how little where they do not."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agavefs.inodes import number_in
from agavefs.walk import EACH, FILES_LEAST, FILES_MOST, FOLDERS_LEAST, FOLDERS_MOST, Count, Place, Purse, Walk
from agavesh.client.storage import Entry

ROOT, NUMBER = "/systems/s", 7

Tree = dict[str, "Tree | int"]  # a folder's names; a file is its size
Sort = Callable[[int, list[str]], list[str]]


def make(*widths: int, files: int = 0, size: int = 100) -> Tree:
    """A tree so wide at each depth, with so many files in each folder; its names in no order."""
    names = [f"{at:03}" for at in range(widths[0] if widths else 0)]
    files_here = [f"f{at:03}.txt" for at in range(files)]
    random.Random(len(widths)).shuffle(names)
    tree: Tree = {}
    for name in names:
        tree[name] = make(*widths[1:], files=files, size=size)
    for name in files_here:
        tree[name] = size
    return tree


class Program:
    """A program that goes through a tree, and a fetcher that does at once what it is told. `told` is what it fetched,
    `asked` what the program had to wait for."""

    def __init__(self, tree: Tree, *, patience: int = 2) -> None:
        self.tree = tree
        self.listed: set[str] = set()
        self.looked: list[str] = []
        self.told: list[str] = []
        self.files_told: list[str] = []
        self.asked: list[str] = []
        self.files_asked: list[str] = []
        self.folders, self.files = Count(), Count()
        self.walk = Walk(
            self.known,
            Purse(self.folders, FOLDERS_LEAST, FOLDERS_MOST),
            Purse(self.files, FILES_LEAST, FILES_MOST),
            patience=patience,
        )

    def at(self, path: str) -> Tree:
        tree = self.tree
        for name in names_of(path):
            tree = tree[name]  # type: ignore[assignment]  # it is a folder
        return tree

    def known(self, path: str) -> Mapping[str, Entry] | None:
        self.looked.append(path)
        if path not in self.listed:
            return None
        return {
            name: Entry(name, "dir", 0, 1.0) if isinstance(what, dict) else Entry(name, "file", what, 1.0)
            for name, what in self.at(path).items()
        }

    def list(self, path: str) -> Tree:
        self.walk.read(ROOT, NUMBER, names_of(path))
        self._go_on()
        if path not in self.listed:
            self.asked.append(path)
            self.listed.add(path)
        here = self.walk.here
        assert here is not None
        self.walk.listed(here)
        self._go_on()
        return self.at(path)

    def cat(self, path: str) -> None:
        folder, _, name = path.rpartition("/")
        self.walk.open(ROOT, NUMBER, names_of(folder), name)
        if path not in self.files_told:
            self.files_asked.append(path)
        self._go_on()

    def _go_on(self) -> None:
        while self.walk.folders.room and (place := self.walk.next_folder()) is not None:
            place.ahead = place.path not in self.listed
            self.walk.folders.spend(1, asked=place.ahead)
            if place.ahead:
                self.told.append(place.path)
                self.listed.add(place.path)
            self.walk.listed(place)
        while self.walk.files.room and (wanted := self.walk.next_file()) is not None:
            self._file(*wanted)

    def _file(self, place: Place, entry: Entry) -> None:
        path = f"{place.path}/{entry.name}"
        cost = (entry.size or 0) + EACH
        assert path not in self.files_told, "told twice"
        place.files_ahead[entry.name] = (cost, True)
        self.walk.files.spend(cost, asked=True)
        self.files_told.append(path)

    def number(self, path: str) -> int:
        number = NUMBER
        for name in names_of(path):
            number = number_in(number, name)
        return number


def names_of(path: str) -> list[str]:
    return [name for name in path.removeprefix(ROOT).split("/") if name]


def told(program: Program, path: str, names: list[str]) -> list[str]:
    return names


def by_name(program: Program, path: str, names: list[str]) -> list[str]:
    return sorted(names)


def by_inode(program: Program, path: str, names: list[str]) -> list[str]:
    return sorted(names, key=lambda name: program.number(f"{path}/{name}"))


SORTS = [told, by_name, by_inode]
Sorting = Callable[[Program, str, list[str]], list[str]]


def walk(program: Program, path: str, sort: Sorting, *, read: bool = False) -> Iterator[str]:
    """As find, grep and cp do: each name in turn, and into a folder as soon as it comes."""
    yield path
    tree = program.list(path)
    for name in sort(program, path, list(tree)):
        if isinstance(tree[name], dict):
            yield from walk(program, f"{path}/{name}", sort, read=read)
        elif read:
            program.cat(f"{path}/{name}")


def level_by_level(program: Program, path: str, sort: Sorting) -> Iterator[str]:
    """As os.walk does: all files of a folder, then what is below."""
    yield path
    tree = program.list(path)
    names = sort(program, path, list(tree))
    for name in names:
        if not isinstance(tree[name], dict):
            program.cat(f"{path}/{name}")
    for name in names:
        if isinstance(tree[name], dict):
            yield from level_by_level(program, f"{path}/{name}", sort)


@pytest.mark.parametrize("sort", SORTS)
def test_of_a_tree_only_the_first_folders_are_waited_for(sort: Sorting) -> None:
    program = Program(make(10, 5, 7))
    assert len(list(walk(program, ROOT, sort))) == 411
    assert len(program.asked) <= 4, program.asked
    assert program.folders.used == 411 - len(program.asked)
    assert program.folders.wasted == 0


@pytest.mark.parametrize("sort", SORTS)
def test_who_looks_at_names_only_gets_no_bytes(sort: Sorting) -> None:
    program = Program(make(5, 5, files=10))
    list(walk(program, ROOT, sort))
    assert not program.files_told


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("way", [walk, level_by_level])
def test_of_many_small_files_only_the_first_are_waited_for(sort: Sorting, way: object) -> None:
    program = Program(make(8, 3, files=25))
    if way is walk:
        list(walk(program, ROOT, sort, read=True))
    else:
        list(level_by_level(program, ROOT, sort))
    assert program.files.used + len(program.files_asked) == 33 * 25
    assert len(program.files_asked) <= 6, program.files_asked
    assert program.files.wasted == 0
    assert len(program.asked) <= 4, program.asked


def test_one_folder_or_one_file_tells_nothing() -> None:
    program = Program(make(10, 5, files=10))
    program.list(ROOT)
    assert not program.told
    program = Program(make(10, 5, files=10))
    program.cat(f"{ROOT}/000/f000.txt")
    assert not program.told
    assert not program.files_told
    assert not program.looked  # all names of a wide folder for one that is opened would be dear


def test_the_files_of_one_folder_in_order_tell_the_others_of_it_and_no_more() -> None:
    program = Program(make(3, files=50))
    program.listed |= {ROOT, f"{ROOT}/000"}
    for at in range(50):
        program.cat(f"{ROOT}/000/f{at:03}.txt")
    assert len(program.files_asked) == 2
    assert len(program.files_told) == 48
    assert not program.told


def test_files_of_one_kind_tell_those_of_that_kind() -> None:
    tree: Tree = {}
    for at in range(60):
        tree |= {f"{at:02}.csv": 100, f"{at:02}.log": 100, f"{at:02}.bak": 100}
    program = Program({"d": tree})
    program.listed |= {ROOT, f"{ROOT}/d"}
    for at in range(60):
        program.cat(f"{ROOT}/d/{at:02}.csv")
    assert len(program.files_asked) <= 3
    assert {path.rpartition(".")[2] for path in program.files_told} == {"csv"}


@given(st.integers(0, 2**32), st.sampled_from([(10, 5, 7), (40,), (400,), (3, 3, 3, 3), (6, 6)]))
def test_folders_here_and_there_cost_a_tenth_more_at_most(seed: int, widths: tuple[int, ...]) -> None:
    chance = random.Random(seed)
    spent = wanted = 0
    for _ in range(10):
        tree = make(*widths)
        all_paths = list(walk(Program(tree), ROOT, told))
        program = Program(tree)
        program.listed |= set(all_paths)  # the shell, or the kernel, may know them
        program.listed -= set(chosen := chance.sample(all_paths[1:], 20))
        for path in chosen:
            program.list(path)
        spent += len(program.told)
        wanted += 20
    assert spent <= wanted / 10, (spent, wanted)


def test_a_walk_that_stops_early_has_cost_little() -> None:
    for stop in range(1, 300, 7):
        program = Program(make(10, 5, 7))
        for at, _ in enumerate(walk(program, ROOT, told)):
            if at == stop:
                break
        program.walk.leave()
        assert program.folders.used + program.folders.wasted == program.folders.asked
        assert program.folders.wasted <= 16 * stop


def test_folders_that_are_not_gone_into_are_not_listed_ahead() -> None:
    """`ls d*/`: all folders of one, and nothing below them."""
    program = Program(make(100, 20))
    for name in by_name(program, ROOT, list(program.list(ROOT))):
        program.list(f"{ROOT}/{name}")
    below = [path for path in program.told if len(names_of(path)) == 2]
    assert len(below) <= 6, below
    assert len(program.asked) <= 4


def test_what_is_passed_by_ends_it() -> None:
    """grep --include of one file in ten, which end alike."""
    program = Program(make(20, files=50))
    for name in by_name(program, ROOT, list(program.list(ROOT)))[:20]:
        program.list(f"{ROOT}/{name}")
        for at in range(0, 50, 10):
            program.cat(f"{ROOT}/{name}/f{at:03}.txt")
    assert program.files.wasted <= 40
