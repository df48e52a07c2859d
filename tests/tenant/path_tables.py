"""Where paths stand in requests: each operation and each route that takes one, and how to ask it for a hostile one.

A key is an operation's, or the method and the path of a route, and behind a colon what it is asked for where that is
not the path in its URL. Whether all are here is tested, so what has a body and no path in it is named too.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from tests.tenant.scene import Answered, Wire
from tests.tenant.shop import record

Ask = Callable[[Wire, str], Any]  # a path as it stands in a URL; whoever puts it elsewhere decodes it

UPLOAD = b'--x\r\nContent-Disposition: form-data; name="fileToUpload"; filename="%b"\r\n\r\nuploaded\r\n--x--\r\n'
FORM = "multipart/form-data; boundary=x"
PUBLIC = "GET /files/v2/download/{username}/system/{systemId}/{filePath}"
FORBID = "DELETE /files/v2/pems/{filePath}"


def operation_of(name: str) -> str:
    return name.partition(": ")[0]


def on_default(name: str) -> bool:
    """Whether it means the caller's default system."""
    return operation_of(name).endswith("DefaultSystem") or name == FORBID


def text(path: str) -> str:
    return unquote_to_bytes(path).decode(errors="replace")


def url(method: str, prefix: str, body: Any = None, kind: str = "application/json") -> Ask:
    """The path stands in the URL."""
    return lambda wire, path: wire(method, prefix + path, body, kind=kind)


def body(method: str, target: str, make: Callable[[str], Any]) -> Ask:
    """The path stands in a body."""
    return lambda wire, path: wire(method, target, make(text(path)))


def acting(action: str, at: str = "/files/v2/media/system/data.demo//alice/free") -> Ask:
    return body("PUT", at, lambda path: {"action": action, "path": path})


def _quoted(path: str) -> bytes:
    return text(path).replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A").encode()


# files ---------------------------------------------------------------------------------------------------------------

DEMO = "/system/data.demo/"
INTO = "/files/v2/media/system/data.demo//alice/h"
GRANT = {"username": "bob", "permission": "READ"}
MKDIR = {"action": "mkdir", "path": "made"}

READING: dict[str, Ask] = {
    "files.list": url("GET", "/files/v2/listings" + DEMO),
    "files.listOnDefaultSystem": url("GET", "/files/v2/listings/"),
    "files.download": url("GET", "/files/v2/media" + DEMO),
    "files.downloadFromDefaultSystem": url("GET", "/files/v2/media/"),
    "files.getHistory": url("GET", "/files/v2/history" + DEMO),
    "files.getHistoryOnDefaultSystem": url("GET", "/files/v2/history/"),
    "files.listPermissions": url("GET", "/files/v2/pems" + DEMO),
    "files.listPermissionsOnDefaultSystem": url("GET", "/files/v2/pems/"),
    PUBLIC: url("GET", "/files/v2/download/alice" + DEMO),
    f"{PUBLIC}: user": lambda wire, path: wire(
        "GET", f"/files/v2/download/{path.replace('/', '%2f')}/system/data.demo/h/file"
    ),
}
WRITING: dict[str, Ask] = {
    "files.importData": url("POST", "/files/v2/media" + DEMO, UPLOAD % b"new", FORM),
    "files.importToDefaultSystem": url("POST", "/files/v2/media/", UPLOAD % b"new", FORM),
    "files.importData: name": lambda wire, path: wire("POST", INTO, UPLOAD % _quoted(path), kind=FORM),
    "files.importData: fileName": lambda wire, path: wire(
        "POST",
        INTO,
        b'--x\r\nContent-Disposition: form-data; name="fileName"\r\n\r\n'
        + text(path).encode()
        + b"\r\n"
        + UPLOAD % b"n",
        kind=FORM,
    ),
    "files.manage": url("PUT", "/files/v2/media" + DEMO, MKDIR),
    "files.manageOnDefaultSystem": url("PUT", "/files/v2/media/", MKDIR),
    "files.manage: mkdir": acting("mkdir", INTO),
    "files.manage: rename": acting("rename", f"{INTO}/file"),
    "files.manage: copy": acting("copy", f"{INTO}/file"),
    "files.manage: copy folder": acting("copy", f"{INTO}/real"),
    "files.manage: move": acting("move", f"{INTO}/file"),
    "files.manage: from": url("PUT", "/files/v2/media" + DEMO, {"action": "copy", "path": "/alice/copy"}),
    "files.manage: away": url("PUT", "/files/v2/media" + DEMO, {"action": "move", "path": "/alice/moved"}),
    "files.updatePermissions": url("POST", "/files/v2/pems" + DEMO, GRANT),
    "files.updatePermissionsOnDefaultSystem": url("POST", "/files/v2/pems/", GRANT),
    "files.deletePermissions": url("DELETE", "/files/v2/pems" + DEMO),
    FORBID: url("DELETE", "/files/v2/pems/"),
    "files.delete": url("DELETE", "/files/v2/media" + DEMO),
    "files.deleteFromDefaultSystem": url("DELETE", "/files/v2/media/"),
}
IN_URL = {name for name in WRITING if operation_of(name) == name} | {"files.manage: from", "files.manage: away"}
DELETING = {"files.delete", "files.deleteFromDefaultSystem", "files.manage: away"}

IMPORTS: dict[str, Ask] = {
    "files.importData: agave": body(
        "POST", "/files/v2/media/system/data.demo//alice/got", lambda path: {"urlToIngest": f"agave://data.demo/{path}"}
    ),
    "files.importData: agave home": body(
        "POST",
        "/files/v2/media/system/data.demo//alice/got",
        lambda path: {"urlToIngest": f"agave://data.demo//alice/h/{path}"},
    ),
}

# records -------------------------------------------------------------------------------------------------------------

STORE = {
    "name": "s", "type": "STORAGE", "site": "s",
    "storage": {"host": "h", "port": 22, "protocol": "SFTP", "auth": {"type": "PASSWORD", "username": "u",
    "password": "p"}},
}  # fmt: skip
HOST = {
    **STORE, "type": "EXECUTION", "executionType": "CLI", "scheduler": "FORK", "login": {**STORE["storage"],
    "protocol": "SSH"},
    "queues": [{"name": "normal", "default": True, "maxProcessorsPerNode": 1, "maxMemoryPerNode": "1GB",
    "maxNodes": 1}],
}  # fmt: skip
OWN = "own"  # the id of what is changed: a store, a host with `-host` behind it, an app, and the alias of an actor
SYSTEM_FIELDS: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "rootDir": lambda name, path: {**STORE, "id": name, "storage": {**STORE["storage"], "rootDir": path}},
    "homeDir": lambda name, path: {**STORE, "id": name, "storage": {**STORE["storage"], "homeDir": path}},
    "scratchDir": lambda name, path: {**HOST, "id": f"{name}-host", "scratchDir": path},
    "workDir": lambda name, path: {**HOST, "id": f"{name}-host", "workDir": path},
}
APP_FIELDS: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "deploymentPath": lambda name, path: record(name, deploymentPath=path),
    "templatePath": lambda name, path: record(name, deploymentPath="/alice/h", templatePath=path),
    "testPath": lambda name, path: record(name, deploymentPath="/alice/h", templatePath="file", testPath=path),
}
_numbers = itertools.count()


def _adding(target: str, make: Callable[[str, str], dict[str, Any]]) -> Ask:
    return body("POST", target, lambda path: make(f"new{next(_numbers)}", path))


def _changing(target: str, make: Callable[[str, str], dict[str, Any]]) -> Ask:
    at = f"{target}{make(OWN, '').get('id') or f'{OWN}-1.0'}"
    return body("POST", at, lambda path: make(OWN, path))


def _cloning(target: str, make: Callable[[str], dict[str, Any]]) -> Ask:
    return body("PUT", target, lambda path: {"action": "CLONE", **make(path)})


async def _redeemed(wire: Wire, path: str) -> Answered:
    made: Answered = await wire("POST", "/postits/v2/", {"url": f"http://here/files/v2/media{DEMO}/alice/h/{path}"})
    if made.status >= 300:
        return made
    answer: Answered = await wire("GET", f"/postits/v2/{json.loads(made.body)['result']['postit']}")
    return answer


SYSTEMS: dict[str, Ask] = {
    "systems.add: id": body("POST", "/systems/v2/", lambda path: {**STORE, "id": path}),
    **{f"systems.add: {name}": _adding("/systems/v2/", make) for name, make in SYSTEM_FIELDS.items()},
    **{f"systems.update: {name}": _changing("/systems/v2/", make) for name, make in SYSTEM_FIELDS.items()},
    "systems.manage: clone": _cloning(f"/systems/v2/{OWN}", lambda path: {"id": path}),
}
APPS: dict[str, Ask] = {
    "apps.add: name": body(
        "POST", "/apps/v2/", lambda path: record(path, deploymentPath="/alice/h", templatePath="file", testPath="file")
    ),
    **{f"apps.add: {name}": _adding("/apps/v2/", make) for name, make in APP_FIELDS.items()},
    **{f"apps.update: {name}": _changing("/apps/v2/", make) for name, make in APP_FIELDS.items()},
    "apps.manage: clone name": _cloning(f"/apps/v2/{OWN}-1.0", lambda path: {"name": path}),
    "apps.manage: clone deploymentPath": _cloning(
        f"/apps/v2/{OWN}-1.0", lambda path: {"name": f"copy{next(_numbers)}", "deploymentPath": path}
    ),
    "actors.add": body("POST", "/actors/v2", lambda path: {"image": path}),
    "actors.update": body("PUT", f"/actors/v2/{OWN}", lambda path: {"image": path}),
    "postits.create": _redeemed,
}
BY_ADMINISTRATORS: dict[str, Ask] = {
    "apps.manage: publish": body("PUT", f"/apps/v2/{OWN}-1.0", lambda path: {"action": "PUBLISH", "name": path}),
    "profiles.create": body(
        "POST",
        "/profiles/v2",
        lambda path: {"username": path, "password": "long enough", "email": f"{quote(path, safe='')[:40]}@example.org"},
    ),
}

# jobs ----------------------------------------------------------------------------------------------------------------

JOBS: dict[str, Callable[[str], dict[str, Any]]] = {
    "jobs.submit: input": lambda path: {"inputs": {"text": path}},
    "jobs.submit: agave": lambda path: {"inputs": {"text": f"agave://data.demo/{path}"}},
    "jobs.submit: archivePath": lambda path: {
        "archive": True, "archivePath": path, "inputs": {"text": "/alice/nothing"}
    },
}  # fmt: skip
OUTPUTS = {"jobs.listOutputs": "listings", "jobs.downloadOutput": "media"}

TABLES: tuple[dict[str, Any], ...] = (READING, WRITING, IMPORTS, SYSTEMS, APPS, BY_ADMINISTRATORS, JOBS, OUTPUTS)

# what has a body and no path in it -----------------------------------------------------------------------------------

PATHLESS = {
    "actors.sendMessage", "actors.sendBinaryMessage", "actors.updateState", "actors.updatePermissions",
    "actors.addWorker", "actors.addNonce", "actors.addAlias", "PUT /actors/v2/aliases/{alias}",
    "apps.updateApplicationPermissions", "apps.updatePermissionsForUser",
    "jobs.manage", "jobs.updatePermissions", "jobs.updatePermissionsForUser",
    "POST /jobs/v2/trigger/job/{jobId}/token/{token}/status/{status}",
    "meta.addMetadata", "meta.updateMetadata", "meta.addSchema", "meta.updateSchema", "meta.updateMetadataPermissions",
    "meta.updateMetadataPermissionsForUser", "meta.updateSchemaPermissions", "meta.updateSchemaPermissionsForUser",
    "notifications.add", "notifications.update", "POST /notifications/v2/{uuid}/attempts",
    "profiles.update", "POST /profiles/v2/{username}/users", "POST /profiles/v2/{username}/users/{internalUsername}",
    "PUT /profiles/v2/{username}/users/{internalUsername}",
    "systems.updateRole", "systems.updateRoleForUser", "systems.updateCredentials",
    "systems.updateCredentialsForInternalUser", "systems.updateCredentialsForInternalUserByType",
    "POST /systems/v2/{systemId}/queues", "POST /systems/v2/{systemId}/queues/{name}",
    "PUT /systems/v2/{systemId}/queues/{name}",
    "clients.create", "clients.addSubscriptionForClient", "monitors.add", "monitors.update",
    "POST /token", "POST /revoke",
    # whose URL was looked at when they were made
    "POST /postits/v2/{postitId}", "PUT /postits/v2/{postitId}",
}  # fmt: skip
