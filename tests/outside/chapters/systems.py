"""Systems: registered, changed and cloned; who may use them; what opens them, which is never told."""

import json
from typing import Any

import requests  # AgavePy's, not ours

from .scene import SYSTEM, Facts, Scene, status_of

SECRET = "open sesame"  # to be found nowhere
OWN: Facts = {
    "id": "agavepy.store", "name": "AgavePy's own", "type": "STORAGE",
    "storage": {
        "host": "data.example.org", "port": 22, "protocol": "SFTP", "rootDir": "/", "homeDir": "/",
        "auth": {"type": "PASSWORD", "username": "lab", "password": SECRET},
    },
}  # fmt: skip
HERE: Facts = {"systemId": OWN["id"]}


def systems(scene: Scene) -> Facts:
    service = scene.alice.systems

    def named(**wanted: Any) -> list[str]:
        return [one["id"] for one in scene.same("systems.list", **wanted)]

    def default() -> bool:
        return any(one["id"] == OWN["id"] for one in scene.same("systems.list", default=True))

    facts: Facts = {"ids": named(), "storage": named(type="STORAGE"), "one page": len(named(limit=1))}
    facts["system"] = {key: scene.same("systems.get", systemId=SYSTEM)[key] for key in ("id", "type", "public")}
    facts["added"] = service.add(body=OWN)["id"]
    added = scene.same("systems.get", **HERE)
    facts["as it is"] = [added["revision"], added["storage"]["host"], added["storage"]["auth"], added["owner"]]
    changed = {**OWN, "name": "still its own", "storage": {**OWN["storage"], "auth": added["storage"]["auth"]}}
    facts["renamed"] = service.update(**HERE, body=changed)["name"]
    facts["read back"] = [scene.same("systems.get", **HERE)[key] for key in ("name", "revision")]
    service.manage(**HERE, body={"action": "SETDEFAULT"})
    facts["default"] = [default()]
    service.manage(**HERE, body={"action": "UNSETDEFAULT"})
    facts["default"].append(default())
    service.manage(**HERE, body={"action": "DISABLE"})
    facts["disabled"] = status_of(scene.alice.files.list, **HERE, filePath="/")
    service.manage(**HERE, body={"action": "ENABLE"})
    facts["enabled"] = [one["name"] for one in scene.same("files.list", **HERE, filePath="/")]
    cloned = service.manage(**HERE, body={"action": "CLONE", "id": "agavepy.clone"})
    facts["cloned"] = [cloned["id"], scene.same("systems.get", systemId="agavepy.clone")["name"]]
    service.delete(systemId="agavepy.clone")
    facts["clone gone"] = "agavepy.clone" not in named()
    facts["not bob's"] = status_of(scene.bob.systems.update, systemId="agavepy.store", body=OWN)
    facts["no publisher"] = status_of(service.manage, **HERE, body={"action": "PUBLISH"})
    scene.admin.systems.manage(**HERE, body={"action": "PUBLISH"})
    facts["published"] = OWN["id"] in [one["id"] for one in scene.bob.systems.list(public=True)]
    scene.admin.systems.manage(**HERE, body={"action": "UNPUBLISH"})
    facts["private again"] = scene.same("systems.get", **HERE)["public"]
    service.delete(**HERE)
    facts["gone"] = OWN["id"] not in named()
    scene.admin.systems.manage(**HERE, body={"action": "ERASE"})
    facts["erased"] = status_of(service.get, **HERE)
    facts["unknown"] = status_of(service.get, systemId="no.such.system")
    return facts


def roles(scene: Scene) -> Facts:
    service = scene.alice.systems
    service.add(body=OWN)

    def all_roles() -> Facts:
        return {one["username"]: one["role"] for one in scene.same("systems.listRoles", **HERE)}

    def bob() -> Facts:
        """What bob meets: of the record, of its files, of its roles."""
        met = {"see": status_of(scene.bob.systems.get, **HERE)}
        met["list"] = status_of(scene.bob.files.list, **HERE, filePath="/")
        met["grant"] = status_of(scene.bob.systems.updateRole, **HERE, body={"username": "admin", "role": "USER"})
        return met

    facts: Facts = {"first": all_roles(), "stranger": bob()}
    service.updateRole(**HERE, body={"username": "bob", "role": "USER"})
    facts["granted"], facts["user"] = all_roles(), bob()
    service.updateRoleForUser(**HERE, username="bob", body={"role": "ADMIN"})
    mine = scene.same("systems.getRoleForUser", **HERE, username="bob")
    facts["raised"] = [one["role"] for one in mine]
    facts["manager"] = bob()
    facts["by bob"] = all_roles()
    service.deleteRoleForUser(**HERE, username="bob")
    facts["one taken"], facts["again"] = all_roles(), bob()
    service.deleteRoles(**HERE)
    facts["all taken"] = all_roles()
    facts["of a public one"] = status_of(service.listRoles, systemId=SYSTEM)
    erase(scene)
    return facts


def credentials(scene: Scene) -> Facts:
    service = scene.alice.systems
    service.add(body=OWN)
    told: list[object] = []

    def kinds(key: str = "systems.listCredentials", **more: Any) -> list[list[object]]:
        found = scene.same(key, **HERE, **more)
        told.append(found)
        return [[one.get("internalUsername"), one["type"], one["parentType"], one["valid"]] for one in found]

    ann: Facts = {"internalUsername": "ann"}
    made = requests.post(
        f"{scene.url}/profiles/v2/alice/users", json={"username": "ann", "email": "ann@example.org"},
        headers={"Authorization": f"Bearer {scene.alice._token}"}, verify=scene.tenant["ca_cert"], timeout=30,
    )  # fmt: skip
    facts: Facts = {"internal user": made.status_code, "first": kinds()}
    keys = {"type": "SSHKEYS", "username": "lab", "publicKey": SECRET, "privateKey": SECRET}
    told.append(service.updateCredentials(**HERE, body=keys))
    facts["keys"] = kinds()
    password = {"type": "PASSWORD", "username": "ann", "password": SECRET}
    told.append(service.updateCredentialsForInternalUser(**HERE, **ann, body=password))
    facts["of ann"] = kinds("systems.listCredentialsForInternalUser", **ann)
    told.append(service.updateCredentialsForInternalUserByType(**HERE, **ann, credentialType="storage", body=keys))
    by_type = "systems.listCredentialsForInternalUserByType"
    facts["by type"] = kinds(by_type, **ann, credentialType="storage")
    facts["all"] = kinds()
    facts["not bob's"] = status_of(scene.bob.systems.listCredentials, **HERE)
    facts["nobody's"] = status_of(service.listCredentialsForInternalUser, **HERE, internalUsername="nobody")
    service.deleteCredentialsForInternalUserByType(**HERE, **ann, credentialType="storage")
    facts["type taken"] = kinds(by_type, **ann, credentialType="storage")
    service.updateCredentialsForInternalUser(**HERE, **ann, body=password)
    service.deleteCredentialsForInternalUser(**HERE, **ann)
    facts["ann's taken"] = kinds()
    service.deleteCredentials(**HERE)
    facts["none"] = kinds()
    told.append(scene.same("systems.get", **HERE))
    facts["told"] = SECRET in json.dumps(told, default=str)
    erase(scene)
    return facts


def erase(scene: Scene) -> None:
    scene.alice.systems.delete(**HERE)
    scene.admin.systems.manage(**HERE, body={"action": "ERASE"})
