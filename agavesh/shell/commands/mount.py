"""mount, umount: the tree as folders of this machine. The work is done by the program `agavefs`."""

from typing import Annotated

from agavesh.api.words import LocalPath, Word
from agavesh.shell.command import command
from agavesh.shell.session import Session


@command("mount")
async def mount(
    here: Session, folder: LocalPath, *, read_only: Annotated[bool, Word("nothing can be changed through it")] = False
) -> int:
    """Mount the tree on a folder of this machine, so that every program can use it."""
    return await _agavefs(here, ["mount", folder, *(["--read-only"] if read_only else [])])


@command("umount")
async def umount(here: Session, folder: LocalPath) -> int:
    """Unmount a folder."""
    return await _agavefs(here, ["umount", folder])


async def _agavefs(here: Session, words: list[str]) -> int:
    """Run `agavefs` with our standard streams; what it ended with."""
    import os
    import sys

    import trio

    chosen = {"AGAVE_BASE_URL": here.url, "AGAVE_USERNAME": here.username}
    environment = {**os.environ, **{name: value for name, value in chosen.items() if value}}
    done = await trio.run_process([sys.executable, "-m", "agavefs", *words], check=False, env=environment, stdin=None)
    return done.returncode
