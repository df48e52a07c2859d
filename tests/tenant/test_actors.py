"""Actors: what is registered, what is sent, and what comes of it, by real processes."""

from __future__ import annotations

import pytest

from tests.tenant.troupe import troupe_of

ECHO = "import os\nprint(os.environ['MSG'])\n"


@pytest.fixture
async def troupe(tenant):
    async with troupe_of(tenant) as found:
        yield found


async def test_an_actor_answers_a_message(troupe):
    actor = await troupe.actor(ECHO)
    assert await troupe.said(actor, "good morning") == "good morning\n"
