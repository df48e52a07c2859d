"""The meta service: documents and schemas, who may see and change them, and what happens to them."""

from __future__ import annotations

import json

DATA, SCHEMAS = "/meta/v2/data", "/meta/v2/schemas"


async def test_a_document_is_what_was_put_there(tenant):
    async with tenant.http() as alice:
        made = await alice.post(DATA, json={"name": "plant", "value": {"species": "x", "n": 5}})
        assert made.status_code == 201, made.text
        record = made.json()["result"]
        assert (record["name"], record["value"], record["owner"]) == ("plant", {"species": "x", "n": 5}, "alice")
        assert record["uuid"].endswith("-012")
        assert (await alice.get(f"{DATA}/{record['uuid']}")).json()["result"] == record
        found = await alice.get(DATA, params={"q": json.dumps({"value.n": {"$gt": 3}})})
        assert found.json()["result"] == [record]
