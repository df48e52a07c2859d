"""Tokens: got, refreshed, and mended when they are dead."""

from .scene import Facts, Scene


def tokens(scene: Scene) -> Facts:
    agave = scene.sign_in("alice")  # a client of its own: its tokens die here
    facts: Facts = {name: type(agave.token.token_info[name]).__name__ for name in ("access_token", "refresh_token")}
    facts["expires_in"] = agave.token.token_info["expires_in"]
    first = agave._token
    agave.token.refresh()
    facts["changed"] = agave._token != first
    # the first token died with the refresh: AgavePy meets a fault of the gateway, refreshes, and asks once more
    agave._token = first
    agave.refresh_aris()
    facts["user"] = agave.profiles.get()["username"]
    facts["mended"] = agave._token != first
    return facts
