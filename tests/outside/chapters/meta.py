"""Metadata: documents and what they are about, queries, schemas that documents must keep to, and who may see them."""

import json
from typing import Any

from .scene import Facts, Scene, status_of

SPECIES = ("alba", "nigra", "alba", "rubra")
SCHEMA = {
    "title": "A sample", "type": "object", "required": ["species"],
    "properties": {"species": {"type": "string"}, "height": {"type": "number", "minimum": 0}},
}  # fmt: skip


def metadata(scene: Scene) -> Facts:
    service = scene.alice.meta
    facts: Facts = {}
    made = [
        service.addMetadata(body={"name": "tree", "value": {"species": species, "height": 10 * number + 2.5}})
        for number, species in enumerate(SPECIES)
    ]
    first, last = made[0]["uuid"], made[-1]["uuid"]

    def heights(query: Facts, **more: Any) -> list[float]:
        """How high the trees are that are found."""
        found = scene.same("meta.listMetadata", q=json.dumps(query), **more)
        return sorted(one["value"]["height"] for one in found)

    record = scene.same("meta.getMetadata", uuid=first)
    facts["made"] = [record["name"], dict(record["value"]), record["owner"], type(record["created"]).__name__]
    facts["named"] = heights({"name": "tree"})
    facts["by value"] = heights({"name": "tree", "value.species": "alba"})
    facts["high"] = heights({"value.height": {"$gt": 10}, "name": "tree"})
    facts["either"] = heights({"$or": [{"value.species": "rubra"}, {"value.height": {"$lt": 5}}]})
    facts["like"] = heights({"value.species": {"$regex": "^NI", "$options": "i"}})
    facts["page"] = len(heights({"name": "tree"}, limit=3, offset=2))
    facts["bad query"] = status_of(service.listMetadata, q='{"value.height": {"$near": 1}}')
    value = {**record["value"], "checked": True}
    service.updateMetadata(uuid=first, body={"name": "tree", "value": value, "associationIds": [last]})
    again = scene.same("meta.getMetadata", uuid=first)
    facts["changed"] = [dict(again["value"]) == value, again["associationIds"] == [last]]
    about = scene.same("meta.listMetadata", q=json.dumps({"associationIds": last}))
    facts["about"] = [one["uuid"] for one in about] == [first]
    facts["shared"] = shared(scene, first, "Metadata")
    facts["found by bob"] = len(scene.bob.meta.listMetadata(q='{"name": "tree"}'))
    for one in made:
        service.deleteMetadata(uuid=one["uuid"])
    facts["gone"] = [status_of(service.getMetadata, uuid=first), heights({"name": "tree"})]
    return facts


def schemas(scene: Scene) -> Facts:
    service = scene.alice.meta
    facts: Facts = {"no schema": status_of(service.addSchema, body={"type": "nonsense"})}
    uuid = service.addSchema(body=SCHEMA)["uuid"]
    record = scene.same("meta.getSchema", uuid=uuid)
    facts["made"] = [record["owner"], record["schema"]["title"], record["schema"]["required"]]
    document = {"name": "tree", "schemaId": uuid, "value": {"species": "alba", "height": 3}}
    kept = service.addMetadata(body=document)["uuid"]
    facts["kept"] = scene.same("meta.getMetadata", uuid=kept)["schemaId"] == uuid
    facts["refused"] = status_of(service.addMetadata, body={**document, "value": {"species": 7}})
    service.updateSchema(uuid=uuid, body={**SCHEMA, "title": "A tree", "required": ["species", "height"]})
    facts["updated"] = scene.same("meta.getSchema", uuid=uuid)["schema"]["title"]
    facts["refused now"] = status_of(service.addMetadata, body={**document, "value": {"species": "alba"}})
    # it wants a uuid that it does not send, and has no q
    found = scene.same("meta.searchSchema", uuid="any")
    facts["found"] = [one["uuid"] for one in found] == [uuid]
    query = json.dumps({"schema.title": "A tree"})
    facts["ours by q"] = [one["uuid"] for one in scene.ours("meta.searchSchema", q=query)] == [uuid]
    try:
        service.searchSchema()
    except TypeError as fault:
        facts["theirs wants a uuid"] = str(fault)
    facts["shared"] = shared(scene, uuid, "Schema")
    service.deleteMetadata(uuid=kept)
    service.deleteSchema(uuid=uuid)
    facts["gone"] = status_of(service.getSchema, uuid=uuid)
    return facts


def shared(scene: Scene, uuid: str, kind: str) -> Facts:
    """All that can be done to permissions, of a document or of a schema."""
    service, here = scene.alice.meta, {"uuid": uuid}

    def call(template: str, **arguments: Any) -> Any:
        return getattr(service, template.format(kind))(**here, **arguments)

    def grants() -> dict[str, list[str]]:
        found = scene.same(f"meta.list{kind}Permissions", **here)
        return {one["username"]: [name for name, may in one["permission"].items() if may] for one in found}

    def bob() -> int:
        return status_of(getattr(scene.bob.meta, f"get{kind}"), **here)

    facts: Facts = {"first": grants(), "stranger": bob()}
    call("update{}Permissions", body={"username": "bob", "permission": "READ"})
    facts["granted"], facts["reader"] = grants(), bob()
    facts["reader writes"] = status_of(getattr(scene.bob.meta, f"delete{kind}"), **here)
    call("update{}PermissionsForUser", username="bob", body={"permission": "READ_WRITE"})
    one = scene.same(f"meta.list{kind}PermissionsForUser", **here, username="bob")
    facts["more"] = {name: one["permission"][name] for name in ("read", "write")}
    call("delete{}PermissionsForUser", username="bob")
    facts["taken"], facts["bob again"] = grants(), bob()
    call("update{}Permissions", body={"username": "bob", "permission": "READ"})
    call("delete{}Permission" if kind == "Metadata" else "delete{}Permissions")
    facts["all taken"] = grants()
    return facts
