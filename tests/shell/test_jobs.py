"""Jobs, apps, systems and any operation, through commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from agavesh.api.models.apps import Application
from agavesh.api.record import decode
from agavesh.client.errors import BadArgument
from agavesh.shell import exits
from agavesh.shell.filters import FIELDS, search
from agavesh.shell.jobrequest import job_request
from agavesh.tenant.handlers import apps, jobs, systems
from tests.shell.conftest import Shell

ALICE = "/systems/data.demo/alice"

APP = decode(
    json.dumps(
        {
            "id": "all-1.0", "name": "all",
            "inputs": [
                {"id": "query", "value": {"required": True, "visible": True}},
                {"id": "fixed", "value": {"visible": False, "default": "agave://x//y"}},
            ],
            "parameters": [
                {"id": "count", "value": {"type": "number"}},
                {"id": "flag", "value": {"type": "flag"}},
                {"id": "kind", "value": {"type": "enumeration", "enum_values": [{"a": "A"}, "b"]}},
                {"id": "label", "value": {"type": "string", "required": True, "default": "none"}},
            ],
        }
    ).encode(),
    Application,
)  # fmt: skip


# a request, from words


def made(**given: str) -> dict[str, Any]:
    return job_request(APP, [(name, value, False) for name, value in given.items()])


def test_values_become_what_the_app_says_they_are() -> None:
    body = made(query="x", count="3", flag="true", kind="b", maxRunTime="00:10:00", nodeCount="2", archive="false")
    assert body == {
        "name": "all", "appId": "all-1.0", "inputs": {"query": "x"},
        "parameters": {"count": 3, "flag": True, "kind": "b", "label": "none"},
        "maxRunTime": "00:10:00", "nodeCount": 2, "archive": False,
    }  # fmt: skip


def test_a_name_given_twice_has_two_values() -> None:
    body = job_request(APP, [("query", "x", False), ("query", "y", False)], name="two")
    assert (body["name"], body["inputs"]["query"]) == ("two", ["x", "y"])


@pytest.mark.parametrize(
    ("given", "sentence", "hint"),
    [
        ({}, "needs query=PATH", "apps show all-1.0"),
        ({"query": "x", "conut": "3"}, 'no input or parameter "conut"', '"count"'),
        ({"query": "x", "fixed": "y"}, "fixed is fixed", "leave it out"),
        ({"query": "x", "count": "three"}, "count is a number", ""),
        ({"query": "x", "flag": "maybe"}, "flag is true or false", ""),
        ({"query": "x", "kind": "c"}, "'c'", "one of a, b"),
    ],
)
def test_what_the_app_does_not_know_is_refused_before_it_is_sent(
    given: dict[str, str], sentence: str, hint: str
) -> None:
    with pytest.raises(BadArgument) as refused:
        made(**given)
    assert sentence in refused.value.sentence
    assert hint in refused.value.hint


# jobs that run


async def test_a_job_is_submitted_waited_for_and_shown(shell: Shell, home: Path) -> None:
    said = await shell.good(f"jobs submit wordcount-1.0 text={ALICE}/README.txt top=3 --name 'my job' --wait")
    job = said.out.strip()
    assert "running" in said.err
    assert said.err.rstrip().endswith("finished")
    record = (await shell.good("jobs show latest -o json")).json
    assert (record["id"], record["name"], record["parameters"]["top"]) == (job, "my job", 3)
    assert job in (await shell.good("jobs status=FINISHED app~count")).out
    assert (await shell.good("jobs status=FAILED")).out == ""
    assert (await shell.good("jobs logs latest")).out.startswith("counted 1")
    assert [event["status"] for event in (await shell.good(f"jobs history {job} -o json")).json][-1] == "FINISHED"
    assert "wordcount.txt" in (await shell.good("ls /jobs/latest/outputs")).lines
    assert (await shell.good("cat /jobs/latest/status")).out == "FINISHED\n"
    assert (await shell.good(f"jobs wait {job}")).status == 0


async def test_a_failed_job_ends_with_1_and_says_why(shell: Shell) -> None:
    said = await shell("jobs submit crash-1.0 --wait")
    assert said.status == exits.JOB_FAILED
    assert "exit code" in said.err


async def test_a_stopped_job_ends_with_2(shell: Shell) -> None:
    job = (await shell.good("jobs submit ticker-1.0 lines=60 delay=1")).out.strip()
    await shell.good(f"jobs stop {job}")
    with trio.fail_after(30):
        said = await shell(f"jobs wait {job}")
    assert said.status == exits.JOB_STOPPED


async def test_the_output_of_a_running_job_is_followed_to_its_end(shell: Shell) -> None:
    said = await shell.good("jobs submit ticker-1.0 lines=4 delay=0.3 --follow")
    assert [line.split(",")[0] for line in said.lines] == [f"line {number} of 4" for number in (1, 2, 3, 4)]
    again = await shell.good("tail -n 1 -f /jobs/latest/outputs/ticker.out")
    assert again.lines == said.lines[-1:]


async def test_a_request_may_come_from_a_file(shell: Shell, home: Path, own_folders: Path) -> None:
    request = {"name": "from file", "appId": "ticker-1.0", "parameters": {"lines": 1, "delay": 0}}
    (own_folders / "job.json").write_text(json.dumps(request))
    await shell.good("jobs submit job.json --wait")
    await shell.good("jobs resubmit latest --wait")
    assert [job["name"] for job in (await shell.good("jobs -o json")).json] == ["from file", "from file"]
    (own_folders / "job.json").write_text("{")
    assert (await shell("jobs submit job.json")).status == exits.USAGE
    assert (await shell("jobs submit none.json")).status == exits.MISSING


async def test_a_deleted_job_is_no_longer_listed(shell: Shell) -> None:
    await shell.good("jobs submit ticker-1.0 lines=1 delay=0 --wait; jobs delete latest")
    assert (await shell.good("jobs -o json")).json == []
    assert (await shell("jobs show latest")).status == exits.MISSING


async def test_an_input_that_is_on_no_system_is_refused(shell: Shell) -> None:
    said = await shell("jobs submit wordcount-1.0 text=/apps/wordcount-1.0/app.json")
    assert (said.status, "on no system" in said.err) == (exits.USAGE, True)


async def test_an_unknown_app_is_not_found(shell: Shell) -> None:
    assert (await shell("jobs submit nothing-1.0")).status == exits.MISSING


# apps, systems


async def test_apps_are_listed_and_explained(shell: Shell) -> None:
    assert {app["id"] for app in (await shell.good("apps -o json")).json} >= {
        "wordcount-1.0",
        "ticker-1.0",
        "crash-1.0",
    }
    assert [line.split(",")[0] for line in (await shell.good("apps id~tick -o csv")).lines] == ["id", "ticker-1.0"]
    said = await shell.good("apps show wordcount-1.0")
    assert "text" in said.out
    assert "required" in said.out


async def test_systems_are_listed_filtered_and_shown(shell: Shell) -> None:
    assert {record["id"] for record in (await shell.good("systems -o json")).json} == {"data.demo", "run.demo"}
    assert [record["id"] for record in (await shell.good("systems type=STORAGE -o json")).json] == ["data.demo"]
    assert (await shell.good("systems show data.demo -o json")).json["storage"]["protocol"] == "LOCAL"
    assert "data.demo" in (await shell.good("systems default")).out


@pytest.mark.parametrize(
    ("line", "sentence", "hint"),
    [
        ("jobs staus=FAILED", 'nothing can be searched by "staus"', 'did you mean "status"?'),
        ("jobs created.bfore=2020-01-01", '"bfore" is no operator', 'did you mean "before"?'),
        ("systems storage.hst~x", 'nothing can be searched by "storage.hst"', 'did you mean "storage.host"?'),
        ("apps colour=red", 'nothing can be searched by "colour"', "one of available, "),
    ],
)
async def test_a_filter_that_the_platform_would_leave_out_is_refused(
    shell: Shell, line: str, sentence: str, hint: str
) -> None:
    said = await shell(line)
    assert (said.status, said.out) == (exits.USAGE, "")
    assert sentence in said.err
    assert hint in said.err


async def test_filters_reach_the_platform_with_their_operators(shell: Shell) -> None:
    job = (await shell.good("jobs submit ticker-1.0 lines=1 delay=0 --wait")).out.strip()
    for fits in (
        "app=ticker-1.0",
        "app~tick",
        "appId.in=ticker-1.0,x",
        "Status.neq=FAILED",
        "created.after=2020-01-01",
    ):
        assert job in (await shell.good(f"jobs {fits}")).out
    assert (await shell.good("jobs app~count")).out == ""


def test_what_the_shell_lets_through_is_what_the_tenant_searches_by() -> None:
    assert set(FIELDS["job-fields"]) == jobs.NAMES
    assert set(FIELDS["app-fields"]) == apps.NAMES
    assert set(FIELDS["system-fields"]) == systems.NAMES
    assert search(["App.like=x*"], "job-fields") == {"appId.like": "x*"}


async def test_a_record_is_printed_as_the_platform_sent_it(shell: Shell, tenant: Any) -> None:
    async with tenant.http() as http:
        sent = (await http.get("/systems/v2/")).json()["result"]
        one = (await http.get("/apps/v2/wordcount-1.0")).json()["result"]
    assert (await shell.good("systems -o json")).json == sent
    assert (await shell.good("apps show wordcount-1.0 -o json")).json == one


async def test_whoami_tells_user_and_platform(shell: Shell, tenant: Any) -> None:
    assert (await shell.good("whoami")).out == f"alice at {tenant.url}\n"
    assert (await shell.good("whoami -o json")).json["username"] == "alice"


# any operation


async def test_api_calls_operations_with_their_types_and_bodies(shell: Shell, home: Path, own_folders: Path) -> None:
    found = (await shell.good("api files list systemId=data.demo filePath=/alice limit=2")).json
    assert [record["name"] for record in found] == [".", "README.txt"]
    await shell.good("api files manage systemId=data.demo filePath=/alice action=mkdir path=made")
    assert (home / "made").is_dir()
    (own_folders / "up.txt").write_text("up")
    await shell.good("api files importData systemId=data.demo filePath=/alice fileToUpload=@up.txt")
    assert (await shell.good("api files download systemId=data.demo filePath=/alice/up.txt")).out == "up"
    body = 'body:=\'{"action": "mkdir", "path": "two"}\''
    await shell.good(f"api files manage systemId=data.demo filePath=/alice {body}")
    assert (home / "two").is_dir()
    assert [app["id"] for app in (await shell.good("api apps list id=ticker-1.0")).json] == ["ticker-1.0"]


async def test_api_names_what_was_meant(shell: Shell) -> None:
    said = await shell("api files lsit")
    assert (said.status, '"list"' in said.err) == (exits.MISSING, True)
    assert (await shell("api fiels list")).status == exits.MISSING
    assert (await shell("api files list limit=many")).status == exits.USAGE
    said = await shell("api files list")
    assert (said.status, "systemId" in said.err) == (exits.USAGE, True)


async def test_api_alone_lists_the_services_and_with_a_service_its_operations(shell: Shell) -> None:
    from agavesh.api.catalogue import operations

    services = [row.split()[0] for row in (await shell.good("api")).lines[1:]]
    assert services == list(dict.fromkeys(operation.service for operation in operations()))
    for service in services:
        rows = (await shell.good(f"api {service}")).lines[1:]
        named = [operation for operation in operations() if operation.service == service]
        assert [row.split(maxsplit=1) for row in rows] == [[each.name, each.summary] for each in named]
    first = (await shell.good("api postits -o json")).json[0]
    assert (first["method"], first["path"], "summary" in first) == ("GET", "/postits/v2/", True)
    assert '"files"' in (await shell("api file")).err
    assert "needs a path" in (await shell("api GET")).err


async def test_api_asks_any_path(shell: Shell) -> None:
    assert (await shell.good("api GET /systems/v2/ type=STORAGE")).json["result"][0]["id"] == "data.demo"
    said = await shell("api GET /systems/v2/none")
    assert (said.status, said.json["status"]) == (exits.MISSING, "error")


async def test_every_operation_can_be_called_by_its_name(shell: Shell) -> None:
    from agavesh.api.catalogue import operations
    from agavesh.shell.commands.api import _find

    for operation in operations():
        assert _find(operation.service, operation.name) is operation


async def test_a_job_is_followed_through_trouble_on_the_line(shell: Shell, tenant: Any) -> None:
    async with trio.open_nursery() as nursery:
        said: list[Any] = []

        async def follow() -> None:
            said.append(await shell("jobs submit ticker-1.0 lines=3 delay=0.5 --follow"))

        nursery.start_soon(follow)
        with trio.fail_after(30):
            while not (await tenant_jobs(tenant)):
                await trio.sleep(0.05)
        with (
            tenant.faults.refusing("jobs.listOutputs", 502, times=2),
            tenant.faults.malforming("jobs.getStatus", times=2),
        ):
            with trio.fail_after(60):
                while not said:
                    await trio.sleep(0.05)
    assert said[0].status == 0, said[0].err
    assert len(said[0].lines) == 3


async def test_what_a_job_wrote_is_shown_though_its_outputs_could_not_be_listed_when_it_ended(
    shell: Shell, tenant: Any
) -> None:
    with tenant.faults.refusing("jobs.listOutputs", 502, times=4) as trouble:
        said = await shell("jobs submit ticker-1.0 lines=3 delay=0 --follow")
    assert (said.status, len(said.lines)) == (0, 3), said.err
    assert trouble.hits == 4


async def tenant_jobs(tenant: Any) -> list[Any]:
    async with tenant.http() as http:
        return list((await http.get("/jobs/v2/")).json()["result"])


async def test_the_help_of_a_command_lists_those_that_begin_with_it(shell: Shell) -> None:
    assert "\n  jobs history   List what happened" in (await shell.good("jobs --help")).out
    assert "begin with" not in (await shell.good("jobs show --help")).out


async def test_a_record_that_makes_no_sense_is_a_bad_answer(shell: Shell, tenant: Any) -> None:
    record = tenant.state.store.get("app", "wordcount-1.0")
    tenant.state.store.put("app", "wordcount-1.0", {**record, "parameters": "none"}, owner=record["owner"])
    said = await shell("apps show wordcount-1.0")
    assert said.status == exits.PROTOCOL
    assert "Application.parameters" in said.err
