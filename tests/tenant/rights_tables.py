"""Who may do what: what each operation answers to each kind of caller, as the platform has it.

`rights` says how a row is read and walked. The cells stand in the order of a table's callers. What the platform hides
from a caller is 404 (400 where a body names it); what it only refuses is 403, or 401 in the places where it says so.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

from tests.tenant.rights import Row, Table
from tests.tenant.test_systems import HOST

PRIVATE, PUBLIC, DISABLED, SHARED = "private", "public", "disabled", "shared"
SECRET = {"type": "PASSWORD", "username": "u", "password": "p"}
SYSTEM: dict[str, Any] = {**HOST, "id": "{systemId}"}
ANN = {"internalUsername": "ann"}
APP_ON: dict[str, Any] = {
    "version": "1.0", "executionSystem": "run.demo", "executionType": "CLI", "parallelism": "SERIAL",
    "deploymentSystem": "data.demo", "deploymentPath": "/apps/bundle", "templatePath": "wrapper.sh",
    "testPath": "wrapper.sh", "tags": ["tag-{n}"], "ontology": ["term-{n}"],
}  # fmt: skip
PERSON: dict[str, Any] = {"username": "zoe-{n}", "email": "zoe{n}@z.org", "password": "long enough"}


def act(action: str, **more: Any) -> dict[str, Any]:
    return {"body": {"action": action, **more}}


def to(permission: str, **more: Any) -> dict[str, Any]:
    return {"body": {"username": "{grantee}", "permission": permission, **more}}


def role(name: str, **more: Any) -> dict[str, Any]:
    return {**more, "body": {"username": "{grantee}", "role": name}}


def hear(uuid: str) -> dict[str, Any]:
    return {"body": {"associatedUuid": uuid, "event": "NEVER", "url": "http://127.0.0.1:9/hook"}}


# systems: the roles, of a private system, of one that was published, of one that was disabled ------------------------

SYSTEMS = Table("owner manager publisher user guest stranger administrator", (
    ("systems.list", PRIVATE, {}, "+ + + + + - +"),
    ("systems.list", PUBLIC, {}, "+ + + + + + +"),
    ("systems.list", DISABLED, {}, "- - - - - - -"),
    ("systems.list", DISABLED, {"query": {"available": "false"}}, "+ + + + - - +"),
    ("systems.get", PRIVATE, {}, "200 200 200 200 200 403 200"),
    ("systems.get", PUBLIC, {}, "200 200 200 200 200 200 200"),
    ("systems.get", DISABLED, {}, "200 200 200 200 404 404 200"),
    ("systems.add", "none", {"body": {**SYSTEM, "id": "new-{n}-{caller}"}}, "201 201 201 201 201 201 201"),
    ("systems.add", PRIVATE, {"body": SYSTEM}, "201 201 403 403 403 403 201"),
    ("systems.add", PUBLIC, {"body": SYSTEM}, "403 403 403 403 403 403 403"),
    ("systems.add", DISABLED, {"body": SYSTEM}, "400 400 403 403 403 403 400"),
    ("systems.update", PRIVATE, {"body": SYSTEM}, "200 200 403 403 403 403 200"),
    ("systems.update", PUBLIC, {"body": SYSTEM}, "403 403 403 403 403 403 403"),
    ("systems.update", DISABLED, {"body": SYSTEM}, "400 400 403 403 404 404 400"),
    ("systems.delete", PRIVATE, {}, "200 200 401 401 401 401 200"),
    ("systems.delete", PUBLIC, {}, "200 200 401 401 401 401 200"),
    ("systems.manage", PRIVATE, act("PUBLISH"), "403 403 403 403 403 403 200"),
    ("systems.manage", PUBLIC, act("UNPUBLISH"), "403 403 403 403 403 403 200"),
    ("systems.manage", PRIVATE, act("SETDEFAULT"), "200 200 200 200 403 403 200"),
    ("systems.manage", PUBLIC, act("SETDEFAULT"), "200 200 200 200 200 200 200"),
    ("systems.manage", DISABLED, act("SETDEFAULT"), "400 400 400 400 404 404 400"),
    ("systems.manage", PRIVATE, act("UNSETDEFAULT"), "200 200 200 200 403 403 200"),
    ("systems.manage", PUBLIC, act("SETGLOBALDEFAULT"), "403 403 403 403 403 403 200"),
    ("systems.manage", PRIVATE, act("SETGLOBALDEFAULT"), "403 403 403 403 403 403 400"),
    ("systems.manage", PUBLIC, act("UNSETGLOBALDEFAULT"), "403 403 403 403 403 403 200"),
    ("systems.manage", PRIVATE, act("CLONE", id="{systemId}-{caller}"), "200 200 200 200 200 403 200"),
    ("systems.manage", PUBLIC, act("CLONE", id="{systemId}-{caller}"), "200 200 200 200 200 200 200"),
    ("systems.manage", DISABLED, act("CLONE", id="{systemId}-{caller}"), "200 200 200 200 404 404 200"),
    ("systems.manage", PRIVATE, act("DISABLE"), "200 200 403 403 403 403 200"),
    ("systems.manage", DISABLED, act("ENABLE"), "200 200 403 403 404 404 200"),
    ("systems.manage", PRIVATE, act("ERASE"), "403 403 403 403 403 403 200"),
    ("systems.listRoles", PRIVATE, {}, "200 200 403 403 403 403 200"),
    ("systems.listRoles", PUBLIC, {}, "501 501 501 501 501 501 501"),
    ("systems.listRoles", DISABLED, {}, "400 400 403 403 404 404 400"),
    ("systems.getRoleForUser", PRIVATE, {"username": "bob"}, "200 200 403 403 403 403 200"),
    ("systems.updateRole", PRIVATE, role("GUEST"), "201 201 403 403 403 403 201"),
    ("systems.updateRole", PUBLIC, role("GUEST"), "501 501 501 501 501 501 501"),
    ("systems.updateRoleForUser", PRIVATE, role("ADMIN", username="{grantee}"), "201 201 403 403 403 403 201"),
    ("systems.updateRoleForUser", DISABLED, role("ADMIN", username="{grantee}"), "400 400 403 403 404 404 400"),
    ("systems.deleteRoleForUser", PRIVATE, {"username": "user"}, "200 200 403 403 403 403 200"),
    ("systems.deleteRoles", PRIVATE, {}, "200 200 403 403 403 403 200"),
    ("systems.deleteRoles", PUBLIC, {}, "501 501 501 501 501 501 501"),
    ("systems.listCredentials", PRIVATE, {}, "200 200 403 403 403 403 200"),
    ("systems.listCredentials", PUBLIC, {}, "200 200 403 403 403 403 200"),
    ("systems.updateCredentials", PRIVATE, {"body": SECRET}, "201 201 403 403 403 403 201"),
    ("systems.updateCredentials", DISABLED, {"body": SECRET}, "400 400 403 403 404 404 400"),
    ("systems.deleteCredentials", PRIVATE, {}, "200 200 403 403 403 403 200"),
    ("systems.listCredentialsForInternalUser", PRIVATE, ANN, "200 200 403 403 403 403 200"),
    ("systems.updateCredentialsForInternalUser", PRIVATE, {**ANN, "body": SECRET}, "201 201 403 403 403 403 201"),
    ("systems.deleteCredentialsForInternalUser", PRIVATE, ANN, "200 200 403 403 403 403 200"),
    ("systems.listCredentialsForInternalUserByType", PRIVATE, {**ANN, "credentialType": "LOGIN"},
     "200 200 403 403 403 403 200"),
    ("systems.updateCredentialsForInternalUserByType", PRIVATE,
     {**ANN, "credentialType": "STORAGE", "body": SECRET}, "201 201 403 403 403 403 201"),
    ("systems.deleteCredentialsForInternalUserByType", PRIVATE, {**ANN, "credentialType": "LOGIN"},
     "200 200 403 403 403 403 200"),
    ("GET /systems/v2/{systemId}/history", PRIVATE, {}, "200 200 200 200 200 403 200"),
    ("GET /systems/v2/{systemId}/queues", PRIVATE, {}, "200 200 200 200 200 403 200"),
    ("GET /systems/v2/{systemId}/queues", PUBLIC, {}, "200 200 200 200 200 200 200"),
    ("GET /systems/v2/{systemId}/queues/{name}", DISABLED, {"name": "normal"}, "200 200 200 200 404 404 200"),
    ("POST /systems/v2/{systemId}/queues", PRIVATE, {"body": {"name": "long"}}, "201 201 403 403 403 403 201"),
    ("POST /systems/v2/{systemId}/queues", PUBLIC, {"body": {"name": "long"}}, "403 403 403 403 403 403 403"),
    ("PUT /systems/v2/{systemId}/queues/{name}", PRIVATE, {"name": "normal", "body": {"name": "normal"}},
     "200 200 403 403 403 403 200"),
    ("POST /systems/v2/{systemId}/queues/{name}", PRIVATE, {"name": "normal", "body": {"name": "normal"}},
     "200 200 403 403 403 403 200"),
    ("DELETE /systems/v2/{systemId}/queues/{name}", PRIVATE, {"name": "other"}, "200 200 403 403 403 403 200"),
    # what other services let those with a role do
    ("apps.add", PRIVATE, {"body": {**APP_ON, "name": "new-{n}-{caller}", "executionSystem": "{systemId}"}},
     "200 200 200 403 403 400 200"),
    ("jobs.submit", "with an app", {"body": {"name": "j", "appId": "{appId}", "archive": False}},
     "201 201 201 201 403 400 201"),
    ("monitors.add", PRIVATE, {"body": {"target": "{systemId}"}}, "201 201 201 201 400 400 201"),
    ("monitors.add", PRIVATE, {"body": {"target": "{systemId}", "updateSystemStatus": True}},
     "201 201 403 403 400 400 201"),
    ("notifications.add", PRIVATE, hear("{uuid}"), "201 201 201 201 201 403 201"),
))  # fmt: skip

# files: on a private system roles decide, on a public one homes, owners and grants -----------------------------------

FILE, BARE, FOLDER = "{folder}/a.txt", "{folder}/b.txt", "{folder}"
HERE = {"systemId": "{systemId}"}


def on_both(*rows: tuple[str, str, str, dict[str, Any], str]) -> tuple[Row, ...]:
    """Rows of files, and the same by the operations that leave the system out."""
    return tuple(chain.from_iterable(
        (
            (f"files.{key}", state, {**more, **HERE, "filePath": path}, cells),
            (DEFAULTS[key], state, {**more, "filePath": path, "sourcefilePath": path}, cells),
        )
        for key, state, path, more, cells in rows
    ))  # fmt: skip


DEFAULTS = {
    "list": "files.listOnDefaultSystem", "download": "files.downloadFromDefaultSystem",
    "importData": "files.importToDefaultSystem", "manage": "files.manageOnDefaultSystem",
    "delete": "files.deleteFromDefaultSystem", "getHistory": "files.getHistoryOnDefaultSystem",
    "listPermissions": "files.listPermissionsOnDefaultSystem",
    "updatePermissions": "files.updatePermissionsOnDefaultSystem",
    "deletePermissions": "DELETE /files/v2/pems/{filePath}",
}  # fmt: skip

# a file's grants, a folder's own, a folder's recursive ones
GRANTS = {
    "file_r": "READ", "file_w": "WRITE", "file_x": "EXECUTE", "folder_r": "READ", "folder_w": "WRITE",
    "tree_r": "READ", "tree_w": "WRITE", "tree_x": "EXECUTE", "tree_all": "ALL",
}  # fmt: skip
FETCHED = {"urlToIngest": "agave://{systemId}/{folder}/a.txt", "fileName": "got-{n}"}
HOME = {"path": "/{caller}/new-{n}"}

FILES = Table(" ".join(["owner", *GRANTS, "stranger", "administrator"]), (*on_both(
    # READ on the path
    ("list", PRIVATE, FILE, {}, "200 200 403 403 403 403 200 403 403 200 403 200"),
    ("list", PRIVATE, FOLDER, {}, "200 403 403 403 200 403 200 403 403 200 403 200"),
    ("list", SHARED, FILE, {}, "200 200 200 200 200 200 200 200 200 200 200 200"),
    ("list", PRIVATE, "{folder}/gone", {}, "404 403 403 403 403 403 404 403 403 404 403 404"),
    ("download", PRIVATE, FILE, {}, "200 200 403 403 403 403 200 403 403 200 403 200"),
    ("download", PRIVATE, BARE, {}, "200 403 403 403 403 403 200 403 403 200 403 200"),
    ("download", SHARED, FILE, {}, "200 200 200 200 200 200 200 200 200 200 200 200"),
    ("getHistory", PRIVATE, FILE, {}, "200 200 403 403 403 403 200 403 403 200 403 200"),
    ("listPermissions", PRIVATE, FILE, {}, "200 200 403 403 403 403 200 403 403 200 403 200"),
    # WRITE on the folder for what is new, on the file too for what is there
    ("importData", PRIVATE, FOLDER, {"upload": "new"}, "202 403 403 403 403 202 403 202 403 202 403 202"),
    ("importData", PRIVATE, FOLDER, {"upload": "a.txt"}, "202 403 403 403 403 403 403 202 403 202 403 202"),
    ("importData", SHARED, FOLDER, {"upload": "new"}, "202 403 403 403 403 202 403 202 403 202 403 202"),
    ("importData", PRIVATE, "{folder}/gone", {"upload": "x"}, "404 403 403 403 403 404 403 404 403 404 403 404"),
    ("importData", PRIVATE, FILE, {"upload": "x"}, "400 403 400 403 403 403 403 400 403 400 403 400"),
    ("importData", PRIVATE, FOLDER, {"body": {"urlToIngest": "agave://{systemId}//{caller}/mine.txt"}},
     "202 403 403 403 403 202 403 202 403 202 403 202"),
    ("manage", PRIVATE, FOLDER, act("mkdir", path="d"), "201 403 403 403 403 201 403 201 403 201 403 201"),
    ("manage", PRIVATE, "{folder}/gone", act("mkdir", path="d"), "404 403 403 403 403 404 403 404 403 404 403 404"),
    ("manage", PRIVATE, FILE, act("rename", path="z"), "200 403 403 403 403 403 403 200 403 200 403 200"),
    ("manage", PRIVATE, "{folder}/gone", act("rename", path="z"), "404 403 403 403 403 403 403 404 403 404 403 404"),
    # READ on what is copied and all that is in it, WRITE on what is moved or removed
    ("importData", PRIVATE, "/{caller}", {"body": FETCHED}, "202 202 403 403 403 403 202 403 403 202 403 202"),
    ("manage", PRIVATE, FILE, act("copy", **HOME), "200 200 403 403 403 403 200 403 403 200 403 200"),
    ("manage", PRIVATE, FOLDER, act("copy", **HOME), "200 403 403 403 403 403 200 403 403 200 403 200"),
    ("manage", PRIVATE, "{folder}/gone", act("copy", **HOME), "404 403 403 403 403 403 404 403 403 404 403 404"),
    ("manage", PRIVATE, FILE, act("move", **HOME), "200 403 200 403 403 403 403 200 403 200 403 200"),
    ("manage", PRIVATE, FOLDER, act("move", **HOME), "200 403 403 403 403 403 403 200 403 200 403 200"),
    ("delete", PRIVATE, FILE, {}, "200 403 200 403 403 403 403 200 403 200 403 200"),
    ("delete", PRIVATE, BARE, {}, "200 401 401 401 401 401 401 200 401 200 401 200"),
    ("delete", PRIVATE, FOLDER, {}, "200 403 403 403 403 403 403 200 403 200 403 200"),
    ("delete", SHARED, FILE, {}, "200 403 200 403 403 403 403 200 403 200 403 200"),
    ("updatePermissions", PRIVATE, FILE, to("READ"), "201 403 201 403 403 403 403 201 403 201 403 201"),
    ("updatePermissions", PRIVATE, FOLDER, to("READ", recursive=True),
     "201 403 403 403 403 403 403 201 403 201 403 201"),
    ("deletePermissions", PRIVATE, FILE, {}, "200 403 200 403 403 403 403 200 403 200 403 200"),
    ("deletePermissions", PRIVATE, FOLDER, {"query": {"recursive": "true"}},
     "200 403 403 403 403 403 403 200 403 200 403 200"),
), ("notifications.add", PRIVATE, hear("{uuid}"), "201 201 403 403 403 403 201 403 403 201 403 201"),
))  # fmt: skip

ALL_WITH_A_ROLE = "200 200 200 200 200 404 200"
FOR_ALL = {f"public {role}": role for role in ("GUEST", "USER")}  # what `world` was given before it was published


def on_system(*rows: tuple[str, str, str, dict[str, Any], str]) -> tuple[Row, ...]:
    """The same without."""
    return tuple(
        (f"files.{key}", state, {**more, **HERE, "filePath": path}, cells) for key, state, path, more, cells in rows
    )


FILES_BY_ROLE = Table(SYSTEMS.callers, on_system(
    ("list", PRIVATE, FOLDER, {}, ALL_WITH_A_ROLE),
    ("list", PRIVATE, "{folder}/gone", {}, "404 404 404 404 404 404 404"),
    ("download", PRIVATE, FILE, {}, ALL_WITH_A_ROLE),
    ("importData", PRIVATE, FOLDER, {"upload": "new"}, "202 202 202 202 202 404 202"),
    ("manage", PRIVATE, FOLDER, act("mkdir", path="d"), "201 201 201 201 201 404 201"),
    ("manage", PRIVATE, FILE, act("rename", path="z"), ALL_WITH_A_ROLE),
    ("manage", PRIVATE, FILE, act("copy", path="{folder}/z"), ALL_WITH_A_ROLE),
    ("manage", PRIVATE, FOLDER, act("move", path="{folder}-z"), ALL_WITH_A_ROLE),
    ("delete", PRIVATE, FOLDER, {}, ALL_WITH_A_ROLE),
    ("getHistory", PRIVATE, FILE, {}, ALL_WITH_A_ROLE),
    ("listPermissions", PRIVATE, FILE, {}, ALL_WITH_A_ROLE),
    ("updatePermissions", PRIVATE, FILE, to("READ"), "201 201 201 201 201 404 201"),
    ("deletePermissions", PRIVATE, FILE, {}, ALL_WITH_A_ROLE),
    ("download", PUBLIC, FILE, {}, "200 200 403 403 403 403 200"),
    ("importData", PUBLIC, FOLDER, {"upload": "new"}, "202 202 403 403 403 403 202"),
    ("delete", PUBLIC, FILE, {}, "200 200 403 403 403 403 200"),
    ("delete", PUBLIC, FOLDER, {}, "200 200 401 401 401 401 200"),
    ("updatePermissions", PUBLIC, FILE, to("READ"), "201 201 403 403 403 403 201"),
    *(row for state in FOR_ALL for row in (  # a stronger role, of the caller's own or everybody's, sees no less
        ("list", state, FOLDER, {}, "200 200 200 200 200 200 200"),
        ("download", state, FILE, {}, "200 200 200 200 200 200 200"),
        ("getHistory", state, FILE, {}, "200 200 200 200 200 200 200"),
        ("manage", state, FILE, act("rename", path="z"), "200 200 403 403 403 403 200"),
        ("importData", state, FOLDER, {"upload": "new"}, "202 202 403 403 403 403 202"),
        ("importData", state, FOLDER, {"upload": "a.txt"}, "202 202 403 403 403 403 202"),
        ("updatePermissions", state, FILE, to("READ"), "201 201 403 403 403 403 201"),
        ("delete", state, FILE, {}, "200 200 403 403 403 403 200"),
    )),
    ("download", DISABLED, FILE, {}, "400 400 400 400 400 404 400"),
    ("list", "public execution", "/", {}, "403 403 403 403 403 403 200"),
    ("importData", "public execution", "/", {"upload": "new"}, "403 403 403 403 403 403 202"),
))  # fmt: skip

# apps: grants; a public one is everybody's to see and to run ---------------------------------------------------------

APP: dict[str, Any] = {"name": "app-{n}", **APP_ON}
RUN = {"body": {"name": "j", "appId": "{appId}", "archive": False}}
NAMED = {"username": "{grantee}"}

APPS = Table("owner r x w rx rw all stranger administrator", (
    ("apps.list", PRIVATE, {}, "+ + - - + + + - +"),
    ("apps.list", PUBLIC, {}, "+ + + + + + + + +"),
    ("apps.list", SHARED, {}, "+ + + + + + + + +"),
    ("apps.list", DISABLED, {}, "+ - - - - + + - +"),
    ("apps.listByName", PRIVATE, {"name": "app-{n}"}, "+ + - - + + + - +"),
    ("apps.listByTag", PRIVATE, {"tag": "tag-{n}"}, "+ + - - + + + - +"),
    ("apps.listByOntologyTerm", PRIVATE, {"term": "term-{n}"}, "+ + - - + + + - +"),
    ("apps.listBySystemId", PRIVATE, {"systemId": "run.demo"}, "+ + - - + + + - +"),
    ("apps.get", PRIVATE, {}, "200 200 403 403 200 200 200 403 200"),
    ("apps.get", PUBLIC, {}, "200 200 200 200 200 200 200 200 200"),
    ("apps.get", SHARED, {}, "200 200 200 200 200 200 200 200 200"),
    ("apps.get", "removed", {}, "404 404 404 404 404 404 404 404 404"),
    ("apps.getJobSubmissionForm", PRIVATE, {"uniqueName": "{appId}"}, "200 200 403 403 200 200 200 403 200"),
    ("GET /apps/v2/{appId}/history", PRIVATE, {}, "200 200 403 403 200 200 200 403 200"),
    ("apps.add", "none", {"body": {**APP, "name": "new-{n}-{caller}"}}, "200 200 200 200 200 200 200 200 200"),
    ("apps.add", PRIVATE, {"body": APP}, "200 403 403 200 403 200 200 403 200"),
    ("apps.add", PUBLIC, {"body": APP}, "403 403 403 403 403 403 403 403 403"),
    ("apps.add", SHARED, {"body": APP}, "200 403 403 200 403 200 200 403 200"),
    ("apps.update", PRIVATE, {"body": APP}, "201 403 403 201 403 201 201 403 201"),
    ("apps.update", PUBLIC, {"body": APP}, "403 403 403 403 403 403 403 403 403"),
    ("apps.manage", PRIVATE, act("DISABLE"), "200 403 403 200 403 200 200 403 200"),
    ("apps.manage", DISABLED, act("ENABLE"), "200 403 403 200 403 200 200 403 200"),
    ("apps.manage", PUBLIC, act("DISABLE"), "403 403 403 403 403 403 403 403 200"),
    ("apps.manage", PRIVATE, act("PUBLISH"), "403 403 403 403 403 403 403 403 202"),
    ("apps.manage", PRIVATE, act("CLONE", name="copy-{n}-{caller}"), "202 202 403 403 202 202 202 403 202"),
    ("apps.manage", PUBLIC, act("CLONE", name="copy-{n}-{caller}"), "202 202 202 202 202 202 202 202 202"),
    ("apps.manage", PRIVATE, act("ERASE"), "403 403 403 403 403 403 403 403 200"),
    ("apps.delete", PRIVATE, {}, "200 401 401 200 401 200 200 401 200"),
    ("apps.delete", PUBLIC, {}, "401 401 401 401 401 401 401 401 200"),
    ("apps.listPermissions", PRIVATE, {}, "200 200 403 403 200 200 200 403 200"),
    ("apps.listPermissions", PUBLIC, {}, "501 501 501 501 501 501 501 501 501"),
    ("apps.listPermissionsForUser", PRIVATE, NAMED, "200 200 403 403 200 200 200 403 200"),
    ("apps.updateApplicationPermissions", PRIVATE, to("ALL"), "201 403 403 201 403 201 201 403 201"),
    ("apps.updateApplicationPermissions", PUBLIC, to("ALL"), "501 501 501 501 501 501 501 501 501"),
    ("apps.updatePermissionsForUser", PRIVATE, {**NAMED, **to("ALL")}, "201 403 403 201 403 201 201 403 201"),
    ("apps.deletePermissions", PRIVATE, {}, "200 403 403 200 403 200 200 403 200"),
    ("apps.deletePermissions", PUBLIC, {}, "501 501 501 501 501 501 501 501 501"),
    ("apps.deletePermissionsForUser", PRIVATE, NAMED, "200 403 403 200 403 200 200 403 200"),
    ("jobs.submit", PRIVATE, RUN, "201 403 201 403 201 403 201 403 201"),
    ("jobs.submit", DISABLED, RUN, "400 403 400 403 400 403 400 403 400"),
    ("notifications.add", PRIVATE, hear("{uuid}"), "201 201 403 403 201 201 201 403 201"),
))  # fmt: skip

# jobs: READ sees, WRITE acts; EXECUTE is taken and grants nothing ----------------------------------------------------

JOB_READ, JOB_WRITE = "200 200 403 200 403 403 200", "200 403 200 200 403 403 200"
HIDDEN = "404 404 404 404 404 404 404"

JOBS = Table("owner r w rw x stranger administrator", (
    ("jobs.list", "over", {}, "+ + - + - - +"),
    ("jobs.list", "hidden", {}, "- - - - - - -"),
    ("jobs.list", "hidden", {"query": {"visible": "false"}}, "+ + - + - - +"),
    ("jobs.search", "over", {"attribute": "name", "value": "{name}"}, "+ + - + - - +"),
    ("GET /jobs/v2/search/{pairs}", "over", {"pairs": "name/{name}"}, "+ + - + - - +"),
    ("jobs.get", "over", {}, JOB_READ),
    ("jobs.get", "hidden", {}, HIDDEN),
    ("jobs.getStatus", "over", {}, JOB_READ),
    ("jobs.getStatus", "hidden", {}, HIDDEN),
    ("jobs.getHistory", "over", {}, JOB_READ),
    ("jobs.getHistory", "hidden", {}, HIDDEN),
    ("jobs.manage", "over", act("stop"), JOB_WRITE),
    ("jobs.manage", "hidden", act("stop"), HIDDEN),
    ("jobs.manage", "over", act("resubmit"), "202 403 202 202 403 403 202"),
    ("jobs.manage", "over", act("restore"), JOB_WRITE),
    ("jobs.manage", "hidden", act("restore"), JOB_WRITE),
    ("jobs.manage", "over", act("reset"), "403 403 403 403 403 403 400"),
    ("jobs.delete", "over", {}, JOB_WRITE),
    ("jobs.delete", "hidden", {}, HIDDEN),
    ("jobs.listPermissions", "over", {}, JOB_READ),
    ("jobs.listPermissions", "hidden", {}, HIDDEN),
    ("jobs.listPermissionsForUser", "over", NAMED, JOB_READ),
    ("jobs.updatePermissions", "over", to("READ"), "201 403 201 201 403 403 201"),
    ("jobs.updatePermissionsForUser", "over", {**NAMED, **to("READ")}, "201 403 201 201 403 403 201"),
    ("jobs.deletePermissions", "over", {}, JOB_WRITE),
    ("jobs.deletePermissionsForUser", "over", NAMED, JOB_WRITE),
    ("jobs.listOutputs", "over", {"filePath": ""}, "200 200 401 200 401 401 200"),
    ("jobs.listOutputs", "hidden", {"filePath": ""}, "400 400 400 400 400 400 400"),
    ("jobs.downloadOutput", "over", {"filePath": "j.out"}, "200 200 401 200 401 401 200"),
    ("jobs.downloadOutput", "hidden", {"filePath": "j.out"}, "400 400 400 400 400 400 400"),
    ("notifications.add", "over", hear("{jobId}"), "201 201 403 201 403 403 201"),
))  # fmt: skip

# metadata: documents and schemas obey the same rules -----------------------------------------------------------------

META_READ, META_WRITE = "200 200 403 200 403 200", "200 403 200 200 403 200"
META_GRANT = "201 403 201 201 403 201"
EVERYBODY = {"body": {"username": "world", "permission": "READ"}}
DOCUMENT, SCHEMA = {"name": "plant", "value": {"n": 1}}, {"type": "object", "title": "plant"}


def of_meta(one: str, many: str, body: Any) -> tuple[Row, ...]:
    """The rows of documents, or of schemas: AgavePy calls what is alike by different names."""
    clear = "meta.deleteMetadataPermission" if one == "Metadata" else "meta.deleteSchemaPermissions"
    return (
        (f"meta.{many}", PRIVATE, {}, "+ + - + - +"),
        (f"meta.{many}", PRIVATE, {"query": {"q": '{{"uuid": "{uuid}"}}'}}, "+ + - + - +"),
        (f"meta.{many}", PRIVATE, {"query": {"privileged": "false"}}, "+ + - + - -"),
        (f"meta.{many}", SHARED, {}, "+ + + + + +"),
        (f"meta.get{one}", PRIVATE, {}, META_READ),
        (f"meta.get{one}", SHARED, {}, "200 200 200 200 200 200"),
        (f"meta.add{one}", "none", {"body": body}, "201 201 201 201 201 201"),
        (f"meta.update{one}", PRIVATE, {"body": body}, META_WRITE),
        (f"meta.update{one}", SHARED, {"body": body}, META_WRITE),
        (f"meta.delete{one}", PRIVATE, {}, META_WRITE),
        (f"meta.list{one}Permissions", PRIVATE, {}, META_READ),
        (f"meta.list{one}PermissionsForUser", PRIVATE, NAMED, META_READ),
        (f"meta.update{one}Permissions", PRIVATE, to("READ"), META_GRANT),
        (f"meta.update{one}Permissions", PRIVATE, EVERYBODY, "403 403 403 403 403 201"),
        (f"meta.update{one}PermissionsForUser", PRIVATE, {**NAMED, **to("READ")}, META_GRANT),
        (clear, PRIVATE, {}, META_WRITE),
        (f"meta.delete{one}PermissionsForUser", PRIVATE, NAMED, META_WRITE),
        ("notifications.add", PRIVATE, hear("{uuid}"), "201 201 403 201 403 201"),
    )


DOCUMENTS = Table("owner r w rw stranger administrator", of_meta("Metadata", "listMetadata", DOCUMENT))
SCHEMAS = Table(DOCUMENTS.callers, (
    *of_meta("Schema", "searchSchema", SCHEMA),
    ("meta.addMetadata", PRIVATE, {"body": {**DOCUMENT, "schemaId": "{uuid}"}}, "201 201 403 201 403 201"),
))  # fmt: skip

# what is its owner's alone -------------------------------------------------------------------------------------------

NOTIFICATIONS = Table("owner r stranger administrator", (
    ("notifications.list", PRIVATE, {}, "+ - - -"),
    ("notifications.list", PRIVATE, {"query": {"associatedUuid": "{about}"}}, "+ - - -"),
    ("notifications.get", PRIVATE, {}, "200 403 403 200"),
    ("notifications.add", PRIVATE, hear("{about}"), "201 201 403 201"),
    ("notifications.add", PRIVATE, hear("*"), "403 403 403 201"),
    ("notifications.add", PRIVATE, hear("{uuid}"), "201 403 403 201"),
    ("notifications.update", PRIVATE, hear("{about}"), "200 403 403 200"),
    ("notifications.update", PRIVATE, hear("*"), "403 403 403 200"),
    ("notifications.delete", PRIVATE, {}, "200 403 403 200"),
    ("GET /notifications/v2/{uuid}/history", PRIVATE, {}, "200 403 403 200"),
    ("GET /notifications/v2/{uuid}/attempts", PRIVATE, {}, "200 403 403 200"),
    ("POST /notifications/v2/{uuid}/attempts", PRIVATE, {"body": {"event": "NEVER"}}, "202 403 403 202"),
    ("DELETE /notifications/v2/{uuid}/attempts", PRIVATE, {}, "200 403 403 200"),
    ("GET /notifications/v2/{uuid}/attempts/{attemptId}", PRIVATE, {"attemptId": "1"}, "404 403 403 404"),
    ("DELETE /notifications/v2/{uuid}/attempts/{attemptId}", PRIVATE, {"attemptId": "1"}, "404 403 403 404"),
))  # fmt: skip

MONITORS = Table("owner stranger administrator", (
    ("monitors.list", PRIVATE, {}, "+ - -"),
    ("monitors.get", PRIVATE, {}, "200 404 200"),
    ("monitors.update", PRIVATE, {"body": {"target": "{systemId}", "frequency": 60}}, "200 404 200"),
    ("monitors.delete", PRIVATE, {}, "200 404 200"),
    ("monitors.listChecks", PRIVATE, {}, "200 404 200"),
    ("monitors.runCheck", PRIVATE, {}, "201 404 201"),
    ("monitors.getCheck", PRIVATE, {}, "200 404 200"),
    ("GET /monitors/v2/{monitorId}/history", PRIVATE, {}, "200 404 200"),
    ("notifications.add", PRIVATE, hear("{monitorId}"), "201 400 201"),
))  # fmt: skip

POSTITS = Table("owner stranger administrator", (
    ("postits.list", PRIVATE, {}, "+ - -"),
    ("postits.create", PRIVATE, {"body": {"url": "{url}/profiles/v2/me"}}, "201 201 201"),
    ("postits.delete", PRIVATE, {}, "200 403 200"),
    ("notifications.add", PRIVATE, hear("{uuid}"), "201 403 403"),
))  # fmt: skip

PEOPLE = "/profiles/v2/{username}/users"
PROFILES = Table("owner stranger administrator", (
    ("profiles.list", PRIVATE, {}, "+ + +"),
    ("profiles.get", PRIVATE, {}, "200 200 200"),
    ("profiles.listByUsername", PRIVATE, {}, "200 200 200"),
    ("profiles.create", PRIVATE, {"body": PERSON}, "403 403 201"),
    ("profiles.create", PRIVATE, {"body": {**PERSON, "admin": True}}, "403 403 201"),
    ("profiles.update", PRIVATE, {"body": {"city": "Aria"}}, "403 403 200"),
    ("profiles.delete", PRIVATE, {"username": "{other}"}, "403 403 200"),
    (f"GET {PEOPLE}", PRIVATE, {}, "200 403 200"),
    (f"POST {PEOPLE}", PRIVATE, {"body": {"username": "bea", "email": "b@b.org"}}, "201 403 201"),
    (f"GET {PEOPLE}/{{internalUsername}}", PRIVATE, ANN, "200 403 200"),
    (f"GET {PEOPLE}/{{internalUsername}}", PRIVATE, {"internalUsername": "nobody"}, "404 403 404"),
    (f"POST {PEOPLE}/{{internalUsername}}", PRIVATE, {**ANN, "body": {"city": "Aria"}}, "200 403 200"),
    (f"PUT {PEOPLE}/{{internalUsername}}", PRIVATE, {**ANN, "body": {"city": "Aria"}}, "200 403 200"),
    (f"DELETE {PEOPLE}/{{internalUsername}}", PRIVATE, ANN, "200 403 200"),
))  # fmt: skip

# clients: by name and password, each user's own; another's looks unknown ---------------------------------------------

NOT_SIGNED_IN = dict.fromkeys(("nobody", "expired", "unknown"), "900902") | {"wrong": "Login failed"}
CLIENTS = Table("owner stranger administrator", (
    ("clients.list", PRIVATE, {}, "+ - -"),
    ("clients.create", "none", {"body": {"clientName": "new-{n}"}}, "201 201 201"),
    ("clients.getClientByName", PRIVATE, {}, "200 404 404"),
    ("clients.listSubscriptionsForClient", PRIVATE, {}, "200 404 404"),
    ("clients.addSubscriptionForClient", PRIVATE, {"body": {"apiName": "Files"}}, "201 404 404"),
    ("clients.deleteSubscriptionsForClient", PRIVATE, {}, "200 404 404"),
    ("clients.delete", PRIVATE, {}, "200 404 404"),
), NOT_SIGNED_IN)  # fmt: skip

# actors: another program, whose refusals are 400. One that the walk changes is used on: what changes least comes first

NONCES = {f"nonce_{level.lower()}": level for level in ("NONE", "READ", "EXECUTE", "UPDATE")}
LEVELS = {"none": "NONE", "read": "READ", "execute": "EXECUTE", "update": "UPDATE"}
ACT_READ = "200 400 200 200 200 200 400 200 400 200 200 200"
ACT_EXECUTE = "200 400 400 200 200 200 400 200 400 400 200 200"
ACT_UPDATE = "200 400 400 400 200 400 400 200 400 400 400 200"
ACT_SIGNED_IN = "200 200 200 200 200 200 200 200 400 400 400 400"  # no actor is named that a nonce could open
ACT_LIST = "+ - + + + + - + 400 400 400 400"
IMAGE = {"image": "test", "stateless": False}

ACTORS = Table(" ".join(["owner", *LEVELS, "everybody", "stranger", "administrator", *NONCES]), (
    ("actors.list", PRIVATE, {}, ACT_LIST),
    ("actors.listAliases", PRIVATE, {}, ACT_LIST),
    ("actors.getAlias", PRIVATE, {"alias": "alias-{n}"}, ACT_READ),
    ("actors.get", PRIVATE, {}, ACT_READ),
    ("actors.get", PRIVATE, {"actorId": "alias-{n}"}, ACT_READ),
    ("actors.getMessages", PRIVATE, {}, ACT_READ),
    ("actors.getState", PRIVATE, {}, ACT_READ),
    ("actors.getPermissions", PRIVATE, {}, ACT_READ),
    ("actors.listWorkers", PRIVATE, {}, ACT_READ),
    ("actors.getWorker", PRIVATE, {}, ACT_READ),
    ("actors.listExecutions", PRIVATE, {}, ACT_READ),
    ("actors.getExecution", PRIVATE, {}, ACT_READ),
    ("actors.getExecutionLogs", PRIVATE, {}, ACT_READ),
    ("actors.getOneExecutionResult", PRIVATE, {}, ACT_READ),
    ("actors.listNonces", PRIVATE, {}, ACT_UPDATE),
    ("actors.getNonce", PRIVATE, {}, ACT_UPDATE),
    # it is over, and a use of a nonce is counted
    ("DELETE /actors/v2/{actorId}/executions/{executionId}", PRIVATE, {},
     "400 400 400 400 400 400 400 400 400 400 400 400!"),
    ("actors.add", PRIVATE, {"body": IMAGE}, ACT_SIGNED_IN),
    ("actors.addAlias", PRIVATE, {"body": {"alias": "new-{n}", "actorId": "{actorId}"}},
     "200 400 400 400 200 400 400 200 400 400 400 400"),
    ("PUT /actors/v2/aliases/{alias}", PRIVATE, {"alias": "alias-{n}", "body": {"actorId": "{actorId}"}},
     "200 400 400 400 200 400 400 200 400 400 400 400"),
    ("actors.deleteAlias", PRIVATE, {"alias": "alias-{n}"}, ACT_UPDATE),
    ("actors.addNonce", PRIVATE, {"body": {"maxUses": 1}}, ACT_UPDATE),
    ("actors.deleteNonce", PRIVATE, {}, ACT_UPDATE),
    ("actors.updateState", PRIVATE, {"body": {"a": 1}}, ACT_UPDATE),
    ("actors.updatePermissions", PRIVATE, {"body": {"user": "{grantee}", "level": "READ"}}, ACT_UPDATE),
    ("actors.addWorker", PRIVATE, {"body": {"num": 1}}, ACT_UPDATE),
    ("actors.sendMessage", PRIVATE, {"body": {"message": "hi"}}, ACT_EXECUTE),
    ("actors.sendBinaryMessage", PRIVATE, {"binary": "bytes"}, ACT_EXECUTE),
    ("actors.deleteMessages", PRIVATE, {}, ACT_UPDATE),
    ("actors.update", PRIVATE, {"body": {"image": "test"}}, ACT_UPDATE),
    ("actors.deleteWorker", PRIVATE, {}, ACT_UPDATE),
    ("actors.delete", PRIVATE, {}, ACT_UPDATE),
))  # fmt: skip

# what names a system in its body: one that is hidden from the caller is as good as none
NAMING: tuple[tuple[str, dict[str, Any]], ...] = (
    ("apps.add", {"body": {**APP, "name": "new", "tags": [], "ontology": [], "executionSystem": "{systemId}"}}),
    ("apps.add", {"body": {**APP, "name": "new", "tags": [], "ontology": [], "deploymentSystem": "{systemId}"}}),
    ("jobs.submit", {"body": {"name": "j", "appId": "ticker-1.0", "archiveSystem": "{systemId}"}}),
    ("jobs.submit", {"body": {"name": "j", "appId": "wordcount-1.0", "inputs": {"text": "agave://{systemId}/a.txt"}}}),
    ("monitors.add", {"body": {"target": "{systemId}"}}),
    ("files.importData", {**HERE, "systemId": "data.demo", "filePath": "/bob",
                          "body": {"urlToIngest": "agave://{systemId}/a.txt"}}),
    ("GET /files/v2/download/{username}/system/{systemId}/{filePath}", {"username": "alice", "filePath": "a.txt"}),
    ("GET /files/v2/download/{username}/system/{systemId}/{filePath}", {"username": "bob", "filePath": "a.txt"}),
)  # fmt: skip

TABLES = (
    SYSTEMS, FILES, FILES_BY_ROLE, APPS, JOBS, DOCUMENTS, SCHEMAS, NOTIFICATIONS, MONITORS, POSTITS, PROFILES, CLIENTS,
    ACTORS,
)  # fmt: skip

# what wants no token: what it answers to nobody in particular, who knows no secret
OPEN: dict[str, tuple[dict[str, str], int]] = {
    "GET /tenants": ({}, 200),
    "GET /openapi.json": ({}, 200),
    "POST /token": ({}, 401),
    "POST /revoke": ({}, 401),
    "GET /files/v2/download/{username}/system/{systemId}/{filePath}":
        ({"username": "alice", "systemId": "data.demo", "filePath": "x"}, 403),
    "GET /jobs/v2/trigger/job/{jobId}/token/{token}/status/{status}":
        ({"jobId": "1-007", "token": "x", "status": "FAILED"}, 404),
    "POST /jobs/v2/trigger/job/{jobId}/token/{token}/status/{status}":
        ({"jobId": "1-007", "token": "x", "status": "HEARTBEAT"}, 404),
    "GET /postits/v2/{postitId}": ({"postitId": "1-010"}, 404),
    "POST /postits/v2/{postitId}": ({"postitId": "1-010"}, 404),
    "PUT /postits/v2/{postitId}": ({"postitId": "1-010"}, 404),
}  # fmt: skip
