"""get, put: files between this machine and the tree."""

from typing import TYPE_CHECKING, Annotated

from agavesh.api.words import LocalPath, TreePath, Word
from agavesh.client.errors import BadArgument, NotFound, ReadOnly, WrongKind
from agavesh.shell.command import Short, command
from agavesh.shell.session import Session

if TYPE_CHECKING:
    from pathlib import Path

Recursive = Annotated[bool, Word("folders too, with all that is in them"), Short("r")]


@command("get", examples=["get /systems/data.demo/alice/README.txt notes.txt", "get -r /jobs/latest/outputs out"])
async def get(here: Session, sources: list[TreePath], target: LocalPath = ".", *, recursive: Recursive = False) -> int:
    """Bring files here: into TARGET if that is a folder, else as TARGET.

    Of several words the last is the target, as with cp; wildcards count as one word. A file appears whole, or not.
    """
    import trio

    from agavesh.shell.transfer import Transfer

    place = _here(target)
    inside = await trio.to_thread.run_sync(place.is_dir)
    nodes = [await here.find(source) for source in sources]
    if not inside:
        if len(nodes) > 1:
            raise WrongKind(f"{target} is no folder here", directory_expected=True, hint="several files need a folder")
        if target.endswith("/"):
            raise NotFound(f"no folder {target} here", hint="mkdir makes folders on systems; make this one yourself")
    for node in nodes:
        if node.entry.is_dir and not recursive:
            raise WrongKind(f"{node.path} is a folder", hint="get -r brings folders")
    targets = [place / (node.name or "root") if inside else place for node in nodes]
    _all_differ([str(target) for target in targets])
    transfer = Transfer(here.console)
    async with trio.open_nursery() as nursery:
        for node, goal in zip(nodes, targets, strict=True):
            await transfer.fetch(nursery, node, goal)
    return transfer.close()


@command("put", examples=["put notes.txt /systems/data.demo/alice/put.txt", "put -r results /systems/data.demo/alice"])
async def put(here: Session, sources: list[LocalPath], target: TreePath = ".", *, recursive: Recursive = False) -> int:
    """Take files from here: into TARGET if that is a folder, else as TARGET. An existing file is replaced.

    Of several words the last is the target, as with cp; wildcards count as one word. When it is done, the platform has
    the bytes.
    """
    import trio

    from agavesh.shell.transfer import Transfer
    from agavesh.tree.storage import StorageDirectory

    there = await here.find_or_none(target)
    inside = there is not None and there.entry.is_dir
    if not inside and len(sources) > 1:
        raise WrongKind(f"{target} is no folder", directory_expected=True, hint="several files need a folder to go to")
    if there is None and target.endswith("/"):
        raise NotFound(f"no folder {target}", hint="mkdir makes one")
    folder, name = (there, "") if inside else await here.place(target)
    if not isinstance(folder, StorageDirectory):
        path = folder.path if folder is not None else target
        raise ReadOnly(f"{path} can't be changed", hint="files are written on systems: /systems/SYSTEM/…")
    files = [_here(source) for source in sources]
    for file in files:
        if await trio.to_thread.run_sync(file.is_dir) and not recursive:
            raise WrongKind(f"{file} is a folder", hint="put -r takes folders")
        if not file.name and not file.resolve().name:
            raise BadArgument(f"{file} has no name", hint="name the target too")
    names = [name or file.name or file.resolve().name for file in files]
    _all_differ(names)
    transfer = Transfer(here.console)
    async with trio.open_nursery() as nursery:
        for file, own in zip(files, names, strict=True):
            await transfer.send(nursery, file, folder, own)
    return transfer.close()


def _here(path: str) -> "Path":
    from pathlib import Path

    return Path(path).expanduser()


def _all_differ(targets: list[str]) -> None:
    for target in targets:
        if targets.count(target) > 1:
            raise BadArgument(f"two of the sources would become {target}", hint="move them one by one")
