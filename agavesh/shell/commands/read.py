"""cat, head, tail: what is in files."""

from typing import Annotated

from agavesh.api.words import TreePath, Word
from agavesh.client.errors import BadArgument
from agavesh.shell.command import Short, command
from agavesh.shell.session import Session

Lines = Annotated[int, Word("so many lines"), Short("n")]
Bytes = Annotated[int, Word("so many bytes instead"), Short("c")]


@command("cat", examples=["cat /jobs/latest/job.json", "cat agave://data.demo//alice/README.txt"])
async def cat(here: Session, paths: list[TreePath]) -> None:
    """Write out files, one after the other."""
    from contextlib import aclosing

    from agavesh.shell.content import chunks

    for path in paths:
        async with aclosing(chunks(await here.find(path))) as parts:
            async for part in parts:
                await here.console.send(part)


@command("head", examples=["head -n 3 /systems/data.demo/alice/README.txt"])
async def head(here: Session, paths: list[TreePath], *, lines: Lines = 10, bytes: Bytes = -1) -> None:
    """Write out the beginning of files."""
    from contextlib import aclosing

    from agavesh.shell.content import chunks

    _count(lines)
    for at, path in enumerate(paths):
        await _title(here, path, at, len(paths))
        left = lines if bytes < 0 else bytes
        if left <= 0:
            continue
        async with aclosing(chunks(await here.find(path))) as parts:
            async for part in parts:
                shown = part[:left] if bytes >= 0 else _first_lines(part, left)
                await here.console.send(shown)
                left -= len(shown) if bytes >= 0 else shown.count(b"\n")
                if left <= 0:
                    break


@command(
    "tail", examples=["tail -n 3 /systems/data.demo/alice/README.txt", "tail -f /jobs/latest/outputs/wordcount.out"]
)
async def tail(
    here: Session,
    paths: list[TreePath],
    *,
    lines: Lines = 10,
    bytes: Bytes = -1,
    follow: Annotated[bool, Word("go on with what is added; for an output, to the end of its job"), Short("f")] = False,
) -> None:
    """Write out the end of files."""
    from contextlib import aclosing

    from agavesh.shell.content import as_file, chunks, growth, last_lines, size_of

    _count(lines)
    if follow and len(paths) > 1:
        raise BadArgument("one file at a time can be followed", hint="start another shell for the other")
    for at, path in enumerate(paths):
        await _title(here, path, at, len(paths))
        node = as_file(await here.find(path))
        size = await size_of(node)
        if bytes >= 0:
            if size and bytes:
                async with aclosing(chunks(node, max(0, size - bytes), size)) as parts:
                    async for part in parts:
                        await here.console.send(part)
        else:
            await here.console.send(await last_lines(node, lines, size))
        if follow:
            async with aclosing(growth(await here.agave(), node, size)) as parts:
                async for part in parts:
                    await here.console.send(part)


def _count(lines: int) -> None:
    if lines < 0:
        raise BadArgument(f"there are no {lines} lines", hint="a number from 0 on")


def _first_lines(data: bytes, lines: int) -> bytes:
    at = -1
    for _ in range(lines):
        at = data.find(b"\n", at + 1)
        if at < 0:
            return data
    return data[: at + 1]


async def _title(here: Session, path: str, at: int, many: int) -> None:
    from agavesh.shell.tokens import printable

    if many > 1:
        blank = "\n" if at else ""
        await here.console.send(f"{blank}==> {printable(path)} <==\n")
