"""Three apps to try things with: a quick one, one that takes its time, one that fails.

They are public, run on run.demo, and lie as folders of shell scripts under /apps on data.demo.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from agavesh.tenant.apps.spec import application
from agavesh.tenant.state import Tenant
from agavesh.tenant.words import date, new_uuid

# wire: a parameter that is not given leaves nothing in its place, so the wrappers know the defaults too
WORDCOUNT = """\
# Counts the lines, words and bytes of each text, and the words that are used most.
set -e
files=(${text})
most=${top}
for file in "${files[@]}"; do
  wc "$file"
done > wordcount.txt
mkdir -p details
cat "${files[@]}" | tr -cs '[:alpha:]' '\n' | tr '[:upper:]' '[:lower:]' | sed '/^$/d' \
  | sort | uniq -c | sort -k1,1nr -k2 | sed 's/^ *//' > details/all-words.txt
sed -n "1,${most:-20}p" details/all-words.txt > top-words.txt
echo "counted ${#files[@]} texts"
"""

TICKER = """\
# Writes a line at a time: something to follow, or to stop.
total=${lines}
total=${total:-60}
pause=${delay}
for ((line = 1; line <= total; line++)); do
  echo "line $line of $total, $(date +%T)"
  sleep "${pause:-1}"
done
echo "$total lines written" > ticks.txt
"""

CRASH = """\
# Does a little, then fails.
code=${code}
echo "everything is fine so far"
echo "half a result" > partial.txt
echo "no such luck: the reactor is out of cheese" >&2
exit "${code:-3}"
"""


def _field(id: str, label: str, value: dict[str, Any], **semantics: Any) -> dict[str, Any]:
    return {"id": id, "value": value, "details": {"label": label}, "semantics": semantics}


APPS: tuple[tuple[str, dict[str, Any]], ...] = (
    (WORDCOUNT, {
        "name": "wordcount", "label": "Word count", "shortDescription": "Counts lines, words and bytes of texts",
        "tags": ["demo", "text"], "defaultMaxRunTime": "00:10:00",
        "inputs": [_field("text", "One or more plain texts", {"required": True, "enquote": True}, maxCardinality=-1)],
        "parameters": [_field("top", "How many of the most used words to list", {
            "type": "number", "visible": True, "default": 20, "validator": "[1-9][0-9]*",
        })],
    }),
    (TICKER, {
        "name": "ticker", "label": "Ticker", "shortDescription": "Writes a line a second for a minute",
        "tags": ["demo", "slow"], "defaultMaxRunTime": "00:30:00",
        "parameters": [
            _field("lines", "How many lines", {"type": "number", "default": 60, "validator": "[0-9]+"}),
            _field("delay", "Seconds from one line to the next", {"type": "number", "default": 1}),
        ],
    }),
    (CRASH, {
        "name": "crash", "label": "Crash", "shortDescription": "Fails, and says why", "tags": ["demo"],
        "defaultMaxRunTime": "00:10:00",
        "parameters": [_field("code", "The exit code", {"type": "number", "default": 3, "validator": "[0-9]+"})],
    }),
)  # fmt: skip


def plant(tenant: Tenant) -> None:
    """Register the apps, and write their files."""
    for wrapper, more in APPS:
        app_id, folder = f"{more['name']}-1.0", f"/apps/{more['name']}-1.0"
        record = application({
            "version": "1.0", "executionSystem": "run.demo", "executionType": "CLI", "parallelism": "SERIAL",
            "deploymentSystem": "data.demo", "deploymentPath": folder, "templatePath": "wrapper.sh",
            "testPath": "test.sh", **more,
        })  # fmt: skip
        disk = tenant.disk("data.demo")
        disk.make_folder(folder)
        for name, text in (("wrapper.sh", wrapper), ("test.sh", "bash -n wrapper.sh\n")):
            Path(disk.at(f"{folder}/{name}")).write_text(text)
        now = time.time()
        whole = {
            "id": app_id, "uuid": new_uuid("005"), "revision": 1, "owner": "admin", "created": date(now),
            "lastModified": date(now), "isPublic": True, "_bundle": folder, "_removed": False, **record,
        }  # fmt: skip
        tenant.store.put("app", app_id, whole, owner="admin")
        tenant.store.event(whole["uuid"], "CREATED", "App was created", by="admin")
