"""A job is followed to its end, whatever happens to the line and the token."""

from __future__ import annotations

import gc
import json
from typing import Any

import pytest
import trio

from agavesh.client import Agave, errors
from agavesh.client.accounts import Account
from agavesh.client.watch import follow
from tests.client.wire import Seen, answer, peer

STEPS = ["PENDING", "PROCESSING_INPUTS", "STAGED", "QUEUED", "RUNNING", "CLEANING_UP", "FINISHED"]
SOON = {"soonest": 0.01, "latest": 0.02}


class Job:
    """A job at a peer: each time its status is asked for it has come further by so many steps."""

    def __init__(self, *strides: int, late: int = 0) -> None:
        self.strides, self.late = list(strides), late
        self.at = 0

    def __call__(self, seen: Seen) -> bytes:
        if seen.target.endswith("/status"):
            self.at = min(self.at + (self.strides.pop(0) if self.strides else 1), len(STEPS))
            return said({"id": "1-007", "status": STEPS[self.at - 1]})
        offset = int(seen.target.partition("offset=")[2])
        return said([{"status": status, "description": "…"} for status in STEPS[: self.at - self.late]][offset:])


def said(result: Any) -> bytes:
    return answer(200, json.dumps({"status": "success", "result": result}).encode())


@pytest.mark.parametrize("strides", [(1, 1, 1), (2, 3), (7,), (1, 0, 0, 6)])
async def test_every_step_is_told_once_and_in_order(strides: tuple[int, ...]) -> None:
    async with peer(Job(*strides)) as there, Agave(there.url, token="t") as agave:
        assert [event.status async for event in follow(agave, "1-007", **SOON)] == STEPS


async def test_the_end_is_told_even_where_the_history_lags() -> None:
    async with peer(Job(late=1)) as there, Agave(there.url, token="t") as agave:
        assert [event.status async for event in follow(agave, "1-007", **SOON)] == STEPS


async def test_an_unknown_job_is_no_passing_trouble(agave: Agave) -> None:
    with pytest.raises(errors.AgaveError) as caught:
        _ = [event async for event in follow(agave, "9999-007")]
    assert isinstance(caught.value, errors.NotFound)


async def test_patience_has_an_end(tenant: Any) -> None:
    async with Agave(tenant.url, token=tenant.token("alice"), deadline=0.1) as agave:
        with tenant.faults.slow("jobs.getStatus"), trio.fail_after(20), pytest.raises(errors.TimedOut):
            _ = [event async for event in follow(agave, "1-007", patience=0.3, **SOON)]


async def test_a_real_job_is_followed_through_lost_connections_and_an_expired_token(tenant: Any) -> None:
    key, secret = tenant.client
    account = Account(tenant.url, "alice", api_key=key, api_secret=secret, password=tenant.users["alice"])
    faults = tenant.faults
    async with Agave(account=account) as agave:
        app = next(app for app in await agave.apps.list() if "wordcount" in app.id)
        text = (await agave.files.importData(
            systemId="data.demo", filePath="/alice", fileToUpload=b"one two two", fileName="words.txt"
        )).path  # fmt: skip
        assert text
        job = await agave.jobs.submit(
            body={"name": "watched", "appId": app.id, "archive": False,
                  "inputs": {"text": "agave://data.demo//alice/words.txt"}}
        )  # fmt: skip
        seen = []
        with (
            trio.fail_after(60),
            faults.cutting("jobs.getStatus", 10, times=7),
            faults.html("jobs.getStatus", 502, times=7),
            faults.throttling("jobs.getStatus", None, times=2),
            faults.refusing("jobs.getHistory", 500, times=2),
        ):
            async for event in follow(agave, job.id, soonest=0.05, latest=0.1):
                if not seen:
                    faults.expire_tokens()
                seen.append(event.status)
        history = [event.status for event in await agave.jobs.getHistory(jobId=job.id)]
    assert seen == history
    assert (seen[-1], "RUNNING" in seen) == ("FINISHED", True)


async def test_following_may_be_left_in_the_middle() -> None:
    async with peer(Job(3)) as there, Agave(there.url, token="t") as agave:
        async for event in follow(agave, "1-007", **SOON):
            assert event.status == "PENDING"
            break
        gc.collect()
