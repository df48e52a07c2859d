"""A walk: one program's way through a tree, and what it is going to want next. Pure; it fetches nothing.

Programs go through trees in few ways: folder by folder, each below its parent, and the names of a folder as they were
told (find, grep, tar), sorted (ls, a shell's `*`) or by inode (cp). Two steps in order are believed: a folder's first
and second, or one that was just read and then the first in it. What stands next in that order is then told to who
fetches (`ahead`), within a purse that is doubled by what is used and cut by what is passed by. Folders and files are
two kinds of steps with a purse each: who looks at names only gets no bytes. A step elsewhere is no proof of the
contrary, but some in a row, or more that is passed by than is used, and nothing is told any more.

What is told first is what comes first on the way; a folder that is not listed yet is told before what may be in it.
"""

from __future__ import annotations

import heapq
import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from agavefs.inodes import number_in
from agavesh.client.storage import Entry

FOLDERS_LEAST, FOLDERS_MOST = 4, 512  # folders that are listed and not read yet
FILES_LEAST, FILES_MOST = 128 * 2**10, 64 * 2**20  # bytes of files that are fetched and not opened yet
EACH = 16 * 2**10  # bytes that a file counts beside its own
_BESIDE = 32  # folders that a program gets by reading files alone
_LUCK, _LUCK_MOST = 6, 12  # how many more may be passed by than used, at first and ever
_STRAYS = 3  # steps out of order, one after another, that end a walk
_SORTED_MOST = 20_000  # names: larger folders are only expected to be read as they were told
_SKIPPED = 64  # names of other kinds (*.csv) that lie between two steps at most


class Order(IntEnum):
    """The ways through the names of a folder."""

    TOLD = 0
    SORTED = 1
    FOLDED = 2  # as people sort: neither case nor signs count
    NUMBERED = 3


class Way:
    """The names of one folder in one order; `dirs` and `files` are places in it."""

    __slots__ = ("dirs", "files", "names", "rank")

    def __init__(self, names: list[str], entries: Mapping[str, Entry]) -> None:
        self.names = names
        self.rank = {name: place for place, name in enumerate(names)}
        self.dirs: list[int] = []
        self.files: list[int] = []
        for place, name in enumerate(names):
            (self.dirs if entries[name].kind == "dir" else self.files).append(place)

    def after(self, name: str | None, places: list[int]) -> int:
        """Where in `places` what follows `name` begins."""
        return 0 if name is None else bisect_right(places, self.rank.get(name, -1))

    def follows(self, before: str | None, name: str, *, files: bool) -> bool | None:
        """Whether `name` is the next of its kind; None: of those that end as it does."""
        places = self.files if files else self.dirs
        if (place := self.rank.get(name)) is None:
            return False
        since, at = self.after(before, places), bisect_left(places, place)
        if since == at:
            return True
        if not files or not since < at <= since + _SKIPPED or not (end := suffix(name)):
            return False
        if (before is not None and suffix(before) != end) or any(
            suffix(self.names[other]) == end for other in places[since:at]
        ):
            return False
        return None

    def between(self, before: str | None, name: str, places: list[int]) -> list[str]:
        """What of `places` was passed by."""
        if before is None or (place := self.rank.get(name)) is None:
            return []
        return [self.names[other] for other in places[self.after(before, places) : bisect_left(places, place)]]


def suffix(name: str) -> str:
    """What a pattern like *.csv goes by."""
    return name.rpartition(".")[2] if "." in name[1:] else ""


@dataclass
class Count:
    """What was fetched ahead of programs, and what became of it."""

    asked: int = 0
    used: int = 0
    wasted: int = 0


class Purse:
    """How much may be fetched and not be used yet. `out` is."""

    def __init__(self, count: Count, least: int, most: int) -> None:
        self._count, self._least, self._most = count, least, max(least, most)
        self.window, self.out, self.luck = least, 0, _LUCK

    @property
    def room(self) -> bool:
        return self.luck > 0 and self.out < self.window

    def spend(self, cost: int, *, asked: bool) -> None:
        self.out += cost
        self._count.asked += asked

    def use(self, cost: int, *, asked: bool) -> None:
        """Somebody took it."""
        self.out -= cost
        if asked:
            self._count.used += 1
            self.luck = min(self.luck + 1, _LUCK_MOST)

    def grow(self) -> None:
        """One more step in order."""
        self.window = min(self.window * 2, self.window + self._most // 32, self._most)

    def waste(self, cost: int, *, asked: bool) -> None:
        """It was passed by."""
        self.out -= cost
        if asked:
            self._count.wasted += 1
            self.window = max(self.window * 3 // 4, self._least)
            self.luck -= 1


class Place:
    """A folder on the way, or ahead. `dir` and `file` are the ones in it that were visited last, `scanned` says that
    its names were read on this way; `steps` and `runs` count folders and files in it that were visited in order."""

    __slots__ = (
        "ahead", "at_dir", "at_file", "children", "dir", "dropped", "entries", "file", "files_ahead", "name", "node",
        "number", "parent", "path", "runs", "scanned", "steps", "ways",
    )  # fmt: skip

    def __init__(self, name: str, path: str, number: int, parent: Place | None) -> None:
        self.name, self.path, self.number, self.parent = name, path, number, parent
        self.children: dict[str, Place] = {}
        self.node: object = None  # for who fetches
        self.entries: Mapping[str, Entry] | None = None
        self.ways: dict[Order, Way] = {}
        self.dir: str | None = None
        self.file: str | None = None
        self.scanned = self.dropped = False
        self.steps = self.runs = 0
        self.at_dir = self.at_file = 0  # what was told already, as places in its Way
        self.ahead: bool | None = None  # it was told ahead, and had to be asked for; or was here already
        self.files_ahead: dict[str, tuple[int, bool]] = {}  # the same for its files, and what they cost

    def child(self, name: str) -> Place:
        if (place := self.children.get(name)) is None:
            path = f"{self.path.rstrip('/')}/{name}"
            place = self.children[name] = Place(name, path, number_in(self.number, name), self)
        return place


class Walk:
    """One program's way. `known` tells what is in a folder, if it is listed; `patience` how many steps are believed."""

    def __init__(
        self,
        known: Callable[[str], Mapping[str, Entry] | None],
        folders: Purse,
        files: Purse,
        *,
        patience: int = 2,
    ) -> None:
        self._known, self._patience = known, patience
        self.folders, self.files = folders, files
        self._orders: list[Order] = list(Order)
        self.root: Place | None = None
        self.here: Place | None = None
        self._score = self._reads = self._strays = 0  # steps in order through folders that were read
        self.walking = self.reading = False
        self._fitted = False  # the last step to a folder was in order
        self._flat = False  # it does not go into what is in the folders that it reads
        self._only: str | None = None  # the files that it reads end so
        self._heads: list[tuple[tuple[int, ...], int, Place]] = []  # of folders: where their next folder stands
        self._file_heads: list[tuple[tuple[int, ...], int, Place]] = []
        self._tie = itertools.count()

    @property
    def on(self) -> bool:
        return self.walking or self.reading

    # what the program does -------------------------------------------------------------------------------------------

    def read(self, root: str, number: int, names: list[str]) -> None:
        """It reads the folder that `names` lead to from `root`, a folder with that inode number."""
        place = self._enter(root, number, names)
        place.scanned = True
        if place.ahead is not None:
            self.folders.use(1, asked=place.ahead)
        if self._fitted and place.ahead is not False:  # what was here already is no reason to look further
            self.folders.grow()
        place.ahead = None

    def listed(self, place: Place) -> None:
        """What is in a folder is known now."""
        if self.on and not place.dropped:
            self._push(place)

    def open(self, root: str, number: int, names: list[str], name: str) -> None:
        """It opens a file in that folder, to read it."""
        place = self._enter(root, number, names)
        if (paid := place.files_ahead.pop(name, None)) is not None:
            self.files.use(paid[0], asked=paid[1])
        before = place.file
        if before == name:
            return
        fits = self._step(place, before, name, files=True)
        for passed in self._passed(place, before, name, files=True):
            if (paid := place.files_ahead.pop(passed, None)) is not None:
                self.files.waste(paid[0], asked=paid[1])
        place.file = name
        if fits:
            place.runs += 1 + self._from_first(place, before, place.runs, files=True)
            self._strays = 0
            if place.scanned:
                self._reads += 1
                self._score += 1
            if self.reading and (paid is None or paid[1]):
                self.files.grow()
                if self.walking and self.folders.window < _BESIDE:
                    self.folders.grow()
        elif fits is False:
            place.runs = self._reads = 0
            self._stray()
        reading = self.reading or place.runs >= self._patience or self._reads >= self._patience
        walking = self.walking or self._score >= self._patience
        if (reading, walking) != (self.reading, self.walking):
            self.reading, self.walking = reading, walking
            self._survey()

    def _enter(self, root: str, number: int, names: list[str]) -> Place:
        """Go to a folder."""
        if self.root is None or self.root.path != root:
            self.leave()
            self.root = Place(root.rpartition("/")[2], root, number, None)
            self._score = self._reads = 0
        place, self._fitted = self.root, False
        for at, name in enumerate(names, 1):
            if place.dir != name:
                self._descend(place, name, last=at == len(names))
            place = place.child(name)
        self.here = place
        return place

    def _descend(self, place: Place, name: str, *, last: bool) -> None:
        """A step to a folder. It counts if it is the `last` one, not on the way to another folder."""
        before = place.dir
        fits = self._step(place, before, name, files=False)
        if before is not None and (left := place.children.get(before)) is not None:
            if left.scanned and (way := self._way(left)) is not None and way.dirs:
                flat, self._flat = self._flat, left.dir is None
                if flat != self._flat and self.on:
                    self._survey()
            self._drop(left)
        for passed in self._passed(place, before, name, files=False):
            if (child := place.children.get(passed)) is not None:
                self._drop(child)
        place.dir = name
        if fits and last:
            self._fitted = self.walking
            place.steps += 1 + self._from_first(place, before, place.steps, files=False)
            # who has read a folder and goes into the first of it goes through all
            self._score += 2 if place.scanned and before is None else place.scanned
            self._strays = 0
        elif fits is False:
            place.steps = self._score = 0
            self._stray()
        if not self.walking and (place.steps >= self._patience or self._score >= self._patience):
            self.walking = True
            self._survey()
        elif self.walking and place.scanned and self._flat and place.parent is not None and place.parent.scanned:
            self._flat = False
            self._survey()
        elif self.walking and fits and place.steps <= self._patience:
            self._push(place)  # it is gone through as well

    def _step(self, place: Place, before: str | None, name: str, *, files: bool) -> bool | None:
        """Whether it goes on in order; None if nobody can tell, or it went on further ahead."""
        if before is None and not place.scanned:
            return None  # to look at all names for one would be dear; the second step tells of the first
        if place.entries is None and self._way(place) is None:
            return None
        fitting: list[Order] = []
        only: str | None = None
        for order in [*self._orders, *(order for order in Order if order not in self._orders)]:
            if fitting and (self.on or order not in self._orders):
                break
            if (way := self._way(place, order)) is not None:
                fits = way.follows(before, name, files=files)
                if fits is not False:
                    fitting.append(order)
                    only = suffix(name) if fits is None else only
        first = self._orders[0]
        if fitting:
            if not self.on or fitting[0] != first:
                self._orders = fitting
            if files and (only or (self._only and suffix(name) != self._only)):
                self._only = only
            if self.on and self._orders[0] != first:
                self._survey()
            return True
        way = self._way(place)
        if self.on and way is not None and before is not None and way.rank.get(name, -1) > way.rank.get(before, -1):
            return None
        if not self.on:
            self._orders = list(Order)
        return False

    def _from_first(self, place: Place, before: str | None, so_far: int, *, files: bool) -> bool:
        """Whether the step before, which nobody has judged, was to the first there is."""
        if so_far or before is None or place.scanned or (way := self._way(place)) is None:
            return False
        return way.follows(None, before, files=files) is not False

    def _passed(self, place: Place, before: str | None, name: str, *, files: bool) -> list[str]:
        if not (place.files_ahead if files else place.children) or (way := self._way(place)) is None:
            return []
        return way.between(before, name, way.files if files else way.dirs)

    def _stray(self) -> None:
        self._strays += 1
        if self._strays >= _STRAYS and self.on:
            self.walking = self.reading = False
            self._heads, self._file_heads = [], []
            self._orders = list(Order)

    def _drop(self, place: Place) -> None:
        """It is behind, with all that is in it."""
        if place.parent is not None:
            place.parent.children.pop(place.name, None)
        self._settle(place)

    def _settle(self, top: Place) -> None:
        waiting = [top]
        while waiting:
            place = waiting.pop()
            place.dropped = True
            if place.ahead is not None:
                self.folders.waste(1, asked=place.ahead)
            for cost, asked in place.files_ahead.values():
                self.files.waste(cost, asked=asked)
            place.ahead, place.files_ahead = None, {}
            waiting += place.children.values()

    def leave(self) -> None:
        """It is over, or begins elsewhere."""
        if self.root is not None:
            self._settle(self.root)
        self.root = self.here = None
        self.walking = self.reading = False
        self._heads, self._file_heads = [], []

    # what it will want -----------------------------------------------------------------------------------------------

    def next_folder(self) -> Place | None:
        """A folder that it is going to read, as it seems; each is told once. The caller pays."""
        while self._heads:
            _, _, place = heapq.heappop(self._heads)
            if place.dropped or (way := self._way(place)) is None:
                continue
            at = max(place.at_dir, way.after(place.dir, way.dirs))
            if at >= len(way.dirs):
                continue
            place.at_dir = at + 1
            self._push_head(place, way, files=False)
            child = place.child(way.names[way.dirs[at]])
            if child.ahead is None and not child.scanned:
                return child
        return None

    def next_file(self) -> tuple[Place, Entry] | None:
        """A file that it is going to read, as it seems."""
        if not self.reading:
            return None
        here = self.here
        while True:
            # what is left of the folder that it is in comes before what is in the folders of that
            if here is not None and here.file is not None and here.entries is not None:
                place, again = here, False
            elif self._file_heads:
                place, again = heapq.heappop(self._file_heads)[2], True
            else:
                return None
            if place.dropped or (way := self._way(place)) is None or place.entries is None:
                here = here if again else None
                continue
            at = max(place.at_file, way.after(place.file, way.files))
            if at >= len(way.files):
                here = here if again else None
                continue
            place.at_file = at + 1
            if again:
                self._push_head(place, way, files=True)
            name = way.names[way.files[at]]
            entry = place.entries.get(name)
            if entry is not None and name not in place.files_ahead and self._wanted(entry):
                return place, entry

    def _wanted(self, entry: Entry) -> bool:
        return bool(entry.size) and entry.version is not None and (not self._only or suffix(entry.name) == self._only)

    def _survey(self) -> None:
        """Look ahead anew from here."""
        self._heads, self._file_heads = [], []
        waiting = [] if self.root is None else [self.root]
        while waiting:
            place = waiting.pop()
            place.at_dir = place.at_file = 0
            self._push(place)
            waiting += place.children.values()

    def _push(self, place: Place) -> None:
        if (way := self._way(place)) is None:
            return
        if self.walking and self._goes_on(place):
            self._push_head(place, way, files=False)
        if self.reading and (place is self.here or place.scanned or place.file is not None or place.ahead is not None):
            self._push_head(place, way, files=True)

    def _goes_on(self, place: Place) -> bool:
        """Whether it seems to go through all folders in that one."""
        if place.steps >= self._patience or (place.scanned and place.steps):
            return True
        return not self._flat and place.dir is None and place.parent is not None and self._goes_on(place.parent)

    def _push_head(self, place: Place, way: Way, *, files: bool) -> None:
        places, at = (way.files, place.at_file) if files else (way.dirs, place.at_dir)
        last = place.file if files else place.dir
        at = max(at, way.after(last, places))
        if at < len(places):
            heads = self._file_heads if files else self._heads
            heapq.heappush(heads, ((*self._key(place), places[at]), next(self._tie), place))

    def _key(self, place: Place) -> tuple[int, ...]:
        key = []
        while place.parent is not None:
            way = self._way(place.parent)
            key.append(way.rank.get(place.name, 0) if way is not None else 0)
            place = place.parent
        return tuple(reversed(key))

    def _way(self, place: Place, order: Order | None = None) -> Way | None:
        order = self._orders[0] if order is None else order
        if (way := place.ways.get(order)) is not None:
            return way
        if place.entries is None and (found := self._known(place.path)) is not None:
            place.entries = found
        entries = place.entries
        if entries is None or (order is not Order.TOLD and len(entries) > _SORTED_MOST):
            return None
        names = list(entries)
        if order is Order.SORTED:
            names.sort()
        elif order is Order.FOLDED:
            names.sort(key=lambda name: ("".join(filter(str.isalnum, name)).casefold(), name))
        elif order is Order.NUMBERED:
            names.sort(key=lambda name: number_in(place.number, name))
        way = place.ways[order] = Way(names, entries)
        return way
