"""Bundles: the files of an app, as a folder, or, once it is published, as a zip with a checksum."""

from __future__ import annotations

import hashlib
import os
import secrets
import zipfile
from pathlib import Path

import trio

from agavesh.tenant.files.disk import said
from agavesh.tenant.files.trees import copy_tree, erase, paths_below, sync
from agavesh.tenant.refusal import Refusal


async def unpack(
    bundle: Path, work: Path, staging: Path, limiter: trio.CapacityLimiter | None, *, checksum: str | None = None
) -> list[str]:
    """Put all files of a bundle into a folder. Their paths in it. Refusal if it is not whole, or not what it was."""
    try:
        return await trio.to_thread.run_sync(_unpack, bundle, work, staging, checksum, limiter=limiter)
    except FileNotFoundError:
        raise Refusal(400, f"The app's files are not there: {bundle.name}") from None
    except (OSError, zipfile.BadZipFile) as trouble:
        raise Refusal(400, f"The app's files {bundle.name} cannot be copied: {said(trouble)}") from None


def _unpack(bundle: Path, work: Path, staging: Path, checksum: str | None) -> list[str]:
    if not bundle.is_dir():
        return _unzip(bundle, work, staging, checksum)
    names = files_below(bundle)
    copy_tree(bundle, work, staging, within=bundle, faithful=True)
    return names


def files_below(folder: Path) -> list[str]:
    """The paths of all files below a folder, from it."""
    return sorted(path for path in paths_below(folder) if not (folder / path).is_dir())


def _unzip(bundle: Path, work: Path, staging: Path, checksum: str | None) -> list[str]:
    if checksum is not None and checksum_of(bundle) != checksum:
        raise Refusal(400, f"The app's bundle {bundle.name} is not what was published: its checksum differs")
    unpacked = staging / secrets.token_hex(8)
    try:
        with zipfile.ZipFile(bundle) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            for entry in entries:
                trio.from_thread.check_cancelled()
                place = Path(archive.extract(entry, unpacked))  # cuts what would lead out of the folder
                place.chmod((entry.external_attr >> 16) & 0o777 or 0o644)
        if entries:
            copy_tree(unpacked, work, staging, within=unpacked, faithful=True)  # in `work` a job may have put links
    finally:
        erase(unpacked)
    return [entry.filename for entry in entries]


def checksum_of(bundle: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with bundle.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def pack(bundle: Path, staging: Path) -> tuple[Path, str]:
    """Make a zip of a bundle, on the disk: where it is until it is put in place, and its checksum."""
    return await trio.to_thread.run_sync(_zip, bundle, staging)


def _zip(bundle: Path, staging: Path) -> tuple[Path, str]:
    temporary = staging / f"job-{secrets.token_hex(8)}"
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
            for name in files_below(bundle):
                file = Path(os.path.realpath(bundle / name))  # `resolve` fails at a link that leads to itself
                if file.is_file() and file.is_relative_to(bundle.resolve()):
                    archive.write(file, name)
        sync(temporary)
        return temporary, checksum_of(temporary)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
