"""Bytes of the tree's files: all of them, a span, or as they come while a job writes. In constant memory.

Files that the platform keeps are streamed; those that are made here are small, and come in one piece.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

import trio

from agavesh.client.errors import BadAnswer, Changed, NotFound, Untrusted, WrongKind
from agavesh.client.storage import JobStorage
from agavesh.client.watch import PASSING
from agavesh.tree.jobs import FINAL
from agavesh.tree.node import Directory, File, Node
from agavesh.tree.storage import StorageFile

if TYPE_CHECKING:
    from agavesh.client.client import Agave

BLOCK = 64 * 1024  # bytes that the end of a file is looked for in, at first
SOONEST, LATEST = 0.5, 5.0  # seconds between looks at a file that may grow
PATIENCE = 600.0  # seconds without any answer after which a file is followed no further


def as_file(node: Node) -> File:
    """The node, if it has bytes. WrongKind for a folder."""
    if isinstance(node, Directory):
        raise WrongKind(f"{node.path} is a folder", hint="ls shows what is in it")
    if not isinstance(node, File):
        raise WrongKind(f"{node.path} has no bytes")
    return node


async def chunks(node: Node, start: int = 0, stop: int | None = None) -> AsyncGenerator[bytes, None]:
    """The bytes from `start` to before `stop`, or to the end. Close it if you stop early."""
    file = as_file(node)
    if not isinstance(file, StorageFile):
        yield (await file.content())[start:stop]
        return
    async with file.storage.read(file.inner, start, stop) as stream:
        if stream.start > start:
            raise BadAnswer(f"{file.path} was sent from byte {stream.start} instead of {start}")
        skip, left = start - stream.start, None if stop is None else stop - start
        async for chunk in stream:
            part = chunk[skip:] if skip else chunk
            skip = max(0, skip - len(chunk))
            if left is not None:
                part = part[:left]
                left -= len(part)
            if part:
                yield part
            if left == 0:
                break


async def read(node: Node, start: int = 0, stop: int | None = None) -> bytes:
    """A span in one piece."""
    async with aclosing(chunks(node, start, stop)) as parts:
        return b"".join([part async for part in parts])


async def size_of(node: Node) -> int:
    """How many bytes there are now. What a listing said may be old for a file that grows."""
    if isinstance(node, StorageFile):
        return (await node.again()).entry.size or 0
    return len(await as_file(node).content())


async def last_lines(node: Node, lines: int, size: int) -> bytes:
    """The last lines of the first `size` bytes."""
    want = BLOCK
    while lines > 0:
        start = max(0, size - want)
        data = await read(node, start, size) if size else b""
        # the newline at the very end ends the last line, and begins none
        found = data.removesuffix(b"\n").rsplit(b"\n", lines)
        if len(found) > lines or start == 0:
            kept = b"\n".join(found[-lines:])
            return kept + b"\n" if data.endswith(b"\n") else kept
        want *= 4
    return b""


async def growth(agave: Agave, node: Node, start: int) -> AsyncGenerator[bytes, None]:
    """What is added to a file from `start` on. An output is followed to the end of its job, another file for ever."""
    file = as_file(node)
    if not isinstance(file, StorageFile):
        raise WrongKind(f"{file.path} does not grow", hint="only files on systems and outputs of jobs can be followed")
    job = file.storage.owner if isinstance(file.storage, JobStorage) else None
    position, pause = start, SOONEST
    gives_up = trio.current_time() + PATIENCE
    while True:
        size, ended = position, False
        try:
            # asked before the size: what an ended job left is all there
            ended = job is not None and (await agave.jobs.getStatus(jobId=job)).status in FINAL
            size = await size_of(file)
            if size > position:
                async with aclosing(chunks(file, position, size)) as parts:
                    async for part in parts:
                        yield part
                        position += len(part)
                pause = SOONEST
                continue
            if size < position:
                position = size  # cut short by its writer: what is written from here on is news
            gives_up = trio.current_time() + PATIENCE
        except (NotFound, Changed):
            if job is None or ended:
                raise  # while a job archives, its outputs may be out of sight
        except PASSING as trouble:
            if isinstance(trouble, Untrusted) or trio.current_time() > gives_up:
                raise
            ended = False
        if ended:
            return
        await trio.sleep(pause)
        pause = min(pause * 1.5, LATEST)
