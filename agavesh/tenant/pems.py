"""Permissions on apps and jobs: who was granted what, as both services tell and take it. Files have their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agavesh.tenant.context import Answer, Context
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.words import Pem, pem


@dataclass(frozen=True)
class Grants:
    """The grants on one record. `path` is its own, such as `/jobs/v2/ID`; `owner` has all rights without a grant.

    `told` are the rights that answers tell of and grants can give.
    """

    ctx: Context
    uuid: str
    path: str
    owner: str
    told: Pem

    def all(self, limit: int, offset: int) -> list[dict[str, Any]]:
        """The owner first, beside the count, then everybody else."""
        others = [self._entry(name, bits) for name, bits, _ in self.ctx.store.grants(self.uuid) if name != self.owner]
        return [*([self._entry(self.owner, Pem.ALL)] if not offset else []), *others[offset : offset + limit]]

    def one(self, username: str) -> dict[str, Any]:
        """What one user has. Refusal 404 for nothing."""
        if username == self.owner:
            return self._entry(username, Pem.ALL)
        if not (bits := self.ctx.store.granted(self.uuid, username)):
            raise Refusal(404, f"No permissions found for user {username}")
        return self._entry(username, bits)

    def change(self, body: Any, username: str | None) -> Answer:
        """Grant what a request says, to the user of the path or of the body, in place of what they had."""
        if not isinstance(body, dict):
            raise Refusal(400, "Missing permission field.")
        named = body.get("username") or username
        if not isinstance(named, str):
            raise Refusal(400, "Missing username field.")
        if username is not None and named != username:
            raise Refusal(400, f"The user of the request, {named}, is not the user of the path, {username}.")
        if "permission" not in body:
            raise Refusal(400, "Missing permission field.")
        word = body["permission"] if body["permission"] is not None else ""
        rights = pem(word) if isinstance(word, str) else None
        if rights is None:
            raise Refusal(
                400, f"Invalid permission value {word}. Use READ, WRITE, EXECUTE, READ_WRITE, READ_EXECUTE,"
                " WRITE_EXECUTE, ALL or NONE.",
            )  # fmt: skip
        if named not in ("public", "world") and not self.ctx.tenant.auth.exists(named):
            raise Refusal(404, f"No user found matching {named}")
        if named != self.owner:
            self._grant(named, rights & self.told)
        bits = Pem.ALL if named == self.owner else rights & self.told
        return Answer(self._entry(named, bits), status=201 if word else 200)

    def revoke(self, username: str) -> None:
        """Take away what one user had."""
        self._grant(username, Pem.NONE)

    def clear(self) -> None:
        """Take away what anybody had but the owner."""
        with self.ctx.store.together():
            for username, _, _ in self.ctx.store.grants(self.uuid):
                self._grant(username, Pem.NONE)

    def _grant(self, username: str, bits: Pem) -> None:
        event, text = ("PERMISSION_GRANT", "was granted") if bits else ("PERMISSION_REVOKE", "was revoked")
        with self.ctx.store.together():
            self.ctx.store.grant(self.uuid, username, bits)
            told = self._entry(username, bits)
            self.ctx.store.event(self.uuid, event, f"Permission {text}: {username}", by=self.ctx.user, told=told)

    def _entry(self, username: str, bits: int) -> dict[str, Any]:
        words: Mapping[str, Pem] = {"read": Pem.READ, "write": Pem.WRITE, "execute": Pem.EXECUTE}
        return {
            "username": username,
            "internalUsername": None,
            "permission": {word: bool(bits & right) for word, right in words.items() if right & self.told},
            "_links": {
                "self": self.ctx.link(f"{self.path}/pems/{username}"),
                "parent": self.ctx.link(self.path),
                "profile": self.ctx.link(f"/profiles/v2/{username}"),
            },
        }
