"""Tokens: renewed once for all who need it, early or when refused, and never in a loop."""

from __future__ import annotations

import dataclasses
import logging
import subprocess
import sys
import time
from typing import Any

import msgspec
import pytest
import trio

from agavesh.client import Agave, errors
from agavesh.client.accounts import Account, Accounts
from agavesh.client.login import login
from tests.client.wire import Seen, answer, peer

LIST = {"systemId": "data.demo", "filePath": "/alice"}


@pytest.fixture
async def alice(tenant: Any, accounts: Accounts) -> Account:
    """Alice's account as a login leaves it, saved."""
    key, secret = tenant.client
    return await login(tenant.url, "alice", tenant.users["alice"], api_key=key, api_secret=secret, accounts=accounts)


def stale(account: Account) -> Account:
    """The account a little before the end of its token."""
    return dataclasses.replace(account, created_at=time.time() - 14400, expires_in=14430)


async def test_a_token_that_has_expired_is_renewed_and_the_call_repeated(tenant: Any, alice: Account) -> None:
    async with Agave(account=alice) as agave:
        tenant.faults.expire_tokens()
        assert await agave.files.list(**LIST)
        assert agave.account.access_token != alice.access_token
    assert tenant.faults.requests["/token"] == 2


async def test_a_token_that_is_about_to_expire_is_renewed_before_it_is_used(tenant: Any, alice: Account) -> None:
    async with Agave(account=stale(alice)) as agave:
        before = tenant.faults.requests["files.list"]
        await agave.files.list(**LIST)
        assert tenant.faults.requests["files.list"] == before + 1
        assert agave.account.access_token != alice.access_token


@pytest.mark.parametrize("code", [900901, 900903, 900904])
async def test_each_of_the_gateways_codes_leads_to_one_refresh_and_one_repeat(
    tenant: Any, alice: Account, code: int
) -> None:
    async with Agave(account=alice) as agave:
        with tenant.faults.gateway("files.list", code, times=1) as fault:
            assert await agave.files.list(**LIST)
        assert (fault.hits, tenant.faults.requests["/token"]) == (1, 2)
        with tenant.faults.gateway("files.list", code) as fault:
            with pytest.raises(errors.NotSignedIn):
                await agave.files.list(**LIST)
        assert (fault.hits, tenant.faults.requests["/token"]) == (2, 3)


async def test_a_401_that_a_new_token_does_not_cure_costs_one_refresh_and_then_none(
    tenant: Any, alice: Account
) -> None:
    async with Agave(account=alice) as agave:
        with tenant.faults.refusing("files.list", 401, message="not for you"):
            for _ in range(3):
                with pytest.raises(errors.NotAllowed, match="not for you"):
                    await agave.files.list(**LIST)
        assert tenant.faults.requests["/token"] == 2
        with tenant.faults.gateway("files.list", 900904, times=1):  # which says clearly that it is the token
            assert await agave.files.list(**LIST)


async def test_all_tasks_that_meet_one_expiry_share_one_refresh(tenant: Any, alice: Account) -> None:
    async with Agave(account=alice) as agave:
        tenant.faults.expire_tokens()
        async with trio.open_nursery() as nursery:
            for _ in range(30):
                nursery.start_soon(lambda: agave.files.list(**LIST))
    assert tenant.faults.requests["/token"] == 2


async def test_fifty_clients_of_one_user_that_meet_one_expiry_share_one_refresh(
    tenant: Any, alice: Account, accounts: Accounts
) -> None:
    tenant.faults.expire_tokens()
    tokens: set[str | None] = set()

    async def mount() -> None:  # each with files and locks of its own, as in a process of its own
        async with Agave(account=dataclasses.replace(alice), accounts=Accounts(accounts.folder)) as agave:
            assert await agave.files.list(**LIST)
            tokens.add(agave.account.access_token)

    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(mount)
    assert tenant.faults.requests["/token"] == 2
    assert len(tokens) == 1


PROCESS = """
import os, sys, trio
from agavesh.client import Agave
from agavesh.client.accounts import Accounts

async def main():
    async with Agave(accounts=Accounts(sys.argv[1])) as agave:
        os.write(1, b"ready\\n")
        await trio.to_thread.run_sync(sys.stdin.readline)
        for _ in range(3):
            assert await agave.files.list(systemId="data.demo", filePath="/alice")

trio.run(main)
"""


@pytest.mark.parametrize("known", ["known ahead", "met on the way"])
async def test_twenty_processes_that_meet_one_expiry_make_one_refresh(
    tenant: Any, alice: Account, accounts: Accounts, known: str
) -> None:
    if known == "known ahead":
        accounts.save(stale(alice))
    else:
        tenant.faults.expire_tokens()
    async with trio.open_nursery() as nursery:
        words = [sys.executable, "-c", PROCESS, str(accounts.folder)]
        processes = [
            await nursery.start(lambda task_status: trio.run_process(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, capture_stdout=False, task_status=task_status
            ))
            for _ in range(20)
        ]  # fmt: skip
        with trio.fail_after(120):
            for process in processes:
                assert await process.stdout.receive_some() == b"ready\n"
            for process in processes:  # all are up: go
                await process.stdin.send_all(b"go\n")
                await process.stdin.aclose()
            for process in processes:
                assert await process.wait() == 0
                await process.stdout.aclose()
    assert tenant.faults.requests["/token"] == 2
    renewed = accounts.get(alice.key)
    assert renewed is not None
    assert renewed.access_token != alice.access_token


async def test_the_new_tokens_are_saved_for_agavepy_too(tenant: Any, alice: Account, accounts: Accounts) -> None:
    async with Agave(account=alice, accounts=accounts) as agave:
        tenant.faults.expire_tokens()
        await agave.files.list(**LIST)
        held = msgspec.json.decode((accounts.folder / "current").read_bytes())
        assert held["access_token"] == agave.account.access_token


async def test_a_token_that_agavepy_renewed_is_taken_over(tenant: Any, alice: Account, accounts: Accounts) -> None:
    async with Agave(account=alice, accounts=accounts) as agave, Agave(account=alice) as other:
        await other.renew()  # as another program would, without telling
        held = msgspec.json.decode((accounts.folder / "current").read_bytes())
        held |= {"access_token": other.account.access_token, "refresh_token": other.account.refresh_token}
        held["created_at"] = str(int(time.time()) + 1)
        (accounts.folder / "current").write_bytes(msgspec.json.encode(held))
        await agave.files.list(**LIST)
        assert agave.account.access_token == other.account.access_token
    assert tenant.faults.requests["/token"] == 2


async def test_a_dead_refresh_token_gives_way_to_the_password(tenant: Any, alice: Account) -> None:
    account = dataclasses.replace(alice, refresh_token="dead", password=tenant.users["alice"])
    tenant.faults.expire_tokens()
    async with Agave(account=account) as agave:
        assert await agave.files.list(**LIST)


async def test_without_a_password_the_user_is_told_to_sign_in_and_the_platform_is_left_alone(
    tenant: Any, alice: Account, accounts: Accounts
) -> None:
    account = dataclasses.replace(alice, refresh_token="dead")
    accounts.save(account)
    tenant.faults.expire_tokens()
    async with Agave(account=account, accounts=accounts) as agave:
        for _ in range(5):
            with pytest.raises(errors.NotSignedIn, match='run "agavesh login"') as caught:
                await agave.files.list(**LIST)
            assert "dead" not in str(caught.value)
    assert tenant.faults.requests["/token"] == 2  # the login's, and one that was refused


async def test_a_refresh_that_fails_early_is_no_harm_while_the_token_is_good(tenant: Any, alice: Account) -> None:
    async with Agave(account=stale(alice)) as agave:
        with tenant.faults.html("/token", 502):
            assert await agave.files.list(**LIST)


async def test_trouble_at_token_may_pass(tenant: Any, alice: Account) -> None:
    async with Agave(account=alice) as agave:
        tenant.faults.expire_tokens()
        with tenant.faults.html("/token", 502, times=1), tenant.faults.throttling("/token", None, times=1):
            assert await agave.files.list(**LIST)


async def test_a_folder_that_cannot_be_written_does_not_stand_in_the_way(
    tenant: Any, alice: Account, accounts: Accounts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # as root even a read-only folder can be written, so the kernel is asked for the refusal in another way
    monkeypatch.setattr("agavesh.client.accounts.tempfile.mkstemp", _refused)
    async with Agave(account=alice, accounts=accounts) as agave:
        tenant.faults.expire_tokens()
        assert await agave.files.list(**LIST)
        assert await agave.files.list(**LIST)
    assert "could not be saved" in caplog.text
    assert tenant.faults.requests["/token"] == 2


def _refused(*_: Any, **__: Any) -> None:
    raise PermissionError(13, "Permission denied")


async def test_a_token_alone_is_used_until_it_is_refused(tenant: Any) -> None:
    async with Agave(tenant.url, token=tenant.token("alice")) as agave:
        await agave.files.list(**LIST)
        tenant.faults.expire_tokens()
        with pytest.raises(errors.NotSignedIn):
            await agave.files.list(**LIST)
    assert tenant.faults.requests["/token"] == 0


async def test_a_refresh_that_is_cancelled_is_finished_and_kept(
    tenant: Any, alice: Account, accounts: Accounts
) -> None:
    async with Agave(account=stale(alice)) as agave:
        async with trio.open_nursery() as nursery:
            with tenant.faults.slow("/token") as fault:
                nursery.start_soon(lambda: agave.files.list(**LIST))
                await fault.met()
                nursery.cancel_scope.cancel()
    saved = accounts.get(alice.key)
    assert saved is not None
    assert saved.access_token == agave.account.access_token != alice.access_token


async def test_an_answer_of_token_without_a_new_refresh_token_keeps_the_old_one() -> None:
    def script(seen: Seen) -> bytes:
        if seen.target == "/token":
            return answer(200, b'{"access_token":"NEW","token_type":"bearer","expires_in":"14400"}')
        return answer() if seen.headers["authorization"] == "Bearer NEW" else answer(401, b"")

    async with peer(script) as there:
        account = Account(there.url, "alice", "OLD", "KEEP", api_key="k", api_secret="s")
        async with Agave(account=account) as agave:
            await agave.systems.list()
            assert (agave.account.refresh_token, agave.account.expires_in) == ("KEEP", 14400)
    form = there.seen[1]
    assert form.headers["authorization"] == "Basic azpz"
    assert form.body == b"grant_type=refresh_token&refresh_token=KEEP&scope=PRODUCTION"


# signing in


async def test_a_login_without_an_oauth_client_makes_one(tenant: Any, accounts: Accounts) -> None:
    account = await login(tenant.url, "bob", tenant.users["bob"], accounts=accounts)
    assert account.api_key
    assert accounts.find() == account
    again = await login(tenant.url, "bob", tenant.users["bob"], accounts=accounts)
    assert again.api_key == account.api_key
    async with Agave(accounts=accounts) as agave:
        assert agave.username == "bob"
        assert (await agave.profiles.listByUsername(username="me")).username == "bob"


async def test_a_client_of_our_name_that_is_there_already_is_made_anew(tenant: Any, accounts: Accounts) -> None:
    first = await login(tenant.url, "bob", tenant.users["bob"], client_name="mine")
    second = await login(tenant.url, "bob", tenant.users["bob"], client_name="mine")
    assert second.access_token
    assert first.api_secret != second.api_secret or first.api_key != second.api_key


async def test_a_wrong_password_is_said_and_not_repeated(tenant: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(errors.NotSignedIn, match="are name and password right") as no:
        await login(tenant.url, "bob", "open sesame")
    assert "open sesame" not in str(no.value) + caplog.text


async def test_a_refused_password_is_not_sent_again(tenant: Any) -> None:
    key, secret = tenant.client
    async with Agave(tenant.url, username="bob", password="open sesame", api_key=key, api_secret=secret) as agave:
        for _ in range(4):
            with pytest.raises(errors.NotSignedIn):
                await agave.files.list(**LIST)
    assert tenant.faults.requests["/token"] == 1


async def test_the_clients_service_wants_the_password(tenant: Any) -> None:
    async with Agave(tenant.url, username="bob", password=tenant.users["bob"]) as agave:
        client = await agave.clients.create(body={"clientName": "made-by-hand"})
        assert client.consumerKey
        assert await agave.files.list(systemId="data.demo", filePath="/bob")  # with the client that was just made
    async with Agave(tenant.url, token=tenant.token("bob")) as agave:
        with pytest.raises(errors.NotSignedIn, match="your name and password"):
            await agave.clients.list()


async def test_no_account_at_all_is_told() -> None:
    with pytest.raises(errors.NotSignedIn, match="no account"):
        Agave()


async def test_no_token_is_ever_logged(tenant: Any, alice: Account, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with Agave(account=alice) as agave:
            tenant.faults.expire_tokens()
            await agave.files.list(**LIST)
            secrets = [alice.access_token, alice.refresh_token, agave.account.access_token, alice.api_secret]
    ours = "\n".join(record.getMessage() for record in caplog.records)
    assert "files.list" in ours
    assert not [secret for secret in secrets if str(secret) in ours]
