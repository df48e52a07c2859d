"""Jobs at the tenant, over HTTP: what is asked for runs, and what ran can be looked at."""

from collections.abc import AsyncIterator

import pytest

from tests.tenant.shop import Shop, field, shop_of


@pytest.fixture
async def shop(tenant) -> AsyncIterator[Shop]:
    async with shop_of(tenant) as shop:
        yield shop


async def test_a_job_runs_and_leaves_its_outputs(shop: Shop) -> None:
    app = await shop.app("echo hello ${who} > greeting.txt; echo said", parameters=[field("who", kind="string")])
    job = await shop.ran(app, name="My Run", parameters={"who": "world"})
    assert (job["status"], job.get("message")) == ("FINISHED", None)
    assert await shop.output(job["id"], "greeting.txt") == "hello world\n"
    assert await shop.output(job["id"], "my-run.out") == "said\n"


async def test_the_demonstration_apps_do_what_they_say(shop: Shop) -> None:
    (shop.tenant.path("data.demo", "/alice/a b.txt")).write_text("the cat and the dog\n")
    (shop.tenant.path("data.demo", "/alice/b.txt")).write_text("the end\n")
    inputs = {"text": ["agave://data.demo//alice/a%20b.txt", "b.txt"]}
    counted = await shop.ran("wordcount-1.0", inputs=inputs, parameters={"top": 1})
    assert counted["status"] == "FINISHED", counted
    assert "1  5 20 a b.txt" in await shop.output(counted["id"], "wordcount.txt")
    assert (await shop.output(counted["id"], "top-words.txt")).endswith(" the\n")
    ticked = await shop.ran("ticker-1.0", name="ticks", parameters={"lines": 2, "delay": 0.01})
    assert await shop.output(ticked["id"], "ticks.txt") == "2 lines written\n"
    crashed = await shop.ran("crash-1.0", parameters={"code": 7})
    assert crashed["status"] == "FAILED"
    assert crashed["message"] == "Job failed: exit code 7: no such luck: the reactor is out of cheese"
