"""Tells the chapters that are named, in their order, and writes the book.

    python -m tests.outside.chapters BRIEF_JSON CHAPTER… < the user's password, as often as AgavePy asks

A chapter that breaks off leaves its traceback in place of what it saw.
"""

import json
import sys
import traceback
from pathlib import Path
from typing import Any

from . import actors, apps, clients, files, jobs, meta, notifications, people, profiles, systems, tokens
from .record import Record
from .scene import Scene

CHAPTERS = {
    "tokens": tokens.tokens, "profiles": profiles.profiles, "systems": systems.systems,
    "roles": systems.roles, "credentials": systems.credentials,
    "files": files.files, "on_default_system": files.on_default_system, "apps": apps.apps, "own_app": apps.own_app,
    "jobs": jobs.jobs, "shared_job": jobs.shared_job, "metadata": meta.metadata, "schemas": meta.schemas,
    "notifications": notifications.notifications, "clients": clients.clients, "people": people.people,
    "actors": actors.actors, "messages": actors.messages, "state": actors.state, "results": actors.results,
    "executor": actors.executor,
}  # fmt: skip


def main() -> None:
    brief = json.loads(Path(sys.argv[1]).read_text())
    record = Record()
    scene = Scene(brief)
    book: dict[str, Any] = {}
    for name in sys.argv[2:]:
        try:
            book[name] = CHAPTERS[name](scene)
        except Exception:  # noqa: BLE001  # how it fails is what is asked
            book[name] = traceback.format_exc()
    found = {"chapters": book, "calls": record.calls, "compared": scene.compared}
    Path(brief["book"]).write_text(json.dumps(found, default=str))


main()
