"""OAuth clients: made, used, and deleted."""

from .scene import Facts, Scene


def clients(scene: Scene) -> Facts:
    agave = scene.sign_in("alice")  # a client of its own: creating one changes what it signs in with
    facts: Facts = {"before": "storyteller" in [one["name"] for one in agave.clients.list()]}
    agave.clients.create(body={"clientName": "storyteller", "description": "made by AgavePy"})
    agave.refresh_aris()
    facts["created"] = "storyteller" in [one["name"] for one in agave.clients.list()]
    # of one record AgavePy makes a useless list, a thing for each field: that it is found is all there is to see
    facts["found"] = len(agave.clients.getClientByName(clientName="storyteller")) > 1
    facts["usable"] = agave.profiles.get()["username"]
    facts["apis"] = len(agave.clients.listSubscriptionsForClient(clientName="storyteller")) > 0
    agave.clients.delete(clientName="storyteller")
    facts["after"] = "storyteller" in [one["name"] for one in agave.clients.list()]
    return facts
