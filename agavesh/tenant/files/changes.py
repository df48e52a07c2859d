"""A change of bytes and of their records, both or neither, wherever a crash cuts it.

The disk and the database cannot be committed together. So every change of bytes is made out of sight first (an upload,
a copy and a new folder in `staging/`) and then comes down to one rename: into its place, from one place to another, or
to `trash/`. That rename goes like this, with no await in between, so that there is one at a time:

1. The intention, the one row of `changes`, is committed. What the rename will replace gets a second name.
2. In one transaction the records are written, the row is deleted and the rename is made; then it is committed.

Cut before the rename nothing has happened, and the next start drops the row. Cut after it but before the commit, the
records are the old ones and the row is still there: the next start makes the rename backwards, or puts back what was
replaced. After the commit the row is gone and the change stands. A rename that fails, or a commit for which the disk is
too full, is undone the same way on the spot. What is left in `staging/` and `trash/` is swept.

A crash of the whole machine is another matter: `Store.flushed`, before an answer, sees to what was answered.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from agavesh.tenant.files import steady
from agavesh.tenant.store import Store, Unwritable

TABLES = """
create table if not exists changes (
    number integer primary key check (number = 1),
    source blob not null, target blob not null, replaces integer not null);
"""


class Changes:
    """The changes of one tenant. `top` is its folder, which may be moved between two runs."""

    def __init__(self, store: Store, top: Path) -> None:
        self._store, self._top = store, Path(os.path.realpath(top))
        self._staging = self._top / "staging"
        self._replaced = self._staging / "replaced"

    @contextlib.contextmanager
    def renaming(self, source: Path, target: Path) -> Iterator[None]:
        """Rename `source`, over a file that is at `target`, and write what the block writes. It holds no await.

        OSError of the rename, Unwritable of the records: then nothing was done.
        """
        assert not self._store.in_transaction, "the intention is committed before anything is done"
        replaces = _is_file(target)
        self._store.sql(
            "insert or replace into changes values (1, ?, ?, ?)",
            self._written(source), self._written(target), int(replaces),
        )  # fmt: skip
        try:
            if replaces:
                self._replaced.unlink(missing_ok=True)
                steady.link(target, self._replaced)
            with self._store.together():
                yield
                self._store.sql("delete from changes")
                steady.rename(source, target)
        except BaseException:
            self._undo(source, target, replaces)
            with contextlib.suppress(Unwritable):  # the next change takes the row's place
                self._store.sql("delete from changes")
            raise
        finally:
            if replaces:
                self._replaced.unlink(missing_ok=True)
        passages = (self._staging, self._top / "trash")  # what a crash leaves there is swept
        self._store.touched(*(each.parent for each in (source, target) if each.parent not in passages))

    def mend(self) -> None:
        """Undo what a crash cut in two. Call it before anything else works in the folder."""
        for source, target, replaces in self._store.sql("select source, target, replaces from changes"):
            self._undo(self._read(source), self._read(target), bool(replaces))
        self._store.sql("delete from changes")

    def _undo(self, source: Path, target: Path, replaces: bool) -> None:
        if os.path.lexists(source):
            return  # it was not renamed
        if not replaces and os.path.lexists(target):
            target.rename(source)
        elif replaces and os.path.lexists(self._replaced):
            os.link(target, source, follow_symlinks=False)
            self._replaced.rename(target)

    def _written(self, path: Path) -> bytes:
        return os.fsencode(os.path.relpath(path, self._top))

    def _read(self, written: bytes) -> Path:
        return Path(os.path.normpath(self._top / os.fsdecode(written)))


def _is_file(path: Path) -> bool:
    """Whether something other than a folder is there. IsADirectoryError for a folder, which is never replaced."""
    try:
        found = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    if stat.S_ISDIR(found):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    return True
