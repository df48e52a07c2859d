"""Permissions on documents and schemas: reading and writing, for single users, for `world` and for `public`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agavesh.tenant.context import Answer, Context
from agavesh.tenant.pems import Grants
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.words import Pem, pem

TOLD = Pem.READ | Pem.WRITE
EVERYBODY = ("world", "public")
_WORDS = "READ, WRITE, READ_WRITE, ALL, NONE"


@dataclass(frozen=True)
class MetaGrants(Grants):
    """The grants on one document or schema. Administrators of the tenant may do everything, without a grant."""

    def may(self, rights: Pem) -> bool:
        """Whether the caller may."""
        return self.lets(self.ctx.user, rights)

    def lets(self, username: str, rights: Pem) -> bool:
        """Whether a user may."""
        if username == self.owner or self.ctx.tenant.auth.is_admin(username):
            return True
        return bool(self.ctx.store.granted(self.uuid, username, *EVERYBODY) & rights)

    def one(self, username: str) -> dict[str, Any]:
        """What one user may do. Refusal 404 for nothing."""
        if self.ctx.tenant.auth.is_admin(username):
            return self._entry(username, Pem.ALL)
        return super().one(username)

    def change(self, body: Any, username: str | None) -> Answer:
        """Grant what a request says, to the user of the path or of the body, in place of what they had."""
        given = body if isinstance(body, dict) else {}
        named = given.get("username", username)
        if not isinstance(named, str) or not named.strip():
            raise Refusal(400, "No username specified. Please specify a valid user to whom the permission will apply.")
        if username is not None and named.lower() != username.lower():
            raise Refusal(
                400, f"The username value in the POST body, {named}, does not match the username in the URL, {username}"
            )
        if "permission" not in given:
            raise Refusal(
                400, "Missing permission field. Please specify a valid permission of READ, WRITE, or READ_WRITE."
            )
        rights = wanted(self.ctx, named, given["permission"])
        if named != self.owner:
            self._grant(named, rights)
        bits = Pem.ALL if named == self.owner else rights
        return Answer(self._entry(named, bits), status=201 if rights else 200)

    def give(self, username: str, rights: Pem) -> None:
        """Grant rights with the document itself."""
        if username != self.owner:
            self._grant(username, rights)

    def _grant(self, username: str, bits: Pem) -> None:
        had = self.ctx.store.granted(self.uuid, username)
        if not bits and not had:
            return
        event = ("PERMISSION_UPDATE" if had else "PERMISSION_GRANT") if bits else "PERMISSION_REVOKE"
        told = self._entry(username, bits)
        with self.ctx.store.together():
            self.ctx.store.grant(self.uuid, username, bits)
            self.ctx.store.event(
                self.uuid, event, f"Permission was {'granted' if bits else 'revoked'}: {username}", by=self.ctx.user,
                told=told,
            )  # fmt: skip


def wanted(ctx: Context, username: str, word: Any) -> Pem:
    """The rights that a word of a request gives to a user, if the caller may give them."""
    rights = pem("" if word is None else word) if isinstance(word, str | None) else None
    if rights is None or (rights and not rights & TOLD):
        raise Refusal(400, f"Invalid permission value. Valid values are: {_WORDS}")
    if username in EVERYBODY:
        if not ctx.admin:
            raise Refusal(403, "User does not have permission to edit public metadata item permissions")
    elif not ctx.tenant.auth.exists(username):
        raise Refusal(404, f"No user found matching {username}")
    return rights & TOLD
