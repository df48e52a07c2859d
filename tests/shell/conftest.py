"""A shell for tests: commands in this process, or `agavesh` as a program, against the tenant of the test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import trio

from agavesh.client.accounts import Account, Accounts
from agavesh.shell.commands import all_commands
from agavesh.shell.console import Console
from agavesh.shell.run import checked, report, run_line
from agavesh.shell.session import Session


class Said(NamedTuple):
    """What a command ended with and wrote."""

    status: int
    out: str
    err: str
    raw: bytes

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.raw)


class Shell:
    """A session whose standard output and error are files."""

    def __init__(self, here: Session, files: tuple[int, int]) -> None:
        self.here, self._files = here, files

    async def __call__(self, line: str) -> Said:
        """Run a line, as `-c` would."""
        from agavesh.client.errors import AgaveError

        for file in self._files:
            os.ftruncate(file, 0)
            os.lseek(file, 0, os.SEEK_SET)
        try:
            status = await run_line(self.here, checked(self.here, line))
        except AgaveError as error:
            status = report(self.here, error)
        out, err = (os.pread(file, 1 << 24, 0) for file in self._files)
        return Said(status, out.decode("utf-8", "surrogateescape"), err.decode(), out)

    async def good(self, line: str) -> Said:
        """Run a line that must end with 0."""
        said = await self(line)
        assert said.status == 0, said.err
        return said


@pytest.fixture(autouse=True)
def own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Nothing of the person who runs the tests: no account, no history, no proxy; and a folder to work in."""
    for name in list(os.environ):
        if name.startswith("AGAVE_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name, folder in (("AGAVE_CACHE_DIR", "agave"), ("XDG_STATE_HOME", "state"), ("HOME", "home")):
        monkeypatch.setenv(name, str(tmp_path / folder))
    work = tmp_path / "work"
    for folder in (tmp_path / "home", work):
        folder.mkdir()
    monkeypatch.chdir(work)
    return work


@pytest.fixture
def account(tenant: Any) -> Account:
    """alice, signed in."""
    made = Account(tenant.url, "alice", access_token=tenant.token("alice"))
    Accounts().save(made)
    return made


@pytest.fixture
async def shell(account: Account, tmp_path: Path) -> AsyncIterator[Shell]:
    """alice's session."""
    files = tuple(os.open(tmp_path / name, os.O_RDWR | os.O_CREAT | os.O_APPEND) for name in ("out", "err"))
    console = Console(files[0], files[1])
    here = Session(console, all_commands())
    async with here.living():
        yield Shell(here, (files[0], files[1]))
    for file in files:
        os.close(file)


@pytest.fixture
def home(tenant: Any) -> Path:
    """alice's home on data.demo as a folder of this machine, with something in it."""
    folder: Path = tenant.path("data.demo", "/alice")
    (folder / "README.txt").write_text("".join(f"line {number} of the file\n" for number in range(1, 31)))
    (folder / "docs").mkdir()
    (folder / "docs" / "a.txt").write_text("a\n")
    (folder / "docs" / "b.md").write_text("b\n")
    (folder / "docs" / ".hidden").write_text("h\n")
    return folder


async def agavesh(*words: str, stdin: bytes = b"", **environment: str) -> Said:
    """`agavesh` as a program, in this loop, so that the tenant of the test can answer it."""
    with trio.fail_after(60):
        done = await trio.run_process(
            [sys.executable, "-m", "agavesh", *words], capture_stdout=True, capture_stderr=True, check=False,
            stdin=stdin, env={**os.environ, **environment},
        )  # fmt: skip
    assert isinstance(done, subprocess.CompletedProcess)
    return Said(done.returncode, done.stdout.decode("utf-8", "surrogateescape"), done.stderr.decode(), done.stdout)
