"""A script of AgavePy: a job, followed to its end, and what it left."""

# ruff: noqa: PTH123  # as such scripts are written

import os
import time

from agavepy.agave import Agave

agave = Agave(
    api_server=os.environ["API"],
    username=os.environ["USERNAME"],
    password=os.environ["PASSWORD"],
    api_key=os.environ["KEY"],
    api_secret=os.environ["SECRET"],
    verify=os.environ["CA"],
)

system, home = "data.demo", "/" + os.environ["USERNAME"]

with open("words.txt", "w") as file:
    file.write("three little words\nand five more of them\n")
with open("words.txt", "rb") as file:
    agave.files.importData(systemId=system, filePath=home, fileToUpload=file)
while "words.txt" not in [file["name"] for file in agave.files.list(systemId=system, filePath=home)]:
    time.sleep(0.1)

app = agave.apps.get(appId="wordcount-1.0")
print("app", app.id, app["name"], app.version, [one["id"] for one in app["inputs"]], app.isPublic)

job = agave.jobs.submit(
    body={"name": "Count them", "appId": app.id, "inputs": {"text": "agave://" + system + "/" + home + "/words.txt"}}
)
print("submitted", job.name, job["appId"], job["inputs"], job.get("message"))
status = None
while status not in ("FINISHED", "FAILED", "STOPPED"):
    status = agave.jobs.getStatus(jobId=job["id"])["status"]
    time.sleep(0.1)
record = agave.jobs.get(jobId=job.id)
print("ended", status, record.status, record.archive, record["startTime"] <= record.endTime)
print("history", [event["status"] for event in agave.jobs.getHistory(jobId=job.id)])
print("found", [one.id == job.id for one in agave.jobs.search(attribute="id", value=job.id)])
print("listed", job.id in [one.id for one in agave.jobs.list(limit=5)])

outputs = agave.jobs.listOutputs(jobId=job.id, filePath="/")
for output in sorted(outputs, key=lambda one: one.name):
    print("output", output.name, output["type"], output["path"])
kept = agave.files.download(systemId=record.archiveSystem, filePath="/" + record.archivePath + "/wordcount.txt")
print(kept.text)
agave.download_uri(record["_links"]["self"]["href"] + "/outputs/media/wordcount.txt", "counted.txt")
with open("counted.txt") as file:
    print("the same", file.read() == kept.content.decode())

agave.jobs.updatePermissions(jobId=job.id, body={"username": "bob", "permission": "READ"})
print("shared", sorted(one.username for one in agave.jobs.listPermissions(jobId=job.id)))

failed = agave.jobs.submit(body={"name": "Crash", "appId": "crash-1.0"})
while agave.jobs.getStatus(jobId=failed.id).status != "FAILED":
    time.sleep(0.1)
print("failed", agave.jobs.get(jobId=failed.id)["message"])
agave.jobs.delete(jobId=failed.id)
print("hidden", failed.id in [one["id"] for one in agave.jobs.list()])
