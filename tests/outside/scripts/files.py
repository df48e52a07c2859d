"""A script of AgavePy: files up, about and down again."""

# ruff: noqa: PTH123, PTH202, BLE001  # as such scripts are written

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
folder = home + "/script"
content = b"one line\r\nand \0 another \xff\n"


def history(path):
    return [event.status for event in agave.files.getHistory(systemId=system, filePath=path)]


def names(path):
    return sorted(file.name for file in agave.files.list(systemId=system, filePath=path))


made = agave.files.manage(systemId=system, filePath=home, body={"action": "mkdir", "path": "script"})
print("made", made["path"], made["name"])

with open("data.bin", "wb") as file:
    file.write(content)
with open("data.bin", "rb") as file:
    uploaded = agave.files.importData(systemId=system, filePath=folder, fileToUpload=file)
print("uploaded", uploaded["name"], uploaded.get("nothing"), uploaded["_links"]["self"]["href"])
for _ in range(600):
    if "STAGING_COMPLETED" in history(folder + "/data.bin"):
        break
    time.sleep(0.1)

for file in agave.files.list(systemId=system, filePath=folder):
    print(file.name, file["type"], file.type, file.length, file.lastModified.year > 2000, "format" in file)
print("linked", agave.files.list(systemId=system, filePath=folder + "/data.bin")[0]["_links"]["system"]["href"])

downloaded = agave.files.download(systemId=system, filePath=folder + "/data.bin")
print("downloaded", downloaded.status_code, downloaded.headers["Content-Length"], downloaded.content == content)
with open("copy.bin", "wb") as file:
    for block in agave.files.download(systemId=system, filePath=folder + "/data.bin").iter_content(4):
        file.write(block)
with open("copy.bin", "rb") as file:
    print("in blocks", file.read() == content)
part = agave.files.download(systemId=system, filePath=folder + "/data.bin", headers={"Range": "bytes=4-7"})
print("part", part.status_code, part.text)
agave.download_uri("agave://" + system + "/" + folder + "/data.bin", "uri.bin")
print("by uri", os.path.getsize("uri.bin"))

here = {"systemId": system, "filePath": folder + "/data.bin"}
agave.files.manage(body={"action": "copy", "path": folder + "/second.bin"}, **here)
agave.files.manage(body={"action": "rename", "path": "first.bin"}, **here)
print("renamed", names(folder), [len(agave.files.list(systemId=system, filePath=folder, limit=2, offset=2))])

here = {"systemId": system, "filePath": folder + "/first.bin"}
agave.files.updatePermissions(body={"username": "bob", "permission": "READ"}, **here)
for one in agave.files.listPermissions(**here):
    print("may", one.username, one.permission["read"], one["permission"]["write"])
agave.files.deletePermissions(**here)
print("history", history(folder + "/first.bin"))

agave.files.delete(systemId=system, filePath=folder)
print("left", "script" in names(home))
for unknown in (folder, "/nowhere"):
    try:
        agave.files.list(systemId=system, filePath=unknown)
        print("there")
    except Exception as error:
        print("gone", "404" in str(error))
