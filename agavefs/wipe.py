"""`agavefs wipe`: throw away what mounts of an account have fetched and kept on this host. What is owed never goes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from agavefs.journal import lives, read
from agavefs.owing import of_account
from agavefs.places import Places
from agavefs.shelf import folder_of

EX_OSERR, EX_TEMPFAIL = 71, 75  # sysexits.h


def wipe(places: Places, account: str, say: Callable[[str], None], *, dry_run: bool = False) -> int:
    """Throw it away, or with `dry_run` only print how much it is; the exit status. `account` is USER@URL."""
    try:
        owed = of_account(places, account)
        for card in places.cards():
            if card.account == account:
                say(f"{account} is mounted at {card.mountpoint}: umount it first")
                return EX_TEMPFAIL
        if owed:
            files = "1 file is" if owed == 1 else f"{owed} files are"
            say(f"{files} not at the platform yet: `agavefs recover` shows them, and nothing is wiped before")
            return EX_TEMPFAIL
        there = [path for folder in places.caches() for path in _kept(folder, account)]
        size = sum(_size(path) for path in there)
        if not dry_run:
            for path in there:
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
    except OSError as error:
        say(str(error.strerror if error.filename is None else error))
        return EX_OSERR
    print(f"{size} bytes")
    return 0


def _kept(cache: Path, account: str) -> Iterator[Path]:
    """The account's shelf, and what is left in the spools of mounts that died: whose that is nobody knows any more."""
    rows, owners = read(cache / "journal.db")
    owed = {row.spool for row in rows}
    shelf = folder_of(cache / "kept", account)
    if shelf.exists():
        yield shelf
    for folder in (cache / "spools").glob("*"):
        if not lives(cache, folder.name, owners.get(folder.name)):
            yield from (spool for spool in folder.iterdir() if str(spool) not in owed)


def _size(path: Path) -> int:
    """Bytes of disk."""
    each = [path, *path.rglob("*")] if path.is_dir() else [path]
    return sum(it.lstat().st_blocks * 512 for it in each if it.is_file())
