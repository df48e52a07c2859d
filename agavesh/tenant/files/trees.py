"""Files and whole folders, copied and removed. These block: call them in a thread.

A copied file arrives by one rename, so that nobody reads a part of it, and what was in its place keeps its mode. A link
is copied as the file that it leads to; one that leads to a folder or out of the system is left out.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from pathlib import Path

from agavesh.tenant.files.staging import put_in_place


def copy_file(source: Path, target: Path, staging: Path, *, append: bool = False) -> None:
    """Let `target` hold the bytes of `source`, or what it held and then those."""
    temporary = staging / secrets.token_hex(8)
    try:
        if append and target.exists():
            shutil.copyfile(target, temporary)
            with source.open("rb") as more, temporary.open("ab") as out:
                shutil.copyfileobj(more, out, 2**20)
        else:
            shutil.copyfile(source, temporary)
        put_in_place(temporary, target, like=source)
    finally:
        temporary.unlink(missing_ok=True)


def copy_tree(source: Path, target: Path, root: str, staging: Path) -> None:
    """Copy all below `source` to `target`, into what is there. `root` is the folder that links may not leave."""
    target.mkdir(parents=True, exist_ok=True)
    for entry in list(source.iterdir()):
        real = entry.resolve()
        if entry.is_dir() and not entry.is_symlink():
            copy_tree(entry, target / entry.name, root, staging)
        elif real.is_file() and real.is_relative_to(root):
            copy_file(real, target / entry.name, staging)


def erase(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; what is gone already is no trouble."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    for folder, _, _ in os.walk(path):
        with contextlib.suppress(OSError):
            Path(folder).chmod(0o700)  # jobs may leave folders that not even their owner may empty
    shutil.rmtree(path, ignore_errors=True)  # what is left is taken up at the next start
