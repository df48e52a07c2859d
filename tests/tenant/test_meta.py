"""The meta service: documents, how they are found, and what happens to them."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import trio

from agavesh.client import Agave
from agavesh.tenant import server
from agavesh.tenant.meta import search

DATA, SCHEMAS = "/meta/v2/data", "/meta/v2/schemas"


async def put(http: httpx.AsyncClient, name: str = "plant", value: Any = 1, **more: Any) -> dict[str, Any]:
    """A new document, as the service tells of it."""
    made = await http.post(DATA, json={"name": name, "value": value, **more})
    assert made.status_code == 201, made.text
    return dict(made.json()["result"])


async def names(http: httpx.AsyncClient, q: Any = None, **more: Any) -> list[str]:
    """The names of the documents that a query finds."""
    params = {**more, **({} if q is None else {"q": q if isinstance(q, str) else json.dumps(q)})}
    found = await http.get(DATA, params=params)
    assert found.status_code == 200, found.text
    return [each["name"] for each in found.json()["result"]]


def events(tenant: Any, uuid: str) -> list[str]:
    return [status for _, status, *_ in tenant.state.store.events(uuid)]


# documents -----------------------------------------------------------------------------------------------------------


async def test_a_document_is_what_was_put_there(tenant):
    async with tenant.http() as alice:
        record = await put(alice, value={"species": "x", "n": 5})
        assert (record["name"], record["value"], record["owner"]) == ("plant", {"species": "x", "n": 5}, "alice")
        assert record["uuid"].endswith("-012")
        assert (record["schemaId"], record["associationIds"], record["internalUsername"]) == (None, [], None)
        assert record["_links"]["self"]["href"] == f"{tenant.url}{DATA}/{record['uuid']}"
        assert (await alice.get(f"{DATA}/{record['uuid']}")).json()["result"] == record


VALUES = [
    None, True, 0, "text", "", [], {}, [1, [2, {"a": None}]], 2**53 + 1, 2**64 - 1, 10**30, -(10**30), 0.1, 1e308,
    "ü日\U0001f331\0", {"a.b": {"$ref": "#", "": 1}}, "[not json",
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
async def test_a_value_may_be_anything_that_json_can_say(tenant, value):
    async with tenant.http() as alice:
        uuid = (await put(alice, value=value))["uuid"]
        assert (await alice.get(f"{DATA}/{uuid}")).json()["result"]["value"] == value
        assert await names(alice, {"value": value}) == ["plant"]


async def test_a_name_may_be_used_twice_and_has_256_characters_at_most(tenant):
    async with tenant.http() as alice:
        await put(alice, "ü" * 256)
        await put(alice, "ü" * 256)
        assert await names(alice, {"name": "ü" * 256}) == ["ü" * 256] * 2
        assert (await alice.post(DATA, json={"name": "x" * 257, "value": 1})).status_code == 400


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"value": 1}, "No name attribute specified"),
        ({"name": 5, "value": 1}, "No name attribute specified"),
        ({"name": "", "value": 1}, "Empty name attribute specified"),
        ({"name": "x"}, "No value attribute specified"),
        ({"name": "x", "value": 1, "schemaId": "nope"}, "schemaId must be a valid schema uuid"),
        ({"name": "x", "value": 1, "schemaId": "1-1-0001-013"}, "No metadata schema found with uuid 1-1-0001-013"),
        ({"name": "x", "value": 1, "associationIds": ["1-1-0001-007"]}, "No associated object found"),
        ({"name": "x", "value": 1, "associationIds": ["1-1-0001-012"]}, "No metadata resource found"),
        ({"name": "x", "value": 1, "associationIds": ["1-1-0001-013"]}, "No metadata schema found"),
        ({"name": "x", "value": 1, "associationIds": "nonsense"}, "No associated object found with uuid nonsense"),
        ({"name": "x", "value": 1, "associationIds": [5]}, "array of uuids"),
        ({"name": "x", "value": 1, "permissions": {}}, "permissions should be an JSON array"),
        ({"name": "x", "value": 1, "permissions": [5]}, "Invalid permissions[0]"),
        ({"name": "x", "value": 1, "permissions": [{"username": "bob", "permission": "FLY"}]}, "permission value"),
        ({"name": "x", "value": 1, "notifications": [{}]}, "notifications[0]."),
        ([1], "a JSON object"),
    ],
)
async def test_a_document_that_makes_no_sense_is_refused_with_a_reason(tenant, body, told):
    async with tenant.http() as alice:
        refused = await alice.post(DATA, json=body)
        assert (refused.status_code, told in refused.json()["message"]) == (400, True), refused.text
        assert await names(alice) == []


async def test_forms_and_files_make_documents_too(tenant):
    async with tenant.http() as alice:
        document = {"name": "from a file", "value": {"a": 1}}
        made = await alice.post(DATA, files={"fileToUpload": ("meta.json", json.dumps(document))})
        assert (made.status_code, made.json()["result"]["value"]) == (201, {"a": 1})
        made = await alice.post(DATA, data={"name": "from a form", "value": "text"})
        assert (made.status_code, made.json()["result"]["value"]) == (201, "text")


async def test_an_update_changes_what_it_names_and_keeps_the_rest(tenant):
    async with tenant.http() as alice:
        other = await put(alice, "other")
        old = await put(alice, value={"a": 1}, associationIds=[other["uuid"]])
        answer = await alice.post(f"{DATA}/{old['uuid']}", json={"name": "new", "owner": "bob", "created": "never"})
        new = answer.json()["result"]
        assert (new["name"], new["value"], new["associationIds"]) == ("new", {"a": 1}, [other["uuid"]])
        assert (new["owner"], new["created"]) == ("alice", old["created"])
        assert new["lastUpdated"] > old["lastUpdated"] or new["lastUpdated"] == old["created"]
        answer = await alice.post(f"{DATA}/{old['uuid']}", json={"name": "new", "value": None, "associationIds": []})
        assert (answer.json()["result"]["value"], answer.json()["result"]["associationIds"]) == (None, [])
        # a record that is sent back as it came is understood
        answer = await alice.post(f"{DATA}/{old['uuid']}", json=new)
        assert answer.json()["result"]["associationIds"] == [other["uuid"]]
        for body in ({"value": 1}, {"name": "x", "uuid": other["uuid"]}):
            assert (await alice.post(f"{DATA}/{old['uuid']}", json=body)).status_code == 400


async def test_a_deleted_document_is_gone(tenant):
    async with tenant.http() as alice:
        uuid = (await put(alice))["uuid"]
        deleted = await alice.delete(f"{DATA}/{uuid}")
        assert (deleted.status_code, "result" in deleted.json()) == (200, False)
        assert await names(alice) == []
        for answer in (
            await alice.get(f"{DATA}/{uuid}"), await alice.delete(f"{DATA}/{uuid}"),
            await alice.post(f"{DATA}/{uuid}", json={"name": "x", "value": 1}), await alice.get(f"{DATA}/{uuid}/pems"),
        ):  # fmt: skip
            assert answer.status_code == 404


async def test_documents_are_about_things_that_are_there_and_lead_to_them(tenant):
    async with tenant.http() as alice:
        system = (await alice.get("/systems/v2/data.demo")).json()["result"]
        schema = (await alice.post(SCHEMAS, json={"type": "object"})).json()["result"]
        other = await put(alice, "other")
        await alice.put("/files/v2/media/system/data.demo//alice", json={"action": "mkdir", "path": "it's ü"})
        line = (await alice.get("/files/v2/listings/system/data.demo//alice/it's ü")).json()["result"][0]
        file = line["_links"]["metadata"]["href"].split("%22")[3]
        uuids = [system["uuid"], schema["uuid"], other["uuid"], file]
        record = await put(alice, associationIds=[*uuids, other["uuid"]])
        assert record["associationIds"] == uuids
        links = record["_links"]["associationIds"]
        assert [(link["rel"], link["title"]) for link in links] == list(
            zip(uuids, ["system", "schema", "metadata", "file"], strict=True)
        )
        for link in links[:3]:
            assert (await alice.get(link["href"])).json()["result"]["uuid"] == link["rel"]
        assert (await alice.get(links[3]["href"])).status_code == 501  # a folder is there, and is no file
        assert await names(alice, {"associationIds": file}) == ["plant"]
        # the link that a listing has finds what is about the file
        assert [each["uuid"] for each in (await alice.get(line["_links"]["metadata"]["href"])).json()["result"]] == [
            record["uuid"]
        ]
        await alice.delete(f"{DATA}/{other['uuid']}")
        record = (await alice.get(f"{DATA}/{record['uuid']}")).json()["result"]
        assert record["_links"]["associationIds"][2] == {"rel": other["uuid"], "href": None, "title": "metadata"}


async def test_what_happens_to_a_document_is_recorded_for_it_and_for_what_it_is_about(tenant):
    async with tenant.http() as alice:
        other = (await put(alice, "other"))["uuid"]
        uuid = (await put(alice, associationIds=other))["uuid"]
        await alice.post(f"{DATA}/{uuid}/pems", json={"username": "bob", "permission": "READ"})
        await alice.post(f"{DATA}/{uuid}/pems/bob", json={"permission": "ALL"})
        await alice.delete(f"{DATA}/{uuid}/pems/bob")
        await alice.post(f"{DATA}/{uuid}", json={"name": "new"})
        heard = ["CREATED", "PERMISSION_GRANT", "PERMISSION_UPDATE", "PERMISSION_REVOKE", "UPDATED"]
        assert events(tenant, uuid) == heard
        await alice.delete(f"{DATA}/{uuid}")
        assert events(tenant, other) == ["CREATED", "METADATA_CREATED", "METADATA_UPDATED", "METADATA_DELETED"]


async def test_who_subscribed_to_a_document_is_told_of_its_end(tenant):
    told: list[Any] = []
    heard = trio.Event()

    async def hook(stream: trio.SocketStream) -> None:
        request = b""
        while b"\r\n\r\n" not in request or len(request.partition(b"\r\n\r\n")[2]) < int(
            request.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        ):
            request += await stream.receive_some()
        told.append(json.loads(request.partition(b"\r\n\r\n")[2]))
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await stream.aclose()
        heard.set()

    async with trio.open_nursery() as nursery, tenant.http() as alice:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, hook, [listener])
        url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/"
        record = await put(alice, value={"a": 1}, notifications=[{"url": url, "event": "DELETED"}])
        await alice.delete(f"{DATA}/{record['uuid']}")
        with trio.fail_after(20):
            await heard.wait()
        nursery.cancel_scope.cancel()
    assert (told[0]["uuid"], told[0]["value"]) == (record["uuid"], {"a": 1})


# lists ---------------------------------------------------------------------------------------------------------------


async def test_queries_find_what_they_ask_for(tenant):
    async with tenant.http() as alice:
        await put(alice, "mustard plant", {"type": "a plant", "n": 1, "tags": ["green", "hot"], "size": {"cm": 20}})
        await put(alice, "Cactus flower", {"type": "a plant", "n": 2, "tags": [], "size": {"cm": 5}})
        await put(alice, "stone", "grey")
        for q, wanted in (
            ({"name": "mustard plant"}, ["mustard plant"]),
            ({"value.type": "a plant"}, ["Cactus flower", "mustard plant"]),
            ({"value.n": {"$in": [2, 3]}}, ["Cactus flower"]),
            ({"name": {"$regex": "^cactus.*", "$options": "i"}}, ["Cactus flower"]),
            ({"value.tags": "hot"}, ["mustard plant"]),
            ({"value.size.cm": {"$gte": 5, "$lt": 20}}, ["Cactus flower"]),
            ({"$or": [{"value": "grey"}, {"value.n": {"$gt": 1}}]}, ["stone", "Cactus flower"]),
            ({"value.n": {"$exists": False}}, ["stone"]),
            ({"owner": "alice", "value.n": {"$not": {"$gt": 1}}}, ["stone", "mustard plant"]),
            ({"name": "MUSTARD*"}, []),
            ({"name": "*"}, []),
            ({}, ["stone", "Cactus flower", "mustard plant"]),
            ("", ["stone", "Cactus flower", "mustard plant"]),
            ("{'name': 'stone', 'value': 'grey'}", ["stone"]),
            ({"created": {"$gt": "2020-01-01"}, "lastUpdated": {"$gt": {"$date": 0}}, "value": "grey"}, ["stone"]),
            ({"created": {"$lt": {"$date": "2020-01-01T00:00:00Z"}}}, []),
            ({"uuid": "nope"}, []),
        ):  # fmt: skip
            assert await names(alice, q) == wanted, q


async def test_a_star_is_a_star_and_not_a_wildcard(tenant):
    async with tenant.http() as alice:
        await put(alice, "5 * 3")
        await put(alice, "5 3")
        assert await names(alice, {"name": "5 * 3"}) == ["5 * 3"]
        assert await names(alice, {"name": "*"}) == ["5 * 3"]
        assert await names(alice, {"name": {"$regex": "^5.*3"}, "value": 1}) == ["5 3", "5 * 3"]


BAD = [
    "{", "[1]", "5", '"x"', "{'a': }", '{"$foo": 1}', '{"a": {"$foo": 1}}', '{"nowhere": {"$foo": 1}}', '{"$or": []}',
    '{"$or": {}}', '{"$and": [1]}', '{"a": {"$in": 1}}', '{"a": {"$regex": "("}}', '{"a": {"$regex": 5}}',
    '{"a": {"$options": "i"}}', '{"a": {"$regex": "a", "$options": "q"}}', '{"a": {"$mod": [0, 1]}}',
    '{"a": {"$mod": [1]}}', '{"a": {"$size": -1}}', '{"a": {"$size": "x"}}', '{"a": {"$type": "duck"}}',
    '{"a": {"$not": 5}}', '{"a": {"$elemMatch": 5}}', '{"a": {"$all": 5}}', '{"$where": "1"}', '{"$expr": {}}',
    '{"a": {"$in": [{"$gt": 1}]}}', '{"a": ' * 40 + "1" + "}" * 40, "[" * 5000, "'" + "(" * 5000,
    json.dumps({"a": {"$in": list(range(6000))}}), json.dumps({"a": {"$regex": "x" * 5000}}), "-" * 9000 + "'1'",
    "{'a': " * 900 + "1", '{"a": {"$eq": 1, "b": 2}}', '{"a": {"$gt": 1e999}}', '{"a": "\\ud800"}',
]  # fmt: skip


@pytest.mark.parametrize("q", BAD, ids=lambda q: q[:30])
async def test_a_query_that_makes_no_sense_is_refused_with_a_reason(tenant, q):
    async with tenant.http() as alice:
        for path in (DATA, SCHEMAS):
            refused = await alice.get(path, params={"q": q})
            assert refused.status_code == 400, refused.text
            assert refused.json()["message"].startswith("Malformed JSON Query, "), refused.text


async def test_a_query_that_takes_too_long_is_refused(tenant):
    slow = json.dumps({"value": {"$not": {"$gt": 5000}}})  # SQL does not narrow what is not
    async with tenant.http() as alice:
        for _ in range(3):
            await put(alice, value=list(range(5000)))
        assert await names(alice, slow) == ["plant"] * 3
        tenant.state.library.longest = 0.001
        refused = await alice.get(DATA, params={"q": slow})
        assert (refused.status_code, "takes too long" in refused.json()["message"]) == (400, True)


async def test_one_large_document_is_not_judged_without_end(tenant):
    library = tenant.state.library
    library.longest = 0.2
    async with tenant.http() as alice:
        await put(alice, value=[300] * 200_000)
        for q in (
            {"value": {"$elemMatch": {"$nin": [0.5, 1.5, 2.5], "$gte": 1, "$ne": 300}}},
            {"value": {"$not": {"$in": [n + 0.5 for n in range(1000)]}}},
        ):
            refused = await alice.get(DATA, params={"q": json.dumps(q)})
            assert (refused.status_code, "takes too long" in refused.text) == (400, True), refused.text
        assert library.busy == 0


async def test_no_array_has_a_size_beyond_all_numbers(tenant):
    async with tenant.http() as alice:
        await put(alice, value=[1])
        for size in (2**70, 1e300):
            assert await names(alice, {"value": {"$size": size}}) == []
            assert await names(alice, {"value": {"$not": {"$size": size}}}) == ["plant"]


@pytest.mark.parametrize("pattern", ["^(?:a|aa)+$", "(a*)*(b*)*c$", "(.*)(.*)(.*)(.*)x", "(?i)(?:A?){300}a{300}Z"])
async def test_no_regular_expression_takes_for_ever(tenant, pattern):
    async with tenant.http() as alice:
        await put(alice, "a" * 200 + "b", {"text": "a" * 100_000 + "b"})
        with trio.fail_after(60):
            for field in ("name", "value.text"):
                assert await names(alice, {field: {"$regex": pattern}}) == []


async def test_a_regular_expression_that_cannot_be_searched_in_bounded_time_is_refused(tenant):
    async with tenant.http() as alice:
        for pattern in ("a(?!b)", "(a)\\1", "((a{100}){100}){100}", "(?R)", "\\pL{900}"):
            refused = await alice.get(DATA, params={"q": json.dumps({"name": {"$regex": pattern}})})
            assert (refused.status_code, "Regular expression is invalid" in refused.text) == (400, True), refused.text
        await put(alice, value="ab" * 2_000_000)
        refused = await alice.get(DATA, params={"q": json.dumps({"value": {"$regex": "a[ab]{900}c"}})})
        assert (refused.status_code, "takes too long" in refused.text) == (400, True)


async def test_a_query_that_does_not_get_its_turn_is_told_to_come_again(tenant):
    library = tenant.state.library
    for _ in range(search.AT_ONCE):
        library._turns.acquire_on_behalf_of_nowait(object())
    library.patience = 0.1
    async with tenant.http() as alice:
        refused = await alice.get(DATA)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")


async def test_many_uuids_can_be_asked_for_at_once(tenant):
    async with tenant.http() as alice:
        made = [(await put(alice, f"n{number}", number))["uuid"] for number in range(3)]
        others = [f"{number}-242ac11f-0001-012" for number in range(2000)]
        for q in (
            {"uuid": {"$in": [*others, *made]}}, {"name": {"$in": [*others, "n0", "n1", "n2", 5, None]}},
            {"value": {"$in": [*range(200, 3000), 0, 1, 2]}}, {"name": {"$nin": others}}, {"schemaId": {"$in": [None]}},
        ):  # fmt: skip
            assert await names(alice, q) == ["n2", "n1", "n0"]


async def test_a_page_looks_through_all_systems_once_for_its_links(tenant, monkeypatch):
    store = tenant.state.store
    uuid, looks = store.get("system", "data.demo")["uuid"], []
    every = store.all
    monkeypatch.setattr(store, "all", lambda kind, **more: looks.append(kind) or every(kind, **more))
    async with tenant.http() as alice:
        for _ in range(3):
            await put(alice, associationIds=[uuid])
        looks.clear()
        found = (await alice.get(DATA)).json()["result"]
    href = f"{tenant.url}/systems/v2/data.demo"
    assert [each["_links"]["associationIds"][0]["href"] for each in found] == [href] * 3
    assert looks == ["system"]


async def test_lists_have_pages_and_an_order(tenant):
    async with tenant.http() as alice:
        made = [await put(alice, name, value) for name, value in (("b", 2), ("a", "x"), ("c", None), ("a", [1]))]
        uuids = [each["uuid"] for each in made]
        assert await names(alice) == ["a", "c", "a", "b"]  # the last that was changed comes first
        await alice.post(f"{DATA}/{uuids[0]}", json={"name": "b"})
        assert await names(alice) == ["b", "a", "c", "a"]
        assert await names(alice, limit=2) == ["b", "a"]
        assert await names(alice, limit=2, offset=1) == ["a", "c"]
        assert await names(alice, {"value": {"$ne": 7}}, limit=2, offset=3) == ["a"]
        assert await names(alice, offset=10**30) == []
        assert await names(alice, orderBy="name", order="ASC") == ["a", "a", "b", "c"]
        assert await names(alice, orderBy="name") == ["c", "b", "a", "a"]
        assert await names(alice, sort="created", order="asc") == ["b", "a", "c", "a"]
        assert await names(alice, orderBy="value", order="ASC") == ["c", "b", "a", "a"]
        found = await alice.get(DATA, params={"orderBy": "uuid", "order": "ASC"})
        assert [each["uuid"] for each in found.json()["result"]] == sorted(uuids)
        for params in ({"orderBy": "nope"}, {"orderBy": "name", "order": "UP"}):
            assert (await alice.get(DATA, params=params)).status_code == 400


async def test_equal_documents_stand_in_the_same_order_on_every_page(tenant):
    async with tenant.http() as alice:
        for number in range(7):
            await put(alice, "same", {"n": number, "s": "same"})
        for order in ("ASC", "DESC"):
            for q in (None, {"name": "same"}, {"value.s": {"$regex": "m"}}):
                seen = []
                for offset in range(0, 8, 2):
                    page = {"limit": 2, "offset": offset, "orderBy": "name", "order": order}
                    found = await alice.get(DATA, params={**page, **({"q": json.dumps(q)} if q else {})})
                    seen += [each["value"]["n"] for each in found.json()["result"]]
                assert seen == sorted(range(7), reverse=order == "DESC")


async def test_fields_of_documents_can_be_chosen(tenant):
    async with tenant.http() as alice:
        uuid = (await put(alice, value={"a": {"b": 1}, "c": 2}))["uuid"]
        found = await alice.get(DATA, params={"filter": "name,value.a"})
        assert found.json()["result"] == [{"name": "plant", "value": {"a": {"b": 1}}}]
        found = await alice.get(f"{DATA}/{uuid}", params={"filter": "value.c", "naked": "true"})
        assert found.json() == {"value": {"c": 2}}


async def test_a_page_is_not_larger_than_it_may_be(tenant, monkeypatch):
    monkeypatch.setattr(search, "LARGEST", 1000)
    async with tenant.http() as alice:
        for _ in range(3):
            await put(alice, value="x" * 400)
        assert (await alice.get(DATA)).status_code == 400
        assert len(await names(alice, limit=2)) == 2


async def test_a_document_of_16_mib_is_kept_and_found(tenant):
    async with tenant.http() as alice:
        value = {"n": 1, "text": "x" * (16 * 2**20 - 1000)}
        made = await alice.post(DATA, json={"name": "large", "value": value}, timeout=60)
        assert made.status_code == 201
        assert await names(alice, {"value.n": 1}) == ["large"]
        found = await alice.get(f"{DATA}/{made.json()['result']['uuid']}", timeout=60)
        assert found.json()["result"]["value"] == value
        over = {"name": "larger", "value": "x" * (16 * 2**20)}
        assert (await alice.post(DATA, json=over, timeout=60)).status_code == 413


async def test_documents_are_there_after_a_restart(tenant_root):
    from tests.conftest import Tenant

    async with server.running(tenant_root) as state, Tenant(state).http() as alice:
        schema = (await alice.post(SCHEMAS, json={"type": "object"})).json()["result"]
        other = await put(alice, "other")
        record = await put(
            alice, value={"a": 1}, schemaId=schema["uuid"], associationIds=[other["uuid"]],
            permissions=[{"username": "bob", "permission": "READ"}],
        )  # fmt: skip
    async with server.running(tenant_root) as state, Tenant(state).http("bob") as bob:
        found = (await bob.get(DATA, params={"q": json.dumps({"value.a": 1})})).json()["result"]
        for each in ("uuid", "value", "schemaId", "associationIds", "created", "lastUpdated", "owner"):
            assert found[0][each] == record[each]
        assert (await bob.post(DATA, json={"name": "x", "value": 1})).status_code == 201


async def test_the_client_reads_what_it_wrote(tenant, agave: Agave):
    made = await agave.meta.addMetadata(body={"name": "mine", "value": {"n": 2**53 + 1}})
    assert (await agave.meta.getMetadata(uuid=made.uuid)).value == {"n": 2**53 + 1}
    page = await agave.meta.listMetadata(q=json.dumps({"value.n": 2**53 + 1}))
    assert [each.uuid for each in page] == [made.uuid]
    schema = await agave.meta.addSchema(body={"type": "object", "required": ["n"]})
    assert [each.uuid for each in await agave.meta.searchSchema(uuid="any")] == [schema.uuid]
    await agave.meta.updateMetadataPermissions(uuid=made.uuid, body={"username": "bob", "permission": "READ"})
    pems = await agave.meta.listMetadataPermissions(uuid=made.uuid)
    assert [(each.username, each.permission.write) for each in pems if each.permission] == [
        ("alice", True), ("bob", False),
    ]  # fmt: skip
    await agave.meta.deleteMetadata(uuid=made.uuid)
    await agave.meta.deleteSchema(uuid=schema.uuid)
