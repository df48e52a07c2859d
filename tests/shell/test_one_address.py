"""An address means one place: to `cat`, to a job's input, and to the tree."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.shell.conftest import Shell


@pytest.mark.parametrize(
    "address", ["agave://data.demo//alice/sub/data%20%231.txt", "agave://data.demo/sub/data%20%231.txt"]
)
async def test_a_job_reads_what_cat_reads(shell: Shell, own_folders: Path, address: str) -> None:
    (own_folders / "data #1.txt").write_bytes(bytes_ := os.urandom(5000))
    await shell.good("mkdir /systems/data.demo/alice/sub")
    await shell.good("put 'data #1.txt' /systems/data.demo/alice/sub/")

    assert (await shell.good(f"cat {address}")).raw == bytes_
    job = (await shell.good(f"jobs submit wordcount-1.0 text={address} --wait")).lines[-1]
    assert (await shell.good(f"cat job:{job}/data%20%231.txt")).raw == bytes_
