"""Profiles: oneself, others, and who is found by what."""

from .scene import Facts, Scene, status_of


def profiles(scene: Scene) -> Facts:
    mine = scene.same("profiles.get")
    facts: Facts = {"me": [mine[key] for key in ("username", "email", "first_name", "last_name")]}
    other = scene.same("profiles.listByUsername", username="bob")
    facts["bob"] = [other[key] for key in ("username", "email", "full_name")]
    facts["all"] = sorted(one["username"] for one in scene.same("profiles.list"))
    facts["by mail"] = [one["username"] for one in scene.same("profiles.list", email="bob@example.org")]
    facts["by name"] = [one["username"] for one in scene.same("profiles.list", first_name="Ali")]
    facts["nobody"] = len(scene.same("profiles.list", username="nobody"))
    facts["unknown"] = status_of(scene.alice.profiles.listByUsername, username="nobody")
    facts["seen by bob"] = scene.bob.profiles.get()["username"]
    return facts
