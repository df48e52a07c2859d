"""Trouble on purpose: each kind does what it says, for as long as it is asked for, and no longer."""

from __future__ import annotations

import httpx
import msgspec
import pytest
import trio

from agavesh.tenant.bounds import Bounds

LIST = "/systems/v2/"


@pytest.fixture
async def http(tenant):
    async with tenant.http() as client:
        yield client


async def test_a_slow_operation_waits_and_goes_on_when_the_block_ends(tenant, http):
    answers = []

    async def ask():
        answers.append(await http.get(LIST))

    async with trio.open_nursery() as nursery:
        with tenant.faults.slow("systems.list") as fault:
            nursery.start_soon(ask)
            with trio.fail_after(5):
                await fault.met()
            assert (await http.get("/tenants")).status_code == 200
            assert answers == []
    assert answers[0].status_code == 200


async def test_refusals_are_counted_and_end_after_their_times(tenant, http):
    with tenant.faults.refusing("systems.list", 503, times=2) as fault:
        assert [(await http.get(LIST)).status_code for _ in range(3)] == [503, 503, 200]
        assert (await http.get("/tenants")).status_code == 200
    assert fault.hits == 2
    assert tenant.faults.requests["systems.list"] == 3


async def test_throttling_tells_when_to_come_again(tenant, http):
    with tenant.faults.throttling("*", retry_after=7):
        answer = await http.get(LIST)
    assert (answer.status_code, answer.headers["retry-after"], "900800" in answer.text) == (429, "7", True)


async def test_a_page_of_a_proxy_and_a_fault_of_the_gateway(tenant, http):
    with tenant.faults.html("systems.list", 502):
        answer = await http.get(LIST)
        assert (answer.status_code, answer.text[:6]) == (502, "<html>")
    with tenant.faults.gateway("systems.list", 900903, times=1):
        assert "900903" in (await http.get(LIST)).text
        assert (await http.get(LIST)).status_code == 200


async def test_a_cut_body_ends_the_connection_short(tenant, http):
    tenant.path("data.demo", "/alice/f").write_bytes(bytes(1000_000))
    with tenant.faults.cutting("files.download", after=700_000), pytest.raises(httpx.RemoteProtocolError):
        await http.get("/files/v2/media/system/data.demo//alice/f")
    with tenant.faults.cutting("systems.list"), pytest.raises(httpx.RemoteProtocolError):
        await http.get(LIST)
    assert (await http.get(LIST)).status_code == 200


async def test_a_stalled_body_stops_and_goes_on(tenant, http):
    tenant.path("data.demo", "/alice/f").write_bytes(bytes(3_000_000))
    with tenant.faults.stalling("files.download", after=2_000_000) as fault:
        async with http.stream("GET", "/files/v2/media/system/data.demo//alice/f") as answer:
            size = 0
            with trio.fail_after(10):
                async for piece in answer.aiter_bytes():
                    size += len(piece)
                    if size == 2_000_000:
                        tenant.faults.remove(fault)
    assert size == 3_000_000


async def test_malformed_json_is_none_and_has_its_length(tenant, http):
    with tenant.faults.malforming("systems.list"):
        answer = await http.get(LIST)
    assert answer.status_code == 200
    assert len(answer.content) == int(answer.headers["content-length"])
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(answer.content)
    with tenant.faults.malforming("systems.get"):  # a refusal too
        answer = await http.get(f"{LIST}nowhere")
    assert answer.status_code == 404
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(answer.content)


async def test_a_lost_answer_is_none_and_the_work_is_done(tenant, http):
    with tenant.faults.losing("files.manage", times=1) as fault, pytest.raises(httpx.TransportError):
        await http.put("/files/v2/media/system/data.demo//alice", json={"action": "mkdir", "path": "made"})
    assert fault.hits == 1
    assert tenant.path("data.demo", "/alice/made").is_dir()


async def test_staging_is_held_until_the_last_who_asked_for_it_lets_go(tenant):
    with tenant.faults.holding_staging():
        with tenant.faults.holding_staging():
            assert tenant.faults.staging_held
        assert tenant.faults.staging_held
    assert not tenant.faults.staging_held


async def test_neither_a_fault_nor_a_bound_keeps_the_owner_out(tenant, http):
    tenant.state.bounds = Bounds(requests=0)
    with tenant.faults.refusing("*") as fault:
        assert (await http.get(LIST)).status_code == 503
        assert (await http.get(f"/prove?nonce={'00' * 16}")).status_code == 200
    assert fault.hits == 0
