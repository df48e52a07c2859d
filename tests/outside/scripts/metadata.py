"""A script of AgavePy: documents, what they are about, and how they are found."""

# ruff: noqa: BLE001  # as such scripts are written

import json
import os

from agavepy.agave import Agave

agave = Agave(
    api_server=os.environ["API"],
    username=os.environ["USERNAME"],
    password=os.environ["PASSWORD"],
    api_key=os.environ["KEY"],
    api_secret=os.environ["SECRET"],
    verify=os.environ["CA"],
)

for number, species in enumerate(["alba", "nigra", "alba"]):
    document = {"name": "sample", "value": {"species": species, "number": number, "sites": ["a", "b"]}}
    made = agave.meta.addMetadata(body=json.dumps(document))
    print("made", made.name, made["value"], made.owner, made.created.year > 2000)

found = agave.meta.listMetadata(q=json.dumps({"name": "sample", "value.species": "alba"}))
print("found", sorted(one["value"]["number"] for one in found))
print("many", len(agave.meta.listMetadata(q=json.dumps({"value.number": {"$gte": 1}}))))
print("page", len(agave.meta.listMetadata(q=json.dumps({"name": "sample"}), limit=2, offset=2)))

first = found[0]
changed = dict(first.value, checked=True)
agave.meta.updateMetadata(uuid=first.uuid, body={"name": "sample", "value": changed, "associationIds": [made.uuid]})
again = agave.meta.getMetadata(uuid=first.uuid)
print("changed", again.value == changed, again["associationIds"] == [made["uuid"]])
about = agave.meta.listMetadata(q=json.dumps({"associationIds": made.uuid}))
print("about", [one.uuid == first.uuid for one in about])

schema = {
    "title": "A sample",
    "type": "object",
    "properties": {"species": {"type": "string"}},
    "required": ["species"],
}
made = agave.meta.addSchema(body=schema)
print("schema", made["schema"]["title"], made.owner)
try:
    agave.meta.addMetadata(body={"name": "bad", "value": {"species": 7}, "schemaId": made.uuid})
    print("taken")
except Exception as error:
    print("refused", "400" in str(error))

agave.meta.updateMetadataPermissions(uuid=first.uuid, body={"username": "bob", "permission": "READ"})
for one in sorted(agave.meta.listMetadataPermissions(uuid=first.uuid), key=lambda one: one.username):
    print("may", one.username, one.permission["read"], one["permission"]["write"])

for one in agave.meta.listMetadata(q=json.dumps({"name": "sample"})):
    agave.meta.deleteMetadata(uuid=one.uuid)
agave.meta.deleteSchema(uuid=made.uuid)
print("left", len(agave.meta.listMetadata(q=json.dumps({"name": "sample"}))))
