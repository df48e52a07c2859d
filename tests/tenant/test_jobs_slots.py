"""Who runs and who waits: the limits of queues, systems and users."""

from collections.abc import Callable

import pytest
import trio
import trio.testing

from agavesh.tenant.jobs.slots import Claim, Slots

SYSTEM = {
    "id": "run.demo", "maxSystemJobs": 3, "maxSystemJobsPerUser": -1,
    "queues": [{"name": "wide", "maxJobs": -1, "maxUserJobs": 1}, {"name": "narrow", "maxJobs": 1}],
}  # fmt: skip


def claim(number: int, queue: str = "narrow", owner: str = "alice") -> Claim:
    return Claim.of({"created": f"{number:03}", "owner": owner, "batchQueue": queue}, SYSTEM)


@pytest.fixture
def wants(nursery: trio.Nursery) -> tuple[Slots, list[str], Callable[[str, Claim], None]]:
    slots, served = Slots(), list[str]()

    async def want(name: str, claim: Claim) -> None:
        await slots.acquire(name, claim)
        served.append(name)

    return slots, served, lambda name, claim: nursery.start_soon(want, name, claim)


async def settled() -> None:
    await trio.testing.wait_all_tasks_blocked()


async def test_the_oldest_is_served_first_whenever_it_came(wants) -> None:
    slots, served, want = wants
    slots.take("running", claim(0))
    for name, number in (("late", 3), ("early", 1), ("middle", 2)):
        want(name, claim(number))
        await settled()
    for name in ("running", "early", "middle"):
        slots.release(name)
        await settled()
    assert served == ["early", "middle", "late"]


async def test_one_whose_own_limit_holds_it_back_lets_others_pass(wants) -> None:
    slots, served, want = wants
    slots.take("running", claim(0, "wide"))
    want("hers", claim(1, "wide"))
    want("his", claim(2, "wide", "bob"))
    want("narrow", claim(3))
    await settled()
    want("too many for the system", claim(4, "wide", "carol"))
    await settled()
    assert sorted(served) == ["his", "narrow"]
    slots.release("his")
    await settled()
    assert served[2:] == ["too many for the system"]


async def test_who_gives_up_waiting_leaves_the_place_to_the_next(wants) -> None:
    slots, served, want = wants
    slots.take("running", claim(0))
    with trio.move_on_after(0):
        await slots.acquire("impatient", claim(1))
    want("patient", claim(2))
    await settled()
    slots.release("running")
    await settled()
    assert served == ["patient"]
