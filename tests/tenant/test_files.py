"""The files service on the wire: listings, bytes, uploads, actions, as the platform does them."""

from __future__ import annotations

from urllib.parse import quote

import httpx
import pytest
import trio

LISTINGS = "/files/v2/listings/system/data.demo"
MEDIA = "/files/v2/media/system/data.demo"
HISTORY = "/files/v2/history/system/data.demo"


async def put(http, folder, name, content=b"x", **fields):
    return await http.post(
        f"{MEDIA}/{quote(folder)}", files={"fileToUpload": ("part", content)}, data={"fileName": name, **fields}
    )


async def names(http, path, **params):
    answer = await http.get(f"{LISTINGS}/{quote(path)}", params=params)
    assert answer.status_code == 200, answer.text
    return [entry["name"] for entry in answer.json()["result"]]


async def test_an_upload_is_listed_and_read_back(tenant):
    async with tenant.http() as http:
        answer = await put(http, "/alice", "a.txt", b"hello\n")
        assert answer.status_code == 202
        result = answer.json()["result"]
        assert (result["status"], result["path"], result["owner"]) == ("STAGING_COMPLETED", "/alice/a.txt", "alice")
        listing = (await http.get(f"{LISTINGS}//alice")).json()["result"]
        assert [(e["name"], e["path"], e["type"]) for e in listing] == [
            (".", "/alice", "dir"),
            ("a.txt", "/alice/a.txt", "file"),
        ]
        assert (listing[1]["length"], listing[1]["permissions"], listing[1]["mimeType"]) == (6, "ALL", "text/plain")
        bytes_ = await http.get(listing[1]["_links"]["self"]["href"])
        assert (bytes_.status_code, bytes_.content, bytes_.headers["content-type"]) == (200, b"hello\n", "text/plain")
    assert tenant.bytes("data.demo", "/alice/a.txt") == b"hello\n"


@pytest.mark.parametrize(
    "name",
    [
        "with blank",
        "#hash",
        "100%",
        "%41",
        "what?",
        'q"uote',
        "it's",
        "new\nline",
        "n" * 255,
        "é".encode().decode(),
        "é",
        "a+b&c=d;e",
        "~",
        "ü" * 127,
        "...",
        "-rf",
        "*",
    ],
)
async def test_any_name_goes_in_and_comes_out(tenant, name):
    async with tenant.http() as http:
        assert (await put(http, "/alice", name, name.encode())).status_code == 202
        assert name in await names(http, "/alice")
        read = await http.get(f"{MEDIA}//alice/{quote(name)}")
        assert (read.status_code, read.content) == (200, name.encode())
        listed = (await http.get(f"{LISTINGS}//alice/{quote(name)}")).json()["result"]
        assert [entry["name"] for entry in listed] == [name]
        moved = await http.put(f"{MEDIA}//alice/{quote(name)}", json={"action": "rename", "path": "plain"})
        assert moved.json()["message"] == "Rename success"
        back = await http.put(f"{MEDIA}//alice/plain", json={"action": "move", "path": f"/alice/{name}"})
        assert back.status_code == 200, back.text
        assert (await http.delete(f"{MEDIA}//alice/{quote(name)}")).status_code == 200
        assert await names(http, "/alice") == ["."]


async def test_pages_hold_every_name_once_and_the_dot_takes_a_place(tenant):
    folder = tenant.path("data.demo", "/alice/many")
    folder.mkdir()
    for number in range(700):
        (folder / f"f{number}").touch()
    async with tenant.http() as http:
        first = await names(http, "/alice/many", limit=1000)
        assert (len(first), first[0]) == (250, ".")
        seen, offset = [], 0
        while page := await names(http, "/alice/many", limit=99, offset=offset):
            seen += page
            offset += len(page)
        assert len(await names(http, "/alice/many")) == 100
    assert seen[0] == "."
    assert sorted(seen[1:]) == sorted(f"f{number}" for number in range(700))


async def test_names_that_are_no_text_do_not_break_a_listing(tenant):
    folder = tenant.path("data.demo", "/alice")
    (folder / b"caf\xe9".decode(errors="surrogateescape")).touch()
    async with tenant.http() as http:
        assert await names(http, "/alice") == [".", "caf�"]
        assert (await http.get(f"{MEDIA}//alice/caf%E9")).status_code == 400
        assert (await http.get(f"{MEDIA}//alice/a%00b")).status_code == 400


@pytest.mark.parametrize(
    ("asked", "status", "content"),
    [
        ("bytes=0-3", 206, b"0123"), ("bytes=8-9", 206, b"89"), ("bytes=4-", 206, b"456789"), ("bytes=-3", 206, b"789"),
        ("bytes=2-4,6-7", 206, b"234"), ("bytes=8-10", 416, None), ("bytes=10-", 416, None), ("bytes=5-2", 416, None),
        ("lines=1-2", 200, b"0123456789"), (f"bytes={5000 * '9'}-", 416, None), (f"bytes=0-{5000 * '9'}", 416, None),
        (f"bytes=-{5000 * '9'}", 416, None), ("bytes=0-9999999999999999999", 416, None),
    ],
)  # fmt: skip
async def test_ranges_follow_the_platforms_rule(tenant, asked, status, content):
    tenant.path("data.demo", "/alice/ten").write_bytes(b"0123456789")
    async with tenant.http() as http:
        answer = await http.get(f"{MEDIA}//alice/ten", headers={"Range": asked})
    assert answer.status_code == status
    if content is None:
        assert answer.json()["status"] == "error"
        assert answer.headers["content-range"] == "bytes */10"
    else:
        assert answer.content == content


async def test_head_tells_the_size_and_sends_nothing(tenant):
    tenant.path("data.demo", "/alice/ten").write_bytes(b"0123456789")
    async with tenant.http() as http:
        answer = await http.head(f"{MEDIA}//alice/ten")
    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, "10", b"")
    assert answer.headers["accept-ranges"] == "bytes"


async def test_large_files_go_both_ways(tenant):
    content = bytes(range(256)) * 4096 * 9
    async with tenant.http() as http:
        assert (await put(http, "/alice", "large", content)).json()["result"]["status"] == "STAGING_QUEUED"
        await settled(http, "/alice/large")
        assert (await http.get(f"{MEDIA}//alice/large")).content == content
        part = await http.get(f"{MEDIA}//alice/large", headers={"Range": "bytes=1000000-3999999"})
    assert part.content == content[1000000:4000000]


async def settled(http, path):
    with trio.fail_after(10):
        while True:
            events = (await http.get(f"{HISTORY}/{quote(path)}")).json()["result"]
            events = [event for event in events if event["status"] != "DOWNLOAD"]
            if events[-1]["status"] in ("STAGING_COMPLETED", "STAGING_FAILED"):
                return [event["status"] for event in events]
            await trio.sleep(0.01)


async def test_a_held_upload_shows_the_old_file_until_it_settles(tenant):
    tenant.path("data.demo", "/alice/a").write_bytes(b"old")
    async with tenant.http() as http:
        with tenant.faults.holding_staging():
            assert (await put(http, "/alice", "a", b"new")).json()["result"]["status"] == "STAGING_QUEUED"
            assert (await http.get(f"{MEDIA}//alice/a")).content == b"old"
        assert (await settled(http, "/alice/a"))[-4:] == ["STAGING_QUEUED", "STAGING", "UPLOAD", "STAGING_COMPLETED"]
        assert (await http.get(f"{MEDIA}//alice/a")).content == b"new"


async def test_uploads_to_one_name_settle_in_the_order_they_came(tenant):
    async with tenant.http() as http:
        with tenant.faults.holding_staging():
            for number in range(5):
                await put(http, "/alice", "a", str(number).encode())
        await put(http, "/alice", "a", b"last")
        with trio.fail_after(10):
            while len(tenant.state.store.sql("select * from stagings")):
                await trio.sleep(0.01)
    assert tenant.bytes("data.demo", "/alice/a") == b"last"


async def test_mkdir_makes_parents_and_says_when_it_was_there(tenant):
    async with tenant.http() as http:
        first = await http.put(f"{MEDIA}//alice", json={"action": "mkdir", "path": "a/b/c"})
        again = await http.put(f"{MEDIA}//alice", data={"action": "mkdir", "path": "a/b/c"})
        home = await http.put(f"{MEDIA}", json={"action": "MKDIR", "path": "z"})
        tenant.path("data.demo", "/alice/file").touch()
        taken = await http.put(f"{MEDIA}//alice", json={"action": "mkdir", "path": "file"})
        lost = await http.put(f"{MEDIA}//alice/nowhere", json={"action": "mkdir", "path": "x"})
    assert [answer.status_code for answer in (first, again, home, taken, lost)] == [201, 200, 201, 400, 404]
    assert tenant.path("data.demo", "/alice/z").is_dir()
    assert first.json()["result"]["uuid"] == again.json()["result"]["uuid"]


async def test_a_copy_over_a_file_keeps_its_uuid_grants_and_history(tenant):
    async with tenant.http() as http:
        old = (await put(http, "/alice", "target", b"old")).json()["result"]["uuid"]
        await http.post("/files/v2/pems/system/data.demo//alice/target", json={"username": "bob", "permission": "READ"})
        await put(http, "/alice", "source", b"new")
        answer = await http.put(f"{MEDIA}//alice/source", json={"action": "copy", "path": "/alice/target"})
        assert (answer.status_code, answer.json()["message"]) == (200, "Copy success")
        assert answer.json()["result"]["uuid"] == old
        history = [event["status"] for event in (await http.get(f"{HISTORY}//alice/target")).json()["result"]]
    assert history[-1] == "OVERWRITTEN"
    assert "STAGING_COMPLETED" in history
    async with tenant.http("bob") as http:
        assert (await http.get(f"{MEDIA}//alice/target")).content == b"new"


async def test_rename_and_move_never_replace(tenant):
    tenant.path("data.demo", "/alice/a").write_bytes(b"a")
    tenant.path("data.demo", "/alice/b").write_bytes(b"b")
    tenant.path("data.demo", "/alice/d").mkdir()
    async with tenant.http() as http:
        for action, path in [
            ("rename", "b"),
            ("move", "/alice/b"),
            ("move", "/alice/d"),
            ("copy", "/alice/a"),
            ("copy", "/alice/d"),
        ]:
            answer = await http.put(f"{MEDIA}//alice/a", json={"action": action, "path": path})
            assert answer.status_code == 400, (action, path)
        assert (await http.put(f"{MEDIA}//alice/d", json={"action": "move", "path": "/alice/d/e"})).status_code == 400
        assert (await http.put(f"{MEDIA}//alice/x", json={"action": "copy", "path": "/alice/y"})).status_code == 404
        assert (await http.put(f"{MEDIA}//alice/a", json={"action": "touch", "path": "y"})).status_code == 501
        assert (await http.put(f"{MEDIA}//alice/a", json={"action": "rename"})).status_code == 400
    assert tenant.bytes("data.demo", "/alice/b") == b"b"


async def test_a_moved_folder_takes_records_of_all_below_with_it(tenant):
    async with tenant.http() as http:
        await http.put(f"{MEDIA}//alice", json={"action": "mkdir", "path": "d/e"})
        uuid = (await put(http, "/alice/d/e", "f", b"1")).json()["result"]["uuid"]
        await http.put(f"{MEDIA}//alice/d", json={"action": "rename", "path": "g"})
        copied = await http.put(f"{MEDIA}//alice/g", json={"action": "copy", "path": "/alice/h"})
        assert copied.status_code == 200
        listed = (await http.get(f"{LISTINGS}//alice/g/e/f")).json()["result"][0]
        assert uuid in listed["_links"]["metadata"]["href"]
        assert (await http.get(f"{MEDIA}//alice/h/e/f")).content == b"1"


async def test_delete_is_recursive_and_ends_the_records(tenant):
    async with tenant.http() as http:
        await http.put(f"{MEDIA}//alice", json={"action": "mkdir", "path": "d/e"})
        await put(http, "/alice/d/e", "f", b"1")
        answer = await http.delete(f"{MEDIA}//alice/d")
        assert (answer.status_code, "result" in answer.json()) == (200, False)
        assert (await http.get(f"{LISTINGS}//alice/d")).status_code == 404
        assert (await http.get(f"{HISTORY}//alice/d/e/f")).status_code in (403, 404)
        assert (await http.delete(f"{MEDIA}//alice/d")).status_code == 404
        await put(http, "/alice", "x", b"1")
        tenant.path("data.demo", "/alice/x").unlink()
        naked = await http.delete(f"{MEDIA}//alice/x", params={"naked": "true"})
        assert (naked.status_code, naked.content) == (204, b"")


async def test_homes_are_private_until_shared(tenant):
    async with tenant.http("alice") as alice, tenant.http("bob") as bob:
        await alice.put(f"{MEDIA}//alice", json={"action": "mkdir", "path": "shared/sub"})
        await put(alice, "/alice/shared/sub", "f", b"1")
        assert (await bob.get(f"{LISTINGS}//alice")).status_code == 403
        assert (await bob.get(f"{MEDIA}//alice/shared/sub/f")).status_code == 403
        grant = {"username": "bob", "permission": "READ", "recursive": True}
        pems = "/files/v2/pems/system/data.demo//alice/shared"
        assert (await alice.post(pems, json=grant)).status_code == 201
        assert (await bob.get(f"{MEDIA}//alice/shared/sub/f")).content == b"1"
        await put(alice, "/alice/shared/sub", "later", b"2")
        assert (await bob.get(f"{MEDIA}//alice/shared/sub/later")).content == b"2"
        assert [e["permissions"] for e in (await bob.get(f"{LISTINGS}//alice/shared/sub")).json()["result"]] == [
            "READ"
        ] * 3
        assert (await put(bob, "/alice/shared", "mine", b"")).status_code == 403
        assert (await bob.delete(f"{MEDIA}//alice/shared/sub/f")).status_code in (401, 403)
        listed = (await alice.get(pems)).json()["result"]
        assert {e["username"]: e["permission"]["write"] for e in listed} == {"alice": True, "bob": False}
        assert [e["username"] for e in (await alice.get(pems, params={"username.eq": "bob"})).json()["result"]] == [
            "bob"
        ]
        none = await alice.post(pems, json={"username": "bob", "permission": "NONE"})
        assert none.status_code == 200
        assert (await bob.get(f"{MEDIA}//alice/shared/sub/f")).status_code == 403


async def test_who_may_write_to_a_folder_may_make_files_in_it_and_owns_them(tenant):
    async with tenant.http("alice") as alice, tenant.http("bob") as bob:
        await alice.put(f"{MEDIA}//alice", json={"action": "mkdir", "path": "inbox"})
        await put(alice, "/alice/inbox", "old", b"hers")
        pems = "/files/v2/pems/system/data.demo//alice/inbox"
        await alice.post(pems, json={"username": "bob", "permission": "WRITE"})
        assert (await put(bob, "/alice/inbox", "new", b"his")).json()["result"]["owner"] == "bob"
        assert (await bob.get(f"{MEDIA}//alice/inbox/new")).content == b"his"
        assert (await put(bob, "/alice/inbox", "old", b"x")).status_code == 403
        assert (await bob.get(f"{LISTINGS}//alice/inbox")).status_code == 403
        assert (await bob.put(f"{MEDIA}//alice/inbox", json={"action": "mkdir", "path": "a/b"})).status_code == 201
        assert (await bob.put(f"{MEDIA}//alice", json={"action": "mkdir", "path": "c"})).status_code == 403
        assert (await alice.delete(f"{MEDIA}//alice/inbox/new")).status_code == 200
        assert (await put(bob, "/", "x")).status_code == 403


async def test_a_file_for_the_public_needs_no_token(tenant):
    tenant.path("data.demo", "/alice/a b").write_bytes(b"for all")
    async with tenant.http("alice") as alice, httpx.AsyncClient(base_url=tenant.url, trust_env=False) as anybody:
        public = "/files/v2/download/alice/system/data.demo/a%20b"
        assert (await anybody.get(public)).status_code == 403
        await alice.post("/files/v2/pems/system/data.demo/a%20b", json={"username": "public", "permission": "READ"})
        assert (await anybody.get(public)).content == b"for all"
        history = (await alice.get(f"{HISTORY}/a%20b")).json()["result"]
    assert [event["status"] for event in history] == ["CREATED", "PERMISSION_GRANT"]


async def test_no_path_leads_out(tenant, tmp_path):
    (tmp_path / "secret").write_text("secret")
    tenant.path("data.demo", "/alice/link").symlink_to(tmp_path)
    tenant.path("data.demo", "/alice/inside").symlink_to("/alice")
    async with tenant.http() as http:
        up = "%2e%2e"  # httpx resolves dots of its own accord
        for path in (
            f"/{up}/{up}/x",
            f"/alice/{up}/{up}/etc",
            f"{up}/{up}/x",
            f"/alice%2F{up}%2F{up}%2Fx",
            "/alice/link/secret",
            "/alice/link",
        ):
            for base in (LISTINGS, MEDIA):
                assert (await http.get(f"{base}/{path}")).status_code == 403, path
        assert (await put(http, "/alice/link", "x")).status_code == 403
        assert (await put(http, "/alice", "../../x", b"")).json()["result"]["path"] == "/alice/x"
        assert (
            await http.put(f"{MEDIA}//alice/x", json={"action": "move", "path": "/alice/link/x"})
        ).status_code == 403
        assert (await http.put(f"{MEDIA}//alice/x", json={"action": "rename", "path": "../x"})).status_code == 400
        assert sorted(await names(http, "/alice")) == [".", "inside", "link", "x"]
        assert (await http.delete(f"{MEDIA}//alice/link")).status_code == 200
    assert (tmp_path / "secret").exists()


async def test_a_relative_path_starts_at_the_home(tenant):
    tenant.path("data.demo", "/alice/a").write_bytes(b"mine")
    tenant.path("data.demo", "/bob/b").write_bytes(b"his")
    async with tenant.http() as http:
        assert (await http.get(f"{MEDIA}/a")).content == b"mine"
        assert (await http.get(f"{MEDIA}/alice/a")).content == b"mine"
        assert (await http.get("/files/v2/media/a")).content == b"mine"
        assert (await http.get(f"{MEDIA}/bob/b")).status_code == 403
        for home in (LISTINGS, f"{LISTINGS}/", "/files/v2/listings/", "/files/v2/listings"):
            assert (await http.get(home)).json()["result"][0]["path"] == "/alice"


async def test_an_import_fetches_its_url(tenant):
    tenant.path("data.demo", "/alice/a b").write_bytes(b"bytes")
    async with tenant.http() as http:
        answer = await http.post(
            f"{MEDIA}//alice", json={"urlToIngest": "agave://data.demo//alice/a%20b", "fileName": "copy"}
        )
        assert (answer.status_code, answer.json()["result"]["status"]) == (202, "STAGING_QUEUED")
        assert (await settled(http, "/alice/copy"))[-1] == "STAGING_COMPLETED"
        assert (await http.get(f"{MEDIA}//alice/copy")).content == b"bytes"
        form = await http.post(f"{MEDIA}//alice", data={"urlToIngest": f"{tenant.url}/tenants"})
        assert form.json()["result"]["name"] == "tenants"
        assert (await settled(http, "/alice/tenants"))[-1] == "STAGING_COMPLETED"
        lost = await http.post(f"{MEDIA}//alice", json={"urlToIngest": f"{tenant.url}/nowhere"})
        assert lost.status_code == 202
        assert (await settled(http, "/alice/nowhere"))[-1] == "STAGING_FAILED"
        assert (await http.post(f"{MEDIA}//alice", json={"fileName": "x"})).status_code == 500
        assert (
            await http.post(f"{MEDIA}//bob", json={"urlToIngest": "agave://data.demo//alice/copy"})
        ).status_code == 403


async def test_the_page_stays_full_when_names_vanish(tenant):
    """A client takes a page that is shorter than the cap for the last one."""
    folder = tenant.path("data.demo", "/alice/many")
    folder.mkdir()
    for number in range(300):
        (folder / f"f{number}").touch()
    async with tenant.http() as http:
        page = await names(http, "/alice/many", limit=250)
        for name in page[1:100]:
            (folder / name).unlink()
        assert len(await names(http, "/alice/many", limit=150)) == 150


def texts(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


async def test_a_folder_copied_over_a_folder_is_merged_unless_a_file_is_in_the_way_of_a_folder(tenant):
    home = tenant.path("data.demo", "/alice")
    for path, text in {"a/x": "new", "a/deep/y": "new", "b/x": "old", "b/kept": "old"}.items():
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_text(text)
    async with tenant.http() as http:
        copied = await http.put(f"{MEDIA}//alice/a", json={"action": "copy", "path": "/alice/b"})
        assert (copied.status_code, copied.json()["message"]) == (200, "Copy success")
        assert texts(home / "b") == {"x": "new", "deep/y": "new", "kept": "old"}
        (home / "b/deep/y").unlink()
        (home / "b/deep/y").mkdir()
        (home / "a/x").write_text("newer")
        refused = await http.put(f"{MEDIA}//alice/a", json={"action": "copy", "path": "/alice/b"})
        assert (refused.status_code, refused.json()["message"]) == (
            400,
            "/alice/b/deep/y exists and is of the other kind",
        )
        assert texts(home / "b") == {"x": "new", "kept": "old"}  # nothing of it was done
    assert list((tenant.root / "staging").iterdir()) == []
    assert tenant.state.store.sql("select * from stagings") == []


async def test_a_change_is_told_in_the_history_of_the_folder_too(tenant):
    async with tenant.http() as http:
        await http.put(f"{MEDIA}//alice", json={"action": "mkdir", "path": "a/b"})
        await put(http, "/alice/a", "one")
        await http.put(f"{MEDIA}//alice/a/one", json={"action": "rename", "path": "two"})
        await http.put(f"{MEDIA}//alice/a/two", json={"action": "copy", "path": "/alice/a/b/three"})
        await http.delete(f"{MEDIA}//alice/a/two")
        history = {}
        for path in ("a", "a/b", "a/b/three"):
            events = (await http.get(f"{HISTORY}//alice/{path}")).json()["result"]
            history[path] = [f"{event['status']} {event['description']}" for event in events]
    changed = "CONTENT_CHANGE Content changed at /alice/a"
    assert history["a"] == [
        "CREATED Directory created", f"{changed}/one", f"{changed}/two", f"{changed}/two",
    ]  # fmt: skip
    assert history["a/b"] == ["CREATED Directory created", f"{changed}/b/three"]
    assert history["a/b/three"] == ["CREATED File item created"]


async def test_folders_made_on_the_way_belong_to_who_made_them(tenant):
    async with tenant.http("alice") as alice, tenant.http("bob") as bob:
        await alice.put(f"{MEDIA}//alice", json={"action": "mkdir", "path": "shared"})
        grant = {"username": "bob", "permission": "ALL", "recursive": True}
        assert (await alice.post("/files/v2/pems/system/data.demo//alice/shared", json=grant)).status_code == 201
        assert (await bob.put(f"{MEDIA}//alice/shared", json={"action": "mkdir", "path": "x/y/z"})).status_code == 201
        refused = await bob.put(f"{MEDIA}//alice/shared/x", json={"action": "mkdir", "path": "y/z"})
        assert refused.json()["message"] == "Directory already exists"
    owners = dict(tenant.state.store.sql("select path, owner from files where path like '/alice/shared/%'"))
    assert owners == {"/alice/shared/x": "bob", "/alice/shared/x/y": "bob", "/alice/shared/x/y/z": "bob"}
    assert list((tenant.root / "staging").iterdir()) == []
