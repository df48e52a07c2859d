"""What programs may ask for and this tenant does not have: a table of operations, each of which answers 501.

They are those that AgavePy knows beyond the catalogue, by AgavePy's names, and a few of the actors service that have no
name there. None of them is an operation of ours: no client calls it, and nothing describes it.
"""

from __future__ import annotations

from typing import Any, Final

from agavesh.tenant.context import Context, Result
from agavesh.tenant.refusal import Refusal

ABSENT: Final = tuple(tuple(line.split()) for line in """
    transforms.list GET /transforms/v2/
    transforms.get GET /transforms/v2/{transformId}
    transforms.listByTag GET /transforms/v2/tags/{tag}
    transforms.transformAndStage POST /transforms/v2/{transformId}/async/{owner}/{filePath}
    transforms.transformAndDownload POST /transforms/v2/{transformId}/sync/{owner}/{filePath}
    admin.listAccounts GET /admin/v2/service_accounts
    admin.addAccount POST /admin/v2/service_accounts
    admin.getAccount GET /admin/v2/service_accounts/{accountId}
    admin.updateAccount PUT /admin/v2/service_accounts/{accountId}
    admin.deleteAccount DELETE /admin/v2/service_accounts/{accountId}
    admin.listAccountRoles GET /admin/v2/service_accounts/{accountId}/roles
    admin.addRoleToAccount POST /admin/v2/service_accounts/{accountId}/roles
    admin.deleteRoleFromAccount DELETE /admin/v2/service_accounts/{accountId}/roles/{roleId}
    admin.listRoles GET /admin/v2/service_roles
    admin.addRole POST /admin/v2/service_roles
    admin.getRole GET /admin/v2/service_roles/{roleId}
    admin.deleteRole DELETE /admin/v2/service_roles/{roleId}
    admin.listAccountsInRole GET /admin/v2/service_roles/{roleId}/service_accounts
    admin.addAccountToRole POST /admin/v2/service_roles/{roleId}/service_accounts
    admin.deleteAccountFromRole DELETE /admin/v2/service_roles/{roleId}/service_accounts/{accountId}
    admin.listClients GET /admin/v2/clients
    admin.listApis GET /admin/v2/apis
    admin.addApi POST /admin/v2/apis
    admin.getApi GET /admin/v2/apis/{apiId}
    admin.deleteApi DELETE /admin/v2/apis/{apiId}
    admin.updateApiStatus PUT /admin/v2/apis/{apiId}
    actors.aliases.nonces GET /actors/v2/aliases/{alias}/nonces
    actors.aliases.nonces POST /actors/v2/aliases/{alias}/nonces
    actors.aliases.nonces GET /actors/v2/aliases/{alias}/nonces/{nonceId}
    actors.aliases.nonces DELETE /actors/v2/aliases/{alias}/nonces/{nonceId}
    actors.aliases.permissions GET /actors/v2/aliases/{alias}/permissions
    actors.aliases.permissions POST /actors/v2/aliases/{alias}/permissions
""".strip().splitlines())  # fmt: skip

INSTEAD: Final = {
    "transforms": "convert files with an app and a job",
    "admin": "users are added by `agavesh tenant user add`, or by administrators with POST /profiles/v2, and clients by"
    " the clients service",
    "actors": "an alias has those of the actor that it stands for: /actors/v2/ALIAS/nonces and …/permissions",
}


async def refuse(ctx: Context, **arguments: Any) -> Result:
    """Say that there is no such thing, and what there is."""
    raise Refusal(501, f"The embedded tenant does not offer {ctx.operation}: {INSTEAD[ctx.service]}")
