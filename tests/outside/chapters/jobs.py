"""Jobs: submitted, followed, stopped, run again, hidden and shared, with what they leave."""

from typing import Any

from . import apps
from .files import upload
from .notifications import delivered
from .scene import FINAL, SYSTEM, Facts, Scene, awaited, status_of


def jobs(scene: Scene) -> Facts:
    agave = scene.alice

    def status(job: Any) -> str:
        return str(agave.jobs.getStatus(jobId=job["id"])["status"])

    upload(scene, "words.txt", b"three little words\n", "/alice")
    awaited(lambda: "words.txt" in [one["name"] for one in agave.files.list(systemId=SYSTEM, filePath="/alice")])
    request = {"name": "Count them", "appId": "wordcount-1.0", "inputs": {"text": f"agave://{SYSTEM}//alice/words.txt"}}
    job = agave.jobs.submit(body=request)
    facts: Facts = {"submitted": {key: job[key] for key in ("name", "appId", "status")}}
    facts["end"] = awaited(lambda: status(job) in FINAL and status(job))
    facts["status"] = scene.same("jobs.getStatus", jobId=job["id"])["status"]
    record = scene.same("jobs.get", jobId=job["id"])
    facts["message"] = record.get("message")
    facts["times"] = [type(record[key]).__name__ for key in ("startTime", "endTime")]
    facts["history"] = [one["status"] for one in scene.same("jobs.getHistory", jobId=job["id"])]
    facts["listed"] = job["id"] in [one["id"] for one in scene.same("jobs.list")]
    found = scene.same("jobs.search", attribute="name", value="Count them")
    facts["searched"] = [one["id"] for one in found] == [job["id"]]
    outputs = scene.same("jobs.listOutputs", jobId=job["id"], filePath="/")
    facts["outputs"] = sorted(one["name"] for one in outputs)
    # downloadOutput decodes every answer as JSON; AgavePy's users take download_uri
    local = scene.folder / "output"
    agave.download_uri(f"{scene.url}/jobs/v2/{job['id']}/outputs/media/wordcount.txt", str(local))
    facts["output"] = local.read_text()
    facts["ours"] = scene.ours("jobs.downloadOutput", jobId=job["id"], filePath="wordcount.txt").decode()
    link = next(one for one in outputs if one["name"] == "wordcount.txt")["_links"]["self"]["href"]
    agave.download_uri(link, str(local))
    facts["by link"] = local.read_text() == facts["output"]
    failed = agave.jobs.submit(body={"name": "Crash", "appId": "crash-1.0"})
    slow = agave.jobs.submit(body={"name": "Slow", "appId": "ticker-1.0"})
    again = agave.jobs.manage(jobId=job["id"], body={"action": "resubmit"})
    awaited(lambda: status(slow) == "RUNNING")
    agave.jobs.manage(jobId=slow["id"], body={"action": "stop"})
    facts["stopped"] = awaited(lambda: status(slow) in FINAL and status(slow))
    facts["failed"] = awaited(lambda: status(failed) in FINAL and status(failed))
    facts["why"] = scene.same("jobs.get", jobId=failed["id"])["message"]
    facts["resubmitted"] = again["id"] != job["id"] and awaited(lambda: status(again) in FINAL and status(again))
    agave.jobs.delete(jobId=again["id"])
    facts["hidden"] = status_of(agave.jobs.get, jobId=again["id"])
    facts["hidden to ours"] = scene.ours("jobs.get", jobId=again["id"])
    agave.jobs.manage(jobId=again["id"], body={"action": "restore"})
    facts["restored"] = scene.same("jobs.get", jobId=again["id"])["status"]
    facts["unknown app"] = status_of(agave.jobs.submit, body=request | {"appId": "nothing-1.0"})
    return facts


def shared_job(scene: Scene) -> Facts:
    """A job of an app of one's own, whose result is JSON; who may see it."""
    service = scene.alice.jobs
    apps.plant(scene)
    scene.alice.apps.add(body=apps.OWN)
    facts: Facts = {"refused": status_of(service.submit, body=apps.job("NOT SO LOUD"))}
    told = {"url": f"{scene.hook}/job?status=${{JOB_STATUS}}&name=${{JOB_NAME}}", "event": "FINISHED"}
    here = {"jobId": service.submit(body=apps.job("good day") | {"notifications": [told]})["id"]}
    facts["end"] = awaited(lambda: (found := service.getStatus(**here)["status"]) in FINAL and found)
    delivered(scene, here["jobId"])
    output = {**here, "filePath": "result.json"}
    facts["result"] = dict(service.downloadOutput(**output))
    facts["ours"] = scene.ours("jobs.downloadOutput", **output).decode()

    def grants() -> dict[str, list[str]]:
        found = scene.same("jobs.listPermissions", **here)
        return {one["username"]: [name for name, may in one["permission"].items() if may] for one in found}

    def bob() -> list[int]:
        """What bob meets when he looks at it, at its outputs, and when he hides it."""
        theirs = scene.bob.jobs
        looks = [status_of(theirs.get, **here), status_of(theirs.listOutputs, **here, filePath="/")]
        return [*looks, status_of(theirs.manage, **here, body={"action": "stop"})]

    facts["first"], facts["stranger"] = grants(), bob()
    service.updatePermissions(**here, body={"username": "bob", "permission": "READ"})
    facts["granted"], facts["reader"] = grants(), bob()
    service.updatePermissionsForUser(**here, username="bob", body={"permission": "READ_WRITE"})
    # one record comes where AgavePy expects a list: it goes through its fields
    one = service.listPermissionsForUser(**here, username="bob")
    facts["fields"] = sorted({name for field in one for name in field.values()})
    facts["more"] = scene.ours("jobs.listPermissionsForUser", **here, username="bob")["permission"]
    facts["writer"] = bob()
    # its path names jobId, its parameter is called uniqueName: the braces are sent
    facts["theirs cannot take"] = status_of(service.deletePermissionsForUser, uniqueName=here["jobId"], username="bob")
    facts["still there"] = grants()
    facts["ours can"] = scene.ours("jobs.deletePermissionsForUser", **here, username="bob")
    facts["taken"], facts["bob again"] = grants(), bob()
    service.updatePermissions(**here, body={"username": "bob", "permission": "READ"})
    service.deletePermissions(**here)
    facts["all taken"] = grants()
    try:
        service.listOutputs(**here)
    except TypeError as fault:
        facts["theirs wants a path"] = str(fault)
    facts["ours does not"] = sorted(one["name"] for one in scene.ours("jobs.listOutputs", **here))
    scene.alice.apps.delete(**apps.HERE)
    return facts
