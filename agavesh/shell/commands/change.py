"""mkdir, rm, cp, mv: changing files on systems. Between this machine and a system see `transfer.py`."""

import posixpath
from typing import TYPE_CHECKING, Annotated

from agavesh.api.words import TreePath, Word
from agavesh.client.errors import AgaveError, AlreadyThere, BadAnswer, BadArgument, NotFound, ReadOnly, WrongKind
from agavesh.shell.command import Short, command
from agavesh.shell.session import Session

if TYPE_CHECKING:
    from agavesh.tree.node import Node
    from agavesh.tree.storage import StorageDirectory

Recursive = Annotated[bool, Word("folders too, with all that is in them"), Short("r")]
Yes = Annotated[bool, Word("do not ask"), Short("y")]


@command("mkdir", examples=["mkdir /systems/data.demo/alice/new", "mkdir -p /systems/data.demo/alice/new/a/b"])
async def mkdir(
    here: Session,
    folders: list[TreePath],
    *,
    parents: Annotated[bool, Word("make what is missing above it too; be quiet if it is there"), Short("p")] = False,
) -> None:
    """Make folders."""
    for folder in folders:
        if parents:
            await _mkdir_with_parents(here, await here.tree_path(folder))
        else:
            parent, name = await here.place(folder)
            await parent.mkdir(name)


async def _mkdir_with_parents(here: Session, path: str) -> None:
    from agavesh.tree.storage import StorageDirectory

    missing: list[str] = []
    at = path
    while (node := await here.find_or_none(at)) is None:
        at, name = posixpath.split(at)
        missing.insert(0, name)
    if not node.entry.is_dir:
        raise AlreadyThere(f"{node.path} is a file")
    if not missing:
        return
    if not isinstance(node, StorageDirectory):
        raise ReadOnly(f"{node.path} can't be changed", hint="folders are made on systems: /systems/SYSTEM/…")
    inner = node.inner.rstrip("/")
    try:
        for name in missing:
            inner = f"{inner}/{name}"
            await node.storage.mkdir(inner)
    finally:
        node.listings.changed(f"{node.path.rstrip('/')}/{missing[0]}")
        node.listings.forget(node.path)


@command("rm", examples=["rm -f /systems/data.demo/alice/old.txt", "rm -r -y /systems/data.demo/alice/new"])
async def rm(
    here: Session,
    paths: list[TreePath],
    *,
    recursive: Recursive = False,
    force: Annotated[bool, Word("be quiet about what is not there, and do not ask"), Short("f")] = False,
    yes: Yes = False,
) -> None:
    """Remove files and, with -r, folders with all that is in them.

    On a terminal, folders are asked about first.
    """
    for path in paths:
        try:
            node = await here.find(path, follow=False)
            parent, name = await here.place(node.path)
        except NotFound:
            if force:
                continue
            raise
        if node.entry.is_dir:
            if not recursive:
                raise WrongKind(f"{node.path} is a folder", hint="rm -r removes folders")
            if not (yes or force) and not await here.sure(f"remove {node.path} and all that is in it?"):
                continue
        await parent.remove(name)


@command("cp", examples=["cp /systems/data.demo/alice/README.txt /systems/data.demo/alice/copy.txt"])
async def cp(here: Session, sources: list[TreePath], target: TreePath, *, recursive: Recursive = False) -> None:
    """Copy files on a system, between systems, or from a job's outputs to a system. An existing file is replaced.

    On one system the platform copies; between two, the bytes come through here.
    """
    for source, goal in await _pairs(here, sources, target):
        if source.entry.is_dir and not recursive:
            raise WrongKind(f"{source.path} is a folder", hint="cp -r copies folders")
        await _copy(source, goal)


@command("mv", examples=["mv /systems/data.demo/alice/copy.txt /systems/data.demo/alice/moved.txt"])
async def mv(here: Session, sources: list[TreePath], target: TreePath) -> None:
    """Move or rename files and folders. An existing file is replaced, a folder is not."""
    for source, goal in await _pairs(here, sources, target):
        parent, name = await here.place(source.path)
        if goal.shares_storage(source):
            there = await here.find_or_none(goal.path)
            if there is None:
                await goal.move(source)
                goal.folder.listings.drop(parent.path, name)
                continue
            if there.entry.is_dir or source.entry.is_dir:
                raise AlreadyThere(f"{there.path} is there already", hint="remove it first, or name another")
        await _copy(source, goal)
        await parent.remove(name)


class _Goal:
    """Where something is to be put: a name in a folder of a system."""

    def __init__(self, folder: "StorageDirectory", name: str) -> None:
        self.folder, self.name = folder, name

    @property
    def path(self) -> str:
        return f"{self.folder.path.rstrip('/')}/{self.name}"

    @property
    def inner(self) -> str:
        return f"{self.folder.inner.rstrip('/')}/{self.name}"

    def shares_storage(self, node: "Node") -> bool:
        return node.remote is not None and self.folder.remote[:2] == node.remote[:2]

    async def move(self, node: "Node") -> None:
        assert node.remote is not None
        await self.folder.storage.move(node.remote.path, self.inner)
        await self.changed()

    async def changed(self) -> None:
        """Note in the listings that something new is here."""
        self.folder.listings.forget(self.path, below=True)
        self.folder.listings.put(self.folder.path, self.name, await self.folder.storage.stat(self.inner))


async def _pairs(here: Session, sources: list[str], target: str) -> list[tuple["Node", _Goal]]:
    """Each source with the place it goes to: into the target if that is a folder, else as the target."""
    from agavesh.tree.storage import StorageDirectory

    there = await here.find_or_none(target)
    if there is None or not there.entry.is_dir:
        if len(sources) > 1:
            raise WrongKind(
                f"{target} is no folder", directory_expected=True, hint="several files need a folder to go to"
            )
        if there is None and target.endswith("/"):
            raise NotFound(f"no folder {target}", hint="mkdir makes one")
        parent, name = await here.place(target)
        goals: list[tuple[Node, Node, str]] = [(await here.find(sources[0]), parent, name)]
    else:
        nodes = [await here.find(source) for source in sources]
        goals = [(node, there, node.name) for node in nodes]
    found = []
    for node, folder, name in goals:
        if not isinstance(folder, StorageDirectory):
            raise ReadOnly(f"{folder.path} can't be changed", hint="files are written on systems: /systems/SYSTEM/…")
        goal = _Goal(folder, name)
        if goal.path == node.path:
            raise BadArgument(f"{node.path} is source and target at once")
        if node.entry.is_dir and f"{goal.path}/".startswith(f"{node.path}/"):
            raise BadArgument(f"{goal.path} is inside {node.path}", hint="a folder can't go into itself")
        found.append((node, goal))
    return found


async def _copy(source: "Node", goal: _Goal) -> None:
    """One file or folder to its place."""
    from agavesh.shell.content import chunks
    from agavesh.tree.node import Directory
    from agavesh.tree.storage import StorageDirectory, StorageNode

    if goal.shares_storage(source):
        assert isinstance(source, StorageNode)
        await source.storage.copy(source.inner, goal.inner)
        await goal.changed()
        return
    if isinstance(source, Directory):
        if isinstance(source, StorageDirectory) and (await source.listing()).left_out:
            # who moves it would delete them
            raise BadAnswer(f"{source.path} holds what makes no sense, and can't be copied whole")
        await goal.folder.storage.mkdir(goal.inner)
        await goal.changed()
        folder = goal.folder.child(await goal.folder.storage.stat(goal.inner))
        assert isinstance(folder, StorageDirectory)
        async for node in source.scan():
            await _copy(node, _Goal(folder, node.name))
        return
    try:
        entry = await goal.folder.storage.replace(goal.inner, chunks(source))
    except AgaveError:
        goal.folder.listings.changed(goal.path)
        goal.folder.listings.forget(goal.folder.path)
        raise
    goal.folder.listings.put(goal.folder.path, goal.name, entry)
