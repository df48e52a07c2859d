"""Ahead: who has begun to walk through a tree finds what is next already here. Listings and small files are fetched.

A program that goes through folders or small files asks for one thing after another, and would wait a round trip for
each. What its walk will want next (`walk`) is asked for side by side here: listings into the ListingCache, files whole
into their spools, both as if somebody had just asked. A program is known by its number; programs that do one thing each
(`for f in *; do cat $f; done`) are taken together for one that does many.

It never delays what somebody waits for: it leaves connections free, and who comes for what is on its way shares it. It
stops when the program ends, when nobody has taken anything for a while, and when the platform is in trouble; errors are
nobody's, since who comes later asks again. It knows no FUSE and decides nothing about freshness.
"""

from __future__ import annotations

import functools
import logging
import math
import os
from collections import OrderedDict
from collections.abc import Callable

import trio

from agavefs.fetch import Fetcher
from agavefs.inodes import Inode
from agavefs.spool import SMALL, Spools
from agavefs.walk import EACH, FILES_LEAST, FILES_MOST, FOLDERS_LEAST, FOLDERS_MOST, Count, Place, Purse, Walk
from agavesh.client.errors import Busy, NotAllowed, NotFound, ServerTrouble, TimedOut, Unreachable
from agavesh.client.storage import Entry
from agavesh.client.width import Width
from agavesh.tree.listing import Listing, ListingCache
from agavesh.tree.storage import StorageDirectory, StorageNode

_log = logging.getLogger(__name__)

_FREE = 8  # one of so many connections is left to who waits
_IDLE = 10.0  # seconds after which a walk on which nothing was taken is over
_TROUBLE = 15.0  # seconds that a platform in trouble is left alone
_PROGRAMS = 128  # that are remembered


class _Program:
    """A program that is on its way: its walk, the listings under way for it, and when it took something last."""

    def __init__(self, who: int, walk: Walk) -> None:
        self.who, self.walk = who, walk
        self.last = trio.current_time()
        self.coming: dict[Place, Listing[Entry]] = {}
        self.watched = self.over = False
        self.home: StorageDirectory | None = None  # what the walk is in


class Walks:
    """All walks through a mount. Told of every folder that is read and every file that is opened to be read."""

    def __init__(
        self,
        nursery: trio.Nursery,
        listings: ListingCache,
        spools: Spools,
        fetcher: Fetcher,
        width: Width,
    ) -> None:
        self._nursery, self._listings, self._spools, self._fetcher = nursery, listings, spools, fetcher
        self._width, self._throttled = width, width.throttled
        self._programs: OrderedDict[int, _Program] = OrderedDict()
        self._crowd: _Program | None = None
        self._under_way = 0
        self._quiet_until = float("-inf")
        self.folders, self.files = Count(), Count()

    # what programs do ------------------------------------------------------------------------------------------------

    def reads(self, inode: Inode, who: int) -> None:
        """A program begins to read a folder."""
        if (where := _where(inode)) is None:
            return
        home, number, names = where
        for program in self._of(who):
            program.home, program.last = home, trio.current_time()
            program.walk.read(home.path, number, names)
            self._go_on(program)

    def listed(self, who: int) -> None:
        """What is in the folder that it reads is known now."""
        program = self._programs.get(who)
        if program is not None and program.walk.on and (here := program.walk.here) is not None:
            program.walk.listed(here)
            self._go_on(program)

    def opens(self, inode: Inode, who: int) -> None:
        """A program opens a file to read it."""
        if inode.parent is None or inode.gone or (where := _where(inode.parent)) is None:
            return
        home, number, names = where
        for program in self._of(who):
            program.home, program.last = home, trio.current_time()
            program.walk.open(home.path, number, names, inode.name)
            self._go_on(program)

    def _of(self, who: int) -> list[_Program]:
        """The program itself; and with its first step all that only ever do one."""
        program = self._programs.get(who)
        if program is not None:
            self._programs.move_to_end(who)
            return [program]
        program = self._programs[who] = self._begin(who)
        while len(self._programs) > _PROGRAMS:
            self._end(next(iter(self._programs.values())))
        if self._crowd is None:
            self._crowd = self._begin(0, patience=3)
        return [program, self._crowd]

    def _begin(self, who: int, *, patience: int = 2) -> _Program:
        folders = Purse(self.folders, FOLDERS_LEAST, FOLDERS_MOST)
        files = Purse(self.files, FILES_LEAST, min(FILES_MOST, self._spools.room // 8))
        return _Program(who, Walk(self._listings.peek, folders, files, patience=patience))

    def _end(self, program: _Program) -> None:
        program.over = True
        program.walk.leave()
        for listing in program.coming.values():
            self._listings.left(listing)
        program.coming.clear()
        if self._programs.get(program.who) is program:
            del self._programs[program.who]
        if self._crowd is program:
            self._crowd = None

    # going ahead -----------------------------------------------------------------------------------------------------

    def _go_on(self, program: _Program) -> None:
        """Ask for what comes next, as far as purse and connections go."""
        walk = program.walk
        if not walk.on or program.over or program.home is None:
            return
        if self._width.throttled != self._throttled:
            self._throttled = self._width.throttled
            self._hush("it takes no more")
        if trio.current_time() < self._quiet_until:
            return
        if not program.watched:
            program.watched = True
            self._nursery.start_soon(self._watch, program)
        while self._free and walk.folders.room and (place := walk.next_folder()) is not None:
            self._folder(program, place)
        while self._free and walk.files.room and (wanted := walk.next_file()) is not None:
            self._file(program, *wanted)

    @property
    def _free(self) -> bool:
        """Whether there is a connection to spare."""
        limit = int(self._width.limit)
        return max(self._under_way, self._width.under_way) < limit - max(1, limit // _FREE)

    def _folder(self, program: _Program, place: Place) -> None:
        assert program.home is not None
        node = _node(program.home, place)
        place.ahead = asked = self._listings.kept(node.path, fresh=node.fresh) is None
        program.walk.folders.spend(1, asked=asked)
        if asked:
            self._under_way += 1
            program.coming[place] = node.ahead(functools.partial(self._listed, program, place))
        else:
            program.walk.listed(place)

    def _file(self, program: _Program, place: Place, entry: Entry) -> None:
        assert program.home is not None
        node = _node(program.home, place)
        if node.growing or entry.version is None or entry.size is None or not 0 < entry.size <= SMALL:
            return
        asked = self._fetcher.prefetch(node.child(entry).remote, node.storage, entry.version, self._ended)
        self._under_way += asked
        cost = entry.size + EACH
        place.files_ahead[entry.name] = (cost, asked)
        program.walk.files.spend(cost, asked=asked)

    def _listed(self, program: _Program, place: Place, error: Exception | None) -> None:
        if (listing := program.coming.pop(place, None)) is not None:
            self._listings.left(listing)
        self._ended(error, functools.partial(program.walk.listed, place))

    def _ended(self, error: Exception | None, then: Callable[[], object] = lambda: None) -> None:
        """One request is over; `then` is what its success means."""
        self._under_way -= 1
        if isinstance(error, Busy | ServerTrouble | Unreachable | TimedOut):
            self._hush(error)
        elif error is not None and not isinstance(error, NotFound | NotAllowed):
            _log.info("not fetched ahead: %s", error)
        try:
            if error is None:
                then()
            for program in [*self._programs.values(), self._crowd] if self._free else []:
                if program is not None:
                    self._go_on(program)
        except Exception:  # noqa: BLE001  # an edge: a fault of ours must not end the mount, nor what was fetched
            _log.exception("no more can be fetched ahead")

    def _hush(self, why: object) -> None:
        """The platform is in trouble: leave it alone."""
        _log.info("nothing is fetched ahead for a while: %s", why)
        self._leave_alone(trio.current_time() + _TROUBLE)

    def stop(self) -> None:
        """The mount ends: what is cancelled from now on is no reason to ask for more."""
        self._leave_alone(math.inf)

    def _leave_alone(self, until: float) -> None:
        self._quiet_until = max(self._quiet_until, until)
        for program in [*self._programs.values(), self._crowd]:
            if program is not None:
                self._end(program)

    async def _watch(self, program: _Program) -> None:
        """Until the program has ended, or takes nothing any more."""
        try:
            process = os.pidfd_open(program.who) if program.who > 0 else None
        except OSError:  # it is a thread, or is over already
            process = None
        try:
            while not program.over and (left := program.last + _IDLE - trio.current_time()) > 0:
                with trio.move_on_after(left):
                    if process is None:
                        await trio.sleep_forever()
                    else:
                        await trio.lowlevel.wait_readable(process)
                        break
        finally:
            if process is not None:
                os.close(process)
        self._end(program)

    def __str__(self) -> str:
        def told(count: Count) -> str:
            return f"{count.asked} ({count.used} used, {count.wasted} wasted)"

        return f"fetched ahead: {told(self.folders)} listings, {told(self.files)} files"


def _where(inode: Inode) -> tuple[StorageDirectory, int, list[str]] | None:
    """The storage's root that a folder is in, its inode number, and the names on the way; None if it is in none."""
    names: list[str] = []
    while inode.fixed is None:
        if inode.gone or inode.parent is None:
            return None
        names.append(inode.name)
        inode = inode.parent
    if not isinstance(inode.fixed, StorageDirectory):
        return None
    names.reverse()
    return inode.fixed, inode.number, names


def _node(home: StorageDirectory, place: Place) -> StorageDirectory:
    """The node of a place."""
    if isinstance(place.node, StorageDirectory):
        return place.node
    node: StorageNode = home if place.parent is None else _node(home, place.parent).child(Entry(place.name, "dir"))
    assert isinstance(node, StorageDirectory)
    place.node = node
    return node
