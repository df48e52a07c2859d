"""Runs under AgavePy's own Python: what a user of AgavePy does with actors, chapter by chapter, all 24 operations.

    python agavepy_actors.py TENANT_JSON FACTS_JSON

Each chapter writes down what it saw; the tests beside this file judge it. A chapter that breaks off leaves its
traceback instead. It imports nothing of ours, and changes nothing of AgavePy's.
"""

import json
import sys
import time
import traceback
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests  # type: ignore[import-untyped]  # AgavePy's, not ours
from agavepy.actors import AbacoExecutor  # type: ignore[import-not-found]  # it lives in an environment of its own
from agavepy.agave import Agave  # type: ignore[import-not-found]

IMAGE = "abacosamples/py3_func:dev"  # what an executor takes if it is told nothing else

Facts = dict[str, Any]


def sign_in(tenant: Facts) -> Any:
    user = tenant["users"][0]
    agave = Agave(
        api_server=tenant["url"], username=user["username"], password=user["password"],
        api_key=tenant["client"]["key"], api_secret=tenant["client"]["secret"],
        verify=tenant["ca_cert"], proxies={},
    )  # fmt: skip
    # AgavePy compares host and port with the host alone, and so signs no request to a server that names its port
    agave.host = urlsplit(tenant["url"]).hostname
    agave.refresh_aris()
    return agave


def awaited(call: Any) -> Any:
    """What `call` answers once it is true."""
    for _ in range(600):
        if found := call():
            return found
        time.sleep(0.1)
    raise TimeoutError(call)


def ready(agave: Any, **more: Any) -> str:
    """A new actor that is ready. Its id."""
    actor = agave.actors.add(body={"image": IMAGE, **more})["id"]
    awaited(lambda: agave.actors.get(actorId=actor)["status"] == "READY")
    return str(actor)


def ended(agave: Any, actor: str, execution: str) -> Any:
    def look() -> Any:
        found = agave.actors.getExecution(actorId=actor, executionId=execution)
        return found if found["status"] in ("COMPLETE", "ERROR") else None

    return awaited(look)


def records(agave: Any, tenant: Facts) -> Facts:
    actors = agave.actors
    added = actors.add(body={"image": IMAGE, "name": "by AgavePy", "defaultEnvironment": {"HUE": "red"}})
    actor = added["id"]
    facts = {"submitted": added["status"], "listed": [one["id"] for one in actors.list()] == [actor]}
    facts["ready"] = awaited(lambda: actors.get(actorId=actor)["status"] == "READY")
    updated = actors.update(actorId=actor, body={"image": IMAGE, "name": "renamed"})
    facts["renamed"] = updated["name"]
    actors.addWorker(actorId=actor, body={"num": 2})
    workers = actors.listWorkers(actorId=actor)
    facts["workers"] = len(workers)
    facts["worker"] = actors.getWorker(actorId=actor, workerId=workers[0]["id"])["status"]
    actors.deleteWorker(actorId=actor, workerId=workers[0]["id"])
    facts["one less"] = awaited(lambda: len(actors.listWorkers(actorId=actor)) == 1)
    facts["granted"] = dict(actors.updatePermissions(actorId=actor, body={"user": "bob", "level": "EXECUTE"}))
    facts["permissions"] = dict(actors.getPermissions(actorId=actor))
    nonce = actors.addNonce(actorId=actor, body={"maxUses": 3, "level": "READ"})
    facts["nonces"] = [one["id"] for one in actors.listNonces(actorId=actor)] == [nonce["id"]]
    with_nonce = requests.get(
        f"{tenant['url']}/actors/v2/{actor}", params={"x-nonce": nonce["id"]}, verify=tenant["ca_cert"], timeout=30
    )
    facts["opened"] = with_nonce.json()["result"]["id"] == actor
    facts["uses left"] = actors.getNonce(actorId=actor, nonceId=nonce["id"])["remainingUses"]
    actors.deleteNonce(actorId=actor, nonceId=nonce["id"])
    facts["no nonces"] = len(actors.listNonces(actorId=actor))
    actors.delete(actorId=actor)
    facts["gone"] = len(actors.list())
    return facts


def messages(agave: Any, tenant: Facts) -> Facts:
    actors = agave.actors
    actor = ready(agave)
    sent = actors.sendMessage(actorId=actor, body={"message": {"n": 7}}, environment={"SHADE": "dark"})
    facts: Facts = {"msg": sent["msg"]}
    execution = ended(agave, actor, sent["executionId"])
    facts["status"], facts["exit"] = execution["status"], execution["exitCode"]
    logs = actors.getExecutionLogs(actorId=actor, executionId=sent["executionId"])["logs"]
    facts["context"] = json.loads(logs)
    facts["waiting"] = actors.getMessages(actorId=actor)["messages"]
    summary = actors.listExecutions(actorId=actor)
    facts["executions"] = [one["id"] for one in summary["executions"]] == [sent["executionId"]]
    facts["total"] = summary["totalExecutions"]
    actors.delete(actorId=actor)
    return facts


def state(agave: Any, tenant: Facts) -> Facts:
    actors = agave.actors
    actor = ready(agave, stateless=False)
    actors.updateState(actorId=actor, body={"count": 1})
    facts = {"before": dict(actors.getState(actorId=actor)["state"])}
    sent = actors.sendMessage(actorId=actor, body={"message": "count"})
    execution = ended(agave, actor, sent["executionId"])
    facts["exit"] = execution["exitCode"]
    facts["log"] = actors.getExecutionLogs(actorId=actor, executionId=sent["executionId"])["logs"]
    facts["after"] = dict(actors.getState(actorId=actor)["state"])
    actors.delete(actorId=actor)
    return facts


def executor(agave: Any, tenant: Facts) -> Facts:
    crew = AbacoExecutor(agave, context="py3", num_workers=2)
    first = crew.submit(lambda a, b=0: (a + b, "ü", [a] * 3), 3, b=4)
    others = crew.map(lambda n: n * n, [[1], [2], [3]])
    facts = {"first": first.result(timeout=60), "squares": [other.result(timeout=60) for other in others]}
    large = crew.blocking_call(len, b"x" * 900_000)
    facts["large"] = large
    sent = agave.actors.sendBinaryMessage(
        actorId=crew.actor_id, message=b"no pickle", headers={"Content-Type": "application/octet-stream"}
    )
    facts["no pickle"] = ended(agave, crew.actor_id, sent["executionId"])["exitCode"]
    empty = agave.actors.getOneExecutionResult(actorId=crew.actor_id, executionId=sent["executionId"])
    facts["empty"] = len(empty.content)
    crew.delete()
    return facts


def main() -> None:
    tenant = json.loads(Path(sys.argv[1]).read_text())
    book: dict[str, Any] = {}
    agave = sign_in(tenant)
    for chapter in (records, messages, state, executor):
        try:
            book[chapter.__name__] = chapter(agave, tenant)
        except Exception:  # noqa: BLE001  # how it fails is what is asked
            book[chapter.__name__] = traceback.format_exc()
    Path(sys.argv[2]).write_text(json.dumps(book, default=str))


main()
