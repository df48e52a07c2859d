"""A mount from its start to its end: workspace, spools, journal and handlers put together, and who owns what runs.

One nursery has the fetches, the uploads and pyfuse3's workers. A signal, or somebody's umount, ends it: what is sealed
is sent first, for as long as that gets on; the rest is in the journal for the next mount.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import gc
import logging
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyfuse3
import trio

from agavefs import control, queue
from agavefs.ahead import Walks
from agavefs.failures import Failures
from agavefs.fetch import Fetcher
from agavefs.files import Files
from agavefs.journal import Journal
from agavefs.kernel import Deadlines, Kernel
from agavefs.left import Left
from agavefs.looks import Looks
from agavefs.names import Names
from agavefs.owed import Trouble
from agavefs.places import Card, Places
from agavefs.refresh import Refresh
from agavefs.salvage import Salvage
from agavefs.shelf import Shelf
from agavefs.source import Source
from agavefs.spool import Spool, Spools
from agavefs.why import Why
from agavefs.writeback import Writeback
from agavesh.client import mounts
from agavesh.client.accounts import Account
from agavesh.client.errors import AgaveError, TimedOut
from agavesh.client.local import stay_up
from agavesh.client.paging import PAGE
from agavesh.client.storage import SystemStorage
from agavesh.tree.listing import FRESH, ListingCache
from agavesh.tree.node import Directory
from agavesh.tree.storage import StorageDirectory
from agavesh.tree.workspace import Workspace, open_workspace

_log = logging.getLogger(__name__)

# Requests that wait are cheap, and network work has limits of its own: a request beyond this waits unread, a local one
# as well.
_TASKS = 500
_IDLE_TASKS = 8
_RECOUNTED = 30.0  # seconds
_AHEAD = 8  # connections that are opened before anybody asks: a first walk needs as many at once


@dataclass(frozen=True)
class Options:
    """What a mount is asked to be. `room`: bytes of disk for what could be fetched again; by default it is
    measured by the disk."""

    mountpoint: Path
    places: Places
    source: str = ""  # a folder of the tree, by its path or URI; all of it otherwise
    read_only: bool = False
    write_back: bool = False  # who closes a file does not wait for the platform
    delete_limit: int | None = None  # files and folders that may be deleted in one go
    room: int | None = None
    fresh: float = FRESH  # seconds that a listing is believed
    offline_ok: bool = False  # what is here is shown, however old, while the platform does not answer
    deadlines: Deadlines = field(default_factory=Deadlines)
    fuse: frozenset[str] = frozenset()  # options for the kernel
    kill_wait: float = 30  # seconds from SIGTERM to SIGKILL in a batch job: half is for sending, half for what is left
    held: int | None = None  # the reading end of a pipe: who mounts for a while closes the other, or dies


async def serve(
    options: Options, *, ready: Callable[[], None], notice: Callable[[str], None], account: Account | None = None
) -> int:
    """Mount, serve until it is unmounted, and send what is left; how many files could not be sent.

    `ready` is called as soon as the mount answers; `notice` is told what the user should know. Without an `account` it
    is the one that is configured, or the embedded tenant's.
    """
    # nearly all that a request leaves behind is freed by counting: to look for circles among all there is, every some
    # hundred objects, was a twentieth of the CPU of a walk
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    async with open_workspace(account, notice=notice, fresh=options.fresh, offline_ok=options.offline_ok) as workspace:
        journal = Journal(options.places.cache, f"{workspace.agave.username or ''}@{workspace.agave.url}")
        try:
            async with trio.open_nursery() as nursery:
                left = await _serve(options, workspace, journal, nursery, ready)
                nursery.cancel_scope.cancel()
        finally:
            try:
                if options.places.passing:
                    with trio.CancelScope(shield=True):
                        await trio.to_thread.run_sync(Left(options.places.left).bring, journal)
            finally:
                journal.close()
    return left


async def _serve(
    options: Options, workspace: Workspace, journal: Journal, nursery: trio.Nursery, ready: Callable[[], None]
) -> int:
    source = Source(workspace, options.source)
    root = await source.first(options.deadlines.metadata)
    patience = options.deadlines.progress
    shelf = Shelf(options.places.kept, journal.account)
    room = options.room if options.room is not None else options.places.room()
    spools = Spools(options.places.spools(journal.owner), room=room, shelf=shelf)
    fetcher = Fetcher(nursery, spools, patience=min(options.deadlines.read, patience))
    walks = Walks(nursery, workspace.listings, spools, fetcher, workspace.agave.width)
    writeback = Writeback(nursery, journal, spools, patience=patience, later=options.write_back)
    if not options.read_only:
        workspace.listings.on_hidden = writeback.leftovers.seen
    errors = control.Errors()
    logging.getLogger().addHandler(errors)
    card = Card(
        mountpoint=str(options.mountpoint),
        pid=os.getpid(),
        owner=journal.owner,
        cache=str(options.places.cache),
        account=journal.account,
        since=time.time(),
        read_only=options.read_only,
        source="" if source.whole else options.source,
    )

    def status() -> str:
        return _status(card, workspace, spools, shelf, writeback, looks, walks)

    texts = {"status": status, "errors": errors.text, "queue": lambda: queue.text(writeback)}
    extra = control.make_control(texts, lambda: writeback.stranded)
    looks = Looks(
        root, workspace.listings, read_only=options.read_only, extra={control.NAME: extra},
        find_root=None if source.whole else source.now,
    )  # fmt: skip
    files = Files(looks, workspace.listings, spools, fetcher, writeback, walks)
    names = Names(looks, workspace.listings, files, writeback, walks, delete_limit=options.delete_limit)
    kernel = Kernel(looks, names, files, options.deadlines)
    health = workspace.agave.health
    # the client would go on waiting; that a program did in vain is as good a sign
    kernel.on_late = lambda act, began: health.failed(act, TimedOut(f"{act}: no answer in time"), began)
    failures = Failures()
    kernel.on_failed = failures.note

    def not_sent(spool: Spool, trouble: Trouble) -> None:
        failures.note(spool.remote.tree_path, "sending", trouble.errno or errno.EIO, trouble)

    writeback.on_trouble = not_sent
    over = trio.Event()
    others = _Others(options.places, workspace)

    async def act(question: mounts.Ask) -> mounts.Answer:
        match question.act:
            case "recount":
                others.changed()
                return mounts.Answer()
            case "status":
                return mounts.Answer(text=status())
            case "wake":
                writeback.wake()
                return mounts.Answer()
            case "detach":
                return mounts.Answer(
                    text=f"{queue.detach(writeback, question.within(looks.inodes.root.path))} sent away"
                )
            case "hasten":
                writeback.end_within(float(question.paths[0]) if question.paths else 0)
                return mounts.Answer()
            case "why":
                return await why.act(question)
            case "send" if not options.read_only:
                return await salvage.act(question)
            case _:
                return await refresh.act(question)

    refresh = Refresh(looks, workspace, kernel.changed, kernel.appeared)
    why = Why(
        looks, workspace.listings, files, spools, shelf, journal, failures, followed=refresh.followed, at=refresh.at
    )
    take = functools.partial(Left(options.places.left).take, journal, spools.folder, lasting=not options.places.passing)
    salvage = Salvage(journal, writeback, lambda system: SystemStorage(workspace.agave, system), take)
    options.places.sweep(journal)
    with (
        _mounted(kernel, options, card.source or workspace.agave.url),
        options.places.registered(card),
        mounts.bound(options.places.socket(card)) as listening,
    ):
        answering = trio.CancelScope()

        async def listen() -> None:
            with answering:
                await mounts.listen(listening, act)

        nursery.start_soon(_refresh_on_signal, refresh)
        nursery.start_soon(others.run)
        nursery.start_soon(_end_when_told, options, writeback, over)
        if not options.read_only:
            await trio.to_thread.run_sync(take)
            await writeback.recover(lambda system: SystemStorage(workspace.agave, system))
        nursery.start_soon(listen)
        nursery.start_soon(_warm, looks, workspace.listings, source)
        nursery.start_soon(workspace.agave.warm, _AHEAD)
        nursery.start_soon(spools.run)
        nursery.start_soon(stay_up, workspace.agave.account)
        _log.info("%s is mounted on %s", account_of(card), options.mountpoint)
        ready()
        await pyfuse3.main(min_tasks=_IDLE_TASKS, max_tasks=_TASKS)
        over.set()
        walks.stop()
        _log.info("%s is unmounted", options.mountpoint)
        left = await writeback.drain()
        answering.cancel()  # before its socket is closed: another may get the number of that
    if left:
        _log.warning("%d files could not be sent, and are kept for the next mount", left)
    await mounts.recount(workspace.agave.url)  # our card is gone
    await spools.close()
    return left


class _Others:
    """The user's mounts of the same tenant on this host: all of them together have the connections that one may."""

    def __init__(self, places: Places, workspace: Workspace) -> None:
        self._places, self._agave = places, workspace.agave
        self._news = trio.Event()

    def changed(self) -> None:
        """One has come or gone."""
        self._news.set()

    async def run(self) -> None:
        """Count them when one comes or goes, and now and then, since one that is killed says nothing."""
        await mounts.recount(self._agave.url)
        while True:
            self._news = trio.Event()
            cards = await trio.to_thread.run_sync(self._places.cards)
            self._agave.width.share(sum(card.account.endswith(f"@{self._agave.url}") for card in cards))
            with trio.move_on_after(_RECOUNTED):
                await self._news.wait()


def _at(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _offline(listings: ListingCache) -> str:
    """Whether what is shown may be older than it is believed to be."""
    if listings.offline_since is not None:
        return f"since {_at(listings.offline_since)}: what was here is shown, however old"
    return "no, but allowed" if listings.offline_ok else "not allowed"


def account_of(card: Card) -> str:
    """Whose mount it is, for people."""
    return card.account.removeprefix("@")


@contextlib.contextmanager
def _mounted(kernel: Kernel, options: Options, name: str) -> Iterator[None]:
    fuse = {"subtype=agavefs", *options.fuse}
    if not any(option.startswith("fsname=") for option in fuse):
        fuse.add(f"fsname={name.encode('ascii', 'replace').decode().replace(',', '_')}")
    if options.read_only:
        fuse.add("ro")
    if {"allow_other", "allow_root"} & fuse:
        fuse.add("default_permissions")
    pyfuse3.init(kernel, str(options.mountpoint), fuse)
    try:
        yield
    finally:
        # in all exits: a mount without a process answers "Transport endpoint is not connected" to everybody
        pyfuse3.close(unmount=True)


async def _end_when_told(options: Options, writeback: Writeback, over: trio.Event) -> None:
    """Unmount at a signal, or when the pipe is closed that it lives by. What is heard later asks for haste."""
    # who has started it in a terminal wants it to end with the terminal
    ends = (signal.SIGTERM, signal.SIGINT, *([signal.SIGHUP] if os.isatty(0) else []))
    told, heard_at = trio.Event(), -math.inf
    async with trio.open_nursery() as nursery:
        with trio.open_signal_receiver(*ends) as signals:

            async def listen() -> None:
                nonlocal heard_at
                async for number in signals:
                    _log.info("asked to end by %s", signal.Signals(number).name)
                    if told.is_set() and options.places.passing:
                        writeback.end_within(options.kill_wait / 2)
                    elif told.is_set() and heard_at > -math.inf:
                        writeback.end_within(0)
                    heard_at = trio.current_time()
                    if options.held is None:
                        told.set()

            nursery.start_soon(listen)
            if options.held is not None:
                # a batch system ends all processes of a job alike: what writes is to end first
                await trio.lowlevel.wait_readable(options.held)
                told.set()
            await told.wait()
            ago = trio.current_time() - heard_at
            if options.places.passing and ago < options.kill_wait:  # later nobody kills any more
                writeback.end_within(options.kill_wait / 2 - ago)
            await _unmount(options.mountpoint, writeback, over)
            await trio.sleep_forever()  # somebody may be in haste still


async def _unmount(mountpoint: Path, writeback: Writeback, over: trio.Event) -> None:
    with contextlib.suppress(OSError):
        done = await trio.run_process(
            ["fusermount3", "-u", str(mountpoint)], check=False, capture_stdout=True, capture_stderr=True
        )
        if done.returncode == 0:
            return  # pyfuse3.main ends by itself
    if not over.is_set():
        # somebody is in there: send what is sealed, and go all the same
        await writeback.drain()
        pyfuse3.terminate()


async def _refresh_on_signal(refresh: Refresh) -> None:
    """SIGHUP, as daemons have it: look anew."""
    if os.isatty(0):
        return
    with trio.open_signal_receiver(signal.SIGHUP) as signals:
        async for _ in signals:
            _log.info("asked to look anew")
            await refresh(["/"])


async def _warm(looks: Looks, listings: ListingCache, source: Source) -> None:
    """Open a connection and list the systems, or begin to list the one folder, before anybody asks. Trouble is told to
    who asks."""
    try:
        root = looks.inodes.root
        if source.whole:
            systems = (await looks.child(root, "systems")).node
            assert isinstance(systems, Directory)
            async for _ in systems.scan():
                pass
        elif isinstance(root.node, StorageDirectory) and root.node.fresh > 0:
            listing = await root.node.stream()
            await listing.reach(PAGE)
            listings.left(listing)
    except (AgaveError, OSError) as error:
        _log.warning("the platform can't be reached yet: %s", error)


def _status(
    card: Card, workspace: Workspace, spools: Spools, shelf: Shelf, writeback: Writeback, looks: Looks, walks: Walks
) -> str:
    """`.agavefs/status`."""
    listings = workspace.listings
    ages, health = listings.ages(), workspace.agave.health
    oldest, most = max((age for age, _ in ages), default=0), max([listings.fresh, *(life for _, life in ages)])
    bound = "however old" if math.isinf(most) else f"no older than {most:.0f} s"
    if health.answered_at is None:
        answered = "never"
    else:
        answered = f"{_at(health.answered_at)}, {max(time.time() - health.answered_at, 0):.0f} s ago"
    lines = [
        f"account     {account_of(card)}",
        f"source      {card.source or '/'}",
        f"since       {_at(card.since)}",
        f"access      {'read-only' if card.read_only else 'read and write'}",
        f"platform    {health}",
        f"answered    {answered}",
        f"requests    {workspace.agave.width}",
        f"offline     {_offline(listings)}",
        f"listings    {listings.count} kept, believed for {listings.fresh:g} s",
        f"shown       {len(ages)} of them, the oldest of {oldest:.0f} s, {bound}",
        f"spools      {spools.held} bytes of {spools.room} in {spools.folder}",
        f"kept        {shelf.total} bytes of them for later, by all mounts of {shelf.folder.parent}",
        f"ahead       {spools.foreseen} bytes fetched before they were asked for, {spools.wasted} for nothing",
        f"inodes      {len(looks.inodes)}",
        f"walks       {walks}",
        f"not sent    {len(writeback.owed)}",
        f"to remove   {writeback.leftovers.count}",
    ]
    lines += [f"  {line}" for line in queue.queue(writeback)]
    if writeback.stranded:
        lines.append("written by a mount that died, never closed, and kept (see `agavefs recover`):")
        lines += [f"  {row.remote.uri}  {row.spool}" for row in writeback.stranded]
    return "".join(f"{line}\n" for line in lines)
