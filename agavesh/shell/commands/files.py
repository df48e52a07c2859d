"""ls, cd, pwd, stat: looking round the tree."""

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Annotated, Any

from agavesh.api.words import TreePath, Word
from agavesh.client.errors import WrongKind
from agavesh.shell.command import Short, command
from agavesh.shell.session import Session
from agavesh.shell.tokens import quote

if TYPE_CHECKING:
    from agavesh.tree.node import Directory, Node

FolderPath = Annotated[str, Word("folder in the tree, or a URI", lists="tree/")]


@command("pwd", examples=["pwd"])
def pwd(here: Session) -> None:
    """Print the folder you are in."""
    here.console.write(f"{here.cwd}\n")


@command("cd", examples=["cd /systems/data.demo/alice", "cd -", "cd"])
async def cd(here: Session, folder: FolderPath = "") -> None:
    """Go to a folder; without one to your home on your default storage system, with - to where you were before."""
    if folder == "-":
        here.cwd, here.before = here.before, here.cwd
        await here.console.send(f"{here.cwd}\n")
        return
    if not folder:
        from agavesh.shell.commands.systems import default_storage

        folder = f"/systems/{await default_storage(here)}/~"
    path = (await here.directory(folder)).path
    here.cwd, here.before = path, here.cwd


@command(
    "ls",
    examples=["ls -l /systems/data.demo/alice", "ls -lhtr /jobs/latest/outputs", "ls /systems/data.demo/alice/*.txt"],
)
async def ls(
    here: Session,
    *paths: TreePath,
    long: Annotated[bool, Word("size, time and what you may do"), Short("l")] = False,
    all: Annotated[bool, Word("names that begin with a dot too"), Short("a")] = False,
    recursive: Annotated[bool, Word("what is in folders too"), Short("R")] = False,
    by_time: Annotated[bool, Word("newest first"), Short("t")] = False,
    by_size: Annotated[bool, Word("largest first"), Short("S")] = False,
    reverse: Annotated[bool, Word("the other way round"), Short("r")] = False,
    one: Annotated[bool, Word("a name a line"), Short("1")] = False,
    human: Annotated[bool, Word("sizes such as 1.5M"), Short("h")] = False,
    directory: Annotated[bool, Word("folders themselves, not what is in them"), Short("d")] = False,
) -> None:
    """List folders and files.

    On a terminal, names are shown as they can be typed: with quotes where they need some.
    """
    from agavesh.tree.node import Directory

    order = _order(by_time, by_size, reverse)
    layout = _Layout(here, long=long, human=human, one=one)
    files: list[tuple[str, Node]] = []
    folders: list[tuple[str, Directory]] = []
    for path in paths or (".",):
        node = await here.find(path, follow=not (long and directory))
        if isinstance(node, Directory) and not directory:
            folders.append((path, node))
        else:
            files.append((path, node))
    if files:
        layout.add("", sorted(files, key=lambda named: order(named[1])) if by_time or by_size else files)
    for path, folder in folders:
        title = path if len(folders) + len(files) > 1 or recursive else ""
        async for name, inside in _folders(path, folder, recursive, all):
            nodes = sorted([node for node in inside if all or not node.name.startswith(".")], key=order)
            layout.add(name if title else "", [(node.name, node) for node in nodes], titled=bool(title))
    await layout.send()


async def _folders(
    path: str, folder: "Directory", recursive: bool, hidden: bool
) -> AsyncIterator[tuple[str, list["Node"]]]:
    """A folder and, if asked, those inside it, each before what is in it."""
    from agavesh.tree.node import Directory
    from agavesh.tree.storage import StorageDirectory

    if isinstance(folder, StorageDirectory):
        await folder.listing(fresh=0)  # who asks what there is means now
    nodes = [node async for node in folder.scan()]
    yield path, nodes
    if recursive:
        for node in sorted(nodes, key=lambda node: node.name):
            if isinstance(node, Directory) and (hidden or not node.name.startswith(".")):
                async for inner in _folders(f"{path.rstrip('/')}/{node.name}", node, recursive, hidden):
                    yield inner


def _order(by_time: bool, by_size: bool, reverse: bool) -> Callable[["Node"], Any]:
    sign = -1 if reverse else 1

    def key(node: "Node") -> Any:
        name = tuple(sign * ord(c) for c in node.name) + ((1,) if reverse else ())
        if by_time:
            return (-sign * (node.entry.modified or 0), name)
        if by_size:
            return (-sign * (node.entry.size or 0), name)
        return name

    return key


class _Layout:
    """What `ls` found, until it is written."""

    def __init__(self, here: Session, *, long: bool, human: bool, one: bool) -> None:
        self.here, self.long, self.human, self.one = here, long, human, one
        self.groups: list[tuple[str, list[tuple[str, Node]]]] = []

    def add(self, title: str, nodes: list[tuple[str, "Node"]], *, titled: bool = False) -> None:
        self.groups.append((title if titled else "", nodes))

    async def send(self) -> None:
        from agavesh.shell import render

        if self.here.output == "table":
            parts = [self._group(title, nodes) for title, nodes in self.groups]
            await self.here.console.send("\n".join(part for part in parts))
            return
        rows = [
            _row(f"{title.rstrip('/')}/{name}" if title else name, node)
            for title, nodes in self.groups
            for name, node in nodes
        ]
        if self.here.output == "json":
            import msgspec

            await self.here.console.show(render.array(msgspec.json.encode(row) for row in rows))
        else:
            columns = [render.key(name) for name in _FIELDS]
            await self.here.console.show(render.comma_separated(rows, columns))

    def _group(self, title: str, nodes: list[tuple[str, "Node"]]) -> str:
        head = f"{self._name(title)}:\n" if title else ""
        if self.long:
            return head + self._long(nodes)
        names = [self._name(name) for name, _ in nodes]
        width = self.here.console.width
        if self.one or width is None or not names:
            return head + "".join(
                self._painted(name, node) + "\n" for name, (_, node) in zip(names, nodes, strict=True)
            )
        from agavesh.shell import render

        out = []
        rows = render.in_columns(names, width)
        wide = [max(render.cells(names[row[at]]) for row in rows if at < len(row)) for at in range(len(rows[0]))]
        for row in rows:
            line = [
                self._painted(names[place], nodes[place][1]) + " " * (wide[at] - render.cells(names[place]))
                for at, place in enumerate(row)
            ]
            out.append("  ".join(line).rstrip() + "\n")
        return head + "".join(out)

    def _long(self, nodes: list[tuple[str, "Node"]]) -> str:
        from agavesh.shell import render
        from agavesh.tree.node import Link

        rows = []
        for name, node in nodes:
            size = node.entry.size
            shown = "-" if size is None else render.human(size) if self.human else str(size)
            target = f" -> {self._name(node.target)}" if isinstance(node, Link) else ""
            rows.append(
                (access(node), shown, when(node.entry.modified), self._painted(self._name(name), node) + target)
            )
        widest = max((len(row[1]) for row in rows), default=0)
        return "".join(f"{mode}  {size:>{widest}}  {time}  {name}\n" for mode, size, time, name in rows)

    def _name(self, name: str) -> str:
        return quote(name) if self.here.console.is_terminal else name

    def _painted(self, name: str, node: "Node") -> str:
        if not self.here.console.colour:
            return name
        from agavesh.tree.node import Link

        code = "1;34" if node.entry.is_dir else "36" if isinstance(node, Link) else ""
        return f"\x1b[{code}m{name}\x1b[0m" if code else name


_FIELDS = ("name", "type", "size", "modified", "access", "path")


def _row(name: str, node: "Node") -> dict[str, Any]:
    """A node as a record of ours: the tree holds more than files of the platform."""
    from datetime import UTC, datetime

    modified = node.entry.modified
    return {
        "name": name,
        "type": node.entry.kind,
        "size": node.entry.size,
        "modified": datetime.fromtimestamp(modified, UTC).isoformat(timespec="seconds") if modified else None,
        "access": access(node)[1:],
        "path": node.path,
    }


def access(node: "Node") -> str:
    """Kind, and what you yourself may do: drwx, -r--."""
    from agavesh.tree.node import Link

    first = "d" if node.entry.is_dir else "l" if isinstance(node, Link) else "-"
    bits = node.entry.access
    return first + "".join(letter if bits & bit else "-" for letter, bit in (("r", 4), ("w", 2), ("x", 1)))


def when(modified: float | None) -> str:
    """A time in sixteen characters, local."""
    import time

    return time.strftime("%Y-%m-%d %H:%M", time.localtime(modified)) if modified is not None else " " * 16


@command("stat", examples=["stat /systems/data.demo/alice", "stat -o json /jobs/latest/outputs"])
async def stat(here: Session, paths: list[TreePath]) -> None:
    """Show all that is known of files and folders; with -o json, of files the platform's own record."""
    from agavesh.shell import render
    from agavesh.tree.storage import StorageNode

    for path in paths:
        node = await here.find(path)
        if here.output == "json" and isinstance(node, StorageNode):
            await here.console.show(render.indented(await _record(here, node)))
            continue
        row = _row(node.name or "/", node)
        if node.remote is not None:
            row["uri"] = node.remote.uri
        await render.show_one(here, row)


async def _record(here: Session, node: Any) -> bytes:
    """What the platform says of one file or folder."""
    import msgspec

    from agavesh.client.storage import JobStorage

    agave = await here.agave()
    page: list[Any]
    if isinstance(node.storage, JobStorage):
        page = await agave.jobs.listOutputs(jobId=node.storage.owner, filePath=node.inner.strip("/"), limit=1)
        if node.entry.is_dir:
            return msgspec.json.encode(_row(node.name, node))  # wire: a folder of outputs does not tell of itself
    else:
        page = await agave.files.list(systemId=node.storage.owner, filePath=node.inner, limit=1)
    if not page:
        raise WrongKind(f"{node.path} has no record")
    return bytes(page[0].json)
