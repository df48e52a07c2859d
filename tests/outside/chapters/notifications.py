"""Notifications: who subscribes is called, once or each time, with what the URL asks for."""

from typing import Any

from .scene import Facts, Scene, awaited, status_of


def delivered(scene: Scene, uuid: str) -> None:
    """Wait until a subscription that is about `uuid` has been told, once and for all."""
    done = {"status": "COMPLETE"}
    awaited(lambda: scene.alice.notifications.list(associatedUuid=uuid, search=done))


def notifications(scene: Scene) -> Facts:
    service, meta = scene.alice.notifications, scene.alice.meta
    uuid = meta.addMetadata(body={"name": "watched", "value": 0})["uuid"]
    url = f"{scene.hook}/NAME?event=${{EVENT}}&uuid=${{UUID}}&by=${{OWNER}}"

    def subscribe(name: str, **more: Any) -> str:
        body = {"url": url.replace("NAME", name), "associatedUuid": uuid, **more}
        return str(service.add(body=body)["id"])

    def told(uuid: str, times: int) -> Any:
        def look() -> Any:
            found = service.get(uuid=uuid)
            return found if found["attempts"] >= times else None

        return awaited(look)

    facts: Facts = {"bad": status_of(service.add, body={"url": "here", "event": "*", "associatedUuid": uuid})}
    always, once = subscribe("always", event="*", persistent=True), subscribe("once", event="UPDATED")
    record = scene.same("notifications.get", uuid=always)
    facts["made"] = [record[key] for key in ("owner", "event", "persistent", "status", "attempts")]
    mine = scene.same("notifications.list", associatedUuid=uuid)
    facts["listed"] = sorted(one["id"] for one in mine) == sorted((always, once))
    for value in (1, 2):
        meta.updateMetadata(uuid=uuid, body={"name": "watched", "value": value})
    told(once, 1)
    last = told(always, 2)
    facts["always"] = [last[key] for key in ("status", "success", "responseCode", "attempts")]
    facts["once"] = [scene.same("notifications.get", uuid=once)[key] for key in ("status", "attempts")]
    facts["fired"] = status_of(service.update, uuid=once, body={"event": "*"})
    service.update(
        uuid=always, body={"url": url.replace("NAME", "changed"), "event": "DELETED", "associatedUuid": uuid}
    )
    changed = scene.same("notifications.get", uuid=always)
    facts["changed"] = [changed["event"], changed["url"] == url.replace("NAME", "changed")]
    facts["not bob's"] = [status_of(scene.bob.notifications.get, uuid=always)]
    facts["not bob's"].append(status_of(scene.bob.notifications.add, body={
        "url": url.replace("NAME", "bob"), "associatedUuid": uuid, "event": "*",
    }))  # fmt: skip
    idle = subscribe("never", event="*", persistent=True)
    service.delete(uuid=idle)
    facts["deleted"] = status_of(service.get, uuid=idle)
    meta.deleteMetadata(uuid=uuid)
    told(always, 3)
    for each in (always, once):
        service.delete(uuid=each)
    facts["left"] = len(scene.same("notifications.list", associatedUuid=uuid))
    facts["about"] = uuid
    return facts
