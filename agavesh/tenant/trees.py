"""Files and whole folders, copied and removed. These block: call them in a thread.

A copied file arrives by one rename, so that nobody reads a part of it, and what was in its place keeps its mode. A link
is copied as what it leads to, unless it leads out of the system: then it is left out.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from pathlib import Path

from agavesh.tenant.staging import put_in_place


def copy_file(source: str, target: str, staging: Path, *, append: bool = False) -> None:
    """Let `target` hold the bytes of `source`, or what it held and then those."""
    temporary = staging / secrets.token_hex(8)
    try:
        if append and os.path.exists(target):
            shutil.copyfile(target, temporary)
            with open(source, "rb") as more, temporary.open("ab") as out:
                shutil.copyfileobj(more, out, 2**20)
        else:
            shutil.copyfile(source, temporary)
        put_in_place(temporary, target, like=source)
    finally:
        temporary.unlink(missing_ok=True)


def copy_tree(source: str, target: str, root: str, staging: Path) -> None:
    """Copy all below `source` to `target`, into what is there already. `root` is the folder that links may not leave."""
    os.makedirs(target, exist_ok=True)
    with os.scandir(source) as entries:
        for entry in entries:
            real = os.path.realpath(entry.path)
            if not real.startswith(root + "/") or not os.path.exists(real):
                continue
            if entry.is_dir(follow_symlinks=False):
                copy_tree(entry.path, f"{target}/{entry.name}", root, staging)
            elif os.path.isfile(real):
                copy_file(real, f"{target}/{entry.name}", staging)


def erase(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; what is gone already is no trouble."""
    if path.is_dir() and not path.is_symlink():
        for folder, _, _ in os.walk(path):
            with contextlib.suppress(OSError):
                os.chmod(folder, 0o700)  # jobs may leave folders that not even their owner may empty
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
