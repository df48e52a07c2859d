"""Bringing files into a job's folder and out of it: trees of this machine's disk, and downloads.

A file appears under its name when it is whole: it is written in the tenant's own staging folder and moved into place.
So a step that a crash cut short is simply done again. Links are kept where they lead to something within the copied
tree; other links, pipes and devices are left out. All of it stops between two blocks when its task is cancelled.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import trio

BLOCK = 1 << 20  # bytes
PATIENCE = httpx.Timeout(30, read=60)  # seconds for a connection, and without a byte

Wanted = Callable[[str], bool]  # of a path from the top of the copied tree, without a leading slash


class Trouble(Exception):
    """A file could not be brought. The text is fit for the history of a job."""


async def copy_tree(
    source: Path, target: Path, staging: Path, limiter: trio.CapacityLimiter | None, wanted: Wanted
) -> int:
    """Copy a file or a folder with all in it that is `wanted` to `target`, over what is there. Bytes copied."""
    try:
        return await trio.to_thread.run_sync(_copy, source, target, staging, wanted, limiter=limiter)
    except OSError as trouble:
        raise Trouble(f"{trouble.strerror}: {Path(trouble.filename or source).name}") from None


def _copy(source: Path, target: Path, staging: Path, wanted: Wanted) -> int:
    if not source.is_dir():
        return _copy_file(source, target, staging)
    total = 0
    target.mkdir(parents=True, exist_ok=True)
    for path, entry in _walk(source, ""):
        trio.from_thread.check_cancelled()
        if not wanted(path):
            continue
        if entry.is_dir(follow_symlinks=False):
            if not os.listdir(entry.path):  # noqa: PTH208 - others come with what is wanted of them
                (target / path).mkdir(parents=True, exist_ok=True)
        elif entry.is_symlink():
            _copy_link(Path(entry.path), source, target / path)
        elif entry.is_file(follow_symlinks=False):
            total += _copy_file(Path(entry.path), target / path, staging)
    return total


def _walk(folder: Path, above: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """All that is below a folder, folders before what is in them."""
    with os.scandir(folder) as entries:
        found = list(entries)
    for entry in found:
        yield above + entry.name, entry
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(folder / entry.name, f"{above}{entry.name}/")


def _copy_link(link: Path, top: Path, target: Path) -> None:
    leads = link.readlink()
    if leads.is_absolute() or not link.resolve().is_relative_to(top.resolve()):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink() or target.is_file():
        target.unlink()
    target.symlink_to(leads)


def _copy_file(source: Path, target: Path, staging: Path) -> int:
    # a pipe put in the file's place meanwhile must not hold us up
    reading = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    temporary = staging / f"job-{secrets.token_hex(8)}"
    total = 0
    try:
        found = os.fstat(reading)
        if not stat.S_ISREG(found.st_mode):
            return 0
        with temporary.open("wb", buffering=0) as writing:
            while block := os.read(reading, BLOCK):
                trio.from_thread.check_cancelled()
                writing.write(block)
                total += len(block)
            os.fchmod(writing.fileno(), found.st_mode & 0o777 | 0o600)
        os.utime(temporary, ns=(found.st_atime_ns, found.st_mtime_ns))
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.replace(target)
    finally:
        os.close(reading)
        temporary.unlink(missing_ok=True)
    return total


async def download(url: str, target: Path, staging: Path) -> int:
    """Fetch what is at an http(s) URL. Bytes fetched."""
    temporary = staging / f"job-{secrets.token_hex(8)}"
    total = 0
    by_proxy = urlsplit(url).hostname not in ("localhost", "127.0.0.1", "::1")
    try:
        async with (
            httpx.AsyncClient(timeout=PATIENCE, follow_redirects=True, trust_env=by_proxy) as client,
            client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as answer,
        ):
            if answer.status_code != 200:
                raise Trouble(f"{url} answered {answer.status_code} {answer.reason_phrase}")
            async with await trio.open_file(temporary, "wb") as writing:
                async for block in answer.aiter_bytes(BLOCK):
                    await writing.write(block)
                    total += len(block)
        await trio.to_thread.run_sync(temporary.replace, target)
    except (httpx.HTTPError, httpx.InvalidURL) as trouble:
        raise Trouble(f"{url} could not be fetched: {trouble or type(trouble).__name__}") from None
    except OSError as trouble:
        raise Trouble(f"{trouble.strerror}: {target.name}") from None
    finally:
        temporary.unlink(missing_ok=True)
    return total
