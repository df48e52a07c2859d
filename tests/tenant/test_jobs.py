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
