"""The HTTP statuses of each operation, as far as the platform documents or shows them. Pure tables.

What any gateway may put in the way (a 502 of its own, say) is not told here.
"""

from __future__ import annotations

from typing import Final

from agavesh.api.operation import Operation

CREATED: Final = frozenset({
    "apps.update", "clients.create", "clients.addSubscriptionForClient", "jobs.submit", "meta.addMetadata",
    "meta.addSchema", "monitors.add", "monitors.runCheck", "notifications.add", "postits.create", "profiles.create",
    "systems.add", "systems.updateCredentials",
    "systems.updateCredentialsForInternalUser", "systems.updateCredentialsForInternalUserByType",
})  # fmt: skip
ACCEPTED: Final = frozenset({"files.importData", "files.importToDefaultSystem"})  # the file is put in place later
SEVERAL: Final = {
    # 201 says that it was not there before, or that there is something now; 202 that it takes its time
    "files.manage": (200, 201), "files.manageOnDefaultSystem": (200, 201), "jobs.manage": (200, 202),
    "apps.manage": (200, 202),
}  # fmt: skip
GRANTS: Final = (
    "updatePermission", "updateApplicationPermission", "updateRole", "updateMetadataPermission",
    "updateSchemaPermission",
)  # fmt: skip

FAILS: Final = frozenset({  # 500, of requests that make no sense: so does the platform's public build
    "files.importData", "files.importToDefaultSystem",  # nothing to import
    "jobs.list", "jobs.search",  # a value of the wrong type
    "jobs.listOutputs", "jobs.downloadOutput",  # no folder yet, or no longer
})  # fmt: skip

USUAL: Final = (400, 401, 403, 404, 429, 503)
BEYOND: Final = {
    "files": (412, 416, 501, 502),  # a system that does not answer; a range; a download of a folder
    "jobs": (416, 501, 502, 504),  # a folder; a job that could not be stopped; a system that does not answer
    "apps": (501,),  # permissions of public apps
    "systems": (501,),  # roles of public systems
}


def successes(operation: Operation) -> tuple[int, ...]:
    """The statuses of what was done."""
    if operation.answer == "bytes":
        return (200, 206)
    if operation.key in CREATED:
        return (201,)
    if operation.key in ACCEPTED:
        return (202,)
    if operation.name.startswith(GRANTS) and operation.service != "actors":
        return (200, 201)
    return SEVERAL.get(operation.key, (200,))


def refusals(operation: Operation) -> tuple[int, ...]:
    """The statuses of what was not."""
    large = (413,) if operation.method in ("POST", "PUT") else ()
    fails = (500,) if operation.key in FAILS else ()
    return tuple(sorted({*USUAL, *large, *fails, *BEYOND.get(operation.service, ())}))
