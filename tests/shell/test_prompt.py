"""The prompt, on a real terminal."""

from __future__ import annotations

import stat
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import trio

from agavesh.client.accounts import Account
from agavesh.shell import exits
from tests.shell.terminal import Terminal
from tests.shell.terminal import terminal as open_terminal

ALICE = "/systems/data.demo/alice"

Open = Callable[..., AbstractAsyncContextManager[Terminal]]


@pytest.fixture
def terminal(account: Account) -> Open:
    """Opens terminals with `agavesh` on them, whose user is alice."""
    return open_terminal


async def test_a_line_is_run_and_ctrl_d_leaves(terminal: Open) -> None:
    async with terminal() as t:
        await t.prompts()
        await t.type("ls")
        await t.shows("apps  jobs  systems")
        await t.prompts()
        await t.press("ctrl-d")
        assert await t.ends() == 0


async def test_tab_completes_step_by_step_and_shows_what_there_is(terminal: Open, home: Path) -> None:
    (home / "two words").touch()
    async with terminal() as t:
        await t.prompts()
        await t.press("l", "s", " /sys", "tab")
        await t.shows("/> ls /systems/")
        await t.press("da", "tab")
        await t.shows("/> ls /systems/data.demo/")
        await t.press("al", "tab")
        await t.shows(f"/> ls {ALICE}/")
        await t.press("tab")
        await t.shows("README.txt")
        await t.shows("docs/")
        await t.press("tw", "tab")
        await t.shows(rf"/> ls {ALICE}/two\ words")
        await t.press("enter")
        await t.shows(f"'{ALICE}/two words'")


async def test_tab_and_what_is_typed_right_after_it_is_not_lost(terminal: Open, home: Path) -> None:
    async with terminal() as t:
        await t.prompts()
        await t.type(f"cd {ALICE}")
        await t.prompts(ALICE)
        await t.type("ls")
        await t.shows("README.txt")
        await t.press("cat RE\t; pwd\r")
        await t.shows("line 30 of the file")
        await t.shows(f"{ALICE}\n{ALICE}>")


async def test_ctrl_c_cancels_the_command_and_the_shell_lives(terminal: Open) -> None:
    async with terminal() as t:
        await t.prompts()
        await t.type("jobs submit ticker-1.0 lines=60 delay=1 --follow")
        await t.shows("line 1 of 60")
        await t.press("ctrl-c")
        await t.prompts()
        await t.type("jobs stop latest; jobs wait latest")
        await t.shows("stopped")
        await t.prompts()
        await t.press("ctrl-d")
        assert await t.ends() in (exits.JOB_STOPPED, exits.INTERRUPTED)


async def test_ctrl_c_at_the_prompt_drops_the_line(terminal: Open) -> None:
    async with terminal() as t:
        await t.prompts()
        await t.press("rm -r everything")
        await t.shows("rm -r everything")
        await t.press("ctrl-c")
        await t.prompts()
        await t.type("exit 3")
        assert await t.ends() == 3


async def test_history_is_kept_for_its_owner_only_and_found_again(terminal: Open, tmp_path: Path) -> None:
    async with terminal() as t:
        await t.prompts()
        await t.type("pwd # one")
        await t.shows("# one\n/\n/>")
        await t.type(" pwd # a secret")
        await t.shows("# a secret\n/\n/>")
        await t.type("exit")
        assert await t.ends() == 0
    (file,) = (tmp_path / "state" / "agavesh" / "history").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().splitlines() == ["pwd # one", "exit"]
    async with terminal() as t:
        await t.prompts()
        await t.type("whoami")  # whose history it is, is known when the account is open
        await t.shows("alice at")
        await t.prompts()
        with trio.fail_after(30):
            while (before := t.line) != "/> pwd # one":  # the oldest: further up there is nothing
                await t.press("up")
                with trio.move_on_after(0.5):  # a thread reads the file, and may be a moment late
                    await t.until(lambda before=before: t.line != before, "another line")


async def test_a_mistake_is_shown_while_it_is_typed(terminal: Open) -> None:
    async with terminal() as t:
        await t.prompts()
        await t.press("lss -l")
        await t.shows('did you mean "ls"?')
        row = t.screen.buffer[t.screen.cursor.y]
        assert {(row[column].fg, row[column].underscore) for column in (3, 4, 5)} == {("red", True)}
        await t.press("enter")
        await t.shows('agavesh: no command "lss"')
        await t.prompts()


async def test_names_never_move_the_terminal(terminal: Open, home: Path) -> None:
    (home / "\x1b[2Jgone").touch()
    (home / "new\nline").touch()
    async with terminal() as t:
        await t.prompts()
        await t.type(f"ls {ALICE}; cat {ALICE}/$'\\e[2Jnothing'")
        await t.shows(r"$'\e[2Jgone'")
        await t.shows(r"$'new\nline'")
        await t.shows(r"\x1b[2Jnothing")
        assert b"\x1b[2Jgone" not in t.raw
        assert b"\x1b[2Jnothing" not in t.raw


async def test_records_never_move_the_terminal_either(terminal: Open, home: Path) -> None:
    (home / "\x9b2Jgone \u202e").touch()
    async with terminal() as t:
        await t.prompts()
        for output in ("json", "csv"):
            await t.type(f"ls -o {output} {ALICE}")
            await t.until(lambda: r"\u009b2Jgone \u202e" in t.text, "the name written out")
            await t.press("\x0c")
        assert "\x9b".encode() not in t.raw


async def test_an_open_quote_goes_on_in_the_next_line(terminal: Open, home: Path) -> None:
    (home / "new\nline").write_text("content of it\n")
    async with terminal() as t:
        await t.prompts()
        await t.type(f"cat '{ALICE}/new")
        await t.type("line'")
        await t.shows("content of it")


async def test_rm_of_a_folder_asks_first(terminal: Open, home: Path) -> None:
    async with terminal() as t:
        await t.prompts()
        await t.type(f"cd {ALICE}; rm -r docs")
        await t.shows("[y/N]")
        await t.type("n")
        await t.prompts(ALICE)
        assert (home / "docs").is_dir()
        await t.type("rm -r docs")
        await t.until(lambda: t.text.count("[y/N]") == 2, "the second question")
        await t.press("ctrl-c")
        await t.prompts(ALICE)
        assert (home / "docs").is_dir()
        await t.type("rm -r docs")
        await t.until(lambda: t.text.count("[y/N]") == 3, "the third question")
        await t.type("y")
        await t.prompts(ALICE)
        assert not (home / "docs").exists()


async def test_login_asks_for_the_password_without_showing_it(terminal: Open, tenant: Any) -> None:
    async with terminal() as t:
        await t.prompts()
        await t.type(f"login {tenant.url}")
        await t.shows("user:")
        await t.type("bob")
        await t.shows("password of bob:")
        await t.type(tenant.users["bob"])
        await t.shows("signed in to")
        await t.prompts()
        await t.type("whoami")
        await t.shows("bob at ")
        assert tenant.users["bob"].encode() not in t.raw


async def test_one_command_on_a_terminal_asks_too(terminal: Open, home: Path) -> None:
    async with terminal("rm", "-r", f"{ALICE}/docs") as t:
        await t.shows("[y/N]")
        await t.type("y")
        assert await t.ends() == 0
    assert not (home / "docs").exists()


async def test_the_list_of_jobs_has_a_line_for_each_on_a_small_terminal(terminal: Open) -> None:
    line = "jobs submit ticker-1.0 lines=1 delay=0 --name again --wait; jobs submit crash-1.0; jobs"
    async with terminal("-c", line, columns=80, lines=24) as t:
        assert await t.ends() == 0
        await t.shows("STATUS")
        listed = t.text[t.text.index("ID  ") :].splitlines()
        assert [line.split()[0][-4:] for line in listed] == ["ID", "-007", "-007"]
        assert listed[2].split()[1:] == ["again", "ticker-1.0", "FINISHED"]


async def test_a_setting_holds_for_the_lines_that_follow(terminal: Open) -> None:
    async with terminal(NO_COLOR="1") as t:
        await t.prompts()
        await t.type("set output csv")
        await t.type("systems")
        await t.shows("id,type,status")
        await t.type("set")
        await t.shows("output  csv")


async def test_a_platform_that_is_away_holds_nobody_up(terminal: Open) -> None:
    async with terminal(AGAVE_BASE_URL="http://127.0.0.1:1", AGAVE_TOKEN="x") as t:
        await t.prompts()
        await t.press("ls /systems/", "tab")
        await t.press("ctrl-c")
        await t.prompts()
        await t.type("systems")
        await t.shows("refuses connections")
        await t.prompts()
        await t.type("pwd")
        await t.shows("pwd\n/\n/>")
