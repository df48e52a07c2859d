"""Saved accounts: order, formats, and several processes at once."""

from __future__ import annotations

import json
import logging
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from agavesh.client.accounts import Account, Accounts, chosen, clean_url, find_account
from agavesh.client.errors import BadArgument, TimedOut

ALICE = Account(
    "https://api.example.org", "alice", "T", "R", 1_700_000_000.0, 14400.0, "K", "S", "example", "cli"
)  # fmt: skip

# what the command line writes
CURRENT = {
    "tenantid": "example",
    "baseurl": "https://api.example.org/",
    "devurl": "",
    "apisecret": "S",
    "apikey": "K",
    "username": "alice",
    "access_token": "T",
    "refresh_token": "R",
    "created_at": "1700000000",
    "expires_in": "14400",
    "expires_at": "Wed Nov 15 02:13:20 UTC 2023",
}


def write(folder: Path, name: str, value: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(value if isinstance(value, str) else json.dumps(value))
    return folder / name


def test_a_saved_account_is_found_again(accounts: Accounts) -> None:
    accounts.save(ALICE)
    assert Accounts(accounts.folder).find() == ALICE


def test_files_are_for_their_owner_only_and_hold_no_password(accounts: Accounts) -> None:
    accounts.save(Account("https://h", "alice", password="wonderland"))
    for file in accounts.folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
        assert b"wonderland" not in file.read_bytes()
    assert stat.S_IMODE(accounts.folder.stat().st_mode) == 0o700


def test_no_secret_is_shown() -> None:
    shown = repr(Account("https://h", "alice", "TOKEN", "REFRESH", 0, 0, "KEY", "SECRET", password="PASS"))
    assert not any(word in shown for word in ("TOKEN", "REFRESH", "KEY", "SECRET", "PASS"))


def test_current_is_read_as_an_object_and_as_a_list(accounts: Accounts) -> None:
    expected = Account("https://api.example.org", "alice", "T", "R", 1_700_000_000.0, 14400.0, "K", "S", "example")
    write(accounts.folder, "current", CURRENT)
    assert accounts.find() == expected
    write(accounts.folder, "current", [CURRENT, {**CURRENT, "username": "bob"}])
    assert accounts.find() == expected
    assert [account.username for account in accounts.all()] == ["alice", "bob"]


def test_current_as_agavepy_rewrites_it_is_read_too(accounts: Accounts) -> None:
    write(
        accounts.folder,
        "current",
        {**CURRENT, "created_at": 1700000000, "expires_in": 14400, "verify": True, "proxies": {}, "client_name": "cli"},
    )
    assert accounts.find() == ALICE


def test_current_is_written_as_the_command_line_writes_it(accounts: Accounts) -> None:
    accounts.save(ALICE)
    written = json.loads((accounts.folder / "current").read_text())
    assert {**written, "expires_at": ""} == {
        **CURRENT,
        "baseurl": "https://api.example.org",
        "client_name": "cli",
        "expires_at": "",
    }


@pytest.mark.parametrize("form", ["object", "list"])
def test_unknown_keys_and_the_form_of_current_are_kept(accounts: Accounts, form: str) -> None:
    held = {**CURRENT, "custom": [1, 2]}
    write(accounts.folder, "current", held if form == "object" else [{**CURRENT, "username": "bob"}, held])
    accounts.update(ALICE.with_tokens(Account("https://h", access_token="T2", refresh_token="R2", created_at=1.9e9)))
    written = json.loads((accounts.folder / "current").read_text())
    ours = written if form == "object" else written[1]
    assert (ours["access_token"], ours["refresh_token"], ours["custom"]) == ("T2", "R2", [1, 2])
    if form == "list":
        assert written[0]["access_token"] == "T"


def test_sessions_of_agavepy_are_read(accounts: Accounts) -> None:
    other = {**CURRENT, "username": "bob", "tenantid": "other", "baseurl": "https://other.example.org"}
    write(
        accounts.folder,
        "config.json",
        {"current": {"cli": CURRENT}, "sessions": {"other": {"bob": {"client-2": other}}}},
    )
    bob = accounts.find(username="bob")
    assert bob is not None
    assert (bob.url, bob.client_name) == ("https://other.example.org", "client-2")


def test_the_newer_tokens_of_an_account_win(accounts: Accounts) -> None:
    accounts.save(ALICE)
    write(accounts.folder, "current", {**CURRENT, "access_token": "NEW", "created_at": "1700000500"})
    found = accounts.find()
    assert found is not None
    assert (found.access_token, found.client_name) == ("NEW", "cli")


def test_another_current_account_is_the_one_that_is_meant(accounts: Accounts) -> None:
    accounts.save(ALICE)
    accounts.save(Account("https://h", "bob", "B"))
    assert [account.username for account in accounts.all()] == ["bob", "alice"]
    accounts.forget(Account("https://h", "bob"))
    assert [account.username for account in accounts.all()] == ["alice"]


def test_an_account_that_is_saved_nowhere_is_not_saved_by_an_update(accounts: Accounts) -> None:
    assert not accounts.update(ALICE)
    assert accounts.all() == []


def test_a_damaged_file_counts_as_none_and_is_set_aside(accounts: Accounts, caplog: pytest.LogCaptureFixture) -> None:
    write(accounts.folder, "agavesh.json", '{"accounts": {"al')
    with caplog.at_level(logging.WARNING):
        assert accounts.find() is None
        accounts.save(ALICE)
    assert accounts.find() == ALICE
    assert (accounts.folder / "agavesh.json.damaged").read_text() == '{"accounts": {"al'


@pytest.mark.parametrize("held", ["[]", "3", "null", '{"accounts": []}', '{"accounts": {"x": 1, "y": {"url": 5}}}'])
def test_files_of_another_shape_do_no_harm(accounts: Accounts, held: str) -> None:
    for name in ("agavesh.json", "current", "config.json"):
        write(accounts.folder, name, held)
    assert accounts.find() is None
    accounts.save(ALICE)
    assert accounts.find() == ALICE


def test_a_link_stays_a_link(accounts: Accounts, tmp_path: Path) -> None:
    real = write(tmp_path, "elsewhere", CURRENT)
    accounts.folder.mkdir()
    (accounts.folder / "current").symlink_to(real)
    accounts.save(ALICE)
    assert (accounts.folder / "current").is_symlink()
    assert json.loads(real.read_text())["client_name"] == "cli"


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadArgument, match="cannot be written"):
        Accounts(tmp_path / "file").save(ALICE)


WRITER = """
import sys
from agavesh.client.accounts import Account, Accounts
for n in range(20):
    Accounts(sys.argv[1]).save(Account("https://h", f"user-{sys.argv[2]}-{n}", "T"))
"""


def test_processes_that_write_at_once_lose_nothing(accounts: Accounts) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(accounts.folder), str(number)]) for number in range(4)
    ]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    assert len(accounts.all()) == 80
    assert not [file for file in accounts.folder.iterdir() if file.name.startswith(".agavesh.json")]


async def test_whoever_renews_keeps_the_others_waiting_but_not_for_ever(
    accounts: Accounts, autojump_clock: trio.abc.Clock
) -> None:
    async with accounts.renewing(ALICE):
        async with Accounts(accounts.folder).renewing(Account("https://other", "alice")):
            pass  # another account is nobody's business
        with pytest.raises(TimedOut):
            async with Accounts(accounts.folder).renewing(ALICE):
                raise AssertionError("two at once")


# whose account


def test_arguments_come_before_the_environment_and_that_before_what_is_saved(accounts: Accounts) -> None:
    accounts.save(ALICE)
    environ = {"AGAVE_BASE_URL": "https://env.example.org", "AGAVE_TOKEN": "E"}

    def meant(url: str | None = None, environ: dict[str, str] = environ, **arguments: Any) -> Any:
        return chosen(url, environ=environ, accounts=accounts, **arguments)

    assert meant(environ={}) == ALICE
    assert meant() == Account("https://env.example.org", access_token="E")
    assert meant("https://arg.example.org", token="A") == Account("https://arg.example.org", access_token="A")
    assert meant("https://api.example.org") == ALICE


def test_an_environment_for_one_tenant_is_not_sent_to_another(accounts: Accounts) -> None:
    environ = {"AGAVE_BASE_URL": "https://one.example.org", "AGAVE_TOKEN": "E", "AGAVE_API_KEY": "K"}
    assert find_account("https://two.example.org", environ=environ, accounts=accounts) is None
    assert chosen("https://two.example.org", environ=environ, accounts=accounts) == Account("https://two.example.org")


def test_the_environment_may_give_name_and_password(accounts: Accounts) -> None:
    environ = {
        "AGAVE_BASE_URL": "https://h",
        "AGAVE_USERNAME": "alice",
        "AGAVE_PASSWORD": "p",
        "AGAVE_API_KEY": "K",
        "AGAVE_API_SECRET": "S",
        "AGAVE_CA_CERT": "/ca.pem",
    }
    found = find_account(environ=environ, accounts=accounts)
    assert found == Account("https://h", "alice", api_key="K", api_secret="S", ca_cert="/ca.pem")
    assert found is not None
    assert found.password == "p"


def test_a_token_from_the_environment_is_not_taken_for_the_saved_users(accounts: Accounts) -> None:
    accounts.save(ALICE)
    environ = {"AGAVE_BASE_URL": ALICE.url, "AGAVE_TOKEN": "someone's"}
    assert find_account(environ=environ, accounts=accounts) == Account(ALICE.url, access_token="someone's")


def test_the_cache_folder_is_the_environments(tmp_path: Path) -> None:
    Accounts(tmp_path / "elsewhere").save(ALICE)
    assert find_account(environ={"AGAVE_CACHE_DIR": str(tmp_path / "elsewhere")}) == ALICE


def test_other_users_tokens_are_not_found_by_url_alone_when_a_name_is_given(accounts: Accounts) -> None:
    accounts.save(ALICE)
    found = chosen(ALICE.url, username="bob", password="p", environ={}, accounts=accounts)
    assert found == Account(ALICE.url, "bob")


@pytest.mark.parametrize(
    ("given", "clean"),
    [
        ("api.example.org", "https://api.example.org"),
        ("HTTPS://API.Example.org/", "https://api.example.org"),
        ("https://api.example.org:443", "https://api.example.org"),
        ("http://api.example.org:443", "http://api.example.org:443"),
        ("http://[::1]:8080/v//", "http://[::1]:8080/v"),
    ],
)
def test_urls_have_one_form(given: str, clean: str) -> None:
    assert clean_url(given) == clean


@pytest.mark.parametrize("given", ["", "ftp://h", "https://", "https://user:pass@h", "https://h:port", "https://["])
def test_what_is_no_url_is_refused(given: str) -> None:
    with pytest.raises(BadArgument, match="no URL of a tenant"):
        clean_url(given)


def test_a_token_is_renewed_a_minute_early_but_a_short_one_is_used_for_most_of_its_life() -> None:
    long = Account("https://h", access_token="T", created_at=0, expires_in=14400)
    assert (long.ends_soon(14300), long.ends_soon(14341)) == (False, True)
    short = Account("https://h", access_token="T", created_at=0, expires_in=20)
    assert (short.ends_soon(14), short.ends_soon(16)) == (False, True)
    assert not Account("https://h", access_token="T").ends_soon(1e12)
