"""Apps at the tenant, over HTTP: registered, shared, copied, published."""

from __future__ import annotations

from collections.abc import AsyncIterator
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
import trio

from agavesh.tenant.apps import bundles
from tests.tenant.shop import Shop, field, record, shop_of


@pytest.fixture
async def shop(tenant) -> AsyncIterator[Shop]:
    async with shop_of(tenant) as shop:
        yield shop


@pytest.fixture
async def bob(tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with tenant.http("bob") as http:
        yield http


@pytest.fixture
async def admin(tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with tenant.http("admin") as http:
        yield http


async def ids(http: httpx.AsyncClient, path: str = "/apps/v2/", **query: str) -> set[str]:
    answer = await http.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return {app["id"] for app in answer.json()["result"]}


async def test_an_app_is_registered_read_and_raised_to_its_next_revision(shop: Shop) -> None:
    app = await shop.app("true", label="First", parameters=[field("n", kind="number")])
    first = (await shop.http.get(f"/apps/v2/{app}")).json()["result"]
    assert (first["id"], first["revision"], first["owner"], first["isPublic"]) == ("test-1.0", 1, "alice", False)
    assert not [name for name in first if name.startswith("_") and name != "_links"]
    answer = await shop.http.post(f"/apps/v2/{app}", json=record(label="Second"))
    assert answer.status_code == 201
    second = answer.json()["result"]
    assert (second["uuid"], second["revision"], second["label"], second["parameters"]) == (
        first["uuid"],
        2,
        "Second",
        [],
    )
    other = await shop.http.post(f"/apps/v2/{app}", json=record(version="2.0"))
    assert other.status_code == 400
    history = (await shop.http.get(f"/apps/v2/{app}/history")).json()["result"]
    assert [event["status"] for event in history] == ["CREATED", "UPDATED"]


@pytest.mark.parametrize(
    ("change", "status", "named"),
    [
        ({"name": None}, 400, "name"),
        ({"executionSystem": "nowhere"}, 400, "nowhere"),
        ({"executionSystem": "data.demo"}, 400, "executionSystem"),
        ({"executionType": "HPC"}, 400, "executionType"),
        ({"deploymentSystem": "run.demo"}, 400, "deploymentSystem"),
        ({"deploymentPath": "/alice/nothing"}, 400, "/alice/nothing"),
        ({"templatePath": "nothing.sh"}, 400, "templatePath"),
        ({"testPath": "nothing.sh"}, 400, "testPath"),
        ({"defaultQueue": "fast"}, 400, "defaultQueue"),
        ({"deploymentPath": "/bob"}, 403, "permission"),
    ],
)
async def test_an_app_is_checked_against_systems_and_files(
    shop: Shop, change: dict[str, object], status: int, named: str
) -> None:
    await shop.app("true")
    answer = await shop.http.post("/apps/v2/", json=record(**change))
    assert (answer.status_code, named in answer.json()["message"]) == (status, True), answer.text


async def test_a_path_without_a_slash_is_meant_from_the_home(shop: Shop) -> None:
    await shop.app("true")
    answer = await shop.http.post("/apps/v2/", json=record("test", deploymentPath="apps/test", deploymentSystem=None))
    assert (answer.status_code, answer.json()["result"]["deploymentSystem"]) == (200, "data.demo")


async def test_apps_are_found_by_name_tag_system_and_search(shop: Shop) -> None:
    await shop.app("true", name="sorter", tags=["sorting"], ontology=["http://example.org/sort"])
    await shop.app("true", name="mixer", available=False)
    demo = {"wordcount-1.0", "ticker-1.0", "crash-1.0"}
    assert await ids(shop.http) == {"sorter-1.0", "mixer-1.0", *demo}
    assert await ids(shop.http, publicOnly="true") == demo
    assert await ids(shop.http, privateOnly="true", available="true") == {"sorter-1.0"}
    assert await ids(shop.http, "/apps/v2/name/sorter") == {"sorter-1.0"}
    assert await ids(shop.http, "/apps/v2/name/*ix*") == {"mixer-1.0"}
    assert await ids(shop.http, "/apps/v2/tag/sorting") == {"sorter-1.0"}
    assert await ids(shop.http, "/apps/v2/ontology/*sort") == {"sorter-1.0"}
    assert await ids(shop.http, "/apps/v2/system/run.demo") == {"sorter-1.0", "mixer-1.0", *demo}
    assert await ids(shop.http, "/apps/v2/system/elsewhere") == set()
    assert await ids(shop.http, **{"name.like": "m*"}) == {"mixer-1.0"}
    assert await ids(shop.http, **{"parameters.id": "lines"}) == {"ticker-1.0"}
    assert (await shop.http.get("/apps/v2/?revision=new")).status_code == 400
    line = (await shop.http.get("/apps/v2/name/sorter")).json()["result"][0]
    assert set(line) == {
        "id", "name", "version", "revision", "executionSystem", "shortDescription", "isPublic", "label", "lastModified",
        "_links",
    }  # fmt: skip


async def test_a_private_app_is_its_owners_until_it_is_granted(shop: Shop, bob: httpx.AsyncClient) -> None:
    app = await shop.app("echo by ${AGAVE_JOB_OWNER}")
    pems = f"/apps/v2/{app}/pems"
    request = {"name": "for bob", "appId": app}
    assert app not in await ids(bob)
    assert (await bob.get(f"/apps/v2/{app}")).status_code == 403
    assert (await bob.post("/jobs/v2/", json=request)).status_code == 403
    assert (await bob.post("/apps/v2/", json=record())).status_code == 403
    await shop.http.post(f"{pems}/bob", json={"permission": "READ"})
    assert app in await ids(bob)
    assert (await bob.post("/jobs/v2/", json=request)).status_code == 403
    granted = await shop.http.post(pems, json={"username": "bob", "permission": "READ_EXECUTE"})
    assert granted.json()["result"]["permission"] == {"read": True, "write": False, "execute": True}
    submitted = await bob.post("/jobs/v2/", json=request)
    job = await Shop(shop.tenant, bob).ended(submitted.json()["result"]["id"])
    assert await Shop(shop.tenant, bob).output(job["id"], "for-bob.out") == "by bob\n"
    assert (await bob.post(f"/apps/v2/{app}", json=record())).status_code == 403
    assert (await bob.delete(f"/apps/v2/{app}")).status_code == 401
    assert [one["username"] for one in (await shop.http.get(pems)).json()["result"]] == ["alice", "bob"]
    assert (await shop.http.delete(pems)).status_code == 200
    assert app not in await ids(bob)


async def test_a_disabled_app_cannot_be_run_until_it_is_enabled(shop: Shop) -> None:
    app = await shop.app("true")
    answer = await shop.http.put(f"/apps/v2/{app}", json={"action": "disable"})
    assert (answer.status_code, answer.json()["result"]["available"]) == (200, False)
    assert (await shop.http.post("/jobs/v2/", json={"name": "x", "appId": app})).status_code == 400
    await shop.http.put(f"/apps/v2/{app}", data={"action": "ENABLE"})
    assert (await shop.ran(app))["status"] == "FINISHED"


async def test_a_published_app_is_a_copy_that_its_source_no_longer_changes(
    shop: Shop, bob: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    app = await shop.app("cat data/note; bash tool", files={"data/note": "as it was\n", "tool": "echo tooled\n"})
    assert (await shop.http.put(f"/apps/v2/{app}", json={"action": "publish"})).status_code == 403
    answer = await admin.put(f"/apps/v2/{app}", json={"action": "publish"})
    assert answer.status_code == 202, answer.text
    public = answer.json()["result"]
    assert (public["id"], public["isPublic"]) == ("test-1.0u1", True)
    shop.tenant.path("data.demo", "/alice/apps/test/data/note").write_text("changed\n")
    theirs = Shop(shop.tenant, bob)
    job = await theirs.ran(public["id"])
    assert await theirs.output(job["id"], "a-test.out") == "as it was\ntooled\n"
    assert "data" not in await theirs.outputs(job["id"]), "the bundle is not archived"
    assert (await bob.post(f"/apps/v2/{public['id']}", json=record())).status_code == 403
    assert (await bob.get(f"/apps/v2/{public['id']}/pems")).status_code == 501
    again = await admin.put(f"/apps/v2/{app}", json={"action": "publish"})
    assert again.json()["result"]["id"] == "test-1.0u2"
    shop.tenant.path("data.demo", public["deploymentPath"]).write_bytes(b"PK tampered")
    job = await theirs.ran(public["id"])
    assert (job["status"], "checksum" in job["message"]) == ("FAILED", True)
    assert (await admin.delete(f"/apps/v2/{public['id']}")).status_code == 200
    assert (await bob.get(f"/apps/v2/{public['id']}")).status_code == 404


async def test_a_clone_is_the_callers_own_with_its_own_files(shop: Shop, bob: httpx.AsyncClient) -> None:
    answer = await bob.put("/apps/v2/wordcount-1.0", json={"action": "clone", "name": "mine"})
    assert answer.status_code == 202, answer.text
    made = answer.json()["result"]
    assert (made["id"], made["owner"], made["isPublic"], made["revision"]) == ("mine-1.0", "bob", False, 1)
    assert shop.tenant.path("data.demo", "/bob/applications/mine-1.0/wrapper.sh").exists()
    assert (await bob.put("/apps/v2/wordcount-1.0", json={"action": "clone"})).status_code == 400
    shop.tenant.path("data.demo", "/bob/t.txt").write_text("one two\n")
    theirs = Shop(shop.tenant, bob)
    assert (await theirs.ran("mine-1.0", inputs={"text": "t.txt"}))["status"] == "FINISHED"
    assert (await shop.http.get("/apps/v2/mine-1.0")).status_code == 403


async def test_a_deleted_app_is_gone_and_its_jobs_are_hidden(shop: Shop) -> None:
    app = await shop.app("true")
    job = await shop.ran(app)
    assert (await shop.http.delete(f"/apps/v2/{app}")).status_code == 200
    assert (await shop.http.get(f"/apps/v2/{app}")).status_code == 404
    assert (await shop.http.get(f"/jobs/v2/{job['id']}")).status_code == 404
    assert (await shop.http.post("/jobs/v2/", json={"name": "x", "appId": app})).status_code == 400


async def test_actions_that_are_none_are_refused(shop: Shop) -> None:
    app = await shop.app("true")
    for body, status in (({"action": "dance"}, 400), ({"do": "publish"}, 400), ({"action": "erase"}, 403)):
        answer = await shop.http.put(f"/apps/v2/{app}", json=body)
        assert answer.status_code == status
    assert "PUBLISH,ENABLE,DISABLE,CLONE,ERASE" in (await shop.http.put(f"/apps/v2/{app}", json={"action": "x"})).text
    assert (await shop.http.put("/apps/v2/nothing-1.0", json={"action": "clone"})).status_code == 404


async def test_what_fails_in_copying_is_told_in_the_history_of_the_app(shop: Shop, admin: httpx.AsyncClient) -> None:
    app = await shop.app("true")
    for action, where, event in (
        ("publish", "/apps", "PUBLISHING_FAILED"), ("clone", "/alice/applications", "CLONING_FAILED")
    ):  # fmt: skip
        folder = shop.tenant.path("data.demo", where)
        if folder.exists():
            folder.rename(folder.with_name("aside"))
        folder.write_text("in the way")
        http = admin if action == "publish" else shop.http
        answer = await http.put(f"/apps/v2/{app}", json={"action": action, "name": "copy"})
        assert (answer.status_code, "could not be copied" in answer.text) == (500, True), answer.text
        history = (await shop.http.get(f"/apps/v2/{app}/history")).json()["result"]
        assert history[-1]["status"] == event
        assert (await shop.http.get("/apps/v2/name/copy")).json()["result"] == []


class Controls(HTMLParser):
    """What a form would send as it stands."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: dict[str, str] = {}
        self.required: set[str] = set()
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name, value = given.get("name") or "", given.get("value") or ""
        if "required" in given:
            self.required.add(name)
        if tag == "input" and name:
            self.sent[name] = value
        if tag == "select":
            self._select = name
        if tag == "option" and (self._select not in self.sent or "selected" in given):
            self.sent[self._select] = value


async def test_the_form_of_an_app_submits_a_job_of_it(shop: Shop) -> None:
    said = '"quoted" & <odd>'
    app = await shop.app(
        "echo ${n} ${mode} ${quiet} ${text} ${fixed}; echo '${said}'",
        inputs=[field("text", value={"default": "in.txt", "required": True})],
        parameters=[
            field("n", kind="number", value={"default": 5}),
            field(
                "mode", kind="enumeration", value={"enum_values": ["slow", {"fast": "very fast"}], "default": "fast"}
            ),
            field("quiet", kind="flag", value={"default": True}, details={"argument": "-q"}),
            field("said", kind="string", value={"default": said}),
            field("fixed", kind="string", value={"default": "hidden", "visible": False}),
        ],
    )
    shop.tenant.path("data.demo", "/alice/in.txt").write_text("input\n")
    form = Controls()
    form.feed((await shop.http.get(f"/apps/v2/{app}/form")).json()["result"]["submitForm"])
    assert form.required == {"name", "text"} and "fixed" not in form.sent
    sent = {name: value for name, value in {**form.sent, "name": "by form"}.items() if value}
    answer = await shop.http.post("/jobs/v2/", data=sent)
    assert answer.status_code == 201, answer.text
    job = await shop.ended(answer.json()["result"]["id"])
    assert await shop.output(job["id"], "by-form.out") == f"5 fast -q in.txt hidden\n{said}\n"


async def test_who_publish_at_the_same_time_get_an_app_each(shop: Shop, admin: httpx.AsyncClient) -> None:
    app, made = await shop.app("true", files={f"{number}.txt": "x" * 10000 for number in range(50)}), []

    async def publish() -> None:
        answer = await admin.put(f"/apps/v2/{app}", json={"action": "publish"})
        assert answer.status_code == 202, answer.text
        made.append(answer.json()["result"])

    async with trio.open_nursery() as all_at_once:
        for _ in range(6):
            all_at_once.start_soon(publish)
    assert len({each["id"] for each in made}) == 6
    for each in made:
        assert (await admin.get(f"/apps/v2/{each['id']}")).json()["result"]["uuid"] == each["uuid"]
        assert (await shop.ran(each["id"]))["status"] == "FINISHED"


async def test_an_app_that_is_made_while_another_is_copied_to_its_name_stays(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, unpack = await shop.app("true"), bundles.unpack

    async def unpacked(*arguments: Any, **more: Any) -> list[str]:
        names = await unpack(*arguments, **more)
        await shop.app("true", name="mine", label="made meanwhile")
        return names

    monkeypatch.setattr(bundles, "unpack", unpacked)
    answer = await shop.http.put(f"/apps/v2/{app}", json={"action": "clone", "name": "mine"})
    assert (answer.status_code, "exists" in answer.json()["message"]) == (400, True)
    assert (await shop.http.get("/apps/v2/mine-1.0")).json()["result"]["label"] == "made meanwhile"
