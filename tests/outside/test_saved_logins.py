"""A login saved by AgavePy is good for us, and one of ours for AgavePy, whoever renews the token."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import trio

from agavesh.client import Agave
from agavesh.client.accounts import Account, Accounts, find_account

PROGRAM = Path(__file__).with_name("agavepy_logins.py")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "agave"
    made.mkdir(mode=0o700)
    return made


async def agavepy(python: Path, folder: Path, *words: str, feed: Any = None) -> Any:
    """What AgavePy does with the logins in a folder. Its home is empty: it looks there too."""
    environment = {"PATH": os.defpath, "HOME": str(folder.parent), "AGAVE_CACHE_DIR": str(folder)}
    with trio.fail_after(60):
        done = await trio.run_process(
            [str(python), "-W", "ignore", str(PROGRAM), *words],
            stdin=json.dumps(feed).encode(), env=environment, check=False,
            capture_stdout=True, stderr=subprocess.STDOUT,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout.decode()
    return json.loads(done.stdout or b"null")


def of(account: Account) -> dict[str, Any]:
    """An account as AgavePy names its fields."""
    return {
        "api_server": account.url, "username": account.username, "api_key": account.api_key,
        "api_secret": account.api_secret, "token": account.access_token, "refresh_token": account.refresh_token,
    }  # fmt: skip


ACCOUNT = Account(
    "https://api.example.org", "alice", "a-token", "a-refresh-token", created_at=1_700_000_000, expires_in=14_400,
    api_key="a-key", api_secret="a-secret", tenant_id="example.org", client_name="cli",
)  # fmt: skip


async def test_a_login_that_agavepy_saved_is_found_by_us(agavepy_python: Path, folder: Path) -> None:
    fields = of(ACCOUNT) | {
        "tenant_id": "example.org", "client_name": "cli", "created_at": "1700000000", "expires_in": 14400,
        "expires_at": "Tue Nov 14 22:13:20 UTC 2023",
    }  # fmt: skip
    await agavepy(agavepy_python, folder, "save", feed=fields)
    found = find_account(environ={"AGAVE_CACHE_DIR": str(folder)})
    assert found == ACCOUNT


async def test_a_login_that_we_saved_is_taken_up_by_agavepy(agavepy_python: Path, folder: Path) -> None:
    Accounts(folder).save(ACCOUNT)
    assert await agavepy(agavepy_python, folder, "restore") == of(ACCOUNT)


async def test_of_several_logins_agavepy_takes_up_the_one_that_is_current_for_us(
    agavepy_python: Path, folder: Path
) -> None:
    other = dataclasses.replace(ACCOUNT, username="bob", access_token="another-token")
    for account in (ACCOUNT, other):
        Accounts(folder).save(account)
    assert await agavepy(agavepy_python, folder, "restore") == of(other)
    Accounts(folder).save(ACCOUNT)
    assert await agavepy(agavepy_python, folder, "restore") == of(ACCOUNT)


async def test_either_renews_the_token_and_the_other_goes_on_with_it(
    agavepy_python: Path, folder: Path, tenant: Any
) -> None:
    accounts = Accounts(folder)
    key, secret = tenant.client
    password = tenant.users["alice"]
    async with Agave(
        tenant.url, username="alice", password=password, api_key=key, api_secret=secret, accounts=accounts
    ) as agave:
        await agave.sign_in()
        accounts.save(agave.account)
    first = agave.account
    renewed = await agavepy(agavepy_python, folder, "restore", "refresh")
    assert renewed["token"] not in (None, first.access_token)
    for file in ("current", "agavesh.json"):
        assert (folder / file).stat().st_mode & 0o077 == 0
    async with Agave(accounts=accounts) as again:
        assert (await again.raw("GET", "/files/v2/listings/system/data.demo//alice")).status == 200
        assert again.account.access_token == renewed["token"]
        await again.renew()
        assert again.account.access_token != renewed["token"]
    assert await agavepy(agavepy_python, folder, "restore") == of(again.account)
