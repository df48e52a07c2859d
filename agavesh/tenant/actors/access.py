"""Who may do what with an actor: whoever signed in, by levels, and whoever comes with a nonce.

wire: what may not be done is 400 here, where others answer 403.
"""

from __future__ import annotations

from agavesh.tenant.actors import nonces
from agavesh.tenant.actors.levels import Level, level
from agavesh.tenant.context import Context, Record
from agavesh.tenant.refusal import Refusal


def opened(ctx: Context, name: str, needed: Level) -> Record:
    """An actor by id or alias, on which the caller has a level; a nonce is used by this. Refusal 404, 400."""
    actor = ctx.tenant.actors.get(name)
    if actor is None:
        raise Refusal(404, f"Actor not found: {name}")
    if ctx.nonce:
        ctx.user = nonces.redeem(
            ctx.store, actor["id"], ctx.nonce, needed, lambda maker: _lets(ctx, actor, maker, needed)
        )
    elif not may(ctx, actor, needed):
        raise Refusal(400, f"Not authorized: {ctx.user} does not have the level {needed.name} on the actor {name}")
    if needed > Level.READ and actor["status"] == "SHUTTING_DOWN":
        raise Refusal(400, f"The actor {name} is being deleted")
    return actor


def may(ctx: Context, actor: Record, needed: Level) -> bool:
    """Whether the caller has a level on an actor."""
    return _lets(ctx, actor, ctx.user, needed)


def _lets(ctx: Context, actor: Record, username: str, needed: Level) -> bool:
    """Whether an actor lets a user do what needs a level; never one who is gone."""
    auth = ctx.tenant.auth
    if not auth.exists(username):
        return False
    return username == actor["owner"] or auth.is_admin(username) or level(ctx.store, actor["id"], username) >= needed


def signed_in(ctx: Context) -> str:
    """The caller, where no actor is named that a nonce could open."""
    if ctx.nonce:
        raise Refusal(400, "Not authorized: a nonce opens one actor, and none is named here")
    return ctx.user
