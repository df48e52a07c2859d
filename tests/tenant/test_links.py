"""Links that jobs and users leave behind: none of them leads anybody to what is another's, in reading or in writing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.tenant.shop import Shop, field, shop_of
from tests.tenant.test_jobs import HELD, held, let_go, reset

FILES = "/files/v2/{}/system/data.demo/{}"


@pytest.fixture
async def shop(tenant: Any) -> AsyncIterator[Shop]:
    async with shop_of(tenant) as shop:
        yield shop


def bobs(tenant: Any) -> Path:
    """A folder of Bob's with a secret in it, to which a link in Alice's home leads."""
    folder: Path = tenant.path("data.demo", "/bob/private")
    folder.mkdir(parents=True)
    (folder / "secret.txt").write_text("of Bob's")
    tenant.path("data.demo", "/alice/link").symlink_to("../bob/private")
    return folder


async def test_a_link_that_a_job_leaves_leads_to_its_own_outputs_only(shop: Shop) -> None:
    outside = shop.tenant.path("run.demo", "/scratch/bob/secret.txt")
    outside.parent.mkdir(parents=True)
    outside.write_text("of Bob's")
    app = await shop.app("mkdir in; echo mine > in/mine.txt; ln -s in own; ln -s ../../bob out; echo ${text}",
                         inputs=[field("text", value={"required": False})])  # fmt: skip
    job = await shop.ran(app, archive=False)
    assert await shop.output(job["id"], "own/mine.txt") == "mine\n"
    for path in ("listings/out", "listings/out/secret.txt", "media/out/secret.txt"):
        answer = await shop.http.get(f"/jobs/v2/{job['id']}/outputs/{path}")
        assert (answer.status_code, "Bob" in answer.text) == (403, False), path
    assert (await shop.outputs(job["id"]))["out"]["type"] == "file"  # shown as itself
    link = f"{shop.tenant.url}/jobs/v2/{job['id']}/outputs/media/out/secret.txt"
    answer = await shop.http.post("/jobs/v2/", json={"name": "x", "appId": app, "inputs": {"text": link}})
    assert answer.status_code == 403, answer.text


async def test_all_outputs_of_a_job_are_an_input_that_is_called_as_its_folder(shop: Shop) -> None:
    first = await shop.ran(await shop.app("echo mine > mine.txt"), archive=False)
    app = await shop.app("cat ${text}/mine.txt", name="reader", inputs=[field("text")])
    second = await shop.ran(app, inputs={"text": f"{shop.tenant.url}/jobs/v2/{first['id']}/outputs/media/"})
    folder = first["outputPath"].rpartition("/")[2]
    assert (await shop.outputs(second["id"], f"{folder}/mine.txt")).keys() == {"mine.txt"}
    assert await shop.output(second["id"], "a-test.out") == "mine\n"


async def test_a_link_in_a_home_opens_nothing_that_its_owner_may_not_open(shop: Shop) -> None:
    folder, http = bobs(shop.tenant), shop.http
    for method, kind, path, more in (
        ("GET", "listings", "alice/link", {}), ("GET", "listings", "alice/link/secret.txt", {}),
        ("GET", "media", "alice/link/secret.txt", {}), ("GET", "pems", "alice/link/secret.txt", {}),
        ("GET", "history", "alice/link/secret.txt", {}), ("DELETE", "media", "alice/link/secret.txt", {}),
        ("POST", "media", "alice/link", {"files": {"fileToUpload": ("new.txt", b"of Alice's")}}),
        ("POST", "media", "alice/link", {"files": {"fileToUpload": ("secret.txt", b"of Alice's")}}),
        ("PUT", "media", "alice/link", {"json": {"action": "mkdir", "path": "new"}}),
        ("PUT", "media", "alice/link/secret.txt", {"json": {"action": "copy", "path": "alice/mine.txt"}}),
        ("PUT", "media", "alice/link/secret.txt", {"json": {"action": "move", "path": "alice/mine.txt"}}),
        ("POST", "pems", "alice/link/secret.txt", {"json": {"username": "public", "permission": "READ"}}),
    ):  # fmt: skip
        answer = await http.request(method, FILES.format(kind, path), **more)
        assert answer.status_code in (401, 403), (method, kind, path, answer.text)
    await http.post(FILES.format("pems", "alice"), json={"username": "public", "permission": "ALL", "recursive": True})
    answer = await http.get("/files/v2/download/alice/system/data.demo/alice/link/secret.txt")
    assert answer.status_code == 403
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"secret.txt": "of Bob's"}
    async with shop.tenant.http("admin") as admin:
        assert (await admin.get(FILES.format("media", "alice/link/secret.txt"))).text == "of Bob's"
    granted = await _granted(shop, "bob/private")
    assert granted == 201 and (await http.get(FILES.format("media", "alice/link/secret.txt"))).text == "of Bob's"


async def _granted(shop: Shop, path: str) -> int:
    async with shop.tenant.http("bob") as bob:
        body = {"username": "alice", "permission": "READ", "recursive": True}
        return (await bob.post(FILES.format("pems", path), json=body)).status_code


async def test_a_link_itself_is_moved_and_deleted_by_those_who_may_write_where_it_lies(shop: Shop) -> None:
    folder, http = bobs(shop.tenant), shop.http
    answer = await http.put(FILES.format("media", "alice/link"), json={"action": "rename", "path": "renamed"})
    assert answer.status_code == 200, answer.text
    assert (await http.delete(FILES.format("media", "alice/renamed"))).status_code == 200
    assert not shop.tenant.path("data.demo", "/alice/renamed").is_symlink()
    assert (folder / "secret.txt").read_text() == "of Bob's"


async def test_a_copied_folder_brings_nothing_that_links_in_it_lead_to_and_is_not_the_copiers(shop: Shop) -> None:
    bobs(shop.tenant)
    mine = shop.tenant.path("data.demo", "/alice/mine")
    mine.mkdir()
    (mine / "here.txt").write_text("of Alice's")
    (mine / "good").symlink_to("here.txt")
    (mine / "bad").symlink_to("../../bob/private/secret.txt")
    answer = await shop.http.put(FILES.format("media", "alice/mine"), json={"action": "copy", "path": "alice/copy"})
    assert answer.status_code == 200, answer.text
    copied = shop.tenant.path("data.demo", "/alice/copy")
    assert {path.name: path.read_text() for path in copied.iterdir()} == {
        "here.txt": "of Alice's", "good": "of Alice's"
    }  # fmt: skip


async def test_a_folder_is_copied_over_no_link(shop: Shop) -> None:
    folder = bobs(shop.tenant)
    mine = shop.tenant.path("data.demo", "/alice/mine/link")
    mine.mkdir(parents=True)
    (mine / "secret.txt").write_text("of Alice's")
    answer = await shop.http.put(FILES.format("media", "alice/mine"), json={"action": "copy", "path": "alice"})
    assert (answer.status_code, (folder / "secret.txt").read_text()) == (400, "of Bob's")


async def test_outputs_are_archived_over_links_and_not_where_they_lead(shop: Shop) -> None:
    folder = bobs(shop.tenant)
    archive = shop.tenant.path("data.demo", "/alice/archive")
    archive.mkdir()
    (archive / "results").symlink_to("../../bob/private")
    app = await shop.app("mkdir results; echo of Alice > results/secret.txt")
    job = await shop.ran(app, archive=True, archivePath="alice/archive")
    assert job["status"] == "FINISHED" and (folder / "secret.txt").read_text() == "of Bob's"
    assert await shop.output(job["id"], "results/secret.txt") == "of Alice\n"


async def test_an_archive_that_has_become_a_link_takes_nothing(shop: Shop) -> None:
    folder = bobs(shop.tenant)
    job = await held(shop, await shop.app("mkfifo go; " + HELD), archive=True, archivePath="alice/archive")
    archive = shop.tenant.path("data.demo", "/alice/archive")
    archive.rmdir()
    archive.symlink_to("../bob/private")
    job = await let_go(shop, job)
    assert (job["status"], [path.name for path in folder.iterdir()]) == ("FAILED", ["secret.txt"])


async def test_a_bundle_that_has_become_a_link_brings_nothing(shop: Shop) -> None:
    folder = bobs(shop.tenant)
    (folder / "wrapper.sh").write_text("true\n")
    app = await shop.app("true")
    bundle = shop.tenant.path("data.demo", "/alice/apps/test")
    bundle.rename(bundle.with_name("old"))
    bundle.symlink_to("../../bob/private")
    answer = await shop.http.post("/jobs/v2/", json={"name": "x", "appId": app})
    assert answer.status_code == 403, answer.text
    answer = await shop.http.put(f"/apps/v2/{app}", json={"action": "clone", "name": "mine"})
    assert answer.status_code == 403, answer.text


async def test_a_job_that_is_run_again_finds_no_links_of_its_first_run_to_write_through(
    shop: Shop, tmp_path: Path
) -> None:
    victim, folder = tmp_path / "victim.txt", tmp_path / "folder"
    victim.write_text("as it was")
    folder.mkdir()
    plant = "; ".join(f"ln -sf {victim} a-test.{end}" for end in ("out", "err", "ipcexe"))
    wrapper = f"[ -p go ] || mkfifo go; {plant}; rm -rf sub; ln -s {folder} sub; echo run >> runs; {HELD}"
    job = await held(shop, await shop.app(wrapper, files={"sub/file.txt": "of the app\n"}))
    await reset(shop, job)
    assert (await shop.reached(job["id"], "RUNNING"))["status"] == "RUNNING"
    assert (await let_go(shop, job))["status"] == "FINISHED"
    assert (victim.read_text(), list(folder.iterdir())) == ("as it was", [])
    assert await shop.output(job["id"], "runs") == "run\nrun\n"


async def test_a_job_that_is_run_again_has_its_wrapper_from_nowhere_else(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "secrets.sh").write_text("a secret of the tenant's\n")
    wrapper = f"[ -p go ] || mkfifo go; rm -rf bin; ln -s {tmp_path} bin; {HELD}"
    files = {"bin/secrets.sh": wrapper}
    app = await shop.app("true", files=files, templatePath="bin/secrets.sh")
    job = await held(shop, app)
    await reset(shop, job)
    assert (await shop.reached(job["id"], "RUNNING"))["status"] == "RUNNING"
    assert (await let_go(shop, job))["status"] == "FINISHED"
    assert "a secret" not in await shop.output(job["id"], "a-test.ipcexe")
