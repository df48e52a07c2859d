"""Apps: found, registered, changed, shared, published, cloned, disabled and deleted."""

from .files import upload
from .scene import SYSTEM, Facts, Scene, awaited, status_of

WRAPPER = b"""\
# writes its result as JSON, which is what AgavePy takes an output for
echo '{"status": "success", "result": {"greeting": "'"${greeting}"'"}}' > result.json
"""
OWN: Facts = {
    "name": "greeter", "version": "1.0", "label": "Greeter", "parallelism": "SERIAL", "executionType": "CLI",
    "executionSystem": "run.demo", "deploymentSystem": SYSTEM, "deploymentPath": "/alice/greeter",
    "templatePath": "wrapper.sh", "testPath": "test.sh", "tags": ["agavepy"], "inputs": [],
    "parameters": [{"id": "greeting", "value": {"type": "string", "required": True, "validator": "[a-z ]+"}}],
}  # fmt: skip
HERE: Facts = {"appId": "greeter-1.0"}


def apps(scene: Scene) -> Facts:
    facts: Facts = {"ids": sorted(one["id"] for one in scene.same("apps.list"))}
    quick = scene.same("apps.get", appId="wordcount-1.0")
    facts["quick"] = {key: quick[key] for key in ("id", "name", "version", "executionSystem", "isPublic")}
    facts["inputs"] = [one["id"] for one in quick["inputs"]]
    facts["by name"] = [one["id"] for one in scene.same("apps.listByName", name="wordcount")]
    facts["by system"] = sorted(one["id"] for one in scene.same("apps.listBySystemId", systemId="run.demo"))
    facts["searched"] = [one["id"] for one in scene.same("apps.list", search={"name.like": "word*"})]
    facts["filtered"] = scene.alice.apps.list(search={"id": "wordcount-1.0"}, filter="id,version")
    facts["unknown"] = status_of(scene.alice.apps.get, appId="nothing-1.0")
    return facts


def own_app(scene: Scene) -> Facts:
    service = scene.alice.apps
    facts: Facts = {"without files": status_of(service.add, body=OWN)}
    plant(scene)
    added = service.add(body=OWN)
    facts["added"] = [added["id"], added["revision"], added["owner"], added["isPublic"]]
    record = scene.same("apps.get", **HERE)
    facts["as it is"] = [record["label"], record["tags"], record["parameters"][0]["value"]["validator"]]
    facts["private"] = [one["id"] for one in scene.same("apps.list", privateOnly=True)]
    facts["refused"] = status_of(service.update, **HERE, body={**OWN, "parallelism": "SIDEWAYS"})
    updated = service.update(**HERE, body={**OWN, "label": "A greeter"})
    facts["updated"] = [updated["label"], scene.same("apps.get", **HERE)["revision"]]
    facts["shared"] = shared(scene)
    service.manage(**HERE, body={"action": "disable"})
    facts["disabled"] = [scene.same("apps.get", **HERE)["available"]]
    facts["disabled"].append(status_of(scene.alice.jobs.submit, body=job("no")))
    service.manage(**HERE, body={"action": "enable"})
    facts["enabled"] = scene.same("apps.get", **HERE)["available"]
    cloned = service.manage(**HERE, body={"action": "clone", "name": "cloned", "version": "2.0"})
    facts["cloned"] = [cloned["id"], [one["id"] for one in scene.same("apps.listByName", name="cloned")]]
    service.delete(appId="cloned-2.0")
    facts["clone gone"] = status_of(service.get, appId="cloned-2.0")
    facts["no publisher"] = status_of(service.manage, **HERE, body={"action": "publish"})
    public = scene.admin.apps.manage(**HERE, body={"action": "publish"})["id"]
    facts["published"] = [public, scene.same("apps.get", appId=public)["isPublic"]]
    facts["public"] = public in [one["id"] for one in scene.bob.apps.list(publicOnly=True)]
    facts["pems of a public one"] = status_of(service.listPermissions, appId=public)
    scene.admin.apps.delete(appId=public)
    service.delete(**HERE)
    facts["gone"] = status_of(service.get, **HERE)
    return facts


def shared(scene: Scene) -> Facts:
    service = scene.alice.apps

    def grants() -> dict[str, list[str]]:
        found = scene.same("apps.listPermissions", **HERE)
        return {one["username"]: [name for name, may in one["permission"].items() if may] for one in found}

    def bob() -> list[int]:
        """What bob meets when he looks at it, and when he changes it."""
        return [status_of(scene.bob.apps.get, **HERE), status_of(scene.bob.apps.update, **HERE, body=OWN)]

    facts: Facts = {"first": grants(), "stranger": bob()}
    service.updateApplicationPermissions(**HERE, body={"username": "bob", "permission": "READ"})
    facts["granted"], facts["reader"] = grants(), bob()
    service.updatePermissionsForUser(**HERE, username="bob", body={"permission": "READ_EXECUTE"})
    # one record comes where AgavePy expects a list: it goes through its fields
    one = service.listPermissionsForUser(**HERE, username="bob")
    facts["fields"] = sorted({name for field in one for name in field.values()})
    facts["more"] = scene.ours("apps.listPermissionsForUser", **HERE, username="bob")["permission"]
    service.deletePermissionsForUser(**HERE, username="bob")
    facts["taken"], facts["bob again"] = grants(), bob()
    service.updateApplicationPermissions(**HERE, body={"username": "bob", "permission": "READ"})
    service.deletePermissions(**HERE)
    facts["all taken"] = grants()
    return facts


def plant(scene: Scene) -> None:
    """Put the app's files where its record says."""
    scene.alice.files.manage(systemId=SYSTEM, filePath="/alice", body={"action": "mkdir", "path": "greeter"})
    for name, content in (("wrapper.sh", WRAPPER), ("test.sh", b"true\n")):
        upload(scene, name, content, "/alice/greeter")

    def settled() -> bool:
        found = scene.alice.files.list(systemId=SYSTEM, filePath="/alice/greeter")
        return {one["name"]: one["length"] for one in found if one["name"] != "."} == {
            "wrapper.sh": len(WRAPPER), "test.sh": 5,
        }  # fmt: skip

    awaited(settled)


def job(greeting: str) -> Facts:
    """A request for a job of the app."""
    return {"name": "Greet", "appId": "greeter-1.0", "archive": True, "parameters": {"greeting": greeting}}
