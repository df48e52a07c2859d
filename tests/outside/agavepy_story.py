"""Runs under AgavePy's own Python: what a user of AgavePy does at a tenant, chapter by chapter.

    python agavepy_story.py TENANT_JSON FACTS_JSON < the user's password, as often as AgavePy asks

Each chapter writes down what it saw; the tests beside this file judge it. A chapter that breaks off leaves its
traceback instead. It imports nothing of ours, and changes nothing of AgavePy's.
"""

import contextlib
import io
import json
import sys
import time
import traceback
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests  # type: ignore[import-untyped]  # AgavePy's, not ours
from agavepy.agave import Agave  # type: ignore[import-not-found]  # it lives in an environment of its own

SYSTEM = "data.demo"
FOLDER = "/alice/agave py"
NAME = "ü b+c.txt"
CONTENT = b"one line\r\nand \0 another \xff\n"
FINAL = ("FINISHED", "FAILED", "STOPPED", "KILLED")

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


def status_of(call: Any, **arguments: Any) -> int:
    """The status of an answer that AgavePy raises; 0 if it does not."""
    try:
        call(**arguments)
    except requests.HTTPError as refused:
        return int(refused.response.status_code)
    return 0


def awaited(call: Any) -> Any:
    """What `call` answers once it is true."""
    for _ in range(600):
        if found := call():
            return found
        time.sleep(0.1)
    raise TimeoutError(call)


def token(agave: Any, tenant: Facts) -> Facts:
    facts = {name: type(agave.token.token_info[name]).__name__ for name in ("access_token", "refresh_token")}
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


def systems(agave: Any, tenant: Facts) -> Facts:
    own = {
        "id": "agavepy.store", "name": "AgavePy's own", "type": "STORAGE",
        "storage": {
            "host": "localhost", "port": 22, "protocol": "LOCAL", "rootDir": "/", "homeDir": "/",
            "auth": {"type": "LOCAL"},
        },
    }  # fmt: skip
    facts: Facts = {"ids": [one["id"] for one in agave.systems.list()]}
    facts["storage"] = [one["id"] for one in agave.systems.list(type="STORAGE")]
    facts["one page"] = len(agave.systems.list(limit=1))
    facts["system"] = {key: agave.systems.get(systemId=SYSTEM)[key] for key in ("id", "type", "public")}
    facts["added"] = agave.systems.add(body=own)["id"]
    facts["renamed"] = agave.systems.update(systemId=own["id"], body=own | {"name": "still its own"})["name"]
    agave.systems.updateRole(systemId=own["id"], body={"username": "bob", "role": "USER"})
    facts["roles"] = sorted((one["username"], one["role"]) for one in agave.systems.listRoles(systemId=own["id"]))
    agave.systems.deleteRoleForUser(systemId=own["id"], username="bob")
    facts["roles left"] = [one["username"] for one in agave.systems.listRoles(systemId=own["id"])]
    agave.systems.delete(systemId=own["id"])
    facts["gone"] = own["id"] not in [one["id"] for one in agave.systems.list()]
    facts["unknown"] = status_of(agave.systems.get, systemId="no.such.system")
    return facts


def files(agave: Any, tenant: Facts) -> Facts:
    def names(path: str) -> list[str]:
        return sorted(one["name"] for one in agave.files.list(systemId=SYSTEM, filePath=path))

    def settled(path: str) -> bool:
        events = [one["status"] for one in agave.files.getHistory(systemId=SYSTEM, filePath=path)]
        return "STAGING_COMPLETED" in events

    facts: Facts = {}
    manage, there = agave.files.manage, {"systemId": SYSTEM}
    facts["made"] = manage(**there, filePath="/alice", body={"action": "mkdir", "path": "agave py"})["path"]
    local = Path(sys.argv[2]).with_name(NAME)
    local.write_bytes(CONTENT)
    with local.open("rb") as file:
        facts["uploaded"] = agave.files.importData(**there, filePath=FOLDER, fileToUpload=file)["name"]
    awaited(lambda: settled(f"{FOLDER}/{NAME}"))
    facts["names"] = names(FOLDER)
    entry = next(one for one in agave.files.list(**there, filePath=FOLDER) if one["name"] == NAME)
    facts["entry"] = {key: entry[key] for key in ("path", "length", "type", "system")}
    facts["dated"] = type(entry["lastModified"]).__name__
    facts["same bytes"] = agave.files.download(**there, filePath=f"{FOLDER}/{NAME}").content == CONTENT
    part = agave.files.download(**there, filePath=f"{FOLDER}/{NAME}", headers={"Range": "bytes=4-7"})
    facts["part"] = [part.status_code, part.content.decode()]
    url = agave.files.list(**there, filePath=f"{FOLDER}/{NAME}")[0]["_links"]["self"]["href"]
    facts["link"] = requests.get(
        url, headers={"Authorization": f"Bearer {agave._token}"}, verify=tenant["ca_cert"], timeout=30
    ).content == CONTENT  # fmt: skip
    manage(**there, filePath=f"{FOLDER}/{NAME}", body={"action": "copy", "path": f"{FOLDER}/copy.txt"})
    manage(**there, filePath=f"{FOLDER}/{NAME}", body={"action": "rename", "path": "renamed.txt"})
    manage(**there, filePath=f"{FOLDER}/copy.txt", body={"action": "move", "path": f"{FOLDER}/moved.txt"})
    facts["changed"] = names(FOLDER)
    facts["renames never replace"] = status_of(
        manage, **there, filePath=f"{FOLDER}/moved.txt", body={"action": "rename", "path": "renamed.txt"}
    )
    source = f"agave://{SYSTEM}/{FOLDER}/moved.txt"
    agave.files.importData(**there, filePath=FOLDER, urlToIngest=source, fileName="imported.txt")
    awaited(lambda: settled(f"{FOLDER}/imported.txt"))
    facts["imported"] = agave.files.download(**there, filePath=f"{FOLDER}/imported.txt").content == CONTENT
    agave.download_uri(source, str(local))
    facts["by uri"] = local.read_bytes() == CONTENT
    facts["from home"] = sorted(one["name"] for one in agave.files.list(**there, filePath="agave py"))
    facts["default system"] = sorted(one["name"] for one in agave.files.listOnDefaultSystem(filePath=FOLDER))
    facts["slices"] = [
        [one["name"] for one in agave.files.list(**there, filePath=FOLDER, limit=2, offset=offset)]
        for offset in (0, 2, 4)
    ]
    facts["permissions"] = permissions(agave, f"{FOLDER}/moved.txt")
    facts["history"] = [one["status"] for one in agave.files.getHistory(**there, filePath=f"{FOLDER}/moved.txt")]
    agave.files.delete(**there, filePath=f"{FOLDER}/moved.txt")
    facts["deleted"] = status_of(agave.files.download, **there, filePath=f"{FOLDER}/moved.txt")
    facts["left"] = names(FOLDER)
    agave.files.delete(**there, filePath=FOLDER)
    facts["folder gone"] = status_of(agave.files.list, **there, filePath=FOLDER)
    facts["foreign"] = status_of(agave.files.list, **there, filePath="/bob")
    return facts


def permissions(agave: Any, path: str) -> Facts:
    here = {"systemId": SYSTEM, "filePath": path}

    def now() -> dict[str, Any]:
        return {one["username"]: one["permission"] for one in agave.files.listPermissions(**here)}

    facts: Facts = {"before": sorted(now())}
    agave.files.updatePermissions(**here, body={"username": "bob", "permission": "READ"})
    facts["granted"] = now()["bob"]
    agave.files.deletePermissions(**here)
    facts["after"] = sorted(now())
    return facts


def apps(agave: Any, tenant: Facts) -> Facts:
    facts: Facts = {"ids": sorted(one["id"] for one in agave.apps.list())}
    quick = agave.apps.get(appId="wordcount-1.0")
    facts["quick"] = {key: quick[key] for key in ("id", "name", "version", "executionSystem", "isPublic")}
    facts["inputs"] = [one["id"] for one in quick["inputs"]]
    facts["by name"] = [one["id"] for one in agave.apps.listByName(name="wordcount")]
    facts["by system"] = sorted(one["id"] for one in agave.apps.listBySystemId(systemId="run.demo"))
    facts["searched"] = [one["id"] for one in agave.apps.list(search={"name.like": "word*"})]
    facts["filtered"] = agave.apps.list(search={"id": "wordcount-1.0"}, filter="id,version")
    facts["unknown"] = status_of(agave.apps.get, appId="nothing-1.0")
    return facts


def jobs(agave: Any, tenant: Facts) -> Facts:
    def status(job: Any) -> str:
        return str(agave.jobs.getStatus(jobId=job["id"])["status"])

    there = {"systemId": SYSTEM}
    text = Path(sys.argv[2]).with_name("words.txt")
    text.write_text("three little words\n")
    with text.open("rb") as file:
        agave.files.importData(**there, filePath="/alice", fileToUpload=file)
    awaited(lambda: "words.txt" in [one["name"] for one in agave.files.list(**there, filePath="/alice")])
    request = {"name": "Count them", "appId": "wordcount-1.0", "inputs": {"text": f"agave://{SYSTEM}//alice/words.txt"}}
    job = agave.jobs.submit(body=request)
    facts: Facts = {"submitted": {key: job[key] for key in ("name", "appId", "status")}}
    facts["end"] = awaited(lambda: status(job) in FINAL and status(job))
    record = agave.jobs.get(jobId=job["id"])
    facts["message"] = record.get("message")
    facts["times"] = [type(record[key]).__name__ for key in ("startTime", "endTime")]
    facts["history"] = [one["status"] for one in agave.jobs.getHistory(jobId=job["id"])]
    facts["listed"] = job["id"] in [one["id"] for one in agave.jobs.list()]
    facts["searched"] = [one["id"] for one in agave.jobs.search(attribute="name", value="Count them")] == [job["id"]]
    outputs = agave.jobs.listOutputs(jobId=job["id"], filePath="/")
    facts["outputs"] = sorted(one["name"] for one in outputs)
    # downloadOutput decodes every answer as JSON; AgavePy's users take download_uri
    found = text.with_name("output")
    agave.download_uri(f"{tenant['url']}/jobs/v2/{job['id']}/outputs/media/wordcount.txt", str(found))
    facts["output"] = found.read_text()
    agave.download_uri(
        next(one for one in outputs if one["name"] == "wordcount.txt")["_links"]["self"]["href"], str(found)
    )
    facts["by link"] = found.read_text() == facts["output"]
    failed = agave.jobs.submit(body={"name": "Crash", "appId": "crash-1.0"})
    facts["failed"] = awaited(lambda: status(failed) in FINAL and status(failed))
    facts["why"] = agave.jobs.get(jobId=failed["id"])["message"]
    slow = agave.jobs.submit(body={"name": "Slow", "appId": "ticker-1.0"})
    awaited(lambda: status(slow) == "RUNNING")
    agave.jobs.manage(jobId=slow["id"], body={"action": "stop"})
    facts["stopped"] = awaited(lambda: status(slow) in FINAL and status(slow))
    again = agave.jobs.manage(jobId=job["id"], body={"action": "resubmit"})
    facts["resubmitted"] = again["id"] != job["id"] and awaited(lambda: status(again) in FINAL and status(again))
    agave.jobs.delete(jobId=again["id"])
    facts["hidden"] = status_of(agave.jobs.get, jobId=again["id"])
    agave.jobs.updatePermissions(jobId=job["id"], body={"username": "bob", "permission": "READ"})
    facts["granted"] = sorted(one["username"] for one in agave.jobs.listPermissions(jobId=job["id"]))
    facts["unknown app"] = status_of(agave.jobs.submit, body=request | {"appId": "nothing-1.0"})
    return facts


def clients(agave: Any, tenant: Facts) -> Facts:
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


def at_the_prompt(agave: Any, tenant: Facts) -> Facts:
    """AgavePy's functions for people, which build their requests another way: forms in place of JSON."""
    facts: Facts = {}
    shell = Agave(
        api_server=tenant["url"], username=tenant["users"][0]["username"], tenant_id=tenant["tenant"], proxies={}
    )
    shell.clients_create("at the prompt".replace(" ", "-"), "made at a prompt")
    shell.get_access_token()
    facts["signed in"] = all(isinstance(part, str) and part for part in (shell.api_key, shell.api_secret, shell.token))
    first = shell.token
    shell.created_at = str(int(shell.created_at) - int(shell.expires_in))
    shell.refresh_tokens()
    facts["refreshed"] = shell.token != first
    shell.files_mkdir(f"{SYSTEM}/prompt")  # its path is taken from the home: it names no folder in the URL
    local = Path(sys.argv[2]).with_name("prompt.txt")
    local.write_bytes(CONTENT)
    shell.files_upload(str(local), f"{SYSTEM}//alice/prompt/")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        shell.files_list(f"{SYSTEM}//alice/prompt", long_format=True)
        shell.files_history(f"{SYSTEM}//alice/prompt/prompt.txt")
        shell.files_pems_update(f"{SYSTEM}//alice/prompt/prompt.txt", "bob", "READ")
        shell.files_pems_list(f"{SYSTEM}//alice/prompt/prompt.txt")
        shell.files_pems_delete(f"{SYSTEM}//alice/prompt/prompt.txt")
    facts["printed"] = printed.getvalue()
    shell.files_copy(f"{SYSTEM}//alice/prompt/prompt.txt", f"{SYSTEM}//alice/prompt/copy.txt")
    shell.files_move(f"{SYSTEM}//alice/prompt/copy.txt", f"{SYSTEM}//alice/prompt/moved.txt")
    shell.files_download(f"{SYSTEM}//alice/prompt/moved.txt", str(local))
    facts["same bytes"] = local.read_bytes() == CONTENT
    shell.files_import(f"agave://{SYSTEM}//alice/prompt/moved.txt", f"{SYSTEM}//alice/prompt/")
    shell.files_delete(f"{SYSTEM}//alice/prompt")
    shell.clients_delete("at-the-prompt")
    return facts


CHAPTERS = (token, systems, files, apps, jobs, clients, at_the_prompt)


def main() -> None:
    tenant = json.loads(Path(sys.argv[1]).read_text())
    book: dict[str, Any] = {}
    agave = sign_in(tenant)
    for chapter in CHAPTERS:
        try:
            book[chapter.__name__] = chapter(agave, tenant)
        except Exception:  # noqa: BLE001  # how it fails is what is asked
            book[chapter.__name__] = traceback.format_exc()
    Path(sys.argv[2]).write_text(json.dumps(book, default=str))


main()
