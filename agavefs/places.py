"""Places: where mounts keep what they keep on this machine, and how one finds another.

    STATE/agavesh/<host>/mounts/        mounts/<owner>.json: one card for each mount that lives, whatever its cache
                                        mounts/<owner>.sock: where it listens to what it is asked
                                        log/<owner>.log
                                        caches/: links to the folders that mounts have had their cache in
                                        cache/, unless another was named: journal.db, owners/, spools/<owner>/, kept/
    STATE/agavesh/left/                 what batch jobs could not send: see `left`

All is the user's own (0700, 0600), and by the name of the host, since homes are shared on clusters. The cache stands
where --cache-dir or AGAVEFS_CACHE_DIR say; in a batch job, whose home is far and whose $TMPDIR is near, it is there.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from agavefs.journal import Journal
from agavefs.shelf import COUNT
from agavesh.client import mounts

# filesystems whose locks and shared memory SQLite can't rely on
_REMOTE = re.compile(r"nfs4?|lustre|gpfs|beegfs|ceph|cifs|smb3|afs|9p|fuse\..*sshfs")


_LOG_MOST = 2**20  # bytes
_ROOM_MOST, _ROOM_PART = 10 * 2**30, 10  # bytes of cache, and that part of what the disk has free, at most
# set by Slurm, PBS, LSF, Grid Engine, Cobalt, Flux, HTCondor
_JOB = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "SGE_TASK_ID", "COBALT_JOBID", "FLUX_JOB_ID", "_CONDOR_JOB_AD")


class Card(msgspec.Struct, frozen=True):
    """What one mount tells others of itself. `owner` is its name in the journal of `cache`."""

    mountpoint: str
    pid: int
    owner: str
    cache: str
    account: str
    since: float
    read_only: bool = False
    source: str = ""  # what was asked for, unless it was the whole tree


@dataclass(frozen=True)
class Places:
    """The folders of this user on this host."""

    state: Path
    cache: Path
    passing: bool = False  # in a batch job, after which nobody may come to this cache again

    @classmethod
    def of(cls, cache: Path | None = None) -> Places:
        state = mounts.state_folder()
        host = state.parent.name
        if cache is None and (named := os.environ.get("AGAVEFS_CACHE_DIR")):
            cache = Path(named)
        passing = any(os.environ.get(name) for name in _JOB)
        if cache is None and (near := os.environ.get("TMPDIR")) and passing:
            cache = Path(near) / _near()
        return cls(state, (cache / host).absolute() if cache is not None else state / "cache", passing)

    @property
    def host(self) -> str:
        """The name that this host has in paths."""
        return self.state.parent.name

    def caches(self) -> list[Path]:
        """The cache folders that mounts of this host are known to have had, and our own, as far as they are there."""
        noted = []
        with contextlib.suppress(OSError):
            noted = [path.readlink() for path in sorted((self.state / "caches").iterdir()) if path.is_symlink()]
        found = [self.cache, self.state / "cache", *(Path(card.cache) for card in self.cards()), *noted]
        return [folder for folder in dict.fromkeys(found) if (folder / "journal.db").exists()]

    def caches_of_others(self) -> dict[Path, str]:
        """The cache folders of other hosts that stand beside ours, in a home or a folder that they share; whose."""
        beside = {folder: folder.name for cache in self.caches() for folder in cache.parent.glob("*")}
        beside |= {folder / "mounts/cache": folder.name for folder in self.state.parent.parent.glob("*")}
        ours = {*self.caches(), self.cache, self.state / "cache"}
        return {it: host for it, host in sorted(beside.items()) if it not in ours and (it / "journal.db").exists()}

    def _note_cache(self) -> None:
        """Who looks for what is owed is to find it wherever it was."""
        if not self.passing:  # what is in a job's cache is brought elsewhere
            name = hashlib.blake2b(os.fsencode(self.cache), digest_size=12).hexdigest()
            with contextlib.suppress(FileExistsError):
                (_folder(self.state / "caches") / name).symlink_to(self.cache)

    def log(self, name: str) -> Path:
        """Where a mount logs to. A long log begins anew, and the last one is kept."""
        path = _folder(self.state / "log") / f"{name}.log"
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size > _LOG_MOST:
                path.replace(path.with_suffix(".old"))
        return path

    def spools(self, owner: str) -> Path:
        return self.cache / "spools" / owner

    @property
    def left(self) -> Path:
        """Where what batch jobs could not send waits for the next mount, on whatever host."""
        return self.state.parent.parent / "left"

    @property
    def kept(self) -> Path:
        """Where what was fetched outlives its mount."""
        return self.cache / "kept"

    def doubt(self) -> str | None:
        """Why the cache should stand elsewhere, if so. OSError where it can't stand."""
        _folder(self.cache)
        for folder in (self.cache.parent, self.cache):
            # a folder that was named may be everybody's, but what stands in it under our name must be ours
            ours = folder == self.cache or folder.name == _near()
            if ours and folder.lstat().st_uid != os.getuid():
                raise OSError(errno.EPERM, f"{folder} belongs to somebody else")
        with contextlib.suppress(OSError):
            kind = _kind(self.cache)
            if _REMOTE.fullmatch(kind):
                cure = "name a local folder by --cache-dir or AGAVEFS_CACHE_DIR"
                return f"{self.cache} is on {kind}, where no journal is safe: {cure}"
        return None

    def room(self) -> int:
        """The bytes that what is fetched may take, where nobody has said."""
        _folder(self.cache)
        there = 0
        with contextlib.suppress(OSError, ValueError):  # as a mount has counted last: it may be millions of files
            there = int((self.kept / COUNT).read_text())
        return min(_ROOM_MOST, (shutil.disk_usage(self.cache).free + there) // _ROOM_PART)

    @contextlib.contextmanager
    def registered(self, card: Card) -> Iterator[None]:
        """The card is there for others to see."""
        self.cards()  # throws away those of the dead
        self._note_cache()
        path = _folder(self.state / "mounts") / f"{card.owner}.json"
        fresh = path.with_suffix(".new")
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(msgspec.json.encode(card))
        fresh.replace(path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)

    def cards(self) -> list[Card]:
        """All mounts of this user on this host, oldest first; cards of dead ones are thrown away."""
        found = []
        for path in (self.state / "mounts").glob("*.json"):
            with contextlib.suppress(OSError, msgspec.MsgspecError):
                card = msgspec.json.decode(path.read_bytes(), type=Card)
                if alive(card):
                    found.append(card)
                else:
                    path.unlink(missing_ok=True)
                    self.socket(card).unlink(missing_ok=True)
        return sorted(found, key=lambda card: card.since)

    def socket(self, card: Card) -> Path:
        """Where a mount listens."""
        return mounts.socket_of(card.owner, self.state)

    def sweep(self, journal: Journal) -> None:
        """Throw away the spools of dead mounts that nobody is owed."""
        owed = {row.spool for row in journal.rows()}
        for folder in (self.cache / "spools").glob("*"):
            if folder.name != journal.owner and not journal.alive(folder.name):
                for spool in folder.glob("*"):
                    if spool.is_dir():
                        shutil.rmtree(spool, ignore_errors=True)
                    elif str(spool) not in owed:
                        spool.unlink(missing_ok=True)
                with contextlib.suppress(OSError):
                    folder.rmdir()


def alive(card: Card) -> bool:
    """Whether its process is there: it holds the lock of its owner's file, so a number used again deceives nobody."""
    return Journal.held(Path(card.cache), card.owner)


def _near() -> str:
    """Our folder in $TMPDIR, which may be a place that others share."""
    return f"agavefs-{os.getuid()}"


def _folder(path: Path) -> Path:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def _kind(path: Path) -> str:
    """The type of the filesystem that a folder is on."""
    best, kind = "", ""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        point = before.split()[4].encode().decode("unicode_escape")
        if len(point) >= len(best) and f"{path.resolve()}/".startswith(f"{point.rstrip('/')}/"):
            best, kind = point, after.split()[0]
    return kind
