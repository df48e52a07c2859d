"""Calls that meet trouble: what is asked again, what is not, and what people are told."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from agavesh.client import Agave, errors
from agavesh.client.accounts import Account
from tests.client.wire import Seen, answer, peer

LIST = {"systemId": "data.demo", "filePath": "/alice"}


async def test_a_call_answers_with_records(agave: Agave) -> None:
    systems = await agave.systems.list()
    assert {system.id for system in systems} == {"data.demo", "run.demo"}


async def test_an_error_names_what_was_asked_and_what_the_server_said(agave: Agave) -> None:
    with pytest.raises(errors.NotFound) as caught:
        await agave.files.list(systemId="data.demo", filePath="/alice/nowhere")
    assert caught.value.status == 404
    assert caught.value.sentence.startswith("files.list agave://data.demo//alice/nowhere: ")


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_platform_is_asked_again(agave: Agave, tenant: Any, status: int) -> None:
    with tenant.faults.refusing("files.list", status, times=2) as fault:
        assert await agave.files.list(**LIST)
    assert fault.hits == 2


async def test_a_gateway_in_trouble_is_asked_again_and_a_service_in_trouble_is_believed(
    agave: Agave, tenant: Any
) -> None:
    with tenant.faults.html("files.list", 502, times=2) as fault:
        assert await agave.files.list(**LIST)
    assert fault.hits == 2
    with tenant.faults.refusing("files.list", 500) as fault:
        with pytest.raises(errors.ServerTrouble, match="refused on purpose"):
            await agave.files.list(**LIST)
    assert fault.hits == 1


async def test_retry_after_is_honoured(agave: Agave, tenant: Any) -> None:
    with tenant.faults.throttling("files.list", retry_after=1, times=1):
        began = trio.current_time()
        await agave.files.list(**LIST)
    assert trio.current_time() - began >= 1


async def test_a_wait_that_is_longer_than_the_deadline_is_told_at_once(agave: Agave, tenant: Any) -> None:
    with tenant.faults.throttling("files.list", retry_after=600):
        with pytest.raises(errors.Busy, match="try again in 600 s") as caught:
            await agave.files.list(**LIST)
    assert caught.value.retry_after == 600


async def test_what_must_not_be_done_twice_is_not_asked_twice(agave: Agave, tenant: Any) -> None:
    move = {"systemId": "data.demo", "filePath": "/alice/x", "body": {"action": "move", "path": "/alice/y"}}
    with tenant.faults.html("files.manage", 502) as fault:
        with pytest.raises(errors.ServerTrouble):
            await agave.files.manage(**move)
    with tenant.faults.cutting("files.manage", 0) as cut:
        with pytest.raises((errors.BadAnswer, errors.NotFound)):
            await agave.files.manage(**move)
    assert (fault.hits, cut.hits) == (1, 1)


async def test_what_may_have_been_done_is_not_said_to_be_tried_again(agave: Agave, tenant: Any) -> None:
    job = {"name": "twice", "appId": "crash-1.0", "archive": False}
    with tenant.faults.losing("jobs.submit"), pytest.raises(errors.BadAnswer) as lost:
        await agave.jobs.submit(body=job)
    assert "look before you try again" in lost.value.hint
    assert [job.name for job in await agave.jobs.list()] == ["twice"]


async def test_a_throttled_request_was_not_carried_out_and_is_asked_again(agave: Agave, tenant: Any) -> None:
    with tenant.faults.throttling("files.manage", retry_after=None, times=1) as fault:
        await agave.files.manage(systemId="data.demo", filePath="/alice", body={"action": "mkdir", "path": "new"})
    assert fault.hits == 1
    assert tenant.path("data.demo", "/alice/new").is_dir()


async def test_a_folder_may_be_made_twice(agave: Agave, tenant: Any) -> None:
    with tenant.faults.cutting("files.manage", 5, times=1) as fault:
        await agave.files.manage(systemId="data.demo", filePath="/alice", body={"action": "mkdir", "path": "new"})
    assert fault.hits == 1


async def test_an_answer_that_is_cut_is_asked_for_again(agave: Agave, tenant: Any) -> None:
    with tenant.faults.cutting("files.list", 20, times=2) as fault:
        assert await agave.files.list(**LIST)
    assert fault.hits == 2


async def test_an_answer_that_is_always_cut_is_a_bad_answer(agave: Agave, tenant: Any) -> None:
    with tenant.faults.cutting("files.list", 20):
        with pytest.raises(errors.BadAnswer, match="broke off"):
            await agave.files.list(**LIST)


async def test_malformed_json_is_a_bad_answer(agave: Agave, tenant: Any) -> None:
    with tenant.faults.malforming("files.list"):
        with pytest.raises(errors.BadAnswer, match="cut or malformed"):
            await agave.files.list(**LIST)


async def test_a_page_with_status_200_is_a_bad_answer(agave: Agave, tenant: Any) -> None:
    with tenant.faults.html("files.list", 200):
        with pytest.raises(errors.BadAnswer, match="a page came back"):
            await agave.files.list(**LIST)


async def test_a_silent_platform_times_out_and_the_error_says_after_how_long(tenant: Any) -> None:
    async with Agave(tenant.url, token=tenant.token("alice"), deadline=0.5) as agave:
        with tenant.faults.slow("files.list"), trio.fail_after(10):
            with pytest.raises(errors.TimedOut, match=r"no answer from 127\.0\.0\.1:\d+ in 0\.5 s"):
                await agave.files.list(**LIST)
        with tenant.faults.stalling("files.list", 10), trio.fail_after(10):
            with pytest.raises(errors.TimedOut):
                await agave.files.list(**LIST)


async def test_a_block_of_calls_may_have_less_time(agave: Agave, tenant: Any) -> None:
    with tenant.faults.slow("files.list"), trio.fail_after(10):
        with agave.within(30), agave.within(0.2), agave.within(20), pytest.raises(errors.TimedOut):
            await agave.files.list(**LIST)
    assert await agave.files.list(**LIST)


async def test_a_call_that_is_cancelled_leaves_the_connections_usable(agave: Agave, tenant: Any) -> None:
    with tenant.faults.slow("files.list"):
        for _ in range(70):  # more than there are places in the pool
            with trio.move_on_after(0.001):
                await agave.files.list(**LIST)
    with trio.fail_after(10):
        assert await agave.files.list(**LIST)


async def test_many_calls_at_once_are_all_answered(agave: Agave) -> None:
    answers: list[int] = []

    async def ask() -> None:
        answers.append(len(await agave.systems.list()))

    async with trio.open_nursery() as nursery:
        for _ in range(200):
            nursery.start_soon(ask)
    assert answers == [2] * 200


async def test_nobody_at_the_port() -> None:
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    async with Agave(f"http://127.0.0.1:{port}", token="t", deadline=1) as agave:
        with pytest.raises(errors.Unreachable, match=rf"127\.0\.0\.1:{port} refuses connections"):
            await agave.jobs.submit(body={"name": "x"})  # never sent, so even this may be tried again


async def test_a_host_that_does_not_exist_is_told_without_trying_again() -> None:
    async with Agave("https://tenant.invalid", token="t") as agave:
        with trio.fail_after(30), pytest.raises(errors.Unreachable, match=r"tenant\.invalid"):
            await agave.systems.list()


async def test_a_raw_call_gives_everything_as_it_came(agave: Agave, tenant: Any) -> None:
    answer_ = await agave.raw("GET", "/systems/v2/", params={"limit": 1, "naked": "true"})
    assert answer_.status == 200
    assert answer_.body.startswith(b"[{")
    refused = await agave.raw("GET", "/files/v2/listings/system/data.demo//alice/nowhere")
    assert (refused.status, refused.headers["content-type"].split(";")[0]) == (404, "application/json")
    with tenant.faults.refusing("*", 500):
        assert (await agave.raw("GET", "/systems/v2/")).status == 500


async def test_an_error_about_an_odd_name_stays_on_one_line(agave: Agave) -> None:
    with pytest.raises(errors.NotFound) as caught:
        await agave.files.list(systemId="data.demo", filePath="/alice/a\nb\x1b[31m")
    assert r"/alice/a\nb\x1b[31m" in caught.value.sentence
    assert caught.value.request_id


async def test_a_tenant_may_live_under_a_path() -> None:
    async with peer(lambda seen: answer()) as there, Agave(f"{there.url}/here/", token="t") as agave:
        await agave.systems.list(limit=1)
    assert there.seen[0].target == "/here/systems/v2/?limit=1"


async def test_a_proxy_that_is_no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "gopher://h:1")
    async with Agave("https://api.example.invalid", token="t") as agave:
        with pytest.raises(errors.BadArgument, match="no URL of a proxy"):
            await agave.systems.list()


async def test_a_raw_path_may_hold_anything(agave: Agave, tenant: Any) -> None:
    tenant.path("data.demo", "/alice/ä b").write_bytes(b"raw")
    told = await agave.raw("GET", "/files/v2/media/system/data.demo//alice/ä b?x=ö &y=%41", params={"z": "#"})
    assert (told.status, told.body) == (200, b"raw")


@pytest.mark.parametrize("token", ["with a line's end\n", "not ascii: ä", "two\r\nX-Lines: 1"])
async def test_a_token_that_is_no_header_is_not_shown(tenant: Any, token: str) -> None:
    async with Agave(tenant.url, token=token) as agave:
        with pytest.raises(errors.BadArgument, match="Authorization") as caught:
            await agave.systems.list()
    assert token not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_an_account_is_given_whole_or_in_parts() -> None:
    with pytest.raises(errors.BadArgument, match="says all that about itself"):
        Agave("https://h", account=Account("https://other"))


async def test_a_redirect_on_the_same_host_is_followed() -> None:
    def script(seen: Seen) -> bytes:
        return answer() if seen.target == "/new/a%20b?x=1" else answer(302, b"", Location="/new/a%20b?x=1")

    async with peer(script) as there, Agave(there.url, token="secret") as agave:
        assert await agave.systems.list() == []
    assert [seen.headers.get("authorization") for seen in there.seen] == ["Bearer secret"] * 2


@pytest.mark.parametrize(
    "away", ["http://localhost:1/x", "//localhost/x", "https://127.0.0.1/x", "http://127.0.0.1/x", "//127.0.0.1:x/x"]
)
async def test_a_token_never_goes_to_another_host(away: str) -> None:
    async with peer(lambda seen: answer(307, b"", Location=away)) as there, Agave(there.url, token="secret") as agave:
        with pytest.raises(errors.BadAnswer, match="a token stays here"):
            await agave.systems.list()
    assert len(there.seen) == 1


async def test_a_post_that_is_moved_is_not_turned_into_a_get() -> None:
    async with peer(lambda seen: answer(301, b"", Location="/x")) as there, Agave(there.url, token="t") as agave:
        with pytest.raises(errors.BadAnswer, match="has moved it to /x"):
            await agave.jobs.submit(body={})
    assert len(there.seen) == 1


async def test_going_in_circles_ends() -> None:
    async with peer(lambda seen: answer(308, b"", Location=seen.target)) as there, Agave(there.url, token="t") as agave:
        with pytest.raises(errors.BadAnswer, match="in circles"):
            await agave.systems.list()


async def test_an_answer_may_come_compressed() -> None:
    import gzip

    body = gzip.compress(b'{"status":"success","result":[{"id":"S"}]}')
    async with peer(lambda seen: answer(200, body, Content_Encoding="gzip")) as there:
        async with Agave(there.url, token="t") as agave:
            assert (await agave.systems.list())[0].id == "S"


async def test_what_is_no_http_at_all_is_a_bad_answer() -> None:
    async with peer(lambda seen: b"SSH-2.0-OpenSSH_9.2\r\n") as there, Agave(there.url, token="t") as agave:
        with pytest.raises(errors.BadAnswer):
            await agave.jobs.submit(body={})


async def test_a_proxy_is_used_but_not_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    async with peer(lambda seen: answer()) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        async with Agave("http://api.example.invalid", token="t") as agave:
            assert await agave.systems.list() == []
        assert proxy.seen[0].target == "http://api.example.invalid/systems/v2/"
        async with peer(lambda seen: answer()) as tenant, Agave(tenant.url, token="t") as agave:
            assert await agave.systems.list() == []
        monkeypatch.setenv("NO_PROXY", ".example.invalid")
        async with Agave("http://api.example.invalid", token="t") as agave:
            with pytest.raises(errors.Unreachable):
                await agave.systems.list()
        assert (len(proxy.seen), len(tenant.seen)) == (1, 1)


async def test_a_proxy_that_refuses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async with peer(lambda seen: answer(403, b"no")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        async with Agave("https://api.example.invalid", token="secret", deadline=1) as agave:
            with pytest.raises(errors.Unreachable, match="the proxy refused"):
                await agave.systems.list()
    assert proxy.seen[0][:2] == ("CONNECT", "api.example.invalid:443")
    assert "authorization" not in proxy.seen[0].headers
