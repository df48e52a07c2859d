"""Actors: records, workers, grants and nonces; messages that are answered by real programs, their logs and results."""

import json
from typing import Any

from agavepy.actors import AbacoExecutor  # type: ignore[import-not-found]  # it lives in an environment of its own
from agavepy.agave import Agave  # type: ignore[import-not-found]

from .scene import Facts, Scene, awaited, status_of

FUNCTIONS = "abacosamples/py3_func:dev"  # what an executor takes if it is told nothing else
PARTS = "agavesh/parts:1"
BINARY = {"Content-Type": "application/octet-stream"}


def actors(scene: Scene) -> Facts:
    service = scene.alice.actors
    added = service.add(body={"image": FUNCTIONS, "name": "by AgavePy", "defaultEnvironment": {"HUE": "red"}})
    actor, here = added["id"], {"actorId": added["id"]}
    facts: Facts = {"submitted": added["status"], "no image": status_of(service.add, body={"image": "no/where"})}
    awaited(lambda: service.get(**here)["status"] == "READY")
    facts["listed"] = [one["id"] for one in scene.same("actors.list")] == [actor]
    facts["renamed"] = service.update(**here, body={"image": FUNCTIONS, "name": "renamed"})["name"]
    record = scene.same("actors.get", **here)
    facts["read back"] = [record["name"], record["image"], record["owner"], record["status"]]
    service.addWorker(**here, body={"num": 2})
    workers = service.listWorkers(**here)
    facts["workers"] = len(workers)
    facts["worker"] = service.getWorker(**here, workerId=workers[0]["id"])["status"]
    facts["to ours"] = sorted(one["id"] for one in scene.ours("actors.listWorkers", **here)) == sorted(
        one["id"] for one in workers
    )
    service.deleteWorker(**here, workerId=workers[0]["id"])
    facts["one less"] = awaited(lambda: len(service.listWorkers(**here)) == 1)
    last = {**here, "workerId": workers[1]["id"]}
    facts["worker left"] = scene.same("actors.getWorker", **last, but="lastHealthCheckTime")["id"] == last["workerId"]
    facts["stranger"] = status_of(scene.bob.actors.get, **here)
    facts["granted"] = dict(service.updatePermissions(**here, body={"user": "bob", "level": "EXECUTE"}))
    facts["permissions"] = dict(scene.same("actors.getPermissions", **here))
    facts["bob"] = [status_of(scene.bob.actors.get, **here), status_of(scene.bob.actors.delete, **here)]
    facts |= nonces(scene, actor)
    service.delete(**here)
    facts["gone"] = [len(scene.same("actors.list")), status_of(service.get, **here)]
    return facts


def nonces(scene: Scene, actor: str) -> Facts:
    service, here = scene.alice.actors, {"actorId": actor}
    nonce = service.addNonce(**here, body={"maxUses": 3, "level": "READ"})["id"]

    # who has the nonce, and no token
    other = Agave(api_server=scene.url, use_nonce=True, verify=scene.tenant["ca_cert"], proxies={}).actors
    facts: Facts = {"nonces": [one["id"] for one in scene.same("actors.listNonces", **here)] == [nonce]}
    facts["actor"], facts["opened"] = actor, other.get(**here, nonce=nonce)["id"]
    record = scene.same("actors.getNonce", **here, nonceId=nonce)
    facts["nonce"] = [record["level"], record["maxUses"], record["remainingUses"]]
    facts["to send"] = status_of(other.sendMessage, **here, nonce=nonce, body={"message": "no"})
    service.deleteNonce(**here, nonceId=nonce)
    facts["no nonces"] = [len(scene.same("actors.listNonces", **here)), status_of(other.get, **here, nonce=nonce)]
    return facts


def messages(scene: Scene) -> Facts:
    service = scene.alice.actors
    here = {"actorId": ready(scene, FUNCTIONS)}
    sent = service.sendMessage(**here, body={"message": {"n": 7}}, environment={"SHADE": "dark"})
    one = {**here, "executionId": sent["executionId"]}
    facts: Facts = {"msg": sent["msg"]}
    ended(scene, one)
    execution = scene.same("actors.getExecution", **one)
    facts["status"], facts["exit"] = execution["status"], execution["exitCode"]
    facts["context"] = json.loads(scene.same("actors.getExecutionLogs", **one)["logs"])
    facts["waiting"] = scene.same("actors.getMessages", **here)["messages"]
    summary = scene.same("actors.listExecutions", **here)
    facts["executions"] = [one["id"] for one in summary["executions"]] == [sent["executionId"]]
    facts["total"] = summary["totalExecutions"]
    service.delete(**here)
    return facts


def state(scene: Scene) -> Facts:
    service = scene.alice.actors
    here = {"actorId": ready(scene, FUNCTIONS, stateless=False)}
    service.updateState(**here, body={"count": 1})
    facts: Facts = {"before": dict(scene.same("actors.getState", **here)["state"])}
    one = {**here, "executionId": service.sendMessage(**here, body={"message": "count"})["executionId"]}
    facts["exit"] = ended(scene, one)["exitCode"]
    facts["log"] = service.getExecutionLogs(**one)["logs"]
    facts["after"] = dict(scene.same("actors.getState", **here)["state"])
    # a list is joined with commas, even as a body, and is no JSON any more
    facts["theirs cannot keep a list"] = status_of(service.updateState, **here, body=["a", "b"])
    scene.ours("actors.updateState", **here, body=["a", "b"])
    facts["ours can"] = service.getState(**here)["state"]
    service.delete(**here)
    return facts


def results(scene: Scene) -> Facts:
    """A binary message, answered in parts, which come in their order and once."""
    service = scene.alice.actors
    here = {"actorId": ready(scene, PARTS)}
    sent = service.sendBinaryMessage(
        **here, message=b"one\n\xff\0two\nthree", headers=BINARY, environment={"HUE": "red"}
    )
    one = {**here, "executionId": sent["executionId"]}
    facts: Facts = {"exit": ended(scene, one)["exitCode"]}
    first, second = (service.getOneExecutionResult(**one).content for _ in range(2))
    facts["parts"] = [
        first.decode(),
        second == b"\xff\0two",
        scene.ours("actors.getOneExecutionResult", **one).decode(),
    ]
    facts["no more"] = len(service.getOneExecutionResult(**one).content)
    # the variables are spread into the query, and their names are sent once more under `environment`
    facts["stray with theirs"] = variables(scene, one)
    sent = scene.ours("actors.sendBinaryMessage", **here, message=b"four", environment={"HUE": "red"})
    one = {**here, "executionId": sent["executionId"]}
    ended(scene, one)
    facts["with ours"] = [variables(scene, one), service.getOneExecutionResult(**one).content.decode()]
    for key, send in (("text with theirs", scene.theirs), ("text with ours", scene.ours)):
        sent = send("actors.sendMessage", **here, body={"message": "text"}, environment={"HUE": "red"})
        one = {**here, "executionId": sent["executionId"]}
        ended(scene, one)
        facts[key] = variables(scene, one)
    service.delete(**here)
    return facts


def variables(scene: Scene, one: Facts) -> list[str]:
    """Those of a message that its program saw."""
    names = scene.alice.actors.getExecutionLogs(**one)["logs"].split()
    return [name for name in names if name in ("HUE", "environment")]


def executor(scene: Scene) -> Facts:
    crew = AbacoExecutor(scene.alice, context="py3", num_workers=2)
    first = crew.submit(lambda a, b=0: (a + b, "ü", [a] * 3), 3, b=4)
    others = crew.map(lambda n: n * n, [[1], [2], [3]])
    facts = {"first": first.result(timeout=60), "squares": [other.result(timeout=60) for other in others]}
    large = crew.blocking_call(len, b"x" * 900_000)
    facts["large"] = large
    sent = scene.alice.actors.sendBinaryMessage(actorId=crew.actor_id, message=b"no pickle", headers=BINARY)
    one = {"actorId": crew.actor_id, "executionId": sent["executionId"]}
    facts["no pickle"] = ended(scene, one)["exitCode"]
    facts["empty"] = len(scene.alice.actors.getOneExecutionResult(**one).content)
    crew.delete()
    return facts


def ready(scene: Scene, image: str, **more: Any) -> str:
    """A new actor that is ready. Its id."""
    actor = scene.alice.actors.add(body={"image": image, **more})["id"]
    awaited(lambda: scene.alice.actors.get(actorId=actor)["status"] == "READY")
    return str(actor)


def ended(scene: Scene, one: Facts) -> Any:
    """An execution that is at its end."""

    def look() -> Any:
        found = scene.alice.actors.getExecution(**one)
        return found if found["status"] in ("COMPLETE", "ERROR") else None

    return awaited(look)
