"""Everything goes wrong at once: what comes back is right or an error of ours, and nothing is left behind."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import os
import random
from typing import Any

import pytest
import trio

from agavesh.api import control
from agavesh.client import Agave, errors
from agavesh.client.accounts import Account, Accounts
from tests.client.wire import Seen, answer, peer

TASKS = 24


@pytest.mark.parametrize("rounds", [6, pytest.param(400, marks=pytest.mark.soak)])
async def test_many_tasks_in_much_trouble(tenant: Any, accounts: Accounts, rounds: int) -> None:
    key, secret = tenant.client
    account = Account(tenant.url, "alice", api_key=key, api_secret=secret, password=tenant.users["alice"])
    accounts.save(account)
    content = os.urandom(300_000)
    tenant.path("data.demo", "/alice/chaos").write_bytes(content)
    done = {"right": 0, "wrong": 0, "cancelled": 0}
    dice = random.Random(7)

    async def ask(agave: Agave, number: int) -> None:
        """One call of some kind, perhaps cancelled on the way."""
        with trio.move_on_after(dice.choice([0.003, 0.03, 30])) as scope:
            try:
                match dice.randrange(4):
                    case 0:
                        listed = await agave.files.list(systemId="data.demo", filePath="/alice")
                        assert listed[0].name == "."
                    case 1:
                        start = dice.randrange(len(content) - 1000)
                        span = {"Range": f"bytes={start}-{start + 999}"}
                        async with agave.files.download(
                            systemId="data.demo", filePath="/alice/chaos", headers=span
                        ) as part:
                            got = b"".join([chunk async for chunk in part.chunks()])
                            assert got == content[start : start + 1000]
                    case 2:
                        whole = await agave.files.download(systemId="data.demo", filePath="/alice/chaos").read()
                        assert whole == content
                    case 3:
                        name = f"up-{number}"
                        await agave.files.importData(
                            systemId="data.demo", filePath="/alice", fileToUpload=content, fileName=name
                        )
                        assert tenant.bytes("data.demo", f"/alice/{name}") == content
                done["right"] += 1
            except errors.AgaveError as trouble:
                assert trouble.sentence
                assert trouble.sentence.isprintable()
                done["wrong"] += 1
        done["cancelled"] += scope.cancelled_caught

    async def trouble() -> None:
        """One fault of some kind after another."""
        faults = tenant.faults
        while True:
            where = dice.choice(["files.list", "files.download", "files.importData", "*"])
            fault = dice.choice([
                control.Cut(operation=where, times=3, after=dice.randrange(2000)),
                control.Html(operation=where, times=3, status=dice.choice([200, 302, 502, 504])),
                control.Refuse(operation=where, times=3, status=dice.choice([401, 403, 429, 500, 503]), message="no"),
                control.Gateway(operation=where, times=3, code=dice.choice([900904, 900901, 900800])),
                control.Malform(operation=where, times=3),
                control.Stall(operation=where, times=3, after=100),
                control.Slow(operation=where, times=3, seconds=0.02),
            ])  # fmt: skip
            if isinstance(fault, control.Malform) and where in ("files.download", "*"):
                continue  # other bytes of the same number: nobody can tell
            with faults.asked(fault):
                if dice.random() < 0.2:
                    faults.expire_tokens()
                await trio.sleep(0.02)

    async with Agave(account=dataclasses.replace(account), accounts=accounts, deadline=2) as agave:
        for _ in range(rounds):
            async with trio.open_nursery() as troubles:
                troubles.start_soon(trouble)
                async with trio.open_nursery() as nursery:
                    for number in range(TASKS):
                        nursery.start_soon(ask, agave, number)
                troubles.cancel_scope.cancel()
        # all is over: every place is free again, and the client as good as new
        assert agave.width._under_way == [0, 0, 0]
        assert not any(agave.width._waiting)
        assert await agave.files.download(systemId="data.demo", filePath="/alice/chaos").read() == content
    gc.collect()
    assert sum(done.values()) == rounds * TASKS
    assert done["right"] > done["wrong"] / 4


@pytest.mark.parametrize("rounds", [60, pytest.param(5000, marks=pytest.mark.soak)])
async def test_garbled_answers_are_errors_of_ours_or_still_make_sense(rounds: int) -> None:
    dice = random.Random(11)
    good = answer(200, b'{"status":"success","result":[{"id":"S","name":"n","type":"STORAGE","_links":{}}]}')

    def script(seen: Seen) -> bytes:
        said = bytearray(good)
        for _ in range(dice.randrange(1, 4)):
            at = dice.randrange(len(said))
            match dice.randrange(4):
                case 0:
                    said[at] = dice.randrange(256)
                case 1:
                    del said[at : at + dice.randrange(1, 20)]
                case 2:
                    said[at:at] = dice.randbytes(dice.randrange(1, 20))
                case 3:
                    said[at:at] = said[: dice.randrange(len(said))]
        return bytes(said)

    async with peer(script) as there, Agave(there.url, token="t", deadline=1) as agave:
        for _ in range(rounds):
            with contextlib.suppress(errors.AgaveError):
                await agave.jobs.submit(body={})  # unsafe, so that it is asked once
            with contextlib.suppress(errors.AgaveError):
                await agave.raw("POST", "/x")
    gc.collect()
