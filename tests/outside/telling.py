"""Has AgavePy tell the story of `chapters/` at a tenant of its own, while our client stands by to compare."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import Any

import msgspec

from agavesh.api.record import Record
from agavesh.client import connect
from agavesh.client.blocking import Connection
from agavesh.client.body import Body
from agavesh.client.errors import AgaveError
from agavesh.tenant.confine import bubblewrap

from .processes import served
from .recorder import Wire, recording

ACTS = [
    [
        "tokens", "profiles", "systems", "roles", "credentials", "files", "on_default_system", "apps", "own_app",
        "jobs", "shared_job",
    ],
    ["metadata", "schemas", "notifications", "clients", "people", "actors", "messages", "state", "results"],
]  # fmt: skip
IMAGES = {"functions": "abacosamples/py3_func:dev", "parts": "agavesh/parts:1"}
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Story:
    """What AgavePy saw, by chapter; its own record of its calls; how often by operation an answer was equal to ours;
    and what a hook was told meanwhile."""

    chapters: dict[str, Any]
    calls: list[tuple[str, int]]
    compared: Counter[str]
    told: list[Wire]

    def __getitem__(self, name: str) -> dict[str, Any]:
        facts = self.chapters[name]
        assert isinstance(facts, dict), facts  # else it is the traceback of what broke it off
        return facts


def told(python: Path, folder: Path) -> Story:
    """The story, told by this Python, which has AgavePy."""
    _plant(python, folder / "tenant" / "images")
    environment = python.parents[1]
    options = ("--tls", "--readable", f"{environment}:{environment.resolve()}")
    acts = [ACTS[0], ACTS[1] + ["executor"] * (bubblewrap() is not None)]
    with ExitStack() as stack:
        tenant = stack.enter_context(served(folder / "tenant", *options))
        hook = stack.enter_context(recording(lambda *_: b"{}"))
        places = [folder / act[0] for act in acts]
        tellers = [
            stack.enter_context(_telling(python, place, act, tenant, hook.url))
            for place, act in zip(places, acts, strict=True)
        ]
        for teller in tellers:
            _, errors = teller.communicate(timeout=120)
            assert teller.returncode == 0, errors[-3000:]
    shutil.rmtree(folder / "tenant")  # 7,000 files
    books = [json.loads((place / "book.json").read_text()) for place in places]
    return Story(
        {name: facts for book in books for name, facts in book["chapters"].items()},
        [(key, status) for book in books for key, status in book["calls"]],
        sum((Counter(book["compared"]) for book in books), Counter[str]()),
        hook.cases.get("", []),
    )


def _plant(python: Path, folder: Path) -> None:
    """Make the programs of `chapters/programs` images of actors."""
    for name, image in IMAGES.items():
        program = (HERE / "chapters" / "programs" / f"{name}.py").read_text()
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        (folder / image).write_text(f"#!/usr/bin/env -S {python} -W ignore\n{program}")
        (folder / image).chmod(0o755)


@contextmanager
def _telling(
    python: Path, folder: Path, chapters: list[str], tenant: dict[str, Any], hook: str
) -> Iterator[subprocess.Popen[str]]:
    """A process that tells some chapters, and our client in a thread beside it; both end with the block."""
    (folder / "home").mkdir(parents=True)
    ours = str(folder / "ours")
    brief = {"tenant": tenant, "hook": hook, "ours": ours, "book": str(folder / "book.json")}
    (folder / "brief.json").write_text(json.dumps(brief))
    # what AgavePy asks a person for it reads here, when there is no terminal
    (folder / "passwords").write_text(f"{tenant['users'][0]['password']}\n" * 3)
    # the functions for people take no certificate: requests reads this variable for them
    environment = {"PATH": os.defpath, "HOME": str(folder / "home"), "REQUESTS_CA_BUNDLE": tenant["ca_cert"]}
    with Listener(ours, "AF_UNIX") as listener, (folder / "passwords").open() as passwords:
        beside = threading.Thread(target=_compare, args=(listener, tenant))
        beside.start()
        process = subprocess.Popen(
            [python, "-W", "ignore", "-m", f"{__package__}.chapters", folder / "brief.json", *chapters],
            cwd=HERE.parents[1], env=environment, text=True,
            stdin=passwords, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
            process.communicate()
            with suppress(OSError):
                Client(ours, "AF_UNIX").close()  # in place of a teller who never came
            beside.join()


def _compare(listener: Listener, tenant: dict[str, Any]) -> None:
    """Answer a teller who asks what our client finds, until it ends."""
    user, client = tenant["users"][0], tenant["client"]
    ours = connect(
        tenant["url"], username=user["username"], password=user["password"],
        api_key=client["key"], api_secret=client["secret"], verify=tenant["ca_cert"],
    )  # fmt: skip
    with listener.accept() as pipe, ours, suppress(EOFError):
        while True:
            key, arguments = pipe.recv()
            pipe.send(_found(ours, key, arguments))


def _found(ours: Connection, key: str, arguments: dict[str, Any]) -> Any:
    """What our client answers, as plain values; for a refusal the name of its class."""
    service, name = key.split(".")
    try:
        answer = getattr(getattr(ours, service), name)(**arguments)
    except AgaveError as refused:
        return type(refused).__name__
    return answer.content if isinstance(answer, Body) else _plain(answer)


def _plain(answer: Any) -> Any:
    if isinstance(answer, list):
        return [_plain(each) for each in answer]
    if isinstance(answer, Record):
        return {name: _plain(value) for name, value in answer.items()}
    return msgspec.to_builtins(answer)
