"""Files: made, uploaded, fetched, changed and shared; on a system by name, and on the user's default one."""

import hashlib
from typing import Any

import requests  # AgavePy's, not ours

from .notifications import delivered
from .scene import SYSTEM, Facts, Scene, awaited, status_of

FOLDER = "/alice/agave py"
NAME = "ü b+c.txt"
CONTENT = b"one line\r\nand \0 another \xff\n"
LARGE = hashlib.shake_256(b"AgavePy").digest(3_000_000)  # more than a buffer of anybody's


def files(scene: Scene) -> Facts:
    agave, there = scene.alice, {"systemId": SYSTEM}
    manage = agave.files.manage

    def names(path: str) -> list[str]:
        return sorted(one["name"] for one in scene.same("files.list", **there, filePath=path))

    def settled(path: str) -> bool:
        events = [one["status"] for one in agave.files.getHistory(**there, filePath=path)]
        return "STAGING_COMPLETED" in events

    facts: Facts = {}
    facts["made"] = manage(**there, filePath="/alice", body={"action": "mkdir", "path": "agave py"})["path"]
    facts["uploaded"] = upload(scene, NAME, CONTENT)["name"]
    awaited(lambda: settled(f"{FOLDER}/{NAME}"))
    facts["names"] = names(FOLDER)
    entry = next(one for one in agave.files.list(**there, filePath=FOLDER) if one["name"] == NAME)
    facts["entry"] = {key: entry[key] for key in ("path", "length", "type", "system")}
    facts["dated"] = type(entry["lastModified"]).__name__
    facts["same bytes"] = scene.same("files.download", **there, filePath=f"{FOLDER}/{NAME}").content == CONTENT
    part = scene.same("files.download", **there, filePath=f"{FOLDER}/{NAME}", headers={"Range": "bytes=4-7"})
    facts["part"] = [part.status_code, part.content.decode()]
    upload(scene, "large.bin", LARGE)
    awaited(lambda: settled(f"{FOLDER}/large.bin"))
    facts["large"] = scene.same("files.download", **there, filePath=f"{FOLDER}/large.bin").content == LARGE
    agave.files.delete(**there, filePath=f"{FOLDER}/large.bin")
    url = agave.files.list(**there, filePath=f"{FOLDER}/{NAME}")[0]["_links"]["self"]["href"]
    facts["link"] = requests.get(
        url, headers={"Authorization": f"Bearer {agave._token}"}, verify=scene.tenant["ca_cert"], timeout=30
    ).content == CONTENT  # fmt: skip
    manage(**there, filePath=f"{FOLDER}/{NAME}", body={"action": "copy", "path": f"{FOLDER}/copy.txt"})
    manage(**there, filePath=f"{FOLDER}/{NAME}", body={"action": "rename", "path": "renamed.txt"})
    manage(**there, filePath=f"{FOLDER}/copy.txt", body={"action": "move", "path": f"{FOLDER}/moved.txt"})
    facts["changed"] = names(FOLDER)
    facts["copied bytes"] = [
        scene.same("files.download", **there, filePath=f"{FOLDER}/{name}").content == CONTENT
        for name in ("renamed.txt", "moved.txt")
    ]
    facts["renames never replace"] = status_of(
        manage, **there, filePath=f"{FOLDER}/moved.txt", body={"action": "rename", "path": "renamed.txt"}
    )
    source = f"agave://{SYSTEM}/{FOLDER}/moved.txt"
    agave.files.importData(**there, filePath=FOLDER, urlToIngest=source, fileName="imported.txt")
    awaited(lambda: settled(f"{FOLDER}/imported.txt"))
    facts["imported"] = scene.same("files.download", **there, filePath=f"{FOLDER}/imported.txt").content == CONTENT
    agave.download_uri(source, str(scene.folder / "by uri"))
    facts["by uri"] = (scene.folder / "by uri").read_bytes() == CONTENT
    facts["from home"] = names("agave py")
    default = scene.same("files.listOnDefaultSystem", filePath=FOLDER)
    facts["default system"] = sorted(one["name"] for one in default)
    facts["slices"] = [
        [one["name"] for one in scene.same("files.list", **there, filePath=FOLDER, limit=2, offset=offset)]
        for offset in (0, 2, 4)
    ]
    facts["faults"] = described(scene)
    facts["permissions"] = permissions(scene, f"{FOLDER}/moved.txt")
    history = scene.same("files.getHistory", **there, filePath=f"{FOLDER}/moved.txt")
    facts["history"] = [one["status"] for one in history]
    agave.files.delete(**there, filePath=f"{FOLDER}/moved.txt")
    facts["deleted"] = status_of(agave.files.download, **there, filePath=f"{FOLDER}/moved.txt")
    facts["left"] = names(FOLDER)
    agave.files.delete(**there, filePath=FOLDER)
    facts["folder gone"] = status_of(agave.files.list, **there, filePath=FOLDER)
    facts["foreign"] = status_of(agave.files.list, **there, filePath="/bob")
    return facts


def permissions(scene: Scene, path: str) -> Facts:
    here, service = {"systemId": SYSTEM, "filePath": path}, scene.alice.files

    def now() -> dict[str, Any]:
        return {one["username"]: one["permission"] for one in scene.same("files.listPermissions", **here)}

    def bob() -> list[int]:
        rename = {"action": "rename", "path": "bob's.txt"}
        return [status_of(scene.bob.files.download, **here), status_of(scene.bob.files.manage, **here, body=rename)]

    facts: Facts = {"before": sorted(now()), "bob before": bob()}
    service.updatePermissions(**here, body={"username": "bob", "permission": "READ"})
    facts["granted"], facts["bob"] = now()["bob"], bob()
    service.deletePermissions(**here)
    facts["after"], facts["bob after"] = sorted(now()), bob()
    return facts


def described(scene: Scene) -> Facts:
    """What is told of an upload beside the file: AgavePy drops it, or breaks off; ours says it."""
    service, there = scene.alice.files, {"systemId": SYSTEM, "filePath": FOLDER}
    for name in ("plain.txt", "default.txt"):
        (scene.folder / name).write_bytes(CONTENT)
    facts: Facts = {}
    with (scene.folder / "plain.txt").open("rb") as file:
        facts["theirs"] = service.importData(**there, fileToUpload=file, fileName="named.txt")["name"]
    with (scene.folder / "default.txt").open("rb") as file:
        given = {"sourcefilePath": FOLDER, "fileToUpload": file, "fileName": "named.txt"}
        facts["theirs by default"] = service.importToDefaultSystem(**given)["name"]
    facts["ours"] = scene.ours("files.importData", **there, fileToUpload=CONTENT, fileName="named.txt")["name"]
    given = {"sourcefilePath": FOLDER, "fileToUpload": CONTENT, "fileName": "by default.txt"}
    facts["ours by default"] = scene.ours("files.importToDefaultSystem", **given)["name"]
    told = [{"url": f"{scene.hook}/import?event=${{EVENT}}", "event": "STAGING_COMPLETED"}]
    given = {**there, "urlToIngest": f"agave://{SYSTEM}/{FOLDER}/renamed.txt", "fileName": "told.txt"}
    try:
        service.importData(**given, notifications=told)
    except TypeError as fault:
        facts["theirs told"] = str(fault)
    imported = scene.ours("files.importData", **given, notifications=told)
    facts["ours told"] = imported["name"]
    delivered(scene, imported["uuid"])
    for name in ("plain.txt", "default.txt", "named.txt", "by default.txt", "told.txt"):
        here = {"systemId": SYSTEM, "filePath": f"{FOLDER}/{name}"}
        awaited(lambda here=here: status_of(service.download, **here) == 0)
        facts[name] = service.download(**here).content == CONTENT
        service.delete(**here)
    return facts


def on_default_system(scene: Scene) -> Facts:
    """The same by the paths that name no system."""
    service, folder = scene.alice.files, "/alice/default"
    here = {"sourcefilePath": f"{folder}/notes.txt"}
    manage = service.manageOnDefaultSystem

    def names() -> list[str]:
        return sorted(one["name"] for one in scene.same("files.listOnDefaultSystem", filePath=folder))

    facts: Facts = {"made": manage(sourcefilePath="/alice", body={"action": "mkdir", "path": "default"})["path"]}
    facts["empty"] = names()
    local = scene.folder / "notes.txt"
    local.write_bytes(CONTENT)
    with local.open("rb") as file:
        facts["uploaded"] = service.importToDefaultSystem(sourcefilePath=folder, fileToUpload=file)["systemId"]
    there = {"filePath": f"{folder}/notes.txt"}

    def events() -> list[str]:
        return [one["status"] for one in scene.same("files.getHistoryOnDefaultSystem", **there)]

    awaited(lambda: "STAGING_COMPLETED" in events())
    facts["same bytes"] = scene.same("files.downloadFromDefaultSystem", **here).content == CONTENT
    source = f"agave://{SYSTEM}/{folder}/notes.txt"
    service.importToDefaultSystem(sourcefilePath=folder, urlToIngest=source, fileName="again.txt")
    again = {"sourcefilePath": f"{folder}/again.txt"}
    awaited(lambda: status_of(service.downloadFromDefaultSystem, **again) == 0)
    facts["imported"] = scene.same("files.downloadFromDefaultSystem", **again).content == CONTENT
    facts["bob before"] = status_of(scene.bob.files.downloadFromDefaultSystem, **here)
    service.updatePermissionsOnDefaultSystem(**there, body={"username": "bob", "permission": "READ"})
    granted = scene.same("files.listPermissionsOnDefaultSystem", **there)
    facts["granted"] = {one["username"]: one["permission"]["read"] for one in granted}
    facts["bob"] = scene.bob.files.downloadFromDefaultSystem(**here).content == CONTENT
    facts["events"] = events()
    manage(**here, body={"action": "rename", "path": "renamed.txt"})
    facts["renamed"] = names()
    service.deleteFromDefaultSystem(sourcefilePath=f"{folder}/renamed.txt")
    facts["left"] = names()
    service.deleteFromDefaultSystem(sourcefilePath=folder)
    facts["gone"] = status_of(service.listOnDefaultSystem, filePath=folder)
    return facts


def upload(scene: Scene, name: str, content: bytes, folder: str = FOLDER) -> Any:
    """Upload a file by AgavePy, which wants one of this machine. What it answers."""
    local = scene.folder / name
    local.write_bytes(content)
    with local.open("rb") as file:
        return scene.alice.files.importData(systemId=SYSTEM, filePath=folder, fileToUpload=file)
