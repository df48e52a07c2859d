"""JSON Schema records, and documents that must follow them."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import trio

from agavesh.tenant.meta import conformity
from agavesh.tenant.patterns import TooSlow

DATA, SCHEMAS = "/meta/v2/data", "/meta/v2/schemas"
PLANT = {
    "title": "Plant",
    "type": "object",
    "properties": {
        "species": {"type": "string", "minLength": 2},
        "sizes": {"type": "array", "items": {"type": "number", "minimum": 0}},
    },
    "required": ["species"],
}
DRAFTS = {
    "http://json-schema.org/draft-03/schema#": {"properties": {"n": {"required": True}}},
    "http://json-schema.org/draft-04/schema#": {"minimum": 0, "exclusiveMinimum": True},
    "http://json-schema.org/draft-06/schema#": {"exclusiveMinimum": 0},
    "http://json-schema.org/draft-07/schema#": {"if": {"type": "integer"}, "then": {"minimum": 1}},
    "http://json-schema.org/draft-07/schema": {"const": 1},
    "https://json-schema.org/draft/2019-09/schema": {"dependentRequired": {"a": ["b"]}},
    "https://json-schema.org/draft/2020-12/schema": {"prefixItems": [{"type": "string"}]},
}
FOLLOWED: dict[str, tuple[Any, Any]] = {
    "http://json-schema.org/draft-03/schema#": ({"n": 1}, {}),
    "http://json-schema.org/draft-04/schema#": (1, 0),
    "http://json-schema.org/draft-06/schema#": (1, 0),
    "http://json-schema.org/draft-07/schema#": (1, 0),
    "http://json-schema.org/draft-07/schema": (1, 0),
    "https://json-schema.org/draft/2019-09/schema": ({"a": 1, "b": 1}, {"a": 1}),
    "https://json-schema.org/draft/2020-12/schema": (["x"], [1]),
}


LATEST = "https://json-schema.org/draft/2020-12/schema"


async def schema_of(http: httpx.AsyncClient, schema: Any = PLANT) -> dict[str, Any]:
    made = await http.post(SCHEMAS, json=schema)
    assert made.status_code == 201, made.text
    return dict(made.json()["result"])


async def keep(http: httpx.AsyncClient, value: Any, schema: str) -> httpx.Response:
    return await http.post(DATA, json={"name": "x", "value": value, "schemaId": schema}, timeout=60)


async def test_a_schema_is_what_was_put_there(tenant):
    async with tenant.http() as alice:
        made = await schema_of(alice)
        assert (made["schema"], made["owner"], made["uuid"][-3:]) == (PLANT, "alice", "013")
        it = f"{SCHEMAS}/{made['uuid']}"
        assert (await alice.get(it)).json()["result"] == made
        answer = await alice.post(it, json={"type": "array"})
        changed = answer.json()["result"]
        assert (answer.status_code, changed["schema"], changed["created"]) == (200, {"type": "array"}, made["created"])
        heard = [status for _, status, *_ in tenant.state.store.events(made["uuid"])]
        assert heard == ["CREATED", "UPDATED"]
        assert (await alice.delete(it)).status_code == 200
        assert (await alice.get(it)).status_code == 404
        for answer in (await alice.post(it, json=PLANT), await alice.delete(it), await alice.get(f"{it}/pems")):
            assert answer.status_code == 404


async def test_schemas_are_found_by_queries(tenant):
    async with tenant.http() as alice:
        for title in ("Plant", "Stone"):
            await schema_of(alice, {**PLANT, "title": title, "$id": "x", "definitions": {"a.b": {"$ref": "#"}}})
        for q, wanted in (
            ({"schema.title": "Plant"}, ["Plant"]),
            ({"schema.required": "species"}, ["Stone", "Plant"]),
            ({"owner": "alice", "schema.properties.species.minLength": {"$gt": 1}}, ["Stone", "Plant"]),
            ({"owner": "bob"}, []),
        ):
            found = (await alice.get(SCHEMAS, params={"q": json.dumps(q)})).json()["result"]
            assert [each["schema"]["title"] for each in found] == wanted
        ordered = await alice.get(SCHEMAS, params={"orderBy": "created", "order": "ASC", "limit": 1})
        assert [each["schema"]["title"] for each in ordered.json()["result"]] == ["Plant"]
        assert (await alice.get(SCHEMAS, params={"orderBy": "name"})).status_code == 400


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "duck"}, "schema.type"),
        ({"type": "object", "properties": 5}, "schema.properties"),
        ({"minimum": "x"}, "schema.minimum: 'x' is not of type 'number'"),
        ({"pattern": "("}, "regular expression"),
        ({"patternProperties": {"(": {}}}, "regular expression"),
        ({"$schema": "http://example.org/mine"}, "$schema, http://example.org/mine, is not known"),
        ([1], "must be a JSON object"),
        ("text", "must be a JSON object"),
    ],
)
async def test_what_is_no_schema_is_refused_with_the_place_and_the_reason(tenant, schema, told):
    async with tenant.http() as alice:
        known = await schema_of(alice)
        for path in (SCHEMAS, f"{SCHEMAS}/{known['uuid']}"):
            refused = await alice.post(path, json=schema)
            assert refused.status_code == 400
            assert refused.json()["message"].startswith("The supplied JSON Schema definition is invalid.")
            assert told in refused.json()["message"], refused.text


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({}, "value: 'species' is a required property"),
        ({"species": "x"}, "value.species: 'x' is too short"),
        ({"species": "xy", "sizes": [1, "big"]}, "value.sizes[1]: 'big' is not of type 'number'"),
        ("text", "value: 'text' is not of type 'object'"),
    ],
)
async def test_a_document_that_does_not_follow_its_schema_is_refused_with_the_place_and_the_reason(tenant, value, told):
    async with tenant.http() as alice:
        schema = (await schema_of(alice))["uuid"]
        refused = await keep(alice, value, schema)
        assert (refused.status_code, refused.json()["message"]) == (
            400, f"Metadata does not conform to schema. {told}",
        )  # fmt: skip
        made = await keep(alice, {"species": "xy"}, schema)
        assert made.status_code == 201
        it = f"{DATA}/{made.json()['result']['uuid']}"
        assert made.json()["result"]["_links"]["schema"]["href"] == f"{tenant.url}{SCHEMAS}/{schema}"
        assert (await alice.post(it, json={"name": "x", "value": value})).status_code == 400
        assert (await alice.get(it)).json()["result"]["value"] == {"species": "xy"}
        assert (await alice.post(it, json={"name": "x", "value": value, "schemaId": None})).status_code == 200


@pytest.mark.parametrize("draft", DRAFTS)
async def test_each_draft_has_its_own_rules(tenant, draft):
    async with tenant.http() as alice:
        schema = (await schema_of(alice, {"$schema": draft, **DRAFTS[draft]}))["uuid"]
        good, bad = FOLLOWED[draft]
        assert (await keep(alice, good, schema)).status_code == 201
        assert (await keep(alice, bad, schema)).status_code == 400


async def test_without_a_draft_the_rules_are_those_of_draft_4(tenant):
    async with tenant.http() as alice:
        schema = (await schema_of(alice, {"minimum": 0, "exclusiveMinimum": True}))["uuid"]
        assert (await keep(alice, 0, schema)).status_code == 400


async def test_names_are_matched_by_expressions_as_the_rules_have_it(tenant):
    rules = {"properties": {"a": {}}, "patternProperties": {"^x_": {"type": "integer"}}, "additionalProperties": False}
    async with tenant.http() as alice:
        schema = (await schema_of(alice, rules))["uuid"]
        assert (await keep(alice, {"a": 1, "x_b": 2}, schema)).status_code == 201
        refused = await keep(alice, {"x_b": "2"}, schema)
        assert "value.x_b: '2' is not of type 'integer'" in refused.json()["message"]
        refused = await keep(alice, {"b": 2}, schema)
        assert "Additional properties are not allowed ('b' unexpected)" in refused.json()["message"]
        schema = (await schema_of(alice, {"additionalProperties": {"pattern": "^ü+$"}}))["uuid"]
        assert (await keep(alice, {"b": "üü"}, schema)).status_code == 201
        assert "'u' does not match '^ü+$'" in (await keep(alice, {"b": "u"}, schema)).json()["message"]


async def test_a_schema_refers_to_itself_and_to_others_of_the_tenant_and_nowhere_else(tenant):
    async with tenant.http() as alice:
        node = {"type": "object", "properties": {"next": {"$ref": "#"}, "n": {"type": "integer"}}, "required": ["n"]}
        itself = (await schema_of(alice, node))["uuid"]
        assert (await keep(alice, {"n": 1, "next": {"n": 2}}, itself)).status_code == 201
        refused = await keep(alice, {"n": 1, "next": {"n": "2"}}, itself)
        assert "value.next.n: '2' is not of type 'integer'" in refused.json()["message"]
        other = {"properties": {"node": {"$ref": f"{tenant.url}{SCHEMAS}/{itself}"}}}
        schema = (await schema_of(alice, other))["uuid"]
        assert (await keep(alice, {"node": {"n": 1}}, schema)).status_code == 201
        assert (await keep(alice, {"node": {"n": "1"}}, schema)).status_code == 400
        for nowhere in ("http://127.0.0.1:1/schema.json", "file:///etc/passwd", "#/definitions/nope", f"{SCHEMAS}/x"):
            schema = (await schema_of(alice, {"properties": {"a": {"$ref": nowhere}}}))["uuid"]
            refused = await keep(alice, {"a": 1}, schema)
            assert (refused.status_code, "which is not there" in refused.json()["message"]) == (400, True), refused.text


ENDLESS = {
    "itself": ({"$ref": "#"}, 1),
    "doubling": (
        {
            "definitions": {
                "a0": {},
                **{f"a{n + 1}": {"allOf": [{"$ref": f"#/definitions/a{n}"}] * 2} for n in range(60)},
            },
            "$ref": "#/definitions/a60",
        },
        1,
    ),
}


@pytest.mark.parametrize("case", ENDLESS)
async def test_a_schema_that_asks_for_endless_work_is_given_up(tenant, case, monkeypatch):
    monkeypatch.setattr(conformity, "LONGEST", 0.5)
    rules, value = ENDLESS[case]
    async with tenant.http() as alice:
        schema = (await schema_of(alice, rules))["uuid"]
        with trio.fail_after(60):
            assert (await keep(alice, value, schema)).status_code == 400


async def test_no_expression_in_a_schema_takes_for_ever(tenant):
    endless, text = "^(?:a|aa)+$", "a" * 200 + "b"
    async with tenant.http() as alice:
        for rules, value, status in (
            ({"pattern": endless}, text, 400),
            ({"patternProperties": {endless: False}, "$schema": LATEST}, {text: 1}, 201),
            ({"patternProperties": {endless: {}}, "additionalProperties": False}, {text: 1}, 400),
        ):
            schema = (await schema_of(alice, rules))["uuid"]
            with trio.fail_after(60):
                assert (await keep(alice, value, schema)).status_code == status


async def test_a_schema_refers_to_those_that_its_owner_may_read(tenant):
    async with tenant.http() as alice, tenant.http("bob") as bob:
        secret = (await schema_of(bob, {"enum": ["of bob's"]}))["uuid"]
        schema = (await schema_of(alice, {"$ref": f"{tenant.url}{SCHEMAS}/{secret}"}))["uuid"]
        refused = await keep(alice, "x", schema)
        assert ("which is not there" in refused.text, "of bob's" in refused.text) == (True, False)
        await bob.post(f"{SCHEMAS}/{secret}/pems", json={"username": "alice", "permission": "READ"})
        assert (await keep(alice, "of bob's", schema)).status_code == 201


async def test_two_schemas_together_are_held_to_what_one_is(tenant):
    async with tenant.http() as alice:
        names = (await schema_of(alice, {"$schema": LATEST, "patternProperties": {"^(?:a|aa)+$": {}}}))["uuid"]
        rules = {"$schema": LATEST, "$ref": f"{tenant.url}{SCHEMAS}/{names}", "unevaluatedProperties": False}
        schema = (await schema_of(alice, rules))["uuid"]
        refused = await keep(alice, {"a" * 16 + "b": 1}, schema)
        assert (refused.status_code, "cannot be followed here" in refused.text) == (400, True)


@pytest.mark.parametrize(("same", "different"), [
    ([{"a": [1]}, {"a": [1.0]}], [{"a": [1]}, {"a": [True]}]), ([0, [], 0], [0, False, "0", [], {}, None, [0]]),
    ([{"a": 1, "b": 2}, {"b": 2, "a": 1}], [{"a": 1, "b": 2}, {"a": 2, "b": 1}]),
])  # fmt: skip
def test_items_are_different_as_json_has_it(same, different):
    conformity.check(different, {"uniqueItems": True}, {})
    with pytest.raises(conformity.Unlike, match="non-unique"):
        conformity.check(same, {"uniqueItems": True}, {})


def test_large_values_are_followed_in_bounded_time(monkeypatch):
    """Each of these took minutes or more, and nothing could stop it."""
    monkeypatch.setattr(conformity, "LONGEST", 60)
    conformity.check([{"a": number} for number in range(100_000)], {"uniqueItems": True}, {})
    many = {"$schema": LATEST, "contains": {"type": "integer"}, "unevaluatedItems": False}
    conformity.check([1] * conformity.MOST_UNEVALUATED, many, {})
    with pytest.raises(TooSlow):
        conformity.check([1] * 1_000_000, many, {})


async def test_a_schema_that_is_used_may_be_removed_and_its_documents_stay(tenant):
    async with tenant.http() as alice:
        schema = (await schema_of(alice))["uuid"]
        it = f"{DATA}/{(await keep(alice, {'species': 'xy'}, schema)).json()['result']['uuid']}"
        assert (await alice.delete(f"{SCHEMAS}/{schema}")).status_code == 200
        assert (await alice.get(it)).json()["result"]["schemaId"] == schema
        assert (await alice.post(it, json={"name": "x", "value": 5})).status_code == 200
        assert (await alice.post(it, json={"name": "x", "value": 5, "schemaId": schema})).status_code == 400


async def test_a_schema_that_one_may_not_read_cannot_be_named(tenant):
    async with tenant.http() as alice, tenant.http("bob") as bob:
        schema = (await schema_of(alice))["uuid"]
        assert (await keep(bob, {"species": "xy"}, schema)).status_code == 403
        await alice.post(f"{SCHEMAS}/{schema}/pems", json={"username": "bob", "permission": "READ"})
        assert (await keep(bob, {"species": "xy"}, schema)).status_code == 201
