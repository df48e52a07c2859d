"""Actors: what is registered, what is sent, and what the process is given and gives back."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import sys
from dataclasses import replace

import pytest
import trio

from agavesh.api.wire import moment
from agavesh.client.errors import AgaveError
from tests.tenant.troupe import ACTORS, image, troupe_of

ECHO = "import os\nprint(os.environ['MSG'])\n"
SHOW = "import json, os\nprint(json.dumps(dict(os.environ)))\n"
# as AgavePy reads a binary message, and sends results
BINARY = """
import os, socket
pipe = os.open(os.environ['_abaco_binary_data'], os.O_RDONLY | os.O_NONBLOCK)
message = b''
while True:
    try:
        piece = os.read(pipe, 4069)
    except OSError:
        break
    if not piece:
        break
    message += piece
results = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
results.connect(os.environ['_abaco_results_sock'])
print(len(message), os.environ['MSG'] == '')
for place in range(0, len(message), 100_000):
    results.send(message[place:place + 100_000])
"""


@pytest.fixture
async def troupe(tenant):
    async with troupe_of(tenant) as found:
        yield found


# registration --------------------------------------------------------------------------------------------------------


async def test_a_new_actor_is_submitted_then_ready_and_told_as_the_platform_tells_it(troupe):
    name = image(troupe.root, ECHO)
    made = await troupe.ask(
        "POST", json={"image": name, "name": "first", "hints": ["a"], "defaultEnvironment": {"A": 1}}
    )
    assert made["status"] == "SUBMITTED"
    actor = await troupe.until(f"/{made['id']}", lambda actor: actor["status"] == "READY")
    expected = {
        "name": "first", "image": "test", "owner": "alice", "stateless": True, "revision": 1, "hints": ["a"],
        "defaultEnvironment": {"A": "1"}, "privileged": False, "queue": "default", "type": "none", "state": {},
    }  # fmt: skip
    assert {key: actor[key] for key in expected} == expected
    assert re.fullmatch(r"[A-Za-z0-9]{13}", actor["id"])
    assert None not in actor.values()
    assert not [key for key in actor if key.startswith("_") and key != "_links"]
    links = {name: link.partition("/actors/v2")[2] for name, link in actor["_links"].items()}
    assert links == {"self": f"/{actor['id']}", "owner": "", "executions": f"/{actor['id']}/executions"}
    assert actor["createTime"].endswith("Z")
    assert moment(actor["createTime"]) is not None


@pytest.mark.parametrize(
    "name",
    ["abacosamples/test", "../tenant.db", "/bin/sh", "..", ".", "", " ", "a/../test", "./test", "test/", "//test",
     "a\0b", "x" * 300, "folder", "plain", 7, None, ["test"]],
)  # fmt: skip
async def test_an_image_is_a_program_in_the_folder_of_images_and_nothing_else(troupe, name):
    image(troupe.root, ECHO)
    (troupe.root / "images" / "folder").mkdir()
    (troupe.root / "images" / "plain").write_text("no program")
    said = await troupe.refused("POST", "", 400, json={"image": name})
    if isinstance(name, str) and name.strip():
        assert "no containers" in said
        assert "images" in said
    assert str(troupe.root) not in said
    assert await troupe.ask("GET") == []


async def test_an_image_may_lie_in_a_folder_and_be_a_link_of_the_owners(troupe):
    image(troupe.root, ECHO, "lab/echo:1.0")
    (troupe.root / "images" / "linked").symlink_to(troupe.root / "images" / "lab" / "echo:1.0")
    for name in ("lab/echo:1.0", "linked"):
        id = (await troupe.ask("POST", json={"image": name}))["id"]
        assert await troupe.said(id, "x") == "x\n"


WRONG = {
    "stateless": "perhaps", "type": "xml", "hints": {"a": 1}, "defaultEnvironment": [1], "name": 7, "token": 3,
    "link": "other", "webhook": "https://example.org", "cronSchedule": "now + 1 hour",
    "state": {"a": 1}, "logEx": -1,
}  # fmt: skip


@pytest.mark.parametrize("field", WRONG)
async def test_a_field_that_makes_no_sense_or_is_not_offered_is_refused_by_name(troupe, field):
    name = image(troupe.root, ECHO)
    said = await troupe.refused("POST", "", 400, json={"image": name, field: WRONG[field]})
    assert field in said


async def test_what_is_said_of_a_schedule_can_be_done_by_a_timer(tenant, troupe):
    actor = await troupe.actor(ECHO)
    wanted = {"image": "test", "cronSchedule": "now + 1 hour"}
    said = await troupe.refused("PUT", f"/{actor}", 400, json=wanted)
    command = said.partition("run: ")[2].replace("ID", actor).replace("TEXT", "'it is time'")
    assert command.startswith("agavesh api ")
    environment = {
        "PATH": os.defpath, "HOME": str(tenant.root), "AGAVE_BASE_URL": tenant.url, "AGAVE_TOKEN": tenant.token("alice")
    }  # fmt: skip
    words = [sys.executable, "-m", *shlex.split(command)]
    with trio.fail_after(30):
        done = await trio.run_process(words, env=environment, capture_stdout=True)
    execution = json.loads(done.stdout)["executionId"]
    await troupe.ended(actor, execution)
    assert await troupe.log(actor, execution) == "it is time\n"


async def test_what_is_said_of_a_link_can_be_done_by_the_program(troupe):
    other = await troupe.actor(ECHO, image_name="other")
    said = await troupe.refused("POST", "", 400, json={"image": "other", "link": other})
    path = re.search(r"POST (\S+) with (\S+)", said)
    assert path is not None
    program = """
import os, urllib.request
url, token = os.path.expandvars(os.environ['TO']), os.path.expandvars(os.environ['AS'])
request = urllib.request.Request(url, b'{"message": "passed on"}', {
    'Authorization': 'Bearer ' + token, 'Content-Type': 'application/json'})
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
print(opener.open(request, timeout=20).status)
"""
    to = {"TO": path[1].replace("OTHER", other), "AS": path[2]}
    first = await troupe.actor(program, image_name="first", defaultEnvironment=to)
    assert await troupe.said(first) == "200\n"
    (passed,) = (await troupe.ask("GET", f"/{other}/executions"))["executions"]
    await troupe.ended(other, passed["id"])
    assert await troupe.log(other, passed["id"]) == "passed on\n"


@pytest.mark.parametrize("field", ["privileged", "maxWorkers", "maxCpus", "memLimit", "useContainerUid"])
async def test_some_fields_are_for_administrators(tenant, troupe, field):
    value = {"memLimit": "512m", "maxWorkers": 3, "maxCpus": 1}.get(field, True)
    wanted = {"image": image(troupe.root, ECHO), field: value}
    assert field in await troupe.refused("POST", "", 400, json=wanted)
    async with troupe_of(tenant, "admin") as admin:
        assert (await admin.ask("POST", json=wanted))[field] == value


async def test_a_form_registers_too(troupe):
    name = image(troupe.root, ECHO)
    actor = await troupe.ask("POST", data={"image": name, "stateless": "false", "name": "by form"})
    assert (actor["stateless"], actor["name"]) == (False, "by form")


async def test_the_list_has_what_one_may_read_newest_first_and_heeds_limit_and_offset(tenant, troupe):
    name = image(troupe.root, ECHO)
    ids = [(await troupe.ask("POST", json={"image": name}))["id"] for _ in range(5)]
    newest = ids[::-1]
    assert [actor["id"] for actor in await troupe.ask("GET")] == newest
    assert [actor["id"] for actor in await troupe.ask("GET", "?limit=2&offset=1")] == newest[1:3]
    async with troupe_of(tenant, "bob") as bob:
        assert await bob.ask("GET") == []
        await troupe.ask("POST", f"/{ids[2]}/permissions", json={"user": "bob", "level": "read"})
        assert [actor["id"] for actor in await bob.ask("GET")] == [ids[2]]


async def test_an_update_keeps_what_it_does_not_name_and_another_image_raises_the_revision(troupe):
    actor = await troupe.actor(ECHO, name="old", description="stays")
    other = image(troupe.root, "print('other')", "other")
    assert "image" in await troupe.refused("PUT", f"/{actor}", 400, json={"name": "no image"})
    same = await troupe.ask("PUT", f"/{actor}", json={"image": "test", "name": "new"})
    assert (same["name"], same["description"], same["revision"], same["status"]) == ("new", "stays", 1, "READY")
    assert await troupe.said(actor, "as before") == "as before\n"
    workers = {worker["id"] for worker in await troupe.ask("GET", f"/{actor}/workers")}
    changed = await troupe.ask("PUT", f"/{actor}", json={"image": other})
    assert (changed["revision"], changed["status"]) == (2, "SUBMITTED")
    await troupe.until(f"/{actor}", lambda actor: actor["status"] == "READY")
    assert await troupe.said(actor) == "other\n"
    anew = await troupe.until(f"/{actor}/workers", lambda found: len(found) == 1)
    assert not workers & {worker["id"] for worker in anew}
    assert (await troupe.ask("PUT", f"/{actor}", json={"image": other, "force": True}))["revision"] == 3
    assert "images" in await troupe.refused("PUT", f"/{actor}", 400, json={"image": "gone"})


async def test_unknown_things_are_404_but_executions_400(troupe):
    actor = await troupe.actor(ECHO)
    for path in ("/nobody", "/nobody/messages", "/nobody/executions/x"):
        assert "nobody" in await troupe.refused("GET", path, 404)
    for path in (f"/{actor}/workers/x", f"/{actor}/nonces/x", "/aliases/x"):
        await troupe.refused("GET", path, 404)
    for path in (f"/{actor}/executions/x", f"/{actor}/executions/x/logs", f"/{actor}/executions/x/results"):
        assert "Execution not found" in await troupe.refused("GET", path, 400)


async def test_a_deleted_actor_leaves_nothing(troupe):
    actor = await troupe.actor(ECHO)
    await troupe.said(actor)
    await troupe.ask("POST", f"/{actor}/nonces", json={})
    await troupe.ask("POST", "/aliases", json={"alias": "mine", "actorId": actor})
    answer = await troupe.http.delete(f"{ACTORS}/{actor}")
    assert (answer.json()["result"], answer.json()["message"]) == (None, "Actor deleted successfully.")
    await troupe.refused("GET", f"/{actor}", 404)
    await troupe.refused("GET", "/mine", 404)
    assert await troupe.ask("GET") == []
    assert list((troupe.root / "actors").iterdir()) == []


# messages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "message", "kind"),
    [
        ({"json": {"message": "text"}}, "text", "str"),
        ({"json": {"message": ""}}, "", "str"),
        ({"json": {"message": {"a": [1, None, "é"]}}}, "{'a': [1, None, 'é']}", "str"),
        ({"data": {"message": "a form & more"}}, "a form & more", "str"),
        ({"json": {"b": True, "c": "it's"}}, """{'b': True, 'c': "it's"}""", "application/json"),
        ({"json": [1, 2]}, "[1, 2]", "application/json"),
        ({"json": "just text"}, "just text", "application/json"),
        ({"content": b'{"a": 1}', "headers": {"Content-Type": "text/plain"}}, "{'a': 1}", "application/json"),
        ({"params": {"message": "in the query"}}, "in the query", "str"),
        ({"json": {"message": "-n $(x) `y` \n\t 日本"}}, "-n $(x) `y` \n\t 日本", "str"),
    ],
)
async def test_a_message_reaches_the_process_as_text(troupe, sent, message, kind):
    actor = await troupe.actor(SHOW)
    id = (await troupe.ask("POST", f"/{actor}/messages", **sent))["executionId"]
    await troupe.ended(actor, id)
    told = json.loads(await troupe.log(actor, id))
    assert (told["MSG"], told["_abaco_Content_Type"]) == (message, kind)


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"content": b"no JSON", "headers": {"Content-Type": "text/plain"}},
        {"content": b"{", "headers": {"Content-Type": "application/json"}},
        {"json": {"message": "a\0b"}},
        {"json": {"message": "x" * 140_000}},
        {"content": b"[" * 5000 + b"]" * 5000, "headers": {"Content-Type": "application/json"}},
        {"content": iter([b"no length"]), "headers": {"Content-Type": "application/octet-stream"}},
        {"json": {"message": "x"}, "params": {"LD_PRELOAD": "/tmp/x.so"}},
        {"json": {"message": "x"}, "params": {"_abaco_username": "admin"}},
        {"json": {"message": "x"}, "params": {"PATH": "/tmp"}},
        {"json": {"message": "x"}, "params": {"https_proxy": "http://elsewhere"}},
        {"json": {"message": "x"}, "params": {"a=b": "c"}},
        {"json": {"message": "x"}, "params": {"a": "b\0c"}},
        {"json": {"message": "x"}, "params": {"": "c"}},
    ],
)
async def test_what_cannot_be_handed_over_is_refused_and_leaves_nothing(troupe, sent):
    actor = await troupe.actor(ECHO)
    if "content" in sent and not isinstance(sent["content"], bytes):
        sent = {**sent, "content": _pieces()}
    await troupe.refused("POST", f"/{actor}/messages", 400, **sent)
    assert (await troupe.ask("GET", f"/{actor}/executions"))["executions"] == []
    assert not list((troupe.root / "actors").glob("*/*"))


async def _pieces():
    yield b"no length"


async def test_the_process_is_given_the_documented_variables_and_nothing_of_the_tenants(troupe, monkeypatch):
    monkeypatch.setenv("A_SECRET_OF_THE_TENANT", "x")
    actor = await troupe.actor(SHOW, name="told", defaultEnvironment={"HUE": "red", "SHADE": "dark"}, token=False)
    id = await troupe.send(actor, "hi", SHADE="light", number="7", message="not this", pretty="true")
    execution = await troupe.ended(actor, id)
    told = json.loads(await troupe.log(actor, id))
    expected = {
        "MSG": "hi", "_abaco_actor_id": actor, "_abaco_actor_dbid": actor, "_abaco_actor_name": "told",
        "_abaco_actor_state": "{}", "_abaco_actor_revision": "1", "_abaco_execution_id": id,
        "_abaco_worker_id": execution["workerId"], "_abaco_container_repo": "test", "_abaco_username": "alice",
        "_abaco_access_token": "", "_abaco_Content_Type": "str", "HUE": "red", "SHADE": "light", "number": "7",
        "pretty": "true",
    }  # fmt: skip
    assert {key: told.get(key) for key in expected} == expected
    assert told["_abaco_api_server"] == str(troupe.http.base_url).rstrip("/")
    assert "message" not in told
    assert "A_SECRET_OF_THE_TENANT" not in told
    assert await troupe.ask("GET", f"/{actor}/executions?filter=totalExecutions") == {"totalExecutions": 1}


async def test_the_token_of_an_actor_is_its_owners_and_ends_with_the_execution(tenant, troupe):
    program = """
import os, urllib.request
asked = urllib.request.Request(os.environ['_abaco_api_server'] + '/profiles/v2/me')
asked.add_header('Authorization', 'Bearer ' + os.environ['_abaco_access_token'])
print(urllib.request.urlopen(asked).read().decode())
print(os.environ['_abaco_access_token'])
"""
    actor = await troupe.actor(program)
    await troupe.ask("POST", f"/{actor}/permissions", json={"user": "bob", "level": "EXECUTE"})
    async with troupe_of(tenant, "bob") as bob:
        id = await bob.send(actor)
        await bob.ended(actor, id)
        profile, token = (await bob.log(actor, id)).splitlines()
    assert json.loads(profile)["result"]["username"] == "alice"
    troupe.http.headers["Authorization"] = f"Bearer {token}"
    assert (await troupe.http.get("/profiles/v2/me")).status_code == 401


@pytest.mark.parametrize("bare", [False, True], ids=["confined", "bare"])
@pytest.mark.parametrize("size", [0, 1, 70_000, 1 << 20])
async def test_a_binary_message_comes_through_the_pipe_and_results_through_the_socket(tenant, troupe, size, bare):
    if bare:
        tenant.state.confinement = replace(tenant.state.confinement, bwrap=None)
    actor = await troupe.actor(BINARY)
    content = os.urandom(size)
    sent = {"content": content, "headers": {"Content-Type": "application/octet-stream"}}
    answer = await troupe.ask("POST", f"/{actor}/messages", **sent)
    assert answer["msg"] == "binary - omitted"
    execution = await troupe.ended(actor, answer["executionId"])
    assert await troupe.log(actor, execution["id"]) == f"{size} True\n"
    assert execution["exitCode"] == 0
    results = []
    while result := await troupe.result(actor, execution["id"]):
        results.append(result)
    assert b"".join(results) == content
    assert [len(result) for result in results[:-1]] == [100_000] * (len(results) - 1)


async def test_a_reader_that_waits_gets_a_long_message_whole_and_its_end(troupe):
    program = (
        "import os, hashlib\nprint(hashlib.sha256(open(os.environ['_abaco_binary_data'], 'rb').read()).hexdigest())"
    )
    actor = await troupe.actor(program)
    content = os.urandom(5_000_000)
    sent = {"content": content, "headers": {"Content-Type": "application/octet-stream"}}
    id = (await troupe.ask("POST", f"/{actor}/messages", **sent))["executionId"]
    await troupe.ended(actor, id)
    assert await troupe.log(actor, id) == hashlib.sha256(content).hexdigest() + "\n"


async def test_where_children_are_confined_the_documented_paths_are_there(tenant, troupe):
    if tenant.state.confinement.bwrap is None:
        pytest.skip("bubblewrap does not work on this machine")
    program = "import os, stat\nprint([stat.S_IFMT(os.stat(p).st_mode) for p in"
    program += " ('/_abaco_binary_data', '/_abaco_results.sock')], os.environ['_abaco_binary_data'])\n"
    program += f"print(os.path.exists({str(troupe.root / 'tenant.db')!r}), os.getcwd(), os.listdir('.'))"
    actor = await troupe.actor(program)
    pipe, hidden = (await troupe.said(actor)).splitlines()
    assert pipe == "[4096, 49152] /_abaco_binary_data"
    assert hidden.startswith("False ")
    assert hidden.endswith("[]")


async def test_results_come_out_one_by_one_in_order_while_it_runs_too(troupe):
    program = """
import os, socket, time
results = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
results.connect(os.environ['_abaco_results_sock'])
for number in range(30):
    results.send(b'result %d' % number)
while not os.path.exists('go'):
    time.sleep(0.01)
"""
    actor = await troupe.actor(program)
    id = await troupe.send(actor)
    with trio.fail_after(30):
        while not (first := await troupe.result(actor, id)):
            await trio.sleep(0.01)
    assert first == b"result 0"
    head = await troupe.http.head(f"{ACTORS}/{actor}/executions/{id}/results")
    assert head.status_code == 200
    assert await troupe.log(actor, id) == ""
    (troupe.root / "actors" / actor / id / "work" / "go").touch()
    await troupe.ended(actor, id)
    assert [await troupe.result(actor, id) for _ in range(31)] == [*(b"result %d" % n for n in range(1, 30)), b"", b""]


async def test_a_synchronous_message_is_answered_with_the_result_or_else_the_log(troupe):
    talks = await troupe.actor("import os\nprint('said', os.environ['MSG'])", image_name="talks")
    answer = await troupe.http.post(f"{ACTORS}/{talks}/messages?_abaco_synchronous=true", json={"message": "x"})
    assert (answer.status_code, answer.text) == (200, "said x\n")
    sends = await troupe.actor(BINARY, image_name="sends")
    sent = {"content": b"bytes", "headers": {"Content-Type": "application/octet-stream"}}
    answer = await troupe.http.post(f"{ACTORS}/{sends}/messages?_abaco_synchronous=True", **sent)
    assert (answer.content, answer.headers["content-type"]) == (b"bytes", "application/octet-stream")


# executions ----------------------------------------------------------------------------------------------------------


async def test_an_execution_tells_how_it_went_and_what_it_used(troupe):
    program = """
import os, sys, time
end = time.process_time() + 0.05
while time.process_time() < end:
    pass
open('file', 'wb').write(bytes(100_000))
print('to the log'); sys.stdout.flush(); sys.stderr.write('this too\\n')
sys.exit(3)
"""
    actor = await troupe.actor(program)
    id = await troupe.send(actor)
    execution = await troupe.ended(actor, id)
    assert (execution["status"], execution["exitCode"]) == ("COMPLETE", 3)
    assert execution["cpu"] >= 50_000_000
    assert execution["io"] >= 100_000
    assert isinstance(execution["runtime"], int)
    times = [moment(execution[name]) for name in ("messageReceivedTime", "startTime", "finishTime")]
    assert times == sorted(times)
    assert execution["finalState"]["ExitCode"] == 3
    assert execution["_links"]["logs"].endswith(f"/{actor}/executions/{id}/logs")
    assert await troupe.log(actor, id) == "to the log\nthis too\n"
    summary = await troupe.ask("GET", f"/{actor}/executions")
    assert (summary["totalExecutions"], summary["totalCpu"], summary["totalIo"]) == (
        1, execution["cpu"], execution["io"],
    )  # fmt: skip
    assert summary["executions"][0] == {
        key: execution[key] for key in ("id", "status", "startTime", "finishTime", "messageReceivedTime")
    }
    left = {path.name for path in (troupe.root / "actors" / actor / id).iterdir()}
    await troupe.until(f"/{actor}/workers", lambda workers: workers[0]["status"] == "READY")
    left = {path.name for path in (troupe.root / "actors" / actor / id).iterdir()}
    assert left == {"log", "results"}


async def test_a_crash_is_an_execution_with_the_exit_code_of_its_signal(troupe):
    actor = await troupe.actor("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)")
    execution = await troupe.ended(actor, await troupe.send(actor))
    assert (execution["status"], execution["exitCode"]) == ("COMPLETE", 139)


async def test_what_cannot_be_run_says_so_in_its_log(troupe):
    actor = await troupe.actor("#!/no/such/interpreter\n")
    execution = await troupe.ended(actor, await troupe.send(actor))
    assert execution["exitCode"] not in (0, None)
    assert await troupe.log(actor, execution["id"]) != ""


async def test_an_image_that_was_taken_away_is_an_error_of_the_actor_until_it_is_back(troupe):
    actor = await troupe.actor(ECHO)
    (troupe.root / "images" / "test").unlink()
    execution = await troupe.ended(actor, await troupe.send(actor))
    assert (execution["status"], execution["exitCode"]) == ("ERROR", -1)
    assert "images" in await troupe.log(actor, execution["id"])
    told = await troupe.ask("GET", f"/{actor}")
    assert told["status"] == "ERROR"
    assert "images" in told["statusMessage"]
    image(troupe.root, ECHO)
    assert await troupe.said(actor, "back") == "back\n"
    assert (await troupe.ask("GET", f"/{actor}"))["status"] == "READY"


async def test_executions_come_newest_first_by_page(troupe):
    actor = await troupe.actor(ECHO)
    ids = [await troupe.send(actor, str(number)) for number in range(4)]
    for id in ids:
        await troupe.ended(actor, id)
    summary = await troupe.ask("GET", f"/{actor}/executions?limit=2&offset=1")
    assert [one["id"] for one in summary["executions"]] == [ids[2], ids[1]]
    assert summary["totalExecutions"] == 4


# state ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [{"count": 1}, {}, [1, 2], "text", 7, None, {"a": {"b": "é"}}])
async def test_a_stateful_actor_keeps_its_state(troupe, state):
    actor = await troupe.actor("import os\nprint(os.environ['_abaco_actor_state'])", stateless=False)
    assert (await troupe.ask("GET", f"/{actor}/state"))["state"] == {}
    changed = await troupe.ask("POST", f"/{actor}/state", content=json.dumps(state))
    assert changed["id"] == actor
    assert (await troupe.ask("GET", f"/{actor}/state"))["state"] == state
    assert await troupe.said(actor) == f"{state}\n"


async def test_a_stateless_actor_has_no_state(troupe):
    actor = await troupe.actor(ECHO)
    assert (await troupe.ask("GET", f"/{actor}/state"))["state"] == {}
    assert "stateless" in await troupe.refused("POST", f"/{actor}/state", 404, json={"a": 1})
    await troupe.ask("PUT", f"/{actor}", json={"image": "test", "stateless": False})
    await troupe.ask("POST", f"/{actor}/state", json={"a": 1})
    assert "stateless" in await troupe.refused("PUT", f"/{actor}", 400, json={"image": "test", "stateless": True})


async def test_a_state_that_could_not_be_handed_over_is_refused(troupe):
    actor = await troupe.actor(ECHO, stateless=False)
    await troupe.refused("POST", f"/{actor}/state", 400, json="x" * 140_000)
    await troupe.refused("POST", f"/{actor}/state", 400, content=b"{", headers={"Content-Type": "application/json"})
    assert (await troupe.ask("GET", f"/{actor}/state"))["state"] == {}


# aliases -------------------------------------------------------------------------------------------------------------


async def test_an_alias_stands_for_the_id_in_every_call(tenant, troupe):
    actor = await troupe.actor(ECHO)
    made = await troupe.ask("POST", "/aliases", json={"alias": "speaker", "actorId": actor})
    assert (made["alias"], made["actorId"], made["owner"]) == ("speaker", actor, "alice")
    assert (await troupe.ask("GET", "/speaker"))["id"] == actor
    assert await troupe.said("speaker", "x") == "x\n"
    await troupe.refused("POST", "/aliases", 400, json={"alias": "speaker", "actorId": actor})
    for wrong in ("", "a/b", "messages", actor, 7, "x" * 100):
        await troupe.refused("POST", "/aliases", 400, json={"alias": wrong, "actorId": actor})
    other = await troupe.actor("print('other')", image_name="other")
    await troupe.ask("PUT", "/aliases/speaker", json={"actorId": other})
    assert await troupe.said("speaker") == "other\n"
    async with troupe_of(tenant, "bob") as bob:
        assert await bob.ask("GET", "/aliases") == []
        await bob.refused("GET", "/aliases/speaker", 400)
        await bob.refused("DELETE", "/aliases/speaker", 400)
        await bob.refused("POST", "/aliases", 400, json={"alias": "bobs", "actorId": actor})
    assert [alias["alias"] for alias in await troupe.ask("GET", "/aliases")] == ["speaker"]
    await troupe.ask("DELETE", "/aliases/speaker")
    await troupe.refused("GET", "/speaker", 404)


# the client ----------------------------------------------------------------------------------------------------------


async def test_our_client_calls_all_operations(tenant, agave):
    name = image(tenant.root, f"#!{sys.executable} -IS\n{BINARY}")
    actors = agave.actors
    actor = await actors.add(body={"image": name, "name": "by client", "stateless": False})
    assert (await actors.get(actorId=actor.id)).name == "by client"
    assert [one.id for one in await actors.list()] == [actor.id]
    assert (await actors.update(actorId=actor.id, body={"image": name, "name": "renamed"})).name == "renamed"
    await actors.addWorker(actorId=actor.id, body={"num": 1})
    (worker,) = await actors.listWorkers(actorId=actor.id)
    assert (await actors.getWorker(actorId=actor.id, workerId=worker.id)).id == worker.id
    await actors.updateState(actorId=actor.id, body={"n": 1})
    assert (await actors.getState(actorId=actor.id)).state == {"n": 1}
    granted = await actors.updatePermissions(actorId=actor.id, body={"user": "bob", "level": "READ"})
    assert granted == await actors.getPermissions(actorId=actor.id) == {"alice": "UPDATE", "bob": "READ"}
    text = await actors.sendMessage(actorId=actor.id, body={"message": "hi"}, environment={"X": "y"})
    assert text.msg == "hi"
    sent = await actors.sendBinaryMessage(actorId=actor.id, message=b"\0\xff")
    with trio.fail_after(30):
        while (execution := await actors.getExecution(actorId=actor.id, executionId=sent.executionId)).status != (
            "COMPLETE"
        ):
            await trio.sleep(0.02)
    assert execution.exitCode == 0
    ids = {"actorId": actor.id, "executionId": sent.executionId}
    assert await actors.getOneExecutionResult(**ids).read() == b"\0\xff"
    assert (await actors.getExecutionLogs(**ids)).logs == "2 True\n"
    summary = await actors.listExecutions(actorId=actor.id)
    assert [one.id for one in summary.executions] == [sent.executionId, text.executionId]
    assert (await actors.getMessages(actorId=actor.id)).messages == 0
    nonce = await actors.addNonce(actorId=actor.id, body={"maxUses": 2, "level": "READ"})
    assert (await actors.getNonce(actorId=actor.id, nonceId=nonce.id)).remainingUses == 2
    assert (await actors.get(actorId=actor.id, nonce=nonce.id)).id == actor.id
    assert [one.id for one in await actors.listNonces(actorId=actor.id)] == [nonce.id]
    await actors.deleteNonce(actorId=actor.id, nonceId=nonce.id)
    await actors.deleteWorker(actorId=actor.id, workerId=worker.id)
    await actors.addAlias(body={"alias": "again", "actorId": actor.id})
    assert (await actors.getAlias(alias="again")).actorId == actor.id
    assert [one.alias for one in await actors.listAliases()] == ["again"]
    await actors.deleteAlias(alias="again")
    await actors.deleteMessages(actorId=actor.id)
    await actors.delete(actorId=actor.id)
    with pytest.raises(AgaveError):
        await actors.get(actorId=actor.id)
