"""Every example in the help does what it shows."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agavesh.client.local import local_root
from agavesh.shell.commands import all_commands
from agavesh.shell.session import Leave
from tests.shell.conftest import Shell

EXAMPLES = [(command, example) for command in all_commands().commands() for example in command.examples]
# what cannot be shown without a platform elsewhere, a mount, a tenant that serves or a password; tests of their own run
# them
WITHOUT = {
    "login", "logout", "mount", "umount", "tenant", "tenant serve", "tenant start", "tenant stop",
    "tenant fault", "tenant fault add", "tenant fault clear", "tenant user add", "tenant user password",
    "tenant user remove",
}  # fmt: skip


async def test_every_example_runs(shell: Shell, home: Path, own_folders: Path, planted: Path) -> None:
    shutil.copytree(planted, local_root(), symlinks=True)  # alice's own tenant, which does not serve
    readme = (home / "README.txt").read_text()
    for command, example in EXAMPLES:
        for path in set(home.iterdir()) - {home / "archive"}:  # each begins with the same files
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for name in ("README.txt", "old.txt", "copy.txt"):
            (home / name).write_text(readme)
        if "mkdir" not in example:
            (home / "new").mkdir()
        (own_folders / "notes.txt").write_text("notes\n")
        (own_folders / "results").mkdir(exist_ok=True)
        shutil.rmtree(own_folders / "out", ignore_errors=True)
        (await shell.here.workspace()).listings.forget_all()
        if "latest" in example:
            newest = (await shell.good("jobs -n 1 -o json")).json
            if not newest or newest[0]["appId"] != "wordcount-1.0":
                await shell.good("jobs submit wordcount-1.0 text=/systems/data.demo/alice/README.txt --wait")
        if command.words == ("exit",):
            with pytest.raises(Leave):
                await shell(example)
            continue
        await shell.good(example)
        await shell.good("set output table")


def test_every_command_has_an_example() -> None:
    lacking = {" ".join(command.words) for command in all_commands().commands() if not command.examples}
    assert lacking == WITHOUT


def test_an_example_is_of_its_own_command() -> None:
    for command, example in EXAMPLES:
        names = [" ".join(words) for words in (command.words, *command.also)]
        assert any(example == name or example.startswith(f"{name} ") for name in names), example
