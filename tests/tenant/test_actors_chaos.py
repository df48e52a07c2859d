"""Several users do anything at any time with their actors; in the end everything is over, and nothing is left."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from tests.tenant.troupe import ACTORS, PATIENCE, Troupe, image, troupe_of

# answers, leaves a child behind in a session of its own, and takes its time
PROGRAM = """
import os, socket, time
results = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
results.connect(os.environ['_abaco_results_sock'])
results.send(b'x')
if os.fork() == 0:
    os.setsid()
    time.sleep(100)
time.sleep(float(os.environ['MSG']))
"""


class User:
    """Does one thing after the other. What comes too late is 400 or 404, and nothing is ever 500."""

    def __init__(self, troupe: Troupe, seed: int) -> None:
        self.troupe, self.chance = troupe, random.Random(seed)
        self.actors: list[str] = []

    async def act(self) -> None:
        if not self.actors:
            await self.add()
        acts = (
            self.add, self.send, self.send, self.send, self.wait, self.hire, self.dismiss, self.quit, self.update,
            self.empty, self.delete,
        )  # fmt: skip
        await self.chance.choice(acts)()

    @property
    def actor(self) -> str:
        return self.chance.choice(self.actors)

    async def ask(self, method: str, path: str, **more) -> Any:
        answer = await self.troupe.http.request(method, f"{ACTORS}{path}", **more)
        assert answer.status_code in (200, 400, 404), answer.text
        return answer.json()["result"] if answer.status_code == 200 else None

    async def add(self) -> None:
        if len(self.actors) < 3:
            stateless = self.chance.random() < 0.7
            self.actors.append((await self.ask("POST", "", json={"image": "test", "stateless": stateless}))["id"])

    async def send(self) -> None:
        seconds = self.chance.choice([0, 0.05, 50])
        await self.ask("POST", f"/{self.actor}/messages", json={"message": seconds})

    async def wait(self) -> None:
        """For an answer, but not to its end."""
        url = f"{ACTORS}/{self.actor}/messages?_abaco_synchronous=true"
        # not cancelled: one that is cancelled while it sends leaves a generator of httpx's, which warns
        with contextlib.suppress(httpx.ReadTimeout):
            await self.troupe.http.post(url, json={"message": 0.1}, timeout=httpx.Timeout(PATIENCE, read=0.2))

    async def hire(self) -> None:
        await self.ask("POST", f"/{self.actor}/workers", json={"num": self.chance.choice([1, 2, 3])})

    async def dismiss(self) -> None:
        actor = self.actor
        for worker in await self.ask("GET", f"/{actor}/workers"):
            await self.ask("DELETE", f"/{actor}/workers/{worker['id']}")

    async def quit(self) -> None:
        actor = self.actor
        for one in (await self.ask("GET", f"/{actor}/executions?limit=250"))["executions"]:
            if one["status"] == "RUNNING":
                await self.ask("DELETE", f"/{actor}/executions/{one['id']}")

    async def update(self) -> None:
        await self.ask("PUT", f"/{self.actor}", json={"image": "test", "force": True})

    async def empty(self) -> None:
        await self.ask("DELETE", f"/{self.actor}/messages")

    async def delete(self) -> None:
        if self.chance.random() < 0.3:
            actor = self.actor
            self.actors.remove(actor)
            await self.ask("DELETE", f"/{actor}")

    async def end(self) -> None:
        """Nothing waits or runs any more, and all that ran came to an end of its own or by a stop."""
        for actor in self.actors:
            await self.ask("DELETE", f"/{actor}/messages")
            with trio.fail_after(PATIENCE):
                while left := [one for one in await self.executions(actor) if one["status"] != "COMPLETE"]:
                    assert not [one for one in left if one["status"] == "ERROR"]
                    for one in left:
                        await self.ask("DELETE", f"/{actor}/executions/{one['id']}")
                    await trio.sleep(0.05)

    async def executions(self, actor: str) -> list[dict[str, str]]:
        return list((await self.ask("GET", f"/{actor}/executions?limit=250"))["executions"])


def processes(root: Path) -> list[bytes]:
    """All that run with a path of the tenant among their words."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(line.read_bytes())
        except OSError:
            continue
    return [line for line in found if str(root).encode() in line]


@pytest.mark.parametrize("acts", [25, pytest.param(1000, marks=pytest.mark.soak)])
async def test_whatever_is_done_to_actors_nothing_is_left_in_the_end(tenant, acts):
    image(tenant.root, PROGRAM)
    state = tenant.state

    async def work(seed: int) -> None:
        async with troupe_of(tenant) as troupe:
            user = User(troupe, seed)
            for _ in range(acts):
                await user.act()
            await user.end()

    async with trio.open_nursery() as nursery:
        for seed in range(3):
            nursery.start_soon(work, seed)
    with trio.fail_after(PATIENCE):
        while (
            state.awake or state.busy or processes(tenant.root)
            or [path for path in (tenant.root / "actors").glob("*/*/*") if path.name not in ("log", "results")]
        ):  # fmt: skip
            await trio.sleep(0.05)
    assert state.store.sql("select count(*) from executions where status in ('SUBMITTED', 'RUNNING')") == [(0,)]
    assert state.store.sql("select count(*) from tokens where client = 'actors' and not revoked") == [(0,)]
