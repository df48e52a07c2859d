"""Signing out: what becomes of tokens, and of what mounts have kept."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agavesh.client import Agave
from agavesh.client.accounts import Account, Accounts
from agavesh.client.errors import NotSignedIn
from agavesh.shell import exits
from tests.agavefs.mounting import Mount, mounted, possible, writing
from tests.conftest import Tenant
from tests.shell.conftest import agavesh
from tests.shell.terminal import terminal

mounts = pytest.mark.skipif(not possible, reason="there is no /dev/fuse here")


async def signed_in(tenant: Tenant, **environment: str) -> Account:
    password = tenant.users["alice"].encode()
    words = ("login", tenant.url, "--user", "alice", "--password-stdin")
    said = await agavesh(*words, stdin=password + b"\n", **environment)
    assert said.status == 0, said.err
    account = Accounts(environment.get("AGAVE_CACHE_DIR")).find(tenant.url, "alice")
    assert account is not None
    return account


async def refused(account: Account, tmp_path: Path) -> bool:
    """Whether its tokens are no good any more, neither to call with nor to get others."""
    for one in (Account(account.url, "alice", access_token=account.access_token), account.with_tokens(
        Account(account.url, refresh_token=account.refresh_token)
    )):  # fmt: skip
        try:
            async with Agave(account=one, accounts=Accounts(tmp_path / "none")) as agave:
                await agave.profiles.get()
        except NotSignedIn:
            continue
        return False
    return True


async def test_tokens_are_ended_on_the_platform_and_removed_here(tenant: Tenant, tmp_path: Path) -> None:
    account = await signed_in(tenant)
    assert not await refused(Account(account.url, "alice", access_token=account.access_token), tmp_path)
    said = await agavesh("logout")
    assert (said.status, said.err.splitlines()[-1]) == (0, f"agavesh: signed out of {tenant.url}")
    assert await refused(account, tmp_path)
    for path in (tmp_path / "agave").iterdir():
        assert account.access_token is not None
        assert not path.is_file() or account.access_token not in path.read_text()


async def test_a_platform_that_does_not_end_them_is_no_reason_to_stay(tmp_path: Path) -> None:
    Accounts().save(
        Account("http://127.0.0.1:1", "alice", access_token="t", refresh_token="r", api_key="k", api_secret="s")
    )
    said = await agavesh("logout")
    assert (said.status, "could not be ended on the platform" in said.err) == (0, True)
    assert Accounts().all() == []


async def test_without_their_oauth_client_tokens_are_only_removed(tenant: Tenant, account: Account) -> None:
    said = await agavesh("logout")
    assert (said.status, "their OAuth client is not known here" in said.err) == (0, True)
    assert Accounts().all() == []


async def test_who_is_not_signed_in_is_told(tenant: Tenant) -> None:
    said = await agavesh("logout", "--wipe")
    assert (said.status, "you are not signed in" in said.err) == (exits.USAGE, True)


@pytest.fixture
async def mount(tenant: Tenant, tmp_path: Path) -> AsyncIterator[Mount]:
    """A mount by a saved login, of which something was read."""
    await signed_in(tenant, **places(tmp_path))
    tenant.path("data.demo", "/alice/f").write_bytes(b"kept" * 5000)
    os.utime(tenant.path("data.demo", "/alice/f"), (1, 1))
    async with mounted(tenant, tmp_path / "mount") as there:
        await there.sh("cat f")
        yield there


def places(tmp_path: Path) -> dict[str, str]:
    """Where a mount of a test has its things."""
    return {"AGAVE_CACHE_DIR": str(tmp_path / "mount/agave"), "XDG_STATE_HOME": str(tmp_path / "mount/state")}


def cached(tmp_path: Path) -> list[Path]:
    """All that a mount has fetched, and what it owes."""
    caches = tmp_path.glob("mount/state/agavesh/*/mounts/cache")
    return sorted(path for cache in caches for part in ("kept", "spools") for path in (cache / part).rglob("*"))


def kept(tmp_path: Path) -> list[Path]:
    return [path for path in tmp_path.glob("mount/state/agavesh/*/mounts/cache/kept/*/*") if path.is_file()]


@mounts
async def test_what_mounts_have_kept_goes_if_that_is_asked_for(mount: Mount, tmp_path: Path) -> None:
    await mount.umount()
    assert kept(tmp_path)
    said = await agavesh("logout", "--wipe", **places(tmp_path))
    assert (said.status, "of kept files are thrown away" in said.err) == (0, True), said.err
    assert kept(tmp_path) == []


@mounts
async def test_without_a_word_what_mounts_have_kept_stays(mount: Mount, tmp_path: Path) -> None:
    await mount.umount()
    said = await agavesh("logout", **places(tmp_path))
    assert said.status == 0
    assert kept(tmp_path)


@mounts
@pytest.mark.parametrize("answer", ["y", "n", ""])
async def test_on_a_terminal_it_asks(mount: Mount, tmp_path: Path, answer: str) -> None:
    await mount.umount()
    async with terminal("logout", columns=160, **places(tmp_path)) as screen:
        await screen.shows("[y/N]")
        await screen.type(answer)
        assert await screen.ends() == 0
    assert bool(kept(tmp_path)) == (answer != "y")


@mounts
async def test_while_it_is_mounted_nothing_is_wiped_and_nobody_signed_out(mount: Mount, tmp_path: Path) -> None:
    said = await agavesh("logout", "--wipe", **places(tmp_path))
    assert (said.status, f"is mounted at {mount.path}: umount it first" in said.err) == (exits.LATER, True)
    assert (await agavesh("whoami", **places(tmp_path))).status == 0


@mounts
async def test_while_something_is_owed_nothing_is_wiped_and_nobody_signed_out(mount: Mount, tmp_path: Path) -> None:
    async with writing(mount, b"half", "g"):
        await mount.kill()
    before = cached(tmp_path)
    said = await agavesh("logout", "--wipe", **places(tmp_path))
    assert (said.status, "1 file is not at the platform yet: `agavefs recover` shows them" in said.err) == (75, True)
    assert cached(tmp_path) == before != []
    assert Accounts(tmp_path / "mount/agave").find(mount.tenant.url, "alice") is not None


@mounts
async def test_another_accounts_files_stay(mount: Mount, tmp_path: Path) -> None:
    await mount.umount()
    done = await mount.agavefs("wipe", f"bob@{mount.tenant.url}")
    assert done.returncode == 0, done.stderr
    assert kept(tmp_path)
    done = await mount.agavefs("wipe", "--dry-run", f"alice@{mount.tenant.url}")
    assert (done.returncode, int(done.stdout.split()[0]) >= 20_000) == (0, True)
    assert kept(tmp_path)
