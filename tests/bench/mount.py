"""The mount against the same commands on local disk: listings, small files, large files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.bench.house import House, table, timed

SIZE = 64 * 2**20  # bytes
SMALL = 100  # files


def run(house: House) -> None:
    """Prints wall times, cold and warm, and their multiples of local disk."""
    mount = house.folder / "mnt"
    mount.mkdir()
    local = house.folder / "local"
    alice = mount / "systems/data.demo/alice"
    house.run("agavefs", "mount", str(mount))
    try:
        _fill(alice, local)
    finally:
        house.run("agavefs", "umount", str(mount))

    folders = [folder for folder in sorted(alice_on_disk(house).iterdir()) if folder.is_dir()]
    wide = next(folder for folder in folders if len(list(folder.iterdir())) >= 5000).name
    rows = []
    for name, remote, near in (
        ("ls -l of 5,000 files", f"ls -l {alice}/{wide}", f"ls -l {local}/{wide}"),
        ("cat of 100 small files", f"cat {alice}/bench/small/*", f"cat {local}/small/*"),
        ("64 MiB read", f"cat {alice}/bench/large", f"cat {local}/large"),
    ):
        if wide in near:
            shutil.copytree(alice_on_disk(house) / wide, local / wide, dirs_exist_ok=True)
        cold, warm = _cold_and_warm(house, mount, lambda command=remote: house.run("sh", "-c", command))
        disk = min(timed(lambda command=near: house.run("sh", "-c", command)) for _ in range(3))
        rows += [_row(f"{name}, cold", cold, disk), _row(f"{name}, warm", warm, disk)]

    house.run("agavefs", "mount", str(mount))
    try:
        source = local / "large"
        written = min(timed(lambda: house.run("cp", str(source), str(alice / "bench/copy"))) for _ in range(3))
        disk = min(timed(lambda: house.run("cp", str(source), str(local / "copy"))) for _ in range(3))
        rows.append(_row("64 MiB written, close waits for the platform", written, disk))
    finally:
        house.run("agavefs", "umount", str(mount))
    table("mount, loopback, wall", ("step", "mount ms", "local ms", "ratio"), rows)


def alice_on_disk(house: House) -> Path:
    """Where the embedded tenant keeps alice's files: told by its state folder, so that local runs read the same."""
    return next(path for path in house.folder.glob("state/**/alice") if path.is_dir())


def _fill(alice: Path, local: Path) -> None:
    (local / "small").mkdir(parents=True)
    (alice / "bench/small").mkdir(parents=True)
    (local / "large").write_bytes(os.urandom(SIZE))
    shutil.copy(local / "large", alice / "bench/large")
    for number in range(SMALL):
        text = os.urandom(2000)
        (local / f"small/{number}").write_bytes(text)
        (alice / f"bench/small/{number}").write_bytes(text)


def _cold_and_warm(house: House, mount: Path, act: Callable[[], object]) -> tuple[float, float]:
    """Right after a mount with nothing cached, and the best of three more."""
    shutil.rmtree(house.folder / "cache", ignore_errors=True)
    house.run("agavefs", "mount", str(mount))
    try:
        return timed(act), min(timed(act) for _ in range(3))
    finally:
        house.run("agavefs", "umount", str(mount))


def _row(name: str, ours: float, disk: float) -> tuple[str, ...]:
    return name, f"{ours * 1e3:.0f}", f"{disk * 1e3:.0f}", f"{ours / disk:.1f}"
